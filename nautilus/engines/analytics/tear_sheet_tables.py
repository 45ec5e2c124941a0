"""Sections of the engine's answer as tables of a tear sheet."""

from __future__ import annotations

from collections.abc import Iterable

from nautilus.engines.analytics.tear_sheet import value_text
from nautilus.engines.analytics.tear_sheet_parts import Table
from nautilus.model.analytics import PortfolioAnalytics
from nautilus.model.message import Message

DISTRIBUTION = (
    ("omega_ratio", "Omega ratio", "ratio"),
    ("tail_ratio", "Tail ratio", "ratio"),
    ("stability", "Stability", "ratio"),
    ("skewness", "Skewness", "ratio"),
    ("excess_kurtosis", "Excess kurtosis", "ratio"),
    ("payoff_ratio", "Payoff ratio", "ratio"),
    ("kelly", "Kelly criterion", "percent"),
    ("downside_risk", "Downside risk, a year", "percent"),
    ("best", "Best period", "percent"),
    ("worst", "Worst period", "percent"),
    ("turnover", "Turnover, a year", "percent"),
)
RELATIVE = (
    ("alpha", "Alpha, a year", "percent"),
    ("beta", "Beta", "ratio"),
    ("correlation", "Correlation", "ratio"),
    ("tracking_error", "Tracking error, a year", "percent"),
    ("annual_information_ratio", "Information ratio, a year", "ratio"),
    ("batting_average", "Batting average", "percent"),
)
CONFIDENCE = (
    ("probabilistic_sharpe", "Probabilistic Sharpe ratio", "percent"),
    ("deflated_sharpe", "Deflated Sharpe ratio", "percent"),
    ("trials", "Trials", "count"),
    ("least_track_record", "Least track record, periods", "count"),
)
VALUE = (
    ("nav", "Net asset value", "money"),
    ("cash", "Cash", "money"),
    ("gross_exposure", "Gross exposure", "money"),
    ("net_exposure", "Net exposure", "money"),
    ("realised", "Realised", "money"),
    ("unrealised", "Unrealised", "money"),
    ("fees", "Fees", "money"),
)
RISK = (
    ("volatility", "Volatility, a year", "percent"),
    ("concentration", "Concentration", "ratio"),
    ("effective_positions", "Effective positions", "ratio"),
    ("diversification_ratio", "Diversification ratio", "ratio"),
    ("average_correlation", "Average correlation", "ratio"),
)
Names = Iterable[tuple[str, str, str]]
MOST_POSITIONS = 20


def tables_of(found: PortfolioAnalytics) -> list[Table]:
    """A table for each section that the answer has."""
    tables = [_drawdowns(found), _tails(found)]
    if found.distribution is not None:
        tables.append(_measures("Distribution", found.distribution, DISTRIBUTION))
    if found.relative is not None:
        tables.append(_measures(f"Against {found.relative.benchmark}", found.relative, RELATIVE))
    if found.confidence is not None:
        tables.append(_measures("Is the Sharpe ratio luck?", found.confidence, CONFIDENCE))
    if found.value is not None:
        tables.append(_measures(f"Value in {found.value.currency}", found.value, VALUE))
    if found.positions is not None:
        tables.append(_measures("Risk of what is held", found.positions, RISK))
    tables += _forecasts(found)
    if found.stress:
        rows = tuple((line.name, line.market, line.loss) for line in found.stress)
        columns = ("Then", "Market", "Loss")
        tables.append(Table("Stress", columns, ("text", "percent", "percent"), rows, "Beta times what the market did."))
    tables += _factors(found)
    tables += _positions(found)
    return tables


def _measures(title: str, section: Message, names: Names) -> Table:
    # Figures of several kinds share a column, so each is written where it is looked up.
    rows = tuple((label, _written(getattr(section, name), kind)) for name, label, kind in names)
    return Table(title, ("Measure", "Value"), ("text", "ratio"), rows)


def _written(value: float | None, kind: str) -> str | None:
    return None if value is None else value_text(value, kind)


def _drawdowns(found: PortfolioAnalytics) -> Table:
    lines = found.drawdowns
    if lines is None:
        deepest = found.drawdown.deepest if found.drawdown else None
        lines = (deepest,) if deepest else ()
    dated = any(line.trough_ns for line in lines)
    rows = tuple(
        (
            line.depth,
            line.peak_ns if dated else line.peak,
            line.trough_ns if dated else line.trough,
            (line.recovery_ns or None) if dated else line.recovery,
            None if line.recovery is None else line.recovery - line.peak,
        )
        for line in lines
    )
    place = "day" if dated else "count"
    columns = ("Depth", "From", "Lowest", "Made good", "Periods")
    return Table("Worst drawdowns", columns, ("percent", place, place, place, "count"), rows)


def _tails(found: PortfolioAnalytics) -> Table:
    rows = tuple((level_text(line.level), line.var, line.cvar) for line in found.tails or ())
    columns = ("Level", "VaR", "CVaR")
    return Table("Value at risk", columns, ("text", "percent", "percent"), rows, "Loss of one period.")


def level_text(level: float) -> str:
    """A level as a percentage: 99.9%."""
    return f"{100.0 * level:g}%"


def _forecasts(found: PortfolioAnalytics) -> list[Table]:
    tables = []
    if found.volatility:
        rows = tuple(
            (
                each.model,
                each.volatility[0] if each.volatility else None,
                each.volatility[-1] if each.volatility else None,
            )
            for each in found.volatility
        )
        longest = max(len(each.volatility) for each in found.volatility)
        columns = ("Model", "Next", f"In {longest}" if longest else "Later")
        tables.append(Table("Volatility ahead, a year", columns, ("text", "percent", "percent"), rows))
    regime = found.regime
    if regime is not None and regime.probabilities:
        count = len(regime.probabilities)
        names = ("calm", "turbulent") if count == 2 else ("calm", "normal", "turbulent")[:count]
        states = zip(names, regime.volatilities, regime.probabilities, regime.next_probabilities, strict=False)
        kinds = ("text", "percent", "percent", "percent")
        tables.append(Table("Regime", ("State", "Volatility", "Now", "Next"), kinds, tuple(states)))
    return tables


def _factors(found: PortfolioAnalytics) -> list[Table]:
    factors = found.factors
    if factors is None:
        return []
    rows: list[tuple[str | float | None, ...]] = [
        (line.name, line.exposure, line.contribution, line.risk_share) for line in factors.factors
    ]
    rows += [("specific", None, factors.specific, None), ("total", None, factors.total, None)]
    columns = ("Factor", "Exposure", "Contribution", "Share of risk")
    return [Table("Return by factor", columns, ("text", "ratio", "percent", "percent"), tuple(rows))]


def _positions(found: PortfolioAnalytics) -> list[Table]:
    if found.positions is None or not found.positions.positions:
        return []
    held = sorted(found.positions.positions, key=lambda line: (-abs(line.weight), line.instrument_id))
    rows = tuple(
        (line.symbol, line.weight, line.volatility, line.beta, line.max_drawdown, line.risk_share)
        for line in held[:MOST_POSITIONS]
    )
    columns = ("Position", "Weight", "Volatility", "Beta", "Max. drawdown", "Share of risk")
    kinds = ("text", "percent", "percent", "ratio", "percent", "percent")
    note = f"The largest {MOST_POSITIONS} of {len(held)}." if len(held) > MOST_POSITIONS else ""
    return [Table("Positions", columns, kinds, rows, note)]
