"""What is kept while returns come equals what is computed of all of them, drawdown dates too."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths import drawdowns, performance
from nautilus.maths.errors import Undefined
from nautilus.maths.running import RunningPerformance, RunningRelative, Sum
from nautilus.maths.sample import RelativeSample, Sample

ONE = st.integers(-150_000, 200_000).map(lambda x: x / 1e6)
SERIES = st.one_of(
    st.lists(ONE, max_size=150),
    st.lists(st.sampled_from([0.0, 0.01, -0.01]), max_size=40),
    st.lists(st.just(0.003), max_size=20),
)
BATCH = {
    "cumulative_return": performance.cumulative_return,
    "annual_return": performance.annual_return,
    "annual_volatility": performance.annual_volatility,
    "sharpe_ratio": performance.sharpe_ratio,
    "downside_risk": lambda r: performance.downside_risk(r, 0.001),
    "sortino_ratio": lambda r: performance.sortino_ratio(r, 0.001),
    "calmar_ratio": performance.calmar_ratio,
    "omega_ratio": lambda r: performance.omega_ratio(r, 0.001),
    "tail_ratio": performance.tail_ratio,
    "stability": performance.stability,
    "skewness": performance.skewness,
    "excess_kurtosis": performance.excess_kurtosis,
    "hit_rate": performance.hit_rate,
    "payoff_ratio": performance.payoff_ratio,
    "kelly": performance.kelly,
    "ulcer_index": drawdowns.ulcer_index,
    "average_drawdown": drawdowns.average_drawdown,
}
RELATIVE = {
    "beta": performance.beta,
    "alpha": performance.alpha,
    "correlation": performance.correlation,
    "tracking_error": performance.tracking_error,
    "information_ratio": performance.information_ratio,
    "batting_average": performance.batting_average,
}


def told(call, *arguments):
    """What a measure gives, or the code of why it has none."""
    try:
        return call(*arguments)
    except Undefined as error:
        return error.code


def running_of(values, threshold=0.0):
    running = RunningPerformance(threshold)
    for value in values:
        running.add(value)
    return running


def agree(name, running, batch):
    assert isinstance(running, str) == isinstance(batch, str), (name, running, batch)
    if isinstance(batch, str):
        assert running == batch, name
    else:
        assert running == pytest.approx(batch, rel=1e-10, abs=1e-11), name


@given(SERIES)
def test_running_measures_equal_batch(values):
    running = running_of(values, threshold=0.001)
    for name, batch in BATCH.items():
        agree(name, told(getattr(running, name)), told(batch, values))


@given(SERIES, SERIES)
def test_what_was_taken_at_once_goes_on_like_what_was_taken_one_by_one(first, then):
    at_once, one_by_one = RunningPerformance.of(first, 0.001), running_of(first, 0.001)
    for value in then:
        at_once.add(value)
        one_by_one.add(value)
    for name in BATCH:
        agree(name, told(getattr(at_once, name)), told(getattr(one_by_one, name)))
    assert at_once.deepest == one_by_one.deepest
    assert (at_once.n, at_once.below, at_once.since) == (one_by_one.n, one_by_one.below, one_by_one.since)


@given(st.lists(st.tuples(ONE, ONE), max_size=50), st.lists(st.tuples(ONE, ONE), max_size=50))
def test_pairs_taken_at_once_go_on_like_those_taken_one_by_one(first, then):
    at_once, one_by_one = RunningRelative.of([a for a, _ in first], [b for _, b in first]), RunningRelative()
    for pair in first:
        one_by_one.add(*pair)
    for pair in then:
        at_once.add(*pair)
        one_by_one.add(*pair)
    for name in RELATIVE:
        agree(name, told(getattr(at_once, name)), told(getattr(one_by_one, name)))


@given(st.lists(ONE, min_size=1, max_size=100))
def test_a_sample_has_the_same_measures_under_the_same_names(values):
    sample, running = Sample(values, 0.001), running_of(values, 0.001)
    for name in (*BATCH, "best", "worst"):
        agree(name, told(getattr(sample, name)), told(getattr(running, name)))
    assert (sample.n, sample.deepest, sample.since) == (running.n, running.deepest, running.since)
    assert sample.below == running.below
    assert sample.quantile(0.05) == pytest.approx(running.quantile(0.05), rel=1e-12, abs=1e-15)
    worst = max(1, len(values) // 2)
    assert sample.mean_of_worst(worst) == pytest.approx(running.mean_of_worst(worst), rel=1e-12, abs=1e-15)
    other = values[::-1]
    relative = RelativeSample(values, other), RunningRelative.of(values, other)
    for name in RELATIVE:
        agree(name, *(told(getattr(each, name)) for each in relative))


@given(st.lists(ONE, min_size=1, max_size=60))
def test_running_drawdowns_have_the_dates_of_batch_after_every_return(values):
    running = RunningPerformance()
    for n, value in enumerate(values, 1):
        running.add(value)
        assert running.drawdown.deepest == drawdowns.max_drawdown(values[:n])
        assert running.drawdown.below == drawdowns.drawdown_series(values[:n])[-1]


@given(st.lists(st.tuples(ONE, ONE), max_size=100))
def test_running_measures_against_a_benchmark_equal_batch(values):
    running = RunningRelative()
    for pair in values:
        running.add(*pair)
    ours, theirs = np.array(values).reshape(-1, 2).T
    for name, batch in RELATIVE.items():
        agree(name, told(getattr(running, name)), told(batch, ours, theirs))


@given(st.lists(ONE, min_size=1, max_size=100), st.floats(0.0, 1.0))
def test_running_quantiles_equal_numpy(values, share):
    running = running_of(values)
    assert running.quantile(share) == pytest.approx(np.quantile(values, share), rel=1e-12, abs=1e-15)
    assert running.mean_of_worst(1) == min(values)
    assert running.count_up_to(0.0) == sum(value <= 0.0 for value in values)


def test_long_series_stay_equal_to_batch():
    values = np.random.default_rng(5).standard_t(4, 30_000) * 0.01 + 0.0002
    running = running_of(values.tolist(), threshold=0.001)
    for name, batch in BATCH.items():
        assert getattr(running, name)() == pytest.approx(batch(values), rel=1e-10), name


def test_a_return_that_is_none_changes_nothing():
    running, relative = running_of([0.01, -0.02]), RunningRelative()
    before = running.sharpe_ratio()
    for bad, code in ((math.nan, "not_finite"), (math.inf, "not_finite"), (-1.1, "out_of_range")):
        assert told(running.add, bad) == code
    assert told(relative.add, 0.1, math.nan) == "not_finite"
    assert (running.n, relative.n, running.sharpe_ratio()) == (2, 0, before)


def test_wealth_that_would_not_fit_a_float_is_refused():
    running = running_of([1e6] * 51)
    assert told(running.add, 1e6) == "out_of_range"
    assert running.n == 51


def test_a_portfolio_that_lost_all_stays_at_nothing():
    running = running_of([0.1, -1.0, 0.5])
    assert running.cumulative_return() == running.annual_return() == -1.0
    assert told(running.stability) == "out_of_range"
    assert running.drawdown.deepest == drawdowns.max_drawdown([0.1, -1.0, 0.5])


def test_a_sum_loses_nothing_to_rounding():
    total = Sum()
    for value in (1e16, 1.0, -1e16):
        total.add(value)
    assert total.value == 1.0
