"""Commands from Python through the whole kernel: checks, matching, positions, events, with and without a journal.

    COMMAND array (4,096) ---> Kernel.process ---> EVENT array          throughput
    COMMAND array (1) -------> Kernel.process ---> EVENT array          latency

The flow is drawn beforehand (perf/workload.py). Each repeat starts a new kernel, fills its book and runs a quarter of
a million commands of the mix before the clock starts. Its events are compared, by hash, with those of the draw.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, perf_counter_ns

import numpy as np

from nautilus.core import EVENT, EventKind, Kernel
from perf.harness import Report, check, cores, pinned
from perf.workload import CANCEL, MARKETABLE, NEW_RESTING, REPLACE, SLICE, Workload, draw

SUMMARY = "Kernel.process from Python: 50 % new resting, 40 % cancel, 5 % replace, 5 % marketable"
BATCH = 4_096
WARM = 1 << 18
TIMED = 1 << 20
CALLS = 200_000
GOAL = 10e6
SHARES = {NEW_RESTING: 0.50, CANCEL: 0.40, REPLACE: 0.05, MARKETABLE: 0.05}
LEAST_OPEN = 10_000


def run(report: Report) -> None:
    """Throughput with the journal and without, in batches; latency of single commands."""
    core = cores()[-1]
    report.conditions["pinning"] = f"core {core}"
    with pinned(core), tempfile.TemporaryDirectory(prefix="nautilus-perf-") as directory:
        one = draw(WARM + TIMED)
        _check_mix(report, one)
        names = iter(range(1_000))

        def journal() -> Path:
            return Path(directory) / f"journal-{next(names)}"

        _throughput(report, "journal off", one, lambda: None, goal=GOAL)
        _throughput(report, "journal memory", one, journal, goal=GOAL)
        report.latency("one command a call, journal off", _latency(one, None))
        report.latency("one command a call, journal memory", _latency(one, journal()))
        del one
        every = draw(WARM + TIMED, controls=18)
        _check_mix(report, every)
        _throughput(report, "all 18 limits, journal off", every, lambda: None)
        _throughput(report, "all 18 limits, journal memory", every, journal, goal=GOAL)
        del every
        many = draw(WARM + TIMED, instruments=64, open_orders=64_000)
        _throughput(report, "64 books, 64,000 open, journal off", many, lambda: None)
    report.notes.append(
        "Limits of five kinds are set (quantity, notional, collar, position, message rate) where it does not say all "
        "18, 16 accounts, 10 % of the resting orders GTD; prices lie an exponential distance of 40 ticks behind the "
        "middle; cancels and replaces name any open order with equal chance. Quickest tenth: what one batch in ten "
        "reached or passed, where others on the machine took the least."
    )


def _throughput(
    report: Report, name: str, flow: Workload, journal: Callable[[], Path | None], goal: float | None = None
) -> None:
    quickest: list[float] = []

    def once() -> float:
        path = journal()
        kernel = _warm(flow, path)
        batches = np.split(flow.timed[WARM:], range(BATCH, TIMED, BATCH))
        ends = np.zeros(len(batches) + 1)
        least = TIMED
        ends[0] = perf_counter()
        for number, batch in enumerate(batches, 1):
            kernel.process(batch)
            least = min(least, kernel.open_orders)
            ends[number] = perf_counter()
        _check_end(name, kernel, flow, least)
        kernel.close()
        if path is not None:
            _remove(path)
        quickest.append(BATCH / float(np.percentile(np.diff(ends), 10)))
        return TIMED / float(ends[-1] - ends[0])

    figure = report.measure(name, "commands/s", once, goal=goal)
    report.add(f"{name}, quickest tenth", "commands/s", quickest, figure.other_load)


def _latency(flow: Workload, journal: Path | None) -> np.ndarray:
    """Nanoseconds of each call with one command; the clock's own cost is in them."""
    kernel = _warm(flow, journal)
    calls = [flow.timed[WARM + i : WARM + i + 1] for i in range(CALLS)]
    nanos = np.zeros(CALLS, np.int64)
    process, now = kernel.process, perf_counter_ns
    for number, call in enumerate(calls):
        start = now()
        process(call)
        nanos[number] = now() - start
    kernel.close()
    if journal is not None:
        _remove(journal)
    return nanos


def _warm(flow: Workload, journal: Path | None) -> Kernel:
    kernel = Kernel(accounts=(), journal=journal)
    for part in (flow.setup, flow.warm_up, flow.timed[:WARM]):
        for at in range(0, len(part), BATCH):
            kernel.process(part[at : at + BATCH])
    return kernel


def _check_end(name: str, kernel: Kernel, flow: Workload, least: int) -> None:
    check(kernel.event_hash() == flow.event_hash, f"{name}: events differ from those of the draw")
    check(kernel.state_hash() == flow.state_hash, f"{name}: the state differs from that of the draw")
    check(least >= LEAST_OPEN, f"{name}: {least} open orders, expected {LEAST_OPEN} at least")


def _check_mix(report: Report, flow: Workload) -> None:
    """The events say what each command did: the mix is counted from them, not from what was meant."""
    kernel = _warm(flow, None)
    first = kernel.last_sequence + 1
    events = np.concatenate([kernel.process(flow.timed[at : at + BATCH]) for at in range(WARM, len(flow.timed), BATCH)])
    roles = flow.roles[WARM:]
    kinds = np.zeros((len(roles), max(EventKind) + 1), np.int64)
    events = np.ascontiguousarray(events, EVENT)
    np.add.at(kinds, (events["command_sequence"] - first, events["kind"]), 1)
    did = {
        NEW_RESTING: (kinds[:, EventKind.ACCEPTED] == 1) & (kinds[:, EventKind.FILLED] == 0),
        CANCEL: kinds[:, EventKind.CANCELLED] == 1,
        REPLACE: (kinds[:, EventKind.REPLACED] == 1) & (kinds[:, EventKind.FILLED] == 0),
        MARKETABLE: (kinds[:, EventKind.ACCEPTED] == 1) & (kinds[:, EventKind.FILLED] > 0),
    }
    shares = {role: float((did[role] & (roles == role)).mean()) for role in SHARES}
    refused = float((kinds[:, EventKind.REJECTED] > 0).mean())
    for role, share in SHARES.items():
        check(
            abs(shares[role] - share) < 0.005, f"role {role}: {shares[role]:.3%} of the commands, expected {share:.0%}"
        )
    check(refused < 0.01, f"{refused:.3%} refused, expected less than 1 %")
    report.checks.append(
        f"mix by what the events say: {shares[NEW_RESTING]:.2%} rest, {shares[CANCEL]:.2%} cancel, "
        f"{shares[REPLACE]:.2%} replace, {shares[MARKETABLE]:.2%} trade at once "
        f"({kinds[:, EventKind.FILLED].sum() / max(1, did[MARKETABLE].sum()):.1f} fills each), {refused:.2%} refused; "
        f"at least {LEAST_OPEN:,} orders open throughout; events and state equal those of the draw "
        f"(slices of {SLICE}), hash for hash"
    )


def _remove(journal: Path) -> None:
    for file in sorted(journal.rglob("*"), reverse=True):
        file.unlink()
    journal.rmdir()
