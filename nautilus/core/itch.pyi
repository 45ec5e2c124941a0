"""Python face of the decoder and encoder of NASDAQ TotalView-ITCH 5.0."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ITCH_ORDER: np.dtype[np.void]
ITCH_NOTICES: dict[bytes, np.dtype[np.void]]
ITCH_LENGTHS: dict[bytes, int]

class ItchFault(NamedTuple):
    """What is wrong, and at which byte of the stream (of the length prefix, where there is one)."""

    offset: int
    what: str
    expected: str

class ItchBatch:
    """What a block of bytes held.

    Attributes
    ----------
    kinds : message types in order, without those that are not known. The n-th of a kind is the n-th of its array.
    orders : ITCH_ORDER array of the messages A F E C X D U P Q B: `time_ns` since midnight in New York, `price` in
        1/10,000 dollar; what a kind lacks is zero.
    notices : for each other kind that came, its array of `ITCH_NOTICES`.
    consumed : bytes decoded; the rest is the beginning of a message, or what follows a fault or the end.
    ended : a length of zero said that the session is over.
    fault : where decoding ended, or None.
    """

    kinds: NDArray[np.bytes_]
    orders: NDArray[np.void]
    notices: dict[bytes, NDArray[np.void]]
    consumed: int
    ended: bool
    fault: ItchFault | None

class ItchDecoder:
    """Decoder of one stream of messages. One thread at a time.

    Parameters
    ----------
    prefixed
        Each message has its length before it, in two bytes, as in Nasdaq's files and in the blocks of a MoldUDP64
        packet behind its header. False: bare messages, as SoupBinTCP carries them; a type that is not known then ends
        decoding, where with a length it is passed over and counted.
    """

    def __init__(self, *, prefixed: bool = True) -> None: ...
    def decode(self, block: bytes | memoryview) -> ItchBatch:
        """Decode a block, the next bytes of the stream, up to its last whole message or the first faulty one.

        What is left of the block (`ItchBatch.consumed`) comes first in the next one. Memory: at most 6 bytes for each
        byte of the block.
        """

    def cut(self, rest: bytes) -> ItchFault:
        """The fault of a stream that ends with `rest`, the beginning of a message."""

    @property
    def prefixed(self) -> bool: ...
    @property
    def messages(self) -> int:
        """Messages of known types so far."""
    @property
    def unknown(self) -> int:
        """Messages of unknown types, passed over."""
    @property
    def faults(self) -> int: ...
    @property
    def offset(self) -> int:
        """Bytes of the stream decoded so far."""

def encode(
    kinds: NDArray[np.bytes_],
    orders: NDArray[np.void],
    notices: Mapping[bytes, NDArray[np.void]],
    *,
    prefixed: bool = True,
) -> bytes:
    """The bytes of messages: the way back from `ItchDecoder.decode`.

    Raises
    ------
    ValueError
        A message type that is not known, or another number of records than `kinds` names.
    """
