"""Black-Scholes-Merton: the references' numbers, finite differences, parity."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths import american, options
from nautilus.maths.errors import Undefined


def test_the_worked_values_of_py_vollib_are_met():
    found = options.greeks(True, 100, 105, 0.5, 0.03, 0.25).in_market_units()
    wanted = (5.575976644070, 0.459077644502, 0.022448750153, -0.022534761800, 0.280609376911, 0.201658939031)
    assert np.allclose([float(value) for value in found[:6]], wanted, rtol=0, atol=1e-12)


def test_the_worked_values_of_quantlib_are_met():
    found = options.greeks(True, 100, 105, 182 / 365, 0.03, 0.25, 0.01)  # 2 January to 2 July 2024
    wanted = {"price": 5.339266938713, "delta": 0.445416095674, "gamma": 0.022292228127, "vega": 27.788941912229}
    for name, value in wanted.items():
        assert abs(float(getattr(found, name)) - value) < 1e-8, name


def test_prices_and_greeks_agree_with_py_vollib():
    pytest.importorskip("py_vollib")
    from py_vollib.black_scholes_merton import black_scholes_merton as value
    from py_vollib.black_scholes_merton.greeks import analytical

    draw = np.random.default_rng(5)
    for _ in range(150):
        call = bool(draw.random() < 0.5)
        k, tau, r, sigma, q = (
            100 * math.exp(draw.normal(0, 0.3)),
            *draw.uniform((0.02, 0, 0.05, 0), (3, 0.1, 0.9, 0.06)),
        )
        flag = "c" if call else "p"
        found = options.greeks(call, 100.0, k, tau, r, sigma, q).in_market_units()
        assert abs(float(found.price) - value(flag, 100.0, k, tau, r, sigma, q)) < 1e-10
        for name in ("delta", "gamma", "theta", "vega", "rho"):
            wanted = getattr(analytical, name)(flag, 100.0, k, tau, r, sigma, q)
            assert abs(float(getattr(found, name)) - wanted) < 1e-10, name


def test_prices_and_greeks_agree_with_quantlib():
    ql = pytest.importorskip("QuantLib")
    draw = np.random.default_rng(6)
    for _ in range(200):
        call = bool(draw.random() < 0.5)
        k, tau, r, sigma, q = (
            100 * math.exp(draw.normal(0, 0.3)),
            *draw.uniform((0.02, 0, 0.05, 0), (3, 0.1, 0.9, 0.06)),
        )
        payoff = ql.PlainVanillaPayoff(ql.Option.Call if call else ql.Option.Put, k)
        forward, spread, discount = 100 * math.exp((r - q) * tau), sigma * math.sqrt(tau), math.exp(-r * tau)
        peer = ql.BlackCalculator(payoff, forward, spread, discount)
        found = options.greeks(call, 100.0, k, tau, r, sigma, q)
        wanted = {
            "price": peer.value(),
            "delta": peer.delta(100.0),
            "gamma": peer.gamma(100.0),
            "theta": peer.theta(100.0, tau),
            "vega": peer.vega(tau),
            "rho": peer.rho(tau),
        }
        for name, value in wanted.items():
            assert abs(float(getattr(found, name)) - value) < 1e-10 * max(1.0, abs(value)), name


TERMS = st.tuples(
    st.booleans(), st.floats(40, 250), st.floats(0.05, 3), st.floats(-0.02, 0.1), st.floats(0.08, 1), st.floats(0, 0.08)
)


@given(TERMS)
def test_greeks_are_the_derivatives_of_the_price(terms):
    call, k, tau, r, sigma, q = terms
    base = {"spot": 100.0, "strike": k, "tau": tau, "rate": r, "sigma": sigma, "yield_rate": q}
    found = options.greeks(call, **base)

    def slope(name, step, of=lambda **given: float(options.price(call, **given))):
        far = [of(**(base | {name: base[name] + n * step})) for n in (-2, -1, 1, 2)]
        return (far[0] - 8 * far[1] + 8 * far[2] - far[3]) / (12 * step)

    def delta(**given):
        return float(options.greeks(call, **given).delta)

    def vega(**given):
        return float(options.greeks(call, **given).vega)

    assert slope("spot", 1e-2) == pytest.approx(float(found.delta), abs=1e-7)
    assert slope("spot", 1e-2, delta) == pytest.approx(float(found.gamma), abs=1e-7)
    assert -slope("tau", 1e-4) == pytest.approx(float(found.theta), rel=1e-5, abs=1e-5)
    assert slope("sigma", 1e-4) == pytest.approx(float(found.vega), rel=1e-6, abs=1e-6)
    assert slope("rate", 1e-4) == pytest.approx(float(found.rho), rel=1e-6, abs=1e-6)
    assert slope("sigma", 1e-4, delta) == pytest.approx(float(found.vanna), rel=1e-5, abs=1e-5)
    assert slope("sigma", 1e-4, vega) == pytest.approx(float(found.volga), rel=1e-5, abs=1e-3)


@given(TERMS)
def test_put_and_call_differ_by_the_forward(terms):
    _, k, tau, r, sigma, q = terms
    call, put = (float(options.price(side, 100.0, k, tau, r, sigma, q)) for side in (True, False))
    assert call - put == pytest.approx(100 * math.exp(-q * tau) - k * math.exp(-r * tau), abs=1e-11)


def test_without_time_or_volatility_a_price_is_the_discounted_intrinsic_value():
    assert float(options.price(True, 110, 100, 0, 0.05, 0.2)) == 10.0
    assert float(options.price(False, 110, 100, 0, 0.05, 0.2)) == 0.0
    assert float(options.price(True, 110, 100, 1, 0.05, 0.0)) == pytest.approx(110 - 100 * math.exp(-0.05), abs=1e-14)


def test_arrays_of_any_shape_are_taken_together():
    found = options.price([[True], [False]], 100.0, [90.0, 100.0, 110.0], 0.5, 0.02, 0.3)
    assert found.shape == (2, 3)
    assert float(found[1, 2]) == float(options.price(False, 100.0, 110.0, 0.5, 0.02, 0.3))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"spot": math.nan}, "not_finite"),
        ({"sigma": math.inf}, "not_finite"),
        ({"spot": -1.0}, "negative_price"),
        ({"strike": 0.0}, "negative_price"),
        ({"tau": -0.01}, "expired"),
        ({"tau": 0.0}, "expired"),
        ({"sigma": -0.1}, "out_of_range"),
        ({"sigma": 0.0}, "out_of_range"),
    ],
)
def test_bad_input_has_no_greeks_and_says_why(changes, code):
    base = {"spot": 100.0, "strike": 100.0, "tau": 1.0, "rate": 0.0, "sigma": 0.2}
    with pytest.raises(Undefined) as raised:
        options.greeks(True, **(base | changes))
    assert raised.value.code == code


@given(
    st.booleans(),
    *[st.floats(min_value=1e-300, max_value=1e300) for _ in range(2)],
    st.floats(0, 1e6),
    st.floats(-1e3, 1e3),
    st.floats(0, 1e200),
)
def test_extreme_inputs_give_finite_numbers_or_a_code(call, spot, strike, tau, rate, sigma):
    for compute in (options.price, options.greeks, american.price):
        code = ""
        try:
            found = np.array(compute(call, spot, strike, tau, rate, sigma))
        except Undefined as error:
            code, found = error.code, np.zeros(1)
        assert code in ("", "out_of_range", "expired", "negative_price")
        assert np.isfinite(found).all()
