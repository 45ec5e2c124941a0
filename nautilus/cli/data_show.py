"""`nautilus data list | show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nautilus.cli.data import open_catalog
from nautilus.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    import pyarrow as pa

    from nautilus.store.catalog_manifest import Range

TABLE = "table"
UNITS = ("B", "K", "M", "G", "T")
COLUMNS = {
    "quote": ("time", "bid", "bid_quantity", "ask", "ask_quantity"),
    "trade": ("time", "price", "quantity", "side", "trade_id"),
    "book": ("time", "action", "side", "price", "quantity"),
    "auction": ("time", "price", "quantity", "surplus", "phase"),
    "bar": ("time", "open", "high", "low", "close", "volume"),
    "flow": ("time", "imbalance", "bid_depth", "ask_depth", "updates"),
}
"""What a person sees of records; `--json` has all."""


@click.command("list")
@click.option("--catalog", "path", metavar="DIR|URL", help="The catalog.  [default: that of the configuration]")
@click.option("--kind", metavar="KIND", help="Of this kind alone.")
@json_option
def list_(path: str | None, kind: str | None, as_json: bool) -> None:
    """List what is stored of each kind and instrument."""
    with open_catalog(path) as catalog:
        ranges = [each for each in catalog.ranges() if kind is None or each.kind == kind]
        root = catalog.where
    if as_json:
        print_json({"catalog": root, "ranges": [each._asdict() for each in ranges]})
        return
    if not ranges:
        print(f"nothing is stored in {root}")
        return
    columns = ["kind", "instrument", "rows", "from", "to", "size"]
    print_table("", columns, map(_row, ranges), right=(2, 5), whole=(0, 2, 3, 4, 5), close=True)


def _row(each: Range) -> list[object]:
    return [each.kind, each.instrument, f"{each.rows:,}", *_span(each), _size(each.bytes)]


def _span(each: Range) -> tuple[str, str]:
    """First and last time, UTC, to the second: of one day the date once, of several days the dates alone."""
    if not each.last_ns:
        return "", ""
    first, last = _when(each.first_ns), _when(each.last_ns)
    return (first, last[11:]) if first[:10] == last[:10] else (first[:10], last[:10])


def _size(count: int) -> str:
    """Bytes, as ``ls -h`` says them; of a server, which does not tell them, nothing."""
    size, unit = float(count), 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return "" if not count else f"{size:.1f}{UNITS[unit]}" if unit and size < 10 else f"{size:.0f}{UNITS[unit]}"


def _when(time_ns: int) -> str:
    """A time to the second, UTC."""
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(time_ns // 10**9, UTC):%Y-%m-%d %H:%M:%S}"


@click.command()
@click.argument("name", metavar="INSTRUMENT|TABLE")
@click.option("--catalog", "path", metavar="DIR|URL", help="The catalog.  [default: that of the configuration]")
@click.option("--kind", metavar="KIND", help="Of this kind alone.")
@click.option("--limit", type=click.IntRange(0, 10_000), default=5, show_default=True, help="Rows shown of each kind.")
@json_option
def show(name: str, path: str | None, kind: str | None, limit: int, as_json: bool) -> None:
    """Show an instrument or a table: what it is, what is stored, and its first rows.

    `nautilus data show imports` shows the reports of all files that were imported.
    """
    import msgspec

    from nautilus.store.catalog_kinds import QueryError

    with open_catalog(path) as catalog:
        try:
            instrument = catalog.instrument(name)
        except QueryError as error:
            raise click.UsageError(str(error)) from error
        ranges = [
            each
            for each in catalog.ranges()
            if each.instrument == instrument.key and (kind is None or each.kind == kind)
        ]
        rows: dict[str, list[dict[str, Any]]] = {}
        if limit:
            for each in ranges:
                order = "none" if each.kind == TABLE else "time"
                rows[each.kind] = _plain(catalog.query(each.kind, instrument.key, limit=limit, order=order))
    if as_json:
        facts = {"instrument": msgspec.to_builtins(instrument), "ranges": [each._asdict() for each in ranges]}
        print_json({**facts, "rows": rows})
        return
    described = [[field, value] for field, value in msgspec.to_builtins(instrument).items() if value]
    for row in described:
        if row[0] == "tick_table":
            row[1] = ", ".join(f"{step} from {price} on" for price, step in row[1])
    print_table("", ["instrument", instrument.key], described)
    stored = [[each.kind, f"{each.rows:,}", *_whole_span(each), _size(each.bytes)] for each in ranges]
    print_table("", ["kind", "rows", "from", "to", "size"], stored, right=(1, 4))
    for each_kind, some in rows.items():
        _print_rows(each_kind, some)


def _whole_span(each: Range) -> tuple[str, str]:
    return (_when(each.first_ns), _when(each.last_ns)) if each.last_ns else ("", "")


def _plain(table: pa.Table) -> list[dict[str, Any]]:
    """Rows with times as text: Python's own have no nanoseconds."""
    from nautilus.store.catalog_parts import arrow

    types = arrow().types
    for at, field in enumerate(table.schema):
        if types.is_timestamp(field.type):
            table = table.set_column(at, field.name, table.column(at).cast(arrow().string()))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _exact(text: str) -> str:
    """A time without the zeros at its end."""
    moment, _, fraction = text.replace("T", " ").partition(".")
    digits = fraction.rstrip("0")
    return f"{moment}.{digits}" if digits else moment


def _print_rows(kind: str, rows: list[dict[str, Any]]) -> None:
    names = COLUMNS.get(kind)
    if rows and names:
        table = [[_cell(name, kind, row[name]) for name in names] for row in rows]
        print_table(f"first {kind} rows" if len(rows) > 1 else f"first {kind}", names, table, right=range(1, 6))
        return
    from shutil import get_terminal_size
    from textwrap import fill

    for row in rows:
        words = [f"{name}={_cell(name, kind, value)}" for name, value in row.items() if value not in (None, "")]
        width = max(40, get_terminal_size().columns)
        print(fill(f"{kind}: {', '.join(words)}", width, subsequent_indent="  ", break_on_hyphens=False))


def _cell(name: str, kind: str, value: Any) -> str:
    if kind in COLUMNS and name in ("side", "action"):
        from nautilus.core.types import BookAction, Side

        of = Side if name == "side" else BookAction
        return of(value).name.lower().replace("_", " ") if value in set(of) else ""
    if name == "time":
        return _exact(str(value))
    text = _when(value) if name.endswith("_ns") and isinstance(value, int) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
