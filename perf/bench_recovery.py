"""Recovery: a journal of mixed flow is read, checked, carried out anew and compared with its hashes and the event log.

    segments ---> verify                                                     every byte checked, nothing delivered
    COMMAND arrays ---> Kernel.process                                       what the kernel alone takes for the flow
    segments ---> reader ---> kernel ---> hashes compared                    Kernel.replay, `nautilus journal replay`
    segments ---> reader ---> kernel ---> hashes and event log compared      start of the core

The journal is written here: 5,000,000 commands of the flow of the bench `matching`, without a snapshot; then once more
with a snapshot before the last tenth. It is read from the system's page cache, as after a crash of the process alone.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from nautilus.core import Kernel
from nautilus.core.eventlog import EventLogWriter, deliveries
from nautilus.core.journal import Journal, JournalReader, verify
from nautilus.core.snapshot_file import write_snapshot
from nautilus.trading.recovery import recover
from perf.harness import OtherLoad, Report, check
from perf.workload import draw

SUMMARY = "recovery: a journal of 5,000,000 commands carried out anew, hashes and event log compared"
COMMANDS = 39_063 * 128
RECORDS = 5_000_000
CAPACITY = 1 << 17
SEGMENT = 64 << 20
BATCH = 4_096
REPEATS = 5
TAIL = 500_000


def run(report: Report) -> None:
    """Seconds for 5,000,000 records, and records a second."""
    with tempfile.TemporaryDirectory(prefix="nautilus-perf-") as directory:
        data = Path(directory, "data")
        written = _write(data)
        journal = data / "journal"
        taken: dict[str, list[float]] = defaultdict(list)
        with OtherLoad() as load:
            for _ in range(REPEATS):
                taken["verify"].append(_verify(journal))
                for key, took in (
                    ("kernel", _kernel_alone(journal, written)),
                    ("recovery", _recovery(data, written, replayed=written.commands)),
                ):
                    taken[key].append(took[0])
                    taken[f"{key} time"].append(took[1])
                taken["replay"].append(_replay(journal, written))
        for name, key, goal in (
            ("verify: read and checked alone", "verify", None),
            ("Kernel.process of the same commands alone", "kernel", None),
            ("replay, hashes compared", "replay", 1.0),
            ("recovery of the core, event log compared too", "recovery", 1.0),
        ):
            seconds = [each * RECORDS / written.commands for each in taken[key]]
            report.add(name, "s/5M records", seconds, load.cores, goal=goal, lower_is_better=True)
        for name, key in (("Kernel.process alone", "kernel time"), ("recovery", "recovery time")):
            seconds = [each * RECORDS / written.commands for each in taken[key]]
            report.add(f"{name}, processor time", "s/5M records", seconds, load.cores, lower_is_better=True)
        rates = [written.commands / seconds for seconds in taken["recovery"]]
        report.add("recovery of the core, records", "records/s", rates, load.cores, goal=RECORDS)
        write_snapshot(journal, written.commands - TAIL, written.snapshot)
        with OtherLoad() as load:
            tail = [_recovery(data, written, replayed=TAIL)[0] for _ in range(REPEATS)]
        report.add(f"recovery from a snapshot, {TAIL:,} behind it", "s", tail, load.cores, lower_is_better=True)
        sizes = [sum(file.stat().st_size for file in place.glob(pattern)) for place, pattern in _places(data)]
        report.notes.append(
            f"{written.commands:,} commands and {written.events:,} events: {sizes[0] / 1e6:,.0f} MB of journal in "
            f"segments of {SEGMENT >> 20} MiB, {sizes[1] / 1e6:,.0f} MB of event log, snapshot of "
            f"{len(written.snapshot) / 1e6:,.1f} MB; page cache warm."
        )
    report.checks.append("state hash, number of commands and of events after each repeat; no event missing in the log")


class _Written:
    """What the journal must give again."""

    def __init__(self, kernel: Kernel, snapshot: bytes) -> None:
        self.commands, self.events = kernel.last_sequence, kernel.last_event_sequence
        self.state_hash, self.snapshot = kernel.state_hash(), snapshot

    def check(self, kernel: Kernel) -> None:
        """Refuse a kernel that is not as the one that wrote the journal."""
        found = kernel.last_sequence, kernel.last_event_sequence, kernel.state_hash()
        check(found == (self.commands, self.events, self.state_hash), "the journal gives another state")


def _write(data: Path) -> _Written:
    """A journal and its event log, without a snapshot; that of the kernel before the last commands is kept aside."""
    data.mkdir()
    flow = draw(COMMANDS)
    commands = np.concatenate([flow.setup, flow.warm_up, flow.timed])
    kernel = Kernel(accounts=(), capacity=CAPACITY, huge_pages=False)
    kernel.attach(Journal(data / "journal", segment_bytes=SEGMENT, capacity=CAPACITY))
    log = EventLogWriter(data / "events", file_bytes=SEGMENT)
    snapshot = b""
    for rows in (commands[:-TAIL], commands[-TAIL:]):
        snapshot = kernel.snapshot()
        for first in range(0, len(rows), BATCH):
            part = rows[first : first + BATCH].copy()
            part["sequence"] = np.arange(kernel.last_sequence + 1, kernel.last_sequence + 1 + len(part))
            log.append(deliveries(kernel.process(part), part))
    written = _Written(kernel, snapshot)
    kernel.close()
    log.close()
    return written


def _verify(journal: Path) -> float:
    start = perf_counter()
    check(verify(journal).valid, "the journal is damaged")
    return perf_counter() - start


def _kernel_alone(journal: Path, written: _Written) -> tuple[float, float]:
    """Seconds, and those of processor time."""
    batches = [item for item in JournalReader(journal, batch=1024) if isinstance(item, np.ndarray)]
    kernel = Kernel(accounts=(), capacity=CAPACITY, huge_pages=False)
    start, spent = perf_counter(), process_time()
    for batch in batches:
        kernel.process(batch)
    took = perf_counter() - start, process_time() - spent
    written.check(kernel)
    return took


def _replay(journal: Path, written: _Written) -> float:
    start = perf_counter()
    kernel = Kernel.replay(journal, snapshots=False)
    took = perf_counter() - start
    written.check(kernel)
    return took


def _recovery(data: Path, written: _Written, *, replayed: int) -> tuple[float, float]:
    """Seconds, and those of processor time, of both threads."""
    start, spent = perf_counter(), process_time()
    found = recover(str(data), policy="memory", open_orders=CAPACITY, segment_bytes=SEGMENT)
    took = perf_counter() - start, process_time() - spent
    found.journal.close()
    found.log.close()
    written.check(found.kernel)
    check((found.replayed, found.logged, found.notes) == (replayed, 0, ()), "something was amiss in journal or log")
    return took


def _places(data: Path) -> tuple[tuple[Path, str], tuple[Path, str]]:
    return (data / "journal", "*.journal"), (data / "events", "*.events")
