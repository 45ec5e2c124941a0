"""Transaction costs: the parts of the shortfall add up, and gains of one side are costs of the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths.errors import Undefined
from nautilus.maths.transaction_costs import order_costs, volume_weighted_price


def test_a_worked_order_costs_what_it_must() -> None:
    # 1,000 to buy, decided on at 50.00, arrived at 50.10; 600 at 50.20 and 200 at 50.40; 200 were left at 51.00.
    found = order_costs(
        1,
        1000,
        [50.2, 50.4],
        [600, 200],
        arrival_price=50.1,
        decision_price=50.0,
        market_vwap=50.3,
        end_price=51.0,
        fees=8.0,
    )
    assert found.average_price == pytest.approx(50.25)
    assert found.arrival_cost == pytest.approx(120.0)
    assert found.arrival_bps == pytest.approx(0.15 / 50.1 * 1e4)
    assert found.vwap_cost == pytest.approx(-40.0)
    assert found.vwap_bps == pytest.approx(-0.05 / 50.3 * 1e4)
    assert found.delay_cost == pytest.approx(80.0)
    assert found.trading_cost == pytest.approx(120.0)
    assert found.opportunity_cost == pytest.approx(200.0)
    assert found.shortfall == pytest.approx(408.0)
    assert found.shortfall_bps == pytest.approx(81.6)
    assert found.undefined == {}


prices = st.floats(1.0, 1000.0)
fills = st.lists(st.tuples(prices, st.floats(0.0, 100.0)), max_size=20)


@given(st.sampled_from([1, -1]), fills, prices, prices, prices, st.floats(0.0, 50.0), st.floats(0.0, 9.0))
def test_the_shortfall_is_the_paper_portfolio_less_the_real_one(
    side: int,
    done: list[tuple[float, float]],
    decision: float,
    arrival: float,
    end: float,
    left: float,
    fees: float,
) -> None:
    price, quantity = [p for p, _ in done], [q for _, q in done]
    ordered = sum(quantity) + left + 1e-3
    found = order_costs(
        side, ordered, price, quantity, arrival_price=arrival, decision_price=decision, end_price=end, fees=fees
    )
    paper = side * ordered * (end - decision)
    real = side * sum(q * (end - p) for p, q in done) - fees
    assert found.shortfall == pytest.approx(paper - real, abs=1e-6)
    parts = found.delay_cost + found.trading_cost + (found.opportunity_cost or 0.0) + found.fees
    assert found.shortfall == pytest.approx(parts, abs=1e-9)
    assert found.filled + found.unfilled == pytest.approx(ordered)


@given(fills.filter(lambda done: sum(q for _, q in done) > 1e-6), prices, prices)
def test_what_a_purchase_loses_a_sale_gains(done: list[tuple[float, float]], arrival: float, vwap: float) -> None:
    price, quantity = [p for p, _ in done], [q for _, q in done]
    buy, sell = (
        order_costs(side, sum(quantity) * 1.0001, price, quantity, arrival_price=arrival, market_vwap=vwap)
        for side in (1, -1)
    )
    assert buy.arrival_cost == pytest.approx(-(sell.arrival_cost or 0.0), abs=1e-9)
    assert buy.vwap_bps == pytest.approx(-(sell.vwap_bps or 0.0), abs=1e-9)


def test_an_order_without_a_fill_has_opportunity_cost_alone() -> None:
    found = order_costs(-1, 10, [], [], arrival_price=100.0, end_price=98.0, market_vwap=99.0)
    assert found.average_price is None
    assert found.arrival_bps is None
    assert found.vwap_bps is None
    assert found.shortfall == pytest.approx(20.0)
    assert found.undefined["average_price"] == "empty"
    assert "shortfall" not in found.undefined


def test_what_is_left_without_an_end_price_is_stated() -> None:
    found = order_costs(1, 10, [100.0], [4.0], arrival_price=99.0)
    assert found.shortfall is None
    assert found.opportunity_cost is None
    assert found.vwap_cost is None
    assert set(found.undefined) == {"shortfall", "shortfall_bps", "opportunity_cost", "vwap_cost", "vwap_bps"}
    assert found.arrival_cost == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"side": 0}, "out_of_range"),
        ({"quantity": 0.0}, "out_of_range"),
        ({"quantity": np.nan}, "not_finite"),
        ({"quantity": 4.0}, "mismatch"),
        ({"fill_prices": [100.0, 101.0]}, "mismatch"),
        ({"fill_prices": [np.nan]}, "not_finite"),
        ({"fill_prices": [-1.0]}, "negative_price"),
        ({"fill_quantities": [-1.0]}, "out_of_range"),
        ({"arrival_price": 0.0}, "negative_price"),
        ({"arrival_price": np.inf}, "not_finite"),
        ({"market_vwap": -3.0}, "negative_price"),
        ({"end_price": np.nan}, "not_finite"),
        ({"fees": np.nan}, "not_finite"),
    ],
)
def test_what_has_no_cost_says_why(change: dict[str, object], code: str) -> None:
    order: dict[str, object] = {"side": 1, "quantity": 10.0, "fill_prices": [100.0], "fill_quantities": [5.0]}
    with pytest.raises(Undefined) as caught:
        order_costs(**{**order, "arrival_price": 99.0, **change})  # type: ignore[arg-type]
    assert caught.value.code == code


def test_the_market_price_is_weighted_by_volume() -> None:
    assert volume_weighted_price([10.0, 20.0], [3.0, 1.0]) == pytest.approx(12.5)


@pytest.mark.parametrize(
    ("price", "volume", "code"),
    [
        ([], [], "empty"),
        ([1.0], [0.0], "zero_volume"),
        ([1.0], [np.nan], "not_finite"),
        ([-1.0], [1.0], "negative_price"),
        ([1.0, 2.0], [1.0], "mismatch"),
    ],
)
def test_a_market_without_a_price_says_why(price: list[float], volume: list[float], code: str) -> None:
    with pytest.raises(Undefined) as caught:
        volume_weighted_price(price, volume)
    assert caught.value.code == code
