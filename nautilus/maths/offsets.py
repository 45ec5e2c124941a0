"""Credit for products that offset one another: intercommodity spreads, cross-margin.

Offsets are taken in the order of the table, each from what the ones before left, as SPAN's spread tables are: `ratio`
deltas of one product against `other_ratio` of another, of opposite sign, make a spread; it frees `rate` of the
requirement that these deltas carry in each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.maths.bounds import SMALLEST, shaped
from nautilus.maths.errors import LARGEST, Undefined

Array = npt.NDArray[np.float64]


class Offset(NamedTuple):
    """One row of the table; `rate` from 0 to 1; both ratios above 0."""

    product: int
    other: int
    ratio: float
    other_ratio: float
    rate: float


def credits(requirement: npt.ArrayLike, delta: npt.ArrayLike, table: Sequence[Offset]) -> Array:
    """What each product's requirement is lowered by, (products,): from 0 to the requirement.

    Parameters
    ----------
    requirement, delta
        Of each product: amount of equity, and net delta in its own units; (products,) each.
    table
        In order of precedence.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``; ``out_of_range`` for a rate not from 0 to 1, a ratio not above 0 or a product that
        is not there.
    """
    needed = shaped(requirement, "requirements", (None,))
    net = shaped(delta, "deltas", needed.shape)
    left = np.abs(net)
    freed = np.zeros(len(needed))
    for row in table:
        ratios = (row.ratio, row.other_ratio)
        if not 0 <= row.rate <= 1 or not all(SMALLEST <= each <= LARGEST for each in ratios):
            raise Undefined("out_of_range", f"offset {tuple(row)}", "a rate from 0 to 1 and ratios above 0")
        if not (0 <= row.product < len(needed) and 0 <= row.other < len(needed)) or row.product == row.other:
            raise Undefined("out_of_range", f"offset {tuple(row)}", "two products that are there")
        if net[row.product] * net[row.other] >= 0:
            continue
        spreads = min(left[row.product] / row.ratio, left[row.other] / row.other_ratio)
        for place, ratio in ((row.product, row.ratio), (row.other, row.other_ratio)):
            used = spreads * ratio
            freed[place] += row.rate * needed[place] * used / abs(net[place])
            left[place] = max(left[place] - used, 0.0)
    return np.minimum(freed, needed)


__all__ = ["Offset", "credits"]
