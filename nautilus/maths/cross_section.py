"""One day's stocks beside one another: winsorised, centred, standardised; every day of a matrix at once.

Arrays have shape (..., N): N stocks in the last axis, days before it. NaN is a stock that is missing on a day; it stays
NaN and counts in no statistic. A row without any stock stays NaN. The definitions are those of toraniko 1.1.0
(``winsorize``, ``center_xsection``, ``norm_xsection``, ``percentiles_xsection``) to rounding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus.maths.errors import Undefined, check_finite

Array = NDArray[np.float64]


def winsorized(values: ArrayLike, percentile: float = 0.05) -> Array:
    """Values clipped to the `percentile` and 1 - `percentile` quantiles (linear interpolation) of their row.

    Infinite values count in no quantile, and are clipped.

    Raises
    ------
    Undefined
        ``out_of_range``: a percentile outside of 0 to 0.5.
    """
    found = _rows(values)
    if not 0.0 <= percentile <= 0.5:
        raise Undefined("out_of_range", f"winsorised at {percentile}", expected="0 to 0.5")
    ordered, counts = _ordered(found)
    lower = _linear_quantile(ordered, counts, percentile)
    upper = _linear_quantile(ordered, counts, 1.0 - percentile)
    # Where there are no bounds, as no value of the row is finite, a comparison with NaN changes nothing.
    clipped: Array = np.minimum(np.maximum(found, lower), upper)
    return clipped


def centred(values: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Values less the mean of their row; with weights (such as market capitalisations), less their weighted mean.

    Raises
    ------
    Undefined
        ``mismatch``: as many weights as values, or one row of them.
    """
    found = _rows(values)
    result: Array = found - _mean(found, weights)
    return result


def standardized(values: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """`centred`, and divided by the standard deviation (divisor n - 1, about the plain mean) of the row.

    A row whose values are all equal, or of one value, has no standard scores: it becomes NaN.

    Raises
    ------
    Undefined
        See `centred`.
    """
    found = _rows(values)
    deviation = _deviation(found)
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Array = (found - _mean(found, weights)) / deviation
    return np.where(deviation > 0.0, result, np.nan)


def rescaled(values: ArrayLike, lower: float = 0.0, upper: float = 1.0) -> Array:
    """Values moved to the interval from `lower` to `upper`; a row of equal values becomes `lower`.

    Raises
    ------
    Undefined
        ``not_finite``: an infinite value or bound.
    """
    found = _rows(values)
    _deny_infinite(found)
    check_finite(np.array([lower, upper]), "bounds")
    present = ~np.isnan(found)
    least = np.min(np.where(present, found, np.inf), axis=-1, keepdims=True)
    most = np.max(np.where(present, found, -np.inf), axis=-1, keepdims=True)
    span = np.where(most > least, most - least, 1.0)
    with np.errstate(invalid="ignore"):
        result: Array = (found - least) / span * (upper - lower) + lower
    return result


def tails(values: ArrayLike, lower: float = 0.2, upper: float = 0.8, fill: float = 0.0) -> Array:
    """Values up to the `lower` and from the `upper` quantile (nearest rank) of their row, `fill` between.

    Raises
    ------
    Undefined
        ``out_of_range``: not 0 <= lower <= upper <= 1.
    """
    found = _rows(values)
    if not 0.0 <= lower <= upper <= 1.0:
        raise Undefined("out_of_range", f"quantiles {lower} and {upper}", expected="0 <= lower <= upper <= 1")
    check_finite(np.array([fill]), "fill")
    ordered, counts = _ordered(found)
    low, high = _nearest_quantile(ordered, counts, lower), _nearest_quantile(ordered, counts, upper)
    return np.where((found <= low) | (found >= high) | np.isnan(found), found, fill)


def _rows(values: ArrayLike) -> Array:
    found = np.asarray(values, dtype=np.float64, order="C")
    if not found.ndim or not found.shape[-1]:
        raise Undefined("empty", "a cross-section without stocks", expected="at least one")
    check_finite(np.where(np.isfinite(found), found, 0.0), "cross-section")
    return found


def _deny_infinite(values: Array) -> None:
    if np.isinf(values).any():
        raise Undefined("not_finite", "a cross-section with an infinite value", expected="finite numbers, or none")


def _ordered(values: Array) -> tuple[Array, NDArray[np.int64]]:
    """Rows in order with what is not finite at their end, and how many are finite."""
    finite = np.isfinite(values)
    ordered = np.sort(np.where(finite, values, np.nan), axis=-1)
    return ordered, finite.sum(axis=-1, keepdims=True)


def _linear_quantile(ordered: Array, counts: NDArray[np.int64], share: float) -> Array:
    place = np.maximum((counts - 1) * share, 0.0)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(counts - 1, 0))
    first = np.take_along_axis(ordered, below, axis=-1)
    second = np.take_along_axis(ordered, above, axis=-1)
    part = place - below
    # As numpy interpolates: from the nearer end.
    result: Array = np.where(part < 0.5, first + (second - first) * part, second - (second - first) * (1.0 - part))
    return result


def _nearest_quantile(ordered: Array, counts: NDArray[np.int64], share: float) -> Array:
    # Halves are rounded up, as polars does.
    place = np.floor(np.maximum((counts - 1) * share, 0.0) + 0.5).astype(np.int64)
    return np.take_along_axis(ordered, place, axis=-1)


def _mean(values: Array, weights: ArrayLike | None) -> Array:
    _deny_infinite(values)
    present = ~np.isnan(values)
    if weights is None:
        counts = present.sum(axis=-1, keepdims=True)
        total = np.where(present, values, 0.0).sum(axis=-1, keepdims=True)
        result: Array = total / np.where(counts > 0, counts, 1)
        return result
    found = np.asarray(weights, dtype=np.float64)
    try:
        found = np.broadcast_to(found, values.shape)
    except ValueError:
        raise Undefined(
            "mismatch", f"weights of shape {found.shape}", expected=f"{values.shape}, or one row of it"
        ) from None
    # A stock without a weight moves no mean.
    check_finite(np.where(np.isnan(found), 0.0, found), "weights")
    weighing = np.where(present & (found > 0.0), found, 0.0)
    total = (weighing * np.where(present, values, 0.0)).sum(axis=-1, keepdims=True)
    scale = weighing.sum(axis=-1, keepdims=True)
    return np.where(scale > 0.0, total / np.where(scale > 0.0, scale, 1.0), np.nan)


def _deviation(values: Array) -> Array:
    present = ~np.isnan(values)
    counts = present.sum(axis=-1, keepdims=True)
    off = np.where(present, values - _mean(values, None), 0.0)
    variance = np.square(off).sum(axis=-1, keepdims=True) / np.where(counts > 1, counts - 1, 1)
    ordered_span = np.max(np.where(present, values, -np.inf), axis=-1, keepdims=True) - np.min(
        np.where(present, values, np.inf), axis=-1, keepdims=True
    )
    # Equal values may be off their own mean by rounding: that is no deviation.
    return np.where((counts > 1) & (ordered_span > 0.0), np.sqrt(variance), 0.0)


__all__ = ["centred", "rescaled", "standardized", "tails", "winsorized"]
