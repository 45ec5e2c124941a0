"""American options beside QuantLib's QdFp engine, symmetry, limits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths import american, options
from nautilus.maths.errors import Undefined


def test_the_worked_value_of_quantlib_is_met():
    assert abs(float(american.price(False, 100, 105, 182 / 365, 0.03, 0.25, 0.01)) - 9.417116624399) < 1e-5


def _peer(ql, call, k, days, r, sigma, q):
    today = ql.Date(2, 1, 2024)
    ql.Settings.instance().evaluationDate = today
    count = ql.Actual365Fixed()
    rates, yields = (ql.YieldTermStructureHandle(ql.FlatForward(today, value, count)) for value in (r, q))
    spread = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), sigma, count))
    process = ql.BlackScholesMertonProcess(ql.QuoteHandle(ql.SimpleQuote(100.0)), yields, rates, spread)
    payoff = ql.PlainVanillaPayoff(ql.Option.Call if call else ql.Option.Put, k)
    option = ql.VanillaOption(payoff, ql.AmericanExercise(today, today + days))
    option.setPricingEngine(ql.QdFpAmericanEngine(process, ql.QdFpAmericanEngine.highPrecisionScheme()))
    return option.NPV()


def test_prices_agree_with_quantlib():
    ql = pytest.importorskip("QuantLib")
    draw = np.random.default_rng(2)
    count = 300
    call = draw.random(count) < 0.5
    k, days = 100 * np.exp(draw.normal(0, 0.2, count)), draw.integers(3, 1000, count)
    r, q, sigma = draw.uniform(0, 0.1, count), draw.uniform(0, 0.1, count), draw.uniform(0.1, 0.9, count)
    found = american.price(call, 100.0, k, days / 365, r, sigma, q)
    rows = zip(call, k, days, r, sigma, q, strict=True)
    wanted = np.array([_peer(ql, bool(c), float(s), int(d), *map(float, rest)) for c, s, d, *rest in rows])
    assert np.max(np.abs(found - wanted)) < 1e-4


TERMS = st.tuples(
    st.floats(70, 140), st.floats(0.05, 2), st.floats(0.001, 0.1), st.floats(0.1, 0.8), st.floats(0.0, 0.08)
)


@given(TERMS)
def test_a_call_is_a_put_with_spot_and_strike_and_rates_exchanged(terms):
    k, tau, r, sigma, q = terms
    call = float(american.price(True, 100.0, k, tau, r, sigma, q))
    assert call == pytest.approx(float(american.price(False, k, 100.0, tau, q, sigma, r)), rel=1e-14)


@given(TERMS)
def test_it_is_worth_at_least_the_european_and_the_intrinsic_value(terms):
    k, tau, r, sigma, q = terms
    for call in (True, False):
        found = float(american.price(call, 100.0, k, tau, r, sigma, q))
        assert found >= float(options.price(call, 100.0, k, tau, r, sigma, q)) - 1e-12
        assert found >= max((100.0 - k) * (1 if call else -1), 0.0)


def test_it_agrees_with_a_binomial_tree():
    k, tau, r, sigma, q, steps = 105.0, 0.75, 0.05, 0.3, 0.02, 4000
    up = math.exp(sigma * math.sqrt(tau / steps))
    chance = (math.exp((r - q) * tau / steps) - 1 / up) / (up - 1 / up)
    spot = 100.0 * up ** np.arange(-steps, steps + 1, 2.0)
    value = np.maximum(k - spot, 0.0)
    for _ in range(steps):
        spot = spot[1:] / up
        held = math.exp(-r * tau / steps) * (chance * value[1:] + (1 - chance) * value[:-1])
        value = np.maximum(held, k - spot)
    assert float(american.price(False, 100.0, k, tau, r, sigma, q)) == pytest.approx(float(value[0]), abs=2e-3)


def test_without_yield_a_call_is_european_and_without_interest_a_put():
    k = np.array([80.0, 100.0, 125.0])
    assert (american.price(True, 100, k, 1, 0.05, 0.3) == options.price(True, 100, k, 1, 0.05, 0.3)).all()
    assert (american.price(False, 100, k, 1, 0.0, 0.3, 0.02) == options.price(False, 100, k, 1, 0.0, 0.3, 0.02)).all()


def test_at_the_boundary_it_is_exercised_and_above_it_held():
    edge = float(american.exercise_boundary(100.0, 1.0, 0.05, 0.2, 0.02))
    assert float(american.price(False, edge * 0.999, 100.0, 1.0, 0.05, 0.2, 0.02)) == pytest.approx(100 - edge * 0.999)
    assert float(american.price(False, edge * 1.01, 100.0, 1.0, 0.05, 0.2, 0.02)) > 100 - edge * 1.01
    slope = (float(american.price(False, edge * 1.001, 100.0, 1.0, 0.05, 0.2, 0.02)) - (100 - edge)) / (0.001 * edge)
    assert slope == pytest.approx(-1.0, abs=0.02)  # it leaves the intrinsic value without a kink


def test_without_volatility_the_best_time_of_exercise_counts():
    assert float(american.price(False, 100, 110, 1, 0.05, 0.0)) == 10.0
    later = float(american.price(False, 100, 95, 10, 0.01, 0.0, 0.05))
    times = np.linspace(0, 10, 100_001)
    assert later == pytest.approx(np.max(95 * np.exp(-0.01 * times) - 100 * np.exp(-0.05 * times)), abs=1e-8)
    assert float(american.price(False, 100, 110, 0, 0.05, 0.2)) == 10.0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"tau": -1.0}, "expired"),
        ({"spot": -5.0}, "negative_price"),
        ({"rate": -0.02, "yield_rate": -0.05}, "out_of_range"),
    ],
)
def test_bad_input_has_no_price_and_says_why(changes, code):
    base = {"spot": 100.0, "strike": 100.0, "tau": 1.0, "rate": 0.02, "sigma": 0.2, "yield_rate": 0.0}
    with pytest.raises(Undefined) as raised:
        american.price(False, **(base | changes))
    assert raised.value.code == code
    with pytest.raises(Undefined, match="without interest"):
        american.exercise_boundary(100.0, 1.0, 0.0, 0.2)
