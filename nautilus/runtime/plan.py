"""The plan of an instance: made once by the supervisor, handed to every process, never changed."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from nautilus.bus.hosts import HUB_PORTS, REGISTRY_PORT, tcp_endpoint, tcp_place
from nautilus.bus.routing import RoutingTable
from nautilus.engines import CATALOGUE, QUANTITATIVE
from nautilus.model.errors import ConfigError, InternalError
from nautilus.model.instrument import Instrument
from nautilus.model.topics import BOOK_DELTAS, EXECUTION_REPORTS, QUOTES, TRADES
from nautilus.runtime.bus_settings import BusConfig
from nautilus.runtime.clock import NANOSECONDS, ClockAnchor, wall_ns
from nautilus.runtime.platform import (
    PLAIN_HOST,
    CoreConfig,
    JournalConfig,
    OpenBindError,
    PlatformConfig,
    ReplicaConfig,
    is_loopback,
)
from nautilus.runtime.venue_settings import VENUES

if TYPE_CHECKING:
    from nautilus.runtime.config import Configuration
    from nautilus.runtime.instance import Instance

MAX_ENDPOINT = 100
"""Characters of a socket's whole path; the operating system ends at 107."""

START = "start"
"""An address of a Redis: the instance starts one of its own."""
REDIS = {"star": "redis-star", "mesh": "redis-mesh"}
"""Processes that do, by bus."""

ON_BUS = ("core", "engines", "gateway")
"""Kinds of processes that talk on the mesh."""

_VITAL = (EXECUTION_REPORTS, QUOTES, TRADES, BOOK_DELTAS)
"""Without these an engine that takes them has not the present state, and is not ready."""

Struct = TypeVar("Struct", bound=msgspec.Struct)
Lane = Literal["n", "u"]


class ProcessSpec(msgspec.Struct, frozen=True):
    """One process.

    Parameters
    ----------
    name
        Also its name on the mesh.
    kind
        ``core``: the trading core, which hosts no engine; ``engines``: a host of engines; ``venue``: the session of an
        external venue; ``follower``, ``replica`` and ``standby`` belong to the journal (see `nautilus.trading`);
        ``redis``: a server of the instance's own for one bus; ``hub``: stands by for the process with the hub;
        ``gateway``: hosts the engine of the gateway, and leads its workers; ``recorder``: writes market data into the
        catalog.
    engines
        The engines in it.
    stop_rank
        The lowest stops first.
    """

    name: str
    kind: Literal["core", "engines", "venue", "follower", "replica", "standby", "redis", "hub", "gateway", "recorder"]
    engines: tuple[str, ...]
    stop_rank: int


LAYOUTS: dict[str, tuple[ProcessSpec, ...]] = {
    "native": (
        ProcessSpec("core", "core", (), 5),
        ProcessSpec("trading", "engines", ("trading",), 4),
        ProcessSpec("marketdata", "engines", ("marketdata",), 1),
        ProcessSpec("risk", "engines", ("risk",), 2),
        ProcessSpec("portfolio", "engines", ("portfolio",), 3),
        *(ProcessSpec(name, "engines", (name,), 1) for name in QUANTITATIVE),
        ProcessSpec("strategy", "engines", ("strategy",), 0),
        ProcessSpec("gateway", "gateway", ("gateway",), 0),
    ),
    "compact": (
        ProcessSpec("core", "core", (), 3),
        ProcessSpec("rim", "engines", ("trading", "marketdata", *QUANTITATIVE), 2),
        ProcessSpec("accounts", "engines", ("risk", "portfolio"), 1),
        ProcessSpec("strategy", "engines", ("strategy",), 0),
        ProcessSpec("gateway", "gateway", ("gateway",), 0),
    ),
}
"""Processes by `platform.processes`, in order of start. What makes orders stops first, what is asked stops last."""


class Plan(msgspec.Struct, frozen=True):
    """What an instance runs, and where.

    Parameters
    ----------
    instance, directory, shared, data
        See `nautilus.runtime.instance`.
    profile
        Name of the layout of its processes.
    processes
        In order of start.
    sections
        Every section of the configuration; `config` makes structs of them.
    market
        What plays: see `nautilus.runtime.market_name`.
    speed, clock
        How fast platform time goes, and where it starts.
    seed
        Of everything random.
    strategies
        Names of the strategies that trade.
    epoch
        When the instance was made, in nanoseconds: higher than that of any before.
    demo
        A demonstration: HTTP needs no token.
    ports, bind
        As in the section `platform`.
    chosen
        Ports that engines found free when they first started; they keep them for the life of the instance.
    standby_of
        Address of the core that this instance is a standby of, or has taken over from; "": of none.
    joined
        ``HOST:PORT`` of the hub, on another host, whose instance the processes here have joined; "": it is this one.
    origins
        Where values of the sections come from, by section and key; those that are left out are defaults.
    listed
        Instruments of a live market, as they were when the plan was made.
    """

    instance: str
    directory: str
    shared: str
    data: str
    profile: str
    processes: tuple[ProcessSpec, ...]
    sections: dict[str, dict[str, Any]]
    market: str
    speed: float
    seed: int
    strategies: tuple[str, ...]
    epoch: int
    clock: ClockAnchor
    demo: bool
    ports: Literal["fixed", "free"]
    bind: str
    chosen: dict[str, int] = {}
    standby_of: str = ""
    joined: str = ""
    origins: dict[str, dict[str, str]] = {}
    listed: tuple[Instrument, ...] = ()

    def process(self, name: str) -> ProcessSpec:
        """The process of that name."""
        for spec in self.processes:
            if spec.name == name:
                return spec
        raise InternalError(f"no process {name!r}", expected=", ".join(spec.name for spec in self.processes))

    def process_of(self, engine: str) -> str:
        """The process that hosts an engine."""
        for spec in self.processes:
            if engine in spec.engines:
                return spec.name
        raise InternalError(f"no process hosts engine {engine!r}")

    def endpoint(self, process: str, lane: Lane = "n") -> str:
        """Where a process listens on the mesh: lane ``n`` (normal) or ``u`` (urgent)."""
        return f"ipc://{self.directory}/{process}.{lane}"

    def waiting_without(self, absent: Collection[str]) -> tuple[str, ...]:
        """The other processes that are not ready as long as these are not there: they take what those alone give."""
        engines = [CATALOGUE[engine] for name in absent for engine in self.process(name).engines]
        given = {topic for entry in engines for topic in entry.publishes if topic in _VITAL}
        return tuple(
            spec.name
            for spec in self.processes
            if spec.name not in absent and any(given & set(CATALOGUE[engine].subscribes) for engine in spec.engines)
        )

    @property
    def routing(self) -> RoutingTable:
        """Where messages go, by the engines of the plan and what they subscribe to."""
        places = {engine: spec.name for spec in self.processes for engine in spec.engines}
        return RoutingTable(places, {engine: CATALOGUE[engine].subscribes for engine in places})

    @property
    def plain_host(self) -> str:
        """Where the ports speak plain HTTP to processes of this machine."""
        return self.bind if is_loopback(self.bind) and not self.tls else PLAIN_HOST

    @property
    def tls(self) -> bool:
        """Whether the ports speak TLS at `bind`."""
        return bool(self.sections.get("access", {}).get("certificate"))

    @property
    def star(self) -> str:
        """Where the hub publishes market data."""
        return f"ipc://{self.directory}/star"

    @property
    def hubs(self) -> tuple[str, ...]:
        """Processes that are the hub, or stand by for it."""
        return (self.process_of("marketdata"), *(spec.name for spec in self.processes if spec.kind == "hub"))

    @property
    def standbys(self) -> int:
        """How many processes stand by for the hub."""
        return sum(spec.kind == "hub" for spec in self.processes)

    def star_of(self, number: int) -> str:
        """Where one of the hubs publishes, on this host."""
        return self.star if not number else f"{self.star}{number + 1}"

    def registry_of(self, number: int) -> str:
        """Where the registry of one of the hubs is, on this host."""
        return f"ipc://{self.directory}/registry{number + 1 if number else ''}"

    @property
    def stars(self) -> tuple[str, ...]:
        """Where a reader of market data dials: the hub, and whoever may take its place."""
        if self.joined:
            return tuple(tcp_place(self.joined, HUB_PORTS * number) for number in range(1 + self.standbys))
        return tuple(self.star_of(number) for number in range(1 + self.standbys))

    @property
    def registries(self) -> tuple[str, ...]:
        """Where a process dials the registries of the hubs; none where all is on this host."""
        count = 1 + self.standbys if self.has_registry else 0
        if self.joined:
            return tuple(tcp_place(self.joined, HUB_PORTS * number + REGISTRY_PORT) for number in range(count))
        return tuple(self.registry_of(number) for number in range(count))

    @property
    def listen_address(self) -> str:
        """``HOST:PORT`` of `bus.listen`; "": there is none."""
        return self.config("bus", BusConfig).listen

    @property
    def listens(self) -> bool:
        """Whether processes of other hosts may reach the hub here."""
        return bool(self.listen_address) and not self.joined

    @property
    def host(self) -> str:
        """Address of this host for others; "": there are none."""
        return self.listen_address.rpartition(":")[0]

    @property
    def has_registry(self) -> bool:
        """Whether processes register with the hub: there are other hosts, or another hub."""
        return bool(self.listen_address) or self.standbys > 0

    def redis_socket(self, process: str) -> str:
        """Where a Redis of the instance's own listens."""
        return f"{self.directory}/{process}"

    def redis(self, bus: Literal["star", "mesh"]) -> str:
        """Address of the Redis of a bus; "": there is none."""
        settings = self.config("bus", BusConfig)
        given = settings.redis_star if bus == "star" else settings.redis_mesh
        return f"unix://{self.redis_socket(REDIS[bus])}" if given == START else given

    @property
    def ring(self) -> str:
        """The ring of the star in shared memory."""
        return f"{self.shared}/star.ring"

    @property
    def last_values(self) -> str:
        """The hub's table of last values in shared memory."""
        return f"{self.shared}/star.last"

    def port(self, engine: str) -> int:
        """The HTTP port that an engine is to listen on; 0: any."""
        return self.chosen.get(engine, 0) if self.ports == "free" else CATALOGUE[engine].port

    def lock_of(self, process: str) -> Path:
        """The file that a process keeps locked for as long as it lives."""
        return Path(self.directory, f"{process}.lock")

    def counters_of(self, process: str) -> str:
        """The shared file of a process's counters."""
        return f"{self.shared}/counters.{process}"

    def positions_of(self, process: str) -> str:
        """The shared file of where a process stands in the streams of the star."""
        return f"{self.shared}/positions.{process}"

    def config(self, name: str, kind: type[Struct]) -> Struct:
        """A section of the configuration as its struct; with its defaults where the plan has none."""
        return msgspec.convert(self.sections.get(name, {}), kind)

    def encode(self) -> bytes:
        """For the way to a process."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, content: bytes) -> Plan:
        """What `encode` made."""
        return msgspec.msgpack.decode(content, type=cls)


def make_plan(
    configuration: Configuration,
    instance: Instance,
    *,
    market: str = "simulated",
    speed: float = 1.0,
    seed: int = 1,
    strategies: Sequence[str] = (),
    demo: bool = False,
    first_ns: int | None = None,
    standby_of: str = "",
    promoted: bool = False,
    listed: Sequence[Instrument] = (),
) -> Plan:
    """The plan for an instance.

    Parameters
    ----------
    configuration
        With the section ``platform``; all its sections go into the plan.
    market, speed, seed, strategies, demo
        As in `Plan`.
    first_ns
        Time of the first record, where a recording plays: platform time reaches it `platform.lead_seconds` from now.
    standby_of
        As in `Plan`.
    promoted
        Whether it has become the core since; else, with `standby_of`, the plan is that of a standby.
    listed
        As in `Plan`.
    """
    settings = configuration.sections["platform"]
    if not isinstance(settings, PlatformConfig):
        raise InternalError("section platform is of another type")
    if not 0 < speed <= 1_000_000:
        raise ConfigError(f"speed {speed}", expected="more than 0, at most 1,000,000")
    now_ns = wall_ns()
    lead_ns = int(settings.lead_seconds * speed * NANOSECONDS)
    plan = Plan(
        instance=instance.name,
        directory=str(instance.directory),
        shared=str(instance.shared),
        data=str(instance.data),
        profile=settings.processes,
        processes=_processes(configuration, settings.processes, demo=demo, standby_of=standby_of, promoted=promoted),
        sections={
            name: msgspec.json.decode(msgspec.json.encode(section)) for name, section in configuration.sections.items()
        },
        market=market,
        speed=speed,
        seed=seed,
        strategies=tuple(strategies),
        epoch=now_ns,
        clock=ClockAnchor(now_ns, now_ns if first_ns is None else first_ns - lead_ns, speed),
        demo=demo,
        ports=settings.ports,
        bind=settings.bind,
        standby_of=standby_of,
        origins=_origins(configuration),
        listed=tuple(listed),
    )
    _check_hosts(plan)
    if demo and not is_loopback(plan.bind):
        raise OpenBindError(
            f"a demonstration at {plan.bind!r}, which is open to other machines",
            where="platform.bind",
            expected="127.0.0.1, as a demonstration lets everybody in; or `nautilus up`",
        )
    for spec in plan.processes:
        path = plan.endpoint(spec.name).removeprefix("ipc://")
        if len(os.fsencode(path)) > MAX_ENDPOINT:
            raise ConfigError(f"path of {len(path)} characters", where=path, expected=f"at most {MAX_ENDPOINT}")
    return plan


def _origins(configuration: Configuration) -> dict[str, dict[str, str]]:
    """Of every value that somebody has set."""
    found: dict[str, dict[str, str]] = {}
    for setting in configuration.settings:
        if setting.origin != "default":
            found.setdefault(setting.section, {})[setting.key] = setting.origin
    return found


def _standby_of_hub(layout: str) -> ProcessSpec:
    """The process that stands by for the hub; it stops before that, so that it does not take over at the end."""
    for spec in LAYOUTS[layout]:
        if spec.engines == ("marketdata",):
            return ProcessSpec(f"{spec.name}2", "hub", (), 0)
    raise ConfigError(
        f"bus.standby with platform.processes = {layout!r}",
        where="bus.standby",
        expected='a process of its own for the hub: platform.processes = "native"',
    )


def _check_hosts(plan: Plan) -> None:
    """Say what is wrong with addresses of hosts before anything starts."""
    settings = plan.config("bus", BusConfig)
    if settings.listen:
        tcp_place(settings.listen, HUB_PORTS * (1 + plan.standbys) - 1)
    names = [spec.name for spec in plan.processes if spec.kind in ON_BUS]
    for name, address in settings.hosts.items():
        if name not in names:
            raise ConfigError(f"no process {name!r}", where="bus.hosts", expected=f"one of {', '.join(names)}")
        tcp_endpoint(address, "n", where=f"bus.hosts.{name}")
    if settings.hosts and not settings.listen:
        raise ConfigError(
            "addresses of processes without one of the hub", where="bus.hosts", expected="bus.listen = HOST:PORT"
        )


def _without(processes: tuple[ProcessSpec, ...], engines: Collection[str]) -> tuple[ProcessSpec, ...]:
    """The processes that are left where these engines do not run."""
    for name in engines:
        if name not in QUANTITATIVE:
            raise ConfigError(
                f"without the engine {name!r}", where="platform.without", expected=f"some of {', '.join(QUANTITATIVE)}"
            )
    left = (
        msgspec.structs.replace(spec, engines=tuple(each for each in spec.engines if each not in engines))
        for spec in processes
    )
    return tuple(spec for spec in left if spec.engines or spec.kind == "core")


def _with_venues(configuration: Configuration, processes: tuple[ProcessSpec, ...]) -> tuple[ProcessSpec, ...]:
    """With a process for the session of each external venue: it stops when nobody sends orders any more."""
    found = [name for name in VENUES if getattr(configuration.sections.get(name), "adapter", "")]
    if not found:
        return processes
    rank = max(spec.stop_rank for spec in processes)
    return (
        *(msgspec.structs.replace(spec, stop_rank=rank + 1) if spec.kind == "core" else spec for spec in processes),
        *(ProcessSpec(name, "venue", (), rank) for name in found),
    )


def _processes(
    configuration: Configuration, layout: str, *, demo: bool, standby_of: str, promoted: bool
) -> tuple[ProcessSpec, ...]:
    """Those of the layout, with what the journal needs beside them; of a standby, the latter alone."""
    journal = configuration.sections.get("journal", JournalConfig(follower="off"))
    replica = configuration.sections.get("replica", ReplicaConfig())
    core = configuration.sections.get("core", CoreConfig())
    bus = configuration.sections.get("bus", BusConfig())
    assert isinstance(bus, BusConfig)
    assert isinstance(journal, JournalConfig)
    assert isinstance(replica, ReplicaConfig)
    assert isinstance(core, CoreConfig)
    follows = journal.follower == "on" or (journal.follower == "auto" and layout == "native" and not demo)
    follower = (ProcessSpec("follower", "follower", (), 0),) if follows else ()
    if standby_of and not promoted:
        return (ProcessSpec("standby", "standby", (), 1), *follower)
    chosen = _without(LAYOUTS[layout], getattr(configuration.sections.get("platform"), "without", ()))
    if not getattr(configuration.sections.get("gateway"), "enabled", True):
        chosen = tuple(spec for spec in chosen if spec.kind != "gateway")
    processes = _with_venues(configuration, chosen)
    if bus.standby:
        processes = (*processes, _standby_of_hub(layout))
    if getattr(configuration.sections.get("marketdata"), "record", False):
        # It stops after the hub, so that it has all that the hub said.
        rank = next(spec.stop_rank for spec in processes if "marketdata" in spec.engines)
        processes = (*processes, ProcessSpec("recorder", "recorder", (), rank + 1))
    if replica.listen or core.acknowledge == "replica" or promoted:
        # Where this core was promoted, it tells the one before. It stops after the core and hands its last commands on.
        last = max(spec.stop_rank for spec in processes) + 1
        return (*processes, *follower, ProcessSpec("replica", "replica", (), last), *_servers(configuration, last))
    return (*processes, *follower, *_servers(configuration, max(spec.stop_rank for spec in processes)))


def _servers(configuration: Configuration, last: int) -> tuple[ProcessSpec, ...]:
    """The Redis servers that the instance starts; they stop after everything else."""
    settings = configuration.sections.get("bus", BusConfig())
    assert isinstance(settings, BusConfig)
    addresses = {"star": settings.redis_star, "mesh": settings.redis_mesh}
    given = [address for address in addresses.values() if address not in ("", START)]
    one = False
    if given:
        from nautilus.bus.redis_link import redis_address, same_server

        for address in given:
            redis_address(address)
        one = len(given) > 1 and same_server(*given)
    if one:
        raise ConfigError(
            f"one Redis for both buses: {settings.redis_star}", where="bus.redis_mesh", expected="one for each"
        )
    wanted = [REDIS[bus] for bus, address in addresses.items() if address == START]
    if wanted:
        from nautilus.bus.redis_binary import find_redis

        find_redis(settings.redis_binary)
    return tuple(ProcessSpec(name, "redis", (), last + 1) for name in wanted)
