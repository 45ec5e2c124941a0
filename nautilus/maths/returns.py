"""Returns of a series of values: checks, simple returns from prices, compounding, and returns by calendar.

Everything is one return a period, as a part of one (0.01 is one per cent), compounded. What cannot be a number is
`Undefined` with its code, never NaN.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nautilus.maths.bounds import whole_numbers
from nautilus.maths.errors import Undefined, check_times, finite, same_length

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


def paired(returns: npt.ArrayLike, benchmark: npt.ArrayLike, least: int = 2) -> tuple[Floats, Floats]:
    """Two series of the same periods, both checked.

    Raises
    ------
    Undefined
        As `errors.finite`; ``mismatch``: their lengths differ.
    """
    ours, theirs = finite(returns, "returns", least), finite(benchmark, "returns of the benchmark", 1)
    if ours.size != theirs.size:
        raise Undefined("mismatch", f"{ours.size} returns and {theirs.size} of the benchmark", expected="as many")
    return ours, theirs


def compoundable(values: npt.ArrayLike, least: int = 1) -> Floats:
    """Returns that can be compounded: none loses more than all there was.

    Raises
    ------
    Undefined
        As `errors.finite`; ``out_of_range``: a return below -1.
    """
    array = finite(values, "returns", least)
    if array.min() < -1.0:
        place = int(array.argmin())
        raise Undefined("out_of_range", f"returns[{place}] is {array[place]}", expected="-1 or more")
    return array


def number(value: float, what: str) -> float:
    """The value, as a plain float.

    Raises
    ------
    Undefined
        ``out_of_range``: it is too large for a float, or no number.
    """
    number = float(value)
    if not np.isfinite(number):
        raise Undefined("out_of_range", f"{what} is {number}", expected="numbers within the range of a float")
    return number


def constant(values: Floats) -> bool:
    """All are the same: their deviation is 0, whatever rounding would make of it. Undefined (`empty`): of none."""
    if not values.size:
        raise Undefined("empty", "no values", expected="at least 1")
    return bool(values.max() == values.min())


def periods(times_ns: npt.ArrayLike, size: int) -> Whole:
    """Times of `size` periods, strictly ascending.

    Raises
    ------
    Undefined
        ``mismatch``, ``duplicate_time``, ``unsorted``; ``not_finite``, ``out_of_range``: not whole numbers.
    """
    times = whole_numbers(times_ns, "times", (size,))
    check_times(times)
    return times


def simple_returns(prices: npt.ArrayLike) -> Floats:
    """Change from each price to the next as a part of the former; shape (n - 1,).

    Raises
    ------
    Undefined
        ``negative_price``: a price of 0 or less; otherwise as `errors.finite`, of two prices or more.
    """
    array = finite(prices, "prices", 2)
    if array.min() <= 0.0:
        place = int(array.argmin())
        raise Undefined("negative_price", f"prices[{place}] is {array[place]}", expected="prices above 0")
    return np.asarray(np.diff(array) / array[:-1], np.float64)


def wealth(returns: npt.ArrayLike) -> Floats:
    """What one unit has become after each period; shape (n,)."""
    with np.errstate(over="ignore"):
        grown = np.asarray(np.cumprod(compoundable(returns) + 1.0), np.float64)
    number(grown[-1], "compounded wealth")
    if not np.isfinite(grown).all():
        raise Undefined("out_of_range", "compounded wealth", expected="numbers within the range of a float")
    return grown


def compounded(times_ns: Whole, returns: Floats, period_ns: int) -> tuple[Whole, Floats]:
    """Returns of whole periods since the epoch, of steps whose ends are in order.

    Parameters
    ----------
    times_ns, returns
        Shape (n,): the end of each step, and its return.
    period_ns
        Length of a period.

    Returns
    -------
    The last end within each period that has one, and the steps' returns compounded; shape (m,), m at most n.

    Raises
    ------
    Undefined
        As `periods` and `compoundable`, but that none are taken; ``out_of_range``: a period of no length, or what
        compounds beyond the range of a float.
    """
    if period_ns < 1:
        raise Undefined("out_of_range", f"periods of {period_ns} ns", expected="1 or more")
    times_ns = whole_numbers(times_ns, "times")
    check_times(times_ns, equal=True)
    returns = finite(returns, "returns", 0)
    same_length("times and returns", (times_ns.size, returns.size))
    if not times_ns.size:
        return times_ns, returns
    compoundable(returns)
    numbers = times_ns // period_ns
    starts = np.concatenate(([0], np.flatnonzero(np.diff(numbers)) + 1))
    if starts.size == times_ns.size:
        return times_ns, returns
    with np.errstate(over="ignore"):
        grown = np.multiply.reduceat(returns + 1.0, starts) - 1.0
    if not np.isfinite(grown).all():
        raise Undefined("out_of_range", "compounded returns", expected="numbers within the range of a float")
    return times_ns[np.append(starts[1:], times_ns.size) - 1], np.asarray(grown, np.float64)


class CalendarReturn(NamedTuple):
    """Compounded return of a calendar month or year; `month` is 1 to 12, 0 for a whole year."""

    year: int
    month: int
    value: float


def calendar_returns(times_ns: npt.ArrayLike, returns: npt.ArrayLike, *, yearly: bool = False) -> list[CalendarReturn]:
    """Compounded return of each calendar month (or year) in UTC, where `times_ns` are the ends of the periods.

    A month without a period is left out. Same as empyrical's `aggregate_returns`.
    """
    array = compoundable(returns)
    times = periods(times_ns, array.size)
    months = times.astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)
    keys = months // 12 if yearly else months
    starts = np.concatenate(([0], np.flatnonzero(np.diff(keys)) + 1))
    with np.errstate(over="ignore"):
        grown = np.multiply.reduceat(array + 1.0, starts) - 1.0
    found = []
    for key, value in zip(keys[starts].tolist(), grown.tolist(), strict=True):
        year, month = (key, 0) if yearly else (key // 12, key % 12 + 1)
        found.append(CalendarReturn(1970 + year, month, number(value, f"return of {1970 + year}")))
    return found


__all__ = [
    "CalendarReturn",
    "Floats",
    "Whole",
    "calendar_returns",
    "compoundable",
    "compounded",
    "constant",
    "number",
    "paired",
    "periods",
    "simple_returns",
    "wealth",
]
