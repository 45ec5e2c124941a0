"""A first day with the engines of analysis: one whole platform, asked over HTTP and over the mesh, and hurt."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nautilus.bus.client import AnswerError
from nautilus.model.alerts import RiskAlert
from nautilus.model.analytics import GetAnalytics, PortfolioAnalytics
from nautilus.model.queries import PERSON_ACCOUNT
from nautilus.model.risk import EstimateRisk, LimitBreached, RiskEstimate, RiskPosition
from nautilus.model.topics import RISK_ALERTS, RISK_WARNINGS
from nautilus.runtime.attach import attach
from nautilus.runtime.client import EngineError
from tests.kit.data import recording
from tests.kit.platform import Platform, demo

DAY_NS = 86_400_000_000_000
DAYS = 260
BOOKED = PERSON_ACCOUNT
"""A portfolio with cash and, by hand, a position; no strategy trades it."""
UPLOADED = 901
"""A portfolio that is a history alone."""
OTHERS = {"depth", "now_ns", "undefined", "basis", "volatility", "regime"}
"""What two depths of one portfolio need not have in common: models may have been fitted between the two."""
SYMBOLS = tuple(f"S{number:02}" for number in range(12))


@pytest.fixture(scope="module")
def whole() -> Iterator[Platform]:
    with demo("--simulated", "--strategy", "quoting", whole=True) as running:
        running.wait(lambda: _trades(running), "a portfolio that trades")
        yield running


@pytest.fixture(scope="module")
def prices(whole: Platform) -> np.ndarray:
    """Prices of `SYMBOLS`, put as histories of every engine that takes them, and returns of a portfolio."""
    moves = np.random.default_rng(8).standard_t(5, (DAYS, len(SYMBOLS))) * 0.01
    moves += np.random.default_rng(9).standard_normal((DAYS, 1)) * 0.008
    found: np.ndarray = 100.0 * np.exp(np.cumsum(moves, axis=0))
    for engine in ("analytics", "risk", "portfolio"):
        for symbol, column in zip(SYMBOLS, found.T, strict=True):
            put = {"times_ns": _times(), "values": column.tolist(), "kind": "PRICE"}
            assert _call(whole, engine, "PUT", f"/{engine}/history/{symbol}", put)["count"] == DAYS
    mean = (found[1:] / found[:-1] - 1.0).mean(axis=1)
    put = {"times_ns": _times()[1:], "values": mean.tolist(), "kind": "RETURN"}
    _call(whole, "analytics", "PUT", f"/analytics/history/portfolio-{UPLOADED}", put)
    return found


def test_each_depth_holds_all_of_the_one_before(whole: Platform, prices: np.ndarray) -> None:
    before: dict[str, Any] = {}
    for depth in ("simple", "standard", "comprehensive", "institutional"):
        path = f"/analytics/realtime/{UPLOADED}?depth={depth}&benchmark={SYMBOLS[0]}"
        answer = _call(whole, "analytics", "GET", path)
        assert answer["basis"]["window"] == DAYS - 1
        told = {key: value for key, value in before.items() if value is not None}
        assert {key: answer[key] for key in told} == told
        before = {key: answer[key] for key in answer.keys() - OTHERS}
    sheet = _call(whole, "analytics", "GET", f"/analytics/tear-sheet/{UPLOADED}?form=html")
    assert sheet["html"].startswith("<!doctype html>")
    assert len(sheet["wealth"]) == DAYS - 1


def test_risk_is_estimated_stressed_and_backtested(whole: Platform, prices: np.ndarray) -> None:
    positions = [{"series": symbol, "exposure": 1000.0} for symbol in SYMBOLS]
    body = {"positions": positions, "components": True}
    answer = _call(whole, "risk", "POST", "/risk/var/1", body)
    assert sum(each["var"] for each in answer["components"]) == pytest.approx(answer["var"])
    answer = _call(whole, "risk", "POST", "/risk/stress/1", {"positions": positions, "default_beta": 1.0})
    assert all(scenario["profit"] < 0 for scenario in answer["scenarios"])
    answer = _call(whole, "risk", "POST", "/risk/var-backtest/1", {"series": SYMBOLS[0], "window": 100})
    assert answer["days"] == DAYS - 101


def test_a_portfolio_is_booked_optimised_and_rebalanced(whole: Platform, prices: np.ndarray) -> None:
    _book(whole)
    value = _call(whole, "portfolio", "GET", f"/portfolio/{BOOKED}")
    assert value["valued"]["booked"] == 100_000.0
    body: dict[str, Any] = {"method": "RISK_PARITY", "series": list(SYMBOLS)}
    weights = _call(whole, "portfolio", "POST", "/portfolio/optimise", body)
    assert sum(weights["weights"].values()) == pytest.approx(1.0)
    body = {"weights": {"SIMUSD": 0.4}, "publish": False}
    answer = _call(whole, "portfolio", "POST", f"/portfolio/{BOOKED}/rebalance", body)
    assert [order["symbol"] for order in answer["orders"]] == ["SIMUSD"]


def test_factors_are_estimated_from_a_universe(whole: Platform, prices: np.ndarray) -> None:
    for field, rows in (("price", prices), ("market_cap", prices * np.arange(1, 13) * 1e8)):
        body = {"symbols": list(SYMBOLS), "times_ns": _times(), "rows": rows.tolist()}
        _call(whole, "factor", "PUT", f"/factor/universe/{field}", body)
    sectors = {symbol: ("tools", "food", "cars")[place % 3] for place, symbol in enumerate(SYMBOLS)}
    _call(whole, "factor", "PUT", "/factor/universe/sectors", {"sectors": sectors})
    answer = _call(whole, "factor", "POST", "/factor/estimate", {"styles": ["size"]})
    assert answer["names"] == ["market", "cars", "food", "tools", "size"]
    _call(whole, "factor", "PUT", "/factor/portfolio/77", {"weights": dict.fromkeys(SYMBOLS, 1 / 12)})
    risk = _call(whole, "factor", "GET", "/factor/risk/77")
    assert sum(risk["contributions"]) + risk["specific_contribution"] == pytest.approx(risk["total"])


def test_features_and_toxicity_of_the_market_are_answered(whole: Platform) -> None:
    vector = _call(whole, "features", "GET", "/features/SIMUSD?names=mid&names=rsi_14")
    assert vector["values"]["mid"] > 0
    assert [name for name, value in vector["values"].items() if value is None] == list(vector["undefined"])
    for engine in ("vpin", "enhanced-vpin"):
        answer = _call(whole, engine, "GET", f"/{engine}/SIMUSD")
        assert answer["instrument_id"] == 1
        assert answer["basis"]["source"] == "star" if "basis" in answer else answer["measures"]


def test_margin_follows_the_terms_of_a_contract(whole: Platform) -> None:
    _book(whole)
    position = {"action_id": "open", "kind": "POSITION", "instrument": "SIMUSD", "portfolio_id": BOOKED}
    _call(whole, "portfolio", "POST", "/portfolio/actions", {**position, "quantity": "0.5", "price": "60000"})
    path = f"/collateral/margin/{BOOKED}"
    whole.wait(lambda: _asked(whole, "collateral", path).get("maintenance"), "a margin of the position")
    alone = _call(whole, "collateral", "GET", path)["maintenance"]
    terms = {"instrument_id": 1, "kind": "perpetual", "product": "SIM"}
    _call(whole, "collateral", "PUT", "/collateral/contracts", {"contracts": [terms]})
    answer = _call(whole, "collateral", "GET", path)
    assert 0 < answer["maintenance"] < alone
    assert answer["complete"]
    body = {"rights": ["call"], "spot": [100.0], "strike": [100.0], "years": [0.5], "volatility": [0.2]}
    assert _call(whole, "collateral", "POST", "/collateral/greeks", body)["delta"][0] > 0.5


def test_the_exchange_s_margins_of_a_recording_are_taken(whole: Platform) -> None:
    from nautilus.adapters.formats.lean_margins import read_margins
    from nautilus.model.collateral import PutFuturesRates

    found = read_margins(recording("margins_cme_lean/ES.csv"))
    assert isinstance(found, PutFuturesRates)
    assert whole.ask("collateral", found)["rows"] == len(found.days) > 30


def test_prices_of_a_recording_are_a_history(whole: Platform) -> None:
    lines = gzip.decompress(recording("panel_close/sp500_index.csv.gz").read_bytes()).decode().splitlines()[1:]
    days, values = zip(*(line.split(",") for line in lines), strict=True)
    times = np.array(days, "datetime64[ns]").astype(np.int64).tolist()
    put = {"times_ns": times, "values": [float(value) for value in values], "kind": "PRICE"}
    assert _call(whole, "risk", "PUT", "/risk/history/SP500", put)["count"] == len(lines)
    answer = _call(whole, "risk", "POST", "/risk/drawdowns/1", {"series": "SP500"})
    assert answer["maximum"] == pytest.approx(0.5678, abs=1e-4)  # from October 2007 to March 2009


@pytest.mark.parametrize("through", ["engine", "gateway"])
@pytest.mark.parametrize(
    ("engine", "method", "path", "body", "status", "code"),
    [
        ("analytics", "GET", "/analytics/realtime/4711", None, 404, "model.unknown_portfolio"),
        ("analytics", "POST", "/analytics/performance", {"returns": []}, 422, "analysis.empty"),
        ("analytics", "POST", "/analytics/performance", {"returns": [math.nan]}, 400, "http.body"),
        ("risk", "POST", "/risk/var/4711", {}, 404, "model.unknown_portfolio"),
        ("risk", "PUT", "/risk/history/X", {"times_ns": [2, 1], "values": [1.0, 1.0]}, 422, "analysis.unsorted"),
        ("portfolio", "GET", "/portfolio/4711", None, 404, "model.unknown_portfolio"),
        (
            "portfolio",
            "POST",
            "/portfolio/optimise",
            {"method": "MINIMUM_VARIANCE", "series": ["a", "b"], "returns": [[0.1, 0.1], [0.2, 0.2], [0.4, 0.4]]},
            422,
            "analysis.singular",
        ),
        ("factor", "GET", "/factor/residuals/NOPE", None, 404, "model.unknown_instrument"),
        ("features", "GET", "/features/NOPE", None, 404, "model.unknown_instrument"),
        ("vpin", "GET", "/vpin/NOPE", None, 404, "model.unknown_instrument"),
        ("enhanced-vpin", "GET", "/enhanced-vpin/NOPE", None, 404, "model.unknown_instrument"),
        ("collateral", "GET", "/collateral/margin/4711", None, 404, "model.unknown_portfolio"),
        (
            "collateral",
            "POST",
            "/collateral/greeks",
            {"rights": ["call"], "spot": [1.0], "strike": [1.0], "years": [-1.0], "volatility": [1.0]},
            422,
            "analysis.expired",
        ),
    ],
)
def test_bad_input_is_a_problem_with_a_code(
    whole: Platform,
    through: str,
    engine: str,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    status: int,
    code: str,
) -> None:
    if through == "gateway":
        path, engine = f"/api/v1/engines/{engine}{path}", "gateway"
    found, kind, content = whole.client().fetch(engine, method, path, body)
    assert (found, json.loads(content)["code"]) == (status, code)
    assert kind == "application/problem+json"


def test_the_mesh_answers_as_http_does(whole: Platform, prices: np.ndarray) -> None:
    positions = tuple(RiskPosition(symbol, 1000.0) for symbol in SYMBOLS)
    with attach(whole.instance, "test") as client:
        found = client.request("risk", EstimateRisk(1, positions=positions), timeout_seconds=60)
        assert isinstance(found, RiskEstimate)
        assert found.var == whole.ask("risk", EstimateRisk(1, positions=positions))["var"]
        answer = client.request("analytics", GetAnalytics(UPLOADED), timeout_seconds=60)
        assert isinstance(answer, PortfolioAnalytics)
        assert answer.basis.window == DAYS - 1
        with pytest.raises(AnswerError) as refused:
            client.request("analytics", GetAnalytics(4711), timeout_seconds=60)
        assert refused.value.code == "model.unknown_portfolio"


def test_the_breach_of_a_limit_is_an_alert(whole: Platform) -> None:
    _book(whole)
    scope = f"portfolio/{BOOKED}"
    said: list[LimitBreached | RiskAlert] = []
    with attach(whole.instance, "test") as client:

        def heard(wanted: Callable[[LimitBreached | RiskAlert], object]) -> bool:
            client.turn(0.02)
            return any(wanted(each) for each in said)

        client.listen((RISK_ALERTS, RISK_WARNINGS), lambda topic, what: said.append(what))
        # The strategy goes in and out of the market: once that is heard, so is what comes.
        _call(whole, "risk", "PUT", "/risk/limits", {"scope": "portfolio/1", "control": "gross", "soft": 0.0})
        whole.wait(lambda: heard(lambda each: each.account_id == 1), "a limit that a strategy reaches")
        _call(whole, "risk", "DELETE", "/risk/limits?scope=portfolio/1&control=gross")

        body = {"scope": scope, "control": "gross", "soft": 50_000.0, "hard": 60_000.0}
        _call(whole, "risk", "PUT", "/risk/limits", body)
        move = {"action_id": "more", "kind": "POSITION", "instrument": "SIMUSD", "portfolio_id": BOOKED}
        _call(whole, "portfolio", "POST", "/portfolio/actions", {**move, "quantity": "2", "price": "60000"})
        for kind, hard in ((RiskAlert, True), (LimitBreached, True), (LimitBreached, False)):

            def is_wanted(each: LimitBreached | RiskAlert, kind: type = kind, hard: bool = hard) -> bool:
                return each.account_id == BOOKED and type(each) is kind and getattr(each, "hard", True) == hard

            whole.wait(partial(heard, is_wanted), f"{kind.__name__}, hard: {hard}", 30.0)
    limits = _call(whole, "risk", "GET", f"/risk/limits?portfolio_id={BOOKED}")["limits"]
    assert [(each["scope"], each["state"]) for each in limits] == [(scope, "hard")]
    order = {"instrument": "SIMUSD", "side": "BUY", "quantity": "0.1"}
    checked = _call(whole, "risk", "POST", f"/risk/critical-check/{BOOKED}", {"orders": [order]})
    assert not checked["allowed"]


def test_uploads_outlive_a_kill(whole: Platform, prices: np.ndarray) -> None:
    body = {"positions": [{"series": SYMBOLS[1], "exposure": 1000.0}]}
    before = _call(whole, "risk", "POST", "/risk/var/1", body)
    summary = _call(whole, "analytics", "GET", f"/analytics/realtime/{UPLOADED}")["summary"]
    limit = {"scope": "firm", "control": "gross", "hard": 1e9}
    _call(whole, "risk", "PUT", "/risk/limits", limit)
    for engine in ("risk", "analytics"):
        _saved(whole, engine)
        whole.kill(engine)
    assert _call(whole, "risk", "POST", "/risk/var/1", body)["var"] == before["var"]
    assert _call(whole, "analytics", "GET", f"/analytics/realtime/{UPLOADED}")["summary"] == summary
    assert "firm" in {each["scope"] for each in _call(whole, "risk", "GET", "/risk/limits")["limits"]}


def _times() -> list[int]:
    return [(18_000 + day) * DAY_NS for day in range(DAYS)]


def _call(running: Platform, engine: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    return dict(running.client().call(engine, method, path, body))


def _asked(running: Platform, engine: str, path: str) -> dict[str, Any]:
    """The answer, or nothing while there is a problem."""
    try:
        return _call(running, engine, "GET", path)
    except EngineError:
        return {}


def _book(running: Platform) -> None:
    """Cash of a portfolio: booked once, however often it is sent."""
    body = {"entry_id": "wire", "currency": "USD", "amount": "100000"}
    _call(running, "portfolio", "POST", f"/portfolio/{BOOKED}/cash", body)


def _trades(running: Platform) -> bool:
    return any(each["quantity"] != "0" for each in _call(running, "portfolio", "GET", "/positions")["positions"])


def _saved(running: Platform, engine: str) -> None:
    """Wait for a state that was begun after this call: the second one that is written."""
    path = running.data / "state" / f"{engine}.json"
    for _ in range(2):
        running.wait(partial(_is_written, path, path.stat().st_mtime_ns), f"a state of {engine}")


def _is_written(path: Path, before_ns: int) -> bool:
    return path.stat().st_mtime_ns != before_ns
