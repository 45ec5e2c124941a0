"""Strategies and risk on real hosts: without a path to risk no new order is sent, and with one it is."""

from __future__ import annotations

from contextlib import ExitStack
from typing import ClassVar

from nautilus.engines.base import Context, Engine
from nautilus.model.commands import CancelOrder, SubmitOrder
from nautilus.model.enums import EngineState, Side
from nautilus.model.message import Message
from tests.kit.live_host import VENUE, RunningHost, Venue, eventually, make_plan, short_directory


class Trader(Engine):
    """Sends what it is told to, and notes what is unknown."""

    name: ClassVar[str] = "strategy"
    source_id: ClassVar[int] = 7

    def __init__(self) -> None:
        self.unknown: list[Message] = []
        self.answered = 0

    def on_reply(self, number: int, message: Message, ctx: Context) -> None:
        self.answered += 1

    def on_unknown(self, number: int, message: Message, ctx: Context) -> None:
        self.unknown.append(message)


class Watch(Engine):
    name: ClassVar[str] = "risk"


def _order(number: int) -> SubmitOrder:
    return SubmitOrder(1, 1, number, Side.BUY, 1, price_ticks=100, source_id=7, source_sequence=number)


def test_without_a_path_to_risk_new_orders_are_refused_and_cancels_are_not() -> None:
    with short_directory() as directory, ExitStack() as undo:
        plan = make_plan(
            directory, VENUE | {"s": ("strategy",), "r": ("risk",)}, sections={"bus": {"http": True}}
        )  # fmt: skip
        undo.callback(Venue(plan).stop)
        running = RunningHost(plan, "s", {"strategy": Trader})
        undo.callback(running.stop)
        host, trader = running.host, running.engine("strategy")
        context = host.contexts["strategy"]
        eventually(lambda: context.state == EngineState.RUNNING and host.messages.risk_path.closed)
        eventually(lambda: any("no new orders" in reason for reason in host.outlook.reasons))
        assert any("goes by local" in warning for warning in host.outlook.warnings)
        running.do(lambda: context.request("core", _order(1)))
        eventually(lambda: trader.unknown)
        assert trader.unknown == [_order(1)]
        running.do(lambda: context.request("core", CancelOrder(1, 101, 1, source_id=7, source_sequence=2)))
        eventually(lambda: trader.answered == 1)
        undo.callback(RunningHost(plan, "r", {"risk": Watch}).stop)
        eventually(lambda: not host.messages.risk_path.closed)
        running.do(lambda: context.request("core", _order(3)))
        eventually(lambda: trader.answered == 2)
        assert trader.unknown == [_order(1)]
        eventually(lambda: not any("no new orders" in reason for reason in host.outlook.reasons))
