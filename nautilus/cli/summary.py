"""The tables that end a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nautilus.cli.output import print_table
from nautilus.cli.progress import money

if TYPE_CHECKING:
    from nautilus.cli.live_report import LiveReport
    from nautilus.runtime.report import PositionLine, Report


COMPARED = {True: "equal to the core's", False: "DIFFER from the core's", None: "not compared"}


def print_summary(title: str, report: Report, *, endless: bool = False) -> None:
    """What came of a run; `endless`: the market has no end that it could have reached.

    Orders, fills, positions, profit, latency, checks and hashes, within 80 columns.
    """
    print(title)
    if report.broken:
        ended = "; the recording broke off"
    else:
        ended = "" if report.complete or endless else "; stopped before the end"
    print(
        f"{report.market_seconds:,.1f} s of market in {report.seconds:,.1f} s, {report.speed:,.0f} times as fast{ended}"
    )
    print(f"seed {report.seed}, latency {report.latency}")
    records = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in report.records.items())
    rows = [
        ("market data", records or "none"),
        ("orders", f"{report.orders:,}"),
        ("fills", f"{report.fills:,}"),
        ("P&L", ", ".join(f"{money(line['total'])} {currency}" for currency, line in report.pnl.items())),
        ("core", f"{report.commands:,} commands, {report.events:,} events"),
        ("gaps, lost updates", f"{report.gaps:,}, {report.lost:,}"),
    ]
    checks = report.book_checks
    if checks and checks["compared"]:
        rows.append(("book checks", f"{checks['equal']:,} of {checks['compared']:,} equal to the recording's own"))
    market = report.market
    if "unmatched_trades" in market:
        rows.append(
            (
                "recorded trades",
                f"{market['trades']:,} played, {market['unmatched_trades']:,} wholly or partly unmatched",
            )
        )
    for name in ("rejected", "skipped"):
        counts = [f"{count:,} {what.replace('_', ' ')}" for what, count in market.get(name, {}).items() if count]
        if counts:
            rows.append((f"recorded, {name}", ", ".join(counts)))
    rows += [("note", note) for note in market.get("notes", ())]
    reasons = report.order_events.get("reasons", {})
    if reasons:
        rows.append(("refusals", ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())))
    print_table("", ["summary", ""], [*rows, *last_rows(report)])
    print_strategies(report)

    names = ("p50", "p90", "p99", "p99.9", "max")
    texts = {"modelled": "order to acknowledgement, modelled", "measured": "core, each command, measured"}
    print_table(
        "",
        ["latency, us", *names],
        [(texts[kind], *(f"{report.latency_us[kind][name]:,.1f}" for name in names)) for kind in texts],
        right=(1, 2, 3, 4, 5),
    )


def last_rows(report: Report | LiveReport) -> list[tuple[str, str]]:
    """What ends the summary of every run: alerts, journal, positions, hashes."""
    rows = [("risk alerts", f"{len(report.alerts):,}")] if report.alerts else []
    if report.journal:
        rows.append(("journal", report.journal))
    return [
        *rows,
        ("positions", COMPARED[report.positions_equal]),
        ("journal hash", report.journal_hash),
        ("state hash", report.state_hash),
        ("event hash", report.event_hash),
    ]


def print_strategies(report: Report | LiveReport) -> None:
    """A line for each strategy and instrument, then accounts that are no strategy's."""
    lines = []
    for strategy in report.strategies:
        name = strategy.name + (" (stopped)" if strategy.stopped else "")
        head = (name, f"{strategy.orders:,}", f"{strategy.fills:,}")
        for held in (line for line in report.positions if line.account_id == strategy.account_id):
            lines.append((*head, *_amounts(held)))
            head = ("", "", "")
        if head[0]:
            lines.append((*head, "0", "0.00", "0.00"))
    own = {strategy.account_id for strategy in report.strategies}
    others = (held for held in report.positions if held.account_id not in own)
    lines += [(f"account {held.account_id}", "", "", *_amounts(held)) for held in others]
    if lines:
        columns = ["strategy", "orders", "fills", "position", "realised", "unrealised"]
        print_table("", columns, lines, right=(1, 2, 3, 4, 5))


def _amounts(held: PositionLine) -> tuple[str, str, str]:
    return f"{held.quantity} {held.symbol}", money(held.realised), money(held.unrealised)
