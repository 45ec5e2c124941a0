"""Where a period of a frequency begins and ends."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from nautilus.adapters.sources.times import DAY_NS, to_ns

MONTHS = {
    "monthly": 1,
    "bi-monthly": 2,
    "quarterly": 3,
    "semiannual": 6,
    "semi-annual": 6,
    "biannually": 6,
    "annual": 12,
    "yearly": 12,
    "5-year": 60,
}
DAYS = {"daily": 1, "weekly": 7, "biweekly": 14}
_PERIOD = re.compile(r"^(\d{4})(?:-(?:Q([1-4])|S([12])|B([1-6])|W(\d\d)|(\d\d)(?:-(\d\d))?))?$")


def _next(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, 1)


def day_ns(day: date) -> int:
    """The beginning of a day, UTC."""
    return to_ns(datetime(day.year, day.month, day.day, tzinfo=UTC))


def period_from(day: date, frequency: str) -> tuple[int, int]:
    """Beginning and end of the period that begins on a day; both are that day where the frequency is none known."""
    word = frequency.split(",")[0].strip().lower()
    begin_ns = day_ns(day)
    if word in MONTHS:
        return begin_ns, day_ns(_next(day, MONTHS[word]))
    if word in DAYS:
        return begin_ns, day_ns(day + timedelta(days=DAYS[word]))
    return begin_ns, begin_ns


def period_until(day: date, frequency: str) -> tuple[int, int]:
    """Beginning and end of the period whose last day it is."""
    word = frequency.split(",")[0].strip().lower()
    day_ns(day)  # refuses the end of the calendar, which has no day after it
    after = day + timedelta(days=1)
    if word in MONTHS:
        # A period of months ends with one; a provider that names a day within it means the month of that day.
        last = _next(day, 1)
        return day_ns(_next(last, -MONTHS[word])), day_ns(last)
    if word in DAYS:
        return day_ns(after - timedelta(days=DAYS[word])), day_ns(after)
    return day_ns(day), day_ns(day)


def longest_ns(frequency: str) -> int:
    """How far the last day of a period may lie behind its first: exact for days and weeks, else or unknown at most."""
    word = frequency.split(",")[0].strip().lower()
    days = DAYS.get(word) or 31 * MONTHS.get(word, 12)
    return (days - 1) * DAY_NS


def period_named(text: str) -> tuple[int, int]:
    """A period by its name: ``2020``, ``2020-Q3``, ``2020-S1``, ``2020-B2``, ``2020-W07``, ``2020-07``, ``2020-07-31``.

    ValueError for a text that names none.
    """
    found = _PERIOD.match(text)
    if found is None:
        raise ValueError(f"period {text!r}")
    try:
        return _span(found)
    except ValueError as error:
        raise ValueError(f"period {text!r}: {error}") from None


def _span(found: re.Match[str]) -> tuple[int, int]:
    year = int(found[1])
    for group, months in ((2, 3), (3, 6), (4, 2)):
        if found[group]:
            begin = _next(date(year, 1, 1), months * (int(found[group]) - 1))
            return day_ns(begin), day_ns(_next(begin, months))
    if found[5]:
        begin = date.fromisocalendar(year, int(found[5]), 1)
        return day_ns(begin), day_ns(begin + timedelta(days=7))
    if found[7]:
        begin = date(year, int(found[6]), int(found[7]))
        return day_ns(begin), day_ns(begin + timedelta(days=1))
    if found[6]:
        begin = date(year, int(found[6]), 1)
        return day_ns(begin), day_ns(_next(begin, 1))
    return day_ns(date(year, 1, 1)), day_ns(date(year + 1, 1, 1))


__all__ = ["day_ns", "longest_ns", "period_from", "period_named", "period_until"]
