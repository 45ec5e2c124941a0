"""The desk of one strategy: its orders, its position, and its way to the world."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import index
from typing import Any, TypedDict, Unpack

from nautilus.engines.base import Context, RandomSource
from nautilus.model.commands import CancelOrder, MassCancel, ReplaceOrder, SubmitOrder, TradingCommand
from nautilus.model.enums import CommandKind, OrderFlag, OrderState, OrderType, Reason, Side, TimeInForce
from nautilus.model.errors import ModelError
from nautilus.model.events import (
    UNASKED,
    CommandAcknowledged,
    ExecutionReport,
    OrderAccepted,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderReplenished,
    OrderRouted,
    OrderTriggered,
    OrderUnknown,
)
from nautilus.model.ids import MAX_ID_16
from nautilus.model.instrument import Instrument
from nautilus.model.message import Message
from nautilus.model.records import Records

MAX_WHOLE = 2**63 - 1
_NO_FLAGS = OrderFlag(0)
_STOPS = (OrderType.STOP, OrderType.MARKET_IF_TOUCHED, OrderType.TRAILING_STOP)
_PENDING = (OrderState.PENDING_NEW, OrderState.PENDING_CANCEL, OrderState.PENDING_REPLACE)
_NOT_OPEN = (Reason.UNKNOWN_ORDER, Reason.CLOSED_ORDER)
_NOT_TAKEN = (Reason.BUSY, Reason.NOT_READY, Reason.JOURNAL_FULL)
_KINDS = {SubmitOrder: CommandKind.NEW, CancelOrder: CommandKind.CANCEL, ReplaceOrder: CommandKind.REPLACE}
SOURCE_ID = 1
"""The strategy engine, as a sender of commands."""


class Terms(TypedDict, total=False):
    """What an order can have besides instrument, quantity and price: the fields of `SubmitOrder`.

    Without `order_type` it is a LIMIT order, or without a price a MARKET order. `post_only` is short for that flag.
    """

    order_type: OrderType
    time_in_force: TimeInForce
    flags: OrderFlag
    post_only: bool
    expire_ns: int
    trigger_ticks: int
    display_quantity: int
    min_quantity: int
    offset: int
    group_id: int
    parent_order_id: int


class OpenOrder:
    """An order as its strategy knows it. Mutable: reports change it.

    Attributes
    ----------
    order_type : as it is now: a triggered stop is a MARKET or a LIMIT order.
    price_ticks, trigger_ticks : 0: none.
    """

    __slots__ = (
        "instrument_id",
        "leaves_quantity",
        "order_id",
        "order_type",
        "price_ticks",
        "quantity",
        "side",
        "state",
        "trigger_ticks",
    )

    def __init__(
        self,
        order_id: int,
        instrument_id: int,
        side: Side,
        quantity: int,
        price_ticks: int,
        order_type: OrderType = OrderType.LIMIT,
        trigger_ticks: int = 0,
    ) -> None:
        self.order_id = order_id
        self.instrument_id = instrument_id
        self.side = side
        self.quantity = quantity
        self.leaves_quantity = quantity
        self.price_ticks = price_ticks
        self.order_type = order_type
        self.trigger_ticks = trigger_ticks
        self.state = OrderState.PENDING_NEW

    def __repr__(self) -> str:
        return (
            f"OpenOrder({self.order_id}, {self.side.name}, {self.leaves_quantity} of {self.quantity} "
            f"at {self.price_ticks}, {self.state.name})"
        )


class Desk:
    """A strategy's `Context`, with orders. Prices in ticks of the instrument, quantities in lots."""

    def __init__(
        self,
        strategy_id: int,
        account_id: int,
        instruments: Mapping[int, Instrument],
        numbers: Callable[[], int],
    ) -> None:
        self.strategy_id = strategy_id
        self.account_id = account_id
        self.instruments = instruments
        self.stopped = False
        self.closed = False
        """It is stopped because its host is: after a restart it goes on."""
        self.refused = 0
        """Orders not sent because the strategy is stopped."""
        self.entered = 0
        """New orders that the core took or refused."""
        self.fills = 0
        self.rejected = 0
        """Orders, replacements and cancels that the core refused."""
        self._orders: dict[int, OpenOrder] = {}
        self._positions: dict[int, int] = {}
        self._place = 0  # of the last report applied
        self._next_number = numbers
        self._ctx: Context
        self._requests: dict[int, TradingCommand] = {}
        self._doubtful: set[int] = set()  # orders of which nobody knows whether they came to the core

    def bind(self, ctx: Context) -> None:
        """Take the engine's context, which the host gives once for all its life."""
        self._ctx = ctx

    # As in Context.

    @property
    def now_ns(self) -> int:
        """Time of the message that is handled."""
        return self._ctx.now_ns

    @property
    def random(self) -> RandomSource:
        """The strategy engine's seeded generator."""
        return self._ctx.random

    def publish(self, event: Message | Records, /) -> None:
        """See `Context.publish`."""
        self._ctx.publish(event)

    def at(self, ns: int, key: str, /) -> None:
        """Call the strategy's `on_timer` with the key at a time; the same key arms anew."""
        self._ctx.at(self._whole("ns", ns), f"{self.strategy_id}:{key}")

    def next_id(self) -> int:
        """See `Context.next_id`."""
        return self._ctx.next_id()

    # Orders.

    @property
    def orders(self) -> Mapping[int, OpenOrder]:
        """Its open orders by order id, oldest first; those on their way to the core too."""
        return self._orders

    def position(self, instrument_id: int) -> int:
        """What it holds, in lots, from its own fills; negative: short."""
        return self._positions.get(instrument_id, 0)

    def buy(self, instrument_id: int, quantity: int, price_ticks: int | None = None, **terms: Unpack[Terms]) -> int:
        """Send a buy order: a limit order, or without a price a market order, or what its terms say.

        Its order id; 0 when stopped.
        """
        return self._submit(Side.BUY, instrument_id, quantity, price_ticks, **terms)

    def sell(self, instrument_id: int, quantity: int, price_ticks: int | None = None, **terms: Unpack[Terms]) -> int:
        """Send a sell order; see `buy`."""
        return self._submit(Side.SELL, instrument_id, quantity, price_ticks, **terms)

    def cancel(self, order_id: int) -> bool:
        """Ask to cancel an open order; False where it is none of the open ones, or a cancel is on its way."""
        order = self._orders.get(order_id)
        if order is None or order.state == OrderState.PENDING_CANCEL:
            return False
        order.state = OrderState.PENDING_CANCEL
        self._request(
            CancelOrder(
                account_id=self.account_id,
                instrument_id=order.instrument_id,
                order_id=order_id,
                strategy_id=self.strategy_id,
                source_id=SOURCE_ID,
                source_sequence=self._next_number(),
            ),
        )
        return True

    def replace(self, order_id: int, price_ticks: int, quantity: int | None = None, *, trigger_ticks: int = 0) -> bool:
        """Ask for another price and, where given, another total quantity or trigger.

        False where that cannot be asked now. The price of an order that has none is 0.
        """
        order = self._orders.get(order_id)
        if order is None or self.stopped or order.state not in (OrderState.OPEN, OrderState.PENDING_NEW):
            return False
        price_ticks = self._whole("price_ticks", price_ticks)
        quantity = order.quantity if quantity is None else self._whole("quantity", quantity)
        order.state = OrderState.PENDING_REPLACE
        self._request(
            ReplaceOrder(
                account_id=self.account_id,
                instrument_id=order.instrument_id,
                order_id=order_id,
                quantity=quantity,
                price_ticks=price_ticks,
                strategy_id=self.strategy_id,
                source_id=SOURCE_ID,
                source_sequence=self._next_number(),
                trigger_ticks=self._whole("trigger_ticks", trigger_ticks),
            ),
        )
        return True

    def cancel_all(self) -> None:
        """Ask to cancel every order of this strategy, also those still on their way to the core."""
        for order in self._orders.values():
            order.state = OrderState.PENDING_CANCEL
        self._request(
            MassCancel(
                account_id=self.account_id,
                strategy_id=self.strategy_id,
                source_id=SOURCE_ID,
                source_sequence=self._next_number(),
            ),
        )

    # For the strategy engine.

    def stop(self) -> None:
        """Send no more orders, and cancel those that are open or on their way."""
        self.stopped = True
        self.cancel_all()

    def resume(self) -> None:
        """After a restart: what was open or on its way is not known, so it is cancelled and forgotten."""
        self._orders.clear()
        self._requests.clear()
        self._doubtful.clear()
        self.cancel_all()

    def apply(self, report: ExecutionReport) -> bool:
        """Bring orders and position up to a report; False where it is not newer than the last one applied."""
        if report.place <= self._place:
            return False
        self._place = report.place
        order = self._orders.get(report.order_id)
        kind = type(report)
        if kind is OrderFilled:
            sign = 1 if report.side == Side.BUY else -1
            self._positions[report.instrument_id] = self.position(report.instrument_id) + sign * report.quantity
            self.fills += 1
        elif kind is OrderAccepted:
            self.entered += 1
        elif isinstance(report, OrderRejected):
            self.rejected += 1
            self.entered += report.request == CommandKind.NEW
        if order is not None:
            self._follow(order, report)
        return True

    def _follow(self, order: OpenOrder, report: ExecutionReport) -> None:
        """Bring an open order up to a report."""
        kind = type(report)
        if not isinstance(report, OrderRejected):
            self._doubtful.discard(order.order_id)
        if kind is OrderAccepted:
            if order.state in (OrderState.PENDING_NEW, OrderState.UNKNOWN):
                order.state = OrderState.OPEN
            if report.price_ticks:
                order.price_ticks = report.price_ticks  # a sliding order has moved
        elif isinstance(report, OrderReplaced):
            asked = report.reason not in UNASKED
            # What is a distance or a cap stays where the report tells no price, or where the order stands.
            if order.order_type == OrderType.PEGGED:
                order.price_ticks = report.price_ticks if asked else order.price_ticks
            elif report.price_ticks or order.order_type != OrderType.TRAILING_STOP_LIMIT:
                order.price_ticks = report.price_ticks
            if report.reason == Reason.RESTATED and order.order_type == OrderType.MARKET_TO_LIMIT:
                order.order_type = OrderType.LIMIT
            order.quantity = report.quantity
            order.leaves_quantity = report.leaves_quantity
            if asked and order.state in (OrderState.PENDING_REPLACE, OrderState.UNKNOWN):
                order.state = OrderState.OPEN
        elif isinstance(report, OrderRejected):
            if report.request == CommandKind.NEW or (report.reason in _NOT_OPEN and order.order_id in self._doubtful):
                self._forget(order.order_id)
            else:
                order.state = OrderState.OPEN
        elif isinstance(report, OrderTriggered):
            order.leaves_quantity = report.leaves_quantity
            if report.reason != Reason.CONTINGENT:
                if order.order_type == OrderType.TRAILING_STOP_LIMIT:
                    order.price_ticks = 0  # RESTATED tells it, where the instrument is explicit
                order.order_type = OrderType.MARKET if order.order_type in _STOPS else OrderType.LIMIT
                order.trigger_ticks = 0
            elif report.price_ticks:
                order.price_ticks = report.price_ticks
        elif isinstance(report, OrderRouted):
            pending = {CommandKind.CANCEL: OrderState.PENDING_CANCEL, CommandKind.REPLACE: OrderState.PENDING_REPLACE}
            order.state = pending.get(report.request, order.state)
        elif isinstance(report, OrderUnknown):
            order.state = OrderState.UNKNOWN
        elif kind is not OrderReplenished:  # filled, cancelled, expired
            order.leaves_quantity = report.leaves_quantity
            if kind is OrderFilled and order.order_type == OrderType.MARKET_TO_LIMIT:
                order.order_type, order.price_ticks = OrderType.LIMIT, report.price_ticks
            if not report.leaves_quantity:
                self._forget(order.order_id)
            elif order.state == OrderState.UNKNOWN:
                order.state = OrderState.OPEN

    def answered(self, request: int, reply: Message) -> OrderRejected | MassCancel | None:
        """The core answered. What it did not even look at, as it was busy or not ready, changed nothing.

        No report will say that, so what to tell the strategy is given back, or the cancel of all that is to be sent
        again.
        """
        command = self._requests.pop(request, None)
        if command is None or not isinstance(reply, CommandAcknowledged):
            return None
        if reply.accepted or reply.last_sequence or reply.reason not in _NOT_TAKEN:
            return None
        if isinstance(command, MassCancel):
            return command
        order = self._orders.get(getattr(command, "order_id", 0))
        if order is None:
            return None
        self.rejected += 1
        if isinstance(command, SubmitOrder):
            self._forget(order.order_id)
        elif order.state == (
            OrderState.PENDING_CANCEL if isinstance(command, CancelOrder) else OrderState.PENDING_REPLACE
        ):
            order.state = OrderState.UNKNOWN if order.order_id in self._doubtful else OrderState.OPEN
        return OrderRejected(
            sequence=0,
            now_ns=reply.now_ns,
            account_id=self.account_id,
            strategy_id=self.strategy_id,
            instrument_id=order.instrument_id,
            order_id=order.order_id,
            side=order.side,
            price_ticks=order.price_ticks,
            quantity=order.quantity,
            leaves_quantity=order.leaves_quantity,
            source_sequence=reply.source_sequence,
            reason=reply.reason,
            request=_KINDS[type(command)],
        )

    def unanswered(self, request: int) -> int:
        """No answer came in time: the order's fate is not known until a report says it. The order; 0: none is."""
        command = self._requests.pop(request, None)
        order = self._orders.get(getattr(command, "order_id", 0))
        if order is None or order.state not in _PENDING:  # a report has said it already
            return 0
        if isinstance(command, SubmitOrder):
            self._doubtful.add(order.order_id)
        order.state = OrderState.UNKNOWN
        return order.order_id

    def resolve(self, order_id: int) -> None:
        """Have the core say what became of an order that is still in doubt: it is cancelled, if it is there at all."""
        order = self._orders.get(order_id)
        if order is not None and order.state == OrderState.UNKNOWN:
            self.cancel(order_id)

    def _forget(self, order_id: int) -> None:
        del self._orders[order_id]
        self._doubtful.discard(order_id)

    def state(self) -> dict[str, Any]:
        """Plain values of all above."""
        return {
            "stopped": self.stopped and not self.closed,
            "refused": self.refused,
            "counts": [self.entered, self.fills, self.rejected],
            "place": self._place,
            "positions": [[instrument, lots] for instrument, lots in self._positions.items()],
            "orders": [
                [
                    o.order_id,
                    o.instrument_id,
                    int(o.side),
                    o.quantity,
                    o.price_ticks,
                    o.leaves_quantity,
                    int(o.state),
                    int(o.order_type),
                    o.trigger_ticks,
                ]
                for o in self._orders.values()
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state()` gave."""
        self.stopped = state["stopped"]
        self.refused = state["refused"]
        self.entered, self.fills, self.rejected = state["counts"]
        # As it was saved before a fill could have both sides in one account, it has a sequence.
        self._place = state["place"] if "place" in state else 2 * state["sequence"] + 1
        self._positions = dict(state["positions"])
        for order_id, instrument_id, side, quantity, price_ticks, leaves, order_state, *more in state["orders"]:
            order_type, trigger_ticks = more or (OrderType.LIMIT, 0)
            order = OpenOrder(
                order_id, instrument_id, Side(side), quantity, price_ticks, OrderType(order_type), trigger_ticks
            )
            order.leaves_quantity = leaves
            order.state = OrderState(order_state)
            self._orders[order_id] = order

    def _submit(
        self,
        side: Side,
        instrument_id: int,
        quantity: int,
        price_ticks: int | None,
        *,
        order_type: OrderType | None = None,
        time_in_force: TimeInForce = TimeInForce.GTC,
        flags: OrderFlag = _NO_FLAGS,
        post_only: bool = False,
        expire_ns: int = 0,
        trigger_ticks: int = 0,
        display_quantity: int = 0,
        min_quantity: int = 0,
        offset: int = 0,
        group_id: int = 0,
        parent_order_id: int = 0,
    ) -> int:
        if self.stopped:
            self.refused += 1
            return 0
        if instrument_id not in self.instruments:
            known = ", ".join(str(known) for known in self.instruments)
            raise ModelError(f"instrument {instrument_id}", where=f"strategy {self.strategy_id}", expected=known)
        if not isinstance(time_in_force, TimeInForce):
            known = ", ".join(TimeInForce.__members__)
            raise ModelError(
                f"time_in_force {time_in_force!r}", where=f"strategy {self.strategy_id}", expected=f"one of {known}"
            )
        if order_type is None:
            order_type = OrderType.MARKET if price_ticks is None else OrderType.LIMIT
        elif not isinstance(order_type, OrderType):
            known = ", ".join(OrderType.__members__)
            raise ModelError(
                f"order_type {order_type!r}", where=f"strategy {self.strategy_id}", expected=f"one of {known}"
            )
        if order_type == OrderType.MARKET and time_in_force == TimeInForce.GTC:
            time_in_force = TimeInForce.IOC  # a market order cannot rest
        quantity = self._whole("quantity", quantity)
        price = 0 if price_ticks is None else self._whole("price_ticks", price_ticks)
        expire_ns = self._whole("expire_ns", expire_ns)
        trigger_ticks = self._whole("trigger_ticks", trigger_ticks)
        display_quantity = self._whole("display_quantity", display_quantity)
        min_quantity = self._whole("min_quantity", min_quantity)
        offset = self._whole("offset", offset, -(2**31), 2**31 - 1)
        group_id = self._whole("group_id", group_id, 0, MAX_ID_16)
        parent_order_id = self._whole("parent_order_id", parent_order_id, 0, 2**64 - 1)
        order_id = self._ctx.next_id()
        self._orders[order_id] = OpenOrder(order_id, instrument_id, side, quantity, price, order_type, trigger_ticks)
        self._request(
            SubmitOrder(
                account_id=self.account_id,
                instrument_id=instrument_id,
                order_id=order_id,
                side=side,
                quantity=quantity,
                price_ticks=price,
                order_type=order_type,
                time_in_force=time_in_force,
                flags=OrderFlag(flags) | (OrderFlag.POST_ONLY if post_only else _NO_FLAGS),
                expire_ns=expire_ns,
                strategy_id=self.strategy_id,
                source_id=SOURCE_ID,
                source_sequence=self._next_number(),
                trigger_ticks=trigger_ticks,
                display_quantity=display_quantity,
                min_quantity=min_quantity,
                offset=offset,
                group_id=group_id,
                parent_order_id=parent_order_id,
            ),
        )
        return order_id

    def _whole(self, name: str, value: int, least: int = -MAX_WHOLE, most: int = MAX_WHOLE) -> int:
        """A whole number that its field has room for, whatever integer type it came in; the core judges the rest."""
        try:
            whole = index(value)
        except TypeError:
            whole = most + 1
        if not least <= whole <= most:
            room = "a whole number of 64 bits" if most == MAX_WHOLE else f"a whole number from {least} to {most}"
            raise ModelError(f"{name} {value!r}", where=f"strategy {self.strategy_id}", expected=room)
        return whole

    def _request(self, command: TradingCommand) -> None:
        self._requests[self._ctx.request("trading", command)] = command
