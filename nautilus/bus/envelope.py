"""What goes over the mesh, and what comes out of it.

A process sends envelopes from its dealer to the router of a peer; answers come back the same way. Both are msgpack
arrays with defaults for what later versions append.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from nautilus.bus.carriers import ALL
from nautilus.model.enums import Priority

MOST = (1 << 63) - 1
"""The largest number that goes over the mesh: whatever is one more than another has room in 64 bits."""
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoders raise for bytes that are no message."""
Number = Annotated[int, Meta(ge=0, le=MOST)]
Place = Annotated[int, Meta(ge=1, le=MOST)]


class MessageKind(IntEnum):
    """Kind of an envelope (the first three carry messages), or of an answer."""

    COMMAND = 1
    EVENT = 2
    REQUEST = 3
    SETTLED = 4
    """In place of messages that need not be sent any more; `id` is the last of them."""
    GIVEN_UP = 5
    """In place of messages that the sender gave up; `id` is the last of them."""
    REPLY = 6
    ERROR = 7
    ACKNOWLEDGED = 8
    RESEND = 9
    """Acknowledged, and what follows `received` has gone missing on the way."""


class Envelope(msgspec.Struct, array_like=True, gc=False):
    """One place in a stream, from its sender to its receiver.

    `sequence` counts in the stream of one (sender process, receiver process, priority), from 1 in each epoch of the
    sender; `base` is the oldest that the sender still holds.
    """

    kind: MessageKind
    id: Number
    epoch: Number
    sequence: Place
    base: Place
    priority: int
    deadline_ns: int = 0
    trace_id: int = 0
    sender: str = ""
    to: str = ""
    payload: bytes = b""
    paths: int = ALL
    """Over which paths it may go (`nautilus.bus.carriers`); the receiver makes nothing of it."""


def is_place(envelope: Envelope) -> bool:
    """Whether a decoded envelope can be a place of a stream: its numbers agree with each other and with its kind."""
    kind, sequence = envelope.kind, envelope.sequence
    return (
        envelope.base <= sequence
        and kind <= MessageKind.GIVEN_UP
        and (kind <= MessageKind.REQUEST or sequence <= envelope.id < MOST)
    )


class Answer(msgspec.Struct, array_like=True, gc=False):
    """From the receiver of a stream to its sender; each one acknowledges.

    `id` is that of the request (REPLY, ERROR); `epoch` is the sender's, `receiver` the epoch of the receiver; all up
    to `received` have arrived, all up to `handled` have been handled, and beyond that all up to `done` except `open`.
    """

    kind: MessageKind
    id: Number
    epoch: Number
    receiver: Number
    priority: int
    received: Number
    handled: Number
    payload: bytes = b""
    done: Number = 0
    open: tuple[int, ...] = ()


class Delivery(msgspec.Struct, gc=False):
    """One message for the host, to be given back to `Mesh.done` once it is handled.

    For a REPLY or an ERROR, `id` is that of the request, `sender` the engine that was asked and `to` the one that
    asked; the payload of an ERROR is read by `error_fields`.
    """

    kind: MessageKind
    id: int
    peer: str
    sender: str
    to: str
    payload: bytes
    priority: int
    deadline_ns: int = 0
    trace_id: int = 0
    epoch: int = 0
    sequence: int = 0
    source: Any = None


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that was not delivered, or not known to be, and why.

    `reason`: "deadline" (not acknowledged by then), "cut" (the queue of that peer was full), "closed" (this process
    stopped), "path" (no path that it may take was usable, and it kept others waiting that may take one), "late" (it
    came here after its deadline and was not handled), "forbidden" (it came here and its sender may not send it).
    """

    reason: str
    peer: str
    kind: MessageKind
    id: int
    priority: int
    sender: str
    to: str
    deadline_ns: int
    trace_id: int
    payload: bytes


class PeerState(msgspec.Struct, frozen=True):
    """A peer that this process has dialled: whether every connection to it stands, and since when it is so.

    `standing` is the name of a `liveness.Standing`, `cause` says why it is so and `standing_ns` since when; `beat_ns`
    is how long its application took to answer the last beat, 0 where there was none.
    """

    process: str
    up: bool
    since_ns: int
    pending: int
    """Messages held for it: not acknowledged, or requests without an answer."""
    standing: str = ""
    cause: str = ""
    standing_ns: int = 0
    beat_ns: int = 0


def error_payload(error: Mapping[str, str]) -> bytes:
    """An error (`NautilusError.as_dict`) as the payload of an ERROR."""
    return msgspec.msgpack.encode(dict(error))


def error_fields(payload: bytes) -> dict[str, str]:
    """``code``, ``what``, ``where`` and ``expected`` out of the payload of an ERROR."""
    try:
        found = msgspec.msgpack.decode(payload, type=dict[str, str])
    except UNREADABLE as problem:
        found = {"code": "bus.error", "what": f"an error that cannot be read: {problem}"}
    return {"code": "internal", "what": "", "where": "", "expected": "", **found}


PRIORITIES: tuple[int, ...] = tuple(int(priority) for priority in Priority)
URGENT = "u"
NORMAL = "n"
LANES = (URGENT, NORMAL)
LANE_OF = {int(priority): URGENT if priority <= Priority.URGENT else NORMAL for priority in Priority}
