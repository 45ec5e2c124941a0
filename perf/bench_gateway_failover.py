"""What clients of the gateway see of a killed and of a stopped engine: real processes, real sockets.

::

    reads,  8 connections ══▶ gateway ══▶ risk of this platform   ▲ kill -9, SIGSTOP
                                      ══▶ risk of another one     (the second instance)
                                      ══▶ portfolio, the only one ▲ kill -9
    orders, 4 connections ══▶ gateway ══▶ trading                 ▲ kill -9

How long a failover takes is what it adds to the slowest read that was begun before it or in the quarter of a second
after it: its time less the p99 of the second before. Of a killed engine it is given so, which has in it that the next
one starts on the same cores; and for the reads under way when the kernel breaks its connections (as one shows that
nothing is asked on) or begun within 20 ms: what the gateway takes to find another way. Requests go to both instances by
turns. Orders are counted in the core's event log.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
import threading
from collections import Counter
from time import monotonic, monotonic_ns

import numpy as np

from nautilus.runtime.child import SETTLED_NS
from nautilus.runtime.instance import Instance
from perf.harness import REPEATS, OtherLoad, Report, check
from perf.platform import platform, ports
from tests.kit.sent_orders import Senders, carried_out, complaints

SUMMARY = "engines killed and stopped behind the gateway: failover, failed reads, doubled orders, back in service"
RESET_GOAL_MS, STOPPED_GOAL_MS, BACK_GOAL_SECONDS = 5.0, 100.0, 1.0
CONNECTIONS, PAUSE_SECONDS = 8, 0.002
AFTER_NS, SOON_NS = 250_000_000, 20_000_000
SETTLED_SECONDS = SETTLED_NS / 1e9 + 0.5
MOST_SECONDS = 30.0
CORE_KILLS = 3
RISK, POSITIONS = "/api/v1/engines/risk/risk/state", "/api/v1/engines/portfolio/positions"


def run(report: Report) -> None:
    """Kills and stops with two instances, kills with one, orders under kills of the core."""
    with platform("--profile", "compact", "--strategy", "quoting") as other:
        settings = (
            "platform.processes=native",
            f'gateway.instances={{"risk": ["127.0.0.1:{ports(other)["risk"]}"]}}',
        )
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as config, OtherLoad() as load:
            config.write('[gateway.routing]\nbalance = "round_robin"\n')
            config.flush()
            words = ("--config", config.name, "--strategy", "quoting")
            with platform(*words, settings=settings) as instance:
                figures = _measure(instance)
                sent, doubled = _orders(instance)
    for name, unit, values, goal in (
        ("killed, another instance: added within 250 ms of the kill", "ms", figures["killed"], None),
        ("killed, another instance: added by the failover, from the reset", "ms", figures["reset"], RESET_GOAL_MS),
        ("stopped, another instance: added", "ms", figures["stopped"], STOPPED_GOAL_MS),
        ("killed, the only instance: until a read is answered again", "s", figures["back"], BACK_GOAL_SECONDS),
        ("reads that failed", "requests", figures["failed"], 0.0),
        (f"orders doubled or wrongly told, core killed {CORE_KILLS} times", "orders", [float(doubled)], 0.0),
    ):
        report.add(name, unit, values, load.cores, goal=goal, lower_is_better=True)
    report.checks.append(f"every read was answered, every one of {sent} orders is in the event log as it was told")


def _measure(instance: Instance) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"killed": [], "reset": [], "stopped": [], "back": [], "failed": []}
    for _ in range(REPEATS):
        _settle(instance, "risk", "portfolio")
        with Reads(instance, RISK) as reads:
            reads.warm()
            reads.watch(ports(instance)["risk"])
            pid = _pid(instance, "risk")
            at_ns = monotonic_ns()
            os.kill(pid, signal.SIGKILL)
            found["killed"].append(reads.added_ms(at_ns))
            found["reset"].append(reads.added_ms(reads.reset_ns, SOON_NS))
            _until_back(instance, "risk", pid)
            reads.warm()
            pid = _pid(instance, "risk")
            at_ns = monotonic_ns()
            os.kill(pid, signal.SIGSTOP)
            try:
                found["stopped"].append(reads.added_ms(at_ns))
            finally:
                os.kill(pid, signal.SIGCONT)
        failed = reads.failed.total()
        with Reads(instance, POSITIONS) as reads:
            reads.warm()
            pid = _pid(instance, "portfolio")
            at_ns = monotonic_ns()
            os.kill(pid, signal.SIGKILL)
            _until_back(instance, "portfolio", pid)
            reads.warm()
        found["back"].append(float(reads.slowest_ns(at_ns)) / 1e9)
        found["failed"].append(float(failed + reads.failed.total()))
    return found


def _orders(instance: Instance) -> tuple[int, int]:
    """How many were sent, and how many complaints there are of them."""
    with Senders(instance, ports(instance)["gateway"]) as senders:
        for _ in range(CORE_KILLS):
            _more_orders(senders)
            pid = _pid(instance, "core")
            os.kill(pid, signal.SIGKILL)
            _until_back(instance, "core", pid)
        _more_orders(senders)
    return len(senders.answers), len(complaints(senders.answers, carried_out(instance)))


def _more_orders(senders: Senders, wanted: int = 100) -> None:
    before, begun, pause = senders.acknowledged, monotonic(), threading.Event()
    while senders.acknowledged < before + wanted:
        check(monotonic() - begun < MOST_SECONDS, f"no orders: {Counter(senders.answers.values())}")
        pause.wait(0.01)


class Reads:
    """While entered: connections that read again and again, with a short pause.

    Attributes
    ----------
    failed : answers other than 200, and connections that broke, by what it was.
    reset_ns : when the connection ended that was watched.
    """

    def __init__(self, instance: Instance, path: str) -> None:
        self.failed: Counter[str] = Counter()
        self.reset_ns = 0
        self._port = ports(instance)["gateway"]
        self._request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
        self._times: list[tuple[int, int]] = []
        self._stop = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Reads:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def warm(self) -> None:
        """A second of reads."""
        before, begun = len(self._times), monotonic()
        while len(self._times) < before + CONNECTIONS * 20 or monotonic() - begun < 1.0:
            check(monotonic() - begun < MOST_SECONDS, f"no answers: {self.failed}")
            threading.Event().wait(0.01)

    def watch(self, port: int) -> None:
        """Have a connection of its own to an engine, by which its end is known."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._connect(port), self._loop).result(MOST_SECONDS)

    async def _connect(self, port: int) -> None:
        self.reset_ns = 0
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def end() -> None:
            with contextlib.suppress(ConnectionError):
                await reader.read()
            self.reset_ns = monotonic_ns()
            writer.close()

        self._watcher = asyncio.create_task(end())

    def added_ms(self, at_ns: int, after_ns: int = AFTER_NS) -> float:
        """By a fault at that time, to the slowest read that met it: for those begun before, from then on."""
        check(at_ns > 0, "no connection ended")
        until = monotonic() + MOST_SECONDS
        while not any(begun > at_ns + AFTER_NS for begun, _ in self._times[-CONNECTIONS:]):
            check(monotonic() < until, f"no answers after the fault: {self.failed}")
            threading.Event().wait(0.01)
        usual = [took for begun, took in self._times if at_ns - 1_000_000_000 < begun < at_ns - took]
        met = [
            begun + took - max(begun, at_ns)
            for begun, took in list(self._times)
            if begun + took > at_ns and begun < at_ns + after_ns
        ]
        return float(max(0.0, max(met) - np.percentile(usual, 99))) / 1e6

    def slowest_ns(self, at_ns: int) -> int:
        """Of those that were under way then, or were begun soon after."""
        return max(took for begun, took in list(self._times) if begun + took > at_ns and begun < at_ns + AFTER_NS)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        await asyncio.gather(*(self._client() for _ in range(CONNECTIONS)))

    async def _client(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while not self._stop.is_set():
            begun = monotonic_ns()
            try:
                writer.write(self._request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failed[repr(error)] += 1
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                continue
            if not head.startswith(b"http/1.1 200 "):
                self.failed[head[9:12].decode()] += 1
            self._times.append((begun, monotonic_ns() - begun))
            await asyncio.sleep(PAUSE_SECONDS)
        writer.close()


def _pid(instance: Instance, process: str) -> int:
    return next(found.pid for found in instance.state().processes if found.name == process)


def _ready(instance: Instance, process: str, before: int = 0) -> bool:
    [found] = [each for each in instance.state().processes if each.name == process]
    return found.state == "ready" and found.pid not in (0, before)


def _until_back(instance: Instance, process: str, before: int) -> None:
    until, pause = monotonic() + MOST_SECONDS, threading.Event()
    while not _ready(instance, process, before):
        check(monotonic() < until, f"no other {process}")
        pause.wait(0.01)


def _settle(instance: Instance, *processes: str) -> None:
    """So long that a process which dies now has a clean record, and is started again at once."""
    for process in processes:
        _until_back(instance, process, 0)
    threading.Event().wait(SETTLED_SECONDS)


__all__ = ["SUMMARY", "run"]
