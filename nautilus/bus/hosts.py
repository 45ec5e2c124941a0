"""Where processes are: on this host by the names of their sockets, on others by the configuration or the registry.

A process that others are to reach over TCP is named in the configuration as ``HOST:PORT``: its lanes are at that port
(``n``) and the next one (``u``). What is given there goes before the registry, which knows who has moved or come since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from nautilus.bus.registry_service import RegistryClient, RegistryError
from nautilus.bus.security import Security
from nautilus.model.errors import ConfigError

LANES: Final = {"n": 0, "u": 1}
"""Of a lane: how far its port is from the one that is given."""
REGISTRY_PORT: Final = 2
"""A hub has its star at the port that is given, the replayer at the next, the registry here."""
HUB_PORTS: Final = 3
"""The next hub begins so many ports later."""


def tcp_endpoint(address: str, lane: str, *, where: str = "bus.hosts") -> str:
    """The endpoint of a lane at ``HOST:PORT``; ConfigError for what is none."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_535:
        raise ConfigError(f"address {address!r}", where=where, expected="HOST:PORT, with room for the next port")
    return f"tcp://{host}:{int(port) + LANES[lane]}"


def tcp_place(address: str, ahead: int, *, where: str = "bus.listen") -> str:
    """The TCP endpoint so many ports after ``HOST:PORT``; ConfigError for what is none."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536 - ahead:
        raise ConfigError(f"address {address!r}", where=where, expected="HOST:PORT, with room for the ports after it")
    return f"tcp://{host}:{int(port) + ahead}"


class Hosts:
    """Endpoints of the mesh for one process, as `Mesh` asks for them.

    Parameters
    ----------
    process
        This one.
    local
        (process, lane) -> its socket on this host; "": it is not on this host.
    given
        {process: ``HOST:PORT``}, of the configuration.
    security
        Is told whose each endpoint is.
    registry
        Asked for who is neither here nor given.
    listen
        Address of this host, at a free port of which it is to be reached where none is given; "": it is not.

    Attributes
    ----------
    dialled
        {(process, lane): the endpoint that was last said}.
    """

    def __init__(
        self,
        process: str,
        local: Callable[[str, str], str],
        given: Mapping[str, str],
        *,
        security: Security | None = None,
        registry: RegistryClient | None = None,
        listen: str = "",
    ) -> None:
        for name, address in given.items():
            tcp_endpoint(address, "n", where=f"bus.hosts.{name}")
        self.process = process
        self.registry = registry
        self._local = local
        self._given = given
        self._security = security
        self._listen = listen
        self.dialled: dict[tuple[str, str], str] = {}

    def bound(self, lane: str) -> tuple[str, ...]:
        """What this process binds: its socket on this host, and TCP where others are to reach it."""
        here = self._local(self.process, lane)
        address = self._given.get(self.process, "")
        remote = tcp_endpoint(address, lane) if address else f"tcp://{self._listen}:*" if self._listen else ""
        return (*([here] if here else []), *([remote] if remote else []))

    def endpoint(self, process: str, lane: str) -> Any:
        """Where to dial a lane of a process; for this one all that it binds, as a tuple.

        Raises
        ------
        RegistryError
            Nobody knows where it is.
        """
        if process == self.process:
            return self.bound(lane)
        found = self._local(process, lane)
        if not found and process in self._given:
            found = tcp_endpoint(self._given[process], lane)
        if not found:
            if self.registry is None:
                raise RegistryError(f"no process {process!r}", where=lane, expected="one here, or one of bus.hosts")
            endpoints = self.registry.lookup(process).endpoints
            if lane not in endpoints:
                raise RegistryError(f"{process} has no lane {lane!r}", where="registry", expected=", ".join(endpoints))
            found = endpoints[lane]
        if self._security is not None:
            self._security.expect(found, process)
        self.dialled[process, lane] = found
        return found
