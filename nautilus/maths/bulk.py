"""Bulk volume classification: the share of a bar's volume that was bought, from its standardised change of price.

Easley, Lopez de Prado, O'Hara: "Flow toxicity and liquidity in a high-frequency world" (2012, normal distribution),
"Discerning information from trade data" (2016, Student's t with 0.25 degrees of freedom).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nautilus.maths.bounds import MOST_WHOLE, whole_numbers, within
from nautilus.maths.errors import Undefined, check_times, finite, same_length

LEAST_DEGREES = 1e-3
MOST_DEGREES = 1e6

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Bars(NamedTuple):
    """Bars of trades, each row one bar.

    Attributes
    ----------
    begin_ns
        Stamp of its first trade.
    end_ns
        Stamp of the trade that ended it.
    close_ticks, volume
        Last price, and lots.
    """

    begin_ns: Integers
    end_ns: Integers
    close_ticks: Integers
    volume: Integers


def time_bars(now_ns: Integers, price_ticks: Integers, lots: Integers, bar_ns: int) -> Bars:
    """Bars of `bar_ns` nanoseconds counted from the epoch; the last one, which no trade ends, is left out.

    Raises
    ------
    Undefined
        ``empty``, ``mismatch``, ``unsorted``; ``out_of_range``: a bar of none, lots below 0 or beyond 2^53 in all.
    """
    within(bar_ns, "nanoseconds of a bar", 1, 1 << 62)
    now_ns, price_ticks, lots = _trades(now_ns, price_ticks, lots)
    interval = now_ns // bar_ns
    first = np.flatnonzero(np.concatenate([[True], interval[1:] != interval[:-1]]))
    volume = np.add.reduceat(lots, first)
    return Bars(now_ns[first[:-1]], now_ns[first[1:]], price_ticks[first[1:] - 1], volume[:-1])


def volume_bars(now_ns: Integers, price_ticks: Integers, lots: Integers, bar_lots: int) -> Bars:
    """Bars that end with the trade that makes them `bar_lots` long; the last one, if shorter, is left out.

    Raises
    ------
    Undefined
        See `time_bars`.
    """
    within(bar_lots, "lots of a bar", 1, 1 << 62)
    now_ns, price_ticks, lots = _trades(now_ns, price_ticks, lots)
    total = np.cumsum(lots)
    firsts, lasts, before = [], [], 0
    first = 0
    while first < len(total):
        last = int(np.searchsorted(total, before + bar_lots))
        if last == len(total):
            break
        firsts.append(first)
        lasts.append(last)
        first, before = last + 1, int(total[last])
    begin, end = np.array(firsts, np.int64), np.array(lasts, np.int64)
    volume = total[end] - total[begin] + lots[begin]
    return Bars(now_ns[begin], now_ns[end], price_ticks[end], volume)


def _trades(now_ns: Integers, price_ticks: Integers, lots: Integers) -> tuple[Integers, Integers, Integers]:
    now, ticks = whole_numbers(now_ns, "stamps"), whole_numbers(price_ticks, "prices in ticks")
    count = whole_numbers(lots, "lots", least=0)
    same_length("stamps, prices and lots", (len(now), len(ticks), len(count)))
    if not len(now):
        raise Undefined("empty", "no trades", "at least one")
    check_times(now, "stamps", equal=True)
    # A sum of floats does not wrap as one of whole numbers would.
    if count.sum(dtype=np.float64) > MOST_WHOLE:
        raise Undefined("out_of_range", f"{count.sum(dtype=np.float64):.6g} lots", f"at most {MOST_WHOLE} in all")
    return now, ticks, count


def bought_shares(changes: Floats, *, decay: float = 0.95, degrees: float = 0.0) -> Floats:
    """Shares of the volume of bars that were bought, from their changes of price, the first bar having none.

    Each is F(change / sigma), sigma^2 an exponential mean of the squares up to that change: decay sigma^2 +
    (1 - decay) change^2, the first square alone at first. Where no price has changed yet it is one half.

    Parameters
    ----------
    changes
        Of the second bar and those behind it against the one before, in any unit.
    decay
        From 0 up to 1.
    degrees
        Of Student's t; 0: the normal distribution.

    Returns
    -------
    One more than changes: the first bar's share is one half.
    """
    if not (0.0 <= decay < 1.0 and (degrees == 0.0 or LEAST_DEGREES <= degrees <= MOST_DEGREES)):
        raise Undefined(
            "out_of_range",
            f"decay {decay}, degrees {degrees}",
            f"decay from 0 up to 1, degrees of 0, or {LEAST_DEGREES:g} to {MOST_DEGREES:g}",
        )
    changes = finite(changes, "changes", 0)
    shares = np.full(len(changes) + 1, 0.5)
    fresh, variance = 1.0 - decay, -1.0
    for place, change in enumerate(np.asarray(changes, np.float64).tolist(), 1):
        square = change * change
        variance = square if variance < 0.0 else decay * variance + fresh * square
        if variance > 0.0:
            z = change / math.sqrt(variance)
            shares[place] = _student(z, degrees) if degrees else normal(z)
    return shares


def normal(z: float) -> float:
    """The normal distribution function. Undefined (`not_finite`): NaN."""
    if z != z:
        raise Undefined("not_finite", "a score of nan", "a number")
    return 0.5 * math.erfc(-z * math.sqrt(0.5))


def student(z: float, degrees: float) -> float:
    """Student's distribution function: half of the regularised incomplete beta function I_x(degrees / 2, 1 / 2).

    x = degrees / (degrees + z^2); by Lentz's continued fraction (Numerical Recipes, 3rd edition, 6.4), on the side
    where it converges.

    Raises
    ------
    Undefined
        ``not_finite``, ``out_of_range``: z beyond 1e60 to either side, degrees beyond `LEAST_DEGREES`, `MOST_DEGREES`.
    """
    return _student(within(z, "a score"), within(degrees, "degrees of freedom", LEAST_DEGREES, MOST_DEGREES))


def _student(z: float, degrees: float) -> float:
    a, squares = 0.5 * degrees, degrees + z * z
    x, y = degrees / squares, z * z / squares
    if y == 0.0:
        return 0.5
    log_beta = math.lgamma(a) + math.lgamma(0.5) - math.lgamma(a + 0.5)
    tail = math.exp(a * math.log(x) + 0.5 * math.log(y) - log_beta)
    near = x < (a + 1.0) / (a + 2.5)
    tail = tail * _continued(a, 0.5, x) / a if near else 1.0 - tail * _continued(0.5, a, y) / 0.5
    return 1.0 - 0.5 * tail if z > 0.0 else 0.5 * tail


def _continued(a: float, b: float, x: float) -> float:
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (tiny if -tiny < d < tiny else d)
    h = d
    for m in range(1, 300):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        d, c = 1.0 + even * d, 1.0 + even / c
        d, c = (tiny if -tiny < d < tiny else d), (tiny if -tiny < c < tiny else c)
        d = 1.0 / d
        h *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        d, c = 1.0 + odd * d, 1.0 + odd / c
        d, c = (tiny if -tiny < d < tiny else d), (tiny if -tiny < c < tiny else c)
        d = 1.0 / d
        step = d * c
        h *= step
        if -3e-16 < step - 1.0 < 3e-16:
            break
    return h


__all__ = ["Bars", "bought_shares", "normal", "student", "time_bars", "volume_bars"]
