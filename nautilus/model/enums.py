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
    "GroupKind",
    "InstrumentFlag",
    "LimitKind",
    "OrderFlag",
    "OrderState",
    "OrderType",
    "PegReference",
    "Priority",
    "RateKind",
    "Reason",
    "RecordFlag",
    "SelfMatch",
    "SessionPhase",
    "Side",
    "Standing",
    "TimeInForce",
    "TriggerSource",
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


class TriggerSource(IntEnum):
    """What a waiting order looks at: the last trade, the mark, or the best opposite price."""

    LAST = 1
    MARK = 2
    QUOTE = 3


class PegReference(IntEnum):
    """What a pegged order follows: the best price of its own side, the middle, or the best of the other side."""

    BEST = 1
    MID = 2
    OPPOSITE = 3


class GroupKind(IntEnum):
    """What a fill of one order does to the others of its group: cancels them, or takes the same quantity off."""

    OCO = 1
    OUO = 2


_CONTROLS = tuple(reason for reason in Reason if 1 <= reason <= 31)


def violated_reasons(flags: int, reason: int) -> tuple[Reason, ...]:
    """Every control that a refusal violated: the bits of `flags`, or `reason` alone where it stands alone."""
    listed = tuple(control for control in _CONTROLS if flags >> control & 1)
    return listed or ((Reason(reason),) if reason else ())
