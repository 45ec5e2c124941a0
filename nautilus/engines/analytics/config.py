"""Settings of the analytics engine."""

from __future__ import annotations

import math

import msgspec

from nautilus.model.errors import ConfigError

NANOSECONDS = 1_000_000_000


class AnalyticsConfig(msgspec.Struct, frozen=True):
    """Settings.

    Parameters
    ----------
    period_seconds
        Length of the periods that valuations are cut into; whole periods since the epoch, in UTC.
    periods_per_year
        What measures are annualised with: 252 for trading days, 365 for days without a break.
    risk_free, threshold
        Returns a period: what excess is counted from in Sharpe and alpha, and what divides gains from losses in
        Sortino and Omega.
    benchmark
        Series that portfolios are compared with; "": none.
    max_periods
        The newest of each portfolio that are kept and measured.
    capital
        Added to the net asset value that a return is measured against: for accounts that trade without cash.
    publish_seconds
        Performance of a portfolio is published at most so often.
    regimes
        States of the hidden Markov model, 2 or 3.
    horizon
        Periods ahead that volatility is forecast for.
    orders
        The newest of each portfolio whose cost of trading is kept.
    trials, trial_variance
        Strategies that were tried, and the variance of their Sharpe ratios a period: for the deflated Sharpe ratio.
    feature_store
        ``redis://HOST:PORT/DB`` or ``unix://PATH``: a Redis that gets the latest figures of each portfolio; "": none.
    feature_store_seconds
        Figures that do not change any more are removed from it after so long.

    Raises
    ------
    ConfigError
        A value that cannot be.
    """

    period_seconds: int = 86_400
    periods_per_year: float = 252.0
    risk_free: float = 0.0
    threshold: float = 0.0
    benchmark: str = ""
    max_periods: int = 5_040
    capital: float = 0.0
    publish_seconds: float = 1.0
    regimes: int = 2
    horizon: int = 5
    orders: int = 1_000
    trials: int = 1
    trial_variance: float = 0.0
    feature_store: str = ""
    feature_store_seconds: float = 3_600.0

    def __post_init__(self) -> None:
        def need(good: bool, name: str, expected: str) -> None:
            if not good:
                raise ConfigError(f"{name} {getattr(self, name)}", where="analytics", expected=expected)

        need(0 < self.period_seconds <= 31_536_000, "period_seconds", "1 to a year")
        need(0.0 < self.periods_per_year < math.inf, "periods_per_year", "more than 0")
        need(-1.0 < self.risk_free < math.inf, "risk_free", "a return a period")
        need(-1.0 < self.threshold < math.inf, "threshold", "a return a period")
        need(2 <= self.max_periods <= 100_000, "max_periods", "2 to 100,000")
        need(0.0 <= self.capital < math.inf, "capital", "0 or more")
        need(0.0 <= self.publish_seconds < math.inf, "publish_seconds", "0 or more")
        need(self.regimes in (2, 3), "regimes", "2 or 3")
        need(1 <= self.horizon <= 250, "horizon", "1 to 250")
        need(1 <= self.orders <= 100_000, "orders", "1 to 100,000")
        need(self.trials >= 1, "trials", "1 or more")
        need(0.0 <= self.trial_variance < math.inf, "trial_variance", "0 or more")
        place = self.feature_store
        need(
            not place or place.startswith(("redis://", "rediss://", "unix://")), "feature_store", "redis:// or unix://"
        )
        need(0.0 < self.feature_store_seconds <= 31_536_000.0, "feature_store_seconds", "more than 0, up to a year")

    @property
    def period_ns(self) -> int:
        """A period in nanoseconds."""
        return self.period_seconds * NANOSECONDS


__all__ = ["NANOSECONDS", "AnalyticsConfig"]
