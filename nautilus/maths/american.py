"""American options: the exercise boundary by a fixed point, the premium by its integral; on arrays.

L. Andersen, M. Lake, D. Offengenden, "High-performance American option pricing", Journal of Computational Finance
20(1), 2016. The boundary B of a put is kept as ``ln(B/X)^2`` at Chebyshev points of the square root of the time to
expiry, ``X = K min(1, r/q)`` its limit at expiry. It starts from QD+ (M. Li, "Analytical approximations for the
critical stock prices of American options", 2010) and is improved by ::

    B(tau) = K e^(-(r-q) tau) N(tau, B) / D(tau, B)                                   (the paper's equation B)

Iterated plainly that converged wherever it was tried; Newton's steps on the paper's equation A did not where r - q is
large beside the volatility.

The price is the European one plus the value of early exercise (Kim, "The analytic valuation of American options",
Review of Financial Studies 3, 1990). A call is a put with spot and strike, and r and q, exchanged (McDonald and
Schroder, 1998).
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.maths import options
from nautilus.maths.errors import Undefined
from nautilus.maths.normal import cdf, pdf

Array = npt.NDArray[np.float64]
Number = npt.ArrayLike
NODES: Final = 12
"""Chebyshev intervals of the boundary."""
POINTS: Final = 48
"""Gauss-Legendre points of each integral of the fixed point."""
PRICE_POINTS: Final = 64
STEPS: Final = 10
CLOSE: Final = 1e-10
FLAT: Final = 1e-12
"""A rate up to it is none."""
LEAST_RATE: Final = 1e-10
"""What stands for no interest where the boundary needs some."""
BLOCK: Final = 64
"""Options worked on together: their arrays stay in the cache."""


class _Puts(NamedTuple):
    """Puts with early exercise, arrays of one dimension."""

    spot: Array
    strike: Array
    tau: Array
    rate: Array
    yield_rate: Array
    sigma: Array


@cache
def _rule(points: int) -> tuple[Array, Array]:
    """Nodes and weights on 0 to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    return 0.5 * (nodes + 1.0), 0.5 * weights


@cache
def _chebyshev(nodes: int) -> tuple[Array, Array]:
    """Points of the square root of time (0 at expiry, 1 now), and the matrix from values there to coefficients."""
    order = np.arange(nodes + 1)
    points = -np.cos(np.pi * order / nodes)
    halves = np.ones(nodes + 1)
    halves[[0, -1]] = 0.5
    angle = np.arccos(np.clip(points, -1.0, 1.0))
    matrix = 2.0 / nodes * halves[:, None] * np.cos(order[:, None] * angle[None, :]) * halves[None, :]
    return 0.5 * (points + 1.0), matrix


def _evaluate(coefficients: Array, z: Array) -> Array:
    """Clenshaw's sum; `coefficients` (options, nodes + 1), `z` from -1 to 1 of shape (options or 1, ...)."""
    extra = (slice(None),) + (None,) * (z.ndim - 1)
    first = np.zeros(z.shape)
    second = np.zeros(z.shape)
    for place in range(coefficients.shape[1] - 1, 0, -1):
        first, second = 2.0 * z * first - second + coefficients[:, place][extra], first
    return z * first - second + coefficients[:, 0][extra]


def price(
    is_call: npt.ArrayLike,
    spot: Number,
    strike: Number,
    tau: Number,
    rate: Number,
    sigma: Number,
    yield_rate: Number = 0.0,
) -> Array:
    """Value of American options; inputs as of `options.price`.

    Without early exercise that ever pays (a call without yield, a put without interest) it is the European value.
    Error beside one with twice as many points: below 2e-6 of the strike.

    Raises
    ------
    Undefined
        See `options.checked`; ``out_of_range`` where two boundaries exist (for a put: yield below a rate below 0).
    """
    terms = options.checked(is_call, spot, strike, tau, rate, sigma, yield_rate)
    shape = terms.spot.shape
    calls = terms.is_call.ravel()
    s, k, years, r, q, vol = (value.ravel() for value in terms[1:])
    european = options.price(calls, s, k, years, r, vol, q)
    puts = _Puts(np.where(calls, k, s), np.where(calls, s, k), years, np.where(calls, q, r), np.where(calls, r, q), vol)
    if ((puts.rate < 0) & (puts.yield_rate < puts.rate)).any():
        raise Undefined(
            "out_of_range", "two exercise boundaries", "for a put a rate of 0 or more, or a yield not below it"
        )
    intrinsic = np.maximum(puts.strike - puts.spot, 0.0)
    # With less interest than this, exercise early gains less than 1e-12 of the strike a year.
    early = puts.rate > FLAT
    # Without interest a yield below 0 makes it pay all the same; so small a rate moves no digit that counts.
    flat = (puts.rate >= 0) & ~early & (puts.yield_rate < -FLAT)
    puts = puts._replace(rate=np.where(flat, LEAST_RATE, puts.rate))
    early |= flat
    certain = (puts.tau == 0) | (puts.sigma == 0)
    value = european.copy()
    if (early & certain).any():
        value = np.where(early & certain, np.maximum(_certain(puts), intrinsic), european)
    wanted = np.flatnonzero(early & ~certain)
    with np.errstate(all="ignore"):  # what comes of extreme inputs is looked at below
        for begin in range(0, len(wanted), BLOCK):
            places = wanted[begin : begin + BLOCK]
            block = _Puts(*(field[places] for field in puts))
            value[places] = _value(block, european[places], intrinsic[places])
    options.told(value)
    return value.reshape(shape)


def exercise_boundary(strike: Number, tau: Number, rate: Number, sigma: Number, yield_rate: Number = 0.0) -> Array:
    """Spot at or below which a put is exercised now, with `rate` above 0.

    Raises
    ------
    Undefined
        See `options.checked`; ``out_of_range`` for a rate, time or volatility that is not above 0.
    """
    terms = options.checked(False, strike, strike, tau, rate, sigma, yield_rate)
    if (terms.rate <= 0).any() or (terms.tau <= 0).any() or (terms.sigma <= 0).any():
        raise Undefined("out_of_range", "a boundary without interest, time or volatility", "all above 0")
    puts = _Puts(*(value.ravel() for value in terms[1:]))
    puts = puts._replace(strike=puts.spot)
    with np.errstate(all="ignore"):
        coefficients, limit = _boundary(puts)
    options.told(coefficients)
    edge: Array = limit * np.exp(-np.sqrt(np.maximum(coefficients.sum(axis=1), 0.0)))
    return edge.reshape(terms.spot.shape)


def _certain(puts: _Puts) -> Array:
    """Best discounted intrinsic value over the exercise times 0, expiry, and where its derivative is zero."""
    with np.errstate(all="ignore"):  # what comes of extreme inputs is looked at by the caller
        end = puts.strike * np.exp(-puts.rate * puts.tau) - puts.spot * np.exp(-puts.yield_rate * puts.tau)
        best = np.maximum(end, 0.0)
        # d/dt (K e^-rt - S e^-qt) = 0 at t = ln(r K / (q S)) / (r - q)
        when = np.log(puts.rate * puts.strike / (puts.yield_rate * puts.spot)) / (puts.rate - puts.yield_rate)
    when = np.where(np.isfinite(when), np.clip(when, 0.0, puts.tau), 0.0)
    with np.errstate(all="ignore"):
        turning = puts.strike * np.exp(-puts.rate * when) - puts.spot * np.exp(-puts.yield_rate * when)
    result: Array = np.maximum(best, turning)
    return result


def _value(puts: _Puts, european: Array, intrinsic: Array) -> Array:
    coefficients, limit = _boundary(puts)
    now = limit * np.exp(-np.sqrt(np.maximum(coefficients.sum(axis=1), 0.0)))
    nodes, weights = _rule(PRICE_POINTS)
    span = np.sqrt(puts.tau)[:, None] * nodes  # square root of the time until exercise
    lag = span * span
    later = np.sqrt(np.maximum(puts.tau[:, None] - lag, 0.0)) / np.sqrt(puts.tau)[:, None]
    square = _evaluate(coefficients, 2.0 * later - 1.0)
    boundary = limit[:, None] * np.exp(-np.sqrt(np.maximum(square, 0.0)))
    r, q, vol = puts.rate[:, None], puts.yield_rate[:, None], puts.sigma[:, None]
    spread = vol * span
    d1 = (np.log(puts.spot[:, None] / boundary) + (r - q) * lag) / spread + 0.5 * spread
    gain = r * puts.strike[:, None] * np.exp(-r * lag) * cdf(spread - d1)
    gain -= q * puts.spot[:, None] * np.exp(-q * lag) * cdf(-d1)
    premium = (gain * 2.0 * span) @ weights * np.sqrt(puts.tau)
    held: Array = np.maximum(european + np.maximum(premium, 0.0), intrinsic)
    return np.where(puts.spot <= now, intrinsic, held)


def _boundary(puts: _Puts) -> tuple[Array, Array]:
    """Chebyshev coefficients of ln(B/X)^2 over the square root of time, and X."""
    limit = puts.strike * np.where(puts.yield_rate > puts.rate, puts.rate / np.maximum(puts.yield_rate, 1e-300), 1.0)
    points, matrix = _chebyshev(NODES)
    root = np.sqrt(puts.tau)[:, None] * points[1:]
    tau = root * root
    boundary = _start(puts, tau, limit)
    nodes, weights = _rule(POINTS)
    # u is the time to expiry at exercise: sqrt(tau - u) = sqrt(tau) node.
    span = root[:, :, None] * nodes
    lag = span * span
    earlier = np.sqrt(np.maximum(tau[:, :, None] - lag, 0.0)) / np.sqrt(puts.tau)[:, None, None]
    place = 2.0 * earlier - 1.0
    r, q, vol = (field[:, None, None] for field in (puts.rate, puts.yield_rate, puts.sigma))
    spread, drift = vol * span, (r - q) * lag
    # Weights of the integrals over u, with du = 2 sqrt(tau - u) d sqrt(tau - u), less the factor e^(r tau).
    weight = 2.0 * span * root[:, :, None] * weights
    by_rate, by_yield = r * np.exp(-r * lag) * weight, q * np.exp(-q * lag) * weight
    own = puts.sigma[:, None] * root
    own_drift = (puts.rate - puts.yield_rate)[:, None] * tau
    grown_r, grown_q = np.exp(-puts.rate[:, None] * tau), np.exp(-puts.yield_rate[:, None] * tau)
    coefficients = _coefficients(boundary, limit, matrix)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        for _ in range(STEPS):
            square = _evaluate(coefficients, place)
            passed = limit[:, None, None] * np.exp(-np.sqrt(np.maximum(square, 0.0)))
            d1 = (np.log(boundary[:, :, None] / passed) + drift) / spread + 0.5 * spread
            e1 = (np.log(boundary / puts.strike[:, None]) + own_drift) / own + 0.5 * own
            top = grown_r * cdf(e1 - own) + (by_rate * cdf(d1 - spread)).sum(axis=2)
            bottom = grown_q * cdf(e1) + (by_yield * cdf(d1)).sum(axis=2)
            wanted = puts.strike[:, None] * top / bottom
            wanted = np.where(np.isfinite(wanted), wanted, boundary)
            wanted = np.clip(wanted, 1e-12 * limit[:, None], limit[:, None])
            moved = np.max(np.abs(wanted - boundary) / limit[:, None], initial=0.0)
            boundary = wanted
            coefficients = _coefficients(boundary, limit, matrix)
            if moved < CLOSE:
                break
    return coefficients, limit


def _coefficients(boundary: Array, limit: Array, matrix: Array) -> Array:
    values = np.zeros((boundary.shape[0], boundary.shape[1] + 1))
    values[:, 1:] = np.log(boundary / limit[:, None]) ** 2
    result: Array = values @ matrix.T
    return result


def _start(puts: _Puts, tau: Array, limit: Array) -> Array:
    """QD+ boundary at each time, by bisection and secants inside a bracket."""
    r, q, vol, k = (field[:, None] for field in (puts.rate, puts.yield_rate, puts.sigma, puts.strike))
    h = -np.expm1(-r * tau)
    omega = 2.0 * (r - q) / vol**2
    alpha = 2.0 * r / vol**2
    root = np.sqrt((omega - 1.0) ** 2 + 4.0 * alpha / h)
    power = 0.5 * (-(omega - 1.0) - root)
    change = alpha / (h * h * root)
    spread = vol * np.sqrt(tau)
    discount, carry = np.exp(-r * tau), np.exp(-q * tau)

    def gap(s: Array) -> Array:
        d1 = (np.log(s / k) + (r - q) * tau) / spread + 0.5 * spread
        d2 = d1 - spread
        put = k * discount * cdf(-d2) - s * carry * cdf(-d1)
        theta = r * k * discount * cdf(-d2) - q * s * carry * cdf(-d1) - 0.5 * vol * s * carry * pdf(d1) / np.sqrt(tau)
        premium = k - s - put
        safe = np.where(np.abs(premium) < 1e-12 * k, 1e-12 * k, premium)
        c0 = -discount * alpha / (2.0 * power + omega - 1.0)
        c0 = c0 * (1.0 / h - theta / (discount * r * safe) + change / (2.0 * power + omega - 1.0))
        result: Array = (1.0 - carry * cdf(-d1)) * s + (power + c0) * premium
        return result

    low = np.broadcast_to(1e-9 * limit[:, None], tau.shape).copy()
    high = np.broadcast_to(limit[:, None], tau.shape).copy()
    with np.errstate(all="ignore"):
        for _ in range(22):
            middle = 0.5 * (low + high)
            below = gap(middle) < 0
            low = np.where(below, middle, low)
            high = np.where(below, high, middle)
    return 0.5 * (low + high)


__all__ = ["exercise_boundary", "price"]
