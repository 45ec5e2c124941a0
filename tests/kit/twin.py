"""The kernel's naive twin: docs/kernel*.md in plain Python, dicts, lists and unbounded integers.

It is written to be obviously right, never to be quick (a thousand commands a second). The compiled kernel is
compared with it, event for event and state hash for state hash, after every command. Nothing here is shared with
the kernel but the records and the enumerations.

Each module adds one subject to the one before it: state, words (the snapshot), book (where orders stand, how they
end, groups), money, indicative (the auction price), matching, auction, controls, venues, orders, settling,
administration. Beside them views: what is asked of a kernel and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xxhash

from nautilus.core.types import COMMAND, EVENT, CommandKind, EventKind, Reason, SessionPhase
from tests.kit.twin_administration import TwinAdministration
from tests.kit.twin_state import Command, Timer
from tests.kit.twin_views import TwinViews

REPORTS = (
    CommandKind.VENUE_ACCEPTED,
    CommandKind.VENUE_REJECTED,
    CommandKind.VENUE_FILL,
    CommandKind.VENUE_CANCELLED,
    CommandKind.VENUE_REPLACED,
    CommandKind.VENUE_UNKNOWN,
)


def as_commands(given: Any) -> list[np.ndarray]:
    """COMMAND arrays from None, an array, an object with `to_commands()` or an iterable of these."""
    if given is None:
        return []
    if isinstance(given, np.ndarray):
        return [given]
    if hasattr(given, "to_commands"):
        return [given.to_commands()]
    return [array for item in given for array in as_commands(item)]


class TwinKernel(TwinAdministration, TwinViews):
    """Same face as `nautilus.core.Kernel`, without a journal.

    Parameters are those of the kernel: instruments and limits as COMMAND arrays or objects with `to_commands()`,
    accounts as ids or a COMMAND array; they are processed as the first commands, at time 0.
    """

    def __init__(
        self,
        instruments: Any = (),
        limits: Any = None,
        capacity: int = 1 << 20,
        *,
        accounts: Any = range(1, 17),
        closed_capacity: int = 1 << 20,
        hashes: str = "xxh3",
    ) -> None:
        super().__init__(capacity, closed_capacity)
        self._events: list[tuple[Any, ...]] = []
        self._flattened: list[tuple[int, int]] = []
        self._replenished = 0
        kind = {"xxh3": xxhash.xxh3_64, "xxh64": xxhash.xxh64}[hashes]
        self._event_hash, self._journal_hash = kind(), kind()
        if not isinstance(accounts, np.ndarray):
            opened = np.zeros(len(list(accounts)), COMMAND)
            opened["kind"] = CommandKind.ACCOUNT
            opened["account_id"] = list(accounts)
            accounts = opened
        for commands in (*as_commands(instruments), accounts, *as_commands(limits)):
            first = commands.copy()
            first["now_ns"] = 0
            first["source_id"] = 0
            self.process(first)

    def process(self, commands: np.ndarray) -> np.ndarray:
        """Apply the commands in order; the EVENT records they caused."""
        self._events = []
        sequenced = commands.copy()
        for index, row in enumerate(commands.tolist()):
            command = Command._make(row)
            self.last_sequence += 1
            now_ns = max(self.now_ns, command.now_ns)
            sequenced[index]["sequence"] = self.last_sequence
            sequenced[index]["now_ns"] = now_ns
            self._fire_timers(now_ns)
            self.now_ns = now_ns
            self._apply(command)
        self._journal_hash.update(sequenced.tobytes())
        events = np.array(self._events, EVENT)
        self._event_hash.update(events.tobytes())
        return events

    def event_hash(self) -> int:
        """XXH3 over every event record so far, or XXH64 where that was asked for."""
        return self._event_hash.intdigest()

    def journal_hash(self) -> int:
        """The same over every command record so far, as sequenced."""
        return self._journal_hash.intdigest()

    def state_hash(self) -> int:
        """XXH64 over the canonical state."""
        return xxhash.xxh64_intdigest(self.snapshot())

    # -- one command ---------------------------------------------------------------------------------------------

    def _fire_timers(self, now_ns: int) -> None:
        """Each as if the clock stood at its due time, and what follows from it."""
        self._command = Command()
        self._replenished = 0
        while True:
            due = [timer for timer in self.timers if timer.due_ns <= now_ns]
            if not due:
                return
            timer = min(due, key=lambda timer: (timer.due_ns, timer.arming))
            self.timers.remove(timer)
            self.now_ns = timer.due_ns
            self._fire(timer)
            self._finish(timer.instrument_id)

    def _fire(self, timer: Timer) -> None:
        instrument = self.instruments[timer.instrument_id]
        if timer.order is not None:
            self._end(timer.order, Reason.EXPIRED, EventKind.EXPIRED)
        elif timer.kind == "indicative":
            self._indicate(instrument)
        else:
            self._change_phase(instrument, SessionPhase.CONTINUOUS)
            self._emit(EventKind.PHASE, instrument_id=timer.instrument_id, quantity=int(instrument.phase))

    def _apply(self, command: Command) -> None:
        self._command = command
        self._replenished = 0
        if command.source_id and command.source_sequence:
            if command.source_sequence <= self.sources.get(command.source_id, 0):
                self._emit(EventKind.DUPLICATE, **self._echo())
                return
            self.sources[command.source_id] = command.source_sequence
        if command.deadline_ns and command.deadline_ns < self.now_ns:
            self._reject(Reason.LATE)
            return
        first = command.instrument_id
        if command.kind in (CommandKind.CANCEL, CommandKind.REPLACE):
            order = self.orders.get((command.account_id, command.order_id))
            first = order.instrument_id if order is not None else 0
        if command.kind == CommandKind.NEW:
            self._new(command)
        elif command.kind == CommandKind.CANCEL:
            self._cancel(command)
        elif command.kind == CommandKind.REPLACE:
            self._replace(command)
        elif command.kind in REPORTS:
            self._report(command)
        elif command.kind != CommandKind.TIME:
            self._administer(command)
        self._finish(first)

    def _administer(self, command: Command) -> None:
        """Carry out one administrative command: a reason refuses it, a number is APPLIED's quantity."""
        handlers: dict[int, Callable[[Command], int | None]] = {
            CommandKind.INSTRUMENT: self._add_instrument,
            CommandKind.ACCOUNT: self._add_account,
            CommandKind.LIMIT: self._set_limit,
            CommandKind.SESSION: self._set_session,
            CommandKind.MARK: self._set_mark,
            CommandKind.KILL: self._kill,
            CommandKind.RESUME: self._resume,
            CommandKind.MASS_CANCEL: self._mass_cancel,
            CommandKind.RATE: self._set_rate,
            CommandKind.ADJUST: self._adjust,
        }
        if command.kind not in handlers:
            self._reject(Reason.MALFORMED)
            return
        outcome = handlers[command.kind](command)
        if isinstance(outcome, Reason):
            self._reject(outcome)
        elif command.kind != CommandKind.MARK:
            echo = self._echo()
            if outcome is not None:
                echo["quantity"] = outcome
            self._emit(EventKind.APPLIED, **echo)
