"""Margin of listed options by strategy, each short option in the one in which the account needs least.

Sources: FINRA Rule 4210(f)(2) and the Cboe Margin Manual. Per contract of a short option, with its premium P:

::

    alone                               P + max(20 % S - out of the money, 10 % S for a call, 10 % K for a put);
                                        15 % in place of 20 % for a broad index
    long option that expires no sooner  the loss at the strikes, at most that of the option alone
    stock held (or, for a put, short)   nothing; the stock counts at no more than a call's strike (a put's: no less)
    straddle, strangle                  the greater of the two alone, and the premium of the other
    two spreads of one expiry           their largest loss together: iron condor and butterfly, box
    all options of one expiry           their largest loss at any strike, 4210(f)(2)(H): butterflies and other spreads
    long option paid for                all of it; where it has more than nine months left 75 %
    stock with a long option            min(10 % K + out of the money, maintenance of the stock); a conversion 10 % K

The pairing of two legs is the best that there is (`nautilus.core.option_pairing`); joined spreads, collars and whole
expiries are then taken where they lower it. A requirement is an amount of equity, in which long options count at
their value and short ones against it: so the premium of a short option, which its requirement contains, is taken off.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.core.option_pairing import (
    COVERED,
    IRON,
    MAX_LOSS,
    NAKED,
    PROTECTED,
    SPREAD,
    STRADDLE,
    pair_options,
)
from nautilus.maths.bounds import shaped, whole_numbers
from nautilus.maths.dated import Dated
from nautilus.maths.errors import Undefined, same_length

Array = npt.NDArray[np.float64]
KINDS: Final = {
    NAKED: "naked",
    SPREAD: "spread",
    COVERED: "covered",
    STRADDLE: "straddle",
    IRON: "two spreads",
    PROTECTED: "protected stock",
    MAX_LOSS: "largest loss of the expiry",
}
MOST_LEGS: Final = 256
"""Options of one underlying: the pairing takes time with the third power of it."""


class OptionRules(NamedTuple):
    """Rates of Rule 4210(f)(2)(E) and (D), as parts of the underlying's value."""

    rate: float = 0.20
    broad_rate: float = 0.15
    least_rate: float = 0.10
    long_rate: float = 1.0
    long_term_rate: float = 0.75
    long_term_years: float = 0.75


OPTION_RULES: Final[Dated[OptionRules]] = (
    (20101202, OptionRules()),  # FINRA Rule 4210 took effect; NYSE Rule 431 before it had the same rates
)


class Options(NamedTuple):
    """Options, those of one underlying together: arrays (N,).

    Parameters
    ----------
    underlying
        Number of each one's underlying, from 0, ascending.
    quantity, multiplier
        Contracts (negative: short) and units of a contract; one multiplier for all of an underlying.
    price, strike, years, expiry
        Market price of a unit, strike, years left, and day or time of expiry as a whole number.
    is_call
        Calls.
    """

    underlying: npt.NDArray[np.int64]
    quantity: Array
    multiplier: Array
    price: Array
    strike: Array
    years: Array
    expiry: npt.NDArray[np.int64]
    is_call: npt.NDArray[np.bool_]


class Underlyings(NamedTuple):
    """Underlyings of options: arrays (U,).

    Parameters
    ----------
    spot, shares
        Price, and units of it held (negative: short).
    long_rate, short_rate
        Maintenance of a long and of a short position as a part of its value.
    broad
        A broad index.
    """

    spot: Array
    shares: Array
    long_rate: Array
    short_rate: Array
    broad: npt.NDArray[np.bool_]


class StrategyMargin(NamedTuple):
    """Margin of options.

    Parameters
    ----------
    options
        Amount of equity for the options of each underlying, (U,).
    relief
        What its long options save on the maintenance of its stock, (U,).
    rows
        Strategies: (underlying, kind, leg, leg, leg, leg, contracts, requirement of one); see `KINDS`; a leg is a place
        among the options, -1: none, -2: stock.
    """

    options: Array
    relief: Array
    rows: Array


def naked_requirement(
    is_call: npt.NDArray[np.bool_],
    price: Array,
    spot: Array,
    strike: Array,
    broad: npt.NDArray[np.bool_],
    rules: OptionRules,
) -> Array:
    """Of one unit of a short option alone, its premium included; arrays (N,).

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``.
    """
    price = shaped(price, "prices", (None,))
    spot, strike = shaped(spot, "prices of underlyings", price.shape), shaped(strike, "strikes", price.shape)
    same_length("options", (np.size(is_call), np.size(broad), price.size))
    out = np.where(is_call, np.maximum(strike - spot, 0.0), np.maximum(spot - strike, 0.0))
    rate = np.where(broad, rules.broad_rate, rules.rate)
    least = rules.least_rate * np.where(is_call, spot, strike)
    result: Array = price + np.maximum(rate * spot - out, least)
    return result


def checked(options: Options, underlyings: Underlyings) -> tuple[Options, Underlyings]:
    """The same as whole arrays of their kinds.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``, ``negative_price``, ``expired``, ``unsorted``, ``out_of_range``.
    """
    count, size = np.shape(options.underlying), np.shape(underlyings.spot)
    options = Options(
        whole_numbers(options.underlying, "underlyings", least=0),
        shaped(options.quantity, "quantities", count),
        shaped(options.multiplier, "multipliers", count),
        shaped(options.price, "prices", count),
        shaped(options.strike, "strikes", count),
        shaped(options.years, "years", count),
        whole_numbers(options.expiry, "expiries", count),
        whole_numbers(options.is_call, "calls", count, 0, 1).astype(np.bool_),
    )
    underlyings = Underlyings(
        shaped(underlyings.spot, "prices of underlyings", (None,)),
        shaped(underlyings.shares, "shares", size),
        shaped(underlyings.long_rate, "rates", size),
        shaped(underlyings.short_rate, "rates", size),
        whole_numbers(underlyings.broad, "broad indices", size, 0, 1).astype(np.bool_),
    )
    if (options.multiplier <= 0).any():
        raise Undefined("out_of_range", "an option with a multiplier that is not above 0", "units of a contract")
    if (options.price < 0).any() or (options.strike <= 0).any() or (underlyings.spot < 0).any():
        raise Undefined("negative_price", "an option with a negative price or strike", "0 or more, strikes above 0")
    if (options.years < 0).any():
        raise Undefined("expired", "an option that has expired", "options that have not")
    if (np.diff(options.underlying) < 0).any():
        raise Undefined("unsorted", "options of one underlying apart", "those of one underlying together, ascending")
    if options.underlying.size and options.underlying[-1] >= len(underlyings.spot):
        raise Undefined("mismatch", "an option of an underlying that is not given", "each underlying")
    counts = np.bincount(options.underlying, minlength=len(underlyings.spot))
    if counts.size and counts.max() > MOST_LEGS:
        raise Undefined("out_of_range", f"{counts.max()} options of one underlying", f"at most {MOST_LEGS}")
    return options, underlyings


def requirement(options: Options, underlyings: Underlyings, rules: OptionRules) -> StrategyMargin:
    """Margin of options by strategies.

    Raises
    ------
    Undefined
        See `checked`.
    """
    options, underlyings = checked(options, underlyings)
    groups = len(underlyings.spot)
    place = options.underlying
    multiplier = np.ones(groups)
    multiplier[place] = options.multiplier
    if (multiplier[place] != options.multiplier).any():
        raise Undefined("mismatch", "options of one underlying with different multipliers", "one multiplier each")
    starts = np.searchsorted(place, np.arange(groups + 1)).astype(np.int64)
    value = options.price * options.multiplier
    naked = options.multiplier * naked_requirement(
        options.is_call, options.price, underlyings.spot[place], options.strike, underlyings.broad[place], rules
    )
    shorts, relief, rows = pair_options(
        options.quantity,
        options.strike,
        options.expiry,
        value,
        naked,
        options.is_call.astype(np.int8),
        starts,
        underlyings.spot,
        underlyings.shares / multiplier,
        multiplier,
        underlyings.long_rate,
        underlyings.short_rate,
    )
    part = np.where(options.years > rules.long_term_years, rules.long_term_rate, rules.long_rate)
    # Long ones are paid for; the premiums of short ones are in their requirement and, as a debt, in the equity.
    paid = value * options.quantity * np.where(options.quantity > 0, part, 1.0)
    return StrategyMargin(shorts + np.bincount(place, paid, groups), relief, rows)


__all__ = [
    "KINDS",
    "OPTION_RULES",
    "OptionRules",
    "Options",
    "StrategyMargin",
    "Underlyings",
    "naked_requirement",
    "requirement",
]
