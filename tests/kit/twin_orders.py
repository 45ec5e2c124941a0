"""Orders of the naive twin: NEW, CANCEL and REPLACE with their controls, and matching.

Written from docs/kernel.md, section by section; see `twin.py` for the kernel made of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nautilus.core.types import (
    EVENT,
    EventKind,
    LimitKind,
    OrderFlag,
    OrderType,
    Reason,
    SessionPhase,
    Side,
    TimeInForce,
)
from tests.kit.twin_state import MAX_POSITION, MAX_QUANTITY, MAX_REALISED, RESTING, Account, Command, Order, TwinState

LAST_NS = (1 << 63) - 1
EVENT_FIELDS = tuple(EVENT.names or ())


class TwinOrders(TwinState):
    """What happens to orders; each event goes to `_events`."""

    _command: Command
    _events: list[tuple[Any, ...]]

    # -- NEW, CANCEL, REPLACE ------------------------------------------------------------------------------------

    def _new(self, command: Command) -> None:
        reason = self._structure_of_new(command)
        if reason:
            self._reject(reason)
            return
        order = Order(
            order_id=command.order_id,
            account_id=command.account_id,
            instrument_id=command.instrument_id,
            side=command.side,
            price=command.price_ticks,
            leaves=command.quantity,
            filled=0,
            order_type=command.order_type,
            time_in_force=command.time_in_force,
            flags=command.flags,
            strategy_id=command.strategy_id,
        )
        violated = self._controls(command, order, replaced=None)
        bound = self._bound(order)
        if violated:
            self._reject(min(violated), sum(1 << reason for reason in violated))
        elif order.flags & OrderFlag.POST_ONLY and self._would_cross(order, order.price):
            self._reject(Reason.WOULD_CROSS)
        elif order.time_in_force in RESTING and len(self.orders) >= self.capacity:
            self._reject(Reason.POOL_FULL)
        else:
            self.last_arming += 1
            self._emit(EventKind.ACCEPTED, **self._echo(), leaves_quantity=order.leaves, flags=int(order.flags) | int(order.order_type) << 16 | int(order.time_in_force) << 24)
            if order.time_in_force == TimeInForce.FOK and self._fillable(order, bound) < order.leaves:
                self._end(order, EventKind.CANCELLED, Reason.UNFILLED)
            elif order.flags & OrderFlag.TAPE:
                self._play_tape(order)
            else:
                self._match(order, bound)

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

    def _cancel(self, command: Command) -> None:
        order = self._find(command)
        if isinstance(order, Reason):
            self._reject(order)
        else:
            self._end(order, EventKind.CANCELLED, Reason.REQUESTED)

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
        violated = self._controls(command, order, replaced=order)
        if violated:
            self._reject(min(violated), sum(1 << reason for reason in violated), echo)
            return
        if order.flags & OrderFlag.POST_ONLY and self._would_cross(order, command.price_ticks):
            self._reject(Reason.WOULD_CROSS, echo=echo)
            return
        leaves = command.quantity - order.filled
        self._emit(EventKind.REPLACED, **echo, leaves_quantity=leaves)
        keeps_place = command.price_ticks == order.price and leaves <= order.leaves
        order.price, order.leaves = command.price_ticks, leaves
        if not keeps_place:
            self.books[order.instrument_id, order.side].remove(order)
            self._match(order, bound=None)

    def _find(self, command: Command) -> Order | Reason:
        """The open order that the command names, else the reason why there is none."""
        account = self.accounts.get(command.account_id)
        if account is None:
            return Reason.UNKNOWN_ACCOUNT
        order = self.orders.get((command.account_id, command.order_id))
        if order is not None:
            return order
        return Reason.CLOSED_ORDER if command.order_id in account.closed else Reason.UNKNOWN_ORDER

    # -- controls ------------------------------------------------------------------------------------------------

    def _controls(self, command: Command, order: Order, replaced: Order | None) -> set[Reason]:
        """Every violated control of a NEW (replaced is None) or a REPLACE."""
        instrument = self.instruments[order.instrument_id]
        account = self.accounts[order.account_id]
        price, quantity = command.price_ticks, command.quantity
        is_limit = replaced is not None or order.order_type == OrderType.LIMIT
        is_market = not is_limit and order.order_type == OrderType.MARKET

        def violated() -> Iterator[tuple[Reason, bool]]:
            yield Reason.KILLED, account.killed or self._position(order.account_id, order.instrument_id).killed
            if is_limit:
                in_range = instrument.allows(price)
                yield Reason.PRICE, not in_range
                yield Reason.TICK, in_range and abs(price) % instrument.step_at(price) != 0
            elif is_market:
                yield Reason.PRICE, price != 0
            sound = 0 < quantity <= MAX_QUANTITY
            yield Reason.QUANTITY, not sound
            if replaced is not None:
                yield Reason.QUANTITY, quantity <= replaced.filled
            yield Reason.LOT, sound and quantity % instrument.lot_step != 0
            yield Reason.MIN_QUANTITY, sound and quantity < instrument.minimum
            yield Reason.EXPIRY, self._expiry(command, order, replaced)
            yield Reason.UNSUPPORTED, self._unsupported(command, account, replaced)

        found = {reason for reason, wrong in violated() if wrong}
        if replaced is not None and Reason.QUANTITY in found:
            found -= {Reason.LOT, Reason.MIN_QUANTITY}
        if not account.exempt:
            found |= self._limit_controls(command, order, replaced, is_limit, is_market, found)
        return found

    def _expiry(self, command: Command, order: Order, replaced: Order | None) -> bool:
        if replaced is not None:
            return bool(command.expire_ns != 0)
        if order.time_in_force == TimeInForce.GTD:
            return bool(command.expire_ns <= self.now_ns)
        close = self.instruments[order.instrument_id].close_ns
        over = order.time_in_force == TimeInForce.DAY and close != 0 and close <= self.now_ns
        return bool(command.expire_ns != 0 or over)

    def _unsupported(self, command: Command, account: Account, replaced: Order | None) -> bool:
        extra = ("trigger_ticks", "display_quantity", "min_quantity", "parent_order_id", "offset", "group_id")
        if any(getattr(command, name) for name in extra):
            return True
        if replaced is not None:
            return bool(command.flags)
        post_only, tape = command.flags & OrderFlag.POST_ONLY, command.flags & OrderFlag.TAPE
        is_limit, tif = command.order_type == OrderType.LIMIT, command.time_in_force
        return bool(
            command.order_type not in (OrderType.LIMIT, OrderType.MARKET)
            or tif in (TimeInForce.AT_OPEN, TimeInForce.AT_CLOSE)
            or command.flags & ~int(OrderFlag.POST_ONLY | OrderFlag.TAPE | OrderFlag.TAPE_BOOKED)
            or (post_only and (command.order_type == OrderType.MARKET or tif in (TimeInForce.IOC, TimeInForce.FOK)))
            or (command.order_type == OrderType.MARKET and tif in RESTING)
            or (tape and not (is_limit and tif == TimeInForce.IOC and account.exempt))
            or (command.flags & OrderFlag.TAPE_BOOKED and not tape)
        )

    def _limit_controls(
        self,
        command: Command,
        order: Order,
        replaced: Order | None,
        is_limit: bool,
        is_market: bool,
        found: set[Reason],
    ) -> set[Reason]:
        """The controls that an exempt account skips (those marked * in the contract)."""
        instrument = self.instruments[order.instrument_id]
        price, quantity = command.price_ticks, command.quantity
        price_sound = (is_limit or is_market) and Reason.PRICE not in found
        quantity_sound = Reason.QUANTITY not in found
        more: set[Reason] = set()

        def limit_of(kind: LimitKind) -> int | None:
            return self._effective_limit(kind, order.account_id, order.instrument_id)

        if self.killed or instrument.killed:
            more.add(Reason.KILLED)
        if instrument.phase != SessionPhase.CONTINUOUS:
            more.add(Reason.SESSION)
        quantity_limit, notional_limit = limit_of(LimitKind.ORDER_QUANTITY), limit_of(LimitKind.ORDER_NOTIONAL)
        collar_limit, position_limit = limit_of(LimitKind.PRICE_COLLAR), limit_of(LimitKind.POSITION)
        bound = self._bound(order)
        if quantity_limit is not None and quantity_sound and quantity > quantity_limit:
            more.add(Reason.ORDER_QUANTITY)
        if notional_limit is not None and price_sound and quantity_sound:
            worst: int | None = price
            if is_market:
                worst = bound if bound is not None else instrument.reference
            if worst is not None and abs(worst) * quantity * instrument.multiplier > notional_limit:
                more.add(Reason.ORDER_NOTIONAL)
        if is_limit and price_sound and bound is not None:
            beyond = price > bound if order.side == Side.BUY else price < bound
            if beyond:
                more.add(Reason.COLLAR)
        needs_reference = collar_limit is not None or (is_market and notional_limit is not None)
        if needs_reference and instrument.reference is None:
            more.add(Reason.REFERENCE)
        if quantity_sound:
            added = quantity if replaced is None else quantity - replaced.filled
            after = self._exposure(order, replaced) + added
            if position_limit is not None and after > position_limit:
                more.add(Reason.POSITION)
            realised = self._position(order.account_id, order.instrument_id).realised
            if after > MAX_POSITION or abs(realised) > MAX_REALISED:
                more.add(Reason.OVERFLOW)
        if self._rate_exceeded(order.account_id):
            more.add(Reason.RATE)
        return more

    def _effective_limit(self, kind: LimitKind, account_id: int, instrument_id: int) -> int | None:
        """The smallest of the four scopes' values; None: no limit."""
        scopes = [(kind, a, i) for a in (account_id, 0) for i in (instrument_id, 0)]
        return min((self.limits[scope][0] for scope in scopes if scope in self.limits), default=None)

    def _bound(self, order: Order) -> int | None:
        """The collar bound of the order's side; None where no collar applies or there is no reference."""
        if self._exempt(order):
            return None
        limit = self._effective_limit(LimitKind.PRICE_COLLAR, order.account_id, order.instrument_id)
        reference = self.instruments[order.instrument_id].reference
        if limit is None or reference is None:
            return None
        distance = abs(reference) * limit // 10_000
        return reference + distance if order.side == Side.BUY else reference - distance

    def _exposure(self, order: Order, replaced: Order | None) -> int:
        """Position in the direction of the side plus that side's open orders, in lots."""
        quantity = self._position(order.account_id, order.instrument_id).quantity
        open_lots = sum(
            other.leaves
            for other in self.books[order.instrument_id, order.side]
            if other.account_id == order.account_id and other is not replaced
        )
        return (quantity if order.side == Side.BUY else -quantity) + open_lots

    def _rate_exceeded(self, account_id: int) -> bool:
        """Count one message; whether it is over the rate."""
        kind = LimitKind.MESSAGE_RATE
        setting = self.limits.get((kind, account_id, 0)) or self.limits.get((kind, 0, 0))
        if setting is None:
            return False
        messages, window = setting
        interval = window // messages
        account = self.accounts[account_id]
        arrival = max(account.arrival_ns, self.now_ns)
        if arrival - self.now_ns > window - interval:
            return True
        account.arrival_ns = min(arrival + interval, LAST_NS)
        return False

    # -- matching ------------------------------------------------------------------------------------------------

    def _acceptable(self, order: Order, price: int, bound: int | None) -> bool:
        """Whether the order may trade at this price of the other side."""
        limit = bound if order.order_type == OrderType.MARKET else order.price
        if limit is None:
            return True
        return price <= limit if order.side == Side.BUY else price >= limit

    def _would_cross(self, order: Order, price: int) -> bool:
        queue = self._opposite(order)
        return bool(queue) and (price >= queue[0].price if order.side == Side.BUY else price <= queue[0].price)

    def _fillable(self, order: Order, bound: int | None) -> int:
        """What could fill at once, up to the first resting order of the same account."""
        total = 0
        for resting in self._opposite(order):
            if not self._acceptable(order, resting.price, bound):
                break
            if resting.account_id == order.account_id:
                if self.accounts[order.account_id].recorded:
                    continue
                break
            total += resting.leaves
        return total

    def _match(self, order: Order, bound: int | None) -> None:
        """Steps 10 and 11: trade, then rest or cancel what is left."""
        queue = self._opposite(order)
        while order.leaves and queue and self._acceptable(order, queue[0].price, bound):
            resting = queue[0]
            if resting.account_id != order.account_id:
                self._fill(order, resting)
            elif self.accounts[order.account_id].recorded:
                self._end(resting, EventKind.CANCELLED, Reason.SELF_MATCH)
            else:
                self._end(order, EventKind.CANCELLED, Reason.SELF_MATCH)
                return
        if order.leaves == 0:
            self._close(order)
        elif order.time_in_force in RESTING:
            self._rest(order)
        else:
            self._end(order, EventKind.CANCELLED, Reason.UNFILLED)

    def _play_tape(self, order: Order) -> None:
        """A recorded trade: own orders at better prices, then the queue at its price alone."""
        for resting in list(self._opposite(order)):
            if order.leaves == 0 or not self._acceptable(order, resting.price, None):
                break
            recorded = self.accounts[resting.account_id].recorded
            at_price = resting.price == order.price
            if recorded and at_price and order.flags & OrderFlag.TAPE_BOOKED:
                order.leaves -= min(order.leaves, resting.leaves)
            elif not recorded or at_price:
                self._fill(order, resting)
        if order.leaves:
            self._end(order, EventKind.CANCELLED, Reason.UNFILLED)
        else:
            self._close(order)
        self.instruments[order.instrument_id].last = order.price

    def _fill(self, order: Order, resting: Order) -> None:
        quantity = min(order.leaves, resting.leaves)
        instrument = self.instruments[order.instrument_id]
        for party in (order, resting):
            party.leaves -= quantity
            party.filled += quantity
            if not self._exempt(party):
                signed = quantity if party.side == Side.BUY else -quantity
                position = self._position(party.account_id, party.instrument_id)
                position.fill(signed, resting.price, instrument.multiplier)
        instrument.last = resting.price
        self.last_match_id += 1
        self._emit(
            EventKind.FILLED,
            order_id=order.order_id,
            counter_order_id=resting.order_id,
            price_ticks=resting.price,
            quantity=quantity,
            leaves_quantity=order.leaves,
            counter_leaves_quantity=resting.leaves,
            side=order.side,
            instrument_id=order.instrument_id,
            account_id=order.account_id,
            counter_account_id=resting.account_id,
            strategy_id=order.strategy_id,
            match_id=self.last_match_id,
        )
        if resting.leaves == 0:
            self._close(resting)

    # -- orders and events ---------------------------------------------------------------------------------------

    def _rest(self, order: Order) -> None:
        """Join the back of the level; a new order's timer is armed."""
        queue = self.books[order.instrument_id, order.side]
        sign = -1 if order.side == Side.BUY else 1
        behind = (index for index, other in enumerate(queue) if sign * other.price > sign * order.price)
        queue.insert(next(behind, len(queue)), order)
        key = (order.account_id, order.order_id)
        if key not in self.orders:
            self.orders[key] = order
            instrument = self.instruments[order.instrument_id]
            if order.time_in_force == TimeInForce.GTD:
                self._arm(order, self._command.expire_ns)
            elif order.time_in_force == TimeInForce.DAY and instrument.close_ns:
                self._arm(order, instrument.close_ns)

    def _arm(self, order: Order, due_ns: int) -> None:
        self.last_arming += 1
        order.due_ns, order.arming = due_ns, self.last_arming
        self.timers[order.arming] = order

    def _end(self, order: Order, kind: EventKind, reason: Reason, **values: int) -> None:
        """Close the order with a CANCELLED or EXPIRED event for what is left of it."""
        self._emit(
            kind,
            **{
                "order_id": order.order_id,
                "price_ticks": order.price,
                "quantity": order.leaves,
                "side": order.side,
                "instrument_id": order.instrument_id,
                "account_id": order.account_id,
                "strategy_id": order.strategy_id,
                "reason": reason,
                **values,
            },
        )
        self._close(order)

    def _close(self, order: Order) -> None:
        """Forget the order; its id joins the account's closed ones."""
        if self.orders.pop((order.account_id, order.order_id), None):
            self.timers.pop(order.arming, None)
            queue = self.books[order.instrument_id, order.side]
            if order in queue:  # not where it left the queue to be matched
                queue.remove(order)
        closed = self.accounts[order.account_id].closed
        closed[order.order_id] = None
        if len(closed) > self.closed_capacity:
            del closed[next(iter(closed))]

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

    def _echo(self) -> dict[str, int]:
        """The fields of the command that REJECTED, DUPLICATE and APPLIED repeat."""
        names = ("order_id", "price_ticks", "quantity", "side", "instrument_id", "account_id", "strategy_id")
        return {name: getattr(self._command, name) for name in names}

    def _reject(self, reason: Reason, flags: int = 0, echo: dict[str, int] | None = None) -> None:
        """One REJECTED; a reason below 32 is a bit of the flags."""
        if reason < 32:
            flags |= 1 << reason
        self._emit(EventKind.REJECTED, reason=reason, flags=flags, **(self._echo() if echo is None else echo))
