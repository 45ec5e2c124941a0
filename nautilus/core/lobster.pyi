"""Python face of the decoder of LOBSTER files."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MESSAGE: np.dtype[np.void]
MESSAGE_ADD: int
MESSAGE_REDUCE: int
MESSAGE_DELETE: int
MESSAGE_EXECUTE: int
MESSAGE_EXECUTE_HIDDEN: int
MESSAGE_CROSS: int
MESSAGE_HALT: int

class CsvFault(NamedTuple):
    """What is wrong with a line: its number in the block (from 1), what was found, what was expected."""

    line: int
    what: str
    expected: str

def decode_messages(block: bytes) -> tuple[NDArray[np.void], CsvFault | None]:
    """Decode lines of `time, type, order id, size, price, direction` into a MESSAGE array.

    `time_ns` counts from midnight of the file's date, prices in 1/10,000 dollar. Decoding ends at the first fault.
    """

def decode_rows(block: bytes, levels: int) -> tuple[NDArray[np.int64], CsvFault | None]:
    """Decode lines of `ask price, ask size, bid price, bid size`, `levels` times, to int64 (rows, 4 x levels).

    An empty level has size 0. Asks have to ascend, bids to descend. Decoding ends at the first fault.
    """
