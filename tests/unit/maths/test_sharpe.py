"""Probabilistic and deflated Sharpe: worked examples of the papers, quantstats, bad input."""

import math
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
import quantstats.stats as quantstats

from nautilus.maths.errors import Undefined
from nautilus.maths.sharpe import (
    deflated_sharpe,
    expected_best_sharpe,
    least_track_record,
    probabilistic_sharpe,
    probability_above,
)


def test_the_worked_example_of_the_deflated_sharpe_ratio_is_met():
    """Bailey and López de Prado (2014): 100 trials, five years of days, annual Sharpe 2.5, skewness -3, kurtosis 10."""
    target = expected_best_sharpe(100, 0.5 / 250.0)
    assert target == pytest.approx(0.1132, abs=5e-5)
    assert probability_above(target, 2.5 / math.sqrt(250.0), -3.0, 10.0, 1250) == pytest.approx(0.9004, abs=5e-5)


def test_the_worked_example_with_fewer_trials_is_met():
    """The same paper: after 46 trials the probability is 0.9505."""
    target = expected_best_sharpe(46, 0.5 / 250.0)
    assert probability_above(target, 2.5 / math.sqrt(250.0), -3.0, 10.0, 1250) == pytest.approx(0.9505, abs=5e-5)


def test_the_probabilistic_sharpe_ratio_equals_quantstats():
    values = np.random.default_rng(8).standard_t(5, 400) * 0.01 + 0.0006
    series = pd.Series(values, index=pd.bdate_range("2020-01-01", periods=values.size))
    assert probabilistic_sharpe(values) == pytest.approx(quantstats.probabilistic_sharpe_ratio(series), rel=1e-10)


def test_one_trial_deflates_nothing():
    values = np.random.default_rng(1).normal(0.001, 0.01, 100)
    assert expected_best_sharpe(1, 0.3) == 0.0
    assert deflated_sharpe(values, 1, 0.3) == probabilistic_sharpe(values)


def test_the_least_track_record_gives_just_that_confidence():
    periods = least_track_record(0.1, -1.0, 6.0, 0.02, 0.95)
    deviation = math.sqrt((1.0 + 0.1 + 1.25 * 0.01) / (periods - 1.0))
    assert NormalDist().cdf(0.08 / deviation) == pytest.approx(0.95, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "arguments", "code"),
    [
        (probabilistic_sharpe, ([],), "empty"),
        (probabilistic_sharpe, ([0.1, 0.2, 0.1],), "too_few"),
        (probabilistic_sharpe, ([0.1] * 9,), "constant"),
        (probabilistic_sharpe, ([0.1, math.nan, 0.2, 0.3],), "not_finite"),
        (expected_best_sharpe, (0, 0.1), "out_of_range"),
        (expected_best_sharpe, (10, -0.1), "out_of_range"),
        (expected_best_sharpe, (10, math.nan), "out_of_range"),
        (least_track_record, (0.1, 0.0, 3.0, 0.1), "out_of_range"),
        (least_track_record, (0.1, 0.0, 3.0, 0.0, 1.0), "out_of_range"),
        (probability_above, (0.0, 1.0, 5.0, 3.0, 100), "out_of_range"),
        (probability_above, (0.0, 1.0, 0.0, 3.0, 1), "too_few"),
    ],
)
def test_what_has_no_value_is_stated(call, arguments, code):
    with pytest.raises(Undefined) as error:
        call(*arguments)
    assert error.value.code == code
