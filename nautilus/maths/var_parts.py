"""What each position adds to the risk of a portfolio: component, marginal and incremental risk.

Value at risk, its tail mean and the standard deviation are homogeneous: a portfolio twice as large risks twice as much.
So (Euler) they are the sum of their components: position times derivative (D. Tasche, "Risk contributions and
performance measurement", 1999). Of a simulation the derivative is the mean loss of the position in the outcomes that
make the measure. Risks are losses above zero; the total that is returned is the sum of the components, correctly
rounded (`math.fsum`), and so equals them exactly.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nautilus.maths import var
from nautilus.maths.bounds import SMALLEST, shaped
from nautilus.maths.errors import Undefined, check_finite, finite

_NORMAL: Final = NormalDist()


class Parts(NamedTuple):
    """The risk of a portfolio, and of each position in it.

    Parameters
    ----------
    total
        The sum of the components.
    components
        n, of each position: what it adds, negative where it takes risk away.
    """

    total: float
    components: var.Floats


def parts(components: ArrayLike) -> Parts:
    """With their sum. Undefined as `errors.finite`, of none too."""
    found = finite(components, "components", 0)
    return Parts(math.fsum(found), found)


def profits_of(exposures: ArrayLike, returns: ArrayLike) -> var.Floats:
    """Profits T x N of N positions worth `exposures`, at T past returns.

    Raises
    ------
    Undefined
        ``empty``, ``mismatch``, ``not_finite``.
    """
    found = np.asarray(returns, dtype=np.float64)
    worth = np.asarray(exposures, dtype=np.float64)
    if found.ndim != 2 or worth.ndim != 1 or found.shape[1] != worth.size:
        raise Undefined("mismatch", f"returns of shape {found.shape} for {worth.size} positions", "one column of each")
    if not found.size:
        raise Undefined("empty", "no returns", "a row or more, and a position or more")
    check_finite(found, "returns")
    check_finite(worth, "exposures")
    return np.asarray(found * worth, dtype=np.float64)


def historical_var_parts(profits: var.Floats, level: float = 0.95, definition: str = var.EMPYRICAL) -> Parts:
    """Components of `historical_var` of the sum over positions: their losses in the outcome that is the measure.

    Between two outcomes, where the definition interpolates, the same share of each.

    Parameters
    ----------
    profits
        T x N.

    Raises
    ------
    Undefined
        ``empty``, ``mismatch``: not two-dimensional; ``not_finite``, ``out_of_range``.
    """
    profits = _profits(profits)
    order = np.argsort(profits.sum(axis=1), kind="stable")
    index, weight = var.quantile_weights(order.size, level, definition)
    found = profits[order[index]]
    if weight:
        found = (1.0 - weight) * found + weight * profits[order[index + 1]]
    return parts(0.0 - found)


def historical_cvar_parts(profits: var.Floats, level: float = 0.95, definition: str = var.EMPYRICAL) -> Parts:
    """Components of `historical_cvar` of the sum over positions: their mean losses in its worst outcomes.

    Parameters and errors: see `historical_var_parts`.
    """
    profits = _profits(profits)
    order = np.argsort(profits.sum(axis=1), kind="stable")
    weights = var.tail_weights(order.size, level, definition)
    return parts(0.0 - weights @ profits[order[: weights.size]])


def normal_parts(
    exposures: ArrayLike, covariance: ArrayLike, means: ArrayLike | None = None, level: float = 0.95
) -> tuple[Parts, Parts]:
    """Components of value at risk and of its tail mean, of positions with normal returns.

    The derivative to a position is ``-mean + k (covariance exposures) / deviation``, with k the quantile, or the mean
    beyond it. A portfolio without risk has components of minus its mean profits.

    Parameters
    ----------
    exposures
        N, in money.
    covariance
        N x N, of returns; singular ones are taken too.
    means
        N, of returns; None: 0.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``, ``out_of_range``; ``singular``: a variance below zero.
    """
    worth, matrix, mean = _moments(exposures, covariance, means)
    return _normal_parts(worth, matrix @ worth, mean, level)


def sample_parts(exposures: ArrayLike, returns: ArrayLike, level: float = 0.95) -> tuple[Parts, Parts]:
    """`normal_parts` with sample covariance (n - 1) and means of returns T x N; it is never made, so N may be large.

    Raises
    ------
    Undefined
        ``empty``, ``too_few``: under two rows; ``mismatch``, ``not_finite``, ``out_of_range``.
    """
    found = profits_of(exposures, returns)
    if found.shape[0] < 2:
        raise Undefined("too_few", f"{found.shape[0]} returns", "two or more for a covariance")
    worth, rows = (np.asarray(each, dtype=np.float64, order="C") for each in (exposures, returns))
    means = rows.mean(axis=0)
    centred = rows - means
    return _normal_parts(worth, centred.T @ (centred @ worth) / (rows.shape[0] - 1), means, level)


def _normal_parts(worth: var.Floats, along: var.Floats, mean: var.Floats, level: float) -> tuple[Parts, Parts]:
    """`along`: the covariance times the exposures."""
    tail = var.tail_of(level)
    quantile = -_NORMAL.inv_cdf(tail)
    beyond = _NORMAL.pdf(quantile) / tail
    variance = float(worth @ along)
    size = float(np.abs(worth) @ np.abs(along))
    if variance < -1e-12 * max(size, 1e-300):
        raise Undefined("singular", f"a variance of {variance:g}", "a covariance that is positive semi-definite")
    deviation = math.sqrt(max(0.0, variance))
    slope = along / deviation if variance > 1e-15 * size else np.zeros_like(along)
    return parts(worth * (quantile * slope - mean)), parts(worth * (beyond * slope - mean))


def incremental_var(profits: var.Floats, level: float = 0.95, definition: str = var.EMPYRICAL) -> var.Floats:
    """What the historical value at risk would fall by without each position (negative: what it would rise by).

    Parameters
    ----------
    profits
        T x N.

    Returns
    -------
    N figures: each by a valuation of its own of all that is left, not by a derivative.

    Raises
    ------
    Undefined
        See `historical_var_parts`.
    """
    profits = _profits(profits)
    total = profits.sum(axis=1)
    index, weight = var.quantile_weights(total.size, level, definition)
    places = (index, index + 1) if weight else (index,)

    def risk(outcomes: var.Floats) -> var.Floats:
        found = np.partition(outcomes, places, axis=0)
        value = found[index] if not weight else (1.0 - weight) * found[index] + weight * found[index + 1]
        return np.asarray(0.0 - value, dtype=np.float64)

    return np.asarray(risk(total[:, None])[0] - risk(total[:, None] - profits), dtype=np.float64)


def marginal(components: ArrayLike, exposures: ArrayLike) -> list[float | None]:
    """Risk for one unit of money more in each position; None where there is no position to add to.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``; ``out_of_range``: a position too small to divide by.
    """
    risks = finite(components, "components", 0)
    found: list[float | None] = []
    for component, worth in zip(risks.tolist(), shaped(exposures, "exposures", risks.shape).tolist(), strict=True):
        if worth and abs(worth) < SMALLEST:
            raise Undefined("out_of_range", f"a position of {worth:g}", f"0, or {SMALLEST:g} or more")
        found.append(component / worth if worth else None)
    return found


def _profits(values: ArrayLike) -> var.Floats:
    found = shaped(values, "profits", (None, None))
    if not found.size:
        raise Undefined("empty", "no profits", "a row or more, and a position or more")
    return found


def _moments(
    exposures: ArrayLike, covariance: ArrayLike, means: ArrayLike | None
) -> tuple[var.Floats, var.Floats, var.Floats]:
    worth = np.asarray(exposures, dtype=np.float64)
    matrix = np.asarray(covariance, dtype=np.float64, order="C")
    mean = np.zeros(worth.shape) if means is None else np.asarray(means, dtype=np.float64)
    if worth.ndim != 1 or matrix.shape != (worth.size, worth.size) or mean.shape != worth.shape:
        raise Undefined("mismatch", f"a covariance of shape {matrix.shape} for {worth.size} positions", "N x N for N")
    if not worth.size:
        raise Undefined("empty", "no positions", "one or more")
    check_finite(worth, "exposures")
    check_finite(matrix, "covariance")
    check_finite(mean, "means")
    return worth, matrix, mean


__all__ = [
    "Parts",
    "historical_cvar_parts",
    "historical_var_parts",
    "incremental_var",
    "marginal",
    "normal_parts",
    "parts",
    "profits_of",
    "sample_parts",
]
