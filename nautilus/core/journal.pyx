"""The writer of a journal: segments, staging, rolling, sealing. Reading and recovery are modules of their own."""

from libc.errno cimport EBADF, EEXIST, EINTR, EINVAL, errno
from libc.stdio cimport snprintf
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from nautilus.core.crc32c cimport crc32c_instruction, crc32c_joining
from nautilus.core.encoding cimport encode_best, encode_chained, encode_joined, encode_t, encode_tables
from nautilus.core.hashing cimport HASH_XXH3, hash_kind, hash_name, hash_value
from nautilus.core.journal_reader cimport JournalReader as Reader
from nautilus.core.journal_recovery cimport lock_directory, make_sound, mark_unsynced, sync_directory
from nautilus.core.segment cimport (
    RECORD_HASH, RECORD_SEAL, SEAL_ROLL, SEAL_STOP, SEGMENT_CHAINED, SEGMENT_XXH3, hash_body_t, open_directory, os_error,
    path_bytes, seal_body_t, segment_digest, segment_hashes, segment_header_t, segment_mark, segment_name, segment_write_header,
    write_all, zero_ahead)
from nautilus.core.types cimport KERNEL_RULES, RECORD_LAYOUT

import numpy as np

from nautilus.core.journal_reader import HashRecord, JournalReader, JournalReport, verify
from nautilus.core.journal_recovery import repair
from nautilus.core.segment import JournalDamage, JournalError
from nautilus.core.snapshot_file import Snapshot, latest_snapshot, write_snapshot
from nautilus.core.types import COMMAND

__all__ = [
    "HashRecord", "Journal", "JournalDamage", "JournalError", "JournalReader", "JournalReport", "Snapshot",
    "encode", "latest_snapshot", "repair", "verify", "write_snapshot",
]

cdef extern from *:
    """
    /* Forks that lie between the first process and this one: a child must not write into its parent's files. */
    #include <pthread.h>
    static int forks = 0;
    static void in_child(void) { forks++; }
    static int count_forks(void) { return pthread_atfork(NULL, NULL, in_child); }
    """
    int forks
    int count_forks() noexcept nogil

cdef extern from "<fcntl.h>" nogil:
    int openat(int directory, const char* name, int flags, ...)
    int posix_fallocate(int fd, int64_t offset, int64_t length)
    int O_RDWR, O_CREAT, O_TRUNC, O_CLOEXEC

cdef extern from "<unistd.h>" nogil:
    int c_close "close"(int fd)
    int fdatasync(int fd)
    int fsync(int fd)
    int ftruncate(int fd, int64_t length)
    int unlinkat(int directory, const char* name, int flags)

cdef extern from "<stdio.h>" nogil:
    int renameat(int old_directory, const char* old, int new_directory, const char* new)

cdef extern from "<sys/stat.h>" nogil:
    int c_mkdir "mkdir"(const char* path, unsigned int mode)

if count_forks() != 0:
    raise MemoryError("journal: no memory to be told of forks")

cdef enum:
    BUFFER = JOURNAL_STAGED * JOURNAL_RECORD
    SMALLEST_SEGMENT = 8192
    LARGEST_RESERVE = 1 << 20       # bytes: at least 7,710 cancels
    NAME = 32


cdef int journal_ready(journal_t* journal) noexcept nogil:
    """0, or the error that ended this journal; in a forked child, that it is not its own."""
    if journal.error == 0 and journal.forks != forks:
        journal_fail(journal, -EBADF)
    return journal.error


cdef void set_limit(journal_t* journal) noexcept nogil:
    """Behind the limit, the segment has room for one hash record and its seal."""
    cdef int64_t left = journal.segment_bytes - journal.offset - 2 * JOURNAL_MARK
    journal.limit = <size_t>min(max(left, 0), <int64_t>BUFFER)


cdef int journal_flush(journal_t* journal) noexcept nogil:
    cdef int rc = 0
    if journal_ready(journal) != 0:
        return journal.error
    if journal.used == 0:
        return 0
    journal_digest(journal)
    if journal.policy == POLICY_DISK:
        rc = zero_ahead(journal.fd, journal.offset, journal.used, journal.segment_bytes, &journal.zeroed)
    if rc == 0:
        rc = write_all(journal.fd, journal.buffer, journal.used, journal.offset)
    if rc != 0:
        return journal_fail(journal, rc)
    journal.offset += <int64_t>journal.used
    journal.bytes_written += <int64_t>journal.used
    journal.used = journal.digested = 0
    journal.flushes += 1
    journal.written_sequence = journal.last_sequence
    if journal.policy == POLICY_DISK:
        # Never tried again: after a failure the kernel may have marked the lost pages clean.
        if fdatasync(journal.fd) != 0:
            rc = -errno
            mark_unsynced(journal.directory_fd, journal.first_sequence)
            return journal_fail(journal, rc)
        journal.durable_sequence = journal.last_sequence
    set_limit(journal)
    return 0


cdef void spare_name(char* out, int index) noexcept nogil:
    snprintf(out, NAME, "spare.%d", index)


cdef int prepare_spare(journal_t* journal) noexcept nogil:
    """Allocate one more segment under a name no reader looks at. 0 or -errno; a failure leaves nothing behind."""
    cdef char[NAME] name
    cdef int rc, fd
    spare_name(name, journal.spares)
    fd = openat(journal.directory_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    if fd < 0:
        rc = errno
    else:
        rc = posix_fallocate(fd, 0, journal.segment_bytes)
        while rc == EINTR:
            rc = posix_fallocate(fd, 0, journal.segment_bytes)
        if rc == 0:
            journal.spare_fd[journal.spares] = fd
            journal.spares += 1
            return 0
        c_close(fd)
        unlinkat(journal.directory_fd, name, 0)
    journal.spare_failures += 1
    return -rc


cdef void remove_spares(int directory_fd) noexcept nogil:
    """Also those that a crashed writer left."""
    cdef char[NAME] name
    cdef int index
    for index in range(JOURNAL_SPARES):
        spare_name(name, index)
        unlinkat(directory_fd, name, 0)


cdef int begin_segment(journal_t* journal, uint32_t previous_chain, uint64_t previous_digest,
                       segment_header_t* begun) noexcept nogil:
    """Give the last spare its header, signed in `begun`, and its name. 0 or -errno."""
    cdef segment_header_t header
    cdef char[NAME] name
    cdef char[NAME] spare
    cdef int fd = journal.spare_fd[journal.spares - 1]
    cdef int rc
    memset(&header, 0, sizeof(header))
    header.layout = RECORD_LAYOUT
    header.rules = KERNEL_RULES
    header.segment_bytes = journal.segment_bytes
    header.first_sequence = journal.last_sequence + 1
    header.epoch = journal.epoch
    header.capacity = journal.capacity
    header.closed_capacity = journal.closed_capacity
    header.previous_chain = previous_chain
    header.features = journal.features
    header.previous_digest = previous_digest
    rc = segment_write_header(fd, &header)
    if rc != 0:
        return rc
    snprintf(name, NAME, "%016llx.journal", <unsigned long long>header.first_sequence)
    spare_name(spare, journal.spares - 1)
    if journal.policy == POLICY_DISK and fdatasync(fd) != 0:
        return -errno
    if renameat(journal.directory_fd, spare, journal.directory_fd, name) != 0:
        return -errno
    if journal.policy == POLICY_DISK and fsync(journal.directory_fd) != 0:
        return -errno
    begun[0] = header
    return 0


cdef void enter_segment(journal_t* journal, const segment_header_t* header) noexcept nogil:
    journal.spares -= 1
    journal.fd = journal.spare_fd[journal.spares]
    journal.offset = journal.zeroed = JOURNAL_HEADER
    journal.bytes_written += JOURNAL_HEADER
    journal.first_sequence = journal.last_sequence + 1
    journal.chain = header.crc
    segment_digest(header, &journal.digest)
    set_limit(journal)


cdef void stage_seal(journal_t* journal, uint64_t kind) noexcept nogil:
    cdef seal_body_t body
    body.last_sequence = journal.last_sequence
    body.offset = journal.offset + <int64_t>journal.used
    body.kind = kind
    body.epoch = journal.epoch
    journal.used += segment_mark(journal.buffer + journal.used, RECORD_SEAL, &body, &journal.chain)


cdef int roll(journal_t* journal) noexcept nogil:
    """Seal the segment, go on in the next one. 0 or -errno, which is final.

    The next segment has its name before the seal is written: a sealed segment without a successor is therefore a loss,
    never an interrupted roll; an unsealed one with an empty successor is an interrupted roll, never a loss.
    """
    cdef segment_header_t begun
    cdef int rc = 0
    if journal.spares == 0:
        rc = prepare_spare(journal)
    if rc == 0:
        stage_seal(journal, SEAL_ROLL)
        journal_digest(journal)
        rc = begin_segment(journal, journal.chain, hash_value(&journal.digest), &begun)
    if rc == 0:
        rc = journal_flush(journal)
    if rc == 0 and ftruncate(journal.fd, journal.offset) != 0:
        rc = -errno
    if rc != 0:
        return journal_fail(journal, rc)
    c_close(journal.fd)
    journal.rolls += 1
    enter_segment(journal, &begun)
    return 0


cdef int journal_make_room(journal_t* journal) noexcept nogil:
    if journal_ready(journal) != 0:
        return journal.error
    if journal.segment_bytes - journal.offset - <int64_t>journal.used - 2 * JOURNAL_MARK < JOURNAL_RECORD:
        return roll(journal)
    return journal_flush(journal)


cdef bint journal_find_room(journal_t* journal, Py_ssize_t commands) noexcept nogil:
    cdef int64_t left = journal.segment_bytes - journal.offset - <int64_t>journal.used - 2 * JOURNAL_MARK
    cdef int64_t wanted = commands * JOURNAL_RECORD + (commands // JOURNAL_CHECKPOINT) * JOURNAL_MARK
    # Up to one record's bytes stay unused at the end of each segment. The reserve is that of the last one.
    cdef int64_t whole = journal.segment_bytes - JOURNAL_HEADER - 2 * JOURNAL_MARK - JOURNAL_RECORD
    if journal_ready(journal) != 0:
        return False
    left -= journal.reserve_bytes + JOURNAL_RECORD
    while wanted > left + journal.spares * whole:
        if journal.spares == JOURNAL_SPARES or prepare_spare(journal) != 0:
            return False
    return True


cdef void journal_put_hash(journal_t* journal, int64_t command_sequence, int64_t event_sequence,
                           uint64_t event_hash, uint64_t journal_hash) noexcept nogil:
    cdef hash_body_t body
    if journal.error != 0 or command_sequence == journal.hash_sequence:
        return
    if command_sequence != journal.last_sequence or command_sequence < journal.first_sequence:
        journal_fail(journal, -EINVAL)
        return
    body.command_sequence = command_sequence
    body.event_sequence = event_sequence
    body.event_hash = event_hash
    body.journal_hash = journal_hash
    journal.used += segment_mark(journal.buffer + journal.used, RECORD_HASH, &body, &journal.chain)
    journal.hash_sequence = command_sequence


cdef class Journal:
    """One writer thread. A journal open for appending; the directory is locked while it is.

    Parameters
    ----------
    path : path
        Directory; made where it is not there (its parent must be).
    policy : {"memory", "disk"}
        What a flush promises: written (survives this process) or fdatasync'ed (survives the machine).
    segment_bytes : int
        Size of new segments, a multiple of 4,096, at least 8,192.
    capacity, closed_capacity : int, optional
        Of the kernel that writes. They belong to the journal: an existing one is opened with its own, and refuses
        others. Default for a new one: 2^20.
    first_sequence : int, optional
        First command of a new journal (behind a snapshot, for example). Default 1.
    epoch : int, optional
        Not below the journal's. Default: the journal's, 1 for a new one.
    hashes : {"xxh3", "xxh64"}, optional
        Of records and segments. They belong to the journal as the capacities do. Default for a new one: "xxh3".
    replay : Replay, optional
        Carries the commands out while the journal is checked; what it raises, opening does too.

    Raises
    ------
    JournalError
        Code `locked`, `not a journal`, `layout`, `rules`, `missing segment` (its first one), `epoch`, `capacity`,
        `hashes`, `sequence`.
    OSError
        From the operating system; also later, from `append`, `flush` and `close`: then the journal has failed for
        good and answers the same error to every later call.

    An existing journal is checked and, where it is damaged or was left by a crash, cut behind its last valid record;
    what was cut stays in files named `*.damaged`, and `recovery` holds the report. Writing goes on in a new segment.
    """

    def __cinit__(self):
        memset(&self.state, 0, sizeof(journal_t))
        self.state.fd = self.state.directory_fd = self.state.lock_fd = -1
        self.state.error = -EBADF

    def __init__(self, path, *, policy="memory", segment_bytes=64 << 20, capacity=None, closed_capacity=None,
                 first_sequence=None, epoch=None, hashes=None, replay=None):
        cdef journal_t* state = &self.state
        cdef Reader reader
        cdef segment_header_t begun
        cdef uint32_t previous_chain
        cdef uint64_t previous_digest
        cdef int rc, kind
        if state.directory_fd >= 0:
            raise JournalError(f"{self.path}: open already", "locked")
        if policy not in ("memory", "disk"):
            raise ValueError(f"policy: expected 'memory' or 'disk', found {policy!r}")
        if segment_bytes % 4096 or not SMALLEST_SEGMENT <= segment_bytes <= 1 << 40:
            raise ValueError(f"segment_bytes: expected a multiple of 4096 from 8192 to 2^40, found {segment_bytes}")
        self.path = path_bytes(path).decode("utf-8", "surrogateescape")
        state.policy = POLICY_DISK if policy == "disk" else POLICY_MEMORY
        state.segment_bytes = segment_bytes
        state.reserve_bytes = min((segment_bytes - JOURNAL_HEADER) // 4, LARGEST_RESERVE)
        state.encode = encode_best()
        state.forks = forks
        made = c_mkdir(path_bytes(path), 0o700) == 0
        if not made and errno != EEXIST:
            raise os_error(errno, self.path)
        try:
            if made and state.policy == POLICY_DISK:
                sync_directory(f"{self.path}/..")
            state.directory_fd = open_directory(path)
            state.lock_fd = lock_directory(self.path, state.directory_fd)
            remove_spares(state.directory_fd)
            reader, self.renewed, self.recovery = make_sound(
                self.path, state.directory_fd, capacity, closed_capacity, first_sequence, epoch, hashes, replay)
            previous_chain = reader.chain
            previous_digest = hash_value(&reader.digest)
            kind = HASH_XXH3 if hashes is None else hash_kind(hashes)
            if reader.cut_index > 0:
                kind = segment_hashes(&reader.header)
                state.last_sequence = reader.last_sequence
                state.epoch = epoch or reader.header.epoch
                state.capacity = reader.header.capacity
                state.closed_capacity = reader.header.closed_capacity
                if reader.header.first_sequence > reader.last_sequence:
                    # It holds no command: the new one takes its place in the chain and, by one rename, its name.
                    previous_chain = reader.header.previous_chain
                    previous_digest = reader.header.previous_digest
            else:
                previous_chain = previous_digest = 0
                state.last_sequence = (first_sequence or 1) - 1
                state.epoch = epoch or 1
                state.capacity = capacity or 1 << 20
                state.closed_capacity = closed_capacity or 1 << 20
            state.features = SEGMENT_CHAINED | (SEGMENT_XXH3 if kind == HASH_XXH3 else 0)
            state.buffer = <uint8_t*>malloc(BUFFER + 2 * JOURNAL_MARK)
            if state.buffer is NULL:
                raise MemoryError("journal: no memory for the staging buffer")
            state.written_sequence = state.last_sequence
            state.durable_sequence = state.last_sequence if state.policy == POLICY_DISK else 0
            state.hash_sequence = -1
            rc = prepare_spare(state)
            if rc == 0:
                rc = begin_segment(state, previous_chain, previous_digest, &begun)
            if rc != 0:
                raise os_error(-rc, f"{self.path}/{segment_name(state.last_sequence + 1)}")
        except BaseException:
            self.release()
            raise
        state.error = 0
        enter_segment(state, &begun)

    def __dealloc__(self):
        self.release()

    cdef void release(self) noexcept:
        """Close everything; what is staged is lost, as nobody was told that it is written."""
        cdef journal_t* state = &self.state
        journal_fail(state, -EBADF)
        while state.spares > 0:
            state.spares -= 1
            c_close(state.spare_fd[state.spares])
        # A forked child that drops its copy must not touch the files of the writer.
        if state.lock_fd >= 0 and state.forks == forks:
            remove_spares(state.directory_fd)
        for fd in (state.fd, state.lock_fd, state.directory_fd):
            if fd >= 0:
                c_close(fd)
        state.fd = state.lock_fd = state.directory_fd = -1
        free(state.buffer)
        state.buffer = NULL
        state.used = state.digested = 0

    cdef int check(self, int rc) except -1:
        if rc == 0:
            return 0
        if self.closed:
            raise JournalError(f"{self.path}: closed: expected an open journal", "closed")
        raise os_error(-rc, f"{self.path}/{segment_name(self.state.first_sequence)}")

    cdef int _write(self, const command_t* commands, Py_ssize_t count) except -1:
        cdef Py_ssize_t i
        cdef int rc
        with nogil:
            for i in range(count):
                journal_put(&self.state, commands + i)
            rc = journal_flush(&self.state)
        return self.check(rc)

    def append(self, commands):
        """Write COMMAND records; on return they are as safe as the policy says.

        Their `sequence` must continue the journal's without a gap: JournalError, code `sequence`, else, with nothing
        written.
        """
        cdef const unsigned char[::1] raw
        if not isinstance(commands, np.ndarray) or commands.dtype != COMMAND or commands.ndim != 1:
            raise TypeError("commands: expected a one-dimensional array of dtype COMMAND, "
                            f"found {getattr(commands, 'dtype', type(commands).__name__)}")
        if not commands.flags.c_contiguous or not commands.flags.aligned:
            raise ValueError("commands: expected a contiguous, aligned array")
        self.check(self.state.error)
        first = self.state.last_sequence + 1
        wrong = np.flatnonzero(commands["sequence"] != np.arange(first, first + len(commands)))
        if len(wrong):
            raise JournalError(
                f"{self.path}: commands[{wrong[0]}]: sequence: expected {first + wrong[0]}, "
                f"found {commands['sequence'][wrong[0]]}", "sequence")
        if len(commands):
            raw = commands.view(np.uint8)
            self._write(<const command_t*>&raw[0], len(commands))

    def append_hash(self, event_sequence, event_hash, journal_hash):
        """Write the running hashes as of the last command, which must be of this writer."""
        self.check(self.state.error)
        if self.state.last_sequence < self.state.first_sequence:
            raise JournalError(f"{self.path}: sequence: expected a command in this segment before a hash record, "
                               "found none", "sequence")
        journal_put_hash(&self.state, self.state.last_sequence, event_sequence, event_hash, journal_hash)
        self.flush()

    def flush(self):
        """Write what is staged."""
        cdef int rc
        with nogil:
            rc = journal_flush(&self.state)
        self.check(rc)

    def room(self, commands):
        """True where so many more full records fit and the reserve is left; else new orders are to be refused."""
        return bool(journal_room(&self.state, commands))

    def close(self):
        """Write what is staged and a clean stop, and let go of the directory. A second call does nothing."""
        cdef journal_t* state = &self.state
        cdef int rc
        if self.closed:
            return
        name = f"{self.path}/{segment_name(state.first_sequence)}"
        with nogil:
            rc = journal_ready(state)
            if rc == 0:
                stage_seal(state, SEAL_STOP)
                rc = journal_flush(state)
            if rc == 0 and ftruncate(state.fd, state.offset) != 0:
                rc = -errno
            if rc == 0 and state.policy == POLICY_DISK and fsync(state.fd) != 0:
                rc = -errno
                mark_unsynced(state.directory_fd, state.first_sequence)
        self.release()
        if rc != 0:
            raise os_error(-rc, name)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    @property
    def closed(self):
        """True after `close`."""
        return self.state.directory_fd < 0

    @property
    def error(self):
        """0, or the errno of the failure that ended this journal."""
        return -self.state.error

    @property
    def policy(self):
        """`memory` or `disk`."""
        return "disk" if self.state.policy == POLICY_DISK else "memory"

    @property
    def last_sequence(self):
        """Of the last command put, staged ones included."""
        return self.state.last_sequence

    @property
    def written_sequence(self):
        """Of the last command that this process can no longer lose."""
        return self.state.written_sequence

    @property
    def durable_sequence(self):
        """Of the last command that the machine can no longer lose; 0 with policy `memory`."""
        return self.state.durable_sequence

    @property
    def bytes_written(self):
        """By this writer: headers, records, seals."""
        return self.state.bytes_written

    @property
    def epoch(self):
        """Of the segment being written."""
        return self.state.epoch

    @property
    def hashes(self):
        """`xxh3`, or `xxh64` where an earlier version began the journal."""
        return hash_name(journal_hashes(&self.state))

    @property
    def capacity(self):
        """Open orders of the kernel that this journal belongs to."""
        return self.state.capacity

    @property
    def closed_capacity(self):
        """Closed ids an account remembers, of the same kernel."""
        return self.state.closed_capacity

    def counters(self):
        """Flushes, segment rolls, and times a next segment could not be had."""
        return {"flushes": self.state.flushes, "rolls": self.state.rolls, "spare_failures": self.state.spare_failures}


def encode(commands, uint32_t chain=0, *, method=None):
    """The bytes that COMMAND records become behind a record with checksum `chain`.

    method: `tables`, `chained` (by the processor's CRC32C instruction), `joined` (with a carry-less multiplication too),
    or None for the one that the journal uses here. The bytes are the same. ValueError where the processor lacks it.
    """
    cdef const unsigned char[::1] raw = np.ascontiguousarray(commands, dtype=COMMAND).view(np.uint8)
    cdef bytearray out = bytearray((len(commands) + 1) * JOURNAL_RECORD)
    cdef uint8_t* start = out
    cdef encode_t call = encode_best()
    cdef size_t used = 0
    if method == "tables":
        call = encode_tables
    elif method == "chained" and crc32c_instruction:
        call = encode_chained
    elif method == "joined" and crc32c_joining:
        call = encode_joined
    elif method is not None:
        raise ValueError(f"method: expected one that this processor has, found {method!r}")
    if len(commands):
        used = call(start, <const command_t*>&raw[0], len(commands), &chain)
    return bytes(out[:used])
