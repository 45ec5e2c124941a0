"""Tables of rules by the day from which they hold: a rate is never a bare constant."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

from nautilus.maths.errors import Undefined

Rule = TypeVar("Rule")
Dated = tuple[tuple[int, Rule], ...]
"""((day as YYYYMMDD, what holds from that day on), ...), days ascending."""


def in_force(table: Dated[Rule], day: int, what: str = "rule") -> Rule:
    """What holds on a day (YYYYMMDD).

    Raises
    ------
    Undefined
        ``out_of_range`` where the day is before the first of the table.
    """
    found: Rule | None = None
    for first, rule in table:
        if first > day:
            break
        found = rule
    if found is None:
        first_day = table[0][0] if table else 0
        raise Undefined("out_of_range", f"no {what} for the day {day}", f"a day from {first_day} on")
    return found


def check_dated(days: list[int], what: str = "rows") -> None:
    """Undefined (`unsorted`, `duplicate_time`) unless the days ascend."""
    for before, after in pairwise(days):
        if after <= before:
            code = "duplicate_time" if after == before else "unsorted"
            raise Undefined(code, f"{what} of day {after} after those of {before}", "days in ascending order")


__all__ = ["Dated", "check_dated", "in_force"]
