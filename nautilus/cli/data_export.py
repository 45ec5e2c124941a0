"""`nautilus data export`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from nautilus.cli.data import open_catalog
from nautilus.cli.output import json_option, print_json

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("parquet", "csv", "arrow", "json")
TABLE = "table"


@click.command()
@click.argument("out", metavar="FILE|-")
@click.option("--kind", default="trade", show_default=True, help="quote, trade, book, bar, table ...")
@click.option("--instrument", "instruments", multiple=True, help="Key or symbol, or the table; may be repeated.")
@click.option("--from", "begin", metavar="TIME", help="ISO 8601, UTC; or nanoseconds.")
@click.option("--to", "end", metavar="TIME", help="Not included.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="Default: as the name of the file ends, else parquet."
)
@click.option("--limit", type=click.IntRange(1), help="Rows, at most.")
@click.option("--catalog", "path", metavar="DIR|URL", help="The catalog.  [default: that of the configuration]")
@json_option
def export(
    out: str,
    kind: str,
    instruments: tuple[str, ...],
    begin: str | None,
    end: str | None,
    form: str | None,
    limit: int | None,
    path: str | None,
    as_json: bool,
) -> None:
    """Write stored rows to a file, or to standard output where it is `-`.

    The file appears whole or not at all.
    """
    from nautilus.model.moments import moment_ns
    from nautilus.store.catalog_kinds import QueryError

    form = form or _form_of(out)
    if as_json and out == "-":
        raise click.UsageError("--json and `-` both want standard output")
    if out == "-" and form == "parquet":
        raise click.UsageError("--format parquet needs a file; expected csv, arrow or json for `-`")
    with open_catalog(path) as catalog:
        try:
            reader = catalog.query_reader(
                kind,
                list(instruments) or None,
                moment_ns(begin, "--from") if begin else None,
                moment_ns(end, "--to") if end else None,
                limit=limit or 0,
                order="none" if kind == TABLE else "time",
            )
            with reader as batches:
                rows = _to_output(batches, form) if out == "-" else _to_file(batches, form, Path(out))
        except QueryError as error:
            raise click.UsageError(str(error)) from error
    if as_json:
        print_json({"file": out, "format": form, "kind": kind, "rows": rows})
    elif out != "-":
        print(f"{out}: {rows:,} rows")


def _form_of(out: str) -> str:
    ending = Path(out).suffix.lstrip(".").lower()
    return ending if ending in FORMATS else "csv" if out == "-" else "parquet"


def _to_output(batches: pa.RecordBatchReader, form: str) -> int:
    rows = _write(batches, form, sys.stdout.buffer)
    sys.stdout.buffer.flush()
    return rows


def _to_file(batches: pa.RecordBatchReader, form: str, out: Path) -> int:
    unfinished = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            rows = _write(batches, form, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
    return rows


def _write(batches: pa.RecordBatchReader, form: str, file: BinaryIO) -> int:
    """Write the batches one by one; the number of rows."""
    from nautilus.store.catalog_encode import encode_arrow, encode_json
    from nautilus.store.catalog_parts import arrow

    counted = _Counted(batches)
    if form in ("arrow", "json"):
        reader = arrow().RecordBatchReader.from_batches(batches.schema, counted)
        for piece in (encode_arrow if form == "arrow" else encode_json)(reader):
            file.write(piece)
        return counted.rows
    writer: Any
    if form == "csv":
        import pyarrow.csv

        writer = pyarrow.csv.CSVWriter(file, batches.schema)
    else:
        import pyarrow.parquet

        writer = pyarrow.parquet.ParquetWriter(file, batches.schema, compression="zstd")
    with writer:
        for batch in counted:
            writer.write_batch(batch)
    return counted.rows


class _Counted:
    """The batches of a reader, and how many rows they had."""

    def __init__(self, batches: Any) -> None:
        self.rows = 0
        self._batches = batches

    def __iter__(self) -> Any:
        for batch in self._batches:
            self.rows += len(batch)
            yield batch
