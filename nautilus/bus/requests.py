"""What a reader of the star asks of the replayer, and the replayer's last word on it.

A request is 48 bytes, little-endian: magic u32 `0x5254554E` ("NUTR"), operation u16, version u16, number u64, epoch
u64, stream u64, first u64, last u64. A SNAPSHOT is followed by the u64 numbers of the streams it is about; the
instrument `EVERY` stands for all of a kind.

An answer is a frame of the star of kind 254 (`nautilus.bus.base`), after the frames that were asked for: its schema is
the operation, its first_sequence the number of the request, its body u64 numbers: stream, first, last, status, next
epoch, then (stream, last sequence) for each stream of an epoch that has ended.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple

from nautilus.bus.base import ANSWER, ANSWER_STREAM, HEADER, HEADER_BYTES, MAGIC, MOST, topic_bytes

REQUEST_MAGIC: Final = 0x5254554E
REQUEST: Final = struct.Struct("<IHHQQQQQ")
EVERY: Final = 0xFFFFFFFF
"""Instrument that stands for all of a kind."""
MOST_STREAMS: Final = 65_536
_BODY = struct.Struct("<QQQQQ")


class Operation(IntEnum):
    """What is asked for.

    REPLAY: records `first` to `last` of a stream in an epoch. SNAPSHOT: images of streams as of now. END: the last
    sequence of each stream of an epoch that has ended; a hub of that epoch, or of an earlier one, does not answer.
    """

    REPLAY = 1
    SNAPSHOT = 2
    END = 3


class Status(IntFlag):
    """KNOWN: the replayer knows of it; without that nothing is said of records. COMPLETE: it knows all of it."""

    KNOWN = 1
    COMPLETE = 2


class Request(NamedTuple):
    """One question. `number` comes back in the answer; it is the asker's."""

    operation: Operation
    number: int
    epoch: int = 0
    stream: int = 0
    first: int = 0
    last: int = 0
    streams: tuple[int, ...] = ()


class Answer(NamedTuple):
    """The last word on a request.

    Attributes
    ----------
    first, last : of a REPLAY: what was sent; what is asked for before `first` is nowhere any more.
    next_epoch : of an END: the epoch after it, 0 where that is not known.
    rows : of an END: (stream, last sequence).
    """

    operation: Operation
    number: int
    epoch: int
    stream: int = 0
    first: int = 0
    last: int = 0
    status: Status = Status(0)
    next_epoch: int = 0
    rows: tuple[tuple[int, int], ...] = ()


def whole_kind(kind: int) -> int:
    """Number that stands for all streams of a kind in a SNAPSHOT."""
    return kind << 32 | EVERY


def matches(wanted: Iterable[int], stream: int) -> bool:
    """Whether a stream is among those that a SNAPSHOT names."""
    return any(each in (stream, stream | EVERY) for each in wanted)


def pack_request(request: Request) -> bytes:
    """The bytes of a request."""
    operation, number, epoch, stream, first, last, streams = request
    head = REQUEST.pack(REQUEST_MAGIC, operation, 1, number, epoch, stream, first, last)
    return head + struct.pack(f"<{len(streams)}Q", *streams)


def parse_request(data: bytes) -> Request | None:
    """The request in these bytes; None where there is none."""
    beyond = len(data) - REQUEST.size
    if beyond < 0 or beyond % 8 or beyond > 8 * MOST_STREAMS:
        return None
    magic, operation, version, number, epoch, stream, first, last = REQUEST.unpack_from(data)
    if magic != REQUEST_MAGIC or version != 1 or not 0 < operation <= len(Operation):
        return None
    if (beyond > 0) != (operation == Operation.SNAPSHOT) or max(number, epoch, first, last) >= MOST:
        return None
    if operation == Operation.REPLAY and not 0 < first <= last:
        return None
    streams = struct.unpack_from(f"<{beyond // 8}Q", data, REQUEST.size)
    return Request(Operation(operation), number, epoch, stream, first, last, streams)


def pack_answer(answer: Answer, now_ns: int) -> bytes:
    """The frame of an answer."""
    body = _BODY.pack(answer.stream, answer.first, answer.last, answer.status, answer.next_epoch)
    flat = [number for row in answer.rows for number in row]
    body += struct.pack(f"<{len(flat)}Q", *flat)
    header = HEADER.pack(
        topic_bytes(ANSWER, 0),
        MAGIC,
        answer.operation,
        1,
        8,
        len(body) // 8,
        answer.epoch,
        ANSWER_STREAM,
        answer.number,
        now_ns,
    )
    return header + body


def parse_answer(frame: bytes) -> Answer | None:
    """The answer in a frame whose header says that it is one; None where it is not."""
    _, magic, operation, _, size, count, epoch, stream, number, _ = HEADER.unpack_from(frame)
    whole = magic == MAGIC and size == 8 and len(frame) == HEADER_BYTES + 8 * count and stream == ANSWER_STREAM
    if not whole or count < 5 or not count % 2 or not 0 < operation <= len(Operation):
        return None
    about, first, last, status, next_epoch = _BODY.unpack_from(frame, HEADER_BYTES)
    flat = struct.unpack_from(f"<{count - 5}Q", frame, HEADER_BYTES + _BODY.size)
    if max(first, last, next_epoch, epoch, *flat[1::2]) >= MOST:
        return None
    rows = tuple(zip(flat[::2], flat[1::2], strict=True))
    return Answer(Operation(operation), number, epoch, about, first, last, Status(status & 3), next_epoch, rows)
