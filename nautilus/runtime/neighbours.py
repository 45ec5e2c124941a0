"""Where the other processes of an instance are, as one process sees it: here, given, or in the registry of the hub.

Within one host sockets have names and nothing else is needed. Where the hub keeps a registry each process tells it how
it is reached and hears who has come, moved and gone; what is for one that moved is sent to where it is now.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import zmq

from nautilus.bus.base import replay_endpoint
from nautilus.bus.hosts import Hosts
from nautilus.bus.hub_fence import HubFence
from nautilus.bus.mesh import Mesh
from nautilus.bus.registry import Change, Entry
from nautilus.bus.registry_service import RegistryClient
from nautilus.bus.routing import CLIENTS
from nautilus.bus.security import Security
from nautilus.runtime.bus_settings import BusConfig
from nautilus.runtime.files import write_atomically
from nautilus.runtime.plan import Lane, Plan

_LOGGER = logging.getLogger("nautilus.runtime")
LANES: tuple[Lane, ...] = ("n", "u")
PLACES = "hosts.json"
"""In the instance's directory: the processes that the registry has, for who looks."""


class Neighbours:
    """Of one process. Call `join` once its mesh is there, then `poll` ten times a second.

    Parameters
    ----------
    epoch
        Of this life of the process.

    Attributes
    ----------
    hub_epoch : the highest of a hub that was heard of; 0: none was.
    on_hub : called with the epoch when another hub is believed.
    """

    def __init__(self, plan: Plan, process: str, security: Security, context: zmq.Context[Any], epoch: int) -> None:
        self.on_hub: Callable[[int], object] | None = None
        self._plan = plan
        self._process = process
        self._security = security
        self._context = context
        self._epoch = epoch
        self._mesh: Mesh | None = None
        self._gone: set[str] = set()
        self._version = security.version
        self._keyed: dict[str, str] = {}
        """{process: its public key when it was dialled}; "": it had none."""
        self._client: RegistryClient | None = None
        given = plan.config("bus", BusConfig).hosts
        self.hosts = Hosts(process, self._here, given, security=security, listen=plan.host)
        self._given = {name: address.rpartition(":")[0] for name, address in given.items()}
        if plan.joined:
            hub = plan.process_of("marketdata")
            for endpoint in (*plan.stars, *map(replay_endpoint, plan.stars), *plan.registries):
                security.expect(endpoint, hub)

    def endpoint(self, process: str, lane: str) -> Any:
        """Where a process listens, as `Mesh` asks for it.

        Who is on another host and has no key, or has none any more, is nowhere until it has one: what is for it waits.
        """
        way: Lane = "u" if lane == "u" else "n"
        if process.startswith(CLIENTS):  # they are on this host, and come and go: nothing is kept of them
            return self._plan.endpoint(process, way)
        if process != self._process:
            self._keyed[process] = self._key_of(process)
        return self._place(process, way)

    def _place(self, process: str, way: Lane) -> Any:
        found = self.hosts.endpoint(process, way)
        if process != self._process and found.startswith("tcp:") and not self._security.can_dial(process, found):
            found = self.hosts.dialled[process, way] = self._plan.endpoint(process, way)
        return found

    def lanes(self, mesh: Mesh) -> dict[str, str]:
        """How this process is reached from other hosts: {lane: endpoint}; empty: it is not."""
        return {lane: mesh.bound(lane) for lane in LANES} if self._plan.host else {}

    def join(self, mesh: Mesh, *, registers: bool = True) -> None:
        """Register, and look for the others. Without `registers` it only looks: the hub says itself where it is."""
        self._mesh = mesh
        if not self._plan.registries:
            return
        public = self._security.keys.public if self._security.keys is not None else ""
        entry = Entry(self._process, self._plan.host, self.lanes(mesh), self._epoch, public) if registers else None
        self._client = RegistryClient(
            self._context,
            self._plan.registries,
            entry,
            name=self._process if registers else f"{self._process}-looks",
            on_change=self._on_change,
            on_hub=self._on_hub,
        )
        self.hosts.registry = self._client

    @property
    def hub_epoch(self) -> int:
        """See the class."""
        return 0 if self._client is None else self._client.hub_epoch

    def sockets(self) -> list[zmq.Socket[bytes]]:
        """Readable when something has changed."""
        return [] if self._client is None else self._client.sockets()

    @property
    def touched(self) -> set[Any]:
        """Holds a socket while it may not be empty: to be looked at itself before the host waits for its descriptor."""
        return set() if self._client is None else self._client.touched

    def poll(self, now_ns: int) -> None:
        """Hear what is new, say that this process is there, hang up on who has gone and owes nothing."""
        if self._client is None or self._mesh is None:
            return
        self._client.poll(now_ns)
        if self._security.version != self._version:
            self._version = self._security.version
            self._heed_keys(self._mesh)
        if self._gone:
            peers = self._mesh.peers()
            for name in [name for name in self._gone if name not in peers or not peers[name].pending]:
                self._gone.discard(name)
                if name in peers:
                    self._mesh.hang_up(name)

    def leave(self) -> None:
        """Say that this process goes; it still hears and answers."""
        if self._client is not None:
            self._client.leave()

    def close(self) -> None:
        """Say so, and close."""
        if self._client is not None:
            self._client.leave()
            self._client.close()

    def _here(self, process: str, lane: str) -> str:
        """Its socket on this host, where one that nobody has heard of may come to be; "": it is on another host."""
        plan = self._plan
        if process != self._process:
            entry = None if self._client is None else self._entry(process)
            host = self._given.get(process, plan.host) if entry is None else entry.host
            if host != plan.host or (plan.joined and entry is not None):
                return ""
        return plan.endpoint(process, "u" if lane == "u" else "n")

    def _entry(self, process: str) -> Entry | None:
        assert self._client is not None
        return next((entry for entry in self._client.entries() if entry.process == process), None)

    def _on_change(self, change: Change) -> None:
        name, mesh = change.process, self._mesh
        if name == self._process or mesh is None:
            return
        if change.entry is None:
            if self._is_dialled_afar(name):
                _LOGGER.info("%s has left (%s)", name, change.reason)
                self._gone.add(name)
            return
        self._gone.discard(name)
        before = {lane: self.hosts.dialled.get((name, lane)) for lane in LANES}
        moved = [lane for lane in LANES if before[lane] and before[lane] != self._place(name, lane)]
        if change.entry.host != self._plan.host:
            _LOGGER.info("%s is on %s", name, change.entry.host)
        if moved:
            mesh.redial(name)

    def _heed_keys(self, mesh: Mesh) -> None:
        """The list of keys has changed: dial those anew who have another one, or none any more, or one at last."""
        peers = mesh.peers()
        for name, public in list(self._keyed.items()):
            if name not in peers:
                del self._keyed[name]
            elif self._key_of(name) != public:
                mesh.redial(name)

    def _key_of(self, process: str) -> str:
        key = self._security.allowed.by_name.get(process)
        return "" if key is None else key.public

    def _is_dialled_afar(self, name: str) -> bool:
        return any(self.hosts.dialled.get((name, lane), "").startswith("tcp:") for lane in LANES)

    def _on_hub(self, epoch: int, endpoint: str) -> None:
        if self.on_hub is not None:
            self.on_hub(epoch)


def hub_of(plan: Plan) -> str:
    """The process that is the hub now, or was it last."""
    known = HubFence(plan.directory).read().name if plan.standbys else ""
    return known or plan.process_of("marketdata")


def write_places(plan: Plan, entries: tuple[Entry, ...]) -> None:
    """Say for who looks which processes the registry has."""
    write_atomically(Path(plan.directory, PLACES), msgspec.json.encode(entries))


def read_places(plan: Plan) -> dict[str, Entry]:
    """What `write_places` said last; empty: nothing yet."""
    try:
        found = msgspec.json.decode(Path(plan.directory, PLACES).read_bytes(), type=tuple[Entry, ...])
    except (OSError, msgspec.DecodeError):
        return {}
    return {entry.process: entry for entry in found}
