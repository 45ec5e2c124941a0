"""HTTP/2 to clients, with the same face: each stream is an exchange. Frames and header lists are the library's (h2).

A client of HTTP/2 may open many streams, cancel them, and send frames that cost it nothing. So there is an end to how
many streams there are at once, to how many it takes back, and to how many frames it sends that bring nothing forward.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, cast

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingReceived,
    PriorityUpdated,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    UnknownFrameReceived,
    WindowUpdated,
)
from h2.exceptions import FrameTooLargeError, H2Error
from h2.settings import SettingCodes, Settings

from nautilus.core.http_head import HEAD_BYTES, METHODS, MOST_HEADERS
from nautilus.runtime.clock import monotonic_ns
from nautilus.runtime.http.exchange import Exchange, Headers
from nautilus.runtime.http.problems import HttpError
from nautilus.runtime.http.streams import NAME, VALUE, Stream, StreamExchange

if TYPE_CHECKING:
    from nautilus.runtime.http.port import Port
    from nautilus.runtime.http.protocol import Connection

MOST_STREAMS = 100
"""Of one connection at once."""
MOST_RESETS = 100
MOST_IDLE_FRAMES = 1000
"""Streams taken back, and frames that bring nothing forward, in `CALM_SECONDS`."""
CALM_SECONDS = 10.0
CONNECTION_WINDOW = 1 << 20
"""So much of all bodies together is taken in of what nobody takes yet."""
_TARGET = re.compile(rb"/[!-\"$-~]*|\*")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_MALFORMED = ("http.malformed", "no request that can be understood")


_SETTINGS = {SettingCodes.MAX_CONCURRENT_STREAMS: MOST_STREAMS, SettingCodes.MAX_HEADER_LIST_SIZE: HEAD_BYTES}


class _Protocol(H2Connection):
    """The library remembers streams that are over, so that what comes late for one is no error: the last ones."""

    MAX_CLOSED_STREAMS = 1024

    def receive_data(self, data: Any) -> list[Event]:
        """As the library; but a frame that is too large is refused by its header, not kept until it is whole."""
        events = super().receive_data(data)
        began = self.incoming_buffer._data[:3]
        if len(began) == 3 and int.from_bytes(began) > self.max_inbound_frame_size:
            raise FrameTooLargeError(f"a frame of {int.from_bytes(began)} bytes")
        return events


class Http2Connection(asyncio.Protocol):
    """A client's connection that speaks HTTP/2."""

    __slots__ = (
        "_ending",
        "_frames",
        "_h2",
        "_resets",
        "_since",
        "_streams",
        "_working",
        "_writable",
        "asked",
        "port",
        "transport",
    )
    movable = False

    def __init__(self, port: Port) -> None:
        self.port = port
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.asked = False
        self._h2 = _Protocol(H2Configuration(client_side=False, header_encoding=None))
        self._h2.local_settings = Settings(client=False, initial_values=_SETTINGS)
        self._streams: dict[int, Stream] = {}
        self._ending = self._working = False
        self._writable = True
        self._since = 0.0
        self._resets = self._frames = 0

    # Of the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let in, or told that there is no room."""
        self.transport = transport  # type: ignore[assignment]
        self._since = now = self.port.time()
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(CONNECTION_WINDOW - 65535)
        if self.port.connections.admit(self, now):
            self.port.heads[self] = now
            self.flush()
        else:
            self.port.count(503)
            self._end(ErrorCodes.ENHANCE_YOUR_CALM)

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        if self._ending:
            return
        try:
            events = self._h2.receive_data(data)
        except (H2Error, ValueError) as error:
            self.port.count(400)
            self._end(getattr(error, "error_code", ErrorCodes.PROTOCOL_ERROR))
            return
        self._working = True  # what it comes to is written at once
        try:
            for event in events:
                if self._ending:
                    return
                self._on_event(event)
        finally:
            self._working = False
            self.flush()

    def eof_received(self) -> None:
        """The other side is taken to be gone."""

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed."""
        self._ending = True
        for stream in list(self._streams.values()):
            stream.lost()
        self.port.leave(self)

    def pause_writing(self) -> None:
        """The other side does not read."""
        self._writable = False
        self.port.stalled(self)

    def resume_writing(self) -> None:
        """It does again."""
        self._writable = True
        if self._ending:
            return  # it is watched until all is sent
        self.port.flowing(self)
        self._pump()

    # What came.

    def _on_event(self, event: Event) -> None:
        if isinstance(event, DataReceived):
            stream = self._streams.get(event.stream_id or 0)
            size = event.flow_controlled_length or 0
            if not event.data and event.stream_ended is None:
                self._count_frame()
            if stream is None:
                self.took(0, size)
            else:
                stream.take(event.data or b"", size)
        elif isinstance(event, RequestReceived):
            self._on_request(event)
        elif isinstance(event, StreamEnded):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                stream.take_end()
        elif isinstance(event, StreamReset):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                stream.lost()
            if event.remote_reset:
                self._count_reset()
        elif isinstance(event, WindowUpdated):
            if event.stream_id:
                stream = self._streams.get(event.stream_id)
                if stream is not None:
                    stream.pump()
                else:
                    self._count_frame()
            else:
                self._pump()
                self._count_frame()
        elif isinstance(event, RemoteSettingsChanged):
            self._count_frame()
            self._pump()
        elif isinstance(event, (PingReceived, PriorityUpdated, UnknownFrameReceived)):
            self._count_frame()
        elif isinstance(event, ConnectionTerminated):
            self._end(ErrorCodes.NO_ERROR)

    def _on_request(self, event: RequestReceived) -> None:
        number = event.stream_id or 0
        if self.port.draining or self.port.closing:
            # It may be asked again elsewhere. To go away is said once all is answered: some clients hear nothing then.
            self.reset(number, ErrorCodes.REFUSED_STREAM)
            if not self._streams:
                self.close()
            return
        self.asked = True
        self.port.heads.pop(self, None)
        stream = Stream(self, number)
        self._streams[number] = stream
        self.port.connections.busy(self)
        ended = event.stream_ended is not None
        found = _head_of(cast("Headers", event.headers or []), ended=ended)
        if isinstance(found, HttpError):
            exchange = StreamExchange(cast("Connection", stream), "GET", b"/", [], started_ns=monotonic_ns())
            exchange.body_left = 0 if ended else -1
            stream.exchange = exchange
            exchange.problem(found)
            return
        method, target, headers, length = found
        exchange = StreamExchange(cast("Connection", stream), method, target, headers, started_ns=monotonic_ns())
        if not ended:
            exchange.body_left = length or -1
        stream.exchange = exchange
        if not ended and not length:
            # As over HTTP/1.1, the headers say that there is a body, in one way: rules and proxies go by them.
            headers[:] = [each for each in headers if each[0] != b"content-length"]
            headers.append((b"transfer-encoding", b"chunked"))
        try:
            self.port.app(exchange)
        except Exception as error:
            self.port.failed(error, exchange)

    def _count_reset(self) -> None:
        self._resets += 1
        self._look_calm()

    def _count_frame(self) -> None:
        self._frames += 1
        self._look_calm()

    def _look_calm(self) -> None:
        now = self.port.time()
        if now - self._since > CALM_SECONDS:
            self._since = now
            self._resets = self._frames = 0
        elif self._resets > MOST_RESETS or self._frames > MOST_IDLE_FRAMES:
            self.port.count(429)
            self._end(ErrorCodes.ENHANCE_YOUR_CALM)

    # For streams.

    @property
    def client(self) -> str:
        """Address of the other side."""
        peer = self.transport.get_extra_info("peername")
        return str(peer[0]) if isinstance(peer, tuple) else ""

    def send_headers(self, number: int, headers: Headers, *, end: bool) -> bool:
        """Whether they could be sent."""
        try:
            self._h2.send_headers(number, headers, end_stream=end)
        except H2Error:
            self._lose(number)
            return False
        return True

    def send_data(self, number: int, data: bytes, *, end: bool) -> bool:
        """Whether it could be sent."""
        try:
            self._h2.send_data(number, data, end_stream=end)
        except H2Error:
            self._lose(number)
            return False
        return True

    def room(self, number: int) -> int:
        """Bytes that may be sent on a stream in one frame."""
        if not self._writable:
            return 0
        try:
            return min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)
        except H2Error:
            self._lose(number)
            return 0

    def took(self, number: int, size: int) -> None:
        """So much of a body was taken: its sender may send as much again. Stream 0: of one that is over."""
        if size <= 0 or self._ending:
            return
        try:
            if number:
                self._h2.acknowledge_received_data(size, number)
            else:
                self._h2.increment_flow_control_window(size)
        except (H2Error, ValueError):
            if number:
                self.took(0, size)

    def reset(self, number: int, code: ErrorCodes) -> None:
        """Take a stream back."""
        try:
            self._h2.reset_stream(number, code)
        except H2Error:
            return
        self.flush()

    def leave(self, stream: Stream) -> None:
        """A stream is over."""
        self._streams.pop(stream.number, None)
        if not self._streams and not self._ending:
            self.port.connections.spare(self, self.port.time())
            if self.port.draining or self.port.closing:
                self.close()

    def flush(self) -> None:
        """Write what the library has to say."""
        if self._working:
            return
        data = self._h2.data_to_send()
        if data and self.transport is not None:
            self.transport.write(data)

    def _pump(self) -> None:
        for stream in list(self._streams.values()):
            stream.pump()
        self.flush()

    def _lose(self, number: int) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            stream.lost()

    # For the port.

    def exchanges(self) -> list[Exchange]:
        """Requests that are under way."""
        return [stream.exchange for stream in self._streams.values() if stream.exchange is not None]

    def unsent(self) -> int:
        """Bytes that the transport has not sent."""
        return self.transport.get_write_buffer_size()

    def close(self) -> None:
        """Close once what was written is sent."""
        self._end(ErrorCodes.NO_ERROR)

    def cut(self) -> None:
        """Close at once."""
        self._ending = True
        self.port.leave(self)
        self.transport.abort()

    def _end(self, code: Any) -> None:
        if self._ending:
            return
        self._ending = True
        # Of most errors the library has told already.
        if self._h2.state_machine.state != ConnectionState.CLOSED:
            self._h2.close_connection(code)
        self._working = False
        self.flush()
        self.port.part(self)
        self.transport.close()


def _head_of(fields: Headers, *, ended: bool) -> tuple[str, bytes, Headers, int] | HttpError:
    """Method, target, headers and declared length; the library has looked at the rest of the rules."""
    pseudo: dict[bytes, bytes] = {}
    headers: Headers = []
    cookies: list[bytes] = []
    lengths: list[bytes] = []
    for name, value in fields:
        name, value = bytes(name), bytes(value)
        if name.startswith(b":"):
            pseudo[name] = value
        elif not NAME.fullmatch(name) or not VALUE.fullmatch(value):
            return HttpError(400, *_MALFORMED)
        elif name == b"cookie":
            cookies.append(value)
        else:
            if name == b"content-length":
                lengths.append(value)
            headers.append((name, value))
    if len(headers) > MOST_HEADERS:
        return HttpError(431, "http.head_size", "too many headers", expected=f"at most {MOST_HEADERS}")
    method, target = METHODS.get(pseudo.get(b":method", b"")), pseudo.get(b":path", b"")
    authority = pseudo.get(b":authority")
    if method is None or not _TARGET.fullmatch(target) or (target == b"*" and method != "OPTIONS"):
        return HttpError(400, *_MALFORMED, expected="a method and a path")
    if len(lengths) > 1 or not all(_LENGTH.fullmatch(value) for value in lengths):
        return HttpError(400, *_MALFORMED, where="Content-Length")
    if ended and lengths and int(lengths[0]):
        # Nothing comes of what it declares (RFC 9113, 8.1.1): passed on, the next request would be taken for it.
        return HttpError(400, *_MALFORMED, where="Content-Length", expected="the length of the body")
    if authority is not None:
        if any(name == b"host" and value != authority for name, value in headers):
            return HttpError(400, *_MALFORMED, where="Host", expected="the one of :authority")
        headers = [(b"host", authority), *(each for each in headers if each[0] != b"host")]
    if cookies:
        headers.append((b"cookie", b"; ".join(cookies)))
    return method, target, headers, int(lengths[0]) if lengths else 0
