"""Orders for a core whose queue is filling up: refused at once and for certain, while cancels still go."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from nautilus.bus import Mesh, MessageKind, make_context
from nautilus.engines.base import Engine
from nautilus.model.commands import CancelOrder, SubmitOrder
from nautilus.model.enums import Priority, Reason, Side
from nautilus.model.events import CommandAcknowledged
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.live import mesh_endpoint
from tests.kit.live_host import RunningHost, eventually, make_plan, short_directory


class Trader(Engine):
    """Notes what it is told of its orders."""

    name = "strategy"

    def __init__(self) -> None:
        self.replies: list[Any] = []
        self.unknown: list[Any] = []

    def on_reply(self, number: int, message: Any, ctx: Any) -> None:
        self.replies.append((number, message))

    def on_unknown(self, number: int, message: Any, ctx: Any) -> None:
        self.unknown.append(number)


def test_a_new_order_is_refused_and_a_cancel_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with short_directory() as directory:
        plan = make_plan(directory, {"strategy": ("strategy",)})
        host = RunningHost(plan, "strategy", {"strategy": Trader}, pending_limit=8).ready()
        context = core = None
        try:
            trader = host.engine("strategy")

            def ask(message: Any) -> int:
                number: int = host.host.contexts["strategy"].request("trading", message, 0)
                return number

            def submit(number: int) -> Any:
                order = SubmitOrder(1, 1, number, Side.BUY, 1, source_id=1, source_sequence=number)
                return host.do(lambda: ask(order))

            held = [submit(number) for number in range(1, 5)]
            refused = submit(5)
            cancel = host.do(lambda: ask(CancelOrder(1, 1, 1, source_id=1, source_sequence=6)))
            eventually(lambda: trader.replies)
            [(number, reply)] = trader.replies
            assert (number, type(reply)) == (refused, CommandAcknowledged)
            assert (reply.accepted, reply.reason, reply.source_sequence) == (False, Reason.BUSY, 5)
            assert trader.unknown == [], "nothing is in doubt"
            assert host.host.mesh.pressure("core", Priority.HIGH).pending == 5
            eventually(lambda: any("is filling up" in text for text in host.host.outlook.warnings))
            queue = host.host.outlook.bus["peers"]["core"]["pressure"]["high"]
            assert (queue["pending"], queue["limit"], queue["high"]) == (5, 8, True)
            assert host.host.counters.snapshot()["host.orders_busy"] == 1
            # The core is there: it answers, and orders are taken again.
            context = make_context()
            core = Mesh(context, "core", wall_ns(), lambda process, lane: mesh_endpoint(plan, process, lane), wall_ns)
            handled: list[bytes] = []

            def serve() -> bool:
                for delivery in core.receive():
                    if delivery.kind is MessageKind.REQUEST:
                        handled.append(delivery.payload)
                        core.done(delivery, delivery.payload)
                core.tick(wall_ns())
                return len(trader.replies) == 6

            eventually(serve)
            assert sorted(number for number, _ in trader.replies) == sorted([*held, refused, cancel])
            assert len(handled) == 5
            eventually(lambda: "the queue of messages for core has emptied again" in caplog.messages)
            assert caplog.messages.count("the queue of messages for core is filling up") == 1
            again = submit(7)
            eventually(lambda: serve() or trader.replies[-1][0] == again)
        finally:
            host.stop()
            if core is not None:
                core.close()
            if context is not None:
                context.destroy(0)
