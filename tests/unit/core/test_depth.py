"""The book of absolute quantities, against a dictionary."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.depth import LEVEL, DepthBook
from nautilus.core.types import BOOK_DELTA, QUOTE, BookAction, Side


def deltas_of(rows):
    """BOOK_DELTA array of (side, action, price, quantity)."""
    deltas = np.zeros(len(rows), BOOK_DELTA)
    for i, (side, action, price, quantity) in enumerate(rows):
        deltas[i] = (i + 1, i, 100 + i, 0, price, quantity, 7, side, action, 0)
    return deltas


class NaiveDepth:
    """The same book as two dictionaries."""

    def __init__(self):
        self.sides = {Side.BUY: {}, Side.SELL: {}}

    def apply(self, rows):
        for side, action, price, quantity in rows:
            levels = self.sides[side]
            if action == BookAction.CLEAR:
                levels.clear()
            elif quantity:
                levels[price] = quantity
            else:
                levels.pop(price, None)

    def depth(self, count):
        bids = sorted(self.sides[Side.BUY].items(), reverse=True)[:count]
        return bids, sorted(self.sides[Side.SELL].items())[:count]

    def best(self):
        bids, asks = self.depth(1)
        return (*(bids or [(0, 0)])[0], *(asks or [(0, 0)])[0])


PRICES = st.one_of(st.integers(-4, 12), st.sampled_from([2**40, -(2**40), 2**62, -(2**62)]))
ROWS = st.lists(
    st.tuples(
        st.sampled_from([Side.BUY, Side.SELL]),
        st.sampled_from([BookAction.SET] * 9 + [BookAction.CLEAR]),
        PRICES,
        st.sampled_from([0, 0, 1, 5, 2**40]),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(ROWS, max_size=6), st.integers(0, 5))
def test_book_equals_a_dictionary_after_each_update(updates, count):
    book, naive, each = DepthBook(), NaiveDepth(), DepthBook()
    arrays = [deltas_of(rows) for rows in updates]
    bests = []
    for rows, deltas in zip(updates, arrays, strict=True):
        book.apply(deltas)
        naive.apply(rows)
        assert book.best() == naive.best()
        bests.append(naive.best())
        for mine, theirs in zip(book.depth(count), naive.depth(count), strict=True):
            assert mine.dtype == LEVEL
            assert mine.tolist() == theirs
        assert book.counts() == (len(naive.sides[Side.BUY]), len(naive.sides[Side.SELL]))
        for side in Side:
            for price in range(-4, 13):
                assert book.quantity(side, price) == naive.sides[side].get(price, 0)
    quotes = each.apply_each(arrays)
    assert quotes.dtype == QUOTE
    assert quotes[["bid_ticks", "bid_quantity", "ask_ticks", "ask_quantity"]].tolist() == bests


def test_many_levels_outgrow_the_first_room():
    prices = np.random.default_rng(3).permutation(10_000)
    book = DepthBook()
    book.apply(deltas_of([(Side.SELL, BookAction.SET, int(p), int(p) + 1) for p in prices]))
    assert book.depth(3)[1].tolist() == [(0, 1), (1, 2), (2, 3)]
    assert book.depth(20_000)[1].tolist() == [(p, p + 1) for p in range(10_000)]
    book.clear()
    assert book.best() == (0, 0, 0, 0)


def test_best_after_each_update_carries_time_id_and_instrument():
    book = DepthBook()
    updates = [deltas_of([(Side.BUY, BookAction.SET, 5, 1), (Side.SELL, BookAction.SET, 6, 2)]), deltas_of([])]
    first, second = book.apply_each(updates)
    assert first["now_ns"] == second["now_ns"] == book.now_ns == 2
    assert first["update_id"] == second["update_id"] == book.update_id == 101
    assert first["venue_ns"] == 1
    assert first["instrument_id"] == 7


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((0, BookAction.SET, 1, 1), "side is neither BUY nor SELL"),
        ((Side.BUY, BookAction.ADD, 1, 1), "action is neither SET nor CLEAR"),
        ((Side.BUY, BookAction.SET, 1, -1), "quantity is negative"),
    ],
)
def test_refused_record_is_named_and_those_before_it_are_applied(row, message):
    book = DepthBook()
    rows = [(Side.BUY, BookAction.SET, 3, 4), row, (Side.BUY, BookAction.SET, 9, 9)]
    with pytest.raises(ValueError, match=rf"deltas\[1\]: {message}"):
        book.apply(deltas_of(rows))
    assert book.best() == (3, 4, 0, 0)
    with pytest.raises(ValueError, match=message):
        book.apply_each([deltas_of(rows)])


@pytest.mark.parametrize("deltas", [None, [], np.zeros(3), np.zeros((2, 2), BOOK_DELTA), np.zeros(4, BOOK_DELTA)[::2]])
def test_wrong_array_is_refused(deltas):
    with pytest.raises(TypeError, match="expected a"):
        DepthBook().apply(deltas)


def test_unknown_side_is_refused():
    with pytest.raises(ValueError, match="side is 3"):
        DepthBook().quantity(3, 1)
