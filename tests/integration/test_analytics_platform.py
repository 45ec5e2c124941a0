"""From a strategy's fills over the portfolio engine's valuations to what analytics says, in a platform that runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from nautilus.runtime.client import EngineError
from tests.kit.platform import Platform, demo

SETTINGS = ("analytics.period_seconds=1", "analytics.capital=1000000.0", "analytics.publish_seconds=0.5")


@pytest.fixture(scope="module")
def running() -> Iterator[Platform]:
    with demo("--simulated", "--strategy", "quoting", settings=SETTINGS, whole=True) as found:
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
    costs = client.call("analytics", "GET", f"/analytics/transaction-costs/{account}")
    assert any(order["arrival_price"] for order in costs["orders"])
    sheet = client.call("analytics", "GET", f"/analytics/tear-sheet/{account}?form=html")
    assert sheet["html"].startswith("<!doctype html>")
    state = client.call("portfolio", "GET", f"/portfolio/{account}")
    assert state["performance"]["periods"] >= 1


def _traded(client: Any) -> int | None:
    positions = client.call("portfolio", "GET", "/positions")["positions"]
    return next((int(each["account_id"]) for each in positions if each["quantity"] != "0"), None)
