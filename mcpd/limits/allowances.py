"""What this process may let users do without asking the ledger each time.

A process takes a small part of a limit at once and counts that down by itself; so a limit is exact
to that part for each process, and asking costs nothing for most requests.
"""

import itertools
import logging
from collections import OrderedDict
from collections.abc import Callable

import trio

from mcpd.errors import StoreError
from mcpd.limits.ledger import Ledger, MemoryLedger
from mcpd.limits.rules import Rule
from mcpd.limits.seldom import Seldom
from mcpd.limits.windows import Grant

PART = 0.02  # of a limit: all processes together hold this much at most
MAX_KEYS = 50_000
MAX_BELIEVED_S = 60.0  # until the ledger is asked again, whatever it said
ANSWER_S = 0.5  # for the ledger to answer; then it counts as away
AWAY_S = 5.0  # until an away ledger is asked again
LOOKED_AT = 100  # allowances, for one to forget
RETURN_EVERY_S = 5.0  # what is not used goes back
SWEEP_EVERY_S = 60.0
LEAVE_S = 2.0  # to give back at the end

log = logging.getLogger("mcpd.limits")


class _Allowance:
    """One key of one rule. Times are of a steady clock."""

    __slots__ = ("ask_again_at", "free_at", "key", "left", "lock", "rule", "until", "used_at")

    def __init__(self, key: str, rule: Rule) -> None:
        self.key = key
        self.rule = rule
        self.left = 0.0
        self.until = 0.0  # what is left holds no longer
        self.free_at = 0.0  # when the ledger said that there will be some
        self.ask_again_at = 0.0  # until then that is believed
        self.used_at = 0.0
        self.lock: trio.Lock | None = None


class Allowances:
    """Counts for one process.

    Args:
        ledger: shared with others. While it is away, or slow, each process counts by itself.
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
        self._away_until = 0.0
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
        if told := self._told(allowance):
            return told
        allowance.lock = allowance.lock or trio.Lock()
        async with allowance.lock:
            if self.take_now(key, rule, amount):  # another one has asked meanwhile
                return 0.0
            return self._told(allowance) or await self._ask(allowance, amount)

    def _told(self, allowance: _Allowance) -> float:
        """The seconds to wait, as far as the ledger need not be asked again; 0: it must be."""
        now = self._now()
        return max(allowance.free_at - now, 0.001) if now < allowance.ask_again_at else 0.0

    async def _ask(self, allowance: _Allowance, amount: float) -> float:
        rule = allowance.rule
        if self._now() >= allowance.until:
            allowance.left = 0.0
        least = amount - allowance.left
        most = max(least, float(int(rule.amount * self._part)))
        grant = await self._grant(allowance, least, most)
        now = self._now()
        if grant.wait_s > 0:
            if amount <= 1.0:
                allowance.free_at = now + grant.wait_s
                allowance.ask_again_at = min(allowance.free_at, now + MAX_BELIEVED_S)
            return grant.wait_s
        allowance.left += grant.amount - amount
        allowance.until = now + grant.holds_s
        allowance.used_at = now
        return 0.0

    async def _grant(self, allowance: _Allowance, least: float, most: float) -> Grant:
        """From the ledger; if that does not answer at once, no other request waits for it for a
        while.
        """
        key, rule = allowance.key, allowance.rule
        if self._now() >= self._away_until:
            try:
                with trio.fail_after(ANSWER_S):
                    return await self._ledger.take(key, rule, least, most)
            except (StoreError, trio.TooSlowError) as error:
                self._away_until = self._now() + AWAY_S
                if self._complaints.is_due(trio.current_time()):
                    words = error.message if isinstance(error, StoreError) else "it is slow"
                    log.warning("limits are counted by each process alone: %s", words)
        return self._alone.take_now(key, rule, least, least)  # nothing of it is ever given back

    def _find(self, key: str, rule: Rule) -> _Allowance:
        """The allowance; another amount of the same limit begins anew."""
        name = (key, rule.name)
        found = self._allowances.get(name)
        if found is None or found.rule != rule:
            found = _Allowance(key, rule)
            if len(self._allowances) >= MAX_KEYS:
                self._make_room()
        found.rule = rule  # an equal one: it is told apart by identity where that has to be quick
        self._allowances[name] = found
        self._allowances.move_to_end(name)
        return found

    def _make_room(self) -> None:
        """Forget what holds nothing first: of a flood of keys each has one at most."""
        names = list(itertools.islice(self._allowances, LOOKED_AT))
        empty = (name for name in names if self._allowances[name].left < 1.0)
        del self._allowances[next(empty, names[0])]

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
            if not busy and now >= allowance.ask_again_at and name in self._allowances:
                del self._allowances[name]
