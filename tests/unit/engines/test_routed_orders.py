"""Orders at an external venue, as the trading engine's reports tell them."""

from __future__ import annotations

import json
from typing import Any

from nautilus.core.types import CommandKind
from nautilus.engines.trading import ReportExpander
from nautilus.model.enums import OrderType, Reason, SessionPhase, Side, Standing
from nautilus.model.events import (
    ExecutionReport,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    OrderRejected,
    OrderRouted,
    OrderUnknown,
)
from tests.kit import builders
from tests.kit.twin import TwinKernel


class Venue:
    """Events of a routed order, through the expander."""

    def __init__(self) -> None:
        external = builders.instrument(4, currency=0, venue_reference=9)
        self.core = TwinKernel(instruments=external, accounts=[1])
        self.expander = ReportExpander(1000)
        self.send(CommandKind.VENUE_ACCEPTED, order_id=0)

    def send(self, kind: CommandKind, **fields: Any) -> list[ExecutionReport]:
        command = builders.command(kind, **{"account_id": 1, "order_id": 7, "instrument_id": 4, **fields})
        return self.expander.expand(self.core.process(command), kind)

    def new(self) -> list[ExecutionReport]:
        command = builders.new(7, Side.BUY, 100, 5, instrument_id=4, display_quantity=2)
        return self.expander.expand(self.core.process(command), CommandKind.NEW)

    @property
    def state(self) -> str:
        order = self.expander.orders.get((1, 7))
        if order is None:
            return "gone"
        assert order.standing(SessionPhase.CONTINUOUS) == Standing.ROUTED
        return order.state.name


def test_an_order_at_an_external_venue_is_followed_to_its_end() -> None:
    venue = Venue()
    [routed] = venue.new()
    assert isinstance(routed, OrderRouted)
    assert (routed.request, routed.order_type, routed.display_quantity) == (CommandKind.NEW, OrderType.LIMIT, 2)
    assert venue.state == "PENDING_NEW"
    [unknown] = venue.send(CommandKind.VENUE_UNKNOWN)
    assert isinstance(unknown, OrderUnknown)
    assert (unknown.request, venue.state) == (CommandKind.NEW, "UNKNOWN")
    [accepted] = venue.send(CommandKind.VENUE_ACCEPTED, venue_reference=77)
    assert isinstance(accepted, OrderAccepted)
    assert venue.state == "OPEN"
    [filled] = venue.send(CommandKind.VENUE_FILL, price_ticks=100, quantity=2, side=Side.BUY, venue_reference=5)
    assert isinstance(filled, OrderFilled)
    assert (filled.venue_reference, filled.leaves_quantity, filled.late) == (5, 3, False)
    [asked] = venue.send(CommandKind.CANCEL)
    assert (type(asked), venue.state) == (OrderRouted, "PENDING_CANCEL")
    [refused] = venue.send(CommandKind.VENUE_REJECTED, group_id=CommandKind.CANCEL)
    assert isinstance(refused, OrderRejected)
    assert (refused.request, refused.reason, venue.state) == (CommandKind.CANCEL, Reason.VENUE, "OPEN")
    [changing] = venue.send(CommandKind.REPLACE, price_ticks=101, quantity=6)
    assert (type(changing), venue.state) == (OrderRouted, "PENDING_REPLACE")
    venue.send(CommandKind.VENUE_REPLACED, price_ticks=101, quantity=6)
    assert venue.state == "OPEN"
    assert venue.expander.orders[1, 7].price_ticks == 101
    venue.send(CommandKind.VENUE_UNKNOWN)
    assert venue.send(CommandKind.VENUE_ACCEPTED, venue_reference=77) == []
    assert venue.state == "OPEN"
    saved = ReportExpander(1000)
    saved.restore(json.loads(json.dumps(venue.expander.state())))
    assert saved.state() == venue.expander.state()
    [gone] = venue.send(CommandKind.VENUE_CANCELLED)
    assert (type(gone), venue.state) == (OrderCancelled, "gone")
    [late] = venue.send(CommandKind.VENUE_FILL, price_ticks=100, quantity=1, side=Side.BUY, venue_reference=6)
    assert isinstance(late, OrderFilled)
    assert late.late


def test_a_refused_report_of_a_venue_is_no_report_to_the_orders_owner() -> None:
    venue = Venue()
    assert venue.send(CommandKind.VENUE_CANCELLED) == []
    assert venue.new()
    assert venue.send(CommandKind.VENUE_REJECTED, group_id=99) == []
