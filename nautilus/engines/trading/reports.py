"""Events of the core to execution reports, and the open orders of clients that follow from them.

One FILLED event becomes two reports, one for each side, here and nowhere else. Events of accounts that are no
client's (a recorded market, the agents of a simulated one) are reported to nobody.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from nautilus.engines.trading.open_orders import ClientOrder
from nautilus.model.commands import split_of
from nautilus.model.enums import (
    CommandKind,
    EventFlag,
    EventKind,
    OrderFlag,
    OrderState,
    OrderType,
    Reason,
    SessionPhase,
    Side,
    TimeInForce,
    violated_reasons,
)
from nautilus.model.events import (
    UNASKED,
    ExecutionReport,
    InstrumentSplit,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderReplenished,
    OrderRouted,
    OrderTriggered,
    OrderUnknown,
    PositionAdjusted,
)
from nautilus.model.marketdata import SIDES
from nautilus.model.records import Records

_ONE = np.uint32(1)
_REQUESTS = frozenset(int(kind) for kind in CommandKind)


_VENUE_REPORTS = frozenset(
    (
        CommandKind.VENUE_ACCEPTED,
        CommandKind.VENUE_REJECTED,
        CommandKind.VENUE_FILL,
        CommandKind.VENUE_CANCELLED,
        CommandKind.VENUE_REPLACED,
        CommandKind.VENUE_UNKNOWN,
    )
)
_AUCTION, _LATE = int(EventFlag.AUCTION), int(EventFlag.LATE)
_SAID = (CommandKind.KILL, CommandKind.RESUME, CommandKind.SESSION, CommandKind.ADJUST)
"""Whose APPLIED is followed, whatever account it is of."""
_PHASES = frozenset(SessionPhase)
_PENDING = {CommandKind.CANCEL: OrderState.PENDING_CANCEL, CommandKind.REPLACE: OrderState.PENDING_REPLACE}


class ReportExpander:
    """Follows the core's events from the first one on; the same events give the same reports.

    Parameters
    ----------
    last_client
        Accounts from 1 to this are clients'.

    Attributes
    ----------
    orders : open orders by (account, order id), oldest first.
    stopped : scopes (account, instrument, strategy) whose kill switch is on.
    phases : phase of each instrument (0: of every other one), as far as the events tell it.
    last_sequence : of the last event followed.
    """

    def __init__(self, last_client: int) -> None:
        self._last_client = last_client
        self.orders: dict[tuple[int, int], ClientOrder] = {}
        self.stopped: set[tuple[int, int, int]] = set()
        self.phases: dict[int, int] = {}
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
            switched &= np.isin(kinds, _SAID)
        elif kinds not in _SAID:
            switched[:] = False
        ours |= switched
        ours |= events["kind"] == EventKind.PHASE
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
            "orders": [[*key, *order.row()] for key, order in self.orders.items()],
            "stopped": sorted([list(scope) for scope in self.stopped]),
            "phases": [list(pair) for pair in self.phases.items()],
            "last_sequence": self.last_sequence,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state()` gave."""
        self.orders = {(row[0], row[1]): ClientOrder(*row[2:]) for row in state["orders"]}
        # As it was saved before strategies were part of a scope, a row is shorter.
        self.stopped = {(row[0], row[1], row[2] if len(row) > 2 else 0) for row in state["stopped"]}
        self.phases = dict(state.get("phases", ()))
        self.last_sequence = state["last_sequence"]

    def _one(self, row: tuple[int, ...], cause: int, reports: list[ExecutionReport]) -> None:
        (
            sequence, _, now_ns, order_id, price, quantity, leaves, kind, side, reason, _, flags, counter_order_id,
            match_id, counter_leaves, fee, source_sequence, venue_reference, instrument_id, account_id,
            counter_account_id, strategy_id, _,
        ) = row  # fmt: skip
        key = (account_id, order_id)
        common = (sequence, now_ns, account_id, strategy_id, instrument_id, order_id, _side(side))
        figures = (price, quantity, leaves, source_sequence)
        order = self.orders.get(key)
        if order is not None and order.instrument_id != instrument_id:
            order = None  # an external venue names an order by its instrument too: this is none that is open
        match kind:
            case EventKind.FILLED:
                auction = bool(flags & _AUCTION)
                if account_id <= self._last_client:
                    external = not counter_order_id
                    reports.append(
                        OrderFilled(
                            *common,
                            *figures,
                            match_id=match_id,
                            fee=fee,
                            auction=auction,
                            late=bool(flags & _LATE),
                            venue_reference=venue_reference if external else 0,
                        )
                    )
                    if order is not None:
                        order.traded(price)
                        self._leave(key, leaves)
                if 1 <= counter_account_id <= self._last_client:
                    counter_key = (counter_account_id, counter_order_id)
                    resting = self.orders.get(counter_key)
                    reports.append(
                        OrderFilled(
                            sequence,
                            now_ns,
                            counter_account_id,
                            resting.strategy_id if resting is not None else 0,
                            instrument_id,
                            counter_order_id,
                            SIDES[3 - side],
                            price,
                            quantity,
                            counter_leaves,
                            match_id=match_id,
                            maker=True,
                            # As it is signed: the record's field is not.
                            fee=venue_reference - (1 << 64) if venue_reference >> 63 else venue_reference,
                            auction=auction,
                        )
                    )
                    self._leave(counter_key, counter_leaves)
            case EventKind.ACCEPTED:
                if order is None:
                    # A TAPE order is over with its command; what recorded orders took of it no event tells.
                    if not flags & OrderFlag.TAPE:
                        self.orders[key] = ClientOrder(
                            instrument_id, side, price, quantity, leaves, strategy_id, flags, fee, counter_leaves,
                            counter_order_id,
                        )  # fmt: skip
                else:  # of an external venue: the order is known since it was routed
                    order.accepted(price, quantity, leaves)
                reports.append(
                    OrderAccepted(
                        *common,
                        *figures,
                        *_told(flags),
                        trigger_ticks=fee,
                        display_quantity=counter_leaves,
                        parent_order_id=counter_order_id,
                    )
                )
            case EventKind.REJECTED:
                self._reject(row, cause, reports)
            case EventKind.CANCELLED:
                self._leave(key, leaves)
                reports.append(OrderCancelled(*common, *figures, reason=Reason(reason)))
            case EventKind.EXPIRED:
                self._leave(key, 0)
                reports.append(OrderExpired(*common, *figures, reason=Reason(reason)))
            case EventKind.REPLACED:
                if order is not None and reason in UNASKED:
                    order.changed(price, quantity, leaves, restated=reason == Reason.RESTATED)
                elif order is not None:
                    order.replaced(price, quantity, leaves, fee)
                reports.append(OrderReplaced(*common, *figures, reason=Reason(reason), trigger_ticks=fee))
            case EventKind.TRIGGERED:
                if order is not None:
                    order.triggered(price, leaves, child=reason == Reason.CONTINGENT)
                reports.append(OrderTriggered(*common, *figures, reason=Reason(reason)))
            case EventKind.REPLENISHED:
                reports.append(OrderReplenished(*common, *figures))
            case EventKind.ROUTED:
                request = CommandKind(match_id)
                if order is not None:
                    if order.state != OrderState.UNKNOWN:
                        order.state = _PENDING.get(request, order.state)
                elif request == CommandKind.NEW:
                    self.orders[key] = ClientOrder(
                        instrument_id, side, price, quantity, leaves, strategy_id, flags, fee, counter_leaves,
                        state=OrderState.PENDING_NEW, routed=True,
                    )  # fmt: skip
                reports.append(
                    OrderRouted(
                        *common, *figures, request, *_told(flags), trigger_ticks=fee, display_quantity=counter_leaves
                    )
                )
            case EventKind.UNKNOWN:
                if order is not None:
                    order.state = OrderState.UNKNOWN
                reports.append(OrderUnknown(*common, *figures, request=match_id))
            case EventKind.APPLIED if cause == CommandKind.KILL:
                self.stopped.add((account_id, instrument_id, strategy_id))
            case EventKind.APPLIED if cause == CommandKind.RESUME:
                self.stopped.discard((account_id, instrument_id, strategy_id))
            case EventKind.APPLIED if cause == CommandKind.SESSION and order_id in _PHASES:
                if not instrument_id:
                    self.phases.clear()
                self.phases[instrument_id] = order_id
            case EventKind.APPLIED if cause == CommandKind.ADJUST and instrument_id:
                if not account_id:
                    reports.append(InstrumentSplit(*common, *figures, *split_of(price)))
                elif account_id <= self._last_client:
                    reports.append(PositionAdjusted(*common, *figures))
            case EventKind.PHASE:
                self.phases[instrument_id] = quantity
            case EventKind.DUPLICATE if cause == CommandKind.VENUE_ACCEPTED and order is not None:
                if order.state == OrderState.UNKNOWN:
                    order.state = OrderState.OPEN
        # Other administrative events, and DUPLICATE, are said in the reply to their sender.

    def _reject(self, row: tuple[int, ...], cause: int, reports: list[ExecutionReport]) -> None:
        (
            sequence, _, now_ns, order_id, price, quantity, leaves, _, side, reason, _, flags, _, match_id, _, _,
            source_sequence, _, instrument_id, account_id, _, strategy_id, _,
        ) = row  # fmt: skip
        request = cause
        if reason == Reason.VENUE:
            request = match_id
            order = self.orders.get((account_id, order_id))
            if order is not None and request == CommandKind.NEW:
                del self.orders[account_id, order_id]
            elif order is not None:
                order.state = OrderState.OPEN
        elif cause in _VENUE_REPORTS:
            return  # the venue's session is told, in the reply to it: the order's owner asked for nothing
        reports.append(
            OrderRejected(
                sequence,
                now_ns,
                account_id,
                strategy_id,
                instrument_id,
                order_id,
                _side(side),
                price,
                quantity,
                leaves,
                source_sequence,
                reason=Reason(reason),
                violated=violated_reasons(flags, reason),
                request=CommandKind(request) if request in _REQUESTS else CommandKind.NEW,
            )
        )

    def _leave(self, key: tuple[int, int], leaves: int) -> None:
        order = self.orders.get(key)
        if order is None:
            return
        if leaves:
            order.leaves = leaves
        else:
            del self.orders[key]


def _side(side: int) -> Side | None:
    """None also for what is no side: REJECTED repeats whatever a command said."""
    return SIDES[side] if side < len(SIDES) else None


@lru_cache(maxsize=4_096)
def _told(flags: int) -> tuple[OrderType, TimeInForce, OrderFlag]:
    """What the flags of ACCEPTED and ROUTED say besides the order's own."""
    return OrderType(flags >> 16 & 0xFF), TimeInForce(flags >> 24), OrderFlag(flags & 0xFFFF)
