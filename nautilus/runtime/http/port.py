"""One listening port: its application, its limits, its connections, and how it ends."""

from __future__ import annotations

import asyncio
import os
import ssl
from email.utils import formatdate
from http import HTTPStatus
from socket import socket
from typing import TYPE_CHECKING, Any

from nautilus.core.counters import Counters
from nautilus.core.http_link import LaneBase
from nautilus.runtime.clock import NANOSECONDS, wall_ns
from nautilus.runtime.http.body import too_slow
from nautilus.runtime.http.config import HttpConfig
from nautilus.runtime.http.connections import Connections, Member
from nautilus.runtime.http.exchange import ANSWERED, OPEN, Application, Exchange, stopping
from nautilus.runtime.http.problems import as_http_error
from nautilus.runtime.http.protocol import Connection
from nautilus.runtime.http.sockets import BACKLOG

if TYPE_CHECKING:
    from nautilus.runtime.http.leases import Leases

HEAD_SECONDS = 10.0
"""A head has to be whole within this time."""
STALL_SECONDS = 30.0
"""Who takes nothing of an answer for so long is given up."""
LINGER_SECONDS = 2.0
"""So long a refused sender may go on before the connection is closed."""
MOST_LINGERING = 256
LAST_LOOKS, LAST_LOOK_SECONDS = 20, 0.01
PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
"""What a client begins with that knows to find HTTP/2 here, as far as it looks like a head."""


class Port:
    """Listens for one application.

    Parameters
    ----------
    app
        Called for each request.
    counters
        Of the process: ``http.refused``, ``http.errors`` and why connections were given up are counted.
    config
        Limits.
    name
        Of the engine.
    tls
        With it, the port speaks TLS.
    most
        Connections at once; None: as configured.
    files
        See `Connections`.
    leases
        Take WebSockets that end with the key or session by which they were opened; None: none do.

    Attributes
    ----------
    draining : from now on each answer is the last of its connection.
    """

    def __init__(
        self,
        app: Application,
        counters: Counters,
        config: HttpConfig | None = None,
        *,
        name: str = "",
        tls: ssl.SSLContext | None = None,
        most: int | None = None,
        files: int | None = None,
        leases: Leases | None = None,
    ) -> None:
        self.app = app
        self.leases = leases
        self.lane: LaneBase | None = getattr(app, "lane", None) if tls is None else None
        """Answers some requests before there is an exchange; none over TLS, where who shows nothing may do less."""
        self.config = config = config or HttpConfig()
        self.name = name
        self.tls = tls
        if tls is not None:
            tls.set_alpn_protocols(["h2", "http/1.1"] if config.http2 else ["http/1.1"])
        self.connections = Connections(config.connections if most is None else most, files)
        self.draining = self.closing = False
        self.heads: dict[Any, float] = {}
        self.bodies: dict[Any, tuple[float, bool]] = {}
        self._stalled: dict[Any, tuple[float, int]] = {}
        self._lingering: dict[Any, list[float]] = {}
        self._upgraded: dict[Any, asyncio.Transport] = {}
        self._counters = counters
        self._refused = counters.counter("http.refused")
        self._failures = counters.counter("http.errors")
        self._overflows = counters.counter("http.connections_refused")
        self._gave_up = {why: counters.counter(f"http.given_up_{why}") for why in ("heads", "bodies", "answers")}
        self._servers: list[asyncio.Server] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._look_seconds = max(0.02, min(1.0, config.body_seconds / 4, config.idle_seconds / 4))
        self._lines: dict[int, bytes] = {}
        self._heads_of: dict[tuple[int, str], bytes] = {}
        self._second = 0
        self._date = b""
        self._renew_date()

    async def listen(self, sock: socket) -> None:
        """Take connections from a listening socket; it is closed with the port."""
        loop = self.begin()
        limit = None if self.tls is None else HEAD_SECONDS
        self._servers.append(
            await loop.create_server(self.make, sock=sock, ssl=self.tls, backlog=BACKLOG, ssl_handshake_timeout=limit)
        )

    def adopt(self, sock: socket) -> None:
        """Go on with a plain connection that another process has handed over."""
        loop = self.begin()
        sock.setblocking(False)
        task = loop.create_task(loop.connect_accepted_socket(self._make_adopted, sock))
        task.add_done_callback(_quietly)

    def give_up_idle(self, most: int = 1 << 20) -> list[socket]:
        """Part with so many idle plain connections: their sockets, on which nothing is lost.

        Not from TLS, which has state. Each takes one more descriptor until the loop turns: with none left it stays.
        """
        found: list[socket] = []
        if self.tls is not None:
            return found
        for connection in self.connections.idle():
            if len(found) == most:
                break
            transport = connection.transport
            if not connection.idle or transport is None or transport.is_closing() or not connection.movable:
                continue
            if transport.get_write_buffer_size():
                continue  # the end of an answer is to go out before another process writes
            transport.pause_reading()
            own = transport.get_extra_info("socket")
            try:
                found.append(socket(fileno=os.dup(own.fileno())))
            except OSError:
                transport.resume_reading()
                break
            connection.close()
        return found

    def stop_listening(self) -> None:
        """Take no new connections."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def close(self, grace_seconds: float = 1.0) -> None:
        """Stop: refuse what comes, wait so long for what is under way, close every connection."""
        self.draining = self.closing = True
        self.stop_listening()
        for connection in self.connections.idle():
            connection.close()
        until = self.time() + grace_seconds
        while self.busy and (wait := until - self.time()) > 0:
            await asyncio.sleep(min(wait, LAST_LOOK_SECONDS))
        give_up = getattr(self.app, "give_up", None)
        if give_up is not None:
            give_up()
            for _ in range(LAST_LOOKS):
                if not self.busy:
                    break
                await asyncio.sleep(LAST_LOOK_SECONDS)
        for connection in self.connections:
            for exchange in connection.exchanges():
                if exchange.state == OPEN:
                    exchange.problem(stopping())
        for connection in self.connections:
            connection.close()
        for transport in self._upgraded.values():
            transport.close()
        for _ in range(LAST_LOOKS):  # so that the last answers leave before the loop does
            if not any(each.unsent() for each in self._lingering):
                break
            await asyncio.sleep(LAST_LOOK_SECONDS)
        for connection in list(self._lingering):
            connection.transport.close()
        await asyncio.sleep(0)
        self.stop_looking()

    def stop_looking(self) -> None:
        """Give up nothing any more: it has ended."""
        if self._timer is not None:
            self._timer.cancel()

    @property
    def busy(self) -> int:
        """Requests that are under way."""
        return sum(len(connection.exchanges()) for connection in self.connections)

    @property
    def date(self) -> bytes:
        """Of now, as headers have it."""
        return self._date[6:-2]

    # For connections.

    def time(self) -> float:
        """Of the loop, in seconds."""
        assert self._loop is not None
        return self._loop.time()

    def head_of(self, status: int, content_type: str) -> bytes:
        """The beginning of an answer, up to its length; without a body's headers where it has none (204)."""
        found = self._heads_of.get((status, content_type))
        if found is None:
            found = self.status_line(status)
            if status != HTTPStatus.NO_CONTENT:
                found += b"content-type: %b\r\ncache-control: no-store\r\n" % content_type.encode()
                found += b"x-content-type-options: nosniff\r\ncontent-length: "
            if len(self._heads_of) < 256:
                self._heads_of[status, content_type] = found
        return found

    def status_line(self, status: int) -> bytes:
        """The first line of an answer, and its date."""
        line = self._lines.get(status)
        if line is None:
            try:
                phrase = HTTPStatus(status).phrase
            except ValueError:
                phrase = ""
            line = self._lines[status] = b"HTTP/1.1 %d %b\r\n" % (status, phrase.encode())
        return line + self._date

    def count(self, status: int) -> None:
        """A request was refused, or failed, without an application having a part in it."""
        self._counters.increment(self._failures if status >= 500 else self._refused)

    def failed(self, error: Exception, exchange: Exchange | None) -> None:
        """The application raised: it should not."""
        loop = self.begin()
        loop.call_exception_handler({"message": f"port {self.name}: the application raised", "exception": error})
        if exchange is not None:
            exchange.keep_alive = False
            exchange.fail_body(as_http_error(error))

    def moved(self, connection: Any, exchange: Exchange) -> None:
        """A piece of a body has come, and there is more."""
        found = self.bodies.get(connection)
        if found is not None and not found[1]:
            self.bodies[connection] = self.time(), False

    def stalled(self, connection: Any) -> None:
        """The other side does not take what is written."""
        if connection not in self._stalled:
            self._stalled[connection] = self.time(), connection.unsent()

    def flowing(self, connection: Any) -> None:
        """It does."""
        self._stalled.pop(connection, None)

    def linger(self, connection: Any, most_bytes: int) -> bool:
        """It is refused, and what comes is thrown away; False where too many are so."""
        self.leave(connection)
        if len(self._lingering) >= MOST_LINGERING:
            return False
        self._lingering[connection] = [self.time() + LINGER_SECONDS, most_bytes]
        return True

    def discard(self, connection: Any, size: int) -> bool:
        """So many bytes more came of it; False where it has sent enough of that."""
        found = self._lingering.get(connection)
        if found is None:
            return True
        found[1] -= size
        return found[1] >= 0

    def handed_over(self, connection: Any, protocol: asyncio.BaseProtocol, transport: asyncio.Transport) -> None:
        """Another protocol has its transport; it counts on as a connection."""
        if isinstance(protocol, Member):
            self.leave(connection)
            protocol.port = self
            self.connections.replace(connection, protocol)
            return
        self.bodies.pop(connection, None)
        self.heads.pop(connection, None)
        self._upgraded[connection] = transport

    def overflow(self) -> None:
        """A connection is refused, as there are too many."""
        self._counters.increment(self._overflows)

    def leave(self, connection: Any) -> None:
        """It is closed, or about to be."""
        self.connections.leave(connection)
        self.heads.pop(connection, None)
        self.bodies.pop(connection, None)
        self._stalled.pop(connection, None)
        self._lingering.pop(connection, None)

    def part(self, connection: Any) -> None:
        """It closes once all is sent; as long as its other side takes nothing of that, it counts on and is watched."""
        if not connection.unsent():
            self.leave(connection)
            return
        self.connections.busy(connection)
        self.heads.pop(connection, None)
        self.bodies.pop(connection, None)
        self._lingering.pop(connection, None)
        self.stalled(connection)

    def takes_over(self, connection: Connection, data: bytes) -> bool:
        """Whether what came first is HTTP/2, by what both sides know; it goes on with that."""
        if not self.config.http2 or self.tls is not None or not data.startswith(PREFACE):
            return False
        self.speak_http2(connection.transport, connection, data)
        return True

    def speak_http2(self, transport: asyncio.Transport, instead: Connection, data: bytes = b"") -> None:
        """Let HTTP/2 take the place of a connection's protocol."""
        from nautilus.runtime.http.http2 import Http2Connection  # few connections speak it

        self.leave(instead)
        instead.leave_socket()
        connection = Http2Connection(self)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if data:
            connection.data_received(data)

    # Now and then.

    def make(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        return Connection(self)

    def _make_adopted(self) -> asyncio.Protocol:
        """The protocol of one that another process had: it may be idle for as long as any that has asked."""
        connection = Connection(self)
        connection.asked = True
        return connection

    def begin(self) -> asyncio.AbstractEventLoop:
        """Work in the running loop, from now on."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._look()
        return self._loop

    def _renew_date(self) -> None:
        second = wall_ns() // NANOSECONDS
        if second != self._second:
            self._second = second
            self._date = b"date: " + formatdate(second, usegmt=True).encode() + b"\r\n"
            self._heads_of.clear()

    def _look(self) -> None:
        """What is late is given up."""
        assert self._loop is not None
        self._timer = self._loop.call_later(self._look_seconds, self._look)
        self._renew_date()
        now = self.time()
        for connection in self.connections.since(now - self.config.idle_seconds):
            connection.close()
        if self.heads:
            for connection, since in list(self.heads.items()):
                if now - since < HEAD_SECONDS:
                    break
                self._counters.increment(self._gave_up["heads"])
                connection.close()
        if self.bodies:
            most = self.config.body_seconds
            for connection, (since, _) in list(self.bodies.items()):
                if now - since >= most and connection in self.bodies:
                    self._counters.increment(self._gave_up["bodies"])
                    self._give_up_body(connection)
        for connection, (since, size) in list(self._stalled.items()):
            left = connection.unsent()
            if left < size:
                self._stalled[connection] = now, left
            elif now - since >= STALL_SECONDS:
                self._counters.increment(self._gave_up["answers"])
                connection.cut()
        for connection, (until, _) in list(self._lingering.items()):
            if now >= until:
                self.part(connection)
                connection.transport.close()
        for connection, transport in list(self._upgraded.items()):
            if not transport.is_closing():
                continue
            if transport.get_write_buffer_size():
                self.stalled(connection)
            else:
                del self._upgraded[connection]
                self.leave(connection)

    def _give_up_body(self, connection: Any) -> None:
        self.bodies.pop(connection, None)
        exchange = connection.exchange
        if exchange is None:
            return
        if exchange.state >= ANSWERED:  # it was to be thrown away
            connection.close()
        else:
            exchange.fail_body(too_slow(self.config.body_seconds))


def _quietly(task: asyncio.Task[Any]) -> None:
    """What was adopted may be gone already."""
    if not task.cancelled():
        task.exception()
