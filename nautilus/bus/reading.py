"""Who may read what of the star over TCP: subscriptions, and what is asked for again.

The publisher's socket sees each subscription before it is in force, and takes it in where the key of the connection has
a grant for its topic; a reader without one is not told, and hears nothing. Over ipc everybody is this machine's user.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import zmq

from nautilus.bus.base import BY_KIND, HEARTBEAT
from nautilus.bus.compression import MARK, MARKED

NOBLOCK: Final = int(zmq.NOBLOCK)
_OPTIONS: Final = {1: int(zmq.SUBSCRIBE), 0: int(zmq.UNSUBSCRIBE)}
_ALL: Final = tuple(BY_KIND)


def user_of(frame: zmq.Frame) -> str | None:
    """Whose key the connection of a message has; None: it came over ipc, from this machine's own user."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return None


def may_read(socket: Any, user: str | None, kinds: Iterable[int]) -> bool:
    """Whether a peer of a socket may read these kinds of records; it is counted where not."""
    security = getattr(socket, "security", None)
    if user is None or security is None:
        return True
    for kind in kinds:
        layout = BY_KIND.get(kind)
        if layout is None or not security.may_read(user, layout.topic.name):
            return False
    return True


def next_subscription(socket: Any) -> bytes:
    """The next message of an XPUB; b"": a subscription that was not granted. zmq.Again where there is none."""
    if not socket.manual:
        return bytes(socket.recv(NOBLOCK))
    frame = socket.recv(NOBLOCK, copy=False)
    message: bytes = frame.bytes
    option = _OPTIONS.get(message[0]) if message else None
    if option is None:
        return message
    topic = message[1:]
    first = topic[:1]
    if first and first[0] in MARKED:  # it is to be compressed
        first = bytes((first[0] ^ MARK,))
    kinds = _ALL if not first else () if first[0] == HEARTBEAT else (first[0],)
    if option == zmq.SUBSCRIBE and not may_read(socket, user_of(frame), kinds):
        return b""
    try:
        socket.setsockopt(option, topic)
    except zmq.ZMQError:  # of a peer that has gone
        return message if option == zmq.UNSUBSCRIBE else b""
    return message
