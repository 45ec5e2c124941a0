"""From a strategy's fills over the portfolio engine's valuations to what analytics says, in a platform that runs."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from nautilus.runtime.client import EngineError
from nautilus.runtime.feature_store import PREFIX
from tests.kit.live_host import short_directory
from tests.kit.platform import Platform, demo
from tests.kit.redis_server import RedisServer

SETTINGS = ("analytics.period_seconds=1", "analytics.capital=1000000.0", "analytics.publish_seconds=0.5")


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with short_directory() as directory:
        server = RedisServer(directory)
        server.start()
        yield server
        server.kill()


@pytest.fixture(scope="module")
def running(redis: RedisServer) -> Iterator[Platform]:
    settings = (*SETTINGS, f"analytics.feature_store={redis.url}")
    with demo("--simulated", "--strategy", "quoting", settings=settings, whole=True) as found:
        yield found


def test_a_strategy_that_trades_is_a_portfolio_that_is_analysed(running: Platform) -> None:
    client = running.client()
    running.wait(lambda: _traded(client), "a portfolio that traded")
    account = _traded(client)

    path = f"/analytics/realtime/{account}?depth=institutional"

    def answer() -> dict[str, Any]:
        with contextlib.suppress(EngineError):  # its first valuation is still to come
            return dict(client.call("analytics", "GET", path))
        return {"summary": {"periods": 0}}

    running.wait(lambda: answer()["summary"]["periods"] >= 5, "five periods of a second")
    found = answer()
    assert found["value"]["currency"]
    assert found["summary"]["annual_volatility"] is not None
    assert found["basis"]["source"] == "star"
    assert found["basis"]["synthetic"] is True  # the market is simulated
    costs = client.call("analytics", "GET", f"/analytics/transaction-costs/{account}")
    assert any(order["arrival_price"] for order in costs["orders"])
    sheet = client.call("analytics", "GET", f"/analytics/tear-sheet/{account}?form=html")
    assert sheet["html"].startswith("<!doctype html>")
    for engine, prefix in (("analytics", ""), ("gateway", "/api/v1/engines/analytics")):
        connection = http.client.HTTPConnection("127.0.0.1", running.ports[engine], timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", f"{prefix}/analytics/tear-sheet/{account}.html")
            response = connection.getresponse()
            assert (response.status, response.getheader("content-type")) == (200, "text/html; charset=utf-8")
            assert response.read().startswith(b"<!doctype html>")
    state = client.call("portfolio", "GET", f"/portfolio/{account}")
    assert state["performance"]["periods"] >= 1


def test_its_figures_are_in_the_feature_store(running: Platform, redis: RedisServer) -> None:
    account = _traded(running.client())
    with contextlib.closing(Redis.from_url(redis.url, decode_responses=True)) as store:
        running.wait(lambda: store.hget(f"{PREFIX}portfolio-{account}", "periods") is not None, "figures in Redis")
        assert store.hget(f"{PREFIX}portfolio-{account}", "synthetic") == "1"


def _traded(client: Any) -> int | None:
    positions = client.call("portfolio", "GET", "/positions")["positions"]
    return next((int(each["account_id"]) for each in positions if each["quantity"] != "0"), None)
