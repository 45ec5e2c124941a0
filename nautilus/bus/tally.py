"""Mirrors plain attributes, which cost nothing to count in, into a table of counters."""

from __future__ import annotations

from collections.abc import Sequence

from nautilus.core.counters import Counters


class Tally:
    """Adds to ``<prefix>.<name>`` of a table what the owner's attributes have grown by since the last `write`."""

    __slots__ = ("_counters", "_entries", "_owner", "_written")

    def __init__(self, counters: Counters | None, prefix: str, owner: object, names: Sequence[str]) -> None:
        self._counters = counters
        self._owner = owner
        self._entries: list[tuple[str, int]] = []
        self._written: dict[str, int] = dict.fromkeys(names, 0)
        if counters is not None:
            self._entries = [(name, counters.counter(f"{prefix}.{name}")) for name in names]

    def write(self) -> None:
        """Bring the table up to date."""
        for name, index in self._entries:
            value = getattr(self._owner, name)
            grown = value - self._written[name]
            if grown:
                self._counters.add(index, grown)  # type: ignore[union-attr]
                self._written[name] = value
