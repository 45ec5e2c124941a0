"""The router: what a decision costs from Python, how soon it follows a step, and what it wastes beside other balancers.

The regret of a request is what it cost more, by expectation, than on the route that was the better one just then; a
failure counts as 100 ms. All balancers meet the same latencies; requests overlap (perf/route_traces.py).
"""

from __future__ import annotations

import sys
import time
from functools import partial
from itertools import repeat

import numpy as np

from nautilus.core import route
from nautilus.core.route import Routes
from perf.harness import REPEATS, OtherLoad, Report, check, cores, pinned
from perf.route_traces import BALANCERS, regret_ms, traces

SUMMARY = "route decisions from Python, reaction to a step of latency, regret on fixed traces"
CALLS = 200_000
SINGLE = 50_000
SEEDS = 3
STEPS = (
    ("the taken one 10 x slower", {0: (1.0, 10.0), 1: (3.0, 3.0)}),
    ("the other one 10 x faster", {0: (5.0, 5.0), 1: (20.0, 2.0)}),
    ("back to normal", {0: (10.0, 1.0), 1: (3.0, 3.0)}),
)
MS = 1_000_000
INTELLIGENT = route.IDEMPOTENT | route.PREFER_DIRECT


def run(report: Report) -> None:
    """Costs, reaction and regret."""
    core = cores()[-1]
    report.conditions["pinning"] = f"core {core}"
    with pinned(core):
        _costs(report)
    _steps(report)
    _regret(report)
    report.checks.append("decisions name known targets and the right route; the table learned what it was told")


def _table(engines: int = 17, instances: int = 1) -> tuple[Routes, list[int]]:
    table = Routes(512, seed=1)
    for number in range(engines):
        for instance in range(instances):
            for way in (0, 1):
                target = table.target(f"engine-{number}", "read", f"instance-{instance}", way)
                for sample in range(100):
                    table.record(target, (1 + 2 * way) * MS + sample, True, 10**9 + sample * MS)
    return table, [table.group(f"engine-{number}", "read") for number in range(engines)]


def _costs(report: Report) -> None:
    now_ns = 10**9 + 100 * MS
    for instances in (1, 3):
        table, groups = _table(instances=instances)
        what = f"17 engines, 2 routes, {instances} instance{'s' * (instances > 1)}"
        with OtherLoad() as load:
            runs = [_single(table, groups, now_ns) for _ in range(REPEATS)]
        report.latency(f"one decide with its clock read, {what}", np.concatenate([took for took, _ in runs]))
        for name, share, goal in (("p50", 50, 100.0), ("p99", 99, 1000.0)):
            values = [float(np.percentile(took, share)) - empty for took, empty in runs]
            limit = goal if instances == 1 else None
            report.add(f"decide, {name}, {what}", "ns", values, load.cores, goal=limit, lower_is_better=True)
        taken = [table.decide(groups[3], now_ns, route.PREFER_DIRECT) for _ in range(1000)]
        check(all(packed >> route.DIRECT_SHIFT & 1 for packed in taken), "the slower route was taken")
        check(all(packed & route.TARGET_MASK < len(table) for packed in taken), "a target that there is not")
    table, groups = _table()
    report.measure("record", "ns", partial(_records, table, now_ns), lower_is_better=True)
    report.measure("begin and end", "ns", partial(_flights, table), lower_is_better=True)
    check(table.read(0)["in_flight"] == 0, "requests in flight that are not")
    report.measure(
        "blocks of memory kept after 200,000 decisions",
        "blocks",
        partial(_kept, table, groups, now_ns),
        goal=0.0,
        lower_is_better=True,
    )


def _records(table: Routes, now_ns: int) -> float:
    record = table.record
    begun = time.perf_counter_ns()
    for _ in repeat(None, CALLS):
        record(0, MS, True, now_ns)
    return (time.perf_counter_ns() - begun) / CALLS


def _flights(table: Routes) -> float:
    begin, end = table.begin, table.end
    begun = time.perf_counter_ns()
    for _ in repeat(None, CALLS):
        begin(0)
        end(0)
    return (time.perf_counter_ns() - begun) / CALLS


def _single(table: Routes, groups: list[int], now_ns: int) -> tuple[np.ndarray, float]:
    """Each decision timed by itself, over all groups; and what it takes to time nothing."""
    decide, clock = table.decide, time.perf_counter_ns
    took, nothing = np.empty(SINGLE, np.int64), np.empty(SINGLE, np.int64)
    for number in range(SINGLE):
        group = groups[number % len(groups)]
        begun = clock()
        decide(group, now_ns, INTELLIGENT)
        took[number] = clock() - begun
        begun = clock()
        nothing[number] = clock() - begun
    return took, float(np.median(nothing))


def _kept(table: Routes, groups: list[int], now_ns: int) -> float:
    decide, group = table.decide, groups[0]
    before = sys.getallocatedblocks()
    for _ in repeat(None, CALLS):
        decide(group, now_ns, INTELLIGENT)
    return float(max(0, sys.getallocatedblocks() - before - 8))


def _steps(report: Report) -> None:
    for name, levels in STEPS:
        values = [_share_after(levels, seed) for seed in range(20)]
        figure = report.add(f"traffic on the better route from request 51 on: {name}", "%", values, 0.0, goal=95.0)
        check(figure.minimum >= 90.0, f"{name}: {figure.minimum:.1f} % in one of the runs")


def _share_after(levels: dict[int, tuple[float, float]], seed: int) -> float:
    table = Routes(2, seed=seed + 1)
    targets = [table.target("engine", "", "instance", way) for way in (0, 1)]
    chance = np.random.default_rng(seed)
    better = min(levels, key=lambda way: levels[way][1])
    now_ns, taken = 10**9, 0
    for number in range(1000 + 50 + 1000):
        now_ns += MS
        target = table.decide(0, now_ns, INTELLIGENT) & route.TARGET_MASK
        way = targets.index(target)
        level = levels[way][number >= 1000]
        table.record(target, int(level * chance.lognormal(0, 0.3) * MS), True, now_ns)
        taken += number >= 1050 and way == better
    return 100.0 * taken / 1000


def _regret(report: Report) -> None:
    total: dict[str, list[float]] = {name: [0.0] * SEEDS for name in BALANCERS}
    for trace in traces():
        means = {}
        for name, make in BALANCERS.items():
            found = [regret_ms(trace, make(seed + 1), seed) for seed in range(SEEDS)]
            for seed, value in enumerate(found):
                total[name][seed] += value
            means[name] = sum(found) / SEEDS
        report.notes.append(f"{trace.name}: " + ", ".join(f"{name} {value:.2f} ms" for name, value in means.items()))
    count = len(traces())
    for name, values in total.items():
        report.add(
            f"regret a request, mean of {count} traces: {name}",
            "ms",
            [v / count for v in values],
            0.0,
            lower_is_better=True,
        )
    ours = sum(total["learning"])
    check(
        all(ours < sum(values) for name, values in total.items() if name != "learning"), "another balancer wastes less"
    )
