"""Sections of an answer, from measures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from nautilus.engines.analytics.measures import Performance, Relative
from nautilus.engines.undefined import Measures
from nautilus.maths.drawdowns import Drawdown, worst_drawdowns
from nautilus.maths.errors import Undefined
from nautilus.maths.performance import annual_volatility as volatility
from nautilus.maths.performance import beta, sharpe_ratio
from nautilus.maths.performance import cumulative_return as grown
from nautilus.maths.returns import Floats, Whole, calendar_returns, number
from nautilus.maths.sharpe import expected_best_sharpe, least_track_record, probability_above
from nautilus.maths.var import tail_of
from nautilus.model.analytics import (
    CalendarLine,
    DistributionMeasures,
    DrawdownLine,
    DrawdownMeasures,
    PerformanceSummary,
    RelativeMeasures,
    RollingLine,
    SharpeConfidence,
    StressLine,
    TailRisk,
)

LEVELS = (0.95, 0.99, 0.999)
"""Of value at risk."""
WINDOWS = (21, 63, 126, 252)
"""Periods of the rolling measures."""
WORST = 10
"""Drawdowns that are listed."""
CONVENTION = "simple returns a period, compounded; deviations n - 1 (empyrical)"
SHOCKS = (
    ("Black Monday, 19 October 1987", -0.2047),
    ("Global financial crisis, 9 October 2007 to 9 March 2009", -0.5678),
    ("Flash crash, 6 May 2010, low of the day", -0.0858),
    ("Pandemic, 19 February to 23 March 2020", -0.3392),
)
"""What the S&P 500 did then."""


def summary(m: Performance, found: Measures, risk_free: float) -> PerformanceSummary:
    """What everybody asks for."""
    return PerformanceSummary(
        m.n,
        found.take("summary.cumulative_return", m.cumulative_return),
        found.take("summary.annual_return", m.annual_return),
        found.take("summary.annual_volatility", m.annual_volatility),
        found.take("summary.sharpe_ratio", lambda: m.sharpe_ratio(risk_free)),
        found.take("summary.sortino_ratio", m.sortino_ratio),
        found.take("summary.calmar_ratio", m.calmar_ratio),
        found.take("summary.max_drawdown", lambda: _depth(m)),
        found.take("summary.hit_rate", m.hit_rate),
    )


def drawdown(m: Performance, found: Measures, begin_ns: int, times_ns: Sequence[int]) -> DrawdownMeasures:
    """The deepest drawdown, and the one that it is in."""
    deepest = m.deepest
    return DrawdownMeasures(
        line_of(deepest, begin_ns, times_ns) if deepest.depth < 0.0 else None,
        m.below,
        m.since,
        _time_of(m.since, begin_ns, times_ns),
        found.take("drawdown.ulcer_index", m.ulcer_index),
        found.take("drawdown.average", m.average_drawdown),
    )


def line_of(found: Drawdown, begin_ns: int, times_ns: Sequence[int]) -> DrawdownLine:
    """A drawdown with its dates."""
    back = found.recovery
    return DrawdownLine(
        found.depth,
        found.peak,
        found.trough,
        back,
        _time_of(found.peak, begin_ns, times_ns),
        _time_of(found.trough, begin_ns, times_ns),
        0 if back is None else _time_of(back, begin_ns, times_ns),
    )


def distribution(m: Performance, found: Measures, turnover: float | None) -> DistributionMeasures:
    """Of the distribution of returns."""
    return DistributionMeasures(
        omega_ratio=found.take("distribution.omega_ratio", m.omega_ratio),
        tail_ratio=found.take("distribution.tail_ratio", m.tail_ratio),
        stability=found.take("distribution.stability", m.stability),
        skewness=found.take("distribution.skewness", m.skewness),
        excess_kurtosis=found.take("distribution.excess_kurtosis", m.excess_kurtosis),
        payoff_ratio=found.take("distribution.payoff_ratio", m.payoff_ratio),
        kelly=found.take("distribution.kelly", m.kelly),
        downside_risk=found.take("distribution.downside_risk", m.downside_risk),
        best=found.take("distribution.best", m.best),
        worst=found.take("distribution.worst", m.worst),
        turnover=turnover,
    )


def tails(m: Performance, found: Measures) -> tuple[TailRisk, ...]:
    """Historical value at risk and expected shortfall, as empyrical has them (`nautilus.maths.var`), as losses."""
    return tuple(
        TailRisk(
            level,
            found.take(f"tails.var_{level}", partial(_loss, m, level)),
            found.take(f"tails.cvar_{level}", partial(_shortfall, m, level)),
        )
        for level in LEVELS
    )


def relative(r: Relative, found: Measures, benchmark: str, risk_free: float, per_year: float) -> RelativeMeasures:
    """Against a benchmark."""
    return RelativeMeasures(
        benchmark,
        r.n,
        found.take("relative.alpha", lambda: r.alpha(risk_free)),
        found.take("relative.beta", r.beta),
        found.take("relative.correlation", r.correlation),
        found.take("relative.tracking_error", r.tracking_error),
        found.take("relative.information_ratio", r.information_ratio),
        found.take("relative.annual_information_ratio", lambda: _annual(r, per_year)),
        found.take("relative.batting_average", r.batting_average),
    )


def confidence(
    m: Performance, found: Measures, risk_free: float, per_year: float, trials: int, variance: float | None
) -> SharpeConfidence:
    """Probabilistic and deflated Sharpe ratio, of a period."""
    probable = deflated = best = record = None
    try:
        sharpe = m.sharpe_ratio(risk_free) / math.sqrt(per_year)
        moments = m.skewness(), m.excess_kurtosis() + 3.0
    except Undefined as error:
        for name in ("probabilistic_sharpe", "deflated_sharpe", "least_track_record"):
            found.undefined[f"confidence.{name}"] = error.code
        return SharpeConfidence(trials=trials)
    probable = found.take("confidence.probabilistic_sharpe", partial(probability_above, 0.0, sharpe, *moments, m.n))
    if trials > 1 and variance is None:
        found.undefined["confidence.deflated_sharpe"] = "empty"
    else:
        best = found.take("confidence.expected_best_sharpe", partial(expected_best_sharpe, trials, variance or 0.0))
        if best is not None:
            deflated = found.take("confidence.deflated_sharpe", partial(probability_above, best, sharpe, *moments, m.n))
    record = found.take("confidence.least_track_record", partial(least_track_record, sharpe, *moments))
    return SharpeConfidence(probable, deflated, trials, best, record)


def drawdown_lines(returns: Floats, begin_ns: int, times_ns: Sequence[int]) -> tuple[DrawdownLine, ...]:
    """The worst drawdowns, the deepest first."""
    if not returns.size:
        return ()
    return tuple(line_of(each, begin_ns, times_ns) for each in worst_drawdowns(returns, WORST))


def calendar(times_ns: Whole, returns: Floats) -> tuple[CalendarLine, ...]:
    """Years, then months; nothing where periods have no times."""
    if not returns.size or times_ns.size != returns.size:
        return ()
    years, months = (calendar_returns(times_ns, returns, yearly=yearly) for yearly in (True, False))
    return tuple(CalendarLine(*each) for each in (*years, *months))


def rolling(
    returns: Floats, benchmark: Floats | None, found: Measures, risk_free: float, per_year: float
) -> tuple[RollingLine, ...]:
    """Of the last periods; windows that are longer than the history are stated."""
    lines = []
    for window in WINDOWS:
        name = f"rolling.{window}"
        if returns.size < window:
            found.undefined[name] = "too_few" if returns.size else "empty"
            lines.append(RollingLine(window))
            continue
        last = returns[-window:]
        slope = None
        if benchmark is not None and benchmark.size >= window:
            slope = found.take(f"{name}.beta", partial(beta, last, benchmark[-window:]))
        lines.append(
            RollingLine(
                window,
                found.take(f"{name}.cumulative_return", partial(grown, last)),
                found.take(f"{name}.annual_volatility", partial(volatility, last, per_year)),
                found.take(f"{name}.sharpe_ratio", partial(sharpe_ratio, last, risk_free, per_year)),
                slope,
            )
        )
    return tuple(lines)


def stress(slope: float | None) -> tuple[StressLine, ...]:
    """Beta times what the market did."""
    if slope is None or not math.isfinite(slope):
        return ()
    return tuple(StressLine(name, shock, -slope * shock) for name, shock in SHOCKS)


def _depth(m: Performance) -> float:
    m.worst()  # nothing at all has no depth
    return m.deepest.depth


def _loss(m: Performance, level: float) -> float:
    return number(-m.quantile(tail_of(level)), "value at risk")


def _shortfall(m: Performance, level: float) -> float:
    return number(-m.mean_of_worst(int(max(m.n - 1, 0) * tail_of(level)) + 1), "tail mean")


def _annual(r: Relative, per_year: float) -> float:
    return number(r.information_ratio() * math.sqrt(per_year), "information ratio")


def _time_of(period: int, begin_ns: int, times_ns: Sequence[int]) -> int:
    """End of a period; -1 is the beginning. 0: not known."""
    if period < 0:
        return begin_ns
    return int(times_ns[period]) if period < len(times_ns) else 0


__all__ = [
    "CONVENTION",
    "LEVELS",
    "SHOCKS",
    "WINDOWS",
    "calendar",
    "confidence",
    "distribution",
    "drawdown",
    "drawdown_lines",
    "line_of",
    "relative",
    "rolling",
    "stress",
    "summary",
    "tails",
]
