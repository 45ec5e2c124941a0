"""Times as people write them."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np

from nautilus.store.catalog_errors import QueryError

Time = str | int | datetime.date | datetime.datetime | np.datetime64 | None
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def nanoseconds(time: Time) -> int | None:
    """Nanoseconds UTC.

    Parameters
    ----------
    time
        ``2022-11-01``, ``2022-11-01T12:30:00.000000001Z``, a date (its first instant), a datetime (UTC where it says
        nothing), numpy's datetime64, nanoseconds, or None.

    Raises
    ------
    QueryError
        It is none of these.
    """
    if time is None:
        return None
    if isinstance(time, bool):
        raise _error(time)
    if isinstance(time, int | np.integer):
        return int(time)
    if isinstance(time, datetime.datetime):
        aware = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
        # Not by `timestamp()`, which is a float.
        return (aware - _EPOCH) // datetime.timedelta(microseconds=1) * 1000
    if isinstance(time, datetime.date):
        time = np.datetime64(time)
    if isinstance(time, np.datetime64):
        if np.isnat(time):
            raise _error(time)
        return int(time.astype("datetime64[ns]").astype(np.int64))
    if isinstance(time, str):
        return _of_text(time)
    raise _error(time)


def _of_text(text: str) -> int:
    plain = text.strip()
    if plain.endswith(("Z", "z")):
        plain = plain[:-1]
    elif len(plain) > 16 and plain[-6] in "+-" and plain[-3] == ":":
        # numpy takes no offset: it is taken off here.
        hours, minutes = plain[-5:-3], plain[-2:]
        if not (hours + minutes).isdecimal():
            raise _error(text)
        shift = (int(hours) * 60 + int(minutes)) * 60_000_000_000
        return _of_text(plain[:-6]) - (shift if plain[-6] == "+" else -shift)
    try:
        parsed = np.datetime64(plain)
    except ValueError:
        raise _error(text) from None
    if np.isnat(parsed):
        raise _error(text)
    return int(parsed.astype("datetime64[ns]").astype(np.int64))


def _error(time: Any) -> QueryError:
    return QueryError(f"time {time!r}", expected="2022-11-01, 2022-11-01T12:30:00Z, a datetime, or nanoseconds")
