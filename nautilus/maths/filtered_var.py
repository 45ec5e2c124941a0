"""Filtered historical simulation: past returns, each rescaled from the volatility of its day to that of the next one.

J. Hull, A. White, "Incorporating volatility updating into the historical simulation method for value-at-risk" (1998);
G. Barone-Adesi, K. Giannopoulos, L. Vosper, "VaR without correlations for portfolios of derivative securities" (1999).
The filter is any model of `nautilus.maths.volatility`: EWMA, GARCH(1,1), GJR-GARCH.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from nautilus.maths import var
from nautilus.maths.bounds import LARGEST, SMALLEST
from nautilus.maths.errors import Undefined, finite


def filtered_returns(returns: ArrayLike, variances: ArrayLike, next_variance: float, mean: float = 0.0) -> var.Floats:
    """``mean + (returns - mean) sqrt(next_variance / variances)``.

    Parameters
    ----------
    returns
        n returns, or profits.
    variances
        n: of each return, given those before it.
    next_variance
        Of the return to come.
    mean
        That the model was fitted around.

    Raises
    ------
    Undefined
        ``empty``, ``not_finite``; ``mismatch`` in length; ``constant``: a variance that is not above zero.
    """
    found = finite(returns, "returns")
    each = finite(variances, "variances")
    if each.size != found.size:
        raise Undefined("mismatch", f"{each.size} variances of {found.size} returns", "one of each")
    if not (each.min() > 0.0 and next_variance > 0.0):
        raise Undefined("constant", "a variance of nought", "returns that vary")
    if not (math.isfinite(next_variance) and math.isfinite(mean)):
        raise Undefined("not_finite", f"a variance of {next_variance}, a mean of {mean}", "finite numbers")
    if not (each.min() >= SMALLEST and next_variance <= LARGEST and abs(mean) <= LARGEST):
        raise Undefined("out_of_range", "variances or a mean", f"variances of {SMALLEST:g} to {LARGEST:g}")
    return np.asarray(mean + (found - mean) * np.sqrt(next_variance / each), dtype=np.float64)


__all__ = ["filtered_returns"]
