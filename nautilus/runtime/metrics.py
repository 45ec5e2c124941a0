"""What an engine shows of itself, read from shared counters at scrape time (`nautilus.runtime.http.exposition`).

Names begin with ``nautilus_``; counters end in ``_total``; times are in seconds. A counter ``engine.risk.errors``
becomes ``nautilus_engine_errors_total{engine="risk"}``, a counter ``star.lost`` ``nautilus_star_lost_total``; each
carries the process that counts. Labels are names of engines, processes and declared operations, nothing that a
request brings along.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from nautilus.core.counters import Counters
from nautilus.core.histogram import Histogram
from nautilus.core.region import start_of
from nautilus.model.enums import EngineState
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns

if TYPE_CHECKING:
    from nautilus.runtime.protection import Guard

PREFIX = "nautilus_"
BOUNDS_NS = (*(step * 10**power for power in range(3, 10) for step in (1, 2, 5)), 10 * NANOSECONDS)
"""Bounds of the buckets: 1 us to 10 s."""

UNITS = {"_ns": 1e9, "_us": 1e6, "_ms": 1e3}
LABELS = {
    "engine": "engine",
    "operation": "engine",
    "venue": "venue",
    "source": "source",
    "pool": "pool",
    "peer": "peer",
    "star_path": "peer",
    "mesh_path": "peer",
}
"""What the second part of a name is, by the first."""
_SERVING = (EngineState.RUNNING, EngineState.DEGRADED)
_BROKEN = (EngineState.FAILED, EngineState.STOPPED)

DESCRIPTIONS = {
    "engine_requests": "Requests that the engine's handlers took.",
    "engine_errors": "Handler calls that raised.",
    "engine_handled": "Messages and batches of records that the engine's handlers took.",
    "engine_breaker": "Worst state of the engine's breakers: 0 closed, 1 open, 2 half-open, 3 forced-open, 4 disabled.",
    "operation_success": "Requests to an operation that were answered.",
    "operation_failure": "Requests to an operation that its handler failed.",
    "operation_timeout": "Requests to an operation that were not answered in time.",
    "operation_cancelled": "Requests to an operation that were given up.",
    "operation_ignored": "Requests to an operation that were their sender's mistake.",
    "operation_overloaded": "Requests to an operation that something behind it was too busy for.",
    "operation_refused": "Requests to an operation that its breaker refused.",
    "operation_shed": "Requests to an operation that were turned away as there was too much to do.",
    "operation_fallbacks": "Requests to an operation that were answered by its fallback.",
    "operation_errors": "HTTP requests to an operation that ended with a status of 500 or more.",
    "http_requests": "HTTP requests.",
    "feature_store_stored": "Figures that Redis has taken.",
    "feature_store_failed": "Times that Redis did not take figures.",
    "feature_store_dropped": "Figures that were dropped as too many waited for Redis.",
    "jobs_refused": "Jobs of engines that were refused as too many waited for a worker.",
    "questions_refused": "Requests that were refused as too many waited for the engines of the process.",
    "http_refused": "HTTP requests answered with a status of 400 to 499.",
    "http_given_up_heads": "Connections that were closed as a head was not whole in time.",
    "http_given_up_bodies": "Requests that were given up as their body was not there in time.",
    "http_given_up_answers": "Connections that were cut as their client took nothing of an answer.",
    "http_errors": "HTTP requests that ended with a status of 500 or more.",
    "star_published": "Records of market data published.",
    "star_frames": "Frames of market data published.",
    "star_delivered": "Records of market data delivered to engines.",
    "star_conflated": "Records of market data left out for a slow reader.",
    "star_gaps": "Gaps found in streams of market data.",
    "star_lost": "Records of market data lost in gaps.",
    "star_recovered": "Records of market data recovered after a gap.",
    "multicast_sent_frames": "Frames of market data sent by multicast.",
    "multicast_sent_datagrams": "Datagrams of market data sent by multicast.",
    "multicast_unsent": "Frames that the system did not take for multicast.",
    "multicast_too_long": "Frames that are too long for multicast.",
    "multicast_keys_given": "Answers with the key of multicast.",
    "multicast_datagrams": "Datagrams of the hub taken.",
    "multicast_frames": "Frames that came by multicast.",
    "multicast_garbage": "Datagrams that are none.",
    "multicast_unkeyed": "Datagrams whose key is not known here.",
    "multicast_forged": "Datagrams without the tag of the hub.",
    "multicast_repeated": "Datagrams that were there before, or are too old to know.",
    "multicast_incomplete": "Frames that were given up as pieces of them did not come.",
    "mesh_sent": "Messages sent to other processes.",
    "mesh_acknowledged": "Messages acknowledged after their handler.",
    "mesh_retried": "Messages sent again.",
    "mesh_dead_lettered": "Messages given up.",
    "mesh_duplicates": "Messages that came twice and were dropped.",
    "mesh_received": "Messages received from other processes.",
    "mesh_urgent_by_ring": "Urgent messages that were delivered as they came through shared memory.",
    "mesh_urgent_by_zmq": "Urgent messages that were delivered as they came over ZeroMQ.",
    "mesh_urgent_copies": "Copies over ZeroMQ of urgent messages that had come through shared memory, dropped.",
    "mesh_beats": "Beats sent: whether the application of a peer answers.",
    "mesh_peers_slow": "Times that the application of a peer did not answer.",
    "mesh_peers_stopped": "Times that a peer took connections and said nothing.",
    "mesh_peers_down": "Times that a peer was gone.",
    "peer_standing": "How a peer is: 0 up, 1 slow, 2 stopped, 3 down.",
    "star_path_taken": "Path of market data from the peer: 0 the best of those it has.",
    "star_path_downs": "Steps to a worse path of market data.",
    "star_path_ups": "Steps to a better path of market data.",
    "mesh_path_taken": "Path of messages to the peer: 0 ZeroMQ, then Redis and HTTP where it has them, the last: none.",
    "mesh_path_downs": "Steps to a worse path of messages to a peer.",
    "mesh_path_ups": "Steps to a better path of messages to a peer.",
    "mesh_full": "Messages that were refused as the queue for their peer was full.",
    "mesh_pressed": "Times that the queue for a peer was filling up.",
    "peer_pending_flash_crash": "Messages of this priority that the peer has not acknowledged.",
    "peer_pending_urgent": "Messages of this priority that the peer has not acknowledged.",
    "peer_pending_high": "Messages of this priority that the peer has not acknowledged.",
    "peer_pending_normal": "Messages of this priority that the peer has not acknowledged.",
    "peer_pending_low": "Messages of this priority that the peer has not acknowledged.",
    "host_orders_busy": "Orders refused here as the queue for the core was filling up.",
    "letters_written": "Dead letters that the log on disk has.",
    "letters_unwritten": "Dead letters for which the disk had no room.",
    "letters_torn_bytes": "Cut off the log of dead letters, as an earlier life did not finish them.",
    "letters_replayed": "Dead letters sent again as somebody asked for it.",
    "letters_refused": "Dead letters that were not sent again although somebody asked for it.",
    "orders_open": "Orders open now.",
    "journal_last_sequence": "Last command written to the journal.",
    "journal_durable_sequence": "Last command that the disk has.",
    "journal_epoch": "Epoch of the core.",
    "journal_degraded": "Times that events were shown without a standby.",
    "journal_fenced_by": "Higher epoch of another core; 0: none.",
    "follower_lag": "Commands written that the follower has not carried out yet.",
    "follower_snapshot_sequence": "Command of the last snapshot.",
    "follower_verified_sequence": "Command of the last hash record that the follower found equal.",
    "replica_state": "Of a standby: 0 none, 1 behind, 2 current.",
    "replica_lag": "Commands written that the standby has not acknowledged yet.",
    "replica_acknowledged_sequence": "Last command that a standby has.",
    "orders_unknown": "Orders at external venues whose fate is not known now.",
    "core_pool_full": "Orders and other commands that were refused as a pool of the kernel was full.",
    "pool_capacity": "Records that the pool of the kernel can hold.",
    "pool_used": "Records that it holds.",
    "pool_ready": "Records whose memory was committed beforehand.",
    "pool_late": "Records that were taken before their memory was committed.",
    "pool_full": "Takes that the pool refused.",
    "pool_locked_bytes": "Of the pool, locked in memory by itself.",
    "machine_huge_bytes": "Memory of the process on huge pages.",
    "machine_locked_bytes": "Memory of the process that is locked.",
    "machine_pinned_threads": "Threads of the core that have a processor of their own.",
    "machine_realtime_threads": "Threads of the core under SCHED_FIFO.",
    "machine_wake_up_held": "Whether processors are kept from sleeping deeply.",
    "machine_wishes_refused": "What the core asked of the machine and did not get; its log says what.",
    "data_hits": "Questions for data of providers that were answered from what is kept.",
    "data_misses": "Questions that a provider was asked for.",
    "data_stale": "Questions that were answered with what is older than its lifetime, and marked.",
    "data_negative": "Questions that were answered with a refusal that is kept.",
    "data_joined": "Questions that waited for the answer to an equal one.",
    "data_prefetched": "Questions that were asked before anybody wanted the answer.",
    "data_prefetch_used": "Answers that were asked for ahead and then wanted.",
    "data_prefetch_held": "Questions that were not asked ahead as the budget or the reserve did not allow it.",
    "data_asked": "Questions handed to the process that asks providers.",
    "data_errors": "Questions that ended in an error of a provider.",
    "data_synthetic": "Answers that were made up.",
    "data_published": "Records of facts published on the star.",
    "data_entries": "Answers and refusals that are kept.",
    "data_bytes": "What they take.",
    "data_under_way": "Questions under way.",
    "data_prefetch_unused": "Answers that were asked for ahead and never wanted.",
    "source_calls": "Requests sent to the provider.",
    "source_errors": "Requests to the provider that failed.",
    "source_not_modified": "Requests to the provider that were answered with: as before.",
    "source_joined": "Questions that shared a request to the provider.",
    "source_day_left": "Requests left of the provider's day; -1: it has no limit.",
    "source_day_limit": "Requests of a whole day; -1: no limit.",
    "source_connections": "Connections to the provider that are open.",
    "source_cost_milli": "What the requests cost so far, in thousandths of the provider's currency.",
    "source_state": "Of the provider: 0 ready, 1 limited, 2 failing, 3 unconfigured.",
    "venue_open_accounts": "Accounts that may send new orders to the venue.",
    "venue_session_alive": "The venue's session has its slot of the core and moves.",
    "venue_closings": "Times that the core closed the accounts at the venue, as its session was gone.",
    "venue_state": "Of the session: 1 begun, 2 connecting, 3 recovering, 4 reconciling, 5 live.",
    "venue_orders_open": "Orders that are open at the venue.",
    "venue_orders_unknown": "Orders at the venue that are asked after.",
    "venue_accounts_reconciled": "Accounts that the session has had reconciled.",
    "venue_reports_under_way": "Reports of the venue that the core has not taken yet.",
    "venue_strays_open": "Orders that work at the venue and are not open here, and are being cancelled.",
    "venue_lines_lost": "Times that the line to the venue was lost.",
    "venue_strays": "Orders that worked at the venue and were not open here.",
    "venue_foreign_reports": "Reports of orders at the venue that are none of the platform's.",
}


class BreakerView(msgspec.Struct, frozen=True):
    """Circuit breakers of an engine: the worst state (``closed``, ``half-open``, ``open``, ``forced-open``,
    ``disabled``), failures in a row, and the state of each operation's."""

    state: str = "closed"
    failure_count: int = 0
    operations: dict[str, str] = {}


class Meters(NamedTuple):
    """What an engine's protection has counted: states and changes (operation, to, cause) of breakers, and its limit."""

    states: Mapping[str, str]
    changes: Mapping[tuple[str, str, str], int]
    limit: float
    under_way: int
    shed: Mapping[str, int]


class Protection(Protocol):
    """What shields an engine, as its port shows it."""

    @property
    def integrated(self) -> bool:
        """Breaker and operation tracking are in force."""
        ...

    @property
    def guards(self) -> Mapping[str, Guard]:
        """What stands before each operation, by name."""
        ...

    def breaker(self) -> BreakerView:
        """The engine's breaker now."""
        ...

    def meters(self) -> Meters | None:
        """For the metrics; None: there is no protection."""
        ...


class Unprotected:
    """An engine that runs plain."""

    integrated = False
    guards: Mapping[str, Guard] = {}

    def breaker(self) -> BreakerView:
        """Always closed."""
        return BreakerView()

    def meters(self) -> None:
        """There are none."""


class ReadableCounters(Protocol):
    """Counters as a reader sees them."""

    def snapshot(self) -> dict[str, int]:
        """{name: value}."""
        ...

    def gauges(self) -> frozenset[str]:
        """Names of those that are gauges."""
        ...


class Sums(NamedTuple):
    """What all processes of a port have counted and measured together."""

    counters: ReadableCounters
    histograms: Mapping[str, Histogram]


def _nothing() -> Sequence[str]:
    return ()


def _no_bus() -> Mapping[str, Any]:
    return {}


def _life() -> str:
    # A process id alone comes again, in a container after every start.
    pid = os.getpid()
    return f"{pid}-{start_of(pid)}"


class SharedMeters(msgspec.Struct, frozen=True):
    """Counters and histograms that another process writes: `counters.<process>` and `latency.<process>.*`."""

    process: str
    directory: str

    def counters(self) -> Counters | None:
        """A copy of its counters; None where there are none (yet)."""
        try:
            return Counters.load(Path(self.directory, f"counters.{self.process}"))
        except (OSError, ValueError):
            return None

    def histograms(self) -> Iterator[tuple[str, Histogram]]:
        """Copies of its histograms."""
        head = f"latency.{self.process}."
        for path in sorted(Path(self.directory).glob(f"{head}*")):
            if path.suffix == ".new":  # about to take its name
                continue
            try:
                yield path.name.removeprefix(head), Histogram.read(path)
            except (OSError, ValueError):
                continue


@dataclass(slots=True)
class EngineView:
    """What an engine's port shows of it. The host fills it in and keeps `state` current.

    The functions are called in the HTTP thread, for every probe: they must not wait.

    Parameters
    ----------
    name, process
        The engine, and the process that hosts it.
    counters
        Of the process; ``engine.<name>.*`` are this engine's.
    state
        Where it is in its life.
    started_ns
        When it started, by `monotonic_ns`.
    instance
        Names this life of it: another text after each start. Where several processes answer at the port, theirs.
    histograms
        Latency of each operation in nanoseconds; ``handle`` is that of all handler calls.
    reasons
        Why it is not ready; nothing: it is.
    warnings
        What is wrong although it serves.
    bus
        Plain values about the bus, for `/health`.
    more
        Further plain values for `/health`, by name.
    protection
        Breaker and tracking.
    shared
        Processes without a port whose meters this port shows too.
    sums
        Where several processes answer at the port: what all of them counted and measured.
    process_metrics
        Show counters of the whole process, its memory and processor time: on one port of a process, so that sums count
        them once.
    """

    name: str
    process: str
    counters: Counters
    state: EngineState = EngineState.CREATED
    started_ns: int = field(default_factory=monotonic_ns)
    instance: str = field(default_factory=_life)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    reasons: Callable[[], Sequence[str]] = _nothing
    warnings: Callable[[], Sequence[str]] = _nothing
    bus: Callable[[], Mapping[str, Any]] = _no_bus
    more: Callable[[], Mapping[str, Any]] = _no_bus
    protection: Protection = field(default_factory=Unprotected)
    shared: tuple[SharedMeters, ...] = ()
    process_metrics: bool = True
    sums: Sums | None = None

    def counted(self) -> ReadableCounters:
        """Counters to show: of this process, or of all that answer at the port."""
        return self.counters if self.sums is None else self.sums.counters

    def measured(self) -> Mapping[str, Histogram]:
        """Histograms to show, likewise."""
        return self.histograms if self.sums is None else self.sums.histograms

    def blockers(self) -> list[str]:
        """Why it is not ready, its state included."""
        found = [] if self.state in _SERVING else [f"engine is {self.state.name.lower()}"]
        return found + list(self.reasons())

    def status(self) -> str:
        """``healthy``, ``degraded`` or ``unhealthy``."""
        if self.state in _BROKEN:
            return "unhealthy"
        if self.state is EngineState.RUNNING and not self.blockers() and not self.warnings():
            return "healthy"
        return "degraded"

    @property
    def uptime_seconds(self) -> float:
        """Since it started."""
        return (monotonic_ns() - self.started_ns) / NANOSECONDS
