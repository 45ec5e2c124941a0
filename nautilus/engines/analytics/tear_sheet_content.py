"""What of the engine's answer goes where on a tear sheet."""

from __future__ import annotations

from nautilus.engines.analytics.axes import day_text
from nautilus.engines.analytics.tear_sheet import as_html
from nautilus.engines.analytics.tear_sheet_parts import Figure, Sheet
from nautilus.engines.analytics.tear_sheet_tables import level_text, tables_of
from nautilus.model.analytics import PortfolioAnalytics, TearSheet

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
        tables=tuple(table for table in tables_of(found) if table.rows),
        times_ns=sheet.times_ns,
        wealth=sheet.wealth,
        drawdowns=sheet.drawdowns,
        benchmark=found.relative.benchmark if found.relative else "",
        benchmark_wealth=benchmark_wealth,
        rolling_window=sheet.rolling_window,
        rolling_sharpe=sheet.rolling_sharpe,
        rolling_volatility=sheet.rolling_volatility,
        calendar=tuple((line.year, line.month, line.value) for line in found.calendar or ()),
        marks=tuple((f"VaR {level_text(t.level)}", -t.var) for t in found.tails or () if t.var is not None),
        basis=_basis(found),
    )


def _subtitle(sheet: TearSheet) -> str:
    parts = [f"{len(sheet.wealth):,} periods"]
    if sheet.times_ns:
        parts.insert(0, f"{day_text(sheet.times_ns[0])} to {day_text(sheet.times_ns[-1])}")
    if sheet.analytics.value is not None:
        parts.append(sheet.analytics.value.currency)
    return ", ".join(parts)


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
