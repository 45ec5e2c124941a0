"""Streams of HTTP/2: each is an exchange; its answer goes out as the windows let it."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import TYPE_CHECKING, cast

from h2.errors import ErrorCodes

from nautilus.runtime.http.exchange import ANSWERED, BEGUN, OPEN, Exchange, Headers, Response
from nautilus.runtime.http.protocol import certificate_of

if TYPE_CHECKING:
    from nautilus.runtime.http.http2 import Http2Connection

HIGH_BYTES, LOW_BYTES = 64 << 10, 16 << 10
"""Of an answer that waits for its client: from here on it is told to wait, and to go on."""
NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


class StreamExchange(Exchange):
    """An exchange over a stream."""

    __slots__ = ()
    http2 = True

    @property
    def _stream(self) -> Stream:
        return cast("Stream", self._connection)

    @property
    def expects(self) -> bool:
        """Nobody waits: a stream that is not wanted is taken back."""
        return False

    def respond(self, response: Response) -> None:
        """See `Exchange.respond`."""
        if self.on_answer is not None:
            self._tell(response.status)
        if self.state != OPEN:
            return
        body, status, content_type, headers = response
        sent: Headers = [(b"date", self._connection.port.date)]
        if status != 204:
            sent += [
                (b"content-type", content_type.encode()),
                (b"cache-control", b"no-store"),
                (b"x-content-type-options", b"nosniff"),
                (b"content-length", b"%d" % len(body)),
            ]
        sent += [(name, value) for name, value in headers if name != b"connection"]
        self._begin(status, sent, 0, body if self.method != "HEAD" else b"", end=True)

    def start(self, status: int, headers: Headers) -> None:
        """See `Exchange.start`."""
        if self.on_answer is not None:
            self._tell(status)
        if self.state != OPEN:
            return
        length = -1
        sent: Headers = [(b"date", self._connection.port.date)]
        for name, value in headers:
            if name in (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"date"):
                continue
            if name == b"content-length":
                length = int(value)
            sent.append((name, value))
        empty = status in (204, 304) or self.method == "HEAD"
        self._begin(status, sent, 0 if empty else length, b"", end=False)

    def start_raw(self, head: bytes, *, keep_alive: bool) -> None:
        """See `Exchange.start_raw`: its headers are taken apart; a body in chunks cannot be passed on as it is."""
        line, *lines = head.rstrip(b"\r\n").split(b"\r\n")
        headers = [(name.lower(), value.strip()) for name, _, value in (each.partition(b":") for each in lines)]
        if any(name == b"transfer-encoding" for name, _ in headers):
            raise ValueError("start_raw: expected a head with a length, as this client speaks HTTP/2")
        self.start(int(line.split(b" ")[1]), headers)

    def write(self, data: bytes) -> None:
        """See `Exchange.write`."""
        if self.state != BEGUN or not data or self.method == "HEAD":
            return
        if self._answer_left >= 0:
            data = data[: self._answer_left]
            self._answer_left -= len(data)
        self._stream.send(data)

    def end(self) -> None:
        """See `Exchange.end`."""
        if self.state != BEGUN:
            return
        if self._answer_left > 0:
            self.abort()
            return
        self.state = ANSWERED
        self._stream.end()

    def upgrade(self, head: bytes, protocol: asyncio.BaseProtocol) -> asyncio.Transport:
        """A stream is no transport."""
        raise ValueError("upgrade: expected a connection of HTTP/1.1")

    def told_to_send(self) -> bytes:
        """Nobody waits."""
        return b""

    def _begin(self, status: int, headers: Headers, length: int, body: bytes, *, end: bool) -> None:
        for name, value in headers:
            if not NAME.fullmatch(name) or not VALUE.fullmatch(value):
                raise ValueError(f"header {name!r}: expected one line, found {value[:100]!r}")
        self.state = ANSWERED if end else BEGUN
        self._answer_left = length
        self._stream.begin([(b":status", b"%d" % status), *headers], body, end=end)


class Stream:
    """What stands between an exchange and its connection; for the exchange, it is the connection."""

    __slots__ = ("_ended", "_full", "_kept", "_paused", "_pending", "_size", "connection", "exchange", "number", "port")

    def __init__(self, connection: Http2Connection, number: int) -> None:
        self.connection = connection
        self.port = connection.port
        self.number = number
        self.exchange: Exchange | None = None
        self._kept: deque[tuple[bytes, int]] = deque()
        self._paused = False
        self._pending: deque[bytes] = deque()
        self._size = 0
        self._ended = self._full = False

    # What comes in.

    def take(self, data: bytes, size: int, *, last: bool = False) -> None:
        """A piece of the body; `size` of it counts for flow control."""
        self._kept.append((data, size))
        self._work()

    def take_end(self) -> None:
        """The body is complete."""
        self._kept.append((b"", -1))
        self._work()

    def _work(self) -> None:
        exchange = self.exchange
        while self._kept and exchange is not None and exchange.has_sink and not self._paused:
            data, size = self._kept.popleft()
            if size < 0:
                exchange.body_left = 0
                self.port.bodies.pop(self, None)
                exchange.take_end()
                return
            if exchange.body_left > 0:
                # The last piece leaves one byte to come: the end is told by its own frame.
                exchange.body_left = max(exchange.body_left - len(data), 1)
            self.connection.took(self.number, size)
            exchange.take_piece(data)
            self.port.moved(self, exchange)
            exchange = self.exchange

    # For the exchange, as if it were the connection.

    @property
    def client(self) -> str:
        """Address of the other side."""
        return self.connection.client

    @property
    def certificate(self) -> str:
        """Common name that the other side proved."""
        return certificate_of(self.connection.transport)

    def await_body(self, exchange: Exchange, *, whole: bool) -> None:
        """Somebody takes the body from now on."""
        self.port.bodies[self] = self.port.time(), whole
        self._work()
        self.connection.flush()

    def pause(self, exchange: Exchange) -> None:
        """Take no more of the body; its window is left to run out."""
        self._paused = True
        self.port.bodies.pop(self, None)

    def resume(self, exchange: Exchange) -> None:
        """Take it again."""
        self._paused = False
        if exchange.body_left and exchange.has_sink:
            self.port.bodies[self] = self.port.time(), False
        self._work()
        self.connection.flush()

    def begin(self, headers: Headers, body: bytes, *, end: bool) -> None:
        """Send the head of the answer, and perhaps all of it."""
        if not self.connection.send_headers(self.number, headers, end=end and not body):
            return
        if end and not body:
            self._close()
        else:
            if body:
                self._pending.append(body)
                self._size = len(body)
            self._ended = end
            self.pump()
        self.connection.flush()

    def send(self, data: bytes) -> None:
        """Send more of it."""
        if not data:
            return
        self._pending.append(data)
        self._size += len(data)
        self.pump()
        if self._size > HIGH_BYTES and not self._full:
            self._full = True
            self.port.stalled(self)
            exchange = self.exchange
            if exchange is not None and exchange.on_writable is not None:
                exchange.on_writable(False)
        self.connection.flush()

    def end(self) -> None:
        """The answer is complete."""
        self._ended = True
        self.pump()
        self.connection.flush()

    def pump(self) -> None:
        """Send what the windows let through."""
        connection = self.connection
        while self._pending:
            room = connection.room(self.number)
            if room <= 0:
                if self._pending:  # else it was taken back, which came with what this answers
                    self.port.stalled(self)
                return
            piece = self._pending.popleft()
            if len(piece) > room:
                self._pending.appendleft(piece[room:])
                piece = piece[:room]
            self._size -= len(piece)
            if not connection.send_data(self.number, piece, end=self._ended and not self._pending):
                return
            if self._ended and not self._pending:
                self._close()
                return
        if self._ended:
            connection.send_data(self.number, b"", end=True)
            self._close()
            return
        if self._full and self._size <= LOW_BYTES:
            self._full = False
            exchange = self.exchange
            if exchange is not None and exchange.on_writable is not None:
                exchange.on_writable(True)
        self.port.flowing(self)

    def unsent(self) -> int:
        """Bytes that wait."""
        return self._size

    def finish(self, exchange: Exchange) -> None:
        """Answers end by `end`."""

    def release(self, exchange: Exchange) -> None:
        """The body is complete; the answer may still wait for its client."""
        if not self._pending:
            self.exchange = None
            self.forget()

    def close(self) -> None:
        """Nobody wants the rest of the body (RFC 9113, 8.1)."""
        self.exchange = None
        self.connection.reset(self.number, ErrorCodes.NO_ERROR)
        self.forget()

    def cut(self) -> None:
        """Take the stream back."""
        exchange, self.exchange = self.exchange, None
        self.connection.reset(self.number, ErrorCodes.INTERNAL_ERROR)
        self.forget()
        if exchange is not None:
            exchange.gone()

    def lost(self) -> None:
        """The other side has taken it back, or is gone."""
        exchange, self.exchange = self.exchange, None
        self.forget()
        if exchange is not None:
            exchange.gone()

    def forget(self) -> None:
        """It is over."""
        self.port.bodies.pop(self, None)
        self.port.flowing(self)
        self._pending.clear()
        self._size = 0
        for _, size in self._kept:
            if size > 0:
                self.connection.took(0, size)
        self._kept.clear()
        self.connection.leave(self)

    def _close(self) -> None:
        """All of the answer is sent; what is left of the body is thrown away."""
        exchange = self.exchange
        if exchange is not None and exchange.body_left:
            self.port.bodies[self] = self.port.time(), True
            self._paused = False
            self._work()
        else:
            self.exchange = None
            self.forget()
