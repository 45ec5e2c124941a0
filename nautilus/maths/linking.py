"""Compound returns of periods, and coefficients that make effects of single periods add up over all of them.

Sources: Carino (1999); Menchero (2000); Frongello (2002), whose closed form is that of GRAP (1997).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus.maths.bounds import bounded
from nautilus.maths.errors import Undefined, check_finite

Floats = NDArray[np.float64]
LINKINGS = ("carino", "menchero", "frongello", "grap")
WEIGHTS_TOLERANCE = 1e-12
MOST = 1e12  # of a weight, a return, an exposure


def linking_coefficients(portfolio_returns: ArrayLike, benchmark_returns: ArrayLike, linking: str) -> Floats:
    """What an arithmetic effect of each period counts in the whole, so that the sums give the whole's active return.

    Parameters
    ----------
    portfolio_returns, benchmark_returns : shape (periods,), each above -1.
    linking : ``carino``, ``menchero``, ``frongello`` or ``grap``.

    Raises
    ------
    Undefined
        ``empty``, ``mismatch``, ``out_of_range``.
    """
    own, reference = np.asarray(portfolio_returns, np.float64), np.asarray(benchmark_returns, np.float64)
    if linking not in LINKINGS:
        raise Undefined("out_of_range", f"linking {linking!r}", ", ".join(LINKINGS))
    if own.ndim != 1 or own.shape != reference.shape:
        raise Undefined("mismatch", f"returns {own.shape} and {reference.shape}", "one of each for every period")
    if not len(own):
        raise Undefined("empty", "no period", "at least one")
    check_losses(own)
    check_losses(reference)
    if linking == "carino":
        whole = np.array([compounded(own)]), np.array([compounded(reference)])
        return _carino(own, reference) / _carino(*whole)
    if linking == "menchero":
        return _menchero(own, reference)
    before = np.concatenate(([1.0], np.cumprod(1.0 + own[:-1])))
    after = np.concatenate((np.cumprod(1.0 + reference[:0:-1])[::-1], [1.0]))
    return np.asarray(before * after)


def compounded(returns: ArrayLike) -> float:
    """Return over all periods: the product of 1 + r, less 1; each is above -1.

    Raises
    ------
    Undefined
        ``out_of_range``: nothing is left, or more than a float can hold.
    """
    growths = np.asarray(returns, np.float64)
    check_losses(growths)
    logarithm = float(np.log1p(growths).sum())
    if not -40.0 < logarithm < 600.0:
        raise Undefined("out_of_range", f"growth by e^{logarithm:.4g}", "returns whose product a float can hold")
    return float(np.expm1(logarithm))


def smoothing(returns: Floats) -> Floats:
    """Logarithmic return over simple return, ln(1 + r) / r, which is 1 where r is 0."""
    returns = np.asarray(returns, np.float64)
    check_losses(returns)
    return np.divide(np.log1p(returns), returns, out=np.ones_like(returns), where=returns != 0.0)


def _carino(own: Floats, reference: Floats) -> Floats:
    """(ln(1 + p) - ln(1 + b)) / (p - b), written so that returns which are nearly the same lose no digits."""
    return np.asarray(smoothing((own - reference) / (1.0 + reference)) / (1.0 + reference))


def _menchero(own: Floats, reference: Floats) -> Floats:
    """One scale for all periods, and a correction in proportion to the active returns that closes the sum."""
    count = len(own)
    if count == 1:
        return np.ones(1)
    whole, reference_whole = compounded(own), compounded(reference)
    # (x - y) / (x^(1/T) - y^(1/T)) / T, with x and y the growths, as the mean of its terms: nothing cancels.
    powers = np.arange(count)
    terms = ((count - 1.0 - powers) * np.log1p(whole) + powers * np.log1p(reference_whole)) / count
    scale = float(np.exp(terms).mean())
    active = own - reference
    largest = float(np.abs(active).max())
    if largest == 0.0:
        return np.full(count, scale)
    relative = active / largest
    missing = whole - reference_whole - scale * float(active.sum())
    return np.asarray(scale + missing / largest / float(relative @ relative) * relative)


def check_losses(returns: Floats) -> None:
    """Refuse returns that cannot be compounded.

    Raises
    ------
    Undefined
        ``not_finite``, ``out_of_range``.
    """
    if not np.isfinite(returns).all():
        raise Undefined("not_finite", "a return that is not a finite number", "finite returns")
    bounded(returns, "returns", MOST)
    if (returns <= -1.0).any():
        raise Undefined("out_of_range", f"a return of {returns.min():.6g}", "above -1, so that what is left compounds")


def matrix(values: ArrayLike, name: str) -> Floats:
    """Rows of finite numbers, one a period; one row alone may come without its period.

    Raises
    ------
    Undefined
        ``empty``, ``not_finite``.
    """
    array = np.asarray(values, np.float64, order="C")
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2 or not array.size:
        raise Undefined("empty", f"no {name}", "a row of them for each period")
    check_finite(array, name)
    bounded(array, name, MOST)
    return array


def weights_of(values: ArrayLike, name: str) -> Floats:
    """Rows of weights, one a period, each of which sums to one.

    Raises
    ------
    Undefined
        ``empty``, ``not_finite``, ``mismatch``.
    """
    weights = matrix(values, name)
    off = float(np.abs(weights.sum(axis=1) - 1.0).max())
    if off > WEIGHTS_TOLERANCE * max(1.0, float(np.abs(weights).sum(axis=1).max())):
        raise Undefined("mismatch", f"{name} that sum to one but for {off:.3g}", "one in every period, cash included")
    return weights
