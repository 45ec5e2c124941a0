"""The image of one book: levels and orders, folded from its deltas by the rules of `nautilus.core.order_book`."""

from __future__ import annotations

from typing import Final

import numpy as np

from nautilus.core.book_set import BookSet
from nautilus.core.ticks import GAP_FLAG
from nautilus.core.types import BOOK_DELTA
from nautilus.model.enums import BookAction, RecordFlag
from nautilus.model.records import Records

SET, ADD, REDUCE, DELETE, EXECUTE, EXECUTE_HIDDEN, CLEAR = (int(action) for action in BookAction)
LAST, SNAPSHOT, STALE = int(RecordFlag.LAST), int(RecordFlag.SNAPSHOT), int(RecordFlag.STALE)
BROKEN = STALE | GAP_FLAG
FEW: Final = 64
"""Deltas that are sooner folded one by one."""


class _Level:
    """What rests at a price: as the venue told it in a SET, and orders."""

    __slots__ = ("orders", "set")

    def __init__(self) -> None:
        self.set: tuple[int, ...] | None = None
        self.orders: dict[int, tuple[int, ...]] = {}


class BookImage:
    """Levels and orders of one book, folded from its deltas by the rules of `nautilus.core.order_book`.

    From a record with STALE, or the flag of a gap, until a whole snapshot the book is not known: its image has STALE.
    """

    def __init__(self) -> None:
        self._blind = False
        self._levels: dict[tuple[int, int], _Level] = {}
        self._at: dict[int, tuple[int, int]] = {}
        self._last: tuple[int, ...] | None = None

    def apply(self, records: Records) -> None:
        """Take in deltas, in order."""
        levels = self._levels
        for row in _telling(records).tolist():
            order, quantity, side, action, flags = row[3], row[5], row[7], row[8], row[9]
            if flags & BROKEN:
                self._blind = True
            elif self._blind and flags & SNAPSHOT and flags & LAST:
                self._blind = False
            key = (side, row[4])
            if action == SET:
                self._drop(key)
                if quantity > 0:
                    levels[key] = _Level()
                    levels[key].set = row
            elif action == ADD:
                if order in self._at:
                    self._take(order, key, 0, whole=True)
                level = levels.get(key)
                if level is None:
                    level = levels[key] = _Level()
                level.orders[order] = row
                self._at[order] = key
            elif action == CLEAR:
                for each in [each for each in levels if side in (0, each[0])]:
                    self._drop(each)
            elif action != EXECUTE_HIDDEN:
                self._take(order, key, quantity, whole=action == DELETE)
            self._last = row

    def _take(self, order: int, key: tuple[int, int], quantity: int, *, whole: bool) -> None:
        """Take a quantity off an order; off what is not named at the level where the order is not known."""
        known = self._at.get(order)
        key = known or key
        level = self._levels.get(key)
        if level is None:
            return
        row = level.orders.get(order) if known else level.set
        if row is None:
            return
        rest = 0 if whole and known else row[5] - quantity
        left = (*row[:5], rest, *row[6:]) if rest > 0 else None
        if not known:
            level.set = left
        elif left is not None:
            level.orders[order] = left
        else:
            del level.orders[order], self._at[order]
        if level.set is None and not level.orders:
            del self._levels[key]

    def _drop(self, key: tuple[int, int]) -> None:
        level = self._levels.pop(key, None)
        if level is not None:
            for order in level.orders:
                del self._at[order]

    def records(self) -> Records:
        """The book as deltas that build it from nothing: CLEAR of both sides, then its levels and orders."""
        if self._last is None:
            return np.empty(0, BOOK_DELTA)
        now, venue, update, _, _, _, instrument, _, _, _ = self._last
        rows: list[tuple[int, ...]] = [(now, venue, update, 0, 0, 0, instrument, side, CLEAR, 0) for side in (1, 2)]
        for level in self._levels.values():
            rows += [*([level.set] if level.set else ()), *level.orders.values()]
        image = np.array(rows, BOOK_DELTA)
        image["flags"] = (image["flags"] & ~np.uint16(LAST | BROKEN)) | np.uint16(
            SNAPSHOT | (STALE if self._blind else 0)
        )
        image["flags"][-1] |= LAST
        return image


def _telling(records: Records) -> Records:
    """Those of many deltas that say what the others do not: of levels alone, the last of each, in their order."""
    return records if len(records) < FEW else BookSet.last_of_levels(records)
