"""Orders at external venues in the naive twin: what is sent, and the reports that come back.

Written from docs/kernel-venues.md; see `twin.py` for the kernel made of it.
"""

from __future__ import annotations

from nautilus.core.types import CommandKind, EventFlag, EventKind, OrderState, OrderType, Reason, Side, Standing
from tests.kit.twin_controls import TwinControls
from tests.kit.twin_state import MAX_QUANTITY, WITH_LIMIT, Command, Instrument, Order

MAX_EXECUTIONS = 1 << 20  # remembered for each venue
UNDER_WAY = {
    OrderState.PENDING_NEW: CommandKind.NEW,
    OrderState.PENDING_CANCEL: CommandKind.CANCEL,
    OrderState.PENDING_REPLACE: CommandKind.REPLACE,
}


class TwinVenues(TwinControls):
    """The kernel's side of a venue session."""

    # -- requests ------------------------------------------------------------------------------------------------

    def _route_new(self, order: Order, command: Command) -> None:
        self._open_order(order)
        order.state = OrderState.PENDING_NEW
        self._stand(order, Standing.ROUTED)
        self._routed(order, CommandKind.NEW, fee=command.trigger_ticks, venue_reference=command.expire_ns)

    def _route_cancel(self, order: Order) -> bool:
        """Ask the venue; whether there was anything to ask."""
        if order.state == OrderState.PENDING_CANCEL:
            return False
        if order.state != OrderState.UNKNOWN:
            order.state = OrderState.PENDING_CANCEL
        self._routed(order, CommandKind.CANCEL, venue_reference=order.venue_reference)
        return True

    def _route_replace(self, order: Order, price: int, quantity: int) -> None:
        order.state = OrderState.PENDING_REPLACE
        order.pending_price, order.pending_quantity = price, quantity
        self._routed(
            order,
            CommandKind.REPLACE,
            price_ticks=price,
            quantity=quantity,
            leaves_quantity=quantity - order.filled,
            venue_reference=order.venue_reference,
        )

    def _routed(self, order: Order, request: CommandKind, **values: int) -> None:
        told = {
            "quantity": order.filled + order.leaves,
            "leaves_quantity": order.leaves,
            "match_id": request,
            "flags": self._told_flags(order),
            "counter_leaves_quantity": order.display,
            "fee": order.trigger or 0,
        }
        self._tell(EventKind.ROUTED, order, **{**told, **values})

    # -- reports -------------------------------------------------------------------------------------------------

    def _report(self, command: Command) -> None:
        instrument = self.instruments.get(command.instrument_id)
        session = command.order_id == 0 and command.kind in (CommandKind.VENUE_ACCEPTED, CommandKind.VENUE_UNKNOWN)
        every = session and command.kind == CommandKind.VENUE_UNKNOWN and command.account_id == 0
        if instrument is None:
            self._reject(Reason.UNKNOWN_INSTRUMENT)
        elif not instrument.venue:
            self._reject(Reason.UNSUPPORTED)
        elif command.account_id not in self.accounts and not every:
            self._reject(Reason.UNKNOWN_ACCOUNT)
        elif session:
            self._report_session(command, instrument)
        elif command.kind == CommandKind.VENUE_FILL:
            self._report_fill(command, instrument)
        else:
            order = self._routed_order(command)
            if order is None:
                closed = command.order_id in self.accounts[command.account_id].closed
                self._reject(Reason.CLOSED_ORDER if closed else Reason.UNKNOWN_ORDER)
            elif command.kind == CommandKind.VENUE_ACCEPTED:
                self._report_accepted(command, order)
            elif command.kind == CommandKind.VENUE_REJECTED:
                self._report_rejected(command, order)
            elif command.kind == CommandKind.VENUE_CANCELLED:
                asked = order.state == OrderState.PENDING_CANCEL
                kind = EventKind.EXPIRED if command.group_id == 1 else EventKind.CANCELLED
                self._end(order, Reason.REQUESTED if asked else Reason.VENUE, kind)
            elif command.kind == CommandKind.VENUE_REPLACED:
                self._report_replaced(command, order, instrument)
            else:
                self._report_unknown(order)

    def _routed_order(self, command: Command) -> Order | None:
        """The open order of the report; one of another instrument is not it."""
        order = self.orders.get((command.account_id, command.order_id))
        return order if order is not None and order.instrument_id == command.instrument_id else None

    @staticmethod
    def _now_open(order: Order) -> None:
        """Nothing is under way any more."""
        order.state = OrderState.OPEN
        order.pending_price = order.pending_quantity = 0

    def _report_accepted(self, command: Command, order: Order) -> None:
        if command.venue_reference == 0:
            self._reject(Reason.MALFORMED)
            return
        first = order.venue_reference == 0
        if order.state in (OrderState.PENDING_NEW, OrderState.UNKNOWN):
            self._now_open(order)
        if first:
            order.venue_reference = command.venue_reference
            self._tell_accepted(order, order.trigger or 0)
        else:
            self._emit(EventKind.DUPLICATE, **self._echo())

    def _tell_accepted(self, order: Order, trigger: int, **values: int) -> None:
        told = {
            "quantity": order.filled + order.leaves,
            "leaves_quantity": order.leaves,
            "flags": self._told_flags(order),
            "counter_leaves_quantity": order.display,
            "fee": trigger,
            "counter_order_id": order.parent_id,
        }
        self._tell(EventKind.ACCEPTED, order, **{**told, **values})

    def _report_rejected(self, command: Command, order: Order) -> None:
        refused = command.group_id
        state = order.state
        if refused not in (CommandKind.NEW, CommandKind.CANCEL, CommandKind.REPLACE):
            self._reject(Reason.MALFORMED)
        elif refused == CommandKind.NEW and order.venue_reference == 0 and order.filled == 0:
            self._tell_refused(order, refused)
            self._close(order)
        elif refused == CommandKind.NEW and state != OrderState.UNKNOWN:
            self._to_unknown(order)
        elif (refused, state) in (
            (CommandKind.CANCEL, OrderState.PENDING_CANCEL),
            (CommandKind.REPLACE, OrderState.PENDING_REPLACE),
        ):
            self._now_open(order)
            self._tell_refused(order, refused)
        else:
            self._emit(EventKind.DUPLICATE, **self._echo())

    def _tell_refused(self, order: Order, refused: int) -> None:
        self._tell(EventKind.REJECTED, order, quantity=order.leaves, reason=Reason.VENUE, match_id=refused)

    def _to_unknown(self, order: Order) -> None:
        under_way = UNDER_WAY.get(OrderState(order.state), 0)
        order.state = OrderState.UNKNOWN
        self._tell(
            EventKind.UNKNOWN,
            order,
            quantity=order.filled + order.leaves,
            leaves_quantity=order.leaves,
            match_id=under_way,
        )

    def _report_unknown(self, order: Order) -> None:
        if order.state == OrderState.UNKNOWN:
            self._emit(EventKind.DUPLICATE, **self._echo())
        else:
            self._to_unknown(order)

    def _report_replaced(self, command: Command, order: Order, instrument: Instrument) -> None:
        price, quantity = command.price_ticks, command.quantity
        priced = order.order_type in WITH_LIMIT
        if not 0 < quantity <= MAX_QUANTITY or not (instrument.allows(price) or (price == 0 and not priced)):
            self._reject(Reason.MALFORMED)
        elif quantity <= order.filled:
            self._end(order, Reason.VENUE)
        else:
            order.price, order.leaves = price, quantity - order.filled
            if priced or (order.order_type == OrderType.PEGGED and price):
                order.valuation = price
            order.pending_price = order.pending_quantity = 0
            if order.state != OrderState.PENDING_CANCEL:
                order.state = OrderState.OPEN
            self._tell(EventKind.REPLACED, order, quantity=quantity, leaves_quantity=order.leaves)

    def _report_fill(self, command: Command, instrument: Instrument) -> None:
        price, quantity, execution = command.price_ticks, command.quantity, command.venue_reference
        order = self._routed_order(command)
        sided = order is not None or command.side in (Side.BUY, Side.SELL)
        if execution == 0 or not sided or not instrument.allows(price) or not 0 < quantity <= MAX_QUANTITY:
            self._reject(Reason.MALFORMED)
            return
        seen = self.executions.setdefault(instrument.venue, {})
        if execution in seen:
            self._emit(EventKind.DUPLICATE, **self._echo())
            return
        seen[execution] = None
        if len(seen) > MAX_EXECUTIONS:
            del seen[next(iter(seen))]
        late = order is None or quantity > order.leaves
        party = order or Order(
            command.order_id,
            command.account_id,
            command.instrument_id,
            command.side,
            price=0,
            leaves=0,
            order_type=0,
            time_in_force=0,
            flags=0,
            strategy_id=command.strategy_id,
            filled=quantity,  # its first fill was counted long ago, or it is none of ours
        )
        if order is not None:
            order.leaves = max(0, order.leaves - quantity)
            order.filled += quantity
            if order.state == OrderState.PENDING_NEW:
                self._now_open(order)
        fee = self._book_fill(party, quantity, price, maker=False)
        instrument.last, instrument.last_ns = price, self.now_ns
        self.last_match_id += 1
        self._tell(
            EventKind.FILLED,
            party,
            price_ticks=price,
            quantity=quantity,
            leaves_quantity=party.leaves,
            match_id=self.last_match_id,
            fee=fee,
            venue_reference=execution,
            flags=EventFlag.LATE if late else 0,
        )
        if order is not None and order.leaves == 0:
            self._close(order)

    # -- sessions ------------------------------------------------------------------------------------------------

    def _report_session(self, command: Command, instrument: Instrument) -> None:
        venue = instrument.venue
        orders = [
            order
            for order in self._oldest_first()
            if self._instrument_of(order).venue == venue and command.account_id in (0, order.account_id)
        ]
        echo = self._echo()
        if command.kind == CommandKind.VENUE_UNKNOWN:
            self.reconciled = {
                pair for pair in self.reconciled if pair[0] != venue or command.account_id not in (0, pair[1])
            }
            known = [order for order in orders if order.state != OrderState.UNKNOWN]
            for order in known:
                self._to_unknown(order)
            echo["quantity"] = len(known)
        elif any(order.state == OrderState.UNKNOWN for order in orders):
            self._reject(Reason.RECONCILE)
            return
        else:
            self.reconciled.add((venue, command.account_id))
        self._emit(EventKind.APPLIED, **echo)
