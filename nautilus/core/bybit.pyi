"""Python face of the decoder of raw Bybit order-book logs."""

import numpy as np
from numpy.typing import NDArray

from nautilus.core.json_lines import LineFault

LINE: np.dtype[np.void]
SNAPSHOT: int
DELTA: int

class BybitBatch:
    """What a block of lines held.

    Attributes
    ----------
    lines : LINE array, one record a message: stamps, `update_id` (u), `sequence` (seq), `kind`, and by `first` and
        `count` its records among the deltas.
    deltas : BOOK_DELTA array in file order; the last of each message has the flag LAST.
    fault : the line at which decoding ended, or None.
    """

    lines: NDArray[np.void]
    deltas: NDArray[np.void]
    fault: LineFault | None

class BybitDecoder:
    """Decoder of the order-book messages of one symbol. One thread at a time.

    Parameters
    ----------
    price_increment, lot_size
        Positive decimal strings.
    symbol
        The symbol wanted; empty: the first one met. Lines of another are counted and passed over.
    instrument_id
        Written into every record.
    """

    def __init__(
        self, price_increment: str = ..., lot_size: str = ..., symbol: str = "", instrument_id: int = 1
    ) -> None: ...
    def decode(self, block: bytes) -> BybitBatch:
        """Decode the next whole lines, up to the first faulty one."""

    @property
    def symbol(self) -> str: ...
    @property
    def lines(self) -> int:
        """Lines read so far, of any kind."""

    @property
    def topics_skipped(self) -> int:
        """Lines of other topics, and answers to subscriptions."""

    @property
    def symbols_skipped(self) -> int:
        """Lines of other symbols."""
