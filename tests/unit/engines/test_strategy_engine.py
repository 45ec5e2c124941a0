"""The strategy engine: desks, orders, stops, and strategies beside one another."""

import json

import numpy as np
import pytest

from nautilus.engines.strategy import (
    Momentum,
    MomentumConfig,
    Quoting,
    QuotingConfig,
    Strategy,
    StrategyConfig,
    StrategyEngine,
)
from nautilus.model.alerts import RiskAlert
from nautilus.model.commands import CancelOrder, MassCancel, ReplaceOrder, SubmitOrder
from nautilus.model.enums import (
    CommandKind,
    OrderFlag,
    OrderState,
    OrderType,
    Reason,
    Side,
    TimeInForce,
)
from nautilus.model.errors import ConfigError, ModelError
from nautilus.model.events import (
    CommandAcknowledged,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
)
from nautilus.model.marketdata import Trade, quotes
from nautilus.model.position import Position, PositionChanged
from nautilus.model.queries import GetRisk, GetStrategies, StrategyState
from nautilus.model.topics import BOOK_DELTAS, EXECUTION_REPORTS, QUOTES, RISK_ALERTS, TRADES
from tests.kit.context import SECOND, RecordingContext, btcusdt, quote_array


class Keeper(Strategy):
    """Keeps what it is told."""

    def __init__(self, *instruments):
        self.instruments = instruments
        self.seen = []

    def on_start(self, ctx):
        self.desk = ctx

    def on_stop(self, ctx):
        self.seen.append("stop")
        assert ctx.buy(1, 1, 5) == 0

    def on_quote(self, quote, ctx):
        self.seen.append(quote)

    def on_report(self, report, ctx):
        self.seen.append(type(report))

    def on_position(self, change, ctx):
        self.seen.append(change)

    def on_timer(self, key, ctx):
        self.seen.append(key)


class Failing(Keeper):
    def on_quote(self, quote, ctx):
        raise ValueError("no quote for me")


def start(*strategies, instruments=None):
    engine = StrategyEngine(StrategyConfig(), instruments or [btcusdt(), btcusdt(instrument_id=2)], strategies)
    ctx = RecordingContext()
    engine.on_start(ctx)
    return engine, ctx


def quote(now_ns=SECOND, bid=600_000, ask=600_001, instrument_id=1, lots=50):
    return quotes(quote_array(now_ns, bid, ask, lots, instrument_id))[0]


def report(kind, sequence, order_id, leaves=0, strategy=1, side=Side.BUY, price=100, quantity=5, **fields):
    return kind(sequence, 5, strategy, strategy, 1, order_id, side, price, quantity, leaves, **fields)


def test_a_strategy_sees_only_its_instruments():
    every, second = Keeper(), Keeper(2)
    engine, ctx = start(every, second)
    engine.on_quote(quote(), ctx)
    engine.on_quote(quote(instrument_id=2), ctx)
    assert len(every.seen) == 2
    assert [seen.instrument_id for seen in second.seen] == [2]


def test_a_strategy_of_an_unknown_instrument_is_refused():
    with pytest.raises(ConfigError, match="instrument 9 of strategy Keeper"):
        start(Keeper(9))


def test_topics_that_no_strategy_takes_are_not_subscribed():
    engine, _ = start(Keeper())
    assert QUOTES in engine.subscribes
    assert EXECUTION_REPORTS in engine.subscribes
    assert RISK_ALERTS in engine.subscribes
    assert TRADES not in engine.subscribes
    assert BOOK_DELTAS not in engine.subscribes


def test_an_order_goes_through_its_states():
    keeper = Keeper()
    engine, ctx = start(keeper)
    desk = keeper.desk
    order_id = desk.buy(1, 5, 600_000, post_only=True)
    order = desk.orders[order_id]
    assert (order.state, order.leaves_quantity) == (OrderState.PENDING_NEW, 5)
    engine.on_report(report(OrderAccepted, 1, order_id, leaves=5), ctx)
    assert order.state == OrderState.OPEN
    assert desk.replace(order_id, 600_010, 7)
    assert not desk.replace(order_id, 600_011), "one replacement at a time"
    engine.on_report(report(OrderReplaced, 2, order_id, leaves=7, price=600_010, quantity=7), ctx)
    assert (order.state, order.price_ticks, order.quantity) == (OrderState.OPEN, 600_010, 7)
    engine.on_report(report(OrderFilled, 3, order_id, leaves=4, quantity=3), ctx)
    assert (order.leaves_quantity, desk.position(1)) == (4, 3)
    assert desk.cancel(order_id)
    assert not desk.cancel(order_id)
    rejected = report(OrderRejected, 4, order_id, reason=Reason.LATE, request=CommandKind.CANCEL)
    engine.on_report(rejected, ctx)
    assert order.state == OrderState.OPEN
    engine.on_report(report(OrderCancelled, 5, order_id, quantity=4), ctx)
    assert not desk.orders
    assert not desk.cancel(order_id)
    kinds = [type(message) for message in ctx.orders()]
    assert kinds == [SubmitOrder, ReplaceOrder, CancelOrder]
    assert [message.source_sequence for message in ctx.orders()] == [1, 2, 3]
    assert ctx.orders()[0].flags == OrderFlag.POST_ONLY
    assert keeper.seen[-1] is OrderCancelled


def test_an_order_without_a_price_is_a_market_order():
    keeper = Keeper()
    _, ctx = start(keeper)
    keeper.desk.sell(1, 5)
    [order] = ctx.orders()
    assert (order.order_type, order.time_in_force, order.price_ticks) == (OrderType.MARKET, TimeInForce.IOC, 0)


def test_an_order_in_an_unknown_instrument_is_refused():
    keeper = Keeper()
    start(keeper)
    with pytest.raises(ModelError, match="instrument 5"):
        keeper.desk.buy(5, 1, 100)


@pytest.mark.parametrize(
    ("quantity", "price", "named"),
    [(1.5, 100, "quantity 1.5"), (1, float("nan"), "price_ticks nan"), (2**64, 1, "quantity")],
)
def test_what_is_no_whole_number_is_refused_before_it_is_sent(quantity, price, named):
    keeper = Keeper()
    engine, ctx = start(keeper)
    with pytest.raises(ModelError, match=named):
        keeper.desk.buy(1, quantity, price)
    order_id = keeper.desk.buy(1, 1, np.int64(100))
    engine.on_report(report(OrderAccepted, 1, order_id, leaves=1), ctx)
    with pytest.raises(ModelError, match=named):
        keeper.desk.replace(order_id, price, quantity)
    assert keeper.desk.orders[order_id].state == OrderState.OPEN
    assert len(ctx.requests) == 1
    assert type(ctx.orders()[0].price_ticks) is int


def test_a_time_in_force_or_a_time_that_is_none_is_refused_before_it_is_sent():
    keeper = Keeper()
    _, ctx = start(keeper)
    with pytest.raises(ModelError, match="time_in_force 'GTC'; expected one of GTC, DAY"):
        keeper.desk.buy(1, 1, 100, time_in_force="GTC")
    with pytest.raises(ModelError, match="ns nan"):
        keeper.desk.at(float("nan"), "odd")
    assert not keeper.desk.orders
    assert not ctx.requests
    assert not ctx.timers


def test_a_refused_order_is_open_no_more():
    keeper = Keeper()
    engine, ctx = start(keeper)
    order_id = keeper.desk.buy(1, 5, 600_000)
    engine.on_report(report(OrderRejected, 1, order_id, reason=Reason.TICK), ctx)
    assert not keeper.desk.orders


def test_a_report_that_is_not_newer_changes_nothing():
    keeper = Keeper()
    engine, ctx = start(keeper)
    for sequence in (4, 4, 3):
        engine.on_report(report(OrderFilled, sequence, 77, quantity=2), ctx)
    assert keeper.desk.position(1) == 2
    assert keeper.seen == [OrderFilled]


def test_an_order_without_an_answer_is_unknown_until_a_report_says_more():
    keeper = Keeper()
    engine, ctx = start(keeper)
    order_id = keeper.desk.buy(1, 5, 600_000)
    [(number, _, message, _)] = ctx.requests
    engine.on_unknown(number, message, ctx)
    assert keeper.desk.orders[order_id].state == OrderState.UNKNOWN
    assert not keeper.desk.replace(order_id, 1)
    assert len(ctx.requests) == 1, "an order is never sent twice to find out"
    engine.on_report(report(OrderAccepted, 1, order_id, leaves=5), ctx)
    assert keeper.desk.orders[order_id].state == OrderState.OPEN
    assert keeper.desk.replace(order_id, 600_001)
    engine.on_report(report(OrderReplaced, 2, order_id, leaves=5), ctx)
    engine.on_unknown(ctx.requests[-1][0], message, ctx)
    assert keeper.desk.orders[order_id].state == OrderState.OPEN, "the report came before the time was over"
    engine.on_report(report(OrderFilled, 3, order_id, leaves=0), ctx)
    assert not keeper.desk.orders


def test_a_fill_of_an_unknown_order_shows_that_it_is_open():
    keeper = Keeper()
    engine, ctx = start(keeper)
    order_id = keeper.desk.buy(1, 5, 600_000)
    engine.on_unknown(ctx.requests[0][0], ctx.requests[0][2], ctx)
    engine.on_report(report(OrderFilled, 1, order_id, leaves=2, quantity=3), ctx)
    assert keeper.desk.orders[order_id].state == OrderState.OPEN


def test_an_alert_stops_the_strategy_it_names_and_no_other():
    first, second = Keeper(), Keeper()
    engine, ctx = start(first, second)
    first.desk.buy(1, 5, 600_000)
    engine.on_alert(RiskAlert(1, 1, 1, 1, "loss", 2, 1), ctx)
    assert first.seen == ["stop"]
    assert isinstance(ctx.orders()[-1], MassCancel)
    assert (ctx.orders()[-1].account_id, ctx.orders()[-1].strategy_id) == (1, 1)
    count = len(ctx.requests)
    assert first.desk.buy(1, 5, 600_000) == 0
    assert not first.desk.replace(next(iter(first.desk.orders)), 1)
    engine.on_quote(quote(), ctx)
    engine.on_alert(RiskAlert(1, 1, 1, 1, "position", 2, 1), ctx)
    assert first.seen == ["stop"]
    assert len(second.seen) == 1
    assert len(ctx.requests) == count
    assert first.desk.refused == 2
    engine.on_alert(RiskAlert(1, 0, 0, 0, "loss", 2, 1), ctx)
    assert second.seen[-1] == "stop"


def test_an_alert_without_a_strategy_is_of_its_account_or_without_one_of_all():
    first, second = Keeper(), Keeper()
    engine, ctx = start(first, second)
    engine.on_alert(RiskAlert(1, 0, 9, 1, "order_rate", 2, 1), ctx)
    assert not first.desk.stopped
    assert not second.desk.stopped
    engine.on_alert(RiskAlert(1, 0, second.desk.account_id, 1, "order_rate", 2, 1), ctx)
    assert (first.desk.stopped, second.desk.stopped) == (False, True)
    engine.on_alert(RiskAlert(1, 0, 0, 0, "loss", 2, 1), ctx)
    assert first.desk.stopped


def test_a_strategy_that_raises_does_not_keep_the_quote_from_the_next():
    keeper = Keeper()
    engine, ctx = start(Failing(), keeper)
    with pytest.raises(ValueError, match="no quote for me"):
        engine.on_quote(quote(), ctx)
    assert len(keeper.seen) == 1
    engine, ctx = start(Failing(), Failing())
    with pytest.raises(ExceptionGroup, match="2 strategies"):
        engine.on_quote(quote(), ctx)


def test_timers_and_positions_reach_the_strategy_they_belong_to():
    first, second = Keeper(), Keeper()
    engine, ctx = start(first, second)
    second.desk.at(9 * SECOND, "look")
    assert ctx.timers == [(9 * SECOND, "2:look")]
    engine.on_timer("2:look", ctx)
    change = PositionChanged(1, 1, 2, Position(2, 1, 5))
    engine.on_position(change, ctx)
    assert (first.seen, second.seen) == ([], ["look", change])


def test_answers_are_matched_to_requests():
    keeper = Keeper()
    engine, ctx = start(keeper)
    order_id = keeper.desk.buy(1, 5, 600_000)
    [(number, _, message, _)] = ctx.requests
    engine.on_reply(number, CommandAcknowledged(1, 1, 5, 1, True), ctx)
    engine.on_unknown(number, message, ctx)
    assert keeper.desk.orders[order_id].state == OrderState.PENDING_NEW


def test_a_restored_engine_has_the_same_desks():
    keeper = Keeper()
    engine, ctx = start(keeper)
    order_id = keeper.desk.buy(1, 5, 600_000)
    engine.on_report(report(OrderAccepted, 1, order_id, leaves=5), ctx)
    engine.on_report(report(OrderFilled, 2, order_id, leaves=3, quantity=2), ctx)
    later, _ = start(Keeper())
    later.restore(json.loads(json.dumps(engine.state())))
    assert later.state() == engine.state()
    assert later.desks[0].position(1) == 2
    assert later.desks[0].orders[order_id].leaves_quantity == 3


def test_quoting_leans_against_what_it_holds():
    config = QuotingConfig(quantity=5, max_position=10, half_spread_bps=1.0, skew=1.0, interval_ns=0)
    engine, ctx = start(Quoting(config), instruments=[btcusdt()])
    engine.on_quote(quote(bid=599_999, ask=600_001), ctx)
    bid, ask = ctx.orders()
    assert (bid.side, bid.price_ticks, bid.quantity) == (Side.BUY, 599_940, 5)
    assert (ask.side, ask.price_ticks, ask.quantity) == (Side.SELL, 600_060, 5)
    engine.on_report(report(OrderAccepted, 1, bid.order_id, leaves=5, price=599_940), ctx)
    engine.on_report(report(OrderAccepted, 2, ask.order_id, leaves=5, side=Side.SELL, price=600_060), ctx)
    engine.on_report(report(OrderFilled, 3, bid.order_id, leaves=0, quantity=5, price=599_940), ctx)
    engine.on_quote(quote(now_ns=2 * SECOND, bid=599_999, ask=600_001), ctx)
    new_bid, moved = ctx.orders()[2:]
    assert (new_bid.price_ticks, new_bid.quantity) == (599_910, 5)
    assert (type(moved), moved.price_ticks) == (ReplaceOrder, 600_030)


def test_quoting_stops_adding_at_its_limit_and_never_crosses():
    config = QuotingConfig(quantity=5, max_position=5, half_spread_bps=0.0, skew=50.0, interval_ns=0)
    engine, ctx = start(Quoting(config), instruments=[btcusdt()])
    engine.on_report(report(OrderFilled, 1, 99, quantity=5), ctx)
    engine.on_quote(quote(bid=600_000, ask=600_002), ctx)
    [ask] = ctx.orders()
    assert (ask.side, ask.price_ticks) == (Side.SELL, 600_001)


def test_quoting_waits_while_a_side_of_the_market_is_missing():
    engine, ctx = start(Quoting(), instruments=[btcusdt()])
    engine.on_quote(quote(lots=0), ctx)
    assert not ctx.requests


def test_momentum_turns_when_the_averages_cross():
    config = MomentumConfig(quantity=5, fast_ns=SECOND, slow_ns=5 * SECOND, threshold_bps=1.0, slippage_bps=0.0)
    engine, ctx = start(Momentum(config), instruments=[btcusdt()])
    for second in range(10):
        engine.on_quote(quote(now_ns=second * SECOND), ctx)
    assert not ctx.requests, "a flat market"
    engine.on_quote(quote(now_ns=10 * SECOND, bid=601_000, ask=601_001), ctx)
    engine.on_quote(quote(now_ns=11 * SECOND, bid=601_000, ask=601_001), ctx)
    [order] = ctx.orders()
    assert (order.side, order.quantity, order.price_ticks) == (Side.BUY, 5, 601_001)
    engine.on_report(report(OrderFilled, 1, order.order_id, quantity=5), ctx)
    for second in range(12, 16):
        engine.on_quote(quote(now_ns=second * SECOND, bid=598_000, ask=598_001), ctx)
    [_, turn] = ctx.orders()
    assert (turn.side, turn.quantity, turn.price_ticks) == (Side.SELL, 10, 598_000)


@pytest.mark.parametrize(
    "make",
    [
        lambda: QuotingConfig(quantity=0),
        lambda: QuotingConfig(quantity=5, max_position=4),
        lambda: QuotingConfig(half_spread_bps=float("nan")),
        lambda: QuotingConfig(skew=float("inf")),
        lambda: MomentumConfig(quantity=0),
        lambda: MomentumConfig(fast_ns=5, slow_ns=5),
        lambda: MomentumConfig(threshold_bps=-1.0),
    ],
)
def test_settings_that_make_no_sense_are_refused(make):
    with pytest.raises(ConfigError):
        make()


def test_trades_and_books_reach_strategies_that_take_them():
    class Reader(Strategy):
        def __init__(self):
            self.seen = []

        def on_trade(self, trade, ctx):
            self.seen.append(trade)

        def on_book(self, deltas, ctx):
            self.seen.append(len(deltas))

    reader = Reader()
    engine, ctx = start(reader)
    trade = Trade(1, 1, 1, 100, 5, 1, Side.BUY)
    engine.on_trade(trade, ctx)
    deltas = quote_array(1, 1, 2)  # any record with an instrument
    engine.on_book(deltas, ctx)
    assert reader.seen == [trade, 1]


def test_what_each_strategy_did_is_told():
    keeper = Keeper()
    engine, ctx = start(keeper, Failing())
    order_id = keeper.desk.buy(1, 5, 600_000)
    keeper.desk.buy(1, 5, 1)
    engine.on_report(report(OrderAccepted, 1, order_id, leaves=5), ctx)
    engine.on_report(report(OrderFilled, 2, order_id, leaves=3, quantity=2), ctx)
    engine.on_report(report(OrderRejected, 3, order_id, reason=Reason.TICK, request=CommandKind.REPLACE), ctx)
    engine.on_report(report(OrderRejected, 4, 77, reason=Reason.TICK, request=CommandKind.NEW), ctx)
    engine.on_alert(RiskAlert(1, 2, 1, 1, "loss", 2, 1), ctx)
    first, second = engine.on_request(GetStrategies(), ctx).strategies
    assert first == StrategyState("Keeper", 1, 1, 2, 1, 2, 2, False)
    assert second == StrategyState("Failing", 2, 2, 0, 0, 0, 0, True)
    with pytest.raises(ModelError, match="request GetRisk"):
        engine.on_request(GetRisk(), ctx)


def test_after_a_restart_old_orders_are_cancelled_and_forgotten_and_numbers_go_on():
    keeper = Keeper()
    engine, ctx = start(keeper)
    keeper.desk.buy(1, 5, 600_000)
    saved = json.loads(json.dumps(engine.state()))
    keeper = Keeper()
    engine = StrategyEngine(StrategyConfig(), [btcusdt()], [keeper])
    engine.restore(saved)
    ctx = RecordingContext()
    engine.resume(6, ctx)
    [cancel] = ctx.orders()
    assert (type(cancel), cancel.account_id, cancel.strategy_id, cancel.source_sequence) == (MassCancel, 1, 1, 7)
    assert not engine.desks[0].orders
    engine.on_report(report(OrderFilled, 9, 4711, leaves=0, quantity=5), ctx)
    assert engine.desks[0].position(1) == 5, "a fill of an order that is forgotten counts all the same"
    engine.on_start(ctx)
    keeper.desk.buy(1, 1, 600_000)
    assert ctx.orders()[-1].source_sequence == 8


def test_a_first_start_cancels_nothing():
    engine = StrategyEngine(StrategyConfig(), [btcusdt()], [Keeper()])
    ctx = RecordingContext()
    engine.resume(0, ctx)
    assert not ctx.requests


def test_a_cancel_of_everything_without_an_answer_is_asked_again():
    keeper = Keeper()
    engine, ctx = start(keeper)
    keeper.desk.cancel_all()
    [(number, _, message, _)] = ctx.requests
    engine.on_unknown(number, message, ctx)
    [(due_ns, key)] = ctx.timers
    assert due_ns > ctx.now_ns
    engine.on_timer(key, ctx)
    assert [type(message) for message in ctx.orders()] == [MassCancel, MassCancel]
    assert ctx.orders()[1].source_sequence == 2
    assert keeper.seen == [], "no timer of the strategy's"


def test_the_end_of_the_process_is_not_the_end_of_a_strategy_but_an_alert_is():
    first, second = Keeper(), Keeper()
    engine, ctx = start(first, second)
    engine.on_alert(RiskAlert(1, 1, 1, 1, "loss", 2, 1), ctx)
    engine.on_stop(ctx)
    assert [desk.stopped for desk in engine.desks] == [True, True]
    later, _ = start(Keeper(), Keeper())
    later.restore(json.loads(json.dumps(engine.state())))
    assert [desk.stopped for desk in later.desks] == [True, False]


class Other(Keeper):
    """Another strategy."""


def _saved(*strategies, config=StrategyConfig()):  # noqa: B008
    """The state of an engine whose strategies each have an order that is filled in part."""
    engine = StrategyEngine(config, [btcusdt()], strategies)
    ctx = RecordingContext()
    engine.on_start(ctx)
    for desk in engine.desks:
        order_id = desk.buy(1, 5, 600_000)
        filled = report(OrderFilled, desk.account_id, order_id, leaves=3, quantity=2, strategy=desk.strategy_id)
        engine.on_report(filled, ctx)
    return engine, ctx


def test_a_strategy_does_not_inherit_what_another_left_in_its_account():
    engine, _ = _saved(Keeper())
    later, _ = start(Other())
    with pytest.raises(ConfigError, match="account 1 of strategy Other holds what strategy Keeper left"):
        later.restore(json.loads(json.dumps(engine.state())))
    assert not later.desks[0].orders
    assert later.desks[0].position(1) == 0


def test_desks_are_kept_by_strategy_whatever_else_runs():
    engine, ctx = _saved(Keeper(), Other())
    engine.on_alert(RiskAlert(1, 2, 2, 1, "loss", 2, 1), ctx)
    alone = StrategyEngine(StrategyConfig(), [btcusdt()], [Keeper()])
    alone.restore(json.loads(json.dumps(engine.state())))
    assert [desk.position(1) for desk in alone.desks] == [2]
    assert not alone.desks[0].stopped
    both = StrategyEngine(StrategyConfig(), [btcusdt()], [Keeper(), Other()])
    both.restore(json.loads(json.dumps(alone.state())))
    assert [desk.position(1) for desk in both.desks] == [2, 2]
    assert [desk.stopped for desk in both.desks] == [False, True], "a stop by risk is not forgotten"
    other = StrategyEngine(StrategyConfig(first_account=2), [btcusdt()], [Other()])
    other.restore(json.loads(json.dumps(alone.state())))
    assert (other.desks[0].strategy_id, other.desks[0].stopped) == (2, True)


def test_orders_of_a_strategy_that_does_not_run_are_cancelled_and_its_fills_and_stops_noted():
    engine, _ = _saved(Keeper(), Other())
    alone = StrategyEngine(StrategyConfig(), [btcusdt()], [Keeper()])
    alone.restore(json.loads(json.dumps(engine.state())))
    ctx = RecordingContext()
    alone.resume(2, ctx)
    assert [(type(each), each.account_id, each.strategy_id) for each in ctx.orders()] == [
        (MassCancel, 1, 1),
        (MassCancel, 2, 2),
    ]
    alone.on_start(ctx)
    alone.on_unknown(ctx.requests[1][0], ctx.orders()[1], ctx)
    alone.on_timer(ctx.timers[-1][1], ctx)
    assert ctx.orders()[-1].account_id == 2, "asked again"
    alone.on_report(report(OrderFilled, 9, 77, quantity=3, strategy=2), ctx)
    alone.on_alert(RiskAlert(1, 2, 2, 1, "loss", 2, 1), ctx)
    both = StrategyEngine(StrategyConfig(), [btcusdt()], [Keeper(), Other()])
    both.restore(json.loads(json.dumps(alone.state())))
    assert both.desks[1].position(1) == 5
    assert both.desks[1].stopped
