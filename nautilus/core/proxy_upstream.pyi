"""Calls to an upstream, its connections, and the pool these are of."""

import asyncio
import socket
from typing import Any

from nautilus.core.proxy_head import AnswerHead

INFORMATIONAL: int
"""So many answers of 1xx may come before the one that counts."""
SWITCHING: int
"""The status of an answer that changes the protocol."""

class Call:
    """A request on its way to an upstream, and who takes its answer. What happens to it is told by exactly one of
    `on_whole`, `on_failure`, and `on_head` with what follows that: `on_data`, then `on_end` or `on_failure`.

    Attributes
    ----------
    payload : what is sent at once: the head, and the body as far as it is there.
    safe : it may be sent again, as to do it twice is to do it once.
    careful : an idle connection is looked at before it is sent there.
    priority : 0 is served first.
    wait_until_ns : so long it waits for a connection.
    deadline_ns : so long it waits for the end of its answer.
    sent_ns : when it was handed to a connection; 0: not yet.
    upstream : the connection it is on.
    body_open : more of its body is to come.
    heard : something of the answer has come, at `heard_ns` first.
    """

    payload: bytes
    safe: bool
    careful: bool
    priority: int
    wait_until_ns: int
    deadline_ns: int
    sent_ns: int
    heard_ns: int
    upstream: Upstream | None
    head_only: bool
    upgrade: bool
    body_open: bool
    heard: bool

    def on_whole(self, head: AnswerHead, body: bytes) -> None:
        """The whole answer."""

    def on_head(self, head: AnswerHead) -> None:
        """The head of an answer whose body follows."""

    def on_data(self, data: bytes) -> None:
        """Some of the body, without the frames of chunks."""

    def on_end(self) -> None:
        """The body is complete."""

    def on_failure(self, code: str, what: str, *, sent: bool) -> None:
        """It came to nothing.

        Parameters
        ----------
        code
            ``connect``, ``full``, ``wait``: no connection; ``broken``: the connection ended; ``malformed``: it is no
            answer; ``late``: not by the deadline.
        sent
            Some of it may have reached the upstream.
        """

    def on_upgrade(self, head: AnswerHead, upstream: Upstream, rest: bytes) -> None:
        """The upstream has switched protocols; the connection is the call's own now."""

    def on_sent(self) -> None:
        """The head of a call whose body is still open was sent."""

    def on_room(self, room: bool) -> None:
        """The connection takes more of the body, or no more for now."""

class Upstream(asyncio.Protocol):
    """A connection of a pool: HTTP/1.1, one request at a time.

    Attributes
    ----------
    idle_ns : since when nothing is on it.
    """

    pool: Any
    sock: socket.socket
    transport: asyncio.Transport | None
    idle_ns: int

    def __init__(self, pool: PoolBase, sock: socket.socket) -> None: ...
    @property
    def call(self) -> Call | None:
        """What it works on."""
    @property
    def stale(self) -> bool:
        """Whether the other end has closed it, or sent what nobody asked for, and the loop has not seen that yet."""
    def send(self, call: Call, now_ns: int) -> None:
        """Begin with a call."""
    def hand_to(self, call: Call) -> None:
        """The answer under way is another call's from now on."""
    def write(self, data: bytes) -> None:
        """More of the body of the call."""
    def pause(self) -> None:
        """Read no more: who takes the answer is slower."""
    def resume(self) -> None:
        """Read on."""
    def give_up(self) -> None:
        """Nobody wants what it works on any more."""
    def close(self) -> None:
        """Close it at once, with what is still to be sent."""
    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def connection_lost(self, error: Exception | None) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def fail(self, code: str, what: str) -> None:
        """The call came to nothing, see `Call.on_failure`."""

class PoolBase:
    """The common part of `nautilus.gateway.pool.Pool`."""

    up: bool
    connections: set[Upstream]
    in_flight: int
    drop: tuple[bytes, ...]
    _closed: bool
    _idle: list[Upstream]
    _waiting_count: int

    def request(self, call: Call, now_ns: int) -> None:
        """Send a request as soon as may be. What becomes of it the call is told, perhaps before this returns."""
    def give_back(self, upstream: Upstream) -> None:
        """The connection is free."""
