"""Order books kept order by order, against a plain twin and on their own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.core.order_book import OrderBooks
from nautilus.core.types import BOOK_DELTA, BookAction, RecordFlag, Side
from tests.kit.order_books import PlainBooks

BUY, SELL = int(Side.BUY), int(Side.SELL)
ADD, REDUCE, DELETE, EXECUTE, HIDDEN, SET, CLEAR = (
    int(getattr(BookAction, name)) for name in ("ADD", "REDUCE", "DELETE", "EXECUTE", "EXECUTE_HIDDEN", "SET", "CLEAR")
)
LAST = int(RecordFlag.LAST)


def deltas(*rows):
    """(action, side, order id, price, quantity[, instrument]) as BOOK_DELTA records."""
    out = np.zeros(len(rows), BOOK_DELTA)
    for record, (action, side, order_id, price, quantity, *instrument) in zip(out, rows, strict=True):
        record["action"], record["side"], record["order_id"] = action, side, order_id
        record["price_ticks"], record["quantity"] = price, quantity
        record["instrument_id"] = instrument[0] if instrument else 1
        record["flags"] = LAST
    return out


def test_orders_stand_in_price_then_time_order():
    books = OrderBooks()
    books.apply(
        deltas(
            (ADD, BUY, 11, 99, 5),
            (ADD, BUY, 12, 100, 7),
            (ADD, BUY, 13, 100, 1),
            (ADD, SELL, 14, 102, 3),
            (ADD, SELL, 15, 101, 2),
        )
    )
    assert books.orders(1).tolist() == [
        (12, 100, 7, BUY),
        (13, 100, 1, BUY),
        (11, 99, 5, BUY),
        (15, 101, 2, SELL),
        (14, 102, 3, SELL),
    ]
    assert books.best(1) == (100, 8, 101, 2)
    assert books.depth(1, BUY).tolist() == [(100, 8, 2), (99, 5, 1)]
    assert books.depth(1, SELL, 1).tolist() == [(101, 2, 1)]


def test_a_reduced_order_keeps_its_place_and_an_emptied_one_goes():
    books = OrderBooks()
    books.apply(deltas((ADD, BUY, 1, 100, 5), (ADD, BUY, 2, 100, 5), (REDUCE, 0, 1, 0, 3)))
    assert books.orders(1).tolist() == [(1, 100, 2, BUY), (2, 100, 5, BUY)]
    books.apply(deltas((EXECUTE, 0, 1, 0, 2)))
    assert books.orders(1).tolist() == [(2, 100, 5, BUY)]
    books.apply(deltas((DELETE, 0, 2, 0, 0)))
    assert books.best(1) == (0, 0, 0, 0)
    assert (books.order_count, books.unknown, books.excess) == (0, 0, 0)


def test_what_does_not_fit_is_counted_and_changes_no_more_than_it_can():
    books = OrderBooks()
    books.apply(deltas((ADD, BUY, 1, 100, 5), (ADD, SELL, 1, 105, 4), (REDUCE, 0, 9, 0, 1), (EXECUTE, 0, 1, 0, 9)))
    assert (books.duplicates, books.unknown, books.excess, books.order_count) == (1, 1, 1, 0)


def test_a_level_that_was_set_is_one_order_which_unknown_ids_act_on():
    books = OrderBooks()
    books.apply(
        deltas((ADD, SELL, 1, 100, 5), (SET, SELL, 0, 100, 20), (ADD, SELL, 2, 100, 1), (EXECUTE, SELL, 7, 100, 6))
    )
    assert books.orders(1).tolist() == [(0, 100, 14, SELL), (2, 100, 1, SELL)]
    books.apply(deltas((DELETE, SELL, 8, 100, 14), (REDUCE, SELL, 9, 100, 1)))
    assert books.orders(1).tolist() == [(2, 100, 1, SELL)]
    assert books.unknown == 1
    books.apply(deltas((SET, SELL, 0, 100, 0)))
    assert books.order_count == 0


def test_instruments_share_ids_without_meeting():
    books = OrderBooks()
    books.apply(deltas((ADD, BUY, 1, 100, 5, 7), (ADD, BUY, 1, 200, 6, 70_000), (REDUCE, 0, 1, 0, 1, 70_000)))
    assert books.best(7) == (100, 5, 0, 0)
    assert books.best(70_000) == (200, 5, 0, 0)
    assert books.instruments == [7, 70_000]
    with pytest.raises(KeyError, match="instrument 8 has no book"):
        books.best(8)


def test_clear_empties_one_side_or_both():
    books = OrderBooks()
    rows = ((ADD, BUY, 1, 100, 5), (ADD, BUY, 2, 50, 5), (ADD, SELL, 3, 101, 5), (SET, SELL, 0, 103, 5))
    books.apply(deltas(*rows, (CLEAR, BUY, 0, 0, 0)))
    assert books.best(1) == (0, 0, 101, 5)
    books.apply(deltas(*rows[:2], (CLEAR, 0, 0, 0, 0)))
    assert books.order_count == 0


@pytest.mark.parametrize(
    ("row", "error", "words"),
    [
        ((ADD, 0, 1, 100, 1), ValueError, "side is neither"),
        ((ADD, 3, 1, 100, 1), ValueError, "side is neither"),
        ((ADD, BUY, 1, 100, 0), ValueError, "quantity"),
        ((ADD, BUY, 1, 100, -5), ValueError, "quantity"),
        ((ADD, BUY, 1, 1 << 41, 5), ValueError, "price"),
        ((REDUCE, BUY, 1, 0, -1), ValueError, "quantity"),
        ((REDUCE, BUY, 9, 0, -1), ValueError, "quantity"),
        ((SET, BUY, 0, 100, -1), ValueError, "quantity"),
        ((SET, BUY, 0, -(1 << 41), 1), ValueError, "price"),
        ((CLEAR, 9, 0, 0, 0), ValueError, "side"),
        ((0, BUY, 0, 0, 0), ValueError, "action"),
        ((99, BUY, 0, 0, 0), ValueError, "action"),
        ((ADD, BUY, 2, 100, 1), MemoryError, "room for another order"),
        ((ADD, BUY, 2, 100, 1, 2), MemoryError, "room for another instrument"),
    ],
)
def test_a_bad_record_is_named_and_those_before_it_are_applied(row, error, words):
    books = OrderBooks(orders=1, instruments=1)
    with pytest.raises(error, match=rf"deltas\[1\]: .*{words}"):
        books.apply(deltas((ADD, BUY, 1, 100, 1), row))
    assert books.orders(1).tolist() == [(1, 100, 1, BUY)]


def test_a_full_pool_of_pages_refuses_and_the_book_stays_whole():
    books = OrderBooks(pages=1)
    books.apply(deltas((ADD, BUY, 1, 100, 1)))
    with pytest.raises(MemoryError, match="page of levels"):
        books.apply(deltas((ADD, BUY, 2, 100_000, 1)))
    books.apply(deltas((DELETE, 0, 1, 0, 0), (ADD, BUY, 2, 100_000, 1)))
    assert books.best(1) == (100_000, 1, 0, 0)


def test_other_arrays_are_refused():
    with pytest.raises(TypeError, match="BOOK_DELTA"):
        OrderBooks().apply(np.zeros(2))
    with pytest.raises(TypeError, match="contiguous"):
        OrderBooks().apply(np.zeros(4, BOOK_DELTA)[::2])


@pytest.mark.parametrize("arguments", [{"orders": 0}, {"pages": 0}, {"step": 0}, {"edge": -1}, {"instruments": 0}])
def test_sizes_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match=r"expected"):
        OrderBooks(**arguments)


def test_a_price_off_the_grid_is_taken_and_queues_stay():
    books = OrderBooks(edge=10_000, step=100)
    before = deltas(
        *(
            (ADD, side, 10 * side + k, price + k // 2 * 100, k + 1)
            for side, price in ((1, 9_000), (2, 2_000_000))
            for k in range(9)
        )
    )
    books.apply(before)
    twin = PlainBooks()
    twin.apply(before)
    odd = deltas((ADD, SELL, 99, 2_000_050, 7), (ADD, BUY, 98, 10_001, 7))
    books.apply(odd)
    twin.apply(odd)
    assert books.orders(1).tolist() == twin.orders(1)
    rest = deltas(*((DELETE, 0, order_id, 0, 0) for order_id, *_ in twin.orders(1)))
    books.apply(rest)
    assert books.order_count == 0


def test_equal_books_have_equal_hashes_and_queue_order_counts():
    rows = deltas((ADD, BUY, 1, 100, 5), (ADD, BUY, 2, 100, 5))
    hashes = set()
    for array in (rows, rows, rows[::-1].copy()):
        books = OrderBooks()
        books.apply(array)
        hashes.add(books.state_hash(1))
    assert len(hashes) == 2


# Few ids and prices, so that they meet; strides of 512 and of 2^32 meet in the index.
IDS = st.sampled_from([k * stride for stride in (1, 512, 1 << 32) for k in range(1, 7)])
ROWS = st.tuples(
    st.sampled_from([ADD, ADD, ADD, REDUCE, DELETE, EXECUTE, HIDDEN, SET, CLEAR]),
    st.sampled_from([BUY, SELL]),
    IDS,
    st.one_of(st.integers(90, 110), st.sampled_from([-(1 << 40), -600, 9_999, 10_000, 10_100, 10_150, 1 << 40])),
    st.integers(1, 9),
    st.sampled_from([1, 2, 70_000]),
)


@settings(deadline=None)
@given(st.lists(ROWS, max_size=120), st.sampled_from([(0, 1), (10_000, 100)]))
def test_books_equal_those_of_the_plain_twin(rows, grid):
    books, twin = OrderBooks(orders=256, pages=64, edge=grid[0], step=grid[1], huge=False), PlainBooks()
    array = deltas(*rows)
    quotes = books.apply_quotes(array)
    twin.apply(array)
    for instrument in twin.books:
        orders = twin.orders(instrument)
        assert books.orders(instrument).tolist() == orders
        for side in (BUY, SELL):
            depth = books.depth(instrument, side)
            mine = [row for row in orders if row[3] == side]
            assert depth["quantity"].sum() == sum(row[2] for row in mine)
            assert depth["orders"].sum() == len(mine)
            assert depth["price_ticks"].tolist() == list(dict.fromkeys(row[1] for row in mine))
    assert (books.unknown, books.duplicates, books.excess) == (twin.unknown, twin.duplicates, twin.excess)
    assert len(quotes) == len(rows)
    for instrument in twin.books:
        last = quotes[quotes["instrument_id"] == instrument][-1]
        names = ("bid_ticks", "bid_quantity", "ask_ticks", "ask_quantity")
        assert tuple(int(last[name]) for name in names) == books.best(instrument)


def test_a_long_run_equals_the_twin_and_leaves_nothing_behind():
    random = np.random.default_rng(4)
    count = 20_000
    books, twin = OrderBooks(orders=512, pages=64), PlainBooks()
    array = np.zeros(count, BOOK_DELTA)
    array["action"] = random.choice([ADD, REDUCE, DELETE, EXECUTE], count, p=[0.4, 0.2, 0.25, 0.15])
    array["side"] = random.integers(1, 3, count)
    array["order_id"] = random.integers(1, 60, count) * 512
    array["price_ticks"] = random.integers(1_000, 1_030, count)
    array["quantity"] = random.integers(1, 20, count)
    array["instrument_id"] = 1
    for start in range(0, count, 500):
        books.apply(array[start : start + 500])
        twin.apply(array[start : start + 500])
        assert books.orders(1).tolist() == twin.orders(1)
    books.clear(1)
    assert books.order_count == 0
