"""The live table: engines, market, strategies, orders and bus on one screen of 80 x 24 or more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nautilus.cli.output import dense_table
from nautilus.cli.progress import money

if TYPE_CHECKING:
    from nautilus.cli.view import EngineLine, QuoteRow, StrategyRow, View

Row = TypeVar("Row")
STATES = {
    "ready": "green",
    "healthy": "green",
    "waiting": "dim",
    "starting": "yellow",
    "restarting": "yellow",
    "degraded": "yellow",
    "stopping": "yellow",
    "stopped": "dim",
}
BAD = "bold red"
DIM = "dim"
LABEL = 11
LEAST_ROWS = 24
# Lines that stand whatever is running: head, heads of three tables, blank lines, counters, warning.
FIXED_ROWS = 15


def draw(view: View, width: int, height: int) -> RenderableType:
    """One screen; what does not fit `height` is left out, from the longest list first, and its number is said."""
    room = max(height, LEAST_ROWS) - FIXED_ROWS - len(view.engines)
    strategies, more_strategies = _fit(view.strategies, max(1, room - min(len(view.quotes), max(1, room // 2))))
    quotes, more_quotes = _fit(view.quotes, max(1, room - len(strategies)))
    return Group(
        _head(view, width),
        _engines(view.engines),
        Text(),
        _quotes(quotes, more_quotes),
        Text(),
        _strategies(strategies, more_strategies),
        Text(),
        _counters(view),
        _foot(view, 1 + room - max(len(quotes), 1) - max(len(strategies), 1)),
    )


def plain_line(view: View) -> str:
    """The same in one line, for what is no terminal."""
    ready = sum(line.state == "ready" for line in view.engines)
    totals: dict[str, list[str]] = {}
    for row in view.strategies:
        if row.total:
            totals.setdefault(row.currency, []).append(row.total)
    pnl = ", ".join(f"{money(_sum(amounts))} {currency}" for currency, amounts in totals.items())
    # What the strategies did, once they have said it; where there is none, what everybody did.
    counts = ""
    if view.strategies:
        orders, fills = (sum(getattr(row, name) or 0 for row in view.strategies) for name in ("orders", "fills"))
        counts = f", {orders:,} orders, {fills:,} fills"
    elif not view.has_strategies:
        counts = f", all orders: {view.orders.get('accepted', 0):,}, {view.orders.get('filled', 0):,} filled"
    p99 = view.latency_us.get("round_trip", {}).get("p99", 0.0)
    return (
        f"{view.seconds:6.1f} s  {view.status}, {ready} of {len(view.engines)} ready{counts}"
        f"{f', P&L {pnl}' if pnl else ''}{f', p99 {p99:,.0f} us' if p99 else ''}"
        f"{f'; {view.warnings[-1]}' if view.warnings else ''}"
    )


def _sum(amounts: Iterable[str]) -> str:
    from decimal import Decimal

    return str(sum((Decimal(amount) for amount in amounts), Decimal(0)))


def _fit(rows: Sequence[Row], room: int) -> tuple[Sequence[Row], str]:
    """What there is room for, and how many more there are as the head of the table says it."""
    return rows[:room], f" +{len(rows) - room}" if len(rows) > room else ""


def clock(seconds: float) -> str:
    """A duration as h:mm:ss."""
    whole = max(int(seconds), 0)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def short(count: float) -> str:
    """A count in at most seven characters: 99,999 as such, beyond that with M or G."""
    if count < 100_000:
        return f"{count:,.0f}"
    return f"{count / 1e6:.2f}M" if count < 1e9 else f"{count / 1e9:.2f}G"


def _head(view: View, width: int) -> RenderableType:
    left = Text.assemble(
        (view.title, "bold"), "  ", (view.status, STATES.get(view.status, BAD)), f"  {view.instance}, {view.profile}"
    )
    right = Text()
    if view.market:
        speed = "" if view.speed == 1 else f" x{view.speed:g}"
        done = "" if view.progress is None else f" {view.progress:.0%}"
        state = " broke off" if view.broken else " finished" if view.finished else ""
        right.append(f"market {clock(view.market_seconds)}{speed}{done}{state}   ")
    right.append(f"up {clock(view.seconds)}", style="bold")
    line = Table.grid(expand=True)
    line.add_column(overflow="ellipsis", no_wrap=True)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(left, right)
    return Group(line, Text("─" * width, DIM))


def _grid(columns: Sequence[tuple[str, str, int]]) -> Table:
    table = dense_table(columns)
    table.expand = True
    return table


def _engines(lines: Sequence[EngineLine]) -> RenderableType:
    table = _grid(
        [
            ("engine", "left", LABEL),
            ("port", "right", 5),
            ("state", "left", 10),
            ("pid", "right", 7),
            ("up", "right", 7),
            ("cpu %", "right", 5),
            ("MiB", "right", 5),
            ("per s", "right", 7),
            ("p50 us", "right", 6),
            ("p99 us", "right", 6),
        ]
    )
    for line in lines:
        state = Text(line.state, STATES.get(line.state, BAD))
        if line.restarts:
            state.append(f" {line.restarts}", DIM)
        ready = line.state == "ready"
        table.add_row(
            line.name,
            str(line.port or ""),
            state,
            str(line.pid or ""),
            clock(line.uptime_seconds) if ready else "",
            "" if line.cpu_percent is None else f"{line.cpu_percent:.0f}",
            "" if line.memory_mib is None else f"{line.memory_mib:,.0f}",
            short(line.per_second) if ready else "",
            us(line.p50_us),
            us(line.p99_us),
        )
    return table


def us(value: float) -> str:
    """Microseconds with a decimal where they are few; nothing where there is none."""
    if not value:
        return ""
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _quotes(rows: Sequence[QuoteRow], more: str) -> RenderableType:
    table = _grid(
        [
            (f"instrument{more}", "left", LABEL),
            ("bid", "right", 12),
            ("", "left", 8),
            ("ask", "right", 12),
            ("", "left", 8),
            ("last", "right", 12),
        ]
    )
    for row in rows:
        table.add_row(
            row.symbol,
            Text(row.bid or "-", "bold"),
            Text(row.bid_quantity, DIM),
            Text(row.ask or "-", "bold"),
            Text(row.ask_quantity, DIM),
            row.last_price or "-",
        )
    if not rows:
        table.add_row(Text("no quote yet", DIM))
    return table


def _strategies(rows: Sequence[StrategyRow], more: str) -> RenderableType:
    table = _grid(
        [
            (f"strategy{more}", "left", LABEL),
            ("orders", "right", 7),
            ("open", "right", 4),
            ("fills", "right", 7),
            ("position", "right", 13),
            ("realised", "right", 10),
            ("unreal.", "right", 9),
            ("P&L", "right", 10),
        ]
    )
    for row in rows:
        table.add_row(*_strategy(row))
    if not rows:
        table.add_row(Text("none yet", DIM))
    return table


def _strategy(row: StrategyRow) -> list[RenderableType]:
    name = Text(row.name)
    if row.stopped:
        name.append(" stopped", BAD)
    counts = ["" if count is None else f"{count:,}" for count in (row.orders, row.open_orders, row.fills)]
    if not row.currency:
        return [name, *counts, Text("flat", DIM), "", "", ""]
    total = Text(money(row.total), "red" if row.total.startswith("-") else "green")
    return [name, *counts, row.position, money(row.realised), money(row.unrealised), total]


def _counters(view: View) -> RenderableType:
    orders, star, mesh, journal = view.orders, view.star, view.mesh, view.journal
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(min_width=LABEL, style=DIM, no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for label, name in (("round trip", "round_trip"), ("core", "core")):
        found = view.latency_us.get(name, {})
        parts = [(part, found.get(part, 0.0)) for part in ("p50", "p99", "p99.9", "max")]
        text = Text("no order yet", DIM)
        if found.get("count"):
            text = Text.assemble(*(_pair(part, us(value) or "0", "") for part, value in parts), ("us", DIM))
        table.add_row(label, text)
    # Zero is what is to be expected of it, and the line is long.
    unknown = ("unknown",) if orders.get("unknown") else ()
    table.add_row(
        "all orders", _pairs(orders, (*unknown, "open", "accepted", "rejected", "filled", "cancelled"), bad=unknown)
    )
    table.add_row("star", _pairs(star, ("published", "delivered", "gaps", "lost", "recovered"), bad=("gaps", "lost")))
    dead = {**mesh, "dead": mesh.get("dead_lettered", 0)}
    table.add_row("mesh", _pairs(dead, ("sent", "acknowledged", "retried", "dead"), bad=("dead",)))
    shown = [
        _pair(name, value if isinstance(value, str) else short(value), "")
        for name, value in journal_text(journal).items()
    ]
    table.add_row("journal", Text.assemble(*shown))
    return table


def journal_text(journal: dict[str, int]) -> dict[str, int | str]:
    """Where the journal is; in words where nobody looks how far the disk is, as nothing waits for that."""
    durable = journal.get("durable_sequence", 0)
    return {"last": journal.get("last_sequence", 0), "durable": durable or "not tracked"}


def _pairs(values: dict[str, int], names: Sequence[str], bad: Sequence[str]) -> Text:
    return Text.assemble(
        *(
            _pair(name.removesuffix("_sequence"), short(values.get(name, 0)), BAD if name in bad else "")
            for name in names
        )
    )


def _pair(name: str, value: str, bad: str) -> Text:
    return Text.assemble((f"{name} ", DIM), (value, bad if bad and value != "0" else ""), "  ")


def _foot(view: View, room: int) -> RenderableType:
    """What is wrong, the newest last, in as many lines as there are; or what Ctrl-C does."""
    lines = [Text(line, "yellow") for line in view.warnings]
    if view.missing:
        lines.append(Text(f"no answer from {', '.join(view.missing)}", "yellow"))
    if view.broken:
        lines.append(Text(view.broken, BAD))
    lines = lines[-room:] or [Text(view.hint, DIM)]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(*lines)
