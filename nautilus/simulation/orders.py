"""An order-by-order recording as resting orders of one account and a tape of another.

Each recorded order is one order in the core. It keeps its recorded `remainder` and what strategies took from it; in
the core it should have `remainder - taken` left. Whatever stood in the book before the recording began, or entered it
from beyond the recorded depth, is unnamed: one order a level, on which messages with unknown ids act.
"""

from __future__ import annotations

from collections import Counter, deque
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from nautilus.core.types import MAX_PRICE_TICKS, MAX_QUANTITY_LOTS, BookAction, EventKind, OrderFlag, Reason, Side
from nautilus.core.types import TimeInForce as Tif
from nautilus.model.instrument import Instrument
from nautilus.simulation.commands import CommandRows

Records = NDArray[np.void]
Delta = tuple[int, ...]

BUY, SELL = int(Side.BUY), int(Side.SELL)
GTC, IOC = int(Tif.GTC), int(Tif.IOC)
TAPE, TAPE_BOOKED = int(OrderFlag.TAPE), int(OrderFlag.TAPE | OrderFlag.TAPE_BOOKED)
SET, ADD, REDUCE, DELETE, EXECUTE, EXECUTE_HIDDEN, CLEAR = (int(action) for action in BookAction)
LEVEL_ACTIONS = (SET, CLEAR)
# Places of the fields in a BOOK_DELTA record as a tuple.
ORDER_ID, PRICE, QUANTITY, SIDE, ACTION = 3, 4, 5, 7, 8


class _Order:
    """One recorded order: what the recording says is left, and what the core has."""

    __slots__ = ("filled", "leaves", "order_id", "price", "recorded_id", "remainder", "side", "taken")

    def __init__(self, order_id: int, recorded_id: int, side: int, price: int, quantity: int) -> None:
        self.order_id = order_id
        self.recorded_id = recorded_id
        self.side = side
        self.price = price
        self.remainder = quantity
        self.taken = 0
        self.leaves = 0  # in the core; known from its events
        self.filled = 0

    @property
    def surplus(self) -> int:
        """What the core has of it beyond the recorded remainder less what strategies took."""
        return self.leaves - max(0, self.remainder - self.taken)


class RecordedOrders:
    """One instrument's order-by-order recording, as commands of two accounts.

    An update is played in parts, because what an action does to the core decides the commands of the next: `begin`
    takes the update, then `next_commands` gives one COMMAND array after the other until it gives None. `on_events`
    must see every EVENT array of the core between them.

    An execution acts as a tape order at the price. Where the named order is the first recorded one of its level, the
    tape fills it; what a strategy's order took in its stead is then taken off it. Anywhere else (the recording leaves
    time priority, or strategies have emptied the order) the tape acts on strategies' orders only, so that it never
    takes from another recorded order.

    Attributes
    ----------
    orders, cancels, reductions, crossing_removals, other_removals : what happened to the recorded orders in the core.
    trades, unmatched_trades, unmatched_lots : tape orders; those of them with lots that met no order; these lots.
    taken_lots : what strategies took from recorded orders.
    unknown_ids : messages whose order is not known and whose level has no unnamed order.
    out_of_bounds : records with a side, price or quantity that no order can have.
    refused : commands that the core refused, by reason.
    """

    def __init__(self, instrument: Instrument, book_account: int, tape_account: int) -> None:
        self._instrument = instrument
        self._book = book_account
        self._tape = tape_account
        self._rows = CommandRows(instrument.instrument_id)
        self._next_order_id = 1
        self._by_recorded_id: dict[int, _Order] = {}
        self._by_order_id: dict[int, _Order] = {}
        self._levels: dict[tuple[int, int], dict[int, _Order]] = {}
        self._parts: deque[list[Delta]] = deque()
        self._unsettled: list[_Order] = []
        self._now_ns = 0
        self.orders = self.cancels = self.reductions = self.crossing_removals = self.other_removals = 0
        self.trades = self.unmatched_trades = self.unmatched_lots = self.taken_lots = 0
        self.unknown_ids = self.out_of_bounds = 0
        self.refused: Counter[int] = Counter()

    def begin(self, deltas: Records, now_ns: int) -> None:
        """Take in one update: a BOOK_DELTA array of order actions and of levels (SET, CLEAR)."""
        self._now_ns = now_ns
        whole = [delta for delta in deltas.tolist() if self._in_bounds(delta)]
        for by_level, group in groupby(whole, lambda delta: delta[ACTION] in LEVEL_ACTIONS):
            if by_level:
                self._parts.append(list(group))
            else:
                self._parts.extend([delta] for delta in group)

    def next_commands(self) -> Records | None:
        """Give the next COMMAND array of the update, None at its end."""
        while True:
            if self._unsettled:
                for order in self._unsettled:
                    self._settle(order)
                self._unsettled.clear()
            elif self._parts:
                self._play(self._parts.popleft())
            else:
                return None
            if len(self._rows):
                return self._rows.take()

    def on_events(self, events: Records) -> None:
        """Take in an EVENT array of the core."""
        instrument_id, book, tape = self._instrument.instrument_id, self._book, self._tape
        for row in events.tolist():
            # The fields of event_t in order.
            (
                _, _, _, order_id, _, quantity, leaves, kind, _, reason, _, _, counter_id,
                _, _, _, _, _, instrument, account, counter, _, _,
            ) = row  # fmt: skip
            if instrument != instrument_id:
                continue
            if kind == EventKind.FILLED:
                if account == book:
                    self._fill(order_id, quantity, True)
                elif counter == book:
                    self._fill(counter_id, quantity, account != tape)
            elif account == book:
                self._on_own(kind, reason, order_id, quantity, leaves)
            elif account == tape:
                if kind == EventKind.CANCELLED and reason == Reason.UNFILLED:
                    self.unmatched_trades += 1
                    self.unmatched_lots += quantity
                elif kind == EventKind.REJECTED:
                    self.refused[reason] += 1

    def level(self, side: int, price_ticks: int) -> tuple[int, int, int, tuple[tuple[int, int], ...]]:
        """`(recorded, resting, taken, ((order id, leaves), ...))` of one level, first in queue first."""
        orders = self._levels.get((side, price_ticks), {}).values()
        return (
            sum(order.remainder for order in orders),
            sum(order.leaves for order in orders),
            sum(order.taken for order in orders),
            tuple((order.order_id, order.leaves) for order in orders if order.leaves),
        )

    def _in_bounds(self, delta: Delta) -> bool:
        least = 0 if delta[ACTION] in (SET, DELETE) else 1
        sound = delta[ACTION] == CLEAR or (
            delta[SIDE] in (BUY, SELL)
            and abs(delta[PRICE]) <= MAX_PRICE_TICKS
            and least <= delta[QUANTITY] <= MAX_QUANTITY_LOTS
        )
        self.out_of_bounds += not sound
        return sound

    def _play(self, part: list[Delta]) -> None:
        delta = part[0]
        action, side, price, quantity = delta[ACTION], delta[SIDE], delta[PRICE], delta[QUANTITY]
        if action in LEVEL_ACTIONS:
            self._set_levels(part)
        elif action == ADD:
            self._add(delta[ORDER_ID], side, price, quantity)
        elif action == EXECUTE_HIDDEN:
            # Off tick (a midpoint): the next price on tick towards the aggressor meets the same strategies' orders.
            step = self._instrument.step_at(price)
            self._print(SELL if side == BUY else BUY, -(-price // step) * step if side == BUY else price // step * step,
                        quantity, TAPE_BOOKED)  # fmt: skip
        else:
            self._act(action, delta[ORDER_ID], side, price, quantity)

    def _act(self, action: int, recorded_id: int, side: int, price: int, quantity: int) -> None:
        """REDUCE, DELETE or EXECUTE of a known order, or of what is unnamed at its level."""
        named = self._by_recorded_id.get(recorded_id)
        if named is not None:
            targets = [named]
            price = named.price
        else:
            targets = [order for order in self._levels.get((side, price), {}).values() if not order.recorded_id]
            self.unknown_ids += not targets
        first = targets[0] if targets else None
        if action == EXECUTE:
            in_turn = first is not None and first is self._first_open(side, price) and first.leaves >= quantity
            self._print(SELL if side == BUY else BUY, price, quantity, TAPE if in_turn else TAPE_BOOKED)
            if in_turn:
                assert first is not None
                first.remainder -= min(quantity, first.remainder)
                self._unsettled.append(first)
                return
        if action == DELETE and named is not None:
            quantity = named.remainder
        for order in targets:
            part = min(quantity, order.remainder)
            order.remainder -= part
            quantity -= part
            self._settle(order)

    def _set_levels(self, part: list[Delta]) -> None:
        """Bring levels to reported quantities: decreases from the back, then increases as unnamed orders."""
        wanted: dict[tuple[int, int], int] = {}
        for delta in part:
            if delta[ACTION] == CLEAR:
                wanted.update((key, 0) for key in self._levels if delta[SIDE] in (0, key[0]))
            else:
                wanted[delta[SIDE], delta[PRICE]] = delta[QUANTITY]
        increases = []
        for (side, price), quantity in wanted.items():
            orders = list(self._levels.get((side, price), {}).values())
            missing = quantity - sum(order.remainder for order in orders)
            if missing > 0:
                increases.append((side, price, missing))
            for order in reversed(orders):
                if missing >= 0:
                    break
                part_of_it = min(-missing, order.remainder)
                order.remainder -= part_of_it
                missing += part_of_it
                self._settle(order)
        for side, price, quantity in increases:
            self._add(0, side, price, quantity)

    def _add(self, recorded_id: int, side: int, price: int, quantity: int) -> None:
        order = _Order(self._take_id(), recorded_id, side, price, quantity)
        self._by_order_id[order.order_id] = order
        self._levels.setdefault((side, price), {})[order.order_id] = order
        if recorded_id:
            self._by_recorded_id[recorded_id] = order
        self._rows.new(self._now_ns, self._book, order.order_id, side, price, quantity, GTC)

    def _print(self, aggressor: int, price: int, quantity: int, flags: int) -> None:
        self.trades += 1
        self._rows.new(self._now_ns, self._tape, self._take_id(), aggressor, price, quantity, IOC, flags)

    def _settle(self, order: _Order) -> None:
        """Take off in the core what the recording no longer has of an order."""
        surplus = order.surplus
        if surplus <= 0:
            self._forget_if_done(order)
        elif surplus == order.leaves:
            self._rows.cancel(self._now_ns, self._book, order.order_id)
        else:
            total = order.filled + order.leaves - surplus
            self._rows.replace(self._now_ns, self._book, order.order_id, order.price, total)

    def _first_open(self, side: int, price: int) -> _Order | None:
        return next((order for order in self._levels.get((side, price), {}).values() if order.leaves), None)

    def _fill(self, order_id: int, quantity: int, by_strategy: bool) -> None:
        order = self._by_order_id.get(order_id)
        if order is None:
            return
        order.leaves -= quantity
        order.filled += quantity
        if by_strategy:
            order.taken += quantity
            self.taken_lots += quantity
        self._forget_if_done(order)

    def _on_own(self, kind: int, reason: int, order_id: int, quantity: int, leaves: int) -> None:
        order = self._by_order_id.get(order_id)
        if kind == EventKind.REJECTED:
            self.refused[reason] += 1
            return
        if order is None:
            return
        if kind == EventKind.ACCEPTED:
            self.orders += 1
            order.leaves = quantity
        elif kind == EventKind.REPLACED:
            self.reductions += 1
            order.leaves = leaves
        elif kind in (EventKind.CANCELLED, EventKind.EXPIRED):
            if reason == Reason.REQUESTED:
                self.cancels += 1
            elif reason == Reason.SELF_MATCH:
                self.crossing_removals += 1
            else:
                self.other_removals += 1
            order.leaves = 0
            self._forget_if_done(order)

    def _forget_if_done(self, order: _Order) -> None:
        # While the recording still has something of it, later messages name it, also where the core has it no more.
        if order.leaves or order.remainder:
            return
        if self._by_order_id.pop(order.order_id, None) is None:
            return
        if self._by_recorded_id.get(order.recorded_id) is order:
            del self._by_recorded_id[order.recorded_id]
        level = self._levels[order.side, order.price]
        del level[order.order_id]
        if not level:
            del self._levels[order.side, order.price]

    def _take_id(self) -> int:
        order_id = self._next_order_id
        self._next_order_id += 1
        return order_id
