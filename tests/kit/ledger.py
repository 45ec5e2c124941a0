"""What must hold whatever the rules say, checked after each command of a flow: on the twin, with its events.

Forbidden outcomes: a gap in the event sequence or the match numbers, time that runs backwards, a quantity that appears
or vanishes, realised + cost other than the cash flow by as little as one unit, a displayed book that is crossed in
CONTINUOUS, an order that stands in two places, and a limit that was passed by what the kernel accepted.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from nautilus.core.types import (
    EVENT,
    AdjustKind,
    CommandKind,
    EventFlag,
    EventKind,
    LimitKind,
    OrderFlag,
    Reason,
    SessionPhase,
    Side,
    Standing,
)
from tests.kit.twin import TwinKernel

Key = tuple[int, int]  # (account, order id), or (account, instrument)
REPORTS = range(CommandKind.VENUE_ACCEPTED, CommandKind.VENUE_UNKNOWN + 1)


class Ledger:
    """Reads the commands of a twin one by one with the events they caused."""

    def __init__(self, twin: TwinKernel) -> None:
        self._twin = twin
        self._sequence = twin.last_event_sequence
        self._match_id = twin.last_match_id
        self._now_ns = twin.now_ns
        self._leaves: dict[Key, int] = {key: order.leaves for key, order in twin.orders.items()}
        self._children: set[Key] = {key for key, order in twin.orders.items() if order.unentered}
        self._cash: dict[Key, int] = defaultdict(int)
        self._lots: dict[Key, int] = defaultdict(int)
        self._before: dict[tuple[str, Any], int] = {}
        for key, position in twin.book_positions.items():
            self._cash[key], self._lots[key] = position.cost + position.realised, position.quantity
        self._used()

    def read(self, command: np.void, events: np.ndarray) -> None:
        """One command and its events; the twin is in the state after it."""
        tape = command["kind"] == CommandKind.NEW and int(command["flags"]) & OrderFlag.TAPE
        taped = (int(command["account_id"]), int(command["order_id"])) if tape else None
        for row in events.tolist():
            self._event(dict(zip(EVENT.names or (), row, strict=True)), command, taped)
        if taped is not None and taped not in self._twin.orders:  # what recorded orders took is in no event
            self._leaves.pop(taped, None)
        self._orders()
        self._books()
        self._positions()
        self._limits(command)

    def _event(self, event: dict[str, Any], command: np.void, taped: Key | None) -> None:
        self._sequence += 1
        assert event["sequence"] == self._sequence
        assert event["now_ns"] >= self._now_ns, "time runs backwards"
        self._now_ns = event["now_ns"]
        key, kind = (event["account_id"], event["order_id"]), event["kind"]
        if kind == EventKind.ACCEPTED and key not in self._leaves:
            assert event["leaves_quantity"] == event["quantity"] > 0
            self._leaves[key] = event["quantity"]
            if event["counter_order_id"]:
                self._children.add(key)
        elif kind == EventKind.ROUTED:
            self._leaves.setdefault(key, event["leaves_quantity"])
        elif kind == EventKind.FILLED:
            self._fill(event, taped)
        elif kind in (EventKind.CANCELLED, EventKind.EXPIRED):
            before = self._leaves.pop(key)
            went = event["quantity"] + event["leaves_quantity"]
            less = key == taped or key in self._children  # a parent that closed leaves them what was released
            assert went == before or (less and went < before)
            self._children.discard(key)
            assert event["quantity"] > 0
            if event["leaves_quantity"]:
                self._leaves[key] = event["leaves_quantity"]
        elif kind in (EventKind.REPLACED, EventKind.TRIGGERED):
            assert event["leaves_quantity"] > 0
            if kind == EventKind.TRIGGERED and event["reason"] != Reason.CONTINGENT:
                assert event["leaves_quantity"] == self._leaves[key]
            elif kind == EventKind.TRIGGERED:
                self._children.remove(key)
            self._leaves[key] = event["leaves_quantity"]
        elif kind == EventKind.REPLENISHED:
            assert 0 < event["quantity"] <= event["leaves_quantity"] == self._leaves[key]
        elif kind == EventKind.REJECTED and event["reason"] == Reason.VENUE and event["match_id"] == CommandKind.NEW:
            del self._leaves[key]
        elif kind == EventKind.APPLIED and command["kind"] == CommandKind.ADJUST:
            self._adjusted(command)

    def _fill(self, event: dict[str, Any], taped: Key | None) -> None:
        self._match_id += 1
        assert event["match_id"] == self._match_id
        quantity = event["quantity"]
        assert quantity > 0
        sign = 1 if event["side"] == Side.BUY else -1
        late = event["flags"] & EventFlag.LATE
        parties = [(event["account_id"], event["order_id"], event["leaves_quantity"], sign)]
        if self._twin.instruments[event["instrument_id"]].venue == 0:
            parties.append(
                (event["counter_account_id"], event["counter_order_id"], event["counter_leaves_quantity"], -sign)
            )
        for account_id, order_id, leaves, direction in parties:
            key = (account_id, order_id)
            if late:  # of an order that is not open, or of one that it closed
                if key not in self._twin.orders:
                    self._leaves.pop(key, None)
            else:
                self._leaves[key] -= quantity
                assert self._leaves[key] == leaves or (key == taped and self._leaves[key] > leaves)
                if leaves == 0:
                    del self._leaves[key]
            self._move((account_id, event["instrument_id"]), direction * quantity, event["price_ticks"])

    def _move(self, pair: Key, lots: int, price: int) -> None:
        if not self._twin.accounts[pair[0]].exempt:
            self._lots[pair] += lots
            self._cash[pair] -= lots * price * self._twin.instruments[pair[1]].multiplier

    def _adjusted(self, command: np.void) -> None:
        instrument_id = int(command["instrument_id"])
        if command["group_id"] == AdjustKind.POSITION:
            pair = (int(command["account_id"]), instrument_id)
            self._move(pair, int(command["quantity"]), int(command["price_ticks"]))
        elif command["group_id"] == AdjustKind.SPLIT:
            new, old = int(command["quantity"]), int(command["min_quantity"])
            for pair, lots in self._lots.items():
                if pair[1] == instrument_id:
                    size = abs(lots) * new // old
                    self._lots[pair] = size if lots > 0 else -size

    # -- after each command --------------------------------------------------------------------------------------

    def _orders(self) -> None:
        for key in self._children:
            order = self._twin.orders[key]
            assert order.unentered
            assert order.leaves <= self._leaves[key]
            self._leaves[key] = order.leaves
        assert self._leaves == {key: order.leaves for key, order in self._twin.orders.items()}
        timed = [timer.order for timer in self._twin.timers if timer.order is not None]
        assert all(order.open and order.timer is not None for order in timed)
        for order in self._twin.orders.values():
            assert order.open
            assert order.standing
            assert order.leaves > 0
            side = (order.instrument_id, order.side)
            assert (order in self._twin.displayed[side]) == (order.standing == Standing.DISPLAYED)
            assert (order in self._twin.unseen[side]) == (order.standing == Standing.DARK)
            if order.display and order.standing == Standing.DISPLAYED:
                assert 0 < order.shown <= order.leaves
            else:
                assert order.shown == 0

    def _books(self) -> None:
        for instrument_id, instrument in self._twin.instruments.items():
            for side in (Side.BUY, Side.SELL):
                for queue in (self._twin.displayed[instrument_id, side], self._twin.unseen[instrument_id, side]):
                    ranks = [order.rank for order in queue]
                    assert ranks == sorted(ranks, reverse=True)
            if instrument.phase == SessionPhase.CONTINUOUS:
                bid, offer = (self._twin._best(instrument_id, side) for side in (Side.BUY, Side.SELL))
                assert bid is None or offer is None or bid < offer, f"instrument {instrument_id} is crossed"

    def _positions(self) -> None:
        for pair, position in self._twin.book_positions.items():
            assert position.quantity == self._lots[pair]
            assert position.realised + position.cost == self._cash[pair]
            assert position.quantity or not position.cost
            if position.lots:
                assert sum(lot.quantity for lot in position.lots) == position.quantity
                assert sum(lot.cost for lot in position.lots) == position.cost
                assert all(lot.quantity * position.quantity > 0 for lot in position.lots)

    def _used(self) -> dict[tuple[str, Any], tuple[int, int | None]]:
        """What limits are about: (name, scope): how much of it is used, and the limit."""
        twin = self._twin
        used: dict[tuple[str, Any], tuple[int, int | None]] = {}
        for account_id, account in twin.accounts.items():
            if account.exempt:
                continue
            count = sum(order.account_id == account_id for order in twin.orders.values())
            used["orders", account_id] = (count, twin._smallest(LimitKind.OPEN_ORDERS, account_id))
            for instrument_id in twin.instruments:
                pair = (account_id, instrument_id)
                if pair not in twin.book_positions and not twin.pair_orders.get(pair):
                    continue
                held = twin.book_positions[pair].quantity if pair in twin.book_positions else 0
                limit = twin._smallest(LimitKind.POSITION, account_id, instrument_id)
                bound = min(limit, 1 << 50) if limit is not None else 1 << 50
                used["long", pair] = (held + twin._open(*pair, Side.BUY), bound)
                used["short", pair] = (twin._open(*pair, Side.SELL) - held, bound)
            gross = twin._smallest(LimitKind.GROSS_EXPOSURE, account_id)
            if gross is not None and twin._valued(account_id):
                value = sum(twin._gross(account_id, item, None) for item, _ in twin._pairs(account_id))
                used["gross", account_id] = (value, gross)
        return used

    def _limits(self, command: np.void) -> None:
        """Nothing but an outside event takes more of a limit than there is of it."""
        used = self._used()
        outside = (
            command["kind"] in (CommandKind.MARK, CommandKind.ADJUST, CommandKind.RATE) or command["kind"] in REPORTS
        )
        if not outside:
            for key, (value, limit) in used.items():
                if key[0] == "gross" and key not in self._before:
                    continue  # the limit is new
                assert limit is None or value <= limit or value <= self._before.get(key, 0), (key, value, limit)
        self._before = {key: value for key, (value, _) in used.items()}
