"""Python face of the decoder of raw Binance WebSocket logs."""

import numpy as np
from numpy.typing import NDArray

from nautilus.core.json_lines import LineFault

LINE: np.dtype[np.void]
LINE_QUOTE: int
LINE_TRADE: int
LINE_DIFF: int
LINE_SNAPSHOT: int
MARK_FUTURES: int
MARK_SPOT: int
MARK_PREVIOUS: int

class BinanceBatch:
    """What a block of lines held.

    Attributes
    ----------
    lines : LINE array, one record for each line that was not skipped; `first` and `count` name its records in the
        array of its kind.
    quotes, trades, deltas : QUOTE, TRADE and BOOK_DELTA arrays in file order.
    fault : the line at which decoding ended, or None.
    """

    lines: NDArray[np.void]
    quotes: NDArray[np.void]
    trades: NDArray[np.void]
    deltas: NDArray[np.void]
    fault: LineFault | None

class BinanceDecoder:
    """Decoder of the lines of one symbol. One thread at a time.

    Parameters
    ----------
    price_increment, lot_size
        Positive decimal strings with at most 18 decimals.
    symbol
        The symbol wanted; empty: the first one met. Lines of another are counted and passed over.
    instrument_id
        Written into every record.
    """

    def __init__(
        self, price_increment: str = ..., lot_size: str = ..., symbol: str = "", instrument_id: int = 1
    ) -> None: ...
    def decode(self, block: bytes) -> BinanceBatch:
        """Decode a block of whole lines, the next ones of the log. It ends at the first faulty line.

        A book change has the flag LAST on its last record; a snapshot has SNAPSHOT on each, and a CLEAR record first
        on each side. The receive stamp of a line that goes back is raised to the last one and counted.
        """

    @property
    def symbol(self) -> str: ...
    @property
    def lines(self) -> int:
        """Lines read so far, of any kind."""
    @property
    def streams_skipped(self) -> int:
        """Lines of other streams (kline, markPrice, partial depth, replies to subscriptions ...)."""
    @property
    def symbols_skipped(self) -> int:
        """Lines of other symbols."""
    @property
    def void_trades(self) -> int:
        """Trades with price or quantity 0."""
    @property
    def stamps_raised(self) -> int:
        """Receive stamps that went back."""
