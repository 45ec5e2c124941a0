"""Times and numbers as providers write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY_NS = 86_400 * 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MISSING = frozenset(("", ".", "na", "n/a", "nan", "none", "null", "-", "--"))
"""Texts that stand for a value that is not there, in small letters."""


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name. ValueError for one that does not exist."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"time zone {name!r}") from None


def to_ns(moment: datetime) -> int:
    """Nanoseconds since the epoch, to the microsecond. ValueError outside of 64 bits: before 1677, after 2262."""
    gone = moment - _EPOCH
    return held((gone.days * 86_400 + gone.seconds) * 1_000_000_000 + gone.microseconds * 1_000)


def seconds_ns(seconds: float) -> int:
    """Seconds since the epoch. ValueError outside of 64 bits of nanoseconds."""
    return held(int(seconds) * 1_000_000_000)


def held(time_ns: int) -> int:
    """A time that 64 bits hold. ValueError for another one."""
    if not -(2**63) <= time_ns < 2**63:
        raise ValueError(f"a time outside of 1677 to 2262 ({time_ns} ns)")
    return time_ns


def local_ns(text: str, where: tzinfo = UTC) -> int:
    """A date, or a date and a time, in ISO form; one that names no zone is in `where`. ValueError for none."""
    moment = datetime.fromisoformat(text)
    return to_ns(moment if moment.tzinfo else moment.replace(tzinfo=where))


def from_ns(time_ns: int, where: tzinfo = UTC) -> datetime:
    """A time of a zone."""
    return (_EPOCH + timedelta(microseconds=time_ns // 1_000)).astimezone(where)


def date_of(time_ns: int) -> str:
    """``2020-01-31``, UTC."""
    return from_ns(time_ns).date().isoformat()


def number(text: str | float | None) -> float | None:
    """A number; None for one that is missing. ValueError for a text that is neither."""
    if text is None:
        return None
    if isinstance(text, str):
        if text.strip().lower() in MISSING:
            return None
        text = text.replace(",", "")
    value = float(text)
    return value if value == value and abs(value) != float("inf") else None


__all__ = ["DAY_NS", "MISSING", "date_of", "from_ns", "held", "local_ns", "number", "seconds_ns", "to_ns", "zone"]
