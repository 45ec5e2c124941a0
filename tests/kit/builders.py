"""Small builders of COMMAND records: each returns an array of one record, `batch` joins them.

Every builder takes any further field of the record by its name (`now_ns=5`, `source_id=2`), so that a test states
what matters to it and nothing else. What a field means to each command is written in docs/kernel.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nautilus.core.types import (
    COMMAND,
    CommandKind,
    InstrumentFlag,
    LimitKind,
    OrderType,
    SessionPhase,
    Side,
    TimeInForce,
)

BUY, SELL = Side.BUY, Side.SELL
GTC, DAY, GTD, IOC, FOK = TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD, TimeInForce.IOC, TimeInForce.FOK


def command(kind: int, **fields: Any) -> np.ndarray:
    """One COMMAND record of this kind; a field not named is zero."""
    record = np.zeros(1, COMMAND)
    record["kind"] = kind
    for name, value in fields.items():
        record[name] = value
    return record


def batch(*commands: np.ndarray) -> np.ndarray:
    """The commands one after the other in a fresh contiguous array."""
    return np.concatenate(commands) if commands else np.zeros(0, COMMAND)


def instrument(
    instrument_id: int = 1,
    *,
    multiplier: int = 1,
    lot_step: int = 1,
    minimum: int = 0,
    price_step: int = 1,
    currency: int = 1,
    product: int = 1,
    negative: bool = False,
    **fields: Any,
) -> np.ndarray:
    """INSTRUMENT: multiplier per tick and lot, steps in lots and increments."""
    return command(
        CommandKind.INSTRUMENT,
        **{
            "instrument_id": instrument_id,
            "quantity": multiplier,
            "display_quantity": lot_step,
            "min_quantity": minimum,
            "price_ticks": price_step,
            "offset": currency,
            "group_id": product,
            "flags": InstrumentFlag.NEGATIVE if negative else 0,
            **fields,
        },
    )


def band(instrument_id: int, price_ticks: int, step: int, **fields: Any) -> np.ndarray:
    """INSTRUMENT with BAND: from this price on, prices are multiples of `step`."""
    values = {"instrument_id": instrument_id, "price_ticks": price_ticks, "quantity": step}
    return command(CommandKind.INSTRUMENT, **{**values, "flags": InstrumentFlag.BAND, **fields})


def account(account_id: int, flags: int = 0, **fields: Any) -> np.ndarray:
    """ACCOUNT with AccountFlag bits."""
    return command(CommandKind.ACCOUNT, **{"account_id": account_id, "flags": flags, **fields})


def limit(
    kind: LimitKind | int, value: int, *, account_id: int = 0, instrument_id: int = 0, window_ns: int = 0, **fields: Any
) -> np.ndarray:
    """LIMIT of one kind and scope (0: every); -1 removes it. `window_ns` is for MESSAGE_RATE alone."""
    scope = {"account_id": account_id, "instrument_id": instrument_id}
    return command(
        CommandKind.LIMIT, **{**scope, "order_type": kind, "quantity": value, "expire_ns": window_ns, **fields}
    )


def session(
    instrument_id: int = 0,
    phase: SessionPhase | int = SessionPhase.CONTINUOUS,
    *,
    close_ns: int = 0,
    date: int = 0,
    **fields: Any,
) -> np.ndarray:
    """SESSION: phase, close in ns since the epoch (0: not known) and trading date of one or (0) all instruments."""
    values = {"instrument_id": instrument_id, "group_id": phase, "expire_ns": close_ns, "offset": date}
    return command(CommandKind.SESSION, **{**values, **fields})


def mark(price_ticks: int, instrument_id: int = 1, **fields: Any) -> np.ndarray:
    """MARK: the reference price."""
    return command(CommandKind.MARK, **{"instrument_id": instrument_id, "price_ticks": price_ticks, **fields})


def time(now_ns: int, **fields: Any) -> np.ndarray:
    """TIME: moves the clock."""
    return command(CommandKind.TIME, **{"now_ns": now_ns, **fields})


def kill(account_id: int = 0, instrument_id: int = 0, **fields: Any) -> np.ndarray:
    """KILL of the scope (0: all)."""
    return command(CommandKind.KILL, **{"account_id": account_id, "instrument_id": instrument_id, **fields})


def resume(account_id: int = 0, instrument_id: int = 0, **fields: Any) -> np.ndarray:
    """RESUME of exactly the scope."""
    return command(CommandKind.RESUME, **{"account_id": account_id, "instrument_id": instrument_id, **fields})


def mass_cancel(
    account_id: int = 0, instrument_id: int = 0, side: int = 0, strategy_id: int = 0, **fields: Any
) -> np.ndarray:
    """MASS_CANCEL of what fits all four (0: any)."""
    scope = {"account_id": account_id, "instrument_id": instrument_id, "side": side, "strategy_id": strategy_id}
    return command(CommandKind.MASS_CANCEL, **{**scope, **fields})


def new(
    order_id: int,
    side: Side | int,
    price_ticks: int,
    quantity: int,
    *,
    account_id: int = 1,
    instrument_id: int = 1,
    order_type: OrderType | int = OrderType.LIMIT,
    time_in_force: TimeInForce | int = TimeInForce.GTC,
    **fields: Any,
) -> np.ndarray:
    """NEW: a GTC limit order unless told otherwise."""
    values = {"order_id": order_id, "side": side, "price_ticks": price_ticks, "quantity": quantity}
    scope = {"account_id": account_id, "instrument_id": instrument_id}
    return command(
        CommandKind.NEW, **{**values, **scope, "order_type": order_type, "time_in_force": time_in_force, **fields}
    )


def market(order_id: int, side: Side | int, quantity: int, **fields: Any) -> np.ndarray:
    """NEW: a market order, IOC unless told otherwise."""
    return new(order_id, side, 0, quantity, **{"order_type": OrderType.MARKET, "time_in_force": IOC, **fields})


def cancel(order_id: int, account_id: int = 1, **fields: Any) -> np.ndarray:
    """CANCEL of one order."""
    return command(CommandKind.CANCEL, **{"order_id": order_id, "account_id": account_id, **fields})


def replace(order_id: int, price_ticks: int, quantity: int, account_id: int = 1, **fields: Any) -> np.ndarray:
    """REPLACE: new price and new total quantity, counting what was filled."""
    values = {"order_id": order_id, "account_id": account_id, "price_ticks": price_ticks, "quantity": quantity}
    return command(CommandKind.REPLACE, **{**values, **fields})
