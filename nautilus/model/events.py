"""Execution reports: what became of an order, as the trading core says it. Past tense; a refusal is an event too.

One match is one FILLED record of the core and two `OrderFilled` reports, one for each side; both carry the record's
`sequence`. Whoever keeps state stores the last `sequence` it applied for an account and ignores what is not newer.
"""

from __future__ import annotations

from nautilus.model.enums import CommandKind, Reason, Side
from nautilus.model.message import Message


class ExecutionReport(Message, frozen=True):
    """Fields that every report has. This list is closed: on the wire a type's own fields follow it.

    Parameters
    ----------
    sequence
        Of the core's EVENT record, contiguous over the life of the journal.
    price_ticks
        Of the order; of the fill in `OrderFilled`.
    quantity
        Of the order; filled, in `OrderFilled`; taken out, in `OrderCancelled` and `OrderExpired`. In lots.
    leaves_quantity
        Lots still open.
    source_sequence
        Of the command that caused it; 0 where no command of this order's owner did.
    """

    sequence: int
    now_ns: int
    account_id: int
    strategy_id: int
    instrument_id: int
    order_id: int
    side: Side | None
    price_ticks: int
    quantity: int
    leaves_quantity: int
    source_sequence: int = 0


class OrderAccepted(ExecutionReport, frozen=True):
    """The core took the order."""


class OrderRejected(ExecutionReport, frozen=True):
    """The core refused a command; an order that was open stays as it was.

    Parameters
    ----------
    reason
        The first of the violated controls.
    violated
        All of them.
    request
        What was refused: NEW, CANCEL, REPLACE and so on.
    """

    reason: Reason = Reason.NONE
    violated: tuple[Reason, ...] = ()
    request: CommandKind = CommandKind.NEW


class OrderFilled(ExecutionReport, frozen=True):
    """The order traded. `fee` is in money units; `maker`: it rested and was met."""

    match_id: int = 0
    maker: bool = False
    fee: int = 0


class OrderCancelled(ExecutionReport, frozen=True):
    """What was left of the order is out of the book."""

    reason: Reason = Reason.NONE


class OrderReplaced(ExecutionReport, frozen=True):
    """Price and total quantity are now these."""


class OrderExpired(ExecutionReport, frozen=True):
    """The order's time is over."""

    reason: Reason = Reason.EXPIRED


class CommandAcknowledged(Message, frozen=True):
    """The trading engine's reply to one command: it was sequenced, and this came of it.

    Parameters
    ----------
    last_sequence
        Of the core's events, after the command; the reports say the rest.
    accepted
        The command was carried out. A repeat of one that was sequenced before is not.
    reason
        Why it was not.
    """

    source_id: int
    source_sequence: int
    now_ns: int
    last_sequence: int
    accepted: bool
    reason: Reason = Reason.NONE
