"""The hub's books of markets that bring their own records: by levels, or by single orders."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nautilus.core import DEPTH
from nautilus.core.book_set import BookSet
from nautilus.core.order_book import OrderBooks
from nautilus.core.ticks import GAP_FLAG
from nautilus.core.types import BOOK_DELTA
from nautilus.model.enums import BookAction, RecordFlag, Side
from nautilus.model.records import Records
from nautilus.model.topics import QUOTES, TRADES, Topic

SET, CLEAR = int(BookAction.SET), int(BookAction.CLEAR)
LAST, SNAPSHOT, STALE = int(RecordFlag.LAST), int(RecordFlag.SNAPSHOT), int(RecordFlag.STALE)
SIDES = int(Side.BUY), int(Side.SELL)
BROKEN = STALE | GAP_FLAG
MOST = 1 << 20
"""Levels that a book is carried over with when single orders come."""


class RecordedBooks:
    """Books, last quotes and last trades of all instruments, as their venues show them: without our orders.

    Levels, quotes and trades are kept by the kernel, many instruments in one call; what marks a book, or names single
    orders, is looked at here, book by book.
    """

    def __init__(self) -> None:
        # What is blind is told by flags, which the feeds set: no book waits for a snapshot here.
        self._levels = BookSet(snapshots=False, numbered=False)
        self._books: dict[int, RecordedBook] = {}
        self._by_order: OrderBooks | None = None

    def of(self, instrument_id: int) -> RecordedBook:
        """The book of an instrument; an empty one where nothing came yet."""
        return self._books.get(instrument_id) or RecordedBook(instrument_id, self)

    def __contains__(self, instrument_id: int) -> bool:
        return instrument_id in self._levels

    @property
    def blind(self) -> dict[int, int]:
        """{instrument id: since when} of the books that may be wrong."""
        return {key: book.blind_since_ns for key, book in self._books.items() if book.blind_since_ns}

    def take(self, kind: Topic, records: Records) -> None:
        """Take in records of one kind, in their order.

        Raises
        ------
        ValueError
            A book change whose side, action or quantity is none; those before it are taken in.
        """
        records = np.ascontiguousarray(records)
        if kind is QUOTES:
            self._levels.take_quotes(records)
        elif kind is TRADES:
            self._levels.take_trades(records)
        elif self._by_order is None and self._levels.levels_alone(records):
            self._levels.apply(records)
        else:
            for instrument_id, part in _by_instrument(records):
                book = self._books.get(instrument_id)
                if book is None:
                    book = self._books[instrument_id] = RecordedBook(instrument_id, self)
                book.take(part)

    @property
    def orders(self) -> OrderBooks:
        """Books of single orders, of all instruments that have them."""
        if self._by_order is None:
            self._by_order = OrderBooks(huge=False)
        return self._by_order

    @property
    def levels(self) -> BookSet:
        """Books by levels, and last quotes."""
        return self._levels

    def trade(self, instrument_id: int) -> tuple[int, int] | None:
        """Price and time of the last trade."""
        return self._levels.trade(instrument_id) if instrument_id in self._levels else None


class RecordedBook:
    """One instrument's book, last quote and last trade.

    A book is blind, that is, it may be wrong, from a record with STALE or with the flag of a gap on, until a whole
    snapshot has come: it is counted since the last record before that.

    Parameters
    ----------
    instrument_id
        Of its records.
    all_books
        Where its levels are.

    Attributes
    ----------
    blind_since_ns : since when the book is blind; 0: it is not.
    blind_ns, gaps : how long it was so before, and how often.
    """

    def __init__(self, instrument_id: int, all_books: RecordedBooks) -> None:
        self.instrument_id = instrument_id
        self.blind_since_ns = self.blind_ns = self.gaps = 0
        self._all = all_books
        self.has_orders = False
        """Its records name single orders."""

    @property
    def updates(self) -> int:
        """Changes that ended with LAST."""
        return self._all.levels.state(self.instrument_id).updates if self._is_there else 0

    @property
    def changed_ns(self) -> int:
        """When the last record of any kind came."""
        trade, quote = self._all.trade(self.instrument_id), self._quote
        stamps = [trade[1] if trade else 0, int(quote["now_ns"][0]) if quote is not None else 0]
        if self._is_there:
            stamps.append(self._all.levels.state(self.instrument_id).now_ns)
        return max(stamps)

    @property
    def last_price(self) -> int | None:
        """Of the last trade."""
        trade = self._all.trade(self.instrument_id)
        return None if trade is None else trade[0]

    def take(self, deltas: Records) -> None:
        """Take in changes of the book, in their order."""
        self._look(deltas)
        if not self.has_orders and not np.isin(deltas["action"], (SET, CLEAR)).all():
            # Order by order from here on: each level that is there stands for orders without names.
            self.has_orders = True
            rows = [
                (0, 0, 0, 0, price, lots, self.instrument_id, side, SET, 0)
                for side, levels in zip(SIDES, self._depth(MOST), strict=True)
                for price, lots in levels.tolist()
            ]
            self._all.orders.apply(np.array(rows, BOOK_DELTA))
        if self.has_orders:
            self._all.orders.apply(deltas)
        self._all.levels.apply(deltas)

    def depth(self, count: int) -> tuple[Records, Records]:
        """Bids and asks, best first, as DEPTH arrays; orders 0 where their number is not known."""
        if self.has_orders:
            found = [self._all.orders.depth(self.instrument_id, side, count) for side in SIDES]
        else:
            found = list(self._depth(count))
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
        if not self.has_orders:
            return []
        bids, asks = (set(side["price_ticks"].tolist()) for side in self.depth(count))
        rows = self._all.orders.orders(self.instrument_id)
        names = ("order_id", "side", "price_ticks", "quantity")
        return [
            (order_id, 0, side, price, lots)
            for order_id, side, price, lots in zip(*(rows[name].tolist() for name in names), strict=True)
            if price in (bids if side == SIDES[0] else asks)
        ]

    def best(self) -> tuple[int, int, int, int]:
        """Of the last quote, else of the book; quantity 0: that side is empty."""
        quote = self._quote
        # A quote that is not to be trusted is none: the book's own best counts, once it is right.
        if quote is not None and not int(quote["flags"][0]) & STALE:
            _, _, _, bid, bid_lots, ask, ask_lots = quote[0].item()[:7]
            return bid, bid_lots, ask, ask_lots
        if self.has_orders:
            return self._all.orders.best(self.instrument_id)
        return self._all.levels.best(self.instrument_id) if self._is_there else (0, 0, 0, 0)

    @property
    def _is_there(self) -> bool:
        return self.instrument_id in self._all.levels

    @property
    def _quote(self) -> Records | None:
        return self._all.levels.quote(self.instrument_id) if self._is_there else None

    def _depth(self, count: int) -> tuple[Records, Records]:
        if not self._is_there:
            return np.zeros(0, DEPTH), np.zeros(0, DEPTH)
        return self._all.levels.depth(self.instrument_id, count)

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


def _by_instrument(records: Records) -> Iterator[tuple[int, Records]]:
    """The records of each instrument, in their order."""
    ids = records["instrument_id"]
    if len(ids) == 1 or (ids == ids[0]).all():
        yield int(ids[0]), records
        return
    order = np.argsort(ids, kind="stable")
    ids, records = ids[order], records[order]
    for part in np.split(records, np.flatnonzero(ids[1:] != ids[:-1]) + 1):
        yield int(part["instrument_id"][0]), part


__all__ = ["RecordedBook", "RecordedBooks"]
