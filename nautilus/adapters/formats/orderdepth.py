"""Order book kept order by order, as far as a recording of its first levels tells."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Any

from nautilus.core.types import BookAction, Side

BUY = int(Side.BUY)
SELL = int(Side.SELL)


class Level:
    """Orders at one price; `initial` is the quantity of the one order that stands for those never named."""

    __slots__ = ("initial", "orders", "quantity")

    def __init__(self) -> None:
        self.quantity = 0
        self.initial = 0
        self.orders: dict[int, int] = {}


class OrderDepth:
    """Levels and orders from ADD, REDUCE, DELETE, EXECUTE, EXECUTE_HIDDEN, SET and CLEAR.

    SET makes a level one initial order of that quantity, or removes it. An id that is not known acts on the initial
    order of its level. What does not fit (an unknown level, more taken than there is) is counted in `misfits`, and as
    much as there is gets taken.
    """

    def __init__(self) -> None:
        self.misfits = 0
        self._levels: dict[int, dict[int, Level]] = {BUY: {}, SELL: {}}
        # Prices ascending; asks are read from the front, bids from the back.
        self._prices: dict[int, list[int]] = {BUY: [], SELL: []}

    def apply(self, deltas: Any) -> None:
        """Apply a BOOK_DELTA array in order."""
        names = ("side", "action", "order_id", "price_ticks", "quantity")
        for side, action, order_id, price, quantity in zip(*(deltas[name].tolist() for name in names), strict=True):
            self.change(side, action, order_id, price, quantity)

    def change(self, side: int, action: int, order_id: int, price: int, quantity: int) -> None:
        """Apply one change."""
        levels = self._levels[side]
        if action == BookAction.ADD:
            level = levels.get(price) or self._open(side, price)
            self.misfits += order_id in level.orders
            level.orders[order_id] = level.orders.get(order_id, 0) + quantity
            level.quantity += quantity
        elif action == BookAction.SET:
            if price in levels:
                self._close(side, price)
            if quantity:
                level = self._open(side, price)
                level.quantity = level.initial = quantity
        elif action == BookAction.CLEAR:
            levels.clear()
            self._prices[side].clear()
        elif action != BookAction.EXECUTE_HIDDEN:
            self._take(side, order_id, price, quantity, whole=action == BookAction.DELETE)

    def levels(self, side: int, count: int) -> list[tuple[int, int]]:
        """(price, quantity) of the first levels, best first."""
        prices = self._prices[side]
        chosen = prices[: -count - 1 : -1] if side == BUY else prices[:count]
        levels = self._levels[side]
        return [(price, levels[price].quantity) for price in chosen]

    def best(self, side: int) -> tuple[int, int]:
        """(price, quantity) of the best level; (0, 0) where the side is empty."""
        prices = self._prices[side]
        if not prices:
            return 0, 0
        price = prices[-1] if side == BUY else prices[0]
        return price, self._levels[side][price].quantity

    def has(self, side: int, price: int) -> bool:
        """Whether there is a level at a price."""
        return price in self._levels[side]

    def beyond(self, side: int, price: int) -> list[int]:
        """Prices of the levels that are worse than a price."""
        prices = self._prices[side]
        place = bisect_left(prices, price)
        return prices[:place] if side == BUY else prices[place + (self.has(side, price)) :]

    def _take(self, side: int, order_id: int, price: int, quantity: int, *, whole: bool) -> None:
        level = self._levels[side].get(price)
        if level is None:
            self.misfits += 1
            return
        known = level.orders.get(order_id)
        have = level.initial if known is None else known
        # A named order that is deleted goes as a whole; of the initial order only what the message says.
        taken = have if whole and known is not None else min(quantity, have)
        self.misfits += taken != quantity
        if known is None:
            level.initial -= taken
        elif taken == known:
            del level.orders[order_id]
        else:
            level.orders[order_id] = known - taken
        level.quantity -= taken
        if not level.quantity:
            self._close(side, price)

    def _open(self, side: int, price: int) -> Level:
        level = self._levels[side][price] = Level()
        insort(self._prices[side], price)
        return level

    def _close(self, side: int, price: int) -> None:
        del self._levels[side][price]
        prices = self._prices[side]
        del prices[bisect_left(prices, price)]
