"""Exposures by least squares against NumPy's own, and shares of variance."""

import math

import numpy as np
import pytest

from nautilus.maths.errors import Undefined
from nautilus.maths.exposures import estimated_exposures, risk_shares

RNG = np.random.default_rng(4)
FACTORS = RNG.normal(0.0, 0.01, (200, 3))
RETURNS = FACTORS @ [0.5, -1.0, 2.0] + RNG.normal(0.0002, 0.004, 200)


def test_exposures_are_those_of_ordinary_least_squares():
    found = estimated_exposures(RETURNS, FACTORS)
    design = np.column_stack([np.ones(200), FACTORS])
    solution = np.linalg.lstsq(design, RETURNS, rcond=None)[0]
    assert found.intercept == pytest.approx(solution[0], rel=1e-9)
    assert found.exposures == pytest.approx(solution[1:], rel=1e-9)
    left = RETURNS - design @ solution
    assert found.r_squared == pytest.approx(1.0 - left.var() / RETURNS.var(), rel=1e-9)


def test_shares_of_the_variance_add_up_to_one():
    parts = FACTORS * [0.5, -1.0, 2.0]
    shares = risk_shares(parts, RETURNS - parts.sum(axis=1))
    assert sum(shares) == pytest.approx(1.0, abs=1e-12)
    assert shares[2] == pytest.approx(np.cov(parts[:, 2], RETURNS)[0, 1] / RETURNS.var(ddof=1), rel=1e-9)


@pytest.mark.parametrize(
    ("returns", "factors", "code"),
    [
        ([], np.zeros((0, 2)), "empty"),
        (RETURNS[:3], FACTORS[:3], "too_few"),
        (RETURNS[:10], FACTORS[:9], "mismatch"),
        (RETURNS, RETURNS, "mismatch"),
        (RETURNS, np.column_stack([FACTORS[:, 0], FACTORS[:, 0] * 2.0]), "singular"),
        (RETURNS, np.ones((200, 1)), "singular"),
        ([*RETURNS[:-1], math.nan], FACTORS, "not_finite"),
        (RETURNS, np.where(FACTORS[3, 1] == FACTORS, np.inf, FACTORS), "not_finite"),
    ],
)
def test_exposures_that_cannot_be_estimated_are_stated(returns, factors, code):
    with pytest.raises(Undefined) as error:
        estimated_exposures(returns, factors)
    assert error.value.code == code


def test_shares_of_no_variance_are_stated():
    for parts, rest, code in ((np.zeros((5, 1)), np.zeros(5), "constant"), (np.zeros((1, 1)), np.zeros(1), "too_few")):
        with pytest.raises(Undefined) as error:
            risk_shares(parts, rest)
        assert error.value.code == code


def test_returns_that_never_change_have_no_exposure():
    found = estimated_exposures(np.zeros(20), FACTORS[:20])
    assert found.exposures == pytest.approx([0.0, 0.0, 0.0], abs=1e-15)
    assert found.r_squared == 0.0
