"""What goes over the mesh, and what comes out of it.

A process sends envelopes from its dealer to the router of a peer; answers come back the same way. The layouts stand in
`nautilus.core.mesh_wire`; payloads are msgpack arrays with defaults for what later versions append.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from nautilus.core.mesh_wire import MOST_NAME_BYTES, Answer, Delivery, Envelope, MessageKind, is_place
from nautilus.model.enums import Priority

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoders raise for bytes that are no message."""


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

__all__ = [
    "LANES",
    "LANE_OF",
    "MOST_NAME_BYTES",
    "NORMAL",
    "PRIORITIES",
    "UNREADABLE",
    "URGENT",
    "Answer",
    "DeadLetter",
    "Delivery",
    "Envelope",
    "MessageKind",
    "PeerState",
    "error_fields",
    "error_payload",
    "is_place",
]
