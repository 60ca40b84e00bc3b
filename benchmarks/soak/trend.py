"""Samples, and whether what they measure grows."""

import csv
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FILLING_S = (
    360.0  # finished streams are kept for 300 s, idle sessions for 120 s: until then all grows
)
TOLERANCE = 0.05  # of its mean, an hour: less is steady
T_VALUE = 2.0  # standard errors


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment."""

    at_s: float
    life: int  # how often the server had been started
    rss_mib: float
    descriptors: float
    threads: float
    store_mib: float
    calls_per_s: float
    p50_ms: float
    p99_ms: float
    server_cpu: float  # cores


@dataclass(frozen=True, slots=True)
class Trend:
    """A slope by least squares; what it is worth is in ``error``."""

    name: str
    mean: float
    per_hour: float
    error: float

    @property
    def verdict(self) -> str:
        """grows, falls, steady, or that this run cannot tell."""
        allowed = TOLERANCE * abs(self.mean)
        if self.per_hour - T_VALUE * self.error > allowed:
            return "GROWS"
        if self.per_hour + T_VALUE * self.error < -allowed:
            return "falls"
        if abs(self.per_hour) + T_VALUE * self.error <= allowed:
            return "steady"
        return "cannot be told from a run as short as this"

    def __str__(self) -> str:
        return (
            f"{self.name}: mean {self.mean:,.1f}, slope {self.per_hour:+,.2f} ± "
            f"{T_VALUE * self.error:,.2f} an hour: {self.verdict}"
        )


def slope(name: str, groups: Sequence[Sequence[tuple[float, float]]]) -> Trend | None:
    """One slope through several groups of points (seconds, value), each with a level of its own."""
    xs, ys, count, used = [], [], 0, 0
    for group in groups:
        if len(group) < 2:
            continue
        middle = statistics.mean(x for x, _ in group)
        level = statistics.mean(y for _, y in group)
        xs += [x - middle for x, _ in group]
        ys += [y - level for _, y in group]
        count, used = count + len(group), used + 1
    spread, free = sum(x * x for x in xs), count - used - 1
    if spread == 0 or free < 1:
        return None
    rate = sum(x * y for x, y in zip(xs, ys, strict=True)) / spread
    rest = sum((y - rate * x) ** 2 for x, y in zip(xs, ys, strict=True))
    mean = statistics.mean(y for group in groups for _, y in group)
    return Trend(name, mean, rate * 3600, math.sqrt(rest / free / spread) * 3600)


def trends(samples: Sequence[Sample]) -> list[Trend | str]:
    """Memory, descriptors and threads within the lives of processes; the store over all of them."""
    found: list[Trend | str] = []
    lives: dict[int, list[Sample]] = {}
    for sample in samples:
        lives.setdefault(sample.life, []).append(sample)
    for name in ("rss_mib", "descriptors", "threads"):
        groups = [[(s.at_s, getattr(s, name)) for s in _warm(life)] for life in lives.values()]
        found.append(
            slope(name, groups)
            or f"{name}: no process lived longer than the {FILLING_S:.0f} s in which it fills;"
            " give --restart-every more minutes"
        )
    later = [s for s in samples[len(samples) // 2 :] if s.at_s >= FILLING_S]
    store = slope("store_mib", [[(s.at_s, s.store_mib) for s in later]])
    found.append(store or f"store_mib: it fills for {FILLING_S:.0f} s; run longer")
    return found


def _warm(life: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in life if sample.at_s >= life[0].at_s + FILLING_S]


def write_csv(path: Path, samples: Sequence[Sample]) -> None:
    """All samples."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Sample.__slots__)
        for sample in samples:
            writer.writerow([f"{getattr(sample, name):.3f}" for name in Sample.__slots__])
