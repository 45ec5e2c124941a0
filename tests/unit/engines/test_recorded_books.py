"""Books of recorded markets: single orders, and how long a book was blind."""

import numpy as np
import pytest

from nautilus.adapters.formats import UpdateKind, open_recording
from nautilus.core.order_book import OrderBooks
from nautilus.core.ticks import GAP_FLAG
from nautilus.core.types import BOOK_DELTA
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.model.enums import BookAction, RecordFlag, Side
from nautilus.model.errors import ModelError
from nautilus.model.queries import GetBook, GetQuotes
from tests.kit.context import RecordingContext, btcusdt
from tests.kit.data import LOBSTER, recording


def change(now_ns, rows, flags=0):
    """A change of a book: (side, action, price, lots), the last with LAST."""
    records = np.zeros(len(rows), BOOK_DELTA)
    for name, column in zip(("side", "action", "price_ticks", "quantity"), zip(*rows, strict=True), strict=True):
        records[name] = column
    records["now_ns"], records["instrument_id"], records["flags"] = now_ns, 1, flags
    records["flags"][-1] |= RecordFlag.LAST
    return records


def snapshot(now_ns):
    return change(
        now_ns,
        [(Side.BUY, BookAction.CLEAR, 0, 0), (Side.SELL, BookAction.CLEAR, 0, 0), (Side.BUY, BookAction.SET, 99, 4)],
        RecordFlag.SNAPSHOT,
    )


def test_a_recording_by_orders_shows_them_in_priority_order():
    pair = open_recording(recording(LOBSTER))
    hub = MarketDataEngine(MarketDataConfig(), [pair.hint.instrument()])
    books = OrderBooks(huge=False)
    ctx = RecordingContext()
    for update in pair.updates():
        hub.on_records(update.records, ctx)
        if update.kind == UpdateKind.BOOK:
            books.apply(update.records)
    book = hub.on_request(GetBook("AAPL", 3, 3), ctx)
    rows = books.orders(1)
    best = {side: books.depth(1, side, 3)["price_ticks"].tolist() for side in (1, 2)}
    expected = [row["order_id"] for row in rows if row["price_ticks"] in best[int(row["side"])]]
    assert [order.order_id for order in book.orders] == expected
    assert [level.orders for level in book.bids] == books.depth(1, 1, 3)["orders"].tolist()
    assert len(book.orders) > 6


@pytest.mark.parametrize("broken", [GAP_FLAG, RecordFlag.STALE])
def test_a_book_is_blind_from_a_gap_until_a_whole_snapshot(broken):
    hub = MarketDataEngine(MarketDataConfig(), [btcusdt()])
    ctx = RecordingContext()

    def book():
        return hub.on_request(GetBook("BTCUSDT"), ctx)

    hub.on_records(snapshot(100), ctx)
    assert (book().blind_since_ns, book().gaps) == (0, 0)
    hub.on_records(change(250, [(Side.BUY, BookAction.SET, 98, 1)], broken), ctx)
    hub.on_records(change(300, [(Side.BUY, BookAction.SET, 97, 1)]), ctx)
    assert (book().blind_since_ns, book().gaps) == (100, 1), "since the last record that was right"
    assert hub.on_request(GetQuotes(), ctx).quotes[0].blind_since_ns == 100
    assert hub.blind == {1: 100}
    hub.on_records(snapshot(400), ctx)
    assert (book().blind_since_ns, book().blind_ns, book().gaps) == (0, 300, 1)
    assert hub.blind == {}
    assert [level.price for level in book().bids] == [str(btcusdt().price(99))]


def test_a_book_of_levels_has_no_orders_to_show():
    hub = MarketDataEngine(MarketDataConfig(), [btcusdt()])
    ctx = RecordingContext()
    hub.on_records(snapshot(100), ctx)
    with pytest.raises(ModelError, match="level 3"):
        hub.on_request(GetBook("BTCUSDT", 5, 3), ctx)
