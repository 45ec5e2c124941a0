"""Python face of level-1 and level-2 books of many instruments."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Records = NDArray[np.void]

class BookState(NamedTuple):
    """How a book stands.

    Parameters
    ----------
    update_id, now_ns, venue_ns
        Of its last record.
    blind_since_ns
        Since when it is not known, by receive stamps; 0: it is.
    blind_ns
        How long it was not known, in the times that have ended.
    updates, gaps, snapshots, old
        Updates (records with LAST), breaks, whole snapshots, and records that were older than the book.
    crossed
        Its best bid was at or above its best ask after the last update.
    """

    update_id: int
    now_ns: int
    venue_ns: int
    blind_since_ns: int
    blind_ns: int
    updates: int
    gaps: int
    snapshots: int
    old: int
    crossed: bool

class BookSet:
    """Level-2 books, and the last quote, of many instruments. One thread at a time.

    A book comes into being with the first record of its instrument. SET gives a level its quantity (0 removes it),
    CLEAR empties a side (side 0: both). Of records of single orders the level is kept: ADD adds to it, REDUCE, EXECUTE
    and DELETE take off, down to nothing; EXECUTE_HIDDEN changes nothing.

    A book is blind, that is, it may be wrong, from its first record, and from a gap on, until a whole snapshot has been
    applied: both sides cleared, then levels, each record with SNAPSHOT, the last with LAST. A gap is a record with
    `GAP_FLAG`, a snapshot that breaks off, `mark_blind`, or (`consecutive`) a number that is not the next. Blind time
    is counted from the receive stamp of the last record before the gap. Records are applied while it is blind, too.

    Parameters
    ----------
    instruments
        Ids whose books are opened at once.
    snapshots
        A book is blind until its first snapshot; False: its first record begins it.
    numbered
        Records whose update id is below the book's are old and left out (0, and those of snapshots, never are).
    consecutive
        Update ids have no holes.
    levels
        Room for so many levels in all; memory is taken as it is touched, a book's in blocks of 8, 16, 32, ... a side.
    """

    def __init__(
        self,
        instruments: Iterable[int] = (),
        *,
        snapshots: bool = True,
        numbered: bool = True,
        consecutive: bool = False,
        levels: int = ...,
    ) -> None: ...
    def apply(self, deltas: Records) -> None:
        """Apply a BOOK_DELTA array in order.

        Raises
        ------
        TypeError
            Not a C-contiguous BOOK_DELTA array.
        ValueError
            A record whose side, action or quantity is none; those before it are applied.
        MemoryError
            No room for another level or book; those before it are applied.
        """

    def apply_best(self, deltas: Records) -> Records:
        """Apply a BOOK_DELTA array; QUOTE records of the best after each update that changed it. Errors as of `apply`.

        While a book is blind its quotes carry STALE; a quote tells also that this has begun or ended.
        """

    def take_quotes(self, quotes: Records) -> None:
        """Keep the last of a QUOTE array for each instrument (level 1); books are not changed by them."""

    def take_trades(self, trades: Records) -> None:
        """Keep the last of a TRADE array for each instrument; books are not changed by them."""

    @staticmethod
    def levels_alone(deltas: Records) -> bool:
        """Whether a BOOK_DELTA array has SET and CLEAR alone, none of a snapshot, stale or behind a gap."""

    @staticmethod
    def last_of_levels(deltas: Records) -> Records:
        """Of a BOOK_DELTA array the last record of each level, in their order: they make the same book.

        Up to the last one that is no SET, of a snapshot, stale or behind a gap, all of them.
        """

    def best(self, instrument_id: int) -> tuple[int, int, int, int]:
        """(bid price, bid quantity, ask price, ask quantity) of the book; quantity 0: that side is empty.

        KeyError, here and below, where the instrument has no book.
        """

    def quote(self, instrument_id: int) -> Records | None:
        """The last quote of `take_quotes`, a QUOTE array of one; None: there was none."""

    def trade(self, instrument_id: int) -> tuple[int, int] | None:
        """Price in ticks and time of the last trade of `take_trades`; None: there was none."""

    def depth(self, instrument_id: int, levels: int) -> tuple[Records, Records]:
        """Bids and asks, best first, at most `levels` of each, as `nautilus.core.depth.LEVEL` arrays."""

    def quantity(self, instrument_id: int, side: int, price_ticks: int) -> int:
        """Quantity at a price; 0 where there is no level."""

    def counts(self, instrument_id: int) -> tuple[int, int]:
        """Number of bid and of ask levels."""

    def clear(self, instrument_id: int) -> None:
        """Empty both sides."""

    def mark_blind(self, instrument_id: int, since_ns: int) -> None:
        """Say that records are missing: the book is blind from then on, until a snapshot. Opens it where it is not."""

    def state(self, instrument_id: int) -> BookState:
        """How a book stands."""

    def blind(self) -> dict[int, int]:
        """{instrument id: since when} of the books that are blind."""

    def crossed(self) -> list[int]:
        """Instruments whose books were crossed or locked after their last update."""

    def snapshot(self, instrument_id: int) -> Records:
        """BOOK_DELTA records that build the book from nothing; STALE where it is blind."""

    def __len__(self) -> int: ...
    def __contains__(self, instrument_id: int) -> bool: ...
    @property
    def instruments(self) -> list[int]:
        """Ids of the instruments that have a book, in the order in which they were opened."""
    @property
    def memory_bytes(self) -> int:
        """Bytes of its books and of the blocks of levels."""
    @property
    def gaps(self) -> int:
        """Gaps of all books."""
    @property
    def old(self) -> int:
        """Records left out of all books, because they were older."""
    @property
    def crossings(self) -> int:
        """Times that a book became crossed or locked."""
