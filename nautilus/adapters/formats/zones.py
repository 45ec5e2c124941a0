"""Times of a place as nanoseconds UTC."""

from __future__ import annotations

from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

from nautilus.model.errors import ConfigError

HOUR_NS = 3_600_000_000_000
NEW_YORK = "America/New_York"


def zone_of(name: str) -> ZoneInfo:
    """A zone by its name in the time zone database."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"time zone {name!r}", expected="a name such as UTC or America/New_York") from error


@cache
def _offset_ns(name: str, hour: int) -> int:
    """Offset from UTC of a local hour since 1970: of two that it may have (clocks go back), the first."""
    from datetime import datetime, timedelta

    local = (datetime(1970, 1, 1) + timedelta(hours=hour)).replace(tzinfo=zone_of(name), fold=0)
    offset = local.utcoffset()
    assert offset is not None
    return int(offset.total_seconds()) * 1_000_000_000


def to_utc(local_ns: npt.NDArray[np.int64], name: str) -> npt.NDArray[np.int64]:
    """Nanoseconds since 1970 on the clocks of a zone, as nanoseconds UTC.

    An hour that clocks skip has the offset before it; one that comes twice is taken for the first.
    """
    if name == "UTC" or not len(local_ns):
        return local_ns
    hours = local_ns // HOUR_NS
    several, places = np.unique(hours, return_inverse=True)
    offsets = np.array([_offset_ns(name, hour) for hour in several.tolist()], np.int64)
    return local_ns - offsets[places]
