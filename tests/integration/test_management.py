"""The management API on a real platform: its workers agree, changes outlive their processes, and everything is said."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from nautilus.gateway.management import BASE_PATH
from nautilus.gateway.table import WorkerTable, read_table
from tests.kit.platform import TIMES, Platform, demo, run_cli

WORKERS = 3
CORE = max(os.sched_getaffinity(0))
PATIENT = "gateway.silence_seconds=120"
WELL = ("healthy", "degraded")
"""How an engine may be on a machine that has much else to do."""
CONNECTIONS = 24
"""So many that every worker has some of them: the system shares them out by address."""


class Client:
    """One kept connection: its requests all go to one worker."""

    def __init__(self, platform: Platform) -> None:
        self._token = platform.instance.token()
        self._connection = http.client.HTTPConnection("127.0.0.1", platform.ports["gateway"], timeout=60)

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
        shown = self._token if token is None else token
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {shown}"} if shown else {}
        for _ in range(TIMES):
            self._connection.request(method, BASE_PATH + path, None if body is None else json.dumps(body), headers)
            answer = self._connection.getresponse()
            told = json.loads(answer.read())
            # A worker that is replaced carries nothing out any more; another one is at the next connection.
            if answer.status != 503 or told.get("code") != "http.stopping":
                return answer.status, told
            self._connection.close()
        return answer.status, told

    def get(self, path: str) -> Any:
        status, body = self.ask("GET", path)
        assert status == 200, body
        return body

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    environment = {
        "HYBRID_DEFAULT_STRATEGY": "hybrid_performance",
        "HEALTH_CHECK_INTERVAL": "1",
        "RISK_FAILURE_THRESHOLD": "4",
        "CPU_AFFINITY": str(CORE),
        "HTTP2_ENABLED": "false",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with demo("--simulated", "--strategy", "quoting", settings=(f"gateway.workers={WORKERS}", PATIENT)) as found:
            found.wait(lambda: ready(found) == WORKERS, "all workers")
            yield found


@pytest.fixture
def clients(platform: Platform) -> Iterator[list[Client]]:
    made = [Client(platform) for _ in range(CONNECTIONS)]
    yield made
    for each in made:
        each.close()


def table(platform: Platform) -> WorkerTable:
    return read_table(platform.instance.directory)


def ready(platform: Platform) -> int:
    return sum(line.state == "ready" and line.alive for line in table(platform).workers)


def kill_workers(platform: Platform, count: int = WORKERS) -> None:
    before = [line.pid for line in table(platform).workers if line.alive][:count]
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    platform.wait(
        lambda: ready(platform) == WORKERS and not {line.pid for line in table(platform).workers} & set(before),
        "other workers",
    )


def test_a_change_is_in_force_in_every_worker_before_it_is_answered(platform: Platform, clients: list[Client]) -> None:
    for turn, strategy in enumerate(("gateway_only", "direct_only", "hybrid_intelligent", "gateway_only")):
        status, changed = clients[turn].ask("PUT", "/config", {"default_strategy": strategy})
        assert (status, changed["default_strategy"]) == (200, strategy)
        found = [each.get("/config") for each in clients]
        assert {each["default_strategy"] for each in found} == {strategy}
        assert {each["revision"] for each in found} == {changed["revision"]}
        routed = [each.ask("POST", "/route", {"engine": "trading"})[1] for each in clients]
        assert {each["strategy"] for each in routed} == {strategy}


def test_settings_tell_where_they_come_from(platform: Platform, clients: list[Client]) -> None:
    clients[0].ask("PUT", "/config", {"hybrid_routing_enabled": True})
    settings = clients[1].get("/config")["settings"]
    assert settings["hybrid_routing_enabled"]["origin"] == "PUT /config by instance"
    assert settings["health_interval_seconds"] == {
        "value": 1.0,
        "origin": "environment HEALTH_CHECK_INTERVAL",
        "variable": "HEALTH_CHECK_INTERVAL",
        "changeable": False,
    }
    assert settings["workers"]["origin"] == "--set gateway.workers"
    assert settings["pool_size"]["origin"] == "default"


def test_a_change_outlives_every_worker_and_their_lead(platform: Platform) -> None:
    def in_force() -> tuple[bool, str, int]:
        client = Client(platform)
        found = client.get("/config")
        client.close()
        return found["hybrid_routing_enabled"], found["default_strategy"], found["revision"]

    client = Client(platform)
    client.ask("PUT", "/config", {"hybrid_routing_enabled": False, "default_strategy": "direct_only"})
    client.close()
    before = in_force()
    assert before[:2] == (False, "direct_only")
    kill_workers(platform)
    assert in_force() == before
    platform.kill("gateway")
    platform.wait(lambda: ready(platform) == WORKERS, "workers of the next lead")
    assert in_force() == before
    client = Client(platform)
    client.ask("PUT", "/config", {"hybrid_routing_enabled": True})
    client.close()


def test_changes_at_the_same_time_are_all_counted_and_all_agree(platform: Platform, clients: list[Client]) -> None:
    before = clients[0].get("/config")["revision"]
    writers, each_writes = 6, 15
    wrong: list[Any] = []

    def write(number: int) -> None:
        for turn in range(each_writes):
            change = (
                {"hybrid_routing_enabled": bool(turn % 2)}
                if number % 2
                else {"default_strategy": ("direct_only", "gateway_only")[turn % 2]}
            )
            status, body = clients[number].ask("PUT", "/config", change)
            if status != 200:
                wrong.append(body)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    seen = []
    while any(thread.is_alive() for thread in threads):
        seen.append(clients[-1].get("/config")["revision"])
    for thread in threads:
        thread.join()
    assert wrong == []
    assert seen == sorted(seen)
    found = [each.get("/config") for each in clients]
    assert {each["revision"] for each in found} == {before + writers * each_writes}
    assert len({(each["hybrid_routing_enabled"], each["default_strategy"]) for each in found}) == 1
    clients[0].ask("PUT", "/config", {"hybrid_routing_enabled": True, "default_strategy": "hybrid_intelligent"})


def test_health_tells_of_every_engine_breaker_and_worker(platform: Platform, clients: list[Client]) -> None:
    def well() -> bool:
        return bool(clients[0].get("/health")["engines"]["system_availability"] == 100.0)

    platform.wait(well, "all engines")
    names = {"marketdata", "portfolio", "risk", "strategy", "trading"}
    for client in clients[:6]:
        health = client.get("/health")
        assert set(health["engines"]["engines"]) == set(health["circuit_breakers"]) == names
        assert health["system_status"] in WELL
        assert (health["gateway"]["workers"], health["gateway"]["status"]) == (WORKERS, "healthy")
    status = clients[0].get("/status")
    assert (status["total_engines"], status["open_breakers"]) == (5, [])


def test_an_engine_is_looked_at_when_told(platform: Platform, clients: list[Client]) -> None:
    for client in clients[:4]:
        status, found = client.ask("POST", "/engines/risk/check", {})
        assert status == 200
        assert found["status"] in WELL
        assert found["response_time_ms"] > 0
        assert found["uptime_seconds"] > 0


def test_a_worker_that_is_gone_is_seen(platform: Platform, clients: list[Client]) -> None:
    victim = next(line for line in table(platform).workers if line.alive)
    os.kill(victim.pid, signal.SIGSTOP)
    os.kill(victim.pid, signal.SIGKILL)
    platform.wait(lambda: not victim.alive and ready(platform) == WORKERS, "another worker")
    client = Client(platform)
    assert client.get("/metrics/gateway")["workers"] == WORKERS
    client.close()


def test_who_shows_no_token_may_read_and_change_nothing(platform: Platform, clients: list[Client]) -> None:
    client = clients[0]
    assert client.ask("GET", "/status", token="")[0] == 200
    for method, path, body in (
        ("PUT", "/config", {"hybrid_routing_enabled": False}),
        ("POST", "/circuit-breakers/reset-all", {}),
        ("POST", "/circuit-breakers/risk/reset", {}),
        ("POST", "/engines/risk/check", {}),
        ("POST", "/record-outcome", {}),
    ):
        status, told = client.ask(method, path, body, token="wrong")
        assert (status, told["code"]) == (401, "http.token"), path
    assert client.get("/config")["hybrid_routing_enabled"] is True


def test_changes_and_attempts_are_in_the_audit_log(platform: Platform, clients: list[Client]) -> None:
    changes = [
        ("PUT", "/config", {"hybrid_routing_enabled": True}, None, 200),
        ("POST", "/circuit-breakers/risk/reset", {}, None, 200),
        ("POST", "/engines/nobody/check", {}, None, 404),
        ("PUT", "/config", {"hybrid_routing_enabled": "no"}, None, 422),
    ]
    for client in clients[:3]:
        for method, path, body, token, status in changes:
            assert client.ask(method, path, body, token)[0] == status
    instance = platform.instance.name
    shown = json.loads(run_cli("audit", "show", "--instance", instance, "--lines", "1000", "--json"))
    calls = [(call["method"], call["target"], call["principal"], call["status"]) for call in shown["calls"]]
    for method, path, _, _, status in changes:
        assert calls.count((method, BASE_PATH + path, "instance", status)) >= 3, (path, calls[:3])
    assert not any(call[0] == "GET" for call in calls)
    run_cli("audit", "verify", "--instance", instance)


def test_the_strategys_process_runs_where_the_environment_says(platform: Platform) -> None:
    def cores(process: str) -> set[int]:
        tasks = os.listdir(f"/proc/{platform.pid(process)}/task")
        return {core for task in tasks for core in os.sched_getaffinity(int(task))}

    assert cores("strategy") == {CORE}
    assert cores("risk") == os.sched_getaffinity(0)


def test_http2_is_not_spoken_where_the_environment_says_so(platform: Platform) -> None:
    for engine, spoken in (("gateway", False), ("risk", True)):
        with socket.create_connection(("127.0.0.1", platform.ports[engine]), timeout=60) as connection:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
            assert connection.recv(9).startswith(b"HTTP/1.1 ") is not spoken
