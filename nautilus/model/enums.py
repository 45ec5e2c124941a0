"""Enumerations: those of the binary records, and those that only messages carry.

The numbers of the first group are fixed in `nautilus/core/types.pxd`; they are only ever appended.
"""

from __future__ import annotations

from enum import IntEnum

from nautilus.core.types import (
    AccountFlag,
    AdjustKind,
    BookAction,
    CommandKind,
    EventFlag,
    EventKind,
    InstrumentFlag,
    LimitKind,
    OrderFlag,
    OrderState,
    OrderType,
    RateKind,
    Reason,
    RecordFlag,
    SelfMatch,
    SessionPhase,
    Side,
    Standing,
    TimeInForce,
)

__all__ = [
    "AccountFlag",
    "AdjustKind",
    "BookAction",
    "CommandKind",
    "EngineState",
    "EventFlag",
    "EventKind",
    "InstrumentFlag",
    "LimitKind",
    "OrderFlag",
    "OrderState",
    "OrderType",
    "Priority",
    "RateKind",
    "Reason",
    "RecordFlag",
    "SelfMatch",
    "SessionPhase",
    "Side",
    "Standing",
    "TimeInForce",
    "violated_reasons",
]


class Priority(IntEnum):
    """Priority of a message on the mesh; the smaller goes first. The first two have a lane of their own."""

    FLASH_CRASH = 1
    URGENT = 2
    HIGH = 3
    NORMAL = 4
    LOW = 5


class EngineState(IntEnum):
    """Where an engine is in its life."""

    CREATED = 1
    STARTING = 2
    RUNNING = 3
    DEGRADED = 4
    STOPPING = 5
    STOPPED = 6
    FAILED = 7


_CONTROLS = tuple(reason for reason in Reason if 1 <= reason <= 31)


def violated_reasons(flags: int, reason: int) -> tuple[Reason, ...]:
    """Every control that a refusal violated: the bits of `flags`, or `reason` alone where it stands alone."""
    listed = tuple(control for control in _CONTROLS if flags >> control & 1)
    return listed or ((Reason(reason),) if reason else ())
