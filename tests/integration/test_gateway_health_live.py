"""Health and routing of a real platform, as the management API at the gateway's port shows them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

import pytest

from nautilus.gateway.health import read_report
from tests.kit.platform import Platform, demo

BASE = "/api/v1/hybrid"


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with demo(settings=("gateway.workers=2", "platform.processes=native")) as running:
        yield running


def ask(platform: Platform, path: str, body: dict[str, Any] | None = None) -> Any:
    content = None if body is None else json.dumps(body).encode()
    token = (platform.instance.directory / "token").read_text().strip()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = Request(f"http://127.0.0.1:{platform.ports['gateway']}{BASE}{path}", content, headers)
    with urlopen(request) as answer:
        return json.loads(answer.read())


def statuses(platform: Platform) -> dict[str, str]:
    return {name: each["status"] for name, each in ask(platform, "/engines")["engines"].items()}


@pytest.mark.long
def test_every_engine_of_the_platform_is_seen_healthy(platform: Platform) -> None:
    platform.wait(lambda: set(statuses(platform).values()) == {"healthy"}, "healthy engines")
    found = ask(platform, "/engines")
    assert found["overall_status"] == "healthy"
    assert found["total_engines"] == len(found["engines"]) >= 5
    report = read_report(platform.instance.shared)
    assert report is not None
    assert report.engines.keys() == found["engines"].keys()


@pytest.mark.long
def test_a_killed_engine_is_found_and_taken_back(platform: Platform) -> None:
    platform.wait(lambda: statuses(platform)["risk"] == "healthy", "a healthy engine")
    before = read_report(platform.instance.shared)
    assert before is not None
    os.kill(platform.pid("risk"), signal.SIGKILL)

    def again() -> bool:
        report = read_report(platform.instance.shared)
        assert report is not None
        [risk] = report.engines["risk"].instances
        [old] = before.engines["risk"].instances
        return risk.status == "healthy" and risk.restarts == old.restarts + 1

    platform.wait(again, "the engine, started anew")
    assert statuses(platform)["risk"] == "healthy"


@pytest.mark.long
def test_a_check_that_is_asked_for_is_made(platform: Platform) -> None:
    platform.wait(lambda: statuses(platform)["trading"] == "healthy", "a healthy engine")
    report = read_report(platform.instance.shared)
    assert report is not None
    checks = report.engines["trading"].instances[0].checks
    found = ask(platform, "/engines/trading/check", {})
    assert found["status"] == "healthy"
    report = read_report(platform.instance.shared)
    assert report is not None
    assert report.engines["trading"].instances[0].checks > checks


@pytest.mark.long
def test_decisions_and_outcomes_of_all_workers_are_counted_together(platform: Platform) -> None:
    before = ask(platform, "/metrics/routing")
    asked = {"engine": "portfolio", "endpoint": "/positions", "method": "GET"}
    for _ in range(20):  # each over a connection of its own, so to either worker
        assert ask(platform, "/route", asked)["strategy"] == "gateway_only"
    told = {"engine": "portfolio", "strategy": "gateway_only", "actual_latency_ms": 4.0, "success": True}
    for _ in range(20):
        assert ask(platform, "/record-outcome", told)["recorded"]
    after = ask(platform, "/metrics/routing")
    assert after["total_decisions"] == before["total_decisions"] + 20
    performance = after["strategy_performance"]["gateway_only"]
    assert performance["total_requests"] == before["strategy_performance"]["gateway_only"]["total_requests"] + 20
    assert ask(platform, "/route", asked)["expected_latency_ms"] == pytest.approx(4, rel=0.3)
