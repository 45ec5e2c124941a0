"""Ten times as much as an engine can do, through the gateway of a real platform: what becomes of what is critical.

::

    critical  20/s ══▶ gateway ══▶ portfolio, whose handler takes 5 ms: 200 requests/s at most
    low    2,000/s ══▶

Requests are due at their times whatever becomes of those before (open loop), and an answer's time counts from when it
was due.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from time import monotonic, perf_counter_ns

import numpy as np
import uvloop

from perf.harness import OtherLoad, Report, check
from perf.slow_engine import SERVICE_SECONDS
from tests.kit.supervised import SupervisedPlatform

SUMMARY = "10 x overload through the gateway: goodput and latency of critical requests"
CRITICAL_RATE = 20.0
OVERLOAD = 10
SECONDS, SETTLE_SECONDS = 4.0, 3.0
RUNS = 5
CONNECTIONS = 64
GOODPUT_GOAL, RATIO_GOAL = 99.0, 2.0
WAIT_SECONDS = 30.0
PATH = "/api/v1/engines/portfolio/positions/"
LOST = 0
"""In the place of the status of a request whose connection ended before the answer: it counts as not answered."""
ACCOUNTS = 1_000_000
"""No two requests are the same: equal ones would wait for one answer."""


def run(report: Report) -> None:
    """Alone, and beside ten times what the engine can do, by turns."""
    made = SupervisedPlatform()
    try:
        made.up(entry="perf.slow_engine:run", shared=True, platform={"processes": "native", "ports": "free"})
        instance = made.find()
        ports = {engine: port for process in instance.state().processes for engine, port in process.ports.items()}
        with OtherLoad() as load:
            found = uvloop.run(_measure(ports["gateway"], instance.token()))
    finally:
        made.close()
    for name, unit, goal, lower in (
        ("critical requests alone, p99", "ms", None, True),
        ("critical requests in 10 x overload, p99", "ms", None, True),
        ("critical requests, p99 in overload against alone", "ratio", RATIO_GOAL, True),
        ("critical requests answered in overload", "%", GOODPUT_GOAL, False),
        ("low requests answered in overload", "requests/s", None, False),
    ):
        report.add(name, unit, found[name], load.cores, goal=goal, lower_is_better=lower)
    report.checks.append("each request was answered: with what was asked for, or with 503 by who sheds it")


async def _measure(port: int, token: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    critical, low = Flow(port, token, "critical"), Flow(port, token, "low")
    await critical.connect(CONNECTIONS)
    await low.connect(CONNECTIONS)
    for _ in range(RUNS):
        await critical.offer(CRITICAL_RATE, SECONDS)
        alone_ms = critical.percentile_ms(99)
        # What the limits learn in the first seconds is no part of the figure.
        flood = OVERLOAD / SERVICE_SECONDS
        await asyncio.gather(critical.offer(CRITICAL_RATE, SETTLE_SECONDS), low.offer(flood, SETTLE_SECONDS))
        await asyncio.gather(critical.offer(CRITICAL_RATE, SECONDS), low.offer(flood, SECONDS))
        over_ms = critical.percentile_ms(99)
        for name, value in (
            ("critical requests alone, p99", alone_ms),
            ("critical requests in 10 x overload, p99", over_ms),
            ("critical requests, p99 in overload against alone", over_ms / alone_ms),
            ("critical requests answered in overload", 100.0 * critical.statuses[200] / critical.statuses.total()),
            ("low requests answered in overload", low.statuses[200] / SECONDS),
        ):
            found.setdefault(name, []).append(value)
        check(low.statuses.keys() <= {200, 503}, f"low requests were answered {low.statuses}")
    critical.close()
    low.close()
    return found


class Flow:
    """Requests of one priority."""

    def __init__(self, port: int, token: str, priority: str) -> None:
        self.statuses: Counter[int] = Counter()
        self._times_ns: list[int] = []
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._rest = (
            f" HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nnautilus-priority: {priority}\r\n\r\n"
        )
        self._accounts = random.Random(priority)

    async def connect(self, count: int) -> None:
        """Have so many connections."""
        self._idle = [await asyncio.open_connection("127.0.0.1", self._port) for _ in range(count)]

    async def offer(self, rate: float, seconds: float) -> None:
        """So many a second, at times by chance."""
        self.statuses, self._times_ns = Counter(), []
        chance, loop, under_way = random.Random(1), asyncio.get_running_loop(), set[asyncio.Task[None]]()
        due = begun = loop.time()
        while (due := due + chance.expovariate(rate)) < begun + seconds:
            if (left := due - loop.time()) > 0:
                await asyncio.sleep(left)
            task = loop.create_task(self._ask(perf_counter_ns() + round((due - loop.time()) * 1e9)))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        until = monotonic() + WAIT_SECONDS
        while under_way:
            check(monotonic() < until, "requests that are not answered")
            await asyncio.wait(under_way, timeout=1.0)

    def percentile_ms(self, percent: float) -> float:
        """Of the answers with 200; where there was none, as long as anybody waits for one."""
        return float(np.percentile(self._times_ns, percent)) / 1e6 if self._times_ns else WAIT_SECONDS * 1e3

    def close(self) -> None:
        """End the connections."""
        for _, writer in self._idle:
            writer.close()

    async def _ask(self, due_ns: int) -> None:
        line = None
        while self._idle and (line is None or line[0].at_eof()):  # one that nobody has used for long is closed
            line = self._idle.pop()
        if line is None or line[0].at_eof():
            line = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = line
        writer.write(f"GET {PATH}{self._accounts.randint(1, ACCOUNTS)}{self._rest}".encode())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.statuses[LOST] += 1
            return
        self._idle.append(line)
        status = int(head[9:12])
        self.statuses[status] += 1
        if status == 200:
            self._times_ns.append(perf_counter_ns() - due_ns)


__all__ = ["SUMMARY", "run"]
