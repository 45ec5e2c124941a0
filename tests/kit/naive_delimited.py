"""Plain twins of the decoder of delimited text: Python's csv, decimal and datetime, one field at a time."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal

from nautilus.core.delimited import DECIMAL, FLOAT, MISSING, REASONS, SKIP, TEXT, TIME, WHOLE

NUMBER = re.compile(r"[+-]?(?:(\d+)\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
TIME_TEXT = re.compile(
    r"(\d{4})([-/]?)(\d\d)\2(\d\d)"
    r"(?:[ Tt](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)? *(Z|z|UTC|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
WORDS = frozenset({"", "NaN", "nan", "NAN", "NA", "N/A", "null", "NULL", "None"})
LIMIT = 1 << 63
MOST_SECONDS = LIMIT // 10**9 - 1
EXACT = Context(prec=5_000, Emax=999_999, Emin=-999_999)
OTHER_COUNT, IS_EMPTY, NO_NUMBER, OPEN_QUOTE = (
    next(number for number, words in REASONS.items() if words == wanted)
    for wanted in ("another number of fields", "is empty", "is no number", "has a quote that does not end")
)


def rows(text: str, delimiter: str = ",") -> list[list[str]]:
    """The fields of each line that is neither blank nor a comment."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [
        [field.strip(" ") for field in row] for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    ]


def decimal_of(text: str, places: int, rounded: bool) -> int | None:
    """A number in 10^-places, half away from zero where it may be rounded; None where it is none or does not fit.

    Nor does one fit whose digits before the point do not, whatever its exponent is.
    """
    found = NUMBER.fullmatch(text)
    if found is None or int(found[1] or 0) >= LIMIT:
        return None
    value = EXACT.scaleb(EXACT.create_decimal(text), places)
    if abs(value) >= LIMIT:
        return None
    whole = value.quantize(Decimal(1), ROUND_HALF_UP, EXACT) if rounded else value
    if whole != whole.to_integral_value() or abs(whole) >= LIMIT:
        return None
    return int(whole)


def float_of(text: str) -> float | None:
    """The nearest float; None where it is none, or beyond all of them."""
    if not NUMBER.fullmatch(text) or abs(float(text)) == float("inf"):
        return None
    return float(text)


def time_of(text: str) -> int | None:
    """Nanoseconds since 1970 of a time; None where it is none. A leap second is the first of the next minute."""
    found = TIME_TEXT.fullmatch(text)
    if found is None:
        return None
    year, _, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), tzinfo=UTC)
    except ValueError:
        return None
    if not 1700 <= moment.year <= 2261 or int(second or 0) > 60:
        return None
    moment += timedelta(seconds=int(second or 0))
    nanoseconds = int((fraction or "0")[:9].ljust(9, "0"))
    if zone and zone[0] in "+-":
        digits = zone[1:].replace(":", "").ljust(4, "0")
        offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
        moment += offset if zone[0] == "-" else -offset
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    seconds = since.days * 86400 + since.seconds
    return seconds * 10**9 + nanoseconds if abs(seconds) <= MOST_SECONDS else None


class RefusedError(Exception):
    """A line does not fit: its column, and why, of `REASONS`; 0: any reason of a number or a time."""

    def __init__(self, column: int, reason: int = 0) -> None:
        super().__init__(column, reason)
        self.column = column
        self.reason = reason


class NaiveDelimited:
    """Same rules as `nautilus.core.delimited.DelimitedDecoder`, a line and a field at a time; bytes are Latin-1 here.

    Attributes
    ----------
    out : of each row its line and its values: int, float, str; None where an optional field is empty or skipped.
    faults : line, column and reason of each line refused.
    """

    def __init__(
        self,
        delimiter: str,
        kinds: Sequence[int],
        decimals: Sequence[int],
        optional: Sequence[bool],
        rounded: Sequence[bool],
    ) -> None:
        end = rf"(?={re.escape(delimiter)}|\Z)"
        self._field = re.compile(rf' *(?:"((?:[^"]|"")*)" *|((?!"| )[^{re.escape(delimiter)}]*?|) *){end}')
        self._columns = list(zip(kinds, decimals, optional, rounded, strict=True))
        self.out: list[tuple[int, list[int | float | str | None]]] = []
        self.faults: list[tuple[int, int, int]] = []
        self.lines = self.rows = self.comments = 0

    def decode(self, block: bytes) -> None:
        lines = block.decode("latin-1").split("\n")
        for line in lines if lines[-1] else lines[:-1]:
            self.lines += 1
            text = line.rstrip("\r")
            if text.startswith("#"):
                self.comments += 1
            elif text:
                self.rows += 1
                try:
                    self.out.append((self.lines, self._row(text)))
                except RefusedError as refused:
                    self.faults.append((self.lines, refused.column, refused.reason))

    def _row(self, line: str) -> list[int | float | str | None]:
        values: list[int | float | str | None] = []
        for column, (text, quoted) in enumerate(self._fields(line)):
            if column == len(self._columns):
                raise RefusedError(column, OTHER_COUNT)
            values.append(self._value(column, text, quoted))
        if len(values) < len(self._columns):
            raise RefusedError(len(values), OTHER_COUNT)
        return values

    def _fields(self, line: str) -> Iterator[tuple[str, bool]]:
        at = 0
        for column in range(len(line) + 1):
            found = self._field.match(line, at)
            if found is None:
                raise RefusedError(column, OPEN_QUOTE)
            yield (found[1] if found[1] is not None else found[2]), found[1] is not None
            at = found.end() + 1
            if at > len(line):
                return

    def _value(self, column: int, text: str, quoted: bool) -> int | float | str | None:
        kind, places, optional, rounded = self._columns[column]
        if kind == TEXT:
            shown = text.encode("latin-1").decode("utf-8", "replace")
            return shown.replace('""', '"') if quoted else shown
        if kind == SKIP:
            return None
        if text in WORDS:
            if not optional:
                raise RefusedError(column, IS_EMPTY)
            return None
        if kind in (WHOLE, DECIMAL, FLOAT) and not NUMBER.fullmatch(text):
            raise RefusedError(column, NO_NUMBER)
        value: int | float | None
        if kind == TIME:
            value = time_of(text)
        elif kind == FLOAT:
            value = float_of(text)
        else:
            value = decimal_of(text, places if kind == DECIMAL else 0, rounded and kind == DECIMAL)
        if value is None:
            raise RefusedError(column)
        assert kind == FLOAT or value != MISSING
        return value
