"""How much a Sharpe ratio is to be believed: probabilistic and deflated Sharpe, and the track record that it takes.

Sharpe ratios here are those of one period, not annualised.

Sources: Bailey and López de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2), 2012 (equations 9
and 11); "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5), 2014 (equations 1 and 2). Skewness and
kurtosis of returns are those corrected for the size of the sample, as quantstats' `probabilistic_sharpe_ratio` has it.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy.typing as npt

from nautilus.maths.errors import LARGEST, Undefined, finite
from nautilus.maths.performance import excess_kurtosis, rate_of, sharpe_ratio, skewness
from nautilus.maths.returns import number

_NORMAL = NormalDist()
EULER = 0.577215664901532860606512
"""Euler and Mascheroni's constant."""


def sharpe_deviation(sharpe: float, skew: float, kurtosis: float, n: int) -> float:
    """Standard deviation of the estimate of a Sharpe ratio from `n` returns; `kurtosis` is 3 for the normal.

    Raises
    ------
    Undefined
        ``too_few``: one return; ``out_of_range``: moments that no series has.
    """
    if n < 2:
        raise Undefined("too_few", f"{n} returns", expected="2 or more")
    variance = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe
    if not math.isfinite(variance) or variance <= 0.0:
        raise Undefined("out_of_range", f"a variance of {variance}", expected="moments that a series can have")
    return math.sqrt(variance / (n - 1))


def probability_above(target: float, sharpe: float, skew: float, kurtosis: float, n: int) -> float:
    """Probability that the true Sharpe ratio is above `target`."""
    return _NORMAL.cdf((sharpe - rate_of(target)) / sharpe_deviation(sharpe, skew, kurtosis, n))


def probabilistic_sharpe(returns: npt.ArrayLike, target: float = 0.0, risk_free: float = 0.0) -> float:
    """Probability that the true Sharpe ratio a period is above `target`, from the returns' first four moments."""
    array = finite(returns, "returns", 4)
    moments = skewness(array), excess_kurtosis(array) + 3.0
    return probability_above(target, sharpe_ratio(array, risk_free, 1.0), *moments, array.size)


def expected_best_sharpe(trials: int, variance: float) -> float:
    """The highest Sharpe ratio to expect of so many independent trials that are worth nothing.

    Parameters
    ----------
    trials
        1: there was no choice, and 0 is expected.
    variance
        Of the trials' Sharpe ratios, a period.
    """
    if not (1 <= trials <= LARGEST and 0.0 <= variance <= LARGEST):
        raise Undefined("out_of_range", f"{trials} trials of variance {variance}", expected="1 trial or more, from 0")
    if trials == 1:
        return 0.0
    # Of the tail itself: 1 less a small number would lose its digits.
    first = -_NORMAL.inv_cdf(1.0 / trials)
    second = -_NORMAL.inv_cdf(1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - EULER) * first + EULER * second)


def deflated_sharpe(returns: npt.ArrayLike, trials: int, variance: float, risk_free: float = 0.0) -> float:
    """Probability that the true Sharpe ratio is above what the best of so many worthless trials would show."""
    return probabilistic_sharpe(returns, expected_best_sharpe(trials, variance), risk_free)


def least_track_record(
    sharpe: float, skew: float, kurtosis: float, target: float = 0.0, confidence: float = 0.95
) -> float:
    """Periods that it takes to say with this confidence that the true Sharpe ratio is above `target`.

    Raises
    ------
    Undefined
        ``out_of_range``: the Sharpe ratio is not above the target: no track record is long enough.
    """
    if not 0.0 < confidence < 1.0:
        raise Undefined("out_of_range", f"a confidence of {confidence}", expected="between 0 and 1")
    if not sharpe > target:
        raise Undefined("out_of_range", f"a Sharpe ratio of {sharpe}, target {target}", expected="one above the target")
    step = sharpe_deviation(sharpe, skew, kurtosis, 2) * _NORMAL.inv_cdf(confidence) / (sharpe - target)
    return number(1.0 + step * step, "track record")


__all__ = [
    "EULER",
    "deflated_sharpe",
    "expected_best_sharpe",
    "least_track_record",
    "probabilistic_sharpe",
    "probability_above",
    "sharpe_deviation",
]
