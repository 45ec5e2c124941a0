"""Events of the core to execution reports, and the open orders of clients that follow from them.

One FILLED event becomes two reports, one for each side, here and nowhere else. Events of accounts that are no
client's (a recorded market, the agents of a simulated one) are reported to nobody.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nautilus.model.enums import CommandKind, EventKind, Reason, violated_reasons
from nautilus.model.events import (
    ExecutionReport,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
)
from nautilus.model.marketdata import SIDES
from nautilus.model.records import Records

_ONE = np.uint32(1)
_REQUESTS = frozenset(int(kind) for kind in CommandKind)


class ClientOrder:
    """An open order of a client, as the events tell it. Mutable."""

    __slots__ = ("instrument_id", "leaves", "price_ticks", "quantity", "side", "strategy_id")

    def __init__(
        self, instrument_id: int, side: int, price_ticks: int, quantity: int, leaves: int, strategy_id: int
    ) -> None:
        self.instrument_id = instrument_id
        self.side = side
        self.price_ticks = price_ticks
        self.quantity = quantity
        self.leaves = leaves
        self.strategy_id = strategy_id

    def state(self) -> list[int]:
        """Plain values, in the order of the constructor."""
        return [self.instrument_id, self.side, self.price_ticks, self.quantity, self.leaves, self.strategy_id]


class ReportExpander:
    """Follows the core's events from the first one on; the same events give the same reports.

    Parameters
    ----------
    last_client
        Accounts from 1 to this are clients'.

    Attributes
    ----------
    orders : open orders by (account, order id), oldest first.
    stopped : scopes (account, instrument) whose kill switch is on.
    last_sequence : of the last event followed.
    """

    def __init__(self, last_client: int) -> None:
        self._last_client = last_client
        self.orders: dict[tuple[int, int], ClientOrder] = {}
        self.stopped: set[tuple[int, int]] = set()
        self.last_sequence = 0

    def expand(self, events: Records, kinds: np.ndarray | CommandKind) -> list[ExecutionReport]:
        """The reports of an EVENT array, in order; `kinds`: of the command behind each event, or behind all."""
        if not len(events):
            return []
        self.last_sequence = int(events["sequence"][-1])
        # Account 0 (no counterparty) wraps to the largest number, so one comparison serves both sides.
        ours = np.minimum(events["account_id"] - _ONE, events["counter_account_id"] - _ONE) < self._last_client
        switched = events["kind"] == EventKind.APPLIED
        if not isinstance(kinds, CommandKind):
            switched &= (kinds == CommandKind.KILL) | (kinds == CommandKind.RESUME)
        elif kinds not in (CommandKind.KILL, CommandKind.RESUME):
            switched[:] = False
        ours |= switched
        if not ours.any():
            return []
        reports: list[ExecutionReport] = []
        causes = [int(kinds)] * int(ours.sum()) if isinstance(kinds, CommandKind) else kinds[ours].tolist()
        for row, cause in zip(events[ours].tolist(), causes, strict=True):
            self._one(row, cause, reports)
        return reports

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "orders": [[*key, *order.state()] for key, order in self.orders.items()],
            "stopped": sorted([list(scope) for scope in self.stopped]),
            "last_sequence": self.last_sequence,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state()` gave."""
        self.orders = {(row[0], row[1]): ClientOrder(*row[2:]) for row in state["orders"]}
        self.stopped = {(account, instrument) for account, instrument in state["stopped"]}
        self.last_sequence = state["last_sequence"]

    def _one(self, row: tuple[int, ...], cause: int, reports: list[ExecutionReport]) -> None:
        (
            sequence, _, now_ns, order_id, price, quantity, leaves, kind, side, reason, _, flags, counter_order_id,
            match_id, counter_leaves, fee, source_sequence, _, instrument_id, account_id, counter_account_id,
            strategy_id, _,
        ) = row  # fmt: skip
        key = (account_id, order_id)
        common = (sequence, now_ns, account_id, strategy_id, instrument_id, order_id, SIDES[side])
        match kind:
            case EventKind.FILLED:
                if account_id <= self._last_client:
                    reports.append(
                        OrderFilled(*common, price, quantity, leaves, source_sequence, match_id=match_id, fee=fee)
                    )
                    self._leave(key, leaves)
                if counter_account_id <= self._last_client:
                    counter_key = (counter_account_id, counter_order_id)
                    order = self.orders.get(counter_key)
                    reports.append(
                        OrderFilled(
                            sequence,
                            now_ns,
                            counter_account_id,
                            order.strategy_id if order is not None else 0,
                            instrument_id,
                            counter_order_id,
                            SIDES[3 - side],
                            price,
                            quantity,
                            counter_leaves,
                            match_id=match_id,
                            maker=True,
                        )
                    )
                    self._leave(counter_key, counter_leaves)
            case EventKind.ACCEPTED:
                self.orders[key] = ClientOrder(instrument_id, side, price, quantity, leaves, strategy_id)
                reports.append(OrderAccepted(*common, price, quantity, leaves, source_sequence))
            case EventKind.REJECTED:
                reports.append(
                    OrderRejected(
                        *common,
                        price,
                        quantity,
                        leaves,
                        source_sequence,
                        reason=Reason(reason),
                        violated=violated_reasons(flags, reason),
                        request=CommandKind(cause) if cause in _REQUESTS else CommandKind.NEW,
                    )
                )
            case EventKind.CANCELLED:
                self._leave(key, 0)
                reports.append(OrderCancelled(*common, price, quantity, leaves, source_sequence, reason=Reason(reason)))
            case EventKind.EXPIRED:
                self._leave(key, 0)
                reports.append(OrderExpired(*common, price, quantity, leaves, source_sequence, reason=Reason(reason)))
            case EventKind.REPLACED:
                order = self.orders.get(key)
                if order is not None:
                    order.price_ticks, order.quantity, order.leaves = price, quantity, leaves
                reports.append(OrderReplaced(*common, price, quantity, leaves, source_sequence))
            case EventKind.APPLIED if cause == CommandKind.KILL:
                self.stopped.add((account_id, instrument_id))
            case EventKind.APPLIED if cause == CommandKind.RESUME:
                self.stopped.discard((account_id, instrument_id))
        # Other administrative events, and DUPLICATE, are said in the reply to their sender.

    def _leave(self, key: tuple[int, int], leaves: int) -> None:
        order = self.orders.get(key)
        if order is None:
            return
        if leaves:
            order.leaves = leaves
        else:
            del self.orders[key]
