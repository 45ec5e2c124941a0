"""Python face of what turns the star's records into rows of a bank of indicators."""

import numpy as np
from numpy.typing import NDArray

from nautilus.core.indicators import Bank

Records = NDArray[np.void]

BARS: int
QUOTES: int
TRADES: int

class FeatureFeed:
    """One thread. Rows of a bank from records of many instruments; what is not taken is counted.

    A record is refused where its instrument was not added (`unknown`), where it is marked stale (`stale`), and where it
    is not newer than what its instrument has: a bar that does not end later, a quote or trade that was known earlier
    (`late`); a bar of another rule (`foreign`); a quote with one side (`one_sided`) or with its bid above its ask
    (`crossed`).

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
    """

    bank: Bank
    source: int
    bar_kind: int
    bar_size: int
    taken: int
    late: int
    stale: int
    crossed: int
    one_sided: int
    unknown: int
    foreign: int

    def __init__(
        self, bank: Bank, source: int, *, bar_kind: int = 0, bar_size: int = 0, collects: bool = False
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
