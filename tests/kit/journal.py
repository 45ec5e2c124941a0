"""Plain Python that reads journal files as docs/journal.md describes them, and makes commands to put into them."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nautilus.core.types import COMMAND

HEADER_BYTES = 4096
COPY_AT = 2048


class Record(NamedTuple):
    """One record of a segment: where it lies in the file, its type, its body."""

    offset: int
    end: int
    kind: int
    body: bytes


def crc32c(data: bytes, seed: int = 0) -> int:
    """CRC32C bit by bit."""
    value = seed ^ 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def segment_records(data: bytes) -> list[Record]:
    """Records of one segment up to the first that is not valid."""
    chain = struct.unpack_from("<I", data, 124)[0]
    records = []
    offset = HEADER_BYTES
    while offset + 8 <= len(data):
        crc, kind, length = struct.unpack_from("<IHH", data, offset)
        end = offset + 8 + length
        if kind == 0 or end > len(data) or crc32c(data[offset + 4 : end], chain) != crc:
            break
        records.append(Record(offset, end, kind, data[offset + 8 : end]))
        chain = crc
        offset = end
    return records


def segments(path: Path) -> list[Path]:
    """Segment files in order."""
    return sorted(path.glob("*.journal"))


def commands(first: int, count: int, *, wide: int = 0) -> np.ndarray:
    """Commands with every field filled; each `wide`-th one (0: none) also in its second cache line."""
    out = np.zeros(count, dtype=COMMAND)
    sequence = np.arange(first, first + count)
    out["sequence"] = sequence
    out["now_ns"] = sequence * 1_000
    out["order_id"] = sequence * 0x9E3779B1
    out["price_ticks"] = -sequence
    out["quantity"] = sequence % 7 + 1
    out["source_sequence"] = sequence
    out["instrument_id"] = 3
    out["account_id"] = sequence % 5
    out["kind"] = 1
    if wide:
        chosen = sequence % wide == 0
        out["venue_reference"][chosen] = sequence[chosen]
        out["group_id"][chosen] = 9
    return out


def copy(source: Path, target: Path) -> Path:
    """The files as a crash would leave them: a copy made while the writer still has them open."""
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(source, target))


def sign_header(data: bytearray) -> None:
    """Make both headers of a changed segment valid again."""
    struct.pack_into("<I", data, 124, crc32c(bytes(data[:124])))
    data[COPY_AT : COPY_AT + 128] = data[:128]


def sign_records(data: bytearray) -> None:
    """Sign every record of a changed segment anew; their checksums begin with the header's."""
    chain = struct.unpack_from("<I", data, 124)[0]
    offset = HEADER_BYTES
    while offset + 8 <= len(data) and struct.unpack_from("<H", data, offset + 4)[0]:
        end = offset + 8 + struct.unpack_from("<H", data, offset + 6)[0]
        chain = crc32c(bytes(data[offset + 4 : end]), chain)
        struct.pack_into("<I", data, offset, chain)
        offset = end
