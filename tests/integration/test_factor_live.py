"""The factor engine of a real platform over HTTP: filled, estimated, asked, killed, and as before."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from nautilus.maths import factors, styles
from tests.kit.factor_host import FIELDS, FIRST_DAY, close_ns
from tests.kit.platform import Platform, demo
from tests.kit.stock_universe import StockUniverse, stock_universe

DAYS, STOCKS = 60, 24
SETTINGS = (
    'platform.without=["analytics","features","vpin","enhanced-vpin","collateral"]',
    'factor.styles=["momentum","size","value"]',
    "factor.momentum_days=20",
    "factor.momentum_half_life=8",
    "factor.momentum_lag=5",
    "factor.specific_fewest=10",
    "factor.day_end=",
)


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with demo("--simulated", settings=SETTINGS, whole=True) as found:
        yield found


def _ask(platform: Platform, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", platform.ports["factor"], timeout=60)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {platform.instance.token()}"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    return answer.status, told


def _good(platform: Platform, method: str, path: str, body: Any = None) -> Any:
    status, told = _ask(platform, method, path, body)
    assert status == 200, told
    return told


def _put(platform: Platform, made: StockUniverse, days: range) -> None:
    times = [close_ns(day) for day in days]
    for field, name in FIELDS.items():
        rows = [[None if np.isnan(v) else float(v) for v in row] for row in getattr(made, name)[days.start : days.stop]]
        body = {"symbols": list(made.symbols), "times_ns": times, "rows": rows}
        _good(platform, "PUT", f"/factor/universe/{field.value}", body)


def test_a_model_over_http_is_the_one_of_the_maths_and_outlives_its_process(platform: Platform) -> None:
    made = stock_universe(DAYS, STOCKS, 3, seed=5, holes=0.02)
    status, told = _ask(platform, "POST", "/factor/estimate", {})
    assert (status, told["code"]) == (422, "analysis.empty")
    sectors = dict(zip(made.symbols, (made.sector_names[code] for code in made.sector_codes), strict=True))
    _put(platform, made, range(50))
    status, told = _ask(platform, "POST", "/factor/estimate", {})  # no sectors: the worker process says so
    assert (status, told["code"]) == (422, "analysis.empty")
    _good(platform, "PUT", "/factor/universe/sectors", {"sectors": sectors})
    estimated = _good(platform, "POST", "/factor/estimate", {})
    assert estimated["day"] == FIRST_DAY + 49
    _put(platform, made, range(50, DAYS))
    assert _good(platform, "POST", "/factor/update", {})["days"] == DAYS - 50
    expected = factors.estimate(
        made.returns,
        made.market_caps,
        factors.Sectors(made.sector_names, made.sector_codes),
        {
            "momentum": styles.momentum(made.returns, 20, 8, 5),
            "size": styles.size(made.market_caps),
            "value": styles.value(made.book_price, made.sales_price, made.cash_flow_price),
        },
    )
    table = _good(platform, "GET", "/factor/returns?limit=1000")
    assert tuple(table["names"]) == expected.names
    np.testing.assert_array_equal(table["returns"], expected.returns)
    _good(platform, "PUT", "/factor/portfolio/77", {"weights": {"S0000": 0.5, "S0001": 0.5}})
    questions = (
        "/factor/universe",
        "/factor/exposures/S0001",
        "/factor/exposures/portfolio/77",
        "/factor/covariance?method=newey_west&lags=2",
        "/factor/risk/77",
        "/factor/attribution/77?daily=true",
        "/factor/residuals/S0003",
    )
    before = [_good(platform, "GET", path) for path in questions]
    assert before[1]["basis"]["source"] == "uploaded"
    for path, refused, code in (
        ("/factor/risk/78", 404, "model.unknown_portfolio"),
        ("/factor/exposures/NONE", 404, "model.unknown_instrument"),
        ("/factor/covariance?method=guess", 422, "analysis.out_of_range"),
        ("/factor/covariance?window=1", 422, "analysis.too_few"),
    ):
        status, told = _ask(platform, "GET", path)
        assert (status, told["code"]) == (refused, code)
    bad = {"symbols": ["S0000"], "times_ns": [close_ns(1), close_ns(0)], "rows": [[0.1], [0.1]]}
    status, told = _ask(platform, "PUT", "/factor/universe/return", bad)
    assert (status, told["code"]) == (422, "analysis.unsorted")
    process = next(found.name for found in platform.instance.state().processes if "factor" in found.ports)
    parts = platform.data / "states" / "factor.parts"
    platform.wait(lambda: any(platform.data.rglob("factor.parts/*.part")), f"parts of a state in {parts}")
    platform.wait(lambda: len(list(platform.data.rglob("factor.parts/*.part"))) >= 10, "every part")
    platform.wait(lambda: any("uploaded" in p.read_text() for p in platform.data.rglob("factor.json")), "the state")
    platform.kill(process)
    assert [_good(platform, "GET", path) for path in questions] == before
