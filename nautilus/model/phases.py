"""Questions and orders about phases, as people send them: instruments by symbol, phases by name."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from nautilus.model.enums import Reason, SessionPhase
from nautilus.model.ids import MAX_ID_32
from nautilus.model.message import Message

LAST_NS = 2**63 - 1


class PhaseRequest(Message, frozen=True):
    """Move an instrument, or (named by neither field) every one, to a phase.

    Parameters
    ----------
    phase
        What it is to be. To the phase that holds already nothing happens but that close and date are set.
    instrument
        In place of `instrument_id`: a symbol, or the id as text.
    close_ns
        End of the session, when DAY orders expire, in nanoseconds since the epoch; 0: not known, no DAY order has a
        timer then.
    date
        Trading date, any number that differs from day to day; a new one for every instrument begins a day for the
        controls that look at one.
    """

    phase: SessionPhase
    instrument_id: Annotated[int, Meta(ge=0, le=MAX_ID_32)] = 0
    instrument: str | None = None
    close_ns: Annotated[int, Meta(ge=0, le=LAST_NS)] = 0
    date: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)] = 0


class PhaseResult(Message, frozen=True):
    """The phase that the core applied, and whose it is; `instrument_id` 0: every one's.

    Parameters
    ----------
    status
        ``applied``, or ``rejected``: nothing was changed then, and `reason` says why.
    sequence
        Of the event that says so.
    """

    phase: SessionPhase
    status: str
    latency_us: float
    instrument_id: int = 0
    symbol: str = ""
    reason: Reason = Reason.NONE
    sequence: int = 0


class GetPhases(Message, frozen=True):
    """Phase of every instrument."""


class PhaseLine(Message, frozen=True):
    """An instrument's phase, as far as the events tell it."""

    instrument_id: int
    symbol: str
    phase: SessionPhase


class Phases(Message, frozen=True):
    """Phases as of an event."""

    phases: tuple[PhaseLine, ...]
    last_sequence: int
