"""Messages become commands of a real core, its events become reports."""

import numpy as np
import pytest

from nautilus.core import EVENT, Kernel
from nautilus.engines.trading import TradingConfig, TradingEngine
from nautilus.model.account import Account
from nautilus.model.alerts import RiskAlert
from nautilus.model.commands import (
    MAX_REFERENCE,
    AdjustPosition,
    CancelOrder,
    KillSwitch,
    MassCancel,
    ReplaceOrder,
    ResumeTrading,
    SplitPositions,
    SubmitOrder,
    split_of,
)
from nautilus.model.enums import CommandKind, Reason, Side, TimeInForce
from nautilus.model.errors import ConfigError, ModelError
from nautilus.model.events import (
    ExecutionReport,
    InstrumentSplit,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    PositionAdjusted,
)
from tests.kit.context import MARKET_ACCOUNT, RecordingContext, btcusdt, market_order


class Desk:
    """A trading engine on a real core with two client accounts and a market's own."""

    def __init__(self):
        self.kernel = Kernel(instruments=[btcusdt()], accounts=[1, 2], huge_pages=False)
        self.kernel.process(Account(MARKET_ACCOUNT).to_commands())
        self.engine = TradingEngine(TradingConfig(), self.kernel)
        self.ctx = RecordingContext()
        self.count = 0

    def ask(self, message):
        reply = self.engine.on_request(message, self.ctx)
        return reply, self.reports()

    def order(self, account, order_id, side, lots, price, **fields):
        self.count += 1
        return self.ask(
            SubmitOrder(account, 1, order_id, side, lots, price, source_id=1, source_sequence=self.count, **fields)
        )

    def market(self, *args):
        self.engine.on_commands(market_order(self.ctx.now_ns, *args), self.ctx)
        return self.reports()

    def reports(self):
        published, self.ctx.published = self.ctx.published, []
        assert isinstance(published[0], np.ndarray)
        assert published[0].dtype == EVENT
        reports = [event for event in published if isinstance(event, ExecutionReport)]
        return [(type(report), report) for report in reports]


@pytest.fixture
def desk():
    return Desk()


def test_an_accepted_order_is_reported_and_acknowledged(desk):
    reply, [(kind, report)] = desk.order(1, 5, Side.BUY, 10, 600_000, strategy_id=7)
    assert kind is OrderAccepted
    assert (report.order_id, report.strategy_id, report.quantity, report.leaves_quantity) == (5, 7, 10, 10)
    assert report.sequence == reply.last_sequence == desk.kernel.last_event_sequence
    assert (reply.accepted, reply.source_sequence, reply.reason) == (True, 1, Reason.NONE)


def test_a_refusal_lists_all_controls_and_what_was_refused(desk):
    reply, [(kind, report)] = desk.order(1, 5, Side.BUY, 0, -3)
    assert kind is OrderRejected
    assert report.violated == (Reason.PRICE, Reason.QUANTITY)
    assert report.request == CommandKind.NEW
    assert (reply.accepted, reply.reason) == (False, Reason.PRICE)
    reply, [(kind, report)] = desk.ask(CancelOrder(1, 1, 99, 7, 1, 50))
    assert (report.reason, report.request, report.side) == (Reason.UNKNOWN_ORDER, CommandKind.CANCEL, None)


def test_one_match_of_two_clients_is_two_reports_of_one_sequence(desk):
    desk.order(1, 5, Side.BUY, 10, 600_000, strategy_id=7)
    _, reports = desk.order(2, 6, Side.SELL, 4, 599_990, strategy_id=8)
    assert [kind for kind, _ in reports] == [OrderAccepted, OrderFilled, OrderFilled]
    taker, maker = reports[1][1], reports[2][1]
    assert taker.sequence == maker.sequence
    assert (taker.account_id, taker.strategy_id, taker.side, taker.leaves_quantity, taker.maker) == (
        2, 8, Side.SELL, 0, False,
    )  # fmt: skip
    assert (maker.account_id, maker.strategy_id, maker.side, maker.leaves_quantity, maker.maker) == (
        1, 7, Side.BUY, 6, True,
    )  # fmt: skip
    assert taker.price_ticks == maker.price_ticks == 600_000
    assert maker.source_sequence == 0


def test_what_a_market_does_among_itself_is_reported_to_nobody(desk):
    desk.market(1, Side.BUY, 5, 600_000)
    assert desk.market(2, Side.SELL, 5, 600_100) == []


def test_a_market_that_meets_a_clients_order_gives_the_client_alone_a_report(desk):
    desk.order(1, 5, Side.BUY, 10, 600_000, strategy_id=7)
    [(kind, report)] = desk.market(1, Side.SELL, 10, 600_000)
    assert kind is OrderFilled
    assert (report.account_id, report.strategy_id, report.maker, report.leaves_quantity) == (1, 7, True, 0)
    assert desk.engine.state()["orders"] == []


def test_replace_cancel_and_mass_cancel_are_reported(desk):
    desk.order(1, 5, Side.BUY, 10, 600_000, strategy_id=7)
    desk.order(1, 6, Side.BUY, 10, 599_000, strategy_id=7)
    desk.order(1, 7, Side.BUY, 10, 598_000, strategy_id=7)
    _, [(kind, report)] = desk.ask(ReplaceOrder(1, 1, 5, 8, 600_010, 7))
    assert (kind, report.price_ticks, report.quantity) == (OrderReplaced, 600_010, 8)
    _, [(kind, report)] = desk.ask(CancelOrder(1, 1, 5, 7))
    assert (kind, report.reason, report.quantity) == (OrderCancelled, Reason.REQUESTED, 8)
    reply, reports = desk.ask(MassCancel(1, strategy_id=7))
    assert [(kind, report.reason) for kind, report in reports] == [(OrderCancelled, Reason.MASS_CANCEL)] * 2
    assert reply.accepted
    assert desk.engine.state()["orders"] == []


def test_an_order_that_expires_is_reported_with_the_traffic_that_moved_time(desk):
    desk.order(1, 5, Side.BUY, 10, 600_000, strategy_id=7, time_in_force=TimeInForce.GTD, expire_ns=desk.ctx.now_ns + 5)
    desk.ctx.now_ns += 10
    [(kind, report)] = desk.market(1, Side.BUY, 5, 590_000)
    assert (kind, report.order_id, report.strategy_id, report.now_ns) == (OrderExpired, 5, 7, desk.ctx.now_ns - 5)


def test_the_kill_switch_cancels_and_refuses_until_trading_resumes(desk):
    desk.order(1, 5, Side.BUY, 10, 600_000)
    desk.engine.on_command(KillSwitch(1), desk.ctx)
    assert [kind for kind, _ in desk.reports()] == [OrderCancelled]
    reply, _ = desk.order(1, 6, Side.BUY, 10, 600_000)
    assert (reply.accepted, reply.reason) == (False, Reason.KILLED)
    assert desk.ask(ResumeTrading(1))[0].accepted
    assert desk.order(1, 7, Side.BUY, 10, 600_000)[0].accepted


def test_a_command_sent_twice_takes_effect_once(desk):
    order = SubmitOrder(1, 1, 5, Side.BUY, 10, 600_000, source_id=1, source_sequence=9)
    assert desk.ask(order)[0].accepted
    again, reports = desk.ask(order)
    assert not again.accepted
    assert reports == []
    assert len(desk.kernel.depth(1, 5)[0]) == 1


def test_a_late_order_is_refused(desk):
    reply, _ = desk.order(1, 5, Side.BUY, 10, 600_000, deadline_ns=desk.ctx.now_ns - 1)
    assert reply.reason == Reason.LATE


def test_a_message_that_is_no_command_is_refused(desk):
    with pytest.raises(ModelError, match="SubmitOrder, CancelOrder"):
        desk.engine.on_request(RiskAlert(1, 1, 1, 1, "loss", 1, 1), desk.ctx)


def test_a_restarted_engine_still_knows_whose_order_is_met(desk):
    desk.order(1, 5, Side.BUY, 10, 600_000, strategy_id=7)
    state = desk.engine.state()
    desk.engine = TradingEngine(TradingConfig(), desk.kernel)
    desk.engine.restore(state)
    [(_, report)] = desk.market(1, Side.SELL, 1, 600_000)
    assert report.strategy_id == 7


@pytest.mark.parametrize("last", [-1, 0, 1001, 2**32])
def test_clients_never_share_accounts_with_a_market(last):
    with pytest.raises(ConfigError, match=r"last_client_account .*; expected 1 to 1000"):
        TradingConfig(last_client_account=last)


def test_a_split_and_a_position_booked_by_hand_are_reported(desk):
    ack, reports = desk.ask(AdjustPosition(1, 1, 105, 5_000))
    assert ack.accepted
    [(kind, booked)] = reports
    assert (kind, booked.account_id, booked.quantity, booked.price_ticks) == (PositionAdjusted, 1, 105, 5_000)
    [(kind, split)] = desk.ask(SplitPositions(1, 1, 10, MAX_REFERENCE))[1]
    assert (kind, split.account_id, split.instrument_id) == (InstrumentSplit, 0, 1)
    assert (split.quantity, split.old, split.reference) == (1, 10, MAX_REFERENCE)
    assert desk.kernel.positions(1)["quantity"].tolist() == [10]
    # Who splits without saying it in the price is reported, but not with what the old number was.
    assert split_of(0) == (0, 0)


def test_a_refused_split_is_no_split(desk):
    ack, reports = desk.ask(SplitPositions(9, 2, 1))
    assert (ack.accepted, ack.reason) == (False, Reason.UNKNOWN_INSTRUMENT)
    assert not reports
