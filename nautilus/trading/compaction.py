"""What of a journal is not needed any more goes: dropped, or moved to an archive.

A segment may go when every command of it lies at or before the oldest snapshot that is kept, when the event log has all
events of these commands on disk (consumers with a cursor read them there, never in the journal), when no standby still
needs it, and when more than `keep_segments` newer ones stay. The file `base` says first, on disk, where the journal
begins from then on; so a segment that is lost in another way is still found missing.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from nautilus.core.journal_base import Base, segment_heads, write_base
from nautilus.core.snapshot_file import SNAPSHOT_NAME, latest_snapshot
from nautilus.core.types import RULES_VERSION


class Rules(NamedTuple):
    """What may go.

    Attributes
    ----------
    policy : ``never``, ``drop`` or ``archive``.
    keep_snapshots : sound ones that stay, so that a damaged one has another one behind it.
    keep_segments : whole segments that stay beyond what recovery needs.
    archive : directory that takes what goes; "": `archive` beside the journal.
    """

    policy: Literal["never", "drop", "archive"] = "never"
    keep_snapshots: int = 2
    keep_segments: int = 2
    archive: str = ""


class Compacted(NamedTuple):
    """What went, and why more did not.

    Attributes
    ----------
    segments, snapshots : names of what went.
    kept : why the oldest segment that is left stays.
    """

    segments: tuple[str, ...]
    snapshots: tuple[str, ...]
    kept: str


def compact(journal: Path, rules: Rules, *, logged: int, needed: Mapping[str, int] | None = None) -> Compacted:
    """Let go of what is not needed.

    Parameters
    ----------
    journal
        Its directory.
    logged
        Last command of which the event log is known to have, sound and on disk, all events, and all before.
    needed
        First command that somebody else still wants of the journal, by their name.

    Raises
    ------
    OSError
        From the operating system; what had gone until then is gone, the journal is sound.
    """
    snapshots = _sound(journal, rules.keep_snapshots)
    if rules.policy == "never" or len(snapshots) < rules.keep_snapshots:
        why = (
            "compaction is off" if rules.policy == "never" else f"{len(snapshots)} of {rules.keep_snapshots} snapshots"
        )
        return Compacted((), (), why)
    oldest = snapshots[-1]
    if oldest > logged:
        return Compacted((), (), f"the event log is not known to have what lies before snapshot {oldest}")
    heads = segment_heads(journal)
    bound, kept = oldest + 1, f"snapshot {oldest}"
    for name, first in (needed or {}).items():
        if first < bound:
            bound, kept = first, name
    going = [head for head, after in pairwise(heads) if after.first_sequence <= bound]
    most = max(0, len(heads) - 1 - rules.keep_segments)
    if len(going) > most:
        going, kept = going[:most], f"keep_segments {rules.keep_segments}"
    gone: tuple[str, ...] = ()
    with _retention(journal) as free:
        if not free:
            return Compacted((), (), "the journal is being opened")
        if going:
            begin = heads[len(going)]
            write_base(journal, Base(begin.first_sequence, oldest, begin.chain, begin.digest, begin.epoch))
            gone = tuple(head.name for head in going)
            for name in gone:
                _remove(journal, name, rules)
        surplus = tuple(
            path.name
            for path in sorted(journal.glob("*.snapshot"))
            if SNAPSHOT_NAME.fullmatch(path.name) and int(path.name[:16], 16) < oldest
        )
        for name in surplus:
            _remove(journal, name, rules)
    if gone or surplus:
        _sync(journal)
    return Compacted(gone, surplus, kept)


def _sound(journal: Path, most: int) -> list[int]:
    """Sequences of the newest sound snapshots of these rules, newest first."""
    found: list[int] = []
    at_most: int | None = None
    while len(found) < most:
        snapshot = latest_snapshot(journal, at_most)
        if snapshot.payload is None:
            break
        if snapshot.rules == RULES_VERSION:
            found.append(snapshot.sequence)
        at_most = snapshot.sequence - 1
        if at_most < 0:
            break
    return found


@contextmanager
def _retention(journal: Path) -> Iterator[bool]:
    """Whether nobody is opening the journal; nobody can, meanwhile: an opening locks the directory too."""
    descriptor = os.open(journal, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def _remove(journal: Path, name: str, rules: Rules) -> None:
    if rules.policy == "drop":
        (journal / name).unlink(missing_ok=True)
        return
    archive = Path(rules.archive) if rules.archive else journal.with_name("archive")
    archive.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.rename(journal / name, archive / name)
    except OSError:
        # Another file system: it is there, whole and on disk, before it goes here.
        draft = archive / f"{name}.new"
        shutil.copyfile(journal / name, draft)
        descriptor = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(draft, archive / name)
        _sync(archive)
        (journal / name).unlink()


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
