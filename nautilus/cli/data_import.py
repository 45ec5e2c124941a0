"""`nautilus data import`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nautilus.cli.data import catalog_place
from nautilus.cli.output import json_option, print_error, print_json, print_table

if TYPE_CHECKING:
    from rich.progress import Progress

    from nautilus.runtime.file_import import FileResult

SHOWN_REFUSALS = 5
NAME_WIDTH = 26
SAID = {"quote": "quotes", "trade": "trades", "book": "book changes", "bar": "bars", "table": "rows"}
COUNTED = ("refused", "missing", "duplicates", "out_of_order", "gaps", "outliers", "rounded")


@click.command("import")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--into", metavar="DIR|URL", help="The catalog.  [default: that of the configuration]")
@click.option(
    "--kind", metavar="KIND", default="", help="What rows of CSV or Parquet are: bar, quote, trade, table ..."
)
@click.option("--symbol", default="", help="Of files that do not name theirs; or the one wanted of several.")
@click.option("--venue", default="", help="Of files that do not name theirs.")
@click.option("--zone", default="", help="Of times that name none, such as America/New_York.  [default: UTC]")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="Of an ITCH file whose name does not tell it.")
@json_option
def import_(
    paths: tuple[str, ...],
    into: str | None,
    kind: str,
    symbol: str,
    venue: str,
    zone: str,
    day: datetime | None,
    as_json: bool,
) -> int:
    """Store files of recorded market data, each row once.

    The format of a file is told by its content. An import that was stopped goes on where it was, and a file that is
    stored is known by its content. Exit code 1 where a file was refused; all others are stored.
    """
    from nautilus.runtime.file_import import FileOptions, files_of, import_files
    from nautilus.store.catalog_open import shown

    place = catalog_place(into)
    missing = next((path for path in paths if not Path(path).exists()), None)
    if missing is not None:
        raise click.UsageError(f"{missing}: there is no such file or directory")
    options = FileOptions(kind, symbol, venue, zone, day.date() if day else None)
    wanted = [Path(path) for path in paths]
    results: list[FileResult] = []
    with _progress(len(files_of(wanted)), quiet=as_json) as bars:
        for result in import_files(wanted, place, options, None if bars is None else bars.show):
            results.append(result)
            if bars is not None:
                bars.done()
            if not as_json and not result.error:
                _tell(result)
            if result.error:
                print_error(result.error, result.code)
    refused = [result for result in results if result.status == "refused"]
    if as_json:
        print_json({"catalog": shown(place), "files": [_plain(result) for result in results], **_totals(results)})
    else:
        totals = _totals(results)
        print_table(
            "",
            ["files", "stored", "known", "refused", "rows stored"],
            [[f"{count:,}" for count in (len(results), *totals.values())]],
            right=range(5),
        )
    return 1 if refused else 0


def _totals(results: list[FileResult]) -> dict[str, int]:
    statuses = [result.status for result in results]
    counts = {status: statuses.count(status) for status in ("stored", "known", "refused")}
    return counts | {"rows_stored": sum(result.stored for result in results)}


def _plain(result: FileResult) -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(result, enc_hook=str)
    return plain


def _tell(result: FileResult) -> None:
    """What was found in a file, as a person reads it."""
    if result.status == "known":
        print(f"{result.path}: stored before")
        return
    rows = ", ".join(f"{count:,} {SAID.get(kind, kind)}" for kind, count in sorted(result.rows.items())) or "nothing"
    names = ", ".join(result.instruments[:3]) + (" ..." if len(result.instruments) > 3 else "")
    print(f"{result.path}: {result.format}, {names}: {rows}; {result.stored:,} stored")
    if result.refused:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(result.refused.items()))
        print(f"  {sum(result.refused.values()):,} not fit, kept in quarantine: {reasons}")
    report = result.report.get("report", {})
    odd = [f"{report[name]:,} {name.replace('_', ' ')}" for name in COUNTED if report.get(name)]
    if odd:
        print(f"  of {report['rows']:,} rows: {', '.join(odd)}")
    for refusal in report.get("refusals", [])[:SHOWN_REFUSALS]:
        print(f"  line {refusal['line']}: {refusal['field']} {refusal['reason']}")
    for note in report.get("notes", [])[:SHOWN_REFUSALS]:
        print(f"  {note}")


@contextmanager
def _progress(files: int, *, quiet: bool) -> Iterator[_Bars | None]:
    """A bar for the files and one for the file that is read, on a terminal."""
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") in ("dumb", "unknown"):
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn

    from nautilus.cli.output import console

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[text]}", markup=False),
    )
    with Progress(
        *columns,
        console=console(stderr=True),
        transient=True,
        refresh_per_second=10,
        redirect_stdout=sys.stdout.isatty(),  # above the bars there; what goes to a file or a pipe goes on doing so
    ) as progress:
        yield _Bars(progress, files)


class _Bars:
    """A bar for the files, which counts those that are stored, and one for what is under way."""

    def __init__(self, progress: Progress, files: int) -> None:
        self._progress = progress
        self._files = files
        self._done = 0
        self._whole = progress.add_task(_named("files"), total=files, text=f"0 of {files} stored")
        self._one = progress.add_task("", total=1.0, text="")

    def show(self, path: Path | None, part: float, rows: int) -> None:
        """See `nautilus.runtime.file_import.import_files`."""
        if path is None:
            self._progress.update(self._one, description=_named("publishing"), total=None, text=f"{rows:,} rows")
            return
        text = f"{rows:,} rows" if part < 1.0 else f"{rows:,} rows, storing"
        self._progress.update(self._one, description=_named(path.name), completed=min(part, 1.0), text=text)

    def done(self) -> None:
        """One more is stored, or refused."""
        self._done += 1
        self._progress.update(self._whole, completed=self._done, text=f"{self._done} of {self._files} stored")


def _named(text: str) -> str:
    """A name of one width, so that bars stand still."""
    return text[-NAME_WIDTH:].ljust(NAME_WIDTH)
