"""The numbers of one process, and what those of several come to.

Counters and histograms are added to where something happens that nobody waits microseconds for. Everything that is
counted elsewhere (the gate's tallies, sessions that live) is read when somebody looks, from sources.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Final

from ostiary.core.printable import printable
from ostiary.telemetry.families import FAMILIES, SERIES_LOST, Family, Kind, Merge

#: Series of one metric; what comes later goes under `other`.
MAX_SERIES: Final = 2000
#: Characters of a label's value.
MAX_LABEL: Final = 128
_OTHER: Final = "other"

Labels = tuple[str, ...]
#: One number, or of a histogram a count for each bucket (not cumulative), those above the last, and the sum.
Values = tuple[float, ...]
#: Metric → labels → values. Plain, so that it can be written, read and merged.
Numbers = dict[str, dict[Labels, Values]]
#: Metric, labels, value.
Sample = tuple[Family, Labels, float]


class Meter:
    """For the loop's thread only."""

    def __init__(self) -> None:
        self._numbers: dict[str, dict[Labels, list[float]]] = {}
        self._sources: list[Callable[[], Iterable[Sample]]] = []

    def source(self, source: Callable[[], Iterable[Sample]]) -> None:
        """Ask this one too whenever somebody looks."""
        self._sources.append(source)

    def count(self, family: Family, *labels: str, by: float = 1.0) -> None:
        """Add to a counter."""
        self._series(self._numbers, family, labels)[0] += by

    def observe(self, family: Family, seconds: float, *labels: str) -> None:
        """Add to a histogram."""
        series = self._series(self._numbers, family, labels)
        series[bisect_left(family.buckets, seconds)] += 1
        series[-1] += seconds

    def numbers(self) -> Numbers:
        """All of them, now."""
        found: dict[str, dict[Labels, list[float]]] = {
            name: {labels: list(values) for labels, values in series.items()} for name, series in self._numbers.items()
        }
        for source in self._sources:
            for family, labels, value in source():
                self._series(found, family, labels)[0] += value
        return {name: {labels: tuple(values) for labels, values in series.items()} for name, series in found.items()}

    def _series(self, numbers: dict[str, dict[Labels, list[float]]], family: Family, labels: Labels) -> list[float]:
        known = numbers.setdefault(family.name, {})
        found = known.get(labels)
        if found is None:
            if len(labels) != len(family.labels):
                raise ValueError(f"{family.name} has the labels {family.labels}, not {labels}")
            labels = tuple(printable(label[:MAX_LABEL])[:MAX_LABEL] for label in labels)
            if labels not in known and len(known) >= MAX_SERIES:
                labels = (_OTHER,) * len(labels)
                self.count(SERIES_LOST)
            found = known.setdefault(labels, [0.0] * _width(family))
        return found


def merge(parts: Iterable[Numbers]) -> Numbers:
    """Those of several processes as one: sums, but for what only the greatest of says something."""
    merged: Numbers = {}
    for part in parts:
        for name, series in part.items():
            family = FAMILIES.get(name)
            if family is None:
                continue
            into = merged.setdefault(name, {})
            for labels, values in series.items():
                if len(labels) != len(family.labels) or len(values) != _width(family):
                    continue
                if labels not in into and len(into) >= MAX_SERIES:
                    labels = (_OTHER,) * len(labels)  # noqa: PLW2901 - it goes on under that name
                before = into.get(labels)
                if before is None:
                    into[labels] = values
                else:
                    add = max if family.merge is Merge.MAX else _add
                    into[labels] = tuple(map(add, before, values))
    return merged


def without_gauges(numbers: Numbers) -> Numbers:
    """What a process that is gone leaves: its counts, and nothing that is."""
    return {name: series for name, series in numbers.items() if FAMILIES[name].kind is not Kind.GAUGE}


def cumulative(family: Family, values: Values) -> list[tuple[str, float]]:
    """A histogram's buckets as Prometheus has them: `le`, count."""
    bounds = [*map(str, family.buckets), "+Inf"]
    return list(zip(bounds, accumulate(values[:-1]), strict=True))


def _add(one: float, other: float) -> float:
    return one + other


def _width(family: Family) -> int:
    return len(family.buckets) + 2 if family.kind is Kind.HISTOGRAM else 1
