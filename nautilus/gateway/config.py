"""Settings of the gateway: the section `gateway`."""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from nautilus.engines import CATALOGUE
from nautilus.gateway.headers import HeaderRules
from nautilus.model.errors import ConfigError
from nautilus.policy.health import HealthSettings
from nautilus.policy.routing import RoutingConfig, StrategyName
from nautilus.policy.rules import RuleError, parse_rule
from nautilus.runtime.platform import is_loopback

OWN = "gateway"
MOST_WORKERS = 15
"""The table of routes has room for 32 processes: two a slot while all workers are replaced, and twice the lead."""
_PLACE = re.compile(r"(?:\[([0-9a-fA-F:]+)\]|([0-9.]+)):(\d{1,5})(?:#([A-Za-z0-9_.-]+))?")


class GatewayConfig(msgspec.Struct, frozen=True):
    """The gateway on port 8001.

    Parameters
    ----------
    enabled
        Whether the platform has one.
    hybrid_routing_enabled
        Whether requests are routed by `default_strategy`; otherwise all of them go through the gateway. Changes at run
        time with `PUT /api/v1/hybrid/config`, and so does the next one.
    default_strategy
        Of engines whose category names none.
    health_interval_seconds
        Between two looks at each engine; what breaks in between is seen at once.
    engine_timeout_ms
        Until an engine has to have answered, where it has no time-out of its own.
    circuit_breakers
        Whether a breaker stands before each engine.
    strategy_failure_threshold, risk_failure_threshold
        Failures in a row that open the breaker before the engine, and those of its operations inside it.
    http2
        Whether clients may speak HTTP/2.
    pool_size
        Connections to an engine that has no size of its own.
    keepalive_seconds
        An unused connection to such an engine is closed after so long.
    instances
        More instances of engines, beside the own one: {"risk": ["127.0.0.1:9200#eu"]}, with the region behind "#" where
        it has one. Only of this machine, as the token of the instance goes along.
    headers
        Fields of requests and answers that are added and removed, by engine: `add_request` and `add_answer` (names and
        values), `remove_request` and `remove_answer` (names).
    routing
        Rules, strategies and A/B tests of single engines, balance between instances: `nautilus.policy.routing`.
    health
        When an instance of an engine counts as healthy, and when it is taken out: `nautilus.policy.health`.
    workers
        Processes that carry requests, each with a listening socket of its own on the one port; the operating system
        shares connections out among them. At most 15.
    connections
        Of clients at once, in each worker; less where a process may not open so many files.
    websockets
        Of clients at once, in each worker. One to a stream that an engine declares takes one file, any other two.
    websocket_unsent_kib
        So much may wait for a listener of a stream that does not read, here and as much in the operating system; with
        more it is dropped (close code 1008).
    websocket_ping_seconds
        A listener is asked so often whether it lives.
    spin_us
        So long after a request, but for one that it answers from memory by its bytes alone, a worker looks for the next
        event before it sleeps: it keeps a core busy meanwhile. Of use where a core is to spare and waking one takes
        long, as on a virtual machine; 0: it sleeps at once.
    drain_seconds
        How long a worker that is replaced keeps connections that cannot change hands: WebSockets, streams, TLS.
    silence_seconds
        A worker that gives no sign of life for so long is killed, and another one takes its place.
    cache
        Whether answers are kept.
    cache_memory_mib
        Of answers in each worker.
    cache_shared_mib
        Of answers that all workers share, in shared memory; a power of two.
    cache_largest_kib
        Larger answers are not kept.
    cache_seconds
        How long answers are kept that do not say so themselves: of an engine ("features"), or of one of its operations
        ("risk GET /risk/state"). Without a word here factor and features have a second.
    cache_stale_seconds
        How long such an answer is given on while one request asks for a new one.
    cache_error_seconds
        How long it is given on where none can be had.
    cache_negative_seconds
        Most that the answer is kept that there is nothing (404).
    cache_redis
        ``redis://HOST:PORT/DB`` or ``unix://PATH``: gateways share answers there too. "": they do not.
    cache_warm
        So many of the answers that were asked for most are fetched before a new gateway is asked for them.
    """

    enabled: bool = True
    hybrid_routing_enabled: bool = True
    default_strategy: StrategyName = "hybrid_intelligent"
    health_interval_seconds: Annotated[float, Meta(ge=0.1, le=3600)] = 30.0
    engine_timeout_ms: Annotated[float, Meta(gt=0, le=3_600_000)] = 5000.0
    circuit_breakers: bool = True
    strategy_failure_threshold: Annotated[int, Meta(ge=1, le=1000)] = 3
    risk_failure_threshold: Annotated[int, Meta(ge=1, le=1000)] = 3
    http2: bool = True
    pool_size: Annotated[int, Meta(ge=1, le=10_000)] = 25
    keepalive_seconds: Annotated[float, Meta(gt=0, le=3600)] = 30.0
    instances: dict[str, tuple[str, ...]] = {}
    headers: dict[str, HeaderRules] = {}
    routing: RoutingConfig = RoutingConfig()
    health: HealthSettings = HealthSettings()
    workers: Annotated[int, Meta(ge=1, le=MOST_WORKERS)] = 1
    connections: Annotated[int, Meta(ge=16, le=1 << 20)] = 16384
    websockets: Annotated[int, Meta(ge=1, le=1 << 20)] = 16384
    websocket_unsent_kib: Annotated[int, Meta(ge=4, le=1 << 20)] = 256
    websocket_ping_seconds: Annotated[float, Meta(ge=1, le=3600)] = 20.0
    spin_us: Annotated[int, Meta(ge=0, le=10_000)] = 0
    drain_seconds: Annotated[float, Meta(ge=0, le=3600)] = 5.0
    silence_seconds: Annotated[float, Meta(gt=0, le=3600)] = 10.0
    cache: bool = True
    cache_memory_mib: Annotated[int, Meta(ge=1, le=1 << 16)] = 16
    cache_shared_mib: Literal[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] = 8
    cache_largest_kib: Annotated[int, Meta(ge=1, le=1 << 18)] = 256
    cache_seconds: dict[str, Annotated[float, Meta(ge=0, le=86_400)]] = {}
    cache_stale_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 1.0
    cache_error_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 30.0
    cache_negative_seconds: Annotated[float, Meta(ge=0, le=3600)] = 1.0
    cache_redis: str = ""
    cache_warm: Annotated[int, Meta(ge=0, le=1024)] = 32

    def __post_init__(self) -> None:
        for key, engines in (("instances", self.instances), ("headers", self.headers)):
            for engine in engines:
                if engine not in CATALOGUE or engine == OWN:
                    known = ", ".join(sorted(name for name in CATALOGUE if name != OWN))
                    raise ConfigError(f"{key}: no engine {engine!r}", where="gateway", expected=f"one of {known}")
        for places in self.instances.values():
            for place in places:
                place_of(place)
        for number, text in enumerate(self.routing.rules):
            try:
                parse_rule(text, frozenset(get_args(StrategyName)))
            except RuleError as error:
                told = f"routing.rules[{number}] = {text[:100]!r}: {error.what} at {error.where}"
                raise ConfigError(told, where="gateway", expected=error.expected) from None


def place_of(text: str) -> tuple[str, int, str]:
    """Address, port and region of an instance as `instances` has it; ConfigError where it is none of this machine."""
    match = _PLACE.fullmatch(text)
    if match is not None:
        host, port = match[1] or match[2], int(match[3])
        if is_loopback(host) and 0 < port < 1 << 16:
            return host, port, match[4] or ""
    raise ConfigError(
        f"instances: {text[:100]!r}",
        where="gateway",
        expected="an address of this machine: 127.0.0.1:PORT or ...#REGION",
    )
