"""Times as people write them: the one place that reads them for the command line, HTTP, plans and Python."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from nautilus.model.errors import ModelError

MOST_NS = (1 << 63) - 1
LEAST_NS = -MOST_NS - 1
SHOWN = 40
"""Characters of a text that are repeated in an error."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FRACTION = re.compile(r"(.{8,10}[^0-9][0-9]{2}:?[0-9]{2}:?[0-9]{2})[.,]([0-9]+)(.*)", re.DOTALL)
_NANOSECONDS = re.compile(r"-?[0-9]{9,}")


def moment_ns(text: str, where: str = "") -> int:
    """Nanoseconds UTC of a text; "": 0.

    Parameters
    ----------
    text
        ``2022-11-01``, ``2022-11-01T12:30:00.123456789Z`` (UTC where it says no offset), or nanoseconds, nine digits
        at least.
    where
        Of the error.

    Raises
    ------
    ModelError
        It is none of these, is finer than a nanosecond, or does not fit 64 bits (1677 to 2262).
    """
    plain = text.strip()
    if not plain:
        return 0
    if _NANOSECONDS.fullmatch(plain):
        # No text that is longer than any number of 64 bits is made one.
        return checked_ns(int(plain), text, where) if len(plain) <= 20 else checked_ns(MOST_NS + 1, text, where)
    fraction = _FRACTION.fullmatch(plain)
    nanoseconds = 0
    if fraction is not None:
        # The library ends at microseconds.
        digits = fraction[2].rstrip("0")
        if len(digits) > 9:
            raise _error(text, where, "at most nine digits after the point")
        nanoseconds = int(digits.ljust(9, "0"))
        plain = fraction[1] + fraction[3]
    if "." in plain or "," in plain:
        raise _error(text, where)  # of something else than a second
    if plain.endswith("z"):
        plain = plain[:-1] + "Z"
    try:
        moment = datetime.fromisoformat(plain)
    except ValueError:
        raise _error(text, where) from None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    since = moment - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    return checked_ns(seconds * 1_000_000_000 + since.microseconds * 1_000 + nanoseconds, text, where)


def checked_ns(value: int, text: object, where: str = "") -> int:
    """A number of nanoseconds. ModelError where it does not fit 64 bits."""
    if not LEAST_NS <= value <= MOST_NS:
        raise _error(text, where, "one from 1677 to 2262")
    return value


def _error(text: object, where: str, expected: str = "") -> ModelError:
    shown = repr(str(text)[:SHOWN])
    return ModelError(
        f"time {shown}", where=where, expected=expected or "a date such as 2024-01-31, with or without a time"
    )


__all__ = ["LEAST_NS", "MOST_NS", "checked_ns", "moment_ns"]
