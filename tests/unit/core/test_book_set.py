"""Books of many instruments against one book each, and what a gap and a snapshot do to them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.bus.book_image import BookImage
from nautilus.core.book_set import BookSet
from nautilus.core.depth import DepthBook
from nautilus.core.ticks import GAP_FLAG
from nautilus.core.types import BOOK_DELTA, QUOTE, TRADE, BookAction, RecordFlag

SET, ADD, REDUCE, DELETE, EXECUTE, HIDDEN, CLEAR = (int(action) for action in BookAction)
LAST, SNAPSHOT, STALE = int(RecordFlag.LAST), int(RecordFlag.SNAPSHOT), int(RecordFlag.STALE)
BUY, SELL = 1, 2


def deltas(*rows, instrument=1, now=10):
    """(side, price, quantity[, action[, flags[, update id]]]) each, one nanosecond after the other."""
    full = [(*row, *(SET, LAST, 0)[len(row) - 3 :]) for row in rows]
    return np.array(
        [
            (now + at, 0, number, 0, price, quantity, instrument, side, action, flags)
            for at, (side, price, quantity, action, flags, number) in enumerate(full)
        ],
        BOOK_DELTA,
    )


def image(*levels, instrument=1, now=10, number=0):
    """A snapshot: both sides cleared, then levels."""
    rows = [(BUY, 0, 0, CLEAR, SNAPSHOT, number), (SELL, 0, 0, CLEAR, SNAPSHOT, number)]
    rows += [(*level, SET, SNAPSHOT, number) for level in levels]
    out = deltas(*rows, instrument=instrument, now=now)
    out["flags"][-1] |= LAST
    return out


LEVELS = st.tuples(
    st.integers(1, 4),
    st.sampled_from([BUY, SELL]),
    st.integers(95, 105),
    st.integers(0, 3),
    st.sampled_from([SET, SET, SET, CLEAR]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(LEVELS, max_size=60), st.integers(0, 60))
def test_each_book_is_that_of_a_depth_book(rows, cut):
    ids = {1: 1, 2: 70_000, 3: 65_535, 4: 4_000_000_000}
    records = np.array(
        [
            (at, 0, 0, 0, price, lots, ids[who], side, action, LAST)
            for at, (who, side, price, lots, action) in enumerate(rows)
        ],
        BOOK_DELTA,
    )
    books, singles = BookSet(levels=1 << 12), {number: DepthBook() for number in ids.values()}
    books.apply(records[:cut])
    books.apply(records[cut:])
    for number, single in singles.items():
        own = records[records["instrument_id"] == number]
        single.apply(np.ascontiguousarray(own))
        if not len(own):
            assert number not in books
            continue
        assert books.best(number) == single.best()
        assert books.counts(number) == single.counts()
        for found, expected in zip(books.depth(number, 100), single.depth(100), strict=True):
            assert found.tolist() == expected.tolist()
        for price in range(94, 107):
            assert books.quantity(number, BUY, price) == single.quantity(BUY, price)
        # What it gives as a snapshot makes the same book, also by the rules of the bus.
        copy, folded = DepthBook(), BookImage()
        copy.apply(books.snapshot(number))
        folded.apply(books.snapshot(number))
        assert copy.depth(100)[1].tolist() == single.depth(100)[1].tolist()
        assert len(folded.records()) == 2 + sum(single.counts())


def test_hundreds_of_levels_move_to_larger_blocks_and_blocks_are_used_again():
    books = BookSet(levels=1 << 13)
    prices = np.random.default_rng(3).permutation(600).tolist()
    for who in (1, 2, 3):
        books.apply(deltas(*((BUY, price + 1, price + 5) for price in prices), instrument=who))
    for who in (1, 2, 3):
        bids, _ = books.depth(who, 1_000)
        assert bids["price_ticks"].tolist() == list(range(600, 0, -1))
        assert (bids["quantity"] == bids["price_ticks"] + 4).all()
    before = books.memory_bytes
    books.clear(1)
    books.apply(deltas(*((SELL, price + 1, 1) for price in range(100)), instrument=2))
    assert books.memory_bytes == before, "the blocks that the bids outgrew serve the asks"
    assert books.counts(1) == (0, 0)


def test_no_room_for_a_level_is_said_and_what_came_before_stays():
    books = BookSet(levels=16)
    with pytest.raises(MemoryError, match=r"deltas\[8\]"):
        books.apply(deltas(*((BUY, price, 1) for price in range(1, 12))))
    assert books.counts(1) == (8, 0)


def test_orders_change_their_level():
    books = BookSet(snapshots=False)
    books.apply(deltas((BUY, 100, 5, ADD), (BUY, 100, 4, ADD), (BUY, 100, 2, EXECUTE), (BUY, 100, 9, HIDDEN)))
    assert books.best(1) == (100, 7, 0, 0)
    books.apply(deltas((BUY, 100, 3, DELETE), (SELL, 101, 6, ADD), (SELL, 101, 2, REDUCE)))
    assert books.best(1) == (100, 4, 101, 4)
    books.apply(deltas((BUY, 100, 9, REDUCE), (0, 0, 0, CLEAR)))
    assert books.best(1) == (0, 0, 0, 0)


def test_orders_of_a_level_that_do_not_fit_together_are_refused():
    books, most = BookSet(snapshots=False), (1 << 63) - 1
    with pytest.raises(ValueError, match=r"deltas\[2\]: quantity is negative, or the level's does not fit 64 bits"):
        books.apply(deltas((BUY, 100, most - 5, ADD), (BUY, 100, 5, ADD), (BUY, 100, 1, ADD)))
    assert books.best(1) == (100, most, 0, 0)


def test_a_book_is_blind_until_its_first_snapshot():
    books = BookSet()
    books.apply(deltas((BUY, 100, 5), (SELL, 101, 5), now=50))
    assert books.blind() == {1: 50}
    books.apply(image((BUY, 99, 1), (SELL, 102, 2), now=80))
    state = books.state(1)
    assert (state.blind_since_ns, state.blind_ns, state.snapshots) == (0, 33, 1)
    assert books.best(1) == (99, 1, 102, 2)
    assert books.blind() == {}
    begun = BookSet(snapshots=False)
    begun.apply(deltas((BUY, 100, 5)))
    assert begun.blind() == {}


@pytest.mark.parametrize("how", ["flag", "number", "told", "torn"])
def test_a_gap_makes_a_book_blind_since_what_was_known_last(how):
    books = BookSet(consecutive=how == "number")
    books.apply(image((BUY, 99, 1), (SELL, 102, 2), now=10, number=7))
    books.apply(deltas((BUY, 98, 3, SET, LAST, 8), now=20))
    assert books.state(1).blind_since_ns == 0
    if how == "flag":
        books.apply(deltas((BUY, 97, 3, SET, LAST | GAP_FLAG, 12), now=30))
    elif how == "number":
        books.apply(deltas((BUY, 97, 3, SET, LAST, 12), now=30))
    elif how == "told":
        books.mark_blind(1, 20)
    else:
        books.apply(image((BUY, 90, 1), now=30, number=11)[:-1])
        books.apply(deltas((BUY, 97, 3, SET, LAST, 12), now=35))
    since = 31 if how == "torn" else 20
    assert books.blind() == {1: since}
    assert (books.gaps, books.state(1).gaps) == (1, 1)
    # One side anew is no snapshot.
    books.apply(deltas((BUY, 0, 0, CLEAR, SNAPSHOT, 13), (BUY, 96, 1, SET, SNAPSHOT | LAST, 13), now=40))
    assert books.blind() == {1: since}
    books.apply(image((BUY, 95, 1), now=60, number=20))
    assert books.state(1).blind_ns == 3 + 62 - since
    assert books.best(1) == (95, 1, 0, 0)


def test_a_snapshot_that_lacks_a_level_is_none():
    books = BookSet()
    books.apply(image((BUY, 99, 1), now=10))
    torn = image((BUY, 98, 1), now=30)
    torn["flags"][-1] |= GAP_FLAG
    books.apply(torn)
    assert books.blind() == {1: 32}
    assert (books.gaps, books.state(1).snapshots) == (1, 1)
    books.apply(image((BUY, 98, 1), now=50))
    assert books.blind() == {}


def test_records_that_are_older_than_the_book_are_left_out():
    books = BookSet()
    books.apply(image((BUY, 99, 1), number=7))
    books.apply(deltas((BUY, 99, 5, SET, LAST, 6), (BUY, 98, 5, SET, LAST, 7), (SELL, 120, 1, SET, LAST, 0)))
    assert (books.old, books.state(1).old) == (1, 1)
    assert books.best(1) == (99, 1, 120, 1)
    books.apply(image((BUY, 50, 2), number=3))
    assert books.best(1) == (50, 2, 0, 0)
    anyhow = BookSet(numbered=False)
    anyhow.apply(deltas((BUY, 99, 5, SET, LAST, 6), (BUY, 99, 4, SET, LAST, 2)))
    assert anyhow.best(1) == (99, 4, 0, 0)


def test_the_best_is_told_where_it_changed_and_stale_while_blind():
    books = BookSet()
    told = books.apply_best(
        np.concatenate(
            [
                deltas((BUY, 100, 5), (BUY, 99, 5), (SELL, 101, 4, SET, 0), (BUY, 100, 6), now=1),
                image((BUY, 100, 6), (SELL, 101, 4), now=20),
                deltas((SELL, 103, 1), (SELL, 101, 0), now=30),
            ]
        )
    )
    assert told.dtype == QUOTE
    assert told[["now_ns", "bid_ticks", "bid_quantity", "ask_ticks", "ask_quantity", "flags"]].tolist() == [
        (1, 100, 5, 0, 0, LAST | STALE),
        (4, 100, 6, 101, 4, LAST | STALE),
        (23, 100, 6, 101, 4, LAST),
        (31, 100, 6, 103, 1, LAST),
    ]


def test_crossed_books_are_counted_until_they_part():
    books = BookSet(snapshots=False)
    books.apply(deltas((BUY, 100, 5), (SELL, 100, 5, SET, 0), (SELL, 99, 5), (BUY, 101, 1)))
    assert books.crossed() == [1]
    assert (books.crossings, books.state(1).crossed) == (1, True)
    books.apply(deltas((SELL, 100, 0, SET, 0), (SELL, 99, 0, SET, 0), (SELL, 110, 1)))
    assert books.crossed() == []
    books.apply(deltas((BUY, 110, 1)))
    assert books.crossings == 2


def test_quotes_are_kept_beside_the_books():
    books = BookSet([5])
    quotes = np.zeros(3, QUOTE)
    quotes["instrument_id"] = [5, 6, 5]
    quotes["bid_ticks"] = [1, 2, 3]
    books.take_quotes(quotes)
    assert [books.quote(who)["bid_ticks"].tolist() for who in (5, 6)] == [[3], [2]]
    assert books.best(5) == (0, 0, 0, 0)
    assert (len(books), books.instruments) == (2, [5, 6])
    books.apply(deltas((BUY, 1, 1), instrument=7))
    assert books.quote(7) is None


def test_what_is_no_record_of_a_book_is_refused():
    books = BookSet()
    for row, what in (
        ((0, 1, 1), "side"),
        ((3, 1, 1), "side"),
        ((1, 1, -1), "quantity"),
        ((1, 1, 1, 9), "action"),
        ((1, 1, 1, 0), "action"),
    ):
        with pytest.raises(ValueError, match=rf"deltas\[1\]: {what}"):
            books.apply(deltas((BUY, 5, 5), row))
    with pytest.raises(TypeError):
        books.apply(np.zeros(1, TRADE))
    with pytest.raises(KeyError, match="instrument 9"):
        books.best(9)
    with pytest.raises(ValueError, match="levels"):
        BookSet(levels=1)
    with pytest.raises(ValueError, match="since_ns"):
        books.mark_blind(1, 0)


def test_the_last_trade_of_each_instrument_is_kept_beside_the_books():
    books = BookSet()
    books.take_trades(np.array([(5, 0, 1, 100, 3, 1, BUY, 0, 0), (6, 0, 2, 101, 4, 1, SELL, 0, 0)], TRADE))
    books.apply(deltas((BUY, 99, 1), instrument=2))
    books.take_trades(np.array([(0, 0, 1, 0, 3, 3, BUY, 0, 0)], TRADE))
    assert (books.trade(1), books.trade(2), books.trade(3)) == ((101, 6), None, (0, 0))
    assert books.counts(1) == (0, 0)
    with pytest.raises(KeyError):
        books.trade(4)
    with pytest.raises(TypeError):
        books.take_trades(np.zeros(1, QUOTE))


def test_changes_of_levels_alone_are_told_from_what_marks_a_book_or_names_orders():
    plain = deltas((BUY, 100, 5), (SELL, 0, 0, CLEAR), (SELL, 101, 0))
    assert BookSet.levels_alone(plain)
    assert BookSet.levels_alone(plain[:0])
    for action, flags in ((ADD, LAST), (HIDDEN, LAST), (SET, STALE), (SET, GAP_FLAG), (SET, SNAPSHOT), (0, LAST)):
        assert not BookSet.levels_alone(np.concatenate([plain, deltas((BUY, 100, 5, action, flags))]))
    with pytest.raises(TypeError):
        BookSet.levels_alone(np.zeros(1, QUOTE))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([BUY, SELL]), st.integers(-3, 3), st.integers(0, 3),
            st.sampled_from([SET] * 8 + [CLEAR, ADD]), st.sampled_from([LAST] * 8 + [SNAPSHOT, STALE]),
        ),
        max_size=80,
    )
)  # fmt: skip
def test_the_last_record_of_each_level_makes_the_same_book(rows):
    records = deltas(*rows)
    fewer = BookSet.last_of_levels(records)
    odd = [at for at, row in enumerate(rows) if row[3] != SET or row[4] != LAST]
    behind = odd[-1] + 1 if odd else 0
    last = {row[:2]: at for at, row in enumerate(rows) if at >= behind}
    kept = [*range(behind), *sorted(last.values())]
    assert fewer.tobytes() == records[kept].tobytes()
