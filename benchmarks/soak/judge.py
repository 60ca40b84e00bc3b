"""What the soak expects, and what it met."""

from collections import Counter
from dataclasses import dataclass, field

import trio

AFTER_S = 2.0  # an interruption that ended so lately may still be what cut something
MAX_KEPT = 200  # violations that are kept as text


class Wrong(Exception):
    """An answer that must not be: a status, a value, an order."""


class Cut(Exception):
    """The connection ended before the answer did."""


class Away(Exception):
    """503: the server says that it cannot now."""


LOST = (Cut, Away, OSError, trio.BrokenResourceError, trio.ClosedResourceError)


@dataclass
class Judge:
    """Counts outcomes; what is lost while the server is interrupted on purpose is excused."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    violation_count: int = 0
    latencies_ms: list[float] = field(default_factory=list)  # of calls, since the last sample
    calls: int = 0
    down: bool = False  # the server is being restarted
    _up_at: float = float("-inf")

    def interrupted(self) -> None:
        """From now on the server may be away."""
        self.down = True

    def back(self) -> None:
        """The server answers again."""
        self.down = False
        self._up_at = trio.current_time()

    def excuses(self, since: float) -> bool:
        """Whether the server was interrupted after ``since``."""
        return self.down or self._up_at + AFTER_S >= since

    def count(self, activity: str, outcome: str) -> None:
        """One more."""
        self.outcomes[activity, outcome] += 1

    def answered(self, began: float) -> None:
        """A call was answered as it must be."""
        self.calls += 1
        self.latencies_ms.append((trio.current_time() - began) * 1000)

    def violated(self, activity: str, what: object) -> None:
        """Something happened that must not."""
        self.count(activity, "VIOLATED")
        self.violation_count += 1
        if len(self.violations) < MAX_KEPT:
            self.violations.append(f"{trio.current_time():.1f} {activity}: {what}")
