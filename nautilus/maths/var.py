"""Value at risk, its tail mean and the entropic value at risk of a series of returns or of profits.

Every risk here is a loss: above zero where money is lost, so minus the figure where a package returns the return itself
(empyrical, quantstats). `level` is the confidence, such as 0.95; the tail is ``1 - level``. Returns and amounts of
money are taken alike; the result has their unit. Packages define measures differently, so each definition has a name:

========== ============================================ ===================================================
definition value at risk                                tail mean (CVaR, expected shortfall)
========== ============================================ ===================================================
empyrical  quantile at ``tail``, linear interpolation   mean of the ``int((n - 1) tail) + 1`` worst
riskfolio  the ``ceil(n tail)``-th worst                Rockafellar and Uryasev: exactly ``n tail`` worst
skfolio    the ``floor(n tail) + 1``-th worst           the same
========== ============================================ ===================================================

References
----------
R. T. Rockafellar, S. Uryasev, "Conditional value-at-risk for general loss distributions" (2002), J. Banking & Finance.
A. Ahmadi-Javid, "Entropic value-at-risk: a new coherent risk measure" (2012), J. Optimization Theory and Applications.
D. Maillard, "A user's guide to the Cornish Fisher expansion" (2012).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus.maths.errors import Undefined, finite

Floats = NDArray[np.float64]

EMPYRICAL, RISKFOLIO, SKFOLIO = DEFINITIONS = ("empyrical", "riskfolio", "skfolio")
MOST_OUTCOMES: Final = 100_000_000
_NORMAL: Final = NormalDist()
# A tail of 0.1 is 0.09999999999999998 as 1 - 0.9: counts of observations must not hang on that.
_DIGITS: Final = 12


def tail_of(level: float) -> float:
    """``1 - level``, as it was meant.

    Raises
    ------
    Undefined
        ``out_of_range``: the level is not between 0 and 1.
    """
    if not 0.0 < level < 1.0:
        raise Undefined("out_of_range", f"level {level}", "a confidence between 0 and 1, such as 0.95")
    tail = round(1.0 - level, _DIGITS)
    if not 0.0 < tail < 1.0:
        raise Undefined("out_of_range", f"level {level}", "a tail of more than 1e-12")
    return tail


def quantile_weights(count: int, level: float, definition: str = EMPYRICAL) -> tuple[int, float]:
    """Where the value at risk lies among the sorted outcomes, worst first.

    Returns
    -------
    index, weight
        It is ``(1 - weight) * sorted[index] + weight * sorted[index + 1]``; the weight is 0 where one outcome is it.

    Raises
    ------
    Undefined
        ``empty``: no outcomes; ``out_of_range``: the level, the definition, or more than `MOST_OUTCOMES`.
    """
    _check_count(count)
    tail = tail_of(level)
    if definition == EMPYRICAL:
        place = tail * (count - 1)
        index = int(place)
        return index, place - index
    mass = round(tail * count, 9)
    if definition == RISKFOLIO:
        return min(count, math.ceil(mass)) - 1, 0.0
    if definition == SKFOLIO:
        return min(count - 1, math.floor(mass)), 0.0
    raise Undefined("out_of_range", f"definition {definition!r}", " or ".join(DEFINITIONS))


def tail_weights(count: int, level: float, definition: str = EMPYRICAL) -> Floats:
    """Weights of the worst outcomes in the tail mean, of sum 1, the worst first; raises as `quantile_weights`."""
    _check_count(count)
    tail = tail_of(level)
    if definition == EMPYRICAL:
        kept = int((count - 1) * tail) + 1
        return np.full(kept, 1.0 / kept)
    if definition not in DEFINITIONS:
        raise Undefined("out_of_range", f"definition {definition!r}", " or ".join(DEFINITIONS))
    mass = tail * count
    kept = max(1, math.ceil(round(mass, 9)))
    weights = np.full(kept, 1.0 / mass)
    weights[-1] = 1.0 - (kept - 1) / mass
    return weights


def _check_count(count: int) -> None:
    if count < 1:
        raise Undefined("empty", f"{count} outcomes", "one or more")
    if count > MOST_OUTCOMES:
        raise Undefined("out_of_range", f"{count} outcomes", f"at most {MOST_OUTCOMES}")


def historical_var(returns: ArrayLike, level: float = 0.95, definition: str = EMPYRICAL) -> float:
    """The loss that was exceeded in ``1 - level`` of the observations.

    Parameters
    ----------
    returns
        n returns, or profits in money.
    level
        Confidence, between 0 and 1.
    definition
        See the module: ``empyrical``, ``riskfolio`` or ``skfolio``.

    Raises
    ------
    Undefined
        ``empty``, ``not_finite``, ``out_of_range``.
    """
    found = finite(returns, "returns")
    if definition == EMPYRICAL:
        return _loss(float(np.percentile(found, 100.0 * tail_of(level))))
    index, _ = quantile_weights(found.size, level, definition)
    return _loss(float(np.partition(found, index)[index]))


def historical_cvar(returns: ArrayLike, level: float = 0.95, definition: str = EMPYRICAL) -> float:
    """The mean loss in the worst ``1 - level`` of the observations; see `historical_var`."""
    found = finite(returns, "returns")
    weights = tail_weights(found.size, level, definition)
    worst = np.partition(found, weights.size - 1)[: weights.size]
    if definition == EMPYRICAL:
        return _loss(float(np.mean(worst)))
    return _loss(float(weights @ np.sort(worst)))


def entropic_var(returns: ArrayLike, level: float = 0.95) -> float:
    """The least upper bound of the value at risk by Chernoff's inequality (Ahmadi-Javid 2012).

    ``min over z > 0 of z log(mean(exp(-returns / z)) / tail)``; between the tail mean and the worst loss. Found at the
    root of its derivative in ``t = 1 / z``, by Newton's method within a bracket, on losses scaled to [-1, 0].

    Raises
    ------
    Undefined
        ``empty``, ``not_finite``, ``out_of_range``; ``not_converged``.
    """
    losses = -finite(returns, "returns")
    tail = tail_of(level)
    worst = float(losses.max())
    spread = worst - float(losses.min())
    excess = math.log(losses.size) + math.log(tail)
    if spread == 0.0 or excess <= math.log(int((losses == worst).sum())):
        return worst + 0.0  # the tail holds nothing but the worst loss
    scaled = (losses - worst) / spread
    # Rising: log(tail) at 0 and excess - log(ties) > 0 at infinity.
    low, high, t = 0.0, math.inf, math.sqrt(-2.0 * math.log(tail))
    for _ in range(200):
        weights = np.exp(t * scaled)
        total = float(weights.sum())
        mean = float(weights @ scaled) / total
        slope = t * mean - math.log(total) + excess
        if slope < 0.0:
            low = t
        else:
            high = t
        curvature = t * (float(weights @ (scaled * scaled)) / total - mean * mean)
        step = t - slope / curvature if curvature > 0.0 else math.inf
        if not low < step < high:
            step = 2.0 * t if math.isinf(high) else 0.5 * (low + high)
        if abs(step - t) <= 1e-12 * t:
            return worst + spread * (math.log(total) - excess) / t + 0.0
        t = step
        if t > 1e15:
            return worst + 0.0  # losses so near to the worst that they cannot be told from it
    raise Undefined("not_converged", "entropic value at risk", "a minimum within 200 steps")


def moments(returns: ArrayLike) -> tuple[float, float]:
    """Mean and standard deviation (of a sample: n - 1) of two observations or more."""
    found = finite(returns, "returns", 2)
    if np.ptp(found) == 0.0:
        return float(found[0]), 0.0  # not the rounding of a sum
    return float(found.mean()), float(found.std(ddof=1))


def normal_var(returns: ArrayLike, level: float = 0.95) -> float:
    """Value at risk of the normal distribution with the mean and standard deviation (n - 1) of the returns.

    The definition of quantstats, which returns minus this. Constant returns have no spread: it is their loss.
    """
    mean, deviation = moments(returns)
    return _loss(mean + _NORMAL.inv_cdf(tail_of(level)) * deviation)


def normal_cvar(returns: ArrayLike, level: float = 0.95) -> float:
    """Tail mean of the normal distribution with the mean and standard deviation (n - 1) of the returns.

    The definition of quantstats since 0.0.83, which returns minus this.
    """
    mean, deviation = moments(returns)
    tail = tail_of(level)
    return _loss(mean - deviation * _NORMAL.pdf(_NORMAL.inv_cdf(tail)) / tail)


def skewness_and_kurtosis(returns: ArrayLike) -> tuple[float, float]:
    """Third and fourth standardised moments (of the population: n), the fourth less 3.

    Raises
    ------
    Undefined
        ``constant``; ``empty``, ``too_few`` (under 4), ``not_finite``.
    """
    found = finite(returns, "returns", 4)
    if np.ptp(found) == 0.0:
        raise Undefined("constant", "returns that are all the same", "some variation")
    centred = found - found.mean()
    square = centred * centred
    variance = float(square.mean())
    if variance == 0.0:
        raise Undefined("constant", "returns that differ by less than can be squared", "some variation")
    return float((square * centred).mean()) / variance**1.5, float((square * square).mean()) / variance**2 - 3.0


def cornish_fisher_var(returns: ArrayLike, level: float = 0.95) -> float:
    """Value at risk by the quantile of Cornish and Fisher (1938), of the fourth moment.

    ``z + (z^2 - 1) S / 6 + (z^3 - 3 z) K / 24 - (2 z^3 - 5 z) S^2 / 36`` standard deviations (n - 1) from the mean.

    Raises
    ------
    Undefined
        ``out_of_range``: the expansion is no quantile for these moments, as it does not rise from a tenth of
        this tail up to it (Maillard 2012 on its domain); ``constant``, ``empty``, ``too_few``, ``not_finite``.
    """
    z = _NORMAL.inv_cdf(tail_of(level))
    return _expanded(returns, level, z, z * z, z * z * z)


def cornish_fisher_cvar(returns: ArrayLike, level: float = 0.95) -> float:
    """Mean of the quantiles of Cornish and Fisher over the tail, in closed form (Maillard 2012, section 6).

    Raises as `cornish_fisher_var`.
    """
    tail = tail_of(level)
    z = _NORMAL.inv_cdf(tail)
    density = _NORMAL.pdf(z) / tail
    return _expanded(returns, level, -density, 1.0 - z * density, -(z * z + 2.0) * density)


def _expanded(returns: ArrayLike, level: float, first: float, second: float, third: float) -> float:
    """The expansion with z, its square and its cube replaced by the given figures."""
    skewness, kurtosis = skewness_and_kurtosis(returns)
    mean, deviation = moments(returns)
    z = _NORMAL.inv_cdf(tail_of(level))
    if not _rises(skewness, kurtosis, z):
        raise Undefined(
            "out_of_range",
            f"skewness {skewness:.3g} and excess kurtosis {kurtosis:.3g}",
            "moments for which the expansion of Cornish and Fisher rises over the tail",
        )
    return _loss(
        mean
        + deviation
        * (
            first
            + (second - 1.0) * skewness / 6.0
            + (third - 3.0 * first) * kurtosis / 24.0
            - (2.0 * third - 5.0 * first) * skewness * skewness / 36.0
        )
    )


def _rises(skewness: float, kurtosis: float, z: float) -> bool:
    """Whether the expansion rises from the quantile of a tenth of the tail up to z: its derivative is a parabola."""
    square = kurtosis / 8.0 - skewness * skewness / 6.0
    linear = skewness / 3.0
    constant = 1.0 - kurtosis / 8.0 + 5.0 * skewness * skewness / 36.0
    lowest = _NORMAL.inv_cdf(0.1 * _NORMAL.cdf(z))
    places = [lowest, z]
    if square > 0.0:
        places.append(min(max(-linear / (2.0 * square), lowest), z))
    return all(constant + linear * place + square * place * place > 0.0 for place in places)


def _loss(outcome: float) -> float:
    """Minus the outcome; never minus zero."""
    return 0.0 - outcome


__all__ = [
    "DEFINITIONS",
    "EMPYRICAL",
    "MOST_OUTCOMES",
    "RISKFOLIO",
    "SKFOLIO",
    "cornish_fisher_cvar",
    "cornish_fisher_var",
    "entropic_var",
    "historical_cvar",
    "historical_var",
    "moments",
    "normal_cvar",
    "normal_var",
    "quantile_weights",
    "skewness_and_kurtosis",
    "tail_of",
    "tail_weights",
]
