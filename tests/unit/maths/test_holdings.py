"""Risk of weights against plain matrix algebra, and its identities."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths.drawdowns import max_drawdown
from nautilus.maths.errors import Undefined
from nautilus.maths.holdings import concentration, holdings_risk, instrument_history
from nautilus.maths.performance import annual_volatility, beta

RETURNS = np.random.default_rng(6).normal(0.0, 0.01, (250, 6)) @ np.diag([1.0, 2.0, 0.5, 1.0, 1.5, 0.2])
MARKET = RETURNS.mean(axis=1)


def test_the_history_of_each_instrument_is_that_of_its_series():
    history = instrument_history(RETURNS, MARKET)
    assert history.covariance == pytest.approx(np.cov(RETURNS.T), rel=1e-10)
    assert history.max_drawdown == pytest.approx([max_drawdown(r).depth for r in RETURNS.T], rel=1e-10)
    assert history.beta == pytest.approx([beta(r, MARKET) for r in RETURNS.T], rel=1e-10)


@given(st.lists(st.integers(-100, 100).filter(bool), min_size=6, max_size=6))
def test_parts_of_the_risk_add_up_and_equal_that_of_the_weighted_series(sizes):
    weights = np.array(sizes) / 100.0
    risk = holdings_risk(instrument_history(RETURNS), weights)
    assert risk.volatility == pytest.approx(annual_volatility(RETURNS @ weights), rel=1e-9)
    assert risk.share.sum() == pytest.approx(1.0, abs=1e-12)
    assert risk.marginal @ weights == pytest.approx(risk.volatility, rel=1e-12)


def test_the_average_correlation_is_that_of_all_pairs():
    risk = holdings_risk(instrument_history(RETURNS), np.full(6, 1 / 6))
    pairs = np.corrcoef(RETURNS.T)[np.triu_indices(6, 1)]
    assert risk.average_correlation == pytest.approx(pairs.mean(), rel=1e-10)
    assert risk.diversification_ratio > 1.0


def test_steps_as_through_a_split_are_told():
    through = RETURNS.copy()
    through[100, 1], through[50, 4] = -0.5, 1.0
    assert instrument_history(through).jumps.tolist() == [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]


def test_one_instrument_is_as_it_is_alone():
    risk = holdings_risk(instrument_history(RETURNS[:, :1]), [2.0])
    assert (risk.diversification_ratio, risk.average_correlation) == (pytest.approx(1.0), None)


def test_a_benchmark_that_never_changes_gives_no_beta():
    assert instrument_history(RETURNS, np.zeros(250)).beta is None


@pytest.mark.parametrize(
    ("returns", "benchmark", "code"),
    [
        (np.zeros((0, 3)), None, "empty"),
        (np.zeros((1, 3)), None, "too_few"),
        (np.zeros(3), None, "mismatch"),
        (np.zeros((3, 2)), np.zeros(2), "mismatch"),
        (np.array([[0.1, math.nan], [0.1, 0.2]]), None, "not_finite"),
        (np.array([[0.1, -1.5], [0.1, 0.2]]), None, "out_of_range"),
    ],
)
def test_a_history_that_is_none_is_stated(returns, benchmark, code):
    with pytest.raises(Undefined) as error:
        instrument_history(returns, benchmark)
    assert error.value.code == code


def test_weights_that_have_no_risk_are_stated():
    flat, same = instrument_history(np.full((5, 2), 0.01)), instrument_history(RETURNS[:, [0, 0]])
    cases = (
        (flat, [0.5, 0.5], "constant"),
        (same, [1.0, -1.0], "constant"),
        (same, [1.0], "mismatch"),
        (same, [1.0, math.nan], "not_finite"),
    )
    for history, weights, code in cases:
        with pytest.raises(Undefined) as error:
            holdings_risk(history, weights)
        assert error.value.code == code


def test_concentration_is_one_for_one_position_and_a_share_for_equal_ones():
    assert concentration([5.0, 0.0]) == 1.0
    assert concentration([2.0, -2.0, 2.0, 2.0]) == 0.25
    with pytest.raises(Undefined):
        concentration([0.0])
