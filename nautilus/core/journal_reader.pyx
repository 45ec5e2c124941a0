"""Reader and verifier of journals: one walk, two faces."""

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint32_t

from nautilus.core.hashing cimport hash_name, hash_value
from nautilus.core.segment cimport (
    DAMAGE_CUT, DAMAGE_HEAD, DAMAGE_HEADER, DAMAGE_HEADER_COPY, DAMAGE_MAGIC, DAMAGE_SEAL, DAMAGE_SEQUENCE,
    RECORD_COMMAND, RECORD_END, RECORD_HASH, RECORD_SEAL, SEAL_ROLL, SEAL_STOP, SEGMENT_CHAINED, SEGMENT_FEATURES,
    SEGMENT_HEADER, SEGMENT_RECORD, cursor_close, cursor_commands, cursor_data_end, cursor_kept_end, cursor_open,
    list_directory, os_error, path_bytes, segment_hashes, segment_name)
from nautilus.core.types cimport KERNEL_RULES, RECORD_LAYOUT, command_t

import re
from typing import NamedTuple

import numpy as np

from nautilus.core.journal_base import read_base
from nautilus.core.segment import JournalDamage, JournalError
from nautilus.core.types import COMMAND

cdef extern from "<fcntl.h>" nogil:
    int c_open "open"(const char* path, int flags, ...)
    int O_RDONLY, O_CLOEXEC

cdef extern from "<unistd.h>" nogil:
    int c_close "close"(int fd)

cdef enum:
    AT_ONCE = 1 << 20           # records checked before signals are looked at

_SEGMENT = re.compile(r"[0-9a-f]{16}\.journal")


class HashRecord(NamedTuple):
    """The running hashes of events and commands after command `command_sequence`."""

    command_sequence: int
    event_sequence: int
    event_hash: int
    journal_hash: int


class JournalReport(NamedTuple):
    """What a journal holds and whether it is as it was written.

    `records` counts commands, hash records and seals of the valid prefix; `damage` is the first JournalDamage, or
    None; `dropped_bytes` lie behind the valid prefix; `clean` is true where the journal ends with a clean stop; `hashes`
    says what its hash records and digests are, `xxh3` or `xxh64`.
    """

    segments: int
    records: int
    first_sequence: int
    last_sequence: int
    valid: bool
    damage: JournalDamage | None
    dropped_bytes: int
    clean: bool
    rules: int
    epoch: int
    capacity: int
    closed_capacity: int
    hashes: str


cdef class JournalReader:
    """One thread. Commands of a journal in order, in batches, with the hash records between them.

    Parameters
    ----------
    path : path
        Directory of the journal.
    start : int, optional
        First command wanted; earlier segments are not even opened. Default: the journal's first.
    batch : int
        Most commands in one array.
    strict : bool
        Raise where damage is met, after everything before it was delivered. Otherwise iteration ends there and
        `damage` tells.
    any_rules : bool
        Also read segments written under other kernel rules (to show them; a replay would give other events).

    Raises
    ------
    JournalError
        Code `not a journal`, `layout`, `rules`, `missing segment`, or the damage's own.
    OSError
        From the operating system.

    Iteration yields COMMAND arrays, at most `batch` long, and `HashRecord`s. A record is delivered only after its
    checksum, its place in the chain and its sequence were checked.
    """

    def __cinit__(self):
        self.cursor.buffer = NULL
        self.inside = False

    def __init__(self, path, *, start=None, batch=4096, strict=True, any_rules=False):
        if batch < 1:
            raise ValueError(f"batch: expected at least 1, found {batch}")
        self.path = path_bytes(path).decode("utf-8", "surrogateescape")
        self.strict = strict
        self.any_rules = any_rules
        self.batch = batch
        self.start = 0 if start is None else start
        self.blemishes = []
        try:
            self.names = [name for name in list_directory(path) if _SEGMENT.fullmatch(name)]
        except NotADirectoryError:
            self.names = []
        if not self.names:
            self.stop(JournalDamage(self.path, 0, "not a journal", "segments named <16 hex digits>.journal", "none"), 0)
        elif start is not None:
            while len(self.names) > 1 and int(self.names[1][:16], 16) <= start:
                del self.names[0]
            if int(self.names[0][:16], 16) > start:
                raise JournalError(
                    f"{self.path}: missing segment: expected one with command {start}, "
                    f"found {self.names[0]} as the first", "missing segment")
        if not self.finished:
            self.enter()            # the capacities are wanted before the first command is

    def __dealloc__(self):
        if self.inside:
            c_close(self.cursor.fd)
        cursor_close(&self.cursor)

    cdef int stop(self, object damage, Py_ssize_t first_dropped) except -1:
        """End the walk at a damage; all segments from `first_dropped` on hold nothing that counts."""
        self.finished = True
        if self.inside:
            c_close(self.cursor.fd)
            self.inside = False
        self.damage = damage
        for name in self.names[first_dropped:]:
            self.dropped_bytes += _data_bytes(f"{self.path}/{name}")
        return 0

    cdef int enter(self) except -1:
        """Open the next segment and check that it continues the chain."""
        cdef Py_ssize_t index = self.entered
        cdef str name = self.names[index]
        cdef bytes file_name = path_bytes(f"{self.path}/{name}")
        cdef int64_t named = int(name[:16], 16) if name[0] < "8" else -1
        cdef int rc, fd
        cdef int64_t end
        self.entered += 1
        fd = c_open(file_name, O_RDONLY | O_CLOEXEC)
        if fd < 0:
            raise os_error(errno, f"{self.path}/{name}")
        cursor_close(&self.cursor)
        self.inside = True
        with nogil:
            rc = cursor_open(&self.cursor, fd)
        if rc < 0 and rc != DAMAGE_MAGIC and rc != DAMAGE_HEADER:
            raise os_error(-rc, f"{self.path}/{name}")
        damage = None
        header = &self.cursor.header
        if rc == DAMAGE_MAGIC:
            damage = JournalDamage(name, 0, "not a journal" if index == 0 else "header", "NAUTJNL1", "something else")
        elif rc == DAMAGE_HEADER and self.cursor.size < SEGMENT_HEADER:
            damage = JournalDamage(name, 0, "cut", f"a header of {SEGMENT_HEADER} bytes", f"{self.cursor.size} bytes")
        elif rc == DAMAGE_HEADER:
            damage = JournalDamage(name, 0, "header", "a copy of the header with its checksum", "two damaged ones")
        elif header.layout != RECORD_LAYOUT:
            damage = JournalDamage(name, 8, "layout", f"record layout {RECORD_LAYOUT}", str(header.layout))
        elif header.features & ~<uint32_t>SEGMENT_FEATURES:
            damage = JournalDamage(name, 60, "layout", f"no features but {SEGMENT_FEATURES}", str(header.features))
        elif header.first_sequence != named:
            damage = JournalDamage(name, 24, "name", f"first command {named}", str(header.first_sequence))
        elif index == 0:
            # Where the reader starts in the middle, the segments before are not looked at.
            if header.previous_chain != 0 and self.start == 0:
                damage = _before(self.path, name, header)
        elif self.seal == 0:
            with nogil:
                end = cursor_data_end(&self.cursor, SEGMENT_HEADER)
            if index + 1 == len(self.names) and end == SEGMENT_HEADER:
                self.unfinished = name
                self.finished = True
                return 0
            damage = JournalDamage(
                self.names[index - 1], self.cut_offset, "seal", f"a seal, as {name} follows", "the end of the records")
        elif header.first_sequence != self.last_sequence + 1:
            damage = JournalDamage(
                name, 24, "missing segment", f"{segment_name(self.last_sequence + 1)} first", name)
        elif header.previous_chain != self.chain:
            damage = JournalDamage(
                name, 56, "chain", f"{self.chain:08x} as the end of {self.names[index - 1]}",
                f"{header.previous_chain:08x}")
        elif segment_hashes(header) != segment_hashes(&self.header):
            damage = JournalDamage(name, 60, "chain", f"{hash_name(segment_hashes(&self.header))} hashes, as "
                                   f"{self.names[index - 1]} has", hash_name(segment_hashes(header)))
        elif header.features & SEGMENT_CHAINED and header.previous_digest != hash_value(&self.digest):
            damage = JournalDamage(
                name, 64, "chain", f"{hash_value(&self.digest):016x} as the digest of all up to "
                f"{self.names[index - 1]}", f"{header.previous_digest:016x}")
        elif header.epoch < self.header.epoch:
            damage = JournalDamage(name, 32, "epoch", f"at least {self.header.epoch}", str(header.epoch))
        if damage is not None:
            return self.stop(damage, index)
        if rc == DAMAGE_HEADER_COPY:
            self.blemishes.append((index, JournalDamage(
                name, 0, "header copy", "two equal headers and zeros", "a difference; the sound copy is used"), -1))
        if header.rules != KERNEL_RULES and not self.any_rules:
            self.finished = True
            raise JournalError(
                f"{self.path}/{name}: rules: expected kernel rules {KERNEL_RULES}, found {header.rules}; "
                "such commands would give other events, start from a snapshot behind them", "rules")
        if index == 0:
            self.first_sequence = header.first_sequence
        self.last_sequence = self.cursor.last_sequence
        self.chain = self.cursor.chain
        self.digest = self.cursor.digest
        self.header = self.cursor.header
        self.cut_index = index + 1
        self.cut_offset = SEGMENT_HEADER
        self.seal = 0
        return 0

    cdef int leave(self, int reason) except -1:
        """The cursor met no further record of this segment: is that all there is, and why?"""
        cdef cursor_t* cursor = &self.cursor
        cdef Py_ssize_t index = self.entered - 1
        cdef str name = self.names[index]
        cdef bint last = index + 1 == len(self.names)
        cdef int64_t whole = cursor.header.segment_bytes
        cdef int64_t end, kept
        with nogil:
            end = cursor_data_end(cursor, cursor.offset)
            kept = cursor_kept_end(cursor, cursor.offset)
        if end < 0:
            raise os_error(<int>-end, f"{self.path}/{name}")
        self.seal = cursor.seal
        self.chain = cursor.chain
        self.unsealed_chain = cursor.unsealed_chain
        self.digest = cursor.digest
        self.unsealed_digest = cursor.unsealed_digest
        self.records += cursor.records
        self.last_sequence = cursor.last_sequence
        self.cut_offset = min(cursor.offset, cursor.size)
        c_close(cursor.fd)
        self.inside = False
        damage = None
        if reason < 0:
            self.dropped_bytes += kept - self.cut_offset
            return self.stop(_describe(cursor, reason, name, end, last), index + 1)
        if end > cursor.offset:
            self.dropped_bytes += kept - cursor.offset
            damage = JournalDamage(name, cursor.offset, "stray bytes", "zeros behind the last record",
                                   f"data up to byte {end}")
        elif cursor.size > whole and not (self.seal and cursor.size == cursor.offset):
            damage = JournalDamage(name, whole, "stray bytes", f"a file of {whole} bytes", f"{cursor.size} bytes")
        elif cursor.size < whole and not (self.seal and cursor.size == cursor.offset):
            damage = JournalDamage(name, self.cut_offset, "cut", f"a file of {whole} bytes", f"{cursor.size} bytes")
        if self.seal == 0:
            if damage is not None:
                return self.stop(damage, index + 1)
        elif damage is not None:
            self.blemishes.append((index, damage, cursor.offset))
        if last:
            self.finished = True
            if self.seal == SEAL_ROLL:
                self.damage = JournalDamage(
                    name, cursor.offset, "missing segment", segment_name(self.last_sequence + 1), "none")
        return 0

    cdef int read(self, command_t* out, Py_ssize_t capacity, Py_ssize_t* count) except -1:
        """Up to `capacity` commands; ends early at a hash record or a segment's end. The cursor's last answer.

        out: NULL where nobody wants them.
        """
        cdef int kind = RECORD_COMMAND
        cdef Py_ssize_t filled = 0
        cdef int64_t unwanted
        with nogil:
            unwanted = min(self.start - self.cursor.last_sequence - 1, <int64_t>capacity)
            if unwanted > 0:
                cursor_commands(&self.cursor, NULL, unwanted, &kind)
            else:
                filled = cursor_commands(&self.cursor, out, capacity, &kind)
        count[0] = filled
        if kind == RECORD_END or kind == RECORD_SEAL or -2000 < kind <= -1000:
            self.leave(kind)
        elif kind < 0:
            raise os_error(-kind, f"{self.path}/{self.names[self.entered - 1]}")
        return kind if kind >= 0 else RECORD_END

    cdef object report_now(self):
        damage = self.damage
        if damage is None and self.blemishes:
            damage = self.blemishes[0][1]
        if damage is None and self.header.rules != KERNEL_RULES:
            damage = JournalDamage(
                self.names[self.cut_index - 1], 12, "rules", f"kernel rules {KERNEL_RULES}", str(self.header.rules))
        return JournalReport(
            segments=self.cut_index, records=self.records, first_sequence=self.first_sequence,
            last_sequence=self.last_sequence, valid=damage is None, damage=damage, dropped_bytes=self.dropped_bytes,
            clean=damage is None and self.seal == SEAL_STOP, rules=self.header.rules, epoch=self.header.epoch,
            capacity=self.header.capacity, closed_capacity=self.header.closed_capacity, hashes=self.hashes)

    @property
    def capacity(self):
        """Open orders of the kernel that wrote the journal; 0 where no header could be read."""
        return self.header.capacity

    @property
    def closed_capacity(self):
        """Closed ids an account remembers, of the same kernel; 0 where no header could be read."""
        return self.header.closed_capacity

    @property
    def hashes(self):
        """What hash records and digests are, `xxh3` or `xxh64`; empty where no header could be read."""
        return hash_name(segment_hashes(&self.header)) if self.cut_index else ""

    def __iter__(self):
        return self

    def __next__(self):
        cdef unsigned char[::1] raw
        cdef Py_ssize_t count = 0
        cdef int kind
        if self.pending is not None:
            record = self.pending
            self.pending = None
            return record
        while not self.finished:
            if not self.inside:
                self.enter()
                continue
            out = np.empty(self.batch, dtype=COMMAND)
            raw = out.view(np.uint8)
            kind = self.read(<command_t*>&raw[0], self.batch, &count)
            if kind == RECORD_HASH and self.cursor.hash.command_sequence >= self.start:
                self.pending = HashRecord(
                    self.cursor.hash.command_sequence, self.cursor.hash.event_sequence,
                    self.cursor.hash.event_hash, self.cursor.hash.journal_hash)
            if count:
                return out[:count]
            if self.pending is not None:
                return self.__next__()
        if self.damage is not None and self.strict:
            raise JournalError(f"{self.path}: {self.damage}", self.damage.what)
        raise StopIteration


cdef object _before(str path, str name, const segment_header_t* header):
    """The damage where a journal begins in its middle, unless its segments before were compacted away."""
    cdef object base = read_base(path)
    if base is None or header.first_sequence > base.first_sequence:
        return JournalDamage(
            name, 56, "missing segment", f"the one that holds command {header.first_sequence - 1}", "none")
    if header.first_sequence == base.first_sequence and (
            header.previous_chain != base.chain or header.previous_digest != base.digest):
        return JournalDamage(name, 56, "chain", f"{base.chain:08x} {base.digest:016x}, as the file base has it",
                             f"{header.previous_chain:08x} {header.previous_digest:016x}")
    return None


cdef object _describe(cursor_t* cursor, int reason, str name, int64_t end, bint last):
    """The damage that the cursor met. What lies at the very end of the data may be a write that never completed."""
    if reason == DAMAGE_CUT:
        return JournalDamage(name, cursor.offset, "cut", f"a record up to byte {cursor.expected}",
                             f"the end of the file at {cursor.size}")
    if reason == DAMAGE_SEQUENCE:
        return JournalDamage(name, cursor.offset, "sequence", str(cursor.expected), str(cursor.found))
    if reason == DAMAGE_SEAL:
        return JournalDamage(name, cursor.offset, "seal", f"the seal of this segment, behind command {cursor.expected}",
                             f"one behind command {cursor.found}")
    what = "torn" if last and end - cursor.offset <= SEGMENT_RECORD else "checksum"
    if reason == DAMAGE_HEAD:
        return JournalDamage(name, cursor.offset, what, "the head of a record", f"type {cursor.found}")
    return JournalDamage(name, cursor.offset, what, f"checksum {cursor.expected:08x}", f"{cursor.found:08x}")


cdef int64_t _data_bytes(str file_name) except -1:
    """Bytes of a segment, those never written left out."""
    cdef cursor_t cursor
    cdef bytes encoded = path_bytes(file_name)
    cdef int fd = c_open(encoded, O_RDONLY | O_CLOEXEC)
    cdef int64_t end
    if fd < 0:
        raise os_error(errno, file_name)
    with nogil:
        cursor_open(&cursor, fd)
        end = cursor_kept_end(&cursor, 0) if cursor.buffer is not NULL else 0
        cursor_close(&cursor)
        c_close(fd)
    if end < 0:
        raise os_error(<int>-end, file_name)
    return end


cdef JournalReader walk(object path):
    """A reader that has gone through the whole journal and delivered it to nobody."""
    cdef JournalReader reader = JournalReader(path, strict=False, any_rules=True)
    cdef Py_ssize_t count
    while not reader.finished:
        if reader.inside:
            reader.read(NULL, AT_ONCE, &count)
        else:
            reader.enter()
    return reader


def verify(path):
    """Check every byte of a journal.

    Damaged data never raise: the report names the longest valid prefix, and of the first damage where it is, what it
    is, what was expected and what was found.

    Parameters
    ----------
    path : path
        Directory of the journal. It may belong to a running writer; its last record may then look torn.

    Returns
    -------
    JournalReport

    Raises
    ------
    OSError
        Where the directory or a file cannot be read.
    """
    return walk(path).report_now()
