"""The judge of star frames and what makes them: beside their naive twins, alone and over real sockets."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.bus import native_sockets
from nautilus.bus.base import HEADER, HEADER_BYTES, LAYOUTS
from nautilus.core import zmq_calls
from nautilus.core.clock import now_ns
from nautilus.core.star_frames import FrameJudge, StreamRow
from nautilus.core.star_writer import FrameWriter
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE
from tests.kit.star_twin import NaiveJudge, NaiveRow, NaiveWriter

DTYPES = {1: QUOTE, 2: TRADE, 3: BOOK_DELTA}
WAIT_MS = 60_000
Item = tuple[object, np.ndarray]


def same(ours: list[Item], theirs: list[Item]) -> bool:
    """Whether the same records were handed out, in the same order, and none can be written to."""
    assert not any(records.flags.writeable for _, records in ours)
    return [(token, records.dtype, records.tobytes()) for token, records in ours] == [
        (token, records.dtype, records.tobytes()) for token, records in theirs
    ]


def row_of(kind: type[StreamRow] | type[NaiveRow], stream: int, expected: int = 1) -> Any:
    """A row of a stream of the platform."""
    row = kind(stream, expected)
    row.describe(stream >> 32, 1, DTYPES[stream >> 32], f"{stream:x}")
    return row


def quotes(*instruments: int, start: int = 0) -> np.ndarray:
    records = np.zeros(len(instruments), QUOTE)
    records["instrument_id"] = instruments
    records["update_id"] = np.arange(start, start + len(instruments))
    return records


# Where bytes of a frame are changed: every field of the header, and beyond it.
CHANGES = st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=2)
FRAMES = st.builds(
    lambda schema, instrument, version, count, epoch, first, cut, changes: (
        "frame", schema, instrument, version, count, epoch, first, cut, changes
    ),
    st.integers(1, 3), st.integers(1, 3), st.sampled_from((1, 1, 1, 1, 2)), st.sampled_from((1, 1, 2, 3, 0)),
    st.sampled_from((7, 7, 7, 7, 6, 8)), st.sampled_from((0, 0, 0, 0, 0, -1, 1, 5)),
    st.sampled_from((0, 0, 0, 0, 0, 1, -1, 64)), st.just([]) | CHANGES,
)  # fmt: skip
STEPS = st.lists(
    st.one_of(
        FRAMES,
        FRAMES,
        FRAMES,
        st.tuples(st.just("bytes"), st.binary(max_size=200)),
        st.tuples(st.just("enter"), st.sampled_from((7, 7, 8))),
        st.tuples(st.just("ignore"), st.integers(0, 30)),
        st.tuples(st.just("watch"), st.integers(0, 30)),
        st.tuples(st.just("expect"), st.integers(0, 30), st.integers(1, 9)),
        st.tuples(st.just("open"), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3)),
    ),
    max_size=60,
)


def frame_of(twin: NaiveJudge, step: tuple[Any, ...]) -> bytes:
    """A frame whose first sequence lies about what is due; cut or lengthened, and with bytes changed."""
    _, schema, instrument, version, count, epoch, off, cut, changes = step
    stream = schema << 32 | instrument
    due = twin.rows[stream].expected if stream in twin.rows else 1
    size = DTYPES[schema].itemsize
    header = HEADER.pack(bytes(8), 0x5354554E, schema, version, size, count, epoch, stream, max(0, due + off), 9)
    frame = bytearray(header + bytes(range(size)) * count)
    frame = frame[: len(frame) - cut] if cut >= 0 else frame + bytes(-cut)
    for place, value in changes:
        if place < len(frame):
            frame[place] = value
    return bytes(frame)


@settings(max_examples=150)
@given(STEPS, st.integers(0, 9), st.sampled_from((1, 3, 64)))
def test_every_frame_is_judged_as_the_twin_judges_it(steps, opened, capacity) -> None:
    judge, twin = FrameJudge(capacity), NaiveJudge(capacity)
    rows: list[tuple[Any, Any]] = []
    ours: list[Item] = []
    theirs: list[Item] = []
    steps = [("enter", 7), *(("open", 1 + at % 3, 1 + at // 3, 1) for at in range(opened)), *steps]
    for step in steps:
        if step[0] == "frame" or step[0] == "bytes":
            frame = step[1] if step[0] == "bytes" else frame_of(twin, step)
            assert judge.take(frame, ours) == twin.take(frame, theirs)
        elif step[0] == "enter":
            for each in (judge, twin):
                each.enter(step[1])
        elif step[0] == "open":
            stream, expected = step[1] << 32 | step[2], step[3]
            rows.append((row_of(StreamRow, stream, expected), row_of(NaiveRow, stream, expected)))
            assert judge.watch(rows[-1][0]) == twin.watch(rows[-1][1])
        elif step[1] < len(rows):
            mine, other = rows[step[1]]
            if step[0] == "expect":
                mine.expected = other.expected = step[2]
            else:
                assert getattr(judge, step[0])(mine) == getattr(twin, step[0])(other)
        assert (judge.epoch, judge.delivered, judge.frames, len(judge)) == (
            (twin.epoch, twin.delivered, twin.frames, len(twin))
        )
        for mine, other in rows:
            assert (mine.expected, mine.delivered, mine.stream) == (other.expected, other.delivered, other.stream)
    assert same(ours, theirs)
    for mine, other in rows:
        assert (mine.latest is None) == (other.latest is None)
        assert mine.latest is None or mine.latest.tobytes() == other.latest.tobytes()


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.lists(st.integers(0, 4), max_size=40), st.integers(0, 3), st.integers(1, 3)),
        max_size=12,
    )
)
def test_frames_are_made_as_the_twin_makes_them(batches) -> None:
    writer, twin = FrameWriter(9), NaiveWriter(9)
    for each in (writer, twin):
        for schema, dtype in DTYPES.items():
            each.layout(schema, schema * 300, dtype)
    for number, (schema, instruments, most, stride) in enumerate(batches):
        records = np.zeros(len(instruments) * stride, DTYPES[schema])[::stride]
        records["instrument_id"] = instruments
        records["now_ns"] = np.arange(len(records)) + 1000 * number
        assert writer.pack(records, schema, number, most, number % 3) == twin.pack(
            records, schema, number, most, number % 3
        )
        assert writer.lasts() == twin.lasts()
        assert (writer.published, writer.frames, len(writer)) == (twin.published, twin.frames, len(twin))


class Pair:
    """A publisher's and a subscriber's socket that know each other, with writer and judge."""

    def __init__(self, endpoint: str = "inproc://star") -> None:
        self.context = zmq.Context()
        self.up, self.down = self.context.socket(zmq.XPUB), self.context.socket(zmq.SUB)
        for socket in (self.up, self.down):
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.SNDHWM, 0)
            socket.setsockopt(zmq.RCVHWM, 0)
        self.down.setsockopt(zmq.RCVTIMEO, WAIT_MS)
        self.up.setsockopt(zmq.RCVTIMEO, WAIT_MS)
        self.up.bind(endpoint)
        self.down.setsockopt(zmq.SUBSCRIBE, b"")
        self.down.connect(self.up.getsockopt_string(zmq.LAST_ENDPOINT))
        assert self.up.recv() == b"\1"
        self.writer = FrameWriter(7)
        self.judge = FrameJudge()
        self.judge.enter(7)
        for layout in LAYOUTS:
            self.writer.layout(layout.kind, layout.version, layout.dtype)

    def watch(self, *streams: int) -> None:
        for stream in streams:
            self.judge.watch(row_of(StreamRow, stream))

    def publish(self, records: np.ndarray, schema: int = 1, most: int = 0) -> int:
        return self.writer.publish(self.up, records, schema, 5, most)

    def close(self) -> None:
        self.context.destroy(linger=0)


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


QUOTES_1, QUOTES_2, TRADES_1 = 1 << 32 | 1, 1 << 32 | 2, 2 << 32 | 1


def test_a_drain_takes_frames_up_to_the_first_that_is_not_next(pair) -> None:
    pair.watch(QUOTES_1)
    pair.publish(quotes(1, 1, 2, 1))
    pair.publish(quotes(1, 1))
    out: list[Item] = []
    assert pair.judge.drain(pair.down, out) == 1
    assert [(token, records["update_id"].tolist()) for token, records in out] == [("100000001", [0, 1, 3])]
    assert pair.judge.other is not None
    assert HEADER.unpack_from(pair.judge.other)[7] == QUOTES_2
    assert pair.judge.drain(pair.down, out) == 1
    assert pair.judge.other is None
    assert pair.judge.delivered == 5


def test_a_batch_goes_no_further_than_its_limit(pair) -> None:
    pair.watch(QUOTES_1)
    pair.publish(quotes(*[1] * 200), most=1)
    taken = []
    for limit in (0, 1, 64, 65, 100):
        out: list[Item] = []
        taken.append(pair.judge.drain(pair.down, out, limit))
        assert len(out) == taken[-1]
    assert taken == [0, 1, 64, 65, 70]


def test_records_outlive_the_messages_that_they_came_in(pair) -> None:
    pair.watch(QUOTES_1)
    kept: list[Item] = []
    for number in range(40):
        pair.publish(quotes(*[1] * 100, start=100 * number))
        pair.judge.drain(pair.down, kept)
    pair.close()
    assert np.concatenate([records["update_id"] for _, records in kept]).tolist() == list(range(4_000))


@pytest.mark.parametrize("endpoint", ["inproc://star", "tcp://127.0.0.1:*"])
def test_an_array_is_filled_across_frames_and_streams(endpoint) -> None:
    with contextlib.closing(Pair(endpoint)) as pair:
        pair.watch(QUOTES_1, QUOTES_2)
        for number in range(50):
            pair.publish(quotes(1, 2, 1, 2, 1, start=5 * number))
        found, array = [], np.zeros(7, QUOTE)
        while sum(map(len, found)) < 250:
            stored = pair.judge.drain_into(pair.down, array, 1, wait=True)
            assert pair.judge.other is None
            found.append(array[:stored].copy())
        records = np.concatenate(found)
        for instrument in (1, 2):
            numbers = records["update_id"][records["instrument_id"] == instrument]
            assert (np.diff(numbers.astype(np.int64)) > 0).all()
        assert sorted(records["update_id"].tolist()) == list(range(250))
        assert pair.judge.delivered == 250


def test_records_are_collected_until_the_array_is_full_or_nothing_comes(pair) -> None:
    pair.watch(QUOTES_1)
    records, arrivals = np.zeros(10, QUOTE), np.zeros(10, np.int64)
    begun_ns = now_ns()
    senders = [threading.Timer(0.02 * each, pair.publish, (quotes(1, 1, 1, start=3 * each),)) for each in range(4)]
    for sender in senders:
        sender.start()
    assert pair.judge.collect(pair.down, records, arrivals, 1) == 9
    for sender in senders:
        sender.join()
    assert pair.judge.waiting
    assert sorted(records["update_id"][:9].tolist()) == sorted({*range(12)} - set(left(pair)))
    assert (np.diff(arrivals[:9].reshape(3, 3), axis=1) == 0).all()
    assert begun_ns < arrivals[0] < arrivals[3] < arrivals[6] <= now_ns()
    pair.down.setsockopt(zmq.RCVTIMEO, 1)
    assert pair.judge.collect(pair.down, records, arrivals, 1) == 0
    for wrong in (np.zeros(9, np.int64), np.zeros(10, np.uint64), np.zeros(20, np.int64)[::2], [0] * 10):
        with pytest.raises(ValueError, match="10 int64"):
            pair.judge.collect(pair.down, records, wrong, 1)


def left(pair: Pair) -> list[int]:
    """Numbers of the records that still wait."""
    out: list[Item] = []
    pair.judge.drain(pair.down, out)
    return [int(number) for _, records in out for number in records["update_id"]]


def test_a_frame_without_room_waits_for_the_next_call(pair) -> None:
    pair.watch(QUOTES_1)
    pair.publish(quotes(1, 1, 1))
    pair.publish(quotes(1, 1, 1, start=3))
    array = np.zeros(5, QUOTE)
    assert pair.judge.drain_into(pair.down, array, 1) == 3
    assert pair.judge.waiting
    assert pair.judge.delivered == 3
    out: list[Item] = []
    assert pair.judge.drain(pair.down, out) == 1
    assert not pair.judge.waiting
    assert out[0][1]["update_id"].tolist() == [3, 4, 5]


def test_frames_of_another_schema_or_too_large_for_the_array_are_handed_back(pair) -> None:
    pair.watch(QUOTES_1, TRADES_1)
    trades = np.zeros(1, TRADE)
    trades["instrument_id"] = 1
    pair.publish(trades, 2)
    pair.publish(quotes(1, 1, 1))
    array, out = np.zeros(2, QUOTE), []
    for _ in range(2):
        assert pair.judge.drain_into(pair.down, array, 1) == 0
        assert pair.judge.other is not None
        assert pair.judge.take(pair.judge.other, out)
    assert [(token, len(records)) for token, records in out] == [("200000001", 1), ("100000001", 3)]


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 2), QUOTE), np.zeros(4, QUOTE)[::2], np.frombuffer(bytes(128), QUOTE), np.zeros(2, object), [1, 2]],
    ids=["two-dimensional", "strided", "read-only", "objects", "a list"],
)
def test_an_array_that_cannot_be_filled_is_refused(pair, array) -> None:
    with pytest.raises(ValueError, match="writable array"):
        pair.judge.drain_into(pair.down, array, 1)


def test_a_closed_socket_is_not_used(pair) -> None:
    pair.watch(QUOTES_1)
    pair.up.close()
    pair.down.close()
    with pytest.raises(zmq.ZMQError, match="non-socket"):
        pair.judge.drain(pair.down, [])
    with pytest.raises(zmq.ZMQError, match="non-socket"):
        pair.judge.drain_into(pair.down, np.zeros(1, QUOTE), 1)
    with pytest.raises(zmq.ZMQError, match="non-socket"):
        pair.publish(quotes(1))
    assert pair.writer.published == 0


def test_a_context_that_ends_is_told(pair) -> None:
    ended = threading.Thread(target=pair.context.term)
    ended.start()
    with pytest.raises(zmq.ContextTerminated):
        pair.judge.drain(pair.down, [], wait=True)
    pair.up.close()
    pair.down.close()
    ended.join(60)


def test_a_drain_waits_for_the_first_frame_and_no_longer_than_the_socket_says(pair) -> None:
    pair.watch(QUOTES_1)
    sender = threading.Timer(0.05, pair.publish, (quotes(1),))
    sender.start()
    out: list[Item] = []
    assert pair.judge.drain(pair.down, out, 64, wait=True) == 1
    sender.join()
    pair.down.setsockopt(zmq.RCVTIMEO, 1)
    assert pair.judge.drain(pair.down, out, 64, wait=True) == 0


def test_a_second_thread_is_refused_while_one_waits(pair) -> None:
    found: list[Item] = []
    waits = threading.Thread(target=pair.judge.drain, args=(pair.down, found, 1, True))
    pair.watch(QUOTES_1)
    waits.start()

    def look() -> None:
        while waits.is_alive():  # until it has begun
            pair.judge.drain(pair.down, found, 0)

    with pytest.raises(RuntimeError, match="two threads"):
        look()
    pair.publish(quotes(1))
    waits.join(60)
    assert len(found) == 1


def test_what_is_refused_by_a_socket_is_not_numbered() -> None:
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        writer = FrameWriter(7)
        writer.layout(1, 1, QUOTE)
        with pytest.raises(zmq.Again):
            writer.publish(socket, quotes(1, 1), 1, 5)
        assert (writer.published, writer.frames, writer.lasts()[8:]) == (0, 0, bytes(8))


@given(st.lists(st.tuples(st.integers(1, 2), st.integers(1, 3)), max_size=12), st.integers(1, 7))
@settings(max_examples=30, deadline=None)
def test_without_the_functions_of_the_library_the_results_are_the_same(batches, limit) -> None:
    found = []
    with contextlib.closing(Pair("inproc://a")) as a, contextlib.closing(Pair("inproc://b")) as b:
        for pair, receive, publish in (
            (a, native_sockets.receive, FrameWriter.publish),
            (b, native_sockets.receive_by_calls, native_sockets.publish_by_calls),
        ):
            pair.watch(QUOTES_1)
            for instrument, count in batches:
                assert publish(pair.writer, pair.up, quotes(*[instrument] * count), 1, 5) == 1
            out: list[Item] = []
            others = []
            results = []
            while True:
                results.append(receive(pair.judge, pair.down, out, limit))
                others.append(results[-1][1])
                if results[-1] == (0, None):
                    break
            found.append(
                (results, others, [(token, records.tobytes()) for token, records in out], pair.judge.delivered)
            )
    assert found[0] == found[1]


def test_the_functions_are_found_beside_the_library_that_is_loaded() -> None:
    assert native_sockets.NATIVE
    assert zmq_calls.filled()
    assert set(native_sockets.addresses()) == set(zmq_calls.NAMES)
    with pytest.raises(ValueError, match="no address of zmq_send"):
        zmq_calls.fill({name: 1 for name in zmq_calls.NAMES if name != "zmq_send"})


def test_streams_and_layouts_that_cannot_be_are_refused() -> None:
    judge, row = FrameJudge(1), StreamRow(QUOTES_1, 1)
    with pytest.raises(ValueError, match="described"):
        judge.watch(row)
    for schema, version, dtype in (
        (1 << 16, 1, QUOTE),
        (1, -1, QUOTE),
        (1, 1, np.dtype(object)),
        (1, 1, np.dtype("V0")),
    ):
        with pytest.raises(ValueError, match=r"StreamRow\.describe"):
            row.describe(schema, version, dtype, None)
    assert judge.watch(row_of(StreamRow, QUOTES_1))
    assert not judge.watch(row_of(StreamRow, QUOTES_2))
    assert judge.watch(row_of(StreamRow, QUOTES_1))  # in the place of the one before
    writer = FrameWriter(7)
    for schema, version, dtype in ((0, 1, QUOTE), (256, 1, QUOTE), (1, 1 << 16, QUOTE), (1, 1, np.dtype("i8"))):
        with pytest.raises(ValueError, match=r"FrameWriter\.layout"):
            writer.layout(schema, version, dtype)
    with pytest.raises(ValueError, match="its layout"):
        writer.pack(quotes(1), 1, 5)
    for wrong in (FrameJudge, lambda capacity: FrameWriter(7, capacity)):
        with pytest.raises(ValueError, match="capacity"):
            wrong(0)


class Kept(StreamRow):
    """A row with more to it, as subscribers have."""

    __slots__ = ("name",)

    def __init__(self, name: str, stream: int) -> None:
        super().__init__(stream, 1)
        self.name = name


def test_a_judge_keeps_the_rows_that_it_watches() -> None:
    judge, writer = FrameJudge(), FrameWriter(7)
    judge.enter(7)
    writer.layout(1, 1, QUOTE)
    for instrument in range(1, 100):
        row = Kept("kept", 1 << 32 | instrument)
        row.describe(1, 1, QUOTE, row)
        assert judge.watch(row)
    del row
    gc.collect()
    out: list[Any] = []
    for frame in writer.pack(quotes(*range(1, 100)), 1, 5):
        assert judge.take(frame, out)
    assert [(row.name, row.expected, len(records)) for row, records in out] == [("kept", 2, 1)] * 99
    for row, _ in out[::2]:
        judge.ignore(row)
    frames = writer.pack(quotes(*range(1, 100)), 1, 5)
    assert [judge.take(frame, out) for frame in frames] == [False, True] * 49 + [False]
    assert len(judge) == 49


def test_more_streams_than_the_capacity_are_refused_and_the_others_go_on() -> None:
    writer = FrameWriter(7, 2)
    writer.layout(1, 1, QUOTE)
    assert len(writer.pack(quotes(1, 2, 1), 1, 5)) == 2
    with pytest.raises(MemoryError):
        writer.pack(quotes(1, 2, 3, 1), 1, 5)
    frames = writer.pack(quotes(2, 1), 1, 5)
    assert [HEADER.unpack_from(frame)[8] for frame in frames] == [2, 3]
    assert all(len(frame) == HEADER_BYTES + QUOTE.itemsize for frame in frames)
