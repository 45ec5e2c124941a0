"""Settling in the naive twin: children, triggers, ALL_OR_NONE orders and pegs, until nothing applies.

Written from docs/kernel-orders.md, "Settling"; see `twin.py` for the kernel made of it.
"""

from __future__ import annotations

from nautilus.core.types import EventKind, OrderFlag, OrderType, Reason, SessionPhase, Side, Standing, TimeInForce
from tests.kit.twin_orders import TwinOrders
from tests.kit.twin_state import SIDES, STOPS, TOUCHED, TRAILING, Instrument, Order

MARKETS = (OrderType.STOP, OrderType.TRAILING_STOP, OrderType.MARKET_IF_TOUCHED)
SOURCES = (0, OrderFlag.TRIGGER_MARK, OrderFlag.TRIGGER_QUOTE)
CHILD_CONTROLS = {
    Reason.KILLED,
    Reason.REFERENCE,
    Reason.POSITION,
    Reason.OVERFLOW,
    Reason.LEVERAGE,
    Reason.CONCENTRATION,
    Reason.CREDIT,
    Reason.REDUCE_ONLY,
    Reason.OPEN_VALUE,
    Reason.EXPOSURE,
}


class TwinSettling(TwinOrders):
    """What follows from what a command did."""

    def _finish(self, first: int) -> None:
        """After a command or a timer: settle, end REDUCE_ONLY orders that cannot reduce, settle again."""
        while True:
            self._settle(first)
            if not self._flattened:
                return
            flattened, self._flattened = self._flattened, []
            for account_id, instrument_id in flattened:
                for order in self._oldest_first(instrument_id):
                    stands = order.standing in (Standing.DISPLAYED, Standing.DARK)
                    own = order.account_id == account_id and order.has(OrderFlag.REDUCE_ONLY)
                    if order.open and own and stands and self._reducible(order) == 0:
                        self._end(order, Reason.REDUCE_ONLY)

    def _settle(self, first: int) -> None:
        """The command's instrument, then the others by id; again from the first where anything happened."""
        others = sorted(set(self.instruments) - {first})
        instruments = [self.instruments[key] for key in ([first] if first in self.instruments else []) + others]
        while any(self._settle_instrument(instrument) for instrument in instruments):
            pass

    def _settle_instrument(self, instrument: Instrument) -> bool:
        """Until nothing applies; whether anything did."""
        steps = 0
        while (
            self._settle_child(instrument)
            or self._settle_trigger(instrument)
            or self._settle_all_or_none(instrument)
            or self._settle_peg(instrument)
        ):
            steps += 1
        return steps > 0

    # -- 1 children ----------------------------------------------------------------------------------------------

    def _settle_child(self, instrument: Instrument) -> bool:
        trading = instrument.phase == SessionPhase.CONTINUOUS
        for child in self._oldest_first(instrument.instrument_id):
            parent = child.parent
            if parent is None:
                if child.unentered and trading:
                    self._enter_child(child, child.leaves)
                    return True
                continue
            more = min(child.leaves if child.unentered else child.unreleased, parent.filled - child.released)
            if parent.open:
                if more > 0 and child.unentered and trading:
                    self._enter_child(child, more)
                    return True
                if more > 0 and not child.unentered:
                    self._raise_child(child, more)
                    return True
                continue
            if child.unentered and more <= 0:
                self._end(child, Reason.CONTINGENT)
            elif child.unentered:  # what was released is its final quantity
                child.leaves = more
                child.released += more
                self._orphan(child)
                self._restate(child)
            else:
                if more > 0:
                    self._raise_child(child, more)
                self._orphan(child)
            return True
        return False

    @staticmethod
    def _orphan(child: Order) -> None:
        child.parent, child.parent_id, child.unreleased = None, 0, 0

    def _enter_child(self, child: Order, released: int) -> None:
        """A parked child begins to act, with what was released."""
        violated = self._child_violates(child, released)
        if violated:
            self._end(child, min(violated))
            return
        reason = self._slide(child)
        if reason:
            self._end(child, reason)
            return
        if child.parent is not None:
            child.released += released
            child.unreleased = child.leaves - released
        child.leaves = released
        child.valuation = self._valuation(child, child.trigger) or 0
        self._leave(child)
        self._tell(
            EventKind.TRIGGERED,
            child,
            quantity=released,
            leaves_quantity=released,
            flags=self._told_flags(child),
            reason=Reason.CONTINGENT,
        )
        self._enter(child)

    def _raise_child(self, child: Order, more: int) -> None:
        """More was released: it joins the back, and is cut again by what a control forbids."""
        violated = self._child_violates(child, child.leaves + more, raised=True)
        resting = child.standing in (Standing.DISPLAYED, Standing.DARK)
        if resting:
            standing = Standing(child.standing)
            self._leave(child)
        child.leaves += more
        child.released += more
        child.unreleased -= more
        if resting:
            self._stand(child, standing)
        self._tell(
            EventKind.REPLACED,
            child,
            quantity=child.filled + child.leaves,
            leaves_quantity=child.leaves,
            reason=Reason.CONTINGENT,
        )
        if violated:
            self._cut(child, more, min(violated))

    def _child_violates(self, child: Order, quantity: int, *, raised: bool = False) -> set[Reason]:
        """The controls that are looked at again when a child enters."""
        violated = {Reason.KILLED} if self._killed(child) else set()
        if self._exempt(child):
            return violated
        valuation = self._valuation(child, child.trigger)
        violated |= self._risk(child, quantity, valuation, child)
        waits = self._waits(child)
        if child.has(OrderFlag.REDUCE_ONLY) and not waits and not raised and self._reducible(child) == 0:
            violated.add(Reason.REDUCE_ONLY)
        return violated & CHILD_CONTROLS

    # -- 2 waiting orders ----------------------------------------------------------------------------------------

    def _settle_trigger(self, instrument: Instrument) -> bool:
        if instrument.phase != SessionPhase.CONTINUOUS:
            return False
        waiting = [
            order for order in self._oldest_first(instrument.instrument_id) if order.standing == Standing.WAITING
        ]
        for order in waiting:
            if order.order_type in TRAILING:
                self._follow(order)
        ready = [order for order in waiting if self._holds(order)]
        if not ready:
            return False
        self._trigger(min(ready, key=self._trigger_order))
        return True

    def _follow(self, order: Order) -> None:
        """A trailing trigger moves where that is better for the holder."""
        reference = self._reference_for(order)
        if reference is None:
            return
        trigger = self._trail(order, reference)
        better = order.trigger is None or (
            trigger < order.trigger if order.side == Side.BUY else trigger > order.trigger
        )
        if better:
            order.trigger = trigger
            order.standing_number = self._next_arming()

    def _holds(self, order: Order) -> bool:
        reference = self._reference_for(order)
        if reference is None or order.trigger is None:
            return False
        rises = (order.order_type in STOPS) == (order.side == Side.BUY)
        return reference >= order.trigger if rises else reference <= order.trigger

    @staticmethod
    def _trigger_order(order: Order) -> tuple[int, int, int, int]:
        """Source, kind and side, trigger price, standing number."""
        source = SOURCES.index(order.flags & (OrderFlag.TRIGGER_MARK | OrderFlag.TRIGGER_QUOTE))
        kind = 2 * (order.order_type in TOUCHED) + (order.side == Side.SELL)
        lowest_first = kind in (0, 3)  # stop buys and touched sells
        trigger = order.trigger or 0
        return source, kind, trigger if lowest_first else -trigger, order.standing_number

    def _trigger(self, order: Order) -> None:
        trigger = order.trigger or 0
        self._leave(order)
        self._tell(
            EventKind.TRIGGERED,
            order,
            price_ticks=trigger,
            quantity=order.leaves,
            leaves_quantity=order.leaves,
            flags=self._told_flags(order),
        )
        distance = order.distance
        order.trigger, order.offset, order.distance = None, 0, 0
        if order.order_type in MARKETS:
            order.order_type, order.time_in_force = OrderType.MARKET, TimeInForce.IOC
            self._aggress_at_market(order)
            return
        if order.order_type == OrderType.TRAILING_STOP_LIMIT:
            instrument = self._instrument_of(order)
            away = distance if order.side == Side.BUY else -distance
            price = instrument.rounded(trigger + away, order.side)
            if not instrument.allows(price):
                self._end(order, Reason.PRICE)
                return
            order.price = order.valuation = price
            self._restate(order)
        order.order_type = OrderType.LIMIT
        self._aggress(order)

    # -- 3 and 4 -------------------------------------------------------------------------------------------------

    def _settle_all_or_none(self, instrument: Instrument) -> bool:
        if instrument.phase != SessionPhase.CONTINUOUS:
            return False
        for side in SIDES:
            for order in self._in_priority(instrument.instrument_id, side):
                if not order.all_or_none:
                    continue
                needed = order.leaves
                if order.has(OrderFlag.REDUCE_ONLY):
                    needed = min(needed, self._reducible(order))
                if needed and self._fillable(order, needed, None, self._volatility_band(order)) >= needed:
                    self._leave(order)
                    self._aggress(order)
                    return True
        return False

    def _settle_peg(self, instrument: Instrument) -> bool:
        if instrument.phase != SessionPhase.CONTINUOUS:
            return False
        for order in self._oldest_first(instrument.instrument_id):
            if order.order_type != OrderType.PEGGED or order.standing not in (Standing.DARK, Standing.PARKED):
                continue
            price = self._peg_price(order)
            stands = order.price if order.standing == Standing.DARK else None
            if price != stands:
                self._leave(order)
                self._place_peg(order)
                return True
        return False
