"""How often something may be done: every limit of the server, and how a refusal says so. With the
caps of ``caps.py`` these are its limits.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from mcpd.errors import TooManyRequests
from mcpd.limits.allowances import Allowances
from mcpd.limits.caps import MAX_RESULT_BYTES, Caps
from mcpd.limits.ledger import Ledger, MemoryLedger
from mcpd.limits.rules import MINUTE_S, Rule


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one server. What is counted of users and addresses is counted for all
    processes that share its ledger.

    Attributes:
        registrations: of an address.
        caps: how much there may be at once.
        max_result_bytes: of a result as JSON.
        limit_loopback: whether addresses of this machine are limited too.
        running: how many calls of a key run, where that is limited.
        on_refusal: told the name of a limit that refused.
    """

    registrations: tuple[Rule, ...]
    allowances: Allowances
    caps: Caps
    limit_loopback: bool = False
    max_result_bytes: int = MAX_RESULT_BYTES
    running: dict[str, int] = field(default_factory=dict)
    on_refusal: list[Callable[[str], None]] = field(default_factory=list)

    def count_now(self, key: str, rules: tuple[Rule, ...]) -> int:
        """Count one more for a key, by as many of these rules as can tell without waiting; how
        many these were. The rest is for ``count``.
        """
        counted = 0
        for rule in rules:
            if not self.allowances.take_now(key, rule):
                break
            counted += 1
        return counted

    async def count(
        self, key: str, rules: tuple[Rule, ...], amount: float = 1.0, *, counted: int = 0
    ) -> None:
        """Count so much more for a key, by each of these rules.

        Args:
            counted: by so many of them it is counted already.

        Raises:
            TooManyRequests: it is too much for one of them, which names that one; with Retry-After
                and the fields of draft-ietf-httpapi-ratelimit-headers.
        """
        for place, rule in enumerate(rules):
            if place < counted:
                continue
            if not self.allowances.take_now(key, rule, amount):
                wait_s = await self.allowances.take(key, rule, amount)
                if wait_s > 0:
                    for other in rules[:place]:
                        self.allowances.return_now(key, other)
                    self._refused(rule.name)
                    raise refusal(rule, wait_s)

    @contextmanager
    def at_once(self, key: str, most: int) -> Iterator[None]:
        """Count a call while it runs.

        Raises:
            TooManyRequests: as many run.
        """
        there = self.running.get(key, 0)
        if there >= most:
            self._refused("calls_at_once")
            raise TooManyRequests(
                f"{most} of your calls run, as many as may at once.",
                fix="Wait until one is done.",
                data={"limit": "calls_at_once", "retry_after_s": 1},
                headers=((b"retry-after", b"1"),),
            )
        self.running[key] = there + 1
        try:
            yield
        finally:
            left = self.running[key] - 1
            if left:
                self.running[key] = left
            else:
                del self.running[key]

    def _refused(self, name: str) -> None:
        for told in self.on_refusal:
            told(name)


def refusal(rule: Rule, wait_s: float) -> TooManyRequests:
    """What a client is told that a limit refuses."""
    seconds = math.ceil(wait_s)
    period = "a minute" if rule.period_s == MINUTE_S else "a day"
    name = rule.name.replace('"', "").replace("\\", "").encode("ascii")  # a structured string
    return TooManyRequests(
        f"{rule.amount:g} {rule.unit} in {period} are allowed: the limit {rule.name}.",
        fix=f"Try again in {seconds} s, or ask the operator to raise it.",
        data={"limit": rule.name, "retry_after_s": seconds},
        headers=(
            (b"retry-after", b"%d" % seconds),
            (b"ratelimit-policy", b'"%s";q=%d;w=%d' % (name, rule.amount, rule.period_s)),
            (b"ratelimit", b'"%s";r=0;t=%d' % (name, seconds)),
        ),
    )


def make_limits(
    *,
    registrations_per_minute: float = 60.0,
    limit_loopback: bool = False,
    caps: Caps | None = None,
    max_result_bytes: int = MAX_RESULT_BYTES,
    ledger: Ledger | None = None,
    processes: int = 1,
    clock: Callable[[], float] = trio.current_time,
    steady: Callable[[], float] = trio.current_time,
) -> Limits:
    """The limits that settings name.

    Args:
        ledger: None: one of this process.
        processes: that share it.
        clock: Unix seconds.
        steady: seconds that only go forward; asked for every call.
    """
    return Limits(
        (Rule("registrations_per_minute", registrations_per_minute, MINUTE_S, "registrations"),),
        Allowances(ledger or MemoryLedger(clock), processes=processes, clock=clock, steady=steady),
        caps or Caps(),
        limit_loopback,
        max_result_bytes,
    )
