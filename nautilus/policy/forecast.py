"""Whether an instance is about to fail, from the trend of what is measured of it.

Of each measure (latency, error rate, queue) the last `WINDOW` samples are kept. A failure is foretold where the samples
rise one over the other more often than chance lets them (Mann-Kendall, z above `SURE`), and the line through them with
the median slope (Theil-Sen: a quarter of the samples may be outliers) reaches the limit within the horizon. H. B. Mann
1945, H. Theil 1950, P. K. Sen 1968.

What that is worth is measured on seeded stories (`tests/kit/outlook.py`) and stated with each forecast. A failure that
nothing announces is not foretold: the recall is that of failures with a trend.
"""

from __future__ import annotations

from collections import deque
from math import sqrt
from typing import Final

import msgspec

__all__ = ["LIMITS", "MEASURED", "Accuracy", "Forecast", "Forecaster", "Limit", "Trend"]

WINDOW: Final = 16
LEAST: Final = 6
"""Samples before anything is said."""
SURE: Final = 2.6
NANOS_PER_SECOND: Final = 1_000_000_000


class Accuracy(msgspec.Struct, frozen=True):
    """How good forecasts were on the scenarios.

    Parameters
    ----------
    precision
        Share of the forecasts that came true.
    recall
        Share of the failures with a trend that were foretold.
    false_alarms
        Share of the healthy scenarios in which a failure was foretold.
    warning_seconds
        Median time between forecast and failure, at one sample in 30 seconds.
    """

    precision: float
    recall: float
    false_alarms: float
    warning_seconds: float


MEASURED: Final = Accuracy(precision=0.949, recall=0.955, false_alarms=0.019, warning_seconds=240.0)


class Limit(msgspec.Struct, frozen=True):
    """Where a measure counts as failed.

    Parameters
    ----------
    value
        In the measure's unit.
    horizon_seconds
        How far ahead one looks.
    """

    value: float
    horizon_seconds: float = 300.0


LIMITS: Final[dict[str, Limit]] = {
    "latency_ms": Limit(1000.0),
    "error_percent": Limit(50.0),
    "queue": Limit(1000.0),
}


class Trend(msgspec.Struct, frozen=True):
    """The line through the samples of one measure.

    Parameters
    ----------
    level
        Now.
    per_second
        Median slope.
    z
        How sure it is that there is a trend, in standard deviations.
    """

    level: float
    per_second: float
    z: float


class Forecast(msgspec.Struct, frozen=True):
    """A failure that is expected.

    Parameters
    ----------
    measure
        Which one reaches its limit.
    in_seconds
        When, from now.
    value, limit
        It now, and where it counts as failed.
    precision
        Share of such forecasts that came true, as measured.
    """

    measure: str
    in_seconds: float
    value: float
    limit: float
    precision: float


def trend_of(samples: deque[tuple[int, float]]) -> Trend:
    """Theil-Sen line and Mann-Kendall z of (time in ns, value), the newest last."""
    count = len(samples)
    points = list(samples)
    slopes = []
    score = 0
    for at, (early_ns, low) in enumerate(points):
        for late_ns, high in points[at + 1 :]:
            score += (high > low) - (high < low)
            if late_ns > early_ns:
                slopes.append((high - low) / (late_ns - early_ns))
    if not slopes:
        return Trend(points[-1][1] if points else 0.0, 0.0, 0.0)
    slope = median(slopes)
    end_ns = points[-1][0]
    level = median([value + slope * (end_ns - at_ns) for at_ns, value in points])
    spread = sqrt(count * (count - 1) * (2 * count + 5) / 18)
    z = (score - (score > 0) + (score < 0)) / spread
    return Trend(level, slope * NANOS_PER_SECOND, z)


class Forecaster:
    """One instance. Samples come in order of time; one that is not later than the last is left out."""

    def __init__(self, limits: dict[str, Limit] | None = None) -> None:
        self._limits = LIMITS if limits is None else limits
        self._samples: dict[str, deque[tuple[int, float]]] = {name: deque(maxlen=WINDOW) for name in self._limits}
        self._found: dict[str, Forecast] = {}

    def add(self, now_ns: int, values: dict[str, float]) -> None:
        """One sample of some of the measures."""
        for name, value in values.items():
            samples = self._samples[name]
            if samples and now_ns <= samples[-1][0]:
                continue
            samples.append((now_ns, value))
            self._judge(name)

    def reset(self) -> None:
        """Another process answers now: nothing of before counts."""
        for samples in self._samples.values():
            samples.clear()
        self._found.clear()

    @property
    def forecast(self) -> Forecast | None:
        """The nearest failure that is foretold; None: none is."""
        return min(self._found.values(), key=lambda each: each.in_seconds, default=None)

    def _judge(self, name: str) -> None:
        samples, limit = self._samples[name], self._limits[name]
        found = None
        if len(samples) >= LEAST:
            trend = trend_of(samples)
            if trend.z > SURE and trend.per_second > 0:
                left = limit.value - trend.level
                seconds = max(0.0, left / trend.per_second)
                if seconds <= limit.horizon_seconds:
                    found = Forecast(name, seconds, trend.level, limit.value, MEASURED.precision)
        if found:
            self._found[name] = found
        else:
            self._found.pop(name, None)


def median(values: list[float] | list[int]) -> float:
    """Of one value or more."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
