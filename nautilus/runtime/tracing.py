"""Traces: one W3C trace id from a request over HTTP through every process to the fill, in their logs.

What a handler says while it handles something traced carries the trace on; so do the reports of an order that was sent
then. There it ends: what an engine does upon a report or a reply is its own. Without a trace nothing here is called.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from nautilus.bus import Delivery
from nautilus.model.events import OrderCancelled, OrderExpired, OrderFilled
from nautilus.model.message import Message
from nautilus.model.queries import AnyReport
from nautilus.model.records import Records

TRACE = "trace"
"""Where events go that tell a process of traces: the core, which of its events belong to one; the process of the
trading engine, which order does."""
MOST_ORDERS = 65_536
"""Traced orders that are known at a time; then the oldest one goes."""
ENDS = (OrderFilled, OrderCancelled, OrderExpired)
_LOGGER = logging.getLogger("nautilus.trace")
_decode_numbers = msgspec.msgpack.Decoder(tuple[int, int]).decode


class Tracing:
    """Of one process.

    Attributes
    ----------
    now : trace of what is handled, for lines of the log; 0: none.
    onward : trace of what is said meanwhile; 0: none.
    orders : {(account, order): trace} of orders that were sent within one.
    """

    __slots__ = ("_thread", "now", "onward", "orders")

    def __init__(self) -> None:
        self.now = self.onward = 0
        self.orders: dict[tuple[int, int], int] = {}
        self._thread = threading.get_ident()

    def run(
        self, trace: int, function: Callable[..., object], arguments: tuple[Any, ...], *, ends: bool = False
    ) -> None:
        """Call a function within a trace, or with 0 outside of any; `ends`: what it says is not part of it."""
        before = self.now, self.onward
        self.now, self.onward = trace, 0 if ends else trace
        try:
            function(*arguments)
        finally:
            self.now, self.onward = before

    def current(self) -> int:
        """The trace of what this thread does; 0: none."""
        return self.now if self.now and threading.get_ident() == self._thread else 0

    def note_commands(self, commands: Records) -> None:
        """Commands are about to be sent: their orders belong to the present trace."""
        trace = self.onward
        if trace:
            pairs = zip(commands["account_id"].tolist(), commands["order_id"].tolist(), strict=True)
            for account_id, order_id in pairs:
                self.note_order(account_id, order_id, trace)

    def note_order(self, account_id: int, order_id: int, trace: int) -> None:
        """An order belongs to a trace."""
        if order_id:
            orders = self.orders
            orders.pop((account_id, order_id), None)
            orders[account_id, order_id] = trace
            if len(orders) > MOST_ORDERS:
                del orders[next(iter(orders))]

    def of_report(self, report: AnyReport) -> int:
        """The trace of the order of a report, which is forgotten with its last one; 0: none."""
        key = report.account_id, report.order_id
        trace = self.orders.get(key, 0)
        if trace and not report.leaves_quantity and isinstance(report, ENDS):
            del self.orders[key]
        return trace

    def take(self, delivery: Delivery) -> bool:
        """Take in what another process tells of a trace; False: it is something else."""
        if delivery.to != TRACE:
            return False
        try:
            account_id, order_id = _decode_numbers(delivery.payload)
        except msgspec.DecodeError:
            return True
        self.note_order(account_id, order_id, delivery.trace_id)
        return True


def say(trace: int, text: str, **fields: Any) -> None:
    """A line of the log that carries a trace."""
    _LOGGER.info("%s", text, extra={"fields": {**fields, "trace_id": trace_text(trace)}})


def trace_text(trace: int) -> str:
    """32 hexadecimal digits; "": none."""
    return f"{trace:032x}" if trace else ""


def told(message: Message | AnyReport) -> dict[str, Any]:
    """What of a message helps to recognise it."""
    found: dict[str, Any] = {"message": type(message).__name__}
    for name in ("kind", "account_id", "instrument_id", "symbol", "order_id", "quantity", "sequence"):
        value = getattr(message, name, None)
        if value is not None and value != "":
            found[name] = value.name if hasattr(value, "name") else value
    return found
