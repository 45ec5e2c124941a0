"""Prices, greeks and implied volatilities on request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nautilus.maths import american, implied_volatility, options
from nautilus.maths.errors import Undefined
from nautilus.model.basis import Basis
from nautilus.model.collateral import ImpliedVolatilities, OptionPrices, PriceOptions, SolveVolatility
from nautilus.model.errors import ModelError

Array = npt.NDArray[np.float64]
INLINE_ROWS = 500
"""More European options than these, or any American ones, are priced elsewhere."""
RIGHTS = {"call": True, "put": False}


def _calls(rights: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    wrong = next((right for right in rights if right not in RIGHTS), None)
    if wrong is not None:
        raise ModelError(f"right {wrong!r}", where="rights", expected="call or put")
    return np.array([RIGHTS[right] for right in rights], bool)


def _same_length(*rows: tuple[Any, ...]) -> None:
    if len({len(row) for row in rows}) > 1:
        raise Undefined("mismatch", f"rows of lengths {[len(row) for row in rows]}", "one length")


def american_greeks(
    is_call: npt.NDArray[np.bool_],
    spot: Array,
    strike: Array,
    years: Array,
    rate: float,
    sigma: Array,
    yield_rate: float,
) -> options.Greeks:
    """Price by the boundary's fixed point.

    Greeks by central differences of it (steps of 1e-3 of the spot and the like).
    """

    def price(s: Array = spot, t: Array = years, v: Array = sigma, r: float = rate) -> Array:
        return american.price(is_call, s, strike, t, r, v, yield_rate)

    step, jump, shift = 1e-3 * spot, np.minimum(1e-3, 0.5 * sigma), 1e-3
    now = price()
    up, down = price(s=spot + step), price(s=spot - step)
    more, less = price(v=sigma + jump), price(v=sigma - jump)
    day = np.minimum(years * 1e-2, 1e-3)

    def slope(v: Array) -> Array:
        found: Array = (price(s=spot + step, v=v) - price(s=spot - step, v=v)) / (2 * step)
        return found

    return options.Greeks(
        price=now,
        delta=(up - down) / (2 * step),
        gamma=(up - 2 * now + down) / step**2,
        theta=-(price(t=years + day) - price(t=years - day)) / (2 * day),
        vega=(more - less) / (2 * jump),
        rho=(price(r=rate + shift) - price(r=max(rate - shift, 0.0))) / (shift + min(shift, rate))
        if rate > 0
        else (price(r=rate + shift) - now) / shift,
        vanna=(slope(sigma + jump) - slope(sigma - jump)) / (2 * jump),
        volga=(more - 2 * now + less) / jump**2,
    )


def price_options(message: PriceOptions) -> OptionPrices:
    """Answer a `PriceOptions`.

    Raises
    ------
    Undefined
        Bad input, by code; ``expired`` and ``out_of_range`` at expiry and without volatility.
    ModelError
        A right or style that is none.
    """
    _same_length(message.rights, message.spot, message.strike, message.years, message.volatility)
    calls = _calls(message.rights)
    if message.style not in ("european", "american"):
        raise ModelError(f"style {message.style!r}", where="style", expected="european or american")
    spot, strike, years, sigma = (
        np.array(row, np.float64) for row in (message.spot, message.strike, message.years, message.volatility)
    )
    found = options.greeks(calls, spot, strike, years, message.rate, sigma, message.yield_rate)
    method = "Black-Scholes-Merton, closed form"
    if message.style == "american":
        found = american_greeks(calls, spot, strike, years, message.rate, sigma, message.yield_rate)
        method = "Andersen-Lake-Offengenden fixed point from QD+; greeks by central differences"
    basis = Basis(f"{method}; theta a year, vega and rho per unit", window=len(calls), source="request")
    named = {name: tuple(getattr(found, name).tolist()) for name in found._fields}
    return OptionPrices(**named, basis=basis)


def solve_volatility(message: SolveVolatility) -> ImpliedVolatilities:
    """Answer a `SolveVolatility`: a row without a volatility says why, the others have theirs."""
    _same_length(message.rights, message.price, message.spot, message.strike, message.years)
    calls = _calls(message.rights)
    values, codes = implied_volatility.solve(
        calls, message.price, message.spot, message.strike, message.years, message.rate, message.yield_rate
    )
    good = codes == 0
    return ImpliedVolatilities(
        tuple(value if fine else None for value, fine in zip(values.tolist(), good.tolist(), strict=True)),
        tuple(implied_volatility.CODES[code] for code in codes.tolist()),
        Basis(
            "implied volatility of Black-Scholes-Merton, Householder on normalised Black",
            window=int(good.sum()),
            missing=int((~good).sum()),
            source="request",
        ),
    )


PRICES: dict[type, Callable[[Any], Any]] = {PriceOptions: price_options, SolveVolatility: solve_volatility}


def warm_prices() -> None:
    """Load what pricing needs."""
    price_options(PriceOptions(("call",), (100.0,), (100.0,), (0.5,), (0.2,), 0.03, 0.01, "american"))


__all__ = ["INLINE_ROWS", "american_greeks", "price_options", "solve_volatility", "warm_prices"]
