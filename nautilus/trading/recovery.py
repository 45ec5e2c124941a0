"""Bring the core back: the journal decides, the event log is made to agree with it.

The journal's damaged tail is cut (and kept), a new kernel is given every command since the last snapshot, its running
hashes are compared with the journal's, and what the event log lacks is appended.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from nautilus.core.eventlog import DELIVERY, LAST, EventLog, EventLogError, EventLogWriter
from nautilus.core.journal import Journal
from nautilus.core.journal_reader import JournalReader
from nautilus.core.kernel import Kernel
from nautilus.core.snapshot_file import latest_snapshot
from nautilus.model.errors import InternalError
from nautilus.model.records import Records

CLOSED_CAPACITY = 1 << 20


class Recovered(NamedTuple):
    """A kernel with its journal and event log, all three at the same place.

    Attributes
    ----------
    commands, replayed : in the journal; of these, how many were carried out anew.
    logged : events that the log lacked.
    notes : what was cut or mended, one line each.
    hash : state hash of the kernel.
    """

    kernel: Kernel
    journal: Journal
    log: EventLogWriter
    commands: int
    replayed: int
    logged: int
    notes: tuple[str, ...]
    hash: int


def recover(data: str, *, policy: str, open_orders: int, segment_bytes: int) -> Recovered:
    """Open `data`/journal and `data`/events, new or as they were left.

    Raises
    ------
    InternalError
        The replay gives other events than before: code ``internal.replay``.
    JournalError, EventLogError, KernelError, OSError
        See their modules.
    """
    path = Path(data, "journal")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    journal = Journal(
        path,
        policy="disk" if policy == "disk" else "memory",
        segment_bytes=segment_bytes,
        **({} if any(path.glob("*.journal")) else {"capacity": open_orders, "closed_capacity": CLOSED_CAPACITY}),
    )
    log = None
    try:
        log = EventLogWriter(
            Path(data, "events"), file_bytes=segment_bytes, policy="disk" if policy == "disk" else "memory"
        )
        return _replay(path, journal, log)
    except BaseException:
        if log is not None:
            log.close()
        journal.close()
        raise


def _replay(path: Path, journal: Journal, log: EventLogWriter) -> Recovered:
    notes = [*log.notes]
    if journal.renewed:
        notes.append(f"journal: a flush had failed; written anew: {', '.join(journal.renewed)}")
    if journal.recovery is not None and journal.recovery.damage is not None:
        notes.append(f"journal: {journal.recovery.damage}")
    kernel = Kernel(accounts=(), capacity=journal.capacity, closed_capacity=journal.closed_capacity, huge_pages=False)
    start = latest_snapshot(path, at_most=journal.last_sequence)
    if start.payload is not None:
        kernel.restore(start.payload)
        if kernel.last_event_sequence > log.last_sequence:
            # The log ends before the snapshot: what it lacks has to be made from the beginning.
            notes.append(f"event log: ends at {log.last_sequence}, before the snapshot; written anew from the journal")
            kernel = Kernel(
                accounts=(), capacity=journal.capacity, closed_capacity=journal.closed_capacity, huge_pages=False
            )
    begun, logged = kernel.last_sequence, 0
    reader = EventLog(log.path)
    for item in JournalReader(path, start=begun + 1 if begun else None):
        if isinstance(item, np.ndarray):
            commands = np.ascontiguousarray(item[item["sequence"] > kernel.last_sequence])
            if not len(commands):
                continue
            records = deliveries(kernel.process(commands), commands)
            logged += _agree(log, reader, records, notes)
        elif item.command_sequence == kernel.last_sequence and item.event_hash != kernel.event_hash():
            raise ReplayDiffersError(
                f"replay gives event hash {kernel.event_hash():016x} after command {item.command_sequence}",
                where=str(path), expected=f"{item.event_hash:016x}",
            )  # fmt: skip
    if log.last_sequence > kernel.last_event_sequence:
        notes.append(
            f"event log: events {kernel.last_event_sequence + 1} to {log.last_sequence} are of commands that the "
            "journal lost; cut"
        )
        log.truncate(kernel.last_event_sequence)
    return Recovered(
        kernel,
        journal,
        log,
        commands=kernel.last_sequence,
        replayed=kernel.last_sequence - begun,
        logged=logged,
        notes=tuple(notes),
        hash=kernel.state_hash(),
    )


class ReplayDiffersError(InternalError):
    """The journal gives other events than it gave when it was written."""

    code = "internal.replay"


def deliveries(events: Records, commands: Records) -> Records:
    """DELIVERY records of `commands`' events."""
    records = np.zeros(len(events), DELIVERY)
    records["event"] = events
    if len(events):
        causes = events["command_sequence"]
        records["kind"] = commands["kind"][causes - int(commands["sequence"][0])]
        records["flags"][:-1][causes[1:] != causes[:-1]] = LAST
        records["flags"][-1] = LAST
    return records


def _agree(log: EventLogWriter, reader: EventLog, records: Records, notes: list[str]) -> int:
    """Compare with what the log has, append what it lacks; how many were appended."""
    if not len(records):
        return 0
    first = int(records["event"]["sequence"][0])
    known = min(len(records), log.last_sequence - first + 1)
    if known > 0 and not _has(reader, records[:known]):
        notes.append(f"event log: events from {first} on differ from the journal's; written anew")
        log.truncate(first - 1)
        known = 0
    missing = np.ascontiguousarray(records[max(known, 0) :])
    log.append(missing)
    return len(missing)


def _has(reader: EventLog, records: Records) -> bool:
    try:
        there = reader.read(int(records["event"]["sequence"][0]), len(records))
    except EventLogError:
        return False  # a hole
    if len(there) != len(records):
        return False
    raw = [np.ascontiguousarray(each["event"]).view(np.uint8) for each in (there, records)]
    return bool((raw[0] == raw[1]).all())
