"""Positions and profit, in whole money units and exact.

Cost is stored, not an average price: it is the cash flow that opened what is held now, negative for a long position.
A fill that closes `c` of `h` held lots takes cost x c / h, rounded half to even, out of cost; the remainder stays, so
realised + cost = cash flow, always. The core's positions follow the same rule (docs/kernel.md).
"""

from __future__ import annotations

from nautilus.model.enums import Side
from nautilus.model.message import Message


class Position(Message, frozen=True):
    """What an account holds of an instrument. `quantity` in lots, the rest in money units.

    `fees` were paid beside (negative: received): realised profit does not contain them.
    """

    account_id: int
    instrument_id: int
    quantity: int = 0
    cost: int = 0
    realised: int = 0
    fees: int = 0

    def after_fill(self, side: Side, lots: int, price_ticks: int, multiplier: int, fee: int = 0) -> Position:
        """The position after a fill; `multiplier` is money units per tick and lot, `fee` money units."""
        sign = 1 if side == Side.BUY else -1
        held, cost, realised = self.quantity, self.cost, self.realised
        opened = lots
        if held * sign < 0:
            closed = min(lots, abs(held))
            opened = lots - closed
            released = half_even(cost * closed, abs(held))
            cost -= released
            realised += released - sign * closed * price_ticks * multiplier
        cost -= sign * opened * price_ticks * multiplier
        return Position(self.account_id, self.instrument_id, held + sign * lots, cost, realised, self.fees + fee)

    def unrealised(self, mark_ticks: int, multiplier: int) -> int:
        """Profit if it were closed at the mark."""
        return self.quantity * mark_ticks * multiplier + self.cost


class PositionChanged(Message, frozen=True):
    """A position after a fill, with the sequence of the event that changed it.

    `unrealised` is at `mark_ticks`: the price at which the position could be closed, the bid for a long one.
    """

    sequence: int
    now_ns: int
    strategy_id: int
    position: Position
    mark_ticks: int = 0
    unrealised: int = 0


def half_even(numerator: int, denominator: int) -> int:
    """`numerator` / `denominator` (> 0), rounded half to even."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return quotient + (twice > denominator or (twice == denominator and quotient & 1))
