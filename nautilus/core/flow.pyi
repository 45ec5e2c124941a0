"""Python face of order-flow imbalance."""

import numpy as np
from numpy.typing import NDArray

from nautilus.core.book_set import BookSet

Records = NDArray[np.void]

class FlowBuilder:
    """Order-flow imbalance of many instruments, over intervals of time or of updates. One thread at a time.

    Each update n of bid price P and quantity q, and of ask price S and quantity r, counts

        e_n = [P_n >= P_(n-1)] q_n - [P_n <= P_(n-1)] q_(n-1) - [S_n <= S_(n-1)] r_n + [S_n >= S_(n-1)] r_(n-1)

    in lots (Cont, Kukanov, Stoikov, "The price impact of order book events", 2014, equation 4); with several levels the
    sum of the same over the m-th best of both sides. An empty side has quantity 0 at a price behind all others. The
    first update of an instrument is only what the next is held against, and so are a snapshot of a book and the first
    quote behind one with STALE, which itself counts nothing.

    Stamps are receive stamps; an interval of time is counted from the epoch, its end not in it, and is given with the
    first update behind it, if it had any. `flags` have LAST where the interval was whole, and SYNTHETIC, STALE (a blind
    book or quote) and `GAP_FLAG` of any of its updates.

    Parameters
    ----------
    interval_ns, updates
        Either: how long an interval is.
    levels
        1 to 10.

    Raises
    ------
    ValueError
        A setting out of range.
    """

    def __init__(self, *, interval_ns: int = 0, updates: int = 0, levels: int = 1) -> None: ...
    def process(self, quotes: Records) -> Records:
        """Take a QUOTE array in order; the intervals that it ended, as FLOW array.

        Raises
        ------
        TypeError
            Not a C-contiguous QUOTE array.
        ValueError
            It has more than one level, or a quote a quantity or stamp out of range; those before it are taken.
        """

    def process_books(self, books: BookSet, deltas: Records) -> Records:
        """Apply a BOOK_DELTA array to the books, in order; the intervals that it ended, as FLOW array.

        An update ends with the record that has LAST. Errors as of `BookSet.apply`.
        """

    def flush(self) -> Records:
        """The open intervals, without LAST, as FLOW array; all begin anew."""

    @property
    def levels(self) -> int: ...
    @property
    def interval_ns(self) -> int: ...
    @property
    def updates(self) -> int: ...
