"""Real processes of a real platform, killed, stopped, fed rubbish: nothing is lost, nothing doubled, nothing silent."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from nautilus.core import Kernel
from nautilus.core.counters import Counters
from nautilus.core.journal_reader import JournalReader
from nautilus.core.port import OWN, Port, core_facts
from nautilus.core.region import start_of
from nautilus.core.types import EventKind, OrderType, Reason, Side, TimeInForce
from nautilus.model.queries import GetCoreState, GetOrders, GetPositions, GetStrategies, OrderRequest
from nautilus.runtime.client import EngineError, NotReachableError, encode, operation_of
from nautilus.runtime.clock import pause
from nautilus.runtime.status import read_status
from perf.platform import descendants, platform
from tests.kit import builders
from tests.kit.core import carry_out
from tests.kit.effort import one_of
from tests.kit.platform import NOT_TAKEN, TIMES, Platform, demo

PROCESSES = ("strategy", "portfolio", "risk", "trading", "marketdata", "core")


def fills(platform: Platform) -> int:
    answer = platform.try_ask("strategy", GetStrategies())
    return sum(line["fills"] for line in answer["strategies"]) if answer else 0


def state_hash_at(journal: Path, sequence: int) -> str:
    """Of a kernel that was given the journal's commands up to one of them."""
    reader = JournalReader(journal, strict=False)
    kernel = Kernel(accounts=(), capacity=reader.capacity, closed_capacity=reader.closed_capacity, huge_pages=False)
    for item in reader:
        if isinstance(item, np.ndarray):
            kernel.process(np.ascontiguousarray(item[item["sequence"] <= sequence]))
            if kernel.last_sequence >= sequence:
                break
    assert kernel.last_sequence == sequence
    return f"{kernel.state_hash():016x}"


@pytest.mark.long
def test_every_process_in_turn_is_killed_and_comes_back_with_nothing_lost() -> None:
    with demo() as running:
        running.wait(lambda: fills(running) > 3, "fills")
        for process in (*PROCESSES, "template", "core"):
            before = fills(running)
            alive = running.ask("trading", GetCoreState(hashes=True)) if process == "core" else {}
            running.kill(process)
            if process == "core":
                # What the one that was killed said of itself, and what the next one made of the journal.
                assert alive["state_hash"] == state_hash_at(running.data / "journal", alive["last_command"])
                counters = Counters.read(running.instance.plan().counters_of("core"))
                commands = counters["core.recovered_commands"]
                recovered = f"{counters['core.recovered_hash_high']:08x}{counters['core.recovered_hash_low']:08x}"
                assert recovered == state_hash_at(running.data / "journal", commands)
            running.wait(lambda before=before: fills(running) > before, f"fills after {process} was killed")
        running.freeze()
        running.wait(lambda: running.agrees(), "core, portfolio and event log that agree")
        running.compare_bus()
        held = running.held(1)
        assert held["fills"] > 0
        events = running.events()
    matches = events["match_id"][events["kind"] == EventKind.FILLED]
    assert len(np.unique(matches)) == len(matches)


def trade_as_people(running: Platform, until: Event) -> None:
    """Market orders over HTTP, whatever becomes of them: they meet the strategy's resting orders too."""
    number = 0
    while not until.wait(0.005):
        number += 1
        side = Side.BUY if number % 2 else Side.SELL
        with suppress(EngineError, NotReachableError, TimeoutError):
            running.ask("trading", OrderRequest("SIMUSD", side, "0.05", order_type=OrderType.MARKET, account_id=2))


@pytest.mark.parametrize("profile", one_of("compact", "native"))
def test_a_strategy_that_trades_with_people_has_each_fill_once_whatever_is_killed(profile: str) -> None:
    settings = ("limits.message_rate=0", "risk.max_orders=0", "risk.max_position=0", "risk.max_loss=")
    with demo("--simulated", "--strategy", "quoting", "--profile", profile, settings=settings) as running:
        rim = running.instance.plan().process_of("trading")
        until = Event()
        people = Thread(target=trade_as_people, args=(running, until))
        people.start()
        try:
            for victims in ((rim,), ("core",), ("strategy",), (rim, "strategy"), ("core", rim)):
                before = fills(running)
                running.wait(lambda before=before: fills(running) > before + 2, f"fills before {victims} are killed")
                for process in victims[1:]:
                    os.kill(running.pid(process), signal.SIGKILL)
                running.kill(victims[0])
                running.wait(lambda victims=victims: all(map(running.is_ready, victims)), "all of them")
        finally:
            until.set()
            people.join()
        running.freeze()
        running.wait(lambda: running.agrees(), "core, portfolio, event log and strategy that agree")
        running.compare_bus()
        assert running.held(2)["fills"] > 0


def order_through_ring(port: Port, number: int) -> None:
    """It is accepted; where the way out is nearly full at the moment, the core says so, and is asked again."""
    order = builders.new(number, Side.BUY, 1, 1000, account_id=2, time_in_force=TimeInForce.IOC)
    event = None
    while event is None or event["reason"] == Reason.BUSY:
        events = carry_out(port, order)["event"]
        event = events[events["order_id"] == number][0]  # before it there may be those of timers that were due
    assert event["kind"] == EventKind.ACCEPTED, (EventKind(event["kind"]).name, Reason(event["reason"]).name)


@pytest.mark.parametrize("process", one_of("risk", "trading", "marketdata", "portfolio", "strategy"))
def test_a_stopped_consumer_slows_nobody_and_is_right_again(process: str) -> None:
    settings = ("limits.message_rate=0", "core.ring_capacity=256")
    with demo(settings=settings) as running:
        running.wait(lambda: fills(running) > 1, "fills")
        pid = running.pid(process)
        os.kill(pid, signal.SIGSTOP)
        try:
            port = Port(running.instance.plan().shared, "client0", OWN)
            running.wait(lambda: port.joined is not None, "the core's answer")
            before = core_facts(running.instance.plan().shared)
            for number in range(400):
                order_through_ring(port, 1_000_000 + number)
            after = core_facts(running.instance.plan().shared)
            port.close()
            # Each made two events: far more than fit on the way to one that does not read, if it were waited for.
            assert after["accepted"] >= before["accepted"] + 400
            if process in ("trading", "marketdata"):
                assert after["cuts"] > before["cuts"]  # its feed was full: it was cut off, and nobody waited
        finally:
            os.kill(pid, signal.SIGCONT)
        assert running.restarts(process) == 0
        before = fills(running)
        running.wait(lambda: fills(running) > before, "fills after it went on")
        running.freeze()
        running.wait(lambda: running.agrees(), "core, portfolio and event log that agree")
        # Orders of the other account were reported too: what was missed was caught up with.
        running.wait(lambda: running.ask("portfolio", GetPositions(2))["last_sequence"] > 0, "reports")


def bells_heard(pid: int) -> int:
    """Descriptors of the core's bell that a process waits on."""
    place = Path(f"/proc/{pid}")
    files: dict[str, str] = {}
    for descriptor in (place / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed since
            files[descriptor.name] = os.readlink(descriptor)
    found = 0
    for number, file in files.items():
        if file == "anon_inode:[eventpoll]":
            with suppress(FileNotFoundError):
                watched = re.findall(r"tfd: +(\d+)", (place / "fdinfo" / number).read_text())
                found += sum("core.bell." in files.get(each, "") for each in watched)
    return found


@pytest.mark.long
def test_who_slept_while_the_core_was_replaced_waits_on_the_new_one() -> None:
    with demo() as running:
        sleepers = [running.pid("trading"), running.pid("marketdata")]
        for _ in range(3):
            before = fills(running)
            running.wait(lambda before=before: fills(running) > before, "fills")
            for pid in sleepers:
                os.kill(pid, signal.SIGSTOP)
            try:
                running.kill("core")
            finally:
                for pid in sleepers:
                    os.kill(pid, signal.SIGCONT)
            running.wait(lambda: [bells_heard(pid) for pid in sleepers] == [1, 1], "an ear for the new core's bell")
        assert [running.pid("trading"), running.pid("marketdata")] == sleepers


@pytest.mark.long
def test_a_killed_supervisor_takes_everything_down_in_order(tmp_path: Path) -> None:
    with platform("--simulated", "--strategy", "quoting") as instance:
        running = Platform(instance)
        running.wait(lambda: fills(running) > 0, "fills")
        directory, shared, data = instance.directory, instance.shared, running.data
        pids = descendants(instance.pid)
        processes = {found.name: found.pid for found in instance.state().processes}
        os.kill(instance.pid, signal.SIGKILL)
        running.wait(lambda: not any(start_of(pid) for pid in pids), "the end of every process")
        ended = {}
        for name in processes:
            lines = [json.loads(line) for line in (data / "logs" / f"{name}.jsonl").read_text().splitlines()]
            ended[name] = next(line["time"] for line in reversed(lines) if line["event"] == "process has stopped")
        ended.pop("follower", None)  # it only reads what is on disk, and may end at any time
        assert max(ended, key=lambda name: ended[name]) == "core"
        ended.pop("gateway")  # of the first to stop, as strategy: neither waits for the other
        assert min(ended, key=lambda name: ended[name]) == "strategy"
        report = JournalReader(data / "journal")
        assert sum(len(item) for item in report if isinstance(item, np.ndarray)) > 0
        # The next one sweeps what is left, and goes on with the same journal.
        subprocess.run(
            [sys.executable, "-m", "nautilus", "up", "--detach", "--instance", instance.name, "--set",
             "platform.ports=free"], check=True, capture_output=True, timeout=240,
        )  # fmt: skip
        assert directory.exists()
        assert shared.exists()


def nautilus(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nautilus", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture(scope="module")
def idle():
    """A platform without a market, for requests that are wrong; not a demonstration, so the token counts."""
    with demo("--strategy", "quoting") as running:
        yield running


def test_a_live_instance_is_refused_with_one_line(idle: Platform) -> None:
    second = nautilus("up", "--instance", idle.instance.name, "--for", "1")
    assert second.returncode != 0
    assert second.stderr.count("\n") == 1
    assert "is up" in second.stderr
    assert idle.client().call("portfolio", "GET", "/positions")


def test_a_port_in_use_is_named_and_everything_stopped() -> None:
    # A short place: sockets lie in it.
    with socket.create_server(("127.0.0.1", 8200)), tempfile.TemporaryDirectory(prefix="n-") as place:
        failed = nautilus(
            "up", "--instance", f"taken-{os.getpid()}", "--for", "1", XDG_RUNTIME_DIR=place,
            XDG_DATA_HOME=f"{place}/data",
        )  # fmt: skip
        left = list(Path(place).rglob("*.lock"))
    assert failed.returncode != 0
    assert "8200" in failed.stderr
    assert "risk" in failed.stderr
    assert not left


def raw(idle: Platform, engine: str, request: bytes) -> tuple[int, dict]:
    """Status and problem of a request as it stands."""
    with socket.create_connection(("127.0.0.1", idle.ports[engine]), timeout=60) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def post(
    idle: Platform, *headers: str, body: bytes = b"{}", host: str = "127.0.0.1", token: str | None = None
) -> bytes:
    shown = idle.instance.token() if token is None else token
    lines = [
        "POST /orders HTTP/1.1", f"Host: {host}", "Connection: close", f"Authorization: Bearer {shown}",
        f"Content-Length: {len(body)}", *(headers or ("Content-Type: application/json",)), "", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode() + body


ORDER = b'{"instrument":"SIMUSD","side":"BUY","quantity":"0.001","price":"100.0"}'


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"token": "wrong", "body": ORDER}, 401, "http.token"),
        ({"host": "evil.example", "body": ORDER}, 403, "http.host"),
        ({"headers": ("Content-Type: application/json", "Origin: http://evil.example"), "body": ORDER}, 403,
         "http.origin"),
        ({"headers": ("Content-Type: text/plain",), "body": ORDER}, 415, "http.content_type"),
        ({"body": b'{"instrument":'}, 400, "http.body"),
        ({"body": ORDER.replace(b"SIMUSD", b"NOPE")}, 404, "model.unknown_instrument"),
        ({"body": ORDER.replace(b"0.001", b"0.0001")}, 422, "model"),
        ({"body": ORDER.replace(b'"BUY"', b'"HOLD"')}, 422, None),
        ({"body": ORDER.replace(b"}", b',"surprise":1}')}, 422, None),
    ],
)  # fmt: skip
def test_a_request_that_is_wrong_gets_one_problem_with_a_stable_code(
    idle: Platform, options: dict, status: int, code: str | None
) -> None:
    before = core_facts(idle.instance.plan().shared)["commands"]
    headers = options.pop("headers", ())
    found, problem = raw(idle, "trading", post(idle, *headers, **options))
    assert found == status
    assert problem["status"] == status
    assert problem["code"] == code or code is None
    assert {"type", "title", "detail", "code", "trace_id"} <= set(problem)
    assert core_facts(idle.instance.plan().shared)["commands"] == before


def test_an_order_is_carried_out_once_for_each_client_id(idle: Platform) -> None:
    order = OrderRequest("SIMUSD", Side.BUY, "0.001", "100.0", account_id=3, client_order_id="mine")
    first, second = idle.ask("trading", order), idle.ask("trading", order)
    assert first["status"] == "accepted"
    assert (second["status"], second["reason"]) == ("rejected", "DUPLICATE_ORDER")
    assert first["order_id"] == second["order_id"]
    with pytest.raises(EngineError) as raised:
        idle.client(token="").ask("trading", order)
    assert raised.value.code == "http.token"


def test_an_order_without_an_answer_is_unknown_and_nobody_is_asked_to_send_it_again() -> None:
    with demo("--strategy", "quoting", settings=("core.answer_ms=4000",)) as running:
        order = OrderRequest("SIMUSD", Side.BUY, "0.001", "100.0", account_id=5, client_order_id="in doubt")
        core = running.pid("core")

        def enters() -> str:
            """The code of the problem that it meets."""
            method, target, body = encode(operation_of("trading", OrderRequest), order)
            return str(json.loads(running.client().fetch("trading", method, target, body)[2])["code"])

        def is_in_doubt() -> bool:
            """With a core that hangs; where that is known too early, nothing was sent, and it goes on first."""
            os.kill(core, signal.SIGSTOP)
            if (code := enters()) == "bus.unknown":
                return True
            assert code == "bus.refused"
            os.kill(core, signal.SIGCONT)
            running.wait(lambda: running.client().fetch("trading", "GET", "/readyz")[0] == 200, "a core that is ready")
            return False

        try:
            running.wait(is_in_doubt, "an order in doubt")
            words = ("order", "submit", "SIMUSD", "sell", "0.001", "--price", "90000", "--account", "5")
            # The core is known to hang by now: the next one is not even sent.
            said = nautilus(*words, "--timeout", "60", "--instance", running.instance.name)
            assert (said.returncode, said.stderr.count("\n")) == (1, 1), said.stderr
            assert "was not sent" in said.stderr
            assert "bus.refused" in said.stderr
        finally:
            os.kill(core, signal.SIGCONT)
        # It is not carried out after its sender was told that nobody knows: under its id it can be entered then.
        running.wait(lambda: running.client().fetch("trading", "GET", "/readyz")[0] == 200, "a core that is ready")
        assert running.ask("trading", GetOrders(5))["orders"] == []
        assert running.ask("trading", order)["status"] == "accepted"
        assert running.ask("trading", order)["reason"] == "DUPLICATE_ORDER"
        assert running.ask("trading", GetOrders(5))["orders"][0]["client_order_id"] == "in doubt"


def test_whoever_was_told_of_an_order_can_amend_and_list_it_at_once(idle: Platform) -> None:
    connection = HTTPConnection("127.0.0.1", idle.ports["trading"], timeout=60)
    token = Path(idle.instance.plan().directory, "token").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(method: str, path: str, **body: object) -> dict[str, Any]:
        for _ in range(TIMES):
            connection.request(method, path, json.dumps(body), headers)
            answer = connection.getresponse()
            found = json.loads(answer.read())
            if not str(found.get("type")).endswith(NOT_TAKEN):
                break
            pause(0.05)
        assert answer.status == 200, found
        assert isinstance(found, dict)
        return found

    try:
        for number in range(100):
            order = {"instrument": "SIMUSD", "side": "BUY", "quantity": "0.001", "price": "100.0", "account_id": 4}
            order_id = call("POST", "/orders", **order)["order_id"]
            if number % 2:
                listed = call("GET", "/orders?account_id=4")["orders"]
                assert [(line["order_id"], line["price"]) for line in listed] == [(order_id, "100")]
            changed = call("PUT", f"/orders/{order_id}", quantity="0.002", price="99.0", account_id=4)
            assert changed["status"] == "replaced"
            assert call("DELETE", f"/orders/{order_id}?account_id=4")["status"] == "cancelled"
            assert call("GET", "/orders?account_id=4")["orders"] == []
    finally:
        connection.close()


def test_the_core_has_one_python_thread_three_native_ones_and_one_that_prepares_memory(idle: Platform) -> None:
    tasks = Path(f"/proc/{idle.pid('core')}/task")
    names = sorted((task / "comm").read_text().strip() for task in tasks.iterdir())
    native = [name for name in names if name.startswith("core-")]
    assert native == ["core-egress", "core-journal", "core-kernel"]
    assert names.count("pool-helper") == 1
    others = [name for name in names if not name.startswith(("core-", "ZMQbg", "pool-helper"))]
    assert len(others) == 1, names
    idle.wait(
        lambda: Counters.read(idle.instance.plan().counters_of("core")).get("core.python_threads") == 1, "the gauge"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_full_disk_refuses_orders_and_still_takes_cancels(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", place], check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        with demo("--data", str(place / "d"), settings=("core.segment_mib=1", "limits.message_rate=0")) as running:
            order = OrderRequest("SIMUSD", Side.BUY, "0.001", "100.0")
            resting = running.ask("trading", order)["order_id"]
            filler = place / "filler"
            free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
            filler.write_bytes(b"\0" * (free - 65_536))
            port = Port(running.instance.plan().shared, "client0", OWN)
            running.wait(lambda: port.joined is not None, "the core's answer")
            running.wait(lambda: not order_is_taken(port), "a refusal")
            running.wait(lambda: status_of_core(running) == ("unhealthy", 503), "a core that says so")
            running.wait(lambda: "no room" in str(running.client().fetch("trading", "GET", "/readyz")[2]), "the reason")
            cancelled = running.client().call("trading", "DELETE", f"/orders/{resting}")
            assert cancelled["status"] == "cancelled"
            with pytest.raises(EngineError) as raised:
                running.ask("trading", order)
            assert raised.value.code == "bus.refused"
            assert "JOURNAL_FULL" in str(raised.value)
            filler.unlink()
            running.wait(lambda: order_is_taken(port), "orders that are taken again")
            running.wait(lambda: status_of_core(running) == ("healthy", 200), "a core that says so")
            port.close()
            assert running.restarts("core") == 0
    finally:
        subprocess.run(["umount", "-l", place], check=False)


def status_of_core(running: Platform) -> tuple[str, int]:
    """What `nautilus status` and the trading engine's probe say."""
    return read_status(running.instance).status, running.client().fetch("trading", "GET", "/readyz")[0]


NUMBERS = iter(range(5_000_000, 50_000_000))


def order_is_taken(port: Port) -> bool:
    """Send two hundred orders; whether the last was accepted."""
    rows = np.concatenate([builders.new(1, Side.BUY, 1, 1000, account_id=2, time_in_force=TimeInForce.IOC)] * 200)
    rows["order_id"] = [next(NUMBERS) for _ in range(200)]
    return bool(carry_out(port, rows)["event"]["kind"][-1] != EventKind.REJECTED)
