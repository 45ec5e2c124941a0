"""Risk measures of drawdowns: how deep below its highest value so far a portfolio lies, as losses above zero.

The highest value so far begins with the value before the first return, so a loss on the first day is a drawdown; the
series has one drawdown for each return. Compounded drawdowns (riskfolio ``_Rel``, skfolio ``compounded``) are parts of
the highest value; the others (riskfolio ``_Abs``) are differences of sums of returns, or of money.

Conditional drawdown at risk is the tail mean of Rockafellar and Uryasev over drawdowns (A. Chekhlov, S. Uryasev,
M. Zabarankin, "Drawdown measure in portfolio optimization", 2005); the entropic one the same with the measure of
Ahmadi-Javid; the ulcer index the root of the mean square (P. Martin, 1987).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nautilus.maths import var
from nautilus.maths.errors import Undefined, finite


class DrawdownRisk(NamedTuple):
    """All measures of one series, each a loss above zero, or 0."""

    maximum: float
    average: float
    at_risk: float
    conditional: float
    entropic: float
    ulcer: float


def drawdowns(returns: ArrayLike, compounded: bool = True) -> var.Floats:
    """The drawdown after each return, 0 or more.

    Raises
    ------
    Undefined
        ``empty``, ``not_finite``; ``out_of_range``: a compounded return under -1.
    """
    found = finite(returns, "returns")
    if not compounded:
        total = np.cumsum(found)
        return np.asarray(np.maximum(np.maximum.accumulate(total), 0.0) - total, dtype=np.float64)
    if found.min() < -1.0:
        raise Undefined("out_of_range", f"a return of {found.min()}", "-1 or more, to be compounded")
    with np.errstate(over="ignore"):
        path = np.cumprod(1.0 + found)
    if not np.isfinite(path).all():
        raise Undefined("not_finite", "compounded returns beyond what a number holds", "less")
    highest = np.maximum(np.maximum.accumulate(path), 1.0)
    return np.asarray((highest - path) / highest, dtype=np.float64)


def maximum_drawdown(returns: ArrayLike, compounded: bool = True) -> float:
    """The deepest."""
    return float(drawdowns(returns, compounded).max())


def average_drawdown(returns: ArrayLike, compounded: bool = True) -> float:
    """The mean over all observations, those at the highest value counting 0."""
    return float(drawdowns(returns, compounded).mean())


def ulcer_index(returns: ArrayLike, compounded: bool = True) -> float:
    """The root of the mean square (n; quantstats divides by n - 1)."""
    return math.sqrt(float(np.square(drawdowns(returns, compounded)).mean()))


def drawdown_at_risk(
    returns: ArrayLike, level: float = 0.95, compounded: bool = True, definition: str = var.RISKFOLIO
) -> float:
    """The drawdown that is exceeded in ``1 - level`` of the observations; definitions as in `nautilus.maths.var`."""
    return var.historical_var(-drawdowns(returns, compounded), level, definition)


def conditional_drawdown(returns: ArrayLike, level: float = 0.95, compounded: bool = True) -> float:
    """CDaR: the mean of the deepest ``1 - level`` of the drawdowns (Rockafellar and Uryasev)."""
    return var.historical_cvar(-drawdowns(returns, compounded), level, var.RISKFOLIO)


def entropic_drawdown(returns: ArrayLike, level: float = 0.95, compounded: bool = True) -> float:
    """EDaR: `nautilus.maths.var.entropic_var` of the drawdowns."""
    return var.entropic_var(-drawdowns(returns, compounded), level)


def drawdown_risk(returns: ArrayLike, level: float = 0.95, compounded: bool = True) -> DrawdownRisk:
    """All of them, from one path; raises as `drawdowns`."""
    found = drawdowns(returns, compounded)
    return DrawdownRisk(
        maximum=float(found.max()),
        average=float(found.mean()),
        at_risk=var.historical_var(-found, level, var.RISKFOLIO),
        conditional=var.historical_cvar(-found, level, var.RISKFOLIO),
        entropic=var.entropic_var(-found, level),
        ulcer=math.sqrt(float(np.square(found).mean())),
    )


__all__ = [
    "DrawdownRisk",
    "average_drawdown",
    "conditional_drawdown",
    "drawdown_at_risk",
    "drawdown_risk",
    "drawdowns",
    "entropic_drawdown",
    "maximum_drawdown",
    "ulcer_index",
]
