"""Portfolios of a running platform: a trade, a split through the core, comparisons, whole lots and best weights."""

from __future__ import annotations

import http.client
import json
from time import monotonic

import pytest

from nautilus.runtime.clock import pause
from perf.platform import platform, ports
from tests.kit.http_engines import answer_of
from tests.kit.platform import PATIENT, Platform

ACCOUNT = 16


class Asked:
    """Asks engines of an instance over HTTP."""

    def __init__(self, instance) -> None:
        self._instance = instance
        self._token = instance.token()

    def __call__(self, engine, method, path, body=None):
        self._until(lambda: engine in ports(self._instance))
        connection = http.client.HTTPConnection("127.0.0.1", ports(self._instance)[engine], timeout=60)
        try:
            head = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
            connection.request(method, path, None if body is None else json.dumps(body), head)
            return answer_of(connection)[::2]
        finally:
            connection.close()

    def _until(self, true):
        end = monotonic() + 120
        while not true():
            assert monotonic() < end
            pause(0.05)

    def when(self, path, true):
        """The answer of the portfolio engine once it is as wanted."""
        found = {}

        def look():
            status, answer = self("portfolio", "GET", path)
            found["answer"] = answer
            return status == 200 and true(answer)

        self._until(look)
        return found["answer"]


@pytest.fixture(scope="module")
def instance():
    with platform("--simulated", settings=PATIENT) as found:
        yield found


@pytest.fixture(scope="module")
def ask(instance):
    return Asked(instance)


def buy(ask, symbol):
    """Buy until something is filled: a simulated market may have nothing to sell for a moment."""
    end = monotonic() + 120
    while monotonic() < end:
        order = {
            "instrument": symbol,
            "side": "BUY",
            "quantity": "0.101",
            "order_type": "MARKET",
            "time_in_force": "IOC",
        }
        status, result = ask("trading", "POST", "/orders", order)
        if status == 200 and result["filled_quantity"] not in ("", "0"):
            return
        pause(0.2)
    raise AssertionError("nothing was filled")


def test_a_portfolio_follows_the_core_through_a_trade_and_a_split(ask):
    quotes = ask("marketdata", "GET", "/quotes")[1]["quotes"]
    symbol = quotes[0]["symbol"]
    status, booked = ask(
        "portfolio", "POST", f"/portfolio/{ACCOUNT}/cash", {"entry_id": "one", "currency": "USD", "amount": "100000"}
    )
    assert (status, booked["balance"]) == (200, "100000")
    buy(ask, symbol)
    path = f"/portfolio/{ACCOUNT}"
    before = ask.when(path, lambda answer: answer["positions"])
    assert before["valued"]["nav"] == pytest.approx(100_000, rel=0.01)
    split = {"action_id": "s", "kind": "SPLIT", "instrument": symbol, "new": 1, "old": 7, "price": "420000"}
    for repeated in (False, True):
        status, state = ask("portfolio", "POST", "/portfolio/actions", split)
        assert (status, state["repeated"]) == (200, repeated)
    applied = ask.when("/portfolio/actions/s", lambda answer: answer["status"] == "applied")
    after = ask("portfolio", "GET", path)[1]
    lots, rest = divmod(before["positions"][0]["quantity_lots"], 7)
    assert after["positions"][0]["quantity_lots"] == lots
    if lots:
        assert after["positions"][0]["cost_units"] == before["positions"][0]["cost_units"]
    assert bool(applied["cash"]) is bool(rest)
    status, _ = ask("portfolio", "POST", f"{path}/reconcile/core", {})
    assert status == 200
    found = ask.when(f"{path}/reconcile", lambda answer: answer["reconciliations"][0]["status"] != "asked")
    assert found["reconciliations"][0]["status"] == "equal", found


def test_a_statement_and_weights_are_answered(ask):
    status, _ = ask(
        "portfolio", "POST", "/portfolio/77/cash", {"entry_id": "two", "currency": "USD", "amount": "50000"}
    )
    assert status == 200
    symbol = ask("marketdata", "GET", "/quotes")[1]["quotes"][0]["symbol"]
    statement = {"source": "venue", "quantities": {symbol: "1", "WHO": "2"}, "cash": {"USD": "50000.00"}}
    status, found = ask("portfolio", "POST", "/portfolio/77/reconcile", statement)
    assert [each["kind"] for each in found["differences"]] == ["UNKNOWN_INSTRUMENT", "MISSING_HERE"]
    wanted = {"weights": {symbol: 0.5}, "prices": {symbol: "60000"}, "publish": False}
    status, found = ask("portfolio", "POST", "/portfolio/77/rebalance", wanted)
    assert (status, found["orders"][0]["side"]) == (200, "BUY")
    assert found["weights"][symbol] == pytest.approx(0.5, abs=0.002)
    rows = [[0.01, -0.02, 0.005], [-0.01, 0.03, 0.001], [0.02, 0.01, -0.01], [-0.015, 0.005, 0.02], [0.0, -0.01, 0.003]]
    question = {"method": "MINIMUM_VARIANCE", "series": ["A", "B", "C"], "returns": rows}
    status, found = ask("portfolio", "POST", "/portfolio/optimise", question)
    assert (status, sum(found["weights"].values())) == (200, pytest.approx(1.0))
    status, found = ask("portfolio", "POST", "/portfolio/optimise", {**question, "upper": 0.2})
    assert (status, found["code"]) == (422, "analysis.infeasible")
    status, found = ask("portfolio", "GET", "/portfolio/999")
    assert (status, found["code"]) == (404, "model.unknown_portfolio")


@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.long)])
def test_what_was_answered_is_there_after_a_kill_that_follows_at_once(instance, ask, rounds):
    running, account = Platform(instance), 900 + rounds
    for number in range(1, rounds + 1):
        entry = {"entry_id": f"{rounds}.{number}", "currency": "USD", "amount": str(number)}
        status, booked = ask("portfolio", "POST", f"/portfolio/{account}/cash", entry)
        running.kill("portfolio")
        assert (status, booked["balance"]) == (200, str(number * (number + 1) // 2))
        status, again = ask("portfolio", "POST", f"/portfolio/{account}/cash", entry)
        assert (status, again["repeated"], again["balance"]) == (200, True, booked["balance"])
