"""Marks: the newest price of each instrument, and whether it is as a venue sent it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nautilus.model.enums import RecordFlag

SYNTHETIC = int(RecordFlag.SYNTHETIC)


class Marks:
    """Prices by instrument.

    Attributes
    ----------
    prices : the middle of the newest quote, or the side that there is.
    synthetic : instruments whose newest quote is not as a venue sent it (`RecordFlag.SYNTHETIC`).
    """

    __slots__ = ("prices", "synthetic")

    def __init__(self) -> None:
        self.prices: dict[int, float] = {}
        self.synthetic: set[int] = set()

    def __contains__(self, instrument_id: object) -> bool:
        return instrument_id in self.prices

    def put(self, instrument_id: int, price: float, flags: int) -> bool:
        """Take a price; whether it tells anything new."""
        made_up = bool(flags & SYNTHETIC)
        if self.prices.get(instrument_id) == price and (instrument_id in self.synthetic) == made_up:
            return False
        self.prices[instrument_id] = price
        if made_up:
            self.synthetic.add(instrument_id)
        else:
            self.synthetic.discard(instrument_id)
        return True

    def state(self) -> list[list[Any]]:
        """Plain values."""
        return [[key, price, key in self.synthetic] for key, price in self.prices.items()]

    def restore(self, state: Iterable[Any], known: Iterable[int]) -> None:
        """Take over what `state()` gave, of instruments that are there."""
        there = set(known)
        for key, price, *later in state:
            if key in there:
                self.put(key, price, SYNTHETIC if any(later) else 0)


__all__ = ["Marks"]
