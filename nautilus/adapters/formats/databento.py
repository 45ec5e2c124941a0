"""Databento market-by-order recordings (DBN, plain or zstd): MBO records, with the price increments they show.

The package `databento-dbn` (extra ``databento``) decompresses and upgrades; what the records mean for books is in
`nautilus.core.dbn`.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nautilus.adapters.formats.recording import FormatError, Records
from nautilus.core.dbn import MBO, UNDEFINED_PRICE
from nautilus.model.errors import ConfigError

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
DBN_MAGIC = b"DBN"
# A zstd block of a few bytes may stand for 128 KiB: so much at once bounds what is unpacked at once.
COMPRESSED_PIECE = 1 << 12
PLAIN_PIECE = 1 << 18
RECORD_TYPE = 0xA0
EXPECTED = "a DBN file of market-by-order records, plain or zstd"


class MboRecording(NamedTuple):
    """All records of a recording.

    Attributes
    ----------
    records : MBO array in file order.
    increments : by instrument id, the largest step that divides every price, in 1/1,000,000,000.
    symbols : by instrument id, the symbol where the file's metadata name one.
    skipped : records of other types.
    """

    records: Records
    increments: dict[int, int]
    symbols: dict[int, str]
    skipped: int


def read_mbo(path: Path) -> MboRecording:
    """Read a whole recording.

    Raises
    ------
    ConfigError
        The package `databento-dbn` is not installed.
    FormatError
        Not there, not DBN, damaged or cut.
    """
    pieces: list[Records] = []
    symbols: dict[int, str] = {}
    skipped = 0
    for records, metadata, others in _blocks(path):
        pieces.append(records)
        skipped += others
        if metadata is not None:
            symbols |= _symbols(metadata)
    records = np.concatenate(pieces) if pieces else np.zeros(0, MBO)
    return MboRecording(records, increments_of(records), symbols, skipped)


def increments_of(records: Records) -> dict[int, int]:
    """By instrument id, the greatest common divisor of its prices; 1 where it has none."""
    priced = records[records["price"] != UNDEFINED_PRICE]
    steps = {int(instrument_id): 1 for instrument_id in np.unique(records["instrument_id"])}
    for instrument_id in np.unique(priced["instrument_id"]).tolist():
        prices = priced["price"][priced["instrument_id"] == instrument_id]
        steps[instrument_id] = max(1, math.gcd(*np.unique(prices).tolist()))
    return steps


def decoded_pieces(path: Path) -> Iterator[tuple[Any, list[Any]]]:
    """The package, and what it decodes from one piece of the file after the other: metadata and records of all types.

    Raises
    ------
    ConfigError
        The package `databento-dbn` is not installed.
    FormatError
        Not there, not DBN, damaged or cut.
    """
    dbn = _package(path)
    position = 0
    try:
        with path.open("rb") as file:
            head = file.read(4)
            if not (head.startswith(DBN_MAGIC) or head == ZSTD_MAGIC):
                raise FormatError("is no DBN file", where=str(path), expected=EXPECTED)
            compressed = head == ZSTD_MAGIC
            decoder = dbn.DBNDecoder(compression=dbn.Compression.ZSTD if compressed else dbn.Compression.NONE)
            piece = head
            while piece:
                decoder.write(piece)
                yield dbn, decoder.decode()
                position += len(piece)
                piece = file.read(COMPRESSED_PIECE if compressed else PLAIN_PIECE)
            rest = decoder.buffer()
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", where=str(path), expected=EXPECTED) from error
    except (dbn.DBNError, RuntimeError) as error:  # the second is what its decompressor raises
        raise FormatError(f"is damaged: {error}", where=f"{path}:{position}", expected=EXPECTED) from error
    if rest:
        raise FormatError(f"ends within a record, {len(rest)} bytes left", where=str(path), expected=EXPECTED)


def _blocks(path: Path) -> Iterator[tuple[Records, Any, int]]:
    """MBO arrays in file order, with the metadata where they came in between, and the count of other records."""
    for dbn, decoded in decoded_pieces(path):
        yield _sorted(dbn, decoded)


def _sorted(dbn: Any, decoded: list[Any]) -> tuple[Records, Any, int]:
    metadata = next((each for each in decoded if isinstance(each, dbn.Metadata)), None)
    raw = [bytes(each) for each in decoded if isinstance(each, dbn.MBOMsg)]
    others = len(decoded) - len(raw) - (metadata is not None)
    # A record with the time of sending has 8 bytes more.
    data = b"".join(each[: MBO.itemsize] for each in raw)
    return np.frombuffer(data, MBO), metadata, others


def _symbols(metadata: Any) -> dict[int, str]:
    return {
        int(interval["symbol"]): symbol
        for symbol, intervals in metadata.mappings.items()
        for interval in intervals
        if interval["symbol"].isdigit()
    }


def _package(path: Path) -> Any:
    try:
        return importlib.import_module("databento_dbn")
    except ImportError as error:
        raise ConfigError(
            "databento-dbn is not installed", where=str(path), expected="pip install nautilus-hybrid[databento]"
        ) from error
