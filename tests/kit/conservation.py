"""What the kernel alone must keep, read from its events and compared with what it shows; no twin takes part.

Forbidden outcomes: a quantity that appears or vanishes (accepted + added = filled + cancelled + taken off + open, for
each order), a gap in the event sequence or the match numbers, time that runs backwards, positions other than the fills,
realised + cost other than the cash flow by as little as one unit, open quantities other than those of the open
orders, and a displayed book that is crossed in CONTINUOUS.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from nautilus.core import Kernel
from nautilus.core.types import EVENT, CommandKind, EventKind, Reason, SessionPhase, Side
from tests.kit.pair import shown

Key = tuple[int, int]  # (account, order id), or (account, instrument)
NAMES = EVENT.names or ()


@dataclass
class Quantities:
    """The quantities of one order, as its events tell them."""

    instrument_id: int
    side: int
    child: bool  # one that has not entered: it does not count as open quantity
    accepted: int
    leaves: int
    added: int = 0
    filled: int = 0
    cancelled: int = 0
    taken_off: int = 0

    def balances(self) -> bool:
        """Nothing appears, nothing vanishes."""
        return self.accepted + self.added == self.filled + self.cancelled + self.taken_off + self.leaves


class Conservation:
    """Reads the events of a kernel from its first command on; `multipliers` by instrument."""

    def __init__(self, multipliers: dict[int, int]) -> None:
        self.orders: dict[Key, Quantities] = {}
        self.fills = 0
        self._multipliers = multipliers
        self._sequence = 0
        self._match_id = 0
        self._now_ns = 0
        self._lots: dict[Key, int] = defaultdict(int)
        self._cash: dict[Key, int] = defaultdict(int)

    def read(self, events: np.ndarray) -> None:
        """The next events."""
        for row in events.tolist():
            event = dict(zip(NAMES, row, strict=True))
            try:
                self._event(event)
            except (AssertionError, KeyError) as error:
                raise AssertionError(f"{error!r} at {shown(np.array([row], EVENT)[0])}") from error

    def _event(self, event: dict[str, int]) -> None:
        self._sequence += 1
        assert event["sequence"] == self._sequence
        assert event["now_ns"] >= self._now_ns, "time runs backwards"
        self._now_ns = event["now_ns"]
        key, kind = (event["account_id"], event["order_id"]), event["kind"]
        if kind == EventKind.ACCEPTED:
            assert key not in self.orders
            assert event["leaves_quantity"] == event["quantity"] > 0
            child = event["counter_order_id"] != 0
            self.orders[key] = Quantities(
                event["instrument_id"], event["side"], child, event["quantity"], event["quantity"]
            )
        elif kind == EventKind.FILLED:
            self._fill(event)
        elif kind in (EventKind.CANCELLED, EventKind.EXPIRED):
            order = self.orders[key]
            if order.child and event["quantity"] < order.leaves:  # its parent closed and left it that much
                order.taken_off += order.leaves - event["quantity"]
                order.leaves = event["quantity"]
            order.cancelled += event["quantity"]
            order.leaves -= event["quantity"]
            self._settle(key, event["leaves_quantity"])
        elif kind in (EventKind.REPLACED, EventKind.TRIGGERED):
            self._moved(key, event)
        elif kind == EventKind.REPLENISHED:
            assert 0 < event["quantity"] <= event["leaves_quantity"] == self.orders[key].leaves

    def _moved(self, key: Key, event: dict[str, int]) -> None:
        order, leaves = self.orders[key], event["leaves_quantity"]
        assert leaves > 0
        entered = event["kind"] == EventKind.TRIGGERED and event["reason"] == Reason.CONTINGENT
        if event["kind"] == EventKind.TRIGGERED and not entered:
            assert leaves == order.leaves, "a trigger changes no quantity"
        if event["kind"] == EventKind.REPLACED:
            assert event["quantity"] == order.filled + leaves, "the new total is what was filled and what is left"
        order.added += max(0, leaves - order.leaves)
        order.taken_off += max(0, order.leaves - leaves)
        order.leaves = leaves
        if entered:
            assert order.child
            order.child = False
        assert order.balances()

    def _fill(self, event: dict[str, int]) -> None:
        self._match_id += 1
        self.fills += 1
        quantity, price, instrument_id = event["quantity"], event["price_ticks"], event["instrument_id"]
        assert event["match_id"] == self._match_id
        assert quantity > 0
        sign = 1 if event["side"] == Side.BUY else -1
        for account_id, order_id, leaves, direction in (
            (event["account_id"], event["order_id"], event["leaves_quantity"], sign),
            (event["counter_account_id"], event["counter_order_id"], event["counter_leaves_quantity"], -sign),
        ):
            order = self.orders[account_id, order_id]
            assert not order.child, "a child was filled before it entered"
            assert (order.side == Side.BUY) == (direction == 1)
            order.filled += quantity
            order.leaves -= quantity
            self._settle((account_id, order_id), leaves)
            self._lots[account_id, instrument_id] += direction * quantity
            self._cash[account_id, instrument_id] -= direction * quantity * price * self._multipliers[instrument_id]

    def _settle(self, key: Key, leaves: int) -> None:
        order = self.orders[key]
        assert order.leaves == leaves, f"{order.leaves} are left by what was told, {leaves} by this event"
        assert order.balances()
        if leaves == 0:
            del self.orders[key]

    # -- what the kernel shows -----------------------------------------------------------------------------------

    def compare(self, kernel: Kernel, accounts: tuple[int, ...]) -> None:
        """Open orders, positions and money are those that the events add up to."""
        assert kernel.open_orders == len(self.orders)
        buys: dict[Key, int] = defaultdict(int)
        sells: dict[Key, int] = defaultdict(int)
        for (account_id, _), order in self.orders.items():
            if not order.child:
                (buys if order.side == Side.BUY else sells)[account_id, order.instrument_id] += order.leaves
        for account_id in accounts:
            rows = {row["instrument_id"]: row for row in kernel.positions(account_id)}
            for instrument_id in self._multipliers:
                pair = (account_id, instrument_id)
                row = rows.get(instrument_id)
                found = (0, 0, 0, 0)
                if row is not None:
                    cash = row["realised"] + row["cost"]
                    found = (int(row["quantity"]), int(row["open_buy"]), int(row["open_sell"]), cash)
                assert found == (self._lots[pair], buys[pair], sells[pair], self._cash[pair]), pair

    def not_crossed(self, kernel: Kernel, phases: dict[int, int]) -> None:
        """No displayed book is crossed where the phase is CONTINUOUS."""
        for instrument_id, phase in phases.items():
            bid, bids, ask, asks = kernel.best(instrument_id)
            if phase == SessionPhase.CONTINUOUS and bids and asks:
                assert bid < ask, f"instrument {instrument_id} is crossed: {bid} and {ask}"


def phases_after(phases: dict[int, int], command: np.void, events: np.ndarray) -> None:
    """Keep phases up to date: by a SESSION that was applied, and by PHASE events."""
    for event in events:
        if event["kind"] == EventKind.PHASE:
            phases[int(event["instrument_id"])] = int(event["quantity"])
        elif event["kind"] == EventKind.APPLIED and command["kind"] == CommandKind.SESSION:
            one = int(command["instrument_id"])
            for instrument_id in (one,) if one else tuple(phases):
                phases[instrument_id] = int(command["group_id"])
