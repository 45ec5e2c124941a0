"""How far a margin call is: in time, in price, and which positions to cut so that it need not come.

Time: the excess (equity less maintenance) is a Brownian motion with drift m and volatility s per square root of a
year; the first time at which it is 0 has the law of A. Borodin and P. Salminen, "Handbook of Brownian Motion", 2002,
2.2.0.2:

    P(T <= t) = N((-x - m t) / (s sqrt t)) + e^(-2 m x / s^2) N((-x + m t) / (s sqrt t))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.maths.bounds import LARGEST, SMALLEST, within
from nautilus.maths.errors import Undefined, check_finite
from nautilus.maths.normal import cdf, erfcx

Array = npt.NDArray[np.float64]
SQRT_2: Final = math.sqrt(2.0)
NEAR: Final = 30
"""Positions before and behind the last one needed among which whole lots are weighed.

With fewer the cut is the best.
"""
MOST_LOTS: Final = 1e15
MOST_STEPS: Final = 100_000


class FirstPassage(NamedTuple):
    """When the excess first is 0, in years.

    Parameters
    ----------
    probability
        That it is within the horizon.
    ever
        That it ever is.
    expected
        Mean time, given that it ever is: x / |m|; None without drift, where it is infinite.
    median
        Time within which it is with probability one half; None where it never gets there.
    """

    probability: float
    ever: float
    expected: float | None
    median: float | None


def passage_probability(excess: float, drift: float, volatility: float, years: float) -> float:
    """P(T <= years) for an excess above 0.

    Raises
    ------
    Undefined
        ``not_finite``; ``out_of_range`` for a volatility or time below 0.
    """
    if not all(math.isfinite(each) for each in (excess, drift, volatility, years)):
        raise Undefined("not_finite", "an excess, drift, volatility or time that is not finite", "finite numbers")
    if volatility < 0 or years < 0:
        raise Undefined("out_of_range", "a volatility or time below 0", "0 or more")
    sizes = [abs(each) for each in (excess, drift, volatility, years) if each]
    if sizes and not SMALLEST <= min(sizes) <= max(sizes) <= LARGEST:
        raise Undefined("out_of_range", "an excess, drift, volatility or time", f"{SMALLEST:g} to {LARGEST:g}")
    if excess <= 0:
        return 1.0
    if years == 0:
        return 0.0
    if volatility == 0:
        return 1.0 if excess + drift * years <= 0 else 0.0
    spread = volatility * math.sqrt(years)
    first = (excess + drift * years) / spread
    second = (excess - drift * years) / spread
    # e^(-2 m x / s^2) N(-second) = phi(first)-scaled: the exponents are added before they can overflow.
    if second > 0:
        reflected = 0.5 * math.exp(-0.5 * first * first) * float(erfcx(second / SQRT_2))
    else:
        reflected = math.exp(min(-2.0 * drift * excess / volatility**2, 700.0)) * float(cdf(-second))
    return min(1.0, float(cdf(-first)) + reflected)


def first_passage(excess: float, drift: float, volatility: float, horizon: float) -> FirstPassage:
    """Law of the first time at which the excess is 0; an excess of 0 or less is there now.

    Raises
    ------
    Undefined
        See `passage_probability`.
    """
    within = passage_probability(excess, drift, volatility, horizon)
    if excess <= 0:
        return FirstPassage(1.0, 1.0, 0.0, 0.0)
    if volatility == 0:
        when = excess / -drift if drift < 0 else None
        return FirstPassage(within, 0.0 if when is None else 1.0, when, when)
    ever = 1.0 if drift <= 0 else math.exp(-2.0 * drift * excess / volatility**2)
    expected = excess / abs(drift) if drift else None
    median = None
    if ever > 0.5:
        low, high = 0.0, (excess / volatility) ** 2
        while passage_probability(excess, drift, volatility, high) < 0.5 and high < 1e12:
            low, high = high, 4.0 * high
        for _ in range(200):
            middle = 0.5 * (low + high)
            if passage_probability(excess, drift, volatility, middle) < 0.5:
                low = middle
            else:
                high = middle
            if high - low <= 1e-13 * high:
                break
        median = 0.5 * (low + high)
    return FirstPassage(within, ever, expected, median)


def move_to_call(
    excess: Callable[[float], float], lowest: float = -0.999, highest: float = 3.0, steps: int = 60
) -> tuple[float | None, float | None]:
    """The nearest moves down and up of one factor at which the excess is 0.

    Parameters
    ----------
    excess
        Equity less maintenance after the factor moved by a part of itself.
    lowest, highest
        Ends of the search.
    steps
        Steps to each side in which a change of sign is looked for: a call that begins and ends within one is not seen.

    Returns
    -------
    tuple
        Move down (negative) and up, each to 1e-12; None where there is none before the end; 0.0 twice where a call is
        due.

    Raises
    ------
    Undefined
        ``not_finite``: an end, or what `excess` gives; ``out_of_range``: ends not below and above 0, no steps, or
        more than `MOST_STEPS`.
    """
    within(lowest, "the lowest move", -LARGEST, 0.0)
    within(highest, "the highest move", 0.0)
    within(steps, "steps", 1, MOST_STEPS)
    now = _told(excess, 0.0)
    if now <= 0:
        return 0.0, 0.0
    found: list[float | None] = []
    for end in (lowest, highest):
        inside, place = 0.0, None
        for step in range(1, steps + 1):
            # Closer together near where the price is.
            outside = end * (step / steps) ** 2
            if _told(excess, outside) <= 0:
                place = _bisect(excess, inside, outside)
                break
            inside = outside
        found.append(place)
    return found[0], found[1]


def _told(excess: Callable[[float], float], move: float) -> float:
    found = excess(move)
    if math.isnan(found):
        raise Undefined("not_finite", f"an excess after a move of {move:g}", "a number")
    return found


def _bisect(excess: Callable[[float], float], inside: float, outside: float) -> float:
    for _ in range(60):
        middle = 0.5 * (inside + outside)
        if _told(excess, middle) > 0:
            inside = middle
        else:
            outside = middle
        if abs(outside - inside) <= 1e-12:
            break
    return outside


def cheapest_cut(relief: npt.ArrayLike, cost: npt.ArrayLike, lots: npt.ArrayLike, shortfall: float) -> Array:
    """Lots to close of each position so that at least the shortfall is freed at the least cost.

    The linear program ``min c x, r x >= s, 0 <= x <= n`` is solved by taking the positions in the order of relief per
    cost; whole lots by branch and bound on that order.

    Parameters
    ----------
    relief, cost
        Margin freed and cost of one lot of each position, (N,); positions that free nothing are left alone.
    lots
        Lots held, whole numbers of 0 or more, (N,).
    shortfall
        What has to be freed.

    Returns
    -------
    Array
        Lots of each, whole numbers, (N,).

    Raises
    ------
    Undefined
        ``not_finite``; ``out_of_range`` for a cost or lots below 0; ``infeasible`` where all positions together free
        less.
    """
    freed, price, held = (np.asarray(given, np.float64) for given in (relief, cost, lots))
    if freed.ndim != 1 or freed.shape != price.shape or freed.shape != held.shape:
        raise Undefined("mismatch", f"shapes {freed.shape}, {price.shape}, {held.shape}", "one of each position")
    for name, row in (("relief", freed), ("cost", price), ("lots", held), ("shortfall", np.array([shortfall]))):
        check_finite(row, name)
    if held.size and held.max() > MOST_LOTS:
        raise Undefined("out_of_range", f"{held.max():.6g} lots", f"at most {MOST_LOTS:g}")
    if (price < 0).any() or (held < 0).any():
        raise Undefined("out_of_range", "a cost or number of lots below 0", "0 or more")
    best = np.zeros(len(freed))
    if shortfall <= 0:
        return best
    useful = np.flatnonzero((freed > 0) & (held > 0))
    if float(freed[useful] @ held[useful]) < shortfall * (1.0 - 1e-12):
        raise Undefined(
            "infeasible", f"all positions free {float(freed[useful] @ held[useful])}", f"at least {shortfall}"
        )
    with np.errstate(divide="ignore", over="ignore"):
        order = useful[np.argsort(-(freed[useful] / price[useful]), kind="stable")]
    # Far before the last position that is needed all lots go, far behind it none: whole lots are weighed near it.
    reached = np.cumsum(freed[order] * held[order])
    last = min(int(np.searchsorted(reached, shortfall)), len(order) - 1)
    first = max(0, last - NEAR + 1)
    best[order[:first]] = held[order[:first]]
    missing = shortfall - (float(reached[first - 1]) if first else 0.0)
    near = order[first : last + NEAR]
    best[near] = _whole_lots(freed[near].tolist(), price[near].tolist(), held[near].tolist(), missing)
    return best


def _whole_lots(freed: list[float], price: list[float], held: list[float], shortfall: float) -> list[float]:
    """Branch and bound on positions in the order of relief per cost; the best found when the visits are used up."""
    count = len(freed)
    slack = 1e-9 * shortfall
    best_cost = math.inf
    best = list(held)
    chosen = [0.0] * count
    visits = 200_000

    def bound(place: int, missing: float) -> float:
        total = 0.0
        while missing > slack and place < count:
            part = min(held[place], missing / freed[place])
            total += part * price[place]
            missing -= part * freed[place]
            place += 1
        return total if missing <= slack else math.inf

    def visit(place: int, missing: float, spent: float) -> None:
        nonlocal best_cost, best, visits
        visits -= 1
        if missing <= slack:
            if spent < best_cost - 1e-12 * max(spent, 1.0):
                best_cost, best = spent, list(chosen)
            return
        if place == count or visits < 0 or spent + bound(place, missing) >= best_cost - 1e-12 * max(best_cost, 1.0):
            return
        most = min(held[place], math.ceil((missing - slack) / freed[place]))
        lots = most
        while lots >= 0:
            chosen[place] = lots
            visit(place + 1, missing - lots * freed[place], spent + lots * price[place])
            lots -= 1
            if spent + lots * price[place] + bound(place + 1, missing - lots * freed[place]) >= best_cost:
                break
        chosen[place] = 0.0

    visit(0, shortfall, 0.0)
    return best


__all__ = ["FirstPassage", "cheapest_cut", "first_passage", "move_to_call", "passage_probability"]
