"""Orders of every type through the trading engine: what is entered, what is refused by field, reported and listed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.core.types import CommandKind, EventKind
from nautilus.engines.trading import ReportExpander, TradingConfig, TradingEngine
from nautilus.model.commands import SetPhase, SubmitOrder
from nautilus.model.enums import (
    GroupKind,
    OrderFlag,
    OrderType,
    PegReference,
    Reason,
    SessionPhase,
    Side,
    Standing,
    TimeInForce,
    TriggerSource,
)
from nautilus.model.errors import ModelError
from nautilus.model.events import (
    ExecutionReport,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    OrderReplaced,
    OrderReplenished,
    OrderTriggered,
)
from nautilus.model.queries import AmendRequest, CancelRequest, GetOrders, KillRequest, OrderRequest
from nautilus.model.records import command_array
from tests.kit import builders
from tests.kit.context import RecordingContext, btcusdt
from tests.kit.twin import TwinKernel

INSTRUMENT = btcusdt(tick_table=(("0", "0.1"), ("70000", "0.5")))


class Desk:
    """A trading engine on a core with accounts 1 to 3; fees are 1,000 parts per million, 500 back for who rests."""

    def __init__(self) -> None:
        self.core = TwinKernel(instruments=[INSTRUMENT], accounts=[1, 2, 3])
        rates = ((3, 1_000), (2, -500))
        for kind, ppm in rates:
            self.core.process(builders.command(CommandKind.RATE, group_id=kind, price_ticks=ppm))
        self.engine = TradingEngine(TradingConfig(), self.core, [INSTRUMENT])
        self.ctx = RecordingContext()

    def ask(self, message: Any) -> Any:
        return self.engine.on_request(message, self.ctx)

    def order(self, side: Side = Side.BUY, quantity: str = "0.010", price: str = "", **fields: Any) -> Any:
        return self.ask(OrderRequest("BTCUSDT", side, quantity, price, **{"account_id": 1, **fields}))

    def reports(self) -> list[ExecutionReport]:
        published, self.ctx.published = self.ctx.published, []
        return [each for each in published if isinstance(each, ExecutionReport)]

    def lines(self, account_id: int = 0) -> dict[int, Any]:
        return {line.order_id: line for line in self.ask(GetOrders(account_id)).orders}

    def trade(self, price: str, quantity: str = "0.001") -> None:
        """Accounts 2 and 3 trade at a price: it is the last one."""
        self.order(Side.SELL, quantity, price, account_id=2)
        self.order(Side.BUY, quantity, price, account_id=3)
        self.reports()


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize(
    ("fields", "row"),
    [
        (
            {"order_type": OrderType.STOP, "trigger": "60000"},
            {"order_type": OrderType.STOP, "trigger_ticks": 600_000},
        ),
        (
            {
                "order_type": OrderType.STOP_LIMIT,
                "trigger": "60000",
                "price": "60001",
                "trigger_source": TriggerSource.MARK,
                "reduce_only": True,
            },
            {"price_ticks": 600_010, "flags": OrderFlag.TRIGGER_MARK | OrderFlag.REDUCE_ONLY},
        ),
        (
            {
                "order_type": OrderType.LIMIT_IF_TOUCHED,
                "trigger": "60000",
                "price": "60001",
                "trigger_source": TriggerSource.QUOTE,
            },
            {"order_type": OrderType.LIMIT_IF_TOUCHED, "flags": OrderFlag.TRIGGER_QUOTE},
        ),
        (
            {"order_type": OrderType.TRAILING_STOP, "offset": "12.3"},
            {"offset": 123, "trigger_ticks": 0, "flags": 0},
        ),
        (
            {"order_type": OrderType.TRAILING_STOP_LIMIT, "offset": "50", "trail_bps": True, "price": "0"},
            {"offset": 50, "price_ticks": 0, "flags": OrderFlag.TRAIL_BPS},
        ),
        (
            {"order_type": OrderType.PEGGED, "offset": "-0.3", "peg": PegReference.MID, "price": "60000"},
            {"offset": -3, "price_ticks": 600_000, "flags": OrderFlag.PEG_MID},
        ),
        ({"order_type": OrderType.PEGGED, "peg": PegReference.OPPOSITE}, {"flags": OrderFlag.PEG_OPPOSITE}),
        ({"price": "60000", "display_quantity": "0.002"}, {"display_quantity": 2}),
        ({"price": "60000", "min_quantity": "0.010"}, {"min_quantity": 10}),
        (
            {"price": "60000", "post_only": True, "slide": True},
            {"flags": OrderFlag.POST_ONLY | OrderFlag.SLIDE},
        ),
        ({"price": "60000", "hidden": True}, {"flags": OrderFlag.HIDDEN}),
        (
            {"price": "60000", "all_or_none": True, "group_id": 7, "group": GroupKind.OUO, "parent_order_id": 2**63},
            {"flags": OrderFlag.ALL_OR_NONE | OrderFlag.GROUP_OUO, "group_id": 7, "parent_order_id": 2**63},
        ),
        (
            {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.AT_CLOSE},
            {"time_in_force": TimeInForce.AT_CLOSE, "order_type": OrderType.MARKET},
        ),
        ({"order_type": OrderType.MARKET}, {"time_in_force": TimeInForce.IOC}),
    ],
)
def test_what_is_written_is_what_the_core_gets(
    desk: Desk, fields: dict[str, Any], row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[np.ndarray] = []
    process = desk.core.process
    monkeypatch.setattr(desk.core, "process", lambda commands: given.append(commands.copy()) or process(commands))
    desk.order(**fields)
    assert {name: int(given[0][name][0]) for name in row} == row


PLAIN = {"price": "60000"}
STOP = {"order_type": OrderType.STOP, "trigger": "60000"}
TRAIL = {"order_type": OrderType.TRAILING_STOP, "offset": "1"}


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("price", {"price": ""}),
        ("price", {**STOP, "price": "1"}),
        ("price", {"order_type": OrderType.STOP_LIMIT, "trigger": "1"}),
        ("price", {"order_type": OrderType.TRAILING_STOP_LIMIT, "offset": "1", "price": "-1"}),
        ("price", {"order_type": OrderType.TRAILING_STOP_LIMIT, "offset": "1", "price": "nan"}),
        ("price", {"order_type": OrderType.MARKET_TO_LIMIT, "price": "1"}),
        ("trigger", {"order_type": OrderType.STOP}),
        ("trigger", {**PLAIN, "trigger": "1"}),
        ("trigger", {"order_type": OrderType.MARKET_TO_LIMIT, "trigger": "1"}),
        ("offset", {"order_type": OrderType.TRAILING_STOP}),
        ("offset", {**TRAIL, "offset": "0"}),
        ("offset", {**TRAIL, "offset": "0.05"}),
        ("offset", {**TRAIL, "offset": "1e3"}),
        ("offset", {**TRAIL, "offset": "300000000"}),
        ("offset", {**TRAIL, "offset": "1.5", "trail_bps": True}),
        ("offset", {**TRAIL, "offset": "9" * 5_000, "trail_bps": True}),
        ("offset", {**PLAIN, "offset": "1"}),
        ("trail_bps", {**PLAIN, "trail_bps": True}),
        ("trigger_source", {**PLAIN, "trigger_source": TriggerSource.MARK}),
        ("peg", {**PLAIN, "peg": PegReference.MID}),
        ("time_in_force", {**STOP, "time_in_force": TimeInForce.IOC}),
        ("time_in_force", {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.DAY}),
        ("post_only", {**STOP, "post_only": True}),
        ("post_only", {**PLAIN, "post_only": True, "time_in_force": TimeInForce.IOC}),
        ("slide", {**PLAIN, "slide": True}),
        ("hidden", {**PLAIN, "hidden": True, "time_in_force": TimeInForce.FOK}),
        ("all_or_none", {**PLAIN, "all_or_none": True, "hidden": True}),
        ("display_quantity", {**PLAIN, "display_quantity": "0.010"}),
        ("display_quantity", {**PLAIN, "display_quantity": "0.001", "all_or_none": True}),
        ("display_quantity", {**STOP, "display_quantity": "0.001"}),
        ("min_quantity", {**PLAIN, "min_quantity": "0.011"}),
        ("min_quantity", {**PLAIN, "min_quantity": "0.001", "post_only": True}),
        ("min_quantity", {**PLAIN, "min_quantity": "0.001", "parent_order_id": 3}),
        ("group", {**PLAIN, "group_id": 3}),
        ("group_id", {**PLAIN, "group": GroupKind.OCO}),
        ("parent_order_id", {"order_type": OrderType.PEGGED, "parent_order_id": 3}),
    ],
)
def test_each_field_that_does_not_fit_is_named_with_one_code(desk: Desk, field: str, fields: dict[str, Any]) -> None:
    before = desk.core.last_sequence
    with pytest.raises(ModelError) as raised:
        desk.order(**fields)
    told = raised.value.as_dict()
    assert (told["code"], told["where"]) == ("model.order_field", field)
    assert told["expected"]
    assert len(told["what"]) < 200
    assert desk.core.last_sequence == before


@pytest.mark.parametrize("field", ["price", "trigger", "display_quantity", "min_quantity", "quantity"])
@pytest.mark.parametrize("text", ["x", "0.05", "-1", "1e400", " 1", "9" * 300])
def test_a_number_that_is_none_is_refused_wherever_it_stands(desk: Desk, field: str, text: str) -> None:
    fields = {"trigger": "60000", "price": "60000", "order_type": OrderType.STOP_LIMIT}
    if field in ("display_quantity", "min_quantity"):
        fields = {"price": "60000"}
    with pytest.raises(ModelError) as raised:
        desk.order(**{**fields, field: text if field != "quantity" or text != "0.05" else "0.0005"})
    assert raised.value.code.startswith("model")


def test_whatever_the_desk_lets_through_the_core_does_not_call_unsupported(desk: Desk) -> None:
    """The table of the desk is not wider than the core's: of all pairs of type, time in force and one wish."""
    wishes: list[dict[str, Any]] = [
        {},
        {"post_only": True},
        {"post_only": True, "slide": True},
        {"hidden": True},
        {"all_or_none": True},
        {"display_quantity": "0.002"},
        {"min_quantity": "0.002"},
        {"reduce_only": True},
        {"trigger_source": TriggerSource.MARK},
        {"trail_bps": True},
        {"peg": PegReference.MID},
        {"group": GroupKind.OCO, "group_id": 3},
        {"offset": "1"},
        {"trigger": "60000"},
    ]
    entered = 0
    for order_type in OrderType:
        for time_in_force in TimeInForce:
            for wish in wishes:
                for price in ("", "60000"):
                    expire = 2**62 if time_in_force == TimeInForce.GTD else 0
                    fields = {"order_type": order_type, "time_in_force": time_in_force, "expire_ns": expire}
                    trailing = order_type in (OrderType.TRAILING_STOP, OrderType.TRAILING_STOP_LIMIT)
                    stop = order_type.name.startswith("STOP") or order_type.name.endswith("TOUCHED")
                    fields |= {"offset": "1"} if trailing else {}
                    fields |= {"trigger": "60000"} if stop else {}
                    try:
                        result = desk.order(price=price, **(fields | wish))
                    except ModelError:
                        continue
                    assert Reason.UNSUPPORTED not in result.violated, (fields, wish)
                    entered += 1
                    if result.status not in ("cancelled", "rejected"):
                        desk.ask(CancelRequest(result.order_id, 1))
    assert entered > 150


TEXTS = st.sampled_from(
    ["", "0", "1", "0.010", "0.1", "60000", "60000.05", "-1", "x", "1e9", "9" * 40, "\u0661", "\x00"]
)
NUMBERS = st.integers(-(2**70), 2**70) | st.integers(-1, 3) | st.sampled_from([2**16, 2**32, 2**63, 2**64])


@given(
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("quantity", "price", "trigger", "display_quantity", "min_quantity", "offset"), TEXTS),
            **dict.fromkeys(("expire_ns", "deadline_ns", "group_id", "parent_order_id"), NUMBERS),
            **dict.fromkeys(("post_only", "slide", "reduce_only", "hidden", "all_or_none", "trail_bps"), st.booleans()),
            "order_type": st.sampled_from(OrderType),
            "time_in_force": st.sampled_from(TimeInForce),
            "trigger_source": st.sampled_from(TriggerSource),
            "peg": st.sampled_from(PegReference),
            "group": st.none() | st.sampled_from(GroupKind),
        },
    )
)
def test_whatever_is_asked_for_is_answered_or_refused_as_a_field(fields: dict[str, Any]) -> None:
    refusal = None
    try:
        result = Desk().order(**fields)
    except ModelError as error:
        refusal = error.as_dict()
    if refusal is None:
        assert result.status in ("accepted", "cancelled", "triggered", "rejected")
    else:
        assert refusal["expected"] or "does not fit" in refusal["what"]
        assert len("".join(refusal.values())) < 500


def test_a_stop_is_listed_while_it_waits_and_told_when_it_triggers(desk: Desk) -> None:
    desk.trade("60000")
    result = desk.order(Side.SELL, price="59990", trigger="59995", order_type=OrderType.STOP_LIMIT)
    assert (result.status, result.leaves_quantity) == ("accepted", "0.01")
    [accepted] = desk.reports()
    assert isinstance(accepted, OrderAccepted)
    assert (accepted.order_type, accepted.trigger_ticks) == (OrderType.STOP_LIMIT, 599_950)
    line = desk.lines(1)[result.order_id]
    assert (line.order_type, line.standing, line.trigger, line.price) == (
        OrderType.STOP_LIMIT,
        Standing.WAITING,
        "59995",
        "59990",
    )
    changed = desk.ask(AmendRequest(result.order_id, "0.010", "59980", 1, trigger="59994"))
    assert changed.status == "replaced"
    desk.reports()
    desk.order(Side.SELL, "0.001", "59994", account_id=2)
    desk.order(Side.BUY, "0.001", "59994", account_id=3)
    triggered = [report for report in desk.reports() if isinstance(report, OrderTriggered)]
    assert [(report.price_ticks, report.leaves_quantity, report.reason) for report in triggered] == [
        (599_940, 10, Reason.NONE)
    ]
    line = desk.lines(1)[result.order_id]
    assert (line.order_type, line.standing, line.trigger, line.price) == (
        OrderType.LIMIT,
        Standing.DISPLAYED,
        "",
        "59980",
    )


def test_a_stop_whose_condition_holds_is_done_within_its_own_command(desk: Desk) -> None:
    desk.trade("60000")
    desk.order(Side.BUY, "0.004", "59990", account_id=2)
    result = desk.order(Side.SELL, trigger="60000", order_type=OrderType.STOP)
    assert (result.status, result.filled_quantity, result.reason) == ("cancelled", "0.004", Reason.UNFILLED)
    assert desk.lines(1) == {}


def test_an_iceberg_is_replenished_and_shows_what_it_shows(desk: Desk) -> None:
    result = desk.order(Side.SELL, price="60000", display_quantity="0.004")
    desk.order(Side.BUY, "0.005", "60000", account_id=2)
    replenished = [report for report in desk.reports() if isinstance(report, OrderReplenished)]
    assert [(report.order_id, report.quantity, report.leaves_quantity) for report in replenished] == [
        (result.order_id, 4, 6)
    ]
    line = desk.lines(1)[result.order_id]
    assert (line.display_quantity, line.leaves_quantity, line.standing) == ("0.004", "0.005", Standing.DISPLAYED)


def test_each_side_is_told_its_own_fee(desk: Desk) -> None:
    desk.order(Side.SELL, "0.010", "60000")
    desk.order(Side.BUY, "0.010", "60000", account_id=2)
    taker, maker = (report for report in desk.reports() if isinstance(report, OrderFilled))
    value = 600_000 * 10 * INSTRUMENT.multiplier
    assert (taker.fee, maker.fee) == (value // 1_000, -value // 2_000)
    assert (taker.maker, maker.maker, taker.venue_reference, maker.venue_reference) == (False, True, 0, 0)
    assert maker.place == taker.place + 1


def test_a_group_cuts_and_cancels_and_says_why(desk: Desk) -> None:
    group = {"group_id": 5, "group": GroupKind.OUO}
    first = desk.order(Side.SELL, price="60010", **group)
    second = desk.order(Side.SELL, "0.006", trigger="59000", order_type=OrderType.STOP, **group)
    desk.reports()
    desk.order(Side.BUY, "0.004", "60010", account_id=2)
    [replaced] = [report for report in desk.reports() if isinstance(report, OrderReplaced)]
    assert (replaced.order_id, replaced.leaves_quantity, replaced.reason) == (second.order_id, 2, Reason.CONTINGENT)
    desk.ask(CancelRequest(first.order_id, 1))
    gone = [report for report in desk.reports() if isinstance(report, OrderCancelled)]
    assert [(report.order_id, report.reason) for report in gone] == [
        (first.order_id, Reason.REQUESTED),
        (second.order_id, Reason.CONTINGENT),
    ]
    assert desk.lines(1) == {}


def test_a_bracket_enters_with_its_parents_fills(desk: Desk) -> None:
    entry = desk.order(price="60000")
    bracket = {"parent_order_id": entry.order_id, "group_id": 9, "group": GroupKind.OCO}
    profit = desk.order(Side.SELL, price="60100", **bracket)
    stop = desk.order(Side.SELL, trigger="59000", order_type=OrderType.STOP, **bracket)
    lines = desk.lines(1)
    for child in (profit, stop):
        assert lines[child.order_id].standing == Standing.PARKED
        assert lines[child.order_id].parent_order_id == entry.order_id
    desk.reports()
    desk.order(Side.SELL, "0.010", "60000", account_id=2)
    triggered = [report for report in desk.reports() if isinstance(report, OrderTriggered)]
    assert [(report.order_id, report.reason) for report in triggered] == [
        (profit.order_id, Reason.CONTINGENT),
        (stop.order_id, Reason.CONTINGENT),
    ]
    lines = desk.lines(1)
    assert {key: (line.standing, line.order_type) for key, line in lines.items()} == {
        profit.order_id: (Standing.DISPLAYED, OrderType.LIMIT),
        stop.order_id: (Standing.WAITING, OrderType.STOP),
    }


def test_a_part_that_is_cancelled_leaves_the_rest_open(desk: Desk) -> None:
    desk.order(Side.BUY, "0.004", "60000", account_id=1)
    desk.order(Side.SELL, "0.004", "60000", account_id=2)
    desk.reports()
    reducing = desk.order(Side.SELL, "0.010", "60000", reduce_only=True)
    assert reducing.status == "accepted"
    desk.order(Side.BUY, "0.001", "60000", account_id=3)
    cut = [report for report in desk.reports() if isinstance(report, OrderCancelled)]
    assert [(report.quantity, report.leaves_quantity, report.reason) for report in cut] == [(6, 4, Reason.REDUCE_ONLY)]
    assert desk.lines(1)[reducing.order_id].leaves_quantity == "0.003"


def test_a_market_to_limit_order_has_the_price_that_it_got(desk: Desk) -> None:
    desk.order(Side.SELL, "0.004", "60000", account_id=2)
    result = desk.order(order_type=OrderType.MARKET_TO_LIMIT)
    assert (result.status, result.filled_quantity, result.leaves_quantity) == ("partially_filled", "0.004", "0.006")
    line = desk.lines(1)[result.order_id]
    assert (line.order_type, line.price) == (OrderType.LIMIT, "60000")


def test_an_order_for_the_close_is_parked_until_its_auction(desk: Desk) -> None:
    market = desk.order(order_type=OrderType.MARKET, time_in_force=TimeInForce.AT_CLOSE)
    limit = desk.order(price="60000", time_in_force=TimeInForce.AT_CLOSE, reduce_only=False, display_quantity="0.002")
    assert {line.standing for line in desk.lines(1).values()} == {Standing.PARKED}
    reply = desk.ask(SetPhase(SessionPhase.CLOSING_AUCTION))
    assert reply.accepted
    lines = desk.lines(1)
    assert lines[market.order_id].standing == Standing.AUCTION
    assert lines[limit.order_id].standing == Standing.DISPLAYED
    assert (lines[market.order_id].price, lines[limit.order_id].price) == ("", "60000")


def test_the_flags_of_an_order_are_listed_by_name(desk: Desk) -> None:
    result = desk.order(price="60000", hidden=True, reduce_only=False, group_id=3, group=GroupKind.OCO)
    line = desk.lines(1)[result.order_id]
    assert (line.flags, line.standing) == (("HIDDEN", "GROUP_OCO"), Standing.DARK)


@pytest.mark.parametrize(
    ("order", "amend", "field"),
    [
        ({"price": "60000"}, {"price": ""}, "price"),
        ({"price": "60000"}, {"price": "60000", "trigger": "1"}, "trigger"),
        (STOP, {"price": "60000"}, "price"),
        (TRAIL, {"price": "", "trigger": "60000"}, "trigger"),
    ],
)
def test_a_change_names_the_field_that_the_order_has_not(
    desk: Desk, order: dict[str, Any], amend: dict[str, Any], field: str
) -> None:
    result = desk.order(**order)
    with pytest.raises(ModelError) as raised:
        desk.ask(AmendRequest(result.order_id, "0.010", account_id=1, **amend))
    assert (raised.value.code, raised.value.where) == ("model.order_field", field)


def test_a_trailing_stop_is_amended_by_quantity_alone(desk: Desk) -> None:
    result = desk.order(**TRAIL)
    assert desk.ask(AmendRequest(result.order_id, "0.006", account_id=1)).status == "replaced"
    assert desk.lines(1)[result.order_id].quantity == "0.006"


def test_a_strategy_is_stopped_in_its_account_alone(desk: Desk) -> None:
    for account, strategy in ((1, 4), (1, 5), (2, 4)):
        desk.ask(SubmitOrder(account, 1, 100 * account + strategy, Side.BUY, 5, 600_000, strategy_id=strategy))
    answer = desk.ask(KillRequest(True, 1, strategy_id=4))
    assert (answer.cancelled, answer.strategy_id) == (1, 4)
    assert [(scope.account_id, scope.strategy_id) for scope in answer.scopes] == [(1, 4)]
    refused = desk.ask(SubmitOrder(1, 1, 900, Side.BUY, 5, 600_000, strategy_id=4))
    assert (refused.accepted, refused.reason) == (False, Reason.KILLED)
    assert desk.ask(SubmitOrder(1, 1, 901, Side.BUY, 5, 600_000, strategy_id=5)).accepted
    with pytest.raises(ModelError, match="account 1 is not on"):
        desk.ask(KillRequest(False, 1))
    assert desk.ask(KillRequest(False, 1, strategy_id=4)).scopes == ()
    assert desk.ask(SubmitOrder(1, 1, 902, Side.BUY, 5, 600_000, strategy_id=4)).accepted


@pytest.mark.parametrize(
    "fields", [{"strategy_id": 4}, {"account_id": 1, "instrument_id": 1, "strategy_id": 4}, {"instrument": "1"}]
)
def test_a_strategy_without_its_account_is_refused(desk: Desk, fields: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="strategy_id 4") as raised:
        desk.ask(KillRequest(True, **{"strategy_id": 4, **fields}))
    assert raised.value.where == "kill switch"


def test_a_kill_switch_is_known_by_its_own_event_whatever_follows(desk: Desk) -> None:
    """Where the switch takes away the best bid, the stop of another account triggers: events behind APPLIED."""
    desk.order(Side.BUY, "0.001", "59000", account_id=1)
    desk.order(Side.SELL, "0.002", trigger="58000", order_type=OrderType.STOP, account_id=2,
               trigger_source=TriggerSource.QUOTE)  # fmt: skip
    desk.order(Side.BUY, "0.001", "57000", account_id=3)
    desk.reports()
    answer = desk.ask(KillRequest(True, 1))
    assert answer.cancelled == 1
    assert any(isinstance(report, OrderTriggered) for report in desk.reports())


def test_a_state_saved_before_orders_had_types_is_taken_over() -> None:
    expander = ReportExpander(1000)
    expander.restore({"orders": [[1, 7, 1, 1, 600_000, 5, 4, 3]], "stopped": [[1, 0]], "last_sequence": 9})
    order = expander.orders[1, 7]
    assert (order.order_type, order.time_in_force, order.leaves) == (OrderType.LIMIT, TimeInForce.GTC, 4)
    assert order.standing(SessionPhase.CONTINUOUS) == Standing.DISPLAYED
    assert expander.stopped == {(1, 0, 0)}


def test_a_sliding_order_is_told_where_it_stands(desk: Desk) -> None:
    desk.order(Side.SELL, "0.004", "60000", account_id=2)
    result = desk.order(price="60005", post_only=True, slide=True)
    assert result.status == "accepted"
    assert desk.lines(1)[result.order_id].price == "59999.9"


def test_every_event_kind_with_an_order_has_its_report() -> None:
    """Kinds that are not reported are told otherwise: in a reply, or on the market data topics."""
    elsewhere = {EventKind.DUPLICATE, EventKind.APPLIED, EventKind.INDICATIVE, EventKind.PHASE}
    names = {kind.__name__ for kind in ExecutionReport.__subclasses__()} - {"InstrumentSplit", "PositionAdjusted"}
    reports = {name.removeprefix("Order").upper() for name in names}
    assert {kind.name for kind in EventKind if kind not in elsewhere} == reports


def test_the_order_of_a_command_is_entered_as_it_stands_in_the_record(desk: Desk) -> None:
    row = SubmitOrder(1, 1, 9, Side.SELL, 5, 600_000, OrderType.STOP_LIMIT, trigger_ticks=599_000).to_row(5)
    [event] = desk.core.process(command_array(row))
    assert event["kind"] == EventKind.ACCEPTED
    assert int(event["flags"]) >> 16 & 0xFF == OrderType.STOP_LIMIT
