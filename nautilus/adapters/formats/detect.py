"""Tell the format of a file by its content, and open what it holds."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from nautilus.adapters.formats.archives import EMPTY_ZIP, ZIP_MAGIC, MemberReader, members
from nautilus.adapters.formats.binance import BinanceRecording
from nautilus.adapters.formats.blocks import BlockReader, ByteReader
from nautilus.adapters.formats.bybit import BybitRecording, is_bybit
from nautilus.adapters.formats.depth_rows import BinanceDepthRows, TardisRecording, is_depth_rows
from nautilus.adapters.formats.inference import BOM, check_text, read_layout
from nautilus.adapters.formats.itch import ItchRecording
from nautilus.adapters.formats.lean import LeanRecording, lean_archive, lean_name
from nautilus.adapters.formats.lobster import LobsterRecording
from nautilus.adapters.formats.pairs import NAME, find_pair
from nautilus.adapters.formats.recording import FormatError, Recording
from nautilus.adapters.formats.table import Table
from nautilus.core.itch import ITCH_LENGTHS
from nautilus.model.errors import ConfigError

EXPECTED = (
    "a raw Binance or Bybit log, a LOBSTER pair, ITCH 5.0, Databento DBN, a zip archive of Lean, Tardis or Binance "
    "depth rows, CSV, or Parquet"
)
HEAD_BYTES = 1 << 14
KINDS = ("bar", "quote", "trade", "table", "panel", "series")
STAMPED = re.compile(rb"\d{1,19}[ \t]+\{")
NUMBERS = re.compile(rb"-?[\d.]+(,-?[\d.]+)+\r?")
DBN_MAGIC, ZSTD_MAGIC, PARQUET_MAGIC = b"DBN", b"\x28\xb5\x2f\xfd", b"PAR1"
# Formats that people mix up with ours, by their first bytes.
OTHERS = {
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"%PDF": "a PDF file",
    b"\xd0\xcf\x11\xe0": "an Excel file",
    b"\x89HDF": "an HDF5 file",
    b"ARROW1": "an Arrow file",
    b"SQLite": "a SQLite database",
}


def open_recording(
    path: str | Path, *, price_increment: str = "", lot_size: str = "", symbol: str = "", instrument_id: int = 1
) -> Recording:
    """Open a recording of one instrument's market; its format is told by what is in it, never by its name alone.

    Parameters
    ----------
    path
        A file; of a LOBSTER pair also the directory, or the names' common prefix.
    price_increment, lot_size
        Decimal strings for a raw log, where the ones inferred from its head are not wanted.
    symbol
        Which, of a file with several instruments; left out, the first of a raw log or an ITCH file.
    instrument_id
        Written into every record.

    Raises
    ------
    FormatError
        Not there, not readable, empty, binary, of no known format, of several instruments without `symbol`, or it
        holds bars or a table, which are no market to play.
    """
    opened = open_file(
        path, price_increment=price_increment, lot_size=lot_size, symbol=symbol, instrument_id=instrument_id
    )
    where = str(path)
    if isinstance(opened, Table):
        raise FormatError(
            f"holds a table ({opened.schema_name}), no market", where=where, expected="quotes, trades or book changes"
        )
    if opened.holds_bars:
        raise FormatError("holds bars, no market", where=where, expected="quotes, trades or book changes")
    if len(opened.hints) > 1:
        names = ", ".join(hint.symbol for hint in opened.hints[:12])
        raise FormatError(f"holds {len(opened.hints)} instruments: {names}", where=where, expected="the symbol of one")
    return opened


def open_file(
    path: str | Path,
    *,
    kind: str = "",
    symbol: str = "",
    venue: str = "",
    zone: str = "",
    price_increment: str = "",
    lot_size: str = "",
    day: date | None = None,
    instrument_id: int = 1,
) -> Recording | Table:
    """Open whatever is kept in a catalog: a recording, of one instrument or several, or a table.

    Parameters
    ----------
    path
        As of `open_recording`.
    kind
        What the rows of CSV and Parquet have to be: ``bar``, ``quote``, ``trade``, ``panel``, ``series``, ``table``.
    symbol, venue
        Of the instrument where the file does not name it; else the one that is wanted of several.
    zone
        Of times that do not name theirs, such as ``America/New_York``.
    day
        Of an ITCH file whose name does not tell it.
    price_increment, lot_size, instrument_id
        As of `open_recording`.

    Raises
    ------
    ConfigError
        A package is missing that the format needs, or an option is none.
    FormatError
        As of `open_recording`.
    """
    if kind and kind not in KINDS:
        raise ConfigError(f"kind {kind!r}", expected=", ".join(KINDS))
    path = Path(path)
    if not path.is_file():
        return LobsterRecording(*find_pair(path), instrument_id=instrument_id)
    found = sniff(path)
    if found == "itch":
        return ItchRecording(path, symbol, day, instrument_id=instrument_id)
    if found == "binance":
        return BinanceRecording(
            path, price_increment=price_increment, lot_size=lot_size, symbol=symbol, instrument_id=instrument_id
        )
    if found == "lobster":
        return LobsterRecording(*find_pair(path), instrument_id=instrument_id)
    if found == "bybit":
        return BybitRecording(
            path, price_increment=price_increment, lot_size=lot_size, symbol=symbol, instrument_id=instrument_id
        )
    if found == "dbn":
        from nautilus.adapters.formats.dbn import open_dbn

        return open_dbn(path, kind=kind, symbol=symbol, instrument_id=instrument_id)
    if found == "parquet":
        from nautilus.adapters.formats.parquet import open_parquet

        return open_parquet(
            path, kind=kind, symbol=symbol, venue=venue, zone=zone, instrument_id=instrument_id
        )  # fmt: skip
    if found == "tardis":
        return TardisRecording(path, symbol=symbol, instrument_id=instrument_id)
    if found == "binance-depth":
        return BinanceDepthRows(path, symbol=symbol, instrument_id=instrument_id)
    if found == "zip":
        return _open_archive(path, symbol, zone, price_increment, lot_size, instrument_id)
    if found == "lean":
        name = lean_name(path.name, _first_line(path))
        assert name is not None
        return LeanRecording(path, name, symbol=symbol, zone=zone, instrument_id=instrument_id)
    return _open_delimited(path, kind, symbol, venue, zone, instrument_id)


def _open_delimited(path: Path, kind: str, symbol: str, venue: str, zone: str, instrument_id: int) -> Recording | Table:
    from nautilus.adapters.formats.delimited import DelimitedRecording
    from nautilus.adapters.formats.delimited_table import DelimitedTable

    layout = read_layout(path, kind)
    if layout.rows in ("bar", "trade", "quote"):
        return DelimitedRecording(
            path, layout, symbol=symbol, venue=venue, zone=zone, instrument_id=instrument_id
        )  # fmt: skip
    return DelimitedTable(path, layout, symbol=symbol, zone=zone)


def _open_archive(
    path: Path, symbol: str, zone: str, price_increment: str, lot_size: str, instrument_id: int
) -> Recording | Table:
    from nautilus.adapters.formats.lean_options import LeanOptions, is_option_archive

    lean = lean_archive(path)
    if lean is not None:
        member, name = lean
        return LeanRecording(path, name, member, symbol=symbol, zone=zone, instrument_id=instrument_id)
    if is_option_archive(path):
        return LeanOptions(path, symbol=symbol, zone=zone)
    names = members(path)
    if len(names) == 1 and is_bybit(next(iter(MemberReader(path, names[0], HEAD_BYTES)), b"")):
        return BybitRecording(
            path,
            names[0],
            price_increment=price_increment,
            lot_size=lot_size,
            symbol=symbol,
            instrument_id=instrument_id,
        )
    shown = ", ".join(names[:4]) + (" ..." if len(names) > 4 else "")
    raise FormatError(
        f"a zip archive of {shown}", where=str(path), expected="ticks, bars or options of Lean, or a Bybit log"
    )


def _first_line(path: Path) -> bytes:
    head = next((block for block in BlockReader(path, HEAD_BYTES) if block.strip()), b"")
    return head.removeprefix(BOM).lstrip().split(b"\n", 1)[0][:HEAD_BYTES]


def sniff(path: Path) -> str:
    """The format of a file by its first bytes, such as ``binance``, ``lobster``, ``zip`` or ``csv``."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", where=str(path), expected=EXPECTED) from error
    for magic, name in OTHERS.items():
        if start.startswith(magic):
            raise FormatError(f"is {name}", where=str(path), expected=EXPECTED)
    if start.startswith((ZIP_MAGIC, EMPTY_ZIP)):
        return "zip"
    if start.startswith((DBN_MAGIC, ZSTD_MAGIC)):
        return "dbn"
    if start.startswith(PARQUET_MAGIC):
        return "parquet"
    if is_itch(next(iter(ByteReader(path)), b"")):
        return "itch"
    first = _first_line(path)
    if not first:
        raise FormatError("is empty", where=str(path), expected=EXPECTED)
    if STAMPED.match(first):
        return "binance"
    if NUMBERS.fullmatch(first) and NAME.fullmatch(path.name):
        return "lobster"
    if is_bybit(first):
        return "bybit"
    if first.startswith((b"{", b"[")):
        raise FormatError(
            "JSON that is no log of a venue's messages, such as the answer of a data provider",
            where=f"{path}:1",
            expected=EXPECTED,
        )
    if first.startswith((b"interactions:", b"---", b"<")):
        what = "markup" if first.startswith(b"<") else "YAML, such as recorded HTTP answers"
        raise FormatError(f"is {what}", where=f"{path}:1", expected=EXPECTED)
    depth = is_depth_rows(first)
    if depth:
        return depth
    if lean_name(path.name, first) is not None:
        return "lean"
    check_text(first, str(path), 1)
    return "csv"


def is_itch(head: bytes) -> bool:
    """Whether a file begins with a length of two bytes and a message type of ITCH 5.0 that is as long."""
    return len(head) > 2 and ITCH_LENGTHS.get(head[2:3]) == int.from_bytes(head[:2], "big")
