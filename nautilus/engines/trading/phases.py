"""Phases of instruments for people: what they ask becomes a SESSION command, and what came of it an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nautilus.engines.base import Context, Core
from nautilus.engines.trading.decode import quoted
from nautilus.engines.trading.reports import ReportExpander
from nautilus.model.commands import SetPhase
from nautilus.model.enums import CommandKind, EventKind, Reason, SessionPhase
from nautilus.model.errors import BusError, ModelError, UnknownInstrumentError
from nautilus.model.instrument import Instrument
from nautilus.model.phases import PhaseLine, PhaseRequest, PhaseResult, Phases
from nautilus.model.records import Records, command_array

_REFUSED = (Reason.EXPIRY, Reason.MALFORMED)
"""Reasons that lie in what was asked: the answer is `rejected`."""


class PhaseNotSetError(BusError):
    """The core did not set the phase, for no fault of the sender."""

    code = "bus.not_applied"


class PhaseDesk:
    """Sets and shows phases.

    Parameters
    ----------
    core, instruments, publish
        See `OrderDesk`.
    find
        The instrument of a symbol or an id.
    expander
        Knows the phases, as far as events told them.
    """

    def __init__(
        self,
        core: Core,
        instruments: Iterable[Instrument],
        find: Callable[[str, str], Instrument],
        expander: ReportExpander,
        publish: Callable[[Records, CommandKind, Context], None],
    ) -> None:
        self._core = core
        self._symbols = {instrument.instrument_id: instrument.symbol for instrument in instruments}
        self._find = find
        self._expander = expander
        self._publish = publish

    def set(self, request: PhaseRequest, ctx: Context) -> PhaseResult:
        """Set a phase. UnknownInstrumentError, ModelError: the scope is none; PhaseNotSetError: the core did not."""
        instrument_id = self._scope_of(request)
        command = SetPhase(request.phase, instrument_id, request.close_ns, request.date)
        events = self._core.process(command_array(command.to_row(ctx.now_ns)))
        self._publish(events, command.kind, ctx)
        # What settles after it comes behind.
        answers = events[(events["kind"] == EventKind.APPLIED) | (events["kind"] == EventKind.REJECTED)]
        named = self._symbols.get(instrument_id, "") or str(instrument_id)
        if not len(answers):
            said = EventKind(int(events["kind"][-1])).name if len(events) else "nothing"
            raise PhaseNotSetError(
                f"{request.phase.name} was not set: {said}", where="trading core", expected="APPLIED; send it again"
            )
        answer = answers[0]
        reason = Reason(int(answer["reason"]))
        if reason == Reason.UNKNOWN_INSTRUMENT:
            raise UnknownInstrumentError(
                f"{request.phase.name} was not set for instrument {named}: {reason.name}",
                where="phase",
                expected="one that the core knows",
            )
        if reason and reason not in _REFUSED:
            raise PhaseNotSetError(
                f"{request.phase.name} was not set: {reason.name}", where="trading core", expected="to be sent again"
            )
        return PhaseResult(
            # What the core says that it applied: SetPhase has it as the order id, which APPLIED repeats.
            request.phase if reason else SessionPhase(int(answer["order_id"])),
            "rejected" if reason else "applied",
            0.0,
            instrument_id=instrument_id,
            symbol=self._symbols.get(instrument_id, ""),
            reason=reason,
            sequence=int(answer["sequence"]),
        )

    def lines(self) -> Phases:
        """Phase of every known instrument."""
        phases = self._expander.phases
        every = phases.get(0, SessionPhase.CONTINUOUS)
        return Phases(
            tuple(
                PhaseLine(
                    instrument_id, self._symbols.get(instrument_id, ""), SessionPhase(phases.get(instrument_id, every))
                )
                for instrument_id in sorted({*self._symbols, *phases} - {0})
            ),
            self._expander.last_sequence,
        )

    def _scope_of(self, request: PhaseRequest) -> int:
        # "" is none that is known: who meant to name one must not move every instrument.
        if request.instrument is None:
            return request.instrument_id
        found = self._find(request.instrument, "phase").instrument_id
        if request.instrument_id not in (0, found):
            raise ModelError(
                f"instrument {quoted(request.instrument)} and instrument_id {request.instrument_id}",
                where="phase",
                expected="one of them, or both of the same instrument",
            )
        return found
