"""Drawdowns: how far wealth is below its highest so far, since when, and when it was made good.

Wealth begins at 1 and that counts as a highest, so a loss in the first period is a drawdown (as empyrical and
quantstats have it). Places are indexes of periods; -1 as a peak is the value before the first of them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.maths.bounds import within
from nautilus.maths.errors import Undefined, finite
from nautilus.maths.returns import Floats, wealth


class Drawdown(NamedTuple):
    """One way down and up again.

    Attributes
    ----------
    depth : part of the peak's wealth that was lost, 0 or less.
    peak : the period after which wealth was highest before it; -1: before the first.
    trough : the period after which wealth was lowest; the peak where there is no drawdown.
    recovery : the first period after the trough that ends at the peak's wealth or more; None: not yet.
    """

    depth: float
    peak: int
    trough: int
    recovery: int | None


NONE = Drawdown(0.0, -1, -1, None)


def drawdown_series(returns: npt.ArrayLike) -> Floats:
    """Part lost since the highest wealth so far, after each period: 0 or less, shape (n,)."""
    grown = wealth(returns)
    below: Floats = grown / np.maximum.accumulate(np.maximum(grown, 1.0)) - 1.0
    return below


def max_drawdown(returns: npt.ArrayLike) -> Drawdown:
    """The deepest drawdown, the first of equals. Its depth is 0 where wealth never fell."""
    return deepest_of(drawdown_series(returns))


def deepest_of(below: Floats) -> Drawdown:
    """The deepest of a series of drawdowns; see `max_drawdown`. Undefined as `errors.finite`."""
    below = finite(below, "drawdowns")
    trough = int(below.argmin())
    depth = float(below[trough])
    if depth >= 0.0:
        return NONE
    level = np.flatnonzero(below[:trough] >= 0.0)
    # Wealth may stand at its highest for long: the last time it did is the peak.
    peak = int(level[-1]) if level.size else -1
    back = np.flatnonzero(below[trough:] >= 0.0)
    return Drawdown(depth, peak, trough, trough + int(back[0]) if back.size else None)


def worst_drawdowns(returns: npt.ArrayLike, count: int = 5) -> list[Drawdown]:
    """The deepest drawdowns, deepest first; each lasts until wealth is back at its peak, so none overlap."""
    below = drawdown_series(returns)
    under = below < 0.0
    if not under.any():
        return []
    edges = np.flatnonzero(np.diff(np.concatenate(([False], under, [False])).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    depths = np.minimum.reduceat(below, starts)
    found = []
    for place in np.argsort(depths, kind="stable")[:count].tolist():
        start, end = int(starts[place]), int(ends[place])
        trough = start + int(below[start:end].argmin())
        found.append(Drawdown(float(below[trough]), start - 1, trough, end if end < below.size else None))
    return found


def ulcer_index(returns: npt.ArrayLike) -> float:
    """Root of the sum of squared drawdowns over n - 1 (quantstats; Martin's own has n)."""
    below = drawdown_series(returns)
    return ulcer_of(float(np.square(below).sum()), below.size)


def ulcer_of(squares: float, periods: int) -> float:
    """See `ulcer_index`."""
    if periods < 2:
        raise Undefined("too_few", f"{periods} returns", expected="2 or more")
    return math.sqrt(within(squares, "a sum of squares", 0.0) / (periods - 1))


def average_drawdown(returns: npt.ArrayLike) -> float:
    """Mean of the drawdown after each period, 0 or less."""
    return float(drawdown_series(returns).mean())


__all__ = [
    "NONE",
    "Drawdown",
    "average_drawdown",
    "deepest_of",
    "drawdown_series",
    "max_drawdown",
    "ulcer_index",
    "ulcer_of",
    "worst_drawdowns",
]
