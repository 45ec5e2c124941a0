"""Events of the naive twin, where its orders stand, their timers, how they end, and what groups do then.

Written from docs/kernel.md and docs/kernel-orders.md; see `twin.py` for the kernel made of it.
"""

from __future__ import annotations

from typing import Any

from nautilus.core.types import (
    EVENT,
    EventKind,
    InstrumentFlag,
    OrderFlag,
    OrderType,
    Reason,
    Side,
    Standing,
    TimeInForce,
)
from tests.kit.twin_state import AUCTIONS, LAST_NS, WAITING, Command, Instrument, Order, Timer
from tests.kit.twin_words import TwinWords

EVENT_FIELDS = tuple(EVENT.names or ())
INDICATIVE_NS = 100_000_000


class TwinBook(TwinWords):
    """Where orders stand; each event goes to `_events`."""

    _command: Command
    _events: list[tuple[Any, ...]]

    # -- events --------------------------------------------------------------------------------------------------

    def _emit(self, kind: EventKind, **values: Any) -> None:
        self.last_event_sequence += 1
        event = {
            "sequence": self.last_event_sequence,
            "command_sequence": self.last_sequence,
            "now_ns": self.now_ns,
            "kind": kind,
            "source_id": self._command.source_id,
            "source_sequence": self._command.source_sequence,
            **values,
        }
        self._events.append(tuple(int(event.pop(name, 0)) for name in EVENT_FIELDS))
        assert not event, event

    def _tell(self, kind: EventKind, order: Order, **values: Any) -> None:
        """An event about an order."""
        named = {
            "order_id": order.order_id,
            "price_ticks": order.price,
            "side": order.side,
            "instrument_id": order.instrument_id,
            "account_id": order.account_id,
            "strategy_id": order.strategy_id,
        }
        self._emit(kind, **{**named, **values})

    def _explicit(self, order: Order) -> bool:
        return self.instruments[order.instrument_id].flags & InstrumentFlag.EXPLICIT != 0

    def _restate(self, order: Order) -> None:
        """On an explicit instrument: what the order is now by the rules of its type."""
        if self._explicit(order):
            total = order.filled + order.leaves
            self._tell(EventKind.REPLACED, order, quantity=total, leaves_quantity=order.leaves, reason=Reason.RESTATED)

    def _echo(self) -> dict[str, int]:
        """The fields of the command that REJECTED, DUPLICATE and APPLIED repeat."""
        names = ("order_id", "price_ticks", "quantity", "side", "instrument_id", "account_id", "strategy_id")
        return {name: getattr(self._command, name) for name in names}

    def _reject(self, reason: Reason, flags: int = 0, echo: dict[str, int] | None = None) -> None:
        """One REJECTED; a reason below 32 is a bit of the flags."""
        if reason < 32:
            flags |= 1 << reason
        self._emit(EventKind.REJECTED, reason=reason, flags=flags, **(self._echo() if echo is None else echo))

    # -- timers --------------------------------------------------------------------------------------------------

    def _next_arming(self) -> int:
        self.last_arming += 1
        return self.last_arming

    def _arm(self, due_ns: int, kind: str, instrument_id: int, order: Order | None = None) -> Timer:
        timer = Timer(min(due_ns, LAST_NS), self._next_arming(), kind, instrument_id, order)
        self.timers.append(timer)
        return timer

    def _disarm(self, timer: Timer | None) -> None:
        if timer in self.timers:
            self.timers.remove(timer)

    # -- standing ------------------------------------------------------------------------------------------------

    def _open_order(self, order: Order) -> None:
        """From its acceptance on an order is open, also while it is matched."""
        order.open = True
        order.arming = self._next_arming()
        self.orders[order.key] = order
        self.pair_orders.setdefault((order.account_id, order.instrument_id), {})[order.arming] = order
        self.instrument_orders[order.instrument_id][order.arming] = order

    def _stand(self, order: Order, standing: Standing) -> None:
        """The order comes to stand; the first time its timer is armed."""
        order.standing = standing
        side = (order.instrument_id, order.side)
        if standing == Standing.DISPLAYED:
            if order.display:
                order.shown = min(order.display, order.leaves)
            self._join(self.displayed[side], order)
        elif standing == Standing.DARK:
            self._join(self.unseen[side], order)
        elif standing == Standing.WAITING and order.trigger is not None:
            order.standing_number = self._next_arming()
        if not order.stood:
            order.stood = True
            close_ns = self.instruments[order.instrument_id].close_ns
            if standing == Standing.ROUTED:
                pass  # time is the venue's business too
            elif order.time_in_force == TimeInForce.GTD:
                order.timer = self._arm(order.expire_ns, "order", order.instrument_id, order)
            elif order.time_in_force == TimeInForce.DAY and close_ns:
                order.timer = self._arm(close_ns, "order", order.instrument_id, order)
        self._changed(order)

    def _rest(self, order: Order) -> None:
        """At the back of its price, displayed or dark."""
        self._stand(order, Standing.DARK if order.dark else Standing.DISPLAYED)

    @staticmethod
    def _join(queue: list[Order], order: Order) -> None:
        """Behind every order of the same or a better rank."""
        behind = (index for index, other in enumerate(queue) if other.rank < order.rank)
        queue.insert(next(behind, len(queue)), order)

    def _leave(self, order: Order) -> None:
        """The order stands nowhere: it is matched, or gone."""
        self._changed(order)
        for queue in (
            self.displayed[order.instrument_id, order.side],
            self.unseen[order.instrument_id, order.side],
        ):
            if order in queue:
                queue.remove(order)
        order.standing = order.standing_number = order.shown = 0

    def _changed(self, order: Order) -> None:
        """The book of the order's instrument changes with this order."""
        if order.standing in (Standing.DISPLAYED, Standing.DARK, Standing.AUCTION):
            self._book_changed(self._instrument_of(order))

    def _book_changed(self, instrument: Instrument) -> None:
        """During an auction the indicative price is worked out again in time."""
        told = instrument.indicative
        if instrument.phase not in AUCTIONS or not told.told:
            return
        told.changed = True
        if told.timer is None:
            due = max(told.time_ns + INDICATIVE_NS, self.now_ns)
            told.timer = self._arm(due, "indicative", instrument.instrument_id)

    # -- endings -------------------------------------------------------------------------------------------------

    def _end(
        self,
        order: Order,
        reason: Reason,
        kind: EventKind = EventKind.CANCELLED,
        *,
        quantity: int | None = None,
        cascade: bool = True,
    ) -> None:
        """Close the order with an event for what is left of it (or for `quantity`); its group follows."""
        self._tell(kind, order, quantity=order.leaves if quantity is None else quantity, reason=reason)
        self._close(order)
        if cascade:
            for other in self._group_of(order):
                self._end(other, Reason.CONTINGENT, cascade=False)

    def _cut(self, order: Order, quantity: int, reason: Reason) -> None:
        """A part is cancelled; it keeps its place, and closes where nothing is left."""
        if quantity == order.leaves:
            self._end(order, reason)
            return
        order.lose(quantity)
        self._tell(EventKind.CANCELLED, order, quantity=quantity, leaves_quantity=order.leaves, reason=reason)
        self._changed(order)

    def _close(self, order: Order) -> None:
        """Forget the order; its id joins the account's closed ones."""
        self._leave(order)
        order.open = False
        self._disarm(order.timer)
        self.orders.pop(order.key, None)
        self.pair_orders.get((order.account_id, order.instrument_id), {}).pop(order.arming, None)
        self.instrument_orders[order.instrument_id].pop(order.arming, None)
        closed = self.accounts[order.account_id].closed
        closed[order.order_id] = None
        if len(closed) > self.closed_capacity:
            del closed[next(iter(closed))]

    # -- groups --------------------------------------------------------------------------------------------------

    def _group(self, account_id: int, group_id: int) -> list[Order]:
        """Open orders of a group, oldest first; an order filled whole is none of them any more."""
        if not group_id:
            return []
        return [
            order
            for order in self._oldest_first()
            if order.account_id == account_id and order.group == group_id and order.leaves
        ]

    def _group_of(self, order: Order) -> list[Order]:
        """The others of the order's group."""
        return [other for other in self._group(order.account_id, order.group) if other is not order]

    def _group_after_fill(self, order: Order, quantity: int) -> None:
        """OCO: the others are cancelled; OUO: each loses what was filled."""
        for other in self._group_of(order):
            if order.has(OrderFlag.GROUP_OCO) or quantity >= other.leaves:
                self._end(other, Reason.CONTINGENT, cascade=False)
                continue
            other.lose(quantity)
            if other.unentered:
                other.released += quantity
            self._tell(
                EventKind.REPLACED,
                other,
                quantity=other.filled + other.leaves,
                leaves_quantity=other.leaves,
                reason=Reason.CONTINGENT,
            )
            self._changed(other)

    # -- small questions -----------------------------------------------------------------------------------------

    def _told_flags(self, order: Order) -> int:
        """`flags` of ACCEPTED, TRIGGERED and ROUTED."""
        return order.flags | order.order_type << 16 | order.time_in_force << 24

    def _reducible(self, order: Order) -> int:
        """What a REDUCE_ONLY order of this side could take off its account's position."""
        position = self.book_positions.get((order.account_id, order.instrument_id))
        quantity = position.quantity if position else 0
        return max(0, -quantity if order.side == Side.BUY else quantity)

    def _reference_for(self, order: Order) -> int | None:
        """What a waiting order looks at."""
        instrument = self._instrument_of(order)
        if order.has(OrderFlag.TRIGGER_MARK):
            return instrument.mark
        if order.has(OrderFlag.TRIGGER_QUOTE):
            return self._best(order.instrument_id, Side.SELL if order.side == Side.BUY else Side.BUY)
        return instrument.last

    def _trail(self, order: Order, reference: int) -> int:
        """The trigger of a trailing order at this reference."""
        distance = abs(reference) * order.offset // 10_000 if order.has(OrderFlag.TRAIL_BPS) else order.offset
        return reference + distance if order.side == Side.BUY else reference - distance

    def _collar_bound(self, account_id: int, instrument_id: int, side: int, limit: int | None) -> int | None:
        """The worst price that the collar allows; None where no collar applies or there is no reference."""
        reference = self.instruments[instrument_id].reference
        if limit is None or reference is None or self.accounts[account_id].exempt:
            return None
        distance = abs(reference) * limit // 10_000
        return reference + distance if side == Side.BUY else reference - distance

    @staticmethod
    def _waits(order: Order) -> bool:
        """Whether the order begins by waiting for its trigger."""
        return order.order_type in WAITING

    @staticmethod
    def _is_priced(order_type: int) -> bool:
        """Whether the type has a limit price of its own from the start."""
        return order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_IF_TOUCHED)
