"""The measures of `performance` and `drawdowns` while returns come, one at a time.

Each return costs a fixed number of operations; only the quantiles need the returns themselves, kept in order (a search
of log n and a move in memory). The same figures as the batch functions: sums are compensated, moments are updated
about the mean (Pébay, "Formulas for Robust, One-Pass Parallel Computation", SAND2008-6212), wealth is compounded in
the same order. What has no value raises the same `Undefined`.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from nautilus.maths import performance
from nautilus.maths.drawdowns import NONE, Drawdown, max_drawdown, ulcer_of
from nautilus.maths.errors import Undefined, finite, same_length
from nautilus.maths.performance import DAYS
from nautilus.maths.returns import Floats, compoundable, number, paired, wealth


class Sum:
    """A sum of floats, compensated for rounding (Neumaier 1974)."""

    __slots__ = ("_high", "_low")

    def __init__(self) -> None:
        self._high = self._low = 0.0

    @classmethod
    def of(cls, values: Iterable[float]) -> Sum:
        """The sum of many at once."""
        total = cls()
        total._high = math.fsum(values)
        return total

    def add(self, value: float) -> None:
        """Add a value."""
        total = self._high + value
        if abs(self._high) >= abs(value):
            self._low += (self._high - total) + value
        else:
            self._low += (value - total) + self._high
        self._high = total

    @property
    def value(self) -> float:
        """The sum."""
        return self._high + self._low


class Moments:
    """Mean and central moments up to the fourth, least and greatest."""

    __slots__ = ("_sum", "fourth", "high", "low", "mean", "n", "second", "third")

    def __init__(self) -> None:
        self.n = 0
        self.mean = self.second = self.third = self.fourth = 0.0
        self.low, self.high = math.inf, -math.inf
        self._sum = Sum()

    @classmethod
    def of(cls, values: Floats) -> Moments:
        """The moments of many at once; shape (n,). Undefined: see `errors.finite`."""
        values = finite(values, "values", 0)
        moments = cls()
        if values.size:
            moments.n = values.size
            moments._sum = Sum.of(values)
            moments.mean = moments._sum.value / values.size
            from_mean = values - moments.mean
            squares = np.square(from_mean)
            moments.second, moments.third = float(squares.sum()), float((squares * from_mean).sum())
            moments.fourth = float(np.square(squares).sum())
            moments.low, moments.high = float(values.min()), float(values.max())
        return moments

    def add(self, value: float) -> None:
        """Add a value."""
        before = self.n
        self.n = n = before + 1
        delta = value - self.mean
        step = delta / n
        term = delta * step * before
        self.fourth += (
            term * step * step * (n * n - 3 * n + 3) + 6.0 * step * step * self.second - 4.0 * step * self.third
        )
        self.third += term * step * (n - 2) - 3.0 * step * self.second
        self.second += term
        self.mean += step
        self._sum.add(value)
        self.low, self.high = min(self.low, value), max(self.high, value)

    @property
    def average(self) -> float:
        """The mean, by the compensated sum."""
        self.need(1)
        return self._sum.value / self.n

    @property
    def unchanging(self) -> bool:
        """All values were the same."""
        return self.high <= self.low

    def deviation(self) -> float:
        """See `performance.deviation`."""
        self.need(2)
        return 0.0 if self.unchanging else math.sqrt(max(self.second, 0.0) / (self.n - 1))

    def need(self, least: int) -> None:
        """Undefined where there are fewer values."""
        if not self.n:
            raise Undefined("empty", "no returns", expected=f"{least} or more")
        if self.n < least:
            raise Undefined("too_few", f"{self.n} returns", expected=f"{least} or more")


class Joint:
    """Two series together: the second's variance and what they share."""

    __slots__ = ("left", "right", "shared")

    def __init__(self) -> None:
        self.left, self.right = Moments(), Moments()
        self.shared = 0.0

    @classmethod
    def of(cls, left: Floats, right: Floats) -> Joint:
        """Many pairs at once; shape (n,) each. Undefined: ``mismatch``, and see `errors.finite`."""
        left, right = finite(left, "values", 0), finite(right, "values", 0)
        same_length("the two series", (left.size, right.size))
        joint = cls()
        joint.left, joint.right = Moments.of(left), Moments.of(right)
        joint.shared = float((left - joint.left.mean) @ (right - joint.right.mean)) if left.size else 0.0
        return joint

    def add(self, left: float, right: float) -> None:
        """Add a pair."""
        from_mean = left - self.left.mean
        self.left.add(left)
        self.right.add(right)
        self.shared += from_mean * (right - self.right.mean)


class RunningDrawdown:
    """Drawdown as wealth moves: the one it is in, and the deepest with its peak, trough and recovery."""

    __slots__ = ("_deepest", "_highest_period", "below", "highest", "n", "squares", "total", "wealth")

    def __init__(self) -> None:
        self.n = 0
        self.wealth = self.highest = 1.0
        self._highest_period = -1
        self.below = 0.0
        self.squares, self.total = Sum(), Sum()
        self._deepest = NONE

    @classmethod
    def of(cls, returns: Floats) -> RunningDrawdown:
        """After many returns at once; shape (n,)."""
        now = cls()
        if returns.size:
            grown = wealth(returns)
            highest = np.maximum.accumulate(np.maximum(grown, 1.0))
            below = grown / highest - 1.0
            level = np.flatnonzero(below >= 0.0)
            now.n, now.wealth, now.highest = returns.size, float(grown[-1]), float(highest[-1])
            now._highest_period = int(level[-1]) if level.size else -1
            now.below = float(below[-1])
            now.squares, now.total = Sum.of(np.square(below)), Sum.of(below)
            now._deepest = max_drawdown(returns)
        return now

    def add(self, value: float) -> None:
        """Compound a return."""
        self.wealth *= value + 1.0
        if self.wealth >= self.highest:
            self.highest, self._highest_period, self.below = self.wealth, self.n, 0.0
            worst = self._deepest
            if worst.recovery is None and worst.depth < 0.0:
                self._deepest = worst._replace(recovery=self.n)
        else:
            self.below = self.wealth / self.highest - 1.0
            if self.below < self._deepest.depth:
                self._deepest = Drawdown(self.below, self._highest_period, self.n, None)
        self.squares.add(self.below * self.below)
        self.total.add(self.below)
        self.n += 1

    @property
    def deepest(self) -> Drawdown:
        """See `drawdowns.max_drawdown`."""
        return self._deepest

    @property
    def since(self) -> int:
        """The period after which wealth was highest so far; -1: before the first."""
        return self._highest_period


class RunningPerformance:
    """Measures of one portfolio; `threshold` a period divides gains from losses in Sortino and Omega."""

    def __init__(self, threshold: float = 0.0, periods_per_year: float = DAYS) -> None:
        performance.root_of_year(periods_per_year)
        self.threshold, self.periods_per_year = performance.rate_of(threshold), periods_per_year
        self.moments = Moments()
        self.drawdown = RunningDrawdown()
        self._growth = Joint()  # period, cumulative log return
        self._log = Sum()
        self._excess_gains, self._excess_losses, self._squares_below = Sum(), Sum(), Sum()
        self._gains, self._losses = Sum(), Sum()
        self._wins = self._misses = 0
        self._ordered: list[float] = []

    @classmethod
    def of(cls, returns: npt.ArrayLike, threshold: float = 0.0, periods_per_year: float = DAYS) -> RunningPerformance:
        """After many returns at once.

        Raises
        ------
        Undefined
            ``not_finite``, ``mismatch``, ``out_of_range``.
        """
        running = cls(threshold, periods_per_year)
        array = np.ascontiguousarray(returns, np.float64)
        if not array.size:
            return running
        array = compoundable(array)
        running.moments, running.drawdown = Moments.of(array), RunningDrawdown.of(array)
        before = array[: int((array <= -1.0).argmax())] if array.min() <= -1.0 else array
        logs = np.cumsum(np.log1p(before))
        running._growth = Joint.of(np.arange(before.size, dtype=np.float64), logs)
        running._log = Sum.of(np.log1p(before)) if before.size == array.size else Sum.of([-math.inf])
        excess = array - threshold
        below = excess[excess < 0.0]
        running._excess_gains, running._excess_losses = Sum.of(excess[excess > 0.0]), Sum.of(-below)
        running._squares_below = Sum.of(np.square(below))
        gains, losses = array[array > 0.0], array[array < 0.0]
        running._gains, running._losses = Sum.of(gains), Sum.of(-losses)
        running._wins, running._misses = gains.size, losses.size
        running._ordered = np.sort(array).tolist()
        return running

    @property
    def n(self) -> int:
        """Returns so far."""
        return self.moments.n

    @property
    def deepest(self) -> Drawdown:
        """See `drawdowns.max_drawdown`."""
        return self.drawdown.deepest

    @property
    def below(self) -> float:
        """Drawdown after the last period, 0 or less."""
        return self.drawdown.below

    @property
    def since(self) -> int:
        """The last period after which wealth was highest; -1: before the first."""
        return self.drawdown.since

    def best(self) -> float:
        """The highest return."""
        self.moments.need(1)
        return self.moments.high

    def worst(self) -> float:
        """The lowest return."""
        self.moments.need(1)
        return self.moments.low

    def add(self, value: float) -> None:
        """Take the return of the next period.

        Raises
        ------
        Undefined
            ``not_finite``, or ``out_of_range`` below -1; nothing has changed then.
        """
        if not math.isfinite(value):
            raise Undefined("not_finite", f"a return of {value}", expected="a finite number")
        if value < -1.0 or value > 1e6:
            raise Undefined("out_of_range", f"a return of {value}", expected="-1 to a million")
        if math.isinf(self.drawdown.wealth * (value + 1.0)):
            raise Undefined("out_of_range", "compounded wealth", expected="numbers within the range of a float")
        self.moments.add(value)
        self.drawdown.add(value)
        if self._log.value > -math.inf:
            self._log.add(math.log1p(value) if value > -1.0 else -math.inf)
            if value > -1.0:
                self._growth.add(self.n - 1.0, self._log.value)
        excess = value - self.threshold
        if excess > 0.0:
            self._excess_gains.add(excess)
        elif excess < 0.0:
            self._excess_losses.add(-excess)
            self._squares_below.add(excess * excess)
        if value > 0.0:
            self._wins += 1
            self._gains.add(value)
        elif value < 0.0:
            self._misses += 1
            self._losses.add(-value)
        insort(self._ordered, value)

    def cumulative_return(self) -> float:
        """See `performance.cumulative_return`."""
        self.moments.need(1)
        return self.drawdown.wealth - 1.0

    def annual_return(self) -> float:
        """See `performance.annual_return`."""
        return performance.annual_growth(1.0 + self.cumulative_return(), self.n, self.periods_per_year)

    def annual_volatility(self) -> float:
        """See `performance.annual_volatility`."""
        return number(self.moments.deviation() * math.sqrt(self.periods_per_year), "volatility")

    def sharpe_ratio(self, risk_free: float = 0.0) -> float:
        """See `performance.sharpe_ratio`."""
        spread = self.moments.deviation()
        ratio = performance.quotient(self.moments.average - risk_free, spread, "returns that never change")
        return number(ratio * math.sqrt(self.periods_per_year), "Sharpe ratio")

    def downside_risk(self) -> float:
        """See `performance.downside_risk`."""
        self.moments.need(1)
        return math.sqrt(self._squares_below.value / self.n * self.periods_per_year)

    def sortino_ratio(self) -> float:
        """See `performance.sortino_ratio`."""
        self.moments.need(2)
        mean = (self.moments.average - self.threshold) * self.periods_per_year
        return performance.over_losses(mean, self.downside_risk(), "no return below the threshold")

    def calmar_ratio(self) -> float:
        """See `performance.calmar_ratio`."""
        return performance.over_losses(self.annual_return(), -self.drawdown.deepest.depth, "no drawdown")

    def omega_ratio(self) -> float:
        """See `performance.omega_ratio`."""
        self.moments.need(2)
        gains, losses = self._excess_gains.value, self._excess_losses.value
        return performance.over_losses(gains, losses, "no return below the threshold")

    def quantile(self, share: float) -> float:
        """The value below which this share of the returns lies, linearly interpolated (numpy's default)."""
        self.moments.need(1)
        place = share * (self.n - 1)
        whole = min(int(place), self.n - 1)
        low = self._ordered[whole]
        high = self._ordered[min(whole + 1, self.n - 1)]
        part = place - whole
        return low + (high - low) * part if part < 0.5 else high - (high - low) * (1.0 - part)

    def tail_ratio(self) -> float:
        """See `performance.tail_ratio`."""
        return performance.over_losses(abs(self.quantile(0.95)), abs(self.quantile(0.05)), "a 5th percentile of 0")

    def mean_of_worst(self, count: int) -> float:
        """Mean of the `count` lowest returns."""
        self.moments.need(count)
        return math.fsum(self._ordered[:count]) / count

    def count_up_to(self, value: float) -> int:
        """How many returns are at most this."""
        return bisect_right(self._ordered, value)

    def stability(self) -> float:
        """See `performance.stability`."""
        self.moments.need(2)
        if self.moments.low <= -1.0:
            raise Undefined("out_of_range", "a return of -1 has no logarithm", expected="returns above -1")
        growth = self._growth
        if growth.right.unchanging:
            raise Undefined("constant", "cumulative log returns never change", expected="returns other than 0")
        return performance.explained_by_line(growth.shared, growth.left.second, growth.right.second)

    def skewness(self) -> float:
        """See `performance.skewness`."""
        moments = self.moments
        moments.need(3)
        return performance.sample_skewness(moments.n, moments.second, moments.third, moments.unchanging)

    def excess_kurtosis(self) -> float:
        """See `performance.excess_kurtosis`."""
        moments = self.moments
        moments.need(4)
        return performance.sample_kurtosis(moments.n, moments.second, moments.fourth, moments.unchanging)

    def hit_rate(self) -> float:
        """See `performance.hit_rate`."""
        self.moments.need(1)
        return performance.rate_of_hits(self._wins, self._misses)

    def payoff_ratio(self) -> float:
        """See `performance.payoff_ratio`."""
        self.moments.need(1)
        if not self._wins or not self._misses:
            raise Undefined("out_of_range", f"{self._wins} gains and {self._misses} losses", expected="some of both")
        return number((self._gains.value / self._wins) / (self._losses.value / self._misses), "payoff ratio")

    def kelly(self) -> float:
        """See `performance.kelly`."""
        return performance.kelly_of(self.payoff_ratio(), self.hit_rate())

    def ulcer_index(self) -> float:
        """See `drawdowns.ulcer_index`."""
        self.moments.need(1)
        return ulcer_of(self.drawdown.squares.value, self.n)

    def average_drawdown(self) -> float:
        """See `drawdowns.average_drawdown`."""
        self.moments.need(1)
        return self.drawdown.total.value / self.n


class RunningRelative:
    """Measures against a benchmark, of the periods in which both have a return."""

    def __init__(self, periods_per_year: float = DAYS) -> None:
        performance.root_of_year(periods_per_year)
        self.periods_per_year = periods_per_year
        self._joint = Joint()  # of the portfolio and of the benchmark
        self._active = Moments()
        self._above = 0

    @classmethod
    def of(cls, returns: npt.ArrayLike, benchmark: npt.ArrayLike, periods_per_year: float = DAYS) -> RunningRelative:
        """After many pairs at once. Raises Undefined (``mismatch``, ``not_finite``)."""
        running = cls(periods_per_year)
        if np.size(returns) or np.size(benchmark):
            ours, theirs = paired(returns, benchmark, 1)
            running._joint, running._active = Joint.of(ours, theirs), Moments.of(ours - theirs)
            running._above = int((ours > theirs).sum())
        return running

    @property
    def n(self) -> int:
        """Pairs so far."""
        return self._active.n

    def add(self, value: float, benchmark: float) -> None:
        """Take both returns of a period. Undefined (``not_finite``) changes nothing."""
        if not (math.isfinite(value) and math.isfinite(benchmark)):
            raise Undefined("not_finite", f"returns of {value} and {benchmark}", expected="finite numbers")
        self._joint.add(value, benchmark)
        self._active.add(value - benchmark)
        self._above += value > benchmark

    def beta(self) -> float:
        """See `performance.beta`."""
        theirs = self._joint.right
        theirs.need(2)
        if theirs.unchanging or theirs.second / theirs.n < performance.LEAST_VARIANCE:
            raise Undefined("constant", "a benchmark that never changes", expected="a variance above 0")
        return self._joint.shared / theirs.second

    def alpha(self, risk_free: float = 0.0) -> float:
        """See `performance.alpha`."""
        slope = self.beta()
        mean = (self._joint.left.average - risk_free) - slope * (self._joint.right.average - risk_free)
        return performance.annual_alpha(mean, self.periods_per_year)

    def correlation(self) -> float:
        """See `performance.correlation`."""
        left, right = self._joint.left, self._joint.right
        left.need(2)
        if left.unchanging or right.unchanging:
            raise Undefined("constant", "a series that never changes", expected="deviations above 0")
        return performance.bounded_correlation(self._joint.shared, left.second, right.second)

    def tracking_error(self) -> float:
        """See `performance.tracking_error`."""
        return self._active.deviation() * math.sqrt(self.periods_per_year)

    def information_ratio(self) -> float:
        """See `performance.information_ratio`."""
        spread = self._active.deviation()
        what = "a distance from the benchmark that never changes"
        return performance.quotient(self._active.average, spread, what)

    def batting_average(self) -> float:
        """See `performance.batting_average`."""
        self._active.need(1)
        return self._above / self.n


__all__ = ["Joint", "Moments", "RunningDrawdown", "RunningPerformance", "RunningRelative", "Sum"]
