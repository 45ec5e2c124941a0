"""What the naive twin shows of its books and open orders, after docs/kernel.md, "What can be seen"."""

from __future__ import annotations

import numpy as np

from nautilus.core import BOOK_ORDER, OPEN_ORDER, Standing
from nautilus.core.order_view import QueuePosition
from tests.kit.twin_state import SIDES, Order, TwinState


def row_of(order: Order) -> dict[str, int]:
    """An open order by the names of OPEN_ORDER."""
    return {
        "order_id": order.order_id,
        "parent_order_id": order.parent_id,
        "price_ticks": order.price,
        "leaves_quantity": order.leaves,
        "filled_quantity": order.filled,
        "display_quantity": order.display,
        "shown_quantity": order.visible if order.standing == Standing.DISPLAYED else 0,
        "trigger_ticks": order.trigger or 0,
        "limit_distance": order.distance,
        "expire_ns": order.timer.due_ns if order.timer is not None else 0,
        "account_id": order.account_id,
        "instrument_id": order.instrument_id,
        "offset": order.offset,
        "flags": order.flags,
        "strategy_id": order.strategy_id,
        "group_id": order.group,
        "side": order.side,
        "standing": order.standing,
        "order_type": order.order_type,
        "time_in_force": order.time_in_force,
        "has_trigger": order.trigger is not None,
        "state": order.state,
    }


class TwinViews(TwinState):
    """The same questions as `nautilus.core.Kernel` answers."""

    def book(self, instrument_id: int, levels: int | None = None) -> np.ndarray:
        """Displayed orders in priority order, bids first; of the best `levels` prices of each side."""
        rows = []
        for side in SIDES:
            queue = self.displayed.get((instrument_id, side), [])
            prices = list(dict.fromkeys(order.price for order in queue))[:levels]
            rows += [
                (order.order_id, order.price, order.visible, order.account_id, side)
                for order in queue
                if order.price in prices
            ]
        return np.array(rows, BOOK_ORDER)

    def orders_of(self, account_id: int = 0, instrument_id: int = 0) -> np.ndarray:
        """Open orders in walk order; `Kernel.orders`, which here is the dict of them."""
        rows = [row_of(order) for order in self._walk(instrument_id) if account_id in (0, order.account_id)]
        return np.array([tuple(row[name] for name in OPEN_ORDER.names or ()) for row in rows], OPEN_ORDER)

    def queue_position(self, account_id: int, order_id: int) -> QueuePosition:
        """Where an open order stands, and what has priority over it at its price."""
        order = self.orders[account_id, order_id]
        ahead: tuple[int | None, int | None] = (None, None)
        if order.standing in (Standing.DISPLAYED, Standing.DARK):
            key = (order.instrument_id, order.side)
            seen = [each for each in self.displayed[key] if each.price == order.price]
            if order.standing == Standing.DISPLAYED:
                lots = [each.visible for each in seen[: seen.index(order)]]
            else:
                unseen = [each for each in self.unseen[key] if each.price == order.price]
                lots = [each.leaves for each in seen + unseen[: unseen.index(order)]]
            ahead = len(lots), sum(lots)
        return QueuePosition(order.side, order.standing, order.price, order.leaves, *ahead)
