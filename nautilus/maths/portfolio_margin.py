"""Portfolio margin: the largest loss over moves of the underlying, in the manner of OCC's TIMS.

Not OCC's own: no theoretical values of theirs are used. Sources: FINRA Rule 4210(g); the ranges and the least amount
are those that the Cboe and OCC publish: a stock or narrow index moves by 15 % up and down, a broad index by 6 % up
and 8 % down, at ten points, volatility as it is; at least 0.375 dollars times the multiplier for each contract.
Within a product group gains of one class count against losses of another at a stated part.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.maths.bounds import shaped, whole_numbers, within
from nautilus.maths.dated import Dated
from nautilus.maths.errors import Undefined

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


MOST_GROUPS: Final = 1 << 24


class ScanRules(NamedTuple):
    """Moves as parts of the price; the least amount in dollars per unit of a contract's multiplier.

    Parameters
    ----------
    points
        Of the scan, as parts of the full move, signed.
    stock_up, stock_down, broad_up, broad_down
        Full moves.
    least
        For each contract, long or short.
    offset
        Part of a class's gain that counts against another class's loss in a product group.
    """

    points: tuple[float, ...] = (-1.0, -0.8, -0.6, -0.4, -0.2, 0.2, 0.4, 0.6, 0.8, 1.0)
    stock_up: float = 0.15
    stock_down: float = 0.15
    broad_up: float = 0.06
    broad_down: float = 0.08
    least: float = 0.375
    offset: float = 0.90


SCAN_RULES: Final[Dated[ScanRules]] = (
    (20080801, ScanRules()),  # portfolio margin became permanent for customers in that month
)


def class_requirement(gains: Array, least: Array) -> Array:
    """The largest loss of each class, at least its least amount; `gains` (classes, points).

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``, ``out_of_range``; ``empty``: no points.
    """
    gains = shaped(gains, "gains", (None, None))
    least = shaped(least, "least amounts", gains.shape[:1])
    if not gains.shape[0]:
        return np.zeros(0)
    if not gains.shape[1]:
        raise Undefined("empty", "a scan without points", "at least one")
    result: Array = np.maximum(np.maximum(-gains.min(axis=1), 0.0), least)
    return result


def group_requirement(gains: Array, least: Array, group: Places, groups: int, offset: float) -> Array:
    """The requirement of each product group.

    Parameters
    ----------
    gains
        Of each class at each point, (classes, points); losses negative.
    least
        Least amount of each class, (classes,).
    group
        Product group of each class, from 0, (classes,).
    groups
        Product groups.
    offset
        Part of gains that counts against losses of other classes of the group.

    Returns
    -------
    Array
        (groups,): never more than the sum over its classes, and with one class what that class requires.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``, ``out_of_range``; ``empty``: no points.
    """
    within(groups, "groups", 0, MOST_GROUPS)
    within(offset, "offset", 0.0, 1.0)
    gains = shaped(gains, "gains", (None, None))
    least = shaped(least, "least amounts", gains.shape[:1])
    group = whole_numbers(group, "groups", gains.shape[:1], 0, groups - 1)
    count = np.bincount(group, minlength=groups)
    alone = count[group] == 1
    counted = np.where(alone[:, None] | (gains < 0), gains, offset * gains)
    total = np.zeros((groups, gains.shape[1]))
    for column in range(gains.shape[1]):
        total[:, column] = np.bincount(group, counted[:, column], groups)
    return class_requirement(total, np.bincount(group, least, groups).astype(np.float64))


__all__ = ["SCAN_RULES", "ScanRules", "class_requirement", "group_requirement"]
