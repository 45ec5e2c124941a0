"""Totals of every account, kept up to date by what changes: a fill or a new mark costs the same with any number held.

Of a position with cost C (the cash flow that opened it, negative for a long one), realised profit R, fees F and value E
at its mark, the unrealised profit is E + C. What fills moved in cash is R + C of a cash product, and R of one that is
settled by margin. So the value of an account is booked cash + income + sum(R + E + C - F), and of cash products that
is cash + sum(E), exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from nautilus.engines.portfolio.money import scale_of
from nautilus.model.instrument import Instrument
from nautilus.model.position import Position

MARGINED = ("perpetual", "future", "futures", "swap", "cfd")
"""Products of which a position costs no cash: only what it realises is paid."""


class Value(NamedTuple):
    """What one position adds, in units of 10^-18 of its currency.

    Parameters
    ----------
    trading
        Cash that fills moved.
    exposure
        At the mark, signed; at cost where there is none.
    """

    realised: int
    unrealised: int
    fees: int
    trading: int
    exposure: int

    @property
    def total(self) -> int:
        """Profit after fees."""
        return self.realised + self.unrealised - self.fees


_NOTHING = Value(0, 0, 0, 0, 0)


class Totals:
    """Sums of one account in one currency, in units of 10^-18."""

    __slots__ = ("fees", "gross", "net", "realised", "trading", "unrealised")

    def __init__(self) -> None:
        self.realised = self.unrealised = self.fees = self.trading = self.gross = self.net = 0

    def move(self, before: Value, after: Value) -> None:
        """One position is worth something else."""
        self.realised += after.realised - before.realised
        self.unrealised += after.unrealised - before.unrealised
        self.fees += after.fees - before.fees
        self.trading += after.trading - before.trading
        self.gross += abs(after.exposure) - abs(before.exposure)
        self.net += after.exposure - before.exposure

    @property
    def profit(self) -> int:
        """After fees."""
        return self.realised + self.unrealised - self.fees


class Valuation:
    """Values of positions, and their totals by account and currency."""

    def __init__(self, instruments: Mapping[int, Instrument]) -> None:
        # All that a valuation needs of an instrument, looked up once.
        self._known = {
            key: (each.quote_currency, scale_of(each), each.multiplier, each.product not in MARGINED)
            for key, each in instruments.items()
        }
        self._values: dict[tuple[int, int], Value] = {}
        self._totals: dict[int, dict[str, Totals]] = {}
        self._unmarked: dict[int, set[int]] = {}
        self._synthetic: dict[int, set[int]] = {}

    def update(self, position: Position, mark_ticks: int | None, *, synthetic: bool = False) -> None:
        """A position or its mark has changed; `synthetic`: the mark is not as a venue sent it."""
        account_id, instrument_id = key = (position.account_id, position.instrument_id)
        currency, scale, multiplier, cash = self._known[instrument_id]
        quantity, cost, realised = position.quantity, position.cost, position.realised
        unmarked = self._unmarked.setdefault(account_id, set())
        if quantity and mark_ticks is None:
            unmarked.add(instrument_id)
            exposure = -cost
        else:
            unmarked.discard(instrument_id)
            exposure = quantity * (mark_ticks or 0) * multiplier
        if quantity and synthetic:
            self._synthetic.setdefault(account_id, set()).add(instrument_id)
        elif account_id in self._synthetic:
            self._synthetic[account_id].discard(instrument_id)
        after = Value(
            realised * scale,
            (exposure + cost) * scale,
            position.fees * scale,
            (realised + cost if cash else realised) * scale,
            exposure * scale,
        )
        before = self._values.get(key, _NOTHING)
        self._values[key] = after
        totals = self._totals.setdefault(account_id, {})
        if currency not in totals:
            totals[currency] = Totals()
        totals[currency].move(before, after)

    def value(self, account_id: int, instrument_id: int) -> Value:
        """Of one position."""
        return self._values.get((account_id, instrument_id), _NOTHING)

    def totals(self, account_id: int) -> Mapping[str, Totals]:
        """Of an account, by currency."""
        return self._totals.get(account_id, {})

    def unmarked(self, account_id: int) -> Iterable[int]:
        """Instruments that an account holds and that have no mark."""
        return sorted(self._unmarked.get(account_id, ()))

    def synthetic(self, account_id: int) -> bool:
        """Whether an account holds something whose mark is not as a venue sent it."""
        return bool(self._synthetic.get(account_id))
