"""What of the engine's answer goes where on a tear sheet."""

from __future__ import annotations

from collections.abc import Iterable

from nautilus.engines.analytics.axes import day_text
from nautilus.engines.analytics.tear_sheet import Figure, Sheet, Table, as_html, value_text
from nautilus.model.analytics import PortfolioAnalytics, TearSheet
from nautilus.model.message import Message

HEADLINE = (
    ("cumulative_return", "Cumulative return", "percent"),
    ("annual_return", "Annual return", "percent"),
    ("annual_volatility", "Annual volatility", "percent"),
    ("sharpe_ratio", "Sharpe ratio", "ratio"),
    ("sortino_ratio", "Sortino ratio", "ratio"),
    ("max_drawdown", "Max. drawdown", "percent"),
    ("calmar_ratio", "Calmar ratio", "ratio"),
    ("hit_rate", "Hit rate", "percent"),
)
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


def page_of(sheet: TearSheet, *, benchmark_wealth: tuple[float, ...] = ()) -> str:
    """The page of an answer.

    Parameters
    ----------
    sheet
        The answer; its `html` is not looked at.
    benchmark_wealth
        What one unit became in the benchmark, after each period of the sheet; empty: it is not drawn.
    """
    return as_html(content_of(sheet, benchmark_wealth=benchmark_wealth))


def content_of(sheet: TearSheet, *, benchmark_wealth: tuple[float, ...] = ()) -> Sheet:
    """What the page of an answer shows."""
    found = sheet.analytics
    return Sheet(
        title=f"Portfolio {sheet.portfolio_id}" if sheet.portfolio_id else "Returns of the request",
        subtitle=_subtitle(sheet),
        headline=tuple(
            Figure(label, getattr(found.summary, name), kind, found.undefined.get(f"summary.{name}", ""))
            for name, label, kind in HEADLINE
        ),
        tables=tuple(table for table in _tables(found) if table.rows),
        times_ns=sheet.times_ns,
        wealth=sheet.wealth,
        drawdowns=sheet.drawdowns,
        benchmark=found.relative.benchmark if found.relative else "",
        benchmark_wealth=benchmark_wealth,
        rolling_window=sheet.rolling_window,
        rolling_sharpe=sheet.rolling_sharpe,
        rolling_volatility=sheet.rolling_volatility,
        calendar=tuple((line.year, line.month, line.value) for line in found.calendar or ()),
        marks=tuple((f"VaR {_level(t.level)}", -t.var) for t in found.tails or () if t.var is not None),
        basis=_basis(found),
    )


def _subtitle(sheet: TearSheet) -> str:
    parts = [f"{len(sheet.wealth):,} periods"]
    if sheet.times_ns:
        parts.insert(0, f"{day_text(sheet.times_ns[0])} to {day_text(sheet.times_ns[-1])}")
    if sheet.analytics.value is not None:
        parts.append(sheet.analytics.value.currency)
    return ", ".join(parts)


def _tables(found: PortfolioAnalytics) -> list[Table]:
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
    rows = tuple((_level(line.level), line.var, line.cvar) for line in found.tails or ())
    columns = ("Level", "VaR", "CVaR")
    return Table("Value at risk", columns, ("text", "percent", "percent"), rows, "Loss of one period.")


def _level(level: float) -> str:
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
        names = ("calm", "turbulent") if count == 2 else ("calm", "middle", "turbulent")[:count]
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


def _basis(found: PortfolioAnalytics) -> tuple[tuple[str, str], ...]:
    basis = found.basis
    terms = [("Method", basis.method), ("Observations", f"{basis.window:,}, {basis.missing:,} missing")]
    if basis.end_ns:
        terms.append(("Range", f"{day_text(basis.begin_ns)} to {day_text(basis.end_ns)}"))
    terms.append(("Source", f"{basis.source}{', some of it made up' if basis.synthetic else ''}"))
    if basis.version:
        terms.append(("Version", basis.version))
    terms += [(each.model, f"no forecast: {each.reason}") for each in found.volatility or () if each.reason]
    if found.undefined:
        terms.append(
            ("Without a value", ", ".join(f"{name}: {code}" for name, code in sorted(found.undefined.items())))
        )
    return tuple((term, text) for term, text in terms if text)
