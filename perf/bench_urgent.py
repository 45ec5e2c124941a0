"""FLASH_CRASH beside a saturating flood of bulk, over ZeroMQ and through the urgent ring.

    sender ══ 128 B, acknowledged, as fast as it goes ══▶ flooded            ZeroMQ, ipc, the normal lane
    sender ── FLASH_CRASH, a thousand a second ──▶ flooded                   the same thread handles both
    sender ── FLASH_CRASH, a thousand a second ──▶ watching                  a process that spins and has nothing else

All ends run the loop of a host. The sender stamps a message right before `post`, its handler reads the same clock. What
is handled is counted: each once, in order.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from typing import Any

import numpy as np

from nautilus.core.affinity import CAP_SYS_NICE, LatencyHold, has_capability
from perf.bench_ring_star import SHARED
from perf.harness import Report, check, cores
from perf.urgent_pair import Options, Sending, taking

SUMMARY = (
    "FLASH_CRASH beside a saturating flood: over ZeroMQ, through the urgent ring, a spinning reader; wake policies"
)
RATE = 1_000.0
WARM_UP, COUNT = 200, 400
REPEATS = 5
FLOOD_GOAL_US, RING_GOAL_US = 300.0, 5.0
PERCENTILES = (50, 99, 99.9)
POLICIES = ("block", "hold-awake", "spin-then-block", "spin")
POLICY_COUNT = 400


def run(report: Report) -> None:
    """Both ways, in one thread with the flood and in a process of its own; then each policy of waiting."""
    check(len(cores()) >= 2, "two cores are needed, this process may run on one")
    first, second = cores()[:2]
    flood = {"io_cores": (first,), "own_core": first}
    report.conditions["flood"] = "events of 128 B of priority LOW, each acknowledged, at most 5,000 under way"
    report.conditions["pinning"] = (
        f"own process: flood, sender and all I/O threads on core {first}, the watching thread alone on core {second}; "
        "same thread: none"
    )
    report.conditions["priority"] = "own process: sender and watching thread nice -20 where that is permitted"
    hold = LatencyHold(0)
    report.conditions["wake-up"] = hold.grant.found
    raised = -20 if has_capability(CAP_SYS_NICE) else 0
    with ExitStack() as stack:
        stack.callback(hold.close)
        for ring in (False, True):
            way = "ring" if ring else "ZeroMQ"
            beside(report, f"same thread, {way}", FLOOD_GOAL_US, {"name": "b", "ring": ring}, {"ring": ring}, None)
        for ring in (False, True):
            way, wake = ("ring, spinning", "spin") if ring else ("ZeroMQ, blocked", "block")
            watching = {"name": "c", "ring": ring, "wake": wake, "io_cores": (first,), "own_core": second}
            beside(
                report,
                f"own process, {way}",
                RING_GOAL_US if ring else FLOOD_GOAL_US,
                {"name": "b", "ring": False, **flood},
                {"ring": ring, "nice": raised, **flood},
                {"nice": raised, **watching},
            )
    for policy in POLICIES:
        alone(report, policy)
    report.checks.append("every urgent message handled once and in order; every bulk message acknowledged")
    report.notes.append("An urgent message counts from just before `post` to its handler, at a thousand a second.")
    report.notes.append("Policies: no flood, nothing pinned; the sender waits in between as its policy says too.")


def beside(
    report: Report,
    name: str,
    goal: float,
    taker: dict[str, Any],
    sender: dict[str, Any],
    watching: dict[str, Any] | None,
) -> None:
    """One arrangement: urgent messages beside the flood."""
    with tempfile.TemporaryDirectory(dir=SHARED) as directory, ExitStack() as stack:
        others = [each for each in (taker, watching) if each is not None]
        for each in others:
            stack.enter_context(taking(Options(directory=directory, **each)))
        names = [each["name"] for each in others]
        before = os.sched_getaffinity(0)
        try:
            end = Sending(Options(directory=directory, **{"name": "a", **sender}), *names)
            end.past_a_flood(names[0], names[-1], WARM_UP, RATE)
            found = [end.past_a_flood(names[0], names[-1], COUNT, RATE) for _ in range(REPEATS)]
            end.stop(*names)
        finally:
            os.sched_setaffinity(0, before)
            if sender.get("nice"):
                os.setpriority(os.PRIO_PROCESS, 0, 0)
    for percent in PERCENTILES:
        values = [float(np.percentile(nanos, percent)) / 1e3 for nanos, _, _ in found]
        aim = goal if percent == 99 else None
        report.add(f"{name}, p{percent:g}", "us", values, 0.0, goal=aim, lower_is_better=True)
    report.add(f"{name}, flood meanwhile", "messages/s", [bulk for _, bulk, _ in found], 0.0)
    by_ring, by_zmq = (sum(counts[place] for _, _, counts in found) for place in range(2))
    check(by_ring + by_zmq == REPEATS * COUNT, f"{by_ring} by ring, {by_zmq} over ZeroMQ of {REPEATS * COUNT}")
    report.notes.append(f"{name}: {by_ring:,} handled by ring, {by_zmq:,} over ZeroMQ.")
    report.latency(name, np.concatenate([nanos for nanos, _, _ in found]))


def alone(report: Report, policy: str) -> None:
    """One policy of waiting at both ends: urgent messages and nothing else."""
    with tempfile.TemporaryDirectory(dir=SHARED) as directory, ExitStack() as stack:
        stack.enter_context(taking(Options(directory=directory, name="b", wake=policy)))
        end = Sending(Options(directory=directory, name="a", wake=policy), "b")
        end.alone("b", WARM_UP, RATE)
        nanos = end.alone("b", POLICY_COUNT, RATE)
        end.stop("b")
    for percent in (50, 99):
        report.add(
            f"no flood, {policy}, p{percent}", "us", [float(np.percentile(nanos, percent)) / 1e3], 0.0,
            lower_is_better=True,
        )  # fmt: skip
    report.latency(f"no flood, {policy}", nanos)
