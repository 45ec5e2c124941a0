"""Frames of the star compressed with lz4, for readers that ask for it; nobody else's frames are touched.

A reader asks by what it subscribes to: topics whose first byte has another topmost bit (`MARK`). Frames whose topic
somebody asked for in this way are sent a second time, with that topic, and where it makes them shorter with the records
as one lz4 block and the flag LZ4. All that the header says else is of the records as they were, so `restored` gives the
frame back byte for byte. Where the hub has no lz4 such frames go as they are.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, Literal

from nautilus.bus.base import FLAGS_AT, HEADER_BYTES, HEARTBEAT, MOST_BYTES, FrameFlag
from nautilus.model.errors import BusError

try:
    import lz4.block as _lz4
except ImportError:
    _lz4 = None

Compression = Literal["", "lz4"]
MARK: Final = 0x80
"""Flipped in the first byte of a topic by who asks for compression."""
MARKED: Final = range(0x7E, 0xFE)
"""First bytes of marked topics; those of others lie on both sides."""
LEAST: Final = 128
"""Bytes of records; fewer are not compressed."""
MOST_HEARTBEAT: Final = 1 << 24
"""Bytes of the records of a heartbeat: one of a million streams."""
LZ4: Final = int(FrameFlag.LZ4)
_BEAT: Final = HEARTBEAT ^ MARK


class CompressionError(BusError):
    """Compression was asked for where it cannot be had."""

    code = "bus.compression"


def check_compression(compression: str) -> int:
    """What is flipped in the topics of a reader that asks for this; CompressionError where it cannot be had here."""
    if not compression:
        return 0
    if compression != "lz4":
        raise CompressionError(repr(compression), where="star", expected="lz4, or nothing")
    if _lz4 is None:
        raise CompressionError("there is no package lz4 here", where="star", expected="pip install 'nautilus[bus]'")
    return MARK


class Compressor:
    """What the publisher sends to those who ask for compression.

    Attributes
    ----------
    wanted : {prefix of marked topics: how many asked for it}; empty: nobody does, and nothing is done.
    compressed, whole : frames sent compressed; sent as they are, as that is shorter, or lz4 is not there.
    bytes_before, bytes_after : of all these frames, with their headers.
    """

    def __init__(self) -> None:
        self.wanted: Counter[bytes] = Counter()
        self.compressed = self.whole = self.bytes_before = self.bytes_after = 0

    def note(self, message: bytes) -> None:
        """A reader's (un)subscription: of marked topics it is counted, any other is none of its business."""
        if len(message) < 2 or message[1] not in MARKED:
            return
        prefix = message[1:]
        if message[0]:
            self.wanted[prefix] += 1
        elif self.wanted[prefix] > 1:
            self.wanted[prefix] -= 1
        else:
            del self.wanted[prefix]

    def pack(self, frame: bytes) -> bytes | None:
        """The frame for those who asked for its topic compressed; None: nobody did."""
        first = frame[0] ^ MARK
        head = bytes((first,))
        wanted = self.wanted
        if head not in wanted and head + frame[1:8] not in wanted:
            return None
        packed = None
        if _lz4 is not None and len(frame) >= HEADER_BYTES + LEAST:
            block: bytes = _lz4.compress(memoryview(frame)[HEADER_BYTES:], store_size=False)
            if HEADER_BYTES + len(block) < len(frame):
                flags = int.from_bytes(frame[FLAGS_AT : FLAGS_AT + 4], "little") | LZ4
                rest = frame[FLAGS_AT + 4 : HEADER_BYTES]
                packed = b"".join((head, frame[1:FLAGS_AT], flags.to_bytes(4, "little"), rest, block))
        if packed is None:
            packed = head + frame[1:]
            self.whole += 1
        else:
            self.compressed += 1
        self.bytes_before += len(frame)
        self.bytes_after += len(packed)
        return packed


def restored(frame: bytes) -> bytes | None:
    """The frame that was sent under a marked topic, as it was; None: it is damaged, or cannot be read here.

    No more memory is taken than the header says, nor more than a frame may hold.
    """
    if len(frame) < HEADER_BYTES or frame[0] not in MARKED:
        return None
    head = bytes((frame[0] ^ MARK,))
    flags = int.from_bytes(frame[FLAGS_AT : FLAGS_AT + 4], "little")
    if not flags & LZ4:
        return head + frame[1:]
    size = int.from_bytes(frame[16:20], "little") * int.from_bytes(frame[20:24], "little")
    if _lz4 is None or not 0 < size <= (MOST_HEARTBEAT if frame[0] == _BEAT else MOST_BYTES):
        return None
    try:
        body: Any = _lz4.decompress(memoryview(frame)[HEADER_BYTES:], uncompressed_size=size)
    except (_lz4.LZ4BlockError, ValueError, MemoryError):
        return None
    if len(body) != size:
        return None
    rest = frame[FLAGS_AT + 4 : HEADER_BYTES]
    return b"".join((head, frame[1:FLAGS_AT], (flags & ~LZ4).to_bytes(4, "little"), rest, body))
