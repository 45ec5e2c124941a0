"""The hub publishes what it is given, or derives it from the core."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.adapters.formats import open_recording
from nautilus.adapters.formats.orderdepth import OrderDepth
from nautilus.core import BOOK_DELTA, QUOTE, TRADE, Kernel
from nautilus.core.types import OrderFlag
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.model.commands import CancelOrder, ReplaceOrder, SubmitOrder
from nautilus.model.enums import BookAction, OrderType, RecordFlag, Side, TimeInForce
from nautilus.model.errors import ModelError
from nautilus.model.marketdata import book_deltas, quotes, trades
from nautilus.model.queries import GetBook, GetOrders, GetQuotes
from nautilus.model.records import command_array
from tests.kit import flow
from tests.kit.context import RecordingContext, btcusdt, quote_array
from tests.kit.data import LOBSTER, recording


def test_recorded_records_are_published_as_they_are():
    ctx = RecordingContext()
    hub = MarketDataEngine(MarketDataConfig(), [btcusdt()])
    records = quote_array(1, 100, 101)
    hub.on_records(records, ctx)
    assert ctx.published[0] is records
    assert hub.subscribes == ()


def _order(kind, account, order, side, lots, price):
    if kind == 0:
        return CancelOrder(account, 1, order)
    if kind == 1:
        return ReplaceOrder(account, 1, order, lots, price)
    order_type, tif = [
        (OrderType.LIMIT, TimeInForce.GTC),
        (OrderType.LIMIT, TimeInForce.IOC),
        (OrderType.MARKET, TimeInForce.IOC),
        (OrderType.LIMIT, TimeInForce.GTD),
    ][kind - 2]
    expire = 40 if tif == TimeInForce.GTD else 0
    price = 0 if order_type == OrderType.MARKET else price
    return SubmitOrder(account, 1, order, side, lots, price, order_type, tif, expire_ns=expire)


COMMANDS = st.lists(
    st.builds(
        _order,
        st.sampled_from([0, 1, 2, 2, 2, 3, 4, 5]),
        st.integers(1, 3),
        st.integers(1, 12),
        st.sampled_from(list(Side)),
        st.integers(1, 9),
        st.integers(100, 110),
    ),
    max_size=60,
)


@given(COMMANDS, st.integers(1, 6))
def test_applying_every_derived_delta_gives_the_cores_book(commands, batch):
    kernel = Kernel(instruments=[btcusdt()], accounts=[1, 2, 3], huge_pages=False)
    hub = MarketDataEngine(MarketDataConfig(derive=True), [btcusdt()])
    ctx = RecordingContext()
    book = {}
    quote = None
    printed = 0
    for start in range(0, len(commands), batch):
        ctx.now_ns = start + 1
        rows = command_array(*(command.to_row(ctx.now_ns) for command in commands[start : start + batch]))
        events = kernel.process(rows)
        ctx.published.clear()
        hub.on_events(events, ctx)
        for records in ctx.published:
            if records.dtype == BOOK_DELTA:
                deltas = book_deltas(records)
                assert [bool(delta.flags & RecordFlag.LAST) for delta in deltas] == [False] * (len(deltas) - 1) + [True]
                for delta in deltas:
                    assert book.get((delta.side, delta.price_ticks), 0) != delta.quantity
                    book[delta.side, delta.price_ticks] = delta.quantity
            elif records.dtype == QUOTE:
                quote = quotes(records)[-1]
            elif records.dtype == TRADE:
                printed += sum(trade.quantity for trade in trades(records))
        bids, asks = kernel.depth(1, 1000)
        levels = {(Side.BUY, int(row["price_ticks"])): int(row["quantity"]) for row in bids}
        levels |= {(Side.SELL, int(row["price_ticks"])): int(row["quantity"]) for row in asks}
        assert {key: lots for key, lots in book.items() if lots} == levels
        if quote is not None:
            assert (quote.bid_ticks, quote.bid_quantity) == _best(bids)
            assert (quote.ask_ticks, quote.ask_quantity) == _best(asks)
        else:
            assert not levels
    bought = sum(abs(int(row["quantity"])) for account in (1, 2, 3) for row in kernel.positions(account))
    assert bought <= 2 * printed


def _best(side):
    return (int(side[0]["price_ticks"]), int(side[0]["quantity"])) if len(side) else (0, 0)


def test_a_restored_hub_goes_on_with_the_same_book():
    kernel = Kernel(instruments=[btcusdt()], accounts=[1, 2], huge_pages=False)
    ctx = RecordingContext()
    hub = MarketDataEngine(MarketDataConfig(derive=True), [btcusdt()])
    hub.on_events(kernel.process(command_array(SubmitOrder(1, 1, 1, Side.BUY, 5, 100).to_row(1))), ctx)
    later = MarketDataEngine(MarketDataConfig(derive=True), [btcusdt()])
    later.restore(json.loads(json.dumps(hub.state())))
    ctx.published.clear()
    later.on_events(kernel.process(command_array(SubmitOrder(2, 1, 1, Side.SELL, 2, 100).to_row(2))), ctx)
    delta, trade, quote = ctx.published
    assert (delta["price_ticks"].tolist(), delta["quantity"].tolist()) == ([100], [3])
    assert (trade["quantity"].tolist(), trade["side"].tolist()) == ([2], [Side.SELL])
    assert quotes(quote)[0].bid_quantity == 3
    assert np.all(delta["update_id"] == 2)


@pytest.mark.parametrize("style", ["near", "drift", "deep"])
@pytest.mark.parametrize("seed", range(3))
def test_depth_is_what_the_kernel_has_after_every_batch(style, seed):
    rules = flow.Flow(seed, style)
    kernel = Kernel(accounts=(), huge_pages=False)
    hub = MarketDataEngine(MarketDataConfig(derive=True), [btcusdt()])
    ctx = RecordingContext()
    hub.on_events(kernel.process(np.concatenate([flow.instruments(), flow.accounts()])), ctx)
    open_orders: set[tuple[int, int]] = set()
    for _ in range(25):
        commands = rules.draw(120, sorted(open_orders)[-200:])
        # A recorded trade takes part of its quantity without an event; it plays in recordings alone.
        commands = commands[(commands["flags"] & (OrderFlag.TAPE | OrderFlag.TAPE_BOOKED)) == 0]
        events = kernel.process(commands)
        hub.on_events(events, ctx)
        for name in ("account_id", "order_id"), ("counter_account_id", "counter_order_id"):
            open_orders |= set(zip(*(events[field].tolist() for field in name), strict=True))
        for instrument_id in flow.INSTRUMENTS:
            for levels in (1, 3, 10_000):
                for ours, core in zip(
                    hub.depth(instrument_id, levels), kernel.depth(instrument_id, levels), strict=True
                ):
                    assert ours.dtype == core.dtype
                    assert ours.tolist() == core.tolist()
    assert kernel.open_orders > 10
    assert hub.last_sequence == kernel.last_event_sequence


def test_events_that_the_books_have_already_change_nothing():
    kernel = Kernel(instruments=[btcusdt()], accounts=[1, 2], huge_pages=False)
    hub, ctx = MarketDataEngine(MarketDataConfig(derive=True), [btcusdt()]), RecordingContext()
    events = kernel.process(command_array(SubmitOrder(1, 1, 1, Side.BUY, 5, 100).to_row(1)))
    hub.on_events(events, ctx)
    ctx.published.clear()
    hub.on_events(events, ctx)
    assert ctx.published == []
    assert hub.depth(1, 5)[0].tolist() == [(100, 5, 1)]
    assert [len(side) for side in hub.depth(2, 5)] == [0, 0]


def test_a_hub_of_a_later_life_publishes_whole_books_and_nothing_of_before():
    kernel = Kernel(instruments=[btcusdt()], accounts=[1, 2], huge_pages=False)
    hub, ctx = MarketDataEngine(MarketDataConfig(derive=True), [btcusdt()]), RecordingContext()
    orders = [SubmitOrder(1, 1, 1, Side.BUY, 5, 100), SubmitOrder(1, 1, 2, Side.BUY, 5, 99)]
    orders += [SubmitOrder(1, 1, 3, Side.SELL, 4, 103), SubmitOrder(2, 1, 1, Side.SELL, 2, 100)]
    hub.rebuild(kernel.process(command_array(*(order.to_row(1) for order in orders))), ctx)
    assert ctx.published == []
    hub.publish_books(ctx)
    deltas, quote = ctx.published
    assert [(row["action"], row["side"], row["price_ticks"], row["quantity"]) for row in deltas] == [
        (BookAction.CLEAR, Side.BUY, 0, 0),
        (BookAction.CLEAR, Side.SELL, 0, 0),
        (BookAction.SET, Side.BUY, 100, 3),
        (BookAction.SET, Side.BUY, 99, 5),
        (BookAction.SET, Side.SELL, 103, 4),
    ]
    assert (deltas["flags"] & RecordFlag.SNAPSHOT).all()
    assert ((deltas["flags"] & RecordFlag.LAST) != 0).tolist() == [False] * 4 + [True]
    [line] = quotes(quote)
    assert (line.bid_ticks, line.bid_quantity, line.ask_ticks, line.ask_quantity) == (100, 3, 103, 4)
    ctx.published.clear()
    hub.on_events(kernel.process(command_array(SubmitOrder(2, 1, 2, Side.SELL, 1, 99).to_row(2))), ctx)
    assert [records.dtype for records in ctx.published] == [BOOK_DELTA, TRADE, QUOTE]


def test_a_derived_book_and_its_quote_are_shown_as_people_write_them():
    kernel = Kernel(instruments=[btcusdt()], accounts=[1, 2], huge_pages=False)
    hub, ctx = MarketDataEngine(MarketDataConfig(derive=True), [btcusdt()]), RecordingContext()
    empty = hub.on_request(GetBook("BTCUSDT"), ctx)
    assert (empty.bids, empty.asks, empty.last_price, empty.updates) == ((), (), "", 0)
    orders = [SubmitOrder(1, 1, n, Side.BUY, 5 * n, 618_003 - n) for n in range(1, 5)]
    orders += [SubmitOrder(2, 1, 1, Side.SELL, 2, 618_002)]
    hub.on_events(kernel.process(command_array(*(order.to_row(1) for order in orders))), ctx)
    book = hub.on_request(GetBook("BTCUSDT", 2), ctx)
    assert [(level.price, level.quantity) for level in book.bids] == [("61800.2", "0.003"), ("61800.1", "0.010")]
    assert (book.instrument_id, book.symbol, book.asks, book.last_price) == (1, "BTCUSDT", (), "61800.2")
    assert (book.updates, book.now_ns) == (1, ctx.now_ns)
    assert hub.on_request(GetBook("1", 2), ctx) == book
    reply = hub.on_request(GetQuotes(), ctx)
    [line] = reply.quotes
    assert (line.bid, line.bid_quantity, line.ask, line.ask_quantity) == ("61800.2", "0.003", "", "")
    assert (reply.market, reply.market_seconds, reply.progress, reply.finished) == ("", 0.0, -1.0, False)


@pytest.mark.parametrize(
    ("request_", "what"),
    [(GetBook("ETHUSDT"), "instrument 'ETHUSDT'"), (GetBook("BTCUSDT", 0), "levels 0"), (GetBook("1", 1_001), "1001")],
)
def test_a_book_that_there_is_not_is_refused(request_, what):
    hub = MarketDataEngine(MarketDataConfig(), [btcusdt()])
    with pytest.raises(ModelError, match=what):
        hub.on_request(request_, RecordingContext())
    with pytest.raises(ModelError, match="GetOrders"):
        hub.on_request(GetOrders(), RecordingContext())


def test_recorded_books_of_two_instruments_are_kept_apart_however_many_records_come():
    ctx = RecordingContext()
    hub = MarketDataEngine(MarketDataConfig(), [btcusdt(), btcusdt(instrument_id=2, symbol="OTHER")])
    rng = np.random.default_rng(1)
    want: dict[tuple[int, int, int], int] = {}
    for n in range(1_500):
        count = int(rng.integers(1, 4))
        deltas = np.zeros(count, BOOK_DELTA)
        deltas["now_ns"], deltas["instrument_id"] = n, rng.integers(1, 3, count)
        deltas["side"], deltas["price_ticks"] = rng.integers(1, 3, count), rng.integers(100, 120, count)
        deltas["quantity"], deltas["action"] = rng.integers(0, 9, count), BookAction.SET
        for row in deltas:
            want[int(row["instrument_id"]), int(row["side"]), int(row["price_ticks"])] = int(row["quantity"])
        hub.on_records(deltas, ctx)
        hub.on_records(quote_array(n, 100 + n, 200 + n, instrument_id=1 + n % 2), ctx)
    assert len(ctx.published) == 3_000
    for instrument_id, symbol in ((1, "BTCUSDT"), (2, "OTHER")):
        book = hub.on_request(GetBook(symbol, 100), ctx)
        for side, levels in ((Side.BUY, book.bids), (Side.SELL, book.asks)):
            expected = {price: lots for (i, s, price), lots in want.items() if (i, s) == (instrument_id, side) and lots}
            got = {round(float(level.price) * 10): round(float(level.quantity) * 1_000) for level in levels}
            assert got == expected
    first, second = hub.on_request(GetQuotes(), ctx).quotes
    assert (first.bid, second.bid) == ("159.8", "159.9")
    hub.on_records(np.zeros(0, QUOTE), ctx)
    assert len(ctx.published) == 3_000


def test_an_order_by_order_book_is_what_its_orders_add_up_to():
    log = open_recording(recording(LOBSTER))
    hub, ctx = MarketDataEngine(MarketDataConfig(), [log.hint.instrument()]), RecordingContext()
    whole = OrderDepth()
    for _, _, records in log.updates():
        hub.on_records(records, ctx)
        if records.dtype == BOOK_DELTA:
            whole.apply(records)
    assert whole.misfits == 0
    book = hub.on_request(GetBook("1", 1_000), ctx)
    instrument = log.hint.instrument()
    for side, levels in ((Side.BUY, book.bids), (Side.SELL, book.asks)):
        expected = whole.levels(side, 1_000)
        assert [(instrument.ticks(level.price), instrument.lots(level.quantity)) for level in levels] == expected
        assert len(expected) >= 5


def test_trades_alone_are_shown_too():
    hub, ctx = MarketDataEngine(MarketDataConfig(), [btcusdt()]), RecordingContext()
    hub.on_records(np.array([(5, 5, 1, 618_001, 3, 1, Side.BUY, 0, 1)], TRADE), ctx)
    assert hub.on_request(GetBook("BTCUSDT"), ctx).last_price == "61800.1"
    assert hub.on_request(GetQuotes(), ctx).quotes[0].now_ns == 5
