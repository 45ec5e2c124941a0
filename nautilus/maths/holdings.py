"""Risk of what is held now: its weights with the history of its instruments.

The history is prepared once (`InstrumentHistory`); what follows from weights then costs N squared operations.

Sources: Euler's decomposition of volatility, Litterman (1996) "Hot Spots and Hedges"; diversification ratio of
Choueifaty and Coignard (2008); concentration by Herfindahl and Hirschman.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.maths.errors import Undefined, check_finite
from nautilus.maths.performance import DAYS, LEAST_VARIANCE, root_of_year
from nautilus.maths.returns import Floats

JUMPS = (-0.4, 0.9)
"""Returns beyond these are told: a split of two for one is -0.5, a consolidation of one for two 1."""


class InstrumentHistory(NamedTuple):
    """What is known of N instruments from T returns each.

    Attributes
    ----------
    periods : T.
    covariance : of one period, n - 1 in the denominator, shape (N, N).
    max_drawdown : of each, 0 or less, shape (N,).
    beta : of each to the benchmark, shape (N,); None where there is no benchmark, or it never changes.
    jumps : 1 where a return is beyond `JUMPS`, as through a split that the prices do not tell of; else 0, shape (N,).
    """

    periods: int
    covariance: Floats
    max_drawdown: Floats
    beta: Floats | None
    jumps: Floats


class HoldingsRisk(NamedTuple):
    """Of weights w and covariance C, annualised where it is a volatility.

    Attributes
    ----------
    volatility : root of w C w.
    marginal : change of it with each weight, shape (N,).
    share : part of it that is each position's, shape (N,); they add up to 1.
    volatilities : of each instrument alone, shape (N,).
    diversification_ratio : sum of |w| times volatilities over the volatility.
    average_correlation : of all pairs, unweighted; None: one instrument, or one without variance.
    """

    volatility: float
    marginal: Floats
    share: Floats
    volatilities: Floats
    diversification_ratio: float
    average_correlation: float | None


def instrument_history(returns: npt.ArrayLike, benchmark: npt.ArrayLike | None = None) -> InstrumentHistory:
    """Prepare the history of instruments.

    Parameters
    ----------
    returns
        Shape (T, N), simple, T of 2 or more.
    benchmark
        Shape (T,).

    Raises
    ------
    Undefined
        ``empty``, ``too_few``, ``mismatch``, ``not_finite``; ``out_of_range``: a return below -1.
    """
    array = np.asarray(returns, np.float64, order="C")
    if array.ndim != 2:
        raise Undefined("mismatch", f"returns of {array.ndim} dimensions", expected="a row a period")
    if not array.size:
        raise Undefined("empty", "no returns", expected="2 periods or more")
    periods = array.shape[0]
    if periods < 2:
        raise Undefined("too_few", f"{periods} periods", expected="2 or more")
    check_finite(array, "returns")
    if array.min() < -1.0:
        raise Undefined("out_of_range", f"a return of {array.min()}", expected="-1 or more")
    centred = array - array.mean(axis=0)
    covariance: Floats = centred.T @ centred
    covariance /= periods - 1
    slopes: Floats | None = None
    if benchmark is not None:
        market = np.ascontiguousarray(benchmark, np.float64)
        if market.shape != (periods,):
            raise Undefined("mismatch", f"{market.size} returns of the benchmark", expected=f"{periods}")
        check_finite(market, "benchmark")
        market = market - market.mean()
        variance = float(market @ market) / periods
        if variance >= LEAST_VARIANCE:
            slopes = (market @ centred) / periods / variance
    least, most = JUMPS
    jumps = ((array.min(axis=0) < least) | (array.max(axis=0) > most)).astype(np.float64)
    return InstrumentHistory(periods, covariance, _deepest(array), slopes, jumps)


def _deepest(returns: Floats) -> Floats:
    """Maximum drawdown of each column: a row at a time, so that all that is touched stays in the cache."""
    count = returns.shape[1]
    grown, highest, lowest, now = np.ones(count), np.ones(count), np.ones(count), np.empty(count)
    for row in returns:
        np.add(row, 1.0, out=now)
        np.multiply(grown, now, out=grown)
        np.maximum(highest, grown, out=highest)
        np.divide(grown, highest, out=now)
        np.minimum(lowest, now, out=lowest)
    return lowest - 1.0


def holdings_risk(history: InstrumentHistory, weights: npt.ArrayLike, periods_per_year: float = DAYS) -> HoldingsRisk:
    """Volatility of weights, and whose it is.

    Raises
    ------
    Undefined
        ``mismatch``; ``not_finite``; ``constant``: what is held has no volatility; ``out_of_range``: periods a year.
    """
    held = np.ascontiguousarray(weights, np.float64)
    covariance = np.asarray(history.covariance, np.float64, order="C")
    if held.shape != covariance.shape[:1]:
        raise Undefined("mismatch", f"{held.size} weights for {covariance.shape[0]} instruments", expected="one each")
    check_finite(held, "weights")
    with_each = covariance @ held
    variance = float(held @ with_each)
    variances = covariance.diagonal()
    # Weights that cancel leave what rounding leaves: that is no volatility.
    scale = float(np.square(held) @ variances)
    if variance <= max(LEAST_VARIANCE, 1e-14 * scale):
        raise Undefined("constant", "what is held has no volatility", expected="a variance above 0")
    root = root_of_year(periods_per_year)
    spread = math.sqrt(variance)
    volatilities: Floats = np.sqrt(variances) * root
    correlation: float | None = None
    if held.size > 1 and variances.min() > LEAST_VARIANCE:
        inverse = 1.0 / np.sqrt(variances)
        whole = float(inverse @ covariance @ inverse)
        correlation = (whole - held.size) / (held.size * (held.size - 1))
    return HoldingsRisk(
        spread * root,
        with_each / spread * root,
        held * with_each / variance,
        volatilities,
        float(np.abs(held) @ volatilities) / (spread * root),
        correlation,
    )


def concentration(values: npt.ArrayLike) -> float:
    """Sum of the squared shares of the gross exposure: 1 for one position, 1/N for N equal ones."""
    sizes = np.abs(np.ascontiguousarray(values, np.float64))
    check_finite(sizes, "values")
    whole = float(sizes.sum())
    if whole <= 0.0:
        raise Undefined("empty", "nothing is held", expected="a position")
    return float(np.square(sizes / whole).sum())


__all__ = ["JUMPS", "HoldingsRisk", "InstrumentHistory", "concentration", "holdings_risk", "instrument_history"]
