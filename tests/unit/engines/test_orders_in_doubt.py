"""Orders that the core did not take, or of which nobody knows whether it did: each has an end, and nothing waits on."""

import pytest

from nautilus.engines.strategy import Strategy, StrategyConfig, StrategyEngine
from nautilus.model.commands import CancelOrder, MassCancel
from nautilus.model.enums import CommandKind, OrderState, Reason, Side
from nautilus.model.events import CommandAcknowledged, OrderAccepted, OrderRejected
from tests.kit.context import RecordingContext, btcusdt


class Keeper(Strategy):
    """Keeps its desk, and what it is told."""

    def __init__(self):
        self.seen = []

    def on_start(self, ctx):
        self.desk = ctx

    def on_report(self, report, ctx):
        self.seen.append(type(report))


def start(*strategies):
    engine = StrategyEngine(StrategyConfig(), [btcusdt()], strategies)
    ctx = RecordingContext()
    engine.on_start(ctx)
    return engine, ctx


def report(kind, sequence, order_id, leaves=0, price=100, **fields):
    return kind(sequence, 5, 1, 1, 1, order_id, Side.BUY, price, 5, leaves, **fields)


def acknowledged(command, reason=Reason.NONE, sequence=0):
    return CommandAcknowledged(1, command.source_sequence, 5, sequence, reason == Reason.NONE, reason)


def test_an_order_that_stays_in_doubt_is_cancelled_and_what_the_core_says_of_it_is_its_end():
    keeper = Keeper()
    engine, ctx = start(keeper)
    order_id = keeper.desk.buy(1, 5, 600_000)
    number, _, message, _ = ctx.requests[-1]
    engine.on_unknown(number, message, ctx)
    [(due_ns, key)] = ctx.timers
    assert due_ns > ctx.now_ns
    engine.on_timer(key, ctx)
    number, _, cancel, _ = ctx.requests[-1]
    assert (type(cancel), cancel.order_id) == (CancelOrder, order_id)
    # Nor does the cancel have an answer: it is asked again, as an order never is.
    engine.on_unknown(number, cancel, ctx)
    assert keeper.desk.orders[order_id].state == OrderState.UNKNOWN
    engine.on_timer(key, ctx)
    # Nor is the next one taken: the order is in doubt as before, and the cancel is asked once more.
    number, _, cancel, _ = ctx.requests[-1]
    asked = len(ctx.timers)
    engine.on_reply(number, acknowledged(cancel, Reason.JOURNAL_FULL), ctx)
    assert keeper.desk.orders[order_id].state == OrderState.UNKNOWN
    assert len(ctx.timers) == asked + 1
    engine.on_timer(ctx.timers[-1][1], ctx)
    engine.on_report(report(OrderRejected, 1, order_id, reason=Reason.UNKNOWN_ORDER, request=CommandKind.CANCEL), ctx)
    assert not keeper.desk.orders, "it never came to the core"


def test_a_doubt_that_a_report_resolved_leads_to_no_cancel():
    keeper = Keeper()
    engine, ctx = start(keeper)
    order_id = keeper.desk.buy(1, 5, 600_000)
    number, _, message, _ = ctx.requests[-1]
    engine.on_unknown(number, message, ctx)
    engine.on_report(report(OrderAccepted, 1, order_id, leaves=5), ctx)
    engine.on_timer(ctx.timers[0][1], ctx)
    assert len(ctx.requests) == 1
    # Of an order that was taken, no rejected cancel says that it is gone.
    assert keeper.desk.cancel(order_id)
    engine.on_report(report(OrderRejected, 2, order_id, reason=Reason.UNKNOWN_ORDER, request=CommandKind.CANCEL), ctx)
    assert keeper.desk.orders[order_id].state == OrderState.OPEN


@pytest.mark.parametrize("reason", [Reason.BUSY, Reason.NOT_READY, Reason.JOURNAL_FULL])
def test_what_was_not_taken_left_everything_as_it_was(reason):
    keeper = Keeper()
    engine, ctx = start(keeper)

    def refuse():
        number, _, command, _ = ctx.requests[-1]
        engine.on_reply(number, acknowledged(command, reason), ctx)

    order_id = keeper.desk.buy(1, 5, 600_000)
    refuse()
    assert not keeper.desk.orders, "there is no such order, and another one may be sent"
    order_id = keeper.desk.buy(1, 5, 600_000)
    number, _, command, _ = ctx.requests[-1]
    engine.on_report(report(OrderAccepted, 1, order_id, leaves=5, price=600_000), ctx)
    engine.on_reply(number, acknowledged(command, sequence=1), ctx)
    order = keeper.desk.orders[order_id]
    assert keeper.desk.replace(order_id, 600_001)
    refuse()
    assert (order.state, order.price_ticks) == (OrderState.OPEN, 600_000)
    assert keeper.desk.cancel(order_id)
    refuse()
    assert order.state == OrderState.OPEN
    assert (keeper.desk.rejected, keeper.seen.count(OrderRejected)) == (3, 3)
    # A cancel of everything is asked again instead.
    keeper.desk.stop()
    refuse()
    [(_, key)] = ctx.timers
    engine.on_timer(key, ctx)
    assert isinstance(ctx.requests[-1][2], MassCancel)


def test_a_refused_replacement_does_not_undo_the_cancel_behind_it():
    keeper = Keeper()
    engine, ctx = start(keeper)
    order_id = keeper.desk.buy(1, 5, 600_000)
    engine.on_report(report(OrderAccepted, 1, order_id, leaves=5), ctx)
    keeper.desk.replace(order_id, 600_001)
    number, _, command, _ = ctx.requests[-1]
    keeper.desk.cancel(order_id)
    engine.on_reply(number, acknowledged(command, Reason.BUSY), ctx)
    assert keeper.desk.orders[order_id].state == OrderState.PENDING_CANCEL
