"""Python face of the order book of absolute quantities."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEVEL: np.dtype[np.void]

class DepthBook:
    """Order book of absolute quantities a level, from SET and CLEAR deltas. One thread at a time."""

    def apply(self, deltas: NDArray[np.void]) -> None:
        """Apply a BOOK_DELTA array in order.

        Raises
        ------
        TypeError
            Not a C-contiguous BOOK_DELTA array.
        ValueError
            A record names no side, is neither SET nor CLEAR, or has a negative quantity; those before it are applied.
        MemoryError
            No memory for another level.
        """

    def apply_each(self, updates: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
        """Apply BOOK_DELTA arrays in order; the book's best after each, as a QUOTE array. Errors as of `apply`."""

    def best(self) -> tuple[int, int, int, int]:
        """(bid price, bid quantity, ask price, ask quantity) in ticks and lots; quantity 0: that side is empty."""

    def depth(self, levels: int) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """Bids and asks, best first, at most `levels` of each, as LEVEL arrays (`price_ticks`, `quantity`)."""

    def quantity(self, side: int, price_ticks: int) -> int:
        """Quantity at a price; 0 where there is no level."""

    def clear(self) -> None:
        """Empty both sides."""

    def counts(self) -> tuple[int, int]:
        """Number of bid and of ask levels."""

    @property
    def update_id(self) -> int:
        """Update id of the last record applied."""

    @property
    def now_ns(self) -> int:
        """Receive stamp of the last record applied."""
