"""Which rows share a file: those of a day, or of a month or a year where a kind's rows are sparse.

One rule, for all of the catalog: ticks, and bars of ticks, go by the day; bars of time by the month from a minute on,
by the year from a quarter of a day on; facts of providers by the month in which they were fetched. So no kind makes
thousands of files of a few rows each, and what is asked for most, a day of ticks, is a file of its own.

A period is its text: ``2024-08-08``, ``2024-08`` or ``2024``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nautilus.store.catalog_kinds import DAY_NS, FACT_KINDS, Records

DAY, MONTH, YEAR = "day", "month", "year"
UNITS: Final = (DAY, MONTH, YEAR)
_STEPS: Final = {DAY: "D", MONTH: "M", YEAR: "Y"}
_LENGTHS: Final = {10: DAY, 7: MONTH, 4: YEAR}
BAR: Final = "bar"
OF_TIME: Final = 1
"""`core.ticks.BarKind.TIME`."""
MONTHLY_NS: Final = 60_000_000_000
YEARLY_NS: Final = DAY_NS // 4


def unit_of(period: str) -> str:
    """``day``, ``month`` or ``year``."""
    return _LENGTHS[len(period)]


def period_of(unit: str, time_ns: int) -> str:
    """The period that has a time, UTC."""
    return str(np.datetime64(time_ns // DAY_NS, "D").astype(f"datetime64[{_STEPS[unit]}]"))


def fact_period(time_ns: int) -> str:
    """The period of a fact that was fetched at a time."""
    return period_of(MONTH, time_ns)


def server_unit(kind: str) -> str:
    """Unit of the partitions on a server, whose tables have the rows of all instruments: a year would be too much."""
    return MONTH if kind == BAR or kind in FACT_KINDS else DAY


def bounds_ns(period: str) -> tuple[int, int]:
    """Begin and end of a period."""
    first = np.datetime64(period)
    begin, end = (int(each.astype("datetime64[D]").astype(np.int64)) * DAY_NS for each in (first, first + 1))
    return begin, end


def end_of(period: str) -> str:
    """The first day behind a period."""
    return str((np.datetime64(period) + 1).astype("datetime64[D]"))


def wider(kind: str, period: str, unit: str) -> str:
    """The period of a kind's file that was made before there was this rule; `unit` is that of its bars."""
    wanted = MONTH if kind in FACT_KINDS else unit if kind == BAR else DAY
    return str(np.datetime64(period).astype(f"datetime64[{_STEPS[wanted]}]")) if unit_of(period) == DAY else period


def bar_units(begin_ns: npt.NDArray[Any], end_ns: npt.NDArray[Any], kinds: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Places in `UNITS` of bars."""
    length = np.where(kinds == OF_TIME, end_ns - begin_ns, 0)
    units: npt.NDArray[np.uint8] = (length >= MONTHLY_NS).astype(np.uint8) + (length >= YEARLY_NS)
    return units


def split(kind: str, time: str, records: Records) -> Iterator[tuple[str, npt.NDArray[np.bool_] | None]]:
    """Periods of records and which ones are theirs; None: all."""
    days = records[time] // DAY_NS
    if kind != BAR:
        yield from _of_unit(DAY, days, None)
        return
    units = bar_units(records["begin_ns"], records["end_ns"], records["kind"])
    for place in np.unique(units).tolist():
        mine = units == place
        yield from _of_unit(UNITS[place], days, None if mine.all() else mine)


def _of_unit(
    unit: str, days: npt.NDArray[np.int64], mine: npt.NDArray[np.bool_] | None
) -> Iterator[tuple[str, npt.NDArray[np.bool_] | None]]:
    some = days if mine is None else days[mine]
    if period_of(unit, int(some.min()) * DAY_NS) == (only := period_of(unit, int(some.max()) * DAY_NS)):
        yield only, mine
        return
    periods = days.astype("datetime64[D]").astype(f"datetime64[{_STEPS[unit]}]")
    for period in np.unique(periods if mine is None else periods[mine]):
        here = periods == period
        yield str(period), here if mine is None else here & mine
