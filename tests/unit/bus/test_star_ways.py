"""Frames by several ways at once, out of order, twice, or not at all: the same records in the same order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.bus import stream_id
from nautilus.bus.base import HEADER, HEADER_BYTES, HEARTBEAT, HEARTBEAT_STREAM, LAST, MAGIC, topic_bytes
from nautilus.bus.replayer import span_of
from nautilus.model.topics import QUOTES
from tests.kit.star import Reader, Stars, quotes, turn_until

PUBLISHED = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4)), min_size=1, max_size=30)


def beat(lasts: dict[int, int], epoch: int = 1) -> bytes:
    body = b"".join(LAST.pack(stream, last) for stream, last in lasts.items())
    head = HEADER.pack(topic_bytes(HEARTBEAT, 0), MAGIC, HEARTBEAT, 1, 16, len(lasts), epoch, HEARTBEAT_STREAM, 1, 1)
    return head + body


@settings(max_examples=40, deadline=None)
@given(PUBLISHED, st.lists(st.tuples(st.integers(0, 29), st.sampled_from(["ring", "redis", "http"])), max_size=60))
def test_any_frames_in_any_order_and_a_replayer_give_all_records_once_and_in_order(
    tmp_path_factory: Any, published: Any, fed: Any
) -> None:
    stars = Stars(tmp_path_factory.mktemp("ways"))
    try:
        hub = stars.hub()
        reader = Reader(stars.context, None, QUOTES, replay=f"{stars.endpoint}.replay")
        stars.stack.callback(reader.close)
        for instrument, count in published:
            hub.quotes(instrument, count)
        assert hub.buffer is not None
        frames = [hub.buffer.get(number) for number in range(hub.buffer.next)]
        # It is there from the beginning: it has heard that there was nothing yet.
        reader.subscriber.feed(beat({}), "zmq")
        for place, via in fed:
            frame = frames[place % len(frames)]
            assert frame is not None
            reader.subscriber.feed(frame, via)
            reader.turn()
        lasts = hub.publisher.last_sequences()
        reader.subscriber.feed(beat(lasts), "zmq")
        turn_until(
            [hub],
            [reader],
            lambda: (
                not reader.subscriber.waits
                and {stream: last for stream, (_, _, last) in reader.subscriber.positions().items()} == lasts
            ),
        )
        for instrument in (1, 2, 3):
            last = lasts.get(stream_id(1, instrument), 0)
            assert reader.numbers(instrument) == list(range(1, last + 1))
        found = reader.subscriber
        assert (found.lost, found.gaps, found.malformed) == (0, 0, 0)
        assert found.delivered == hub.publisher.published
        assert sum(found.fed[via] for via in ("ring", "redis", "http") if via in found.fed) == len(fed)
    finally:
        stars.close()


@settings(max_examples=60, deadline=None)
@given(PUBLISHED)
def test_a_frame_says_what_was_published(tmp_path_factory: Any, published: Any) -> None:
    stars = Stars(tmp_path_factory.mktemp("frame"))
    try:
        hub = stars.hub(77)
        sent: dict[int, int] = {}
        for number, (instrument, count) in enumerate(published):
            hub.publisher.publish(quotes_of(hub, instrument, count))
            assert hub.buffer is not None
            frame = hub.buffer.get(number)
            assert frame is not None
            topic, magic, schema, version, size, records, epoch, stream, first, _ = HEADER.unpack_from(frame)
            assert (topic, magic, schema, version, size) == (topic_bytes(1, instrument), MAGIC, 1, 1, 64)
            assert (records, epoch, stream) == (count, 77, stream_id(1, instrument))
            assert span_of(frame) == (first, first + count)
            assert first == sent.get(instrument, 0) + 1
            assert int.from_bytes(frame[56:64], "little") == 0
            assert len(frame) == HEADER_BYTES + 64 * count
            sent[instrument] = first + count - 1
        assert hub.publisher.last_sequences() == {stream_id(1, each): last for each, last in sent.items()}
    finally:
        stars.close()


def quotes_of(hub: Any, instrument: int, count: int) -> Any:
    first = hub.next.get(instrument, 1)
    hub.next[instrument] = first + count
    return quotes(instrument, first, count)


def test_large_batches_are_sent_in_several_frames(tmp_path: Path) -> None:
    stars = Stars(tmp_path)
    try:
        hub = stars.hub()
        hub.quotes(7, 10_000)
        assert hub.buffer is not None
        frames = [hub.buffer.get(number) for number in range(hub.buffer.next)]
        assert len(frames) == hub.publisher.frames == 3
        assert [span_of(frame) for frame in frames if frame] == [(1, 4_097), (4_097, 8_193), (8_193, 10_001)]
    finally:
        stars.close()
