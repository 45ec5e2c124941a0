"""Random command flows at external venues: routed orders, reports of every kind at every time, sessions lost.

All instruments are external, so what a market does is left out; orders, controls and money are as in `flow_full`.
"""

from __future__ import annotations

from random import Random

import numpy as np

from nautilus.core.types import CommandKind, InstrumentFlag, SessionPhase, TimeInForce
from tests.kit import builders
from tests.kit.flow_full import FullFlow
from tests.kit.flow_setting import TAPE, TRADERS, Fields
from tests.kit.twin import TwinKernel

VENUES = {1: 9, 2: 9, 3: 200, 4: 9, 5: 255, 6: 200}


def instruments() -> np.ndarray:
    """The same as those of `flow_full` in lots, bands and currencies, each at an external venue."""
    return builders.batch(
        builders.instrument(1, currency=0, venue_reference=9),
        builders.instrument(2, multiplier=7, lot_step=5, minimum=10, price_step=2, venue_reference=9),
        builders.band(2, 100, 5),
        builders.band(2, 120, 10),
        builders.instrument(3, multiplier=1 << 20, negative=True, currency=2, venue_reference=200),
        builders.instrument(4, currency=0, venue_reference=9),
        builders.instrument(5, currency=1, venue_reference=255),
        builders.instrument(6, currency=300, venue_reference=200),
    )


def first_commands() -> np.ndarray:
    """Every account is reconciled at the venues of 1 and 3; at that of 5 two are."""
    return builders.batch(
        *(builders.command(CommandKind.VENUE_ACCEPTED, account_id=key, instrument_id=1) for key in (*TRADERS, TAPE)),
        *(builders.command(CommandKind.VENUE_ACCEPTED, account_id=key, instrument_id=3) for key in (*TRADERS, TAPE)),
        *(builders.command(CommandKind.VENUE_ACCEPTED, account_id=key, instrument_id=5) for key in TRADERS[:2]),
    )


class VenueFlow(FullFlow):
    """An endless flow of commands, a third of them reports."""

    def __init__(self, seed: int | Random) -> None:
        super().__init__(seed)
        self._makers = (
            (self._new, 30),
            (self._cancel, 9),
            (self._replace, 14),
            (self._wrong, 2),
            (self._report, 45),
            (self._mark, 4),
            (self._time, 2),
            (self._phase, 1),
            (self._limit, 3),
            (self._kill, 0.7),
            (self._mass_cancel, 1.5),
            (self._administer, 2.4),
            (self._nonsense, 0.7),
        )

    def _phase(self, twin: TwinKernel) -> Fields:
        phase = self._random.choice((SessionPhase.CONTINUOUS, SessionPhase.HALTED, SessionPhase.CLOSED))
        fields: Fields = {"kind": CommandKind.SESSION, "group_id": phase, "instrument_id": self._random.randint(0, 7)}
        if self._chance(0.4):
            fields["expire_ns"] = self._now_ns + self._random.choice((0, 1, 30, 300))
        self._date += self._chance(0.3)
        fields["offset"] = self._date
        back = {**fields, "group_id": SessionPhase.CONTINUOUS, "expire_ns": 0}
        self._undo.append((self._drawn + self._random.randint(2, 6), back))
        return fields

    def _stray_report(self, twin: TwinKernel) -> Fields:
        fields = super()._stray_report(twin)
        if fields["instrument_id"] in VENUES and self._chance(0.7):
            fields["instrument_id"] = self._random.choice(list(VENUES))
        return fields


def is_of_every_kernel(command: np.void, twin: TwinKernel) -> bool:
    """Whether a command leaves instruments that are matched here alone: those are the business of other flows."""
    if command["kind"] == CommandKind.INSTRUMENT:
        return bool(command["venue_reference"]) and not command["flags"] & InstrumentFlag.PRO_RATA
    return True


__all__ = ["VENUES", "TimeInForce", "VenueFlow", "first_commands", "instruments", "is_of_every_kernel"]
