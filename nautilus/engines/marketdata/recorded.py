"""The hub's books of markets that bring their own records: by levels, or by single orders."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nautilus.core import DEPTH
from nautilus.core.depth import DepthBook
from nautilus.core.order_book import OrderBooks
from nautilus.core.ticks import GAP_FLAG
from nautilus.core.types import BOOK_DELTA
from nautilus.model.enums import BookAction, RecordFlag, Side
from nautilus.model.records import Records
from nautilus.model.topics import QUOTES, TRADES, Topic

SET, CLEAR = int(BookAction.SET), int(BookAction.CLEAR)
LAST, SNAPSHOT, STALE = int(RecordFlag.LAST), int(RecordFlag.SNAPSHOT), int(RecordFlag.STALE)
SIDES = int(Side.BUY), int(Side.SELL)
LEVEL_ACTIONS = frozenset((SET, CLEAR))
BROKEN = STALE | GAP_FLAG
MOST = 1 << 20
"""Levels that a book is carried over with when single orders come."""


class RecordedBook:
    """One instrument's book, last quote and last trade, as the venue shows them: without our orders.

    A book is blind, that is, it may be wrong, from a record with STALE or with the flag of a gap on, until a whole
    snapshot has come: it is counted since the last record before that.

    Parameters
    ----------
    instrument_id
        Of its records.
    by_order
        Gives the books of single orders, which are of all instruments, once there is one.

    Attributes
    ----------
    blind_since_ns : since when the book is blind; 0: it is not.
    blind_ns, gaps : how long it was so before, and how often.
    """

    def __init__(self, instrument_id: int, by_order: Callable[[], OrderBooks] | None = None) -> None:
        self.instrument_id = instrument_id
        self.updates = 0
        self.changed_ns = 0
        self.last_price: int | None = None
        self.last_quote: tuple[int, int, int, int] | None = None
        self.blind_since_ns = self.blind_ns = self.gaps = 0
        self._book = DepthBook()
        self._by_order = by_order or (lambda: OrderBooks(huge=False))
        self._orders: OrderBooks | None = None

    @property
    def has_orders(self) -> bool:
        """Its records name single orders."""
        return self._orders is not None

    def take(self, kind: Topic, records: Records) -> None:
        """Take in records of the instrument, in their order."""
        if kind is QUOTES:
            now_ns, _, _, *best = records[-1].item()[:7]
            # A quote that is not to be trusted is none: the book's own best counts, once it is right.
            self.last_quote = None if int(records["flags"][-1]) & STALE else tuple(best)
        elif kind is TRADES:
            now_ns = int(records["now_ns"][-1])
            self.last_price = int(records["price_ticks"][-1])
        else:
            now_ns = int(records["now_ns"][-1])
            self._look(records)
            self.updates += int(np.count_nonzero(records["flags"] & LAST))
            self._apply(records)
        self.changed_ns = max(self.changed_ns, now_ns)

    def levels(self, count: int) -> tuple[Records, Records]:
        """Bids and asks, best first, as DEPTH arrays; orders 0 where their number is not known."""
        if self._orders is not None:
            found = [self._orders.depth(self.instrument_id, side, count) for side in SIDES]
        else:
            found = list(self._book.depth(count))
        made = []
        for part in found:
            levels = np.zeros(len(part), DEPTH)
            for name in part.dtype.names or ():
                levels[name] = part[name]
            made.append(levels)
        return made[0], made[1]

    def orders(self, count: int) -> list[tuple[int, int, int, int, int]]:
        """Orders of the best levels, bids first, in priority order: id, account (0), side, price, lots.

        Id 0: all that stands at a level from before orders were named.
        """
        if self._orders is None:
            return []
        bids, asks = (set(side["price_ticks"].tolist()) for side in self.levels(count))
        rows = self._orders.orders(self.instrument_id)
        names = ("order_id", "side", "price_ticks", "quantity")
        return [
            (order_id, 0, side, price, lots)
            for order_id, side, price, lots in zip(*(rows[name].tolist() for name in names), strict=True)
            if price in (bids if side == SIDES[0] else asks)
        ]

    def best(self) -> tuple[int, int, int, int]:
        """Of the last quote, else of the book; quantity 0: that side is empty."""
        if self.last_quote is not None:
            return self.last_quote
        return self._book.best() if self._orders is None else self._orders.best(self.instrument_id)

    def _look(self, deltas: Records) -> None:
        """Whether the book begins, or ends, to be blind with these records."""
        flags = deltas["flags"]
        seen = int(np.bitwise_or.reduce(flags))
        if not seen & (BROKEN | SNAPSHOT) or not (self.blind_since_ns or seen & BROKEN):
            return
        before_ns = self.changed_ns
        for now_ns, bits in zip(deltas["now_ns"].tolist(), flags.tolist(), strict=True):
            if bits & BROKEN:
                if not self.blind_since_ns:
                    self.gaps += 1
                    self.blind_since_ns = before_ns or now_ns
            elif self.blind_since_ns and bits & SNAPSHOT and bits & LAST:
                self.blind_ns += max(now_ns - self.blind_since_ns, 0)
                self.blind_since_ns = 0
            before_ns = now_ns

    def _apply(self, deltas: Records) -> None:
        if self._orders is None:
            if set(deltas["action"].tobytes()) <= LEVEL_ACTIONS:
                self._book.apply(deltas)
                return
            # Order by order from here on: each level that is there stands for orders without names.
            self._orders = self._by_order()
            rows = [
                (0, 0, 0, 0, price, lots, self.instrument_id, side, SET, 0)
                for side, levels in zip(SIDES, self._book.depth(MOST), strict=True)
                for price, lots in levels.tolist()
            ]
            self._orders.apply(np.array(rows, BOOK_DELTA))
        self._orders.apply(np.ascontiguousarray(deltas))


__all__ = ["RecordedBook"]
