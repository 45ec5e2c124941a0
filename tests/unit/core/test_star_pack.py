"""Frames of the star are taken from a ring for images and for the journal as one by one would give them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.bus.base import HEADER, HEARTBEAT, HEARTBEAT_STREAM, LAST, MAGIC, stream_id, topic_bytes
from nautilus.bus.ring import RingWriter
from nautilus.bus.star_journal import PREFIX, frames_in
from nautilus.core.broadcast_reader import Reader
from nautilus.core.crc32c import crc32c
from nautilus.core.last_values import LastValues, LastValueWriter
from nautilus.core.star_pack import FramePacker
from nautilus.core.star_writer import FrameWriter
from nautilus.core.types import QUOTE
from tests.kit.star import quotes

SECOND = 1_000_000_000


def frame(instrument: int, first: int, count: int = 1, flags: int = 0) -> bytes:
    head = HEADER.pack(
        topic_bytes(1, instrument), MAGIC, 1, 1, 64, count, 7, stream_id(1, instrument), first, 1_000 + first
    )
    return head[:56] + flags.to_bytes(8, "little") + quotes(instrument, first, count).tobytes()


def beat(at_ns: int) -> bytes:
    head = HEADER.pack(topic_bytes(HEARTBEAT, 0), MAGIC, HEARTBEAT, 1, 16, 1, 7, HEARTBEAT_STREAM, 1, at_ns)
    return head + LAST.pack(stream_id(1, 1), 5)


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory):
    made = RingWriter(tmp_path_factory.mktemp("ring") / "ring", capacity=1 << 20, epoch=7)
    yield made
    made.close()


PIECES = st.lists(
    st.tuples(st.sampled_from([1, 1, 2, 3]), st.integers(1, 3), st.sampled_from([0, 0, 0, 0, 1, 2, 3, 4])), max_size=40
)


@given(PIECES, st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_what_a_stream_has_said_is_one_frame_unless_something_is_between(ring, pieces, limit) -> None:
    reader, packer = Reader(ring.path), FramePacker(64)
    lasts, told = dict.fromkeys((1, 2, 3), 0), []
    for instrument, count, odd in pieces:
        first = lasts[instrument] + 1 + (odd == 1)  # a gap
        made = frame(instrument, first, count, flags=odd == 2)
        lasts[instrument] = first + count - 1
        ring.write(made[:-1] if odd == 3 else made)
        if odd != 3:
            told.append((instrument, first, count, quotes(instrument, first, count).tobytes()))
        else:
            lasts[instrument] += 1
        if odd == 4:
            ring.write(beat(5))
            ring.write(b"short")
    found: dict[int, list[tuple[int, int, bytes]]] = {1: [], 2: [], 3: []}
    while (got := packer.streams(reader, limit))[0]:
        assert got[0] <= limit
        for stream, first, count, whole in got[1]:
            if len(whole) != 64 + 64 * count:
                continue
            assert (stream, first, count) == (*HEADER.unpack_from(whole)[7:9], HEADER.unpack_from(whole)[5])
            found[stream & 0xFFFFFFFF].append((first, count, whole[64:]))
    for instrument, rows in found.items():
        mine = [each for each in told if each[0] == instrument]
        assert b"".join(body for *_, body in rows) == b"".join(body for *_, body in mine)
        begins = {first for _, first, *_ in mine}
        assert all(first in begins for first, *_ in rows)
    reader.close()


def test_frames_that_follow_each_other_are_put_together(ring) -> None:
    reader = Reader(ring.path)
    for made in (frame(1, 1, 2), frame(2, 1), frame(1, 3), frame(1, 4, 3), frame(1, 8)):
        ring.write(made)
    taken, frames = FramePacker(16).streams(reader, 16)
    assert taken == 5
    assert [each[:3] for each in frames] == [(stream_id(1, 1), 1, 6), (stream_id(1, 2), 1, 1), (stream_id(1, 1), 8, 1)]
    assert frames[0][3] == frame(1, 1, 6)
    reader.close()


@given(PIECES)
@settings(max_examples=40, deadline=None)
def test_the_journal_gets_each_frame_with_its_checksum(ring, pieces) -> None:
    reader, packer = Reader(ring.path), FramePacker(16)
    packer.journal(reader, 16, 1 << 20, SECOND)
    lasts, written, at_ns = dict.fromkeys((1, 2, 3), 0), [], SECOND
    for instrument, count, odd in pieces:
        written.append(frame(instrument, lasts[instrument] + 1, count))
        lasts[instrument] += count
        ring.write(written[-1])
        if odd == 3:
            ring.write(b"short")
        elif odd:
            at_ns += SECOND // 2
            ring.write(beat(at_ns))
            if at_ns % SECOND:  # one second after the one that was kept
                written.append(beat(at_ns))
    data, rows, beats, kept = b"", [], [], 0
    while (got := packer.journal(reader, 16, 1 << 20, SECOND))[0]:
        data, rows, beats, kept = data + got[1], rows + got[2], beats + got[3], kept + packer.kept
    assert data == b"".join(part for each in written for part in (PREFIX.pack(len(each), crc32c(each)), each))
    assert [each for _, each in frames_in(data)] == written
    assert kept == len(written)
    assert len(beats) == sum(each[0] == HEARTBEAT for each in written)
    for instrument, last in lasts.items():
        mine = [row for row in rows if row[1] == stream_id(1, instrument)]
        assert max((row[3] for row in mine), default=0) == last
        assert min((row[2] for row in mine), default=1) == 1
        assert all(row[0] == 7 for row in mine)
    reader.close()


def test_a_call_ends_at_the_bytes_that_it_may_take(ring) -> None:
    reader, packer = Reader(ring.path), FramePacker(16)
    for first in range(1, 9, 2):
        ring.write(frame(1, first, 2))
    assert [packer.streams(reader, 16, 200)[0] for _ in range(3)] == [2, 2, 0]
    with pytest.raises(ValueError, match="expected 1 to"):
        FramePacker(0)
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        packer.streams(reader, 1)


def test_a_publisher_keeps_in_its_ring_and_table_what_it_sends(tmp_path: Path) -> None:
    ring, table = RingWriter(tmp_path / "ring", epoch=7), LastValueWriter(tmp_path / "last", 16, 7)
    reader = Reader(ring.path)
    writer = FrameWriter(7)
    writer.layout(1, 1, QUOTE)
    writer.keep_in(ring.writer, table)
    records = np.concatenate([quotes(1, 1, 3), quotes(2, 1, 1), quotes(1, 4, 1)])
    with zmq.Context() as context, context.socket(zmq.PUB) as up, context.socket(zmq.SUB) as down:
        up.setsockopt(zmq.XPUB_NODROP, 1)
        up.bind(f"inproc://{tmp_path}")
        down.connect(f"inproc://{tmp_path}")
        down.subscribe(b"")
        while writer.publish(up, records, 1, 5, 2) and not down.poll(10):
            pass
        sent = [down.recv() for _ in range(3)]
    kept = reader.drain(1_000)
    assert kept[-3:] == sent
    assert len(kept) == writer.frames
    last = LastValues(tmp_path / "last").read(stream_id(1, 1))
    assert last is not None
    assert (last.record, last.sequence, last.at_ns) == (quotes(1, 4, 1).tobytes(), 4 * len(kept) // 3, 5)
    assert table.stale == 0
    ring.writer.close()
    with zmq.Context() as context, context.socket(zmq.PUB) as up, pytest.raises(ValueError, match="closed"):
        writer.publish(up, records, 1, 5)
    table.close()
    ring.close()
    reader.close()
