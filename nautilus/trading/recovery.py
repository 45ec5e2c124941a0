"""Bring the core back: the journal decides, the event log is made to agree with it.

Opening the journal is one pass over it (`nautilus.core.replay`): every byte is checked, a new kernel is given every
command since the last snapshot, its running hashes are compared with the journal's and its events with the log's. Then
the damaged tail is cut (and kept), and what the event log lacks is appended.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from nautilus.core.eventlog import EventLogWriter
from nautilus.core.journal import Journal
from nautilus.core.journal_base import segment_heads
from nautilus.core.kernel import Kernel, KernelError
from nautilus.core.replay import Replay
from nautilus.core.snapshot_file import latest_snapshot
from nautilus.model.errors import InternalError
from nautilus.trading.epochs import epoch_for

CLOSED_CAPACITY = 1 << 20
LONG = 1 << 20
"""Commands from which on a kernel gets huge pages in any case: its tables of ids are touched everywhere by then."""


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
        Ask for them for the kernel's memory; with a long journal (`LONG`) that is done in any case.

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
    replay = Replay(
        partial(Kernel, accounts=(), huge_pages=huge_pages or (bool(heads) and heads[-1].first_sequence > LONG)),
        open_log=partial(_open_log, Path(data, "events"), path, policy, segment_bytes),
    )
    sizes: dict[str, Any] = {"capacity": open_orders, "closed_capacity": CLOSED_CAPACITY}
    journal = None
    try:
        journal = Journal(
            path,
            policy="disk" if policy == "disk" else "memory",
            segment_bytes=segment_bytes,
            epoch=epoch,
            replay=replay,
            **({} if any(path.glob("*.journal")) else sizes),
        )
        return _recovered(replay, journal, confirm)
    except BaseException as error:
        if replay.log is not None:
            replay.log.close()
        if journal is not None:
            journal.close()
        if isinstance(error, KernelError) and error.code in ("REPLAY_DIFFERS", "JOURNAL"):
            raise _named(error, path) from error
        raise


def _open_log(place: Path, journal: Path, policy: str, file_bytes: int) -> EventLogWriter:
    return EventLogWriter(
        place,
        file_bytes=file_bytes,
        policy="disk" if policy == "disk" else "memory",
        first=_first_event(journal),
    )


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


def _recovered(replay: Replay, journal: Journal, confirm: Callable[[int], None] | None) -> Recovered:
    kernel = replay.finish(journal, confirm)
    log = replay.log
    assert log is not None
    notes = [*log.notes]
    if journal.renewed:
        notes.append(f"journal: a flush had failed; written anew: {', '.join(journal.renewed)}")
    if journal.recovery is not None and journal.recovery.damage is not None:
        notes.append(f"journal: {journal.recovery.damage}")
    return Recovered(
        kernel,
        journal,
        log,
        commands=kernel.last_sequence,
        replayed=kernel.last_sequence - replay.begun,
        logged=replay.logged,
        notes=(*notes, *replay.notes),
        hash=kernel.state_hash(),
    )


def _named(error: KernelError, path: Path) -> InternalError:
    """What kept the replay from its end, as this package says it."""
    if error.code == "REPLAY_DIFFERS":
        return ReplayDiffersError(str(error), where=str(path), expected="the events that the journal was written with")
    return InternalError(
        str(error),
        where=str(path),
        expected="a sound snapshot that the event log reaches, or the segments that were taken away back in place",
    )


class ReplayDiffersError(InternalError):
    """The journal gives other events than it gave when it was written."""

    code = "internal.replay"
