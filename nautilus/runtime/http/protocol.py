"""A client's connection: HTTP/1.1 on a transport, strictly read; requests are answered one after the other.

::

    bytes -> head (core.http_head) -> Exchange -> application
          -> body                  -> whoever takes it; nobody does: what comes waits, then the transport is paused
          -> the next request      waits until the answer is out

There is no parser object and no timer of its own: an idle connection is this object and its transport. Times are kept
by the port, which looks at them now and then.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from nautilus.core.http_head import CODING, HEAD_BYTES, INCOMPLETE, TOO_LARGE, VERSION
from nautilus.core.http_link import ConnectionBase
from nautilus.runtime.http.body import DRAINED_BYTES
from nautilus.runtime.http.exchange import OPEN, Exchange, new_trace_id, problem_response
from nautilus.runtime.http.problems import RETRY, HttpError

REFUSED_BYTES = 1 << 20
"""So much is thrown away behind what is malformed, so that its sender gets to read why."""
_MALFORMED = (400, "http.malformed", "no HTTP that can be understood", "HTTP/1.1")
_REFUSALS = {
    VERSION: (505, "http.version", "another version of HTTP", "HTTP/1.1"),
    TOO_LARGE: (431, "http.head_size", "too many headers", f"at most {HEAD_BYTES} bytes"),
    CODING: (501, "http.transfer_encoding", "another transfer encoding", "chunked"),
}


class Connection(ConnectionBase, asyncio.Protocol):
    """Of a port. Everything but the calls of its transport is for `Exchange` and `Port`.

    Attributes
    ----------
    exchange : the request that is under way; None: there is none.
    asked : it has asked something already.
    """

    __slots__ = ()
    transport: asyncio.Transport
    exchange: Exchange | None
    makes = Exchange
    movable = True
    """Another process can go on with it."""

    # Of the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let in, or told that there is no room."""
        self.transport = transport  # type: ignore[assignment]
        if self.port.tls is not None:
            secured = transport.get_extra_info("ssl_object")
            if secured is not None and secured.selected_alpn_protocol() == "h2":
                self._ending = True
                self.port.speak_http2(self.transport, self)
                return
        if self.port.connections.admit(self, self.port.time()):
            if not self.asked:
                self._await_head()
        else:
            self.port.overflow()
            self._refuse(HttpError(503, "http.connections", "too many connections at once", headers=RETRY))

    def eof_received(self) -> None:
        """The sender says no more, and is taken to hear no more."""

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self.leave_socket()
        self.port.leave(self)
        exchange, self.exchange = self.exchange, None
        self._rest, self._chunks = b"", None
        self._ending = True
        if exchange is not None:
            if exchange.body_left and exchange.state == OPEN:
                self.port.count(400)  # half a body: nobody is there to be told
            exchange.gone()

    def pause_writing(self) -> None:
        """The sender does not read as fast as it is written to."""
        self._full = True
        self.port.stalled(self)
        if self.exchange is not None and self.exchange.on_writable is not None:
            self.exchange.on_writable(False)

    def resume_writing(self) -> None:
        """It does again."""
        self._full = False
        if self._ending:
            return  # it is watched until all is sent
        self.port.flowing(self)
        if self.exchange is not None and self.exchange.on_writable is not None:
            self.exchange.on_writable(True)
        if self.exchange is None and (self._rest or self._paused):
            self._go_on()

    # What comes in.

    def _end_head(self, found: int) -> None:
        if found == INCOMPLETE:
            if self._rest == b"\r\n":  # behind a body, some send it
                self._rest = b""
            elif not self._in_head:
                self._await_head()
            return
        if not self.asked and self.port.takes_over(self, self._rest):
            self._rest, self._ending = b"", True
            return
        status, code, what, expected = _REFUSALS.get(found, _MALFORMED)
        self._refuse(HttpError(status, code, what, expected=expected))

    def _await_head(self) -> None:
        self._in_head = True
        self.port.heads[self] = self.port.time()

    def _feed(self, exchange: Exchange) -> None:
        """Hand what is there of a body to whoever takes it."""
        data, left = self._rest, exchange.body_left
        if left > 0:
            if len(data) > left:
                data, self._rest = data[:left], data[left:]
            else:
                self._rest = b""
            exchange.body_left = left - len(data)
            exchange.take_piece(data)
        else:
            chunks = self._chunks
            assert chunks is not None
            piece = chunks.feed(data)
            if isinstance(piece, int):
                self._break(exchange)
                return
            self._rest = b""
            if chunks.done:
                self._rest = data[len(data) - chunks.rest :] if chunks.rest else b""
                self._chunks, exchange.body_left = None, 0
            if piece:
                exchange.take_piece(piece)
        if exchange.body_left:
            self.port.moved(self, exchange)
        else:
            self.port.bodies.pop(self, None)
            exchange.take_end()

    def _break(self, exchange: Exchange) -> None:
        """Its body is malformed: nothing that follows can be understood."""
        self._rest = b""
        exchange.keep_alive = False
        status, code, what, expected = _MALFORMED
        exchange.fail_body(HttpError(status, code, what, where="body", expected=expected))

    # For exchanges.

    def await_body(self, exchange: Exchange, *, whole: bool) -> None:
        """Somebody takes the body from now on."""
        if not self._rest and (told := exchange.told_to_send()):
            self.write(told)
        self.port.bodies[self] = self.port.time(), whole
        self._go_on()

    def pause(self, exchange: Exchange) -> None:
        """See `Exchange.pause`."""
        self._pause()
        self.port.bodies.pop(self, None)

    def resume(self, exchange: Exchange) -> None:
        """See `Exchange.resume`."""
        if self.exchange is exchange and exchange.body_left and exchange.has_sink:
            self.port.bodies[self] = self.port.time(), False
            self._go_on()

    def _pause(self) -> None:
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def _go_on(self) -> None:
        """Take in what comes, and go on with what is there; where that is under way already it comes to it."""
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        if not self._working:
            self._work()

    def _finish_body(self, exchange: Exchange) -> None:
        """The answer is complete, the body is not."""
        if exchange.keep_alive:
            # What is left of the body is thrown away, and the connection goes on.
            self.port.bodies[self] = self.port.time(), True
            self._go_on()
        else:
            self.exchange = None
            self._linger(DRAINED_BYTES)

    def close(self) -> None:
        """Close once what was written is sent."""
        self._ending = True
        self.port.part(self)
        self.transport.close()

    def cut(self) -> None:
        """Close at once, so that what was sent is not taken for all."""
        exchange, self.exchange = self.exchange, None
        self._ending = True
        self.port.leave(self)
        self.transport.abort()
        if exchange is not None:
            exchange.gone()

    def hand_over(self, head: bytes, protocol: asyncio.BaseProtocol) -> asyncio.Transport:
        """See `Exchange.upgrade`."""
        transport, rest = self.transport, self._rest
        self.leave_socket()
        self.exchange, self._rest, self._ending = None, b"", True
        self.port.handed_over(self, protocol, transport)
        if head:
            transport.write(head)
        if self._paused:
            transport.resume_reading()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if rest:
            protocol.data_received(rest)  # type: ignore[attr-defined]
        return transport

    # For the port.

    @property
    def client(self) -> str:
        """Address of the other side."""
        if self._client is None:  # the operating system is asked once
            peer = self.transport.get_extra_info("peername")
            self._client = sys.intern(str(peer[0])) if isinstance(peer, tuple) else ""
        return self._client

    @property
    def certificate(self) -> str:
        """Common name that the other side proved."""
        return certificate_of(self.transport)

    @property
    def idle(self) -> bool:
        """Nothing is under way, nothing has begun."""
        return self.exchange is None and not self._rest and not self._ending

    def exchanges(self) -> list[Exchange]:
        """Requests that are under way."""
        return [] if self.exchange is None else [self.exchange]

    def unsent(self) -> int:
        """Bytes that the transport has not sent."""
        return self.transport.get_write_buffer_size()

    def _refuse(self, error: HttpError) -> None:
        """Answer without a request, and close."""
        self.port.count(error.status)
        response = problem_response(error, new_trace_id())
        head = self.port.head_of(response.status, response.content_type) + b"%d\r\n" % len(response.body)
        lines = b"".join([name + b": " + value + b"\r\n" for name, value in response.headers if name != b"connection"])
        self.transport.write(head + lines + b"connection: close\r\n\r\n" + response.body)
        self._linger(REFUSED_BYTES)

    def _linger(self, most_bytes: int) -> None:
        """Say no more, and throw away what comes for a while: closed at once, the answer might be lost on its way."""
        self._ending, self._rest = True, b""
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        if self.transport.is_closing():
            return
        if not self.transport.can_write_eof():
            self.close()
            return
        if self.port.linger(self, most_bytes):
            self.transport.write_eof()
        else:
            self.close()


def certificate_of(transport: Any) -> str:
    """Common name of the certificate that the other side of a transport proved; empty: none."""
    found = transport.get_extra_info("peercert") or {}
    for part in found.get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)
    return ""
