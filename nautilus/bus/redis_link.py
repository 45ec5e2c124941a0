"""One connection to a Redis server that never waits: commands go out as far as the socket takes them, replies come in
as far as they are there, each with what it belongs to. Nothing here reads a clock, starts a thread or raises for what
the server or the network does; the host's loop waits on the descriptor of `Lines`.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import hiredis

from nautilus.bus.base import LOOPBACK, EndpointError
from nautilus.bus.timer import Timer

Argument = bytes | str | int
Reply = object
RECEIVE_BYTES = 1 << 18
RETRY_NS = 20_000_000
"""Between attempts to connect."""
RETRY_LIMIT_NS = 100_000_000
PORT = 6379
_PENDING = (errno.EINPROGRESS, errno.EAGAIN)


class RedisAddress(NamedTuple):
    """Where a server is: the path of its socket, or host and port; and how it is entered."""

    path: str
    host: str
    port: int
    database: int
    user: str
    password: str


def redis_address(url: str) -> RedisAddress:
    """The address in ``unix://PATH`` or ``redis://[[USER]:PASSWORD@]127.0.0.1[:PORT][/DATABASE]``.

    Raises
    ------
    EndpointError
        It is neither, or of another machine: what goes over it is plain text.
    """
    expected = "unix://PATH or redis://127.0.0.1:PORT/DATABASE"
    try:
        parts = urlsplit(url)
        port = parts.port or PORT
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if parts.scheme == "unix" and parts.path.startswith("/"):
            return RedisAddress(parts.path, "", 0, 0, user, password)
        if parts.scheme == "redis" and parts.hostname:
            if parts.hostname not in (*LOOPBACK, "::1"):
                raise EndpointError(
                    parts.hostname, where="redis", expected="an address of this machine: it is plain text"
                )
            return RedisAddress("", parts.hostname, port, int(parts.path.strip("/") or 0), user, password)
    except ValueError:
        pass
    raise EndpointError(repr(url), where="redis", expected=expected)


def same_server(one: str, other: str) -> bool:
    """Whether two addresses lead to one server, whatever the database in it."""
    first, second = redis_address(one), redis_address(other)
    if first.path or second.path:
        return os.path.realpath(first.path) == os.path.realpath(second.path) if first.path and second.path else False
    return first.port == second.port  # every name that is allowed is of this machine


def pack(*arguments: Argument) -> bytes:
    """A command as it goes over the wire."""
    packed: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type]
    return packed


class RedisLink:
    """A connection.

    Parameters
    ----------
    url
        See `redis_address`.
    out_limit
        Bytes that may wait for the socket to take them.
    on_open
        Called when the connection stands and its first commands have gone out; to send more of them.
    on_lost
        Called with the cause when it stands no longer; what was not answered then is not, in order: its tags.

    Attributes
    ----------
    open : it stands.
    cause : why it does not.
    generation : moves with each new socket.
    waiting : tags of commands without a reply yet, in order.
    """

    def __init__(
        self,
        url: str,
        *,
        out_limit: int = 1 << 24,
        on_open: Callable[[], object] | None = None,
        on_lost: Callable[[str], object] | None = None,
    ) -> None:
        self.open = False
        self.cause = "not connected"
        self.generation = 0
        self.waiting: deque[object] = deque()
        self._address = redis_address(url)
        self._out_limit = out_limit
        self._on_open = on_open
        self._on_lost = on_lost
        self._socket: socket.socket | None = None
        self._reader = hiredis.Reader(protocolError=hiredis.ProtocolError, replyError=hiredis.ReplyError)
        self._out = bytearray()
        self._retry_at_ns = 0
        self._retry_ns = RETRY_NS

    def fileno(self) -> int:
        """The socket's; -1: there is none."""
        return -1 if self._socket is None else self._socket.fileno()

    @property
    def unsent(self) -> int:
        """Bytes that wait for the socket."""
        return len(self._out)

    @property
    def wants_to_write(self) -> bool:
        """Its socket is to be looked at for writing, too."""
        return self._socket is not None and (not self.open or bool(self._out))

    def tick(self, now_ns: int) -> None:
        """Connect where it is time to."""
        if self._socket is None and now_ns >= self._retry_at_ns:
            self._retry_at_ns = now_ns + self._retry_ns
            self._retry_ns = min(2 * self._retry_ns, RETRY_LIMIT_NS)
            self._connect()

    @property
    def due_ns(self) -> int:
        """When `tick` has something to do; 0: never."""
        return self._retry_at_ns if self._socket is None else 0

    def send(self, tag: object, packed: bytes, *, later: bool = False) -> bool:
        """Send a packed command whose reply `read` gives with the tag; False: it was not taken.

        `later` leaves it to the next `flush`, with others.
        """
        if not self.open or len(self._out) + len(packed) > self._out_limit:
            return False
        self.waiting.append(tag)
        if self._out or later:
            self._out += packed
            if not later:
                self.flush()
            return True
        assert self._socket is not None
        try:
            sent = self._socket.send(packed)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.lose(_said(error))
            return False
        if sent < len(packed):
            self._out += packed[sent:]
        return True

    def flush(self) -> None:
        """Hand the socket what waits for it, or find out whether it is connected."""
        if self._socket is None:
            return
        try:
            if not self.open and not self._greet():
                return
            while self._out:
                with memoryview(self._out)[: 1 << 18] as part:
                    sent = self._socket.send(part)
                del self._out[:sent]
        except BlockingIOError:
            pass
        except OSError as error:
            self.lose(_said(error))

    def read(self) -> list[tuple[object, Reply]]:
        """Replies that are there: (tag, reply); an error of the server is a `hiredis.ReplyError` in its place."""
        found: list[tuple[object, Reply]] = []
        if self._socket is None:
            return found
        if not self.open:
            self.flush()
            if not self.open:
                return found
        reader, waiting = self._reader, self.waiting
        try:
            while True:
                content = self._socket.recv(RECEIVE_BYTES)
                if not content:
                    self.lose("closed by the server")
                    break
                reader.feed(content)
                while (reply := reader.gets()) is not False:
                    found.append((waiting.popleft(), reply))
                if len(content) < RECEIVE_BYTES:
                    break
        except BlockingIOError:
            pass
        except OSError as error:
            self.lose(_said(error))
        except (hiredis.ProtocolError, IndexError, TypeError) as error:  # the last: a map with an array for a key
            self.lose(f"no Redis server: {error}")
        return [(tag, reply) for tag, reply in found if tag is not None or isinstance(reply, hiredis.ReplyError)]

    def lose(self, cause: str, *, refused: bool = False) -> None:
        """Give the connection up; `tick` makes another one: at once where it stood, later if the server refuses."""
        if self._socket is None:
            return
        was_open = self.open
        self._socket.close()
        self._socket = None
        self.open = False
        self.cause = cause
        self._out.clear()
        self._reader = hiredis.Reader(protocolError=hiredis.ProtocolError, replyError=hiredis.ReplyError)
        if was_open and not refused:
            self._retry_at_ns = 0
            self._retry_ns = RETRY_NS
        if self._on_lost is not None:
            self._on_lost(cause)
        self.waiting.clear()

    def close(self) -> None:
        """End it; `tick` is not to be called again."""
        self._on_lost = None
        self.lose("closed")

    def _connect(self) -> None:
        address = self._address
        try:
            if address.path:
                made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
                place: object = address.path
            else:
                found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
                made = socket.socket(found[0], socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                place = found[4]
        except OSError as error:
            self.cause = _said(error)
            return
        failed = made.connect_ex(place)  # type: ignore[arg-type]
        if failed and (failed not in _PENDING or (address.path and failed == errno.EAGAIN)):
            made.close()
            self.cause = os.strerror(failed)
            return
        self._socket = made
        self.generation += 1
        if not failed:
            self.flush()

    def _greet(self) -> bool:
        """Whether the connection stands; where it has just been made, its first commands go out."""
        assert self._socket is not None
        failed = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            raise OSError(failed, os.strerror(failed))
        try:
            self._socket.getpeername()
        except OSError:
            return False  # not yet
        self.open = True
        self.cause = ""
        address = self._address
        first: list[Sequence[Argument]] = []
        if address.password:
            first.append(("AUTH", address.user, address.password) if address.user else ("AUTH", address.password))
        if address.database:
            first.append(("SELECT", address.database))
        for command in first:
            self.waiting.append(None)
            self._out += pack(*command)
        if self._on_open is not None:
            self._on_open()
        return True


class Lines:
    """Several links and a timer behind one descriptor, which the host waits on; the same one over all reconnections.

    Parameters
    ----------
    every_ns
        It is also readable so often, so that whoever waits on it finds out what did not come.
    """

    def __init__(self, links: Sequence[RedisLink], every_ns: int) -> None:
        self._links = tuple(links)
        self._timer = Timer(every_ns)
        self._more = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_more = False
        self._epoll = select.epoll()
        self._epoll.register(self._timer.fileno(), select.EPOLLIN)
        self._epoll.register(self._more, select.EPOLLIN)
        self._watched = [(0, 0)] * len(self._links)

    def fileno(self) -> int:
        """Readable when a link has something to read or room to write what waits, it is time, or there is `more`."""
        return self._epoll.fileno()

    def watch(self, *, more: bool = False) -> None:
        """After anything was done with the links: watch the sockets that they have now, for what they want.

        `more`: the descriptor is readable whatever the sockets are.
        """
        self._timer.taken()
        if more != self._is_more:
            self._is_more = more
            if more:
                os.eventfd_write(self._more, 1)
            else:
                os.eventfd_read(self._more)
        for at, link in enumerate(self._links):
            descriptor = link.fileno()
            if descriptor < 0:
                continue  # a closed socket is watched no longer by itself
            wanted = select.EPOLLIN | (select.EPOLLOUT if link.wants_to_write else 0)
            before, now = self._watched[at], (link.generation, wanted)
            if before != now:
                self._watched[at] = now
                if before[0] == now[0]:
                    self._epoll.modify(descriptor, wanted)
                else:
                    self._epoll.register(descriptor, wanted)

    def close(self) -> None:
        """Watch nothing any more."""
        self._epoll.close()
        self._timer.close()
        os.close(self._more)


def _said(error: OSError) -> str:
    return error.strerror or str(error)
