"""The trading engine on a feed: the same reports as in lock-step, those of the past again, orders in decimals."""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nautilus.core import Kernel
from nautilus.core.eventlog import deliveries
from nautilus.core.types import CommandKind, EventKind, OrderType, Reason, Side, TimeInForce
from nautilus.engines.trading import TradingConfig, TradingEngine
from nautilus.engines.trading import engine as trading
from nautilus.model.account import Account
from nautilus.model.commands import KillSwitch, MassCancel, ReplaceOrder, SubmitOrder
from nautilus.model.errors import BusError, ModelError
from nautilus.model.events import ExecutionReport
from nautilus.model.queries import (
    AmendRequest,
    CancelRequest,
    GetKillSwitch,
    GetOrders,
    KillRequest,
    OrderRequest,
    Reports,
    ReportsSince,
)
from nautilus.model.records import Records
from nautilus.trading.rim import OutcomeUnknownError
from tests.kit import builders
from tests.kit.context import MARKET_ACCOUNT, RecordingContext, btcusdt


class Past:
    """The core's events in memory, as the event log gives them."""

    def __init__(self) -> None:
        self.records: list[np.ndarray] = []
        self.looked = 0

    def read(self, first: int, limit: int, /) -> tuple[Records, np.ndarray]:
        records = np.concatenate(self.records)[first - 1 : first - 1 + limit]
        self.looked += len(records)
        return np.ascontiguousarray(records["event"]), records["kind"]


def random_flow(seed: int, count: int) -> np.ndarray:
    """Orders of two clients and a market, that meet, are replaced, cancelled and refused."""
    random = np.random.default_rng(seed)
    parts = []
    for number in range(1, count + 1):
        account = int(random.choice([1, 2, MARKET_ACCOUNT]))
        price = 600_000 + 10 * int(random.integers(-5, 6))
        choice = random.random()
        if choice < 0.6:
            side = Side.BUY if random.random() < 0.5 else Side.SELL
            strategy = int(random.integers(0, 3)) if account <= 2 else 0
            lots = int(random.integers(1, 20))
            parts.append(builders.new(number, side, lots, price, account_id=account, strategy_id=strategy))
        elif choice < 0.8:
            parts.append(builders.cancel(int(random.integers(1, number + 1)), account_id=account))
        elif choice < 0.97:
            parts.append(builders.replace(int(random.integers(1, number + 1)), price, 5, account_id=account))
        else:
            parts.append(builders.kill(2) if random.random() < 0.5 else builders.resume(2))
    return np.concatenate(parts)


def kernel_of() -> Kernel:
    kernel = Kernel(instruments=[btcusdt()], accounts=[1, 2], huge_pages=False)
    kernel.process(Account(MARKET_ACCOUNT).to_commands())
    return kernel


def reports(ctx: RecordingContext) -> list[ExecutionReport]:
    return [event for event in ctx.published if isinstance(event, ExecutionReport)]


@pytest.mark.parametrize("seed", range(3))
def test_a_feed_in_any_pieces_gives_the_reports_of_lock_step(seed: int) -> None:
    flow = random_flow(seed, 600)
    kernel, past = kernel_of(), Past()
    lock_step, one_by_one = TradingEngine(TradingConfig(), kernel), RecordingContext()
    first = kernel.last_event_sequence + 1
    for row in range(len(flow)):
        commands = flow[row : row + 1]
        events = kernel.process(commands)
        lock_step._publish(events, CommandKind(int(commands["kind"][0])), one_by_one)
        stamped = commands.copy()
        stamped["sequence"] = kernel.last_sequence
        past.records.append(deliveries(events, stamped))
    records = np.concatenate(past.records)
    assert records["event"]["sequence"][0] == first
    fed, at_once = TradingEngine(TradingConfig(), kernel), RecordingContext()
    random = np.random.default_rng(seed)
    start = 0
    while start < len(records):
        piece = records[start : start + int(random.integers(1, 50))]
        fed.on_feed(np.ascontiguousarray(piece["event"]), piece["kind"], at_once)
        start += len(piece)
    assert reports(at_once) == reports(one_by_one)
    assert fed.state() == lock_step.state()


def ask_on(engine: TradingEngine, after: int, random: np.random.Generator) -> list[Any]:
    """What one who asks on and on is told; that no answer looks at more than it may."""
    ctx, history = RecordingContext(), engine.history
    assert isinstance(history, Past)
    found: list[Any] = []
    place, complete = after, False
    for _ in range(10_000):
        history.looked = 0
        answer = engine.on_request(ReportsSince(place, int(random.integers(1, 200))), ctx)
        assert isinstance(answer, Reports)
        assert history.looked < 5 * trading.MOST_REPORTS
        assert answer.last_sequence >= place
        found += answer.reports
        place, complete = answer.last_sequence, answer.complete
        if complete:
            return found
    raise AssertionError(f"no end in sight at {place}")


def test_reports_of_the_past_are_those_that_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trading, "MARK_EVERY", 100)  # so that the marks are used in a short flow
    monkeypatch.setattr(trading, "MARKS", 6)
    monkeypatch.setattr(trading, "MOST_REPORTS", 40)
    kernel = Kernel(instruments=[btcusdt()], accounts=[1, 2, MARKET_ACCOUNT], huge_pages=False)
    past, ctx = Past(), RecordingContext()
    setup = Kernel(accounts=(), huge_pages=False)
    commands = np.concatenate([btcusdt().to_commands(), *(Account(n).to_commands() for n in (1, 2, MARKET_ACCOUNT))])
    kernel = setup
    stamped = commands.copy()
    stamped["sequence"] = np.arange(1, len(commands) + 1)
    past.records.append(deliveries(kernel.process(commands), stamped))
    engine = TradingEngine(TradingConfig(), kernel)
    engine.history = past
    engine.on_feed(np.ascontiguousarray(past.records[0]["event"]), past.records[0]["kind"], ctx)
    for part in np.array_split(random_flow(7, 900), 30):
        stamped = part.copy()
        stamped["sequence"] = np.arange(kernel.last_sequence + 1, kernel.last_sequence + 1 + len(part))
        records = deliveries(kernel.process(part), stamped)
        past.records.append(records)
        engine.on_feed(np.ascontiguousarray(records["event"]), records["kind"], ctx)
    given = reports(ctx)
    random = np.random.default_rng(1)
    places = [0, 1, *random.integers(0, engine.last_sequence + 1, 25).tolist(), engine.last_sequence]
    for after in places:
        assert ask_on(engine, after, random) == [report for report in given if report.sequence > after]
    again = TradingEngine(TradingConfig(), kernel)
    again.history = past
    for name, (_, part) in engine.bulk().items():
        again.restore_bulk(name, part())
    again.restore(engine.state())
    assert again.bulk().keys() == engine.bulk().keys()
    for after in places:
        assert ask_on(again, after, random) == [report for report in given if report.sequence > after]
    ahead = engine.on_request(ReportsSince(engine.last_sequence + 7), ctx)
    assert ahead == Reports((), engine.last_sequence, True)
    far = TradingEngine(TradingConfig(), kernel)
    far.history = past
    far.restore(engine.state())
    late, early = engine.last_sequence, engine.last_sequence // 2
    for _ in range(engine.last_sequence):  # two who ask in turn do not take each other's way
        answers = [far.on_request(ReportsSince(after), ctx) for after in (late, early)]
        if answers[0].complete:
            break
    assert answers[0].complete
    with pytest.raises(ModelError, match="event log"):
        TradingEngine(TradingConfig(), kernel).on_request(ReportsSince(), ctx)


class Desk:
    """An engine that takes orders in decimals, on a kernel of its own."""

    def __init__(self) -> None:
        self.ctx = RecordingContext()
        self.kernel = kernel_of()
        self.engine = TradingEngine(TradingConfig(), self.kernel, [btcusdt()])

    def ask(self, message: Any) -> Any:
        return self.engine.on_request(message, self.ctx)

    def buy(self, price: str, quantity: str = "0.010", **fields: Any) -> Any:
        return self.ask(OrderRequest("BTCUSDT", Side.BUY, quantity, price, **{"account_id": 1, **fields}))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_an_order_in_decimals_is_entered_amended_and_cancelled(desk: Desk) -> None:
    entered = desk.buy("60000.0", client_order_id="a")
    assert (entered.status, entered.leaves_quantity, entered.client_order_id) == ("accepted", "0.01", "a")
    [line] = desk.ask(GetOrders(1)).orders
    assert (line.price, line.quantity, line.symbol, line.client_order_id) == ("60000", "0.01", "BTCUSDT", "a")
    amended = desk.ask(AmendRequest(entered.order_id, "0.020", "59999.0", 1))
    assert (amended.status, amended.leaves_quantity) == ("replaced", "0.02")
    assert desk.ask(CancelRequest(entered.order_id, 1)).status == "cancelled"
    assert desk.ask(GetOrders()).orders == ()


def test_an_order_that_meets_another_says_what_was_filled(desk: Desk) -> None:
    desk.ask(OrderRequest("1", Side.SELL, "0.004", "60000.0", account_id=2))
    result = desk.buy("60000.0")
    assert (result.status, result.filled_quantity, result.leaves_quantity) == ("partially_filled", "0.004", "0.006")
    market = desk.ask(OrderRequest("BTCUSDT", Side.SELL, "0.006", account_id=2, order_type=OrderType.MARKET))
    assert (market.status, market.filled_quantity) == ("filled", "0.006")


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"price": ""}, "a limit order without a price"),
        ({"price": "", "time_in_force": TimeInForce.IOC}, "a limit order without a price"),
        ({"price": "60000.0", "order_type": OrderType.MARKET}, "price '60000.0' of a market order"),
    ],
)
def test_only_an_order_that_says_so_is_a_market_order(desk: Desk, fields: dict[str, Any], what: str) -> None:
    desk.ask(OrderRequest("1", Side.SELL, "0.004", "60000.0", account_id=2))
    before = desk.kernel.last_event_sequence
    with pytest.raises(ModelError, match=what) as raised:
        desk.buy(**fields)
    assert (raised.value.code, raised.value.where) == ("model.order_field", "price")
    assert "order_type" in raised.value.expected
    assert desk.kernel.last_event_sequence == before


def test_the_same_client_id_is_the_same_order_after_a_restart(desk: Desk) -> None:
    first = desk.buy("60000.0", client_order_id="mine")
    desk.engine = TradingEngine(TradingConfig(), desk.kernel, [btcusdt()])
    second = desk.buy("60000.0", client_order_id="mine")
    assert second.order_id == first.order_id
    assert (second.status, second.reason.name) == ("rejected", "DUPLICATE_ORDER")
    other = desk.buy("60000.0", client_order_id="mine", account_id=2)
    assert other.order_id != first.order_id


def test_a_refusal_lists_every_control(desk: Desk) -> None:
    assert desk.ask(KillRequest(True, 1)).on
    result = desk.buy("60000.0", expire_ns=5)
    assert result.status == "rejected"
    assert {reason.name for reason in result.violated} == {"KILLED", "EXPIRY"}


def test_kill_switches_are_listed_while_they_are_on(desk: Desk) -> None:
    desk.buy("60000.0")
    assert desk.ask(KillRequest(True, 1)).cancelled == 1
    desk.ask(KillRequest(True, 0, 1))
    scopes = desk.ask(GetKillSwitch()).scopes
    assert [(scope.account_id, scope.instrument_id) for scope in scopes] == [(0, 1), (1, 0)]
    desk.ask(KillRequest(False, 1))
    assert len(desk.ask(GetKillSwitch()).scopes) == 1


def test_what_stays_on_is_said_when_a_kill_switch_is_switched_off(desk: Desk) -> None:
    desk.ask(KillRequest(True))
    set_ = desk.ask(KillRequest(True, 1, instrument="BTCUSDT"))
    assert (set_.account_id, set_.instrument_id, set_.symbol) == (1, 1, "BTCUSDT")
    off = desk.ask(KillRequest(False, 1, instrument="1"))
    assert (off.on, off.account_id, off.instrument_id) == (False, 1, 1)
    assert [(scope.account_id, scope.instrument_id) for scope in off.scopes] == [(0, 0)]
    assert desk.buy("60000.0").reason == Reason.KILLED
    assert desk.ask(KillRequest(False)).scopes == ()
    assert desk.buy("60000.0").status == "accepted"


def test_what_was_never_on_cannot_be_switched_off(desk: Desk) -> None:
    before = desk.kernel.last_event_sequence
    with pytest.raises(ModelError, match=r"everything is not on.* expected one that is on: none is") as raised:
        desk.ask(KillRequest(False))
    assert raised.value.code == "model.unknown_kill_switch"
    assert desk.kernel.last_event_sequence == before
    desk.ask(KillRequest(True))
    desk.ask(KillRequest(True, 2, 1))
    with pytest.raises(ModelError, match=r"account 1 is not on.*on: everything, account 2 with instrument BTCUSDT"):
        desk.ask(KillRequest(False, 1))
    assert len(desk.ask(GetKillSwitch()).scopes) == 2


def test_the_instrument_of_a_kill_switch_is_named_once(desk: Desk) -> None:
    for text in ("NOPE", "", "77"):
        with pytest.raises(ModelError, match="kill switch: instrument") as raised:
            desk.ask(KillRequest(True, instrument=text))
        assert raised.value.code == "model.unknown_instrument"
    with pytest.raises(ModelError, match="instrument 'BTCUSDT' and instrument_id 2"):
        desk.ask(KillRequest(True, 0, 2, "BTCUSDT"))
    assert desk.ask(GetKillSwitch()).scopes == ()
    assert desk.ask(KillRequest(True, 0, 1, "BTCUSDT")).symbol == "BTCUSDT"


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize(
    ("kind", "reason", "said"), [(EventKind.DUPLICATE, 0, "DUPLICATE"), (EventKind.REJECTED, Reason.LATE, "LATE")]
)
def test_a_kill_switch_is_on_only_where_the_core_applied_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, on: bool, kind: EventKind, reason: int, said: str
) -> None:
    desk.ask(KillRequest(True, 2))
    told = desk.kernel.process(builders.kill(1))[-1:].copy()
    told["kind"], told["reason"] = kind, reason
    monkeypatch.setattr(desk.engine._desk, "_core", SimpleNamespace(process=lambda commands: told, feeds=True))
    monkeypatch.setattr(desk.engine._desk, "_publish", lambda *arguments: None)
    with pytest.raises(BusError, match=f"account 2 was not switched {'on' if on else 'off'}: {said}") as raised:
        desk.ask(KillRequest(on, 2))
    assert raised.value.code == "bus.not_applied"


def test_open_orders_say_how_many_digits_their_instrument_has(desk: Desk) -> None:
    desk.buy("60000.0")
    [line] = desk.ask(GetOrders(1)).orders
    assert (line.price, line.price_decimals, line.quantity, line.quantity_decimals) == ("60000", 1, "0.01", 3)


@pytest.mark.parametrize("text", ["1" * 5000, "\U0010ffff" * 5000, "\0" * 100, "'" * 5000])
def test_what_a_sender_wrote_is_cut_where_it_is_told(desk: Desk, text: str) -> None:
    order_id = desk.buy("60000.0").order_id
    for message in (
        OrderRequest(text, Side.BUY, "0.010", "60000.0", account_id=1),
        OrderRequest("1", Side.BUY, text, "60000.0", account_id=1),
        OrderRequest("1", Side.BUY, "0.010", text, account_id=1),
        OrderRequest("1", Side.BUY, "0.010", text, account_id=1, order_type=OrderType.MARKET),
        AmendRequest(order_id, text, "60000.0", 1),
        AmendRequest(order_id, "0.010", text, 1),
        KillRequest(True, instrument=text),
    ):
        with pytest.raises(ModelError) as raised:
            desk.ask(message)
        assert len(raised.value.what) < 150


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (OrderRequest("NOPE", Side.BUY, "1", "1"), "model.unknown_instrument"),
        (OrderRequest("BTCUSDT", Side.BUY, "0.010", "60000.0", account_id=0), "model.unknown_account"),
        (OrderRequest("BTCUSDT", Side.BUY, "0.010", "60000.0", account_id=5000), "model.unknown_account"),
        (OrderRequest("BTCUSDT", Side.BUY, "0.0101", "60000.0", account_id=1), "model"),
        (OrderRequest("BTCUSDT", Side.BUY, "0.010", "abc", account_id=1), "model"),
        (AmendRequest(99, "0.010", "60000.0"), "model.unknown_order"),
        (CancelRequest(0), "model"),
        (CancelRequest(1 << 64), "model"),
        (KillRequest(True, 77), "model.unknown_account"),
        (KillRequest(True, 0, 77), "model.unknown_instrument"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_stable_code(desk: Desk, message: Any, code: str) -> None:
    before = desk.kernel.open_orders
    with pytest.raises(ModelError) as raised:
        desk.ask(message)
    assert raised.value.code == code
    assert desk.kernel.open_orders == before


@pytest.mark.parametrize(
    "change", [lambda number: CancelRequest(number, 1), lambda number: AmendRequest(number, "0.010", "60000.0", 1)]
)
def test_whatever_changes_an_order_that_is_not_open_says_so(desk: Desk, change: Any) -> None:
    closed = desk.buy("60000.0")
    desk.ask(CancelRequest(closed.order_id, 1))
    for number in (12345, closed.order_id):
        with pytest.raises(ModelError, match=f"order {number} of account 1 is not open") as raised:
            desk.ask(change(number))
        assert raised.value.code == "model.unknown_order"


def test_a_cancel_that_finds_nothing_gives_the_cores_reason(desk: Desk) -> None:
    with pytest.raises(ModelError, match="UNKNOWN_ORDER"):
        desk.ask(CancelRequest(12345, 1))
    closed = desk.buy("60000.0").order_id
    desk.ask(CancelRequest(closed, 1))
    with pytest.raises(ModelError, match="CLOSED_ORDER"):
        desk.ask(CancelRequest(closed, 1))


def test_a_repeat_tells_of_the_order_that_it_repeats(desk: Desk) -> None:
    desk.ask(OrderRequest("1", Side.SELL, "0.004", "60000.0", account_id=2))
    first = desk.buy("60000.0", client_order_id="mine")
    again = desk.buy("60000.0", client_order_id="mine")
    assert (again.status, again.reason.name, again.order_id) == ("rejected", "DUPLICATE_ORDER", first.order_id)
    assert (again.order_state, again.filled_quantity, again.leaves_quantity) == ("open", "0.004", "0.006")
    assert again.differs == ()
    assert desk.buy("60001.0", "0.020", client_order_id="mine").differs == ("quantity", "price")
    desk.ask(AmendRequest(first.order_id, "0.020", "59999.0", 1))
    amended = desk.buy("60000.0", client_order_id="mine")
    assert (amended.differs, amended.leaves_quantity, amended.client_order_id) == ((), "0.016", "mine")
    desk.ask(CancelRequest(first.order_id, 1))
    closed = desk.buy("60000.0", client_order_id="mine")
    assert (closed.order_state, closed.leaves_quantity, closed.differs) == ("closed", "0", ())


def test_what_was_entered_under_a_client_id_is_known_after_a_restart(desk: Desk) -> None:
    desk.buy("60000.0", client_order_id="mine")
    state = desk.engine.state()
    desk.engine = TradingEngine(TradingConfig(), desk.kernel, [btcusdt()])
    desk.engine.restore(state)
    again = desk.buy("60001.0", client_order_id="mine")
    assert (again.order_state, again.differs) == ("open", ("price",))
    # As the state was saved before contents were part of it.
    state["client_ids"] = [row[:2] for row in state["client_ids"]]
    desk.engine.restore(state)
    assert desk.buy("60001.0", client_order_id="mine").differs == ()
    assert desk.ask(GetOrders()).orders[0].client_order_id == "mine"


def test_a_client_id_is_kept_only_once_its_order_was_accepted(desk: Desk) -> None:
    desk.ask(KillRequest(True, 1))
    assert desk.buy("60000.0", client_order_id="refused").client_order_id == "refused"
    with pytest.raises(ModelError):
        desk.buy("60000.001", client_order_id="malformed")
    assert desk.engine.state()["client_ids"] == []
    desk.ask(KillRequest(False, 1))
    assert desk.buy("60000.0", client_order_id="refused").status == "accepted"
    assert [row[1] for row in desk.engine.state()["client_ids"]] == ["refused"]


def test_a_client_id_in_doubt_is_kept_with_what_came_first(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(commands: Records) -> Records:
        raise OutcomeUnknownError("of a sort")

    with monkeypatch.context() as patch:
        patch.setattr(desk.engine._desk, "_core", SimpleNamespace(process=silent))
        for price in ("60000.0", "60001.0"):
            with pytest.raises(OutcomeUnknownError):
                desk.buy(price, client_order_id="mine")
    [row] = desk.engine.state()["client_ids"]
    assert (row[1], row[-1]) == ("mine", 600_000)


@pytest.mark.parametrize("text", ["1" * 5000, "\u0661", "\u00b9", "1_0", " 1", "1\n", "-1", ""])
def test_a_text_that_is_no_instrument_is_refused_whatever_it_is(desk: Desk, text: str) -> None:
    with pytest.raises(ModelError) as raised:
        desk.ask(OrderRequest(text, Side.BUY, "0.010", "60000.0", account_id=1))
    assert raised.value.code == "model.unknown_instrument"
    assert len(str(raised.value)) < 200


NUMBERS = (-(2**63), -1, 2**32, 2**63, 2**64, 10**30)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "make",
    [
        lambda n: OrderRequest("1", Side.BUY, "0.010", "60000.0", account_id=n),
        lambda n: OrderRequest(
            "1", Side.BUY, "0.010", "60000.0", account_id=1, expire_ns=n, time_in_force=TimeInForce.GTD
        ),
        lambda n: OrderRequest("1", Side.BUY, "0.010", "60000.0", account_id=1, deadline_ns=n),
        lambda n: AmendRequest(n, "0.010", "60000.0", 1),
        lambda n: CancelRequest(n, 1),
        lambda n: CancelRequest(1, n),
        lambda n: KillRequest(True, n),
        lambda n: KillRequest(True, 0, n),
        lambda n: SubmitOrder(n, 1, 5, Side.BUY, 1, 1),
        lambda n: SubmitOrder(1, n, 5, Side.BUY, 1, 1),
        lambda n: SubmitOrder(1, 1, n, Side.BUY, 1, 1),
        lambda n: SubmitOrder(1, 1, 5, Side.BUY, n, 1),
        lambda n: SubmitOrder(1, 1, 5, Side.BUY, 1, n),
        lambda n: SubmitOrder(1, 1, 5, Side.BUY, 1, 1, source_id=n),
        lambda n: ReplaceOrder(1, 1, n, 1, 1),
        lambda n: MassCancel(1, 1, n),
        lambda n: KillSwitch(n, source_sequence=n),
    ],
)
def test_a_number_that_no_field_holds_is_answered_or_refused(desk: Desk, make: Any, number: int) -> None:
    with suppress(ModelError):
        assert desk.ask(make(number)) is not None
