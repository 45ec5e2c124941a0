"""Python face of what checks ticks of a source and makes records of the platform of them."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nautilus.core.ticks import TickKind, TickReason

Records = NDArray[np.void]

class Normaliser:
    """Checks ticks of one source and makes QUOTE, TRADE and BOOK_DELTA records of them. One thread at a time.

    Decimals become counts of the instrument's price increment and lot exactly, or the tick is refused. A refused tick
    goes to the quarantine with the first reason that holds, in this order: UNKNOWN_INSTRUMENT; KIND (none of the
    four, or unknown flags); SIDE; TIME; for each price with its quantity QUANTITY, PRECISION, RANGE; OUT_OF_ORDER or
    DUPLICATE; CROSSED, LOCKED; JUMP. Only what passes changes what the next ticks are held against, but for what counts
    refusals in a row that agree.

    Parameters
    ----------
    instruments
        Those that are known from the start: anything with `instrument_id`, `price_increment`, `lot_size` and
        `negative_prices`, such as `nautilus.model.instrument.Instrument`.
    future_ns, past_ns
        TIME: the venue's stamp is later than the receive stamp by more than the one, or earlier by more than the other
        (0: however old).
    late_ns
        OUT_OF_ORDER of ticks without number: stamped before the last of their instrument and kind by more than this.
        Numbered ticks are judged by their numbers: quotes, trades and the book (LEVEL, CLEAR) are numbered apart. Equal
        numbers of the book are one update until a tick with LAST; what carries SNAPSHOT may have any number. Without
        numbers a quote that repeats the last one, stamp included, is a DUPLICATE; trades cannot be told apart.
    jump_bps, jump_ticks
        JUMP: a trade's price, or the middle of a quote, is farther from the last one that passed than both. `jump_bps`
        0: never.
    agreeing
        So many prices in a row that jump, each near the one before: the last of them passes, and is where the market
        is. As many numbers that are too low, ascend, and have later stamps: the venue has begun to number anew.
    consecutive
        Kinds whose numbers have no holes: where some are missing the tick passes with `GAP_FLAG`, and GAP counts it.
    locked
        Quotes whose bid is their ask pass.
    source_id
        Of the quotes.

    Raises
    ------
    ValueError
        A setting out of range, an instrument that is known already.
    """

    def __init__(
        self,
        instruments: Iterable[Any] = (),
        *,
        future_ns: int = 1_000_000_000,
        past_ns: int = 0,
        late_ns: int = 0,
        jump_bps: int = 1_000,
        jump_ticks: int = 10,
        agreeing: int = 3,
        consecutive: Iterable[TickKind] = ...,
        locked: bool = False,
        source_id: int = 0,
    ) -> None: ...
    def add(
        self,
        instrument_id: int,
        *,
        price_increment: Decimal | str = "0.0001",
        lot_size: Decimal | str = "0.01",
        negative_prices: bool = False,
    ) -> None:
        """Make an instrument known. ValueError where it is, or where an increment is not a positive number."""

    def anchor(self, instrument_id: int, price_ticks: int) -> None:
        """Say what the last price was. KeyError where the instrument is not known."""

    def process(self, ticks: Records) -> tuple[Records, Records, Records, Records]:
        """Take a TICK array in order: (QUOTE, TRADE, BOOK_DELTA, QUARANTINE) arrays, each in the order of its ticks.

        Raises
        ------
        TypeError
            Not a C-contiguous TICK array.
        """

    def process_into(
        self, ticks: Records, quotes: Records, trades: Records, levels: Records, quarantine: Records
    ) -> tuple[int, int, int, int, int]:
        """As `process`, into arrays of the caller, from their beginning; asks for no memory.

        Returns
        -------
        used, quotes, trades, levels, refused : ticks taken, and records written. Fewer ticks than given: one of the
            arrays may have no room for what the next one becomes (a CLEAR of both sides is two records).

        Raises
        ------
        TypeError
            An array is of another dtype, not contiguous, or not to be written.
        """

    def counts(self) -> dict[TickReason, int]:
        """Refusals by reason so far; GAP: ticks that passed behind a gap."""

    def refused_of(self, instrument_id: int) -> int:
        """Refusals of an instrument so far; KeyError where it is not known."""

    @property
    def passed(self) -> int:
        """Ticks that passed."""
    @property
    def refused(self) -> int:
        """Ticks that did not."""
    @property
    def instruments(self) -> list[int]:
        """Ids of the known ones, in the order in which they were added."""
