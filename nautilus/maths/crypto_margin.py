"""Margin of perpetual contracts by brackets of their notional, as crypto venues publish them.

    maintenance = notional x rate(bracket) - amount(bracket)

``amount`` makes it continuous where a bracket begins: ``amount_k = amount_(k-1) + floor_k (rate_k - rate_(k-1))``.
Source of the form: Binance, "Leverage and margin of USD-M futures"; the rates are the venue's and are uploaded.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.maths.errors import Undefined

Array = npt.NDArray[np.float64]


class Brackets(NamedTuple):
    """Brackets of notional, ascending, arrays (B,).

    Parameters
    ----------
    floor
        Notional from which each holds; the first 0.
    rate, amount
        Of the maintenance.
    initial_rate
        One by the greatest leverage.
    cap
        Largest notional of the last one; infinite where there is none.
    """

    floor: Array
    rate: Array
    amount: Array
    initial_rate: Array
    cap: float


def brackets(
    floors: npt.ArrayLike,
    rates: npt.ArrayLike,
    initial_rates: npt.ArrayLike,
    amounts: npt.ArrayLike | None = None,
    cap: float = np.inf,
) -> Brackets:
    """Check brackets, and work out the amounts or check those given.

    Raises
    ------
    Undefined
        ``empty``, ``mismatch`` of lengths or of amounts that leave a jump, ``not_finite``, ``unsorted`` floors,
        ``out_of_range`` rates: they ascend from above 0 and are never above the initial ones.
    """
    floor, rate, initial = (np.asarray(given, np.float64) for given in (floors, rates, initial_rates))
    if not floor.size:
        raise Undefined("empty", "no brackets", "at least one")
    if not floor.shape == rate.shape == initial.shape or floor.ndim != 1:
        raise Undefined("mismatch", "brackets of different lengths", "a floor, a rate and an initial rate each")
    if not (np.isfinite(floor).all() and np.isfinite(rate).all() and np.isfinite(initial).all()):
        raise Undefined("not_finite", "a bracket that is not finite", "finite numbers")
    if floor[0] != 0 or (np.diff(floor) <= 0).any() or not cap > floor[-1]:
        raise Undefined("unsorted", "floors of brackets", "0 first, then ascending, below the cap")
    if rate[0] <= 0 or (np.diff(rate) < 0).any() or (initial < rate).any() or (initial > 1).any():
        raise Undefined(
            "out_of_range", "rates of brackets", "ascending from above 0, initial ones not below, at most 1"
        )
    amount = np.concatenate(([0.0], np.cumsum(floor[1:] * np.diff(rate))))
    if amounts is not None:
        given = np.asarray(amounts, np.float64)
        if given.shape != amount.shape or not np.allclose(given, amount, rtol=1e-9, atol=1e-6):
            raise Undefined("mismatch", "amounts that leave a jump between brackets", f"{amount.tolist()}")
    return Brackets(floor, rate, amount, initial, float(cap))


def requirement(notional: npt.ArrayLike, tiers: Brackets) -> tuple[Array, Array]:
    """Initial and maintenance margin of notionals (their sizes count).

    Raises
    ------
    Undefined
        ``not_finite``; ``out_of_range`` above the cap.
    """
    size = np.abs(np.asarray(notional, np.float64))
    if not np.isfinite(size).all():
        raise Undefined("not_finite", "a notional that is not finite", "finite numbers")
    if (size > tiers.cap).any():
        raise Undefined("out_of_range", f"a notional of {size.max()}", f"at most {tiers.cap}, where the brackets end")
    place = np.searchsorted(tiers.floor, size, "right") - 1
    maintenance = size * tiers.rate[place] - tiers.amount[place]
    return np.maximum(size * tiers.initial_rate[place], maintenance), maintenance


__all__ = ["Brackets", "brackets", "requirement"]
