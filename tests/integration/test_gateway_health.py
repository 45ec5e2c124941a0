"""The health monitor against real servers: killed, stopped, slow, failing, odd, started anew."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from nautilus.core.counters import Counters
from nautilus.core.route import EJECTED, HEALTHY, UNHEALTHY, Routes
from nautilus.gateway.endpoints import Address
from nautilus.gateway.health import HealthMonitor, InstanceChange, read_report
from nautilus.policy.health import HealthSettings
from tests.kit.probed_engines import ENGINES, ProbedProcess, odd_engine, said

WAIT_SECONDS = 60


class Watched:
    """A monitor at work, and what it told."""

    def __init__(self, path: Path | None = None, **settings: float) -> None:
        self.routes = Routes(256, seed=1)
        self.counters = Counters(512)
        self.changes: list[InstanceChange] = []
        self._news = asyncio.Event()
        self.monitor = HealthMonitor(
            self.routes,
            self.counters,
            path,
            interval_seconds=settings.get("interval_seconds", 3600.0),
            timeout_seconds=settings.get("timeout_seconds", 10.0),
            settings=HealthSettings(slow_ms=settings.get("slow_ms", 5000.0)),
            on_change=self._take,
        )

    def _take(self, change: InstanceChange) -> None:
        self.changes.append(change)
        self._news.set()

    def state(self, engine: str) -> str:
        return self.monitor.report().engines[engine].status

    async def until(self, engine: str, state: str) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while self.state(engine) != state:
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def watching(engines: dict[str, list[Address]], path: Path | None = None, **settings: float) -> AsyncIterator:
    watched = Watched(path, **settings)
    watched.monitor.set_engines(engines)
    task = asyncio.create_task(watched.monitor.run())
    try:
        yield watched
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextmanager
def process(*names: str) -> Iterator[ProbedProcess]:
    made = ProbedProcess(*names)
    try:
        yield made
    finally:
        made.close()


def test_all_seventeen_engines_are_seen_and_written_down(tmp_path: Path) -> None:
    async def scene() -> None:
        async with watching(engines.addresses(), tmp_path / "gateway.health") as watched:
            for name in ENGINES:
                await watched.until(name, "healthy")
            await watched.monitor.look()
            watched.monitor.write()

    with process(*ENGINES) as engines:
        asyncio.run(scene())
    report = read_report(tmp_path)
    assert report is not None
    assert (report.overall_status, report.total_engines, report.healthy_engines) == ("healthy", 17, 17)
    assert report.system_availability == 100
    assert report.average_response_time_ms > 0
    assert all(each.uptime_seconds > 0 and each.success_rate == 100 for each in report.engines.values())


def test_a_killed_engine_is_seen_without_being_asked_and_taken_back_at_once_when_it_is_new() -> None:
    async def scene() -> None:
        async with watching(engines.addresses()) as watched:
            await watched.until("risk", "healthy")
            number = watched.routes.instance("risk", "risk")
            engines.kill()
            await watched.until("risk", "unhealthy")
            assert watched.routes.health(number) == UNHEALTHY
            await asyncio.to_thread(engines.start)
            await watched.until("risk", "healthy")
            assert watched.routes.health(number) == HEALTHY
            report = watched.monitor.report().engines["risk"].instances[0]
            assert report.restarts == 1
            assert [(each.before, each.after) for each in watched.changes] == [
                ("unknown", "healthy"),
                ("healthy", "unhealthy"),
                ("unhealthy", "healthy"),
            ]

    with process("risk") as engines:
        asyncio.run(scene())


def test_a_stopped_engine_is_unhealthy_until_it_goes_on() -> None:
    async def scene() -> None:
        async with watching(engines.addresses()) as watched:
            await watched.until("risk", "healthy")
            engines.signal(signal.SIGSTOP)
            watched.monitor.broken("risk", "risk", "silent")
            await watched.until("risk", "unhealthy")
            engines.signal(signal.SIGCONT)
            await watched.until("risk", "healthy")

    with process("risk") as engines:
        asyncio.run(scene())


def test_a_refused_connection_counts_at_once() -> None:
    async def scene() -> None:
        async with odd_engine([said()]) as address, watching({"risk": [address]}) as watched:
            await watched.until("risk", "healthy")
            watched.monitor.broken("risk", "odd", "refused", refused=True)
            assert watched.state("risk") == "unhealthy"
            await watched.until("risk", "healthy")  # it is there after all: two looks say so
            watched.monitor.broken("risk", "no such instance", "refused", refused=True)
            watched.monitor.broken("nowhere", "odd", "refused", refused=True)
            assert watched.state("risk") == "healthy"

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n{}", "status 500"),
        (said(code=503), "status 503"),
        (said("unhealthy", 503, reasons=["the core is away"]), "the core is away"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnope", "no report"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", "no report"),
        (b'HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{"status": "x"}', "no report"),
        (b'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 99\r\n\r\n{"status": "heal', "ended"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"10000\r\n" + b"x" * 65536 + b"\r\n", ""),
        (None, "no answer"),
    ],
)
def test_an_odd_answer_is_no_health(answer: bytes | None, cause: str) -> None:
    async def scene() -> None:
        answers = [said()]
        async with odd_engine(answers) as address, watching({"risk": [address]}, timeout_seconds=0.2) as watched:
            await watched.until("risk", "healthy")
            answers[0] = answer  # type: ignore[call-overload]
            await watched.monitor.check("risk")
            assert watched.state("risk") == "degraded"
            await watched.until("risk", "unhealthy")
            assert cause in watched.changes[-1].cause
            answers[0] = said()
            await watched.until("risk", "healthy")

    asyncio.run(scene())


def test_an_engine_that_says_that_it_is_degraded_is_still_used() -> None:
    async def scene() -> None:
        answers = [said("degraded", reasons=["bus with core goes by redis"])]
        async with odd_engine(answers) as address, watching({"risk": [address]}) as watched:
            found = await watched.monitor.check("risk")
            assert found.status == "degraded"
            assert "bus with core goes by redis" in found.instances[0].cause
            assert watched.monitor.report().system_availability == 100
            answers[0] = said()
            for _ in range(3):
                found = await watched.monitor.check("risk")
            assert found.status == "healthy"

    asyncio.run(scene())


def test_a_forced_check_answers_with_what_is_now() -> None:
    async def scene() -> None:
        answers = [said()]
        async with odd_engine(answers) as address, watching({"risk": [address]}) as watched:
            await watched.until("risk", "healthy")
            checks = watched.monitor.report().engines["risk"].instances[0].checks
            answers[0] = said("degraded")
            await watched.monitor.check("risk")
            found = await watched.monitor.check("risk")
            assert found.status == "degraded"
            assert found.instances[0].checks == checks + 2
            with pytest.raises(LookupError, match="nowhere"):
                await watched.monitor.check("nowhere")

    asyncio.run(scene())


def test_another_life_is_seen_between_two_looks_and_uptime_is_no_sign_of_it() -> None:
    async def scene() -> None:
        answers = [said(instance="7-100")]
        async with odd_engine(answers) as address, watching({"risk": [address]}) as watched:
            restarts = []
            for answer in (
                said(instance="7-100"),
                said(instance="7-100", uptime_seconds=0.001),  # long under way
                said(instance="7-200"),  # the same process id, as a container gives it
                said("unhealthy", 503, instance="8-200"),
                said("unhealthy", 503, instance="8-200"),
                said(instance=8),  # says nothing
                said(),
                said(instance="8-200"),
            ):
                answers[0] = answer
                found = await watched.monitor.check("risk")
                restarts.append(found.instances[0].restarts)
            assert restarts == [0, 0, 1, 2, 2, 2, 2, 2]

    asyncio.run(scene())


def test_an_instance_that_fails_requests_is_taken_out_and_comes_back() -> None:
    async def scene() -> None:
        async with (
            odd_engine([said()], name="a") as a,
            odd_engine([said()], name="b") as b,
            watching({"ml": [a, b]}) as watched,
        ):
            await watched.until("ml", "healthy")
            target = watched.routes.target("ml", "read", "b", 1)
            for number in range(5):
                watched.routes.record(target, 1000, False, number + 1)
            watched.monitor.judge(10**9)
            assert watched.routes.health(watched.routes.instance("ml", "b")) == EJECTED
            assert watched.state("ml") == "degraded"
            watched.monitor.judge(5 * 10**9)
            assert watched.routes.health(watched.routes.instance("ml", "b")) == EJECTED
            watched.monitor.judge(6 * 10**9)
            assert watched.routes.health(watched.routes.instance("ml", "b")) == HEALTHY

    asyncio.run(scene())


def test_engines_that_go_and_move_are_followed() -> None:
    async def scene() -> None:
        async with (
            odd_engine([said()]) as here,
            odd_engine([said("degraded")]) as there,
            watching({"risk": [here], "ml": [here]}) as watched,
        ):
            await watched.until("risk", "healthy")
            watched.monitor.set_engines({"risk": [there]})
            await watched.monitor.check("risk")
            await watched.monitor.check("risk")
            assert watched.state("risk") == "degraded"
            assert watched.monitor.report().total_engines == 1

    asyncio.run(scene())
