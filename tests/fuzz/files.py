"""Arbitrary bytes as files of the journal and of the event log: as they are, or as changes of sound ones.

Most changes are signed again, so that what lies behind a checksum is reached as well.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from nautilus.core import Kernel
from nautilus.core.crc32c import crc32c
from nautilus.core.eventlog import DELIVERY, HEADER_BYTES, EventLog, EventLogWriter
from nautilus.core.journal import Journal, latest_snapshot, repair, write_snapshot
from nautilus.core.journal_reader import JournalReader, verify
from tests.fuzz import commands as shapes
from tests.fuzz.reader import Reader
from tests.kit import journal as kit

HEADER = 128  # bytes of a segment's header that are in use
SNAPSHOT_HEADER = 64


@cache
def _workplace() -> Path:
    return Path(tempfile.mkdtemp(prefix="nautilus-fuzz-"))


def _fresh() -> Path:
    place = _workplace() / "case"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    return place


@cache
def _sound_journal() -> tuple[tuple[str, bytes], ...]:
    """Two segments of commands, and a snapshot between them."""
    place = _workplace() / "sound"
    kernel = Kernel(accounts=(), capacity=64, closed_capacity=16, huge_pages=False)
    kernel.attach(Journal(place, segment_bytes=8192, capacity=64, closed_capacity=16))
    kernel.process(shapes.opening())
    kernel.checkpoint()
    kernel.process(shapes.shaped(Reader(np.random.default_rng(3).bytes(900)), 40))
    kernel.close()
    return tuple(
        (file.name, file.read_bytes()) for file in sorted(place.iterdir()) if file.suffix in (".journal", ".snapshot")
    )


def _changed(reader: Reader, content: bytearray) -> None:
    """Some bytes put in, taken out, or written over."""
    for _ in range(reader.number(1) % 5):
        at = reader.number(4) % max(1, len(content))
        what = reader.number(1) % 8
        if what < 4:
            part = reader.take(1 + reader.number(1) % 8)
            content[at : at + len(part)] = part
        elif what == 4:
            content[at : at + 8] = struct.pack("<q", reader.wide())
        elif what == 5:
            del content[at : at + 1 + reader.number(1)]
        elif what == 6:
            content[at:at] = reader.take(reader.number(1))
        else:
            del content[at:]


def _signed_segment(content: bytearray, chain: int | None) -> int:
    """Make header and records valid as far as they go; the last checksum."""
    if len(content) < kit.HEADER_BYTES:
        return 0
    if chain is not None:
        struct.pack_into("<I", content, 56, chain)
    struct.pack_into("<I", content, 124, crc32c(bytes(content[:124])))
    content[kit.COPY_AT : kit.COPY_AT + HEADER] = content[:HEADER]
    checksum = struct.unpack_from("<I", content, 124)[0]
    offset = kit.HEADER_BYTES
    while offset + 8 <= len(content):
        kind, length = struct.unpack_from("<HH", content, offset + 4)
        end = offset + 8 + length
        if kind == 0 or end > len(content):
            break
        checksum = crc32c(bytes(content[offset + 4 : end]), checksum)
        struct.pack_into("<I", content, offset, checksum)
        offset = end
    return checksum


def journal(data: bytes) -> None:
    """A directory with such files is read, verified, repaired and replayed; after a repair it is sound or empty."""
    reader = Reader(data)
    place = _fresh()
    mode = reader.number(1)
    if mode & 7 == 0:
        name = f"{reader.number(1):016x}.{reader.choose(('journal', 'snapshot'))}"
        (place / name).write_bytes(reader.take(reader.left))
    else:
        chain: int | None = None
        for name, sound in _sound_journal():
            content = bytearray(sound)
            if mode >> 3 & 1 or name.endswith("snapshot"):
                _changed(reader, content)
            if mode >> 4 & 3:
                if name.endswith("snapshot"):
                    _sign_snapshot(content)
                else:
                    chain = _signed_segment(content, chain)
            (place / name).write_bytes(content)
    for item in JournalReader(place, strict=False, any_rules=True):
        assert len(item)
    verify(place)
    latest_snapshot(place)
    repair(place)
    if kit.segments(place):
        assert verify(place).valid
        Kernel.replay(place, strict=False)


def _sign_snapshot(content: bytearray) -> None:
    if len(content) >= SNAPSHOT_HEADER:
        payload = bytes(content[SNAPSHOT_HEADER:])
        struct.pack_into("<Q", content, 24, len(payload))
        struct.pack_into("<I", content, 56, crc32c(payload))
        struct.pack_into("<I", content, 60, crc32c(bytes(content[:60])))


def snapshot_file(data: bytes) -> None:
    """A snapshot file: sound, or passed over with what is wrong with it."""
    reader = Reader(data)
    place = _fresh()
    write_snapshot(place, 7, b"\x01" * 64)
    file = next(place.glob("*.snapshot"))
    content = bytearray(file.read_bytes())
    signed = reader.number(1) & 1
    if reader.number(1) & 3 == 0:
        content = bytearray(reader.take(reader.left))
    else:
        _changed(reader, content)
    if signed:
        _sign_snapshot(content)
    file.write_bytes(content)
    found = latest_snapshot(place)
    assert (found.payload is None) == bool(found.skipped) or not content


@cache
def _sound_log() -> tuple[str, bytes]:
    place = _workplace() / "log"
    log = EventLogWriter(place, file_bytes=HEADER_BYTES + 24 * DELIVERY.itemsize)
    records = np.zeros(20, DELIVERY)
    records["event"]["sequence"] = np.arange(1, 21)
    records["kind"] = 1
    log.append(records)
    log.close()
    file = next(place.glob("*.events"))
    return file.name, file.read_bytes()


def event_log(data: bytes) -> None:
    """A file of the event log: read as far as it is sound; a writer goes on behind that."""
    reader = Reader(data)
    place = _fresh()
    name, sound = _sound_log()
    content = bytearray(sound)
    mode = reader.number(1)
    if mode & 3 == 0:
        content = bytearray(reader.take(reader.left))
    else:
        _changed(reader, content)
    if mode >> 2 & 1 and len(content) >= HEADER_BYTES:
        for at in range(HEADER_BYTES, len(content) - DELIVERY.itemsize + 1, DELIVERY.itemsize):
            end = at + DELIVERY.itemsize - 4
            struct.pack_into("<I", content, end, crc32c(bytes(content[at:end])))
    (place / name).write_bytes(content)
    log = EventLog(place)
    log.read(1)
    log.read(1 + reader.number(1), 1 + reader.number(1))
    writer = EventLogWriter(place, file_bytes=HEADER_BYTES + 24 * DELIVERY.itemsize)
    more = np.zeros(3, DELIVERY)
    more["event"]["sequence"] = writer.last_sequence + 1 + np.arange(3)
    writer.append(more)
    writer.close()
