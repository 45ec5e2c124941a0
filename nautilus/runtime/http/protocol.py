"""One connection: uvicorn's protocol with limits on its costs, and problems where that would answer with text."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from nautilus.runtime.http.body import DRAINED_BYTES
from nautilus.runtime.http.exchange import headers_of, new_trace_id, problem_response
from nautilus.runtime.http.problems import RETRY, HttpError

HEAD_BYTES = 64 << 10
"""Largest request line and headers together, beyond what comes in the first piece."""
HEAD_SECONDS = 10.0
PATIENCE_SECONDS = 1.0
"""So long a connection that has not asked anything yet is not closed for the sake of another."""
VERSIONS = ("1.1", "1.0")


class _Nowhere(list[tuple[bytes, bytes]]):
    """Where trailers of a body go: nobody reads them, and there may be any number."""

    def append(self, value: tuple[bytes, bytes], /) -> None:
        pass


class Connections:
    """Those of one port: a new one takes the place of the one that was of no use for longest.

    Parameters
    ----------
    most
        At once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: set[Connection] = set()
        self._spare: dict[Connection, float] = {}
        """Those that no request is under way on, with the time since when; the longest first."""

    def admit(self, connection: Connection, now: float) -> bool:
        """Count it in; False where there are too many and all of them are busy."""
        if len(self._open) >= self._most and not self._make_room(now):
            return False
        self._open.add(connection)
        self._spare[connection] = now
        return True

    def busy(self, connection: Connection) -> None:
        """A request has come on it."""
        self._spare.pop(connection, None)

    def spare(self, connection: Connection, now: float) -> None:
        """All its requests are answered."""
        if connection in self._open:
            self._spare[connection] = now

    def leave(self, connection: Connection) -> None:
        """It is closed, or about to be."""
        self._open.discard(connection)
        self._spare.pop(connection, None)

    def _make_room(self, now: float) -> bool:
        for connection, since in self._spare.items():
            if connection.cycle is not None or now - since > PATIENCE_SECONDS:
                self.leave(connection)
                connection.transport.close()
                return True
        return False


class Connection(HttpToolsProtocol):
    """Of a server, which says what it belongs to by a class of its own."""

    ports: ClassVar[Mapping[int, Connections]]
    _in_head = False
    _head_bytes = 0
    _drained_bytes = 0

    def count(self, status: int) -> None:
        """A request was answered here, without an application."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._unanswered: deque[Any] = deque()
        super().connection_made(transport)
        assert self.server is not None
        assert self.server[1] is not None
        self._port = self.ports[self.server[1]]
        if self._port.admit(self, self.loop.time()):
            self._await_head()
        else:
            self._answer(HttpError(503, "http.connections", "too many connections at once", headers=RETRY))

    def data_received(self, data: bytes) -> None:
        if self.parser is None or self.transport.is_closing():
            return
        began_before = self._in_head
        if began_before:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._answer(
                    HttpError(431, "http.head_size", "too many headers", expected=f"at most {HEAD_BYTES} bytes")
                )
                return
        timer = self.timeout_keep_alive_task
        self.timeout_keep_alive_task = None  # so that it is not put off by every further piece
        super().data_received(data)
        if self._unanswered or self.transport.is_closing():
            if timer is not None:
                timer.cancel()
        elif self._in_head and not began_before:
            if timer is not None:
                timer.cancel()
            self._await_head()
        else:
            self.timeout_keep_alive_task = timer

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        version = self.parser.get_http_version()
        if version not in VERSIONS:
            self._answer(HttpError(505, "http.version", f"HTTP/{version}", expected="HTTP/1.1"))
            raise ValueError(version)  # ends the parser's work
        super().on_headers_complete()
        self._drained_bytes = 0
        self.headers = _Nowhere()
        self._unanswered.append(self.cycle)
        self._port.busy(self)

    def on_body(self, body: bytes) -> None:
        if self.cycle.response_complete:
            # Nobody wants it any more; without end it would go on for as long as the sender likes.
            self._drained_bytes += len(body)
            if self._drained_bytes > DRAINED_BYTES:
                self.transport.close()
            return
        super().on_body(body)

    def on_response_complete(self) -> None:
        if self._unanswered:
            self._unanswered.popleft()
        super().on_response_complete()
        if not self._unanswered:
            self._port.spare(self, self.loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        self._port.leave(self)
        self._give_up()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            self._answer(HttpError(400, "http.malformed", "no HTTP that can be understood", expected="HTTP/1.1"))

    def _give_up(self) -> None:
        # uvicorn tells the newest request alone that nobody listens; with more of them, the rest would write on.
        for cycle in self._unanswered:
            cycle.disconnected = True

    def _await_head(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(HEAD_SECONDS, self.timeout_keep_alive_handler)

    def _answer(self, error: HttpError) -> None:
        """Answer without a request, and close; what was asked before and is not answered yet never is."""
        self.count(error.status)
        self._give_up()
        response = problem_response(error, new_trace_id())
        headers = [*self.server_state.default_headers, *headers_of(response), (b"connection", b"close")]
        lines = [name + b": " + value + b"\r\n" for name, value in headers]
        self.transport.write(b"".join([STATUS_LINE[error.status], *lines, b"\r\n", response.body]))
        self.transport.close()
