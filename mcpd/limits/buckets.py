"""Token buckets, one for each key. Pure: time is an argument."""

from collections import OrderedDict

MAX_KEYS = 50_000


class Buckets:
    """Allow ``per_minute`` events a minute for each key, and ``burst`` of them at once.

    Keys beyond MAX_KEYS push out the ones unused for longest, whose buckets are full again by
    then in all but a flood, and a flood of keys is what the cap on what they open is for.
    """

    def __init__(self, *, per_minute: float, burst: int) -> None:
        self._rate = per_minute / 60.0
        self._burst = float(burst)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> float:
        """Take one; 0.0 if it was there, else the seconds until there will be one."""
        level, then = self._buckets.get(key, (self._burst, now))
        level = min(self._burst, level + (now - then) * self._rate)
        allowed = level >= 1.0
        self._buckets[key] = (level - 1.0 if allowed else level, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > MAX_KEYS:
            self._buckets.popitem(last=False)
        if allowed:
            return 0.0
        return (1.0 - level) / self._rate if self._rate > 0 else 3600.0
