"""Mirrors plain attributes, which cost nothing to count in, into a table of counters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from nautilus.core.counters import Counters


class Tally:
    """Adds to ``<prefix>.<name>`` of a table what the owner's attributes have grown by since the last `write`."""

    __slots__ = ("_counters", "_indexes", "_owner", "_read", "_written")

    def __init__(self, counters: Counters | None, prefix: str, owner: object, names: Sequence[str]) -> None:
        self._counters = counters
        self._owner = owner
        self._indexes = [] if counters is None else [counters.counter(f"{prefix}.{name}") for name in names]
        # Of one name it would give the value alone.
        self._read: Callable[[object], tuple[Any, ...]] = attrgetter(*names, names[0])
        self._written: tuple[Any, ...] = (0,) * (len(names) + 1)

    def write(self) -> None:
        """Bring the table up to date."""
        counters = self._counters
        if counters is None:
            return
        # Looked at again and again, and most often there is nothing new.
        values = self._read(self._owner)
        before = self._written
        if values != before:
            self._written = values
            for place, index in enumerate(self._indexes):
                if values[place] != before[place]:
                    counters.add(index, values[place] - before[place])
