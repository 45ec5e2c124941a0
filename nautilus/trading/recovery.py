"""Bring the core back: the journal decides, the event log is made to agree with it.

The journal's damaged tail is cut (and kept), a new kernel is given every command since the last snapshot, its running
hashes are compared with the journal's, and what the event log lacks is appended.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nautilus.core.eventlog import EventLogWriter, deliveries
from nautilus.core.journal import Journal
from nautilus.core.journal_base import segment_heads
from nautilus.core.journal_reader import JournalReader
from nautilus.core.kernel import Kernel
from nautilus.core.snapshot_file import latest_snapshot
from nautilus.model.errors import InternalError
from nautilus.model.records import Records
from nautilus.trading.epochs import epoch_for

CLOSED_CAPACITY = 1 << 20
BATCH = 1024
"""Commands carried out at once: with their events they stay in the processor's cache until they were compared."""


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


def recover(
    data: str,
    *,
    policy: str,
    open_orders: int,
    segment_bytes: int,
    standby: bool = False,
    confirm: Callable[[int], None] | None = None,
    huge_pages: bool = False,
) -> Recovered:
    """Open `data`/journal and `data`/events, new or as they were left.

    Parameters
    ----------
    policy
        What an acknowledgement means: with "disk" both are synced.
    standby
        Not as the core: the epoch stays what the journal says.
    confirm
        Called with a command before events up to it are appended to the log: it returns when they may be shown.
    huge_pages
        Ask for them for the kernel's memory.

    Raises
    ------
    InternalError
        The replay gives other events than before: code ``internal.replay``.
    FencedError
        Another core has a higher epoch: code ``internal.fenced``.
    JournalError, EventLogError, KernelError, OSError
        See their modules.
    """
    path = Path(data, "journal")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    heads = segment_heads(path) if path.is_dir() else []
    epoch = None if standby else epoch_for(data, heads[-1].epoch if heads else 0)
    journal = Journal(
        path,
        policy="disk" if policy == "disk" else "memory",
        segment_bytes=segment_bytes,
        epoch=epoch,
        **({} if any(path.glob("*.journal")) else {"capacity": open_orders, "closed_capacity": CLOSED_CAPACITY}),
    )
    log = None
    try:
        log = EventLogWriter(
            Path(data, "events"),
            file_bytes=segment_bytes,
            policy="disk" if policy == "disk" else "memory",
            first=_first_event(path),
        )
        return _replay(path, journal, log, confirm, huge_pages)
    except BaseException:
        if log is not None:
            log.close()
        journal.close()
        raise


def _first_event(path: Path) -> int:
    """Where a new event log begins: a standby's journal may have begun behind a snapshot."""
    heads = segment_heads(path)
    if not heads or heads[0].first_sequence == 1 or heads[0].chain:
        return 1
    start = latest_snapshot(path, at_most=heads[0].first_sequence - 1)
    if start.payload is None or start.sequence != heads[0].first_sequence - 1:
        return 1
    kernel = Kernel(accounts=(), capacity=1, closed_capacity=1, huge_pages=False)
    kernel.restore(start.payload)
    return kernel.last_event_sequence + 1


def _replay(
    path: Path,
    journal: Journal,
    log: EventLogWriter,
    confirm: Callable[[int], None] | None,
    huge_pages: bool,
) -> Recovered:
    notes = [*log.notes]
    if journal.renewed:
        notes.append(f"journal: a flush had failed; written anew: {', '.join(journal.renewed)}")
    if journal.recovery is not None and journal.recovery.damage is not None:
        notes.append(f"journal: {journal.recovery.damage}")
    make = partial(Kernel, (), None, journal.capacity, accounts=(), closed_capacity=journal.closed_capacity)
    kernel = make(huge_pages=huge_pages)
    start = latest_snapshot(path, at_most=journal.last_sequence)
    if start.payload is not None:
        kernel.restore(start.payload)
        if kernel.last_event_sequence > log.last_sequence:
            # The log ends before the snapshot: what it lacks has to be made from the beginning.
            notes.append(f"event log: ends at {log.last_sequence}, before the snapshot; written anew from the journal")
            kernel = make(huge_pages=huge_pages)
    begun, logged = kernel.last_sequence, 0
    for item in JournalReader(path, start=begun + 1 if begun else None, batch=BATCH):
        if isinstance(item, np.ndarray):
            commands = item
            if int(commands["sequence"][0]) != kernel.last_sequence + 1:
                raise InternalError(
                    f"the journal begins at command {commands['sequence'][0]}, behind what compaction took away",
                    where=str(path),
                    expected=f"a sound snapshot with an event log that reaches it, or the segments from command "
                    f"{kernel.last_sequence + 1} on back in their place",
                )
            logged += _agree(log, kernel.process(commands), commands, notes, confirm)
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


def _agree(
    log: EventLogWriter, events: Records, commands: Records, notes: list[str], confirm: Callable[[int], None] | None
) -> int:
    """Compare with what the log has, append what it lacks; how many were appended."""
    if not len(events):
        return 0
    first = int(events["sequence"][0])
    known = min(len(events), log.last_sequence - first + 1)
    if known > 0 and not log.has(events[:known]):
        notes.append(f"event log: events from {first} on differ from the journal's; written anew")
        log.truncate(first - 1)
        known = 0
    if known == len(events):
        return 0
    if confirm is not None:
        confirm(int(commands["sequence"][-1]))
    missing = deliveries(events, commands)[max(known, 0) :]
    log.append(missing)
    return len(missing)
