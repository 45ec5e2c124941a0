"""Tests of value at risk: published figures, distributions of scipy, and what has no number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths import var_backtest as vb
from nautilus.maths.errors import Undefined


def test_kupiec_is_the_likelihood_ratio_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for count, days, level in ((3, 250, 0.99), (0, 250, 0.99), (19, 250, 0.95), (250, 250, 0.95), (15, 255, 0.95)):
        found = vb.kupiec(count, days, level)
        share = count / days
        plain = 2 * (stats.binom.logpmf(count, days, share) - stats.binom.logpmf(count, days, 1 - level))
        assert found.statistic == pytest.approx(plain, rel=1e-9, abs=1e-9)
        assert found.p_value == pytest.approx(stats.chi2.sf(plain, 1), rel=1e-8)


@pytest.mark.parametrize(
    ("days", "level", "accepted"),
    [  # Kupiec 1995, table 3 (as in Jorion, "Value at Risk", table 6-2): counts not rejected at 95 %
        (255, 0.99, range(1, 7)),  # it says: below 7
        (510, 0.99, range(2, 11)),
        (1000, 0.99, range(5, 17)),
        (255, 0.95, range(7, 21)),
        (510, 0.95, range(17, 36)),
        (1000, 0.95, range(38, 65)),
    ],
)
def test_kupiec_accepts_the_counts_of_the_published_table(days: int, level: float, accepted: range) -> None:
    found = [count for count in range(days + 1) if vb.kupiec(count, days, level).statistic < 3.841]
    assert found == list(accepted)


@pytest.mark.parametrize(
    ("count", "zone", "added"),
    [(0, "green", 0), (4, "green", 0), (5, "yellow", 0.4), (6, "yellow", 0.5), (9, "yellow", 0.85), (10, "red", 1)],
)
def test_zones_are_those_of_basel(count: int, zone: str, added: float) -> None:
    found = vb.traffic_light(count, 250, 0.99)
    assert (found.zone, found.added) == (zone, added)


def test_the_probability_of_the_traffic_light_is_binomial() -> None:
    stats = pytest.importorskip("scipy.stats")
    for count, days, level in ((3, 250, 0.99), (0, 10, 0.9), (40, 500, 0.95), (500, 500, 0.95)):
        found = vb.traffic_light(count, days, level)
        assert found.cumulative == pytest.approx(stats.binom.cdf(count, days, 1 - level), rel=1e-9)
        assert (found.added is None) == (days != 250)


def test_independence_is_the_ratio_of_two_chains() -> None:
    stats = pytest.importorskip("scipy.stats")
    hits = np.random.default_rng(5).random(500) < 0.08
    a, b, c, d = vb.transitions(hits)
    assert a + b + c + d == 499
    either, first, second = (b + d) / 499, b / (a + b), d / (c + d)
    one = math.log((1 - either) ** (a + c) * either ** (b + d))
    two = math.log((1 - first) ** a * first**b * (1 - second) ** c * second**d)
    found = vb.independence(hits)
    assert found.statistic == pytest.approx(2 * (two - one), rel=1e-9)
    assert found.p_value == pytest.approx(stats.chi2.sf(found.statistic, 1), rel=1e-9)
    both = vb.conditional_coverage(hits, 0.95)
    assert both.statistic == pytest.approx(found.statistic + vb.kupiec(int(hits.sum()), 500, 0.95).statistic)
    assert both.p_value == pytest.approx(stats.chi2.sf(both.statistic, 2), rel=1e-9)


def test_exceedances_in_a_row_are_not_independent() -> None:
    hits = np.zeros(250, bool)
    hits[100:112] = True
    assert vb.independence(hits).p_value < 1e-6
    assert vb.kupiec(12, 250, 0.95).p_value > 0.5
    assert vb.conditional_coverage(hits, 0.95).p_value < 1e-6


@given(st.lists(st.booleans(), min_size=2, max_size=80))
def test_every_pattern_of_days_has_finite_statistics(hits: list[bool]) -> None:
    for found in (vb.independence(hits), vb.conditional_coverage(hits, 0.9)):
        assert math.isfinite(found.statistic)
        assert found.statistic >= 0
        assert 0 <= found.p_value <= 1
    if len(set(hits)) == 1:
        assert vb.independence(hits).statistic == 0


def test_an_exceedance_is_a_loss_larger_than_said() -> None:
    assert vb.exceedances([-0.02, -0.03, 0.5, -0.031], [0.03, 0.03, 0.03, 0.03]).tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: vb.exceedances([], []), "empty"),
        (lambda: vb.exceedances([0.1, math.nan], [0.1, 0.1]), "not_finite"),
        (lambda: vb.exceedances([0.1], [0.1, 0.1]), "mismatch"),
        (lambda: vb.kupiec(0, 0), "empty"),
        (lambda: vb.kupiec(5, 4), "out_of_range"),
        (lambda: vb.kupiec(1, 4, 1.0), "out_of_range"),
        (lambda: vb.traffic_light(-1, 4), "out_of_range"),
        (lambda: vb.independence([]), "empty"),
        (lambda: vb.independence([True]), "too_few"),
        (lambda: vb.conditional_coverage([True]), "too_few"),
    ],
)
def test_bad_input_has_a_code(call: Any, code: str) -> None:
    with pytest.raises(Undefined) as error:
        call()
    assert error.value.code == code
