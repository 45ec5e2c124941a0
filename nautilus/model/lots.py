"""Lots of a position whose closings take the oldest first, by the core's rule (docs/kernel-controls.md, Positions)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from nautilus.model.enums import Side
from nautilus.model.position import Position, half_even


class Lots:
    """Parts of one position, oldest first: lots, price in ticks, cost in money units. Neighbours of one price are one.

    Lots are counted without sign: all parts are on the position's side.
    """

    def __init__(self, rows: Iterable[Sequence[int]] = ()) -> None:
        self._parts: deque[list[int]] = deque(list(row) for row in rows)

    def rows(self) -> list[list[int]]:
        """Plain values."""
        return [list(part) for part in self._parts]

    def open(self, lots: int, price_ticks: int, cost: int) -> None:
        """Add to the newest end."""
        if self._parts and self._parts[-1][1] == price_ticks:
            self._parts[-1][0] += lots
            self._parts[-1][2] += cost
        elif lots:
            self._parts.append([lots, price_ticks, cost])

    def close(self, lots: int) -> int:
        """Take so many of the oldest; their cost. A part of a part takes its share, rounded half to even."""
        taken = 0
        while lots:
            part = self._parts[0]
            if part[0] <= lots:
                lots -= part[0]
                taken += part[2]
                self._parts.popleft()
                continue
            share = half_even(part[2] * lots, part[0])
            part[0] -= lots
            part[2] -= share
            return taken + share
        return taken

    def after_fill(
        self, position: Position, side: Side, lots: int, price_ticks: int, multiplier: int, fee: int = 0
    ) -> Position:
        """The position after a fill, as `Position.after_fill` says it, first in, first out; these are its lots then."""
        sign = 1 if side == Side.BUY else -1
        held, cost, realised = position.quantity, position.cost, position.realised
        opened = lots
        if held * sign < 0:
            closed = min(lots, abs(held))
            opened = lots - closed
            released = self.close(closed)
            cost -= released
            realised += released - sign * closed * price_ticks * multiplier
        opening = -sign * opened * price_ticks * multiplier
        self.open(opened, price_ticks, opening)
        return Position(
            position.account_id,
            position.instrument_id,
            held + sign * lots,
            cost + opening,
            realised,
            position.fees + fee,
        )
