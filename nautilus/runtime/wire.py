"""Messages as bytes between processes: msgpack, and JSON for the few whose whole numbers exceed 64 bits."""

from __future__ import annotations

import msgspec

from nautilus.model.codec import from_json, from_msgpack, to_json
from nautilus.model.message import Message

_encode = msgspec.msgpack.Encoder().encode


def to_wire(message: Message) -> bytes:
    """A message, whatever it holds."""
    try:
        return _encode(message)
    except OverflowError:
        return to_json(message)


def from_wire(data: bytes) -> Message:
    """The message in the bytes; ModelError says where they are wrong."""
    # In msgpack a message begins with the mark of an array, which "[" is not.
    return from_json(data) if data[:1] == b"[" else from_msgpack(data)
