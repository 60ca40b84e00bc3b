"""A token bucket. Pure: time is an argument."""

NEVER_S = 3600.0  # told when a bucket is never filled


class Bucket:
    """Allows ``per_s`` events a second, and ``burst`` of them at once.

    Args:
        now: in seconds, on the same clock as for ``consume``.
    """

    __slots__ = ("_burst", "_level", "_per_s", "_then")

    def __init__(self, per_s: float, burst: float, now: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._level = float(burst)
        self._then = now

    def consume(self, now: float) -> float:
        """Take one; 0.0 if it was there, else the seconds until there will be one."""
        passed_s = max(0.0, now - self._then)  # never negative, whatever clock a caller has
        self._level = min(self._burst, self._level + passed_s * self._per_s)
        self._then = now
        if self._level >= 1.0:
            self._level -= 1.0
            return 0.0
        return (1.0 - self._level) / self._per_s if self._per_s > 0 else NEVER_S
