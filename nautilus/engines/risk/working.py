"""Open orders of all portfolios, as execution reports tell of them: what may still be filled of each.

They are counted as the core counts them (docs/kernel-orders.md, docs/kernel-venues.md): with all that is left, wherever
they stand; children of other orders from when they enter the market; with the larger quantity, while an external venue
is asked for another one. Only where a venue says again that it has an order in doubt, which no report tells, a larger
quantity that was asked for counts on until the next report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from nautilus.model.enums import CommandKind, OrderFlag, Reason, Side
from nautilus.model.events import (
    ExecutionReport,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderRouted,
    OrderTriggered,
)

Key = tuple[int, int, int]
"""Account, strategy, instrument."""


class WorkingOrder(NamedTuple):
    """An open order, in lots.

    Parameters
    ----------
    price_ticks
        0: none.
    waits
        Its parent has not let it in yet.
    asked
        What would be left of it if its venue does as it is asked; 0: it is asked for nothing.
    """

    strategy_id: int
    instrument_id: int
    buys: bool
    leaves: int
    price_ticks: int
    waits: bool = False
    asked: int = 0

    @property
    def counted(self) -> int:
        """Lots that may be filled."""
        return 0 if self.waits else max(self.leaves, self.asked)


Moved = Callable[[Key, int, int, int, int], None]


class WorkingOrders:
    """Follows orders from their acceptance to their end.

    Parameters
    ----------
    moved
        Called with position, orders more, lots to buy more, lots to sell more, and the order's price.
    """

    def __init__(self, moved: Moved) -> None:
        self._moved = moved
        self._orders: dict[tuple[int, int], WorkingOrder] = {}

    def on_report(self, report: ExecutionReport) -> None:
        """The caller passes each report once, in order."""
        key = (report.account_id, report.order_id)
        order = self._orders.get(key)
        kind = type(report)
        if order is None:
            if kind is OrderAccepted or (isinstance(report, OrderRouted) and report.request == CommandKind.NEW):
                self._begin(key, report)
            return
        if report.instrument_id != order.instrument_id:
            return  # a venue's fill of another instrument, that names this order's id
        leaves, ticks = report.leaves_quantity, report.price_ticks or order.price_ticks
        if isinstance(report, OrderFilled):
            self._become(key, order._replace(leaves=leaves, asked=max(0, order.asked - report.quantity)))
        elif isinstance(report, OrderCancelled):
            self._become(key, order._replace(leaves=leaves))
        elif kind is OrderAccepted:  # an external venue has it now
            self._become(key, order._replace(leaves=leaves, price_ticks=ticks))
        elif isinstance(report, OrderReplaced):
            self._become(key, order._replace(leaves=leaves, price_ticks=ticks, asked=0))
        elif isinstance(report, OrderTriggered):
            waits = order.waits and report.reason != Reason.CONTINGENT
            self._become(key, order._replace(leaves=leaves, price_ticks=ticks, waits=waits))
        elif isinstance(report, OrderExpired):
            self._become(key, order._replace(leaves=0))
        elif isinstance(report, OrderRouted) and report.request == CommandKind.REPLACE:
            self._become(key, order._replace(asked=leaves))
        elif isinstance(report, OrderRejected) and report.reason == Reason.VENUE:
            left = 0 if report.request == CommandKind.NEW else order.leaves
            self._become(key, order._replace(leaves=left, asked=0))

    def state(self) -> list[list[Any]]:
        """Plain values."""
        return [[*key, *order] for key, order in self._orders.items()]

    def restore(self, rows: Iterable[list[Any]]) -> None:
        """Take over what `state()` gave."""
        for account_id, order_id, *row in rows:
            order = self._orders[account_id, order_id] = WorkingOrder(*row)
            self._tell(account_id, order._replace(price_ticks=0), 1, order.counted)  # the position has the last one

    def _begin(self, key: tuple[int, int], report: ExecutionReport) -> None:
        told = report if isinstance(report, OrderAccepted) else None
        if report.side is None or not report.leaves_quantity:
            return
        if told is not None and told.flags & OrderFlag.TAPE:
            return  # it is over with its command, and no event tells what it took
        waits = told is not None and told.parent_order_id != 0
        buys = report.side == Side.BUY
        order = WorkingOrder(
            report.strategy_id, report.instrument_id, buys, report.leaves_quantity, report.price_ticks, waits
        )
        self._orders[key] = order
        self._tell(key[0], order, 1, order.counted)

    def _become(self, key: tuple[int, int], order: WorkingOrder) -> None:
        """It is this now; without anything left it is over."""
        before = self._orders[key]
        if order.leaves:
            self._orders[key] = order
            self._tell(key[0], order, 0, order.counted - before.counted)
        else:
            del self._orders[key]
            self._tell(key[0], order, -1, -before.counted)

    def _tell(self, account_id: int, order: WorkingOrder, orders: int, lots: int) -> None:
        buys, sells = (lots, 0) if order.buys else (0, lots)
        self._moved((account_id, order.strategy_id, order.instrument_id), orders, buys, sells, order.price_ticks)


__all__ = ["WorkingOrder", "WorkingOrders"]
