"""Orders of every type from strategies: what is sent, and how a desk follows them."""

import json

import pytest

from nautilus.engines.strategy import Strategy, StrategyConfig, StrategyEngine
from nautilus.model.enums import (
    CommandKind,
    OrderFlag,
    OrderState,
    OrderType,
    Reason,
    SessionPhase,
    Side,
    TimeInForce,
)
from nautilus.model.errors import ModelError
from nautilus.model.events import (
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    OrderReplaced,
    OrderReplenished,
    OrderRouted,
    OrderTriggered,
    OrderUnknown,
)
from nautilus.model.marketdata import Auction
from nautilus.model.topics import AUCTIONS
from tests.kit.context import RecordingContext, btcusdt


class Keeper(Strategy):
    """Keeps its desk."""

    def __init__(self, *instruments):
        self.instruments = instruments
        self.seen = []

    def on_start(self, ctx):
        self.desk = ctx


def start(*strategies, instruments=None):
    engine = StrategyEngine(StrategyConfig(), instruments or [btcusdt(), btcusdt(instrument_id=2)], strategies)
    ctx = RecordingContext()
    engine.on_start(ctx)
    return engine, ctx


def report(kind, sequence, order_id, leaves=0, strategy=1, side=Side.BUY, price=100, quantity=5, **fields):
    return kind(sequence, 5, strategy, strategy, 1, order_id, side, price, quantity, leaves, **fields)


@pytest.mark.parametrize(
    ("price", "terms", "fields"),
    [
        (None, {"order_type": OrderType.STOP, "trigger_ticks": 99}, {"price_ticks": 0, "trigger_ticks": 99}),
        (5, {"order_type": OrderType.TRAILING_STOP_LIMIT, "offset": 7}, {"offset": 7, "price_ticks": 5}),
        (None, {"order_type": OrderType.PEGGED, "offset": -7, "flags": OrderFlag.PEG_MID}, {"offset": -7}),
        (99, {"display_quantity": 2, "group_id": 4, "flags": OrderFlag.GROUP_OCO}, {"display_quantity": 2}),
        (99, {"min_quantity": 3, "parent_order_id": 2**63}, {"min_quantity": 3, "parent_order_id": 2**63}),
        (99, {"flags": OrderFlag.SLIDE, "post_only": True}, {"flags": OrderFlag.SLIDE | OrderFlag.POST_ONLY}),
        (None, {"order_type": OrderType.MARKET}, {"time_in_force": TimeInForce.IOC}),
        (None, {"time_in_force": TimeInForce.AT_CLOSE}, {"time_in_force": TimeInForce.AT_CLOSE}),
    ],
)
def test_a_strategy_has_every_term_of_an_order(price, terms, fields):
    keeper = Keeper()
    _, ctx = start(keeper)
    keeper.desk.sell(1, 5, price, **terms)
    [sent] = ctx.orders()
    assert {name: getattr(sent, name) for name in fields} == fields
    assert sent.order_type == terms.get("order_type", OrderType.MARKET if price is None else OrderType.LIMIT)


@pytest.mark.parametrize(
    "terms",
    [
        {"order_type": "STOP"},
        {"offset": 2**31},
        {"group_id": -1},
        {"group_id": 2**16},
        {"parent_order_id": 2**64},
        {"trigger_ticks": 1.5},
        {"display_quantity": "2"},
        {"min_quantity": 2**64},
    ],
)
def test_a_term_that_no_field_holds_is_refused_and_nothing_is_sent(terms):
    keeper = Keeper()
    _, ctx = start(keeper)
    with pytest.raises(ModelError, match=next(iter(terms))):
        keeper.desk.buy(1, 5, 100, **terms)
    assert ctx.orders() == []
    assert not keeper.desk.orders


def test_an_order_is_followed_through_trigger_parts_and_groups():
    keeper = Keeper()
    engine, ctx = start(keeper)
    order_id = keeper.desk.buy(1, 10, 101, order_type=OrderType.STOP_LIMIT, trigger_ticks=100)
    order = keeper.desk.orders[order_id]
    assert (order.order_type, order.trigger_ticks) == (OrderType.STOP_LIMIT, 100)
    tell = lambda kind, sequence, leaves, **fields: engine.on_report(  # noqa: E731
        report(kind, sequence, order_id, leaves, **fields), ctx
    )
    tell(OrderAccepted, 1, 10, price=101)
    tell(OrderTriggered, 2, 10)
    assert (order.order_type, order.trigger_ticks, order.price_ticks) == (OrderType.LIMIT, 0, 101)
    tell(OrderCancelled, 3, 8, reason=Reason.SELF_MATCH)
    assert (order.leaves_quantity, order.state) == (8, OrderState.OPEN)
    tell(OrderReplenished, 4, 8)
    assert keeper.desk.replace(order_id, 102)
    tell(OrderReplaced, 5, 6, price=101, quantity=8, reason=Reason.CONTINGENT)
    assert (order.leaves_quantity, order.quantity, order.state) == (6, 8, OrderState.PENDING_REPLACE)
    tell(OrderReplaced, 6, 6, price=102, quantity=8)
    assert order.state == OrderState.OPEN
    tell(OrderRouted, 7, 6, request=CommandKind.CANCEL)
    assert order.state == OrderState.PENDING_CANCEL
    tell(OrderUnknown, 8, 6)
    assert order.state == OrderState.UNKNOWN
    later = Keeper()
    other, _ = start(later)
    other.restore(json.loads(json.dumps(engine.state())))
    assert repr(later.desk.orders[order_id]) == repr(order)
    tell(OrderCancelled, 9, 0, reason=Reason.VENUE)
    assert not keeper.desk.orders


def test_a_child_is_let_in_at_its_price_with_what_its_parent_filled():
    keeper = Keeper()
    engine, ctx = start(keeper)
    child = keeper.desk.sell(1, 10, 105, parent_order_id=77)
    engine.on_report(report(OrderAccepted, 1, child, 10, side=Side.SELL, price=105), ctx)
    engine.on_report(report(OrderTriggered, 2, child, 4, side=Side.SELL, price=106, reason=Reason.CONTINGENT), ctx)
    order = keeper.desk.orders[child]
    assert (order.leaves_quantity, order.price_ticks, order.order_type) == (4, 106, OrderType.LIMIT)


def test_both_sides_of_a_fill_count_where_both_orders_are_its_own():
    keeper = Keeper()
    engine, ctx = start(keeper)
    for _ in range(2):
        engine.on_report(report(OrderFilled, 4, 1, side=Side.BUY), ctx)
        engine.on_report(report(OrderFilled, 4, 2, side=Side.SELL, maker=True), ctx)
    assert (keeper.desk.position(1), keeper.desk.fills) == (0, 2)
    state = keeper.desk.state()
    del state["place"]
    keeper.desk.restore({**state, "sequence": 4})
    engine.on_report(report(OrderFilled, 4, 2, side=Side.SELL, maker=True), ctx)
    assert keeper.desk.fills == 2


def test_auctions_come_to_a_strategy_that_wants_them():
    class Closing(Keeper):
        def on_auction(self, auction, ctx):
            self.seen.append(auction)

    closing = Closing(2)
    engine, ctx = start(closing)
    assert AUCTIONS in engine.subscribes
    assert AUCTIONS not in start(Keeper())[0].subscribes
    found = [Auction(1, 1, 1, 100, 5, 0, key, None, SessionPhase.CLOSING_AUCTION) for key in (1, 2)]
    for auction in found:
        engine.on_auction(auction, ctx)
    assert closing.seen == found[1:]
