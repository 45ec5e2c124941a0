"""The hub publishes what it is given, or derives it from the core."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core import BOOK_DELTA, QUOTE, TRADE, Kernel
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.model.commands import CancelOrder, ReplaceOrder, SubmitOrder
from nautilus.model.enums import OrderType, RecordFlag, Side, TimeInForce
from nautilus.model.marketdata import book_deltas, quotes, trades
from nautilus.model.records import command_array
from tests.kit.context import RecordingContext, btcusdt, quote_array


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
