"""The gateway's figures for the management API: what all its workers have counted and measured, added up."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nautilus import __version__
from nautilus.core.histogram import Histogram
from nautilus.core.region import start_of
from nautilus.gateway.config import GatewayConfig
from nautilus.gateway.endpoints import POOLS
from nautilus.gateway.parts import OWN, SharedParts
from nautilus.gateway.regions import FORGOTTEN_BY_BUS
from nautilus.gateway.schemas import (
    CacheMetrics,
    EngineTraffic,
    GatewayMetrics,
    GatewayStatus,
    HealthState,
    PoolMetrics,
)
from nautilus.gateway.sums import SummedCounters, SummedHistograms
from nautilus.gateway.table import WorkerTable, read_table
from nautilus.policy.shedding import PRIORITIES
from nautilus.runtime.clock import NANOSECONDS, monotonic_ns, wall_ns
from nautilus.runtime.metrics import SharedMeters
from nautilus.runtime.plan import Plan

HANDLED = "handle"
"""Latency of all requests that go to engines."""
_ENGINE, _POOL, _CACHE, _SHED = "gateway.engine.", "gateway.pool.", "cache.", "gateway.shed."
_STATUS = tuple(f"status_{digit}xx" for digit in range(1, 6))
_NO_PROBLEM = frozenset(
    ("requests", *_STATUS, "status_0xx", "retried", "retry_refused", "hedged", "waited_for_return", "silent", "outages")
)
"""Of the counters of an engine, those that count no request that the gateway itself has answered with a problem."""


class WorkerMeters:
    """Figures of all workers of an instance, as one of them shows them.

    Parameters
    ----------
    plan
        Of the instance.
    parts
        What they share: what is under way is told by the breakers.
    clock
        Of the breakers.
    """

    def __init__(self, plan: Plan, parts: SharedParts, clock: Callable[[], int] = monotonic_ns) -> None:
        self._plan = plan
        self._config = plan.config(OWN, GatewayConfig)
        self._parts = parts
        self._clock = clock
        self._counters = SummedCounters(plan.shared)
        self._histograms = SummedHistograms(plan.shared)

    def status(self) -> GatewayStatus:
        """How the gateway is."""
        table = read_table(self._plan.directory)
        ready, reasons = _ready(table), self._reasons(table)
        status: HealthState = "unhealthy" if not ready else "degraded" if reasons else "healthy"
        return GatewayStatus(
            status=status,
            version=__version__,
            workers=ready,
            uptime_seconds=max(0, wall_ns() - self._plan.epoch) / NANOSECONDS,
            active_requests=self._active(),
            reasons=reasons,
        )

    def metrics(self) -> GatewayMetrics:
        """Of all workers."""
        counts = self._counters.snapshot()
        engines = {name: self._engine(name, counts) for name in self._parts.names}
        total = sum(each.total_requests for each in engines.values())
        failed = min(sum(each.failed_requests for each in engines.values()), total)
        latency = self._histograms.get(HANDLED) or Histogram(2)
        found = latency.summary()
        return GatewayMetrics(
            workers=_ready(read_table(self._plan.directory)),
            total_requests=total,
            successful_requests=total - failed,
            failed_requests=failed,
            success_rate=100.0 * (total - failed) / total if total else 100.0,
            average_response_time_ms=found["mean"] / 1e6 if found["count"] else 0.0,
            p95_response_time_ms=latency.percentile(95) / 1e6 if found["count"] else 0.0,
            p99_response_time_ms=found["p99"] / 1e6 if found["count"] else 0.0,
            active_requests=self._active(),
            shed_requests={name: counts.get(_SHED + name, 0) for name in PRIORITIES},
            cache=_cache(counts, self._by_bus()),
            engines=engines,
            pools={name: self._pool(name, counts) for name in self._parts.names},
            counters={name: value for name, value in counts.items() if value >= 0},
        )

    def _reasons(self, table: WorkerTable) -> list[str]:
        found = []
        if not table.lead or not start_of(table.lead):
            found.append("the lead of the gateway is gone")
        ready = _ready(table)
        if ready < self._config.workers:
            found.append(f"{ready} of {self._config.workers} workers are ready")
        return found

    def _by_bus(self) -> int:
        """How often answers were forgotten for what came over the bus, which is heard by the lead alone."""
        counters = SharedMeters(OWN, self._plan.shared).counters()
        return 0 if counters is None else counters.snapshot().get(FORGOTTEN_BY_BUS, 0)

    def _active(self) -> int:
        now_ns = self._clock()
        return sum(self._parts.breakers.breaker(name).metrics(now_ns).in_flight for name in self._parts.names)

    def _engine(self, name: str, counts: Mapping[str, int]) -> EngineTraffic:
        own = _below(f"{_ENGINE}{name}.", counts)
        statuses = {f"{digit}xx": own.get(f"status_{digit}xx", 0) for digit in range(1, 6)}
        problems = {key: value for key, value in own.items() if key not in _NO_PROBLEM and value}
        return EngineTraffic(
            total_requests=own.get("requests", 0),
            failed_requests=statuses["5xx"] + sum(problems.values()),
            answers=statuses,
            problems=problems,
            retried=own.get("retried", 0),
            hedged=own.get("hedged", 0),
        )

    def _pool(self, name: str, counts: Mapping[str, int]) -> PoolMetrics:
        own: dict[str, int] = {}
        for key, value in counts.items():
            instance, _, what = key.removeprefix(_POOL).rpartition(".")
            if key.startswith(_POOL) and (instance == name or instance.startswith(f"{name}-")):
                own[what] = own.get(what, 0) + value
        size, keep_alive, _ = POOLS.get(name, (self._config.pool_size, self._config.keepalive_seconds, 0.0))
        return PoolMetrics(
            size=size,
            keepalive_seconds=keep_alive,
            connects=own.get("connects", 0),
            refused=own.get("refused", 0),
            expired=own.get("expired", 0),
            full=own.get("full", 0),
        )


def _ready(table: WorkerTable) -> int:
    return sum(line.state == "ready" and line.alive for line in table.workers)


def _below(head: str, counts: Mapping[str, int]) -> dict[str, int]:
    return {key.removeprefix(head): value for key, value in counts.items() if key.startswith(head)}


def _cache(counts: Mapping[str, int], by_bus: int) -> CacheMetrics:
    own = _below(_CACHE, counts)
    hits, stale, misses = (own.get(name, 0) for name in ("hits", "stale", "misses"))
    asked = hits + stale + misses
    return CacheMetrics(
        hits=hits,
        misses=misses,
        hit_rate=100.0 * (hits + stale) / asked if asked else 0.0,
        joined=own.get("joined", 0),
        stale=stale,
        invalidated=own.get("forgotten", 0) + by_bus,
    )


__all__ = ["WorkerMeters"]
