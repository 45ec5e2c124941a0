"""Margin of a real platform over HTTP: of what a strategy holds, after trades, forecast, and after a restart."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.platform import Platform, demo

SETTINGS = ('platform.without=["analytics","factor","features","vpin","enhanced-vpin"]',)


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with demo("--simulated", "--strategy", "quoting", settings=SETTINGS, whole=True) as found:
        yield found


def _ask(platform: Platform, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", platform.ports["collateral"], timeout=60)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {platform.instance.token()}"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    return answer.status, told


def _held(platform: Platform) -> dict[str, Any] | None:
    """The first portfolio with a value and a position that has a price."""
    for portfolio in range(1, 17):
        status, told = _ask(platform, "GET", f"/collateral/margin/{portfolio}")
        if status == 200 and told["equity"] is not None and told["groups"]:
            return told
        assert status in (200, 404), told
    return None


def test_margin_of_what_a_strategy_holds_is_told_and_forecast(platform: Platform) -> None:
    found: list[dict[str, Any]] = []
    platform.wait(lambda: bool((told := _held(platform)) and not found.append(told)), "a portfolio with margin")
    told = found[0]
    assert told["maintenance"] > 0
    assert told["basis"]["method"].startswith("Regulation T")
    portfolio = told["portfolio_id"]
    status, supposed = _ask(platform, "POST", f"/collateral/what-if/{portfolio}", {"shock": -0.1})
    assert status == 200, supposed
    assert supposed["equity_after"] is not None
    status, forecast = _ask(platform, "GET", f"/collateral/forecast/{portfolio}?horizon_days=5")
    assert status == 200, forecast
    assert forecast["probability"] is not None


def test_options_are_priced_here_and_in_the_worker(platform: Platform) -> None:
    option = {"rights": ["put"], "spot": [100], "strike": [105], "years": [182 / 365], "volatility": [0.25]}
    for style, wanted in (("european", None), ("american", 9.417116624399)):
        status, told = _ask(
            platform, "POST", "/collateral/greeks", {**option, "rate": 0.03, "yield_rate": 0.01, "style": style}
        )
        assert status == 200, told
        assert wanted is None or told["price"][0] == pytest.approx(wanted, abs=1e-4)
    status, told = _ask(platform, "POST", "/collateral/greeks", {**option, "years": [-1]})
    assert (status, told["code"]) == (422, "analysis.expired")


def test_what_is_not_known_is_refused_with_its_code(platform: Platform) -> None:
    assert _ask(platform, "GET", "/collateral/margin/999")[1]["code"] == "model.unknown_portfolio"
    body = {"contracts": [{"instrument_id": 999_999, "kind": "equity"}]}
    assert _ask(platform, "PUT", "/collateral/contracts", body)[1]["code"] == "model.unknown_instrument"
    body = {"floors": [0, 10], "rates": [0.2, 0.1], "initial_rates": [0.5, 0.5]}
    assert _ask(platform, "PUT", "/collateral/brackets/X", body)[1]["code"] == "analysis.out_of_range"
