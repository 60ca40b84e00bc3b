"""Token buckets. Pure: time is an argument."""

from collections import OrderedDict

MAX_KEYS = 50_000
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


class Buckets:
    """A bucket for each key.

    Keys beyond MAX_KEYS push out the ones unused for longest, whose buckets are full again by
    then in all but a flood, and a flood of keys is what the cap on what they open is for.
    """

    def __init__(self, *, per_minute: float, burst: int) -> None:
        self._per_s = per_minute / 60.0
        self._burst = burst
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def consume(self, key: str, now: float) -> float:
        """Take one; 0.0 if it was there, else the seconds until there will be one."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(self._per_s, self._burst, now)
            if len(self._buckets) > MAX_KEYS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket.consume(now)
