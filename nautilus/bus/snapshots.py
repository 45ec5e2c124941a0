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
from nautilus.bus.book_image import CLEAR, BookImage
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

DUE_RECORDS: Final = 2_048
"""Deltas of one book, from which on it has its turn to be folded: one book a turn, a quarter of a millisecond."""
PENDING_RECORDS: Final = 16_384
"""Deltas of one book that wait for that, and no more."""


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
