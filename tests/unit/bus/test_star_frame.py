"""The frame of the star: its bytes are fixed, and endpoints are checked."""

from __future__ import annotations

import numpy as np
import pytest
import zmq

from nautilus.bus import EndpointError, Publisher, TopicError, make_context, stream_id
from nautilus.bus.base import HEADER, HEADER_BYTES, LAST, checked_endpoints, layout_of, topic_bytes
from nautilus.core.clock import now_ns
from nautilus.core.types import EVENT, QUOTE
from nautilus.model.topics import BOOK_DELTAS, CORE_EVENTS, QUOTES, TRADES
from tests.kit.bus import received, star_socket

# QUOTE of instrument 0x01020304, two records, epoch 7, published at 0x1122334455667788.
GOLDEN_HEADER = (
    "0100000001020304"  # topic: kind, zeros, instrument big-endian
    "4e555453"  # magic
    "0100"  # schema
    "0100"  # version
    "40000000"  # record_size
    "02000000"  # count
    "0700000000000000"  # epoch
    "0403020101000000"  # stream
    "0100000000000000"  # first_sequence
    "8877665544332211"  # publish_ns
    "0000000000000000"
)


def test_the_header_of_a_frame_has_these_bytes(tmp_path) -> None:
    context = make_context()
    publisher = Publisher(context, f"ipc://{tmp_path}/star", epoch=7, clock=lambda: 0x1122334455667788)
    reader = star_socket(context, publisher, b"")
    records = np.zeros(2, QUOTE)
    records["instrument_id"] = 0x01020304
    records["bid_ticks"] = (5, 6)
    try:
        publisher.publish(records)
        frame = next(frame for frame in received(reader) if frame[0] == 1)
    finally:
        publisher.close()
        context.destroy(linger=0)
    assert frame[:HEADER_BYTES].hex() == GOLDEN_HEADER
    assert frame[HEADER_BYTES:] == records.tobytes()


def test_a_heartbeat_has_the_last_sequence_of_each_stream(tmp_path) -> None:
    context = make_context()
    publisher = Publisher(context, f"ipc://{tmp_path}/star", epoch=7, clock=lambda: 9)
    reader = star_socket(context, publisher, b"\xff")
    records = np.zeros(3, QUOTE)
    records["instrument_id"] = (4, 5, 4)
    begun_ns = now_ns()
    try:
        publisher.publish(records)
        publisher.heartbeat()
        frames = received(reader)
        while len(frames[-1]) == HEADER_BYTES:  # those of before
            frames += received(reader)
    finally:
        publisher.close()
        context.destroy(linger=0)
    topic, _, schema, version, size, count, epoch, stream, _, publish_ns = HEADER.unpack_from(frames[-1])
    assert (topic, schema, version, size, count) == (b"\xff" + bytes(7), 255, 1, 16, 2)
    assert (epoch, stream) == (7, 255 << 32)
    assert begun_ns <= publish_ns <= now_ns(), "of a heartbeat it is the machine's time"
    assert list(LAST.iter_unpack(frames[-1][HEADER_BYTES:])) == [(stream_id(1, 4), 2), (stream_id(1, 5), 1)]


def test_topics_of_one_kind_share_their_first_byte_and_sort_by_instrument() -> None:
    assert topic_bytes(2, 1) == b"\x02\0\0\0\0\0\0\x01"
    assert topic_bytes(2, 255) < topic_bytes(2, 256) < topic_bytes(3, 0)


@pytest.mark.parametrize(("topic", "kind"), [(QUOTES, 1), (TRADES, 2), (BOOK_DELTAS, 3)])
def test_each_topic_of_the_star_has_its_kind(topic, kind) -> None:
    layout = layout_of(topic)
    assert (layout.kind, layout.record_size) == (kind, topic.record.itemsize)


def test_a_topic_that_is_not_of_the_star_is_refused(tmp_path) -> None:
    with pytest.raises(TopicError, match=r"trading\.event"):
        layout_of(CORE_EVENTS)
    context = make_context()
    publisher = Publisher(context, f"ipc://{tmp_path}/star", epoch=7, clock=lambda: 9)
    try:
        with pytest.raises(TopicError, match=r"trading\.event"):
            publisher.publish(np.zeros(1, EVENT))
    finally:
        publisher.close()
        context.destroy(linger=0)


@pytest.mark.parametrize(
    "endpoint",
    ["ipc://" + "/x" * 51, "ipc://", "tcp://:5555", "tcp://host", "tcp://host:70000", "udp://x", "star"],
)
def test_an_endpoint_that_is_none_or_too_long_is_refused(endpoint) -> None:
    with pytest.raises(EndpointError):
        checked_endpoints(endpoint)


def test_short_paths_and_tcp_are_taken_tcp_last() -> None:
    good = ("ipc://" + "/x" * 50, "inproc://star", "tcp://127.0.0.1:*", "tcp://192.0.2.1:5555", "tcp://[::1]:5555")
    assert checked_endpoints(good) == good
    assert checked_endpoints(good[::-1]) == (*good[1::-1], *good[:1:-1])


def test_a_bad_endpoint_leaves_no_socket_open(tmp_path) -> None:
    context = make_context()
    with pytest.raises(EndpointError):
        Publisher(context, [f"ipc://{tmp_path}/star", "tcp://0.0.0.0:1"], epoch=1, clock=lambda: 1)
    with pytest.raises(zmq.ZMQError):
        Publisher(context, f"ipc://{tmp_path}/absent/star", epoch=1, clock=lambda: 1)
    context.term()  # would wait for a socket that was left open
