"""One call through a closed breaker with every feature on: what it adds, sync and async, beside breakers of others.

The windows, the slow-call rate, the bulkhead and the average are on. What is added is the time of a call through the
breaker less that of the same call without; both are taken in turn, so that a busy machine is busy for both. A limit is
judged against a callee of known capacity in virtual time.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from nautilus.core.breaker import Breakers, BreakerSettings
from nautilus.core.limiter import Limiters
from perf.harness import Report, check, cores, pinned
from perf.overload import SECOND, Flow, overload

SUMMARY = "closed breaker, sync and async, beside others; what a limit learns"
CALLS = 100_000
WORKERS = (20, 50, 100, 200)


def run(report: Report) -> None:
    """Figures of the breaker, of peers that are installed, and of the limit."""
    core = cores()[-1]
    report.conditions["pinning"] = f"core {core}"
    with pinned(core):
        _own(report)
        for name in ("circuitbreaker", "purgatory", "pybreaker", "aiobreaker"):
            _peer(report, name)
    _limits(report)


def nothing() -> int:
    """The callee."""
    return 1


async def nothing_awaited() -> int:
    """The callee of coroutines."""
    return 1


def _own(report: Report) -> None:
    breaker = Breakers(1).breaker("bench", BreakerSettings())
    guarded, awaited = breaker.wrap(nothing), breaker.wrap(nothing_awaited)
    acquire, release = breaker.acquire, breaker.release

    def pair() -> None:
        release(acquire(1_000_000_000), 1_000_000_500, 0)

    report.measure("sync: added to a call", "ns", lambda: _added(guarded), goal=80, lower_is_better=True)
    report.measure(
        "async: added to an awaited call", "ns", lambda: _added_async(awaited), goal=200, lower_is_better=True
    )
    report.measure(
        "acquire and release from Python", "ns", lambda: _timed(pair) - _timed(nothing), lower_is_better=True
    )
    gc.collect()
    for _ in range(1000):
        guarded()
    before = sys.getallocatedblocks()
    for _ in range(CALLS):
        guarded()
    grown = sys.getallocatedblocks() - before
    check(abs(grown) < 50, f"{grown} blocks were allocated in {CALLS} calls")
    found = breaker.metrics(0)
    check(found.failures == 0 and found.in_flight == 0, f"the breaker has counted {found}")
    check(found.successes == found.calls >= 15 * CALLS, f"{found.calls} calls were counted")
    report.checks.append("every call was counted as a success, nothing is under way, no block was allocated")


def _timed(call: Callable[[], Any]) -> float:
    begun_ns = time.perf_counter_ns()
    for _ in range(CALLS):
        call()
    return (time.perf_counter_ns() - begun_ns) / CALLS


def _added(call: Callable[[], Any]) -> float:
    return statistics.median(_timed(call) - _timed(nothing) for _ in range(3))


def _added_async(call: Callable[[], Any]) -> float:
    async def loop(function: Callable[[], Any]) -> float:
        begun_ns = time.perf_counter_ns()
        for _ in range(CALLS):
            await function()
        return (time.perf_counter_ns() - begun_ns) / CALLS

    async def both() -> float:
        return await loop(call) - await loop(nothing_awaited)

    return statistics.median(asyncio.run(both()) for _ in range(3))


def _peer(report: Report, name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ImportError:
        report.notes.append(f"{name} is not installed")
        return
    sync, awaited = _forms(name, module)
    if sync is not None:
        check(sync() == 1, f"{name}: not the answer of the callee")
        report.measure(f"{name}: sync, added to a call", "ns", lambda: _added(sync), lower_is_better=True)
    if awaited is not None:
        report.measure(
            f"{name}: async, added to an awaited call", "ns", lambda: _added_async(awaited), lower_is_better=True
        )


def _forms(name: str, module: Any) -> tuple[Callable[[], Any] | None, Callable[[], Any] | None]:
    """The callees behind a peer's breaker, as its documents say."""
    if name == "circuitbreaker":
        return module.CircuitBreaker()(nothing), module.CircuitBreaker()(nothing_awaited)
    if name == "pybreaker":
        return module.CircuitBreaker()(nothing), None
    if name == "aiobreaker":
        return module.CircuitBreaker()(nothing), module.CircuitBreaker()(nothing_awaited)
    awaited = module.AsyncCircuitBreakerFactory()("bench")(nothing_awaited)
    return module.SyncCircuitBreakerFactory()("bench")(nothing), awaited


def _limits(report: Report) -> None:
    worst_error, worst_goodput = [], []
    for workers in WORKERS:
        seen: list[float] = []
        limiter = Limiters(1).limiter("bench")
        rate = workers * 100.0
        flows = [Flow(0, rate * 0.3), Flow(1, rate * 2.0), Flow(2, rate * 3.7), Flow(3, rate * 4.0)]

        def watch(seconds: float, limit: float, seen: list[float] = seen) -> None:
            if seconds >= 2.0:
                seen.append(limit)

        found = overload(limiter, workers, SECOND // 100, flows, 3.0, steady=True, watch=watch, from_seconds=1.0)
        error = max(abs(limit - workers) for limit in seen) / workers
        worst_error.append(100 * error)
        worst_goodput.append(100 * found[0].answered / found[0].asked)
        check(found[3].answered <= 0.05 * found[3].asked, "low priority was not shed")
    for name, values, goal, lower in (
        ("limit after 2 s of 10 x load, furthest from the capacity", worst_error, 20.0, True),
        ("critical requests answered at 10 x load", worst_goodput, 99.0, False),
    ):
        report.add(name, "%", values, 0.0, goal=goal, lower_is_better=lower)
    report.notes.append(f"limits: one value for each of {WORKERS} workers of 10 ms, in virtual time")
