"""Files into a catalog: each row once, however often a file is given or its import is killed.

What is stored of a file is known by the hash of its content and by kind and instrument, as positions in the catalog:
they become durable together with the rows that they count. So an import that was killed goes on behind them, and a file
that is whole is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np

from nautilus.adapters.formats import FormatError, Recording, Table, UpdateKind, open_file
from nautilus.adapters.formats.pairs import NAME, find_pair
from nautilus.core.clock import now_ns
from nautilus.core.ticks import TickReason
from nautilus.engines.marketdata import MarketDataConfig
from nautilus.engines.marketdata.gate import Gate
from nautilus.model.errors import ConfigError
from nautilus.model.records import Records
from nautilus.store.catalog_errors import QueryError
from nautilus.store.catalog_instruments import describe
from nautilus.store.catalog_kinds import SEQUENCE
from nautilus.store.catalog_open import open_catalog
from nautilus.store.catalog_publish import MARKED

if TYPE_CHECKING:
    from nautilus.store.catalog_open import AnyCatalog, AnyWriter

KINDS: Final[dict[int, str]] = {
    UpdateKind.QUOTE: "quote",
    UpdateKind.TRADE: "trade",
    UpdateKind.BOOK: "book",
    UpdateKind.BAR: "bar",
}
SHARED_TABLES: Final = ("margin", "series", "factor", "option_quote", "instrument")
"""Schemas whose rows name what they are of: all files of one go into one table of that name."""
QUARANTINED: Final = "quarantine"
REPORTS: Final = "imports"
"""Table of the reports: one row a file."""
HASH_BYTES: Final = 1 << 20
REPORT_SUFFIX: Final = "#report"


class _Checked(NamedTuple):
    """What the gate has to know of an instrument."""

    instrument_id: int
    price_increment: Decimal
    lot_size: str
    product: str
    negative_prices: bool = True
    """A file that has them is of a market that has: of power, of spreads."""


class FileOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """How files are to be read, where they do not tell; as of `adapters.formats.open_file`."""

    kind: str = ""
    symbol: str = ""
    venue: str = ""
    zone: str = ""
    day: date | None = None


class FileResult(msgspec.Struct):
    """What became of a file.

    Parameters
    ----------
    status
        ``stored``; ``known``: it was stored before; ``refused``: it cannot be read, or not to its end (`error`).
    rows
        Records of each kind, or rows of its table, that it holds.
    stored
        How many of them this import has stored: the others were.
    refused
        Records that are not fit, by reason: they are in the kind ``quarantine``, and changes of books are marked.
    """

    path: str
    origin: str = ""
    status: str = "refused"
    format: str = ""
    instruments: list[str] = []
    rows: dict[str, int] = {}
    stored: int = 0
    refused: dict[str, int] = {}
    error: str = ""
    code: str = ""
    report: dict[str, Any] = {}


Show = Callable[[float, int], object]
"""Called with the part of the file that was read, 0 to 1, and with the rows that were."""


def files_of(paths: list[Path]) -> list[Path]:
    """The files that are named, and those in directories, in order; of a LOBSTER pair the messages alone."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.is_file())
            found |= dict.fromkeys(each for each in inside if not each.name.startswith("."))
        else:
            found[path] = None
    return [path for path in found if not _is_partner(path, found)]


def _is_partner(path: Path, others: dict[Path, None]) -> bool:
    """Whether a file is the book of a LOBSTER pair whose messages are there too."""
    match = NAME.fullmatch(path.name)
    if match is None or match["part"] != "orderbook":
        return False
    try:
        return find_pair(path).messages in others
    except FormatError:
        return False


def origin_of(path: Path, options: FileOptions) -> str:
    """Hash of what is read and of how: a copy under another name is the same."""
    digest = hashlib.sha256()
    paths = [path]
    if NAME.fullmatch(path.name):
        pair = find_pair(path)
        paths = [pair.messages, pair.rows]
    for each in paths:
        with each.open("rb") as file:
            while piece := file.read(HASH_BYTES):
                digest.update(piece)
    digest.update(msgspec.json.encode(options, order="sorted"))
    return f"sha256:{digest.hexdigest()}"


def import_file(
    path: Path,
    catalog: AnyCatalog,
    writer: AnyWriter,
    options: FileOptions | None = None,
    show: Show = lambda part, rows: None,
) -> FileResult:
    """Store what a file holds that is not stored yet; a file that cannot be read is told in the result.

    When it returns, what it tells is durable.

    Raises
    ------
    ConfigError
        A package is missing, an option is none, or the catalog cannot be written.
    """
    options = options or FileOptions()
    result = FileResult(str(path), instruments=[], rows={}, refused={}, report={})
    try:
        result.origin = origin_of(path, options)
        begun = catalog.positions(result.origin)
        if MARKED in begun:
            result.status = "known"
            return result
        opened = open_file(path, **msgspec.structs.asdict(options))
        result.format = opened.format
        try:
            if isinstance(opened, Table):
                _store_table(opened, writer, result, begun, show)
            else:
                _store_recording(opened, writer, result, begun, show)
        finally:
            result.report = opened.summary() | {"quarantine": dict(result.refused)}
        writer.mark(result.origin, 1 + sum(result.rows.values()))
        result.status = "stored"
    except (FormatError, QueryError) as error:  # such as a table that a server has no types for
        result.error, result.code = str(error), error.code
    except OSError as error:
        result.error, result.code = f"{path}: cannot be read: {error.strerror}", FormatError.code
    _keep_report(writer, result)
    writer.flush()
    return result


def _store_recording(
    opened: Recording, writer: AnyWriter, result: FileResult, begun: dict[tuple[str, str], int], show: Show
) -> None:
    keys = [describe(hint).key for hint in opened.hints]
    result.instruments = list(dict.fromkeys(keys))
    gate = _gate(opened)
    # By key, as positions are: a file may have several instruments of one (a future that is followed over its rolls).
    counts: dict[tuple[str, str], int] = {}

    def store(name: str, at: int, records: Records, last: int) -> None:
        if len(records):
            writer.append(opened.hints[at], name, records, origin=result.origin, position=last, wait=True)
            result.stored += len(records) if name != QUARANTINED else 0

    def refuse(at: int) -> None:
        refused = gate.take()
        if refused is None:
            return
        key = QUARANTINED, keys[at]
        first = counts.get(key, 0)
        counts[key] = first + len(refused)
        store(QUARANTINED, at, refused[max(0, begun.get(key, 0) - first) :], counts[key])
        for reason, count in zip(*np.unique(refused["reason"], return_counts=True), strict=True):
            text = TickReason(int(reason)).name
            result.refused[text] = result.refused.get(text, 0) + int(count)

    for kind, records in opened.blocks():
        name = KINDS[kind]
        ids = records["instrument_id"]
        for place in np.unique(ids).tolist() if len(keys) > 1 else [opened.instrument_id]:
            mine = records[ids == place] if len(keys) > 1 else records
            at = place - opened.instrument_id
            result.rows[name] = result.rows.get(name, 0) + len(mine)
            first = counts.get((name, keys[at]), 0)
            last = counts[name, keys[at]] = first + len(mine)
            # Positions count what the file holds, whatever passes: the gate only looks at what is stored already.
            done = min(max(0, begun.get((name, keys[at]), 0) - first), len(mine))
            if done:
                gate.passed(mine[:done])
            passed = gate.passed(mine[done:])
            refuse(at)
            store(name, at, passed, last)
        show(opened.progress, sum(result.rows.values()))


def _gate(opened: Recording) -> Gate:
    """The hub's own, as it is where nothing is configured: what an import refuses does not hang on settings."""
    settings = MarketDataConfig()
    instruments = [
        _Checked(number, Decimal(hint.price_increment), hint.lot_size, hint.product)
        for number, hint in enumerate(opened.hints, opened.instrument_id)
    ]
    return Gate(instruments, settings.jump_bps, round(settings.skew_ms * 1e6))


def _store_table(
    opened: Table, writer: AnyWriter, result: FileResult, begun: dict[tuple[str, str], int], show: Show
) -> None:
    from nautilus.adapters.formats.table import arrow

    name = opened.schema_name if opened.schema_name in SHARED_TABLES else opened.name
    result.instruments = [name]
    done = begun.get(("table", name), 0)
    first = 0
    for batch in opened.batches():
        last = first + len(batch)
        result.rows["table"] = last
        new = batch.slice(max(0, done - first))
        if len(new):
            table = arrow(opened.path).Table.from_batches([new])
            table = table.rename_columns([f"{each}_" if each == SEQUENCE else each for each in table.column_names])
            writer.append_table(name, table, time=opened.time, origin=result.origin, position=last, wait=True)
            result.stored += len(new)
        first = last
        show(opened.progress, last)


def _keep_report(writer: AnyWriter, result: FileResult) -> None:
    """One row in the table of reports: of a file that is stored once, of one that is refused each time."""
    from nautilus.adapters.formats.table import arrow

    found = result.report.get("report", {})
    names = ("rows", "refused", "missing", "duplicates", "out_of_order", "gaps", "outliers", "rounded")
    columns: dict[str, Any] = {
        "time_ns": [now_ns()],
        "path": [str(Path(result.path).absolute())],
        "origin": [result.origin],
        "status": [result.status],
        "format": [result.format],
        "instruments": [", ".join(result.instruments[:100])],
        "records": [sum(result.rows.values())],
        "error": [result.error],
        **{name: [int(found.get(name, 0))] for name in names},
        "quarantined": [sum(result.refused.values())],
        "report": [msgspec.json.encode(result.report, enc_hook=str).decode()],
    }
    origin = result.origin + REPORT_SUFFIX if result.status == "stored" else ""
    writer.append_table(
        REPORTS, arrow().table(columns), time="time_ns", origin=origin, position=1 if origin else 0, wait=True
    )


def import_files(
    paths: list[Path],
    place: str | Path,
    options: FileOptions | None = None,
    show: Callable[[Path | None, float, int], object] | None = None,
) -> Iterator[FileResult]:
    """Store files one after the other; all that is told is published, and seen by readers, at the end.

    Parameters
    ----------
    show
        Called with the file, the part of it that was read and its rows; without a file while all is published.

    Raises
    ------
    ConfigError
        There is no such path, or as of `import_file`.
    """
    for path in paths:
        if not path.exists():
            raise ConfigError("there is no such file or directory", where=str(path), expected="a file to import")
    stored = 0
    with open_catalog(place, create=True) as catalog, closing(catalog.writer()) as writer:
        for path in files_of(paths):

            def tell(part: float, rows: int, path: Path = path) -> None:
                if show is not None:
                    show(path, part, rows)

            result = import_file(path, catalog, writer, options, tell)
            stored += result.stored
            yield result
        if show is not None:
            show(None, 1.0, stored)
        writer.flush(publish=True)
