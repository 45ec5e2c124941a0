"""The real breakers and the real router behind the management API, in an application of somebody else's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from nautilus.core.breaker import FAILURE, SUCCESS, Breakers
from nautilus.core.route import Routes
from nautilus.gateway.config import GatewayConfig
from nautilus.gateway.management import BASE_PATH, hybrid_router
from nautilus.gateway.settings import SharedSettings
from nautilus.gateway.views import SharedBreakers, SharedRouting
from nautilus.policy.breaker import DEFAULT, BreakerConfig, BreakerRegistry
from nautilus.policy.routing import Router, RoutingConfig, Split
from tests.kit.management import NAMES, OPERATOR, MemoryServices, Reply, ask

SECOND = 1_000_000_000


class ManualClock:
    """Nanoseconds, as the test says."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, ns: int) -> None:
        self.now_ns += ns


class Worker:
    """What one worker has, over what all of them share."""

    def __init__(self, shared: Path, clock: ManualClock, routing: RoutingConfig | None = None) -> None:
        self.clock = clock
        self.table = Breakers(16, str(shared / "breakers"))
        self.registry = BreakerRegistry(self.table, dict.fromkeys(NAMES, BreakerConfig(failures=3)))
        self.settings = SharedSettings(str(shared), GatewayConfig())
        self.router = Router(Routes(64, str(shared / "routes")), routing)
        for name in NAMES:
            self.router.add_instance(name, name)
        parts = MemoryServices().services(
            breakers=SharedBreakers(self.registry, NAMES, clock),
            routing=SharedRouting(self.router, self.settings, clock),
            settings=self.settings,
        )
        self.app = FastAPI()
        self.app.include_router(hybrid_router(parts))

    def ask(self, method: str, path: str, body: Any = None) -> Reply:
        return ask(self.app, method, BASE_PATH + path, body, by=OPERATOR)

    def call(self, name: str, outcome: int, took_ns: int = 2_000_000) -> bool:
        breaker = self.registry.breaker(name)
        ticket = breaker.acquire(self.clock())
        if ticket < 0:
            return False
        self.clock.advance(took_ns)
        breaker.release(ticket, self.clock(), outcome)
        return True


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000 * SECOND)


@pytest.fixture
def workers(tmp_path: Path, clock: ManualClock) -> tuple[Worker, Worker]:
    return Worker(tmp_path, clock), Worker(tmp_path, clock)


def test_a_breaker_that_one_worker_opens_is_shown_and_reset_by_another(workers: tuple[Worker, Worker]) -> None:
    one, other = workers
    assert one.call("risk", SUCCESS)
    for _ in range(3):
        assert one.call("risk", FAILURE)
    assert not one.call("risk", SUCCESS)
    shown = other.ask("GET", "/circuit-breakers").json
    assert set(shown) == set(NAMES)
    risk = shown["risk"]
    assert (risk["name"], risk["state"], risk["cause"]) == ("risk", "open", "consecutive failures")
    assert risk["retry_after_seconds"] == pytest.approx(DEFAULT.recovery_seconds, abs=1.0)
    assert risk["metrics"] == {
        "total_requests": 4,
        "success_rate": 25.0,
        "consecutive_failures": 0,
        "average_response_time_ms": pytest.approx(2.0),
        "rejected_requests": 1,
    }
    assert other.ask("GET", "/status").json["open_breakers"] == ["risk"]
    reset = other.ask("POST", "/circuit-breakers/risk/reset").json
    assert (reset["state"], reset["cause"], reset["metrics"]["consecutive_failures"]) == ("closed", "reset", 0)
    assert one.call("risk", SUCCESS)


def test_all_breakers_are_reset_at_once(workers: tuple[Worker, Worker]) -> None:
    one, other = workers
    for name in NAMES:
        one.registry.breaker(name).force_open(one.clock())
    assert {each["state"] for each in other.ask("GET", "/circuit-breakers").json.values()} == {"forced-open"}
    assert other.ask("POST", "/circuit-breakers/reset-all").json["reset"] == sorted(NAMES)
    assert all(one.call(name, SUCCESS) for name in NAMES)


def test_a_breaker_lets_a_trial_through_when_its_time_has_come(workers: tuple[Worker, Worker]) -> None:
    one, other = workers
    for _ in range(3):
        one.call("risk", FAILURE)
    one.clock.advance(31 * SECOND)
    risk = other.ask("GET", "/circuit-breakers").json["risk"]
    assert (risk["state"], risk["retry_after_seconds"]) == ("half-open", 0.0)


def test_a_change_of_the_strategy_decides_in_every_worker(workers: tuple[Worker, Worker]) -> None:
    one, other = workers
    before = other.ask("POST", "/route", {"engine": "trading"}).json
    assert before["strategy"] == "hybrid_intelligent"
    assert 0 <= before["confidence"] <= 1
    assert before["expected_latency_ms"] >= 0
    one.ask("PUT", "/config", {"default_strategy": "direct_only"})
    after = other.ask("POST", "/route", {"engine": "trading"}).json
    assert (after["strategy"], after["use_direct_access"]) == ("direct_only", True)
    assert "no category" in after["reasoning"]
    one.ask("PUT", "/config", {"hybrid_routing_enabled": False})
    off = other.ask("POST", "/route", {"engine": "risk", "priority": "critical"}).json
    assert (off["strategy"], off["use_direct_access"]) == ("gateway_only", False)
    assert "switched off" in off["reasoning"]
    metrics = one.ask("GET", "/metrics/routing").json
    assert metrics["enabled"] is False
    assert metrics["total_decisions"] == 3


def test_recorded_outcomes_are_shown_and_change_the_way(workers: tuple[Worker, Worker]) -> None:
    one, other = workers
    assert one.ask("POST", "/route", {"engine": "risk"}).json["use_direct_access"] is True
    for direct, latency_ms in [(True, 20.0), (False, 2.0)] * 60:
        one.clock.advance(10_000_000)
        reply = one.ask(
            "POST",
            "/record-outcome",
            {
                "engine": "risk",
                "strategy": "hybrid_performance",
                "actual_latency_ms": latency_ms,
                "success": True,
                "use_direct_access": direct,
            },
        )
        assert reply.status == 200
    answer = other.ask("POST", "/route", {"engine": "risk"}).json
    assert answer["use_direct_access"] is False
    assert answer["expected_latency_ms"] == pytest.approx(2.0, rel=0.3)
    performance = other.ask("GET", "/metrics/routing").json["strategy_performance"]["hybrid_performance"]
    assert set(performance) == {
        "total_requests",
        "success_rate",
        "avg_latency_ms",
        "p95_latency_ms",
        "p99_latency_ms",
    }
    assert (performance["total_requests"], performance["success_rate"]) == (120, 100.0)
    assert performance["avg_latency_ms"] == pytest.approx(11.0, rel=0.05)


def test_an_a_b_test_keeps_a_client_on_its_side(tmp_path: Path, clock: ManualClock) -> None:
    worker = Worker(tmp_path, clock, RoutingConfig(splits={"trading": Split(share=0.5)}))
    sides: dict[str, set[bool]] = {}
    for client in ("ann", "bob", "cho", "dev", "eve", "fay"):
        for _ in range(5):
            answer = worker.ask("POST", "/route", {"engine": "trading", "client": client}).json
            assert answer["strategy"] == "ab_split"
            sides.setdefault(client, set()).add(answer["use_direct_access"])
    assert all(len(found) == 1 for found in sides.values())
    assert {found.pop() for found in sides.values()} == {True, False}
    told = {"engine": "trading", "strategy": "ab_split", "actual_latency_ms": 1.0, "success": True, "client": "bob"}
    assert worker.ask("POST", "/record-outcome", told).status == 200
