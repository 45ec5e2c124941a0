"""Commands: what an engine asks of the trading core. Imperative names; prices in increments, quantities in lots.

`source_id` and `source_sequence` name the sender and count its commands, strictly increasing: the core applies each
once however often it is sent, and answers a repeat with DUPLICATE. `deadline_ns` of 0 means none; a command whose
deadline has passed when it is sequenced is refused (LATE).
"""

from __future__ import annotations

from nautilus.model.enums import CommandKind, OrderFlag, OrderType, Side, TimeInForce
from nautilus.model.message import Message
from nautilus.model.records import command_row


class SubmitOrder(Message, frozen=True):
    """Enter a new order."""

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

    def to_row(self, now_ns: int) -> bytes:
        """The COMMAND record, as its 128 bytes."""
        return command_row(
            now_ns=now_ns,
            order_id=self.order_id,
            price_ticks=self.price_ticks,
            quantity=self.quantity,
            source_sequence=self.source_sequence,
            instrument_id=self.instrument_id,
            account_id=self.account_id,
            kind=CommandKind.NEW,
            side=self.side,
            order_type=self.order_type,
            time_in_force=self.time_in_force,
            flags=self.flags,
            source_id=self.source_id,
            expire_ns=self.expire_ns,
            deadline_ns=self.deadline_ns,
            strategy_id=self.strategy_id,
        )


class CancelOrder(Message, frozen=True):
    """Take an open order out of the book."""

    account_id: int
    instrument_id: int
    order_id: int
    strategy_id: int = 0
    source_id: int = 0
    source_sequence: int = 0

    def to_row(self, now_ns: int) -> bytes:
        """The COMMAND record, as its 128 bytes."""
        return command_row(
            now_ns=now_ns,
            order_id=self.order_id,
            source_sequence=self.source_sequence,
            instrument_id=self.instrument_id,
            account_id=self.account_id,
            kind=CommandKind.CANCEL,
            source_id=self.source_id,
            strategy_id=self.strategy_id,
        )


class ReplaceOrder(Message, frozen=True):
    """Change price and total quantity (counting what was filled) of an open order.

    The same price and no more than the old leaves keeps its place in the queue; anything else loses it.
    """

    account_id: int
    instrument_id: int
    order_id: int
    quantity: int
    price_ticks: int
    strategy_id: int = 0
    source_id: int = 0
    source_sequence: int = 0
    deadline_ns: int = 0

    def to_row(self, now_ns: int) -> bytes:
        """The COMMAND record, as its 128 bytes."""
        return command_row(
            now_ns=now_ns,
            order_id=self.order_id,
            price_ticks=self.price_ticks,
            quantity=self.quantity,
            source_sequence=self.source_sequence,
            instrument_id=self.instrument_id,
            account_id=self.account_id,
            kind=CommandKind.REPLACE,
            source_id=self.source_id,
            deadline_ns=self.deadline_ns,
            strategy_id=self.strategy_id,
        )


class MassCancel(Message, frozen=True):
    """Cancel every open order that fits; 0 means every account, instrument, side or strategy."""

    account_id: int = 0
    instrument_id: int = 0
    side: int = 0
    strategy_id: int = 0
    source_id: int = 0
    source_sequence: int = 0

    def to_row(self, now_ns: int) -> bytes:
        """The COMMAND record, as its 128 bytes."""
        return command_row(
            now_ns=now_ns,
            source_sequence=self.source_sequence,
            instrument_id=self.instrument_id,
            account_id=self.account_id,
            kind=CommandKind.MASS_CANCEL,
            side=self.side,
            source_id=self.source_id,
            strategy_id=self.strategy_id,
        )


class KillSwitch(Message, frozen=True):
    """Stop new orders of an account, an instrument, the pair, or (both 0) all, and cancel the open ones."""

    account_id: int = 0
    instrument_id: int = 0
    source_id: int = 0
    source_sequence: int = 0

    def to_row(self, now_ns: int) -> bytes:
        """The COMMAND record, as its 128 bytes."""
        return command_row(
            now_ns=now_ns,
            source_sequence=self.source_sequence,
            instrument_id=self.instrument_id,
            account_id=self.account_id,
            kind=CommandKind.KILL,
            source_id=self.source_id,
        )


class ResumeTrading(Message, frozen=True):
    """Take back a kill switch of exactly this scope."""

    account_id: int = 0
    instrument_id: int = 0
    source_id: int = 0
    source_sequence: int = 0

    def to_row(self, now_ns: int) -> bytes:
        """The COMMAND record, as its 128 bytes."""
        return command_row(
            now_ns=now_ns,
            source_sequence=self.source_sequence,
            instrument_id=self.instrument_id,
            account_id=self.account_id,
            kind=CommandKind.RESUME,
            source_id=self.source_id,
        )


TradingCommand = SubmitOrder | CancelOrder | ReplaceOrder | MassCancel | KillSwitch | ResumeTrading
