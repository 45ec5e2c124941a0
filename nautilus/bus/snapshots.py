"""Images of streams: what a reader needs to know of all records so far, from the last frames of each stream.

How the records of a kind fold stands in one table, `FOLDS`:

========== ========================================================================================
LAST       the last record is the state; those before it say nothing more
BOOK       levels by (side, price) from SET, orders by id from ADD, REDUCE, EXECUTE, DELETE; CLEAR empties a side
EVENTS     each record counts for itself: the image is the last one, and stands for none before it
========== ========================================================================================
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from typing import Final

import numpy as np

from nautilus.bus.base import BY_KIND, HEADER_BYTES, MAGIC, Layout
from nautilus.core.book_set import BookSet
from nautilus.core.ticks import GAP_FLAG
from nautilus.core.types import BOOK_DELTA
from nautilus.model.enums import BookAction, RecordFlag
from nautilus.model.records import Records
from nautilus.model.topics import (
    AUCTIONS,
    BARS,
    BOOK_DELTAS,
    ECONOMICS,
    FLOWS,
    FUNDAMENTALS,
    HISTORICAL_BARS,
    QUARANTINES,
    QUOTE_FACTS,
    QUOTES,
    TRADES,
)

SET, ADD, REDUCE, DELETE, EXECUTE, EXECUTE_HIDDEN, CLEAR = (int(action) for action in BookAction)
LAST, SNAPSHOT, STALE = int(RecordFlag.LAST), int(RecordFlag.SNAPSHOT), int(RecordFlag.STALE)
BROKEN = STALE | GAP_FLAG
DUE_RECORDS: Final = 2_048
"""Deltas of one book, from which on it has its turn to be folded: one book a turn, a quarter of a millisecond."""
PENDING_RECORDS: Final = 16_384
"""Deltas of one book that wait for that, and no more."""
FEW: Final = 64
"""Deltas that are sooner folded one by one."""


class Fold(IntEnum):
    """How records of a kind become an image."""

    LAST = 1
    BOOK = 2
    EVENTS = 3


FOLDS: Final = {
    QUOTES.name: Fold.LAST,
    TRADES.name: Fold.EVENTS,
    BOOK_DELTAS.name: Fold.BOOK,
    AUCTIONS.name: Fold.LAST,
    BARS.name: Fold.EVENTS,
    FLOWS.name: Fold.EVENTS,
    HISTORICAL_BARS.name: Fold.EVENTS,
    FUNDAMENTALS.name: Fold.EVENTS,
    ECONOMICS.name: Fold.EVENTS,
    QUARANTINES.name: Fold.EVENTS,
    QUOTE_FACTS.name: Fold.EVENTS,
}
BY_KIND_FOLD: Final = {kind: FOLDS[layout.topic.name] for kind, layout in BY_KIND.items()}


def folds(kind: int) -> bool:
    """Whether an image of such a stream says all that the records before it said."""
    return BY_KIND_FOLD.get(kind, Fold.EVENTS) != Fold.EVENTS


class _Level:
    """What rests at a price: as the venue told it in a SET, and orders."""

    __slots__ = ("orders", "set")

    def __init__(self) -> None:
        self.set: tuple[int, ...] | None = None
        self.orders: dict[int, tuple[int, ...]] = {}


class BookImage:
    """Levels and orders of one book, folded from its deltas by the rules of `nautilus.core.order_book`.

    From a record with STALE, or the flag of a gap, until a whole snapshot the book is not known: its image has STALE.
    """

    def __init__(self) -> None:
        self._blind = False
        self._levels: dict[tuple[int, int], _Level] = {}
        self._at: dict[int, tuple[int, int]] = {}
        self._last: tuple[int, ...] | None = None

    def apply(self, records: Records) -> None:
        """Take in deltas, in order."""
        levels = self._levels
        for row in _telling(records).tolist():
            order, quantity, side, action, flags = row[3], row[5], row[7], row[8], row[9]
            if flags & BROKEN:
                self._blind = True
            elif self._blind and flags & SNAPSHOT and flags & LAST:
                self._blind = False
            key = (side, row[4])
            if action == SET:
                self._drop(key)
                if quantity > 0:
                    levels[key] = _Level()
                    levels[key].set = row
            elif action == ADD:
                if order in self._at:
                    self._take(order, key, 0, whole=True)
                level = levels.get(key)
                if level is None:
                    level = levels[key] = _Level()
                level.orders[order] = row
                self._at[order] = key
            elif action == CLEAR:
                for each in [each for each in levels if side in (0, each[0])]:
                    self._drop(each)
            elif action != EXECUTE_HIDDEN:
                self._take(order, key, quantity, whole=action == DELETE)
            self._last = row

    def _take(self, order: int, key: tuple[int, int], quantity: int, *, whole: bool) -> None:
        """Take a quantity off an order; off what is not named at the level where the order is not known."""
        known = self._at.get(order)
        key = known or key
        level = self._levels.get(key)
        if level is None:
            return
        row = level.orders.get(order) if known else level.set
        if row is None:
            return
        rest = 0 if whole and known else row[5] - quantity
        left = (*row[:5], rest, *row[6:]) if rest > 0 else None
        if not known:
            level.set = left
        elif left is not None:
            level.orders[order] = left
        else:
            del level.orders[order], self._at[order]
        if level.set is None and not level.orders:
            del self._levels[key]

    def _drop(self, key: tuple[int, int]) -> None:
        level = self._levels.pop(key, None)
        if level is not None:
            for order in level.orders:
                del self._at[order]

    def records(self) -> Records:
        """The book as deltas that build it from nothing: CLEAR of both sides, then its levels and orders."""
        if self._last is None:
            return np.empty(0, BOOK_DELTA)
        now, venue, update, _, _, _, instrument, _, _, _ = self._last
        rows: list[tuple[int, ...]] = [(now, venue, update, 0, 0, 0, instrument, side, CLEAR, 0) for side in (1, 2)]
        for level in self._levels.values():
            rows += [*([level.set] if level.set else ()), *level.orders.values()]
        image = np.array(rows, BOOK_DELTA)
        image["flags"] = (image["flags"] & ~np.uint16(LAST | BROKEN)) | np.uint16(
            SNAPSHOT | (STALE if self._blind else 0)
        )
        image["flags"][-1] |= LAST
        return image


def _telling(records: Records) -> Records:
    """Those of many deltas that say what the others do not: of levels alone, the last of each, in their order."""
    return records if len(records) < FEW else BookSet.last_of_levels(records)


class _Stream:
    __slots__ = ("as_of", "book", "broken", "due", "frame", "layout", "pending", "waiting")

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.as_of = 0
        self.frame = b""
        self.pending: list[memoryview] = []
        self.waiting = 0
        self.due = False
        self.book: BookImage | None = None
        self.broken = False


class Snapshots:
    """Images of all streams of one epoch. One thread."""

    def __init__(self) -> None:
        self._streams: dict[int, _Stream] = {}
        self._due: deque[_Stream] = deque()
        self.complete = True
        """Every stream of the epoch has been seen from its first record."""

    def fold(self, stream: int, first: int, count: int, frame: bytes) -> None:
        """Take in a frame of records of the publisher."""
        state = self._streams.get(stream)
        if state is None:
            layout = BY_KIND.get(stream >> 32)
            if layout is None or not self._readable(layout, frame, count):
                return
            state = self._streams[stream] = _Stream(layout)
            state.broken = first != 1
        elif first != state.as_of + 1:
            # Its book cannot be told any more, unless it is told anew.
            state.broken = True
            state.book, state.pending, state.waiting = None, [], 0
        state.as_of = first + count - 1
        if BY_KIND_FOLD[state.layout.kind] == Fold.BOOK:
            if state.broken:
                records = np.frombuffer(frame, state.layout.dtype, count, HEADER_BYTES)
                state.broken = not ((records["action"] == CLEAR).any() and self._begins(state, records))
            if not state.broken:
                state.pending.append(memoryview(frame)[HEADER_BYTES : HEADER_BYTES + count * state.layout.record_size])
                state.waiting += count
                if state.waiting > PENDING_RECORDS:
                    self._fold_book(state)
                elif state.waiting > DUE_RECORDS and not state.due:
                    state.due = True
                    self._due.append(state)
        else:
            state.frame = frame

    def tend(self) -> None:
        """Fold one of the books that much has come for, as books that get alike many records are due together."""
        while self._due:
            state = self._due.popleft()
            state.due = False
            if state.waiting > DUE_RECORDS:
                self._fold_book(state)
                return

    def streams(self) -> list[int]:
        """Those that have been seen."""
        return list(self._streams)

    def image(self, stream: int) -> tuple[int, Records] | None:
        """(sequence as of which, records) of a stream; None where it cannot be told."""
        state = self._streams.get(stream)
        if state is None:
            return None
        if BY_KIND_FOLD[state.layout.kind] == Fold.BOOK:
            if state.broken:
                return None
            self._fold_book(state)
            assert state.book is not None
            return state.as_of, state.book.records()
        size = state.layout.record_size
        return state.as_of, np.frombuffer(state.frame[-size:], state.layout.dtype)

    def missed(self) -> None:
        """Frames are gone that nobody folded."""
        self.complete = False

    @staticmethod
    def _readable(layout: Layout, frame: bytes, count: int) -> bool:
        return (
            int.from_bytes(frame[8:12], "little") == MAGIC
            and len(frame) == HEADER_BYTES + count * layout.record_size
            and count > 0
        )

    @staticmethod
    def _begins(state: _Stream, records: Records) -> bool:
        """Whether a book can be told from these deltas on: both sides are emptied in them before anything else."""
        first = records[:2]
        return len(first) == 2 and bool((first["action"] == CLEAR).all()) and set(first["side"].tolist()) == {1, 2}

    @staticmethod
    def _fold_book(state: _Stream) -> None:
        if state.book is None:
            state.book = BookImage()
        if state.pending:
            state.book.apply(np.frombuffer(b"".join(state.pending), state.layout.dtype))
            state.pending, state.waiting = [], 0
