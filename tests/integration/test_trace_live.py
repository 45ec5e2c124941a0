"""What goes through a whole platform and can be followed there: the trace of an order, letters that are sent again."""

from __future__ import annotations

import json
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest

from nautilus.bus import DeadLetter, MessageKind
from nautilus.bus.dead_letters import DeadLetterLog
from nautilus.model.codec import to_msgpack
from nautilus.model.commands import SubmitOrder
from nautilus.model.enums import Side
from nautilus.model.queries import GetRisk
from nautilus.runtime.clock import wall_ns
from nautilus.runtime.instance import Instance
from tests.integration.test_cli_live import Shell, eventually, running

__all__ = ["running"]


def test_a_trace_goes_from_the_request_to_the_fill_through_every_process(running: Shell) -> None:
    trace = uuid.uuid4().hex
    with pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment.items():
            patch.setenv(name, value)
        instance = Instance.find(running.name)
        port = next(process.ports["trading"] for process in instance.state().processes if "trading" in process.ports)
        token = instance.token()
    order = {"instrument": "SIMUSD", "side": "BUY", "quantity": "0.010", "order_type": "MARKET"}
    order["time_in_force"] = "IOC"
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/orders",
        json.dumps(order).encode(),
        {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {token}",
            "traceparent": f"00-{trace}-00f067aa0ba902b7-01",
        },
    )
    with urllib.request.urlopen(request, timeout=240) as answer:
        result = json.loads(answer.read())
    assert result["status"] == "filled", result

    def lines() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = running.object("logs", "--trace", trace, "--lines", 0)["lines"]
        return found

    def of(process: str, text: str) -> list[dict[str, Any]]:
        return [line for line in lines() if line["process"] == process and text in json.dumps(line)]

    for process, text in (
        ("trading", "a request"),
        ("trading", "OrderAccepted"),
        ("trading", "OrderFilled"),
        ("core", "ACCEPTED"),
        ("core", "FILLED"),
        ("portfolio", "OrderFilled"),
        ("risk", "OrderFilled"),
    ):
        eventually(lambda process=process, text=text: of(process, text))
    orders = {line["order_id"] for line in lines() if line.get("order_id")}
    assert orders == {result["order_id"]}, "nothing else is taken for a part of it"
    parent = f"00-{trace.upper()}-00f067aa0ba902b7-01"
    assert running.object("logs", "--trace", parent, "--lines", 1)["lines"]
    assert running.object("logs", "--trace", uuid.uuid4().hex)["lines"] == []
    assert "expected 32" in running.refused("logs", "--trace", "abc", code=2)


def test_dead_letters_are_printed_and_sent_again(running: Shell) -> None:
    directory = Path(running.object("logs", "--lines", 1)["directory"]).parent / "letters" / "strategy"
    log = DeadLetterLog(directory, wall_ns)
    try:
        first = log.next_number
        for message in (GetRisk(), SubmitOrder(1, 1, 1, Side.BUY, 1)):
            payload = to_msgpack(message)
            log.add([DeadLetter("deadline", "risk", MessageKind.REQUEST, 5, 3, "strategy", "risk", 0, 7, payload)])
    finally:
        log.close()
    names = [f"strategy/{first}", f"strategy/{first + 1}"]
    shown = running.run("tap", "--dead", "--json").stdout.splitlines()
    assert set(names) <= {json.loads(line)["id"] for line in shown}
    done = running.run("tap", "--dead", "--replay", *names)
    assert done.returncode == 1, "one of them was refused"
    assert done.stdout.splitlines()[0] == f"{names[0]}: sent to risk"
    assert "enters the market" in done.stdout.splitlines()[1]
    lines = running.object("logs", "strategy", "--lines", 0)["lines"]
    assert [line["event"] for line in lines if line.get("number") == first] == [
        f"dead letter {first} is sent again to risk"
    ]
    assert "no process" in running.refused("tap", "--dead", "--replay", "nobody/1", code=2)
