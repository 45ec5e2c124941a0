"""Find the two files of a LOBSTER recording, and read what their names tell."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from nautilus.adapters.formats.recording import FormatError

NAME = re.compile(
    r"(?P<symbol>[A-Za-z0-9.\-]+)_(?P<date>\d{4}-\d\d-\d\d)_\d+_\d+_(?P<part>message|orderbook)_(?P<levels>\d+)"
    r"(?P<ending>\.csv(?:\.gz)?)"
)
EXPECTED_NAME = "a name like AAPL_2012-06-21_34200000_57600000_message_10.csv"


class Pair(NamedTuple):
    """The two files of one recording and what their names tell."""

    messages: Path
    rows: Path
    symbol: str
    day: date
    levels: int


def find_pair(path: Path) -> Pair:
    """The two files of a recording from either of them, from their directory, or from the names' common prefix."""
    if path.is_file():
        name = NAME.fullmatch(path.name)
        if name is None:
            raise FormatError("its name tells no symbol and date", where=str(path), expected=EXPECTED_NAME)
        found = {path}
        other = "orderbook" if name["part"] == "message" else "message"
        stem = path.name.replace(f"_{name['part']}_", f"_{other}_").removesuffix(name["ending"])
        partners = [path.with_name(stem + ending) for ending in (".csv", ".csv.gz")]
        found |= {partner for partner in partners if partner.is_file()}
        if len(found) == 1:
            raise FormatError("its partner file is missing", where=str(path), expected=f"{partners[0]} beside it")
    elif path.is_dir():
        found = {file for file in path.iterdir() if NAME.fullmatch(file.name)}
    elif path.parent.is_dir() and path.name:
        files = (file for file in path.parent.iterdir() if file.name.startswith(path.name))
        found = {file for file in files if NAME.fullmatch(file.name)}
    else:
        found = set()
    parts: dict[str, list[Path]] = {"message": [], "orderbook": []}
    for file in sorted(found):
        match = NAME.fullmatch(file.name)
        assert match is not None
        parts[match["part"]].append(file)
    messages, rows = parts["message"], parts["orderbook"]
    if not found and not path.is_dir():
        what = "no regular file" if path.exists() else "no such file"
        raise FormatError(what, where=str(path), expected="a recording")
    if len(messages) != 1 or len(rows) != 1:
        what = f"{len(messages)} LOBSTER message and {len(rows)} orderbook files"
        raise FormatError(what, where=str(path), expected="one pair; name a file of the one wanted")
    first, second = NAME.fullmatch(messages[0].name), NAME.fullmatch(rows[0].name)
    assert first is not None
    assert second is not None
    if first["symbol"] != second["symbol"] or first["date"] != second["date"]:
        raise FormatError(f"{messages[0].name} and {rows[0].name}", where=str(path), expected="one symbol and day")
    try:
        day = date.fromisoformat(first["date"])
    except ValueError:
        raise FormatError(f"date {first['date']}", where=str(messages[0]), expected="a date of the calendar") from None
    levels = int(second["levels"])
    if not 1 <= levels <= 1000:
        raise FormatError(f"{levels} levels", where=str(rows[0]), expected="1 to 1000")
    return Pair(messages[0], rows[0], first["symbol"], day, levels)


def midnight_ns(day: date) -> int:
    """Midnight in New York at the start of a day, in nanoseconds UTC.

    Daylight saving runs from the second Sunday of March to the first of November (since 2007; LOBSTER begins in June
    of that year), and changes at 2 a.m., so on those two Sundays, without trading, midnight still has the old offset.
    """
    march, november = date(day.year, 3, 8), date(day.year, 11, 1)
    starts = march + timedelta(days=(6 - march.weekday()) % 7)
    ends = november + timedelta(days=(6 - november.weekday()) % 7)
    offset = -4 if starts < day <= ends else -5
    midnight = datetime(day.year, day.month, day.day, tzinfo=timezone(timedelta(hours=offset)))
    return int(midnight.timestamp()) * 1_000_000_000
