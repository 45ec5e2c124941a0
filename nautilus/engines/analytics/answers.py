"""Answers about one portfolio, section by section; each is kept until what it rests on has changed."""

from __future__ import annotations

from typing import Any

import msgspec

from nautilus.engines.analytics import fits, sections
from nautilus.engines.analytics.benchmarks import Benchmarks
from nautilus.engines.analytics.config import AnalyticsConfig
from nautilus.engines.analytics.depths import COMPREHENSIVE, INSTITUTIONAL, STANDARD, Depth
from nautilus.engines.analytics.factors import Factors
from nautilus.engines.analytics.positions import Holdings, Key
from nautilus.engines.analytics.track import Track
from nautilus.engines.undefined import Measures
from nautilus.maths.errors import Undefined
from nautilus.maths.returns import Floats
from nautilus.model.analytics import PerformanceSummary, PortfolioAnalytics, PortfolioValue
from nautilus.model.attribution import FactorAttribution
from nautilus.model.basis import Basis

METHOD = f"time-weighted {sections.CONVENTION}; historical VaR and CVaR, linear interpolation (empyrical)"
MOST_KEPT = 16


class Portfolio:
    """What is known of one portfolio.

    Attributes
    ----------
    fits : the last fits of its models.
    fitted : `Track.closed` of the returns that they were made of.
    fitting : number of the job that makes new ones; 0: none.
    """

    __slots__ = ("answers", "fits", "fitted", "fitting", "parts", "track")

    def __init__(self, portfolio_id: int, config: AnalyticsConfig) -> None:
        self.track = Track(portfolio_id, config)
        self.fits = fits.UNFITTED
        self.fitted, self.fitting = -1, 0
        self.answers: dict[tuple[int, str], tuple[Any, PortfolioAnalytics]] = {}
        self.parts: dict[tuple[int, str], tuple[Any, Parts]] = {}


class Parts(msgspec.Struct, frozen=True):
    """Sections that rest on ended periods alone."""

    summary: PerformanceSummary
    basis: Basis
    undefined: dict[str, str]
    sections: dict[str, Any]


class Answers:
    """Makes answers of tracks, benchmarks, holdings and factors."""

    def __init__(self, config: AnalyticsConfig, benchmarks: Benchmarks, holdings: Holdings, factors: Factors) -> None:
        self._config = config
        self._benchmarks, self._holdings, self._factors = benchmarks, holdings, factors

    def analytics(self, portfolio: Portfolio, depth: Depth, benchmark: str = "") -> PortfolioAnalytics:
        """How a portfolio does; the positions' risk is there once it was prepared (`Holdings.ready`).

        Raises
        ------
        UnknownSeriesError
            A benchmark that was asked for and that there is not.
        Undefined
            ``out_of_range``: the portfolio has lost more than there was.
        """
        track = portfolio.track
        name = benchmark or self._config.benchmark
        version = self._benchmarks.version(name) if name and depth.level >= STANDARD.level else 0
        stamp: tuple[Any, ...] = (track.revision, version)
        if depth.level >= COMPREHENSIVE.level:
            stamp += (portfolio.fitted,)
        key: Key = ()
        if depth.level >= INSTITUTIONAL.level:
            key = self._holdings.key(track.portfolio_id, name)
            stamp += (self._holdings.revision, self._holdings.ready(key), key, self._factors.revision)
        kept = portfolio.answers.get((depth.level, name))
        if kept is not None and kept[0] == stamp:
            return kept[1]
        if track.ruined_ns:
            raise Undefined(
                "out_of_range",
                f"portfolio {track.portfolio_id} lost more than its net asset value at {track.ruined_ns}",
                expected="returns of -1 or more",
            )
        parts = self._parts(portfolio, depth, name, benchmark, version)
        extra, undefined = dict(parts.sections), parts.undefined
        if depth.level >= INSTITUTIONAL.level:
            found = Measures()
            extra["positions"] = self._holdings.measures(track, key, found, self._config.periods_per_year)
            undefined = {**undefined, **found.undefined}
        answer = PortfolioAnalytics(
            track.portfolio_id,
            track.last.now_ns if track.last else parts.basis.end_ns,
            depth.name,
            parts.summary,
            parts.basis,
            undefined,
            _value(track),
            **extra,
        )
        if len(portfolio.answers) >= MOST_KEPT:
            portfolio.answers.clear()
        portfolio.answers[depth.level, name] = stamp, answer
        return answer

    def benchmark_returns(self, track: Track, benchmark: str) -> Floats | None:
        """Of all ended periods; None: there is no benchmark, or it lacks one of them."""
        name = benchmark or self._config.benchmark
        if not name or self._benchmarks.version(name) < 0:
            return None
        return self._benchmarks.beside(track, name).last(track, track.n)

    def basis(self, track: Track) -> Basis:
        """Of measures over ended periods."""
        sources = [track.uploaded] if track.uploaded else []
        if track.last is not None:
            sources.append("star")
        end_ns = track.times[-1] if track.n else 0
        return Basis(METHOD, track.n, track.begin_ns, end_ns, ", ".join(sources), track.missing, track.synthetic)

    def _parts(self, portfolio: Portfolio, depth: Depth, name: str, asked: str, version: int) -> Parts:
        track = portfolio.track
        stamp: tuple[Any, ...] = (track.closed, version)
        if depth.level >= COMPREHENSIVE.level:
            stamp += (portfolio.fitted,)
        if depth.level >= INSTITUTIONAL.level:
            stamp += (self._factors.revision,)
        kept = portfolio.parts.get((depth.level, name))
        if kept is not None and kept[0] == stamp:
            return kept[1]
        found = Measures()
        made: dict[str, Any] = {}
        if depth.level >= STANDARD.level:
            self._standard(track, name, asked, found, made)
        if depth.level >= COMPREHENSIVE.level:
            self._comprehensive(portfolio, name, found, made)
        if depth.level >= INSTITUTIONAL.level:
            made["stress"] = sections.stress(made["relative"].beta if made.get("relative") else None)
            made["factors"] = self._by_factor(track, found)
        overview = sections.summary(track.running, found, self._config.risk_free)
        parts = Parts(overview, self.basis(track), found.undefined, made)
        if len(portfolio.parts) >= MOST_KEPT:
            portfolio.parts.clear()
        portfolio.parts[depth.level, name] = stamp, parts
        return parts

    def _standard(self, track: Track, name: str, asked: str, found: Measures, made: dict[str, Any]) -> None:
        running, config = track.running, self._config
        made["drawdown"] = sections.drawdown(running, found, track.begin_ns, track.times)
        made["distribution"] = sections.distribution(
            running, found, found.take("distribution.turnover", track.turnover)
        )
        made["tails"] = sections.tails(running, found)
        if not name:
            return
        if not asked and self._benchmarks.version(name) < 0:
            found.undefined["relative"] = "empty"  # the configured one was not uploaded yet
            return
        try:
            beside = self._benchmarks.beside(track, name)
        except Undefined as error:
            found.undefined["relative"] = error.code
            return
        made["relative"] = sections.relative(beside.running, found, name, config.risk_free, config.periods_per_year)

    def _comprehensive(self, portfolio: Portfolio, name: str, found: Measures, made: dict[str, Any]) -> None:
        track, config = portfolio.track, self._config
        returns = track.returns
        made["confidence"] = sections.confidence(
            track.running, found, config.risk_free, config.periods_per_year, config.trials, config.trial_variance
        )
        made["drawdowns"] = sections.drawdown_lines(returns, track.begin_ns, track.times)
        made["calendar"] = sections.calendar(track.times_ns, returns)
        benchmark = None
        if "relative" in made:
            benchmark = self._benchmarks.beside(track, name).last(track, max(sections.WINDOWS))
            if benchmark is None:
                found.undefined["rolling.beta"] = "missing_days"
        made["rolling"] = sections.rolling(returns, benchmark, found, config.risk_free, config.periods_per_year)
        made["volatility"], made["regime"] = portfolio.fits

    def _by_factor(self, track: Track, found: Measures) -> FactorAttribution | None:
        try:
            return self._factors.attribution(track, self.basis(track), self._config.period_seconds)
        except Undefined as error:
            found.undefined["factors"] = error.code
            return None


def _value(track: Track) -> PortfolioValue | None:
    last = track.last
    if last is None:
        return None
    followed = track.sound is not None
    return PortfolioValue(
        last.now_ns,
        last.currency,
        last.nav,
        last.cash,
        last.gross_exposure,
        last.net_exposure,
        last.realised,
        last.unrealised,
        last.fees,
        track.growth - 1.0 if followed else None,
        track.total - 1.0 if followed or track.n else None,
        last.complete,
    )


__all__ = ["METHOD", "Answers", "Parts", "Portfolio"]
