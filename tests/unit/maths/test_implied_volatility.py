"""Implied volatility: round trips to the last digits, bounds of no arbitrage."""

import math

import numpy as np
import pytest

from nautilus.maths import implied_volatility as implied
from nautilus.maths import options
from nautilus.maths.errors import Undefined


def test_normalised_prices_give_their_volatility_back_over_forty_orders():
    draw = np.random.default_rng(3)
    x = -np.exp(draw.uniform(math.log(1e-10), math.log(30), 20_000))
    s = np.exp(draw.uniform(math.log(1e-3), math.log(20), 20_000))
    beta, rest = implied.normalised_black(x, s), implied._complement(x, s)
    told = (beta > 1e-290) & (rest > 1e-290)
    found = implied.solve_normalised(x[told], beta[told], rest[told])
    assert np.max(np.abs(found / s[told] - 1.0)) < 1e-14


def test_normalised_prices_agree_with_their_integral():
    x, s = np.array([-0.1, -0.5, -2.0, -1e-3, -8.0]), np.array([0.02, 0.3, 0.4, 0.5, 6.0])
    z = np.linspace(-14, 14, 2_000_001)
    for one, spread, found in zip(x, s, implied.normalised_black(x, s), strict=True):
        payoff = np.maximum(np.exp(one / 2 + spread * z - spread**2 / 2) - math.exp(-one / 2), 0.0)
        wanted = float(np.sum(payoff * np.exp(-z * z / 2)) * (z[1] - z[0]) / math.sqrt(2 * math.pi))
        assert found == pytest.approx(wanted, rel=3e-6, abs=1e-12)


def test_a_price_gives_its_volatility_back_to_1e_12():
    draw = np.random.default_rng(4)
    count = 20_000
    call = draw.random(count) < 0.5
    k, tau = 100 * np.exp(draw.normal(0, 0.25, count)), draw.uniform(0.05, 3, count)
    r, q, sigma = draw.uniform(-0.02, 0.08, count), draw.uniform(0, 0.05, count), draw.uniform(0.1, 1.2, count)
    given = options.greeks(call, 100.0, k, tau, r, sigma, q)
    found, codes = implied.solve(call, given.price, 100.0, k, tau, r, q)
    # What one rounding of a sum of the size of the spot does to the volatility: where it is more, no method can know.
    told = 100.0 * 2.3e-16 / given.vega < 2e-13
    assert told.mean() > 0.95
    assert not codes[told].any()
    assert np.max(np.abs(found - sigma)[told]) < 1e-12


def test_the_worked_round_trip_is_exact():
    price = options.price(True, 100, 105, 0.5, 0.03, 0.25)
    assert abs(float(implied.implied_volatility(True, price, 100, 105, 0.5, 0.03)) - 0.25) < 1e-15


def test_it_agrees_with_py_vollib():
    pytest.importorskip("py_vollib")
    from py_vollib.black_scholes_merton.implied_volatility import implied_volatility as peer

    draw = np.random.default_rng(8)
    for _ in range(200):
        k, tau, sigma = draw.uniform((80, 0.1, 0.1), (120, 2, 0.8))
        flag = "c" if k > 100 else "p"
        price = float(options.price(flag == "c", 100, k, tau, 0.03, sigma, 0.01))
        ours = float(implied.implied_volatility(flag == "c", price, 100, k, tau, 0.03, 0.01))
        assert ours == pytest.approx(peer(price, 100, k, tau, 0.03, 0.01, flag), abs=1e-10)


@pytest.mark.parametrize(
    ("call", "price", "changes", "code", "text"),
    [
        (True, 9.0, {"strike": 90.0, "rate": 0.0}, "out_of_range", "intrinsic"),
        (True, 10.0, {"strike": 90.0, "rate": 0.0}, "out_of_range", "intrinsic"),
        (True, 100.0, {}, "out_of_range", "upper bound"),
        (False, 101.0, {}, "out_of_range", "upper bound"),
        (True, -1.0, {}, "negative_price", "not above 0"),
        (True, 5.0, {"spot": 0.0}, "negative_price", "not above 0"),
        (True, 5.0, {"tau": 0.0}, "expired", "expired"),
        (True, math.nan, {}, "not_finite", "finite"),
    ],
)
def test_a_price_without_a_volatility_is_refused_with_a_reason(call, price, changes, code, text):
    base = {"spot": 100.0, "strike": 100.0, "tau": 1.0, "rate": 0.0}
    with pytest.raises(Undefined, match=text) as raised:
        implied.implied_volatility(call, price, **(base | changes))
    assert raised.value.code == code


def test_a_chain_is_solved_where_it_can_be():
    values, codes = implied.solve(True, [4.0, 200.0, 8.0], 100.0, 100.0, 0.5, 0.0)
    assert codes.tolist() == [0, implied.TOO_HIGH, 0]
    assert np.isnan(values[1])
    assert np.isfinite(values[[0, 2]]).all()
