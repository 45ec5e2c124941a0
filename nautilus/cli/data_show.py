"""`nautilus data list | show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nautilus.cli.data import open_catalog
from nautilus.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    import pyarrow as pa

    from nautilus.store.catalog_manifest import Range

MIB = 1 << 20
TABLE = "table"


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
    columns = ["kind", "instrument", "rows", "from", "to", "MiB"]
    print_table("", columns, [_row(each) for each in ranges], right=(2, 5), whole=(0, 2, 3, 4))


def _row(each: Range) -> list[object]:
    times = [_when(each.first_ns), _when(each.last_ns)] if each.last_ns else ["", ""]
    return [each.kind, each.instrument, f"{each.rows:,}", *times, f"{each.bytes / MIB:,.1f}"]


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
    print_table("", ["instrument", instrument.key], described)
    print_table(
        "", ["kind", "rows", "from", "to", "MiB"], [[_row(each)[0], *_row(each)[2:]] for each in ranges], right=(1, 4)
    )
    for each_kind, some in rows.items():
        for row in some:
            print(
                f"{each_kind}: " + ", ".join(f"{key}={_cell(value)}" for key, value in row.items() if value is not None)
            )


def _plain(table: pa.Table) -> list[dict[str, Any]]:
    """Rows with times as text: Python's own have no nanoseconds."""
    from nautilus.store.catalog_parts import arrow

    types = arrow().types
    for at, field in enumerate(table.schema):
        if types.is_timestamp(field.type):
            table = table.set_column(at, field.name, table.column(at).cast(arrow().string()))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _cell(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
