"""The analytics engine in a live host, with its jobs in a worker process and its operations over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json

import msgspec
import numpy as np
import pytest

from nautilus.engines.analytics import AnalyticsConfig, AnalyticsEngine
from nautilus.maths import performance
from nautilus.runtime.protection_config import ProtectionConfig
from nautilus.runtime.views import serve_http
from tests.kit.context import btcusdt
from tests.kit.http_engines import answer_of
from tests.kit.live_host import RunningHost, Venue, eventually, make_plan, short_directory
from tests.kit.valuations import DAY, START_NS

RETURNS = (np.random.default_rng(3).standard_t(5, 260) * 0.01).tolist()
TIMES = [START_NS + day * DAY for day in range(260)]
HISTORY = {"times_ns": TIMES, "values": RETURNS, "kind": "RETURN"}


@pytest.fixture(scope="module")
def port():
    """HTTP port of an analytics engine beside a venue, that has the history of portfolio 9."""
    with short_directory() as directory, contextlib.ExitStack() as undo:
        plan = make_plan(
            directory,
            {"venue": ("marketdata", "trading"), "analytics": ("analytics",)},
            sections={"protection": msgspec.to_builtins(ProtectionConfig(stretch=1000.0))},
        )
        venue = Venue(plan)
        undo.callback(venue.stop)
        made = RunningHost(plan, "analytics", {"analytics": lambda: AnalyticsEngine(AnalyticsConfig(), [btcusdt()])})
        undo.callback(made.stop)
        venue.running.ready()
        found = serve_http(made.ready(120.0).host, undo)["analytics"]
        assert call(found, "PUT", "/analytics/history/portfolio-9", HISTORY)[0] == 200
        yield found


def call(port, method, path, body=None):
    """Status and decoded body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
        return answer_of(connection)[::2]
    finally:
        connection.close()


def test_a_portfolio_is_analysed_in_each_depth_over_http(port):
    for depth in ("simple", "standard", "comprehensive", "institutional"):
        status, answer = call(port, "GET", f"/analytics/realtime/9?depth={depth}")
        assert (status, answer["depth"]) == (200, depth)
        assert answer["summary"]["sharpe_ratio"] == pytest.approx(performance.sharpe_ratio(RETURNS), rel=1e-10)
        assert answer["basis"]["source"] == "uploaded"
    status, answer = call(port, "POST", "/analytics/realtime", {"portfolio_ids": [9, 10]})
    assert (status, len(answer["answers"]), answer["unknown"]) == (200, 1, [10])


def test_a_tear_sheet_can_be_opened_in_a_browser(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", "/analytics/tear-sheet/9.html")
        response = connection.getresponse()
        assert (response.status, response.getheader("content-type")) == (200, "text/html; charset=utf-8")
        assert response.read().decode().startswith("<!doctype html>")
    assert call(port, "GET", "/analytics/tear-sheet/8.html")[0] == 404


def test_models_are_fitted_beside_the_engine(port):
    def fitted():
        return call(port, "GET", "/analytics/realtime/9?depth=comprehensive")[1]["regime"]["state"] == "ready"

    eventually(fitted, seconds=120.0)
    status, answer = call(port, "POST", "/analytics/requests", {"kind": "ml_inference", "portfolio_id": 9})
    assert status == 200
    assert {each["model"] for each in answer["analytics"]["volatility"]} == {"ewma", "garch", "gjr-garch-t", "har"}


def test_returns_of_the_request_are_analysed_in_the_worker(port):
    status, answer = call(port, "POST", "/analytics/performance", {"returns": RETURNS, "times_ns": TIMES})
    assert status == 200
    assert answer["summary"]["max_drawdown"] == answer["drawdowns"][0]["depth"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/analytics/realtime/8", None, 404, "model.unknown_portfolio"),
        ("GET", "/analytics/realtime/9?depth=deep", None, 422, "model.depth"),
        ("GET", "/analytics/realtime/9?depth=standard&benchmark=NONE", None, 404, "model.unknown_series"),
        ("GET", "/analytics/realtime/nine", None, 422, "http.fields"),
        ("GET", "/analytics/tear-sheet/9?form=pdf", None, 422, "model.form"),
        ("GET", "/analytics/transaction-costs/8", None, 404, "model.unknown_portfolio"),
        ("POST", "/analytics/requests", {"kind": "poetry", "portfolio_id": 9}, 422, "model.request_kind"),
        ("POST", "/analytics/performance", {"returns": []}, 422, "analysis.empty"),
        ("POST", "/analytics/performance", {"returns": [0.1, -2.0]}, 422, "analysis.out_of_range"),
        ("POST", "/analytics/performance", {"returns": [0.1, None]}, 422, "http.fields"),
        ("POST", "/analytics/performance", {"returns": [0.1, 0.2], "times_ns": [2, 1]}, 422, "analysis.unsorted"),
        ("PUT", "/analytics/history/X", {"times_ns": [1, 1], "values": [1.0, 2.0]}, 422, "analysis.duplicate_time"),
        ("PUT", "/analytics/history/X", {"times_ns": [1, 2], "values": [1.0, -2.0]}, 422, "analysis.negative_price"),
        (
            "POST",
            "/analytics/attribution/factors",
            {"names": ["a", "b"], "returns": [0.1, 0.2, 0.1, 0.3], "factor_returns": [[0.1, 0.1], [0.2, 0.2]] * 2},
            422,
            "analysis.singular",
        ),
    ],
)
def test_what_cannot_be_answered_is_a_problem_with_a_code(port, method, path, body, status, code):
    found, answer = call(port, method, path, body)
    assert (found, answer["code"]) == (status, code), answer
