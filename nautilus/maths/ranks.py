"""Where each instrument stands among all, at one time: ranks and standard scores of a cross-section.

A cross-section is a row with a mask: who has no value has no rank and is not counted. Nothing of another time enters.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nautilus.maths.bounds import SMALLEST
from nautilus.maths.errors import Undefined, check_finite, same_length

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def _present(values: npt.ArrayLike, valid: npt.ArrayLike | None, least: int) -> tuple[Floats, Mask]:
    row = np.ascontiguousarray(values, np.float64)
    mask = np.ones(row.shape, np.bool_) if valid is None else np.ascontiguousarray(valid, np.bool_)
    if row.ndim != 1 or mask.ndim != 1:
        raise Undefined("mismatch", f"a cross-section of {row.ndim} dimensions", "one row")
    same_length("values and mask", (row.size, mask.size))
    present = row[mask]
    if present.size < least:
        raise Undefined("too_few" if present.size else "empty", f"{present.size} with a value", f"{least} or more")
    check_finite(present, "cross-section")
    return present, mask


def ranks(values: npt.ArrayLike, valid: npt.ArrayLike | None = None) -> Floats:
    """Rank of each, 1 is the lowest; equals share the mean of theirs; 0 where it has no value.

    Parameters
    ----------
    values, valid
        Shape (n,), and who has a value (None: all).

    Raises
    ------
    Undefined
        ``empty``, ``not_finite``, ``mismatch``.
    """
    present, mask = _present(values, valid, 1)
    order = np.argsort(present, kind="stable")
    in_order = present[order]
    # First and last place of the group of equals of each.
    first = np.searchsorted(in_order, present, side="left")
    last = np.searchsorted(in_order, present, side="right")
    out = np.zeros(mask.size)
    out[mask] = 0.5 * (first + 1 + last)
    return out


def percentile_ranks(values: npt.ArrayLike, valid: npt.ArrayLike | None = None) -> Floats:
    """(rank - 1) / (n - 1): 0 for the lowest, 1 for the highest, 0 where it has no value. Two at least."""
    present, mask = _present(values, valid, 2)
    out = ranks(values, valid)
    out[mask] = (out[mask] - 1.0) / (present.size - 1)
    return out


def standard_scores(values: npt.ArrayLike, valid: npt.ArrayLike | None = None, *, limit: float = 0.0) -> Floats:
    """Distance of each from the mean in standard deviations (divisor n), 0 where it has no value.

    Parameters
    ----------
    limit
        Scores beyond it, either side, are cut to it; 0: none are.

    Raises
    ------
    Undefined
        ``constant``: all are the same; ``too_few``: below two.
    """
    present, mask = _present(values, valid, 2)
    if (present == present[0]).all():
        raise Undefined("constant", "a cross-section of equal values", "values that differ")
    away = present - present.mean()
    spread = float(np.sqrt(np.mean(away * away)))
    if spread < SMALLEST:
        raise Undefined("constant", "a cross-section of equal values", "values that differ")
    scores = away / spread
    out = np.zeros(mask.size)
    out[mask] = np.clip(scores, -limit, limit) if limit > 0.0 else scores
    return out


__all__ = ["percentile_ranks", "ranks", "standard_scores"]
