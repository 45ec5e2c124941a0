"""Execution reports: what became of an order, as the trading core says it. Past tense; a refusal is an event too.

One match is one FILLED record of the core and two `OrderFilled` reports, one for each side; both carry the record's
`sequence`, and may be of one account. Whoever keeps state stores the last `place` it applied for an account and ignores
what is not newer.
"""

from __future__ import annotations

from nautilus.model.enums import CommandKind, OrderFlag, OrderType, Reason, Side, TimeInForce
from nautilus.model.message import Message

UNASKED = frozenset((Reason.CONTINGENT, Reason.RESTATED))
"""Reasons of changes to an order that answer no request."""


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

    @property
    def place(self) -> int:
        """Where it stands among the reports of its account: twice the sequence, one more for a fill's resting side."""
        return 2 * self.sequence


class OrderAccepted(ExecutionReport, frozen=True):
    """The core took the order; at an external venue: the venue did.

    Parameters
    ----------
    trigger_ticks
        As it was asked for; 0: none.
    display_quantity
        What an iceberg shows; 0: all of it.
    """

    order_type: OrderType = OrderType.LIMIT
    time_in_force: TimeInForce = TimeInForce.GTC
    flags: OrderFlag = OrderFlag(0)
    trigger_ticks: int = 0
    display_quantity: int = 0
    parent_order_id: int = 0


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
    """The order traded.

    Parameters
    ----------
    maker
        It rested and was met; in an auction neither side is.
    fee
        Of this side, in money units; negative: a rebate.
    auction
        In the uncrossing of an auction.
    late
        An external venue's fill of an order that was not open, or beyond what it had left.
    venue_reference
        The external venue's execution id; 0: it was matched here.
    """

    match_id: int = 0
    maker: bool = False
    fee: int = 0
    auction: bool = False
    late: bool = False
    venue_reference: int = 0

    @property
    def place(self) -> int:
        """See `ExecutionReport.place`."""
        return 2 * self.sequence + self.maker


class OrderCancelled(ExecutionReport, frozen=True):
    """`quantity` of the order is out of the book; with `leaves_quantity` the rest of it stays."""

    reason: Reason = Reason.NONE


class OrderReplaced(ExecutionReport, frozen=True):
    """Price and total quantity are now these. A reason of `UNASKED`: nobody asked.

    CONTINGENT: a group or a parent did it. RESTATED: the order's type did, such as MARKET_TO_LIMIT finding its price.

    Parameters
    ----------
    trigger_ticks
        The trigger that was asked for with it; 0: as it was.
    """

    reason: Reason = Reason.NONE
    trigger_ticks: int = 0


class OrderTriggered(ExecutionReport, frozen=True):
    """Its trigger came (`price_ticks`), or with reason CONTINGENT its parent's fills let it in: it acts as if new."""

    reason: Reason = Reason.NONE


class OrderReplenished(ExecutionReport, frozen=True):
    """An iceberg shows its next part: `quantity` of all that is left."""


class OrderRouted(ExecutionReport, frozen=True):
    """A request left for an external venue; `quantity` is the order's total.

    Parameters
    ----------
    request
        NEW, CANCEL or REPLACE.
    trigger_ticks, display_quantity, order_type, time_in_force, flags
        As they were asked for.
    """

    request: CommandKind = CommandKind.NEW
    order_type: OrderType = OrderType.LIMIT
    time_in_force: TimeInForce = TimeInForce.GTC
    flags: OrderFlag = OrderFlag(0)
    trigger_ticks: int = 0
    display_quantity: int = 0


class OrderUnknown(ExecutionReport, frozen=True):
    """What became of the order at its external venue is not known; a later report says it. It is never sent again.

    Parameters
    ----------
    request
        What was under way; 0: nothing.
    """

    request: int = 0


class OrderExpired(ExecutionReport, frozen=True):
    """The order's time is over."""

    reason: Reason = Reason.EXPIRED


class PositionAdjusted(ExecutionReport, frozen=True):
    """Somebody booked a position by hand: `quantity` lots, + bought, at `price_ticks`, without fee or side."""


class InstrumentSplit(ExecutionReport, frozen=True):
    """Every position of the instrument has become floor(lots x `quantity` / `old`), its cost as it was.

    It is of no account. Its open orders are cancelled, with reports of their own.

    Parameters
    ----------
    old
        Lots that became `quantity` lots; 0: it was split by somebody who did not say (`SplitPositions` does).
    reference
        See `SplitPositions`.
    """

    old: int = 0
    reference: int = 0


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


class BatchAcknowledged(Message, frozen=True):
    """The core's reply to a `CommandBatch`: what came of each of its commands, in their order.

    Parameters
    ----------
    last_sequences
        Of the core's events after each command; 0: it was not sequenced, and may be sent again.
    accepted
        Whether each was carried out.
    reasons
        `Reason` of each, 0 of those that were accepted.
    """

    now_ns: int
    last_sequences: tuple[int, ...]
    accepted: tuple[bool, ...]
    reasons: tuple[int, ...]
