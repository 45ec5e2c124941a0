"""Times as people write them."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np

from nautilus.model.errors import ModelError
from nautilus.model.moments import moment_ns
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
    if not text.strip():
        raise _error(text)
    try:
        return moment_ns(text)
    except ModelError:
        raise _error(text) from None


def _error(time: Any) -> QueryError:
    return QueryError(f"time {time!r}", expected="2022-11-01, 2022-11-01T12:30:00Z, a datetime, or nanoseconds")
