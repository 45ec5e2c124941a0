"""Python face of the builder of books from Databento market-by-order records."""

import numpy as np
from numpy.typing import NDArray

from nautilus.core.order_book import OrderBooks

MBO: np.dtype[np.void]
UNDEFINED_PRICE: int

class MboBookBuilder:
    """Keeps books by what market-by-order records say. One thread at a time.

    Parameters
    ----------
    books
        Those of the instruments in `increments`; missing ones are added.
    increments
        By instrument id, the price increment in 1/1,000,000,000.
    """

    def __init__(self, books: OrderBooks, increments: dict[int, int]) -> None: ...
    def apply(self, records: NDArray[np.void]) -> None:
        """Apply an MBO array.

        Raises
        ------
        TypeError
            Not a C-contiguous MBO array.
        ValueError
            A record of another type or of an unknown instrument, an unknown action or side, or a price off the
            increment or beyond 2^40 of it; what came before is applied.
        MemoryError
            The books are full.
        """

    def build(self, records: NDArray[np.void]) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Apply an MBO array; the BOOK_DELTA and TRADE arrays that it means. Errors as of `apply`.

        A modification that loses its place is DELETE and ADD, one that keeps it REDUCE. A trade without an aggressor is
        counted and left out.
        """

    @property
    def books(self) -> OrderBooks: ...
    @property
    def records(self) -> int: ...
    @property
    def fills(self) -> int: ...
    @property
    def sideless_trades(self) -> int: ...
    @property
    def void_orders(self) -> int:
        """Orders of size 0, passed over."""
