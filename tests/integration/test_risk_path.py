"""Strategies and risk on real hosts: without a path to risk no new order is sent, and with one it is."""

from __future__ import annotations

import http.client
import json
from contextlib import ExitStack
from typing import Any, ClassVar

from nautilus.engines.base import Context, Engine
from nautilus.model.commands import CancelOrder, SubmitOrder
from nautilus.model.enums import EngineState, Reason, Side
from nautilus.model.events import CommandAcknowledged
from nautilus.model.message import Message
from nautilus.runtime.views import serve_http
from tests.kit.live_host import VENUE, RunningHost, Venue, eventually, make_plan, short_directory
from tests.kit.platform import TIMES


class Trader(Engine):
    """Sends what it is told to, and notes what is unknown."""

    name: ClassVar[str] = "strategy"
    source_id: ClassVar[int] = 7

    def __init__(self) -> None:
        self.unknown: list[Message] = []
        self.refused: list[Message] = []
        self.answered = 0

    def on_reply(self, number: int, message: Message, ctx: Context) -> None:
        if isinstance(message, CommandAcknowledged) and not message.accepted and not message.last_sequence:
            self.refused.append(message)
        else:
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
        [refused] = eventually(lambda: trader.refused)
        assert (refused.source_sequence, refused.reason) == (1, Reason.NOT_READY), (
            "it was not sent: nothing is in doubt"
        )
        running.do(lambda: context.request("core", CancelOrder(1, 101, 1, source_id=7, source_sequence=2)))
        eventually(lambda: trader.answered == 1)
        undo.callback(RunningHost(plan, "r", {"risk": Watch}).stop)
        eventually(lambda: not host.messages.risk_path.closed)
        running.do(lambda: context.request("core", _order(3)))
        eventually(lambda: trader.answered == 2)
        assert (trader.unknown, trader.refused) == ([], [refused])
        eventually(lambda: not any("no new orders" in reason for reason in host.outlook.reasons))


def _ask(port: int, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    content = None if body is None else json.dumps(body)
    try:
        for _ in range(TIMES):
            line.request(method, path, content, {} if content is None else {"Content-Type": "application/json"})
            response = line.getresponse()
            found = json.loads(response.read())
            # On a slow machine it may wait too long for its turn; whether it was carried out is seen below.
            if response.status != 504 or found["code"] != "limit.late":
                break
        return response.status, found
    finally:
        line.close()


def test_orders_typed_at_the_port_are_refused_without_a_path_to_risk_and_cancels_are_not() -> None:
    with short_directory() as directory, ExitStack() as undo:
        plan = make_plan(directory, VENUE | {"r": ("risk",)}, sections={"bus": {"http": True}})
        venue = Venue(plan)
        undo.callback(venue.stop)
        host = venue.running.host
        with ExitStack() as serving:
            port = serve_http(host, serving)["trading"]
            order = {"instrument": "BTCUSDT", "side": "BUY", "quantity": "0.001", "price": "100", "account_id": 1}

            def accepted() -> dict[str, Any] | None:
                status, found = _ask(port, "POST", "/orders", order)
                return found if status < 300 else None

            first = RunningHost(plan, "r", {"risk": Watch})
            eventually(lambda: host.mesh.peers().get("r") is not None and host.mesh.peers()["r"].up)
            # A path that was never there is given up, and taken again once it has stood for a while.
            entered = eventually(accepted)
            first.stop()
            eventually(lambda: host.messages.risk_path.closed)
            status, problem = _ask(port, "POST", "/orders", order)
            assert (status, problem["code"]) == (503, "bus.risk_path")
            # It is ready all the same, for cancels, and says what is wrong.
            eventually(lambda: any("mesh with r goes by local" in warning for warning in host.outlook.warnings))
            assert not any("no new orders" in reason for reason in host.outlook.reasons)
            change = {"quantity": "0.002", "price": "100", "account_id": 1}
            status, problem = _ask(port, "PUT", f"/orders/{entered['order_id']}", change)
            assert (status, problem["code"]) == (503, "bus.risk_path")
            assert len(_ask(port, "GET", "/orders?account_id=1")[1]["orders"]) == 1, "it rests as it did"
            status, gone = _ask(port, "DELETE", f"/orders/{entered['order_id']}", {"account_id": 1})
            assert status < 300, gone
            undo.callback(RunningHost(plan, "r", {"risk": Watch}).stop)
            eventually(accepted)
