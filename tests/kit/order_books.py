"""A plain twin of `nautilus.core.order_book.OrderBooks`: dicts and lists, no index, no ladder."""

from __future__ import annotations

from typing import Any

from nautilus.core.types import BookAction, Side

BUY, SELL = int(Side.BUY), int(Side.SELL)


class PlainBooks:
    """Books by instrument: for each side {price: [[order id or None, quantity], ...] in queue order}."""

    def __init__(self) -> None:
        self.books: dict[int, dict[int, dict[int, list[list[Any]]]]] = {}
        self.unknown = self.duplicates = self.excess = 0

    def apply(self, deltas: Any) -> None:
        """Apply a BOOK_DELTA array in order."""
        names = ("instrument_id", "side", "action", "order_id", "price_ticks", "quantity")
        for row in zip(*(deltas[name].tolist() for name in names), strict=True):
            self.change(*row)

    def change(self, instrument: int, side: int, action: int, order_id: int, price: int, quantity: int) -> None:
        """Apply one record."""
        book = self.books.setdefault(instrument, {BUY: {}, SELL: {}})
        if action == BookAction.ADD:
            if self._locate(book, order_id) is not None:
                self.duplicates += 1
                self._take(book, order_id, None)
            book[side].setdefault(price, []).append([order_id, quantity])
        elif action == BookAction.SET:
            book[side].pop(price, None)
            if quantity:
                book[side][price] = [[None, quantity]]
        elif action == BookAction.CLEAR:
            for each in (BUY, SELL):
                if side in (0, each):
                    book[each].clear()
        elif action != BookAction.EXECUTE_HIDDEN:
            whole = action == BookAction.DELETE
            if self._locate(book, order_id) is not None:
                self._take(book, order_id, None if whole else quantity)
            else:
                self._take_unnamed(book, side, price, quantity)

    def orders(self, instrument: int) -> list[tuple[int, int, int, int]]:
        """(order id, price, quantity, side) as `OrderBooks.orders` lists them."""
        out = []
        for side in (BUY, SELL):
            levels = self.books[instrument][side]
            for price in sorted(levels, reverse=side == BUY):
                out += [(order_id or 0, price, quantity, side) for order_id, quantity in levels[price]]
        return out

    def _locate(self, book: Any, order_id: int) -> tuple[int, int, int] | None:
        for side in (BUY, SELL):
            for price, queue in book[side].items():
                for place, (each, _) in enumerate(queue):
                    if each == order_id and each is not None:
                        return side, price, place
        return None

    def _take(self, book: Any, order_id: int, quantity: int | None) -> None:
        found = self._locate(book, order_id)
        assert found is not None
        side, price, place = found
        self._reduce(book[side], price, place, quantity)

    def _take_unnamed(self, book: Any, side: int, price: int, quantity: int) -> None:
        queue = book.get(side, {}).get(price)
        if not queue or queue[0][0] is not None:
            self.unknown += 1
            return
        self._reduce(book[side], price, 0, quantity)

    def _reduce(self, levels: Any, price: int, place: int, quantity: int | None) -> None:
        queue = levels[price]
        have = queue[place][1]
        if quantity is None or quantity >= have:
            self.excess += quantity is not None and quantity > have
            del queue[place]
            if not queue:
                del levels[price]
        else:
            queue[place][1] = have - quantity
