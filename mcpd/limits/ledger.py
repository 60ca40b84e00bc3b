"""Where it is counted what users have done, for all processes that share a store."""

from collections.abc import Callable
from typing import Protocol

from mcpd.limits.rules import Rule
from mcpd.limits.windows import Grant, Window, give_back, take

MAX_KEYS = 50_000  # in memory; those unused for longest go

Clock = Callable[[], float]


class Ledger(Protocol):
    """The contract. A key is counted for each rule apart."""

    async def take(self, key: str, rule: Rule, least: float, most: float) -> Grant:
        """Take as much as there is, from ``least`` to ``most``, in one step.

        Raises:
            StoreError: that cannot be told now.
        """

    async def give_back(self, key: str, rule: Rule, amount: float) -> None:
        """What was taken and not used.

        Raises:
            StoreError: that cannot be told now.
        """

    async def sweep(self) -> None:
        """Forget what does not count any more.

        Raises:
            StoreError: that cannot be done now.
        """

    def close(self) -> None:
        """Close its file."""


class MemoryLedger:
    """Counts in this process; ends with it.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[tuple[str, str], Window] = {}

    async def take(self, key: str, rule: Rule, least: float, most: float) -> Grant:
        """See Ledger."""
        return self.take_now(key, rule, least, most)

    def take_now(self, key: str, rule: Rule, least: float, most: float) -> Grant:
        """Take, at once."""
        window = self._windows.pop((key, rule.name), Window())
        after, grant = take(window, rule, least, most, self._clock())
        self._keep(key, rule, after if grant.amount else window)
        return grant

    async def give_back(self, key: str, rule: Rule, amount: float) -> None:
        """See Ledger."""
        window = self._windows.pop((key, rule.name), None)
        if window is not None:
            self._keep(key, rule, give_back(window, rule, amount, self._clock()))

    async def sweep(self) -> None:
        """See Ledger: its size is bounded."""

    def close(self) -> None:
        """Nothing is held here."""

    def _keep(self, key: str, rule: Rule, window: Window) -> None:
        if len(self._windows) >= MAX_KEYS:
            del self._windows[next(iter(self._windows))]
        self._windows[key, rule.name] = window
