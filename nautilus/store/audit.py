"""The audit log: every call that changed something, each record chained to the one before.

::

    <data>/audit/<process>/0000000000000001.audit    segments, named by their first record (nautilus.core.audit_chain)
    <data>/access/audit/<process>.anchor             the last record's number and hash, apart from the log

A segment begins with a record that has the hash before it, so that it can be read by itself; a life of a process begins
one, and ends one where it stops in order. A record is in the mapped file before `append` returns: what is killed then
loses none. What the machine has not written when its power fails is lost, and shows as an end before the anchor's.

`verify` finds every bit that was changed, and records that were taken out, moved, added or cut off, in the log alone or
in the anchor alone. It cannot find that both were put back to an earlier state together, nor a log that was made anew
from its first record on with its anchor: for that the last hash has to be kept where nobody of this machine writes.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from nautilus.core.audit_chain import (
    ANCHOR_BYTES,
    ANCHOR_MAGIC,
    BEGIN,
    CALL,
    END,
    GAP,
    HASH_BYTES,
    HEAD_BYTES,
    MAGIC,
    Chain,
    walk,
)
from nautilus.model.errors import ConfigError, InternalError

DIRECTORY: Final = "audit"
SUFFIX, ANCHOR, LOCK = ".audit", ".anchor", "lock"
SEGMENT_BYTES: Final = 16 << 20
STEP_BYTES: Final = 1 << 18
"""So much of a segment has blocks of the disk at a time."""
RESERVED: Final = 1 << 10
"""Of that, for what a segment ends with: how many records were lost, and the end, each with the process's name."""
LONGEST: Final = 64 << 10
"""Bytes of a target that are kept."""
KINDS: Final = {CALL: "call", BEGIN: "begin", END: "end", GAP: "gap"}
NO_HASH: Final = bytes(HASH_BYTES)
_HEAD: Final = Struct("<IHHQq16s32sHHI")
_PLACE: Final = Struct("<Q32s")


class AuditError(ConfigError):
    """The audit log cannot be written."""

    code = "config.audit"


class AuditBusyError(AuditError):
    """Another process writes it."""


class Record(NamedTuple):
    """One of the log.

    Attributes
    ----------
    kind : ``call``; ``begin`` and ``end`` of a segment; ``gap``: records before were lost, the target says how many.
    digest : BLAKE2b-256 of the body, or what was signed as its hash; empty: there was none.
    """

    sequence: int
    kind: str
    now_ns: int
    principal: str
    method: str
    target: bytes
    digest: bytes
    status: int
    trace: str
    hash: bytes


class Finding(NamedTuple):
    """What `verify` has to say of one process's log.

    Attributes
    ----------
    problem : "" where nothing is wrong.
    where : file and byte.
    """

    process: str
    segments: int
    records: int
    last_sequence: int
    last_hash: str
    problem: str = ""
    where: str = ""


class AuditLog:
    """The log of one process, of which it is the only writer.

    Parameters
    ----------
    directory
        Of the logs of all processes.
    anchors
        Directory of the anchors; made where it is missing.
    process
        Whose log it is.
    now_ns
        When it begins.
    segment_bytes
        Size of a segment.
    on_lost
        Called with the reason when a record could not be written, as the disk is full; it is lost, and counted by the
        next one that can, or by the end of the log.

    Raises
    ------
    AuditError
        It cannot be had, or another process has it.
    """

    def __init__(
        self,
        directory: str | Path,
        anchors: str | Path,
        process: str,
        now_ns: int,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        on_lost: Callable[[OSError], object] = lambda error: None,
    ) -> None:
        self.process = process
        self.lost = 0
        """Records that could not be written."""
        self._directory = Path(directory, process)
        self._anchor = Path(anchors, process + ANCHOR)
        self._segment_bytes = max(segment_bytes, STEP_BYTES)
        self._on_lost = on_lost
        self._untold = 0
        self._present = 0
        self._ended = False
        self._map: mmap.mmap | None = None
        self._descriptor = self._lock = -1
        try:
            for made in (self._directory, self._anchor.parent):
                made.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self._directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            sequence, last, torn = self._last()
            self._told = _anchor_map(self._anchor)
            self._chain = Chain(self._told, sequence, last)
            self._begin(now_ns, torn)
        except BlockingIOError:
            self._unlock()
            raise AuditBusyError(
                "another process writes this log", where=str(self._directory), expected="one"
            ) from None
        except OSError as error:
            self._unlock()
            raise AuditError(f"cannot be written: {error.strerror}", where=str(self._directory)) from None

    def append(
        self, principal: str, method: str, target: bytes, digest: bytes, status: int, trace: str, now_ns: int
    ) -> bool:
        """One call that was answered; False: it could not be written, and is lost.

        Parameters
        ----------
        principal
            Who asked.
        method, target
            What for; path and query, of which 64 KiB are kept.
        digest
            Hash of the body, 32 bytes, or empty.
        status
            Of the answer.
        trace
            Trace id, as hexadecimal digits.
        now_ns
            On the machine's clock.
        """
        return self._chain.append(principal, method, target, digest, status, trace, now_ns) or self._make_room(
            principal, method, target, digest, status, trace, now_ns
        )

    @property
    def head(self) -> tuple[int, bytes]:
        """Number and hash of the last record."""
        return self._chain.sequence, self._chain.hash

    def close(self, now_ns: int) -> None:
        """End it in order."""
        if self._ended:
            return
        self._ended = True
        try:
            if self._map is None and self._untold:
                with contextlib.suppress(OSError):  # there is no room for it even now
                    self._begin(now_ns, 0)
            if self._map is not None:
                self._end_segment(now_ns)
            self._told.flush()
        finally:
            self._unlock()

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _make_room(
        self, principal: str, method: str, target: bytes, digest: bytes, status: int, trace: str, now_ns: int
    ) -> bool:
        given = (principal[:1024], method[:64], target[:LONGEST], digest, status, trace, now_ns)
        if self._ended:
            self.lost += 1
            self._on_lost(OSError("the log has ended"))
            return False
        try:
            while not self._chain.append(*given):
                if self._map is None:
                    self._begin(now_ns, 0)  # there was no room for it before
                elif self._present < self._segment_bytes:
                    self._extend()
                else:
                    self._end_segment(now_ns)
            self._tell_lost(now_ns)
        except OSError as error:
            self.lost += 1
            self._untold += 1
            self._on_lost(error)
            return False
        return True

    def _tell_lost(self, now_ns: int) -> None:
        note = b"lost=%d" % self._untold
        if self._untold and self._chain.append(self.process, "", note, b"", 0, "", now_ns, GAP):
            self._untold = 0

    def _begin(self, now_ns: int, torn: int) -> None:
        """A new segment, with the record that it begins with."""
        sequence, last = self.head
        place = self._directory / f"{sequence + 1:016}{SUFFIX}"
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, self._segment_bytes)
            os.posix_fallocate(descriptor, 0, STEP_BYTES)
            mapped = mmap.mmap(descriptor, self._segment_bytes)
        except OSError:
            os.close(descriptor)
            place.unlink()
            raise
        mapped[: len(MAGIC)] = MAGIC
        self._descriptor, self._map, self._present = descriptor, mapped, STEP_BYTES
        self._chain.write_to(mapped, len(MAGIC), STEP_BYTES - RESERVED)
        note = b"torn=%d" % torn if torn else b""
        if not self._chain.append(self.process, "", note, last, 0, "", now_ns, BEGIN):
            raise InternalError("no room for the first record", where=str(place))

    def _extend(self) -> None:
        """More of the segment has room on the disk: a store to a page that has none would be SIGBUS."""
        more = min(STEP_BYTES, self._segment_bytes - self._present)
        os.posix_fallocate(self._descriptor, self._present, more)
        self._present += more
        self._chain.extend(self._present - RESERVED)

    def _end_segment(self, now_ns: int) -> None:
        mapped, descriptor = self._map, self._descriptor
        assert mapped is not None
        self._chain.extend(self._present)
        self._tell_lost(now_ns)
        self._chain.append(self.process, "", b"", b"", 0, "", now_ns, END)
        used = self._chain.used
        self._chain.leave()
        # Whatever fails from here on, the next one is begun.
        self._map, self._descriptor = None, -1
        try:
            mapped.flush()
            mapped.close()
            os.ftruncate(descriptor, used)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _last(self) -> tuple[int, bytes, int]:
        """Number and hash of the last record of all lives before, and the bytes of one that was not finished."""
        sequence, last = _read_anchor(self._anchor)
        segments = _segments(self._directory)
        if not segments:
            return sequence, last, 0
        place = segments[-1]
        content = place.read_bytes()
        before = _before(content)
        if before is None:
            # Killed while it was begun: nothing is in it.
            if not content.strip(b"\0").removeprefix(MAGIC):
                place.unlink()
                return self._last()
            return max(sequence, int(place.stem)), last, 0
        end, found, hash, wrong = walk(content, *before)
        if found < sequence:
            return sequence, last, 0  # it was cut: `verify` says so, also when it goes on behind
        torn = len(content[end:].rstrip(b"\0")) if wrong == "torn" else 0
        if wrong in ("", "torn"):
            # What a killed process left of a record is taken away, and the next one says so.
            os.truncate(place, end)
        return found, hash, torn


def verify(
    directory: str | Path, anchors: str | Path, *, pause: Callable[[], object] = lambda: None, looks: int = 5
) -> list[Finding]:
    """Check every log in a directory, also while processes write to it.

    Parameters
    ----------
    pause
        Waits a little before what looks wrong at the end of a log is looked at again: its writer may be at it.
    """
    names = {place.name for place in Path(directory).glob("*") if place.is_dir()}
    names |= {place.name.removesuffix(ANCHOR) for place in Path(anchors).glob("*" + ANCHOR)}
    findings = []
    for name in sorted(names):
        for look in range(looks):
            finding = _verify(Path(directory, name), Path(anchors, name + ANCHOR))
            if not finding.problem:
                break
            if look + 1 < looks:
                pause()
        findings.append(finding)
    return findings


def read(directory: str | Path, process: str) -> Iterator[Record]:
    """The records of a process's log as they stand there, unchecked, the oldest first."""
    for place in _segments(Path(directory, process)):
        yield from records(place.read_bytes())


def records(content: bytes) -> Iterator[Record]:
    """The records of a segment as they stand there, unchecked."""
    at = len(MAGIC)
    while at + HEAD_BYTES + HASH_BYTES <= len(content):
        size, kind, status, sequence, now_ns, trace, digest, who, how, what = _HEAD.unpack_from(content, at)
        if size < HEAD_BYTES + HASH_BYTES or size > len(content) - at:
            return
        names = content[at + HEAD_BYTES : at + HEAD_BYTES + who + how + what]
        yield Record(
            sequence,
            KINDS.get(kind, str(kind)),
            now_ns,
            names[:who].decode(errors="replace"),
            names[who : who + how].decode(errors="replace"),
            names[who + how :],
            b"" if digest == NO_HASH else digest,
            status,
            trace.hex(),
            content[at + size - HASH_BYTES : at + size],
        )
        at += size


def _verify(directory: Path, anchor: Path) -> Finding:
    name = directory.name
    told = _read_anchor(anchor)
    segments = _segments(directory)
    sequence, last, count = 0, NO_HASH, 0

    def wrong(problem: str, place: Path, at: int = 0) -> Finding:
        return Finding(name, len(segments), count, sequence, last.hex(), problem, f"{place}:{at}")

    before_last = NO_HASH
    for number, place in enumerate(segments):
        content = place.read_bytes()
        if content[: len(MAGIC)] != MAGIC:
            return wrong("no segment of an audit log", place)
        first = next(records(content), None)
        if first is None or first.kind != "begin":
            return wrong("it does not begin with a beginning", place, len(MAGIC))
        if (int(place.stem) if place.stem.isdigit() else -1) != sequence + 1:
            return wrong(f"record {sequence + 1} is not there", place)
        if (first.digest or NO_HASH) != last:
            return wrong("it does not follow what is before it", place, len(MAGIC))
        start = sequence
        at, sequence, last, found = walk(content, sequence, last)
        count += sequence - start
        if found == "torn":
            return wrong(
                "bytes behind the last record, as of a process that was killed in the middle of one", place, at
            )
        if found:
            return wrong(f"record {sequence + 1} is not as it was written ({found})", place, at)
        if number < len(segments) - 1 and at != len(content):
            return wrong("room behind the last record of a segment that has ended", place, at)
        if number == len(segments) - 1 and sequence > 1:
            before_last = _hash_before(content, first)
    if not anchor.exists():
        return wrong("no anchor", anchor)
    if not segments:
        return wrong("no log, and yet an anchor", directory)
    again = _read_anchor(anchor)
    if told[0] > sequence:
        return wrong(f"records up to {told[0]} were written, and the log ends at {sequence}", anchor)
    if again[0] < sequence - 1:
        return wrong(f"the anchor is of record {again[0]}, and the log goes on to {sequence}", anchor)
    for known, hash in (told, again):
        if (known == sequence and hash != last) or (known == sequence - 1 and known and hash != before_last):
            return wrong(f"record {known} is another one than the anchor's", anchor)
    return Finding(name, len(segments), count, sequence, last.hex())


def _hash_before(content: bytes, first: Record) -> bytes:
    """Hash of the record before the last one of a segment that was checked."""
    hashes = [first.digest or NO_HASH, *(record.hash for record in records(content))]
    return hashes[-2]


def _segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*" + SUFFIX))


def _before(content: bytes) -> tuple[int, bytes] | None:
    """Number and hash of the record before a segment, as its first record has them; None: it has none."""
    first = next(records(content), None) if content[: len(MAGIC)] == MAGIC else None
    return None if first is None or first.kind != "begin" else (first.sequence - 1, first.digest or NO_HASH)


def _read_anchor(place: Path) -> tuple[int, bytes]:
    """The higher one of its two places; 0 and no hash where there is none."""
    try:
        content = place.read_bytes()
    except OSError:
        return 0, NO_HASH
    if len(content) != ANCHOR_BYTES or content[: len(ANCHOR_MAGIC)] != ANCHOR_MAGIC:
        return 0, NO_HASH
    sequence, hash = max(_PLACE.iter_unpack(content[len(ANCHOR_MAGIC) :]))
    return sequence, hash


def _anchor_map(place: Path) -> mmap.mmap:
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if os.fstat(descriptor).st_size != ANCHOR_BYTES:
            os.ftruncate(descriptor, 0)
            os.posix_fallocate(descriptor, 0, ANCHOR_BYTES)
        mapped = mmap.mmap(descriptor, ANCHOR_BYTES)
    finally:
        os.close(descriptor)
    mapped[: len(ANCHOR_MAGIC)] = ANCHOR_MAGIC
    return mapped
