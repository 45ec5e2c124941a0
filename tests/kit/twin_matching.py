"""Matching of the naive twin: one aggressor against the resting orders of the other side.

Written from docs/kernel-orders.md, "Matching a resting order"; see `twin.py` for the kernel made of it.
"""

from __future__ import annotations

from nautilus.core.types import (
    EventKind,
    InstrumentFlag,
    LimitKind,
    OrderFlag,
    OrderType,
    Reason,
    SelfMatch,
    SessionPhase,
    Side,
    Standing,
    TimeInForce,
)
from tests.kit.twin_indicative import TwinIndicative
from tests.kit.twin_state import RESTING, Order, opposite

MAX_REPLENISHED = 1 << 19  # within one command


class TwinMatching(TwinIndicative):
    """What happens from the moment an order goes for the other side."""

    _replenished: int

    # -- an aggressor --------------------------------------------------------------------------------------------

    def _aggress(self, order: Order, bound: int | None = None, minimum: int = 0) -> None:
        """Match the order (it stands nowhere), then let what is left rest or end; only in CONTINUOUS.

        `bound` is the worst price of a market order, `minimum` what must fill at once.
        """
        if order.has(OrderFlag.REDUCE_ONLY) and self._reducible(order) == 0:
            self._end(order, Reason.REDUCE_ONLY)
            return
        band = self._volatility_band(order)
        whole = order.time_in_force == TimeInForce.FOK or order.all_or_none
        needed = order.leaves if whole else minimum
        if order.has(OrderFlag.REDUCE_ONLY):
            needed = min(needed, self._reducible(order)) if whole else needed
        if needed and self._fillable(order, needed, bound, band) < needed:
            if order.all_or_none and order.time_in_force in RESTING:
                self._rest(order)
            else:
                self._end(order, Reason.UNFILLED)
            return
        stopped_at = self._match(order, bound, band)
        if order.order_type == OrderType.PEGGED:
            stopped_at = None  # it would do so again and again: it rests unseen where the band stops it
        if stopped_at is not None:
            self._interrupt(order, stopped_at)
        if not order.open:
            pass
        elif order.leaves == 0:
            self._close(order)
        elif order.order_type != OrderType.MARKET and order.time_in_force in RESTING:
            self._rest(order)
        else:
            self._end(order, Reason.UNFILLED)
        if stopped_at is not None:
            self._begin_auction(self._instrument_of(order))

    def _match(self, order: Order, bound: int | None, band: tuple[int, int] | None) -> int | None:
        """Trade while there is something acceptable; a price where the volatility band stopped it."""
        instrument = self._instrument_of(order)
        while order.open and order.leaves:
            resting = self._next_resting(order, bound)
            if resting is None:
                return None
            if band is not None and not band[0] <= resting.price <= band[1]:
                return resting.price
            if instrument.flags & InstrumentFlag.PRO_RATA and resting.standing == Standing.DISPLAYED:
                queue = self._queue_at(resting)
                if order.leaves < sum(other.visible for other in queue):
                    self._share_out(order, queue)
                    continue
            if self._prevented(order, resting):
                self._self_match(order, resting)
            elif self._reduced(order, resting):
                pass  # either is less now: look again
            else:
                self._fill(order, resting, min(order.leaves, self._tradable(resting)), resting.price)
        return None

    def _next_resting(self, order: Order, bound: int | None) -> Order | None:
        """The first acceptable resting order; an ALL_OR_NONE one that is too large is passed over."""
        for resting in self._in_priority(order.instrument_id, opposite(order.side)):
            if not self._acceptable(order, resting.price, bound):
                return None
            if not (resting.all_or_none and resting.leaves > order.leaves):
                return resting
        return None

    def _acceptable(self, order: Order, price: int, bound: int | None) -> bool:
        """Whether the order may trade at this price of the other side."""
        limit = bound if order.order_type == OrderType.MARKET else order.price
        if limit is None:
            return True
        return price <= limit if order.side == Side.BUY else price >= limit

    def _queue_at(self, resting: Order) -> list[Order]:
        """The displayed queue that the order stands in."""
        queue = self.displayed[resting.instrument_id, resting.side]
        return [other for other in queue if other.price == resting.price]

    @staticmethod
    def _tradable(resting: Order) -> int:
        return resting.visible if resting.standing == Standing.DISPLAYED else resting.leaves

    # -- before a match ------------------------------------------------------------------------------------------

    def _same_owner(self, one: Order, other: Order) -> bool:
        groups = self.accounts[one.account_id].group, self.accounts[other.account_id].group
        return one.account_id == other.account_id or (groups[0] == groups[1] != 0)

    def _prevented(self, order: Order, resting: Order) -> bool:
        """Whether self-match prevention keeps the two apart."""
        allowed = self.accounts[order.account_id].self_match == SelfMatch.NONE
        return self._same_owner(order, resting) and not allowed

    def _self_match(self, order: Order, resting: Order) -> None:
        mode = self.accounts[order.account_id].self_match
        if mode == SelfMatch.CANCEL_NEWEST:
            self._end(order, Reason.SELF_MATCH)
        elif mode == SelfMatch.CANCEL_OLDEST:
            self._end(resting, Reason.SELF_MATCH)
        elif mode == SelfMatch.CANCEL_BOTH:
            self._end(resting, Reason.SELF_MATCH)
            if order.open:
                self._end(order, Reason.SELF_MATCH)
        else:
            smaller = min(order.leaves, resting.leaves)
            self._cut(resting, smaller, Reason.SELF_MATCH)
            if order.open:
                self._cut(order, min(smaller, order.leaves), Reason.SELF_MATCH)

    def _reduced(self, order: Order, resting: Order) -> bool:
        """Take off what REDUCE_ONLY orders could not reduce, the resting one first; whether anything went."""
        for party in (resting, order):
            if party.open and party.has(OrderFlag.REDUCE_ONLY):
                excess = party.leaves - self._reducible(party)
                if excess > 0:
                    self._cut(party, excess, Reason.REDUCE_ONLY)
                    return True
        return False

    # -- a match -------------------------------------------------------------------------------------------------

    def _fill(self, order: Order, resting: Order, quantity: int, price: int) -> None:
        """One match with a resting order, and what its parties' groups do."""
        for party in (order, resting):
            party.leaves -= quantity
            party.filled += quantity
        if resting.display:
            resting.shown -= quantity
        fees = [
            self._book_fill(order, quantity, price, maker=False),
            self._book_fill(resting, quantity, price, maker=True),
        ]
        instrument = self._instrument_of(order)
        instrument.last, instrument.last_ns = price, self.now_ns
        self.last_match_id += 1
        self._tell(
            EventKind.FILLED,
            order,
            counter_order_id=resting.order_id,
            price_ticks=price,
            quantity=quantity,
            leaves_quantity=order.leaves,
            counter_leaves_quantity=resting.leaves,
            counter_account_id=resting.account_id,
            match_id=self.last_match_id,
            fee=fees[0],
            venue_reference=fees[1] & ((1 << 64) - 1),
        )
        self._changed(resting)
        if resting.leaves == 0:
            self._close(resting)
        self._groups_after_fill(order, resting, quantity)
        if resting.open and resting.display and resting.shown == 0:
            self._replenish(resting)

    def _groups_after_fill(self, order: Order, resting: Order, quantity: int) -> None:
        """The aggressor's group first; a group that both belong to acts once."""
        self._group_after_fill(order, quantity)
        shared = order.account_id == resting.account_id and order.group == resting.group
        if not shared:
            self._group_after_fill(resting, quantity)

    def _replenish(self, resting: Order) -> None:
        """An iceberg shows its next part at the back of the displayed queue."""
        self._replenished += 1
        self._leave(resting)
        self._stand(resting, Standing.DISPLAYED)
        if self._replenished > MAX_REPLENISHED:
            resting.shown = resting.leaves
        self._tell(EventKind.REPLENISHED, resting, quantity=resting.shown, leaves_quantity=resting.leaves)

    # -- pro-rata ------------------------------------------------------------------------------------------------

    def _share_out(self, order: Order, queue: list[Order]) -> None:
        """The displayed queue of one price shared among its orders."""
        own = [resting for resting in queue if self._prevented(order, resting)]
        for resting in own:
            if order.open and order.leaves and resting.open:
                self._self_match(order, resting)
        if not order.open or own:
            return  # the queue is another now: look again
        lot = self._instrument_of(order).lot_step
        shown = sum(resting.visible for resting in queue)
        parts = [order.leaves * resting.visible // shown // lot * lot for resting in queue]
        rest = order.leaves - sum(parts)
        for index, resting in enumerate(queue):
            more = min(rest, resting.visible - parts[index])
            parts[index] += more
            rest -= more
        for resting, part in zip(queue, parts, strict=True):
            if not (order.open and order.leaves):
                return
            while resting.open and part and self._reduced(order, resting):
                pass
            quantity = min(part, order.leaves, resting.visible if resting.open else 0)
            if order.open and quantity:
                self._fill(order, resting, quantity, resting.price)

    # -- what can be filled at once ------------------------------------------------------------------------------

    def _fillable(self, order: Order, needed: int, bound: int | None, band: tuple[int, int] | None) -> int:
        """What could be filled at once, match by match as it would go, up to what is needed."""
        mode = self.accounts[order.account_id].self_match
        pro_rata = self._instrument_of(order).flags & InstrumentFlag.PRO_RATA
        total = 0
        moved: dict[int, int] = {}  # by account: how its position would have changed
        grouped: dict[tuple[int, int], int] = {}  # by group: what would have been filled of it

        def stops(resting: Order) -> bool:
            own_group = order.group and resting.group == order.group and resting.account_id == order.account_id
            kept = mode not in (SelfMatch.CANCEL_OLDEST, SelfMatch.NONE)
            return bool(own_group or (self._same_owner(order, resting) and kept))

        for resting in self._in_priority(order.instrument_id, opposite(order.side)):
            if total >= needed or not self._acceptable(order, resting.price, bound):
                break
            if band is not None and not band[0] <= resting.price <= band[1]:
                break
            if stops(resting):
                break
            if pro_rata and resting.standing == Standing.DISPLAYED:
                queue = self._queue_at(resting)
                if any(map(stops, queue)) and needed - total < sum(other.visible for other in queue):
                    break
            if self._same_owner(order, resting) and mode == SelfMatch.CANCEL_OLDEST:
                continue
            quantity = resting.leaves
            group = (resting.account_id, resting.group)
            if resting.group and group in grouped:
                quantity = 0 if resting.has(OrderFlag.GROUP_OCO) else max(0, quantity - grouped[group])
            if resting.all_or_none and quantity > needed - total:
                continue
            sign = 1 if resting.side == Side.BUY else -1
            if resting.has(OrderFlag.REDUCE_ONLY):
                position = self._position(resting.account_id, resting.instrument_id).quantity
                quantity = min(quantity, max(0, -sign * (position + moved.get(resting.account_id, 0))))
            quantity = min(quantity, needed - total)
            total += quantity
            moved[resting.account_id] = moved.get(resting.account_id, 0) + sign * quantity
            if resting.group and quantity:
                grouped[group] = grouped.get(group, 0) + quantity
        return total

    # -- recorded trades -----------------------------------------------------------------------------------------

    def _play_tape(self, order: Order) -> None:
        """A recorded trade: own orders at better prices, then the queue at its price alone."""
        passed: set[Order] = set()
        while order.open and order.leaves:
            resting = next(
                (
                    other
                    for other in self._in_priority(order.instrument_id, opposite(order.side))
                    if other not in passed and not (other.all_or_none and other.leaves > order.leaves)
                ),
                None,
            )
            if resting is None or not self._acceptable(order, resting.price, None):
                break
            recorded = self.accounts[resting.account_id].recorded
            at_price = resting.price == order.price
            if recorded and at_price and order.has(OrderFlag.TAPE_BOOKED):
                order.leaves -= min(order.leaves, resting.leaves)
                passed.add(resting)
            elif recorded and not at_price:
                passed.add(resting)
            elif not self._reduced(order, resting):
                self._fill(order, resting, min(order.leaves, self._tradable(resting)), resting.price)
        instrument = self._instrument_of(order)
        instrument.last, instrument.last_ns = order.price, self.now_ns
        if not order.open:
            return
        if order.leaves:
            self._end(order, Reason.UNFILLED)
        else:
            self._close(order)

    # -- volatility ----------------------------------------------------------------------------------------------

    def _volatility_band(self, order: Order) -> tuple[int, int] | None:
        """Prices between which the order may match; None: no band."""
        instrument = self._instrument_of(order)
        limit = self._nearest(LimitKind.VOLATILITY_BAND, 0, order.instrument_id)
        if limit is None or instrument.last is None or self._exempt(order):
            return None
        distance = abs(instrument.last) * limit[0] // 10_000
        return instrument.last - distance, instrument.last + distance

    def _interrupt(self, order: Order, price: int) -> None:
        """Trading stops for a volatility auction."""
        instrument = self._instrument_of(order)
        limit = self._nearest(LimitKind.VOLATILITY_BAND, 0, order.instrument_id)
        instrument.phase = SessionPhase.VOLATILITY_AUCTION
        self._emit(
            EventKind.PHASE, instrument_id=order.instrument_id, quantity=int(instrument.phase), price_ticks=price
        )
        if limit and limit[1]:
            instrument.volatility = self._arm(self.now_ns + limit[1], "volatility", order.instrument_id)
