"""Margin of stocks: Regulation T at the purchase, FINRA Rule 4210 afterwards.

Sources: 12 CFR 220.12 (initial: 50 % of a long position; 150 % of a short one, of which the proceeds are 100 %); FINRA
Rule 4210(c) (maintenance: 25 % long; short 30 % or 5 dollars a share, where the price is below 5 dollars 100 % or 2.50
dollars a share). A requirement is an amount of equity: cash and long values less
short ones.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.maths.bounds import shaped
from nautilus.maths.dated import Dated
from nautilus.maths.errors import Undefined

Array = npt.NDArray[np.float64]


class StockRules(NamedTuple):
    """Rates as parts of the value, amounts in dollars a share.

    Parameters
    ----------
    initial_long, initial_short
        Of Regulation T, the short one beyond the proceeds.
    maintenance_long, maintenance_short
        Of Rule 4210(c)(1) and (c)(3).
    short_least
        A share sold short at `low_price` or more.
    low_price, low_rate, low_least
        Below this price a short share takes the greater of these.
    """

    initial_long: float = 0.50
    initial_short: float = 0.50
    maintenance_long: float = 0.25
    maintenance_short: float = 0.30
    short_least: float = 5.0
    low_price: float = 5.0
    low_rate: float = 1.0
    low_least: float = 2.50


STOCK_RULES: Final[Dated[StockRules]] = (
    (19740103, StockRules()),  # Regulation T has been 50 % since; 4210 and before it NYSE 431 have had these rates
)


def short_maintenance(price: Array, rules: StockRules) -> Array:
    """Maintenance of one share sold short, Rule 4210(c)(2) and (c)(3); of prices (N,). Undefined as `bounds.shaped`."""
    price = shaped(price, "prices", (None,))
    low = np.maximum(rules.low_least, rules.low_rate * price)
    high = np.maximum(rules.short_least, rules.maintenance_short * price)
    return np.where(price < rules.low_price, low, high)


def requirement(
    quantity: npt.ArrayLike, price: npt.ArrayLike, rules: StockRules, long_rate: npt.ArrayLike | None = None
) -> tuple[Array, Array]:
    """Initial and maintenance margin of each position.

    Parameters
    ----------
    quantity, price
        Shares (negative: sold short) and price of one; (N,) each.
    rules
        In force that day.
    long_rate
        Maintenance of each long position where the house asks for more than the rule: the greater one counts.

    Returns
    -------
    tuple
        Initial (never below the maintenance) and maintenance, (N,) each.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``; ``negative_price``.
    """
    shares = shaped(quantity, "quantities", (None,))
    each = shaped(price, "prices", shares.shape)
    if (each < 0).any():
        raise Undefined("negative_price", "a stock with a price below 0", "0 or more")
    value = np.abs(shares) * each
    rate: Array | float = rules.maintenance_long
    if long_rate is not None:
        rate = np.maximum(shaped(long_rate, "rates", shares.shape), rules.maintenance_long)
    short = shares < 0
    maintenance = np.where(short, np.abs(shares) * short_maintenance(each, rules), value * rate)
    initial = value * np.where(short, rules.initial_short, rules.initial_long)
    return np.maximum(initial, maintenance), maintenance


__all__ = ["STOCK_RULES", "StockRules", "requirement", "short_maintenance"]
