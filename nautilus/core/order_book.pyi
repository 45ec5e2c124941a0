"""Python face of order books kept order by order."""

import numpy as np
from numpy.typing import NDArray

BOOK_LEVEL: np.dtype[np.void]
BOOK_ORDER: np.dtype[np.void]
MAX_ORDERS: int

class OrderBooks:
    """Order books of many instruments, from BOOK_DELTA records of single orders. One thread at a time.

    ADD puts an order at the end of its level's queue; REDUCE and EXECUTE take quantity off it and keep its place;
    DELETE takes it out; EXECUTE_HIDDEN changes nothing; CLEAR empties a side (side 0: both). SET makes a level one
    order of that quantity which has no id: what names an order that is not known, with a side and a price, acts on
    that one. A book comes into being with the first record of its instrument.

    Parameters
    ----------
    orders, instruments, pages
        Room for so many orders, instruments and pages of 512 prices. Memory is taken as it is touched.
    edge, step
        The grid on which a book's prices lie close together: every price below `edge`, then multiples of `step` from
        `edge` on. The first price off its grid puts a book on one of single ticks.
    huge
        Ask for huge pages of memory.
    """

    def __init__(
        self,
        *,
        orders: int = ...,
        instruments: int = ...,
        pages: int = ...,
        edge: int = 0,
        step: int = 1,
        huge: bool = True,
    ) -> None: ...
    def add_instrument(self, instrument_id: int, *, edge: int = 0, step: int = 1) -> None:
        """Open a book on a grid of its own. ValueError where it is open, MemoryError where there is no room."""

    def apply(self, deltas: NDArray[np.void]) -> None:
        """Apply a BOOK_DELTA array in order.

        Raises
        ------
        TypeError
            Not a C-contiguous BOOK_DELTA array.
        ValueError
            A record whose side, action, price (beyond +-2^40) or quantity is out of range; those before it are applied.
        MemoryError
            No room for another order, page or instrument; those before it are applied.
        """

    def apply_quotes(self, deltas: NDArray[np.void]) -> NDArray[np.void]:
        """Apply a BOOK_DELTA array; a QUOTE array of the best after each record with the flag LAST. Errors as above."""

    def best(self, instrument_id: int) -> tuple[int, int, int, int]:
        """(bid price, bid quantity, ask price, ask quantity) in ticks and lots; quantity 0: that side is empty.

        KeyError, here and below, where the instrument has no book.
        """

    def depth(self, instrument_id: int, side: int, levels: int = ...) -> NDArray[np.void]:
        """Levels of a side, best first, as BOOK_LEVEL array (`price_ticks`, `quantity`, `orders`)."""

    def orders(self, instrument_id: int) -> NDArray[np.void]:
        """All orders as BOOK_ORDER array: bids, then asks, best level first, first in queue first.

        An order that stands for a whole level (SET) has id 0.
        """

    def state_hash(self, instrument_id: int) -> int:
        """XXH64 of `orders`: equal books, queues included, have equal hashes."""

    def clear(self, instrument_id: int) -> None:
        """Empty both sides."""

    @property
    def instruments(self) -> list[int]:
        """Ids of the instruments that have a book, in the order in which they were opened."""
    @property
    def order_count(self) -> int:
        """Orders in all books."""
    @property
    def unknown(self) -> int:
        """Records that named an order which is not there."""
    @property
    def duplicates(self) -> int:
        """ADD records of an id that was there: the old order has gone."""
    @property
    def excess(self) -> int:
        """Records that took more than there was: the order has gone."""
