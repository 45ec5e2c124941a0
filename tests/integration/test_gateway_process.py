"""The processes of the gateway on a real platform: a lead and its workers, replaced, killed and stopped.

A few times each here, more often with `NAUTILUS_SEEDS` (`make soak`).
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from nautilus.core.counters import Counters
from nautilus.core.region import start_of
from nautilus.core.response_cache import Answers
from nautilus.gateway.table import WorkerLine, WorkerTable, name_of, read_table
from nautilus.runtime.files import holder
from tests.kit.platform import Platform, demo, run_cli
from tests.kit.steady_clients import SteadyClients
from tests.kit.supervised import SupervisedPlatform, eventually

WORKERS = 2
SETTINGS = (
    f"gateway.workers={WORKERS}",
    "gateway.drain_seconds=60",
    "gateway.silence_seconds=600",
    "platform.processes=compact",
)
RESTARTS, KILLS = (24, 6) if "NAUTILUS_SEEDS" in os.environ else (5, 2)


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with demo(settings=SETTINGS) as running:
        yield running


def table(platform: Platform) -> WorkerTable:
    return read_table(platform.instance.directory)


def ready(platform: Platform) -> list[WorkerLine]:
    return [line for line in table(platform).workers if line.state == "ready" and line.alive]


def settled(platform: Platform) -> bool:
    """There is a lead, and one worker in each slot, and nothing else."""
    found = table(platform)
    return (
        start_of(found.lead) != 0
        and platform.is_ready("gateway")
        and len(found.workers) == WORKERS == len(ready(platform))
        and {line.slot for line in found.workers} == set(range(WORKERS))
    )


def wait_settled(platform: Platform) -> None:
    platform.wait(lambda: settled(platform), "a worker in each slot")


def get(platform: Platform, path: str) -> bytes:
    with urlopen(f"http://127.0.0.1:{platform.ports['gateway']}{path}") as answer:
        assert answer.status == 200
        return bytes(answer.read())


def counted(platform: Platform, name: str) -> float:
    """A counter of all workers together, as any of them shows it."""
    lines = get(platform, "/metrics").decode().splitlines()
    found = [line for line in lines if line.startswith(f"{name}{{") and 'process="gateway-workers"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def renew(platform: Platform) -> None:
    """SIGHUP to the lead, and wait until every worker is another one."""
    before = {line.pid for line in ready(platform)}
    os.kill(table(platform).lead, signal.SIGHUP)
    platform.wait(
        lambda: len(ready(platform)) >= WORKERS and not before & {line.pid for line in ready(platform)}, "new workers"
    )


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_the_gateway_is_an_engine_among_the_others(platform: Platform) -> None:
    wait_settled(platform)
    status = json.loads(run_cli("status", "--json", "--instance", platform.instance.name))
    [line] = [engine for engine in status["engines"] if engine["name"] == "gateway"]
    found = table(platform)
    assert (line["pid"], line["port"], line["state"], line["tier"]) == (
        found.lead,
        found.port,
        "ready",
        "high performance",
    )
    for path in ("/livez", "/readyz", "/health", "/hybrid/performance", "/openapi.json"):
        assert json.loads(get(platform, path))
    assert get(platform, "/metrics").endswith(b"# EOF\n")
    shown = json.loads(run_cli("gateway", "status", "--json", "--instance", platform.instance.name))
    assert (shown["lead"], shown["port"]) == (found.lead, found.port)
    assert [(each["slot"], each["pid"]) for each in shown["workers"]] == [(0, found.workers[0].pid),
                                                                         (1, found.workers[1].pid)]  # fmt: skip


def test_each_worker_is_its_own_session_and_holds_its_lock(platform: Platform) -> None:
    wait_settled(platform)
    for line in ready(platform):
        assert os.getsid(line.pid) == line.pid
        assert holder(platform.instance.directory / f"{name_of(line.number)}.lock") == line.pid


def test_no_request_and_no_connection_is_lost_while_workers_are_replaced(platform: Platform) -> None:
    wait_settled(platform)
    with SteadyClients(platform.ports["gateway"]) as clients:
        platform.wait(lambda: clients.begun, "answers on every connection")
        for _ in range(RESTARTS):
            renew(platform)
        before = {line.pid for line in ready(platform)}
        answer = json.loads(run_cli("gateway", "restart", "--json", "--instance", platform.instance.name))
        assert answer["replaced"] == WORKERS
        assert not before & {line.pid for line in ready(platform)}
        seen = clients.account.answered
        platform.wait(lambda: clients.account.answered > seen + 1000, "answers after the last one")
    account = clients.account
    assert (account.lost, account.other, account.closed, account.connects) == (0, {}, 0, 100)
    wait_settled(platform)


def test_sighup_to_the_lead_replaces_the_workers_too(platform: Platform) -> None:
    wait_settled(platform)
    lead = table(platform).lead
    renew(platform)
    wait_settled(platform)
    assert table(platform).lead == lead


def test_nothing_is_lost_while_the_lead_is_killed(platform: Platform) -> None:
    wait_settled(platform)
    with SteadyClients(platform.ports["gateway"]) as clients:
        platform.wait(lambda: clients.begun, "answers on every connection")
        for _ in range(KILLS):
            lead, workers = table(platform).lead, {line.pid for line in ready(platform)}
            kill(lead)
            platform.wait(lambda lead=lead: table(platform).lead != lead and settled(platform), "another lead")
            # It has workers of its own: those of the one before have given it their sockets and connections.
            assert not workers & {line.pid for line in ready(platform)}
        seen = clients.account.answered
        platform.wait(lambda: clients.account.answered > seen + 1000, "answers after the last one")
    account = clients.account
    assert (account.lost, account.other, account.closed, account.connects) == (0, {}, 0, 100)


def test_a_worker_serves_on_while_the_other_one_of_a_killed_lead_says_nothing(platform: Platform) -> None:
    wait_settled(platform)
    counters = Counters(path=platform.instance.plan().counters_of("gateway"))
    dropped = counters.snapshot()["gateway.connections_dropped"]
    with SteadyClients(platform.ports["gateway"], connections=40) as clients:
        platform.wait(lambda: clients.begun, "answers on every connection")
        lead, hangs = table(platform).lead, ready(platform)[0].pid
        os.kill(hangs, signal.SIGSTOP)
        kill(lead)  # the next one kills who does not come forward
        platform.wait(lambda: table(platform).lead != lead and settled(platform), "another lead")
    assert not start_of(hangs)
    assert counters.snapshot()["gateway.connections_dropped"] == dropped


def test_a_killed_worker_takes_along_what_is_under_way_on_it_alone(platform: Platform) -> None:
    wait_settled(platform)
    with SteadyClients(platform.ports["gateway"], busy=4) as clients:
        platform.wait(lambda: clients.begun, "answers on every connection")
        for _ in range(KILLS):
            victim = ready(platform)[0]
            kill(victim.pid)
            platform.wait(
                lambda victim=victim: victim.pid not in {line.pid for line in ready(platform)} and settled(platform),
                "another worker",
            )
        seen = clients.account.answered
        platform.wait(lambda: clients.account.answered > seen + 1000, "answers after the last one")
    account = clients.account
    # What was asked on a connection of its own at that moment; nobody was ever refused a new one.
    assert account.lost <= KILLS * 100
    assert account.connects == 100 + account.lost + account.closed
    assert account.other == {}


def test_a_new_connection_waits_for_the_worker_in_the_place_of_a_killed_one(platform: Platform) -> None:
    wait_settled(platform)
    for line in ready(platform):
        os.kill(line.pid, signal.SIGSTOP)
    before = {line.pid for line in ready(platform)}
    port = platform.ports["gateway"]
    with SteadyClients(port, connections=20, busy=20) as clients:
        # Whom they would reach stands still: they wait in the sockets that the lead holds too.
        platform.wait(lambda: clients.account.connects == 20, "connections that nobody has accepted")
        assert clients.account.answered == 0
        for pid in before:
            kill(pid)
        platform.wait(lambda: clients.account.answered > 1000, "answers of the next workers")
    assert clients.account.connects - 20 == clients.account.lost + clients.account.closed
    assert clients.account.other == {}
    wait_settled(platform)


def test_sums_over_workers_never_go_back(platform: Platform) -> None:
    wait_settled(platform)
    name = "nautilus_http_requests_total"
    seen = [counted(platform, name)]
    for turn in range(2 * KILLS):
        last = seen[-1]
        victim = ready(platform)[turn % WORKERS]
        for _ in range(20):
            get(platform, "/livez")
        if turn % 2:
            kill(victim.pid)
        else:
            renew(platform)
        wait_settled(platform)
        seen += [counted(platform, name) for _ in range(10)]
        assert seen[-1] >= last + 20
    assert seen == sorted(seen)


def test_what_the_bus_says_makes_all_workers_forget(platform: Platform) -> None:
    answers = Answers(platform.instance.shared / "gateway.answers", kib=8 << 10)
    engines = {name: answers.engine(name) for name in ("portfolio", "features")}
    before = {name: answers.number(engine) for name, engine in engines.items()}
    platform.wait(lambda: answers.number(engines["portfolio"]) > before["portfolio"] + 3, "positions that change")
    assert answers.number(engines["features"]) == before["features"]


def test_what_is_shared_goes_on_in_the_life_of_the_next_lead(platform: Platform) -> None:
    wait_settled(platform)
    answers = Answers(platform.instance.shared / "gateway.answers", kib=8 << 10)
    engine = answers.engine("features")
    answers.forget(engine)
    number = answers.number(engine)
    answers.put(b"features\n\n/x", 2, b"kept", engine, number, 1, 2)
    lead = table(platform).lead
    kill(lead)
    platform.wait(lambda: table(platform).lead != lead and settled(platform), "another lead")
    again = Answers(platform.instance.shared / "gateway.answers", kib=8 << 10)
    found = again.get(b"features\n\n/x")
    assert found is not None
    assert (found.value, again.number(engine)) == (b"kept", number)


@pytest.mark.long
def test_a_worker_that_gives_no_sign_of_life_is_replaced() -> None:
    with demo(settings=("platform.processes=compact", "gateway.silence_seconds=6")) as running:
        running.wait(lambda: len(ready(running)) == 1, "a worker")
        [victim] = ready(running)
        os.kill(victim.pid, signal.SIGSTOP)
        running.wait(lambda: [line for line in ready(running) if line.pid != victim.pid], "another worker")
        assert not victim.alive
        assert json.loads(get(running, "/livez")) == {"status": "alive"}


@pytest.mark.long
def test_without_supervisor_and_lead_the_workers_end_too() -> None:
    made = SupervisedPlatform()
    try:
        entry = "nautilus.runtime.process:run_process"
        state = made.up(entry=entry, shared=True, platform={"processes": "compact", "ports": "free"})
        directory = made.find().directory
        [worker] = eventually(lambda: [line for line in read_table(directory).workers if line.state == "ready"])
        kill(state.pid)
        kill(read_table(directory).lead)
        eventually(lambda: not worker.alive)
    finally:
        made.close()


@pytest.mark.long
def test_workers_whose_lead_does_not_come_back_serve_on_for_a_while_and_end() -> None:
    with demo(settings=("platform.processes=compact",)) as running:
        running.wait(lambda: len(ready(running)) == 1, "a worker")
        [worker] = ready(running)
        port, supervisor = running.ports["gateway"], running.instance.pid
        os.kill(supervisor, signal.SIGSTOP)
        try:
            kill(table(running).lead)
            with urlopen(f"http://127.0.0.1:{port}/livez") as answer:
                assert answer.status == 200
            running.wait(lambda: not worker.alive, "the end of the worker")
        finally:
            os.kill(supervisor, signal.SIGCONT)
        running.wait(lambda: [line for line in ready(running) if line.pid != worker.pid], "a worker of the next lead")
        assert table(running).port == port


@pytest.mark.long
def test_a_platform_without_a_gateway_has_none() -> None:
    with demo(settings=("platform.processes=compact", "gateway.enabled=false")) as running:
        assert "gateway" not in running.ports
        status = json.loads(run_cli("status", "--json", "--instance", running.instance.name))
        assert "gateway" not in [engine["name"] for engine in status["engines"]]
        assert status["status"] == "healthy"
