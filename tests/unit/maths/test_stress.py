"""Stress tests: the recorded index has the stated shocks; betas, own prices, and what has no number."""

from __future__ import annotations

import csv
import gzip
import math
from typing import Any

import numpy as np
import pytest

from nautilus.maths import stress
from nautilus.maths.errors import Undefined
from tests.kit.data import recording


def index() -> tuple[Any, Any]:
    with gzip.open(recording("panel_close/sp500_index.csv.gz"), "rt", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    days = np.array([row["Date"] for row in rows], dtype="datetime64[D]").astype(np.int64)
    return days, np.array([float(row["SP500"]) for row in rows])


@pytest.mark.parametrize("name", ["2008", "2020"])
def test_the_shock_is_what_the_recorded_index_did(name: str) -> None:
    scenario = stress.HISTORICAL[name]
    found = stress.return_between(*index(), scenario.begin, scenario.end)
    assert scenario.shocks[stress.EQUITY] == pytest.approx(found, rel=1e-12)


def test_the_flash_crash_is_from_the_recorded_close_and_deeper_than_the_next_one() -> None:
    scenario = stress.HISTORICAL["2010"]
    days, closes = index()
    before = closes[np.searchsorted(days, np.datetime64(scenario.begin, "D").astype(np.int64))]
    assert scenario.shocks[stress.EQUITY] == pytest.approx(1065.79 / before - 1, rel=1e-12)
    close = stress.return_between(days, closes, scenario.begin, scenario.end)
    assert scenario.shocks[stress.EQUITY] < 2 * close < 0
    assert not scenario.own_prices


def test_every_scenario_says_where_its_figures_are_from() -> None:
    assert sorted(stress.HISTORICAL) == ["1987", "2008", "2010", "2020"]
    for name, scenario in stress.HISTORICAL.items():
        assert name == scenario.name
        assert len(scenario.source) > 30
        assert -0.5 < scenario.shocks[stress.EQUITY] < -0.08


def test_the_index_has_no_days_of_1987() -> None:
    scenario = stress.HISTORICAL["1987"]
    with pytest.raises(Undefined) as error:
        stress.return_between(*index(), scenario.begin, scenario.end)
    assert error.value.code == "missing_days"


def test_midnight_is_the_day_that_begins_or_the_one_that_ends() -> None:
    days = np.arange(18_000, 18_021)
    weekday = (days + 3) % 7
    trading = days[weekday < 5]
    assert stress.days_of(trading * stress.DAY_NS).tolist() == trading.tolist()
    assert stress.days_of((trading + 1) * stress.DAY_NS).tolist() == trading.tolist()
    assert stress.days_of(trading * stress.DAY_NS + stress.DAY_NS * 2 // 3).tolist() == trading.tolist()
    assert stress.days_of(days * stress.DAY_NS).tolist() == days.tolist()


def test_the_close_before_a_day_without_one_counts() -> None:
    days = np.array([14_000, 14_003, 14_010])
    begin, end = (str(np.datetime64(day, "D")) for day in (14_002, 14_012))
    assert stress.return_between(days, [100.0, 50.0, 80.0], begin, end) == pytest.approx(-0.2)
    with pytest.raises(Undefined):
        stress.return_between(days, [100.0, 50.0, 80.0], begin, str(np.datetime64(14_016, "D")))


def test_beta_is_the_slope_of_a_line() -> None:
    rng = np.random.default_rng(1)
    factor = rng.normal(size=300)
    assert stress.beta(0.3 + 1.7 * factor, factor) == pytest.approx(1.7, rel=1e-12)
    returns = rng.normal(size=300) + factor
    assert stress.beta(returns, factor) == pytest.approx(np.polyfit(factor, returns, 1)[0], rel=1e-9)


def test_profits_are_linear_and_quadratic_in_the_shock() -> None:
    returns = stress.factor_returns([[1.0, 0.0], [0.5, 2.0], [4.0, 0.0]], [-0.3, 0.1])
    assert returns == pytest.approx([-0.3, 0.05, -1.0])
    found = stress.shocked_profits([100.0, -200.0, 10.0], returns, [0.0, 1000.0, 0.0])
    assert found == pytest.approx([-30.0, -10.0 + 1.25, -10.0])


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: stress.beta([], []), "empty"),
        (lambda: stress.beta([0.1], [0.1]), "too_few"),
        (lambda: stress.beta([0.1, 0.2, 0.3], [0.1, math.nan, 0.2]), "not_finite"),
        (lambda: stress.beta([0.1, 0.2, 0.3], [0.1] * 3), "constant"),
        (lambda: stress.beta([0.1, 0.2, 0.3], [0.1] * 4), "mismatch"),
        (lambda: stress.shocked_profits([], []), "empty"),
        (lambda: stress.shocked_profits([1.0], [-1.5]), "out_of_range"),
        (lambda: stress.shocked_profits([1.0], [0.1, 0.2]), "mismatch"),
        (lambda: stress.shocked_profits([math.inf], [0.1]), "not_finite"),
        (lambda: stress.factor_returns([[1.0]], [0.1, 0.2]), "mismatch"),
        (lambda: stress.factor_returns([[math.nan]], [0.1]), "not_finite"),
        (lambda: stress.return_between(np.arange(2), [1.0], "1970-01-01", "1970-01-02"), "mismatch"),
        (lambda: stress.return_between(np.arange(2), [1.0, -1.0], "1970-01-01", "1970-01-02"), "negative_price"),
    ],
)
def test_bad_input_has_a_code(call: Any, code: str) -> None:
    with pytest.raises(Undefined) as error:
        call()
    assert error.value.code == code
