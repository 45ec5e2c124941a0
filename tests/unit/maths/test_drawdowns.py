"""Drawdowns: depth, peak, trough and recovery, against a loop that does it by hand."""

import math

import empyrical
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths.drawdowns import average_drawdown, drawdown_series, max_drawdown, ulcer_index, worst_drawdowns
from nautilus.maths.errors import Undefined

RETURNS = st.lists(st.integers(-150_000, 200_000).map(lambda x: x / 1e6), min_size=1, max_size=120)


def by_hand(returns):
    """Depth, peak, trough and recovery of each way down, in order."""
    found, wealth, highest, peak, now = [], 1.0, 1.0, -1, None
    for period, value in enumerate(returns):
        wealth *= 1.0 + value
        if wealth >= highest:
            if now:
                found.append((*now, period))
            highest, peak, now = wealth, period, None
        elif now is None or wealth / highest - 1.0 < now[0]:
            now = (wealth / highest - 1.0, peak, period)
    return found + ([(*now, None)] if now else [])


@given(RETURNS)
def test_drawdowns_are_those_found_by_hand(values):
    expected = by_hand(values)
    assert [tuple(found) for found in worst_drawdowns(values, 1000)] == sorted(expected, key=lambda d: (d[0], d[1]))
    deepest = max_drawdown(values)
    if expected:
        assert tuple(deepest) == min(expected, key=lambda d: (d[0], d[1]))
    else:
        assert deepest == (0.0, -1, -1, None)


@given(RETURNS)
def test_the_series_of_drawdowns_equals_empyrical(values):
    below = drawdown_series(values)
    assert below == pytest.approx(empyrical.stats.drawdown_series(np.array(values)), rel=1e-10, abs=1e-14)
    assert average_drawdown(values) == pytest.approx(below.mean())


def test_a_loss_in_the_first_period_is_a_drawdown_from_the_start():
    assert max_drawdown([-0.1, 0.2]) == (pytest.approx(-0.1), -1, 0, 1)


def test_a_drawdown_that_is_not_made_good_has_no_recovery():
    assert max_drawdown([0.1, -0.2, 0.1]).recovery is None


def test_wealth_that_only_grows_has_no_drawdown():
    assert worst_drawdowns([0.1, 0.0, 0.2]) == []
    assert max_drawdown([0.1, 0.0, 0.2]).depth == 0.0
    assert ulcer_index([0.1, 0.0, 0.2]) == 0.0


def test_drawdowns_of_bad_input_are_stated():
    for values, code in (([], "empty"), ([math.nan], "not_finite"), ([-1.5], "out_of_range")):
        with pytest.raises(Undefined) as error:
            worst_drawdowns(values)
        assert error.value.code == code
    with pytest.raises(Undefined) as error:
        ulcer_index([0.1])
    assert error.value.code == "too_few"
