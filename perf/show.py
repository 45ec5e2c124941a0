"""A report as tables for a person, on the terminal or in docs/performance.md."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from perf.harness import Figure, Report


def show(report: Report) -> None:
    """Print the figures, the percentiles and the conditions."""
    console = Console()
    console.print(f"\n[bold]{report.bench}[/bold]: {report.summary}")
    if report.figures:
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("figure")
        for name in ("median", "min", "max", "unit", "goal"):
            table.add_column(name, justify="left" if name == "unit" else "right")
        for figure in report.figures:
            values = (figure.median, figure.minimum, figure.maximum)
            table.add_row(figure.name, *(number(value) for value in values), figure.unit, _goal(figure))
        console.print(table)
    if report.latency_ns:
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("latency, ns")
        names = ("count", "p50", "p90", "p99", "p99.9", "max")
        for name in names:
            table.add_column(name, justify="right")
        for label, summary in report.latency_ns.items():
            table.add_row(label, *(number(summary[name]) for name in names))
        console.print(table)
    for line in (*report.checks, *report.notes):
        console.print(f"  {line}", highlight=False)
    machine, jitter = report.conditions["machine"], report.conditions["jitter"]
    console.print(
        f"  {machine['processor']}, cores {machine['cores']}, {machine['system']}; "
        f"{report.conditions.get('pinning', 'not pinned')}; other processes kept up to "
        f"{max((figure.other_load for figure in report.figures), default=0.0):.2f} cores busy; "
        f"held up over 10 us {jitter['over_10_us_per_second']:.0f} times a second, "
        f"longest {jitter['longest_us']:.0f} us; commit {report.conditions['commit']}",
        style="dim",
        highlight=False,
    )


def number(value: float) -> str:
    """Three significant digits at least: 12.3 M, 4,567, 1.65."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.2f} M"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    return f"{number(figure.goal)} {'met' if figure.met else 'missed'}"


def markdown(reports: list[dict[str, Any]]) -> str:
    """Tables for docs/performance.md from what `--json` wrote."""
    lines = ["| bench | figure | median | least to most | goal |", "|---|---|---|---|---|"]
    for report in reports:
        for figure in report["figures"]:
            goal = "" if figure["goal"] is None else f"{number(figure['goal'])} {'met' if figure['met'] else 'missed'}"
            lines.append(
                f"| `{report['bench']}` | {figure['name']} | {number(figure['median'])} {figure['unit']} "
                f"| {number(figure['minimum'])} to {number(figure['maximum'])} | {goal} |"
            )
    lines += ["", "| bench | latency, ns | p50 | p90 | p99 | p99.9 | max |", "|---|---|---|---|---|---|---|"]
    for report in reports:
        for label, summary in report["latency_ns"].items():
            values = " | ".join(number(summary[name]) for name in ("p50", "p90", "p99", "p99.9", "max"))
            lines.append(f"| `{report['bench']}` | {label} | {values} |")
    lines.append("")
    for report in reports:
        machine, jitter = report["conditions"]["machine"], report["conditions"]["jitter"]
        others = max((figure["other_load"] for figure in report["figures"]), default=0.0)
        lines.append(
            f"- `{report['bench']}`: {report['conditions']['date']}, commit {report['conditions']['commit']}, "
            f"{machine['processor']}, {len(machine['cores'])} cores, {machine['system']}"
            f"{', virtual' if machine['virtual'] else ''}, "
            f"Python {report['conditions']['versions']['python']}, "
            f"{report['conditions'].get('pinning', 'not pinned')}; "
            f"other processes kept up to {others:.2f} cores busy; the core was held up over 10 us "
            f"{jitter['over_10_us_per_second']:.0f} times a second, {jitter['longest_us']:.0f} us at most."
        )
    return "\n".join(lines) + "\n"
