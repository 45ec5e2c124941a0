"""The commands of the live platform as a user has them, and what goes through all of it: traces, dead letters.

One instance serves all of these tests, as it takes longer to start than they do; those with one of their own are in
`test_cli_instances.py`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.request
import uuid
from collections.abc import Iterator
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
from tests.kit.instances import own_place
from tests.kit.shell import SETS, Shell, eventually

ENGINES = ["marketdata", "trading", "risk", "portfolio", "strategy", "gateway"]
STATUS_KEYS = {"status", "engines", "bus", "orders", "journal"}


@pytest.fixture(scope="module")
def running() -> Iterator[Shell]:
    """An instance with a simulated market and a strategy, started and stopped by the commands themselves."""
    with own_place() as place:
        made = Shell(place)
        begun = made.run("up", "--simulated", "--strategy", "quoting", "--detach", *SETS)
        assert begun.returncode == 0, begun.stderr
        assert "is up" in begun.stdout
        try:
            yield made
        finally:
            ended = made.run("down")
        assert ended.returncode == 0, ended.stderr
        assert "stopped" in ended.stdout
        assert "is not running" in made.refused("status", code=3)
        said = (place.base / "share" / "nautilus" / place.name / "logs" / "supervisor.out").read_text()
        assert len(said.splitlines()) == 1, said
        report = json.loads(said)
        assert (report["positions_equal"], report["gaps"], report["lost"]) == (True, 0, 0)
        assert report["orders"] > 0
        assert not place.shared.exists()


def test_status_is_healthy_and_has_the_shape_that_checks_rely_on(running: Shell) -> None:
    status = eventually(lambda: (found := running.status())["status"] == "healthy" and found)
    assert set(status) == STATUS_KEYS
    assert [engine["name"] for engine in status["engines"]] == ENGINES
    assert all(engine["state"] == "ready" and engine["port"] and engine["pid"] for engine in status["engines"])
    assert running.run("status").returncode in (0, 1)
    eventually(lambda: running.status()["orders"]["filled"] > 0)


def test_status_and_top_fit_eighty_columns(running: Shell) -> None:
    def fits(*arguments: object) -> str:
        result = running.run(*arguments)
        assert result.returncode in (0, 1), result.stderr
        assert "\x1b" not in result.stdout
        assert max(map(len, result.stdout.splitlines()), default=0) <= 80
        return result.stderr

    fits("status")
    eventually(lambda: "8 of 8 ready" in fits("top", "--for", 3))


def test_one_look_of_top_is_an_object_with_rates(running: Shell) -> None:
    def look() -> dict[str, Any] | None:
        # An engine that is late with its answer has no lines in this one.
        view = running.object("top")
        whole = view["quotes"] and view["strategies"] and any(line["per_second"] > 0 for line in view["engines"])
        return view if whole else None

    view = eventually(look)
    assert view["engines"][0]["name"] == "core"
    assert view["quotes"][0]["symbol"] == "SIMUSD"
    assert view["strategies"][0]["name"] == "quoting"
    assert all(line["memory_mib"] > 1 for line in view["engines"])


def test_an_order_is_entered_amended_listed_and_cancelled(running: Shell) -> None:
    entered = running.object("order", "submit", "SIMUSD", "buy", "0.010", "--price", "100.5", "--account", 9)
    assert (entered["status"], entered["leaves_quantity"]) == ("accepted", "0.01")
    order_id = entered["order_id"]
    assert running.object("order", "amend", order_id, "0.020", "99", "--account", 9)["status"] == "replaced"
    listed = running.object("order", "list", "--account", 9)["orders"]
    assert [(line["order_id"], line["price"], line["quantity"]) for line in listed] == [(order_id, "99", "0.02")]
    assert f"{order_id} SIMUSD" in running.run("order", "list").stdout
    assert "cancelled" in running.run("order", "cancel", order_id, "--account", 9).stdout
    assert running.object("order", "list", "--account", 9)["orders"] == []


@pytest.mark.long
def test_terms_of_an_order_and_the_kill_switch_of_a_strategy_go_all_the_way(running: Shell) -> None:
    submit = ("order", "submit", "SIMUSD", "buy", "0.010", "--price", "100", "--account", 12)
    order_id = running.object(*submit, "--post-only", "--tif", "day")["order_id"]
    [line] = running.object("order", "list", "--account", 12)["orders"]
    assert (line["standing"], line["flags"], line["order_type"]) == ("DISPLAYED", ["POST_ONLY"], "LIMIT")
    listed = running.run("order", "list", "--account", 12).stdout
    assert re.search(rf"{order_id} limit +displayed day post-only", listed)
    assert "model.order_field" in running.refused(*submit, "--display", "0.001", "--hidden", code=1)
    on = running.object("kill-switch", "on", "--account", 12, "--strategy", 7)
    assert (on["strategy_id"], on["cancelled"]) == (7, 0)
    assert running.object(*submit)["status"] == "accepted"
    running.object("kill-switch", "off", "--account", 12, "--strategy", 7)


@pytest.mark.long
def test_a_book_by_orders_a_place_and_a_phase_go_all_the_way(running: Shell) -> None:
    submit = ("order", "submit", "SIMUSD", "buy", "0.010", "--account", 13)
    first, second = (running.object(*submit, "--price", "42")["order_id"] for _ in range(2))
    orders = running.object("book", "SIMUSD", "--level", 3, "--levels", 1000)["orders"]
    ours = [(order["order_id"], order["quantity"]) for order in orders if order["account_id"] == 13]
    assert ours == [(first, "0.010"), (second, "0.010")]
    place = running.object("order", "queue", second, "--account", 13)
    assert (place["orders_ahead"], place["quantity_ahead"], place["displayed"]) == (1, "0.010", True)
    halted = running.object("phase", "set", "SIMUSD", "halted")
    assert (halted["phase"], halted["status"], halted["symbol"]) == ("HALTED", "applied", "SIMUSD")
    assert [line["phase"] for line in running.object("phase", "list")["phases"]] == ["HALTED"]
    assert "refused: SESSION" in running.refused(*submit, "--price", "42", code=1)
    running.object("phase", "set", "SIMUSD", "continuous")
    assert "model.unknown_instrument" in running.refused("phase", "set", "NOPE", "halted", code=2)
    assert "EXPIRY" in running.run("phase", "set", "all", "closed", "--close-ns", 1).stdout
    for order_id in (first, second):
        running.object("order", "cancel", order_id, "--account", 13)


def test_an_order_that_cannot_be_is_one_line_with_its_code(running: Shell) -> None:
    submit = ("order", "submit", "SIMUSD", "buy")
    assert "model.unknown_instrument" in running.refused("order", "submit", "NOPE", "buy", 1, "--price", 1, code=2)
    assert "off tick" in running.refused(*submit, 1, "--price", "100.55", code=1)
    assert "UNKNOWN_ORDER" in running.refused("order", "cancel", 77, "--account", 9, code=2)
    assert "either --price" in running.refused(*submit, 1, code=2)
    assert "either --price" in running.refused(*submit, 1, "--market", "--price", 1, code=2)


@pytest.mark.long
def test_the_kill_switch_of_an_account_stops_it_alone(running: Shell) -> None:
    running.object("order", "submit", "SIMUSD", "buy", "0.010", "--price", "100", "--account", 10)
    assert running.object("kill-switch", "on", "--account", 10)["cancelled"] == 1
    scope = {"account_id": 10, "instrument_id": 0, "symbol": "", "strategy_id": 0}
    assert running.object("kill-switch", "status")["scopes"] == [scope]
    submit = ("order", "submit", "SIMUSD", "buy", "0.010", "--price", "100", "--account")
    assert "KILLED" in running.refused(*submit, 10, code=1)
    assert running.object(*submit, 11)["status"] == "accepted"
    running.object("kill-switch", "off", "--account", 10)
    assert running.object("kill-switch", "status")["on"] is False
    assert running.object(*submit, 10)["status"] == "accepted"


def test_the_book_has_both_sides_best_first(running: Shell) -> None:
    book = eventually(
        lambda: (found := running.object("book", "SIMUSD", "--levels", 3))["bids"] and found["asks"] and found
    )
    assert len(book["bids"]) <= 3
    assert float(book["bids"][0]["price"]) < float(book["asks"][0]["price"])
    assert "quantity" in running.run("book", "SIMUSD").stdout
    assert running.run("book", "NOPE").returncode == 2


def test_logs_are_merged_filtered_and_followed(running: Shell) -> None:
    lines = running.object("logs", "--lines", 0)["lines"]
    assert {"supervisor", "core", "strategy"} <= {line["process"] for line in lines}
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    only = running.object("logs", "supervisor", "--lines", 2)["lines"]
    assert [line["process"] for line in only] == ["supervisor"] * 2
    assert running.object("logs", "--since", "2100-01-01")["lines"] == []
    assert "did you mean 'risk'" in running.refused("logs", "riks", code=2)
    assert "expected 90s" in running.refused("logs", "--since", "yesterday", code=2)
    with running.start("logs", "supervisor", "--follow", "--lines", "1") as following:
        assert following.stdout is not None
        assert "supervisor" in following.stdout.readline()
        following.send_signal(signal.SIGINT)
        assert following.wait(120) == 0


def test_the_journal_of_an_instance_needs_no_path(running: Shell) -> None:
    assert running.object("journal", "verify")["valid"] is True
    assert running.object("journal", "dump", "--limit", 2)["commands"][0]["sequence"] == 1
    assert "one of PATH and --instance" in running.refused("journal", "verify", "here", code=2)


def test_a_second_one_of_the_name_is_refused_and_disturbs_nothing(running: Shell) -> None:
    for arguments in (("up",), ("up", "--detach"), ("demo", "--for", 1)):
        assert "is up (pid" in running.refused(*arguments, code=1)
    eventually(lambda: running.status()["status"] == "healthy")


def test_a_wrong_token_is_said_with_its_code(running: Shell) -> None:
    token = running.place.base / "nautilus" / running.name / "token"
    right = token.read_text()
    token.write_text("wrong")
    try:
        assert "http.token" in running.refused("order", "cancel", 1, code=1)
        assert running.object("order", "list")["last_sequence"] > 0
    finally:
        token.write_text(right)


def test_an_engine_that_does_not_answer_is_a_time_out(running: Shell) -> None:
    pid = running.pid("portfolio")
    before = running.status()["bus"]["star"]["published"]
    os.kill(pid, signal.SIGSTOP)
    try:
        # Long enough for more to wait than a reader takes at one look.
        eventually(lambda: running.status()["bus"]["star"]["published"] > before + 2000)
        # Who only looks is not held up: the counters are in shared memory.
        eventually(lambda: running.status()["status"] == "degraded")
        eventually(lambda: [name for name, state in running.states().items() if state == "silent"] == ["portfolio"])
        [line] = [line for line in running.object("top")["engines"] if line["name"] == "portfolio"]
        assert line["state"] == "silent"
    finally:
        os.kill(pid, signal.SIGCONT)
    trading = running.pid("trading")
    os.kill(trading, signal.SIGSTOP)
    try:
        text = running.refused("order", "submit", "SIMUSD", "buy", 1, "--price", 1, "--timeout", 0.2, code=5)
        assert "unknown" in text
    finally:
        os.kill(trading, signal.SIGCONT)
    eventually(lambda: running.status()["status"] == "healthy")


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


@pytest.mark.long
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
