"""A trace goes where what is said within it goes, and nowhere else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nautilus.bus import MessageKind
from nautilus.core.types import COMMAND
from nautilus.engines.base import Engine
from nautilus.model.enums import Priority, Side
from nautilus.model.events import OrderAccepted, OrderFilled
from nautilus.model.queries import GetRisk, GetStrategies, SourceStatus
from nautilus.runtime import logs, tracing
from nautilus.runtime.logs import configure
from nautilus.runtime.tracing import Tracing, trace_text
from tests.kit.live_host import RunningHost, eventually, make_plan, short_directory

TRACE = (1 << 127) | 0xFFFF_FFFF_FFFF_FFFF


class Asked(Engine):
    """Upon a question it sends a command and a request on."""

    name = "risk"

    def __init__(self) -> None:
        self.replies: list[Any] = []

    def on_request(self, message: Any, ctx: Any) -> Any:
        if isinstance(message, GetRisk):
            ctx.send("strategy", GetStrategies())
            ctx.request("strategy", SourceStatus(7))
        return message

    def on_reply(self, number: int, message: Any, ctx: Any) -> None:
        self.replies.append(message)
        ctx.send("strategy", SourceStatus(99))  # its own doing: no part of the trace


class Taker(Engine):
    """Notes what it gets; fails upon one command."""

    name = "strategy"

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_command(self, message: Any, ctx: Any) -> None:
        self.seen.append(message)
        if isinstance(message, GetStrategies):
            raise RuntimeError("on purpose")

    def on_request(self, message: Any, ctx: Any) -> Any:
        self.seen.append(message)
        return message


@pytest.fixture
def hosts() -> Iterator[tuple[RunningHost, RunningHost]]:
    with short_directory() as directory:
        plan = make_plan(directory, {"risk": ("risk",), "strategy": ("strategy",)})
        running: list[RunningHost] = []
        try:
            running.append(RunningHost(plan, "risk", {"risk": Asked}).ready())
            running.append(RunningHost(plan, "strategy", {"strategy": Taker}).ready())
            yield running[0], running[1]
        finally:
            for each in running:
                each.stop()


def traced(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    found = []
    for record in caplog.records:
        fields = getattr(record, "fields", {})
        if fields.get("trace_id"):
            assert fields["trace_id"] == trace_text(TRACE)
            found.append((fields.get("message", ""), record.getMessage()))
    return found


def test_what_a_handler_says_within_a_trace_carries_it_and_what_it_says_later_does_not(
    hosts: tuple[RunningHost, RunningHost], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    risk, strategy = hosts
    risk.host.ask_engine("risk", GetRisk(), TRACE).result(60)
    eventually(lambda: SourceStatus(99) in strategy.engine("strategy").seen)
    assert strategy.engine("strategy").seen == [GetStrategies(), SourceStatus(7), SourceStatus(99)]
    said = traced(caplog)
    assert [text for message, text in said if message == "GetRisk"] == ["a request"]
    assert [text for message, text in said if message == "GetStrategies"] == ["command of risk for strategy"]
    assert sorted(text for message, text in said if message == "SourceStatus") == [
        "reply of strategy for risk",
        "request of risk for strategy",
    ]
    assert [text for _, text in said if "on purpose" in text], "errors carry the trace too"
    assert (risk.host.calls.tracing.now, strategy.host.calls.tracing.now) == (0, 0)


def test_a_question_without_a_trace_leaves_none(
    hosts: tuple[RunningHost, RunningHost], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    risk, strategy = hosts
    risk.host.ask_engine("risk", GetRisk()).result(60)
    eventually(lambda: SourceStatus(99) in strategy.engine("strategy").seen)
    assert traced(caplog) == []


def test_the_trace_of_an_order_is_told_ahead_of_it(hosts: tuple[RunningHost, RunningHost]) -> None:
    risk, strategy = hosts

    def tell() -> None:
        risk.host.mesh.post(
            "strategy",
            to=tracing.TRACE,
            sender="risk",
            kind=MessageKind.EVENT,
            payload=b"\x92\x05\x07",
            priority=Priority.HIGH,
            trace_id=TRACE,
        )

    risk.do(tell)
    eventually(lambda: strategy.host.calls.tracing.orders == {(5, 7): TRACE})


def commands(*orders: tuple[int, int]) -> np.ndarray:
    found = np.zeros(len(orders), COMMAND)
    for row, (account_id, order_id) in zip(found, orders, strict=True):
        row["account_id"], row["order_id"] = account_id, order_id
    return found


def report(kind: type[Any], order_id: int, leaves: int) -> Any:
    fields = {"sequence": 1, "now_ns": 1, "account_id": 1, "strategy_id": 0, "instrument_id": 1, "order_id": order_id}
    fields |= {"side": Side.BUY, "price_ticks": 1, "quantity": 1, "leaves_quantity": leaves}
    return kind(**fields, **({"fill_id": 1} if "fill_id" in kind.__struct_fields__ else {}))


def test_orders_sent_within_a_trace_are_known_until_their_last_report() -> None:
    made = Tracing()
    made.note_commands(commands((1, 1)))
    assert made.orders == {}
    made.run(TRACE, made.note_commands, (commands((1, 2), (1, 0)),))
    assert made.orders == {(1, 2): TRACE}
    assert made.of_report(report(OrderAccepted, 2, 5)) == TRACE
    assert made.of_report(report(OrderFilled, 2, 3)) == TRACE
    assert made.of_report(report(OrderFilled, 2, 0)) == TRACE
    assert made.of_report(report(OrderFilled, 2, 0)) == 0
    assert made.orders == {}


def test_the_orders_that_are_known_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "MOST_ORDERS", 3)
    made = Tracing()
    for order_id in range(1, 6):
        made.note_order(1, order_id, order_id)
    assert list(made.orders.values()) == [3, 4, 5]


def test_a_trace_ends_with_what_was_called_also_where_that_raises() -> None:
    made = Tracing()
    seen: list[tuple[int, int]] = []

    def look() -> None:
        seen.append((made.now, made.onward))

    def fail() -> None:
        made.run(0, look, ())
        made.run(6, look, (), ends=True)
        look()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        made.run(5, fail, ())
    look()
    assert seen == [(0, 0), (6, 0), (5, 5), (0, 0)]


def test_lines_of_a_log_carry_the_trace_within_which_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Tracing()
    monkeypatch.setattr(logs, "_current_trace", made.current)
    root = logging.getLogger()
    before = list(root.handlers), root.level
    file = configure("test", tmp_path)
    try:
        log = logging.getLogger("test")
        log.warning("before")
        made.run(TRACE, log.warning, ("within",))
        made.run(TRACE, lambda: log.warning("own", extra={"fields": {"trace_id": "own"}}), ())
    finally:
        file.close()
        root.handlers[:], root.level = before
    found = list((tmp_path / "logs" / "test.jsonl").read_text().splitlines())
    assert ["trace_id" in line for line in found] == [False, True, True]
    assert trace_text(TRACE) in found[1]
    assert '"trace_id":"own"' in found[2]
