"""Tell the format of a recording by its content, and open it."""

from __future__ import annotations

import re
from pathlib import Path

from nautilus.adapters.formats.binance import BinanceRecording
from nautilus.adapters.formats.blocks import BlockReader, ByteReader
from nautilus.adapters.formats.itch import ItchRecording
from nautilus.adapters.formats.lobster import LobsterRecording
from nautilus.adapters.formats.pairs import find_pair
from nautilus.adapters.formats.recording import FormatError, Recording
from nautilus.core.itch import ITCH_LENGTHS

EXPECTED = "a raw Binance log (.gz or plain), a LOBSTER message or orderbook file, or an ITCH 5.0 file"
HEAD_BYTES = 1 << 14
STAMPED = re.compile(rb"\d{1,19}[ \t]+\{")
NUMBERS = re.compile(rb"-?[\d.]+(,-?[\d.]+)+\r?")
# Formats that people mix up with ours, by their first bytes.
OTHERS = {
    b"PK\x03\x04": "a zip archive",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"PAR1": "a Parquet file",
    b"DBN": "a DBN file",
}


def open_recording(
    path: str | Path, *, price_increment: str = "", lot_size: str = "", instrument_id: int = 1
) -> Recording:
    """Open a recording; its format is told by what is in it, never by its name alone.

    Parameters
    ----------
    path
        A raw Binance log or an ITCH 5.0 file, gzip or plain; or of a LOBSTER pair either file, the directory, or the
        names' common prefix. Of an ITCH file the first instrument is taken; `ItchRecording` takes any.
    price_increment, lot_size
        Decimal strings for a Binance log, where the ones inferred from its head are not wanted.
    instrument_id
        Written into every record.

    Raises
    ------
    FormatError
        Not there, not readable, empty, binary, or of no known format.
    """
    path = Path(path)
    if not path.is_file():
        return LobsterRecording(*find_pair(path), instrument_id=instrument_id)
    kind = sniff(path)
    if kind == "itch":
        return ItchRecording(path, instrument_id=instrument_id)
    if kind == "binance":
        return BinanceRecording(
            path, price_increment=price_increment, lot_size=lot_size, instrument_id=instrument_id
        )  # fmt: skip
    return LobsterRecording(*find_pair(path), instrument_id=instrument_id)


def sniff(path: Path) -> str:
    """The format of a file, ``binance``, ``lobster`` or ``itch``, by its first bytes."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", where=str(path), expected=EXPECTED) from error
    for magic, name in OTHERS.items():
        if start.startswith(magic):
            raise FormatError(f"is {name}", where=str(path), expected=EXPECTED)
    if is_itch(next(iter(ByteReader(path)), b"")):
        return "itch"
    head = next((block for block in BlockReader(path, HEAD_BYTES) if block.strip()), b"")
    if not head:
        raise FormatError("is empty", where=str(path), expected=EXPECTED)
    first = head.lstrip().split(b"\n", 1)[0][:HEAD_BYTES]
    if STAMPED.match(first):
        return "binance"
    if NUMBERS.fullmatch(first):
        return "lobster"
    if first.startswith((b"{", b"[")):
        raise FormatError("JSON without receive stamps", where=f"{path}:1", expected=EXPECTED)
    shown = first[:40].decode("utf-8", "replace").encode("ascii", "backslashreplace").decode()
    what = "is binary" if b"\0" in first or "\\ufffd" in shown else f"begins with '{shown}'"
    raise FormatError(what, where=str(path), expected=EXPECTED)


def is_itch(head: bytes) -> bool:
    """Whether a file begins with a length of two bytes and a message type of ITCH 5.0 that is as long."""
    return len(head) > 2 and ITCH_LENGTHS.get(head[2:3]) == int.from_bytes(head[:2], "big")
