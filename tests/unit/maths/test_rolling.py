"""Measures of windows equal those of each window alone."""

import math

import numpy as np
import pytest

from nautilus.maths.errors import Undefined
from nautilus.maths.performance import annual_volatility, sharpe_ratio
from nautilus.maths.rolling import rolling_sharpe, rolling_volatility

RETURNS = np.random.default_rng(2).normal(0.0005, 0.01, 60)


def test_each_window_is_measured_as_if_it_were_alone():
    windows = [RETURNS[end - 20 : end] for end in range(20, 61)]
    assert rolling_volatility(RETURNS, 20) == pytest.approx([annual_volatility(w) for w in windows], rel=1e-12)
    assert rolling_sharpe(RETURNS, 20, 0.0001) == pytest.approx([sharpe_ratio(w, 0.0001) for w in windows], rel=1e-12)


@pytest.mark.parametrize(
    ("values", "window", "code"),
    [
        ([], 20, "empty"),
        ([0.01] * 10, 20, "too_few"),
        ([0.01] * 30, 1, "out_of_range"),
        ([0.01] * 30, 20, "constant"),
        ([*[0.01, 0.02] * 10, math.nan], 20, "not_finite"),
    ],
)
def test_windows_that_have_no_value_are_stated(values, window, code):
    with pytest.raises(Undefined) as error:
        rolling_sharpe(values, window)
    assert error.value.code == code


def test_a_constant_window_has_a_volatility_of_nought():
    assert rolling_volatility([0.01] * 5, 5).tolist() == [0.0]
