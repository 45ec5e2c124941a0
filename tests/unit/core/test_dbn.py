"""Books from market-by-order records."""

import numpy as np
import pytest

from nautilus.core.dbn import MBO, MboBookBuilder
from nautilus.core.order_book import OrderBooks
from nautilus.core.types import BookAction, RecordFlag, Side

BUY, SELL = int(Side.BUY), int(Side.SELL)
QUARTER = 250_000_000
LAST, SNAPSHOT = 128, 32


def records(*rows):
    """(action, side, order id, price in quarters, size[, flags]) as MBO records."""
    out = np.zeros(len(rows), MBO)
    out["rtype"], out["length"], out["instrument_id"] = 160, 14, 17077
    for record, (action, side, order_id, price, size, *flags) in zip(out, rows, strict=True):
        record["action"], record["side"], record["order_id"] = action, side, order_id
        record["price"], record["size"] = price * QUARTER, size
        record["flags"] = flags[0] if flags else LAST
    return out


def builder():
    return MboBookBuilder(OrderBooks(), {17077: QUARTER})


def test_a_modification_keeps_its_place_unless_price_changes_or_size_grows():
    books = builder()
    books.apply(records(*((b"A", b"B", order_id, 100, 5) for order_id in (1, 2, 3))))
    deltas, _ = books.build(records((b"M", b"B", 1, 100, 4), (b"M", b"B", 1, 100, 4)))
    assert deltas["action"].tolist() == [BookAction.REDUCE]
    assert [row[0] for row in books.books.orders(17077).tolist()] == [1, 2, 3]
    deltas, _ = books.build(records((b"M", b"B", 1, 100, 6), (b"M", b"B", 2, 101, 5)))
    assert deltas["action"].tolist() == [BookAction.DELETE, BookAction.ADD] * 2
    assert deltas["flags"].tolist() == [0, RecordFlag.LAST] * 2
    assert books.books.orders(17077).tolist() == [(2, 101, 5, BUY), (3, 100, 5, BUY), (1, 100, 6, BUY)]


def test_cancels_take_size_off_and_fills_change_nothing():
    books = builder()
    deltas, trades = books.build(
        records(
            (b"A", b"A", 1, 101, 5), (b"T", b"B", 0, 101, 2), (b"F", b"A", 1, 101, 2), (b"C", b"A", 1, 101, 2),
            (b"T", b"N", 0, 101, 2), (b"C", b"A", 1, 101, 3), (b"C", b"A", 9, 101, 3),
        )
    )  # fmt: skip
    assert deltas["action"].tolist() == [BookAction.ADD, BookAction.REDUCE, BookAction.DELETE]
    assert trades[["price_ticks", "quantity", "side"]].tolist() == [(101, 2, BUY)]
    assert (books.fills, books.sideless_trades, books.books.unknown, books.books.order_count) == (1, 1, 1, 0)


def test_a_reset_clears_both_sides_and_flags_are_carried():
    books = builder()
    deltas, _ = books.build(
        records((b"A", b"B", 1, 99, 5), (b"R", b"N", 0, 0, 0, SNAPSHOT), (b"A", b"A", 2, 100, 5, SNAPSHOT | LAST))
    )
    assert deltas["flags"].tolist() == [RecordFlag.LAST, RecordFlag.SNAPSHOT, RecordFlag.SNAPSHOT | RecordFlag.LAST]
    assert books.books.orders(17077).tolist() == [(2, 100, 5, SELL)]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("rtype", 1, "record type 1; expected 160"),
        ("instrument_id", 5, "instrument 5; expected one that has"),
        ("action", b"Z", "action b'Z'; expected A, C"),
        ("side", b"N", "side b'N' of action b'A'; expected B or A"),
        ("price", 7, "price 7; expected a multiple"),
    ],
)
def test_a_bad_record_is_named_and_those_before_it_are_applied(field, value, words):
    books = builder()
    rows = records((b"A", b"B", 1, 99, 5), (b"A", b"B", 2, 99, 5))
    rows[field][1] = value
    with pytest.raises(ValueError, match=rf"records\[1\]: {words}"):
        books.apply(rows)
    assert books.books.order_count == 1
