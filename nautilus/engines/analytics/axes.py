"""Axes of a plot: where a value is drawn, and which values are written beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
MINUS = "\N{MINUS SIGN}"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAY_NS = 86_400_000_000_000
MOST_TICKS = 8


class Axis(NamedTuple):
    """From values between `low` and `high` to pixels between `begin` and `end`.

    Parameters
    ----------
    low, high
        Range of the values; they differ.
    begin, end
        Pixels of `low` and of `high`.
    logarithmic
        Equal factors are equally far apart; `low` is above 0.
    """

    low: float
    high: float
    begin: float
    end: float
    logarithmic: bool = False

    def at(self, values: npt.ArrayLike) -> Floats:
        """Pixels of values."""
        array = np.asarray(values, np.float64)
        if self.logarithmic:
            share = np.log(array / self.low) / math.log(self.high / self.low)
        else:
            share = (array - self.low) / (self.high - self.low)
        return np.asarray(self.begin + share * (self.end - self.begin))

    def place(self, value: float) -> float:
        """Pixel of one value."""
        return float(self.at(value))


def spanning(values: npt.ArrayLike, begin: float, end: float, *, zero: bool = False, log: bool = False) -> Axis:
    """An axis that all values fit on, with a little room; `zero`: nought too."""
    array = np.asarray(values, np.float64)
    low, high = float(array.min()), float(array.max())
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if log and low > 0.0 and high > low:
        room = (high / low) ** 0.04
        return Axis(low / room, high * room, begin, end, logarithmic=True)
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-9):
        room = max(abs(high), 1e-6) * 0.05
        return Axis(low - room, high + room, begin, end)
    room = (high - low) * 0.05
    below = 0.0 if zero and low == 0.0 else low - room
    above = 0.0 if zero and high == 0.0 else high + room
    return Axis(below, above, begin, end)


def ticks(axis: Axis, most: int = 5) -> list[float]:
    """Round values on an axis, 1, 2 or 5 times a power of ten apart; 1, 2 and 5 times powers on a logarithmic one."""
    if axis.logarithmic:
        found = _factors(axis)
        if len(found) >= 2:
            return found
    rough = (axis.high - axis.low) / most
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * times for times in (1.0, 2.0, 5.0, 10.0) if unit * times >= rough * 0.999)
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _factors(axis: Axis) -> list[float]:
    low, high = math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high))
    for times in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        found = [time * 10.0**power for power in range(low, high + 1) for time in times]
        found = [value for value in found if axis.low <= value <= axis.high]
        if len(found) <= 6:
            return found
    return found[:: math.ceil(len(found) / 6)]


def date_ticks(begin_ns: int, end_ns: int) -> list[tuple[int, str]]:
    """Days, months or years between two times with what is written at each, at most eight."""
    begin, end = np.datetime64(begin_ns, "ns"), np.datetime64(end_ns, "ns")
    first, last = begin.astype("datetime64[M]").astype(int), end.astype("datetime64[M]").astype(int)
    if last - first < 3:
        return _day_ticks(begin_ns, end_ns)
    step = next((each for each in (1, 2, 3, 6, 12, 24, 60, 120) if (last - first) / each <= MOST_TICKS), 240)
    found: list[tuple[int, str]] = []
    for month in range(first - first % step, last + 1, step):
        time_ns = int(np.datetime64(month, "M").astype("datetime64[ns]").astype(np.int64))
        # A year's first session is a little after the year's beginning.
        if begin_ns - (end_ns - begin_ns) // 100 <= time_ns <= end_ns:
            year, number = 1970 + month // 12, month % 12
            name = MONTHS[number] if found else f"{MONTHS[number]} {year}"
            found.append((max(time_ns, begin_ns), str(year) if number == 0 else name))
    return found


def _day_ticks(begin_ns: int, end_ns: int) -> list[tuple[int, str]]:
    first, last = -(-begin_ns // DAY_NS), end_ns // DAY_NS
    step = next((each for each in (1, 2, 7, 14) if (last - first) / each <= MOST_TICKS), 30)
    return [(day * DAY_NS, day_text(day * DAY_NS)[:-5]) for day in range(first, last + 1, step)]


def day_text(time_ns: int) -> str:
    """A day as people write it: 3 Mar 2014 (UTC)."""
    year, month, day = str(np.datetime64(time_ns, "ns").astype("datetime64[D]")).split("-")
    return f"{int(day)} {MONTHS[int(month) - 1]} {year}"


def percent_text(value: float, digits: int = 1) -> str:
    """A part of one as a percentage."""
    return signed(f"{100.0 * value:,.{digits}f}%")


def number_text(value: float, digits: int = 2) -> str:
    """A number with so many digits after the point."""
    return signed(f"{value:,.{digits}f}")


def tick_texts(values: Sequence[float], *, percent: bool) -> list[str]:
    """All values of an axis with as many digits as the finest needs."""
    scaled = [100.0 * value if percent else value for value in values]
    digits = next(
        (count for count in range(7) if all(abs(v - round(v, count)) <= 1e-9 * max(1.0, abs(v)) for v in scaled)), 7
    )
    return [signed(f"{value:,.{digits}f}{'%' if percent else ''}") for value in scaled]


def signed(text: str) -> str:
    """The text of a number with a true minus, and none before a nought."""
    if text.startswith("-") and not any(digit in text for digit in "123456789"):
        return text[1:]
    return text.replace("-", MINUS)
