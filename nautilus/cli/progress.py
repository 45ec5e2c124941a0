"""Progress of a run on stderr: a live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nautilus.runtime.report import Progress

    Show = Callable[[Progress], None]

PLAIN_SECONDS = 2.0


@contextmanager
def progress_display(title: str, for_seconds: float | None, *, quiet: bool = False) -> Iterator[Show | None]:
    """A function that shows a `Progress`; None where nothing is to be shown (`quiet` and no terminal)."""
    if sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
        with _live(title, for_seconds) as show:
            yield show
    elif quiet:
        yield None
    else:
        yield _plain()


def describe(progress: Progress) -> str:
    """One line: market time, orders, fills, profit."""
    pnl = ", ".join(f"{money(amount)} {currency}" for currency, amount in progress.pnl.items())
    return (
        f"market {progress.market_seconds:,.0f} s, {progress.orders:,} orders, {progress.fills:,} fills"
        f"{f', P&L {pnl}' if pnl else ''}"
    )


def money(amount: str) -> str:
    """A decimal as text, rounded to cents for a person; no sign at zero."""
    from decimal import Decimal

    return f"{Decimal(amount):z,.2f}"


def part_done(progress: Progress, for_seconds: float | None) -> float | None:
    """0 to 1: the nearer of the two ends, the market's and the wall clock's; None where there is neither."""
    parts = [progress.fraction, None if for_seconds is None else progress.seconds / for_seconds]
    known = [part for part in parts if part is not None]
    return min(1.0, max(known)) if known else None


def _plain() -> Show:
    shown_seconds = 0.0
    filled = False

    def show(progress: Progress) -> None:
        nonlocal shown_seconds, filled
        first_fill = bool(progress.fills) and not filled
        if progress.seconds - shown_seconds >= PLAIN_SECONDS or first_fill:
            shown_seconds, filled = progress.seconds, filled or first_fill
            print(f"{progress.seconds:6.1f} s  {describe(progress)}", file=sys.stderr, flush=True)

    return show


@contextmanager
def _live(title: str, for_seconds: float | None) -> Iterator[Show]:
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bar

    from nautilus.cli.output import console

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        TaskProgressColumn(),
        TextColumn("{task.fields[text]}", markup=False),
    )
    with Bar(*columns, console=console(stderr=True), transient=True, refresh_per_second=10) as bar:
        task = bar.add_task(title, total=None, text="")

        def show(progress: Progress) -> None:
            part = part_done(progress, for_seconds)
            total = None if part is None else 1.0
            bar.update(task, total=total, completed=part or 0.0, text=describe(progress))

        yield show
