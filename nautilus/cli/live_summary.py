"""The tables that end a run of the live platform."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nautilus.cli.output import print_table
from nautilus.cli.progress import money
from nautilus.cli.summary import last_rows, print_strategies

if TYPE_CHECKING:
    from nautilus.cli.live_report import LiveReport

PERCENTILES = ("p50", "p90", "p99", "p99.9", "max")
MOST_BLIND = 5
"""Symbols that are named with the time for which they were blind, the longest first."""
LATENCIES = {"round_trip": "order to answer", "core": "core, sequenced to out"}


def print_live_summary(report: LiveReport) -> None:
    """Orders, fills, positions, profit, latency, bus, checks and hashes, within 80 columns."""
    print(report.title)
    print(f"{_market(report)}up for {report.seconds:,.1f} s")
    print(f"instance {report.instance}, {report.profile}, seed {report.seed}")
    star, mesh = report.star, report.mesh
    events = ", ".join(f"{count:,} {name}" for name, count in report.order_events.items() if count)
    refused = f"; {report.refused:,} orders or cancels refused" if report.refused else ""
    rows = [
        ("orders", f"{report.orders:,}{refused}"),
        ("fills", f"{report.fills:,}"),
        ("P&L", ", ".join(f"{money(line['total'])} {currency}" for currency, line in report.pnl.items()) or "none"),
        ("core", f"{report.commands:,} commands, {report.events:,} events"),
        ("all orders", events or "none"),
        ("star", f"{star['published']:,} records published, {star['delivered']:,} delivered"),
        ("gaps, lost records", f"{report.gaps:,}, {report.lost:,}"),
        (
            "mesh",
            f"{mesh['sent']:,} sent, {mesh['acknowledged']:,} acknowledged, {mesh['retried']:,} retried, "
            f"{mesh['dead_lettered']:,} dead",
        ),
    ]
    rows += _seen(report)
    if report.restarts:
        rows.append(("restarts", ", ".join(f"{name} {count}" for name, count in report.restarts.items())))
    if report.errors:
        rows.append(("handler errors", ", ".join(f"{name} {count:,}" for name, count in report.errors.items())))
    print_table("", ["summary", ""], [*rows, *last_rows(report)])
    print_strategies(report)
    measured = [(text, report.latency_us[name]) for name, text in LATENCIES.items() if report.latency_us[name]["count"]]
    if measured:
        print_table(
            "",
            ["latency, us", *PERCENTILES],
            [(text, *(f"{found[name]:,.1f}" for name in PERCENTILES)) for text, found in measured],
            right=(1, 2, 3, 4, 5),
        )


def _seen(report: LiveReport) -> list[tuple[str, str]]:
    """How well a live market was seen, and what was recorded."""
    rows, live = [], report.live
    if live is not None:
        times = [
            f"{name} {seconds:,.1f} s in {live.gaps[name]:,}{' (still)' if name in live.blind else ''}"
            for name, seconds in sorted(live.blind_seconds.items(), key=lambda item: -item[1])
            if live.gaps[name]
        ]
        more = f", {len(times) - MOST_BLIND} more" if len(times) > MOST_BLIND else ""
        rows.append(("blind, times", ", ".join(times[:MOST_BLIND]) + more or "never"))
        rows.append(("feed restarts", f"{live.feed_restarts:,}"))
    if report.recorded is not None:
        since = " since the recorder was started again" if report.restarts.get("recorder") else ""
        rows.append(("recorded", f"{report.recorded:,} records{since}"))
    return rows


def _market(report: LiveReport) -> str:
    from nautilus.runtime.market_name import market_name

    if report.market == "none":
        return ""
    speed = "" if report.speed == 1 else f", {report.speed:g} times as fast"
    if report.broken:
        speed += "; the recording broke off"
    elif market_name(report.market).ends and not report.complete:
        speed += "; stopped before the end"
    return f"{report.market_seconds:,.1f} s of market{speed}; "
