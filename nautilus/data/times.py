"""Times as people write them."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np

from nautilus.model.errors import ModelError
from nautilus.model.moments import moment_ns
from nautilus.store.catalog_errors import QueryError

Time = str | int | datetime.date | datetime.datetime | np.datetime64 | None
LEAST_NS, MOST_NS = -(1 << 63) + 1, (1 << 63) - 1
_FIRST, _LAST = np.datetime64("1677-09-22"), np.datetime64("2262-04-10")
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def nanoseconds(time: Time) -> int | None:
    """Nanoseconds UTC.

    Parameters
    ----------
    time
        ``2022-11-01``, ``20221101``, ``2022-11-01T12:30:00.000000001Z``, a date (its first instant), a datetime (UTC
        where it says nothing), numpy's datetime64, nanoseconds, or None.

    Raises
    ------
    QueryError
        It is none of these, or not within 1677-09-21 to 2262-04-11, which 64 bits hold.
    """
    found = _nanoseconds(time)
    if found is not None and not LEAST_NS <= found <= MOST_NS:
        raise _error(time)
    return found


def _nanoseconds(time: Time) -> int | None:
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
        return _of_numpy(time, time)
    if isinstance(time, str):
        return _of_text(time)
    raise _error(time)


def _of_text(text: str) -> int:
    plain = text.strip()
    if not plain:
        raise _error(text)
    if len(plain) == 8 and plain.isdecimal():
        plain = f"{plain[:4]}-{plain[4:6]}-{plain[6:]}"
    try:
        return moment_ns(plain)
    except ModelError:
        raise _error(text) from None


def _of_numpy(time: np.datetime64, given: Any) -> int:
    # numpy wraps what does not fit, and says nothing.
    if not _FIRST <= time.astype("datetime64[D]") <= _LAST:
        raise _error(given)
    return int(time.astype("datetime64[ns]").astype(np.int64))


def _error(time: Any) -> QueryError:
    return QueryError(f"time {time!r}", expected="2022-11-01, 2022-11-01T12:30:00Z, a datetime, or nanoseconds")
