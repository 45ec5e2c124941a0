"""What both halves of the bus share: the frame of the star, errors; sockets are those of `nautilus.bus.sockets`.

A frame of the star is one ZeroMQ frame: a header of 64 bytes, then `count` packed records of `record_size` bytes::

     0  topic           8 bytes: kind u8, three zero bytes, instrument_id u32 big-endian; what subscriptions match
     8  magic           u32 0x5354554E ("NUTS"); this and all that follows little-endian
    12  schema          u16 number of the record's layout
    14  version         u16 of that layout; a record only ever grows, at its end
    16  record_size     u32 readers step by this, whatever they know of the record
    20  count           u32 records in the frame
    24  epoch           u64 of the publisher; a later life of it has a higher one
    32  stream          u64 kind << 32 | instrument_id
    40  first_sequence  u64 of the first record; records of a stream are numbered from 1 in each epoch
    48  publish_ns      i64: platform time; of a heartbeat the machine's
    56  flags           u32, see `FrameFlag`
    60  reserved        4 zero bytes

Frames of kind 255 are heartbeats, those of kind 254 answers of the replayer (`nautilus.bus.requests`).
"""

from __future__ import annotations

import struct
from enum import IntFlag
from typing import Final, NamedTuple

import numpy as np

from nautilus.bus.sockets import LOOPBACK as LOOPBACK
from nautilus.bus.sockets import EndpointError as EndpointError
from nautilus.bus.sockets import checked_endpoints as checked_endpoints
from nautilus.bus.sockets import make_context as make_context
from nautilus.bus.sockets import new_socket as new_socket
from nautilus.core.types import LAYOUT_VERSION
from nautilus.model.errors import BusError
from nautilus.model.topics import (
    AUCTIONS,
    BARS,
    BOOK_DELTAS,
    ECONOMICS,
    FLOWS,
    FUNDAMENTALS,
    HISTORICAL_BARS,
    QUARANTINES,
    QUOTE_FACTS,
    QUOTES,
    TRADES,
    Topic,
)

MAGIC: Final = 0x5354554E
HEADER: Final = struct.Struct("<8sIHHIIQQQq8x")
HEADER_BYTES: Final = HEADER.size
HEARTBEAT: Final = 255
"""Kind and schema of a heartbeat; its records are `LAST`: stream u64, last_sequence u64, for every stream."""
HEARTBEAT_STREAM: Final = HEARTBEAT << 32
LAST: Final = struct.Struct("<QQ")
ANSWER: Final = 254
"""Kind of an answer of the replayer."""
ANSWER_STREAM: Final = ANSWER << 32
FLAGS_AT: Final = 56
"""Where the flags of a frame begin."""
MOST_BYTES: Final = 1 << 18
"""Records in a frame; more are sent in several."""
MOST: Final = 1 << 62
"""Larger numbers are no sequences and no epochs: whatever is added to one has room in 64 bits."""


class FrameFlag(IntFlag):
    """Bits of the flags of a frame.

    SNAPSHOT: its records are the image of the stream as of `first_sequence` (inclusive), whatever their number; a
    reader replaces what it has of it. REPLAYED: sent again at a reader's request. That the source of records has fallen
    silent stands in the records themselves (`RecordFlag.STALE`). LZ4: its records are compressed; only on its way to a
    reader that asked for it (`nautilus.bus.compression`).
    """

    SNAPSHOT = 1
    REPLAYED = 2
    LZ4 = 4


class TopicError(BusError):
    """A topic or record type that the star does not carry."""

    code = "bus.topic"


class Layout(NamedTuple):
    """One kind of frame: its number, its topic and the records in it."""

    kind: int
    topic: Topic
    dtype: np.dtype[np.void]
    record_size: int
    version: int


def _layout(kind: int, topic: Topic) -> Layout:
    assert topic.record is not None
    return Layout(kind, topic, topic.record, topic.record.itemsize, LAYOUT_VERSION)


LAYOUTS: Final = (
    _layout(1, QUOTES),
    _layout(2, TRADES),
    _layout(3, BOOK_DELTAS),
    _layout(4, AUCTIONS),
    _layout(5, BARS),
    _layout(6, FLOWS),
    _layout(7, HISTORICAL_BARS),
    _layout(8, FUNDAMENTALS),
    _layout(9, ECONOMICS),
    _layout(10, QUARANTINES),
    _layout(11, QUOTE_FACTS),
)
BY_KIND: Final = {layout.kind: layout for layout in LAYOUTS}
BY_NAME: Final = {layout.topic.name: layout for layout in LAYOUTS}


def layout_of(topic: Topic) -> Layout:
    """The frame that carries a topic; TopicError where the star carries none."""
    layout = BY_NAME.get(topic.name)
    if layout is None:
        raise TopicError(topic.name, where="star", expected=f"one of {', '.join(BY_NAME)}")
    return layout


def stream_id(kind: int, instrument_id: int) -> int:
    """Number of a stream: one kind of record of one instrument."""
    return kind << 32 | instrument_id


def topic_bytes(kind: int, instrument_id: int) -> bytes:
    """The eight bytes in front of a frame."""
    return bytes((kind, 0, 0, 0)) + instrument_id.to_bytes(4, "big")


def flags_of(frame: bytes) -> int:
    """The flags of a frame that has a whole header."""
    return int.from_bytes(frame[FLAGS_AT : FLAGS_AT + 4], "little")


def flagged(frame: bytes, flags: int) -> bytes:
    """The same frame with these flags."""
    return b"".join((frame[:FLAGS_AT], flags.to_bytes(4, "little"), frame[FLAGS_AT + 4 :]))


def replay_endpoint(endpoint: str) -> str:
    """Where the replayer of a star listens: ``<path>.replay``, or the next TCP port."""
    scheme, _, rest = endpoint.partition("://")
    if scheme != "tcp":
        return f"{endpoint}.replay"
    host, _, port = rest.rpartition(":")
    if not port.isdecimal():
        raise EndpointError(endpoint, where="replay", expected="a port that is known")
    return f"tcp://{host}:{int(port) + 1}"
