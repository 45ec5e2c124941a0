"""Style exposures of stocks: momentum, value and size as toraniko 1.1.0 has them, volatility and liquidity beside them.

Inputs have shape (T, N): a row per day, a column per stock; NaN is a stock that is missing on a day. Windows and lags
count a stock's own observations, not days, as toraniko's do: a day that is missing neither fills a window nor breaks
it. A stock has no score (NaN) on days that it is missing, and before its window is full. With `weights` (shape (T, N),
capitalisations) scores are centred on their weighted mean; toraniko's are on the plain one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus.maths import cross_section
from nautilus.maths.bounds import SMALLEST
from nautilus.maths.errors import LARGEST, Undefined, check_finite

LEAST_HALF_LIFE = 1e-3
MOST_WINDOW = 1_000_000

Array = NDArray[np.float64]

# Values of a matrix that are worked on together: a block of days by some stocks stays in the processor's cache.
_BLOCK = 32_768


def decay(window: int, half_life: float) -> Array:
    """Weights that rise to 1 at the last of `window` places, and halve every `half_life` places back from it.

    Raises
    ------
    Undefined
        ``out_of_range``: a window that is not above 0, or beyond `MOST_WINDOW`; a half-life below `LEAST_HALF_LIFE`.
    """
    if not 0 < window <= MOST_WINDOW or not LEAST_HALF_LIFE <= half_life <= LARGEST:
        raise Undefined(
            "out_of_range",
            f"window {window}, half-life {half_life}",
            expected=f"1 to {MOST_WINDOW}, and {LEAST_HALF_LIFE} or more",
        )
    ages = np.arange(window, dtype=np.float64)[::-1]
    weights: Array = np.exp(-(np.log(2.0) / half_life) * ages)
    return weights


def momentum(
    returns: ArrayLike,
    window: int = 504,
    half_life: float = 126,
    lag: int = 20,
    winsor: float = 0.01,
    weights: ArrayLike | None = None,
) -> Array:
    """Compound return of `window` days up to `lag` days ago, each day weighted by its age; winsorised, standardised.

    Equal to ``toraniko.styles.factor_mom``: product of 1 + weight x return, less 1.

    Raises
    ------
    Undefined
        ``out_of_range``; ``mismatch``: not a matrix.
    """
    return scored(raw_momentum(returns, window, half_life, lag), winsor, weights)


def raw_momentum(returns: ArrayLike, window: int = 504, half_life: float = 126, lag: int = 20) -> Array:
    """What `momentum` winsorises and standardises.

    Raises
    ------
    Undefined
        See `momentum`.
    """
    weights = decay(window, half_life)

    def compounded(columns: Array) -> Array:
        rows = len(columns) - window + 1
        growth = np.ones((rows, columns.shape[1]))
        step = np.empty_like(growth)
        for place, weight in enumerate(weights):
            np.multiply(columns[place : place + rows], weight, out=step)
            step += 1.0
            growth *= step
        return growth - 1.0

    return _rolled(_matrix(returns), window, lag, compounded)


def scored(raw: ArrayLike, winsor: float = 0.01, weights: ArrayLike | None = None) -> Array:
    """Scores of raw momentum, volatility or liquidity: winsorised and standardised across stocks.

    With weights (capitalisations) the weighted mean of the scores is 0, so that the market as a whole has none of the
    style; else their plain mean is, as toraniko's.
    """
    return cross_section.standardized(cross_section.winsorized(raw, winsor), weights)


def size(market_caps: ArrayLike, lower: float = 0.2, upper: float = 0.8, weights: ArrayLike | None = None) -> Array:
    """Small minus big: standardised -log(market capitalisation), 0 between the `lower` and `upper` quantiles.

    Equal to ``toraniko.styles.factor_sze``. A capitalisation that is not above 0 is a missing one.

    Raises
    ------
    Undefined
        See `nautilus.maths.cross_section.tails`.
    """
    return cross_section.tails(cross_section.standardized(-_logarithm(market_caps), weights), lower, upper)


def value(
    book_price: ArrayLike,
    sales_price: ArrayLike,
    cash_flow_price: ArrayLike,
    winsor: float | None = None,
    partial: bool = False,
    weights: ArrayLike | None = None,
) -> Array:
    """Standardised mean of standardised log book to price, log sales to price, and cash flow to price.

    Equal to ``toraniko.styles.factor_val``; where that winsorises it does so at 0.05 whatever it is told, so its
    features agree with `winsor` = 0.05. Book and sales that are not above 0 are missing.

    Parameters
    ----------
    partial
        A stock that misses one or two of the three has the mean of the others, as toraniko's has where they are null;
        else it has no score, as where they are NaN.

    Raises
    ------
    Undefined
        ``mismatch``: shapes differ.
    """
    features = [np.asarray(found, dtype=np.float64) for found in (book_price, sales_price, cash_flow_price)]
    if len({found.shape for found in features}) != 1:
        raise Undefined("mismatch", f"shapes {[found.shape for found in features]}", expected="one shape")
    if winsor is not None:
        features = [cross_section.winsorized(found, winsor) for found in features]
    cash_flow = np.where(np.isfinite(features[2]), features[2], np.nan)
    features = [_logarithm(features[0]), _logarithm(features[1]), cash_flow]
    scores = np.stack([cross_section.standardized(found) for found in features])
    present = ~np.isnan(scores)
    counts = present.sum(axis=0)
    enough = counts > 0 if partial else counts == len(features)
    mean = np.where(present, scores, 0.0).sum(axis=0) / np.where(enough, counts, 1)
    return cross_section.standardized(np.where(enough, mean, np.nan), weights)


def volatility(
    returns: ArrayLike,
    window: int = 252,
    half_life: float = 42,
    lag: int = 1,
    winsor: float = 0.01,
    weights: ArrayLike | None = None,
) -> Array:
    """Exponentially weighted standard deviation of the last `window` returns up to `lag` days ago; scored as momentum.

    DASTD of Menchero, Orr and Wang, "The Barra US Equity Model (USE4)", 2011, appendix A, of plain returns.

    Raises
    ------
    Undefined
        See `momentum`.
    """
    return scored(raw_volatility(returns, window, half_life, lag), winsor, weights)


def raw_volatility(returns: ArrayLike, window: int = 252, half_life: float = 42, lag: int = 1) -> Array:
    """What `volatility` winsorises and standardises, per day.

    Raises
    ------
    Undefined
        See `momentum`.
    """
    weights = decay(window, half_life)
    weights = weights / weights.sum()

    def deviation(columns: Array) -> Array:
        rows = len(columns) - window + 1
        mean, square, step = (np.zeros((rows, columns.shape[1])) for _ in range(3))
        for place, weight in enumerate(weights):
            np.multiply(columns[place : place + rows], weight, out=step)
            mean += step
            step *= columns[place : place + rows]
            square += step
        return np.sqrt(np.maximum(square - mean * mean, 0.0))

    return _rolled(_matrix(returns), window, lag, deviation)


def liquidity(
    dollar_volumes: ArrayLike,
    market_caps: ArrayLike,
    window: int = 63,
    lag: int = 1,
    winsor: float = 0.01,
    weights: ArrayLike | None = None,
) -> Array:
    """Log of the mean daily turnover (value traded / market capitalisation) of `window` days; scored as momentum.

    STOQ of Menchero, Orr and Wang (2011), appendix A, as a daily mean. A window in which nothing traded has no score.

    Raises
    ------
    Undefined
        See `momentum`; ``mismatch``: shapes differ.
    """
    return scored(raw_liquidity(dollar_volumes, market_caps, window, lag), winsor, weights)


def raw_liquidity(dollar_volumes: ArrayLike, market_caps: ArrayLike, window: int = 63, lag: int = 1) -> Array:
    """What `liquidity` winsorises and standardises.

    Raises
    ------
    Undefined
        See `liquidity`.
    """
    volumes, caps = _matrix(dollar_volumes), _matrix(market_caps)
    if volumes.shape != caps.shape:
        raise Undefined("mismatch", f"shapes {volumes.shape} and {caps.shape}", expected="one shape")
    if window <= 0:
        raise Undefined("out_of_range", f"window {window}", expected="above 0")
    there = (caps >= SMALLEST) & (volumes >= 0.0)
    turnover = np.where(there, volumes, np.nan) / np.where(there, caps, 1.0)

    def mean(columns: Array) -> Array:
        rows = len(columns) - window + 1
        total = np.zeros((rows, columns.shape[1]))
        for place in range(window):
            total += columns[place : place + rows]
        return total / window

    return _logarithm(_rolled(turnover, window, lag, mean))


def _rolled(values: Array, window: int, lag: int, over: Callable[[Array], Array]) -> Array:
    """`over` on windows of each stock's own observations, `lag` of them back, at its place among the days."""
    if lag < 0:
        raise Undefined("out_of_range", f"lag {lag}", expected="0 or more")
    days, stocks = values.shape
    result = np.full((days, stocks), np.nan)
    present = np.isfinite(values)
    first = window - 1 + lag  # the observation with the first score
    if days <= first:
        return result
    whole = present.all(axis=0)
    if whole.any():
        result[first:, whole] = _in_blocks(values[:, whole], window, lag, over)
    holed = np.flatnonzero(~whole)
    if len(holed):
        # Observations move up over the holes, are worked on together, and go back to their days.
        order = np.argsort(~present[:, holed], axis=0, kind="stable")
        counts = present[:, holed].sum(axis=0)
        packed = np.where(np.arange(days)[:, None] < counts, np.take_along_axis(values[:, holed], order, axis=0), 0.0)
        scores = np.full((days, len(holed)), np.nan)
        scores[first:] = _in_blocks(packed, window, lag, over)
        scores[np.arange(days)[:, None] >= counts] = np.nan
        back = np.empty_like(scores)
        np.put_along_axis(back, order, scores, axis=0)
        result[:, holed] = back
    return result


def _in_blocks(values: Array, window: int, lag: int, over: Callable[[Array], Array]) -> Array:
    days, stocks = values.shape
    used = values[: days - lag]
    result = np.empty((days - window + 1 - lag, stocks))
    width = max(_BLOCK // len(result), 8)
    for begin in range(0, stocks, width):
        result[:, begin : begin + width] = over(np.ascontiguousarray(used[:, begin : begin + width]))
    return result


def _matrix(values: ArrayLike) -> Array:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 2:
        raise Undefined("mismatch", f"values of {found.ndim} dimensions", expected="rows of days, columns of stocks")
    if not found.size:
        raise Undefined("empty", "no values", expected="at least a day and a stock")
    check_finite(np.where(np.isfinite(found), found, 0.0), "values")
    return found


def _logarithm(values: ArrayLike) -> Array:
    found = np.asarray(values, dtype=np.float64)
    positive = (found > 0.0) & np.isfinite(found)
    return np.where(positive, np.log(np.where(positive, found, 1.0)), np.nan)


__all__ = [
    "decay",
    "liquidity",
    "momentum",
    "raw_liquidity",
    "raw_momentum",
    "raw_volatility",
    "scored",
    "size",
    "value",
    "volatility",
]
