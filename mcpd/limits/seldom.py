"""What is said again and again for as long as something is wrong, said once in a while. Pure."""

SAY_EVERY_S = 60.0  # enough to be seen, too little to fill a log


class Seldom:
    """Lets the first one through, and then one in SAY_EVERY_S.

    Attributes:
        skipped: how many were not let through before the last one that was.
    """

    __slots__ = ("_next", "_waiting", "skipped")

    def __init__(self) -> None:
        self._next = float("-inf")
        self._waiting = 0
        self.skipped = 0

    def is_due(self, now: float, *, anyway: bool = False) -> bool:
        """Whether to say it at ``now``: seconds of a clock that only goes forward.

        Args:
            anyway: it is something new.
        """
        if now < self._next and not anyway:
            self._waiting += 1
            return False
        self._next = now + SAY_EVERY_S
        self.skipped, self._waiting = self._waiting, 0
        return True
