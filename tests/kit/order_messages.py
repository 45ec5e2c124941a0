"""Messages about orders, as the bus carries them."""

from __future__ import annotations

from typing import Any

from nautilus.core.types import OrderType, Side, TimeInForce
from nautilus.model.commands import SubmitOrder


def limit_order(order_id: int, **fields: Any) -> SubmitOrder:
    """One lot of instrument 1 for account 1 at 100 ticks, until it is cancelled."""
    return SubmitOrder(
        order_id=order_id,
        instrument_id=1,
        account_id=1,
        side=Side.BUY,
        quantity=1,
        order_type=OrderType.LIMIT,
        price_ticks=100,
        time_in_force=TimeInForce.GTC,
        **fields,
    )
