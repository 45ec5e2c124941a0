"""Component, marginal and incremental risk: sums to the last bit, derivatives by differences, bad input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths import var
from nautilus.maths import var_parts as vp
from nautilus.maths.errors import Undefined

LEVELS = (0.9, 0.95, 0.99)
SEEDS = st.integers(0, 2**32 - 1)


def profits_of(seed: int, rows: int = 60, columns: int = 5) -> Any:
    return np.random.default_rng(seed).standard_t(4, (rows, columns)) * 100


@given(SEEDS, st.sampled_from(LEVELS), st.sampled_from(var.DEFINITIONS))
def test_components_sum_exactly_to_the_historical_measures(seed: int, level: float, definition: str) -> None:
    profits = profits_of(seed)
    total = profits.sum(axis=1)
    value = vp.historical_var_parts(profits, level, definition)
    mean = vp.historical_cvar_parts(profits, level, definition)
    assert math.fsum(value.components) == value.total
    assert math.fsum(mean.components) == mean.total
    assert value.total == pytest.approx(var.historical_var(total, level, definition), rel=1e-12, abs=1e-9)
    assert mean.total == pytest.approx(var.historical_cvar(total, level, definition), rel=1e-12, abs=1e-9)


@given(SEEDS, st.sampled_from(LEVELS))
def test_components_sum_exactly_to_the_normal_measures(seed: int, level: float) -> None:
    returns = profits_of(seed) / 1e4
    worth = np.random.default_rng(seed).normal(size=5) * 1e5
    total = returns @ worth
    parts = vp.normal_parts(worth, np.cov(returns, rowvar=False), returns.mean(axis=0), level)
    for found, measure in zip(parts, (var.normal_var, var.normal_cvar), strict=True):
        assert math.fsum(found.components) == found.total
        assert found.total == pytest.approx(measure(total, level), rel=1e-9)


@given(SEEDS, st.integers(0, 4))
def test_marginal_risk_is_the_derivative(seed: int, position: int) -> None:
    returns = profits_of(seed) / 1e4
    worth = np.random.default_rng(seed).normal(size=5) * 1e5 + 1.0
    covariance, step = np.cov(returns, rowvar=False), 1e-3
    moved = [worth + sign * step * np.eye(5)[position] for sign in (-1, 1)]
    for measure in (
        lambda e: vp.normal_parts(e, covariance)[0],
        lambda e: vp.historical_var_parts(vp.profits_of(e, returns)),
        lambda e: vp.historical_cvar_parts(vp.profits_of(e, returns)),
    ):
        slope = (measure(moved[1]).total - measure(moved[0]).total) / (2 * step)
        found = vp.marginal(measure(worth).components, worth)[position]
        assert found == pytest.approx(slope, rel=1e-4, abs=1e-7)


@given(SEEDS, st.sampled_from(LEVELS), st.sampled_from(var.DEFINITIONS))
def test_incremental_risk_is_the_difference_without_the_position(seed: int, level: float, definition: str) -> None:
    profits = profits_of(seed)
    found = vp.incremental_var(profits, level, definition)
    whole = var.historical_var(profits.sum(axis=1), level, definition)
    for position in range(profits.shape[1]):
        rest = np.delete(profits, position, axis=1).sum(axis=1)
        assert found[position] == pytest.approx(whole - var.historical_var(rest, level, definition), abs=1e-9)


def test_components_of_riskfolio_are_met() -> None:
    riskfolio = pytest.importorskip("riskfolio")
    pandas = pytest.importorskip("pandas")
    returns = profits_of(3, 500, 4) / 1e4
    weights = np.array([0.4, 0.3, 0.2, 0.1])
    frame = pandas.DataFrame(returns)
    expected = riskfolio.Risk_Contribution(
        weights.reshape(-1, 1), returns=frame, cov=frame.cov(), rm="CVaR", alpha=0.05
    ).ravel()
    found = vp.historical_cvar_parts(vp.profits_of(weights, returns), 0.95, var.RISKFOLIO)
    assert found.components == pytest.approx(expected, rel=1e-4)


def test_the_sample_s_parts_are_those_of_its_covariance_without_making_it() -> None:
    rng = np.random.default_rng(5)
    returns, exposures = rng.standard_t(5, (60, 7)) * 0.01 + 0.001, rng.normal(size=7) * 1e4
    covariance = np.cov(returns, rowvar=False)
    expected = vp.normal_parts(exposures, covariance, returns.mean(axis=0), 0.99)
    for found, other in zip(vp.sample_parts(exposures, returns, 0.99), expected, strict=True):
        np.testing.assert_allclose(found.components, other.components, rtol=1e-10)
    many = rng.standard_normal((3, 60_000)) * 0.01  # a covariance of 27 GiB
    assert vp.sample_parts(np.ones(60_000), many)[0].components.shape == (60_000,)
    with pytest.raises(Undefined) as refused:
        vp.sample_parts(exposures, returns[:1])
    assert refused.value.code == "too_few"


def test_marginal_risk_of_no_position_is_not_told() -> None:
    assert vp.marginal([0.0, 2.0], [0.0, 4.0]) == [None, 0.5]


def test_a_portfolio_without_risk_has_components_of_its_means() -> None:
    value, mean = vp.normal_parts([100.0, -100.0], np.full((2, 2), 1e-4), [0.01, 0.0])
    assert value.components.tolist() == mean.components.tolist() == [-1.0, 0.0]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (([1.0], [[1.0, 0.0]]), "mismatch"),
        (([], np.zeros((0, 0))), "empty"),
        (([1.0, math.nan], np.eye(2)), "not_finite"),
        (([1.0, 1.0], [[1.0, math.nan], [math.nan, 1.0]]), "not_finite"),
        (([1.0, 1.0], [[-1.0, 0.0], [0.0, -1.0]]), "singular"),
    ],
)
def test_bad_input_has_a_code(arguments: Any, code: str) -> None:
    with pytest.raises(Undefined) as error:
        vp.normal_parts(*arguments)
    assert error.value.code == code
    if code not in ("singular", "mismatch"):
        with pytest.raises(Undefined) as error:
            vp.profits_of(*arguments)
        assert error.value.code == code


def test_returns_that_do_not_fit_the_positions_are_refused() -> None:
    with pytest.raises(Undefined) as error:
        vp.profits_of([1.0], [[0.1, 0.2]])
    assert error.value.code == "mismatch"
