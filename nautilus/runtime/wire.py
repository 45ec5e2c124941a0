"""Messages as bytes between processes: msgpack, and JSON for the few whose whole numbers exceed 64 bits."""

from __future__ import annotations

import msgspec

from nautilus.model.codec import from_json, from_msgpack, to_json
from nautilus.model.message import Message


class Encoded(Message, frozen=True):
    """A reply that was encoded before: its head is kept by somebody, its tail is of now.

    Parameters
    ----------
    wire_head, wire_tail
        Together the message as msgpack.
    body_head, body_tail
        Together its form for HTTP (`nautilus.runtime.http.forms`), as JSON.
    headers
        Of an answer over HTTP.
    """

    wire_head: bytes
    wire_tail: bytes
    body_head: bytes
    body_tail: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def wire(self) -> bytes:
        """For the mesh."""
        return self.wire_head + self.wire_tail

    @property
    def body(self) -> bytes:
        """For HTTP."""
        return self.body_head + self.body_tail

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
