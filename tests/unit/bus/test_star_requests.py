"""Requests and answers of the replayer: read as they were written; what is none is refused, whatever the bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.bus import EndpointError, replay_endpoint
from nautilus.bus.base import ANSWER_STREAM, HEADER, HEADER_BYTES, MOST, FrameFlag, flagged, flags_of
from nautilus.bus.requests import (
    REQUEST,
    REQUEST_MAGIC,
    Answer,
    Operation,
    Request,
    Status,
    matches,
    pack_answer,
    pack_request,
    parse_answer,
    parse_request,
    whole_kind,
)

NUMBERS = st.integers(0, MOST - 1)
STREAMS = st.integers(0, 2**64 - 1)
REPLAYS = st.builds(
    lambda number, epoch, stream, first, count: Request(
        Operation.REPLAY, number, epoch, stream, first, min(first + count, MOST - 1)
    ),
    NUMBERS,
    NUMBERS,
    STREAMS,
    st.integers(1, MOST - 1),
    st.integers(0, 10_000),
)
SNAPSHOTS = st.builds(
    lambda number, streams: Request(Operation.SNAPSHOT, number, streams=tuple(streams)),
    NUMBERS,
    st.lists(STREAMS, min_size=1, max_size=20),
)
ENDS = st.builds(lambda number, epoch: Request(Operation.END, number, epoch), NUMBERS, NUMBERS)
ANSWERS = st.builds(
    Answer,
    st.sampled_from(Operation),
    NUMBERS,
    NUMBERS,
    STREAMS,
    NUMBERS,
    NUMBERS,
    st.integers(0, 3).map(Status),
    NUMBERS,
    st.lists(st.tuples(STREAMS, NUMBERS), max_size=20).map(tuple),
)


@given(st.one_of(REPLAYS, SNAPSHOTS, ENDS))
def test_a_request_is_read_as_it_was_written(request_: Request) -> None:
    assert parse_request(pack_request(request_)) == request_


@given(ANSWERS, NUMBERS)
def test_an_answer_is_read_as_it_was_written(answer: Answer, now_ns: int) -> None:
    frame = pack_answer(answer, now_ns)
    assert parse_answer(frame) == answer
    _, _, _, _, size, count, epoch, stream, number, at_ns = HEADER.unpack_from(frame)
    assert (len(frame), epoch, stream) == (HEADER_BYTES + size * count, answer.epoch, ANSWER_STREAM)
    assert (number, at_ns) == (answer.number, now_ns)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_none(data: bytes) -> None:
    found = parse_request(data)
    assert found is None or pack_request(found) == data


@given(st.one_of(REPLAYS, SNAPSHOTS, ENDS), st.integers(0, 47), st.integers(0, 255))
def test_a_request_with_another_byte_is_another_one_or_none(request_: Request, at: int, value: int) -> None:
    data = bytearray(pack_request(request_))
    data[at] = value
    found = parse_request(bytes(data))
    assert found is None or pack_request(found) == data


@given(ANSWERS, st.data())
def test_an_answer_with_another_byte_is_another_one_or_none(answer: Answer, data: st.DataObject) -> None:
    frame = bytearray(pack_answer(answer, 0))
    frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(frame[: data.draw(st.integers(HEADER_BYTES, len(frame)))])
    found = parse_answer(cut)
    assert found is None or len(cut) == len(frame)


GOOD = (REQUEST_MAGIC, 1, 1, 5, 6, 7, 8, 9)


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, 1), (1, 0), (1, 4), (2, 0), (2, 2), (3, MOST), (4, MOST), (6, 0), (6, 10), (6, MOST), (7, MOST), (7, 7)],
)
def test_a_request_that_makes_no_sense_is_none(place: int, value: int) -> None:
    fields = list(GOOD)
    assert parse_request(REQUEST.pack(*fields)) is not None
    fields[place] = value
    assert parse_request(REQUEST.pack(*fields)) is None


def test_streams_belong_to_a_snapshot_alone() -> None:
    data = pack_request(Request(Operation.SNAPSHOT, 1, streams=(1, 2)))
    assert parse_request(data) is not None
    assert parse_request(data[:-1]) is None
    assert parse_request(data[: REQUEST.size]) is None
    assert parse_request(pack_request(Request(Operation.END, 1, 2)) + bytes(8)) is None
    assert parse_request(pack_request(Request(Operation.SNAPSHOT, 1, streams=(1,) * 65_537))) is None


def test_a_kind_stands_for_all_of_its_streams() -> None:
    assert matches((whole_kind(2),), 2 << 32 | 5)
    assert not matches((whole_kind(2),), 3 << 32 | 5)
    assert matches((1, 2 << 32 | 5), 2 << 32 | 5)
    assert not matches((2 << 32 | 6,), 2 << 32 | 5)


def test_flags_are_set_without_touching_the_rest() -> None:
    frame = pack_answer(Answer(Operation.END, 1, 2), 3)
    marked = flagged(frame, FrameFlag.SNAPSHOT | FrameFlag.REPLAYED)
    assert (flags_of(frame), flags_of(marked)) == (0, 3)
    assert flagged(marked, 0) == frame


def test_the_replayer_listens_beside_the_star() -> None:
    assert replay_endpoint("ipc:///run/x/star") == "ipc:///run/x/star.replay"
    assert replay_endpoint("inproc://star") == "inproc://star.replay"
    assert replay_endpoint("tcp://127.0.0.1:7001") == "tcp://127.0.0.1:7002"
    with pytest.raises(EndpointError):
        replay_endpoint("tcp://127.0.0.1:*")
