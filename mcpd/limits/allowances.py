"""What this process may let users do without asking the ledger each time.

A process takes a small part of a limit at once and counts that down by itself; so a limit is exact
to that part for each process, and asking costs nothing for most requests.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable

import trio

from mcpd.errors import StoreError
from mcpd.limits.ledger import Ledger, MemoryLedger
from mcpd.limits.rules import Rule
from mcpd.limits.seldom import Seldom

PART = 0.02  # of a limit: all processes together hold this much at most
MAX_KEYS = 50_000
MAX_BLOCKED_S = 60.0  # until the ledger is asked again, whatever it said
RETURN_EVERY_S = 5.0  # what is not used goes back
SWEEP_EVERY_S = 3600.0
LEAVE_S = 2.0  # to give back at the end

log = logging.getLogger("mcpd.limits")


class _Allowance:
    """One key of one rule. Times are of a steady clock."""

    __slots__ = ("blocked_until", "key", "left", "lock", "rule", "until", "used_at")

    def __init__(self, key: str, rule: Rule) -> None:
        self.key = key
        self.rule = rule
        self.left = 0.0
        self.until = 0.0  # what is left holds no longer
        self.blocked_until = 0.0
        self.used_at = 0.0
        self.lock: trio.Lock | None = None


class Allowances:
    """Counts for one process.

    Args:
        ledger: shared with others. While it is away, each process counts by itself.
        processes: that share it, as far as is known.
        clock: Unix seconds, for the time when the ledger is away.
        steady: seconds that only go forward; asked for every call.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        processes: int = 1,
        clock: Callable[[], float],
        steady: Callable[[], float] = trio.current_time,
    ) -> None:
        self._ledger = ledger
        self._alone = MemoryLedger(clock)
        self._now = steady
        self._part = PART / processes
        self._allowances: OrderedDict[tuple[str, str], _Allowance] = OrderedDict()
        self._complaints = Seldom()

    def take_now(self, key: str, rule: Rule, amount: float = 1.0) -> bool:
        """Take without waiting; False: ask ``take``."""
        allowance = self._allowances.get((key, rule.name))
        if allowance is None or allowance.left < amount:
            return False
        now = self._now()
        if now >= allowance.until or allowance.rule is not rule:
            return False
        allowance.left -= amount
        allowance.used_at = now
        return True

    async def take(self, key: str, rule: Rule, amount: float = 1.0) -> float:
        """Take so much; 0.0 if it was there, else the seconds until it will be.

        Cancellation: what was taken of the ledger by then may be lost.
        """
        if self.take_now(key, rule, amount):
            return 0.0
        allowance = self._find(key, rule)
        now = self._now()
        if now < allowance.blocked_until:
            return allowance.blocked_until - now
        allowance.lock = allowance.lock or trio.Lock()
        async with allowance.lock:
            if self.take_now(key, rule, amount):  # another one has asked meanwhile
                return 0.0
            now = self._now()
            if now < allowance.blocked_until:
                return allowance.blocked_until - now
            return await self._ask(allowance, amount, now)

    async def _ask(self, allowance: _Allowance, amount: float, now: float) -> float:
        rule = allowance.rule
        if now >= allowance.until:
            allowance.left = 0.0
        least = amount - allowance.left
        most = max(least, float(int(rule.amount * self._part)))
        try:
            grant = await self._ledger.take(allowance.key, rule, least, most)
        except StoreError as error:
            if self._complaints.is_due(self._now()):
                log.warning("limits are counted by each process alone: %s", error.message)
            grant = self._alone.take_now(allowance.key, rule, least, least)
        now = self._now()
        if grant.wait_s > 0:
            if amount <= 1.0:
                allowance.blocked_until = now + min(grant.wait_s, MAX_BLOCKED_S)
            return grant.wait_s
        allowance.left += grant.amount - amount
        allowance.until = now + grant.left_s
        allowance.used_at = now
        return 0.0

    def _find(self, key: str, rule: Rule) -> _Allowance:
        """The allowance; another amount of the same limit begins anew."""
        found = self._allowances.get((key, rule.name))
        if found is None or found.rule != rule:
            found = _Allowance(key, rule)
            if len(self._allowances) >= MAX_KEYS:
                self._allowances.popitem(last=False)
        found.rule = rule  # an equal one: it is told apart by identity where that has to be quick
        self._allowances[key, rule.name] = found
        self._allowances.move_to_end((key, rule.name))
        return found

    async def run(self) -> None:
        """Give back what is not used, for ever, and all of it at the end."""
        swept = trio.current_time()
        try:
            while True:
                await trio.sleep(RETURN_EVERY_S)
                await self._return(self._now() - RETURN_EVERY_S)
                if trio.current_time() - swept >= SWEEP_EVERY_S:
                    swept = trio.current_time()
                    await self._sweep()
        finally:
            with trio.move_on_after(LEAVE_S, shield=True):
                await self._return(float("inf"))

    async def _sweep(self) -> None:
        try:
            await self._ledger.sweep()
        except StoreError as error:
            log.info("limits that do not count any more stay a while: %s", error.message)

    def close(self) -> None:
        """Close the ledger."""
        self._ledger.close()

    def return_now(self, key: str, rule: Rule) -> None:
        """One that was taken a moment ago was not used."""
        allowance = self._allowances.get((key, rule.name))
        if allowance is not None:
            allowance.left += 1.0

    async def _return(self, unused_since: float) -> None:
        now = self._now()
        for name, allowance in list(self._allowances.items()):
            if allowance.used_at > unused_since:
                continue
            left, allowance.left = allowance.left, 0.0
            if left > 0 and now < allowance.until:
                try:
                    await self._ledger.give_back(allowance.key, allowance.rule, left)
                except StoreError:
                    return  # it is lost, which is little
            busy = allowance.lock is not None and allowance.lock.locked()
            if not busy and now >= allowance.blocked_until and name in self._allowances:
                del self._allowances[name]
