"""Arbitrary bytes as files in shared memory: the ring of the star, the table of last values."""

from __future__ import annotations

import struct
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from nautilus.bus.base import HEADER, MAGIC, topic_bytes
from nautilus.core.broadcast import Writer
from nautilus.core.broadcast_reader import Reader
from nautilus.core.last_values import LastValues, LastValueWriter
from tests.fuzz.files import _changed
from tests.fuzz.reader import Reader as Bytes

SIZE = 1 << 16
HEAD = 16_384
TAIL, INTENT, MARKS = 256, 384, 640
TURNS = 20_000  # more than a ring of this size can hold frames


@cache
def _place() -> Path:
    return Path(tempfile.mkdtemp(prefix="nautilus-fuzz-"))


@cache
def _sound_ring(frames: int) -> bytes:
    path = _place() / "sound"
    writer = Writer(path, SIZE, 3, prefault=False)
    for number in range(frames):
        header = HEADER.pack(topic_bytes(1, 2), MAGIC, 1, 1, 8, 2, 3, 7, 1 + 2 * number, 0)
        writer.write(header + bytes(8 * (number % 40)))
    writer.close()
    return path.read_bytes()


def broadcast(data: bytes) -> None:
    """A ring's file with changes: what is read of it lies in it, and reading ends."""
    reader = Bytes(data)
    content = bytearray(_sound_ring(reader.choose((0, 5, 200, 2_000))))
    mode = reader.number(1)
    for _ in range(reader.number(1) % 6):
        what = reader.number(1) % 4
        if what == 0:  # positions
            at = reader.choose((TAIL, INTENT, MARKS + 8 * (reader.number(2) % 512)))
            struct.pack_into("<Q", content, at, reader.wide() % (1 << 64))
        elif what == 1:  # a frame, sealed for its place
            at = 8 * (reader.number(2) % (SIZE // 8))
            length = reader.choose((0, 8, 4_096, SIZE, 0xFFFFFFFF, reader.number(4)))
            lap = reader.number(1) % 4
            seal = ((at + lap * SIZE >> 3) ^ length ^ 0x6E617574) & 0xFFFFFFFF
            struct.pack_into("<II", content, HEAD + at, length, seal)
        elif what == 2:
            at = reader.number(4) % len(content)
            part = reader.take(1 + reader.number(1) % 16)[: len(content) - at]
            content[at : at + len(part)] = part
        else:
            struct.pack_into("<Q", content, reader.number(2) % 128, reader.wide() % (1 << 64))
    if mode & 7 == 0:
        _changed(reader, content)
    path = _place() / "ring"
    path.write_bytes(content)
    ring = Reader(path, image=bool(mode & 8), oldest=bool(mode & 16))
    try:
        for turn in range(TURNS):
            frames = ring.drain(64)
            assert sum(map(len, frames)) <= SIZE
            if not frames:
                break
            assert turn < TURNS - 1, "it goes round and round"
        found, after, calls = [], 0, 0
        while calls == 0 or (after and calls < 100):
            part, after = ring.find(3, 7, 1 + mode, 40, start=after, limit=16)
            found += part
            calls += 1
        ring.get(reader.number(2))
        ring.seek(reader.number(2))
        out = np.zeros(SIZE // 8, np.uint64)
        ring.drain_into(out, 64)
        assert ring.lag >= 0
        ring.held()
        assert ring.oldest >= 0
    finally:
        ring.close()


@cache
def _sound_table() -> bytes:
    path = _place() / "sound-table"
    writer = LastValueWriter(path, 16, 3)
    for stream in range(20):
        writer.put(stream, bytes([stream]) * (8 * stream % 136), stream + 1, 5)
    writer.close()
    return path.read_bytes()


def last_values(data: bytes) -> None:
    """A table's file with changes: values have at most their room, and looking for one ends."""
    reader = Bytes(data)
    content = bytearray(_sound_table())
    _changed(reader, content)
    for _ in range(reader.number(1) % 4):
        slot = 256 + 384 * (reader.number(1) % 32)
        if slot + 384 <= len(content):
            at = slot + reader.choose((0, 8, 64 + 24, 224 + 24))
            struct.pack_into("<Q", content, at, reader.wide() % (1 << 64))
    path = _place() / "table"
    path.write_bytes(content)
    values, out = LastValues(path), np.zeros(9, np.uint64)
    for stream in (*values.streams(), 3, reader.wide() % (1 << 64)):
        found = values.read(stream)
        assert found is None or len(found.record) <= 128
        values.bind(stream, out).read()
    assert values.capacity == 16 or len(content) != len(_sound_table())
    LastValueWriter(path, 32, 1 << 40).close()
