"""Performance of returns that come with the request: a job, and the check of what it is given."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nautilus.engines.analytics import sections
from nautilus.engines.analytics.depths import COMPREHENSIVE, INSTITUTIONAL, STANDARD, depth_of
from nautilus.engines.undefined import Measures
from nautilus.maths.errors import Undefined
from nautilus.maths.performance import turnover
from nautilus.maths.returns import Floats, Whole, paired, periods
from nautilus.maths.sample import RelativeSample, Sample
from nautilus.model.analytics import AnalysePerformance, PortfolioAnalytics
from nautilus.model.basis import Basis

REQUEST_METHOD = f"{sections.CONVENTION}; historical VaR and CVaR, linear interpolation (empyrical)"


def analyse(asked: AnalysePerformance) -> PortfolioAnalytics:
    """Every measure of the returns that the depth has; a pure function, for the worker.

    Raises
    ------
    Undefined
        Of the whole series: ``empty``, ``not_finite``, ``mismatch``, ``unsorted``, ``duplicate_time``,
        ``out_of_range``. What single measures lack is in `undefined` of the answer.
    """
    with np.errstate(all="ignore"):  # what comes of numbers at the ends of the range is looked at
        return _analysed(asked)


def _analysed(asked: AnalysePerformance) -> PortfolioAnalytics:
    depth = depth_of(asked.depth)
    per_year = asked.periods_per_year
    if not (math.isfinite(per_year) and per_year > 0.0):
        raise Undefined("out_of_range", f"periods_per_year {per_year}", expected="more than 0")
    if not (math.isfinite(asked.risk_free) and math.isfinite(asked.threshold)):
        raise Undefined("not_finite", "risk_free or threshold", expected="finite numbers")
    sample = Sample(asked.returns, asked.threshold, per_year)
    times: Whole = np.zeros(0, np.int64)
    if asked.times_ns:
        times = periods(asked.times_ns, sample.n)
    benchmark: Floats | None = None
    if asked.benchmark:
        _, benchmark = paired(sample.returns, asked.benchmark, 1)
    found = Measures()
    parts: dict[str, Any] = {}
    stamps = times.tolist()
    if depth.level >= STANDARD.level:
        parts["drawdown"] = sections.drawdown(sample, found, 0, stamps)
        turned = None
        if asked.traded or asked.nav:
            turned = found.take("distribution.turnover", lambda: turnover(asked.traded, asked.nav, per_year))
        parts["distribution"] = sections.distribution(sample, found, turned)
        parts["tails"] = sections.tails(sample, found)
        if benchmark is not None:
            pairs = RelativeSample(sample.returns, benchmark, per_year)
            parts["relative"] = sections.relative(pairs, found, "request", asked.risk_free, per_year)
    if depth.level >= COMPREHENSIVE.level:
        parts["confidence"] = sections.confidence(
            sample, found, asked.risk_free, per_year, asked.trials, asked.trial_variance
        )
        parts["drawdowns"] = sections.drawdown_lines(sample.returns, 0, stamps)
        parts["calendar"] = sections.calendar(times, sample.returns)
        parts["rolling"] = sections.rolling(sample.returns, benchmark, found, asked.risk_free, per_year)
    if depth.level >= INSTITUTIONAL.level and "relative" in parts:
        parts["stress"] = sections.stress(parts["relative"].beta)
    begin_ns, end_ns = (stamps[0], stamps[-1]) if stamps else (0, 0)
    source = asked.source or "request"
    basis = Basis(REQUEST_METHOD, sample.n, begin_ns, end_ns, source, synthetic=asked.synthetic)
    overview = sections.summary(sample, found, asked.risk_free)
    return PortfolioAnalytics(0, 0, depth.name, overview, basis, found.undefined, **parts)


__all__ = ["REQUEST_METHOD", "analyse"]
