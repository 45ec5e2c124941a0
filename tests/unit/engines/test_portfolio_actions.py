"""Corporate actions: applied once, by whom they concern; what they pay, and what the core is told of them."""

import json

import pytest

from nautilus.model.enums import Reason, Side
from nautilus.model.errors import ModelError
from nautilus.model.events import CommandAcknowledged
from nautilus.model.portfolio import (
    ActionKind,
    ApplyAction,
    GetAction,
    GetActions,
    GetAttribution,
    GetPortfolio,
    Reconcile,
)
from nautilus.model.position import PositionChanged
from nautilus.model.queries import GetPositions
from tests.unit.engines.test_portfolio_values import Desk


@pytest.fixture
def desk():
    return Desk()


def test_a_split_forgets_the_price_before_it_and_pays_for_fractions(desk):
    desk.fill(1, Side.BUY, 105, 5_000)
    desk.fill(1, Side.SELL, 25, 5_000, account=8)
    desk.quote(1, 5_000, 5_010)
    state = desk.ask(ApplyAction("r", ActionKind.SPLIT, "ABC", 1, 10, price="500"))
    assert (state.status, state.new, state.old) == ("sent", 1, 10)
    [(number, peer, command, _)] = desk.ctx.requests
    assert (peer, command.new, command.old, command.source_id, command.source_sequence) == ("trading", 1, 10, 5, 1)
    desk.split(1, 1, 10, command.reference)
    desk.engine.on_reply(number, CommandAcknowledged(5, 1, 1, 3, True), desk.ctx)
    state = desk.ask(GetAction("r"))
    assert (state.status, state.sequence) == ("applied", 3)
    assert [(each.portfolio_id, each.amount) for each in state.cash] == [(7, "250"), (8, "-250")]
    one, other = (desk.ask(GetPortfolio(each)) for each in (7, 8))
    assert (one.positions[0].quantity, one.positions[0].cost_units) == ("10", str(-525_000 * 10**6))
    assert other.positions[0].quantity == "-2"
    # 105 at 50 is not 10 at 50 until somebody says what it costs now.
    assert one.valued.missing == ("ABC",)
    assert one.valued.nav == 250.0
    desk.quote(1, 50_000, 50_100)
    assert desk.valued().nav == -5_250 + 250 + 5_000
    changes = [each.position.quantity for each in desk.ctx.published if isinstance(each, PositionChanged)]
    assert changes[-2:] == [10, -2]


def test_fractions_without_a_price_are_paid_at_the_last_quote_divided(desk):
    desk.fill(1, Side.BUY, 105, 5_000)
    desk.quote(1, 5_000, 5_010)
    desk.ask(ApplyAction("r", ActionKind.SPLIT, "ABC", 1, 10))
    desk.split(1, 1, 10, desk.ctx.requests[0][2].reference)
    [paid] = desk.ask(GetAction("r")).cash
    assert paid.amount == "250.25"
    desk.split(1, 1, 4)
    [external, _] = desk.ask(GetActions()).actions
    assert (external.action_id, external.status, external.reason) == (
        "core:3",
        "applied",
        "no price for fractions of a lot",
    )


def test_a_split_that_the_core_refuses_can_be_sent_again(desk):
    desk.fill(1, Side.BUY, 10, 5_000)
    action = ApplyAction("s", ActionKind.SPLIT, "ABC", 2, 1)
    desk.ask(action)
    refusal = CommandAcknowledged(5, 1, 1, 3, False, Reason.BUSY)
    desk.engine.on_reply(desk.ctx.requests[0][0], refusal, desk.ctx)
    assert (desk.ask(GetAction("s")).status, desk.ask(GetAction("s")).reason) == ("refused", "BUSY")
    assert desk.engine.positions()[0].quantity == 10
    assert desk.ask(action).status == "sent"
    desk.engine.on_unknown(desk.ctx.requests[1][0], desk.ctx.requests[1][2], desk.ctx)
    assert desk.ask(action).status == "unknown"
    assert len(desk.ctx.requests) == 2
    desk.split(1, 2, 1, desk.ctx.requests[1][2].reference)
    assert desk.ask(GetAction("s")).status == "applied"
    assert desk.engine.positions()[0].quantity == 20


@pytest.mark.parametrize(
    "action",
    [
        ApplyAction("x", ActionKind.SPLIT, "ABC", 0, 1),
        ApplyAction("x", ActionKind.SPLIT, "ABC", 1, 2, price="-3"),
        ApplyAction("x", ActionKind.SPLIT, "NONE", 1, 2),
        ApplyAction("x", ActionKind.CASH_DIVIDEND, "ABC"),
        ApplyAction("x", ActionKind.CASH_DIVIDEND, "ABC", amount="-1"),
        ApplyAction("x", ActionKind.CASH_DIVIDEND, "ABC", amount="1", currency="dollars"),
        ApplyAction("x", ActionKind.SYMBOL_CHANGE, "ABC"),
        ApplyAction("x", ActionKind.SYMBOL_CHANGE, "ABC", symbol="XYZ"),
        ApplyAction("x", ActionKind.POSITION, "ABC", price="5", quantity="3"),
        ApplyAction("x", ActionKind.POSITION, "ABC", price="5.001", quantity="3", portfolio_id=7),
    ],
)
def test_what_is_no_action_changes_nothing(desk, action):
    desk.fill(1, Side.BUY, 10, 5_000)
    before = desk.engine.state()
    with pytest.raises(ModelError):
        desk.ask(action)
    assert desk.engine.state() == before
    assert desk.ctx.requests == []


def test_an_action_is_one_of_its_id(desk):
    desk.fill(1, Side.BUY, 10, 5_000)
    action = ApplyAction("d", ActionKind.CASH_DIVIDEND, "ABC", amount="0.5")
    assert [desk.ask(action).repeated for _ in range(2)] == [False, True]
    assert desk.valued().income == 5.0
    with pytest.raises(ModelError, match="another id"):
        desk.ask(ApplyAction("d", ActionKind.CASH_DIVIDEND, "ABC", amount="0.6"))
    with pytest.raises(ModelError, match="one that was sent"):
        desk.ask(GetAction("e"))


def test_a_dividend_in_another_currency_is_of_that_currency(desk):
    desk.fill(1, Side.SELL, 3, 5_000)
    desk.ask(ApplyAction("d", ActionKind.CASH_DIVIDEND, "ABC", amount="0.333333333333333333", currency="EUR"))
    lines = {line.currency: line for line in desk.ask(GetPortfolio(7)).cash}
    assert lines["EUR"].income == "-0.999999999999999999"
    assert [line.currency for line in desk.ask(GetAttribution(7)).lines] == ["EUR", "USD"]


def test_a_symbol_may_change_and_both_find_it(desk):
    desk.fill(1, Side.BUY, 10, 5_000)
    desk.ask(ApplyAction("c", ActionKind.SYMBOL_CHANGE, "ABC", symbol="DEF"))
    later = Desk()
    later.engine.restore(json.loads(json.dumps(desk.engine.state())))
    for each in (desk, later):
        assert each.ask(GetPositions()).positions[0].symbol == "DEF"
        for name in ("ABC", "DEF", "1"):
            assert each.ask(Reconcile(7, "venue", {name: "10"})).status == "equal"


def test_a_command_to_the_core_is_sent_after_a_state_could_be_saved_and_again_where_it_was_not_taken(desk):
    action = ApplyAction("s", ActionKind.SPLIT, "ABC", 2, 1)
    desk.fill(1, Side.BUY, 10, 5_000)
    assert desk.engine.on_request(action, desk.ctx).status == "sent"
    assert desk.ctx.requests == []
    state = json.loads(json.dumps(desk.engine.state()))
    desk.tell_core()
    [(_, _, command, _)] = desk.ctx.requests
    later = Desk()
    later.engine.restore(state)
    later.engine.resume(0, later.ctx)
    later.engine.on_start(later.ctx)
    assert later.ask(action).status == "sent"
    assert [each[2] for each in later.ctx.requests] == [command]
    taken = Desk()
    taken.engine.restore(state)
    taken.engine.resume(1, taken.ctx)
    taken.engine.on_start(taken.ctx)
    assert taken.ask(action).status == "unknown"
    assert taken.ctx.requests == []
    taken.sequence = later.sequence = 1
    for each in (taken, later):
        each.split(1, 2, 1, command.reference)
        assert each.ask(GetAction("s")).status == "applied"
    # The core says of the second one that it has had it: that makes nothing of what the first one did.
    later.engine.on_reply(later.ctx.requests[0][0], CommandAcknowledged(5, 1, 0, 0, False, Reason.BUSY), later.ctx)
    assert later.ask(GetAction("s")).status == "applied"
    assert later.engine.state()["sending"] == taken.engine.state()["sending"] == []
