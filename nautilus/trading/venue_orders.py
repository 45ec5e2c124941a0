"""What a session knows of the orders at its venue, by the core's events alone: every life knows the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from nautilus.core.types import CommandKind, EventKind, OrderState, Reason
from nautilus.model.records import EVENT_FIELDS, Records
from nautilus.model.venue import OrderKey, VenueOrder

_ORDER, _KIND, _PRICE = EVENT_FIELDS["order_id"], EVENT_FIELDS["kind"], EVENT_FIELDS["price_ticks"]
_QUANTITY, _LEAVES = EVENT_FIELDS["quantity"], EVENT_FIELDS["leaves_quantity"]
_INSTRUMENT, _ACCOUNT = EVENT_FIELDS["instrument_id"], EVENT_FIELDS["account_id"]
_REQUEST, _REASON, _SIDE = EVENT_FIELDS["match_id"], EVENT_FIELDS["reason"], EVENT_FIELDS["side"]
_FLAGS, _STRATEGY, _TRIGGER = EVENT_FIELDS["flags"], EVENT_FIELDS["strategy_id"], EVENT_FIELDS["fee"]
_DISPLAY, _REFERENCE = EVENT_FIELDS["counter_leaves_quantity"], EVENT_FIELDS["venue_reference"]
PENDING = (OrderState.PENDING_NEW, OrderState.PENDING_CANCEL, OrderState.PENDING_REPLACE)


class RoutedOrder(msgspec.Struct):
    """One open order.

    Attributes
    ----------
    price_ticks, quantity, filled : as they hold, in the core's eyes; total and of it filled.
    accepted : the venue was heard of it.
    cancelling : its cancel was asked for, and neither refused nor done.
    doubtful : it was unknown, and the venue has not been heard of it since: an old report may have made it open again.
    since_ns : when it last was asked for something, on the session's clock; 0: before this life.
    asked_ns : when the venue was last asked what became of it.
    """

    key: OrderKey
    request: VenueOrder
    state: OrderState
    price_ticks: int
    quantity: int
    filled: int = 0
    accepted: bool = False
    cancelling: bool = False
    doubtful: bool = False
    since_ns: int = 0
    asked_ns: int = 0


class Request(msgspec.Struct, frozen=True):
    """A ROUTED event: what the venue is to be asked."""

    kind: CommandKind
    order: RoutedOrder
    price_ticks: int
    quantity: int
    trigger_ticks: int


class VenueOrders:
    """The open orders of a venue's instruments, by the core's events."""

    def __init__(self, instruments: Iterable[int]) -> None:
        self.instruments = np.array(sorted(instruments), np.uint32)
        self.orders: dict[OrderKey, RoutedOrder] = {}
        self.accounts: set[int] = set()
        """Accounts that the core has opened."""

    def __len__(self) -> int:
        return len(self.orders)

    def get(self, key: OrderKey) -> RoutedOrder | None:
        """The open order, if it is one."""
        return self.orders.get(key)

    def unknown(self) -> Iterator[RoutedOrder]:
        """Those whose fate is not known, or was not since it was asked for, oldest first."""
        return (order for order in self.orders.values() if order.doubtful or order.state == OrderState.UNKNOWN)

    def all_unknown(self) -> None:
        """The core has called every one of them unknown."""
        for order in self.orders.values():
            order.state, order.asked_ns, order.doubtful = OrderState.UNKNOWN, 0, True

    def pending(self) -> Iterator[RoutedOrder]:
        """Those of which the venue owes an answer."""
        return (order for order in self.orders.values() if order.state in PENDING)

    def concerns(self, events: Records, kinds: np.ndarray) -> np.ndarray:
        """Which of the events `take` is to be told."""
        at_venue = np.isin(events["instrument_id"], self.instruments)
        which: np.ndarray = at_venue | ((kinds == CommandKind.ACCOUNT) & (events["kind"] == EventKind.APPLIED))
        return which

    def take(self, event: tuple[int, ...], cause: int, now_ns: int) -> Request | None:
        """One event of these, as a tuple, and the CommandKind behind it; the request that it is, if it is one."""
        kind = event[_KIND]
        if cause == CommandKind.ACCOUNT:
            self.accounts.add(event[_ACCOUNT])
            return None
        key = OrderKey(event[_ACCOUNT], event[_ORDER], event[_INSTRUMENT])
        if kind == EventKind.ROUTED:
            return self._routed(key, event, now_ns)
        order = self.orders.get(key)
        if order is None:
            return None
        if kind == EventKind.ACCEPTED:
            order.accepted = True
            self._heard(order)
        elif kind == EventKind.FILLED:
            order.filled += event[_QUANTITY]
            if event[_LEAVES] == 0:
                del self.orders[key]
            elif order.state == OrderState.PENDING_NEW:
                order.state = OrderState.OPEN
        elif kind == EventKind.CANCELLED or kind == EventKind.EXPIRED:
            del self.orders[key]
        elif kind == EventKind.REPLACED:
            order.price_ticks, order.quantity = event[_PRICE], event[_QUANTITY]
            if order.state in (OrderState.PENDING_REPLACE, OrderState.PENDING_NEW, OrderState.UNKNOWN):
                order.state = OrderState.OPEN
        elif kind == EventKind.UNKNOWN:
            order.state = OrderState.UNKNOWN
            order.asked_ns, order.doubtful = 0, True
        elif kind == EventKind.DUPLICATE and cause == CommandKind.VENUE_ACCEPTED:
            self._heard(order)
        elif kind == EventKind.REJECTED and event[_REASON] == Reason.VENUE:
            self._refused(order, event[_REQUEST])
        return None

    def _routed(self, key: OrderKey, event: tuple[int, ...], now_ns: int) -> Request | None:
        asked = CommandKind(event[_REQUEST])
        if asked == CommandKind.NEW:
            flags = event[_FLAGS]
            request = VenueOrder(
                key,
                side=event[_SIDE],
                order_type=flags >> 16 & 0xFF,
                time_in_force=flags >> 24,
                flags=flags & 0xFFFF,
                strategy_id=event[_STRATEGY],
                price_ticks=event[_PRICE],
                quantity=event[_QUANTITY],
                display_quantity=event[_DISPLAY],
                trigger_ticks=event[_TRIGGER],
                expire_ns=event[_REFERENCE],
            )
            self.orders[key] = RoutedOrder(
                key, request, OrderState.PENDING_NEW, event[_PRICE], event[_QUANTITY], since_ns=now_ns
            )
        order = self.orders[key]
        order.since_ns = now_ns
        if asked == CommandKind.CANCEL:
            order.cancelling = True
            if order.state != OrderState.UNKNOWN:
                order.state = OrderState.PENDING_CANCEL
        elif asked == CommandKind.REPLACE:
            order.state = OrderState.PENDING_REPLACE
        return Request(asked, order, event[_PRICE], event[_QUANTITY], event[_TRIGGER])

    def _heard(self, order: RoutedOrder) -> None:
        if order.state in (OrderState.PENDING_NEW, OrderState.UNKNOWN):
            order.state = OrderState.OPEN

    def _refused(self, order: RoutedOrder, asked: int) -> None:
        if asked == CommandKind.NEW:
            del self.orders[order.key]
            return
        if asked == CommandKind.CANCEL:
            order.cancelling = False
        order.state = OrderState.OPEN
