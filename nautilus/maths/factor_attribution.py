"""Attribution of returns to factors: exposures times factor returns, and a specific part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nautilus.maths.bounds import bounded
from nautilus.maths.errors import Undefined, check_finite
from nautilus.maths.linking import MOST, Floats, check_losses, compounded, matrix, smoothing


@dataclass(frozen=True, slots=True)
class FactorAttribution:
    """Returns as exposures times factor returns, and what is left.

    Attributes
    ----------
    contributions : shape (periods, factors), exposure times return of the factor.
    specific : shape (periods,), the rest: selection of the single names.
    returns : shape (periods,), what is explained.
    coefficients : shape (periods,), what a contribution of that period counts in the whole (Carino's logarithmic ones).
    total_return : compounded over all periods.
    """

    contributions: Floats
    specific: Floats
    returns: Floats
    coefficients: Floats
    total_return: float

    @property
    def linked_contributions(self) -> Floats:
        """Shape (factors,): contributions over all periods."""
        return np.asarray(self.coefficients @ self.contributions)

    @property
    def linked_specific(self) -> float:
        """The specific part over all periods; with the contributions it adds up to the total return."""
        return float(self.coefficients @ self.specific)

    @property
    def residual(self) -> float:
        """What of the total return no part explains: rounding only."""
        return self.total_return - float(self.linked_contributions.sum()) - self.linked_specific


def factor_attribution(exposures: ArrayLike, factor_returns: ArrayLike, returns: ArrayLike) -> FactorAttribution:
    """Split returns into factors and a specific part. For active returns, give active exposures and returns.

    Parameters
    ----------
    exposures : shape (periods, factors), or (factors,) where they are the same in every period.
    factor_returns : shape (periods, factors).
    returns : shape (periods,), each above -1.

    Raises
    ------
    Undefined
        ``empty``, ``not_finite``, ``mismatch``, ``out_of_range`` (a loss of everything or more).
    """
    factors = matrix(factor_returns, "factor returns")
    loads = np.asarray(exposures, np.float64, order="C")
    loads = np.broadcast_to(loads, factors.shape) if loads.shape == factors.shape[1:] else matrix(loads, "exposures")
    total = np.asarray(returns, np.float64).reshape(-1)
    if loads.shape != factors.shape or len(total) != len(factors):
        found = f"exposures {loads.shape}, factor returns {factors.shape}, returns {total.shape}"
        raise Undefined("mismatch", found, "as many of each")
    if not (np.isfinite(loads).all() and np.isfinite(total).all()):
        raise Undefined("not_finite", "an exposure or return that is not a finite number", "finite numbers")
    check_losses(total)
    bounded(loads, "exposures", MOST)
    contributions = loads * factors
    whole = compounded(total)
    return FactorAttribution(
        contributions=contributions,
        specific=total - contributions.sum(axis=1),
        returns=total,
        coefficients=smoothing(total) / smoothing(np.array([whole])),
        total_return=whole,
    )


def portfolio_exposures(weights: ArrayLike, exposures: ArrayLike) -> Floats:
    """Exposures of a portfolio: the sum over assets of weight times exposure, for each period.

    Parameters
    ----------
    weights : shape (periods, assets) or (assets,).
    exposures : shape (periods, assets, factors) or (assets, factors).

    Raises
    ------
    Undefined
        ``empty``, ``not_finite``, ``mismatch``.
    """
    held, loads = (np.asarray(each, np.float64, order="C") for each in (weights, exposures))
    if not held.size or not loads.size:
        raise Undefined("empty", "no weights or exposures", "at least one asset and factor")
    if held.ndim not in (1, 2) or loads.ndim != held.ndim + 1 or loads.shape[:-1] != held.shape:
        raise Undefined("mismatch", f"weights {held.shape}, exposures {loads.shape}", "the same assets and periods")
    check_finite(held, "weights")
    check_finite(loads, "exposures")
    return np.asarray(np.einsum("...n,...nk->...k", held, loads))
