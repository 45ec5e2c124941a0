"""Alerts of the risk engine."""

from __future__ import annotations

from nautilus.model.enums import Priority
from nautilus.model.message import Message


class RiskAlert(Message, frozen=True):
    """A soft limit is breached: the strategy named stops trading.

    Parameters
    ----------
    strategy_id, account_id
        0 as a strategy: whatever trades in the account. 0 as both: everything.
    control
        Which limit: ``position``, ``loss`` or ``order_rate``; of the tree of limits any of its controls.
    value, limit
        In the unit of the control: lots, money units, orders in the window. Of the tree: in its units, in whole
        numbers; `LimitBreached` has them as they are.
    sequence
        Of the event that showed it; 0 where a price did.
    scope
        Of the tree: where the limit is, such as ``desk/rates``.
    """

    now_ns: int
    strategy_id: int
    account_id: int
    instrument_id: int
    control: str
    value: int
    limit: int
    priority: Priority = Priority.FLASH_CRASH
    sequence: int = 0
    scope: str = ""
