"""Risk of stocks and portfolios by a factor model, and where a portfolio's return came from.

With exposures X (N x F), covariance of factor returns C (F x F) and specific variances s (N), stocks have covariance
X C X' + diag(s). A portfolio of weights h has exposures x = X'h and variance x'Cx + sum(h^2 s): Grinold and Kahn,
"Active Portfolio Management", 2nd edition (2000), chapter 3.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus.maths.covariance import check_symmetric
from nautilus.maths.errors import LARGEST, Undefined, check_finite

Array = NDArray[np.float64]


class SpecificRisk(NamedTuple):
    """Of N stocks, per period.

    Parameters
    ----------
    deviations
        As shrunk; NaN where there are too few residuals.
    estimates
        Before they were shrunk.
    shrinkage
        Weight of the group's mean in each.
    observations
        Residuals that each had.
    """

    deviations: Array
    estimates: Array
    shrinkage: Array
    observations: NDArray[np.int64]


class PortfolioRisk(NamedTuple):
    """Standard deviations of a portfolio per period, and its parts.

    Parameters
    ----------
    total, factor, specific
        total^2 = factor^2 + specific^2.
    exposures
        To each factor, shape (F,).
    contributions
        Of each factor to `total`; with `specific_contribution` they sum to it.
    """

    total: float
    factor: float
    specific: float
    exposures: Array
    contributions: Array
    specific_contribution: float


class Attribution(NamedTuple):
    """Of a portfolio's return in D periods.

    Parameters
    ----------
    total
        Return of the portfolio in each period, shape (D,): contributions and specific sum to it.
    contributions
        Exposure times return of each factor, shape (D, F).
    specific
        What the factors leave, shape (D,).
    compounded
        Of all periods together.
    linked, linked_specific
        Contributions of all periods, which sum to `compounded` (Carino's coefficients); shape (F,) and one number.
    """

    total: Array
    contributions: Array
    specific: Array
    compounded: float
    linked: Array
    linked_specific: float


def specific_risk(
    residuals: ArrayLike,
    market_caps: ArrayLike | None = None,
    half_life: float = 84.0,
    lags: int = 5,
    fewest: int = 60,
    pull: float = 0.1,
    groups: int = 10,
) -> SpecificRisk:
    """Standard deviation of each stock's residual: weighted by age, corrected for serial correlation, and shrunk.

    Residuals are weighted about 0 with weights that halve every `half_life` periods; `lags` autocovariances are added
    with Bartlett's weights (Newey and West, Econometrica 55, 1987). Then each is moved towards the
    capitalisation-weighted mean m of its decile of size: v m + (1 - v) s with v = q |s - m| / (d + q |s - m|), d the
    root mean square of s - m in the decile: Menchero, Orr and Wang, "The Barra US Equity Model (USE4)", 2011, section
    5.2.

    Parameters
    ----------
    residuals
        Shape (T, N); NaN where a stock took no part.
    market_caps
        Of the last period, shape (N,); None: nothing is shrunk. A stock whose own is missing (NaN, infinite, beyond
        1e60, not above 0) is not shrunk.
    half_life
        In periods; 0: all weigh the same.
    fewest
        Residuals that a stock needs.
    pull
        The q of the formula; 0: nothing is shrunk.

    Raises
    ------
    Undefined
        ``empty``; ``mismatch``; ``out_of_range``.
    """
    found = np.asarray(residuals, dtype=np.float64, order="C")
    if found.ndim != 2 or not found.size:
        raise Undefined("empty", f"residuals of shape {found.shape}", expected="rows of periods, columns of stocks")
    if lags < 0 or fewest < 1 or pull < 0.0 or groups < 1 or not (half_life >= 0.0 and math.isfinite(half_life)):
        raise Undefined(
            "out_of_range",
            f"lags {lags}, fewest {fewest}, pull {pull}, groups {groups}, half-life {half_life}",
            expected="lags, pull and half-life of 0 or more, fewest and groups of 1 or more",
        )
    periods = len(found)
    present = np.isfinite(found)
    counts = present.sum(axis=0)
    ages = np.arange(periods - 1, -1, -1, dtype=np.float64)
    check_finite(np.where(present, found, 0.0), "residuals")
    with np.errstate(over="ignore"):  # what is infinitely old weighs nothing
        weights = np.ones(periods) if half_life == 0.0 else np.exp2(-ages / half_life)
    scale = weights @ present
    scaled = np.where(present, found, 0.0) * np.sqrt(weights)[:, None]
    variances = np.einsum("ij,ij->j", scaled, scaled)
    for lag in range(1, min(lags, periods - 1) + 1):
        # Roots of the weights on both sides keep the sum from being negative; a day that is missing adds nothing.
        variances += 2.0 * (1.0 - lag / (lags + 1.0)) * np.einsum("ij,ij->j", scaled[lag:], scaled[:-lag])
    enough = counts >= fewest
    estimates = np.full(found.shape[1], np.nan)
    estimates[enough] = np.sqrt(np.maximum(variances[enough], 0.0) / scale[enough])
    if market_caps is None or pull == 0.0:
        return SpecificRisk(estimates.copy(), estimates, np.zeros(len(estimates)), counts)
    caps = np.asarray(market_caps, dtype=np.float64)
    if caps.shape != estimates.shape:
        raise Undefined("mismatch", f"{caps.shape} capitalisations", expected=f"{len(estimates)} of them")
    deviations, shrinkage = _shrunk_by_size(estimates, caps, pull, groups)
    return SpecificRisk(deviations, estimates, shrinkage, counts)


def _shrunk_by_size(estimates: Array, caps: Array, pull: float, groups: int) -> tuple[Array, Array]:
    deviations, shrinkage = estimates.copy(), np.zeros(len(estimates))
    known = np.flatnonzero(np.isfinite(estimates) & (caps > 0.0) & (caps <= LARGEST))
    ordered = known[np.argsort(caps[known], kind="stable")]
    for members in np.array_split(ordered, min(groups, max(len(ordered), 1))):
        if len(members) < 2:
            continue
        mean = float(np.sum(caps[members] * estimates[members]) / np.sum(caps[members]))
        off = np.abs(estimates[members] - mean)
        spread = math.sqrt(float(np.mean(off * off)))
        if spread > 0.0:
            shrinkage[members] = pull * off / (spread + pull * off)
            deviations[members] = shrinkage[members] * mean + (1.0 - shrinkage[members]) * estimates[members]
    return deviations, shrinkage


def portfolio_risk(
    weights: ArrayLike, exposures: ArrayLike, factor_covariance: ArrayLike, specific_deviations: ArrayLike
) -> PortfolioRisk:
    """Split of a portfolio's standard deviation into factors and specific.

    Parameters
    ----------
    weights
        Parts of the portfolio's value, shape (N,); short positions below 0.
    exposures, factor_covariance, specific_deviations
        Shapes (N, F), (F, F), (N,).

    Raises
    ------
    Undefined
        ``empty``; ``mismatch``; ``not_finite``; ``singular``: a variance below 0 along the exposures.
    """
    held, loadings = _portfolio(weights, exposures)
    matrix = check_symmetric(factor_covariance)
    check_finite(matrix, "factor covariance")
    deviations = np.asarray(specific_deviations, dtype=np.float64)
    if len(matrix) != loadings.shape[1] or deviations.shape != held.shape:
        raise Undefined(
            "mismatch",
            f"{loadings.shape} exposures, {matrix.shape} covariance, {deviations.shape} specific",
            expected="as many factors and stocks in each",
        )
    check_finite(deviations, "specific risks")
    exposed = held @ loadings
    along = matrix @ exposed
    factor_variance = float(exposed @ along)
    if factor_variance < -1e-12 * float(np.trace(np.abs(matrix))) * float(exposed @ exposed):
        raise Undefined("singular", f"factor variance {factor_variance:.3g}", expected="a covariance of no negative")
    factor_variance = max(factor_variance, 0.0)
    specific_variance = float(np.sum(np.square(held * deviations)))
    total = math.sqrt(factor_variance + specific_variance)
    scale = 1.0 / total if total > 0.0 else 0.0
    return PortfolioRisk(
        total,
        math.sqrt(factor_variance),
        math.sqrt(specific_variance),
        exposed,
        exposed * along * scale,
        specific_variance * scale,
    )


def attribution(weights: ArrayLike, exposures: ArrayLike, returns: ArrayLike, factor_returns: ArrayLike) -> Attribution:
    """Contributions of factors to a portfolio's return, per period and linked.

    Parameters
    ----------
    weights, returns
        Shape (D, N): parts of the portfolio at the begin of a period, and returns of the stocks in it.
    exposures
        Shape (D, N, F): those that the period's factor returns were estimated with.
    factor_returns
        Shape (D, F).

    Raises
    ------
    Undefined
        ``empty``; ``mismatch``; ``not_finite``; ``out_of_range``: a loss of all, or of more.
    """
    held, loadings, moved, factors = (
        np.asarray(each, dtype=np.float64, order="C") for each in (weights, exposures, returns, factor_returns)
    )
    if held.ndim != 2 or not held.size:
        raise Undefined("empty", f"weights of shape {held.shape}", expected="rows of periods, columns of stocks")
    if loadings.ndim != 3 or loadings.shape[:2] != held.shape or moved.shape != held.shape:
        raise Undefined(
            "mismatch", f"weights {held.shape}, exposures {loadings.shape}, returns {moved.shape}", expected="one shape"
        )
    if factors.shape != (len(held), loadings.shape[2]):
        raise Undefined("mismatch", f"factor returns {factors.shape}", expected=f"{(len(held), loadings.shape[2])}")
    for name, found in (("weights", held), ("exposures", loadings), ("returns", moved), ("factor returns", factors)):
        check_finite(found, name)
    contributions = np.einsum("dn,dnf->df", held, loadings) * factors
    total = np.einsum("dn,dn->d", held, moved)
    return linked(total, contributions)


def linked(total: ArrayLike, contributions: ArrayLike) -> Attribution:
    """Attribution of several periods from each period's return and contributions of factors.

    Carino, "Combining attribution effects over time", Journal of Performance Measurement 3 (1999): a period's parts
    are weighted by log(1 + r) / r over the same of the compounded return, so that they sum to that.

    Raises
    ------
    Undefined
        ``empty``; ``mismatch``; ``not_finite``; ``out_of_range``: a loss of all, or of more.
    """
    whole, parts = (
        np.asarray(total, dtype=np.float64, order="C"),
        np.asarray(contributions, dtype=np.float64, order="C"),
    )
    if whole.ndim != 1 or not len(whole):
        raise Undefined("empty", "no periods", expected="at least one")
    if parts.ndim != 2 or len(parts) != len(whole):
        raise Undefined("mismatch", f"contributions of shape {parts.shape}", expected=f"{len(whole)} rows")
    if not (np.isfinite(whole).all() and np.isfinite(parts).all()):
        raise Undefined("not_finite", "a return or contribution that is not finite", expected="finite ones")
    if np.any(whole <= -1.0):
        raise Undefined("out_of_range", f"a return of {whole.min()}", expected="above -1")
    specific = whole - parts.sum(axis=1)
    logs = np.log1p(whole)
    compounded = math.expm1(float(logs.sum()))
    coefficients = _carino(whole, logs) / float(_carino(np.array([compounded]), np.array([logs.sum()]))[0])
    return Attribution(whole, parts, specific, compounded, coefficients @ parts, float(coefficients @ specific))


def _carino(returns: Array, logs: Array) -> Array:
    """log(1 + r) / r, and its limit 1 at 0."""
    moved = returns != 0.0
    return np.where(moved, logs / np.where(moved, returns, 1.0), 1.0)


def _portfolio(weights: ArrayLike, exposures: ArrayLike) -> tuple[Array, Array]:
    held, loadings = (np.asarray(each, dtype=np.float64, order="C") for each in (weights, exposures))
    if held.ndim != 1 or not len(held):
        raise Undefined("empty", "a portfolio without stocks", expected="at least one")
    if loadings.ndim != 2 or len(loadings) != len(held):
        raise Undefined("mismatch", f"exposures of shape {loadings.shape}", expected=f"{len(held)} rows")
    check_finite(held, "weights")
    check_finite(loadings, "exposures")
    return held, loadings


__all__ = [
    "Attribution",
    "PortfolioRisk",
    "SpecificRisk",
    "attribution",
    "linked",
    "portfolio_risk",
    "specific_risk",
]
