"""Margin of futures by the exchange's rates of the day: outright, and for spreads between months."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.maths.bounds import shaped, whole_numbers, within
from nautilus.maths.dated import check_dated
from nautilus.maths.errors import Undefined, same_length

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


MOST_PRODUCTS: Final = 1 << 24


class Rates(NamedTuple):
    """Of one contract, in the contract's currency, from `day` (YYYYMMDD) on."""

    day: int
    initial: float
    maintenance: float


class RateHistory:
    """The exchange's rates of one product by the day from which they hold.

    Parameters
    ----------
    rows
        (day as YYYYMMDD, initial, maintenance), days ascending; the initial rate is never below the maintenance rate.

    Raises
    ------
    Undefined
        ``empty``; ``unsorted`` or ``duplicate_time`` days; ``not_finite``; ``out_of_range`` for a rate below 0, an
        initial one below the maintenance, or a day that is none.
    """

    def __init__(self, rows: list[tuple[int, float, float]]) -> None:
        if not rows:
            raise Undefined("empty", "no rates", "at least one row")
        check_dated([int(row[0]) for row in rows], "rates")
        for day, initial, maintenance in rows:
            if not (np.isfinite(initial) and np.isfinite(maintenance)):
                raise Undefined("not_finite", f"rates of {day}", "finite numbers")
            if not 0 <= maintenance <= initial:
                raise Undefined(
                    "out_of_range", f"rates {initial} and {maintenance} of {day}", "initial >= maintenance >= 0"
                )
            if not (1 <= day // 100 % 100 <= 12 and 1 <= day % 100 <= 31 and 19000101 <= day <= 99991231):
                raise Undefined("out_of_range", f"day {day}", "a day as YYYYMMDD")
        self.rows = [Rates(int(day), float(initial), float(maintenance)) for day, initial, maintenance in rows]
        self._days = np.array([row.day for row in self.rows], np.int64)

    def on(self, day: int) -> Rates:
        """What holds on a day; Undefined (`out_of_range`) before the first."""
        place = int(np.searchsorted(self._days, day, "right")) - 1
        if place < 0:
            raise Undefined("out_of_range", f"no futures margin for {day}", f"a day from {self.rows[0].day} on")
        return self.rows[place]


def outright_and_spreads(product: Places, month: Places, quantity: Array, products: int) -> tuple[Array, Array]:
    """Contracts of each product that stand alone, and spreads between its months.

    Parameters
    ----------
    product, month, quantity
        Of each position; product from 0; contracts are negative where short; (N,) each.

    Returns
    -------
    tuple
        Contracts alone and spreads (a long and a short one each), (products,) each.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``; ``out_of_range``: a product that is not there.
    """
    within(products, "products", 0, MOST_PRODUCTS)
    product, month = whole_numbers(product, "products", least=0, most=products - 1), whole_numbers(month, "months")
    quantity = shaped(quantity, "quantities", (None,))
    same_length("products, months and quantities", (len(product), len(month), len(quantity)))
    if not len(product):
        return np.zeros(products), np.zeros(products)
    order = np.lexsort((month, product))
    p, m, q = product[order], month[order], quantity[order]
    fresh = np.concatenate(([True], (p[1:] != p[:-1]) | (m[1:] != m[:-1])))
    starts = np.flatnonzero(fresh)
    net = np.add.reduceat(q, starts)
    long = np.bincount(p[starts], np.maximum(net, 0.0), products)
    short = np.bincount(p[starts], np.maximum(-net, 0.0), products)
    return np.abs(long - short), np.minimum(long, short)


__all__ = ["RateHistory", "Rates", "outright_and_spreads"]
