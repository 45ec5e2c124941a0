"""One attempt to connect to an endpoint, to find out whether anybody takes connections there; it says nothing there."""

from __future__ import annotations

import contextlib
import errno
import select
import socket

from nautilus.bus.liveness import Finding

PATIENCE_NS = 20_000_000
"""What is not answered for so long is not reachable, as far as one can know."""
_TAKEN = (0, errno.EISCONN, errno.EAGAIN)
"""EAGAIN of a Unix socket: somebody listens, and so many wait to be taken in that there is no room for more."""
_NO_WAY = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENETDOWN)


class Probe:
    """Of one endpoint, ``ipc://PATH`` or ``tcp://ADDRESS:PORT``; others are never found out about.

    Never waits: what is not known at once is looked for again by `result`.
    """

    __slots__ = ("_begun_ns", "_endpoint", "_socket")

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._socket: socket.socket | None = None
        self._begun_ns = 0

    @property
    def under_way(self) -> bool:
        """It has begun and is not known."""
        return self._socket is not None

    def begin(self, now_ns: int) -> Finding | None:
        """Try; None: not known yet."""
        self.close()
        scheme, _, rest = self._endpoint.partition("://")
        if scheme == "ipc":
            return self._connect(socket.AF_UNIX, rest, now_ns)
        if scheme == "tcp":
            host, _, port = rest.rpartition(":")
            family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
            # Names were resolved by whoever made the endpoint, but for this one; to ask for others would wait.
            return self._connect(family, ("127.0.0.1" if host == "localhost" else host.strip("[]"), int(port)), now_ns)
        return None

    def result(self, now_ns: int) -> Finding | None:
        """What came of it meanwhile; None: not known yet, or nothing is under way."""
        if self._socket is None:
            return None
        ready = select.poll()  # `select` itself takes no descriptor above 1023
        ready.register(self._socket, select.POLLOUT)
        if ready.poll(0):
            return self._end(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        return Finding.UNREACHABLE if now_ns - self._begun_ns >= PATIENCE_NS else None

    def close(self) -> None:
        """Give it up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self, family: int, address: str | tuple[str, int], now_ns: int) -> Finding | None:
        self._begun_ns = now_ns
        try:
            self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            if family != socket.AF_UNIX:
                # Its end is to leave nothing behind, on either side.
                linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            code = self._socket.connect_ex(address)
        except OSError:  # a name instead of an address, or no descriptor is left
            self.close()
            return None
        return None if code == errno.EINPROGRESS else self._end(code)

    def _end(self, code: int) -> Finding:
        self.close()
        if code in _TAKEN:
            return Finding.ACCEPTED
        return Finding.UNREACHABLE if code in _NO_WAY else Finding.REFUSED

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()
