"""A report as tables for a person."""

from __future__ import annotations

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
        for name in ("median", "min", "max", "goal"):
            table.add_column(name, justify="right")
        table.add_column("unit")
        for figure in report.figures:
            values = (figure.median, figure.minimum, figure.maximum)
            table.add_row(figure.name, *(number(value) for value in values), _goal(figure), figure.unit)
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
        f"{report.conditions.get('pinning', 'not pinned')}; load {report.conditions['load_average'][0]:.2f}; "
        f"held up over 10 us {jitter['over_10_us_per_second']:.0f} times a second, "
        f"longest {jitter['longest_us']:.0f} us; commit {report.conditions['commit']}",
        style="dim",
        highlight=False,
    )


def number(value: float) -> str:
    """Four significant digits at least, thousands parted."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    word = "met" if figure.met else "missed"
    return f"{'<=' if figure.lower_is_better else '>='} {number(figure.goal)} {word}"
