"""Forecasts of failures: the trend they are made of, and what they are worth on seeded stories."""

from __future__ import annotations

import os
from collections import deque

import pytest

from nautilus.policy.forecast import LEAST, LIMITS, MEASURED, Forecaster, Limit, trend_of
from tests.kit import outlook

SECOND_NS = 1_000_000_000
MANY = "NAUTILUS_SEEDS" in os.environ


def fed(values: list[float], measure: str = "latency_ms") -> Forecaster:
    forecaster = Forecaster()
    for step, value in enumerate(values):
        forecaster.add(step * 30 * SECOND_NS, {measure: value})
    return forecaster


def test_the_line_goes_through_the_samples_in_spite_of_outliers() -> None:
    samples = deque((step * SECOND_NS, 5.0 + 2.0 * step) for step in range(16))
    samples[3], samples[9] = (3 * SECOND_NS, 500.0), (9 * SECOND_NS, 0.0)
    trend = trend_of(samples)
    assert trend.per_second == pytest.approx(2, rel=0.1)
    assert trend.level == pytest.approx(35, rel=0.1)
    assert trend.z > 2.6


def test_a_level_line_has_no_trend() -> None:
    assert trend_of(deque((step * SECOND_NS, 7.0) for step in range(16))).z == 0
    assert trend_of(deque([(5, 1.0), (5, 2.0)])).per_second == 0


def test_a_failure_is_foretold_with_when_and_what_that_is_worth() -> None:
    forecast = fed([100.0 + 60.0 * step for step in range(10)]).forecast
    assert forecast is not None
    assert (forecast.measure, forecast.limit) == ("latency_ms", 1000)
    assert forecast.in_seconds == pytest.approx((1000 - 640) / 2)
    assert forecast.precision == MEASURED.precision


def test_a_slow_rise_and_too_few_samples_foretell_nothing() -> None:
    assert fed([100.0 + step for step in range(40)]).forecast is None
    assert fed([100.0 + 150.0 * step for step in range(LEAST - 1)]).forecast is None
    assert fed([900.0 - 10.0 * step for step in range(40)]).forecast is None


def test_a_new_process_begins_without_the_past_of_the_old() -> None:
    forecaster = fed([100.0 + 60.0 * step for step in range(10)])
    forecaster.reset()
    assert forecaster.forecast is None


def test_samples_of_a_clock_that_was_set_back_are_left_out() -> None:
    forecaster = Forecaster({"queue": Limit(10.0)})
    for step in range(10):
        forecaster.add((step + 1) * SECOND_NS, {"queue": float(step)})
    before = forecaster.forecast
    forecaster.add(SECOND_NS, {"queue": -1e9})
    assert before is not None
    assert forecaster.forecast == before


@pytest.mark.long
def test_the_stated_worth_is_what_the_stories_show() -> None:
    found = outlook.measure(420 if MANY else 70)
    assert found.false_alarms <= 0.02 + (0 if MANY else 0.02)
    assert found.precision >= MEASURED.precision - 0.05
    assert found.recall >= MEASURED.recall - 0.05
    if MANY:
        assert found.precision == pytest.approx(MEASURED.precision, abs=0.001)
        assert found.recall == pytest.approx(MEASURED.recall, abs=0.001)
        assert found.false_alarms == pytest.approx(MEASURED.false_alarms, abs=0.001)
        assert found.warning_seconds == MEASURED.warning_seconds


def test_stories_of_failures_end_at_a_limit_and_healthy_ones_never_reach_one() -> None:
    for seed in range(50):
        story = outlook.failing(seed)
        reached = [any(values[name] >= LIMITS[name].value for name in LIMITS) for values in story.samples]
        assert reached.index(True) == story.failed_at == len(story.samples) - 1
        for values in outlook.healthy(seed).samples:
            assert all(values[name] < LIMITS[name].value for name in LIMITS)
