"""The gateway's parts in memory, for the management API without processes, and a way to ask an ASGI application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from nautilus.gateway.management import PRINCIPAL_KEY
from nautilus.gateway.schemas import (
    BreakerMetrics,
    BreakerStatus,
    CacheMetrics,
    EnginesStatus,
    EngineStatus,
    GatewayMetrics,
    GatewayStatus,
    HybridConfig,
    OutcomeReport,
    RouteAnswer,
    RouteQuestion,
    RoutingMetrics,
    SettingOfGateway,
)
from nautilus.gateway.services import Services
from nautilus.policy.keys import Principal

NAMES = ("portfolio", "risk", "trading")


READER = Principal("reader", frozenset({"read"}))
TRADER = Principal("trader", frozenset({"read", "trade"}))
OPERATOR = Principal("ops", frozenset({"read", "trade", "admin"}))


class MemoryServices:
    """Every part of `Services` in one, with what was done to it."""

    def __init__(self) -> None:
        self.failures = dict.fromkeys(NAMES, 0) | {"risk": 3}
        self.outcomes: list[OutcomeReport] = []
        self.config: dict[str, Any] = {"hybrid_routing_enabled": True, "default_strategy": "hybrid_intelligent"}
        self.revision = 0
        self.checked: list[str] = []
        self.written: list[tuple[Any, ...]] = []
        self.error: Exception | None = None

    def services(self, **options: Any) -> Services:
        """The parts, with an audit log unless told else."""
        parts = {"breakers": self, "routing": _Routing(self), "health": self, "meters": _Meters(), "settings": self}
        return Services(names=NAMES, **{**parts, "audit": self, **options})

    def statuses(self) -> dict[str, BreakerStatus]:
        if self.error:
            raise self.error
        return {
            name: BreakerStatus(
                name=name,
                state="open" if failures >= 3 else "closed",
                cause="",
                retry_after_seconds=0.0,
                metrics=BreakerMetrics(
                    total_requests=10,
                    success_rate=70.0,
                    consecutive_failures=failures,
                    average_response_time_ms=1.5,
                    rejected_requests=0,
                ),
            )
            for name, failures in self.failures.items()
        }

    def reset(self, name: str) -> None:
        self.failures[name] = 0

    def engines(self) -> EnginesStatus:
        return EnginesStatus(
            overall_status="degraded",
            total_engines=3,
            healthy_engines=2,
            degraded_engines=0,
            unhealthy_engines=1,
            system_availability=66.7,
            average_response_time_ms=1.0,
            engines={name: self._engine(name) for name in NAMES},
        )

    def _engine(self, name: str) -> EngineStatus:
        return EngineStatus(
            status="unhealthy" if name == "risk" else "healthy",
            response_time_ms=1.0,
            success_rate=100.0,
            load_percent=12.5,
            consecutive_failures=self.failures[name],
            uptime_seconds=60.0,
        )

    async def check(self, name: str) -> EngineStatus:
        self.checked.append(name)
        return self._engine(name)

    def current(self) -> HybridConfig:
        origin = "default" if not self.revision else "PUT /config"
        settings = {
            key: SettingOfGateway(value=value, origin=origin, variable="", changeable=True)
            for key, value in self.config.items()
        }
        return HybridConfig(**self.config, revision=self.revision, settings=settings)

    async def change(self, changes: Mapping[str, Any], by: str) -> HybridConfig:
        if self.error:
            raise self.error
        self.config |= changes
        self.revision += 1
        return self.current()

    def record(self, by: str, action: str, subject: str, detail: Mapping[str, Any], outcome: str) -> None:
        self.written.append((by, action, subject, dict(detail), outcome))


class _Routing:
    def __init__(self, parts: MemoryServices) -> None:
        self._parts = parts

    def metrics(self) -> RoutingMetrics:
        return RoutingMetrics(
            enabled=True,
            total_decisions=7,
            strategy_distribution={"hybrid_intelligent": 7},
            strategy_performance={},
        )

    def decide(self, question: RouteQuestion) -> RouteAnswer:
        return RouteAnswer(
            engine=question.engine,
            strategy=self._parts.config["default_strategy"],
            use_direct_access=question.priority == "critical",
            expected_latency_ms=2.0,
            confidence=0.5,
            reasoning="as the test wants it",
        )

    def record(self, report: OutcomeReport) -> None:
        self._parts.outcomes.append(report)


class _Meters:
    def status(self) -> GatewayStatus:
        return GatewayStatus(
            status="healthy", version="0.1.0", workers=2, uptime_seconds=5.0, active_requests=0, reasons=[]
        )

    def metrics(self) -> GatewayMetrics:
        return GatewayMetrics(
            workers=2,
            total_requests=10,
            successful_requests=9,
            failed_requests=1,
            success_rate=90.0,
            average_response_time_ms=1.0,
            p95_response_time_ms=2.0,
            p99_response_time_ms=3.0,
            active_requests=0,
            shed_requests={"low": 1},
            cache=CacheMetrics(hits=1, misses=1, hit_rate=50.0, joined=0, stale=0, invalidated=0),
            engines={},
            pools={},
            counters={},
        )


class Reply(NamedTuple):
    """What an application answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


def ask(
    app: Any,
    method: str,
    path: str,
    body: Any = None,
    *,
    by: Principal | None = None,
    headers: Mapping[str, str] | None = None,
    raw: bytes | None = None,
) -> Reply:
    """One request to an ASGI application, without a server."""
    content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
    given = {"host": "127.0.0.1", **(headers or {})}
    if method not in ("GET", "HEAD") and "content-type" not in given:
        given["content-type"] = "application/json"
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in given.items() if value],
        "server": ("127.0.0.1", 8001),
        "client": ("127.0.0.1", 50000),
    }
    if by is not None:
        scope[PRINCIPAL_KEY] = by
    sent: list[dict[str, Any]] = []

    async def run() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await app(scope, receive, send)

    asyncio.run(run())
    start = sent[0]
    return Reply(
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        b"".join(message.get("body", b"") for message in sent[1:]),
    )
