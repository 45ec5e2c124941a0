"""Soft limits: one alert for each breach, at once."""

import json

import pytest

from nautilus.engines.risk import RiskConfig, RiskEngine
from nautilus.model.alerts import RiskAlert
from nautilus.model.commands import KillSwitch
from nautilus.model.enums import CommandKind, Priority, Reason, Side
from nautilus.model.errors import ConfigError, ModelError
from nautilus.model.events import OrderAccepted, OrderFilled, OrderRejected, OrderReplaced
from nautilus.model.marketdata import quotes
from nautilus.model.queries import GetPositions, GetRisk, RiskState
from tests.kit.context import SECOND, RecordingContext, btcusdt, quote_array


def risk(**limits):
    none = {"max_position": 0, "max_loss": "", "max_orders": 0}
    return RiskEngine(
        RiskConfig(**none | limits), [btcusdt(), btcusdt(instrument_id=2, currency_decimals=9, lot_size="0.0001")]
    )


def fill(sequence, side, lots, price, account=1, strategy=1, instrument=1):
    return OrderFilled(sequence, 5, account, strategy, instrument, sequence, side, price, lots, 0)


def accepted(sequence, now_ns, strategy=1, account=1):
    return OrderAccepted(sequence, now_ns, account, strategy, 1, sequence, Side.BUY, 100, 1, 1)


def test_a_position_beyond_its_limit_is_one_alert():
    engine, ctx = risk(max_position=5), RecordingContext()
    engine.on_report(fill(1, Side.SELL, 5, 100), ctx)
    assert ctx.published == []
    engine.on_report(fill(2, Side.SELL, 1, 100), ctx)
    engine.on_report(fill(3, Side.SELL, 1, 100), ctx)
    [alert] = ctx.published
    assert alert == RiskAlert(SECOND, 1, 1, 1, "position", 6, 5, Priority.FLASH_CRASH, 2)


def test_what_a_group_replaced_is_no_order_that_somebody_sent():
    engine, ctx = risk(max_orders=1), RecordingContext()
    for sequence, reason in enumerate((Reason.NONE, Reason.CONTINGENT, Reason.CONTINGENT), 1):
        engine.on_report(OrderReplaced(sequence, 5, 1, 1, 1, 7, Side.BUY, 100, 1, 1, reason=reason), ctx)
    assert ctx.published == []
    engine.on_report(OrderReplaced(4, 5, 1, 1, 1, 7, Side.BUY, 100, 1, 1), ctx)
    assert [alert.control for alert in ctx.published] == ["order_rate"]


def test_both_sides_of_a_fill_can_be_of_one_account():
    engine, ctx = risk(max_position=5), RecordingContext()
    engine.on_report(fill(1, Side.BUY, 5, 100), ctx)
    engine.on_report(fill(2, Side.BUY, 1, 100), ctx)
    engine.on_report(OrderFilled(2, 5, 1, 1, 1, 3, Side.SELL, 100, 1, 0, maker=True), ctx)
    engine.on_report(OrderFilled(2, 5, 1, 1, 1, 3, Side.SELL, 100, 1, 0, maker=True), ctx)
    later = risk(max_position=5)
    later.restore(json.loads(json.dumps(engine.state())))
    assert later.state()["positions"][0][2] == 5
    later.restore({**later.state(), "sequences": [[1, 2]], "places": []})
    later.on_report(OrderFilled(2, 5, 1, 1, 1, 3, Side.SELL, 100, 1, 0, maker=True), ctx)
    assert later.state()["positions"][0][2] == 5


def test_a_loss_is_seen_when_a_price_shows_it():
    engine, ctx = risk(max_loss="10"), RecordingContext()
    engine.on_report(fill(1, Side.BUY, 100, 600_000), ctx)  # 0.1 BTC
    engine.on_quote(quotes(quote_array(1, 599_000, 599_010))[0], ctx)  # 100 USDT down: a loss of exactly 10
    assert ctx.published == []
    engine.on_quote(quotes(quote_array(2, 598_999, 599_010))[0], ctx)
    engine.on_quote(quotes(quote_array(3, 598_000, 599_010))[0], ctx)
    [alert] = ctx.published
    assert (alert.control, alert.value, alert.limit) == ("loss", 1_001_000_000, 1_000_000_000)


def test_profits_of_instruments_with_different_money_units_are_added_rightly():
    engine, ctx = risk(max_loss="10"), RecordingContext()
    engine.on_report(fill(1, Side.BUY, 1000, 600_000, instrument=2), ctx)  # 0.1 BTC, sold 50 USDT higher: 5 USDT
    engine.on_report(fill(2, Side.SELL, 1000, 600_500, instrument=2), ctx)
    engine.on_report(fill(3, Side.BUY, 100, 600_000), ctx)
    engine.on_quote(quotes(quote_array(1, 598_500, 599_010))[0], ctx)  # a loss of 15, less 5
    assert ctx.published == []
    engine.on_quote(quotes(quote_array(2, 598_499, 599_010))[0], ctx)
    assert [alert.control for alert in ctx.published] == ["loss"]


def test_a_realised_loss_is_seen_at_the_fill():
    engine, ctx = risk(max_loss="1"), RecordingContext()
    engine.on_report(fill(1, Side.BUY, 100, 600_000), ctx)
    engine.on_report(fill(2, Side.SELL, 100, 599_800), ctx)
    assert [(alert.control, alert.sequence) for alert in ctx.published] == [("loss", 2)]


def test_a_report_that_comes_again_is_counted_once():
    engine, ctx = risk(max_orders=2, max_position=5), RecordingContext()
    for report in (accepted(1, 1000), accepted(2, 1000), fill(3, Side.BUY, 3, 100)):
        for _ in range(3):
            engine.on_report(report, ctx)
    engine.on_report(accepted(1, 1000), ctx)
    assert ctx.published == []
    engine.on_report(accepted(4, 1000), ctx)
    assert [alert.control for alert in ctx.published] == ["order_rate"]


def test_too_many_orders_in_the_window_are_one_alert():
    engine, ctx = risk(max_orders=3, window_ns=100), RecordingContext()
    for number in range(3):
        engine.on_report(accepted(number + 1, 1000 + number), ctx)
    engine.on_report(accepted(4, 1100), ctx)  # the first has left the window
    engine.on_report(accepted(5, 1100, strategy=2), ctx)
    assert ctx.published == []
    refused = OrderRejected(
        7, 1101, 1, 1, 1, 7, Side.BUY, 1, 1, 0, reason=Reason.TICK, violated=(Reason.TICK,), request=CommandKind.NEW
    )
    engine.on_report(accepted(6, 1100), ctx)
    engine.on_report(refused, ctx)
    assert [(alert.control, alert.strategy_id) for alert in ctx.published] == [("order_rate", 1)]


def test_orders_of_people_are_counted_by_account_and_an_alert_names_it():
    engine, ctx = risk(max_orders=2), RecordingContext()
    for number in range(4):
        engine.on_report(accepted(number + 1, 5, strategy=0, account=9 + number % 2), ctx)
    assert ctx.published == []
    engine.on_report(accepted(5, 5, strategy=0, account=9), ctx)
    assert [(alert.account_id, alert.strategy_id) for alert in ctx.published] == [(9, 0)]
    for number in range(6, 12):
        engine.on_report(accepted(number, 5, strategy=0, account=0), ctx)
    assert [alert.account_id for alert in ctx.published] == [9], "account 0 would be everybody"


def test_a_state_without_accounts_of_orders_is_taken_over():
    engine, ctx = risk(max_orders=2), RecordingContext()
    engine.on_report(accepted(1, 5), ctx)
    state = engine.state()
    assert state["orders"] == [[1, 1, [5]]]
    engine.restore({**state, "orders": [[1, [5]]]})
    assert engine.state()["orders"] == []


def test_a_breach_sets_the_kill_switch_where_configured():
    engine, ctx = risk(max_position=5, kill_switch=True), RecordingContext()
    engine.on_report(fill(1, Side.BUY, 6, 100, account=3), ctx)
    assert ctx.sent == [("trading", KillSwitch(account_id=3, source_id=2, source_sequence=1))]


def test_a_fill_that_arrives_twice_counts_once():
    engine, ctx = risk(max_position=5), RecordingContext()
    for _ in range(3):
        engine.on_report(fill(1, Side.BUY, 3, 100), ctx)
    assert ctx.published == []


def test_without_limits_nothing_is_said():
    engine, ctx = risk(), RecordingContext()
    engine.on_report(fill(1, Side.BUY, 10**9, 600_000), ctx)
    engine.on_report(accepted(2, 5), ctx)
    engine.on_quote(quotes(quote_array(1, 1, 2))[0], ctx)
    assert ctx.published == []


def test_a_restored_engine_remembers_positions_and_what_it_said():
    engine, ctx = risk(max_position=5, max_orders=9), RecordingContext()
    engine.on_report(accepted(1, 5), ctx)
    engine.on_report(fill(2, Side.BUY, 6, 100), ctx)
    later = risk(max_position=5, max_orders=9)
    later.restore(json.loads(json.dumps(engine.state())))
    assert later.state() == engine.state()
    later.on_report(fill(3, Side.BUY, 1, 100), ctx)
    assert len(ctx.published) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"max_position": -1},
        {"max_orders": -1},
        {"window_ns": 0},
        {"max_loss": "much"},
        {"max_loss": "NaN"},
        {"max_loss": "-1"},
    ],
)
def test_limits_that_make_no_sense_are_refused(settings):
    with pytest.raises(ConfigError, match="risk"):
        RiskConfig(**settings)


def test_limits_and_breaches_are_told():
    engine, ctx = risk(max_position=5, max_loss="12.5"), RecordingContext()
    assert engine.on_request(GetRisk(), ctx) == RiskState(5, "12.5", 0, 1_000_000_000, False)
    engine.on_report(fill(1, Side.BUY, 6, 100, account=3), ctx)
    [breach] = engine.on_request(GetRisk(), ctx).breaches
    assert (breach.account_id, breach.control) == (3, "position")
    with pytest.raises(ModelError, match="request GetPositions"):
        engine.on_request(GetPositions(), ctx)


def test_after_a_restart_commands_are_numbered_above_those_that_the_core_has():
    engine, ctx = risk(max_position=5, kill_switch=True), RecordingContext()
    engine.resume(7, ctx)
    engine.resume(3, ctx)
    engine.on_report(fill(1, Side.BUY, 6, 100, account=3), ctx)
    [(_, command)] = ctx.sent
    assert command.source_sequence == 8
