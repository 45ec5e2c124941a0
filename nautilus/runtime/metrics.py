"""What an engine shows of itself, and the same as OpenMetrics, read from shared counters at scrape time.

Names begin with ``nautilus_``; counters end in ``_total``; times are in seconds. A counter ``engine.risk.errors``
becomes ``nautilus_engine_errors_total{engine="risk"}``, a counter ``star.lost`` ``nautilus_star_lost_total``; each
carries the process that counts. Labels are names of engines, processes and declared operations, nothing that a
request brings along.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
)
from prometheus_client.registry import Collector

from nautilus import __version__
from nautilus.core.counters import Counters
from nautilus.core.histogram import Histogram
from nautilus.model.enums import EngineState
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns

PREFIX = "nautilus_"
BOUNDS_NS = (*(step * 10**power for power in range(3, 10) for step in (1, 2, 5)), 10 * NANOSECONDS)
"""Bounds of the buckets: 1 us to 10 s."""

_UNITS = {"_ns": 1e9, "_us": 1e6, "_ms": 1e3}
_LABELS = {
    "engine": "engine",
    "operation": "engine",
    "venue": "venue",
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
    "operation_errors": "HTTP requests to an operation that ended with a status of 500 or more.",
    "http_requests": "HTTP requests.",
    "http_refused": "HTTP requests answered with a status of 400 to 499.",
    "http_errors": "HTTP requests that ended with a status of 500 or more.",
    "star_published": "Records of market data published.",
    "star_frames": "Frames of market data published.",
    "star_delivered": "Records of market data delivered to engines.",
    "star_conflated": "Records of market data left out for a slow reader.",
    "star_gaps": "Gaps found in streams of market data.",
    "star_lost": "Records of market data lost in gaps.",
    "star_recovered": "Records of market data recovered after a gap.",
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
    """A circuit breaker: ``closed``, ``open``, ``half_open`` or ``forced_open``."""

    state: str = "closed"
    failure_count: int = 0


class Protection(Protocol):
    """What shields an engine, as its port shows it."""

    @property
    def integrated(self) -> bool:
        """Breaker and operation tracking are in force."""
        ...

    def breaker(self) -> BreakerView:
        """The engine's breaker now."""
        ...


class Unprotected:
    """An engine that runs plain."""

    integrated = False

    def breaker(self) -> BreakerView:
        """Always closed."""
        return BreakerView()


def _nothing() -> Sequence[str]:
    return ()


def _no_bus() -> Mapping[str, Any]:
    return {}


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
    histograms
        Latency of each operation in nanoseconds; ``handle`` is that of all handler calls.
    reasons
        Why it is not ready; nothing: it is.
    warnings
        What is wrong although it serves.
    bus
        Plain values about the bus, for `/health`.
    protection
        Breaker and tracking.
    shared
        Processes without a port whose meters this port shows too.
    process_metrics
        Show counters of the whole process, its memory and processor time: on one port of a process, so that sums count
        them once.
    """

    name: str
    process: str
    counters: Counters
    state: EngineState = EngineState.CREATED
    started_ns: int = field(default_factory=monotonic_ns)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    reasons: Callable[[], Sequence[str]] = _nothing
    warnings: Callable[[], Sequence[str]] = _nothing
    bus: Callable[[], Mapping[str, Any]] = _no_bus
    protection: Protection = field(default_factory=Unprotected)
    shared: tuple[SharedMeters, ...] = ()
    process_metrics: bool = True

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


class EngineCollector(Collector):
    """Reads a view whenever Prometheus asks."""

    def __init__(self, view: EngineView) -> None:
        self._view = view

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        view = self._view
        labels = {"version": __version__, "python": platform.python_version()}
        yield InfoMetricFamily(f"{PREFIX}build", "Version of the platform.", value=labels)
        yield _gauge("engine_ready", "The engine takes requests.", view.name, float(not view.blockers()))
        yield _gauge("engine_uptime_seconds", "Since the engine started.", view.name, view.uptime_seconds)
        state = StateSetMetricFamily(f"{PREFIX}engine_state", "Where the engine is in its life.", labels=["engine"])
        state.add_metric([view.name], {each.name.lower(): each is view.state for each in EngineState})
        yield state
        breaker = view.protection.breaker()
        yield _gauge("breaker_open", "The circuit breaker is not closed.", view.name, float(breaker.state != "closed"))
        families: dict[str, Metric] = {}
        self._add_counters(families, view.process, view.counters, every=view.process_metrics)
        _add_histograms(families, "operation_seconds", ("engine", "operation"), view.name, view.histograms.items())
        for shared in view.shared:
            counters = shared.counters()
            if counters is not None:
                self._add_counters(families, shared.process, counters, every=True)
            _add_histograms(families, "latency_seconds", ("process", "what"), shared.process, shared.histograms())
        yield from families.values()

    def _add_counters(self, families: dict[str, Metric], process: str, counters: Counters, *, every: bool) -> None:
        gauges = counters.gauges()
        for full_name, value in counters.snapshot().items():
            name, labels = _parts(full_name)
            own = labels.get("engine") == self._view.name
            if not own and ("engine" in labels or not every):
                continue
            unit = next((unit for unit in _UNITS if name.endswith(unit)), "")
            name = name.removesuffix(unit) + "_seconds" if unit else name
            labels["process"] = process
            family = families.get(name)
            if family is None:
                make = GaugeMetricFamily if full_name in gauges else CounterMetricFamily
                text = DESCRIPTIONS.get(name, f"{full_name if own is False else name}, as the process counts it.")
                family = families[name] = make(PREFIX + name, text, labels=list(labels))
            assert isinstance(family, GaugeMetricFamily | CounterMetricFamily)
            family.add_metric(list(labels.values()), value / _UNITS[unit] if unit else value)


def _parts(name: str) -> tuple[str, dict[str, str]]:
    """Name of the metric and labels of a counter's name."""
    group, _, rest = name.partition(".")
    labels = {}
    if group in _LABELS and "." in rest:
        labels[_LABELS[group]], _, rest = rest.partition(".")
        if group == "operation" and "." in rest:
            labels["operation"], _, rest = rest.rpartition(".")
        name = f"{group}.{rest}"
    return re.sub(r"[^a-zA-Z0-9_]+", "_", name).removesuffix("_total"), labels


def _gauge(name: str, text: str, engine: str, value: float) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=["engine"])
    family.add_metric([engine], value)
    return family


def _add_histograms(
    families: dict[str, Metric],
    name: str,
    labels: tuple[str, str],
    owner: str,
    histograms: Iterable[tuple[str, Histogram]],
) -> None:
    for what, histogram in list(histograms):
        family = families.get(name)
        if family is None:
            family = families[name] = HistogramMetricFamily(PREFIX + name, "Latency.", labels=labels)
        assert isinstance(family, HistogramMetricFamily)
        counts = histogram.cumulative(BOUNDS_NS)
        total = len(histogram)
        buckets = [(repr(bound / NANOSECONDS), count) for bound, count in zip(BOUNDS_NS, counts, strict=True)]
        family.add_metric([owner, what], [*buckets, ("+Inf", total)], histogram.mean() * total / NANOSECONDS)
