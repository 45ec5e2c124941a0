"""Python face of the records of market data on its way in, and of what is derived from it; ticks.pxd has the fields."""

from enum import IntEnum
from typing import Final

import numpy as np

TICK: np.dtype[np.void]
"""What a source hands in, 64 bytes."""
QUARANTINE: np.dtype[np.void]
"""A refused TICK with `reason` and `reference`, 80 bytes."""
BAR: np.dtype[np.void]
"""A bar, 104 bytes."""
FLOW: np.dtype[np.void]
"""Order-flow imbalance over an interval, 56 bytes."""
GAP_FLAG: Final[int]
"""Bit of the flags of QUOTE, TRADE and BOOK_DELTA: sequence numbers are missing before it."""

class TickKind(IntEnum):
    """What a TICK is."""

    QUOTE = 1
    TRADE = 2
    LEVEL = 3
    CLEAR = 4

class TickReason(IntEnum):
    """Why a TICK was refused; GAP refuses nothing."""

    UNKNOWN_INSTRUMENT = 1
    KIND = 2
    SIDE = 3
    PRECISION = 4
    RANGE = 5
    QUANTITY = 6
    TIME = 7
    OUT_OF_ORDER = 8
    DUPLICATE = 9
    CROSSED = 10
    LOCKED = 11
    JUMP = 12
    GAP = 13

class BarKind(IntEnum):
    """What closes a bar."""

    TIME = 1
    TICK = 2
    VOLUME = 3
    DOLLAR = 4
    IMBALANCE = 5

def layout() -> dict[str, tuple[int, dict[str, int]]]:
    """{record: (size, {field: offset})} as the C compiler sees it; compared with the dtypes by a test."""
