"""The health monitor: one look at all 17 engines, over real sockets to a process that serves them all.

And how long it takes until a killed engine is known to be away: nobody asks, the kept connection ends.
"""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from nautilus.core.counters import Counters
from nautilus.core.route import UNHEALTHY, Routes
from nautilus.gateway.health import HealthMonitor, InstanceChange
from nautilus.runtime.clock import monotonic_ns
from perf.harness import REPEATS, OtherLoad, Report, check
from tests.kit.probed_engines import ENGINES, ProbedProcess

SUMMARY = "one look at the health of 17 engines, and a killed engine found"
PASSES = 20
INTERVAL_SECONDS = 0.25
WAIT_SECONDS = 60


def run(report: Report) -> None:
    """A pass over all, its jitter, and the time until a kill is known."""
    with TemporaryDirectory() as directory, OtherLoad() as load:
        engines = ProbedProcess(*ENGINES)
        try:
            passes, late = asyncio.run(_passes(engines, Path(directory, "gateway.health")))
        finally:
            engines.close()
        found = [asyncio.run(_killed()) for _ in range(REPEATS)]
    medians = [statistics.median(passes[at::REPEATS]) for at in range(REPEATS)]
    report.add("one look at 17 engines", "ms", medians, load.cores, goal=50.0, lower_is_better=True)
    report.latency("one look at 17 engines", np.array(passes) * 1e6)
    jitter = [statistics.median(late[at::REPEATS]) for at in range(REPEATS)]
    report.add("begun after its time", "ms", jitter, load.cores, goal=5.0, lower_is_better=True)
    report.add("from kill to known, with the end of the process", "ms", found, load.cores, lower_is_better=True)
    report.checks.append("all 17 are healthy after each look; the killed one is marked in the table of routes")


async def _passes(engines: ProbedProcess, path: Path) -> tuple[list[float], list[float]]:
    monitor = HealthMonitor(Routes(256), Counters(512), path, interval_seconds=INTERVAL_SECONDS)
    monitor.set_engines(engines.addresses())
    await monitor.look()
    passes = []
    for _ in range(PASSES * REPEATS):
        await monitor.look()
        found = monitor.report()
        check(found.healthy_engines == len(ENGINES), f"{found.healthy_engines} of {len(ENGINES)} are healthy")
        passes.append(found.pass_ms)
    late = []
    task = asyncio.create_task(monitor.run())
    for _ in range(PASSES):
        await asyncio.sleep(INTERVAL_SECONDS)
        late.append(monitor.report().late_ms)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return passes, late


async def _killed() -> float:
    changed: asyncio.Queue[InstanceChange] = asyncio.Queue()
    routes = Routes(16)
    engines = ProbedProcess("risk")
    monitor = HealthMonitor(routes, Counters(512), interval_seconds=3600.0, on_change=changed.put_nowait)
    try:
        monitor.set_engines(engines.addresses())
        async with asyncio.timeout(WAIT_SECONDS):
            while (await changed.get()).after != "healthy":
                pass
            begun_ns = monotonic_ns()
            engines.signal(9)
            while (await changed.get()).after != "unhealthy":
                pass
        took_ns = monotonic_ns() - begun_ns
        check(routes.health(routes.instance("risk", "risk")) == UNHEALTHY, "the table does not know")
    finally:
        monitor.close()
        engines.close()
    return took_ns / 1e6
