"""Stored records of one instrument as a recording: cut into updates, the book checked.

Order is that of the store: by stamp, and at one stamp as the records were appended, whatever their kinds. A book change
is all book records up to one with the flag LAST. A range that begins after the first stored book change begins with a
snapshot of the book as it was then, STALE where it was not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nautilus.core.depth import DepthBook
from nautilus.core.order_book import OrderBooks
from nautilus.core.ticks import GAP_FLAG
from nautilus.core.types import BOOK_DELTA, QUOTE, BookAction, RecordFlag, Side
from nautilus.model.topics import AUCTIONS, BARS, BOOK_DELTAS, FLOWS, QUOTES, TRADES, topic_of
from nautilus.simulation import playback
from nautilus.simulation.playback import InstrumentHint

Records = NDArray[np.void]
Reader = Callable[[int, int], Iterable[Records]]
"""Arrays of one kind each from a time (inclusive) to another (exclusive), in order."""
KINDS = {
    QUOTES.name: playback.QUOTE,
    TRADES.name: playback.TRADE,
    BOOK_DELTAS.name: playback.BOOK,
    BARS.name: playback.BAR,
    AUCTIONS.name: playback.AUCTION,
    FLOWS.name: playback.FLOW,
}
NAMES = {
    playback.QUOTE: "quotes",
    playback.TRADE: "trades",
    playback.BOOK: "book_updates",
    playback.BAR: "bars",
    playback.AUCTION: "auctions",
    playback.FLOW: "flows",
}
LAST, SNAPSHOT, STALE = int(RecordFlag.LAST), int(RecordFlag.SNAPSHOT), int(RecordFlag.STALE)
BROKEN = STALE | GAP_FLAG
NOT_TOLD = STALE | int(RecordFlag.SYNTHETIC)
"""Of quotes that are none of the venue's tickers."""
ADD, SET, CLEAR = int(BookAction.ADD), int(BookAction.SET), int(BookAction.CLEAR)
BUY, SELL = int(Side.BUY), int(Side.SELL)
END_NS = 2**63 - 1
LOOK_BACK_NS, FURTHER = 60_000_000_000, 8
"""A range's begin looks so far back for a whole snapshot of the book, then so many times further, then at all."""
MOST_LEVELS = 1 << 20
NO_QUOTES: Records = np.zeros(0, QUOTE)


class Check(Protocol):
    """`nautilus.adapters.formats.BookCheck`: what a rebuilt book is compared by."""

    def add(self, books: Records, tickers: Records) -> None:
        """Take in QUOTE arrays of the rebuilt best and of the venue's ticker."""
        ...

    def interrupt(self) -> None:
        """Tickers were missed: compare nothing across that."""
        ...

    def finish(self) -> None:
        """The stream has ended."""
        ...

    def summary(self) -> dict[str, Any]:
        """What was compared."""
        ...


class StoredRecording:
    """A stored range of one instrument: a `nautilus.simulation.playback.Recording`.

    Parameters
    ----------
    hint : the instrument.
    read : its records; with the second argument only those of the book.
    begin_ns, end_ns : the range, the end excluded.
    instrument_id : written into every record.
    order_by_order : the book changes name single orders.
    check : compares the rebuilt book with the stored quotes, where those carry the venue's update ids; None: nobody.
    on_end : called when the updates end, or nobody asks for more.
    range_ns : of all that is stored, for the progress.
    """

    def __init__(
        self,
        hint: InstrumentHint,
        read: Reader,
        read_book: Reader,
        *,
        begin_ns: int = 0,
        end_ns: int = END_NS,
        instrument_id: int = 1,
        order_by_order: bool = False,
        check: Check | None = None,
        range_ns: tuple[int, int] = (0, 0),
        on_end: Callable[[], object] | None = None,
    ) -> None:
        self.hint = hint
        self.order_by_order = order_by_order
        self.start_ns = max(range_ns[0], begin_ns)
        self.counts: dict[str, int] = {}
        self._read, self._read_book = read, read_book
        self._begin_ns, self._end_ns = begin_ns, end_ns
        self._instrument_id = instrument_id
        self._check = None if order_by_order else check
        self._book = DepthBook()
        self._first_ns, self._last_ns = range_ns[0], min(range_ns[1], end_ns)
        self.on_end = on_end
        self._now_ns = 0
        self._ended = False

    def updates(self, until_ns: int | None = None) -> Iterator[tuple[int, int, Records]]:
        """Give `(now_ns, kind, records)` in order, once."""
        try:
            yield from self._updates(self._end_ns if until_ns is None else min(self._end_ns, until_ns + 1))
        finally:
            if self.on_end is not None:
                self.on_end()

    def summary(self) -> dict[str, Any]:
        """Counters and book checks of what was read."""
        return {
            "format": "catalog",
            "records": dict(self.counts),
            "skipped": {},
            "gaps": 0,
            "lost": 0,
            "notes": [],
            "book_checks": self._check.summary() if self._check is not None else None,
        }

    @property
    def progress(self) -> float:
        """Part of the range's time that was played, 0 to 1."""
        if self._ended or self._last_ns <= self.start_ns:
            return float(self._ended)
        return min(max((self._now_ns - self.start_ns) / (self._last_ns - self.start_ns), 0.0), 1.0)

    def _updates(self, end_ns: int) -> Iterator[tuple[int, int, Records]]:
        yield from self._snapshot()
        part: Records | None = None  # of a book change whose last record is still to come
        for records in self._read(self._begin_ns, end_ns):
            if not len(records):
                continue
            kind = KINDS.get(topic_of(records).name)
            if kind is None:
                continue
            records = _own(records, self._instrument_id)
            if kind == playback.BOOK:
                records = records if part is None else np.concatenate((part, records))
                ends = np.flatnonzero(records["flags"] & LAST) + 1
                part = records[ends[-1] if len(ends) else 0 :]
                part = part if len(part) else None
            else:
                ends = np.arange(1, len(records) + 1)
            yield from self._given(kind, records, ends)
        if part is not None:
            yield from self._given(playback.BOOK, part, np.array([len(part)]))
        self._ended = True
        if self._check is not None:
            self._check.finish()

    def _given(self, kind: int, records: Records, ends: NDArray[np.int64]) -> Iterator[tuple[int, int, Records]]:
        """The updates that end there; time never goes back."""
        if not len(ends):
            return
        starts = [0, *ends[:-1].tolist()]
        stamps = np.maximum(np.maximum.accumulate(records["now_ns"][ends - 1]), self._now_ns).tolist()
        units = [records[start:end] for start, end in zip(starts, ends.tolist(), strict=True)]
        self._look(kind, records, units)
        given = 0
        try:
            for now_ns, unit in zip(stamps, units, strict=True):
                self._now_ns = now_ns
                given += 1
                yield now_ns, kind, unit
        finally:
            self.counts[NAMES[kind]] = self.counts.get(NAMES[kind], 0) + given

    def _look(self, kind: int, records: Records, units: list[Records]) -> None:
        """Carry the book on, and compare it with the quotes that carry update ids of the venue."""
        if self._check is None:
            return
        if kind == playback.QUOTE:
            told = (records["update_id"] > 0) & (records["flags"] & NOT_TOLD == 0)
            begin = 0
            for at in np.flatnonzero(records["flags"] & STALE).tolist():  # a blind time: tickers may be missing
                self._check.add(NO_QUOTES, records[begin:at][told[begin:at]])
                self._check.interrupt()
                begin = at + 1
            self._check.add(NO_QUOTES, records[begin:][told[begin:]])
        elif kind == playback.BOOK:
            books = self._book.apply_each(units)
            books["update_id"] = [int(unit["update_id"][-1]) for unit in units]
            self._check.add(books[[not int(unit["flags"][0]) & SNAPSHOT for unit in units]], NO_QUOTES)

    def _snapshot(self) -> Iterator[tuple[int, int, Records]]:
        """The book as it was at the begin of the range, where anything is stored from before it."""
        if not self._begin_ns:
            return
        back_ns, last = LOOK_BACK_NS, None
        while True:
            from_ns = self._begin_ns - back_ns if self._begin_ns - back_ns > self._first_ns else 0
            books, last, blind, whole = self._book_since(from_ns)
            if whole or not from_ns:
                break
            back_ns *= FURTHER
        if last is None:
            return
        rows = [(side, CLEAR, 0, 0, 0) for side in (BUY, SELL)]
        if self.order_by_order:
            orders = zip(
                *(books.orders(self._instrument_id)[name].tolist() for name in
                  ("side", "order_id", "price_ticks", "quantity")), strict=True
            )  # fmt: skip
            rows += [(side, ADD if order_id else SET, price, lots, order_id) for side, order_id, price, lots in orders]
        else:
            for side, levels in zip((BUY, SELL), self._book.depth(MOST_LEVELS), strict=True):
                rows += [(side, SET, *level, 0) for level in levels.tolist()]
        now_ns, venue_ns, update_id = self._begin_ns, int(last["venue_ns"][-1]), int(last["update_id"][-1])
        snapshot = np.array(
            [(now_ns, venue_ns, update_id, order_id, price, lots, self._instrument_id, side, action, SNAPSHOT)
             for side, action, price, lots, order_id in rows], BOOK_DELTA
        )  # fmt: skip
        snapshot["flags"][-1] |= LAST
        if blind:
            snapshot["flags"] |= STALE
        self._now_ns = now_ns
        self.counts["book_snapshots"] = 1
        yield now_ns, playback.BOOK, snapshot

    def _book_since(self, from_ns: int) -> tuple[OrderBooks, Records | None, bool, bool]:
        """Books at the begin, of what is stored from a time on: orders, last records, whether blind, whether whole."""
        self._book = DepthBook()
        books, last, blind, whole = OrderBooks(huge=False), None, False, _Whole()
        for records in self._read_book(from_ns, self._begin_ns):
            if len(records):
                last = records
                blind = _is_blind(records["flags"], blind)
                whole.add(records)
                if self.order_by_order:
                    books.apply(_own(records, self._instrument_id))
                else:
                    self._book.apply(np.ascontiguousarray(records))
        return books, last, blind, whole.seen


class _Whole:
    """Whether a whole snapshot, its begin too, is among the records that came by: nothing before it matters."""

    def __init__(self) -> None:
        self.seen = False
        self._cleared = [False, False]

    def add(self, records: Records) -> None:
        """Take in the next records."""
        flags = records["flags"]
        ready = 0
        for place, side in enumerate((BUY, SELL)):
            if not self._cleared[place]:
                clears = (flags & SNAPSHOT != 0) & (records["action"] == CLEAR) & np.isin(records["side"], (0, side))
                self._cleared[place] = bool(clears.any())
                ready = max(ready, int(np.argmax(clears)) if self._cleared[place] else len(records))
        self.seen |= bool((flags[ready:] & (SNAPSHOT | LAST | BROKEN) == SNAPSHOT | LAST).any())


def _is_blind(flags: NDArray[np.uint16], before: bool) -> bool:
    """Whether a book is not known after records with these flags."""
    broken = np.flatnonzero(flags & BROKEN)
    whole = np.flatnonzero((flags & (SNAPSHOT | LAST | BROKEN)) == SNAPSHOT | LAST)
    if len(broken) and len(whole):
        return bool(broken[-1] > whole[-1])
    return bool(len(broken)) or (before and not len(whole))


def _own(records: Records, instrument_id: int) -> Records:
    """A copy of the records with this instrument id."""
    own: Records = np.array(records)
    own["instrument_id"] = instrument_id
    return own
