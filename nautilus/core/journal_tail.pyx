"""Reading a journal while it is being written: what is there now, then what comes."""

from libc.errno cimport ENOENT, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from nautilus.core.clock cimport clock_now_ns
from nautilus.core.hashing cimport hash_name, hash_value
from nautilus.core.segment cimport (
    DAMAGE_HEADER_COPY, RECORD_COMMAND, RECORD_END, RECORD_HASH, RECORD_SEAL, SEGMENT_CHAINED, SEGMENT_FEATURES,
    SEGMENT_HEADER, cursor_close, cursor_commands, cursor_open, cursor_t, list_directory, os_error, path_bytes,
    segment_hashes, segment_name)
from nautilus.core.types cimport KERNEL_RULES, RECORD_LAYOUT, command_t

import re

import numpy as np

from nautilus.core.journal_reader import HashRecord
from nautilus.core.segment import JournalError
from nautilus.core.types import COMMAND

cdef extern from "<fcntl.h>" nogil:
    int c_open "open"(const char* path, int flags, ...)
    int O_RDONLY, O_CLOEXEC

cdef extern from "<unistd.h>" nogil:
    int c_close "close"(int fd)

cdef extern from "<sys/stat.h>" nogil:
    struct stat_t "stat":
        uint64_t st_ino
        int64_t st_size
    int fstat(int fd, stat_t* status)
    int c_stat "stat"(const char* path, stat_t* status)

cdef enum:
    PATIENCE_NS = 1000000000    # what is no record for so long is no write under way, but damage
    PUT_OFF = 1                 # enter: nothing to go into yet

_SEGMENT = re.compile(r"[0-7][0-9a-f]{15}\.journal")


cdef class JournalTail:
    """One thread, any process. The commands of a journal that somebody else writes, from one command on.

    Parameters
    ----------
    path : path
        Directory of the journal.
    start : int
        First command wanted; its segment must be there, or be the next one to come.
    batch : int
        Most commands in one array.

    Raises
    ------
    JournalError
        Code `missing segment`, `layout`, `rules`, `chain`, `epoch`; `damaged` where what lies behind the last record is
        none for a second. Whoever follows begins anew then, from a snapshot: a recovery may have cut the journal.
    OSError
        From the operating system.

    A record is delivered only after its checksum, its place in the chain and its sequence were checked.
    """

    def __cinit__(self):
        self.cursor.buffer = NULL

    def __init__(self, path, start=1, *, batch=4096):
        if batch < 1 or start < 1:
            raise ValueError(f"expected a batch and a first command of at least 1, found {batch} and {start}")
        self.path = path_bytes(path).decode("utf-8", "surrogateescape")
        self.batch = batch
        self.start = start
        self.last_sequence = start - 1
        names = [name for name in list_directory(path) if _SEGMENT.fullmatch(name)]
        begun = [name for name in names if int(name[:16], 16) <= start]
        if names and not begun:
            raise JournalError(f"{self.path}: missing segment: expected one with command {start}, found {names[0]} as "
                               "the first", "missing segment")
        self.name = begun[len(begun) - 1] if begun else segment_name(start)

    def __dealloc__(self):
        self.close()

    def close(self):
        """Let go of the file."""
        if self.inside:
            c_close(self.cursor.fd)
            self.inside = False
        cursor_close(&self.cursor)

    cdef int enter(self) except -1:
        """Open the next segment; PUT_OFF where it is not there yet."""
        cdef str file_name = f"{self.path}/{self.name}"
        cdef bytes encoded = path_bytes(file_name)
        cdef stat_t status
        cdef uint64_t found
        cdef int rc
        cdef int fd = c_open(encoded, O_RDONLY | O_CLOEXEC)
        if fd < 0:
            if errno == ENOENT:
                return PUT_OFF
            raise os_error(errno, file_name)
        if fstat(fd, &status) != 0 or status.st_ino == self.inode:
            c_close(fd)
            return PUT_OFF          # a sealed segment without a command, whose place the next one will take
        cursor_close(&self.cursor)
        with nogil:
            rc = cursor_open(&self.cursor, fd)
        header = &self.cursor.header
        if rc < 0:
            c_close(fd)
            raise JournalError(f"{file_name}: header: expected a sound one, found damage {rc}", "damaged")
        self.inside = True
        self.inode = status.st_ino
        hashes = hash_name(segment_hashes(header))
        for what, expected, is_found, code in (
            ("record layout", RECORD_LAYOUT, header.layout, "layout"),
            ("kernel rules", KERNEL_RULES, header.rules, "rules"),
            ("features", header.features & SEGMENT_FEATURES, header.features, "layout"),
            ("first command", int(self.name[:16], 16), header.first_sequence, "chain"),
            ("hashes", self.hashes or hashes, hashes, "chain"),
            ("chain", self.chain if self.linked else header.previous_chain, header.previous_chain, "chain"),
        ):
            if expected != is_found:
                raise JournalError(f"{file_name}: {what}: expected {expected}, found {is_found}", code)
        if self.linked and header.features & SEGMENT_CHAINED:
            found = hash_value(&self.digest)
            if header.previous_digest != found:
                raise JournalError(
                    f"{file_name}: digest: expected {found:016x}, found {header.previous_digest:016x}", "chain")
        if header.epoch < self.epoch:
            raise JournalError(f"{file_name}: epoch: expected at least {self.epoch}, found {header.epoch}", "epoch")
        self.epoch = header.epoch
        self.hashes = hashes
        self.capacity, self.closed_capacity = header.capacity, header.closed_capacity
        self.stuck_since = 0
        return 0

    cdef int leave(self) except -1:
        """The segment is sealed: what comes next continues it, or takes its place where it holds no command."""
        cdef cursor_t* cursor = &self.cursor
        if cursor.last_sequence >= cursor.header.first_sequence:
            self.chain = cursor.chain
            self.digest = cursor.digest
            self.linked = True
        elif not self.linked:
            self.chain = cursor.header.previous_chain
        c_close(cursor.fd)
        self.inside = False
        self.name = segment_name(cursor.last_sequence + 1)
        return 0

    cdef int look(self, int kind) except -1:
        """Nothing more can be read now: has the file been replaced, or is it damaged?"""
        cdef cursor_t* cursor = &self.cursor
        cdef bytes encoded = path_bytes(f"{self.path}/{self.name}")
        cdef stat_t status
        cdef int64_t now = clock_now_ns()
        cursor.filled = 0
        if c_stat(encoded, &status) != 0:
            if errno == ENOENT and cursor.last_sequence < cursor.header.first_sequence:
                self.unread()       # a roll that did not complete: the next writer makes it anew
                return 0
            raise JournalError(f"{self.path}/{self.name}: missing segment: expected the one that is being read, found "
                               "none", "missing segment")
        if status.st_ino != self.inode:
            if cursor.last_sequence < cursor.header.first_sequence:
                self.unread()
                return 0
            # Written anew, as a flush had failed: the same records, in another file.
            raise JournalError(f"{self.path}/{self.name}: replaced: expected the file that is being read, found another",
                               "replaced")
        if kind == RECORD_END:
            self.stuck_since = 0
            # A roll gives the next segment its name before this one's seal is written.
            return 0
        if self.stuck_since == 0 or self.stuck_offset != cursor.offset:
            self.stuck_since, self.stuck_offset = now, cursor.offset
        elif now - self.stuck_since > PATIENCE_NS:
            raise JournalError(f"{self.path}/{self.name} at byte {cursor.offset}: damaged: expected a record, found none "
                               f"that is sound ({kind})", "damaged")
        return 0

    cdef int unread(self) except -1:
        """Go back to before a segment without a command."""
        c_close(self.cursor.fd)
        self.inside = False
        self.inode = 0              # it may be given to the next file
        return 0

    def next(self):
        """A COMMAND array, a `HashRecord`, or None where nothing more is written yet."""
        cdef unsigned char[::1] raw
        cdef Py_ssize_t count
        cdef int64_t unwanted
        cdef int kind = RECORD_COMMAND
        if self.pending is not None:
            record, self.pending = self.pending, None
            return record
        while True:
            if not self.inside and self.enter() == PUT_OFF:
                return None
            unwanted = self.start - self.cursor.last_sequence - 1
            if unwanted > 0:
                with nogil:
                    cursor_commands(&self.cursor, NULL, unwanted, &kind)
                count = 0
            else:
                out = np.empty(self.batch, dtype=COMMAND)
                raw = out.view(np.uint8)
                with nogil:
                    count = cursor_commands(&self.cursor, <command_t*>&raw[0], self.batch, &kind)
            if kind == RECORD_HASH and self.cursor.hash.command_sequence >= self.start:
                self.pending = HashRecord(
                    self.cursor.hash.command_sequence, self.cursor.hash.event_sequence,
                    self.cursor.hash.event_hash, self.cursor.hash.journal_hash)
            elif kind == RECORD_SEAL:
                self.leave()
            elif kind == RECORD_END or -2000 < kind <= -1000:
                self.look(kind)
            elif kind < 0:
                raise os_error(-kind, f"{self.path}/{self.name}")
            if count:
                self.last_sequence = out[count - 1]["sequence"]
                return out[:count]
            if self.pending is not None:
                record, self.pending = self.pending, None
                return record
            if kind != RECORD_SEAL and kind != RECORD_HASH and kind != RECORD_COMMAND:
                return None
