"""Features of whole histories, with the checks of what people hand in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.core.indicators import batch
from nautilus.maths.errors import Undefined, check_times, finite, same_length
from nautilus.maths.indicators.definition import INPUTS, Compiled

Floats = npt.NDArray[np.float64]


class FeatureTable(NamedTuple):
    """Values of every output of every row, shape (outputs, rows); 0 where `valid` says that there is none."""

    outputs: tuple[str, ...]
    values: Floats
    valid: npt.NDArray[np.bool_]


def checked_rows(
    source: str, columns: Mapping[str, npt.ArrayLike], times_ns: npt.NDArray[np.int64] | None = None
) -> list[Floats]:
    """Columns of the inputs of a source in their order, checked.

    Raises
    ------
    Undefined
        ``empty``, ``mismatch`` (a column too few, or lengths that differ), ``not_finite``, ``out_of_range`` (a volume
        or size below 0, an open or close beyond high and low, an ask below the bid), ``unsorted``, ``duplicate_time``.
    """
    names = INPUTS[source]
    lacking = [name for name in names if name not in columns]
    if lacking:
        raise Undefined("mismatch", f"no column {', '.join(lacking)}", f"{', '.join(names)}")
    rows = [finite(columns[name], name) for name in names]
    same_length("columns", (each.size for each in rows))
    if times_ns is not None:
        same_length("columns and times", (rows[0].size, times_ns.size))
        check_times(times_ns)
    for name, row in zip(names, rows, strict=True):
        if name in ("volume", "size", "bid_size", "ask_size"):
            _refuse(row < 0.0, f"{name} below 0", "0 or more")
    if source == "bar":
        opened, high, low, close, _ = rows
        beyond = (low > np.minimum(opened, close)) | (high < np.maximum(opened, close))
        _refuse(beyond, "an open or close beyond high and low", "low <= both <= high")
    elif source == "quote":
        _refuse(rows[0] > rows[2], "a bid above the ask", "bid <= ask")
    return rows


def _refuse(bad: npt.NDArray[np.bool_], what: str, expected: str) -> None:
    if bad.any():
        raise Undefined("out_of_range", f"row {int(np.argmax(bad))}: {what}", expected)


def split_adjusted(
    columns: Mapping[str, npt.ArrayLike], times_ns: npt.NDArray[np.int64], splits: Sequence[tuple[int, float]]
) -> dict[str, Floats]:
    """Bars in the shares of the last day: before a split (time, new shares for one) prices shrink, volumes grow.

    A level in such a column is known only since the split; ratios and returns are what they were, so that a feature
    that does not change when all prices do sees nothing of what was to come.

    Raises
    ------
    Undefined
        ``out_of_range``: a ratio that is not above 0.
    """
    factor = np.ones(times_ns.size)
    for at, ratio in splits:
        if not (np.isfinite(ratio) and ratio > 0.0):
            raise Undefined("out_of_range", f"split {ratio}", "new shares for one, above 0")
        factor[times_ns < at] *= ratio
    out = {name: finite(values, name) for name, values in columns.items()}
    same_length("columns and times", (each.size for each in (*out.values(), times_ns)))
    return {name: row * factor if name == "volume" else row / factor for name, row in out.items()}


def whole(
    made: Compiled, columns: Mapping[str, npt.ArrayLike], times_ns: npt.NDArray[np.int64] | None = None
) -> FeatureTable:
    """All features of a history: the same numbers, bit for bit, as its rows give one at a time.

    Parameters
    ----------
    columns
        By the names of the inputs of the source (`INPUTS`), of equal length.
    times_ns
        Of the rows, for the check that they increase.
    """
    values, valid = batch(made.program, *checked_rows(made.source, columns, times_ns))
    return FeatureTable(made.outputs, values, valid)


__all__ = ["FeatureTable", "checked_rows", "split_adjusted", "whole"]
