"""Numbers out of arbitrary bytes: what is beyond their end is zero, so every input means something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Any_ = TypeVar("Any_")
WIDE = (0, -1, 1, 2, 255, 1 << 16, 1 << 20, 1 << 31, 1 << 32, 1 << 40, 1 << 50, 1 << 61, (1 << 63) - 1, -(1 << 63))


class Reader:
    """Takes numbers off the front of some bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes not yet taken."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """So many bytes, fewer at the end."""
        part = self._data[self._at : self._at + count]
        self._at += len(part)
        return part

    def number(self, count: int) -> int:
        """Unsigned number of so many bytes."""
        return int.from_bytes(self.take(count).ljust(count, b"\0"), "little")

    def choose(self, items: Sequence[Any_]) -> Any_:
        """One of the items, by one byte."""
        return items[self.number(1) % len(items)]

    def wide(self) -> int:
        """A signed 64-bit number: mostly one at which something ends, else any."""
        which = self.number(1)
        if which < 0xC0:
            return WIDE[which % len(WIDE)]
        value = self.number(8)
        return value - (1 << 64) if value >> 63 else value
