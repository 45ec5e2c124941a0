"""Specific risk, risk of portfolios and attribution: by their sums."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.maths import covariance, factor_risk
from nautilus.maths.errors import Undefined


def _residuals(periods: int, stocks: int, seed: int = 0, holes: float = 0.0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    found = draw.uniform(0.01, 0.03, stocks) * draw.standard_normal((periods, stocks))
    found[draw.random(found.shape) < holes] = np.nan
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 80), st.integers(0, 10), st.sampled_from([0.0, 10.0, 84.0]), st.sampled_from([0.0, 0.3]))
def test_specific_variances_are_their_sums(periods: int, lags: int, half_life: float, holes: float) -> None:
    residuals = _residuals(periods, 5, periods, holes)
    found = factor_risk.specific_risk(residuals, None, half_life, lags, fewest=1)
    for stock, column in enumerate(residuals.T):
        known = np.flatnonzero(np.isfinite(column))
        assert found.observations[stock] == len(known)
        if not len(known):
            assert math.isnan(found.deviations[stock])
            continue
        weights = {day: 0.5 ** ((periods - 1 - day) / half_life) if half_life else 1.0 for day in known}
        total = sum(
            max(0.0, 1.0 - abs(a - b) / (lags + 1)) * math.sqrt(weights[a] * weights[b]) * column[a] * column[b]
            for a in known
            for b in known
        )
        assert found.deviations[stock] == pytest.approx(math.sqrt(total / sum(weights.values())), rel=1e-9)


def test_specific_risk_without_holes_is_the_diagonal_of_newey_west() -> None:
    residuals = _residuals(200, 6)
    found = factor_risk.specific_risk(residuals, None, half_life=50.0, lags=4)
    matrix = covariance.newey_west(residuals, 4, 50.0, centred=False)
    np.testing.assert_allclose(found.deviations, np.sqrt(np.diag(matrix)), rtol=1e-10)


def test_specific_risk_is_pulled_to_its_groups_mean_as_stated() -> None:
    residuals, caps = _residuals(150, 30, 2), np.exp(np.random.default_rng(1).standard_normal(30) + 20)
    found = factor_risk.specific_risk(residuals, caps, pull=0.5, groups=3)
    order = np.argsort(caps)
    for members in (order[:10], order[10:20], order[20:]):
        mean = np.average(found.estimates[members], weights=caps[members])
        off = np.abs(found.estimates[members] - mean)
        pulled = 0.5 * off / (np.sqrt(np.mean(off**2)) + 0.5 * off)
        np.testing.assert_allclose(found.shrinkage[members], pulled, rtol=1e-12)
        np.testing.assert_allclose(
            found.deviations[members], pulled * mean + (1 - pulled) * found.estimates[members], rtol=1e-12
        )
        assert (np.abs(found.deviations[members] - mean) <= off).all()
    alone = factor_risk.specific_risk(residuals, caps, pull=0.0)
    np.testing.assert_array_equal(alone.deviations, alone.estimates)


def test_a_stock_of_too_few_residuals_has_no_specific_risk() -> None:
    residuals = _residuals(100, 4)
    residuals[:70, 1] = np.nan
    found = factor_risk.specific_risk(residuals, np.array([1e9, 2e9, 3e9, np.nan]), fewest=60)
    np.testing.assert_array_equal(np.isnan(found.deviations), [False, True, False, False])
    assert found.shrinkage[3] == 0.0


portfolios = st.tuples(st.integers(1, 20), st.integers(1, 6), st.integers(0, 10_000))


@settings(max_examples=40, deadline=None)
@given(portfolios)
def test_risk_is_that_of_the_whole_covariance_and_its_parts_sum(case: tuple[int, int, int]) -> None:
    stocks, width, seed = case
    draw = np.random.default_rng(seed)
    weights, loadings = draw.standard_normal(stocks), draw.standard_normal((stocks, width))
    matrix = covariance.sample(0.01 * draw.standard_normal((60, width)))
    deviations = draw.uniform(0.005, 0.03, stocks)
    found = factor_risk.portfolio_risk(weights, loadings, matrix, deviations)
    whole = loadings @ matrix @ loadings.T + np.diag(deviations**2)
    assert found.total == pytest.approx(math.sqrt(weights @ whole @ weights), rel=1e-10)
    assert found.total**2 == pytest.approx(found.factor**2 + found.specific**2, rel=1e-12)
    assert found.contributions.sum() + found.specific_contribution == pytest.approx(found.total, rel=1e-10)
    assert found.contributions.sum() * found.total == pytest.approx(found.factor**2, rel=1e-9, abs=1e-18)


def test_risk_of_nothing_held_is_nothing() -> None:
    found = factor_risk.portfolio_risk([0.0, 0.0], np.ones((2, 1)), [[1e-4]], [0.01, 0.02])
    assert (found.total, found.factor, found.specific, found.specific_contribution) == (0.0, 0.0, 0.0, 0.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 8), st.integers(1, 5), st.integers(0, 10_000))
def test_attribution_sums_to_the_return_of_every_period_and_of_all(
    periods: int, stocks: int, width: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    weights = draw.dirichlet(np.ones(stocks), periods)
    loadings = draw.standard_normal((periods, stocks, width))
    returns, factors = 0.03 * draw.standard_normal((periods, stocks)), 0.01 * draw.standard_normal((periods, width))
    returns[0] = 0.0
    found = factor_risk.attribution(weights, loadings, returns, factors)
    total = (weights * returns).sum(axis=1)
    np.testing.assert_allclose(found.total, total, atol=1e-15)
    np.testing.assert_allclose(found.contributions.sum(axis=1) + found.specific, total, atol=1e-12)
    assert found.compounded == pytest.approx(np.prod(1.0 + total) - 1.0, abs=1e-12)
    assert found.linked.sum() + found.linked_specific == pytest.approx(found.compounded, abs=1e-12)
    for period in range(periods):
        exposed = weights[period] @ loadings[period]
        np.testing.assert_allclose(found.contributions[period], exposed * factors[period], atol=1e-15)


def test_attribution_of_one_period_is_not_changed_by_linking() -> None:
    found = factor_risk.linked([0.02], [[0.015, -0.001]])
    np.testing.assert_allclose(found.linked, [0.015, -0.001], rtol=1e-12)
    assert found.linked_specific == pytest.approx(0.006, rel=1e-12)


def test_bad_input_is_refused_by_code() -> None:
    one = np.ones((1, 1))
    for call, code in (
        (lambda: factor_risk.specific_risk(np.empty((0, 2))), "empty"),
        (lambda: factor_risk.specific_risk(np.zeros(3)), "empty"),
        (lambda: factor_risk.specific_risk(one, lags=-1), "out_of_range"),
        (lambda: factor_risk.specific_risk(one, half_life=float("nan")), "out_of_range"),
        (lambda: factor_risk.specific_risk(one, np.ones(2)), "mismatch"),
        (lambda: factor_risk.portfolio_risk([], np.ones((0, 1)), one, []), "empty"),
        (lambda: factor_risk.portfolio_risk([1.0], np.ones((2, 1)), one, [1.0]), "mismatch"),
        (lambda: factor_risk.portfolio_risk([1.0], one, np.eye(2), [1.0]), "mismatch"),
        (lambda: factor_risk.portfolio_risk([1.0], one, one, [np.nan]), "not_finite"),
        (lambda: factor_risk.portfolio_risk([np.nan], one, one, [1.0]), "not_finite"),
        (lambda: factor_risk.portfolio_risk([1.0], one, -one, [1.0]), "singular"),
        (lambda: factor_risk.linked([], np.empty((0, 1))), "empty"),
        (lambda: factor_risk.linked([0.1], np.ones((2, 1))), "mismatch"),
        (lambda: factor_risk.linked([np.nan], one), "not_finite"),
        (lambda: factor_risk.linked([-1.0], one), "out_of_range"),
        (lambda: factor_risk.attribution(np.empty((0, 1)), one, one, one), "empty"),
        (lambda: factor_risk.attribution(one, one, one, one), "mismatch"),
        (lambda: factor_risk.attribution(one, one[None], one, np.ones((1, 2))), "mismatch"),
    ):
        with pytest.raises(Undefined) as error:
            call()
        assert error.value.code == code
