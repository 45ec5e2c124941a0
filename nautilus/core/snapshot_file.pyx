"""Snapshots of a kernel's state beside its journal: whole or not there, checked when read."""

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from nautilus.core.crc32c cimport crc32c_update
from nautilus.core.segment cimport list_directory, open_directory, os_error, read_all, write_all
from nautilus.core.types cimport KERNEL_RULES, RECORD_LAYOUT

import re
from typing import NamedTuple

cdef extern from *:
    """
    typedef struct snapshot_header_t {
        uint8_t  magic[8];
        uint32_t layout, rules;
        int64_t  sequence;
        uint64_t bytes;                     /* of the payload */
        uint8_t  reserved[24];
        uint32_t payload_crc, crc;          /* crc: of the 60 bytes before it */
    } snapshot_header_t;
    _Static_assert(sizeof(snapshot_header_t) == 64, "snapshot_header_t");
    static const uint8_t snapshot_magic[8] = {'N', 'A', 'U', 'T', 'S', 'N', 'P', '1'};
    """
    ctypedef struct snapshot_header_t:
        uint8_t magic[8]
        uint32_t layout
        uint32_t rules
        int64_t sequence
        uint64_t bytes
        uint32_t payload_crc
        uint32_t crc
    const uint8_t* snapshot_magic

cdef extern from "<fcntl.h>" nogil:
    int openat(int directory, const char* name, int flags, ...)
    int O_RDONLY, O_WRONLY, O_CREAT, O_TRUNC, O_CLOEXEC

cdef extern from "<unistd.h>" nogil:
    int c_close "close"(int fd)
    int fsync(int fd)
    int unlinkat(int directory, const char* name, int flags)

cdef extern from "<stdio.h>" nogil:
    int renameat(int old_directory, const char* old, int new_directory, const char* new)

cdef extern from "<sys/stat.h>" nogil:
    struct stat_t "stat":
        int64_t st_size
    int fstat(int fd, stat_t* status)

SNAPSHOT_NAME = re.compile(r"[0-7][0-9a-f]{15}\.snapshot")


class Snapshot(NamedTuple):
    """The newest sound snapshot: the state after command `sequence`, written under kernel rules `rules`.

    `payload` is None, and the numbers 0, where there is none. `skipped` holds (file name, what is wrong with it) for
    each newer one that was passed over.
    """

    sequence: int
    payload: bytes | None
    rules: int
    skipped: tuple[tuple[str, str], ...] = ()


def write_snapshot(path, sequence, bytes payload not None):
    """Store a kernel's state as of command `sequence` in the directory of its journal.

    It is on disk, under its name and whole, when this returns; before that, it is not there at all. One of the same
    sequence is replaced.

    Parameters
    ----------
    path : path
        Directory.
    sequence : int
        Last command that the state contains, 0 or more.
    payload : bytes
        The state.

    Raises
    ------
    OSError
        From the operating system; an earlier snapshot is untouched then.
    """
    cdef snapshot_header_t header
    cdef int directory_fd, fd, rc
    cdef const uint8_t* data = payload
    cdef size_t length = len(payload)
    if sequence < 0:
        raise ValueError(f"sequence: expected 0 or more, found {sequence}")
    memset(&header, 0, sizeof(header))
    memcpy(header.magic, snapshot_magic, 8)
    header.layout = RECORD_LAYOUT
    header.rules = KERNEL_RULES
    header.sequence = sequence
    header.bytes = length
    header.payload_crc = crc32c_update(0, data, length)
    header.crc = crc32c_update(0, &header, sizeof(header) - 4)
    cdef bytes name = f"{sequence:016x}.snapshot".encode()
    cdef bytes draft = name + b".new"
    cdef const char* name_chars = name
    cdef const char* draft_chars = draft
    directory_fd = open_directory(path)
    with nogil:
        rc = 0
        fd = openat(directory_fd, draft_chars, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        if fd < 0:
            rc = -errno
        else:
            rc = write_all(fd, &header, sizeof(header), 0)
            if rc == 0:
                rc = write_all(fd, data, length, sizeof(header))
            if rc == 0 and fsync(fd) != 0:
                rc = -errno
            c_close(fd)
            if rc == 0 and (renameat(directory_fd, draft_chars, directory_fd, name_chars) != 0
                            or fsync(directory_fd) != 0):
                rc = -errno
            if rc != 0:
                unlinkat(directory_fd, draft_chars, 0)
        c_close(directory_fd)
    if rc != 0:
        raise os_error(-rc, f"{path}/{name.decode()}")


def latest_snapshot(path, at_most=None):
    """The newest sound snapshot beside a journal.

    Parameters
    ----------
    path : path
        Directory.
    at_most : int, optional
        Of command `at_most` or before.

    Returns
    -------
    Snapshot
        Its `payload` is None where there is no sound one.

    Raises
    ------
    OSError
        Where the directory cannot be read.
    """
    skipped = []
    for name in reversed(list_directory(path)):
        if not SNAPSHOT_NAME.fullmatch(name):
            continue
        sequence = int(name[:16], 16)
        if at_most is not None and sequence > at_most:
            continue
        try:
            found = _read(path, name, sequence)
        except (ValueError, OSError) as error:
            skipped.append((name, str(error)))
        else:
            return found._replace(skipped=tuple(skipped))
    return Snapshot(0, None, 0, tuple(skipped))


cdef object _read(object path, str name, int64_t sequence):
    """One snapshot, checked; ValueError says what is wrong with it."""
    cdef snapshot_header_t header
    cdef stat_t status
    cdef int64_t got
    cdef uint32_t crc
    cdef bytes payload
    cdef bytes encoded = name.encode()
    cdef int directory_fd = open_directory(path)
    cdef int fd = openat(directory_fd, encoded, O_RDONLY | O_CLOEXEC)
    c_close(directory_fd)
    if fd < 0:
        raise os_error(errno, f"{path}/{name}")
    try:
        if fstat(fd, &status) != 0:
            raise os_error(errno, f"{path}/{name}")
        memset(&header, 0, sizeof(header))
        got = read_all(fd, &header, sizeof(header), 0)
        if got < 0:
            raise os_error(<int>-got, f"{path}/{name}")
        if memcmp(header.magic, snapshot_magic, 8) != 0:
            raise ValueError("magic: expected NAUTSNP1, found something else")
        crc = crc32c_update(0, &header, sizeof(header) - 4)
        if crc != header.crc:
            raise ValueError(f"header: expected checksum {crc:08x}, found {header.crc:08x}")
        if header.layout != RECORD_LAYOUT:
            raise ValueError(f"layout: expected {RECORD_LAYOUT}, found {header.layout}")
        if header.sequence != sequence:
            raise ValueError(f"sequence: expected {sequence} as in its name, found {header.sequence}")
        if status.st_size != <int64_t>(sizeof(header) + header.bytes):
            raise ValueError(f"size: expected {sizeof(header) + header.bytes} bytes, found {status.st_size}")
        payload = bytes(header.bytes)
        got = read_all(fd, <uint8_t*>payload, header.bytes, sizeof(header))
        if got < 0:
            raise os_error(<int>-got, f"{path}/{name}")
        crc = crc32c_update(0, <const uint8_t*>payload, header.bytes)
        if crc != header.payload_crc:
            raise ValueError(f"payload: expected checksum {header.payload_crc:08x}, found {crc:08x}")
        return Snapshot(sequence, payload, header.rules)
    finally:
        c_close(fd)
