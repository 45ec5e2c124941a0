"""When a measure in percentiles becomes a warning, what it says of the way an instrument trades, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nautilus.maths.bounds import within
from nautilus.maths.errors import Undefined

_ROUNDING = 1e-9
NORMAL, ONE_SIDED, HURRIED, STRESSED = REGIMES = ("normal", "one_sided", "hurried", "stressed")


class Thresholds(NamedTuple):
    """When a warning begins and ends.

    Parameters
    ----------
    enter, leave
        It begins at a percentile of at least `enter` and ends below `leave`; between the two it stays as it is.
    dwell
        Buckets that it stays at least, as it began and as it ended.
    """

    enter: float = 0.9
    leave: float = 0.75
    dwell: int = 5


class Latch:
    """One warning of one instrument. It is off at first, and may begin with the first bucket.

    Attributes
    ----------
    active : it is on.
    buckets : how many it has been so; at first more than any dwell.
    """

    __slots__ = ("active", "buckets", "thresholds")

    def __init__(self, thresholds: Thresholds, active: bool = False, buckets: int = 1 << 62) -> None:
        self.thresholds = thresholds
        self.active = active
        self.buckets = buckets

    def step(self, percentile: float) -> bool:
        """One bucket more; whether the warning has begun or ended with it."""
        enter, leave, dwell = self.thresholds
        self.buckets += 1
        if self.buckets <= dwell or not (percentile < leave if self.active else percentile >= enter):
            return False
        self.active = not self.active
        self.buckets = 0
        return True


def ranks(percentiles: NDArray[np.float64], ties: NDArray[np.uint16], kept: NDArray[np.int64]) -> NDArray[np.float64]:
    """Percentiles of `kept` values in which of equal values one alone counts, each the quotient of its counts.

    So 40 of 50 is 0.8 and reaches a threshold of 0.8: 0.84 - 2 / 50 would be a little less.
    """
    found: NDArray[np.float64] = (np.rint(percentiles * kept) - ties) / np.maximum(kept, 1)
    return found


def regime(one_sided: bool, hurried: bool) -> str:
    """Name of a regime: flow is one-sided for this instrument, its volume comes quickly, both, or neither."""
    return STRESSED if one_sided and hurried else ONE_SIDED if one_sided else HURRIED if hurried else NORMAL


def regime_score(name: str, percentile: float, pace: float) -> float:
    """How clearly: the percentile that makes it, of both the lower one; of ``normal`` how far the higher is from 1.

    Raises
    ------
    Undefined
        ``not_finite``, ``out_of_range``: a percentile or pace that is not from 0 to 1, or no such regime.
    """
    within(percentile, "percentile", -_ROUNDING, 1.0 + _ROUNDING)
    within(pace, "pace", -_ROUNDING, 1.0 + _ROUNDING)
    if name not in REGIMES:
        raise Undefined("out_of_range", f"regime {name!r}", " or ".join(REGIMES))
    if name == NORMAL:
        return 1.0 - max(percentile, pace)
    return {ONE_SIDED: percentile, HURRIED: pace, STRESSED: min(percentile, pace)}[name]


class Scale(NamedTuple):
    """What one size of bucket says. `filled`, `told`: shares of the window that is full, and whose side is known."""

    value: float | None
    percentile: float | None
    filled: float
    told: float


class Combined(NamedTuple):
    """What several scales say together.

    Attributes
    ----------
    value, percentile
        Means over the scales that have one; None: none has.
    filled
        Mean over all scales.
    agreement
        One less the distance between the highest and the lowest percentile; None of fewer than two.
    told
        Mean over the scales that have a value.
    confidence
        filled * agreement * (1 + told) / 2, agreement counting 1 where there is one scale in all, and 0 where one alone
        has a value: a side that is estimated counts half.
    """

    value: float | None
    percentile: float | None
    filled: float
    agreement: float | None
    told: float | None
    confidence: float


def combined(scales: Sequence[Scale]) -> Combined:
    """The scales of one instrument at one time.

    Raises
    ------
    Undefined
        ``not_finite``, ``out_of_range``: a number that is not from 0 to 1.
    """
    for scale in scales:
        for name, given in zip(Scale._fields, scale, strict=True):
            if given is not None:
                within(given, name, -_ROUNDING, 1.0 + _ROUNDING)
    values = [scale.value for scale in scales if scale.value is not None]
    ranks = [scale.percentile for scale in scales if scale.percentile is not None]
    filled = sum(scale.filled for scale in scales) / len(scales) if scales else 0.0
    if not values or not ranks:
        return Combined(None, None, filled, None, None, 0.0)
    told = [scale.told for scale in scales if scale.value is not None]
    share = sum(told) / len(told)
    agreement = 1.0 - (max(ranks) - min(ranks)) if len(ranks) > 1 else None
    agreed = agreement if agreement is not None else float(len(scales) == 1)
    confidence = filled * agreed * (1.0 + share) / 2.0
    return Combined(sum(values) / len(values), sum(ranks) / len(ranks), filled, agreement, share, confidence)


__all__ = [
    "HURRIED",
    "NORMAL",
    "ONE_SIDED",
    "REGIMES",
    "STRESSED",
    "Combined",
    "Latch",
    "Scale",
    "Thresholds",
    "combined",
    "ranks",
    "regime",
    "regime_score",
]
