"""How an instance is: the object of `nautilus status`, from shared memory and the supervisor's state alone.

Nothing here asks an engine, so looking disturbs none: each process writes its counters and histograms to shared files,
and whoever looks reads them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from nautilus.bus.positions import lacking_between
from nautilus.core.breaker import STATES
from nautilus.core.counters import Counters
from nautilus.core.histogram import Histogram
from nautilus.engines import CATALOGUE
from nautilus.runtime.clock import NANOSECONDS, wall_ns
from nautilus.runtime.data_meters import data_status
from nautilus.runtime.files import holder
from nautilus.runtime.instance import Instance, NotRunningError
from nautilus.runtime.neighbours import hub_of, read_places
from nautilus.runtime.plan import REDIS, Plan, ProcessSpec
from nautilus.runtime.platform import JournalConfig
from nautilus.runtime.states import READY, SEEN, PlatformState, ProcessState
from nautilus.runtime.venue_settings import VENUES
from nautilus.runtime.venues import venues_status

Health = Literal["healthy", "degraded", "unhealthy"]
STAR = ("published", "delivered", "conflated", "gaps", "recovered", "lost")
MESH = ("sent", "acknowledged", "retried", "dead_lettered")
ORDERS = ("accepted", "rejected", "filled", "cancelled", "open", "unknown")
JOURNAL = ("last_sequence", "durable_sequence")
FOLLOWER = ("sequence", "lag", "snapshot_sequence", "verified_sequence", "snapshots", "segments_removed")
REPLICA_STATES = {0: "none", 1: "behind", 2: "current"}
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}
CORE_NAME = "core"
JOURNALS = ("follower", "replica", "standby")
"""Processes that belong to the core's journal."""
ASIDE = (CORE_NAME, *JOURNALS, *VENUES, *REDIS.values())
"""Processes without engines."""
US_NS = 1_000
OF_ONE = (READY, SEEN)
"""Counters that say something of one process alone."""
SILENCE_NS = NANOSECONDS
"""A process says how it is ten times a second."""


class EngineStatus(msgspec.Struct, frozen=True):
    """One engine.

    Parameters
    ----------
    state
        Of its process, see `ProcessState`.
    breaker
        The worst state of its breakers; ``closed``: requests reach it; ``off``: it runs plain.
    requests, errors
        Messages that it handled, and how many of them ended in an error; of the gateway requests that it carried.
    p50_us, p99_us
        Time of its handlers; of the gateway that of such requests.
    """

    name: str
    port: int
    tier: str
    state: str
    pid: int
    uptime_seconds: float
    breaker: str
    requests: int
    errors: int
    p50_us: float
    p99_us: float


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """The whole instance; `bus` has ``star`` and ``mesh``.

    `journal`: its ``durable_sequence`` is 0 where nothing waits for the disk (`core.acknowledge` "memory"). `follower`
    is there where one was asked for (`journal.follower` "on"), `replica`, with the ``role`` of this instance, where it
    is a standby, or one may dial, `venues` where there are external ones, `data` where the hub was asked for what
    providers have.
    """

    status: Health
    engines: tuple[EngineStatus, ...]
    bus: dict[str, dict[str, int]]
    orders: dict[str, int]
    journal: dict[str, int]
    follower: dict[str, int] = {}
    replica: dict[str, int | str] = {}
    venues: dict[str, dict[str, int | str]] = {}
    data: dict[str, Any] = {}


class Facts(NamedTuple):
    """What was read at one moment.

    Attributes
    ----------
    counters : of each process, by process.
    positions : of each process in the streams of the star (`nautilus.bus.positions`).
    now_ns : of the machine's clock.
    """

    plan: Plan
    state: PlatformState
    counters: Mapping[str, Mapping[str, int]]
    positions: Mapping[str, Mapping[str, int]]
    now_ns: int

    def total(self, name: str) -> int:
        """A counter summed over all processes."""
        return sum(found.get(name, 0) for found in self.counters.values())


def read_facts(instance: Instance) -> Facts:
    """Read the plan, the state and every process's counters. NotRunningError where the instance has no plan yet."""
    plan = instance.plan()
    counters = {spec.name: _counters_of(plan, spec) for spec in plan.processes}
    state, now_ns = read_state(instance, plan), wall_ns()
    fenced = fenced_by(counters)
    processes = tuple(
        _as_seen(process, counters[counted_by(plan, process)], now_ns, fenced=process.name == CORE_NAME and fenced > 0)
        for process in state.processes
    )
    return Facts(plan, msgspec.structs.replace(state, processes=processes), counters, read_positions(plan), now_ns)


def _counters_of(plan: Plan, spec: ProcessSpec) -> dict[str, int]:
    """Those of a process; of the gateway with those of its workers, which go on where one ends."""
    found = _counters(plan.counters_of(spec.name))
    if spec.kind == "gateway":
        for path in Path(plan.shared).glob(f"counters.{spec.name}-worker-*"):
            for name, value in _counters(str(path)).items():
                if name not in OF_ONE:
                    found[name] = found.get(name, 0) + value
    return found


def fenced_by(counters: Mapping[str, Mapping[str, int]]) -> int:
    """Epoch of the core that replaced the one here, as the replica's process or the core itself knows it; 0: none."""
    by_replica = counters.get("replica", {}).get("replica.fenced_by", 0)
    return max(by_replica, counters.get(CORE_NAME, {}).get("journal.fenced_by", 0))


def _as_seen(process: ProcessState, counters: Mapping[str, int], now_ns: int, *, fenced: bool) -> ProcessState:
    """A process that the supervisor has as ready, by what it says of itself.

    A core that is fenced takes no orders, though it says so itself only with its next look, a tenth of a second on.
    """
    seen_ns = counters.get(SEEN, 0)
    if process.state == "ready" and fenced:
        return msgspec.structs.replace(process, state="not ready")
    if process.state != "ready" or not seen_ns:
        return process
    if now_ns - seen_ns > SILENCE_NS:
        return msgspec.structs.replace(process, state="silent")
    return process if counters.get(READY) else msgspec.structs.replace(process, state="not ready")


def read_state(instance: Instance, plan: Plan | None = None) -> PlatformState:
    """The state as the supervisor has it, with the processes that were started apart from it."""
    state, plan = instance.state(), plan or instance.plan()
    known = {process.name: process for process in state.processes}
    processes = tuple(known.get(spec.name) or _apart(plan, spec) for spec in plan.processes)
    if plan.standbys:
        processes = _with_hub(plan, processes)
    return msgspec.structs.replace(state, processes=processes)


def _with_hub(plan: Plan, processes: tuple[ProcessState, ...]) -> tuple[ProcessState, ...]:
    """With the engine of the hub where it is now."""
    hub, engines = hub_of(plan), plan.process(plan.hubs[0]).engines
    return tuple(
        process
        if process.name not in plan.hubs
        else msgspec.structs.replace(process, engines=engines)
        if process.name == hub
        else msgspec.structs.replace(process, engines=(), ports={})
        for process in processes
    )


def counted_by(plan: Plan, process: ProcessState) -> str:
    """The process under whose name one counts: of two that may be the hub the one that is has the name of the hub."""
    if not plan.standbys or process.name not in plan.hubs:
        return process.name
    return plan.hubs[0] if process.engines else plan.hubs[1]


def apart_of(plan: Plan, process: str) -> Path:
    """Where a process that was started apart from the supervisor says how it is, as a `ProcessState`."""
    return Path(plan.directory, f"{process}.state.json")


def _apart(plan: Plan, spec: ProcessSpec) -> ProcessState:
    """How it says it is, as long as it lives; of one on another host, whether the registry has it."""
    if holder(plan.lock_of(spec.name)):
        try:
            return msgspec.json.decode(apart_of(plan, spec.name).read_bytes(), type=ProcessState)
        except (OSError, msgspec.DecodeError):
            pass
    entry = read_places(plan).get(spec.name)
    if entry is not None and entry.host != plan.host:
        return ProcessState(spec.name, spec.engines, state="ready", host=entry.host)
    return ProcessState(spec.name, spec.engines)


def read_positions(plan: Plan) -> dict[str, dict[str, int]]:
    """Where each process stands in the streams of the star.

    The hub's own table is read first: what it says is then on its way to the others, or there.
    """
    tables = {spec.name: _counters(plan.positions_of(spec.name)) for spec in plan.processes}
    hub = next((name for name, table in tables.items() if "hub.epoch" in table), None)
    return {name: table if name == hub else _counters(plan.positions_of(name)) for name, table in tables.items()}


def read_status(instance: Instance) -> Status:
    """The status object of a running instance."""
    return status_of(read_facts(instance))


def status_of(facts: Facts) -> Status:
    """The status object, from what was read."""
    core = facts.counters.get(CORE_NAME, {}) or facts.counters.get("standby", {})
    return Status(
        status=health_of(facts.state.processes, facts.state.state),
        engines=tuple(_engines(facts)),
        bus={"star": star_of(facts), "mesh": {name: facts.total(f"mesh.{name}") for name in MESH}},
        orders={name: core.get(f"orders.{name}", 0) for name in ORDERS},
        journal={name: core.get(f"journal.{name}", 0) for name in JOURNAL},
        follower=follower_of(facts) if facts.plan.config("journal", JournalConfig).follower == "on" else {},
        replica=replica_of(facts),
        venues=venues_status(facts.plan, facts.counters),
        data=data_status(facts.counters.get(facts.plan.process_of("marketdata"), {}))
        if any("marketdata" in spec.engines for spec in facts.plan.processes)
        else {},
    )


def follower_of(facts: Facts) -> dict[str, int]:
    """What the follower says of itself; empty where there is none."""
    found = facts.counters.get("follower")
    return {} if found is None else {name: found.get(f"follower.{name}", 0) for name in FOLLOWER}


def replica_of(facts: Facts) -> dict[str, int | str]:
    """Of a core with a replica's process, or of a standby; empty for neither."""
    core = facts.counters.get(CORE_NAME, {})
    if "standby" in facts.counters:
        found = facts.counters["standby"]
        return {
            "role": "standby",
            "state": "current" if found.get("standby.connected") else "none",
            "address": facts.plan.standby_of,
            "last_sequence": found.get("standby.sequence", 0),
            "lag": found.get("standby.lag", 0),
            "epoch": found.get("standby.epoch", 0),
        }
    if "replica" not in facts.counters:
        return {}
    found = facts.counters["replica"]
    return {
        "role": "core",
        "state": REPLICA_STATES.get(found.get("replica.state", 0), "none"),
        "acknowledged_sequence": found.get("replica.acknowledged_sequence", 0),
        "lag": found.get("replica.lag", 0),
        "epoch": core.get("journal.epoch", 0),
        "degraded": core.get("journal.degraded", 0),
        "fenced_by": fenced_by(facts.counters),
    }


def health_of(processes: Iterable[ProcessState], platform: str) -> Health:
    """Healthy: all are ready. Unhealthy: the core is not, or none of the others is. Else degraded."""
    ready = {process.name: process.state == "ready" for process in processes}
    if ready and all(ready.values()) and platform == "running":
        return "healthy"
    others = [is_ready for name, is_ready in ready.items() if name not in ASIDE]
    return "degraded" if ready.get(CORE_NAME) and any(others) else "unhealthy"


def star_of(facts: Facts, *, idle: bool = False) -> dict[str, int]:
    """Counters of the star, `lost` counted from both ends: what subscribers say, or what they lack, if that is more.

    While records are on their way only what was passed over counts; `idle`: nothing is, so all that lacks is lost.
    """
    found = {name: facts.total(f"star.{name}") for name in STAR}
    lacking = lacking_between(facts.positions.values())
    found["lost"] = max(found["lost"], lacking.missed + (lacking.behind if idle else 0))
    return found


def latency_of(plan: Plan, what: str, *, process: str | None = None) -> dict[str, float]:
    """Percentiles in microseconds of a histogram of one process or, summed, of all that have it; count 0: none."""
    return _percentiles(plan, what, [spec.name for spec in plan.processes if process in (None, spec.name)])


def _percentiles(plan: Plan, what: str, processes: Iterable[str]) -> dict[str, float]:
    total: Histogram | None = None
    for name in processes:
        found = read_histogram(plan, name, what)
        if found is not None:
            if total is None:
                total = Histogram(found.highest)
            total.merge(found)
    if total is None or not len(total):
        return {**dict.fromkeys(PERCENTILES, 0.0), "count": 0}
    # A percentile is the top of its bucket, which can lie beyond the largest value.
    measured = {
        name: round(min(total.percentile(percent), total.maximum) / US_NS, 3) for name, percent in PERCENTILES.items()
    }
    return {**measured, "count": len(total)}


def _latency_of(plan: Plan, spec: ProcessSpec, engine: str) -> dict[str, float]:
    """Of an engine's handlers; of the gateway of the requests that its workers carry."""
    if spec.kind != "gateway":
        return latency_of(plan, f"{engine}.handle", process=spec.name)
    names = [path.name.split(".")[1] for path in Path(plan.shared).glob(f"latency.{spec.name}-worker-*.handle")]
    return _percentiles(plan, "handle", names)


def read_histogram(plan: Plan, process: str, what: str) -> Histogram | None:
    """A copy of a process's histogram; None where it has none."""
    try:
        return Histogram.read(f"{plan.shared}/latency.{process}.{what}")
    except (OSError, ValueError):
        return None


def memory_mib(pid: int) -> float | None:
    """Memory of a process in MiB, what it shares counted in part (PSS); where that is not told, all of it (RSS)."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def cpu_seconds(pid: int) -> float | None:
    """Processor time that a process has used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def core_of(facts: Facts) -> EngineStatus:
    """The core's process, which is no engine, as a line among them for a person; a standby's where there is none."""
    processes = facts.state.processes
    process = next((process for process in processes if process.name == CORE_NAME), processes[0])
    counters = facts.counters.get(process.name, {})
    latency = latency_of(facts.plan, "order", process=process.name)
    return EngineStatus(
        name=process.name,
        port=0,
        tier="",
        state=process.state,
        pid=process.pid,
        uptime_seconds=round((facts.now_ns - process.started_ns) / NANOSECONDS, 3) if process.pid else 0.0,
        breaker="",
        requests=counters.get("core.commands", counters.get("standby.commands", 0)),
        errors=0,
        p50_us=latency["p50"],
        p99_us=latency["p99"],
    )


def _engines(facts: Facts) -> Iterable[EngineStatus]:
    processes = {name: process for process in facts.state.processes for name in process.engines}
    for name, entry in CATALOGUE.items():
        process = processes.get(name)
        if process is None:
            continue
        counters = facts.counters.get(facts.plan.process_of(name), {})
        latency = _latency_of(facts.plan, facts.plan.process(facts.plan.process_of(name)), name)
        alive, shielded = process.pid != 0, f"engine.{name}.breaker" in counters
        yield EngineStatus(
            name=name,
            port=process.ports.get(name, 0) or facts.plan.port(name),
            tier=entry.tier,
            state=process.state,
            pid=process.pid,
            uptime_seconds=round((facts.now_ns - process.started_ns) / NANOSECONDS, 3) if alive else 0.0,
            breaker=STATES[counters.get(f"engine.{name}.breaker", 0)] if not counters or shielded else "off",
            requests=counters.get(f"engine.{name}.requests", 0),
            errors=counters.get(f"engine.{name}.errors", 0),
            p50_us=latency["p50"],
            p99_us=latency["p99"],
        )


def _counters(path: str) -> dict[str, int]:
    """A process's counters; none where it has not made them yet."""
    try:
        return Counters.read(path)
    except (OSError, ValueError):
        return {}


def plain(value: Any) -> Any:
    """A struct as plain values for JSON."""
    return msgspec.to_builtins(value)


__all__ = [
    "EngineStatus",
    "Facts",
    "NotRunningError",
    "Status",
    "apart_of",
    "core_of",
    "cpu_seconds",
    "fenced_by",
    "follower_of",
    "health_of",
    "latency_of",
    "memory_mib",
    "read_facts",
    "read_histogram",
    "read_positions",
    "read_state",
    "read_status",
    "replica_of",
    "star_of",
    "status_of",
]
