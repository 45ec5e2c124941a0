"""One request and its answer: what an application is called with, and what a connection is told.

::

    connection -> application(exchange) -> exchange.read / stream     the body, whole or as it comes
                                        -> exchange.respond           the answer at once
                                        -> exchange.start, write, end the answer as it comes

Everything is called in the loop's thread. There is no task and no coroutine; where the sender has gone, what is
answered is dropped without a word, and `on_abort` was called once.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from nautilus.core.http_head import EXPECTS, OLD
from nautilus.core.http_link import ExchangeBase, set_nobody
from nautilus.policy.keys import ANONYMOUS, Principal
from nautilus.runtime.http.body import DRAINED_BYTES, too_large
from nautilus.runtime.http.problems import PROBLEM_TYPE, HttpError, problem_of

if TYPE_CHECKING:
    from nautilus.runtime.http.protocol import Connection

JSON_TYPE = "application/json"
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Of pages: they stand alone, and run nothing."""
Headers = list[tuple[bytes, bytes]]
NO_HEADERS: Headers = []
CLOSE = (b"connection", b"close")
OPEN, BEGUN, ANSWERED, GONE = range(4)
"""Of an exchange: nothing is answered yet; a part is; all is; the sender has gone."""
# As W3C Trace Context has it: no version ff, and what is all zero is no id.
_TRACE_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

set_nobody(ANONYMOUS)


class Response(NamedTuple):
    """What is answered."""

    body: bytes
    status: int = 200
    content_type: str = JSON_TYPE
    headers: tuple[tuple[bytes, bytes], ...] = ()


Application = Callable[["Exchange"], None]
"""Called at the end of a request's head, in the loop's thread; it must not wait."""


class Exchange(ExchangeBase):
    """One request of a client, and its answer. Made by a connection.

    Attributes
    ----------
    method, target, headers
        As sent; names of headers in lower case, in order.
    path, query
        Of the target; the path still percent-encoded (`path_text` is it decoded).
    http2
        It came over HTTP/2: `start_raw` and `upgrade` are not for it.
    keep_alive
        The connection goes on after the answer.
    started_ns
        When its head was there, by `monotonic_ns`: one clock reading for everybody.
    principal
        Who asks, once the access rules have said so.
    on_writable
        Told False when the sender does not take the answer as fast as it is written, True when it does again.
    on_answer
        Told the status once, before an answer goes out, also where its sender has gone.
    on_abort
        Told once that the sender has gone, or has been given up, before the answer was complete.
    """

    __slots__ = ()
    http2 = False
    principal: Principal
    _connection: Connection

    # The request.

    @property
    def path_text(self) -> str:
        """The path, decoded once. Raises HttpError where it has bad escapes, NUL, or steps such as ``..``."""
        path = self.path
        if b"%" in path:
            bad = _BAD_ESCAPE.search(path) is not None
            path = unquote_to_bytes(path)
        else:
            bad = False
        try:
            text = path.decode()
        except UnicodeDecodeError:
            bad, text = True, ""
        if bad or "\0" in text or ("/." in text and _steps(text)):
            raise HttpError(400, "http.path", "the path is malformed", where="path", expected="UTF-8, and no steps")
        return text

    def header(self, name: bytes) -> bytes:
        """Value of a header (lower-case name), joined by commas where it comes twice; empty where it does not."""
        found = [value for key, value in self.headers if key == name]
        return found[0] if len(found) == 1 else b", ".join(found)

    @property
    def client(self) -> str:
        """Address of who sent it; empty where that is not known."""
        return self._connection.client

    @property
    def tls(self) -> bool:
        """It came over TLS."""
        return self._connection.port.tls is not None

    @property
    def peer_certificate(self) -> str:
        """Common name of the certificate that the sender proved; empty: none."""
        return self._connection.certificate if self.tls else ""

    @property
    def trace_id(self) -> str:
        """Names the request in answers and in the log: that of its `traceparent`, or a new one."""
        if self._trace is None:
            match = self._trace_parent()
            self._trace = match[1].decode() if match else new_trace_id()
        return self._trace

    @trace_id.setter
    def trace_id(self, trace: str) -> None:
        self._trace = trace

    @property
    def given_trace(self) -> int:
        """The trace id of its `traceparent`; 0: it has none."""
        match = self._trace_parent()
        return int(match[1], 16) if match else 0

    def _trace_parent(self) -> re.Match[bytes] | None:
        for name, value in self.headers:
            if name == b"traceparent":
                return _TRACE_PARENT.fullmatch(value)
        return None

    # Its body.

    @property
    def expects(self) -> bool:
        """Its sender waits to be told to send the body."""
        return self._flags & EXPECTS != 0 and self.body_left != 0

    def read(self, limit: int, done: Callable[[bytes], None]) -> None:
        """Read the whole body, of at most `limit` bytes, then call `done`, at once where it is there.

        What is too large is answered with 413, what does not come in time with 408; `done` is not called then.
        """
        if not self.body_left:
            done(b"")
            return
        if self.body_left > limit:
            closing = self.expects or self.body_left > DRAINED_BYTES
            self.problem(too_large(limit, closing=closing))
            return
        self._on_body, self._limit = done, limit
        self._pieces = []
        self._ask_for_body(whole=True)

    def stream(self, on_data: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        """Give each piece of the body as it comes, and then the end; what is there already at once.

        Where it stands still too long the answer is 408, and `on_abort` is called.
        """
        if not self.body_left:
            on_end()
            return
        self._on_data, self._on_end = on_data, on_end
        self._ask_for_body(whole=False)

    def pause(self) -> None:
        """Take no more of the body for now."""
        self._connection.pause(self)

    def resume(self) -> None:
        """Go on taking it."""
        self._connection.resume(self)

    def _ask_for_body(self, *, whole: bool) -> None:
        self._connection.await_body(self, whole=whole)

    def told_to_send(self) -> bytes:
        """What makes the sender go on, once; empty where it does not wait."""
        if not self.expects:
            return b""
        self._flags &= ~EXPECTS
        return _CONTINUE

    def take_piece(self, data: bytes) -> None:
        """A piece of the body has come."""
        self._body_size += len(data)
        if self.state >= ANSWERED:
            # Nobody wants it any more; without end it would go on for as long as the sender likes.
            if self._body_size > DRAINED_BYTES:
                self._connection.close()
        elif self._on_data is not None:
            self._on_data(data)
        elif self._body_size > self._limit:
            self._pieces = None
            self.problem(too_large(self._limit, closing=False))
            self._aborted()  # who asked for the body holds something for the request
        elif self._pieces is not None:
            self._pieces.append(data)

    def take_end(self) -> None:
        """All of the body has come."""
        if self.state >= ANSWERED:
            self._connection.release(self)
            return
        if self._on_end is not None:
            self._on_end()
        elif self._on_body is not None:
            pieces, self._pieces = self._pieces or [], None
            self._on_body(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def fail_body(self, error: HttpError) -> None:
        """It is malformed, or did not come in time: who takes it is told by `on_abort`, its sender by a problem."""
        if self.state == OPEN:
            self.problem(error)
            self._aborted()
        elif self.state == BEGUN:
            self._connection.cut()
        elif self.state == ANSWERED:
            self._connection.close()

    # The answer.

    def respond(self, response: Response) -> None:
        """Answer, all at once."""
        if self.on_answer is not None:
            self._tell(response.status)
        if self.state != OPEN:
            return
        connection = self._connection
        body, status, content_type, headers = response
        keep = self._keeps_alive()
        head = connection.port.head_of(status, content_type)
        if status != HTTPStatus.NO_CONTENT:
            head += b"%d\r\n" % len(body)
        if headers:
            head += _lines_of(headers)
            if CLOSE in headers:
                keep = False
                head += b"\r\n"
            else:
                head += self._ending(keep=keep)
        else:
            head += self._ending(keep=keep)
        self.keep_alive = keep
        self.state = ANSWERED
        connection.write(head + body if self.method != "HEAD" and body else head)
        connection.finish(self)

    def problem(self, error: HttpError) -> None:
        """Answer with a problem, and count it."""
        if self.state == OPEN:
            self._connection.port.count(error.status)
            self.respond(problem_response(error, self.trace_id))
        elif self.on_answer is not None:
            self._tell(error.status)  # its sender has gone

    def start(self, status: int, headers: Headers) -> None:
        """Begin an answer: its length is that of its ``content-length``, or it goes out in chunks."""
        if self.on_answer is not None:
            self._tell(status)
        if self.state != OPEN:
            return
        connection = self._connection
        keep = self._keeps_alive()
        length = -1
        lines = [connection.port.status_line(status)]
        for name, value in headers:
            if name == b"content-length":
                length = int(value)
            elif name == b"connection":
                keep = keep and value.lower() != b"close"
                continue
            elif name in (b"transfer-encoding", b"date"):
                continue
            lines.append(_line_of(name, value))
        if status in (204, 304) or status < 200 or (self.method == "HEAD" and length < 0):
            length = 0
        elif length < 0:
            if self._flags & OLD:
                keep = False
            else:
                lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(self._ending(keep=keep))
        self._answer_left = 0 if self.method == "HEAD" else length
        self.keep_alive = keep
        self.state = BEGUN
        connection.write(b"".join(lines))

    def abort(self) -> None:
        """Cut the connection: the answer cannot be completed."""
        if self.state < ANSWERED:
            self.state = GONE
            self._connection.cut()

    def upgrade(self, head: bytes, protocol: asyncio.BaseProtocol) -> asyncio.Transport:
        """Send a head (101), and hand the transport over; what has come already goes to the protocol."""
        self.state = GONE
        connection = self._connection
        transport: asyncio.Transport = connection.hand_over(head, protocol)
        if self.principal.lease is not None and connection.port.leases is not None:
            connection.port.leases.hold(self.principal, protocol)
        return transport

    def gone(self) -> None:
        """The sender has gone."""
        if self.state < ANSWERED:
            self.state = GONE
            self._aborted()

    def _tell(self, status: int) -> None:
        told, self.on_answer = self.on_answer, None
        if told is not None:
            told(status)

    def _aborted(self) -> None:
        told, self.on_abort = self.on_abort, None
        self._on_data = self._on_end = self._on_body = None
        if told is not None:
            told()

    def _ending(self, *, keep: bool) -> bytes:
        if not keep:
            return b"connection: close\r\n\r\n"
        return b"connection: keep-alive\r\n\r\n" if self._flags & OLD else b"\r\n"


def _steps(text: str) -> bool:
    parts = text.split("/")
    return "." in parts or ".." in parts


def _line_of(name: bytes, value: bytes) -> bytes:
    if b"\n" in value or b"\r" in value or b"\0" in value or b"\n" in name or b":" in name:
        raise ValueError(f"header {name!r}: expected one line, found {value[:100]!r}")
    return name + b": " + value + b"\r\n"


def _lines_of(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    return b"".join([_line_of(name, value) for name, value in headers])


def new_trace_id() -> str:
    """Names a request that brings no name along."""
    return os.urandom(16).hex()


def json_response(value: Any, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(msgspec.json.encode(value), status)


def problem_response(error: HttpError, trace: str) -> Response:
    """A problem as an answer."""
    return Response(problem_of(error, trace), error.status, PROBLEM_TYPE, error.headers)


def stopping() -> HttpError:
    """What a request is told that comes too late."""
    return HttpError(
        503, "http.stopping", "the process is about to end", headers=(CLOSE, (b"retry-after", b"1"))
    )  # fmt: skip
