"""What a random flow reached: event kinds, reasons, order types, flags, times in force, phases, standings, states.

A flow proves little about a rule that it never reaches; `missing()` names what never occurred.
"""

from __future__ import annotations

from collections import Counter
from enum import IntEnum

import numpy as np

from nautilus.core.types import (
    EVENT,
    AdjustKind,
    CommandKind,
    EventFlag,
    EventKind,
    LimitKind,
    OrderFlag,
    OrderState,
    OrderType,
    RateKind,
    Reason,
    SelfMatch,
    SessionPhase,
    Standing,
    TimeInForce,
)
from tests.kit.twin import TwinKernel

# Reasons that no command can cause: of the rim around the kernel.
ELSEWHERE = {Reason.NONE, Reason.JOURNAL_FULL, Reason.NOT_READY, Reason.DISCONNECTED}
CLOSED_STATES = {OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED}


class Coverage:
    """Counts what occurred, by the name of the enumeration and its member."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()  # event kind, reason
        self.commands: Counter[str] = Counter()

    def read(self, command: np.void, events: np.ndarray, twin: TwinKernel) -> None:
        """One command, the events it caused, and the state after it."""
        kind = int(command["kind"])
        if kind in set(CommandKind):
            self.commands[CommandKind(kind).name] += 1
        for row in events.tolist():
            event = dict(zip(EVENT.names or (), row, strict=True))
            self._event(event)
            if event["kind"] == EventKind.APPLIED:
                self._applied(command)
        for mode in {int(account.mode) or 1 for account in twin.accounts.values()}:
            self._see(SelfMatch(mode))
        for phase in {int(instrument.phase) for instrument in twin.instruments.values()}:
            self._see(SessionPhase(phase))
        for standing, state in {(int(order.standing), int(order.state)) for order in twin.orders.values()}:
            self._see(Standing(standing))
            if state:
                self._see(OrderState(state))

    def _see(self, member: IntEnum) -> None:
        self.seen[f"{type(member).__name__}.{member.name}"] += 1

    def _event(self, event: dict[str, int]) -> None:
        kind, reason = EventKind(event["kind"]), Reason(event["reason"])
        self._see(kind)
        self._see(reason)
        self.pairs[kind.name, reason.name] += 1
        if kind == EventKind.REJECTED:
            for bit in range(32):
                if event["flags"] >> bit & 1:
                    self._see(Reason(bit))
        elif kind in (EventKind.ACCEPTED, EventKind.ROUTED):
            self._see(OrderType(event["flags"] >> 16 & 0xFF))
            self._see(TimeInForce(event["flags"] >> 24))
            for flag in OrderFlag:
                if event["flags"] & flag:
                    self.seen[f"OrderFlag.{flag.name}"] += 1
        elif kind == EventKind.FILLED:
            for mark in EventFlag:
                if event["flags"] & mark:
                    self.seen[f"EventFlag.{mark.name}"] += 1

    def _applied(self, command: np.void) -> None:
        kind = command["kind"]
        if kind == CommandKind.LIMIT:
            self._see(LimitKind(command["order_type"]))
        elif kind == CommandKind.RATE:
            self._see(RateKind(command["group_id"]))
        elif kind == CommandKind.ADJUST:
            self._see(AdjustKind(command["group_id"]))

    def missing(self) -> list[str]:
        """Everything that never occurred."""
        wanted = [
            f"{enumeration.__name__}.{member.name}"
            for enumeration in (
                EventKind,
                Reason,
                OrderType,
                OrderFlag,
                TimeInForce,
                SessionPhase,
                Standing,
                OrderState,
                EventFlag,
                LimitKind,
                RateKind,
                AdjustKind,
                SelfMatch,
            )
            for member in enumeration
            if member not in ELSEWHERE or enumeration is not Reason
            if enumeration is not OrderState or member not in CLOSED_STATES
        ]
        commands = [f"CommandKind.{kind.name}" for kind in CommandKind if not self.commands[kind.name]]
        return [name for name in wanted if not self.seen[name]] + commands
