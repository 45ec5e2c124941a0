"""What commands print: one JSON object, or tables that fit 80 columns; progress and errors go to stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod
    from rich.table import Table

Command = TypeVar("Command", bound=Callable[..., Any])


def json_option(command: Command) -> Command:
    """The option `--json`, as the parameter `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def marked(text: str, code: str) -> str:
    """An error in one line that ends with its stable code."""
    line, mark = " ".join(text.split()), f"({code})"
    return line if line.endswith(mark) else f"{line} {mark}"


def print_error(text: str, code: str) -> None:
    """One line on stderr that ends with the stable code of what it says."""
    print(f"nautilus: error: {marked(text, code)}", file=sys.stderr)


def print_json(value: object) -> None:
    """One object on stdout, with a line end. Integers beyond 64 bits are written in full, decimals as text."""
    import json

    print(json.dumps(value, default=_plain, indent=2 if sys.stdout.isatty() else None, allow_nan=False))


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """A Rich console: colour only on a terminal, 80 columns where there is none and no `width` is given."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=False, width=width)


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Sequence[int] = (),
    whole: Sequence[int] = (),
    close: bool = False,
) -> None:
    """A table on stdout; the columns whose positions are in `right` are aligned to the right; those in `whole` stay on
    one line; `close`: with one space between columns."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    if close:
        table.padding = (0, 0)
    for position, name in enumerate(columns):
        side: JustifyMethod = "right" if position in right else "left"
        table.add_column(name, justify=side, overflow="fold", no_wrap=position in whole)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console().print(table)


def dense_table(columns: Sequence[tuple[str, str, int]]) -> Table:
    """A table without lines, for many columns; each is its name, ``left`` or ``right``, and its least width."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name, side, width in columns:
        table.add_column(
            name, justify="right" if side == "right" else "left", no_wrap=True, overflow="ellipsis", min_width=width
        )
    return table


def _plain(value: object) -> object:
    """Decimals, enumerations, paths and numpy scalars as JSON knows them."""
    item = getattr(value, "item", None)
    return item() if callable(item) else str(value)
