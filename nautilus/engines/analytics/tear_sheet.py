"""A tear sheet as one page of HTML: figures, plots and tables of a `Sheet`, which say all that is on it.

The page stands alone: styles and plots are within it, nothing is fetched and no script runs. Every text is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable

import numpy as np

from nautilus.engines.analytics.axes import MONTHS, Floats, day_text, number_text, percent_text
from nautilus.engines.analytics.bar_plots import bar_plot, histogram
from nautilus.engines.analytics.drawing import Frame
from nautilus.engines.analytics.line_plot import Line, line_plot
from nautilus.engines.analytics.tear_sheet_parts import Figure, Sheet, Table
from nautilus.engines.analytics.tear_sheet_style import STYLE

WIDE, LOW, HALF = Frame(1080, 300), Frame(1080, 190), Frame(560, 230)
LOG_FACTOR = 4.0  # wealth that grows more than so is drawn so that equal factors are equally far apart
DASH = "\N{EN DASH}"


def as_html(sheet: Sheet) -> str:
    """The page; the same sheet gives the same bytes."""
    cards = [
        _growth(sheet),
        _underwater(sheet),
        *_rolling(sheet),
        _heat(sheet),
        _years(sheet),
        _frequencies(sheet),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(sheet.title)}</title><style>{STYLE}</style></head><body><main>"
        f"<header><h1>{html.escape(sheet.title)}</h1><p>{html.escape(sheet.subtitle)}</p></header>"
        f'<div class="tiles">{"".join(map(_tile, sheet.headline))}</div>'
        f'<div class="cards">{"".join(cards)}</div>'
        f'<div class="tables">{"".join(map(_table, sheet.tables))}</div>'
        f"{_basis(sheet.basis)}</main></body></html>\n"
    )


def value_text(value: str | float | int | None, kind: str) -> str:
    """How a value of a kind is written."""
    if value is None:
        return DASH
    if kind == "text" or isinstance(value, str):
        return str(value)
    if kind == "day":
        return day_text(int(value)) if value else DASH
    if kind == "percent":
        return percent_text(float(value), 2)
    if kind == "count":
        return number_text(float(value), 0)
    return number_text(float(value), 2 if kind == "money" else 3 if abs(value) < 10 else 2)


def _tile(figure: Figure) -> str:
    text = value_text(figure.value, figure.kind)
    reason = f' title="{html.escape(figure.reason)}"' if figure.reason else ""
    return f'<div class="tile"{reason}><span>{html.escape(figure.label)}</span><b>{html.escape(text)}</b></div>'


def _card(title: str, body: str, width: str, note: str = "") -> str:
    said = f'<p class="note">{html.escape(note)}</p>' if note else ""
    return f'<section class="{width}"><h2>{html.escape(title)}</h2>{said}{body}</section>'


def _line(sheet: Sheet, name: str, values: Iterable[float], **how: object) -> Line:
    array: Floats = np.array(tuple(values), np.float64)
    places = np.array(sheet.times_ns or range(1, len(sheet.wealth) + 1), np.int64)[-len(array) :]
    return Line(name, places, array, **how)  # type: ignore[arg-type]


def _growth(sheet: Sheet) -> str:
    if not sheet.wealth:
        return ""
    lines = [_line(sheet, "portfolio", sheet.wealth, label="portfolio" if sheet.benchmark_wealth else "")]
    if sheet.benchmark_wealth:
        name = sheet.benchmark or "benchmark"
        label = name if len(name) <= 9 else "benchmark"
        lines.insert(0, _line(sheet, name, sheet.benchmark_wealth, style="b", label=label))
    values = np.concatenate([line.values for line in lines])
    dated = bool(sheet.times_ns)
    log = bool(values.min() > 0.0 and max(values.max(), 1.0) / min(values.min(), 1.0) > LOG_FACTOR)
    plot = _sizes(WIDE, lambda frame: line_plot(lines, frame, "Growth of one", log=log, dated=dated, level=1.0))
    note = f"{f'Grey: {sheet.benchmark}. ' if sheet.benchmark_wealth else ''}{'Logarithmic scale.' if log else ''}"
    return _card("Growth of one", plot, "full", note.strip())


def _underwater(sheet: Sheet) -> str:
    if not sheet.drawdowns:
        return ""
    line = _line(sheet, "drawdown", sheet.drawdowns, style="d", fill=True)
    dated = bool(sheet.times_ns)
    plot = _sizes(LOW, lambda frame: line_plot([line], frame, "Drawdown", percent=True, zero=True, dated=dated))
    return _card("Drawdown", plot, "full", "Below the highest value so far.")


def _sizes(wide: Frame, drawn: Callable[[Frame], str]) -> str:
    """A plot for wide windows and one for narrow ones; the style sheet shows one of them."""
    return f'<div class="for-wide">{drawn(wide)}</div><div class="for-small">{drawn(HALF)}</div>'


def _rolling(sheet: Sheet) -> list[str]:
    window = f"Of the last {sheet.rolling_window} periods, a year."
    cards = []
    for name, values, percent, style in (
        ("Rolling Sharpe ratio", sheet.rolling_sharpe, False, "a"),
        ("Rolling volatility", sheet.rolling_volatility, True, "c"),
    ):
        if values:
            line = _line(sheet, name, values, style=style, fill=percent)
            plot = line_plot([line], HALF, name, percent=percent, zero=True, dated=bool(sheet.times_ns))
            cards.append(_card(name, plot, "half", window))
    return cards


def _heat(sheet: Sheet) -> str:
    months = {(year, month): value for year, month, value in sheet.calendar}
    if not any(month for _, month in months):
        return ""
    largest = max(abs(value) for (_, month), value in months.items() if month) or 1.0
    rows = []
    for year in sorted({year for year, _ in months}):
        cells = "".join(_cell(months.get((year, month)), largest) for month in range(1, 13))
        whole = months.get((year, 0))
        if whole is None:
            whole = float(np.prod([1.0 + v for (y, month), v in months.items() if y == year and month]) - 1.0)
        rows.append(f'<tr><th scope="row">{year}</th>{cells}<td class="year">{_percent(whole)}</td></tr>')
    head = "".join(f'<th scope="col">{month}</th>' for month in (*MONTHS, "Year"))
    table = f'<div class="scroll"><table class="heat"><tr><th></th>{head}</tr>{"".join(rows)}</table></div>'
    return _card("Monthly returns", table, "full", "In per cent. The stronger the colour, the larger the gain or loss.")


def _cell(value: float | None, largest: float) -> str:
    if value is None:
        return "<td></td>"
    # The root keeps small months visible beside one very large.
    strength = 0.75 * (abs(value) / largest) ** 0.7
    style = "down" if value < 0 else "up"
    return f'<td class="{style}" style="--s:{strength:.2f}">{_percent(value)}</td>'


def _percent(value: float) -> str:
    """A percentage whose sign narrow windows leave out."""
    return f"{percent_text(value).removesuffix('%')}<i>%</i>"


def _years(sheet: Sheet) -> str:
    growth: dict[int, float] = {}
    for year, month, value in sheet.calendar:
        if month:
            growth[year] = growth.get(year, 1.0) * (1.0 + value)
    growth.update({year: 1.0 + value for year, month, value in sheet.calendar if month == 0})
    if not growth:
        return ""
    years = sorted(growth)
    plot = bar_plot([str(year) for year in years], [growth[year] - 1.0 for year in years], HALF, "Yearly returns")
    return _card("Yearly returns", plot, "half", "The first and the last may be parts of a year.")


def _frequencies(sheet: Sheet) -> str:
    if len(sheet.wealth) < 2:
        return ""
    wealth = np.concatenate(([1.0], sheet.wealth))
    returns = wealth[1:][wealth[:-1] > 0.0] / wealth[:-1][wealth[:-1] > 0.0] - 1.0
    plot = histogram(returns, HALF, "Distribution of returns", sheet.marks)
    return _card("Distribution of returns", plot, "half", f"{len(returns):,} periods; how many had which return.")


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in table.columns)
    rows = []
    for row in table.rows:
        cells = []
        for value, kind in zip(row, table.kinds, strict=True):
            style = ' class="none"' if value is None else ' class="words"' if kind == "text" else ""
            cells.append(f"<td{style}>{html.escape(value_text(value, kind))}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    body = f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div>'
    width = "narrow" if len(table.columns) <= 3 else "broad" if len(table.columns) <= 5 else "whole"
    return _card(table.title, body, width, table.note)


def _basis(terms: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{html.escape(term)}</dt><dd>{html.escape(text)}</dd>" for term, text in terms)
    return f"<footer><dl>{rows}</dl></footer>" if rows else ""
