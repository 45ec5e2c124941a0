"""Listening sockets, bound by the runtime itself; a port in use is one clear error that names its holder."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from nautilus.model.errors import ConfigError
from nautilus.runtime.instance import owner_of

BACKLOG = 1024
_LISTENING = "0A"


class PortError(ConfigError):
    """A port cannot be listened on."""

    code = "config.port"


def bind_socket(host: str, port: int, engine: str = "", *, shared: bool = False) -> socket.socket:
    """A socket that listens on an address; port 0: on any free port. Raises PortError.

    It listens at once: only then does the operating system tell that another one does. Sockets that are `shared` may
    be several on one port; the operating system shares connections out among them.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # A port whose last user has just left can be had again.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setblocking(False)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        raise _refusal(host, port, engine, error) from None
    return listener


def bind_pair(plain: str, open_to: str, port: int, engine: str = "") -> tuple[socket.socket, socket.socket | None]:
    """A socket for plain HTTP, and another one on the same port for TLS where that has another address.

    All addresses of the machine (``0.0.0.0``, ``::``) hold the plain one too: the operating system gives a connection
    to the socket whose address is its own, so both may have the port. Raises PortError.
    """
    if plain == open_to:
        return bind_socket(plain, port, engine), None
    everything = open_to in ("0.0.0.0", "::")
    if everything:
        with bind_socket(open_to, port, engine) as alone:  # it tells who else has the port
            port = alone.getsockname()[1]
    first = bind_socket(plain, port, engine, shared=everything)
    try:
        return first, bind_socket(open_to, first.getsockname()[1], engine, shared=everything)
    except PortError:
        first.close()
        raise


def holder_of(port: int) -> str:
    """The process that listens on a port, as text; empty where it cannot be found."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not wanted:
        return ""
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            with os.scandir(process / "fd") as entries:
                descriptors = [os.readlink(entry) for entry in entries]
        except OSError:
            continue
        if wanted.intersection(descriptors):
            instance, name = owner_of(int(process.name))
            owner = f"{name or 'supervisor'} of instance {instance}" if instance else _command(process)
            return f"process {process.name} ({owner})"
    return ""


def _refusal(host: str, port: int, engine: str, error: OSError | OverflowError) -> PortError:
    whose = f" of engine {engine}" if engine else ""
    where = f"{host}:{port}"
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.EADDRINUSE:
        holder = holder_of(port) or "another process"
        return PortError(
            f"port {port}{whose} is taken by {holder}", where=where, expected='a free port, or platform.ports = "free"'
        )
    if code == errno.EACCES:
        return PortError(f"port {port}{whose} is not allowed", where=where, expected="a port from 1024 on")
    if code in (errno.EADDRNOTAVAIL, socket.EAI_NONAME):
        return PortError(
            f"address {host}{whose} is not of this machine", where=where, expected="an address of one of its interfaces"
        )
    return PortError(f"port {port}{whose}: {error}", where=where, expected="an address that can be listened on")


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[3] == _LISTENING and int(words[1].rpartition(":")[2], 16) == port:
                found.add(words[9])
    return found


def _command(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        shown = " ".join(filter(None, words)) or (process / "comm").read_text().strip()
    except OSError:
        return "?"
    return shown if len(shown) <= 80 else shown[:77] + "..."
