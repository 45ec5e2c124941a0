"""Plain twins of the decoder of delimited text: Python's csv, decimal and datetime, one field at a time."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?")
TIME = re.compile(
    r"(\d{4})([-/]?)(\d\d)\2(\d\d)(?:[ Tt](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s*(Z|z|UTC|[+-]\d\d(?::?\d\d)?)?)?"
)
WORDS = frozenset({"", "NaN", "nan", "NAN", "NA", "N/A", "null", "NULL", "None"})
LIMIT = 1 << 63


def rows(text: str, delimiter: str = ",") -> list[list[str]]:
    """The fields of each line that is neither blank nor a comment."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [
        [field.strip(" ") for field in row] for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    ]


def decimal_of(text: str, places: int, rounded: bool) -> int | None:
    """A number in 10^-places, half away from zero where it may be rounded; None where it is none or does not fit."""
    if not NUMBER.fullmatch(text):
        return None
    try:
        value = Decimal(text).scaleb(places)
    except InvalidOperation:
        return None
    if abs(value) >= LIMIT:
        return None
    whole = value.quantize(Decimal(1), ROUND_HALF_UP) if rounded else value
    if whole != whole.to_integral_value() or abs(whole) >= LIMIT:
        return None
    return int(whole)


def time_of(text: str) -> int | None:
    """Nanoseconds since 1970 of a time; None where it is none."""
    found = TIME.fullmatch(text)
    if found is None:
        return None
    year, _, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        moment = datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC
        )
    except ValueError:
        return None
    nanoseconds = int((fraction or "0")[:9].ljust(9, "0"))
    if zone and zone[0] in "+-":
        digits = zone[1:].replace(":", "").ljust(4, "0")
        offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
        moment += offset if zone[0] == "-" else -offset
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * 10**9 + nanoseconds
