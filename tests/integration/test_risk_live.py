"""The risk engine in a live host: jobs in its worker process, operations over HTTP, and codes of what has no answer."""

from __future__ import annotations

import contextlib
import http.client
import json
import math

import numpy as np
import pytest

from nautilus.engines.risk import RiskConfig, RiskEngine
from nautilus.maths import var
from nautilus.runtime.views import serve_http
from tests.kit.context import SECOND, btcusdt
from tests.kit.http_engines import answer_of
from tests.kit.live_host import RunningHost, Venue, make_plan, short_directory

DAY = 86_400 * SECOND
RETURNS = np.random.default_rng(3).standard_t(5, 300) * 0.02
TIMES = [(18_000 + day) * DAY for day in range(300)]
POSITIONS = [{"series": "BTCUSDT", "exposure": 1000.0}]
CONFIG = RiskConfig(
    desks={"one": (7,)},
    limits=("desk/one gross hard 1000", "portfolio/* position soft 0.05 hard 0.2", "portfolio/* var hard 60"),
)


@pytest.fixture(scope="module")
def port():
    """HTTP port of a risk engine beside a venue, that has a history."""
    with short_directory() as directory, contextlib.ExitStack() as undo:
        plan = make_plan(directory, {"venue": ("marketdata", "trading"), "risk": ("risk",)})
        venue = Venue(plan)
        undo.callback(venue.stop)
        made = RunningHost(plan, "risk", {"risk": lambda: RiskEngine(CONFIG, [btcusdt()])})
        undo.callback(made.stop)
        venue.running.ready()
        found = serve_http(made.ready(120.0).host, undo)["risk"]
        history = {"times_ns": TIMES, "values": RETURNS.tolist(), "kind": "RETURN"}
        assert call(found, "PUT", "/risk/history/BTCUSDT", history)[0] == 200
        yield found


def call(port, method, path, body=None):
    """Status and decoded body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
        return answer_of(connection)[::2]
    finally:
        connection.close()


@pytest.mark.parametrize("method", ["historical", "normal", "filtered_ewma", "monte_carlo"])
def test_risk_is_estimated_in_the_worker(port, method):
    body = {"method": method, "positions": POSITIONS, "components": method != "filtered_ewma", "level": 0.99}
    status, answer = call(port, "POST", "/risk/var/7", body)
    assert status == 200, answer
    assert answer["var"] == pytest.approx(1000 * var.historical_var(RETURNS, 0.99), rel=0.35)
    assert answer["cvar"] > answer["var"]
    assert answer["basis"]["window"] == 300
    if answer["components"]:
        assert math.fsum(each["var"] for each in answer["components"]) == answer["var"]


def test_stress_drawdowns_and_backtests_are_answered(port):
    status, answer = call(port, "POST", "/risk/stress/7", {"positions": POSITIONS, "betas": {"BTCUSDT": 1.5}})
    assert (status, len(answer["scenarios"])) == (200, 4)
    assert all(scenario["profit"] < 0 for scenario in answer["scenarios"])
    assert call(port, "POST", "/risk/drawdowns/7", {"series": "BTCUSDT"})[1]["compounded"]
    status, answer = call(port, "POST", "/risk/var-backtest/7", {"series": "BTCUSDT", "window": 100})
    assert (status, answer["days"]) == (200, 200)


def test_orders_are_checked_against_every_limit(port):
    order = {"instrument": "BTCUSDT", "side": "BUY", "quantity": "0.1", "price": "9000"}
    status, answer = call(port, "POST", "/risk/critical-check/7", {"orders": [order]})
    assert (status, answer["allowed"], answer["checked"]) == (200, True, 3)
    assert [each["control"] for each in answer["warnings"]] == ["position"]
    order["quantity"] = "0.3"
    status, answer = call(port, "POST", "/risk/critical-check/7", {"orders": [order]})
    assert (status, answer["allowed"]) == (200, False)
    assert {each["control"] for each in answer["violations"]} == {"gross", "position", "var"}


def test_limits_are_shown_set_and_dropped(port):
    status, answer = call(port, "PUT", "/risk/limits", {"scope": "firm", "control": "net", "soft": 5.0, "hard": 9.0})
    assert status == 200
    found = {(each["scope"], each["control"]): each for each in answer["limits"]}
    assert found["firm", "net"]["utilisation"] == 0.0
    assert call(port, "DELETE", "/risk/limits?scope=firm&control=net")[0] == 200
    status, answer = call(port, "GET", "/risk/limits")
    assert ("firm", "net") not in {(each["scope"], each["control"]) for each in answer["limits"]}


def test_an_engine_that_has_missed_reports_allows_nothing():
    """Nobody is there who would tell it what has happened."""
    with short_directory() as directory, contextlib.ExitStack() as undo:
        plan = make_plan(directory, {"venue": ("marketdata", "trading"), "risk": ("risk",)})
        made = RunningHost(plan, "risk", {"risk": lambda: RiskEngine(CONFIG, [btcusdt()])})
        undo.callback(made.stop)
        behind = serve_http(made.host, undo)["risk"]
        for _ in range(5):  # as often as it is asked: no breaker opens
            status, answer = call(behind, "POST", "/risk/critical-check/7", {})
            assert (status, answer["code"]) == (503, "bus.behind")
        assert call(behind, "GET", "/risk/limits")[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/risk/var/99", {}, 404, "model.unknown_portfolio"),
        ("POST", "/risk/critical-check/99", {}, 404, "model.unknown_portfolio"),
        ("POST", "/risk/var/7", {}, 422, "analysis.empty"),
        ("POST", "/risk/var/7", {"positions": [{"series": "NONE", "exposure": 1.0}]}, 404, "model.unknown_series"),
        ("POST", "/risk/var/7", {"positions": POSITIONS, "level": 1.0}, 422, "http.fields"),
        ("POST", "/risk/var/7", {"positions": POSITIONS, "method": "guess"}, 422, "model"),
        (
            "POST",
            "/risk/var/7",
            {"positions": POSITIONS, "method": "monte_carlo", "paths": 1},
            422,
            "analysis.out_of_range",
        ),
        ("POST", "/risk/stress/7", {"positions": POSITIONS, "scenarios": ["1929"]}, 422, "model"),
        ("POST", "/risk/var-backtest/7", {"series": "BTCUSDT", "window": 5000}, 422, "analysis.too_few"),
        ("PUT", "/risk/limits", {"scope": "planet", "control": "net", "hard": 1.0}, 422, "model"),
        ("PUT", "/risk/rates", {"rates": {"EUR": -1.0}}, 422, "model"),
        ("PUT", "/risk/history/X", {"times_ns": [2, 1], "values": [1.0, 2.0]}, 422, "analysis.unsorted"),
        ("PUT", "/risk/history/X", {"times_ns": [1, 2], "values": [1.0, -2.0]}, 422, "analysis.negative_price"),
        (
            "POST",
            "/risk/critical-check/7",
            {"orders": [{"instrument": "NONE", "side": "BUY", "quantity": "1"}]},
            404,
            "model.unknown_instrument",
        ),
    ],
)
def test_what_cannot_be_answered_is_a_problem_with_a_code(port, method, path, body, status, code):
    found, answer = call(port, method, path, body)
    assert (found, answer["code"]) == (status, code), answer
