"""Counting what happens in one process, and putting processes together. It belongs to the event
loop, and a count costs a look-up and an addition.
"""

from bisect import bisect_left
from collections.abc import Iterable

import msgspec

from mcpd.telemetry.families import BY_NAME, FAMILIES, Family

Labels = tuple[str, ...]
MAX_LABEL_CHARS = 128


class Series(msgspec.Struct, array_like=True):
    """One series of one family.

    Attributes:
        value: of a counter or a gauge; the sum of a histogram.
        buckets: of a histogram: how many were not greater than each bound, and greater than the
            one before; the last one counts what is greater than all.
    """

    labels: Labels
    value: float = 0.0
    buckets: list[int] = []


class Snapshot(msgspec.Struct):
    """What one or more processes have counted: series by the name of their family."""

    families: dict[str, list[Series]] = {}

    def value(self, family: Family, *labels: str) -> float:
        """Of one series; 0 if there is none."""
        return next((s.value for s in self.of(family) if s.labels == labels), 0.0)

    def of(self, family: Family) -> list[Series]:
        """All series of a family."""
        return self.families.get(family.name, [])


class Meter:
    """The series of one family."""

    __slots__ = ("_family", "_series")

    def __init__(self, family: Family) -> None:
        self._family = family
        self._series: dict[Labels, Series] = {}

    def find(self, labels: Labels) -> Series:
        """The series of these labels; what is one too many is that of the rest."""
        return self._series.get(labels) or self._new(labels)

    def add(self, labels: Labels = (), amount: float = 1.0) -> None:
        """Count so much more."""
        self.find(labels).value += amount

    def set(self, value: float, labels: Labels = ()) -> None:
        """It is so much now."""
        self.find(labels).value = value

    def observe(self, labels: Labels, value: float) -> None:
        """One more of this size."""
        series = self.find(labels)
        series.value += value
        series.buckets[bisect_left(self._family.buckets, value)] += 1

    def _new(self, labels: Labels) -> Series:
        if len(self._series) >= self._family.most:
            labels = self._family.rest(labels)
            if labels in self._series:
                return self._series[labels]
        elif any(len(text) > MAX_LABEL_CHARS for text in labels):
            labels = tuple(text[:MAX_LABEL_CHARS] for text in labels)
            if labels in self._series:
                return self._series[labels]
        buckets = [0] * (len(self._family.buckets) + 1) if self._family.buckets else []
        series = self._series[labels] = Series(labels, 0.0, buckets)
        return series

    def series(self) -> list[Series]:
        """As they are now; they go on changing."""
        return list(self._series.values())


class Meters:
    """A meter for each family, of one process."""

    def __init__(self) -> None:
        self._meters: dict[str, Meter] = {}
        for family in FAMILIES:
            if family.kind == "counter" and not family.labels:
                self[family].find(())  # told as zero from the start: then a rate is one at once

    def __getitem__(self, family: Family) -> Meter:
        meter = self._meters.get(family.name)
        if meter is None:
            meter = self._meters[family.name] = Meter(family)
        return meter

    def snapshot(self) -> Snapshot:
        """What is counted now; it goes on changing."""
        return Snapshot({name: meter.series() for name, meter in self._meters.items()})


def merged(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Several processes as one."""
    together: dict[str, dict[Labels, Series]] = {}
    for snapshot in snapshots:
        for name, series in snapshot.families.items():
            family = BY_NAME.get(name)
            if family is not None:
                into = together.setdefault(name, {})
                for one in series:
                    _merge(family, into, one)
    return Snapshot({name: list(series.values()) for name, series in together.items()})


def counts_of(*snapshots: Snapshot) -> Snapshot:
    """What stays of processes that are gone: their counts, as one. Of a series that is one too many
    the rest is told; those of the first snapshot stay as they are.
    """
    kept = Snapshot()
    for snapshot in snapshots:
        counts: dict[str, list[Series]] = {}
        for name, series in without_gauges(snapshot).families.items():
            known = {one.labels for one in kept.of(BY_NAME[name])}
            counts[name] = [_folded(BY_NAME[name], one, known) for one in series]
        kept = merged([kept, Snapshot(counts)])
    return kept


def _folded(family: Family, one: Series, known: set[Labels]) -> Series:
    if one.labels in known or len(known) < family.most:
        known.add(one.labels)
        return one
    return Series(family.rest(one.labels), one.value, one.buckets)


def without_gauges(snapshot: Snapshot) -> Snapshot:
    """What a process counted, without what there was in it."""
    found = {
        name: series
        for name, series in snapshot.families.items()
        if name in BY_NAME and BY_NAME[name].kind != "gauge"
    }
    return Snapshot(found)


_PUT_TOGETHER = {"max": max, "min": min}


def _merge(family: Family, into: dict[Labels, Series], one: Series) -> None:
    known = into.get(one.labels)
    if known is None:
        into[one.labels] = Series(one.labels, one.value, list(one.buckets))
    elif family.kind == "gauge" and family.merge != "sum":
        known.value = _PUT_TOGETHER[family.merge](known.value, one.value)
    else:
        known.value += one.value
        known.buckets = [a + b for a, b in zip(known.buckets, one.buckets, strict=True)]
