"""A WebSocket through the gateway: once both sides have switched, bytes go through as they are.

Who reads slowly slows down who writes: the other side is read no further while the buffer of one is full. An end of one
direction is passed on, and the other one goes on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from nautilus.core.proxy_head import AnswerHead
from nautilus.runtime.http.websocket import RESTARTS, close_frame

if TYPE_CHECKING:
    from nautilus.core.proxy_upstream import Upstream
    from nautilus.runtime.http.exchange import Exchange

SWITCHED = b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"
HIGH_BYTES = 64 << 10
"""So much may wait for a slow reader before the other side is read no further."""


class Frames:
    """Where in its frames a stream of a WebSocket is (RFC 6455 5.2)."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0

    @property
    def whole(self) -> bool:
        """The last frame is complete: another one may follow."""
        return not self._left and not self._head

    def take(self, data: bytes) -> None:
        """So much more has passed."""
        left, size = self._left, len(data)
        if left >= size:
            self._left = left - size
            return
        if self._head:
            data, self._head = self._head + data, b""
            size = len(data)
        at = left
        while at < size:
            head = data[at : at + 14]
            if len(head) < 2:
                self._head, self._left = head, 0
                return
            length, need = head[1] & 127, 6 if head[1] & 128 else 2
            extended = 8 if length == 127 else 2 if length == 126 else 0
            if len(head) < need + extended:
                self._head, self._left = head, 0
                return
            if extended:
                length = int.from_bytes(head[2 : 2 + extended], "big")
            at += need + extended + length
        self._left = at - size


class End(asyncio.Protocol):
    """One side of a tunnel."""

    __slots__ = ("frames", "open", "other", "transport")

    def __init__(self, transport: asyncio.Transport | None = None, frames: Frames | None = None) -> None:
        self.transport = transport
        self.frames = frames
        """Of what comes from here; None: nobody asks."""
        self.other: End = self
        self.open: set[End] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        other = self.other.transport
        if other is not None:
            if self.frames is not None:
                self.frames.take(data)
            other.write(data)

    def eof_received(self) -> bool:
        other = self.other.transport
        if other is None or other.is_closing():
            return False
        if other.can_write_eof():
            other.write_eof()
            return True
        other.close()
        return False

    def pause_writing(self) -> None:
        other = self.other.transport
        if other is not None and not other.is_closing():
            other.pause_reading()

    def resume_writing(self) -> None:
        other = self.other.transport
        if other is not None and not other.is_closing():
            other.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self.open is not None:
            self.open.discard(self)
        other = self.other.transport
        if other is not None and not other.is_closing():
            if error is None:
                other.close()
            else:
                other.abort()

    def leave(self, code: int = RESTARTS, reason: str = "") -> None:
        """Of the client's side: say that it closes, between two frames of the engine, and close."""
        transport, frames = self.transport, self.other.frames
        if transport is None or transport.is_closing():
            return
        if frames is not None and frames.whole:
            transport.write(close_frame(code, reason))
        transport.close()


def open_tunnel(
    exchange: Exchange, head: AnswerHead, lines: bytes, upstream: Upstream, rest: bytes, opened: set[End]
) -> None:
    """Answer 101 and join both connections.

    Parameters
    ----------
    head
        Of the engine's answer.
    lines
        More lines for the client.
    rest
        What the engine has sent behind its head.
    opened
        Clients' sides of all tunnels that are open.
    """
    there = End(upstream.transport, Frames())
    here = End()
    here.other, there.other = there, here
    if upstream.transport is None:
        exchange.abort()
        return
    assert there.frames is not None
    there.frames.take(rest)
    here.open = opened
    opened.add(here)
    upstream.transport.set_protocol(there)
    upstream.transport.set_write_buffer_limits(HIGH_BYTES)
    here.transport = exchange.upgrade(head.lines + lines + SWITCHED + rest, here)
    here.transport.set_write_buffer_limits(HIGH_BYTES)
