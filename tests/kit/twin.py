"""The kernel's naive twin: docs/kernel.md in plain Python, dicts, lists and unbounded integers.

It is written to be obviously right, never to be quick (some thousand commands a second). The compiled kernel is
compared with it, event for event and state hash for state hash, after every command. Nothing here is shared with
the kernel but the records and the enumerations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xxhash

from nautilus.core.types import (
    COMMAND,
    EVENT,
    AccountFlag,
    CommandKind,
    EventKind,
    InstrumentFlag,
    LimitKind,
    Reason,
    SessionPhase,
    Side,
    TimeInForce,
)
from tests.kit.twin_orders import TwinOrders
from tests.kit.twin_state import MAX_BANDS, MAX_COLLAR_BPS, MAX_MULTIPLIER, SIDES, Account, Command, Instrument

LATER_KINDS = (
    CommandKind.RATE,
    CommandKind.ADJUST,
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


class TwinKernel(TwinOrders):
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
    ) -> None:
        super().__init__(capacity, closed_capacity)
        self._events: list[tuple[Any, ...]] = []
        self._event_hash = xxhash.xxh64()
        self._journal_hash = xxhash.xxh64()
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
            self.now_ns = max(self.now_ns, command.now_ns)
            sequenced[index]["sequence"] = self.last_sequence
            sequenced[index]["now_ns"] = self.now_ns
            self._apply(command)
        self._journal_hash.update(sequenced.tobytes())
        events = np.array(self._events, EVENT)
        self._event_hash.update(events.tobytes())
        return events

    def event_hash(self) -> int:
        """XXH64 over every event record so far."""
        return self._event_hash.intdigest()

    def journal_hash(self) -> int:
        """XXH64 over every command record so far, as sequenced."""
        return self._journal_hash.intdigest()

    def state_hash(self) -> int:
        """XXH64 over the canonical state."""
        return xxhash.xxh64_intdigest(self.snapshot())

    # -- one command ---------------------------------------------------------------------------------------------

    def _apply(self, command: Command) -> None:
        self._command = command
        self._fire_timers()
        if command.source_id and command.source_sequence:
            if command.source_sequence <= self.sources.get(command.source_id, 0):
                self._emit(EventKind.DUPLICATE, **self._echo())
                return
            self.sources[command.source_id] = command.source_sequence
        if command.deadline_ns and command.deadline_ns < self.now_ns:
            self._reject(Reason.LATE)
            return
        if command.kind == CommandKind.NEW:
            self._new(command)
        elif command.kind == CommandKind.CANCEL:
            self._cancel(command)
        elif command.kind == CommandKind.REPLACE:
            self._replace(command)
        elif command.kind == CommandKind.TIME:
            pass
        elif command.kind in LATER_KINDS:
            self._reject(Reason.UNSUPPORTED)
        else:
            self._administer(command)

    def _fire_timers(self) -> None:
        due = [order for order in self.timers.values() if order.due_ns <= self.now_ns]
        for order in sorted(due, key=lambda order: (order.due_ns, order.arming)):
            self._end(order, EventKind.EXPIRED, Reason.EXPIRED, now_ns=order.due_ns, source_id=0, source_sequence=0)

    # -- administrative commands ---------------------------------------------------------------------------------

    def _administer(self, command: Command) -> None:
        """Carry out one administrative command: a reason refuses it, a number is APPLIED's quantity."""
        handlers: dict[int, Callable[[Command], int | None]] = {
            CommandKind.INSTRUMENT: self._instrument,
            CommandKind.ACCOUNT: self._account,
            CommandKind.LIMIT: self._limit,
            CommandKind.SESSION: self._session,
            CommandKind.MARK: self._mark,
            CommandKind.KILL: self._kill,
            CommandKind.RESUME: self._resume,
            CommandKind.MASS_CANCEL: self._mass_cancel,
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

    def _instrument(self, command: Command) -> Reason | None:
        if command.flags & InstrumentFlag.BAND:
            return self._band(command)
        if command.instrument_id == 0:
            return Reason.UNKNOWN_INSTRUMENT
        if command.instrument_id in self.instruments:
            return Reason.DUPLICATE_ORDER
        steps = (command.display_quantity, command.min_quantity, command.price_ticks)
        if (
            not 1 <= command.quantity <= MAX_MULTIPLIER
            or any(not 0 <= step <= 1 << 40 for step in steps)
            or command.offset < 0
            or command.flags & ~int(InstrumentFlag.NEGATIVE)
        ):
            return Reason.MALFORMED
        lot_step = command.display_quantity or 1
        self.instruments[command.instrument_id] = Instrument(
            multiplier=command.quantity,
            lot_step=lot_step,
            minimum=command.min_quantity or lot_step,
            price_step=command.price_ticks or 1,
            currency=command.offset,
            product=command.group_id,
            flags=command.flags,
        )
        for side in SIDES:
            self.books[command.instrument_id, side] = []
        return None

    def _band(self, command: Command) -> Reason | None:
        instrument = self.instruments.get(command.instrument_id)
        if instrument is None:
            return Reason.UNKNOWN_INSTRUMENT
        above = instrument.bands[-1][0] if instrument.bands else 0
        if len(instrument.bands) == MAX_BANDS or command.price_ticks <= above or not 1 <= command.quantity <= 1 << 40:
            return Reason.MALFORMED
        instrument.bands.append((command.price_ticks, command.quantity))
        return None

    def _account(self, command: Command) -> Reason | None:
        if command.account_id == 0:
            return Reason.UNKNOWN_ACCOUNT
        if command.flags & ~int(AccountFlag.EXEMPT | AccountFlag.RECORDED):
            return Reason.MALFORMED
        account = self.accounts.setdefault(command.account_id, Account(command.flags))
        orders = any(account_id == command.account_id for account_id, _ in self.orders)
        position = any(key[0] == command.account_id and item.quantity for key, item in self.book_positions.items())
        if account.flags != command.flags and (orders or position):
            return Reason.MALFORMED
        account.flags = command.flags
        return None

    def _limit(self, command: Command) -> Reason | None:
        value, window = command.quantity, 0
        if not 1 <= command.order_type <= max(LimitKind):
            return Reason.MALFORMED
        if command.order_type > LimitKind.MESSAGE_RATE:
            return Reason.UNSUPPORTED
        if value < -1 or (command.order_type == LimitKind.PRICE_COLLAR and value > MAX_COLLAR_BPS):
            return Reason.MALFORMED
        if command.order_type == LimitKind.MESSAGE_RATE:
            window = command.expire_ns
            if command.instrument_id or not (value == -1 or 1 <= value <= window):
                return Reason.MALFORMED
        unknown = self._unknown_scope(command)
        if unknown:
            return unknown
        scope = (command.order_type, command.account_id, command.instrument_id)
        if value == -1:
            self.limits.pop(scope, None)
        else:
            self.limits[scope] = (value, window)
        return None

    def _session(self, command: Command) -> Reason | None:
        phase, close = command.group_id, command.expire_ns
        if not 1 <= phase <= max(SessionPhase):
            return Reason.MALFORMED
        if phase > SessionPhase.CLOSED:
            return Reason.UNSUPPORTED
        if command.instrument_id and command.instrument_id not in self.instruments:
            return Reason.UNKNOWN_INSTRUMENT
        if close and close <= self.now_ns:
            return Reason.EXPIRY
        for instrument_id in [command.instrument_id] if command.instrument_id else sorted(self.instruments):
            instrument = self.instruments[instrument_id]
            instrument.phase, instrument.close_ns, instrument.date = phase, close, command.offset
        day_orders = [
            order
            for order in self._walk()
            if order.time_in_force == TimeInForce.DAY and command.instrument_id in (0, order.instrument_id)
        ]
        for order in day_orders:
            self.timers.pop(order.arming, None)
            order.due_ns = order.arming = 0
            if close:
                self._arm(order, close)
        if phase == SessionPhase.CLOSED:
            for order in day_orders:
                self._end(order, EventKind.EXPIRED, Reason.SESSION_CLOSED)
        return None

    def _mark(self, command: Command) -> Reason | None:
        instrument = self.instruments.get(command.instrument_id)
        if instrument is None:
            return Reason.UNKNOWN_INSTRUMENT
        if not instrument.allows(command.price_ticks):
            return Reason.PRICE
        instrument.mark = command.price_ticks
        return None

    def _kill(self, command: Command) -> Reason | int:
        unknown = self._unknown_scope(command)
        if unknown:
            return unknown
        self._switch(command, on=True)
        return self._cancel_all(command, Reason.KILL_SWITCH)

    def _resume(self, command: Command) -> Reason | None:
        unknown = self._unknown_scope(command)
        if unknown:
            return unknown
        self._switch(command, on=False)
        return None

    def _mass_cancel(self, command: Command) -> Reason | int:
        unknown = self._unknown_scope(command)
        if unknown:
            return unknown
        if command.side > Side.SELL:
            return Reason.MALFORMED
        return self._cancel_all(command, Reason.MASS_CANCEL, command.side, command.strategy_id)

    def _unknown_scope(self, command: Command) -> Reason | None:
        if command.account_id and command.account_id not in self.accounts:
            return Reason.UNKNOWN_ACCOUNT
        if command.instrument_id and command.instrument_id not in self.instruments:
            return Reason.UNKNOWN_INSTRUMENT
        return None

    def _switch(self, command: Command, *, on: bool) -> None:
        if command.account_id and command.instrument_id:
            self._position(command.account_id, command.instrument_id).killed = on
        elif command.account_id:
            self.accounts[command.account_id].killed = on
        elif command.instrument_id:
            self.instruments[command.instrument_id].killed = on
        else:
            self.killed = on

    def _cancel_all(self, command: Command, reason: Reason, side: int = 0, strategy_id: int = 0) -> int:
        """Cancel the open orders of the scope; exempt accounts only where they are named. The number cancelled."""
        chosen = [
            order
            for order in self._walk()
            if (order.account_id == command.account_id if command.account_id else not self._exempt(order))
            and command.instrument_id in (0, order.instrument_id)
            and side in (0, order.side)
            and strategy_id in (0, order.strategy_id)
        ]
        for order in chosen:
            self._end(order, EventKind.CANCELLED, reason)
        return len(chosen)
