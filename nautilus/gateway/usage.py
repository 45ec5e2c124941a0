"""What is asked for most, so that a new worker can have it ready: requests are counted, older ones for less."""

from __future__ import annotations

from pathlib import Path

import msgspec

from nautilus.core.cache_lane import MOST, UsageBase
from nautilus.runtime.files import write_atomically


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """A request that is asked for often.

    Parameters
    ----------
    engine, scopes, path
        As its key has them (`nautilus.gateway.cache.key_of`).
    operation
        "GET /risk/state".
    count
        How often, older requests for less.
    """

    engine: str
    scopes: str
    path: str
    operation: str
    count: int


class Usage(UsageBase):
    """Counts requests whose answers are kept, by key."""

    __slots__ = ()

    def most(self, count: int) -> list[Asked]:
        """Those asked for most often."""
        found = sorted(self._counts.items(), key=lambda item: -item[1])[:count]
        return [asked for asked in (_asked(*place, times) for place, times in found) if asked is not None]

    def write(self, path: Path, count: int) -> None:
        """For `read_usage`; nothing where nothing was asked for."""
        if self._counts:
            write_atomically(path, msgspec.json.encode(self.most(count)))


def read_usage(paths: list[Path], count: int) -> list[Asked]:
    """What was asked for most, of several workers together."""
    total: dict[tuple[str, str, str, str], int] = {}
    for path in paths:
        try:
            found = msgspec.json.decode(path.read_bytes(), type=list[Asked])
        except (OSError, msgspec.DecodeError):
            continue
        for asked in found:
            place = (asked.engine, asked.scopes, asked.path, asked.operation)
            total[place] = total.get(place, 0) + asked.count
    best = sorted(total.items(), key=lambda item: (-item[1], item[0]))[:count]
    return [Asked(*place, times) for place, times in best]


def _asked(key: bytes, operation: str, count: int) -> Asked | None:
    try:
        engine, scopes, path = key.decode("ascii").split("\n", 2)
    except (UnicodeDecodeError, ValueError):
        return None
    return Asked(engine, scopes, path, operation, count)


__all__ = ["MOST", "Asked", "Usage", "read_usage"]
