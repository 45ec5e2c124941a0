"""Commands: what an engine asks of the trading core. Imperative names; prices in increments, quantities in lots.

`source_id` and `source_sequence` name the sender and count its commands, strictly increasing: the core applies each
once however often it is sent, and answers a repeat with DUPLICATE. `deadline_ns` of 0 means none; a command whose
deadline has passed when it is sequenced is refused (LATE).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from nautilus.model.enums import AdjustKind, CommandKind, OrderFlag, OrderType, SessionPhase, Side, TimeInForce
from nautilus.model.message import Message
from nautilus.model.records import command_row, row_packer

_PACKERS: dict[type[CommandMessage], Callable[[Any, int], bytes]] = {}


class CommandMessage(Message, frozen=True):
    """Base of all commands: a field has the name of the COMMAND record's field that it fills."""

    kind: ClassVar[CommandKind]

    def to_row(self, now_ns: int) -> bytes:
        """The COMMAND record, as its 128 bytes."""
        pack = _PACKERS.get(type(self))
        if pack is None:
            pack = _PACKERS[type(self)] = row_packer(("kind", *self.__struct_fields__))
        return pack(self, now_ns)


class SubmitOrder(CommandMessage, frozen=True):
    """Enter a new order. Which fields go with which type: docs/kernel-orders.md.

    Parameters
    ----------
    price_ticks
        Limit price; of TRAILING_STOP_LIMIT the distance of the limit from the trigger, of PEGGED the cap (0: none).
    trigger_ticks
        Of the six types that wait for one; 0 of a trailing type: it begins at the reference.
    display_quantity
        Lots that an iceberg shows; 0: all of it.
    min_quantity
        Lots that must fill at entry, or none does; 0: no such wish.
    offset
        Of trailing types in ticks, or with TRAIL_BPS in basis points; of PEGGED in ticks from its reference.
    group_id
        Names, within the account, the group that GROUP_OCO or GROUP_OUO speaks of; 0: none.
    parent_order_id
        An open order of the account whose fills release this one; 0: none.
    """

    kind: ClassVar[CommandKind] = CommandKind.NEW

    account_id: int
    instrument_id: int
    order_id: int
    side: Side
    quantity: int
    price_ticks: int = 0
    order_type: OrderType = OrderType.LIMIT
    time_in_force: TimeInForce = TimeInForce.GTC
    flags: OrderFlag = OrderFlag(0)
    expire_ns: int = 0
    strategy_id: int = 0
    source_id: int = 0
    source_sequence: int = 0
    deadline_ns: int = 0
    trigger_ticks: int = 0
    display_quantity: int = 0
    min_quantity: int = 0
    offset: int = 0
    group_id: int = 0
    parent_order_id: int = 0


class CancelOrder(CommandMessage, frozen=True):
    """Take an open order out of the book."""

    kind: ClassVar[CommandKind] = CommandKind.CANCEL

    account_id: int
    instrument_id: int
    order_id: int
    strategy_id: int = 0
    source_id: int = 0
    source_sequence: int = 0


class ReplaceOrder(CommandMessage, frozen=True):
    """Change price and total quantity (counting what was filled) of an open order.

    The same price and no more than the old leaves keeps its place in the queue; anything else loses it.
    `trigger_ticks` is the new trigger of an order that waits for one (0: as it is).
    """

    kind: ClassVar[CommandKind] = CommandKind.REPLACE

    account_id: int
    instrument_id: int
    order_id: int
    quantity: int
    price_ticks: int
    strategy_id: int = 0
    source_id: int = 0
    source_sequence: int = 0
    deadline_ns: int = 0
    trigger_ticks: int = 0


class MassCancel(CommandMessage, frozen=True):
    """Cancel every open order that fits; 0 means every account, instrument, side or strategy."""

    kind: ClassVar[CommandKind] = CommandKind.MASS_CANCEL

    account_id: int = 0
    instrument_id: int = 0
    side: int = 0
    strategy_id: int = 0
    source_id: int = 0
    source_sequence: int = 0


class KillSwitch(CommandMessage, frozen=True):
    """Stop new orders of an account, an instrument, the pair, or (both 0) all, and cancel the open ones.

    With `strategy_id` those of one strategy of the account; `instrument_id` is 0 then.
    """

    kind: ClassVar[CommandKind] = CommandKind.KILL

    account_id: int = 0
    instrument_id: int = 0
    source_id: int = 0
    source_sequence: int = 0
    strategy_id: int = 0


class ResumeTrading(CommandMessage, frozen=True):
    """Take back a kill switch of exactly this scope."""

    kind: ClassVar[CommandKind] = CommandKind.RESUME

    account_id: int = 0
    instrument_id: int = 0
    source_id: int = 0
    source_sequence: int = 0
    strategy_id: int = 0


class SetPhase(CommandMessage, frozen=True):
    """Move an instrument (0: every one) to a phase.

    The record also has the phase as its `order_id`: APPLIED repeats that, so whoever follows events alone knows it.

    Parameters
    ----------
    close_ns
        End of the session, when DAY orders expire; 0: not known.
    date
        Trading date; another one than before starts a day for the controls that look at one.
    """

    kind: ClassVar[CommandKind] = CommandKind.SESSION

    phase: SessionPhase
    instrument_id: int = 0
    close_ns: int = 0
    date: int = 0
    source_id: int = 0
    source_sequence: int = 0

    def to_row(self, now_ns: int) -> bytes:
        """See `CommandMessage.to_row`."""
        return command_row(
            kind=self.kind,
            now_ns=now_ns,
            order_id=self.phase,
            group_id=self.phase,
            instrument_id=self.instrument_id,
            expire_ns=self.close_ns,
            offset=self.date,
            source_id=self.source_id,
            source_sequence=self.source_sequence,
        )


class AdjustPosition(CommandMessage, frozen=True):
    """Book a position by hand: lots (+ bought) at a price, as a fill without fee (docs/kernel-controls.md, ADJUST)."""

    kind: ClassVar[CommandKind] = CommandKind.ADJUST

    account_id: int
    instrument_id: int
    quantity: int
    price_ticks: int
    source_id: int = 0
    source_sequence: int = 0

    def to_row(self, now_ns: int) -> bytes:
        """See `CommandMessage.to_row`."""
        return command_row(
            kind=self.kind,
            now_ns=now_ns,
            group_id=AdjustKind.POSITION,
            account_id=self.account_id,
            instrument_id=self.instrument_id,
            quantity=self.quantity,
            price_ticks=self.price_ticks,
            source_id=self.source_id,
            source_sequence=self.source_sequence,
        )


class SplitPositions(CommandMessage, frozen=True):
    """`new` lots for each `old` ones of an instrument, in every account; its open orders are cancelled.

    The record also has `old` and the reference as its price: APPLIED repeats that, so whoever follows events alone
    knows them.

    Parameters
    ----------
    new, old
        1 to 2^20.
    reference
        Of whoever asks; the report repeats it. 0 to 2^31 - 1.
    """

    kind: ClassVar[CommandKind] = CommandKind.ADJUST

    instrument_id: int
    new: int
    old: int
    reference: int = 0
    source_id: int = 0
    source_sequence: int = 0

    def to_row(self, now_ns: int) -> bytes:
        """See `CommandMessage.to_row`."""
        return command_row(
            kind=self.kind,
            now_ns=now_ns,
            group_id=AdjustKind.SPLIT,
            instrument_id=self.instrument_id,
            quantity=self.new,
            min_quantity=self.old,
            price_ticks=(self.reference & MAX_REFERENCE) << 21 | (self.old & _OLD),
            source_id=self.source_id,
            source_sequence=self.source_sequence,
        )


MAX_REFERENCE = 2**31 - 1
_OLD = 2**21 - 1


def split_of(price_ticks: int) -> tuple[int, int]:
    """(old, reference) out of what APPLIED repeats of `SplitPositions`; old is 0 where somebody else split."""
    return price_ticks & _OLD, price_ticks >> 21


class CommandBatch(Message, frozen=True):
    """New orders, replacements and cancels in one message; the core takes them in order and answers once, for all.

    Each is carried out or refused by itself, as if it had come alone; what overtakes (KILL) or concerns more than one
    order comes alone.

    Parameters
    ----------
    rows
        COMMAND records as `nautilus.core.COMMAND` has them, 1 to `MOST_IN_BATCH`; `sequence` and `now_ns` count for
        nothing.
    """

    rows: bytes


MOST_IN_BATCH = 256
"""Commands of one `CommandBatch`."""

TradingCommand = (
    SubmitOrder
    | CancelOrder
    | ReplaceOrder
    | MassCancel
    | KillSwitch
    | ResumeTrading
    | SetPhase
    | AdjustPosition
    | SplitPositions
)
