"""Measures of how an instrument trades, each against a second implementation in plain Python."""

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths import microstructure as ms
from nautilus.maths.errors import Undefined

PRICES = st.lists(st.floats(1.0, 1e4), min_size=5, max_size=60)
SIZES = st.integers(1, 1000)
QUOTES = st.lists(st.tuples(st.integers(90, 100), SIZES, st.integers(101, 110), SIZES), min_size=2, max_size=60)


def code(call, *arguments, **named):
    with pytest.raises(Undefined) as caught:
        call(*arguments, **named)
    return caught.value.code


def second_ofi(quotes):
    out = []
    for (pb0, qb0, pa0, qa0), (pb1, qb1, pa1, qa1) in itertools.pairwise(quotes):
        e = 0.0
        if pb1 > pb0:
            e += qb1
        elif pb1 == pb0:
            e += qb1 - qb0
        else:
            e -= qb0
        if pa1 < pa0:
            e -= qa1
        elif pa1 == pa0:
            e -= qa1 - qa0
        else:
            e += qa0
        out.append(e)
    return out


def second_ticks(prices):
    out, last, before = [], 0, None
    for price in prices:
        if before is not None and price != before:
            last = 1 if price > before else -1
        out.append(last)
        before = price
    return out


@given(PRICES)
def test_roll_spread_is_twice_the_root_of_minus_the_serial_covariance(prices):
    changes = [b - a for a, b in itertools.pairwise(prices)]
    now, before = changes[1:], changes[:-1]
    mean_now, mean_before = math.fsum(now) / len(now), math.fsum(before) / len(before)
    covariance = math.fsum((a - mean_now) * (b - mean_before) for a, b in zip(now, before, strict=True)) / (
        len(now) - 1
    )
    if covariance < -1e-6:
        assert ms.roll_spread(prices) == pytest.approx(2 * math.sqrt(-covariance), rel=1e-10)
    elif covariance > 1e-6:
        assert code(ms.roll_spread, prices) == "out_of_range"


def test_roll_spread_of_a_bounce_between_bid_and_ask_is_the_spread():
    sides = np.random.default_rng(7).choice([-0.05, 0.05], 400_000)
    assert ms.roll_spread(100.0 + sides) == pytest.approx(0.1, rel=0.01)


@given(st.lists(st.tuples(st.floats(-0.1, 0.1), st.floats(1.0, 1e9)), min_size=1, max_size=50))
def test_amihud_is_the_mean_of_return_per_money(rows):
    returns, money = zip(*rows, strict=True)
    expected = math.fsum(abs(r) / m for r, m in rows) / len(rows)
    assert ms.amihud_illiquidity(returns, money) == pytest.approx(expected, rel=1e-10, abs=1e-300)


@given(st.lists(st.tuples(st.floats(-5, 5), st.integers(-500, 500)), min_size=3, max_size=60), st.booleans())
def test_kyle_lambda_is_the_slope_of_least_squares(rows, intercept):
    changes, volumes = zip(*rows, strict=True)
    if len(set(volumes)) == 1:
        return
    slope, _ = statistics.linear_regression(volumes, changes, proportional=not intercept)
    assert ms.kyle_lambda(changes, volumes, intercept=intercept) == pytest.approx(slope, rel=1e-10, abs=1e-12)


@given(QUOTES)
def test_order_flow_imbalance_follows_the_cases_of_the_paper(quotes):
    columns = tuple(zip(*quotes, strict=True))
    assert ms.order_flow_imbalance(*columns).tolist() == second_ofi(quotes)


@given(QUOTES)
def test_weighted_mid_and_queue_imbalance_follow_the_sizes(quotes):
    pb, qb, pa, qa = zip(*quotes, strict=True)
    assert ms.weighted_mid(pb, qb, pa, qa) == pytest.approx(
        [(a * x + b * y) / (x + y) for b, x, a, y in quotes], rel=1e-12
    )
    assert ms.queue_imbalance(qb, qa) == pytest.approx([(x - y) / (x + y) for _, x, _, y in quotes], rel=1e-12)


@given(st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=80))
def test_realised_measures_are_their_sums(returns):
    near = {"rel": 1e-10, "abs": 1e-300}
    variance = math.fsum(r * r for r in returns)
    bipower = math.pi / 2 * math.fsum(abs(a * b) for a, b in itertools.pairwise(returns))
    assert ms.realised_variance(returns) == pytest.approx(variance, **near)
    assert ms.realised_volatility(returns, 252) == pytest.approx(math.sqrt(252 * variance), **near)
    assert ms.bipower_variation(returns) == pytest.approx(bipower, **near)
    assert ms.realised_quarticity(returns) == pytest.approx(len(returns) / 3 * math.fsum(r**4 for r in returns), **near)
    assert ms.jump_variation(returns) == pytest.approx(max(variance - bipower, 0.0), rel=1e-9, abs=1e-15)


def test_bipower_variation_leaves_a_jump_out():
    returns = np.random.default_rng(3).normal(0, 0.001, 10_000)
    returns[5_000] = 0.1
    assert ms.jump_variation(returns) == pytest.approx(0.01, rel=0.05)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=60))
def test_tick_rule_repeats_the_sign_of_the_last_change(prices):
    assert ms.tick_rule(prices).tolist() == second_ticks(prices)


@given(st.lists(st.tuples(st.integers(98, 104), st.integers(98, 100), st.integers(101, 104)), min_size=1, max_size=60))
def test_lee_ready_takes_the_quote_and_at_the_middle_the_tick(rows):
    prices, bids, asks = zip(*rows, strict=True)
    ticks = second_ticks(prices)
    by_quote = [(2 * p > b + a) - (2 * p < b + a) for p, b, a in rows]
    assert ms.quote_rule(prices, bids, asks).tolist() == by_quote
    assert ms.lee_ready(prices, bids, asks).tolist() == [q or t for q, t in zip(by_quote, ticks, strict=True)]


def test_a_trade_is_held_against_the_quote_before_it_and_not_of_its_own_stamp():
    quotes = np.array([10, 20, 20, 30], np.int64)
    trades = np.array([5, 10, 11, 20, 25, 30, 31], np.int64)
    assert ms.standing_quotes(trades, quotes).tolist() == [-1, -1, 0, 0, 2, 2, 3]
    assert ms.standing_quotes(trades, quotes, lag_ns=10).tolist() == [-1, -1, -1, -1, 0, 0, 2]
    assert code(ms.standing_quotes, trades[::-1], quotes) == "unsorted"


@pytest.mark.parametrize(
    ("expected", "call", "arguments"),
    [
        ("empty", ms.roll_spread, ([],)),
        ("too_few", ms.roll_spread, ([1.0],)),
        ("constant", ms.roll_spread, ([5.0] * 9,)),
        ("not_finite", ms.roll_spread, ([1.0, math.nan, 2.0, 3.0],)),
        ("out_of_range", ms.roll_spread, ([1.0, 2.0, 4.0, 8.0, 16.0],)),
        ("mismatch", ms.roll_spread, ([[1.0, 2.0], [3.0, 4.0]],)),
        ("negative_price", ms.log_returns, ([1.0, -1.0],)),
        ("negative_price", ms.log_returns, ([1.0, 0.0],)),
        ("zero_volume", ms.amihud_illiquidity, ([0.1, 0.2], [1.0, 0.0])),
        ("mismatch", ms.amihud_illiquidity, ([0.1, 0.2], [1.0])),
        ("constant", ms.kyle_lambda, ([0.1, 0.2, 0.3], [5.0, 5.0, 5.0])),
        ("too_few", ms.kyle_lambda, ([0.1], [5.0])),
        ("too_few", ms.order_flow_imbalance, ([1.0], [1.0], [2.0], [1.0])),
        ("mismatch", ms.order_flow_imbalance, ([1.0] * 3, [1.0] * 3, [2.0] * 3, [1.0] * 2)),
        ("zero_volume", ms.queue_imbalance, ([0.0], [0.0])),
        ("out_of_range", ms.queue_imbalance, ([-1.0], [2.0])),
        ("empty", ms.realised_variance, ([],)),
        ("too_few", ms.bipower_variation, ([0.1],)),
        ("out_of_range", ms.realised_volatility, ([0.1], 0.0)),
        ("empty", ms.tick_rule, ([],)),
        ("mismatch", ms.lee_ready, ([1.0, 2.0], [1.0], [2.0])),
    ],
)
def test_what_is_not_defined_is_said_with_its_code(expected, call, arguments):
    assert code(call, *arguments) == expected
