"""Lines over a stream socket that never waits: what cannot be sent now goes out with the next call."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import select
import socket
from pathlib import Path
from typing import Any

from nautilus.model.errors import ConfigError
from nautilus.model.venue import VenueLostError

CHUNK = 1 << 16
MOST_READ = 1 << 20
"""Bytes taken in one call, so that a venue that never pauses holds up nobody."""
MOST_UNSENT = 1 << 20
MOST_LINE = 1 << 24
_PENDING = (0, errno.EINPROGRESS)


def check_address(address: str, where: str = "address") -> tuple[socket.AddressFamily, Any]:
    """Family and place of ``ipc://PATH`` or ``tcp://HOST:PORT``.

    Raises
    ------
    ConfigError
        It is neither, or not on this machine: the line is plain text.
    """
    scheme, _, rest = address.partition("://")
    if scheme == "ipc" and rest and len(os.fsencode(rest)) <= 107:
        return socket.AF_UNIX, str(Path(rest))
    host, _, port = rest.rpartition(":")
    if scheme == "tcp" and port.isdigit() and 0 < int(port) < 65536:
        with contextlib.suppress(ValueError):
            known = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
            if known.is_loopback:
                return socket.AF_INET6 if known.version == 6 else socket.AF_INET, (str(known), int(port))
    raise ConfigError(
        f"address {address!r}",
        where=where,
        expected="ipc://PATH or tcp://127.0.0.1:PORT, as the line is plain text: a bridge here speaks to the venue",
    )


class Line:
    """One connection.

    Raises
    ------
    OSError
        Nobody is there.
    """

    def __init__(self, address: str) -> None:
        family, place = check_address(address)
        self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        if family != socket.AF_UNIX:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unsent = bytearray()
        self._rest = bytearray()
        self._ended = False
        error = self._socket.connect_ex(place)
        if error not in _PENDING:
            self._socket.close()
            raise OSError(error, os.strerror(error), address)

    def fileno(self) -> int:
        """Readable when something came."""
        return self._socket.fileno()

    def send(self, content: bytes) -> None:
        """One line, without its end. VenueLostError where the other side is gone, or does not read."""
        self._unsent += content
        self._unsent += b"\n"
        self.flush()
        if len(self._unsent) > MOST_UNSENT:
            raise VenueLostError(f"{len(self._unsent)} bytes wait to be sent", expected=f"at most {MOST_UNSENT}")

    def flush(self) -> None:
        """Send what waits, as far as that can be now."""
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError as error:
            raise VenueLostError(f"the line broke: {error.strerror}") from None

    def wait(self, wait_ns: int) -> None:
        """Until something came, for at most so long."""
        select.select([self._socket], [], [], wait_ns / 1e9)

    def receive(self) -> list[bytes]:
        """Whole lines that came; VenueLostError at the end of all."""
        taken = 0
        while taken < MOST_READ and not self._ended:
            try:
                part = self._socket.recv(CHUNK)
            except BlockingIOError:
                break
            except OSError as error:
                raise VenueLostError(f"the line broke: {error.strerror}") from None
            self._ended = not part
            taken += len(part)
            self._rest += part
        *lines, rest = bytes(self._rest).split(b"\n") if taken else (bytes(self._rest),)
        self._rest = bytearray(rest)
        if len(rest) > MOST_LINE:
            raise VenueLostError(f"a line of {len(rest)} bytes and more", expected=f"at most {MOST_LINE}")
        if self._ended and not lines:
            raise VenueLostError("the venue closed the line")
        return lines

    def close(self) -> None:
        """No more."""
        self._socket.close()
