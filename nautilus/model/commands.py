"""Commands: what an engine asks of the trading core. Imperative names; prices in increments, quantities in lots.

`source_id` and `source_sequence` name the sender and count its commands, strictly increasing: the core applies each
once however often it is sent, and answers a repeat with DUPLICATE. `deadline_ns` of 0 means none; a command whose
deadline has passed when it is sequenced is refused (LATE).
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from nautilus.model.enums import CommandKind, OrderFlag, OrderType, Side, TimeInForce
from nautilus.model.message import Message
from nautilus.model.records import command_row


class CommandMessage(Message, frozen=True):
    """Base of all commands: a field has the name of the COMMAND record's field that it fills."""

    kind: ClassVar[CommandKind]

    def to_row(self, now_ns: int) -> bytes:
        """The COMMAND record, as its 128 bytes."""
        return command_row(kind=self.kind, now_ns=now_ns, **msgspec.structs.asdict(self))


class SubmitOrder(CommandMessage, frozen=True):
    """Enter a new order."""

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
    """Stop new orders of an account, an instrument, the pair, or (both 0) all, and cancel the open ones."""

    kind: ClassVar[CommandKind] = CommandKind.KILL

    account_id: int = 0
    instrument_id: int = 0
    source_id: int = 0
    source_sequence: int = 0


class ResumeTrading(CommandMessage, frozen=True):
    """Take back a kill switch of exactly this scope."""

    kind: ClassVar[CommandKind] = CommandKind.RESUME

    account_id: int = 0
    instrument_id: int = 0
    source_id: int = 0
    source_sequence: int = 0


TradingCommand = SubmitOrder | CancelOrder | ReplaceOrder | MassCancel | KillSwitch | ResumeTrading
