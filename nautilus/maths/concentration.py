"""Add-on for what is concentrated: a rate on the part of an exposure above a share of the gross exposure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nautilus.maths.bounds import within
from nautilus.maths.errors import LARGEST, Undefined, check_finite

Array = npt.NDArray[np.float64]


def add_on(exposures: npt.ArrayLike, share: float, rate: float) -> Array:
    """``rate x max(|exposure| - share x sum of |exposures|, 0)`` of each issuer or underlying.

    Raises
    ------
    Undefined
        ``not_finite``; ``out_of_range`` for a share not above 0 and at most 1, or a rate below 0.
    """
    size = np.abs(np.asarray(exposures, np.float64))
    check_finite(size, "exposures")
    if not (0 < share <= 1 and 0 <= rate <= LARGEST):
        raise Undefined(
            "out_of_range", f"share {share} and rate {rate}", "a share above 0, at most 1; a rate of 0 or more"
        )
    result: Array = rate * np.maximum(size - share * size.sum(), 0.0)
    return result


class Sizes:
    """Sizes by place, of which the sum and those above a bound are known without looking at all.

    A tree of sums and one of greatest values over the places: a change costs the logarithm of their number, and the
    sums do not drift as a running total does.

    Parameters
    ----------
    places
        Room at first, 2^26 at most; it grows as places are used.
    """

    def __init__(self, places: int = 1) -> None:
        within(places, "places", 0, 1 << 26)
        self._half = 1
        while self._half < places:
            self._half *= 2
        self._sums = [0.0] * (2 * self._half)
        self._most = [0.0] * (2 * self._half)

    @property
    def total(self) -> float:
        """Sum of all sizes."""
        return self._sums[1]

    def __getitem__(self, place: int) -> float:
        return self._sums[self._half + place] if place < self._half else 0.0

    def __setitem__(self, place: int, size: float) -> None:
        while place >= self._half:
            self._grow()
        node = self._half + place
        self._sums[node] = size
        self._most[node] = size
        node //= 2
        sums, most = self._sums, self._most
        while node:
            left = 2 * node
            sums[node] = sums[left] + sums[left + 1]
            most[node] = most[left] if most[left] >= most[left + 1] else most[left + 1]
            node //= 2

    def above(self, bound: float) -> list[int]:
        """Places whose size is above a bound (0 or more), ascending; cost by how many there are."""
        found: list[int] = []
        waiting = [1]
        while waiting:
            node = waiting.pop()
            if self._most[node] <= bound:
                continue
            if node >= self._half:
                found.append(node - self._half)
            else:
                waiting += (2 * node + 1, 2 * node)
        return found

    def _grow(self) -> None:
        sizes = self._sums[self._half :]
        self._half *= 2
        self._sums = [0.0] * self._half + sizes + [0.0] * (self._half - len(sizes))
        self._most = list(self._sums)
        for node in range(self._half - 1, 0, -1):
            left, right = 2 * node, 2 * node + 1
            self._sums[node] = self._sums[left] + self._sums[right]
            self._most[node] = max(self._most[left], self._most[right])


__all__ = ["Sizes", "add_on"]
