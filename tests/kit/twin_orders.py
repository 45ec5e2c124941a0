"""NEW, CANCEL and REPLACE of the naive twin.

Written from docs/kernel.md and docs/kernel-orders.md; see `twin.py` for the kernel made of it.
"""

from __future__ import annotations

from dataclasses import replace

from nautilus.core.types import (
    EventKind,
    LimitKind,
    OrderFlag,
    OrderState,
    OrderType,
    Reason,
    SessionPhase,
    Side,
    Standing,
    TimeInForce,
)
from tests.kit.twin_state import (
    AT_AUCTION,
    AT_ONCE,
    PHASES_OF,
    TRAILING,
    WAITING,
    WITH_LIMIT,
    Command,
    Entry,
    Order,
    opposite,
)
from tests.kit.twin_venues import TwinVenues

MAX_GROUPS = 1 << 16
MAX_GROUP = 8  # open orders of one group, and open children of one parent


class TwinOrders(TwinVenues):
    """What the three order commands do; each names the instrument that is settled first."""

    # -- NEW -----------------------------------------------------------------------------------------------------

    def _new(self, command: Command) -> None:
        reason = self._structure_of_new(command)
        if reason:
            self._reject(reason)
            return
        order = self._order_of(command)
        instrument = self._instrument_of(order)
        violated = self._controls(command, order, None, child=bool(command.parent_order_id))
        if violated:
            self._reject(min(violated), sum(1 << reason for reason in violated))
            return
        order.valuation = self._valuation(order, order.trigger) or 0
        reason = self._join_parent(command, order)
        if reason is None and not instrument.venue and not order.parent:
            reason = self._slide(order)
        reason = reason or self._room(order)
        if reason is not None:
            self._reject(reason)
            return
        self._remember(command, order)
        if instrument.venue:
            self._route_new(order, command)
            return
        price = command.price_ticks if order.order_type not in WITH_LIMIT else order.price
        self._open_order(order)
        self._tell_accepted(order, command.trigger_ticks, price_ticks=price)
        self._place(order, command)

    def _structure_of_new(self, command: Command) -> Reason | None:
        if (
            not 1 <= command.side <= max(Side)
            or not 1 <= command.order_type <= max(OrderType)
            or not 1 <= command.time_in_force <= max(TimeInForce)
        ):
            return Reason.MALFORMED
        if command.instrument_id not in self.instruments:
            return Reason.UNKNOWN_INSTRUMENT
        if command.account_id not in self.accounts:
            return Reason.UNKNOWN_ACCOUNT
        if command.order_id == 0:
            return Reason.ORDER_ID
        open_already = (command.account_id, command.order_id) in self.orders
        if open_already or command.order_id in self.accounts[command.account_id].closed:
            return Reason.DUPLICATE_ORDER
        return None

    def _order_of(self, command: Command) -> Order:
        order = Order(
            order_id=command.order_id,
            account_id=command.account_id,
            instrument_id=command.instrument_id,
            side=command.side,
            price=command.price_ticks if command.order_type in WITH_LIMIT else 0,
            leaves=command.quantity,
            order_type=command.order_type,
            time_in_force=command.time_in_force,
            flags=command.flags,
            strategy_id=command.strategy_id,
            expire_ns=command.expire_ns,
            display=command.display_quantity,
            offset=command.offset,
            group=command.group_id,
        )
        if self._instrument_of(order).venue:
            order.price = command.price_ticks
        elif order.order_type in (OrderType.PEGGED, OrderType.TRAILING_STOP_LIMIT):
            order.distance = command.price_ticks
        if order.order_type in WAITING and (command.trigger_ticks or order.order_type not in TRAILING):
            order.trigger = command.trigger_ticks
        return order

    def _join_parent(self, command: Command, order: Order) -> Reason | None:
        if not command.parent_order_id:
            return None
        parent = self.orders.get((command.account_id, command.parent_order_id))
        if parent is None or parent.parent_id or parent.released or parent.unentered or parent.state:
            return Reason.PARENT
        order.parent, order.parent_id = parent, parent.order_id
        return None

    def _room(self, order: Order) -> Reason | None:
        """Whether there is room for the order, its group and its parent's children."""
        kept = order.time_in_force not in AT_ONCE or order.parent is not None or self._instrument_of(order).venue
        full = bool(kept) and len(self.orders) >= self.capacity
        if order.parent is not None:
            full |= sum(other.parent is order.parent for other in self.orders.values()) >= MAX_GROUP
        if order.group:
            members = self._group(order.account_id, order.group)
            groups = {(other.account_id, other.group) for other in self.orders.values() if other.group}
            full |= len(members) >= MAX_GROUP or (not members and len(groups) >= MAX_GROUPS)
        return Reason.POOL_FULL if full else None

    def _remember(self, command: Command, order: Order) -> None:
        """The last accepted NEW of the side, while that matters."""
        if self._exempt(order):
            return
        if self._nearest(LimitKind.DUPLICATE, order.account_id, order.instrument_id) is not None:
            last = self._position(order.account_id, order.instrument_id).last_new
            last[order.side] = Entry(command.order_type, command.price_ticks, command.quantity, self.now_ns)

    def _slide(self, order: Order) -> Reason | None:
        """A POST_ONLY order that would cross is refused, or steps behind the best price."""
        best = self._crossed(order, order.price)
        if best is None:
            return None
        if not order.has(OrderFlag.SLIDE):
            return Reason.WOULD_CROSS
        behind = best - 1 if order.side == Side.BUY else best + 1
        instrument = self._instrument_of(order)
        behind = instrument.rounded(behind, order.side)
        if not instrument.allows(behind):
            return Reason.WOULD_CROSS
        order.price = order.valuation = behind
        return None

    def _crossed(self, order: Order, price: int) -> int | None:
        """The best opposite price that a POST_ONLY order would meet at this price; None: it may rest."""
        if not order.has(OrderFlag.POST_ONLY) or self._instrument_of(order).phase != SessionPhase.CONTINUOUS:
            return None
        best = self._best(order.instrument_id, opposite(order.side), dark=True)
        if best is None or (price < best if order.side == Side.BUY else price > best):
            return None
        return best

    # -- where a new order goes ----------------------------------------------------------------------------------

    def _place(self, order: Order, command: Command) -> None:
        """From ACCEPTED to where it stands, or to its end."""
        phase = self._instrument_of(order).phase
        if order.parent is not None:
            self._stand(order, Standing.PARKED)
        elif order.time_in_force in AT_AUCTION:
            if phase not in PHASES_OF[TimeInForce(order.time_in_force)]:
                self._stand(order, Standing.PARKED)
            else:
                self._join_auction(order)
        elif order.order_type in WAITING or phase == SessionPhase.CONTINUOUS:
            self._enter(order, command.min_quantity)
        elif order.order_type == OrderType.PEGGED:
            self._stand(order, Standing.PARKED)
        elif (
            order.time_in_force in AT_ONCE or order.order_type == OrderType.MARKET_TO_LIMIT or command.min_quantity > 0
        ):
            self._end(order, Reason.UNFILLED)
        else:
            self._rest(order)

    def _enter(self, order: Order, minimum: int = 0) -> None:
        """Begin to wait, or go for the other side (in CONTINUOUS)."""
        if order.order_type in WAITING:
            self._wait(order)
        elif order.has(OrderFlag.TAPE):
            self._play_tape(order)
        elif order.order_type == OrderType.PEGGED:
            self._place_peg(order)
        elif order.order_type == OrderType.MARKET:
            self._aggress_at_market(order, minimum)
        elif order.order_type == OrderType.MARKET_TO_LIMIT:
            self._price_from_book(order)
        else:
            self._aggress(order, minimum=minimum)

    def _wait(self, order: Order) -> None:
        reference = self._reference_for(order)
        if order.trigger is None and reference is not None:
            order.trigger = self._trail(order, reference)
        self._stand(order, Standing.WAITING)

    def _needs_reference(self, order: Order) -> bool:
        """Whether the collar has no reference; such an order ends."""
        limit = self._smallest(LimitKind.PRICE_COLLAR, order.account_id, order.instrument_id)
        missing = limit is not None and self._instrument_of(order).reference is None and not self._exempt(order)
        if missing:
            self._end(order, Reason.REFERENCE)
        return missing

    def _aggress_at_market(self, order: Order, minimum: int = 0) -> None:
        if not self._needs_reference(order):
            self._aggress(order, self._bound(order), minimum)

    def _price_from_book(self, order: Order) -> None:
        """MARKET_TO_LIMIT: a LIMIT at the best opposite price."""
        if self._needs_reference(order):
            return
        best = self._best(order.instrument_id, opposite(order.side), dark=True)
        bound = self._bound(order)
        beyond = best is None or (bound is not None and (best > bound if order.side == Side.BUY else best < bound))
        if best is None or beyond:
            self._end(order, Reason.UNFILLED)
            return
        order.order_type, order.price, order.valuation = OrderType.LIMIT, best, best
        self._restate(order)
        self._aggress(order)

    def _peg_price(self, order: Order) -> int | None:
        """Where a pegged order belongs now; None: nowhere."""
        instrument = self._instrument_of(order)
        bid, offer = (self._best(order.instrument_id, side) for side in (Side.BUY, Side.SELL))
        own, other = (bid, offer) if order.side == Side.BUY else (offer, bid)
        if order.has(OrderFlag.PEG_MID):
            reference = None if bid is None or offer is None else (bid + offer) // 2
        else:
            reference = other if order.has(OrderFlag.PEG_OPPOSITE) else own
        if reference is None:
            return None
        price = reference + order.offset if order.side == Side.BUY else reference - order.offset
        price = instrument.rounded(price, order.side)
        if order.distance:
            price = min(price, order.distance) if order.side == Side.BUY else max(price, order.distance)
        return price if instrument.allows(price) else None

    def _place_peg(self, order: Order) -> None:
        """A pegged order (that stands nowhere) goes to its price, or is parked."""
        price = self._peg_price(order)
        order.price = price or 0
        if price is None:
            self._stand(order, Standing.PARKED)
        else:
            self._aggress(order)

    # -- CANCEL --------------------------------------------------------------------------------------------------

    def _cancel(self, command: Command) -> None:
        order = self._find(command)
        if isinstance(order, Reason):
            self._reject(order)
        elif not order.state:
            self._end(order, Reason.REQUESTED)
        elif not self._route_cancel(order):
            self._reject(Reason.BUSY)

    def _find(self, command: Command) -> Order | Reason:
        """The open order that the command names, else the reason why there is none."""
        account = self.accounts.get(command.account_id)
        if account is None:
            return Reason.UNKNOWN_ACCOUNT
        order = self.orders.get((command.account_id, command.order_id))
        if order is not None:
            return order
        return Reason.CLOSED_ORDER if command.order_id in account.closed else Reason.UNKNOWN_ORDER

    # -- REPLACE -------------------------------------------------------------------------------------------------

    def _replace(self, command: Command) -> None:
        order = self._find(command)
        if isinstance(order, Reason):
            self._reject(order)
            return
        echo = self._echo() | {
            "instrument_id": order.instrument_id,
            "side": order.side,
            "strategy_id": order.strategy_id,
        }
        if order.state and order.state != OrderState.OPEN:
            busy = order.state != OrderState.UNKNOWN
            self._reject(Reason.BUSY if busy else Reason.RECONCILE, echo=echo)
            return
        changed = self._as_replaced(order, command)
        violated = self._controls(command, changed, order, child=order.unentered)
        if violated:
            self._reject(min(violated), sum(1 << reason for reason in violated), echo)
            return
        changed.valuation = self._valuation(changed, changed.trigger) or 0
        if order.state:
            self._route_replace(order, command.price_ticks, command.quantity)
            return
        if not order.unentered and self._crossed(order, command.price_ticks) is not None:
            self._reject(Reason.WOULD_CROSS, echo=echo)
            return
        trigger = command.trigger_ticks if self._explicit(order) else 0
        self._emit(EventKind.REPLACED, **echo, leaves_quantity=changed.leaves, fee=trigger)
        keeps = (changed.price, changed.distance) == (order.price, order.distance) and changed.leaves <= order.leaves
        self._apply_replaced(order, changed, keeps)

    @staticmethod
    def _as_replaced(order: Order, command: Command) -> Order:
        """The order as it would become."""
        changed = replace(order, leaves=command.quantity - order.filled)
        if order.order_type in WITH_LIMIT or order.state:
            changed.price = command.price_ticks
        elif order.order_type == OrderType.PEGGED:
            changed.distance = command.price_ticks
        if command.trigger_ticks:
            changed.trigger = command.trigger_ticks
        return changed

    def _apply_replaced(self, order: Order, changed: Order, keeps: bool) -> None:
        """Change an order of this kernel's own book."""
        resting = order.standing in (Standing.DISPLAYED, Standing.DARK)
        trading = self._instrument_of(order).phase == SessionPhase.CONTINUOUS
        if resting and not keeps:
            self._leave(order)
        self._changed(order)
        order.price, order.distance, order.trigger = changed.price, changed.distance, changed.trigger
        order.leaves, order.valuation = changed.leaves, changed.valuation
        order.shown = min(order.shown, order.leaves)
        if order.standing == Standing.WAITING:
            if order.trigger is not None:
                order.standing_number = self._next_arming()
        elif not resting or keeps:
            pass
        elif not trading:
            self._rest(order)
        elif order.order_type == OrderType.PEGGED:
            self._place_peg(order)
        else:
            self._aggress(order)
