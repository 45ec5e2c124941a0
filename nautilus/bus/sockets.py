"""Contexts and sockets of the bus: what is TCP is encrypted, by construction.

A socket of `new_socket` looks at the scheme of each address when it binds or dials it: ipc and inproc stay plain, as
nobody else can get at them; TCP has CURVE with the keys of its context, as server where it binds and as client where it
dials. A context without keys has plain TCP on loopback alone, and one whose `Security` says so none at all.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import zmq

from nautilus.model.errors import BusError

if TYPE_CHECKING:
    from nautilus.bus.security import Security

MAX_PATH_BYTES: Final = 100
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
DOMAIN: Final = b"nautilus"
"""Of ZAP; the sockets insist on being asked for in it, so that without a doorkeeper nobody is let in."""


_MONITORED: Final = struct.Struct("=Hi")
"""A message of a socket's monitor: what happened, and a number that goes with it; the address follows."""


def monitored(message: Sequence[bytes]) -> tuple[int, int]:
    """Event and value of a monitor's message. `zmq.utils.monitor` has it too, and loads asyncio."""
    event, value = _MONITORED.unpack(message[0])
    return event, value


class EndpointError(BusError):
    """An endpoint that the bus does not bind or dial."""

    code = "bus.endpoint"


def checked_endpoints(endpoints: str | Sequence[str]) -> tuple[str, ...]:
    """The endpoints, TCP last; EndpointError where one is neither a short ipc path, inproc, nor TCP with host and port.

    Whether TCP may be had, and how, is decided when a socket binds or dials it.
    """
    found = (endpoints,) if isinstance(endpoints, str) else tuple(endpoints)
    for endpoint in found:
        scheme, _, rest = endpoint.partition("://")
        if scheme == "ipc":
            if not 0 < len(rest.encode()) <= MAX_PATH_BYTES:
                raise EndpointError(endpoint, where="bus", expected=f"a path of 1 to {MAX_PATH_BYTES} bytes")
        elif scheme == "tcp":
            host, _, port = rest.rpartition(":")
            if not host or not (port == "*" or (port.isdigit() and 0 <= int(port) < 65_536)):
                raise EndpointError(endpoint, where="bus", expected="tcp://HOST:PORT")
        elif scheme != "inproc":
            raise EndpointError(endpoint, where="bus", expected="ipc://PATH or tcp://HOST:PORT")
    return tuple(sorted(found, key=lambda endpoint: endpoint.startswith("tcp:")))


def is_loopback(endpoint: str) -> bool:
    """Whether a TCP endpoint is one of this machine alone."""
    return endpoint.removeprefix("tcp://").rpartition(":")[0] in LOOPBACK


class BusContext(zmq.Context[Any]):
    """A ZeroMQ context, the keys of its process and the doorkeeper of its sockets."""

    security: Security | None = None
    _guarded: list[BusSocket]
    _dialling: list[BusSocket]
    _revision: int = 0

    def guard(self, socket: BusSocket) -> None:
        """Have the doorkeeper watch a socket that is bound to TCP, and `refresh` it when a key is revoked."""
        assert self.security is not None
        if socket not in self._guarded:
            self._guarded.append(socket)
            self.security.doorkeeper(self).watch(socket)

    def dials(self, socket: BusSocket) -> None:
        """Have `refresh` look whether a socket may go on with whom it dialled over TCP."""
        if socket not in self._dialling:
            self._dialling.append(socket)

    def refresh(self) -> bool:
        """Cut off who was revoked: to be called now and then by the thread that has the sockets. Whether there was one.

        All connections over TCP to sockets that are bound end; those that may come back do so within milliseconds. What
        was dialled ends where the key of that end is not let in any more.
        """
        security = self.security
        if security is None:
            return False
        for socket in self._guarded:
            if not socket.closed:
                socket.mend()
        self._dialling = [socket for socket in self._dialling if not socket.closed]
        if security.revision == self._revision:
            return False
        self._revision = security.revision
        for socket in self._guarded:
            if not socket.closed:
                socket.cut_off()
        for socket in self._dialling:
            socket.let_go()
        return True

    def term(self) -> None:
        """As of a plain context; the doorkeeper goes first."""
        if self.security is not None:
            self.security.close()
        super().term()

    def destroy(self, linger: int | None = None) -> None:
        """As of a plain context; the doorkeeper goes first."""
        if self.security is not None:
            self.security.close()
        super().destroy(linger)


class BusSocket(zmq.Socket[bytes]):
    """A socket whose TCP is encrypted."""

    security: Security | None = None
    bound: list[str]
    """TCP endpoints that it is bound to with CURVE."""
    remote: bool = False
    """It is or was bound to TCP with CURVE."""
    manual: bool = False
    """Of an XPUB: subscriptions are not in force before its owner takes them in."""
    _torn: list[str]
    _dialled: dict[str, tuple[str, str]]
    """{endpoint: who is to answer there, and its public key}."""
    _owner: BusContext | None = None
    _name: bytes = b""

    def bind(self, addr: str) -> Any:
        """Bind, as a CURVE server where it is TCP. EndpointError where it may not."""
        security = self.security
        if not addr.startswith("tcp://") or not _encrypts(security, addr):
            if self.bound:  # ZeroMQ cannot take back what was set for it
                raise EndpointError(addr, where="bus", expected="plain endpoints before those of TCP")
            return super().bind(addr)
        assert security is not None
        assert self._owner is not None
        keys = security.own()
        self._owner.guard(self)
        self.curve_secretkey = keys.secret.encode()
        self.curve_publickey = keys.public.encode()
        self.curve_server = True
        self.zap_domain = DOMAIN
        self.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        result = super().bind(addr)
        self.remote = True
        self.bound.append(self.getsockopt_string(zmq.LAST_ENDPOINT))
        return result

    def connect(self, addr: str) -> Any:
        """Dial, as a CURVE client where it is TCP, and with the name that the other end asks for.

        EndpointError where it may not, or where whose endpoint it is was not said (`Security.expect`).
        """
        security = self.security
        server = "" if security is None else security.server_of(addr)
        if security is not None and server and self.getsockopt(zmq.TYPE) == zmq.DEALER:
            self._name = self._name or bytes(self.getsockopt(zmq.ROUTING_ID))
            if self._name:
                self.setsockopt(zmq.ROUTING_ID, security.identity(self._name, server))
        if addr.startswith("tcp://") and _encrypts(security, addr):
            assert security is not None
            keys = security.own()
            self.curve_secretkey = keys.secret.encode()
            self.curve_publickey = keys.public.encode()
            public = security.public_of(server, addr)
            self.curve_serverkey = public.encode()
            self._dialled[addr] = (server, public)
            if self._owner is not None:
                self._owner.dials(self)
        elif self.mechanism == zmq.CURVE:
            self.curve_server = False  # which also makes it no client any more
        return super().connect(addr)

    def cut_off(self) -> None:
        """End all connections over TCP; they can be made anew."""
        self._torn += self.bound
        self.bound = []
        for endpoint in self._torn:
            with contextlib.suppress(zmq.ZMQError):  # it is not bound any more
                self.unbind(endpoint)
        self.mend()

    def let_go(self) -> None:
        """Hang up on those whose key is not let in any more."""
        assert self.security is not None
        for endpoint, (server, public) in list(self._dialled.items()):
            if not self.security.is_key_of(server, public):
                del self._dialled[endpoint]
                with contextlib.suppress(zmq.ZMQError):  # it is not connected any more
                    self.disconnect(endpoint)

    def mend(self) -> bool:
        """Bind again what `cut_off` could not: the I/O thread needs a moment to let go. Whether all is bound."""
        torn, self._torn = self._torn, []
        for endpoint in torn:
            try:
                self.bind(endpoint)
            except zmq.ZMQError as error:
                if error.errno != zmq.EADDRINUSE:
                    raise
                self._torn.append(endpoint)
        return not self._torn


def _encrypts(security: Security | None, endpoint: str) -> bool:
    """Whether TCP at this endpoint has CURVE; EndpointError where it would be plain and must not."""
    if security is not None and security.keys is not None:
        return not (security.plain_loopback and is_loopback(endpoint))
    if is_loopback(endpoint) and (security is None or security.plain_loopback):
        return False
    raise EndpointError(
        endpoint,
        where="bus",
        expected="keys (`nautilus keys new`), or an address of this machine with bus.plain_loopback",
    )


def make_context(security: Security | None = None) -> BusContext:
    """A ZeroMQ context with two I/O threads: one is for the urgent lane of the mesh alone.

    `security` holds the keys for TCP; without it TCP is plain, and of this machine only.
    """
    context = BusContext(io_threads=2)
    context.security = security
    context._guarded, context._dialling = [], []
    context._revision = 0 if security is None else security.revision
    return context


def new_socket(context: zmq.Context[Any], kind: int, *, urgent: bool = False) -> BusSocket:
    """A socket that lingers not, dials again after 5 ms, is served by the I/O thread of its lane and encrypts TCP."""
    socket: BusSocket = context.socket(kind, socket_class=BusSocket)
    socket.bound, socket._torn, socket._dialled = [], [], {}
    if isinstance(context, BusContext):
        socket._owner = context
        socket.security = context.security
        if kind == zmq.XPUB and context.security is not None and context.security.keys is not None:
            # It asks before it takes a subscription in (`nautilus.bus.reading`), also those that come over ipc.
            socket.manual = True
            socket.setsockopt(zmq.XPUB_MANUAL, 1)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, 5)
    if context.get(zmq.IO_THREADS) > 1:
        socket.setsockopt(zmq.AFFINITY, 1 if urgent else 2)
    return socket
