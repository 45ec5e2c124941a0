"""Measures of the last so many periods, after each period from that number on: shape (n - window + 1,)."""

from __future__ import annotations

import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from nautilus.maths.errors import Undefined, finite
from nautilus.maths.performance import DAYS, rate_of, root_of_year
from nautilus.maths.returns import Floats


def windows(returns: npt.ArrayLike, window: int) -> Floats:
    """A view of each run of `window` values, shape (n - window + 1, window).

    Raises
    ------
    Undefined
        ``out_of_range``: a window below 2; ``too_few``; ``empty``; ``not_finite``.
    """
    if window < 2:
        raise Undefined("out_of_range", f"a window of {window}", expected="2 or more")
    views: Floats = sliding_window_view(finite(returns, "returns", window), window)
    return views


def rolling_volatility(returns: npt.ArrayLike, window: int, periods_per_year: float = DAYS) -> Floats:
    """Annualised standard deviation; exactly 0 where a window is constant."""
    views = windows(returns, window)
    spread: Floats = views.std(axis=1, ddof=1) * root_of_year(periods_per_year)
    spread[views.max(axis=1) == views.min(axis=1)] = 0.0
    return spread


def rolling_sharpe(
    returns: npt.ArrayLike, window: int, risk_free: float = 0.0, periods_per_year: float = DAYS
) -> Floats:
    """Annualised Sharpe ratio.

    Raises
    ------
    Undefined
        ``constant``: in one of the windows returns never change; otherwise as `windows`.
    """
    spread = rolling_volatility(returns, window, periods_per_year)
    if (spread <= 0.0).any():
        raise Undefined("constant", "a window in which returns never change", expected="a deviation above 0")
    means = windows(returns, window).mean(axis=1)
    ratios: Floats = (means - rate_of(risk_free)) * periods_per_year / spread
    return ratios


__all__ = ["rolling_sharpe", "rolling_volatility", "windows"]
