"""Whole lots that come nearest to target weights, under cash and a smallest order.

Rounding each position by itself spends cash that is not there, and small orders cost more than they mend. So targets
are first moved to what the cash allows (the nearest such weights: all that can give way give way by the same amount),
then rounded, then made better by one lot at a time and by exchanges of a lot for another's, until no such step helps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.maths.bounds import SMALLEST, shaped, whole_numbers, within
from nautilus.maths.errors import Undefined

Array = npt.NDArray[np.float64]
Lots = npt.NDArray[np.int64]

MOST_LOTS = 1_000_000_000_000
_SWEEPS = 64
_PAIRS = 400
"""With more instruments exchanges are looked for among those that miss their targets the most."""


class LotPlan(NamedTuple):
    """What to hold.

    Parameters
    ----------
    lots
        Of each instrument, after the orders.
    miss_before, miss_after
        Root of the sum of squares of weight less target.
    cash
        What is left, after costs.
    """

    lots: Lots
    miss_before: float
    miss_after: float
    cash: float


def nearest_lots(
    targets: Array,
    held: Lots,
    worth: Array,
    prices: Array,
    smallest: Lots,
    value: float,
    cash: float,
    reserve: float = 0.0,
    cost: float = 0.0,
) -> LotPlan:
    """Whole lots nearest to target weights.

    Parameters
    ----------
    targets
        Parts of `value` (n).
    held
        Lots held now (n).
    worth
        Value of one lot (n), above 0: what it adds to the weight.
    prices
        Cash that one lot takes or gives (n); 0 of what is settled by margin.
    smallest
        Fewest lots of an order (n), 1 or more. An order that closes a position may be smaller.
    value, cash
        To be divided, and cash there is now.
    reserve
        Cash that must be left.
    cost
        Of trading, as a part of what is traded.

    Raises
    ------
    Undefined
        ``out_of_range``: value or the worth of a lot is not above 0; ``infeasible``: even without buying, the cash is
        below the reserve; ``not_finite``; ``mismatch``.
    """
    targets = shaped(targets, "targets", (None,))
    n = len(targets)
    worth, prices = shaped(worth, "worth of lots", (n,)), shaped(prices, "prices", (n,))
    held = whole_numbers(held, "lots held", (n,), -MOST_LOTS, MOST_LOTS)
    smallest = whole_numbers(smallest, "smallest orders", (n,), 1, MOST_LOTS)
    for name, number in (("value", value), ("cash", cash), ("reserve", reserve)):
        within(number, name)
    within(cost, "cost", 0.0, 1.0)
    if not value >= SMALLEST or not np.all(worth >= SMALLEST):
        raise Undefined("out_of_range", "the value to divide, or that of a lot", "above 0")
    unit = worth / value
    before = _miss(held * unit, targets)
    if n == 0:
        return LotPlan(held.copy(), before, before, cash)
    search = _Search(targets, held, unit, prices, worth * cost, smallest, cash - reserve)
    lots = search.run(_affordable(targets, held, worth, prices, value, cash - reserve, cost))
    left = float(cash - np.sum((lots - held) * prices) - np.sum(np.abs(lots - held) * worth * cost))
    if left < reserve - 1e-9 * value:
        raise Undefined("infeasible", f"cash of {left:.6g} after all sales", f"the reserve of {reserve:.6g}")
    after = _miss(lots * unit, targets)
    return LotPlan(lots, before, after, left)


def _affordable(
    targets: Array, held: Lots, worth: Array, prices: Array, value: float, cash: float, cost: float
) -> Array:
    """The nearest weights that cash can pay for; nothing that is above 0 goes below, nothing below 0 further."""
    ratio = prices / worth  # cash of a unit of value
    floor = np.minimum(targets, 0.0)
    start = held * worth / value

    def needs(weights: Array) -> float:
        moved = weights - start
        return float(np.sum(moved * ratio) + cost * np.sum(np.abs(moved))) * value

    if needs(targets) <= cash:
        return targets
    low, high = 0.0, float(np.max(targets - floor, initial=0.0)) + 1e-12
    for _ in range(100):
        middle = 0.5 * (low + high)
        if needs(np.maximum(targets - middle * ratio, floor)) <= cash:
            high = middle
        else:
            low = middle
    return np.maximum(targets - high * ratio, floor)


class _Search:
    """Rounds, mends and improves."""

    def __init__(
        self, targets: Array, held: Lots, unit: Array, prices: Array, cost: Array, smallest: Lots, cash: float
    ) -> None:
        self._targets, self._held, self._unit, self._prices = targets, held, unit, prices
        self._cost, self._smallest, self._cash = cost, smallest, cash

    def run(self, wanted: Array) -> Lots:
        ideal = wanted / self._unit
        within(float(np.abs(ideal).max(initial=0.0)), "lots wanted", 0.0, MOST_LOTS)
        lots = self._allowed(np.rint(ideal).astype(np.int64), ideal)
        lots = self._pay(lots)
        for _ in range(_SWEEPS):
            before = lots
            lots = self._one(lots)
            lots = self._exchange(lots)
            if np.array_equal(before, lots):
                break
        return lots

    def left(self, lots: Lots) -> float:
        """Cash after the orders."""
        moved = lots - self._held
        return float(self._cash - np.sum(moved * self._prices) - np.sum(np.abs(moved) * self._cost))

    def _allowed(self, lots: Lots, ideal: Array) -> Lots:
        """The nearest lots that no too small order leads to: none, the smallest one, or all out."""
        moved = lots - self._held
        small = (moved != 0) & (np.abs(moved) < self._smallest) & (lots != 0)
        away = self._held + np.sign(moved) * self._smallest
        stay = np.abs(self._held - ideal) <= np.abs(away - ideal)
        return np.where(small, np.where(stay, self._held, away), lots)

    def _valid(self, lots: Lots) -> npt.NDArray[np.bool_]:
        moved = np.abs(lots - self._held)
        valid: npt.NDArray[np.bool_] = (moved == 0) | (moved >= self._smallest) | (lots == 0)
        return valid

    def _pay(self, lots: Lots) -> Lots:
        """Take off what costs least in nearness for the cash that it frees, until the cash is there."""
        while self.left(lots) < 0:
            best, best_rate, best_lots = -1, np.inf, 0
            down = self._down(lots)
            freed = (lots - down) * self._prices + (np.abs(lots - self._held) - np.abs(down - self._held)) * self._cost
            usable = (down != lots) & (freed > 0)
            if not usable.any():
                break
            worse = (down * self._unit - self._targets) ** 2 - (lots * self._unit - self._targets) ** 2
            rate = np.where(usable, worse / np.where(usable, freed, 1.0), np.inf)
            best = int(np.argmin(rate))
            best_rate, best_lots = float(rate[best]), int(down[best])
            if not np.isfinite(best_rate):
                break
            lots = lots.copy()
            lots[best] = best_lots
        return lots

    def _down(self, lots: Lots) -> Lots:
        """The next lots below each that are allowed; nothing long becomes short, and no short one grows."""
        down = np.where(lots > 0, lots - 1, lots)
        moved = down - self._held
        # A buy that would be too small is not made; a sale that is too small becomes the smallest, or all.
        down = np.where((moved > 0) & (moved < self._smallest), self._held, down)
        small = (moved < 0) & (-moved < self._smallest) & (down != 0)
        return np.where(small, np.maximum(self._held - self._smallest, 0), down)

    def _one(self, lots: Lots) -> Lots:
        """Add or take off one lot while that brings it nearer and the cash allows."""
        for _ in range(_SWEEPS * 4):
            error = lots * self._unit - self._targets
            best = (-1e-15, -1, 0)
            for step in (1, -1):
                gain = (2 * step * error + self._unit) * self._unit
                moved = lots + step
                gain = np.where(self._valid(moved), gain, np.inf)
                for at in np.argsort(gain)[: 8 if step > 0 else 1].tolist():
                    if gain[at] >= best[0]:
                        break
                    trial = lots.copy()
                    trial[at] += step
                    if self.left(trial) >= 0 or self.left(trial) >= self.left(lots):
                        best = (float(gain[at]), at, step)
                        break
            if best[1] < 0:
                return lots
            lots = lots.copy()
            lots[best[1]] += best[2]
        return lots

    def _exchange(self, lots: Lots) -> Lots:
        """Give one lot of an instrument for one of another while that brings it nearer."""
        n = len(lots)
        error = lots * self._unit - self._targets
        chosen = np.argsort(-np.abs(error))[:_PAIRS] if n > _PAIRS else np.arange(n)
        for _ in range(_SWEEPS):
            error = (lots * self._unit - self._targets)[chosen]
            unit, price = self._unit[chosen], self._prices[chosen]
            up = np.where(self._valid(lots + 1)[chosen], (2 * error + unit) * unit, np.inf)
            down = np.where(self._valid(lots - 1)[chosen], (unit - 2 * error) * unit, np.inf)
            gain = up[:, None] + down[None, :]
            np.fill_diagonal(gain, np.inf)
            # Costs change by two lots at most.
            spent = price[:, None] - price[None, :]
            room = self.left(lots)
            cost = self._cost[chosen]
            worst = spent + cost[:, None] + cost[None, :]
            gain = np.where((worst <= max(room, 0.0)) | (worst <= 0), gain, np.inf)
            at = int(np.argmin(gain))
            i, j = divmod(at, len(chosen))
            if not gain[i, j] < -1e-15:
                return lots
            lots = lots.copy()
            lots[chosen[i]] += 1
            lots[chosen[j]] -= 1
        return lots


def _miss(weights: Array, targets: Array) -> float:
    return float(np.sqrt(np.sum((weights - targets) ** 2)))
