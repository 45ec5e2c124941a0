"""Positions of every account from the core's reports, equal to the core's to the last money unit.

Reports are keyed by their place among those of their account: what is not newer than the last one applied is ignored,
so one that arrives twice, or again after a restart, changes nothing. A split is of no account: its place is that of
account 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from nautilus.model.enums import Side
from nautilus.model.events import ExecutionReport, InstrumentSplit, OrderFilled, PositionAdjusted
from nautilus.model.lots import Lots
from nautilus.model.position import Position

Key = tuple[int, int]


class Change(NamedTuple):
    """A position before and after a report.

    Parameters
    ----------
    fraction
        Of a split: lots that were dropped, times the split's `old`; negative of a short position.
    """

    before: Position
    after: Position
    fraction: int = 0


class PositionBook:
    """Applies fills, positions booked by hand and splits, each once.

    Parameters
    ----------
    multipliers
        Money units per tick and lot, by instrument.
    fifo
        What closes takes the oldest lots, not average cost.

    Attributes
    ----------
    last_sequence : of the last report that was seen.
    ignored : reports that were not newer than what was applied.
    unknown_splits : splits of which no report says what they were; only the core knows those positions.
    """

    def __init__(self, multipliers: Mapping[int, int], *, fifo: bool = False) -> None:
        self._multipliers = multipliers
        self._positions: dict[Key, Position] = {}
        self._of_account: dict[int, dict[int, Position]] = {}
        self._holders: dict[int, set[int]] = {}
        self._strange: set[int] = set()  # instruments of a saved state that are no longer there
        self._lots: dict[Key, Lots] | None = {} if fifo else None
        self._places: dict[int, int] = {}
        self.last_sequence = 0
        self.ignored = 0
        self.unknown_splits = 0

    def apply(self, report: ExecutionReport) -> list[Change]:
        """What a report changed."""
        sequence = report.sequence
        if sequence > self.last_sequence:
            self.last_sequence = sequence
        kind = type(report)
        if kind is OrderFilled:
            if report.side is None:
                return []
            side, lots, fee = report.side, report.quantity, report.fee  # type: ignore[attr-defined]
        elif kind is PositionAdjusted:
            side = Side.BUY if report.quantity > 0 else Side.SELL
            lots, fee = abs(report.quantity), 0
        elif isinstance(report, InstrumentSplit):
            return self._split(report)
        else:
            return []
        account_id, place = report.account_id, report.place
        if place <= self._places.get(account_id, 0):
            self.ignored += 1
            return []
        self._places[account_id] = place
        instrument_id = report.instrument_id
        key = (account_id, instrument_id)
        before = self._positions.get(key) or Position(account_id, instrument_id)
        multiplier = self._multipliers[instrument_id]
        if self._lots is None:
            after = before.after_fill(side, lots, report.price_ticks, multiplier, fee)
        else:
            kept = self._lots.setdefault(key, Lots())
            after = kept.after_fill(before, side, lots, report.price_ticks, multiplier, fee)
        self._set(key, after)
        return [Change(before, after)]

    def _split(self, report: InstrumentSplit) -> list[Change]:
        if report.place <= self._places.get(0, 0):
            self.ignored += 1
            return []
        self._places[0] = report.place
        if not report.old:
            self.unknown_splits += 1
            return []
        instrument_id, changes = report.instrument_id, []
        for account_id in sorted(self.accounts_with(instrument_id)):
            key = (account_id, instrument_id)
            before = self._positions[key]
            held = abs(before.quantity) * report.quantity
            lots, fraction = divmod(held, report.old)
            if before.quantity < 0:
                lots, fraction = -lots, -fraction
            # As the core has it: cost stays; where nothing is left of the position it is realised.
            cost, realised = (before.cost, before.realised) if lots else (0, before.realised + before.cost)
            after = Position(account_id, instrument_id, lots, cost, realised, before.fees)
            if self._lots is not None:
                self._lots[key] = Lots([[abs(lots), 0, cost]] if lots else ())
            self._set(key, after)
            changes.append(Change(before, after, fraction))
        return changes

    def _set(self, key: Key, position: Position) -> None:
        self._positions[key] = position
        if key[1] not in self._multipliers:
            self._strange.add(key[1])
        self._of_account.setdefault(key[0], {})[key[1]] = position
        if position.quantity:
            self._holders.setdefault(key[1], set()).add(key[0])
        else:
            self._holders.get(key[1], set()).discard(key[0])

    def positions(self) -> list[Position]:
        """Every position that ever was, by account and instrument."""
        return [self._positions[key] for key in sorted(self._positions)]

    def positions_of(self, account_id: int) -> list[Position]:
        """Those of an account, by instrument."""
        found = self._of_account.get(account_id, {})
        return [found[instrument_id] for instrument_id in sorted(found)]

    def unknown_of(self, account_id: int) -> list[Position]:
        """Those of an account in instruments that are no longer there."""
        if not self._strange:
            return []
        return [each for each in self.positions_of(account_id) if each.instrument_id in self._strange]

    def position(self, account_id: int, instrument_id: int) -> Position:
        """What an account holds of an instrument, perhaps nothing."""
        return self._positions.get((account_id, instrument_id)) or Position(account_id, instrument_id)

    def accounts(self) -> list[int]:
        """Every account that ever had a position."""
        return sorted(self._of_account)

    def accounts_with(self, instrument_id: int) -> set[int]:
        """Accounts that hold an instrument now."""
        return self._holders.get(instrument_id, set())

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "last_sequence": self.last_sequence,
            "positions": [list(msgspec.structs.astuple(position)) for position in self.positions()],
            "places": [[account, place] for account, place in sorted(self._places.items())],
            "lots": [[*key, lots.rows()] for key, lots in sorted((self._lots or {}).items())],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state()` gave."""
        for row in state["positions"]:
            self._set((row[0], row[1]), Position(*row))
        # As it was saved before a fill could have both sides in one account, it has sequences.
        self._places = {account: 2 * sequence + 1 for account, sequence in state.get("sequences", ())}
        self._places.update(state.get("places", ()))
        self.last_sequence = state["last_sequence"]
        self._restore_lots(state.get("lots", ()))

    def _restore_lots(self, saved: Iterable[Any]) -> None:
        """The lots as they were; what was saved by average cost is one lot of each position, without a price."""
        if self._lots is None:
            return
        self._lots = {(account, instrument): Lots(rows) for account, instrument, rows in saved}
        for key, position in self._positions.items():
            if position.quantity and key not in self._lots:
                self._lots[key] = Lots([[abs(position.quantity), 0, position.cost]])
