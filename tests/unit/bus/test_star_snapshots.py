"""Images of streams: a book that is built from one is the book that was built from all, queues included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.bus import stream_id
from nautilus.bus.backlog import Backlog, FrameBuffer
from nautilus.bus.base import BY_KIND, HEADER, LAYOUTS, MAGIC, topic_bytes
from nautilus.bus.book_image import FEW, BookImage
from nautilus.bus.snapshots import DUE_RECORDS, FOLDS, PENDING_RECORDS, Snapshots, folds
from nautilus.core.order_book import OrderBooks
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE
from nautilus.model.enums import BookAction, RecordFlag, Side
from tests.kit.effort import share
from tests.kit.star import deltas, quotes, trades

SET, ADD, REDUCE, DELETE, EXECUTE, EXECUTE_HIDDEN, CLEAR = (int(action) for action in BookAction)
BUY, SELL = int(Side.BUY), int(Side.SELL)
ROOM = {"orders": 256, "instruments": 4, "pages": 64, "huge": False}
BOOK = stream_id(3, 1)


def frame(kind: int, first: int, records: Any, epoch: int = 1) -> bytes:
    instrument = int(records["instrument_id"][0]) if len(records) else 1
    head = HEADER.pack(
        topic_bytes(kind, instrument),
        MAGIC,
        kind,
        1,
        BY_KIND[kind].record_size,
        len(records),
        epoch,
        stream_id(kind, instrument),
        first,
        0,
    )
    return head + records.tobytes()


def books_of(records: Any) -> list[Any]:
    books = OrderBooks(**ROOM)
    books.apply(np.ascontiguousarray(records))
    return books.orders(1).tolist() if books.instruments else []


def fold(snapshots: Snapshots, kind: int, first: int, records: Any) -> None:
    stream = stream_id(kind, int(records["instrument_id"][0]))
    snapshots.fold(stream, first, len(records), frame(kind, first, records))


ROWS = st.lists(
    st.tuples(
        st.sampled_from([SET, ADD, ADD, ADD, REDUCE, DELETE, EXECUTE, EXECUTE_HIDDEN, CLEAR]),
        st.sampled_from([BUY, SELL]),
        st.integers(98, 102),
        st.integers(1, 5),
        st.integers(1, 8),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(ROWS, st.lists(st.integers(1, 9), max_size=10), st.booleans())
def test_the_image_of_a_book_builds_the_book(rows: Any, cuts: list[int], ask_between: bool) -> None:
    records = deltas(1, *[(*row[:4], 0 if row[0] in (SET, CLEAR) else row[4]) for row in rows])
    snapshots = Snapshots()
    at = 0
    for size in [*cuts, len(records)]:
        part = records[at : at + size]
        if len(part):
            fold(snapshots, 3, at + 1, part)
            at += len(part)
            if ask_between:
                snapshots.image(BOOK)
    found = snapshots.image(BOOK)
    assert found is not None
    as_of, image = found
    assert as_of == len(records)
    assert books_of(image) == books_of(records)
    assert image["action"][:2].tolist() == [CLEAR, CLEAR]
    assert set(image["action"].tolist()) <= {CLEAR, SET, ADD}
    flags = image["flags"]
    assert (flags & RecordFlag.SNAPSHOT).all()
    assert np.flatnonzero(flags & RecordFlag.LAST).tolist() == [len(image) - 1]


def test_a_book_is_folded_before_what_waits_grows_large() -> None:
    snapshots = Snapshots()
    many = deltas(1, *[(SET, BUY, 1 + number % 50, 1 + number, 0) for number in range(1_000)])
    for number in range(PENDING_RECORDS // 1_000 + 2):
        fold(snapshots, 3, 1 + 1_000 * number, many)
    state = snapshots._streams[BOOK]
    assert state.waiting < PENDING_RECORDS
    found = snapshots.image(BOOK)
    assert found is not None
    assert len(found[1]) == 52


def test_books_that_are_due_together_are_folded_one_at_a_time() -> None:
    snapshots = Snapshots()
    many = DUE_RECORDS // 1_000 + 1
    for instrument in (1, 2, 3):
        rows = deltas(instrument, *[(SET, BUY, 1 + number % 50, 1 + number, 0) for number in range(1_000)])
        for number in range(many):
            fold(snapshots, 3, 1 + 1_000 * number, rows)
    waiting = []
    for _ in range(4):
        waiting.append([state.waiting for state in snapshots._streams.values()])
        snapshots.tend()
    each = 1_000 * many
    assert waiting == [[each, each, each], [0, each, each], [0, 0, each], [0, 0, 0]]


@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 5]), st.sampled_from([SET, ADD]))
@settings(max_examples=share(60))
def test_many_deltas_at_once_are_folded_as_one_by_one(seed: int, emptied: int, other: int) -> None:
    chance = np.random.default_rng(seed)
    rows = np.zeros(3 * FEW, BOOK_DELTA)
    rows["update_id"], rows["instrument_id"] = np.arange(1, len(rows) + 1), 1
    rows["action"], rows["side"] = SET, chance.integers(1, 3, len(rows))
    rows["price_ticks"] = chance.choice([-(2**60), -3, -1, 0, 1, 2, 2**60], len(rows))
    rows["quantity"] = chance.integers(0, 4, len(rows))
    rows["action"][chance.integers(0, len(rows), emptied)] = other
    whole, single = BookImage(), BookImage()
    whole.apply(rows)
    for at in range(len(rows)):
        single.apply(rows[at : at + 1])
    assert whole.records().tobytes() == single.records().tobytes()


def test_a_book_with_a_hole_has_no_image_until_it_is_told_anew() -> None:
    snapshots = Snapshots()
    fold(snapshots, 3, 1, deltas(1, (SET, BUY, 5, 1, 0)))
    fold(snapshots, 3, 3, deltas(1, (SET, BUY, 6, 1, 0)))
    assert snapshots.image(BOOK) is None
    fold(snapshots, 3, 4, deltas(1, (CLEAR, BUY, 0, 0, 0), (SET, BUY, 7, 1, 0)))
    assert snapshots.image(BOOK) is None
    fold(snapshots, 3, 6, deltas(1, (CLEAR, BUY, 0, 0, 0), (CLEAR, SELL, 0, 0, 0), (SET, BUY, 8, 1, 0)))
    found = snapshots.image(BOOK)
    assert found is not None
    assert (found[0], found[1]["price_ticks"].tolist()) == (8, [0, 0, 8])


@pytest.mark.parametrize(("kind", "records"), [(1, quotes(1, 1, 5)), (2, trades(1, 1, 5))])
def test_the_image_of_other_kinds_is_the_last_record(kind: int, records: Any) -> None:
    snapshots = Snapshots()
    fold(snapshots, kind, 1, records[:3])
    fold(snapshots, kind, 4, records[3:])
    found = snapshots.image(stream_id(kind, 1))
    assert found is not None
    assert (found[0], found[1].tolist()) == (5, records[-1:].tolist())
    assert found[1].dtype == (QUOTE if kind == 1 else TRADE)


def test_every_kind_of_the_star_says_how_it_folds() -> None:
    assert set(FOLDS) == {layout.topic.name for layout in LAYOUTS}
    assert [folds(kind) for kind in (1, 2, 3, 4, 77)] == [True, False, True, True, False]


def test_the_buffer_keeps_the_last_frames_within_its_bounds() -> None:
    buffer = FrameBuffer(8)
    for number in range(20):
        buffer.append(b"%d" % number)
    assert (buffer.oldest, buffer.next) == (12, 20)
    assert [buffer.get(number) for number in (11, 12, 19, 20)] == [None, b"12", b"19", None]
    small = FrameBuffer(8, most_bytes=100)
    for _ in range(20):
        small.append(bytes(30))
    assert (small.next - small.oldest, small.bytes) == (3, 90)
    small.append(bytes(500))
    assert (small.next - small.oldest, small.bytes) == (1, 500)
    with pytest.raises(ValueError, match="power of two"):
        FrameBuffer(12)


@settings(max_examples=60, deadline=None)
@given(
    sent=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 5)), max_size=80),
    room=st.sampled_from([8, 32, 128]),
    looks=st.integers(1, 9),
    first=st.integers(1, 60),
    count=st.integers(0, 30),
)
def test_the_backlog_finds_what_the_buffer_still_has(sent: Any, room: int, looks: int, first: int, count: int) -> None:
    buffer = FrameBuffer(room)
    folded: list[int] = []
    backlog = Backlog(buffer, 1, lambda stream, at, number, _: folded.append(number))
    last: dict[int, int] = {}
    kept: list[tuple[int, int, bytes]] = []
    for instrument, records in sent:
        at = last.get(instrument, 0) + 1
        last[instrument] = at + records - 1
        each = frame(1, at, quotes(instrument, at, records))
        kept.append((instrument, at, each))
        buffer.append(each)
        backlog.look(looks)
    while backlog.lag:
        backlog.look(looks)
    assert len(folded) == len(sent) - backlog.missed
    for instrument in (1, 2, 3):
        found = [each for each in backlog.find(stream_id(1, instrument), first, first + count) if each is not None]
        expected = [
            each
            for its, at, each in kept[-room:]
            if its == instrument and at <= first + count and at + (len(each) - 64) // 64 > first
        ]
        assert found == expected


def test_the_image_of_a_book_that_is_not_known_says_so():
    snapshots = Snapshots()
    rows = deltas(1, *((SET, BUY, price, 1, 0) for price in (98, 99, 100)))
    rows["flags"] = int(RecordFlag.LAST)
    gap, whole = rows.copy(), rows.copy()
    gap["flags"] |= int(RecordFlag.STALE)
    whole["flags"] = int(RecordFlag.SNAPSHOT)
    whole["flags"][-1] |= int(RecordFlag.LAST)
    first = 1
    for records, stale in ((rows, False), (gap, True), (rows, True), (whole, False)):
        fold(snapshots, 3, first, records)
        first += len(records)
        found = snapshots.image(BOOK)
        assert found is not None
        image = found[1]
        assert ((image["flags"] & int(RecordFlag.STALE)) != 0).all() == stale
