"""What the sender of a command is told: it was sequenced, and this came of it. Made here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable

from nautilus.model.commands import TradingCommand
from nautilus.model.enums import EventKind, Reason
from nautilus.model.events import BatchAcknowledged, CommandAcknowledged

_REFUSALS = (EventKind.REJECTED, EventKind.DUPLICATE)


def acknowledgement(
    command: TradingCommand, outcome: int, reason: int, last_sequence: int, now_ns: int
) -> CommandAcknowledged:
    """The reply to a command.

    Parameters
    ----------
    outcome, reason
        Of its last event: timers that came due stand before it.
    last_sequence
        Of that event; 0: the command was not sequenced.
    """
    refused = outcome in _REFUSALS
    return CommandAcknowledged(
        source_id=command.source_id,
        source_sequence=command.source_sequence,
        now_ns=now_ns,
        last_sequence=last_sequence,
        accepted=not refused,
        reason=Reason(reason) if refused else Reason.NONE,
    )


def batch_acknowledgement(outcomes: Iterable[tuple[int, int, int]], now_ns: int) -> BatchAcknowledged:
    """The reply to a batch of commands: outcome, reason and last sequence of each, as `acknowledgement` takes them."""
    told = [
        (last_sequence, True, 0) if outcome not in _REFUSALS else (last_sequence, False, reason)
        for outcome, reason, last_sequence in outcomes
    ]
    last_sequences, accepted, reasons = zip(*told, strict=True)
    return BatchAcknowledged(now_ns, last_sequences, accepted, reasons)
