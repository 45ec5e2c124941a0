"""European options by Black, Scholes and Merton: prices and greeks, on arrays.

::

    d1 = (ln(S/K) + (r - q + sigma^2/2) tau) / (sigma sqrt(tau)),  d2 = d1 - sigma sqrt(tau)
    call = S e^(-q tau) N(d1) - K e^(-r tau) N(d2),  put = K e^(-r tau) N(-d2) - S e^(-q tau) N(-d1)

Sources: F. Black and M. Scholes, "The pricing of options and corporate liabilities", Journal of Political Economy 81,
1973; R. C. Merton, "Theory of rational option pricing", Bell Journal 4, 1973; greeks as in E. G. Haug, "The Complete
Guide to Option Pricing Formulas", 2007, chapter 2. Rates are continuously compounded, per year; `tau` is in years.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.maths.errors import Undefined
from nautilus.maths.normal import cdf, pdf

Array = npt.NDArray[np.float64]
Number = npt.ArrayLike
DAYS = 365.0


class Greeks(NamedTuple):
    """Price and derivatives of options, arrays of one shape, per unit of the underlying.

    Parameters
    ----------
    price
        Value now.
    delta, gamma
        First and second derivative by the underlying's price.
    theta
        Derivative by calendar time, per year (negative where value decays).
    vega
        Derivative by volatility, per 1.00 of volatility.
    rho
        Derivative by the interest rate, per 1.00 of rate.
    vanna
        Derivative of delta by volatility.
    volga
        Second derivative by volatility.
    """

    price: Array
    delta: Array
    gamma: Array
    theta: Array
    vega: Array
    rho: Array
    vanna: Array
    volga: Array

    def in_market_units(self) -> Greeks:
        """Theta per calendar day (of 365), vega and rho per percentage point: as py_vollib and most screens show."""
        return self._replace(theta=self.theta / DAYS, vega=self.vega / 100.0, rho=self.rho / 100.0)


class Terms(NamedTuple):
    """Checked inputs as arrays of one shape."""

    is_call: npt.NDArray[np.bool_]
    spot: Array
    strike: Array
    tau: Array
    rate: Array
    yield_rate: Array
    sigma: Array


def checked(
    is_call: npt.ArrayLike,
    spot: Number,
    strike: Number,
    tau: Number,
    rate: Number,
    sigma: Number,
    yield_rate: Number = 0.0,
) -> Terms:
    """Broadcast the inputs to one shape and check them.

    Raises
    ------
    Undefined
        ``not_finite``; ``negative_price`` for a spot or strike that is not above 0; ``expired`` for `tau` below 0;
        ``out_of_range`` for a volatility below 0.
    """
    numbers = [np.asarray(value, np.float64) for value in (spot, strike, tau, rate, yield_rate, sigma)]
    calls = np.asarray(is_call, bool)
    try:
        flags, *given = np.broadcast_arrays(calls, *numbers)
    except ValueError:
        shapes = [each.shape for each in (calls, *numbers)]
        raise Undefined("mismatch", f"options of shapes {shapes}", "shapes that fit each other") from None
    for name, value in zip(("spot", "strike", "tau", "rate", "yield_rate", "sigma"), given, strict=True):
        if not np.isfinite(value).all():
            raise Undefined("not_finite", f"{name} is not finite", "finite numbers")
    if (given[0] <= 0).any() or (given[1] <= 0).any():
        raise Undefined("negative_price", "a spot or strike that is not above 0", "prices above 0")
    if (given[2] < 0).any():
        raise Undefined("expired", "an option that has expired", "time to expiry of 0 or more years")
    if (given[5] < 0).any():
        raise Undefined("out_of_range", "a volatility below 0", "0 or more")
    return Terms(flags, *given)


def told(*results: Array) -> None:
    """Undefined (`out_of_range`) where a result is not a number, as inputs are too large or too small to work with."""
    if not all(np.isfinite(result).all() for result in results):
        raise Undefined("out_of_range", "inputs too large or too small to work with", "numbers of a market")


def price(
    is_call: npt.ArrayLike,
    spot: Number,
    strike: Number,
    tau: Number,
    rate: Number,
    sigma: Number,
    yield_rate: Number = 0.0,
) -> Array:
    """Value of European options; at expiry, or without volatility, the discounted intrinsic value.

    Parameters
    ----------
    is_call
        True for calls, False for puts.
    spot, strike
        Prices above 0.
    tau
        Years to expiry.
    rate, yield_rate
        Interest and dividend (or foreign) rate, continuous, per year.
    sigma
        Volatility per square root of a year.

    Returns
    -------
    Array
        Of the shape to which the inputs broadcast.

    Raises
    ------
    Undefined
        See `checked`.
    """
    terms = checked(is_call, spot, strike, tau, rate, sigma, yield_rate)
    with np.errstate(all="ignore"):
        return _price(terms)


def _price(terms: Terms) -> Array:
    sign = np.where(terms.is_call, 1.0, -1.0)
    forward = terms.spot * np.exp(-terms.yield_rate * terms.tau)
    present = terms.strike * np.exp(-terms.rate * terms.tau)
    spread = terms.sigma * np.sqrt(terms.tau)
    certain = spread == 0
    safe = np.where(certain, 1.0, spread)
    d1 = np.log(forward / present) / safe + 0.5 * safe
    value = sign * (forward * cdf(sign * d1) - present * cdf(sign * (d1 - safe)))
    floor = np.maximum(sign * (forward - present), 0.0)
    # Rounding may leave a far out-of-the-money value a little below its bound.
    result: Array = np.where(certain, floor, np.maximum(value, floor))
    told(result)
    return result


def greeks(
    is_call: npt.ArrayLike,
    spot: Number,
    strike: Number,
    tau: Number,
    rate: Number,
    sigma: Number,
    yield_rate: Number = 0.0,
) -> Greeks:
    """Price and greeks of European options; inputs as of `price`.

    Raises
    ------
    Undefined
        See `checked`; and ``expired`` at expiry, ``out_of_range`` without volatility: there the derivatives jump.
    """
    terms = checked(is_call, spot, strike, tau, rate, sigma, yield_rate)
    if (terms.tau == 0).any():
        raise Undefined("expired", "greeks at expiry", "time to expiry above 0")
    if (terms.sigma == 0).any():
        raise Undefined("out_of_range", "greeks without volatility", "a volatility above 0")
    with np.errstate(all="ignore"):
        found = _greeks(terms)
    told(*found)
    return found


def _greeks(terms: Terms) -> Greeks:
    sign = np.where(terms.is_call, 1.0, -1.0)
    root = np.sqrt(terms.tau)
    carry = np.exp(-terms.yield_rate * terms.tau)
    discount = np.exp(-terms.rate * terms.tau)
    forward, present = terms.spot * carry, terms.strike * discount
    spread = terms.sigma * root
    d1 = np.log(forward / present) / spread + 0.5 * spread
    d2 = d1 - spread
    first, second = cdf(sign * d1), cdf(sign * d2)
    density = pdf(d1)
    vega = forward * density * root
    value = np.maximum(sign * (forward * first - present * second), np.maximum(sign * (forward - present), 0.0))
    theta = (
        -0.5 * forward * density * terms.sigma / root
        - sign * terms.rate * present * second
        + sign * terms.yield_rate * forward * first
    )
    return Greeks(
        price=value,
        delta=sign * carry * first,
        gamma=carry * density / (terms.spot * spread),
        theta=theta,
        vega=vega,
        rho=sign * terms.tau * present * second,
        vanna=-carry * density * d2 / terms.sigma,
        volga=vega * d1 * d2 / terms.sigma,
    )


__all__ = ["Greeks", "Terms", "checked", "greeks", "price", "told"]
