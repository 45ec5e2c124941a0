"""The derived book is what the core shows, after every command of flows over every order type, group and phase."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import pytest

from nautilus.core.types import EVENT, CommandKind, EventKind, SessionPhase, Side
from nautilus.engines.marketdata import MarketDataConfig, MarketDataEngine
from nautilus.model.commands import SetPhase
from nautilus.model.enums import OrderFlag, OrderType, TimeInForce
from nautilus.model.instrument import Instrument
from nautilus.model.marketdata import AUCTION, Auction, auction_records, auctions
from nautilus.model.queries import GetQueuePlace, QueuePlace
from nautilus.model.records import Records, command_array
from tests.kit import builders, flow_full, flow_setting
from tests.kit.builders import BUY, SELL
from tests.kit.context import RecordingContext, btcusdt
from tests.kit.coverage import Coverage
from tests.kit.twin import TwinKernel

SEEDS = int(os.environ.get("NAUTILUS_SEEDS", "6"))
COMMANDS = 700
ORDERS = (CommandKind.NEW, CommandKind.CANCEL, CommandKind.REPLACE)


def instruments() -> list[Instrument]:
    """Those of the flow. An increment is the finest tick: a band far away makes it 1 where the base is 2."""
    tables = {2: (("0", "2"), ("100", "5"), ("120", "10"), ("1000000", "1"))}
    return [
        btcusdt(
            instrument_id=key,
            symbol=f"S{key}",
            tick_table=tables.get(key, (("0", "1"),)),
            lot_size="1",
            currency_decimals=0,
            negative_prices=key == 3,
        )
        for key in range(1, 7)
    ]


def as_the_platform_sends(commands: Records) -> Records:
    """A SESSION has its phase as order id, see `SetPhase`; no other administrative command has one."""
    for command in commands:
        kind = command["kind"]
        if kind == CommandKind.SESSION:
            command["order_id"] = command["group_id"]
        elif kind <= CommandKind.ADJUST and kind not in ORDERS:
            command["order_id"] = 0
    return commands


class Market:
    """A twin and a hub that follows its events."""

    def __init__(self) -> None:
        self.twin = TwinKernel(instruments=flow_setting.instruments(), accounts=flow_setting.accounts(), capacity=64)
        self.hub = MarketDataEngine(MarketDataConfig(derive=True), instruments())
        self.ctx = RecordingContext()

    def process(self, commands: Records) -> Records:
        """Events of the commands; the books are the twin's after them."""
        events = self.twin.process(as_the_platform_sends(commands))
        self.hub.on_events(events, self.ctx)
        self.compare()
        return events

    def compare(self) -> None:
        for instrument_id in self.twin.instruments:
            ours, core = (
                [side.tolist() for side in shown.depth(instrument_id, 1_000)] for shown in (self.hub, self.twin)
            )
            assert ours == core, f"instrument {instrument_id}"
            orders = self.twin.book(instrument_id)[["order_id", "account_id", "side", "price_ticks", "quantity"]]
            assert self.hub.orders(instrument_id, 1_000) == orders.tolist(), f"orders of instrument {instrument_id}"
            for order_id, account_id, *_ in orders.tolist():
                place = self.twin.queue_position(account_id, order_id)
                told = self.hub.on_request(GetQueuePlace(account_id, order_id), self.ctx)
                assert isinstance(told, QueuePlace)
                assert (told.orders_ahead, told.quantity_ahead) == (place.orders_ahead, str(place.quantity_ahead))

    def published(self, dtype: np.dtype[np.void]) -> list[Records]:
        found = [each for each in self.ctx.published if isinstance(each, np.ndarray) and each.dtype == dtype]
        self.ctx.published.clear()
        return found


@pytest.fixture(scope="module")
def reached() -> Coverage:
    """What the flows reach, each command of them compared; now and then the hub is one of a later life."""
    coverage = Coverage()
    for seed in range(SEEDS):
        market, flow = Market(), flow_full.FullFlow(seed)
        market.process(flow_setting.first_commands())
        for number in range(COMMANDS):
            if number % 97 == 96:
                later = MarketDataEngine(MarketDataConfig(derive=True), instruments())
                later.restore(json.loads(json.dumps(market.hub.state())))
                market.hub = later
            command = as_the_platform_sends(flow.draw(market.twin))
            coverage.read(command[0], market.process(command), market.twin)
            market.ctx.published.clear()
    return coverage


@pytest.mark.long
@pytest.mark.parametrize("kind", [kind for kind in EventKind if kind != EventKind.DUPLICATE])
def test_the_flows_reach_every_kind_of_event(reached: Coverage, kind: EventKind) -> None:
    assert reached.seen[f"EventKind.{kind.name}"]


@pytest.mark.parametrize("member", [*OrderType, *TimeInForce, *SessionPhase], ids=lambda member: member.name)
def test_the_flows_reach_every_type_time_in_force_and_phase(reached: Coverage, member: Any) -> None:
    assert reached.seen[f"{type(member).__name__}.{member.name}"]


@pytest.fixture
def market() -> Market:
    return Market()


def test_an_iceberg_shows_a_part_and_the_next_one(market: Market) -> None:
    market.process(builders.new(1, SELL, 100, 10, display_quantity=4))
    assert market.hub.depth(1)[1].tolist() == [(100, 4, 1)]
    events = market.process(builders.new(2, BUY, 100, 5, account_id=2))
    assert [EventKind(kind) for kind in events["kind"]][-2:] == [EventKind.REPLENISHED, EventKind.FILLED]
    assert market.hub.depth(1)[1].tolist() == [(100, 3, 1)]


def test_what_waits_or_hides_is_not_shown(market: Market) -> None:
    market.process(builders.new(1, SELL, 101, 10))
    for number, fields in enumerate(
        (
            {"order_type": OrderType.STOP_LIMIT, "trigger_ticks": 120},
            {"flags": OrderFlag.HIDDEN},
            {"flags": OrderFlag.ALL_OR_NONE},
            {"time_in_force": TimeInForce.AT_CLOSE},
            {"parent_order_id": 1, "account_id": 1},
        ),
        2,
    ):
        market.process(builders.new(number, SELL, 102, 3, **fields))
    market.process(builders.new(9, BUY, 0, 3, order_type=OrderType.PEGGED))
    assert market.twin.open_orders == 7
    assert [side.tolist() for side in market.hub.depth(1)] == [[], [(101, 10, 1)]]


def test_a_trailing_stop_limit_comes_to_rest_on_the_tick_table(market: Market) -> None:
    market.process(builders.new(1, SELL, 105, 10, instrument_id=2))
    market.process(builders.new(2, BUY, 105, 10, instrument_id=2, account_id=2))
    trailing = {"order_type": OrderType.TRAILING_STOP_LIMIT, "offset": 7, "instrument_id": 2}
    market.process(builders.new(3, SELL, 4, 10, **trailing))
    market.process(builders.new(4, BUY, 90, 10, instrument_id=2, account_id=2))
    events = market.process(builders.new(5, SELL, 90, 10, instrument_id=2, account_id=6))
    assert EventKind.TRIGGERED in events["kind"]
    assert market.hub.depth(2)[1].tolist() == [(94, 10, 1)]


def test_at_the_close_orders_are_shown_from_their_auction_on(market: Market) -> None:
    market.process(builders.new(1, BUY, 99, 5, time_in_force=TimeInForce.AT_CLOSE))
    market.process(builders.new(2, SELL, 98, 3, account_id=2, time_in_force=TimeInForce.AT_CLOSE))
    assert [len(side) for side in market.hub.depth(1)] == [0, 0]
    market.published(AUCTION)
    market.process(command_array(SetPhase(SessionPhase.CLOSING_AUCTION, 1).to_row(1)))
    assert [side.tolist() for side in market.hub.depth(1)] == [[(99, 5, 1)], [(98, 3, 1)]]
    found = [auction for records in market.published(AUCTION) for auction in auctions(records)]
    assert [(each.phase, each.price_ticks, each.quantity, each.surplus, each.side) for each in found] == [
        (None, 98, 3, 2, Side.BUY),
        (SessionPhase.CLOSING_AUCTION, 0, 0, 0, None),
    ]
    market.process(command_array(SetPhase(SessionPhase.CLOSED, 1).to_row(2)))
    assert [len(side) for side in market.hub.depth(1)] == [0, 0]


def test_in_an_auction_nobody_is_the_aggressor(market: Market) -> None:
    market.process(command_array(SetPhase(SessionPhase.PRE_OPEN).to_row(1)))
    market.process(builders.batch(builders.new(1, BUY, 99, 5), builders.new(2, SELL, 98, 3, account_id=2)))
    market.ctx.published.clear()
    market.process(command_array(SetPhase(SessionPhase.CONTINUOUS).to_row(2)))
    prints = [each for each in market.ctx.published if "trade_id" in (each.dtype.names or ())]
    assert [(int(each["side"][0]), int(each["quantity"][0])) for each in prints] == [(0, 3)]


def test_a_phase_that_goes_on_is_not_told_again(market: Market) -> None:
    market.process(command_array(SetPhase(SessionPhase.HALTED).to_row(1)))
    told = market.published(AUCTION)
    assert sorted(int(records["instrument_id"][0]) for records in told) == [1, 2, 3, 4, 5, 6]
    assert {int(records["phase"][0]) for records in told} == {SessionPhase.HALTED}
    market.process(command_array(SetPhase(SessionPhase.HALTED).to_row(2)))
    assert market.published(AUCTION) == []


def test_orders_of_an_external_venue_are_in_no_book_here(market: Market) -> None:
    market.process(flow_setting.first_commands())
    market.ctx.published.clear()
    routed = market.process(builders.new(1, BUY, 100, 5, instrument_id=4))
    assert routed["kind"].tolist() == [EventKind.ROUTED]
    for kind, fields in (
        (CommandKind.VENUE_ACCEPTED, {"venue_reference": 7}),
        (CommandKind.VENUE_FILL, {"venue_reference": 8, "price_ticks": 100, "quantity": 2, "side": BUY}),
    ):
        market.process(builders.command(kind, account_id=1, order_id=1, instrument_id=4, **fields))
    assert [len(side) for side in market.hub.depth(4)] == [0, 0]
    assert market.ctx.published == []


def test_an_order_of_a_state_saved_earlier_is_a_plain_one() -> None:
    hub = MarketDataEngine(MarketDataConfig(derive=True), instruments())
    book = {"instrument_id": 1, "updates": 3, "changed_ns": 1, "last_price": None, "last_quote": None}
    hub.restore({"last_sequence": 9, "books": [{**book, "orders": [[1, 5, int(BUY), 100, 4]]}]})
    assert hub.depth(1)[0].tolist() == [(100, 4, 1)]
    cancelled = np.zeros(1, EVENT)
    cancelled["sequence"], cancelled["kind"], cancelled["order_id"] = 10, EventKind.CANCELLED, 5
    cancelled["account_id"], cancelled["instrument_id"] = 1, 1
    hub.on_events(cancelled, RecordingContext())
    assert len(hub.depth(1)[0]) == 0


def test_an_auction_survives_its_record() -> None:
    found = Auction(1, 1, 5, 100, 7, 2, 1, Side.SELL, SessionPhase.OPENING_AUCTION, 4)
    assert auctions(auction_records([found])) == [found]
    assert AUCTION.itemsize == 56
