"""Arbitrary bytes as frames for a reader of the star, as requests to its replayer, as its journal's files."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import zmq

from nautilus.bus import Subscriber, make_context
from nautilus.bus.base import ANSWER, HEADER, HEADER_BYTES, HEARTBEAT, LAYOUTS, MAGIC, topic_bytes
from nautilus.bus.requests import pack_request, parse_request
from nautilus.bus.star_journal import PREFIX, SEGMENT_HEADER, StarJournal
from nautilus.core.crc32c import crc32c
from tests.fuzz.reader import Reader

KINDS = (1, 2, 3, 4, HEARTBEAT, ANSWER, 77)
SIZES = {layout.kind: layout.record_size for layout in LAYOUTS} | {HEARTBEAT: 16, ANSWER: 8}


@cache
def _context() -> zmq.Context[Any]:
    return make_context()


@cache
def _place() -> Path:
    return Path(tempfile.mkdtemp(prefix="nautilus-fuzz-star-"))


def _frame(reader: Reader) -> bytes:
    """A frame: mostly one whose header fits its length, so that what lies behind that is reached."""
    if reader.number(1) % 8 == 0:
        return reader.take(reader.number(1))
    kind = reader.choose(KINDS)
    count, instrument = reader.number(1) % 6, reader.number(1) % 4
    stream = (kind << 32 | instrument) if kind not in (HEARTBEAT, ANSWER) else kind << 32
    schema, size, first, flags = kind, SIZES.get(kind, 8), 1 + reader.number(1) % 40, reader.number(1) % 8
    odd = reader.number(1)
    if odd % 16 == 1:
        schema = reader.number(2)
    elif odd % 16 == 2:
        size = reader.number(1)
    elif odd % 16 == 3:
        first = reader.wide() & (1 << 64) - 1
    if kind == ANSWER:
        schema, count = 1 + reader.number(1) % 4, 5 + 2 * (count % 3)
    epoch = 1 + odd // 16 % 3
    header = HEADER.pack(
        topic_bytes(kind, instrument), MAGIC, schema, 1, size, count, epoch, stream, first, 0
    )  # fmt: skip
    body = bytearray(reader.take(size * count).ljust(size * count, b"\0"))
    if kind in (HEARTBEAT, ANSWER) and odd < 0xC0:  # small numbers, which mean something
        body = bytearray(b"".join((byte % 40).to_bytes(8, "little") for byte in body[: size * count // 8]))
        if kind == HEARTBEAT:
            for row in range(len(body) // 16):
                body[16 * row + 4] = 1 + row % 4
    return header[:56] + flags.to_bytes(4, "little") + header[60:] + bytes(body)


def reader_of_frames(data: bytes) -> None:
    """Frames into a reader, with time going by: its accounts hold whatever comes."""
    reader = Reader(data)
    now = [1]
    told: list[int] = []
    subscriber = Subscriber(
        _context(),
        None,
        [layout.topic for layout in LAYOUTS],
        clock=lambda: now[0],
        timer=lambda: now[0],
        on_gap=lambda _topic, _stream, first, last: told.append(last - first + 1),
        replay="inproc://nobody" if reader.number(1) & 1 else None,
        images=bool(reader.number(1) & 1),
        policy=reader.choose(("queue", "conflate", "drop-oldest", "disconnect")),
        capacity=8,
        held_limit=8,
        retry_ns=5,
        deadline_ns=50,
        absent_ns=100,
    )
    handed_out = 0
    try:
        while reader.left:
            now[0] += reader.number(1) % 32
            if not subscriber.disconnected:
                subscriber.feed(_frame(reader))
            else:
                reader.take(8)
            for _, records in subscriber.drain(4):
                handed_out += len(records.tobytes()) >= 0
            for state in subscriber.streams.values():
                counted = state.delivered + state.conflated + state.snapshotted + state.lost + state.unknown
                assert state.settled == state.joined - 1 + counted
        assert sum(told) == subscriber.lost
    finally:
        if not subscriber.disconnected:
            subscriber.close()


def request(data: bytes) -> None:
    """A request to the replayer: what is read is written so that it is the same."""
    found = parse_request(data)
    assert found is None or pack_request(found) == data


def journal(data: bytes) -> None:
    """A segment of the journal, with some sums made right: it is opened, read, and written on."""
    reader = Reader(data)
    place = _place() / "case"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    content = bytearray(SEGMENT_HEADER if reader.number(1) % 8 else reader.take(32))
    while reader.left:
        frame = _frame(reader)
        sound = reader.number(1) % 8
        length = len(frame) if sound != 1 else reader.number(4)
        content += PREFIX.pack(length, crc32c(frame) if sound else reader.number(4)) + frame
    (place / "star-0000000001.log").write_bytes(content)
    if reader.number(1):
        (place / "star-0000000001.idx").write_bytes(data[:64])
    opened = StarJournal(place, segment_bytes=4096)
    ends = opened.ends()
    for epoch, streams in ends.items():
        for stream in streams:
            for frame in opened.find(epoch, stream, 1, 1 << 40):
                assert frame is None or len(frame) >= HEADER_BYTES
    good = HEADER.pack(topic_bytes(1, 1), MAGIC, 1, 1, 64, 1, 9, 1 << 32 | 1, 1, 0) + bytes(64)
    assert opened.append([good])
    assert list(opened.find(9, 1 << 32 | 1, 1, 1))[-1] == good
    opened.close()
    assert StarJournal(place).torn == []
