"""Python face of what turns the star's records into rows of a bank of indicators."""

import numpy as np
from numpy.typing import NDArray

from nautilus.core.indicators import Bank

Records = NDArray[np.void]

BARS: int
QUOTES: int
TRADES: int
LEAST_STEP: float
MOST_STEP: float
"""Between them a price goes on; beyond them it does as through a split."""

class FeatureFeed:
    """One thread. Rows of a bank from records of many instruments; what is not taken is counted.

    A record is refused where its instrument was not added (`unknown`), where it is marked stale (`stale`), and where it
    is not newer than what its instrument has: a bar that does not end later, a quote or trade that was known earlier
    (`late`); a trade with the id of one of the last 16 of the same stamp, a quote that is the one before with its stamp
    and id (`duplicates`); a bar of another rule (`foreign`); a quote with one side (`one_sided`) or with its bid above
    its ask (`crossed`); a bar that began before a split and ended after it (`mixed`).

    Parameters
    ----------
    bank
        Its inputs are those of the source: open, high, low, close, volume; bid, bid size, ask, ask size; price, size,
        sign of the aggressor, bid and ask that stood.
    source
        BARS, QUOTES or TRADES.
    bar_kind, bar_size
        The rule of the bars that are taken.
    collects
        Rows do not go to the bank: `collected` gives them all, for a batch of the same numbers.
    keeps
        Of bars: so many rows of each instrument are kept, to be put into shares of after a split.
    """

    bank: Bank
    source: int
    bar_kind: int
    bar_size: int
    taken: int
    late: int
    duplicates: int
    mixed: int
    keeps: int
    stale: int
    crossed: int
    one_sided: int
    unknown: int
    foreign: int

    def __init__(
        self, bank: Bank, source: int, *, bar_kind: int = 0, bar_size: int = 0, collects: bool = False, keeps: int = 0
    ) -> None: ...
    def __len__(self) -> int: ...
    def add(self, instrument_id: int, tick_over: float, tick_under: float, lot_over: float, lot_under: float) -> int:
        """Take an instrument on, with its price increment and its lot as fractions; its slot."""
    def bars(self, records: Records) -> int:
        """Take a BAR array; how many rows it gave."""
    def quotes(self, records: Records) -> int:
        """Take a QUOTE array: rows, or for TRADES the touch that stands before the next trades."""
    def trades(self, records: Records) -> int:
        """Take a TRADE array; how many rows it gave."""
    def split(self, instrument_id: int, time_ns: int, ratio: float) -> bool:
        """`ratio` new shares have become of each one, 0: nobody knows how many. False: known, or not listed.

        The state of the instrument begins anew. Of bars the kept rows are put into shares of after and gone through
        again, so are those that end up to the split and come later; of an unknown ratio, of quotes and of trades
        nothing is kept.
        """
    def splits(self, slot: int) -> tuple[int, float, int]:
        """Time and ratio of the newest split (0: none), and since then steps of the price as of another: by two fifths
        down or nine tenths up, from the close of a bar to the next open, from one bid or trade to the next."""
    def collected(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Times of the rows and when they were known, shape (2, rows); the rows, shape (inputs, rows)."""
    def where(self, slot: int) -> tuple[int, int, int, int, int]:
        """Time of the first row, of the newest, when that was known, gaps, rows that were made up."""
    def times(self) -> NDArray[np.int64]:
        """Of all slots: time of the newest row, when it was known, rows, those made up; shape (4, slots)."""
    def state(self, slot: int) -> tuple[int, bytes]:
        """(rows, bytes) of a slot."""
    def restore(self, slot: int, rows: int, memory: bytes) -> None:
        """Go on where `state` was taken; ValueError where that was of another instrument or program."""
