"""The world of the flows over everything: instruments, accounts, first commands, and values to draw from."""

from __future__ import annotations

import numpy as np

from nautilus.core.types import (
    AccountFlag,
    AdjustKind,
    CommandKind,
    InstrumentFlag,
    LimitKind,
    OrderType,
    RateKind,
    SelfMatch,
    SessionPhase,
)
from tests.kit import builders

Fields = dict[str, int]

INTERNAL = (1, 2, 3, 5)
EXTERNAL = (4, 6)
ORDINARY, OLDEST, FIFO, TAPE, BOOK, BOTH, ALLOWED = 1, 2, 3, 4, 5, 6, 7
TRADERS = (ORDINARY, OLDEST, FIFO, BOTH, ALLOWED)
MILLISECOND = 1_000_000
EXTREMES = (0, -1, 1, 2, 1 << 20, 1 << 40, (1 << 40) + 1, -(1 << 40), 1 << 50, (1 << 63) - 1, -(1 << 63))
WIDTHS = {  # of the fields of a record: bits, signed
    "order_id": (64, False),
    "price_ticks": (64, True),
    "quantity": (64, True),
    "instrument_id": (32, False),
    "account_id": (32, False),
    "side": (8, False),
    "order_type": (8, False),
    "time_in_force": (8, False),
    "flags": (16, False),
    "trigger_ticks": (64, True),
    "display_quantity": (64, True),
    "min_quantity": (64, True),
    "expire_ns": (64, True),
    "parent_order_id": (64, False),
    "deadline_ns": (64, True),
    "venue_reference": (64, False),
    "offset": (32, True),
    "strategy_id": (16, False),
    "group_id": (16, False),
}
NEXT_PHASE = {
    SessionPhase.CONTINUOUS: (
        SessionPhase.CONTINUOUS,
        SessionPhase.CLOSING_AUCTION,
        SessionPhase.CLOSING_AUCTION,
        SessionPhase.VOLATILITY_AUCTION,
        SessionPhase.HALTED,
        SessionPhase.CLOSED,
        SessionPhase.PRE_OPEN,
    ),
    SessionPhase.HALTED: (SessionPhase.CONTINUOUS, SessionPhase.PRE_OPEN, SessionPhase.OPENING_AUCTION),
    SessionPhase.CLOSED: (SessionPhase.PRE_OPEN, SessionPhase.PRE_OPEN, SessionPhase.CONTINUOUS),
    SessionPhase.PRE_OPEN: (SessionPhase.OPENING_AUCTION, SessionPhase.OPENING_AUCTION, SessionPhase.CONTINUOUS),
    SessionPhase.OPENING_AUCTION: (SessionPhase.CONTINUOUS, SessionPhase.CONTINUOUS, SessionPhase.HALTED),
    SessionPhase.CLOSING_AUCTION: (SessionPhase.CLOSED, SessionPhase.CONTINUOUS, SessionPhase.OPENING_AUCTION),
    SessionPhase.VOLATILITY_AUCTION: (SessionPhase.CONTINUOUS, SessionPhase.CONTINUOUS, SessionPhase.CLOSING_AUCTION),
}
LIMIT_VALUES = {  # some bind, some do not
    LimitKind.ORDER_QUANTITY: (0, 5, 8, 100),
    LimitKind.ORDER_NOTIONAL: (0, 200, 500, 1 << 40),
    LimitKind.PRICE_COLLAR: (0, 100, 200, 1_000, 1_000_000),
    LimitKind.POSITION: (0, 5, 20, 60, 1 << 50),
    LimitKind.MESSAGE_RATE: (1, 2, 10),
    LimitKind.DAILY_LOSS: (0, 10, 1_000, 1 << 60),
    LimitKind.LEVERAGE: (0, 1, 10, 100_000, 1 << 60),
    LimitKind.CONCENTRATION: (0, 1, 10, 1_000, 1 << 60),
    LimitKind.CREDIT: (0, 1_000, 10_000, 1 << 60),
    LimitKind.OPEN_ORDERS: (0, 1, 3, 20),
    LimitKind.OPEN_VALUE: (0, 500, 5_000, 1 << 60),
    LimitKind.GROSS_EXPOSURE: (0, 1_000, 10_000, 1 << 60),
    LimitKind.NET_EXPOSURE: (0, 1_000, 10_000, 1 << 60),
    LimitKind.CREDIT_TOTAL: (0, 5_000, 50_000, 1 << 60),
    LimitKind.PRICE_BAND: (0, 100, 300, 10_000),
    LimitKind.REPEATED: (1, 1, 2),
    LimitKind.DUPLICATE: (1,),
    LimitKind.STALE_PRICE: (1, 5, 1 << 40),
    LimitKind.PERMISSION: (0, 0, 1),
    LimitKind.VOLATILITY_BAND: (1, 100, 100, 200, 400),
}
PER_PAIR = (
    LimitKind.ORDER_QUANTITY,
    LimitKind.ORDER_NOTIONAL,
    LimitKind.PRICE_COLLAR,
    LimitKind.POSITION,
    LimitKind.CONCENTRATION,
    LimitKind.PRICE_BAND,
    LimitKind.REPEATED,
    LimitKind.DUPLICATE,
    LimitKind.STALE_PRICE,
    LimitKind.PERMISSION,
)
LIMIT_PRICED = (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_IF_TOUCHED)
WAITING = (
    OrderType.STOP,
    OrderType.STOP_LIMIT,
    OrderType.TRAILING_STOP,
    OrderType.TRAILING_STOP_LIMIT,
    OrderType.MARKET_IF_TOUCHED,
    OrderType.LIMIT_IF_TOUCHED,
)
TRAILING = (OrderType.TRAILING_STOP, OrderType.TRAILING_STOP_LIMIT)


def instruments() -> np.ndarray:
    """Plain; pro-rata with lots and bands; negative prices; two at an external venue; pro-rata lot by lot.

    The second and third are explicit.
    """
    explicit = InstrumentFlag.EXPLICIT
    return builders.batch(
        builders.instrument(1, currency=0),
        builders.instrument(
            2, multiplier=7, lot_step=5, minimum=10, price_step=2, flags=InstrumentFlag.PRO_RATA | explicit
        ),
        builders.band(2, 100, 5),
        builders.band(2, 120, 10),
        builders.instrument(3, multiplier=1 << 20, currency=2, flags=InstrumentFlag.NEGATIVE | explicit),
        builders.instrument(4, currency=0, venue_reference=9),
        builders.instrument(5, currency=1, flags=InstrumentFlag.PRO_RATA),
        builders.instrument(6, currency=300, venue_reference=9),
    )


def accounts() -> np.ndarray:
    """One of each self-match mode (two in one group, one FIFO), the tape and the recorded book."""
    return builders.batch(
        builders.account(ORDINARY),
        builders.account(OLDEST, order_type=SelfMatch.CANCEL_OLDEST, group_id=7),
        builders.account(FIFO, AccountFlag.FIFO, order_type=SelfMatch.DECREMENT, group_id=7),
        builders.account(TAPE, AccountFlag.EXEMPT),
        builders.account(BOOK, AccountFlag.EXEMPT | AccountFlag.RECORDED),
        builders.account(BOTH, AccountFlag.FIFO, order_type=SelfMatch.CANCEL_BOTH),
        builders.account(ALLOWED, order_type=SelfMatch.NONE),
    )


def first_commands() -> np.ndarray:
    """Marks, rates, fees, cash and reconciled accounts, so that most controls can pass."""
    commands = [
        builders.command(CommandKind.RATE, group_id=RateKind.CURRENCY, offset=1, price_ticks=1_500_000_000),
        builders.command(CommandKind.RATE, group_id=RateKind.CURRENCY, offset=2, price_ticks=333_333_333),
        builders.command(CommandKind.RATE, group_id=RateKind.TAKER_FEE, price_ticks=700),
        builders.command(CommandKind.RATE, group_id=RateKind.MAKER_FEE, price_ticks=-300),
        *(builders.mark(price, key) for key, price in ((1, 100), (2, 100), (3, 2), (5, 100))),
        *(adjust(AdjustKind.CASH, account_id=key, quantity=1_000_000) for key in TRADERS),
        *(builders.command(CommandKind.VENUE_ACCEPTED, account_id=key, instrument_id=4) for key in (*TRADERS, TAPE)),
        builders.session(date=20_240_101),
    ]
    return builders.batch(*commands)


def adjust(kind: AdjustKind, **fields: int) -> np.ndarray:
    """ADJUST of one kind."""
    return builders.command(CommandKind.ADJUST, group_id=kind, **fields)
