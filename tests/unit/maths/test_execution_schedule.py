"""Almgren and Chriss: the stated example, the formula, and that no other schedule is better."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths.errors import Undefined
from nautilus.maths.execution_schedule import almgren_chriss

EXAMPLE = {
    "volatility": 0.95,
    "temporary_impact": 2.5e-6,
    "permanent_impact": 2.5e-7,
    "spread_cost": 0.0625,
    "risk_aversion": 1e-6,
}


def test_the_example_of_the_paper_is_right() -> None:
    found = almgren_chriss(1e6, 5.0, 5, **EXAMPLE)
    kappa = np.arccosh(0.38 / 2 + 1)
    assert found.kappa == pytest.approx(kappa, rel=1e-12)
    assert found.kappa == pytest.approx(0.607, abs=1e-3)
    expected = 1e6 * np.sinh(kappa * (5 - np.arange(6))) / np.sinh(kappa * 5)
    np.testing.assert_allclose(found.holdings, expected, rtol=1e-9)
    assert found.half_life == pytest.approx(1 / kappa)


def objective(trades: np.ndarray, tau: float, aversion: float) -> float:
    left = trades.sum() - np.cumsum(trades)
    eta = EXAMPLE["temporary_impact"] - EXAMPLE["permanent_impact"] * tau / 2
    cost = EXAMPLE["permanent_impact"] * trades.sum() ** 2 / 2 + EXAMPLE["spread_cost"] * trades.sum()
    cost += eta / tau * (trades**2).sum()
    return float(cost + aversion * EXAMPLE["volatility"] ** 2 * tau * (left**2).sum())


@given(st.integers(0, 10_000), st.integers(2, 20), st.sampled_from([0.0, 1e-8, 1e-6, 1e-4]))
def test_no_other_schedule_costs_less(seed: int, steps: int, aversion: float) -> None:
    found = almgren_chriss(1e6, 5.0, steps, **{**EXAMPLE, "risk_aversion": aversion})
    best = found.expected_cost + aversion * found.variance
    assert best == pytest.approx(objective(found.trades, 5.0 / steps, aversion), rel=1e-9)
    change = np.random.default_rng(seed).normal(0, 1e4, steps)
    assert objective(found.trades + change - change.mean(), 5.0 / steps, aversion) >= best * (1 - 1e-12)


@given(st.floats(1.0, 1e7), st.integers(1, 500), st.floats(0.0, 1.0))
def test_holdings_fall_from_all_to_none(quantity: float, steps: int, aversion: float) -> None:
    found = almgren_chriss(quantity, 5.0, steps, **{**EXAMPLE, "risk_aversion": aversion})
    assert found.holdings[0] == pytest.approx(quantity, rel=1e-12)
    assert found.holdings[-1] == 0.0
    assert (found.trades >= 0.0).all()
    assert found.trades.sum() == pytest.approx(quantity, rel=1e-12)
    assert np.isfinite([found.expected_cost, found.variance]).all()


def test_without_aversion_the_trading_is_even() -> None:
    found = almgren_chriss(1e6, 5.0, 5, **{**EXAMPLE, "risk_aversion": 0.0})
    np.testing.assert_allclose(found.trades, 2e5, rtol=1e-12)
    assert found.half_life is None
    nearly = almgren_chriss(1e6, 5.0, 5, **{**EXAMPLE, "risk_aversion": 1e-20})
    np.testing.assert_allclose(nearly.holdings, found.holdings, rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"volatility": -1.0}, "out_of_range"),
        ({"volatility": np.nan}, "not_finite"),
        ({"temporary_impact": 0.0}, "out_of_range"),
        ({"permanent_impact": 1.0}, "out_of_range"),
        ({"quantity": 0.0}, "out_of_range"),
        ({"steps": 0}, "out_of_range"),
        ({"horizon": np.inf}, "not_finite"),
    ],
)
def test_what_has_no_schedule_says_why(change: dict[str, float], code: str) -> None:
    arguments = {"quantity": 1e6, "horizon": 5.0, "steps": 5, **EXAMPLE, **change}
    with pytest.raises(Undefined) as caught:
        almgren_chriss(**arguments)  # type: ignore[arg-type]
    assert caught.value.code == code
