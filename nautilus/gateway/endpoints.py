"""What the gateway knows of every engine: where its instances are, and what each of its operations asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from nautilus.core.histogram import Histogram
from nautilus.core.proxy_call import EndpointBase
from nautilus.engines import CATALOGUE
from nautilus.engines.base import Engine, Operation, Stream
from nautilus.gateway.config import GatewayConfig, place_of
from nautilus.gateway.headers import HeaderRules
from nautilus.gateway.pool import PoolSettings
from nautilus.policy.retry import may_repeat
from nautilus.policy.shedding import PRIORITIES, budget_ns
from nautilus.runtime.http.problems import HttpError

BASE = b"/api/v1/engines/"
POOLS: dict[str, tuple[int, float, float]] = {
    "strategy": (25, 20.0, 5.0),
    "risk": (20, 15.0, 10.0),
    "analytics": (15, 10.0, 15.0),
    "ml": (15, 10.0, 30.0),
    "factor": (10, 5.0, 30.0),
}
"""Connections, seconds until an idle one is closed, seconds until an answer has to be whole."""
READS = ("GET", "HEAD")
KNOWN_PATHS = 4096
"""Paths whose operation is remembered."""
KNOWN_BYTES = 256
"""Longer ones are not: they are there before anybody has shown who asks."""
FIRST_WATCH_NS = 40_000_000


class Endpoint(EndpointBase):
    """One operation of an engine, or what stands for those it does not declare.

    Attributes
    ----------
    name : "GET /risk/state", for metrics.
    scope : a client must have it.
    priority : index into `PRIORITIES`.
    budget_ns : until it has to be on its way, and should be answered.
    safe : it may be sent again.
    watch_ns : an instance that has said nothing for so long is looked at, and a safe request tried elsewhere.
    exempt : a cancel or the kill switch, as the engine says: no breaker and no limit stands before it.
    joined : a stream: all who listen share one of the engine's.
    latency : nanoseconds from the request to its answer.
    answered_ns : it was answered, other than by 503 and 504; told since the engine was away first.
    """

    __slots__ = ()

    def __init__(self, engine: str, name: str, scope: str, priority: int, budget_ns: int, safe: bool) -> None:
        self.engine = engine
        self.name = name
        self.scope = scope
        self.priority = priority
        self.budget_ns = budget_ns
        self.safe = safe
        self.watch_ns = FIRST_WATCH_NS
        self.exempt = self.joined = False
        self.latency = Histogram(2)


class Address(NamedTuple):
    """Where an instance of an engine is.

    Attributes
    ----------
    name : "risk" or "risk-2": within the gateway.
    host, port : an address, no name; port 0: not known yet.
    region : where it runs; "": here.
    """

    name: str
    host: str
    port: int
    region: str = ""


class EngineSpec(NamedTuple):
    """One engine, as the gateway is told of it."""

    name: str
    instances: tuple[Address, ...]
    operations: tuple[Operation, ...] = ()
    pool: PoolSettings = PoolSettings()
    timeout_seconds: float = 5.0
    rules: HeaderRules = HeaderRules()
    streams: tuple[Stream, ...] = ()


class EndpointTable:
    """Finds the operation of a request to an engine."""

    def __init__(self, spec: EngineSpec) -> None:
        self._fixed: dict[tuple[str, str], Endpoint] = {}
        self._patterns: list[tuple[str, re.Pattern[str], Endpoint]] = []
        self.known: dict[tuple[str, bytes], Endpoint] = {}
        """By method and path as sent: those asked for before."""
        self._others = {
            True: _endpoint(spec.name, "GET *", "read", "normal", True),
            False: _endpoint(spec.name, "* *", "trade", "normal", False),
        }
        self.endpoints: list[Endpoint] = list(self._others.values())
        for operation in spec.operations:
            self._add(spec.name, operation)
        for stream in spec.streams:
            endpoint = _endpoint(spec.name, f"GET {stream.path}", stream.scope, "normal", True)
            endpoint.joined = True
            self.endpoints.append(endpoint)
            self._fixed["GET", stream.path] = endpoint

    def find(self, method: str, path: bytes, path_text: str) -> Endpoint:
        """By method and path: as it was sent, and decoded."""
        asked = "GET" if method == "HEAD" else method
        found = self._fixed.get((asked, path_text))
        if found is None:
            for pattern_method, pattern, endpoint in self._patterns:
                if pattern_method == asked and pattern.fullmatch(path_text):
                    found = endpoint
                    break
            else:
                if path_text.startswith(INSIDE):
                    # These take the token of the instance, which the gateway would show for whoever asks.
                    raise HttpError(404, "http.not_found", f"no path {path_text[:200]!r}", expected="an operation")
                found = self._others[asked in READS]
        if len(path) <= KNOWN_BYTES:
            if len(self.known) >= KNOWN_PATHS:
                self.known.clear()
            self.known[method, path] = found
        return found

    def _add(self, engine: str, operation: Operation) -> None:
        method, path = operation.method, operation.path
        read = method in READS
        priority = getattr(operation, "priority", "") or "normal"
        endpoint = _endpoint(
            engine,
            f"{method} {path}",
            getattr(operation, "scope", "") or ("read" if read else "trade"),
            priority if isinstance(priority, str) else PRIORITIES[priority],
            read or bool(getattr(operation, "idempotent", False)),
            float(getattr(operation, "budget_ms", 0) or 0),
        )
        endpoint.exempt = operation.exempt
        endpoint.safe = may_repeat(method, path, bool(getattr(operation, "idempotent", False)))
        self.endpoints.append(endpoint)
        if "{" not in path:
            self._fixed[method, path] = endpoint
            return
        parts = re.split(r"\{\w+\}", path)
        self._patterns.append((method, re.compile("[^/]+".join(map(re.escape, parts))), endpoint))


INSIDE = ("/bus/", "/session")
"""Paths of every port that are not passed on: of the instance's own processes, and of who asks an engine itself."""


def _endpoint(engine: str, name: str, scope: str, priority: str, safe: bool, budget_ms: float = 0.0) -> Endpoint:
    return Endpoint(engine, name, scope, PRIORITIES.index(priority), budget_ns(priority, budget_ms), safe)


def other_instances(config: GatewayConfig) -> dict[str, tuple[Address, ...]]:
    """Of each engine that has more instances than its own, those."""
    return {
        engine: tuple(Address(f"{engine}-{number}", *place_of(place)) for number, place in enumerate(places, 2))
        for engine, places in config.instances.items()
    }


def specs_of(
    ports: Mapping[str, int],
    *,
    host: str = "127.0.0.1",
    more: Mapping[str, Iterable[Address]] | None = None,
    rules: Mapping[str, HeaderRules] | None = None,
    pool_size: int = 25,
    keepalive_seconds: float = 30.0,
    timeout_seconds: float = 5.0,
) -> list[EngineSpec]:
    """Engines of the catalogue, each with the instance of this host and perhaps `more`.

    Parameters
    ----------
    ports
        HTTP port of each engine here; 0: not known yet.
    pool_size, keepalive_seconds, timeout_seconds
        Of engines that the table `POOLS` does not name.
    """
    found = []
    for name, port in ports.items():
        size, keep_alive, answer = POOLS.get(name, (pool_size, keepalive_seconds, timeout_seconds))
        instances = (Address(name, host, port), *(more or {}).get(name, ()))
        kind = CATALOGUE[name].load() if name in CATALOGUE else Engine
        pool = PoolSettings(size, keep_alive)
        found.append(
            EngineSpec(
                name, instances, kind.operations, pool, answer, (rules or {}).get(name, HeaderRules()), kind.streams
            )
        )
    return found
