"""The clock of what is kept for a time.

``time.time`` jumps: a person or NTP sets it, and it stands a night later when a laptop wakes up. A
server that measured idleness by it would end all sessions at once, or none for a day. This clock
says Unix seconds too, as they were when it began, and goes on evenly. Time that the machine slept
does not count: no client could have shown activity then.

What is absolute stays with ``time.time``: the times in tokens, which others have made.
"""

import time
from collections.abc import Callable

JUMP_S = 2.0  # what the wall clock may be off before that counts as a jump; NTP slews what is less


class SteadyClock:
    """Unix seconds that only go forward, one a second.

    Args:
        wall: Unix seconds, which may jump.
        steady: seconds since whenever, which do not.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._offset = wall() - steady()

    def __call__(self) -> float:
        """Now."""
        return self._steady() + self._offset

    @property
    def drift(self) -> float:
        """How many seconds the wall clock has jumped ahead since; less than JUMP_S is 0."""
        drift = self._wall() - self()
        return drift if abs(drift) > JUMP_S else 0.0

    def set(self, now: float) -> None:
        """It is ``now``, as others have it who share what is kept. Before anything was measured."""
        self._offset = now - self._steady()
