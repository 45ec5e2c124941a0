"""Exposures of a series of returns to factors by least squares, and whose its variance is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.maths.bounds import shaped
from nautilus.maths.errors import Undefined, check_finite, finite, same_length
from nautilus.maths.returns import Floats

LEAST_EIGENVALUE = 1e-10
"""Of the factors' correlations; below it they count as dependent."""


class Exposures(NamedTuple):
    """A regression with an intercept.

    Attributes
    ----------
    intercept : a period.
    exposures : shape (K,).
    r_squared : share of the variance that is explained.
    """

    intercept: float
    exposures: Floats
    r_squared: float


def estimated_exposures(returns: npt.ArrayLike, factors: npt.ArrayLike) -> Exposures:
    """Regress returns on factor returns.

    Parameters
    ----------
    returns
        Shape (T,), T at least K + 2.
    factors
        Shape (T, K).

    Raises
    ------
    Undefined
        ``empty``, ``too_few``, ``mismatch``, ``not_finite``; ``singular``: factors that depend on each other, or never
        change.
    """
    table = np.ascontiguousarray(factors, np.float64)
    if table.ndim != 2 or not table.shape[1]:
        raise Undefined("mismatch", f"factor returns {table.shape}", expected="a row a period, a column a factor")
    ours = finite(returns, "returns", table.shape[1] + 2)
    if table.shape[0] != ours.size:
        raise Undefined("mismatch", f"{ours.size} returns, {table.shape[0]} of factors", expected="as many")
    check_finite(table, "factor returns")
    centred, from_mean = table - table.mean(axis=0), ours - ours.mean()
    sizes = np.sqrt(np.square(centred).sum(axis=0))
    if (sizes <= 1e-15).any():
        raise Undefined("singular", "a factor that never changes", expected="factors with variance")
    scaled = centred / sizes
    # Few factors, many periods: the correlations are enough, and take a tenth of a decomposition of the whole table.
    correlations = scaled.T @ scaled
    if np.linalg.eigvalsh(correlations)[0] < LEAST_EIGENVALUE:
        raise Undefined("singular", "factors that depend on each other", expected="independent factors")
    slopes: Floats = np.linalg.solve(correlations, scaled.T @ from_mean) / sizes
    whole = float(from_mean @ from_mean)
    left = from_mean - centred @ slopes
    explained = 1.0 - float(left @ left) / whole if whole > 0.0 else 0.0
    return Exposures(float(ours.mean() - table.mean(axis=0) @ slopes), slopes, explained)


def risk_shares(contributions: npt.ArrayLike, specific: npt.ArrayLike) -> tuple[float, ...]:
    """Parts of the variance of a return that is a sum: covariance of each part with the sum over its variance.

    Parameters
    ----------
    contributions
        Shape (T, K).
    specific
        Shape (T,): the rest.

    Returns
    -------
    shares
        K of the factors and the specific one; they add up to 1.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``; ``too_few``; ``constant``: the sum never changes.
    """
    factors, rest = shaped(contributions, "contributions", (None, None)), shaped(specific, "specific returns", (None,))
    same_length("contributions and specific returns", (len(factors), len(rest)))
    parts = np.ascontiguousarray(np.column_stack([factors, rest]))
    if parts.shape[0] < 2:
        raise Undefined("too_few", f"{parts.shape[0]} periods", expected="2 or more")
    whole = parts.sum(axis=1)
    centred = whole - whole.mean()
    variance = float(centred @ centred)
    if variance <= 1e-30:
        raise Undefined("constant", "returns that never change", expected="a deviation above 0")
    return tuple(((centred @ (parts - parts.mean(axis=0))) / variance).tolist())


__all__ = ["Exposures", "estimated_exposures", "risk_shares"]
