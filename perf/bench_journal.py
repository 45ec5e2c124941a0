"""The journal: reading it back, and acknowledgement by the disk with commands written in groups.

    segments ---> verify                                             every byte checked, nothing delivered
    segments ---> JournalReader ---> COMMAND arrays                  checked and delivered
    client's ring ---> kernel, journal (fdatasync), egress ---> client's ring

Reading is given in seconds for 5,000,000 records; what a whole recovery takes is in `bench_recovery`. The directory is
made where `TMPDIR` says: of a disk, not of memory, for the figures with `disk`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import perf_counter, perf_counter_ns

import numpy as np

from nautilus.core import Kernel
from nautilus.core.eventlog import DELIVERY, LAST
from nautilus.core.journal import Journal, JournalReader, verify
from nautilus.core.port import OWN, Port
from nautilus.core.trading_core import TradingCore
from nautilus.trading.process import SLOTS
from nautilus.trading.recovery import recover
from perf.harness import Report, check
from perf.workload import Workload, draw

SUMMARY = "journal: reading, disk acknowledgement with group commit"
COMMANDS = 1 << 20
RECORDS = 5_000_000
CAPACITY = 1 << 17
SEGMENT = 64 << 20
BATCH = 4_096
DISK_COMMANDS = 1 << 18
WINDOW = 4_096
PACED = 2_000
SECOND = 1_000_000_000


def run(report: Report) -> None:
    """Figures of reading, then of the disk."""
    with tempfile.TemporaryDirectory(prefix="nautilus-perf-") as directory:
        flow = draw(COMMANDS)
        data = Path(directory, "data")
        _write(data, flow)
        journal = data / "journal"
        count = verify(journal).last_sequence

        def seconds(once: object) -> float:
            start = perf_counter()
            assert callable(once)
            check(once() == count, "not every command was read")
            return (perf_counter() - start) * RECORDS / count

        measure = report.measure
        measure("verify", "s/5M records", lambda: seconds(lambda: verify(journal).last_sequence), lower_is_better=True)
        measure("read", "s/5M records", lambda: seconds(lambda: _read(journal)), lower_is_better=True)
        _disk(report, Path(directory, "disk"), flow)
    report.checks.append("every command read; every command answered")


def _write(data: Path, flow: Workload) -> None:
    """A journal of the flow."""
    data.mkdir()
    kernel = Kernel(accounts=(), capacity=CAPACITY, huge_pages=False)
    kernel.attach(Journal(data / "journal", segment_bytes=SEGMENT, capacity=CAPACITY))
    for part in (flow.setup, flow.warm_up, flow.timed):
        kernel.process(part)
    kernel.close()


def _read(journal: Path) -> int:
    return sum(len(item) for item in JournalReader(journal, batch=1024) if isinstance(item, np.ndarray))


def _disk(report: Report, place: Path, flow: Workload) -> None:
    """A core that acknowledges by the disk: as many commands as it takes, then one at a time at a rate."""
    shared = place / "shared"
    shared.mkdir(parents=True)
    found = recover(str(place / "data"), policy="disk", open_orders=CAPACITY, segment_bytes=SEGMENT)
    core = TradingCore(found.kernel, found.journal, found.log, shared, SLOTS, capacity=8192)
    core.start()
    try:
        port = Port(shared, "client0", OWN)
        buffer = np.zeros(BATCH, DELIVERY)
        while port.joined is None:
            port.receive(buffer[:0])
        commands = np.concatenate([flow.setup, flow.warm_up, flow.timed])
        head = len(flow.setup) + len(flow.warm_up)
        _through(port, commands[:head], buffer)
        rest = iter(range(head, len(commands) - DISK_COMMANDS // 8, DISK_COMMANDS // 8))

        def amortised() -> float:
            first = next(rest)
            part = commands[first : first + DISK_COMMANDS // 8]
            start = perf_counter()
            _through(port, part, buffer)
            return (perf_counter() - start) * 1e6 / len(part)

        report.measure(
            f"disk acknowledgement, {WINDOW:,} under way", "us/command", amortised, goal=4.0, lower_is_better=True
        )
        first = next(rest)
        took = np.zeros(PACED, np.int64)
        for number in range(PACED):
            start = perf_counter_ns()
            _through(port, commands[first + number : first + number + 1], buffer)
            took[number] = perf_counter_ns() - start
        report.latency("disk acknowledgement, one at a time", took)
        p99 = float(np.percentile(took, 99)) / 1000
        report.add("disk acknowledgement, p99", "us", [p99], 0.0, goal=1000.0, lower_is_better=True)
        facts = core.facts()
        report.notes.append(f"{facts['flushes']:,} flushes of {facts['commands']:,} commands with `disk`.")
        port.close()
    finally:
        core.stop()
        found.log.close()


def _through(port: Port, commands: np.ndarray, buffer: np.ndarray) -> None:
    """Send commands, WINDOW under way at most, until all were answered."""
    sent = answered = 0
    while answered < len(commands):
        room = min(len(commands) - sent, WINDOW - (sent - answered))
        if room > 0:
            sent += port.send(commands[sent : sent + room])
        count = port.receive(buffer, SECOND)
        check(count > 0, f"answers to {answered} of {len(commands)} commands, then none")
        answered += int(((buffer["flags"][:count] & LAST) != 0).sum())
