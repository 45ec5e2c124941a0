"""Value at risk and its relatives: other packages, closed forms, properties, and what has no number."""

from __future__ import annotations

import csv
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths import var
from nautilus.maths.errors import Undefined
from tests.kit.data import recording

LEVELS = (0.5, 0.9, 0.95, 0.99, 0.999)
SIZES = (7, 20, 100, 101, 999, 1000, 2013)
MEASURES = (
    var.historical_var,
    var.historical_cvar,
    var.entropic_var,
    var.normal_var,
    var.normal_cvar,
    var.cornish_fisher_var,
    var.cornish_fisher_cvar,
)
COHERENT = (var.entropic_var, lambda r, level: var.historical_cvar(r, level, var.RISKFOLIO))


def returns_of(size: int, seed: int = 3) -> Any:
    return np.random.default_rng(seed).standard_t(5, size) / 100 + 0.0003


def near(value: float, tolerance: float = 1e-10) -> Any:
    return pytest.approx(value, rel=tolerance, abs=1e-15)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("size", SIZES)
def test_historical_measures_are_those_of_empyrical(size: int, level: float) -> None:
    empyrical = pytest.importorskip("empyrical")
    found = returns_of(size)
    cutoff = round(1 - level, 12)
    assert -var.historical_var(found, level) == near(empyrical.value_at_risk(found, cutoff), 1e-12)
    assert -var.historical_cvar(found, level) == near(empyrical.conditional_value_at_risk(found, cutoff), 1e-12)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("size", SIZES)
def test_historical_measures_are_those_of_riskfolio(size: int, level: float) -> None:
    riskfolio = pytest.importorskip("riskfolio")
    found = returns_of(size)
    tail = round(1 - level, 12)
    assert var.historical_var(found, level, var.RISKFOLIO) == near(riskfolio.VaR_Hist(found, tail))
    assert var.historical_cvar(found, level, var.RISKFOLIO) == near(riskfolio.CVaR_Hist(found, tail))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("size", SIZES)
def test_historical_measures_are_those_of_skfolio(size: int, level: float) -> None:
    measures = pytest.importorskip("skfolio.measures")
    found = returns_of(size)
    assert var.historical_var(found, level, var.SKFOLIO) == near(measures.value_at_risk(found, level))
    assert var.historical_cvar(found, level, var.SKFOLIO) == near(measures.cvar(found, level))
    assert var.entropic_var(found, level) == near(measures.evar(found, level))


@pytest.mark.parametrize("level", LEVELS[1:-1])
def test_the_entropic_measure_is_that_of_riskfolio(level: float) -> None:
    riskfolio = pytest.importorskip("riskfolio")
    found = returns_of(1000)
    assert var.entropic_var(found, level) == near(riskfolio.EVaR_Hist(found, round(1 - level, 12))[0], 1e-6)


@pytest.mark.parametrize("level", LEVELS)
def test_the_normal_measures_are_those_of_quantstats(level: float) -> None:
    stats = pytest.importorskip("quantstats.stats")
    pandas = pytest.importorskip("pandas")
    found = returns_of(1000)
    dated = pandas.Series(found, index=pandas.date_range("2020-01-01", periods=1000))
    assert -var.normal_var(found, level) == near(stats.var(dated, confidence=level, prepare_returns=False))
    assert -var.normal_cvar(found, level) == near(stats.cvar(dated, confidence=level, prepare_returns=False))


def test_the_figures_of_the_reference_are_met() -> None:
    with recording("panel_close/ppo_stock_prices.csv").open(encoding="utf-8") as lines:
        rows = [(row["date"], float(row["AAPL"])) for row in csv.DictReader(lines) if row["AAPL"]]
    days = np.array([day for day, _ in rows])[1:]
    closes = np.array([close for _, close in rows])
    found = (closes[1:] / closes[:-1] - 1)[(days >= "2010-01-01") & (days <= "2017-12-31")]
    assert found.size == 2013
    assert var.historical_var(found, 0.95) == pytest.approx(0.024625463847, abs=5e-13)
    assert var.historical_cvar(found, 0.95) == pytest.approx(0.035212387340, abs=5e-13)
    assert var.normal_var(found, 0.95) == pytest.approx(0.025259390471, abs=5e-13)
    assert var.normal_cvar(found, 0.95) == pytest.approx(0.031975864809, abs=5e-13)


@pytest.mark.parametrize("level", LEVELS)
def test_normal_measures_are_the_closed_forms(level: float) -> None:
    norm = pytest.importorskip("scipy.stats").norm
    found = returns_of(500)
    mean, deviation, tail = found.mean(), found.std(ddof=1), 1 - level
    assert var.normal_var(found, level) == near(-norm.ppf(tail, mean, deviation), 1e-9)
    expected = deviation * norm.pdf(norm.ppf(tail)) / tail - mean
    assert var.normal_cvar(found, level) == near(expected, 1e-9)


@pytest.mark.parametrize("level", LEVELS[1:])
def test_the_mean_of_cornish_fisher_is_the_integral_of_its_quantiles(level: float) -> None:
    found = np.random.default_rng(5).gamma(30.0, 0.01, 4000) * -1.0
    tails = (np.arange(40_000) + 0.5) / 40_000 * (1 - level)
    mean = np.mean([var.cornish_fisher_var(found, 1 - tail) for tail in tails[::40]])
    assert var.cornish_fisher_cvar(found, level) == pytest.approx(mean, rel=2e-3)


def test_cornish_fisher_without_skewness_or_kurtosis_is_normal() -> None:
    norm = pytest.importorskip("scipy.stats").norm
    found = norm.ppf((np.arange(200_000) + 0.5) / 200_000) / 100
    assert var.cornish_fisher_var(found, 0.99) == pytest.approx(var.normal_var(found, 0.99), rel=2e-4)


def test_cornish_fisher_outside_its_domain_has_no_number() -> None:
    found = np.append(np.full(500, 0.001), -0.5)
    with pytest.raises(Undefined, match="Cornish and Fisher") as error:
        var.cornish_fisher_var(found, 0.99)
    assert error.value.code == "out_of_range"


@pytest.mark.parametrize("measure", MEASURES[:5])
def test_the_risk_of_constant_returns_is_their_loss(measure: Any) -> None:
    assert measure([0.01] * 50, 0.95) == pytest.approx(-0.01, rel=1e-14)
    assert measure([0.0] * 50, 0.95) == 0.0
    assert math.copysign(1.0, measure([0.0] * 50, 0.95)) == 1.0


@pytest.mark.parametrize("measure", MEASURES[5:])
def test_moments_of_constant_returns_are_undefined(measure: Any) -> None:
    with pytest.raises(Undefined) as error:
        measure([0.01] * 50, 0.95)
    assert error.value.code == "constant"


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("bad", "level", "code"),
    [
        ([], 0.95, "empty"),
        ([0.01, math.nan, 0.02, 0.01, 0.03], 0.95, "not_finite"),
        ([0.01, -math.inf, 0.02, 0.01, 0.03], 0.95, "not_finite"),
        ([[0.01, 0.02]], 0.95, "mismatch"),
        ([0.01, 0.02, 0.03, 0.05, -0.04], 0.0, "out_of_range"),
        ([0.01, 0.02, 0.03, 0.05, -0.04], 1.0, "out_of_range"),
        ([0.01, 0.02, 0.03, 0.05, -0.04], math.nan, "out_of_range"),
        ([0.01, 0.02, 0.03, 0.05, -0.04], 95.0, "out_of_range"),
    ],
)
def test_bad_input_has_a_code(measure: Any, bad: Any, level: float, code: str) -> None:
    with pytest.raises(Undefined) as error:
        measure(bad, level)
    assert error.value.code == code


@pytest.mark.parametrize("measure", MEASURES[:3])
def test_one_observation_is_the_risk(measure: Any) -> None:
    assert measure([-0.02], 0.95) == pytest.approx(0.02)


@pytest.mark.parametrize("measure", MEASURES[3:])
def test_one_observation_has_no_moments(measure: Any) -> None:
    with pytest.raises(Undefined) as error:
        measure([-0.02], 0.95)
    assert error.value.code == "too_few"


def test_an_unknown_definition_is_refused() -> None:
    for measure in (var.historical_var, var.historical_cvar):
        with pytest.raises(Undefined) as error:
            measure([0.1, 0.2], 0.95, "other")
        assert error.value.code == "out_of_range"


OUTCOMES = st.lists(st.integers(-1000, 1000).map(lambda units: units / 1000), min_size=5, max_size=60)


@given(OUTCOMES, st.sampled_from(var.DEFINITIONS))
def test_risk_rises_with_the_level(outcomes: list[float], definition: str) -> None:
    for measure in (var.historical_var, var.historical_cvar):
        risks = [measure(outcomes, level, definition) for level in LEVELS]
        assert all(low <= high + 1e-12 for low, high in pairwise(risks))
    risks = [var.entropic_var(outcomes, level) for level in LEVELS]
    assert all(low <= high + 1e-9 for low, high in pairwise(risks))


@given(OUTCOMES, st.sampled_from(LEVELS))
def test_the_order_of_the_measures_holds(outcomes: list[float], level: float) -> None:
    value = var.historical_var(outcomes, level, var.RISKFOLIO)
    mean = var.historical_cvar(outcomes, level, var.RISKFOLIO)
    entropic = var.entropic_var(outcomes, level)
    assert value <= mean + 1e-12 <= entropic + 1e-9 <= -min(outcomes) + 2e-9


@given(OUTCOMES, st.sampled_from(LEVELS), st.floats(-1, 1), st.floats(0.01, 100))
def test_money_added_lowers_the_risk_by_as_much_and_size_scales_it(
    outcomes: list[float], level: float, added: float, scale: float
) -> None:
    found = np.array(outcomes)
    for measure in MEASURES[:5]:
        moved = measure(found * scale + added, level)
        assert moved == pytest.approx(measure(found, level) * scale - added, rel=1e-9, abs=1e-8 * scale)


@given(OUTCOMES, st.integers(0, 2**32 - 1), st.sampled_from(LEVELS))
def test_coherent_measures_do_not_punish_diversification(outcomes: list[float], seed: int, level: float) -> None:
    first = np.array(outcomes)
    second = np.random.default_rng(seed).permutation(first) * 0.7
    for measure in COHERENT:
        assert measure(first + second, level) <= measure(first, level) + measure(second, level) + 1e-9


@given(OUTCOMES, st.sampled_from(LEVELS), st.sampled_from(var.DEFINITIONS))
def test_the_weights_pick_the_measures_from_sorted_outcomes(
    outcomes: list[float], level: float, definition: str
) -> None:
    ordered = np.sort(outcomes)
    index, weight = var.quantile_weights(ordered.size, level, definition)
    picked = ordered[index] * (1 - weight) + (ordered[index + 1] * weight if weight else 0.0)
    assert -picked == pytest.approx(var.historical_var(outcomes, level, definition), abs=1e-12)
    weights = var.tail_weights(ordered.size, level, definition)
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert -(weights @ ordered[: weights.size]) == pytest.approx(
        var.historical_cvar(outcomes, level, definition), abs=1e-12
    )
