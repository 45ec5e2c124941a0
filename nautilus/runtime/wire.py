"""Messages as bytes between processes: msgpack, and JSON for the few whose whole numbers exceed 64 bits."""

from __future__ import annotations

import msgspec

from nautilus.model.codec import from_json, from_msgpack, to_json
from nautilus.model.message import Message
from nautilus.runtime.data_frames import body_tail, wire_tail


class Encoded(Message, frozen=True):
    """A `DataAnswer` of which all but the last four fields was encoded before (`nautilus.runtime.data_frames`).

    Parameters
    ----------
    wire_head, body_head
        As msgpack; as JSON, in its form for HTTP (`nautilus.runtime.http.forms`).
    age_seconds, stale, cached, reason
        The last four fields.
    """

    wire_head: bytes
    body_head: bytes
    age_seconds: float
    stale: bool
    cached: bool
    reason: str

    @property
    def wire(self) -> bytes:
        """For the mesh."""
        tail = wire_tail(self.age_seconds, stale=self.stale, cached=self.cached, reason=self.reason)
        return self.wire_head + tail

    @property
    def body(self) -> bytes:
        """For HTTP."""
        tail = body_tail(self.age_seconds, stale=self.stale, cached=self.cached, reason=self.reason)
        return self.body_head + tail

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Fields of an answer over HTTP."""
        age = b"age", b"%d" % self.age_seconds
        return (age, (b"warning", b'110 - "Response is Stale"')) if self.stale else (age,)

    def message(self) -> Message:
        """What it stands for: for an engine of the same process."""
        return from_wire(self.wire)


_encode = msgspec.msgpack.Encoder().encode


def to_wire(message: Message) -> bytes:
    """A message, whatever it holds."""
    if type(message) is Encoded:
        return message.wire
    try:
        return _encode(message)
    except OverflowError:
        return to_json(message)


def from_wire(data: bytes) -> Message:
    """The message in the bytes; ModelError says where they are wrong."""
    # In msgpack a message begins with the mark of an array, which "[" is not.
    return from_json(data) if data[:1] == b"[" else from_msgpack(data)
