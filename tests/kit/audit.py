"""Invariants of the kernel that follow from its events alone, without its twin.

Forbidden outcomes: a gap in the event sequence or in the match numbers, time running backwards, a quantity that
appears or vanishes, a crossed book, a book that differs from what the events left open, and realised + cost that
differs from the cash flow by as little as one unit.
"""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from nautilus.core.kernel import Kernel
from nautilus.core.types import (
    EVENT,
    AccountFlag,
    CommandKind,
    EventFlag,
    EventKind,
    InstrumentFlag,
    OrderFlag,
    OrderType,
    Reason,
    SessionPhase,
    Side,
    TimeInForce,
)
from tests.kit import builders
from tests.kit.pair import AnyKernel, Pair, held, levels

Key = tuple[int, int]  # (account, order id)


@dataclass
class Open:
    """What the events say about one order. `display`: what an iceberg shows at most, 0: all; `shown`: what it shows."""

    instrument_id: int
    side: int
    price: int
    leaves: int
    display: int = 0
    shown: int = 0
    order_type: int = OrderType.LIMIT
    time_in_force: int = TimeInForce.GTC
    parked: bool = False  # a child whose parent has not let it in

    def show(self, most: int) -> None:
        """Of what is left, so much at most."""
        self.shown = min(most, self.leaves) if self.display else self.leaves

    @property
    def displayed(self) -> bool:
        """In continuous trading."""
        at_auction = self.time_in_force in (TimeInForce.AT_OPEN, TimeInForce.AT_CLOSE)
        return self.order_type == OrderType.LIMIT and not at_auction and not self.parked


class Audit:
    """Reads commands one by one with the events they caused."""

    def __init__(self) -> None:
        self._sequence = 0
        self._match_id = 0
        self._now_ns = 0
        self._orders: dict[Key, Open] = {}
        self._flags: dict[int, int] = {}  # of accounts
        self._multipliers: dict[int, int] = {}
        self._cash: dict[Key, int] = defaultdict(int)  # by (account, instrument)
        self._quantity: dict[Key, int] = defaultdict(int)

    def read(self, command: np.void, events: np.ndarray) -> None:
        """One command and its events."""
        fields = dict(zip(command.dtype.names, command.tolist(), strict=True))
        for row in events.tolist():
            self._event(dict(zip(EVENT.names or (), row, strict=True)), fields)
        tape = fields["kind"] == CommandKind.NEW and fields["flags"] & OrderFlag.TAPE
        if tape and EventKind.ACCEPTED in events["kind"]:  # what recorded orders took of it is in no event
            self._orders.pop((fields["account_id"], fields["order_id"]), None)

    def _event(self, event: dict[str, Any], command: dict[str, Any]) -> None:
        self._sequence += 1
        assert event["sequence"] == self._sequence
        assert event["now_ns"] >= self._now_ns
        self._now_ns = event["now_ns"]
        key = (event["account_id"], event["order_id"])
        kind = event["kind"]
        if kind == EventKind.ACCEPTED:
            assert key not in self._orders
            assert event["leaves_quantity"] == event["quantity"] > 0
            told = event["flags"]
            order = self._orders[key] = Open(
                event["instrument_id"],
                event["side"],
                event["price_ticks"],
                event["quantity"],
                display=event["counter_leaves_quantity"],
                order_type=told >> 16 & 0xFF,
                time_in_force=told >> 24,
                parked=event["counter_order_id"] != 0,
            )
            order.show(order.display)
        elif kind == EventKind.REPLACED:
            order = self._orders[key]
            keeps = order.price == event["price_ticks"] and event["leaves_quantity"] <= order.leaves
            order.price, order.leaves = event["price_ticks"], event["leaves_quantity"]
            order.show(order.shown if keeps else order.display)
        elif kind == EventKind.TRIGGERED:
            order = self._orders[key]
            assert event["quantity"] == event["leaves_quantity"] <= order.leaves
            order.leaves = event["leaves_quantity"]
            order.show(order.display)
            if event["reason"] == Reason.CONTINGENT:
                order.parked = False
                order.price = event["price_ticks"]
            else:
                order.order_type = OrderType.LIMIT if order.order_type == OrderType.STOP_LIMIT else OrderType.MARKET
        elif kind == EventKind.REPLENISHED:
            order = self._orders[key]
            assert (order.shown, order.leaves) == (0, event["leaves_quantity"])
            order.shown = event["quantity"]
        elif kind == EventKind.FILLED:
            self._fill(event, bool(command["flags"] & OrderFlag.TAPE))
        elif kind in (EventKind.CANCELLED, EventKind.EXPIRED):
            order = self._orders[key]
            tape = command["flags"] & OrderFlag.TAPE and key == (command["account_id"], command["order_id"])
            gone = order.leaves - event["leaves_quantity"]
            assert event["quantity"] == gone or (tape and event["quantity"] < gone)
            assert (event["side"], event["instrument_id"]) == (order.side, order.instrument_id)
            order.leaves = event["leaves_quantity"]
            order.show(order.shown)
            if not order.leaves:
                del self._orders[key]
        elif kind == EventKind.APPLIED:
            self._applied(command)

    def _applied(self, command: dict[str, Any]) -> None:
        if command["kind"] == CommandKind.ACCOUNT:
            self._flags[command["account_id"]] = command["flags"]
        elif command["kind"] == CommandKind.INSTRUMENT and not command["flags"] & InstrumentFlag.BAND:
            self._multipliers[command["instrument_id"]] = command["quantity"]

    def _fill(self, event: dict[str, Any], tape: bool) -> None:
        self._match_id += 1
        assert event["match_id"] == self._match_id
        quantity, price, instrument_id = event["quantity"], event["price_ticks"], event["instrument_id"]
        assert quantity > 0
        if event["flags"] & EventFlag.AUCTION:
            assert event["side"] == Side.BUY
        parties = (
            (event["account_id"], event["order_id"], event["leaves_quantity"], 1),
            (event["counter_account_id"], event["counter_order_id"], event["counter_leaves_quantity"], -1),
        )
        direction = 1 if event["side"] == Side.BUY else -1
        for account_id, order_id, leaves, sign in parties:
            order = self._orders[account_id, order_id]
            order.leaves -= quantity
            if sign == -1 and not event["flags"] & EventFlag.AUCTION:
                assert quantity <= order.shown, "a match takes what is shown"
                order.show(order.shown - quantity)
            else:
                order.show(order.display)
            assert order.leaves == leaves or (tape and sign == 1 and order.leaves >= leaves)
            assert (order.side == Side.BUY) == (sign * direction == 1)
            if event["flags"] & EventFlag.AUCTION:  # one price for both, that each of them accepts
                worse = price > order.price if sign == 1 else price < order.price
                assert order.order_type == OrderType.MARKET or not worse
            elif sign == -1:
                assert order.price == price, "a fill has the price of the resting order"
            elif not tape and order.price:  # a market order has none
                assert price <= order.price if direction == 1 else price >= order.price
            if leaves == 0:
                del self._orders[account_id, order_id]
            if not self._flags[account_id] & AccountFlag.EXEMPT:
                lots = sign * direction * quantity
                self._quantity[account_id, instrument_id] += lots
                self._cash[account_id, instrument_id] -= lots * price * self._multipliers[instrument_id]

    def compare_with(self, pair: Pair) -> None:
        """Compare with the kernel of a pair, whose twin knows the phases.

        Books that collect orders may be crossed: copies of both go on to CONTINUOUS and are compared there.
        """
        if all(instrument.phase == SessionPhase.CONTINUOUS for instrument in pair.twin.instruments.values()):
            self.compare(pair.kernel)
            return
        copy, audit = Kernel(accounts=(), capacity=2, closed_capacity=2, huge_pages=False), deepcopy(self)
        copy.restore(pair.kernel.snapshot())
        command = builders.session()
        audit.read(command[0], copy.process(command))
        audit.compare(copy)

    def compare(self, kernel: AnyKernel) -> None:
        """Books and positions of the kernel are those that the events add up to."""
        books: dict[Key, dict[int, list[int]]] = defaultdict(dict)
        for order in self._orders.values():
            if not order.displayed:
                continue
            level = books[order.instrument_id, order.side].setdefault(order.price, [0, 0])
            level[0] += order.shown
            level[1] += 1
        for instrument_id in self._multipliers:
            bids, asks = levels(kernel, instrument_id)
            assert not bids or not asks or bids[0][0] < asks[0][0], f"instrument {instrument_id} is crossed"
            for side, found in ((Side.BUY, bids), (Side.SELL, asks)):
                expected = [(price, *level) for price, level in books[instrument_id, side].items()]
                assert found == sorted(expected, reverse=side == Side.BUY)
        for account_id in self._flags:
            found_positions = {row[0]: row for row in held(kernel, account_id)}
            for instrument_id in self._multipliers:
                _, quantity, cost, realised, _ = found_positions.get(instrument_id, (0, 0, 0, 0, 0))
                assert quantity == self._quantity[account_id, instrument_id]
                assert realised + cost == self._cash[account_id, instrument_id]
