"""Volatility at which a European option has its price, to the accuracy that the price carries.

In the manner of P. Jaeckel, "Let's be rational", Wilmott, 2015: the option is made an out-of-the-money one of
normalised Black, ``b(x, s) = e^(x/2) N(x/s + s/2) - e^(-x/2) N(x/s - s/2)`` with ``x = -|ln(F/K)|`` and
``s = sigma sqrt(tau)``; a start that is right at both ends and at the inflection, then Householder's method of third
order on an objective that is nearly straight: ``1/ln b`` for low prices, ``b`` in the middle, ``ln(b_max - b)`` for
high ones. Unlike there, differences that would cancel are integrals of positive functions (32 Gauss-Legendre points),
and each step is kept inside a bracket.

Accuracy: a relative error e of the time value (its rounding beside the intrinsic value included) is an error of
``e b / vega`` in s; a normalised price gives its s back to 1e-14.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from nautilus.maths.bounds import LARGEST, SMALLEST, shaped
from nautilus.maths.errors import Undefined
from nautilus.maths.normal import cdf, erfcx, quantile

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int8]
Number = npt.ArrayLike
SQRT_2: Final = 1.4142135623730951
SQRT_2PI: Final = 2.5066282746310002
MOST_STEPS: Final = 60
DEFINED, NOT_FINITE, NEGATIVE_PRICE, EXPIRED, TOO_LOW, TOO_HIGH, EXTREME = range(7)
CODES: Final = ("", "not_finite", "negative_price", "expired", "out_of_range", "out_of_range", "out_of_range")
WHY: Final = (
    "",
    "an input that is not finite",
    "a price, spot or strike that is not above 0",
    "an option that has expired",
    "a price at or below the discounted intrinsic value: arbitrage, or no time value that tells a volatility",
    "a price at or above its upper bound (the underlying for a call, the strike for a put, discounted)",
    "inputs too large or too small to work with",
)
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(32)
_NODES: Final = 0.5 * (_POINTS + 1.0)
_HALF_WEIGHTS: Final = 0.5 * _WEIGHTS
_FARTHEST: Final = 300.0


def normalised_black(x: Array, s: Array) -> Array:
    """Normalised Black price of an out-of-the-money call: x <= 0, s > 0, one-dimensional; relative error about 1e-15.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``, ``out_of_range``.
    """
    x = shaped(x, "logarithms of moneyness", (None,))
    s = shaped(s, "total volatilities", x.shape)
    if (x > 0.0).any() or (s <= 0.0).any():
        raise Undefined("out_of_range", "a moneyness above 0, or a volatility that is not", "x <= 0 and s > 0")
    with np.errstate(all="ignore"):  # what comes of extreme inputs is looked at
        found = _normalised_black(x, s)
    if not np.isfinite(found).all():
        raise Undefined("out_of_range", "a moneyness or a volatility", "numbers of a market")
    return found


def _normalised_black(x: Array, s: Array) -> Array:
    h, t = x / s, 0.5 * s
    out = np.empty_like(h)
    low = 4.0 * t < 1.0 + np.abs(h)
    deep = ~low & (h + t <= 0)
    plain = ~low & ~deep
    if low.any():
        out[low] = _small_difference(h[low], t[low])
    if deep.any():
        hh, tt = h[deep], t[deep]
        gap = erfcx(-(hh + tt) / SQRT_2) - erfcx(-(hh - tt) / SQRT_2)
        out[deep] = 0.5 * np.exp(-0.5 * (hh * hh + tt * tt)) * gap
    if plain.any():
        hh, tt, half = h[plain], t[plain], 0.5 * x[plain]
        out[plain] = np.exp(half) * cdf(hh + tt) - np.exp(-half) * cdf(hh - tt)
    return out


def _small_difference(h: Array, t: Array) -> Array:
    """b = phi(h) e^(-t^2/2) (Y(h+t) - Y(h-t)), Y = N/phi, where the two are nearly equal.

    Y(z) is the integral of exp(z u - u^2/2) over u > 0, so the difference is that of exp(h u - u^2/2) 2 sinh(t u).
    """
    drop = np.abs(h) - t
    end = np.sqrt(drop * drop + 84.0) - drop  # the integrand is below 1e-18 of its size there
    u = end[:, None] * _NODES
    integrand = np.exp(h[:, None] * u - 0.5 * u * u) * np.sinh(t[:, None] * u)
    integral = 2.0 * end * (integrand @ _HALF_WEIGHTS)
    result: Array = np.exp(-0.5 * (h * h + t * t)) / SQRT_2PI * integral
    return result


def _complement(x: Array, s: Array) -> Array:
    """b_max - b, b_max = e^(x/2): a sum of positive terms."""
    h, t, half = x / s, 0.5 * s, 0.5 * x
    result: Array = np.exp(half) * cdf(-h - t) + np.exp(-half) * cdf(h - t)
    return result


def _start(x: Array, beta: Array, rest: Array, centre: Array, b_centre: Array) -> tuple[Array, Array]:
    """First guess of s and the branch (0 low, 1 middle, 2 high) of each."""
    top = np.exp(0.5 * x)
    branch = np.where(beta < b_centre, 0, np.where(rest < 0.5 * (top - b_centre), 2, 1))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        w, w_centre = -1.0 / np.log(beta), -1.0 / np.log(b_centre)
        near, far = 0.5 * x * x, 2.0 * np.abs(x) / w_centre
        low = np.sqrt(w * (near + (far - near) * w / w_centre))
        slope = np.exp(-0.25 * np.abs(x) - 0.25 * np.abs(x)) / SQRT_2PI  # h^2 = t^2 = |x|/2 at the inflection
        middle = centre + (beta - b_centre) / slope
        high = -2.0 * quantile(np.minimum(rest / (top + 1.0 / top), 0.5))
    s = np.choose(branch, (low, middle, high))
    return np.where(np.isfinite(s) & (s > 0), s, np.maximum(centre, 1e-8)), branch


def solve_normalised(x: Array, beta: Array, rest: Array) -> Array:
    """s with b(x, s) = beta, for 0 < beta < e^(x/2) and `rest` = e^(x/2) - beta, one-dimensional arrays.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``; ``out_of_range``: beta is not within its bounds; ``not_converged``: a bug, as
        brackets always close.
    """
    x = shaped(x, "logarithms of moneyness", (None,))
    beta, rest = shaped(beta, "normalised prices", x.shape), shaped(rest, "rests", x.shape)
    if (x > 0.0).any() or (x < -_FARTHEST).any() or (beta <= 0.0).any() or (rest <= 0.0).any():
        raise Undefined("out_of_range", "a moneyness or a price", f"-{_FARTHEST:g} <= x <= 0 < beta < e^(x/2)")
    if (np.abs(beta + rest - np.exp(0.5 * x)) > 1e-9 * np.exp(0.5 * x)).any():
        raise Undefined("mismatch", "a rest that is not what the price leaves", "beta + rest = e^(x/2)")
    centre = np.sqrt(2.0 * np.abs(x))
    b_centre = np.zeros_like(x)
    off = centre > 0
    b_centre[off] = _normalised_black(x[off], centre[off])
    s, branch = _start(x, beta, rest, centre, b_centre)
    low = np.where(branch == 0, 0.0, centre)
    high = np.where(branch == 0, centre, np.inf)
    s = np.clip(s, np.where(branch == 0, 1e-300, low), high)
    active = np.arange(len(x))
    for _ in range(MOST_STEPS):
        step, above = _householder(x[active], s[active], beta[active], rest[active], branch[active])
        here = s[active]
        high[active] = np.where(above, np.minimum(high[active], here), high[active])
        low[active] = np.where(above, low[active], np.maximum(low[active], here))
        wanted = here + step
        top = high[active]
        inside = (wanted >= low[active]) & (wanted <= top) & (wanted > 0) & np.isfinite(wanted)
        bisected = np.where(np.isfinite(top), 0.5 * (low[active] + top), 2.0 * here + 1.0)
        s[active] = np.where(inside, wanted, bisected)
        moving = np.abs(s[active] - here) > 2e-16 * here
        # Householder's steps shrink to their fourth power: one below 1e-5 leaves nothing to do.
        moving &= ~(inside & (np.abs(step) < 1e-5 * here))
        active = active[moving]
        if not len(active):
            return s
    raise Undefined("not_converged", f"{len(active)} implied volatilities after {MOST_STEPS} steps")


def _householder(x: Array, s: Array, beta: Array, rest: Array, branch: Array) -> tuple[Array, Array]:
    """A step of third order for each, and whether b(s) is above beta."""
    h, t = x / s, 0.5 * s
    curve = h * h / s - 0.25 * s
    third = curve * curve - 3.0 * (h / s) ** 2 - 0.25
    vega = np.exp(-0.5 * (h * h + t * t)) / SQRT_2PI
    newton, halley, last = np.zeros_like(x), curve.copy(), third.copy()
    above = np.zeros(len(x), bool)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        up = branch == 2
        if up.any():
            remainder = _complement(x[up], s[up])
            slope = vega[up] / remainder
            newton[up] = -np.log(rest[up] / remainder) / slope
            halley[up] = curve[up] + slope
            last[up] = third[up] + slope * (2.0 * slope + 3.0 * curve[up])
            above[up] = remainder < rest[up]
        under = ~up
        if under.any():
            value = _normalised_black(x[under], s[under])
            above[under] = value > beta[under]
            newton[under] = (beta[under] - value) / vega[under]
        down = branch == 0
        if down.any():
            found = value[down[under]]
            log_b, log_beta = np.log(found), np.log(beta[down])
            ratio = vega[down] / found
            newton[down] = (log_beta - log_b) * log_b / log_beta / ratio
            halley[down] = curve[down] - ratio * (1.0 + 2.0 / log_b)
            last[down] = (
                third[down]
                + 2.0 * ratio**2 * (1.0 + 3.0 / log_b * (1.0 + 1.0 / log_b))
                - 3.0 * curve[down] * ratio * (1.0 + 2.0 / log_b)
            )
        factor = (1.0 + 0.5 * halley * newton) / (1.0 + newton * (halley + last * newton / 6.0))
        step = newton * np.where((factor > 0.1) & (factor < 10.0), factor, 1.0)
    return step, above


def solve(
    is_call: npt.ArrayLike,
    price: Number,
    spot: Number,
    strike: Number,
    tau: Number,
    rate: Number,
    yield_rate: Number = 0.0,
) -> tuple[Array, Codes]:
    """Implied volatilities, and for each a code: 0 where it is defined, else a place in `CODES` and `WHY`.

    Values without code 0 are not numbers: look at the codes first.
    """
    given = [np.asarray(each, np.float64) for each in (price, spot, strike, tau, rate, yield_rate)]
    try:
        calls, *numbers = np.broadcast_arrays(np.asarray(is_call, bool), *given)
    except ValueError:
        raise Undefined("mismatch", f"options of shapes {[each.shape for each in given]}", "ones that fit") from None
    shape = calls.shape
    flags = calls.ravel()
    value, underlying, struck, years, interest, carry = (number.ravel() for number in numbers)
    codes = np.zeros(value.shape, np.int8)
    codes[~np.isfinite(np.stack((value, underlying, struck, years, interest, carry))).all(axis=0)] = NOT_FINITE
    fine = codes == DEFINED
    codes[fine & ((value <= 0) | (underlying <= 0) | (struck <= 0))] = NEGATIVE_PRICE
    codes[(codes == DEFINED) & (years <= 0)] = EXPIRED
    out = np.full(value.shape, np.nan)
    kept = np.flatnonzero(codes == DEFINED)
    sign = np.where(flags[kept], 1.0, -1.0)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        forward = underlying[kept] * np.exp(-carry[kept] * years[kept])
        present = struck[kept] * np.exp(-interest[kept] * years[kept])
        scale = np.sqrt(forward * present)
    workable = (np.minimum(forward, present) >= SMALLEST) & (np.maximum(forward, present) <= LARGEST)
    codes[kept[~workable]] = EXTREME
    kept, sign, forward, present, scale = (each[workable] for each in (kept, sign, forward, present, scale))
    intrinsic = np.maximum(sign * (forward - present), 0.0)
    bound = np.where(flags[kept], forward, present)
    with np.errstate(over="ignore"):
        beta, rest = (value[kept] - intrinsic) / scale, (bound - value[kept]) / scale
    codes[kept[beta <= 0]] = TOO_LOW
    codes[kept[rest <= 0]] = TOO_HIGH
    good = (beta > 0) & (rest > 0)
    x = -np.abs(np.log(forward / present))
    if good.any():
        s = solve_normalised(x[good], beta[good], rest[good])
        out[kept[good]] = s / np.sqrt(years[kept[good]])
    return out.reshape(shape), codes.reshape(shape)


def implied_volatility(
    is_call: npt.ArrayLike,
    price: Number,
    spot: Number,
    strike: Number,
    tau: Number,
    rate: Number,
    yield_rate: Number = 0.0,
) -> Array:
    """Volatility per square root of a year at which `options.price` gives `price`; inputs as there.

    Raises
    ------
    Undefined
        ``not_finite``, ``negative_price``, ``expired``, ``out_of_range``: of the first input that has none; the text
        says which bound of no arbitrage is not kept.
    """
    values, codes = solve(is_call, price, spot, strike, tau, rate, yield_rate)
    if codes.any():
        first = int(codes.ravel()[np.flatnonzero(codes.ravel())[0]])
        raise Undefined(CODES[first], WHY[first])
    return values


__all__ = ["CODES", "WHY", "implied_volatility", "normalised_black", "solve", "solve_normalised"]
