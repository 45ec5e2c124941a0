"""Python face of the builder of books from ITCH messages."""

import numpy as np
from numpy.typing import NDArray

from nautilus.core.itch import ItchDecoder, ItchFault
from nautilus.core.order_book import OrderBooks

class ItchBookBuilder:
    """Keeps books by what ITCH messages say; the instrument of a message is its stock locate. One thread at a time.

    Messages of an order that is not in its book are counted by the books (`OrderBooks.unknown`) and passed over.

    Parameters
    ----------
    books
        Opened with `edge=10000, step=100` they lie on NASDAQ's grid: single ticks of 1/10,000 dollar under a dollar,
        cents from there on. A price off the grid is taken all the same.
    midnight_ns
        Midnight in New York, in nanoseconds UTC; 0 keeps times since midnight.
    """

    def __init__(self, books: OrderBooks, *, midnight_ns: int = 0) -> None: ...
    def apply(self, orders: NDArray[np.void]) -> None:
        """Apply an ITCH_ORDER array.

        Raises
        ------
        TypeError
            Not a C-contiguous ITCH_ORDER array.
        MemoryError
            The books are full; what came before is applied.
        """

    def apply_bytes(self, decoder: ItchDecoder, block: bytes | memoryview) -> tuple[int, ItchFault | None]:
        """Decode messages and apply them, without an array in between: bytes used, and the fault at which it ended.

        Counters and offset are the decoder's. The books are those that `decode` and `apply` give.
        """

    def build(self, orders: NDArray[np.void]) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Apply an ITCH_ORDER array; the BOOK_DELTA and TRADE arrays that it means. Errors as of `apply`.

        Side and price of a delta are those of its order. A replace is DELETE and ADD, of which the second carries
        LAST. An execution that is part of a cross is no trade, and neither is the cross (Q): it has no aggressor.
        """

    @property
    def books(self) -> OrderBooks: ...
    @property
    def midnight_ns(self) -> int: ...
    @property
    def messages(self) -> int:
        """Messages that name an order or a trade, so far."""
    @property
    def crosses(self) -> int: ...
    @property
    def broken_trades(self) -> int: ...
    @property
    def unprinted(self) -> int:
        """Executions that were not printed, as the print of the cross holds them (not counted by `apply_bytes`)."""
    @property
    def void_orders(self) -> int:
        """Orders without price or quantity, passed over."""
