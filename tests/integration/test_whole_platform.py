"""All engines together: every port answers its probes, what is left out is not there, both layouts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from nautilus.engines import CATALOGUE, QUANTITATIVE
from tests.kit.effort import one_of
from tests.kit.platform import Platform, demo, run_cli


@pytest.fixture(scope="module", params=one_of("native", "compact"))
def whole(request: pytest.FixtureRequest) -> Iterator[Platform]:
    with demo("--simulated", "--strategy", "quoting", "--profile", request.param, whole=True) as running:
        yield running


def test_every_engine_of_the_catalogue_runs_and_is_healthy(whole: Platform) -> None:
    whole.wait(lambda: _states(whole) == dict.fromkeys(CATALOGUE, "healthy"), "healthy engines")
    found = json.loads(run_cli("status", "--json", "--instance", whole.instance.name))
    assert sorted(engine["name"] for engine in found["engines"]) == sorted(CATALOGUE)


@pytest.mark.parametrize("engine", QUANTITATIVE)
def test_an_engine_of_analysis_answers_every_probe(whole: Platform, engine: str) -> None:
    client = whole.client()
    for path in ("/livez", "/readyz", "/health", "/hybrid/performance", "/openapi.json"):
        assert client.call(engine, "GET", path), path
    health = client.call(engine, "GET", "/health")
    assert {"status", "circuit_breaker", "performance", "hybrid_integration"} <= set(health)


def test_what_is_left_out_does_not_run_and_nothing_waits_for_it() -> None:
    with demo(settings=('platform.without=["analytics","factor"]',), whole=True) as running:
        assert sorted(running.ports) == sorted(set(CATALOGUE) - {"analytics", "factor"})
        running.wait(lambda: set(_states(running).values()) == {"healthy"}, "healthy engines")


def _states(running: Platform) -> dict[str, str]:
    client = running.client()
    return {engine: client.call(engine, "GET", "/health")["status"] for engine in running.ports}
