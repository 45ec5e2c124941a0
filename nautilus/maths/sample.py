"""A whole series of returns, with the measures of `running` under the same names, each computed at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nautilus.maths import drawdowns, performance
from nautilus.maths.drawdowns import Drawdown
from nautilus.maths.performance import DAYS
from nautilus.maths.returns import compoundable, paired


class Sample:
    """Returns that are all there; see `running.RunningPerformance`.

    Raises
    ------
    Undefined
        They are empty, not finite, or one is below -1.
    """

    def __init__(self, returns: npt.ArrayLike, threshold: float = 0.0, periods_per_year: float = DAYS) -> None:
        self.returns = compoundable(returns)
        self.threshold, self.periods_per_year = threshold, periods_per_year
        self._below = drawdowns.drawdown_series(self.returns)
        self._deepest = drawdowns.deepest_of(self._below)

    @property
    def n(self) -> int:
        """Number of returns."""
        return self.returns.size

    def cumulative_return(self) -> float:
        """See `performance.cumulative_return`."""
        return performance.cumulative_return(self.returns)

    def annual_return(self) -> float:
        """See `performance.annual_return`."""
        return performance.annual_return(self.returns, self.periods_per_year)

    def annual_volatility(self) -> float:
        """See `performance.annual_volatility`."""
        return performance.annual_volatility(self.returns, self.periods_per_year)

    def sharpe_ratio(self, risk_free: float = 0.0) -> float:
        """See `performance.sharpe_ratio`."""
        return performance.sharpe_ratio(self.returns, risk_free, self.periods_per_year)

    def downside_risk(self) -> float:
        """See `performance.downside_risk`."""
        return performance.downside_risk(self.returns, self.threshold, self.periods_per_year)

    def sortino_ratio(self) -> float:
        """See `performance.sortino_ratio`."""
        return performance.sortino_ratio(self.returns, self.threshold, self.periods_per_year)

    def calmar_ratio(self) -> float:
        """See `performance.calmar_ratio`."""
        return performance.over_losses(self.annual_return(), -self._deepest.depth, "no drawdown")

    def omega_ratio(self) -> float:
        """See `performance.omega_ratio`."""
        return performance.omega_ratio(self.returns, self.threshold)

    def tail_ratio(self) -> float:
        """See `performance.tail_ratio`."""
        return performance.tail_ratio(self.returns)

    def stability(self) -> float:
        """See `performance.stability`."""
        return performance.stability(self.returns)

    def skewness(self) -> float:
        """See `performance.skewness`."""
        return performance.skewness(self.returns)

    def excess_kurtosis(self) -> float:
        """See `performance.excess_kurtosis`."""
        return performance.excess_kurtosis(self.returns)

    def hit_rate(self) -> float:
        """See `performance.hit_rate`."""
        return performance.hit_rate(self.returns)

    def payoff_ratio(self) -> float:
        """See `performance.payoff_ratio`."""
        return performance.payoff_ratio(self.returns)

    def kelly(self) -> float:
        """See `performance.kelly`."""
        return performance.kelly(self.returns)

    def ulcer_index(self) -> float:
        """See `drawdowns.ulcer_index`."""
        return drawdowns.ulcer_of(float(np.square(self._below).sum()), self.n)

    def average_drawdown(self) -> float:
        """See `drawdowns.average_drawdown`."""
        return float(self._below.mean())

    def best(self) -> float:
        """The highest return."""
        return float(self.returns.max())

    def worst(self) -> float:
        """The lowest return."""
        return float(self.returns.min())

    @property
    def deepest(self) -> Drawdown:
        """See `drawdowns.max_drawdown`."""
        return self._deepest

    @property
    def below(self) -> float:
        """Drawdown after the last period, 0 or less."""
        return float(self._below[-1])

    @property
    def since(self) -> int:
        """The last period after which wealth was highest; -1: before the first."""
        level = np.flatnonzero(self._below >= 0.0)
        return int(level[-1]) if level.size else -1

    def quantile(self, share: float) -> float:
        """The value below which this share of the returns lies, linearly interpolated (numpy's default)."""
        return float(np.quantile(self.returns, share))

    def mean_of_worst(self, count: int) -> float:
        """Mean of the `count` lowest returns."""
        if count >= self.n:
            return float(self.returns.mean())
        return float(np.partition(self.returns, count - 1)[:count].mean())


class RelativeSample:
    """Returns and a benchmark's, of the same periods; see `running.RunningRelative`."""

    def __init__(self, returns: npt.ArrayLike, benchmark: npt.ArrayLike, periods_per_year: float = DAYS) -> None:
        self._ours, self._theirs = paired(returns, benchmark, 1)
        self.periods_per_year = periods_per_year

    @property
    def n(self) -> int:
        """Number of pairs."""
        return self._ours.size

    def beta(self) -> float:
        """See `performance.beta`."""
        return performance.beta(self._ours, self._theirs)

    def alpha(self, risk_free: float = 0.0) -> float:
        """See `performance.alpha`."""
        return performance.alpha(self._ours, self._theirs, risk_free, self.periods_per_year)

    def correlation(self) -> float:
        """See `performance.correlation`."""
        return performance.correlation(self._ours, self._theirs)

    def tracking_error(self) -> float:
        """See `performance.tracking_error`."""
        return performance.tracking_error(self._ours, self._theirs, self.periods_per_year)

    def information_ratio(self) -> float:
        """See `performance.information_ratio`."""
        return performance.information_ratio(self._ours, self._theirs)

    def batting_average(self) -> float:
        """See `performance.batting_average`."""
        return performance.batting_average(self._ours, self._theirs)


__all__ = ["RelativeSample", "Sample"]
