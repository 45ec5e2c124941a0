"""An agent's desk: sends its orders to the core and keeps what is open of them, from the core's events."""

from __future__ import annotations

from collections import Counter

from nautilus.core.types import OrderFlag, OrderType, Side
from nautilus.core.types import TimeInForce as Tif
from nautilus.model.instrument import Instrument
from nautilus.simulation.commands import CommandRows

BUY, SELL = int(Side.BUY), int(Side.SELL)
GTC, GTD, IOC = int(Tif.GTC), int(Tif.GTD), int(Tif.IOC)
POST_ONLY, LIMIT, MARKET = int(OrderFlag.POST_ONLY), int(OrderType.LIMIT), int(OrderType.MARKET)


class OpenOrder:
    """An order of an agent: `leaves` and `filled` in lots, `before` its price and leaves before the last change."""

    __slots__ = ("before", "filled", "leaves", "order_id", "price", "side")

    def __init__(self, order_id: int, side: int, price: int, leaves: int) -> None:
        self.order_id, self.side, self.price, self.leaves = order_id, side, price, leaves
        self.filled = 0
        self.before: tuple[int, int] | None = None


class Desk:
    """Orders, position and refusals of one agent's account.

    An order counts as open from when it is sent; the core refuses or ends it by an event.
    """

    def __init__(self, instrument: Instrument, account_id: int, rows: CommandRows) -> None:
        self.account_id = account_id
        self.position = 0
        self.filled_lots = 0
        self.refused: Counter[int] = Counter()
        self.open: dict[int, OpenOrder] = {}
        self._instrument = instrument
        # With one tick for all prices, rounding is a division; it is asked for some thousand times a second.
        self._step = instrument.step_at(0) if len(instrument.bands) == 1 else 0
        self._rows = rows
        self._next_order_id = 1

    def number_from(self, order_id: int) -> None:
        """Give the next order this id."""
        self._next_order_id = order_id

    # For the agent.

    def take(self, now_ns: int, side: int, lots: int, limit_ticks: int = 0) -> None:
        """Send an order that fills at once or goes: at market, or at `limit_ticks` and better."""
        kind = LIMIT if limit_ticks else MARKET
        self._rows.new(now_ns, self.account_id, self._id(), side, limit_ticks, lots, IOC, order_type=kind)

    def rest(self, now_ns: int, side: int, price: int, lots: int, expire_ns: int) -> None:
        """Send a passive order that expires."""
        self._open(side, price, lots)
        self._rows.new(
            now_ns, self.account_id, self._next_order_id - 1, side, price, lots, GTD, POST_ONLY, expire_ns=expire_ns
        )

    def quote(self, now_ns: int, side: int, price: int, lots: int) -> None:
        """Send a passive order that stays."""
        self._open(side, price, lots)
        self._rows.new(now_ns, self.account_id, self._next_order_id - 1, side, price, lots, GTC, POST_ONLY)

    def move(self, now_ns: int, order: OpenOrder, price: int, lots: int) -> None:
        """Give an order another price and bring what is left of it to `lots`."""
        if order.filled == 0:
            self._rows.replace(now_ns, self.account_id, order.order_id, price, lots)
            order.before = order.price, order.leaves
            order.price, order.leaves = price, lots
        else:
            # A fresh order: the total of one that is topped up again and again would grow without bound.
            self._rows.cancel(now_ns, self.account_id, order.order_id)
            del self.open[order.order_id]
            self.quote(now_ns, order.side, price, lots)

    def resting(self, side: int) -> list[OpenOrder]:
        """Open orders of a side, best price first, then oldest first."""
        sign = -1 if side == BUY else 1
        return sorted(
            (order for order in self.open.values() if order.side == side),
            key=lambda order: (sign * order.price, order.order_id),
        )

    def quantities(self, side: int) -> dict[int, int]:
        """Open lots of a side by price."""
        found: dict[int, int] = {}
        for order in self.open.values():
            if order.side == side:
                found[order.price] = found.get(order.price, 0) + order.leaves
        return found

    def round(self, price: float, side: int) -> int:
        """Nearest valid price, away from the other side; never under one tick."""
        step = self._step
        if not step:
            return max(self._instrument.round_ticks(price, up=side == SELL), self._instrument.step_at(0))
        ticks = int(price // step) * step
        if side == SELL and ticks < price:
            ticks += step
        return ticks if ticks > step else step

    def before(self, price: int) -> int:
        """Next valid price below; the lowest where there is none."""
        return self.round(price - 1, BUY)

    def after(self, price: int) -> int:
        """Next valid price above."""
        return self.round(price + 1, SELL)

    # From the core.

    def on_fill(self, order_id: int, side: int, quantity: int) -> None:
        """One of the account's orders was filled; `side` is that order's."""
        self.position += quantity if side == BUY else -quantity
        self.filled_lots += quantity
        order = self.open.get(order_id)
        if order is not None:
            order.leaves -= quantity
            order.filled += quantity
            if order.leaves <= 0:
                del self.open[order_id]

    def on_end(self, order_id: int) -> None:
        """One of the account's orders was cancelled or expired."""
        self.open.pop(order_id, None)

    def on_refusal(self, order_id: int, reason: int) -> None:
        """The core refused a command: a new order never opened, a changed one is as it was."""
        self.refused[reason] += 1
        order = self.open.get(order_id)
        if order is None:
            return
        if order.before is None:
            del self.open[order_id]
        else:
            order.price, order.leaves = order.before

    def _open(self, side: int, price: int, lots: int) -> None:
        order_id = self._id()
        self.open[order_id] = OpenOrder(order_id, side, price, lots)

    def _id(self) -> int:
        order_id = self._next_order_id
        self._next_order_id += 1
        return order_id
