"""Frames of the star compressed for those who ask: the same records, the others' frames untouched, damage refused."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from nautilus.bus.base import HEADER, HEADER_BYTES, HEARTBEAT
from nautilus.bus.compression import MARK, MARKED, CompressionError, Compressor, check_compression, restored
from nautilus.core.clock import now_ns
from nautilus.core.star_writer import FrameWriter
from nautilus.core.types import QUOTE
from tests.kit.star import SECOND, Stars, quotes

pytest.importorskip("lz4.block", reason="there is no package lz4 here (extra bus)")


@pytest.fixture
def stars(tmp_path: Path) -> Iterator[Stars]:
    made = Stars(tmp_path)
    yield made
    made.close()


def until(condition: Callable[[], object], *turns: Callable[[], object]) -> None:
    end_ns = now_ns() + 30 * SECOND
    while not condition():
        for turn in turns:
            turn()
        assert now_ns() < end_ns, "it did not come about"


def frame_of(count: int = 50) -> bytes:
    writer = FrameWriter(7)
    writer.layout(1, 1, QUOTE)
    frame: bytes = writer.pack(quotes(3, 1, count), 1, 1_000)[0]
    return frame


def packed_of(frame: bytes) -> bytes:
    compressor = Compressor()
    compressor.note(bytes((1, 1 ^ MARK)))
    packed = compressor.pack(frame)
    assert packed is not None
    return packed


def test_what_is_packed_comes_back_byte_for_byte() -> None:
    for count in (1, 2, 3, 50, 2_000):
        frame = frame_of(count)
        packed = packed_of(frame)
        assert packed[0] in MARKED
        assert frame[0] not in MARKED
        assert restored(packed) == frame
        assert len(packed) <= len(frame)
    assert len(packed) * 5 < len(frame)


def test_a_compressor_does_nothing_for_topics_that_nobody_asked_for() -> None:
    compressor, frame = Compressor(), frame_of()
    assert compressor.pack(frame) is None
    one = bytes((1 ^ MARK, 0, 0, 0)) + (4).to_bytes(4, "big")
    for message in (b"", b"\1", bytes((1, 1)), bytes((1, HEARTBEAT)), b"\1" + one):
        compressor.note(message)
    assert compressor.pack(frame) is None
    compressor.note(bytes((1, 1 ^ MARK)))
    compressor.note(bytes((1, 1 ^ MARK)))
    compressor.note(bytes((0, 1 ^ MARK)))
    assert compressor.pack(frame) is not None
    compressor.note(bytes((0, 1 ^ MARK)))
    assert compressor.pack(frame) is None
    compressor.note(b"\0" + one)
    compressor.note(b"\0" + one)
    assert not compressor.wanted


def test_damaged_frames_are_refused_whatever_is_wrong_with_them() -> None:
    packed, draw = packed_of(frame_of(500)), random.Random(7)
    for _ in range(3_000):
        bad = bytearray(packed[: draw.randint(0, len(packed))] if draw.random() < 0.3 else packed)
        for _ in range(draw.randint(1, 8)):
            if bad:
                bad[draw.randrange(len(bad))] = draw.randrange(256)
        found = restored(bytes(bad))
        if found is not None and int.from_bytes(bad[56:60], "little") & 4:
            size, count = HEADER.unpack_from(found)[4:6]
            assert len(found) == HEADER_BYTES + size * count
    for at, value in ((20, 0), (20, 0xFFFFFFFF), (16, 0), (16, 0xFFFFFFFF), (20, 501), (20, 499)):
        bad = bytearray(packed)
        bad[at : at + 4] = value.to_bytes(4, "little")
        assert restored(bytes(bad)) is None


def test_a_reader_that_asks_has_the_same_records_and_others_the_same_frames(stars) -> None:
    hub = stars.hub()
    plain = stars.context.socket(zmq.SUB)
    plain.setsockopt(zmq.SUBSCRIBE, bytes((1,)))
    plain.setsockopt(zmq.SUBSCRIBE, bytes((HEARTBEAT,)))
    plain.connect(stars.endpoint)
    one, two = stars.reader(compression="lz4"), stars.reader()
    until(lambda: hub.publisher.subscribers == 3, hub.turn, one.turn, two.turn)
    for _ in range(50):
        hub.quotes(1, 1)
        hub.quotes(2, 100)
    last = {1 << 32 | 1: 50, 1 << 32 | 2: 5_000}

    def done(reader) -> bool:
        return {stream: place[2] for stream, place in reader.subscriber.positions().items()} == last

    until(lambda: done(one) and done(two), hub.turn, one.turn, two.turn)
    frames: list[bytes] = []
    while len(frames) < 100:
        frame = plain.recv()
        frames += [frame] if frame[0] != HEARTBEAT else []
    plain.close(0)
    assert all(frame[0] == 1 and frame[56:60] == bytes(4) for frame in frames)
    for reader in (one, two):
        assert reader.numbers(1) == list(range(1, 51))
        assert reader.numbers(2) == list(range(1, 5_001))
        assert reader.subscriber.duplicates == reader.subscriber.malformed == reader.subscriber.lost == 0
    compressor = hub.publisher.compressor
    assert compressor.compressed >= 50
    assert compressor.whole >= 50
    assert compressor.bytes_after * 3 < compressor.bytes_before
    one.close()
    until(lambda: not compressor.wanted and hub.publisher.subscribers == 1, hub.turn, two.turn)


def test_a_damaged_frame_is_counted_and_its_records_are_recovered(stars) -> None:
    hub = stars.hub()
    reader = stars.reader(compression="lz4")
    until(lambda: reader.subscriber.synchronised, hub.turn, reader.turn)
    real, damage = hub.publisher.compressor.pack, [True]

    def pack(frame: bytes) -> bytes | None:
        packed = real(frame)
        if packed is not None and frame[0] == 1 and damage:
            damage.clear()
            return packed[:HEADER_BYTES] + bytes(len(packed) - HEADER_BYTES)
        return packed

    hub.publisher.compressor.pack = pack
    for _ in range(5):
        hub.quotes(1, 50)
    until(lambda: reader.numbers(1)[-1:] == [250], hub.turn, reader.turn)
    assert reader.numbers(1) == list(range(1, 251))
    subscriber = reader.subscriber
    assert (subscriber.damaged, subscriber.malformed, subscriber.recovered, subscriber.lost) == (1, 1, 50, 0)


def test_a_later_life_is_read_compressed_too(stars) -> None:
    hub = stars.hub(1)
    reader = stars.reader(compression="lz4")
    until(lambda: reader.subscriber.synchronised, hub.turn, reader.turn)
    hub.quotes(1, 60)
    until(lambda: reader.numbers(1)[-1:] == [60], hub.turn, reader.turn)
    hub.close()
    again = stars.hub(2, replay={"archives": []})
    again.quotes(1, 40)
    until(lambda: len(reader.numbers(1)) == 100, again.turn, reader.turn)
    assert reader.numbers(1) == [*range(1, 61), *range(1, 41)]
    until(lambda: again.publisher.compressor.wanted, again.turn, reader.turn)
    again.quotes(1, 60)
    until(lambda: len(reader.numbers(1)) == 160, again.turn, reader.turn)
    assert reader.numbers(1)[100:] == list(range(41, 101))
    assert again.publisher.compressor.compressed > 0


def test_another_compression_is_an_error() -> None:
    assert check_compression("") == 0
    with pytest.raises(CompressionError, match="expected lz4"):
        check_compression("zstd")
