"""Where a journal begins, after compaction: the file `base` beside its segments, and the heads of these."""

from libc.errno cimport ENOENT, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from nautilus.core.crc32c cimport crc32c_update
from nautilus.core.segment cimport (
    DAMAGE_HEADER_COPY, cursor_close, cursor_open, cursor_t, list_directory, open_directory, os_error, path_bytes,
    read_all, write_all)

import re
from typing import NamedTuple

from nautilus.core.segment import JournalError

cdef extern from *:
    """
    typedef struct base_t {
        uint8_t  magic[8];
        int64_t  first_sequence, snapshot_sequence;
        uint64_t digest, epoch;
        uint32_t chain;
        uint8_t  reserved[16];
        uint32_t crc;                       /* of the 60 bytes before it */
    } base_t;
    _Static_assert(sizeof(base_t) == 64, "base_t");
    static const uint8_t base_magic[8] = {'N', 'A', 'U', 'T', 'B', 'A', 'S', '1'};
    """
    ctypedef struct base_t:
        uint8_t magic[8]
        int64_t first_sequence
        int64_t snapshot_sequence
        uint64_t digest
        uint64_t epoch
        uint32_t chain
        uint32_t crc
    const uint8_t* base_magic

cdef extern from "<fcntl.h>" nogil:
    int openat(int directory, const char* name, int flags, ...)
    int O_RDONLY, O_WRONLY, O_CREAT, O_TRUNC, O_CLOEXEC

cdef extern from "<unistd.h>" nogil:
    int c_close "close"(int fd)
    int fsync(int fd)

cdef extern from "<stdio.h>" nogil:
    int renameat(int old_directory, const char* old, int new_directory, const char* new)

cdef const char* NAME = b"base"
cdef const char* DRAFT = b"base.new"
_SEGMENT = re.compile(r"[0-7][0-9a-f]{15}\.journal")


class Base(NamedTuple):
    """The first segment that compaction has left: its first command, what its header says of those before it.

    `snapshot_sequence` is that of the oldest snapshot that was kept: the state after a command of the journal, or after
    the one before its first.
    """

    first_sequence: int
    snapshot_sequence: int
    chain: int
    digest: int
    epoch: int


class SegmentHead(NamedTuple):
    """What the header of a segment says; `chain` and `digest` are of the segments before it."""

    name: str
    first_sequence: int
    epoch: int
    chain: int
    digest: int


def read_base(path):
    """The `Base` of the journal in this directory, None where it was never compacted.

    Raises JournalError (``base``) where the file is damaged, OSError where it cannot be read.
    """
    cdef base_t found
    cdef int64_t got
    cdef int directory_fd = open_directory(path)
    cdef int fd = openat(directory_fd, NAME, O_RDONLY | O_CLOEXEC)
    cdef int code = errno
    c_close(directory_fd)
    if fd < 0:
        if code == ENOENT:
            return None
        raise os_error(code, f"{path}/base")
    memset(&found, 0, sizeof(found))
    got = read_all(fd, &found, sizeof(found), 0)
    c_close(fd)
    if got < 0:
        raise os_error(<int>-got, f"{path}/base")
    if got != sizeof(found) or memcmp(found.magic, base_magic, 8) != 0 \
            or found.crc != crc32c_update(0, &found, sizeof(found) - 4):
        raise JournalError(f"{path}/base: expected 64 bytes with their checksum, found damaged ones", "base")
    return Base(found.first_sequence, found.snapshot_sequence, found.chain, found.digest, found.epoch)


def write_base(path, base):
    """Store a `Base`; it is on disk, whole, when this returns. Raises OSError."""
    cdef base_t made
    cdef int directory_fd, fd
    cdef int rc = 0
    memset(&made, 0, sizeof(made))
    memcpy(made.magic, base_magic, 8)
    made.first_sequence, made.snapshot_sequence, made.chain, made.digest, made.epoch = base
    made.crc = crc32c_update(0, &made, sizeof(made) - 4)
    directory_fd = open_directory(path)
    fd = openat(directory_fd, DRAFT, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    if fd < 0:
        rc = -errno
    else:
        rc = write_all(fd, &made, sizeof(made), 0)
        if rc == 0 and fsync(fd) != 0:
            rc = -errno
        c_close(fd)
        if rc == 0 and (renameat(directory_fd, DRAFT, directory_fd, NAME) != 0 or fsync(directory_fd) != 0):
            rc = -errno
    c_close(directory_fd)
    if rc != 0:
        raise os_error(-rc, f"{path}/base")


def segment_heads(path):
    """`SegmentHead` of each segment in the directory, oldest first; those whose header is damaged are left out."""
    cdef cursor_t cursor
    cdef int fd, rc
    cdef int directory_fd = open_directory(path)
    heads = []
    try:
        for name in list_directory(path):
            if not _SEGMENT.fullmatch(name):
                continue
            fd = openat(directory_fd, path_bytes(name), O_RDONLY | O_CLOEXEC)
            if fd < 0:
                if errno == ENOENT:
                    continue        # compacted away, or put in its place, since it was listed
                raise os_error(errno, f"{path}/{name}")
            rc = cursor_open(&cursor, fd)
            cursor_close(&cursor)
            c_close(fd)
            if rc == 0 or rc == DAMAGE_HEADER_COPY:
                heads.append(SegmentHead(name, cursor.header.first_sequence, cursor.header.epoch,
                                         cursor.header.previous_chain, cursor.header.previous_digest))
    finally:
        c_close(directory_fd)
    return heads
