"""Measures of performance over one return a period, by the conventions of empyrical-reloaded unless said otherwise.

Returns are simple and compounded; deviations have n - 1 in the denominator; what is annualised is so with
`periods_per_year` (252 for days), volatility with its square root. `risk_free` and `threshold` are rates per period.
Where a measure has no value (no loss to divide by, one return, a constant series) it is `Undefined` with its code.

Sources: empyrical-reloaded 0.7.1 `stats.py`; quantstats 0.0.86 `stats.py` (hit rate, Kelly, payoff, skewness,
kurtosis; the ulcer index is in `drawdowns`); Keating and Shadwick (2002) for Omega.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nautilus.maths.drawdowns import max_drawdown
from nautilus.maths.errors import LARGEST, Undefined, finite
from nautilus.maths.returns import Floats, compoundable, constant, number, paired, wealth

DAYS = 252.0
"""Trading days of a year: `periods_per_year` of daily returns."""
# Below this the variance of a benchmark counts as none, as in empyrical.
LEAST_VARIANCE = 1e-30
# A sum of squares below it has lost digits, or has no square itself.
SMALLEST = 1e-150


def cumulative_return(returns: npt.ArrayLike) -> float:
    """What one unit has gained over all periods."""
    return number(wealth(returns)[-1] - 1.0, "cumulative return")


def annual_return(returns: npt.ArrayLike, periods_per_year: float = DAYS) -> float:
    """Compound growth a year: (1 + cumulative) ** (periods_per_year / n) - 1."""
    array = compoundable(returns)
    return annual_growth(1.0 + cumulative_return(array), array.size, periods_per_year)


def annual_growth(grown: float, periods: int, periods_per_year: float = DAYS) -> float:
    """Growth a year of what has become `grown` from 1 in so many periods."""
    if periods < 1:
        raise Undefined("too_few", f"{periods} periods", expected="1 or more")
    root_of_year(periods_per_year)
    if grown <= 0.0:
        return -1.0
    try:
        return number(grown ** (periods_per_year / periods) - 1.0, "annual return")
    except OverflowError:
        raise Undefined("out_of_range", f"{grown} in {periods} periods", expected="less growth or more time") from None


def deviation(values: npt.ArrayLike) -> float:
    """Standard deviation a period, n - 1 in the denominator; exactly 0 for a constant series."""
    array = finite(values, "values", 2)
    return 0.0 if constant(array) else number(array.std(ddof=1), "deviation")


def root_of_year(periods_per_year: float) -> float:
    """Square root of the periods of a year. ``out_of_range``: they are not above 0 and at most 1e12."""
    if not 0.0 < periods_per_year <= 1e12:
        raise Undefined("out_of_range", f"{periods_per_year} periods a year", expected="above 0, at most 1e12")
    return math.sqrt(periods_per_year)


def rate_of(value: float) -> float:
    """A rate or threshold per period. ``not_finite``, ``out_of_range``: it is none."""
    if not math.isfinite(value):
        raise Undefined("not_finite", f"a rate of {value}", expected="a finite number")
    if abs(value) > LARGEST:
        raise Undefined("out_of_range", f"a rate of {value:.6g}", expected=f"at most {LARGEST:g}")
    return value


def annual_volatility(returns: npt.ArrayLike, periods_per_year: float = DAYS) -> float:
    """Standard deviation times the square root of `periods_per_year`."""
    return number(deviation(returns) * root_of_year(periods_per_year), "volatility")


def sharpe_ratio(returns: npt.ArrayLike, risk_free: float = 0.0, periods_per_year: float = DAYS) -> float:
    """Mean excess return over its deviation, annualised. ``constant``: returns that never change have none."""
    array = finite(returns, "returns", 2)
    spread = deviation(array)
    ratio = quotient(array.mean() - rate_of(risk_free), spread, "returns that never change")
    return number(ratio * root_of_year(periods_per_year), "Sharpe ratio")


def downside_risk(returns: npt.ArrayLike, threshold: float = 0.0, periods_per_year: float = DAYS) -> float:
    """Root of the mean square below the threshold (over all n), annualised."""
    below = np.minimum(finite(returns, "returns") - rate_of(threshold), 0.0)
    root_of_year(periods_per_year)
    return number(math.sqrt(float(np.square(below).mean()) * periods_per_year), "downside risk")


def sortino_ratio(returns: npt.ArrayLike, threshold: float = 0.0, periods_per_year: float = DAYS) -> float:
    """Annualised mean return above the threshold over the downside risk. ``out_of_range``: nothing is below."""
    array = finite(returns, "returns", 2)
    risk = downside_risk(array, threshold, periods_per_year)
    return over_losses((array.mean() - threshold) * periods_per_year, risk, "no return below the threshold")


def calmar_ratio(returns: npt.ArrayLike, periods_per_year: float = DAYS) -> float:
    """Annual return over the maximum drawdown. ``out_of_range``: there was no drawdown."""
    array = compoundable(returns)
    return over_losses(annual_return(array, periods_per_year), -max_drawdown(array).depth, "no drawdown")


def omega_ratio(returns: npt.ArrayLike, threshold: float = 0.0) -> float:
    """Sum of what is above the threshold over the sum of what is below. ``out_of_range``: nothing is below."""
    excess = finite(returns, "returns", 2) - rate_of(threshold)
    gains, losses = excess[excess > 0.0].sum(), -excess[excess < 0.0].sum()
    return over_losses(gains, losses, "no return below the threshold")


def tail_ratio(returns: npt.ArrayLike) -> float:
    """Size of the 95th percentile over that of the 5th, linearly interpolated. ``out_of_range``: the latter is 0."""
    low, high = np.percentile(finite(returns, "returns"), (5.0, 95.0))
    return over_losses(abs(high), abs(low), "a 5th percentile of 0")


def stability(returns: npt.ArrayLike) -> float:
    """R squared of a line through the cumulative log returns. ``constant``: they never change."""
    array = compoundable(returns, 2)
    if array.min() == -1.0:
        raise Undefined("out_of_range", "a return of -1 has no logarithm", expected="returns above -1")
    grown = np.cumsum(np.log1p(array))
    if constant(grown):
        raise Undefined("constant", "cumulative log returns never change", expected="returns other than 0")
    periods = np.arange(grown.size) - (grown.size - 1) / 2.0
    from_mean = grown - grown.mean()
    return explained_by_line(float(periods @ from_mean), float(periods @ periods), float(from_mean @ from_mean))


def explained_by_line(shared: float, periods: float, squares: float) -> float:
    """R squared from sums of products: of periods and values, of periods, and of values."""
    if squares <= 0.0 or periods <= 0.0:
        raise Undefined("constant", "cumulative log returns never change", expected="returns other than 0")
    slope = shared / periods
    return min(1.0, number(slope * (shared / squares), "stability"))


def skewness(returns: npt.ArrayLike) -> float:
    """Third standardised moment, corrected for the size of the sample (G1, as pandas and quantstats)."""
    array = finite(returns, "returns", 3)
    from_mean = array - array.mean()
    return sample_skewness(array.size, _sum_of(from_mean, 2), _sum_of(from_mean, 3), constant(array))


def excess_kurtosis(returns: npt.ArrayLike) -> float:
    """Fourth standardised moment less 3, corrected for the size of the sample (G2, as pandas and quantstats)."""
    array = finite(returns, "returns", 4)
    from_mean = array - array.mean()
    return sample_kurtosis(array.size, _sum_of(from_mean, 2), _sum_of(from_mean, 4), constant(array))


def sample_skewness(n: int, second: float, third: float, unchanging: bool) -> float:
    """G1 from the sums of squares and cubes of what `n` values differ from their mean."""
    if n < 3:
        raise Undefined("too_few", f"{n} returns", expected="3 or more")
    if unchanging or second <= 0.0:
        raise Undefined("constant", "returns that never change", expected="a deviation above 0")
    # Root and division by steps: a power of a small sum would be 0, of a large one infinite.
    return number(n * math.sqrt(n - 1) / (n - 2) * (third / second) / math.sqrt(second), "skewness")


def sample_kurtosis(n: int, second: float, fourth: float, unchanging: bool) -> float:
    """G2 from the sums of second and fourth powers of what `n` values differ from their mean."""
    if n < 4:
        raise Undefined("too_few", f"{n} returns", expected="4 or more")
    if unchanging or second < SMALLEST:
        raise Undefined("constant", "returns that never change", expected="a deviation above 0")
    ratio = n * (n + 1) * (n - 1) / ((n - 2) * (n - 3)) * (fourth / second / second)
    return number(ratio - 3.0 * (n - 1) ** 2 / ((n - 2) * (n - 3)), "kurtosis")


def hit_rate(returns: npt.ArrayLike) -> float:
    """Share of periods with a gain among those that are not 0 (quantstats' `win_rate`). ``constant``: all are 0."""
    array = finite(returns, "returns")
    return rate_of_hits(int((array > 0.0).sum()), int((array < 0.0).sum()))


def rate_of_hits(wins: int, losses: int) -> float:
    """See `hit_rate`."""
    if not wins + losses:
        raise Undefined("constant", "every return is 0", expected="a gain or a loss")
    return wins / (wins + losses)


def payoff_ratio(returns: npt.ArrayLike) -> float:
    """Mean gain over mean loss. ``out_of_range``: no gain, or no loss."""
    array = finite(returns, "returns")
    gains, losses = array[array > 0.0], array[array < 0.0]
    if not gains.size or not losses.size:
        raise Undefined("out_of_range", f"{gains.size} gains and {losses.size} losses", expected="some of both")
    return number(float(gains.mean()) / float(-losses.mean()), "payoff ratio")


def kelly(returns: npt.ArrayLike) -> float:
    """Kelly's share of capital: (payoff x hit rate - miss rate) / payoff, as quantstats."""
    return kelly_of(payoff_ratio(returns), hit_rate(returns))


def kelly_of(payoff: float, hits: float) -> float:
    """See `kelly`."""
    if payoff <= 0.0:
        raise Undefined("out_of_range", "gains too small for a ratio to the losses", expected="a payoff above 0")
    return number((payoff * hits - (1.0 - hits)) / payoff, "Kelly's share")


def beta(returns: npt.ArrayLike, benchmark: npt.ArrayLike) -> float:
    """Covariance with the benchmark over the benchmark's variance. ``constant``: the benchmark never changes."""
    ours, theirs = paired(returns, benchmark)
    from_mean = theirs - theirs.mean()
    variance = float(np.square(from_mean).mean())
    if constant(theirs) or variance < LEAST_VARIANCE:
        raise Undefined("constant", "a benchmark that never changes", expected="a variance above 0")
    return number(float((from_mean * ours).mean()) / variance, "beta")


def alpha(
    returns: npt.ArrayLike, benchmark: npt.ArrayLike, risk_free: float = 0.0, periods_per_year: float = DAYS
) -> float:
    """Mean return beyond beta times the benchmark's, compounded to a year (empyrical's `alpha`)."""
    ours, theirs = paired(returns, benchmark)
    slope, risk_free = beta(ours, theirs), rate_of(risk_free)
    return annual_alpha(float((ours - risk_free - slope * (theirs - risk_free)).mean()), periods_per_year)


def annual_alpha(mean: float, periods_per_year: float) -> float:
    """A mean excess return a period, compounded to a year."""
    if mean <= -1.0:
        raise Undefined("out_of_range", f"alpha a period of {mean}", expected="more than -1")
    return annual_growth(1.0 + mean, 1, periods_per_year)


def correlation(returns: npt.ArrayLike, benchmark: npt.ArrayLike) -> float:
    """Pearson's correlation with the benchmark."""
    ours, theirs = paired(returns, benchmark)
    if constant(ours) or constant(theirs):
        raise Undefined("constant", "a series that never changes", expected="deviations above 0")
    left, right = ours - ours.mean(), theirs - theirs.mean()
    return bounded_correlation(float(left @ right), float(left @ left), float(right @ right))


def bounded_correlation(shared: float, left: float, right: float) -> float:
    """Sum of products over the root of the two sums of squares, within -1 and 1."""
    spread = math.sqrt(max(left, 0.0)) * math.sqrt(max(right, 0.0))
    if spread <= 0.0:
        raise Undefined("constant", "a series that never changes", expected="deviations above 0")
    return max(-1.0, min(1.0, number(shared / spread, "correlation")))


def tracking_error(returns: npt.ArrayLike, benchmark: npt.ArrayLike, periods_per_year: float = DAYS) -> float:
    """Annualised deviation of the return beyond the benchmark's."""
    ours, theirs = paired(returns, benchmark)
    return annual_volatility(ours - theirs, periods_per_year)


def information_ratio(returns: npt.ArrayLike, benchmark: npt.ArrayLike) -> float:
    """Mean return beyond the benchmark's over its deviation, a period: not annualised.

    Same as empyrical's `excess_sharpe` and quantstats' `information_ratio`.
    """
    ours, theirs = paired(returns, benchmark)
    active = ours - theirs
    return quotient(float(active.mean()), deviation(active), "a distance from the benchmark that never changes")


def batting_average(returns: npt.ArrayLike, benchmark: npt.ArrayLike) -> float:
    """Share of all periods with more than the benchmark (empyrical's `batting_average`)."""
    ours, theirs = paired(returns, benchmark, 1)
    return float((ours > theirs).mean())


def turnover(traded: npt.ArrayLike, nav: npt.ArrayLike, periods_per_year: float = DAYS) -> float:
    """One-way turnover a year: mean of half the value traded in a period over the net asset value at its begin.

    Raises
    ------
    Undefined
        ``out_of_range``: a net asset value of 0 or less, or a negative traded value; otherwise as `paired`.
    """
    values, assets = finite(traded, "traded values", 1), finite(nav, "net asset values", 1)
    if values.size != assets.size:
        raise Undefined("mismatch", f"{values.size} traded values, {assets.size} net asset values", expected="as many")
    if assets.min() <= 0.0 or values.min() < 0.0:
        raise Undefined("out_of_range", "a value of 0 or less", expected="net asset values above 0, traded from 0")
    root_of_year(periods_per_year)
    with np.errstate(over="ignore"):
        return number(float((values / assets).mean()) / 2.0 * periods_per_year, "turnover")


def weight_turnover(weights: npt.ArrayLike, returns: npt.ArrayLike) -> Floats:
    """One-way turnover at each rebalancing: half of how far the weights are from where the market took the last ones.

    Parameters
    ----------
    weights
        At the begin of each period, shape (T, N).
    returns
        Of the instruments in each period, shape (T, N).

    Returns
    -------
    array
        Shape (T - 1,), parts of one.
    """
    held, moved = np.asarray(weights, np.float64), np.asarray(returns, np.float64)
    if held.ndim != 2 or held.shape != moved.shape:
        raise Undefined("mismatch", f"weights {held.shape}, returns {moved.shape}", expected="the same T x N")
    if held.shape[0] < 2:
        raise Undefined("too_few", f"{held.shape[0]} periods", expected="2 or more")
    if not (np.isfinite(held).all() and np.isfinite(moved).all()):
        raise Undefined("not_finite", "weights or returns", expected="finite numbers")
    # What is not invested is cash, at a return of 0.
    grown = held[:-1] * (1.0 + moved[:-1])
    whole = 1.0 + (held[:-1] * moved[:-1]).sum(axis=1, keepdims=True)
    if (whole <= 0.0).any():
        raise Undefined("out_of_range", "a portfolio that lost all", expected="a value above 0")
    drifted = grown / whole
    cash = np.abs((1.0 - held[1:].sum(axis=1)) - (1.0 - drifted.sum(axis=1)))
    changed: Floats = (np.abs(held[1:] - drifted).sum(axis=1) + cash) / 2.0
    return changed


def quotient(value: float, spread: float, what: str) -> float:
    """`value` / `spread`; ``constant`` where there is no spread."""
    if spread <= 0.0:
        raise Undefined("constant", what, expected="a deviation above 0")
    with np.errstate(over="ignore"):
        return number(float(value) / spread, "ratio")


def over_losses(value: float, losses: float, what: str) -> float:
    """`value` / `losses`; ``out_of_range`` where there are none."""
    if losses <= 0.0:
        raise Undefined("out_of_range", what, expected="losses to divide by")
    return number(float(value) / float(losses), "ratio")


def _sum_of(from_mean: Floats, power: int) -> float:
    squares = np.square(from_mean)
    return float({2: squares, 3: squares * from_mean, 4: np.square(squares)}[power].sum())


__all__ = [
    "DAYS",
    "alpha",
    "annual_alpha",
    "annual_growth",
    "annual_return",
    "annual_volatility",
    "batting_average",
    "beta",
    "bounded_correlation",
    "calmar_ratio",
    "correlation",
    "cumulative_return",
    "deviation",
    "downside_risk",
    "excess_kurtosis",
    "explained_by_line",
    "hit_rate",
    "information_ratio",
    "kelly",
    "kelly_of",
    "omega_ratio",
    "over_losses",
    "payoff_ratio",
    "quotient",
    "rate_of_hits",
    "sample_kurtosis",
    "sample_skewness",
    "sharpe_ratio",
    "skewness",
    "sortino_ratio",
    "stability",
    "tail_ratio",
    "tracking_error",
    "turnover",
    "weight_turnover",
]
