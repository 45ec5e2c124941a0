"""Features of whole histories, with the checks of what people hand in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.core.feature_feed import LEAST_STEP, MOST_STEP
from nautilus.core.indicators import batch
from nautilus.maths.bounds import whole_numbers
from nautilus.maths.errors import LARGEST, Undefined, check_times, finite, same_length
from nautilus.maths.indicators.definition import INPUTS, Compiled

Floats = npt.NDArray[np.float64]
KEPT_ROWS: Final = {"bar": 256, "quote": 0, "trade": 0}
"""Rows before a split that are put into shares of after: more than any feature of bars warms up."""
MOST_SPLITS: Final = 1_000
_MOST_RATIO = 1e9


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
        or size below 0, an open or close beyond high and low, an ask below the bid, no such source), ``unsorted``,
        ``duplicate_time``.
    """
    if source not in INPUTS:
        raise Undefined("out_of_range", f"source {source!r}", " or ".join(INPUTS))
    names = INPUTS[source]
    lacking = [name for name in names if name not in columns]
    if lacking:
        raise Undefined("mismatch", f"no column {', '.join(lacking)}", f"{', '.join(names)}")
    rows = [finite(columns[name], name) for name in names]
    same_length("columns", (each.size for each in rows))
    if times_ns is not None:
        check_times(whole_numbers(times_ns, "times", rows[0].shape))
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


def through_splits(
    made: Compiled,
    columns: Mapping[str, npt.ArrayLike],
    times_ns: npt.NDArray[np.int64],
    splits: Sequence[tuple[int, float]],
) -> FeatureTable:
    """The same through splits, (time, new shares for one) each: every row is in the shares of its own time.

    At a split the features begin anew. Of bars the last `KEPT_ROWS` before it are put into shares of after (prices
    shrink, volumes grow) and gone through again; of quotes and trades nothing is kept. So a row knows nothing of a
    split to come, and a stream that is told of the split gives the same numbers, bit for bit. A row of a split's very
    time is after it.

    Raises
    ------
    Undefined
        ``out_of_range``: a ratio not within 1e-9 to 1e9, or more than `MOST_SPLITS`; ``duplicate_time``: two
        splits at one time; and as `checked_rows`.
    """
    times_ns = whole_numbers(times_ns, "times")
    ordered = _ordered(splits)
    rows = np.stack(checked_rows(made.source, columns, times_ns))
    values = np.zeros((len(made.outputs), times_ns.size))
    valid = np.zeros(values.shape, np.bool_)
    kept, begin, keeps = rows[:, :0], 0, KEPT_ROWS[made.source]
    ends = [int(np.searchsorted(times_ns, at)) for at, _ in ordered]
    for end, ratio in zip([*ends, times_ns.size], [*(ratio for _, ratio in ordered), 1.0], strict=True):
        run = np.concatenate([kept, rows[:, begin:end]], 1)
        if end > begin:
            found, there = batch(made.program, *(np.ascontiguousarray(row) for row in run))
            values[:, begin:end], valid[:, begin:end] = found[:, kept.shape[1] :], there[:, kept.shape[1] :]
        kept = run[:, max(run.shape[1] - keeps, 0) :].copy()
        if keeps:
            kept[:4] /= ratio
            kept[4] *= ratio
            within: npt.NDArray[np.bool_] = np.all(np.abs(kept) <= LARGEST, axis=0)
            _refuse(np.logical_not(within), f"beyond {LARGEST:g} after a split", "splits of prices")
        begin = end
    return FeatureTable(made.outputs, values, valid)


def _ordered(splits: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    if len(splits) > MOST_SPLITS:
        raise Undefined("out_of_range", f"{len(splits)} splits", f"at most {MOST_SPLITS}")
    ordered = sorted(splits)
    for number, (at, ratio) in enumerate(ordered):
        if not 1.0 / _MOST_RATIO < ratio < _MOST_RATIO:
            raise Undefined(
                "out_of_range", f"split {ratio}", f"new shares for one, 1 / {_MOST_RATIO:g} to {_MOST_RATIO:g}"
            )
        if number and at == ordered[number - 1][0]:
            raise Undefined("duplicate_time", f"two splits at {at}", "one")
    return ordered


def untold_steps(
    source: str,
    columns: Mapping[str, npt.ArrayLike],
    times_ns: npt.NDArray[np.int64] | None = None,
    splits: Sequence[tuple[int, float]] = (),
) -> int:
    """Steps of the price as of a split that is not among `splits`: by two fifths down or nine tenths up.

    From the close of a bar to the next open, from one bid or trade to the next, as `FeatureFeed.splits` counts them.

    Raises
    ------
    Undefined
        As `checked_rows`, and for splits as `through_splits`.
    """
    rows = checked_rows(source, columns)
    first = rows[0]
    last = rows[INPUTS[source].index("close")] if source == "bar" else first
    before = last[:-1].copy()
    if times_ns is not None:
        times_ns = whole_numbers(times_ns, "times", first.shape)
        check_times(times_ns)
        for at, ratio in _ordered(splits):
            place = int(np.searchsorted(times_ns, at))
            if 0 < place < first.size:
                before[place - 1] /= ratio
    both = (first[1:] > 0.0) & (before > 0.0)
    steps = first[1:][both] / before[both]
    return int(np.count_nonzero(~((steps > LEAST_STEP) & (steps < MOST_STEP))))


__all__ = [
    "KEPT_ROWS",
    "MOST_SPLITS",
    "FeatureTable",
    "checked_rows",
    "through_splits",
    "untold_steps",
    "whole",
]
