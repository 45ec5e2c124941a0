"""Drawdown measures: two packages, properties, and what has no number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths import drawdown_risk as dd
from nautilus.maths.errors import Undefined

LEVELS = (0.9, 0.95, 0.99)
SIZES = (3, 100, 2013)
FUNCTIONS = (
    dd.maximum_drawdown,
    dd.average_drawdown,
    dd.drawdown_at_risk,
    dd.conditional_drawdown,
    dd.entropic_drawdown,
    dd.ulcer_index,
)


def returns_of(size: int) -> Any:
    return np.random.default_rng(11).standard_t(5, size) / 100 + 0.0003


def near(value: Any, tolerance: float = 1e-10) -> Any:
    return pytest.approx(float(np.ravel(value)[0]), rel=tolerance, abs=1e-14)


@pytest.mark.parametrize("compounded", [True, False])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("size", SIZES)
def test_drawdown_measures_are_those_of_riskfolio(size: int, level: float, compounded: bool) -> None:
    riskfolio = pytest.importorskip("riskfolio")
    found = returns_of(size)
    tail = round(1 - level, 12)
    kind = "Rel" if compounded else "Abs"
    assert dd.maximum_drawdown(found, compounded) == near(getattr(riskfolio, f"MDD_{kind}")(found))
    assert dd.average_drawdown(found, compounded) == near(getattr(riskfolio, f"ADD_{kind}")(found))
    assert dd.ulcer_index(found, compounded) == near(getattr(riskfolio, f"UCI_{kind}")(found))
    assert dd.drawdown_at_risk(found, level, compounded) == near(getattr(riskfolio, f"DaR_{kind}")(found, tail))
    assert dd.conditional_drawdown(found, level, compounded) == near(getattr(riskfolio, f"CDaR_{kind}")(found, tail))
    if size > 3:
        entropic = getattr(riskfolio, f"EDaR_{kind}")(found, tail)[0]
        assert dd.entropic_drawdown(found, level, compounded) == near(entropic, 1e-6)


@pytest.mark.parametrize("compounded", [True, False])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("size", SIZES)
def test_drawdown_measures_are_those_of_skfolio(size: int, level: float, compounded: bool) -> None:
    measures = pytest.importorskip("skfolio.measures")
    found = returns_of(size)
    path = measures.get_drawdowns(found, compounded=compounded)
    assert -dd.drawdowns(found, compounded) == pytest.approx(path, abs=1e-13)
    assert dd.maximum_drawdown(found, compounded) == near(measures.max_drawdown(path))
    assert dd.average_drawdown(found, compounded) == near(measures.average_drawdown(path))
    assert dd.ulcer_index(found, compounded) == near(measures.ulcer_index(path))
    assert dd.conditional_drawdown(found, level, compounded) == near(measures.cdar(path, level))
    assert dd.entropic_drawdown(found, level, compounded) == near(measures.edar(path, level))
    assert dd.drawdown_at_risk(found, level, compounded, "skfolio") == near(measures.drawdown_at_risk(path, level))


def test_all_at_once_are_the_same_as_each() -> None:
    found = returns_of(500)
    assert dd.drawdown_risk(found, 0.95) == tuple(measure(found) for measure in FUNCTIONS)


@pytest.mark.parametrize("measure", FUNCTIONS)
def test_rising_or_constant_values_have_no_drawdown(measure: Any) -> None:
    assert measure([0.0] * 30) == 0.0
    assert measure([0.01] * 30) == 0.0


@pytest.mark.parametrize("measure", FUNCTIONS)
@pytest.mark.parametrize(
    ("bad", "code"),
    [([], "empty"), ([0.1, math.nan], "not_finite"), ([0.1, -1.5], "out_of_range"), ([1e200] * 3, "out_of_range")],
)
def test_bad_input_has_a_code(measure: Any, bad: Any, code: str) -> None:
    with pytest.raises(Undefined) as error:
        measure(bad)
    assert error.value.code == code


@pytest.mark.parametrize("measure", FUNCTIONS)
def test_the_drawdown_of_one_loss_is_the_loss(measure: Any) -> None:
    assert measure([-0.25]) == pytest.approx(0.25)


def test_the_loss_of_everything_is_a_drawdown_of_one() -> None:
    assert dd.drawdowns([0.5, -1.0, 0.3]).tolist() == [0.0, 1.0, 1.0]


@given(st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=50), st.booleans())
def test_measures_are_ordered(found: list[float], compounded: bool) -> None:
    risk = dd.drawdown_risk(found, 0.9, compounded)
    assert 0 <= risk.average <= risk.ulcer + 1e-12 <= risk.maximum + 2e-12
    assert risk.at_risk <= risk.conditional + 1e-12 <= risk.entropic + 1e-8 <= risk.maximum + 2e-8
