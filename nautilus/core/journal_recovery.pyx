"""Putting a journal right after a crash or damage: the valid prefix stays, no record is deleted."""

from libc.errno cimport EAGAIN, EINTR, ENOENT, errno
from libc.stdint cimport int64_t, uint8_t
from libc.stdio cimport snprintf

from nautilus.core.hashing cimport hash_kind
from nautilus.core.journal_reader cimport JournalReader, walk
from nautilus.core.segment cimport (
    RECORD_SEAL, SEAL_RECOVERED, SEAL_ROLL, SEAL_STOP, SEGMENT_HEADER, SEGMENT_MARK, cursor_close, cursor_kept_end,
    cursor_open, cursor_t, list_directory, open_directory, os_error, path_bytes, read_all, seal_body_t,
    segment_digest_records, segment_hashes, segment_mark, segment_write_header, write_all)
from nautilus.core.types cimport KERNEL_RULES

from nautilus.core.segment import JournalError
from nautilus.core.snapshot_file import SNAPSHOT_NAME, latest_snapshot

cdef extern from "<fcntl.h>" nogil:
    int openat(int directory, const char* name, int flags, ...)
    int O_RDONLY, O_RDWR, O_WRONLY, O_CREAT, O_EXCL, O_TRUNC, O_CLOEXEC

cdef extern from "<unistd.h>" nogil:
    int c_close "close"(int fd)
    int fsync(int fd)
    int ftruncate(int fd, int64_t length)
    int unlinkat(int directory, const char* name, int flags)
    int getpid()

cdef extern from "<stdio.h>" nogil:
    int renameat(int old_directory, const char* old, int new_directory, const char* new)

cdef extern from "<sys/file.h>" nogil:
    int flock(int fd, int operation)
    int LOCK_EX, LOCK_NB, LOCK_UN

cdef const char* LOCK = b"lock"
cdef const char* RENEWED = b"renewed"
cdef str UNSYNCED = ".flush-failed"

cdef enum:
    CHUNK = 1 << 20


cdef int lock_directory(str path, int directory_fd) except -1:
    """The descriptor that holds the lock."""
    cdef char[24] text
    cdef int64_t length
    cdef int fd = openat(directory_fd, LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    if fd < 0:
        raise os_error(errno, f"{path}/lock")
    if flock(fd, LOCK_EX | LOCK_NB) != 0:
        code = errno
        length = read_all(fd, text, sizeof(text), 0)
        c_close(fd)
        if code != EAGAIN:
            raise os_error(code, f"{path}/lock")
        holder = text[:length].decode("ascii", "replace").strip() if length > 0 else "unknown"
        raise JournalError(
            f"{path}: locked: expected no other writer, found the journal open in process {holder}", "locked")
    length = snprintf(text, sizeof(text), "%d\n", getpid())
    if ftruncate(fd, 0) == 0:
        write_all(fd, text, <size_t>length, 0)      # only for the message above
    return fd


cdef int lock_retention(str path, int directory_fd) except -1:
    """Lock the directory itself, whose files a compaction removes under the same lock; one under way is waited for."""
    while flock(directory_fd, LOCK_EX) != 0:
        if errno != EINTR:
            raise os_error(errno, path)
    return 0


cdef tuple make_sound(str path, int directory_fd, capacity, closed_capacity, first_sequence, epoch, hashes, replay):
    cdef JournalReader reader
    cdef object report = None
    lock_retention(path, directory_fd)      # nobody compacts it meanwhile
    try:
        renewed = renew_unsynced(path, directory_fd)
        reader = walk(path) if replay is None else replay.walk(path)
        if reader.names:
            check_opening(reader, capacity, closed_capacity, first_sequence, epoch, hashes)
            if replay is not None:
                replay.check()
            report = reader.report_now()
            recover(reader, directory_fd)
        return reader, renewed, report
    finally:
        flock(directory_fd, LOCK_UN)


cdef int refuse_unrepairable(JournalReader reader) except -1:
    damage = reader.damage
    if damage is None:
        return 0
    if damage.what in ("not a journal", "layout") or (damage.what == "missing segment" and reader.cut_index == 0):
        raise JournalError(f"{reader.path}: {damage}", damage.what)
    return 0


cdef int check_opening(JournalReader reader, capacity, closed_capacity, first_sequence, epoch, hashes) except -1:
    """Refuse what recovery could not put right, before anything is touched."""
    refuse_unrepairable(reader)
    if reader.cut_index == 0:
        return 0
    header = &reader.header
    for name, wanted, held in (("capacity", capacity, header.capacity),
                               ("closed_capacity", closed_capacity, header.closed_capacity)):
        if wanted is not None and wanted != held:
            raise JournalError(f"{reader.path}: {name}: expected {held} as the journal has, found {wanted}", "capacity")
    if hashes is not None and hash_kind(hashes) != segment_hashes(header):
        raise JournalError(f"{reader.path}: hashes: expected {reader.hashes} as the journal has, found {hashes}", "hashes")
    if epoch is not None and epoch < header.epoch:
        raise JournalError(f"{reader.path}: epoch: expected at least {header.epoch}, found {epoch}", "epoch")
    if first_sequence is not None and first_sequence != reader.last_sequence + 1:
        raise JournalError(f"{reader.path}: first_sequence: expected {reader.last_sequence + 1} as the journal goes "
                           f"on, found {first_sequence}", "sequence")
    if header.rules != KERNEL_RULES:
        if reader.seal != SEAL_STOP or not has_snapshot(reader):
            raise JournalError(
                f"{reader.path}: rules: expected kernel rules {KERNEL_RULES}, or a clean stop with a snapshot at its "
                f"last command {reader.last_sequence}, found rules {header.rules}", "rules")
    return 0


cdef bint has_snapshot(JournalReader reader) except -1:
    """One of the last command of the journal."""
    snapshot = latest_snapshot(reader.path)
    return snapshot.payload is not None and snapshot.sequence == reader.last_sequence


cdef int recover(JournalReader reader, int directory_fd) except -1:
    """Leave exactly the valid prefix, sealed; what does not count moves to `*.damaged`.

    A crash in the middle leaves a journal with the same valid prefix, to which the next recovery does the rest.
    """
    cdef cursor_t cursor
    cdef seal_body_t body
    cdef uint8_t[SEGMENT_MARK] mark
    cdef int64_t end
    cdef int fd, rc
    for index, damage, valid in reader.blemishes:
        fd = open_segment(reader, directory_fd, index)
        try:
            with nogil:
                rc = cursor_open(&cursor, fd)
                end = cursor_kept_end(&cursor, 0) if rc >= 0 else rc
            if end >= 0 and valid < 0:
                end = segment_write_header(fd, &cursor.header)
            elif end >= 0:
                if end > valid:
                    save(reader, directory_fd, index, fd, valid, end)
                end = -errno if ftruncate(fd, valid) != 0 else 0
            if end < 0:
                raise os_error(<int>-end, f"{reader.path}/{reader.names[index]}")
        finally:
            cursor_close(&cursor)
            c_close(fd)
    if reader.unfinished is not None:
        if unlinkat(directory_fd, path_bytes(reader.unfinished), 0) != 0:
            raise os_error(errno, f"{reader.path}/{reader.unfinished}")
    elif reader.damage is not None:
        for name in reader.names[reader.cut_index:]:
            set_aside(reader, directory_fd, name)
    set_snapshots_aside(reader, directory_fd)
    if reader.cut_index == 0 or (reader.seal != 0 and (reader.damage is None or reader.seal != SEAL_ROLL)):
        return 0
    fd = open_segment(reader, directory_fd, reader.cut_index - 1)
    try:
        with nogil:
            rc = cursor_open(&cursor, fd)
            end = cursor_kept_end(&cursor, reader.cut_offset) if rc >= 0 else rc
        cursor_close(&cursor)
        if end < 0:
            raise os_error(<int>-end, f"{reader.path}/{reader.names[reader.cut_index - 1]}")
        if end > reader.cut_offset:
            save(reader, directory_fd, reader.cut_index - 1, fd, reader.cut_offset, end)
        if reader.seal == SEAL_ROLL:
            # The segment that this seal announces is lost: the journal ends here after all.
            reader.cut_offset -= SEGMENT_MARK
            reader.chain = reader.unsealed_chain
            reader.digest = reader.unsealed_digest
        body.last_sequence = reader.last_sequence
        body.offset = max(reader.cut_offset, SEGMENT_HEADER)
        body.kind = SEAL_RECOVERED
        body.epoch = reader.header.epoch
        segment_mark(mark, RECORD_SEAL, &body, &reader.chain)
        segment_digest_records(&reader.digest, mark, SEGMENT_MARK)
        rc = segment_write_header(fd, &reader.header) if reader.cut_offset < SEGMENT_HEADER else 0
        if rc == 0:
            rc = write_all(fd, mark, SEGMENT_MARK, body.offset)
        if rc == 0 and ftruncate(fd, body.offset + SEGMENT_MARK) != 0:
            rc = -errno
        if rc == 0 and fsync(fd) != 0:
            rc = -errno
            mark_unsynced(directory_fd, reader.header.first_sequence)
        if rc != 0:
            raise os_error(-rc, f"{reader.path}/{reader.names[reader.cut_index - 1]}")
        reader.seal = SEAL_RECOVERED
    finally:
        c_close(fd)
    return 0


cdef void mark_unsynced(int directory_fd, int64_t first_sequence) noexcept nogil:
    cdef char[40] name
    cdef int fd
    snprintf(name, sizeof(name), "%016llx.flush-failed", <unsigned long long>first_sequence)
    # Empty, and not synced: it is needed for as long as the system remembers the pages that it lost, no longer.
    fd = openat(directory_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    if fd >= 0:
        c_close(fd)


cdef tuple renew_unsynced(str path, int directory_fd):
    """Write anew what a failed flush left in doubt; names of the segments.

    After a failure the system may take the lost pages for clean, and a second fsync of the same file would succeed with
    nothing on disk. A copy has pages that are not in doubt; it takes the place of the file once they are on disk.
    """
    names = list_directory(path)
    marks = [name for name in names if name.endswith(UNSYNCED)]
    if not marks:
        return ()
    first = min(marks)[:16]
    renewed = tuple(name for name in names if name.endswith(".journal") and name[:16] >= first)
    for name in renewed:
        renew(path, directory_fd, name)
    if fsync(directory_fd) != 0:
        raise os_error(errno, path)
    for name in marks:
        if unlinkat(directory_fd, path_bytes(name), 0) != 0:
            raise os_error(errno, f"{path}/{name}")
    return renewed


cdef int renew(str path, int directory_fd, str name) except -1:
    cdef bytearray chunk = bytearray(CHUNK)
    cdef unsigned char[::1] raw = chunk
    cdef int64_t offset = 0, got = CHUNK
    cdef int rc = 0, out
    cdef int fd = openat(directory_fd, path_bytes(name), O_RDONLY | O_CLOEXEC)
    if fd < 0:
        raise os_error(errno, f"{path}/{name}")
    out = openat(directory_fd, RENEWED, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    if out < 0:
        rc = -errno
    while rc == 0 and got == CHUNK:
        got = read_all(fd, &raw[0], CHUNK, offset)
        if got < 0:
            rc = <int>got
        elif chunk.count(0) != CHUNK:
            rc = write_all(out, &raw[0], <size_t>got, offset)
        offset += max(got, <int64_t>0)
    if rc == 0 and (ftruncate(out, offset) != 0 or fsync(out) != 0
                    or renameat(directory_fd, RENEWED, directory_fd, path_bytes(name)) != 0):
        rc = -errno
    c_close(fd)
    if out >= 0:
        c_close(out)
    if rc != 0:
        unlinkat(directory_fd, RENEWED, 0)
        raise os_error(-rc, f"{path}/{name}: a flush of it had failed, and so did a copy to another place of the disk")
    return 0


cdef int set_aside(JournalReader reader, int directory_fd, str name) except -1:
    target = free_name(reader, directory_fd, name)
    if renameat(directory_fd, path_bytes(name), directory_fd, path_bytes(target)) != 0:
        raise os_error(errno, f"{reader.path}/{name}")
    return 0


cdef int set_snapshots_aside(JournalReader reader, int directory_fd) except -1:
    """Those behind the journal's last command: other commands are about to get the numbers that they stand for."""
    for name in list_directory(reader.path):
        if SNAPSHOT_NAME.fullmatch(name) and int(name[:16], 16) > reader.last_sequence:
            set_aside(reader, directory_fd, name)
    return 0


cdef int open_segment(JournalReader reader, int directory_fd, Py_ssize_t index) except -1:
    cdef int fd = openat(directory_fd, path_bytes(reader.names[index]), O_RDWR | O_CLOEXEC)
    if fd < 0:
        raise os_error(errno, f"{reader.path}/{reader.names[index]}")
    return fd


cdef str free_name(JournalReader reader, int directory_fd, str name):
    """`<name>.damaged`, or with a number behind it where that is taken."""
    cdef int fd
    target = f"{name}.damaged"
    number = 1
    while True:
        fd = openat(directory_fd, path_bytes(target), O_WRONLY | O_CLOEXEC)
        if fd < 0:
            if errno != ENOENT:
                raise os_error(errno, f"{reader.path}/{target}")
            return target
        c_close(fd)
        number += 1
        target = f"{name}.damaged.{number}"


cdef int save(JournalReader reader, int directory_fd, Py_ssize_t index, int fd, int64_t start, int64_t end) except -1:
    """Copy bytes that are about to be cut to a file of their own, safely on disk."""
    target = free_name(reader, directory_fd, reader.names[index])
    data = bytearray(end - start)
    cdef unsigned char[::1] raw = data
    cdef int64_t got = read_all(fd, &raw[0], <size_t>(end - start), start)
    cdef int out
    cdef int rc
    if got < 0:
        raise os_error(<int>-got, f"{reader.path}/{reader.names[index]}")
    out = openat(directory_fd, path_bytes(target), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    if out < 0:
        raise os_error(errno, f"{reader.path}/{target}")
    rc = write_all(out, &raw[0], <size_t>got, 0)
    if rc == 0 and fsync(out) != 0:
        rc = -errno
    c_close(out)
    if rc != 0:
        raise os_error(-rc, f"{reader.path}/{target}")
    return 0


def repair(path):
    """Cut a journal behind its last valid record, as opening it for writing would.

    Parameters
    ----------
    path : path
        Directory of the journal; no writer may have it open.

    Returns
    -------
    JournalReport
        What was found before anything was cut; `damage` is None where there was nothing to repair.

    Raises
    ------
    JournalError
        Code `locked`, `not a journal`, `layout`, or `missing segment` where it is the first one.
    OSError
        From the operating system.
    """
    cdef int directory_fd = open_directory(path)
    cdef int lock_fd = -1
    cdef JournalReader reader
    try:
        reader = walk(path)
        refuse_unrepairable(reader)
        lock_fd = lock_directory(reader.path, directory_fd)
        renew_unsynced(reader.path, directory_fd)
        reader = walk(path)
        report = reader.report_now()
        recover(reader, directory_fd)
        return report
    finally:
        if lock_fd >= 0:
            c_close(lock_fd)
        c_close(directory_fd)


cdef int sync_directory(str path) except -1:
    cdef int fd = open_directory(path)
    cdef int rc = -errno if fsync(fd) != 0 else 0
    c_close(fd)
    if rc != 0:
        raise os_error(-rc, path)
    return 0
