"""Measures of performance against empyrical, quantstats, worked values, and every kind of bad input."""

import csv
import math

import empyrical
import numpy as np
import pandas as pd
import pytest
import quantstats.stats as quantstats
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths import performance as p
from nautilus.maths.drawdowns import max_drawdown, ulcer_index
from nautilus.maths.errors import Undefined
from nautilus.maths.returns import calendar_returns, periods, simple_returns, wealth
from tests.kit.data import recording

RETURNS = st.lists(st.integers(-150_000, 200_000).map(lambda x: x / 1e6), min_size=5, max_size=300)


def close(value):
    return pytest.approx(value, rel=1e-10, abs=1e-13)


def column(name):
    """Daily returns of 2010 to 2017, as in the worked values."""
    with recording("panel_close/ppo_stock_prices.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["date"] < "2018-01-01"]
    dates = [row["date"] for row in rows]
    prices = pd.Series([float(row[name] or "nan") for row in rows], index=pd.to_datetime(dates))
    return prices.pct_change(fill_method=None)["2010-01-01":].dropna()


def sample(n=700, seed=3):
    values = np.random.default_rng(seed).standard_t(4, n) * 0.01 + 0.0004
    return pd.Series(values, index=pd.bdate_range("2015-01-01", periods=n))


def test_the_worked_values_of_a_recorded_series_are_met():
    aapl = column("AAPL").to_numpy()
    assert aapl.size == 2013
    assert p.cumulative_return(aapl) == pytest.approx(7.270298238511, abs=1e-12)
    assert p.annual_return(aapl) == pytest.approx(0.302749966286, abs=1e-12)
    assert p.annual_volatility(aapl) == pytest.approx(0.255159464407, abs=1e-12)
    assert p.sharpe_ratio(aapl) == pytest.approx(1.164621053082, abs=1e-12)
    assert p.sortino_ratio(aapl) == pytest.approx(1.740022515614, abs=1e-12)
    assert max_drawdown(aapl).depth == pytest.approx(-0.401196502034, abs=1e-12)
    assert p.calmar_ratio(aapl) == pytest.approx(0.754617661798, abs=1e-12)
    assert p.omega_ratio(aapl) == pytest.approx(1.227895801571, abs=1e-12)
    assert p.tail_ratio(aapl) == pytest.approx(1.071825502957, abs=1e-12)
    assert p.stability(aapl) == pytest.approx(0.925533990944, abs=1e-12)
    assert ulcer_index(aapl) == pytest.approx(0.130406008450, abs=1e-12)
    assert p.kelly(aapl) == pytest.approx(0.098062569635, abs=1e-12)
    xom = column("XOM").to_numpy()
    assert p.beta(aapl, xom) == pytest.approx(0.458207979562, abs=1e-12)
    assert p.alpha(aapl, xom) == pytest.approx(0.302479057357, abs=1e-12)


@given(RETURNS)
def test_measures_equal_empyrical(values):
    r = np.array(values)
    pairs = [
        (p.cumulative_return(r), empyrical.cum_returns_final(r)),
        (p.annual_return(r), empyrical.annual_return(r)),
        (max_drawdown(r).depth, empyrical.max_drawdown(r)),
        (p.downside_risk(r, 0.001), empyrical.downside_risk(r, 0.001)),
    ]
    if r.max() > r.min():
        pairs += [
            (p.annual_volatility(r), empyrical.annual_volatility(r)),
            (p.sharpe_ratio(r, 0.0002), empyrical.sharpe_ratio(r, 0.0002)),
        ]
    if r[1:].any():
        pairs.append((p.stability(r), empyrical.stability_of_timeseries(r)))
    if r.min() < 0.0:
        pairs += [
            (p.sortino_ratio(r), empyrical.sortino_ratio(r)),
            (p.omega_ratio(r), empyrical.omega_ratio(r)),
            (p.calmar_ratio(r), empyrical.calmar_ratio(r)),
        ]
    if np.percentile(r, 5) != 0.0:
        pairs.append((p.tail_ratio(r), empyrical.tail_ratio(r)))
    for ours, theirs in pairs:
        assert ours == pytest.approx(theirs, rel=1e-10, abs=1e-12)


@given(st.lists(st.tuples(*[st.integers(-150_000, 200_000)] * 2), min_size=5, max_size=200))
def test_measures_against_a_benchmark_equal_empyrical(values):
    ours, theirs = np.array(values).T / 1e6
    if theirs.max() == theirs.min() or (ours - theirs).max() == (ours - theirs).min():
        return
    assert p.beta(ours, theirs) == pytest.approx(empyrical.beta(ours, theirs), rel=1e-10, abs=1e-12)
    expected = empyrical.alpha(ours, theirs, 0.0001)
    if math.isfinite(expected):
        assert p.alpha(ours, theirs, 0.0001) == pytest.approx(expected, rel=1e-10, abs=1e-12)
    assert p.information_ratio(ours, theirs) == pytest.approx(empyrical.excess_sharpe(ours, theirs), abs=1e-12)
    assert p.batting_average(ours, theirs) == empyrical.batting_average(ours, theirs)["batting average"]


def test_measures_equal_quantstats():
    series, other = sample(), sample(seed=4)
    r = series.to_numpy()
    assert p.sharpe_ratio(r) == close(quantstats.sharpe(series))
    assert p.sortino_ratio(r) == close(quantstats.sortino(series))
    assert p.annual_return(r) == close(quantstats.cagr(series))
    assert p.calmar_ratio(r) == close(quantstats.calmar(series))
    assert p.omega_ratio(r) == close(quantstats.omega(series))
    assert p.hit_rate(r) == close(quantstats.win_rate(series))
    assert p.payoff_ratio(r) == close(quantstats.payoff_ratio(series))
    assert p.kelly(r) == close(quantstats.kelly_criterion(series))
    assert p.skewness(r) == close(quantstats.skew(series))
    assert p.excess_kurtosis(r) == close(quantstats.kurtosis(series))
    assert ulcer_index(r) == close(quantstats.ulcer_index(series))
    assert max_drawdown(r).depth == close(quantstats.max_drawdown(series))
    assert p.information_ratio(r, other.to_numpy()) == close(quantstats.information_ratio(series, other))
    assert p.correlation(r, other.to_numpy()) ** 2 == close(quantstats.r_squared(series, other))


def test_calendar_returns_equal_empyrical():
    series = sample()
    times = series.index.to_numpy().astype("datetime64[ns]").astype(np.int64)
    months = calendar_returns(times, series.to_numpy())
    expected = empyrical.aggregate_returns(series, "monthly")
    assert [(found.year, found.month) for found in months] == list(expected.index)
    assert [found.value for found in months] == close(expected.to_list())
    years = calendar_returns(times, series.to_numpy(), yearly=True)
    assert [found.value for found in years] == close(empyrical.aggregate_returns(series, "yearly").to_list())


MEASURES = [
    p.cumulative_return,
    p.annual_return,
    p.annual_volatility,
    p.sharpe_ratio,
    p.downside_risk,
    p.sortino_ratio,
    p.calmar_ratio,
    p.omega_ratio,
    p.tail_ratio,
    p.stability,
    p.skewness,
    p.excess_kurtosis,
    p.hit_rate,
    p.payoff_ratio,
    p.kelly,
    ulcer_index,
    max_drawdown,
]


def code_of(call, *arguments):
    with pytest.raises(Undefined) as error:
        call(*arguments)
    return error.value.code


@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_of_nothing_or_of_no_numbers_is_stated(measure):
    assert code_of(measure, []) == "empty"
    assert code_of(measure, [0.01, math.nan, 0.02, -0.01, 0.0]) == "not_finite"
    assert code_of(measure, [0.01, math.inf, 0.02, -0.01, 0.0]) == "not_finite"
    assert code_of(measure, [[0.01, 0.02], [0.0, 0.1]]) == "mismatch"


@pytest.mark.parametrize("measure", [p.annual_volatility, p.sharpe_ratio, p.sortino_ratio, p.omega_ratio, p.stability])
def test_a_measure_of_one_return_is_stated(measure):
    assert code_of(measure, [0.01]) == "too_few"


def test_a_constant_series_has_a_volatility_of_nought_and_no_sharpe_ratio():
    r = [0.01] * 7
    assert p.annual_volatility(r) == 0.0
    assert code_of(p.sharpe_ratio, r) == "constant"
    assert code_of(p.skewness, r) == code_of(p.excess_kurtosis, r) == "constant"
    assert code_of(p.stability, [0.0] * 5) == code_of(p.hit_rate, [0.0] * 5) == "constant"
    assert code_of(p.beta, [0.01, 0.02], [0.1, 0.1]) == code_of(p.correlation, [0.1, 0.1], [0.1, 0.2]) == "constant"
    assert code_of(p.information_ratio, [0.01, 0.02], [0.01, 0.02]) == "constant"


def test_a_ratio_to_losses_that_never_were_is_stated():
    r = [0.01, 0.02, 0.03]
    for measure in (p.sortino_ratio, p.omega_ratio, p.calmar_ratio, p.payoff_ratio, p.kelly):
        assert code_of(measure, r) == "out_of_range"
    assert code_of(p.tail_ratio, [0.0] * 30 + [0.1]) == "out_of_range"


def test_a_return_of_less_than_all_cannot_be_compounded():
    assert code_of(p.cumulative_return, [0.1, -1.2]) == "out_of_range"
    assert p.annual_return([0.1, -1.0]) == p.cumulative_return([0.1, -1.0]) == -1.0
    assert code_of(p.stability, [0.1, -1.0, 0.2]) == "out_of_range"
    assert code_of(wealth, [1e300, 1e300]) == "out_of_range"
    assert code_of(p.annual_return, [1e200]) == "out_of_range"


def test_series_of_unlike_lengths_are_refused():
    for measure in (p.beta, p.alpha, p.correlation, p.tracking_error, p.information_ratio, p.batting_average):
        assert code_of(measure, [0.1, 0.2, 0.3], [0.1, 0.2]) == "mismatch"


def test_prices_that_are_none_have_no_returns():
    assert simple_returns([100.0, 110.0, 99.0]) == close([0.1, -0.1])
    assert code_of(simple_returns, [100.0, -1.0]) == code_of(simple_returns, [100.0, 0.0]) == "negative_price"
    assert code_of(simple_returns, [100.0]) == "too_few"
    assert code_of(simple_returns, [100.0, math.nan]) == "not_finite"


def test_times_have_to_ascend():
    assert code_of(periods, [1, 3, 2], 3) == "unsorted"
    assert code_of(periods, [1, 2, 2], 3) == "duplicate_time"
    assert code_of(periods, [1, 2], 3) == "mismatch"


def test_turnover_is_half_of_what_was_traded_over_net_asset_value():
    assert p.turnover([50.0, 0.0], [100.0, 200.0]) == close(0.125 * 252)
    assert code_of(p.turnover, [1.0], [0.0]) == code_of(p.turnover, [-1.0], [10.0]) == "out_of_range"
    assert code_of(p.turnover, [1.0], [1.0, 2.0]) == "mismatch"


def test_weights_that_only_drift_turn_nothing_over():
    returns = np.array([[0.1, -0.05], [0.02, 0.03]])
    drifted = np.array([0.5, 0.3]) * (1.0 + returns[0]) / (1.0 + np.array([0.5, 0.3]) @ returns[0])
    assert p.weight_turnover([[0.5, 0.3], drifted], returns) == pytest.approx([0.0], abs=1e-15)
    assert p.weight_turnover([[1.0, 0.0], [0.0, 1.0]], np.zeros((2, 2))) == close([1.0])
    assert code_of(p.weight_turnover, [[1.0, 0.0]], [[0.0, 0.0]]) == "too_few"
    assert code_of(p.weight_turnover, [[1.0, 0.0]], [[0.0], [0.0]]) == "mismatch"
    assert code_of(p.weight_turnover, [[1.0], [math.nan]], [[0.0], [0.0]]) == "not_finite"
    assert code_of(p.weight_turnover, [[2.0], [1.0]], [[-0.5], [0.0]]) == "out_of_range"
