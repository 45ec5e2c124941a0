"""The event log: writer (also natively, for the egress thread) and reader."""

from libc.errno cimport EDQUOT, EFBIG, EINTR, EINVAL, ENOSPC, ENXIO, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from nautilus.core.crc32c cimport crc32c_update
from nautilus.core.segment cimport read_all
from nautilus.core.types cimport RECORD_LAYOUT, command_t, event_t

import os
from pathlib import Path

import numpy as np

from nautilus.core.types import COMMAND, EVENT

cdef extern from "<fcntl.h>" nogil:
    int openat(int directory, const char* name, int flags, ...)
    int posix_fallocate(int fd, int64_t offset, int64_t length)
    int O_RDWR, O_CREAT, O_TRUNC, O_CLOEXEC

cdef extern from "<unistd.h>" nogil:
    int c_close "close"(int fd)
    int fdatasync(int fd)
    int fsync(int fd)
    Py_ssize_t pwrite(int fd, const void* buffer, size_t count, int64_t offset)
    int unlinkat(int directory, const char* name, int flags)

cdef extern from "<stdio.h>" nogil:
    int renameat(int old_directory, const char* old, int new_directory, const char* new)

DELIVERY = np.dtype(
    [("event", EVENT), ("kind", "u1"), ("flags", "u1"), ("slot", "<u2"), ("checksum", "<u4")], align=True
)
"""An event with the kind of the command that caused it, marks, where that command came in, and a checksum."""
MAGIC = b"NAUTEVT1"
HEADER_BYTES = LOG_HEADER
LAST, EMPTY, REFUSED = DELIVERY_LAST, DELIVERY_EMPTY, DELIVERY_REFUSED
assert DELIVERY.itemsize == sizeof(delivery_t)

cdef enum:
    NAME = 40
    SEALED = 132                    # bytes of a record before its checksum
    HEADER_USED = 40                # bytes of a header before its checksum
    SCANNED = 8192                  # records looked at in one read
    HELD = 1024                     # records compared at once: they stay in the nearer caches


class EventLogError(ValueError):
    """The event log is not what it must be; `code` is stable."""

    code = "core.event_log"


class DamagedHeaderError(EventLogError):
    """A file of the event log is none, or its header is damaged."""


cdef int write_whole(int fd, const void* buffer, size_t count, int64_t offset) noexcept nogil:
    cdef Py_ssize_t done
    while count:
        done = pwrite(fd, buffer, count, offset)
        if done < 0:
            if errno == EINTR:
                continue
            return -errno
        if done == 0:
            return -ENOSPC
        buffer = <const char*>buffer + done
        count -= done
        offset += done
    return 0


cdef void log_seal(delivery_t* records, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        records[i].checksum = crc32c_update(0, <const uint8_t*>&records[i], SEALED)


cdef bint log_full(int error) noexcept nogil:
    return error == -ENOSPC or error == -EDQUOT or error == -EFBIG


cdef void spare_name(char* out, int index) noexcept nogil:
    snprintf(out, NAME, "spare.%d", index)


cdef int prepare_spare(log_t* log) noexcept nogil:
    """Allocate one more file under a name that no reader looks at."""
    cdef char[NAME] name
    cdef int rc, fd
    spare_name(name, log.spares)
    fd = openat(log.directory_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    if fd < 0:
        rc = errno
    else:
        rc = EINTR
        while rc == EINTR:
            rc = posix_fallocate(fd, 0, LOG_HEADER + log.capacity * <int64_t>sizeof(delivery_t))
        if rc == 0:
            log.spare_fd[log.spares] = fd
            log.spares += 1
            return 0
        c_close(fd)
        unlinkat(log.directory_fd, name, 0)
    log.spare_failures += 1
    return -rc


cdef int next_file(log_t* log, int64_t first_sequence) noexcept nogil:
    """Give the last spare its header and its name."""
    cdef char[NAME] name
    cdef char[NAME] spare
    cdef uint8_t[LOG_HEADER] header
    cdef int64_t value
    cdef uint32_t word
    cdef int rc = prepare_spare(log) if log.spares == 0 else 0
    cdef int fd
    if rc != 0:
        return rc
    fd = log.spare_fd[log.spares - 1]
    memset(header, 0, LOG_HEADER)
    memcpy(header, b"NAUTEVT1", 8)
    word = RECORD_LAYOUT
    memcpy(header + 8, &word, 4)
    word = sizeof(delivery_t)
    memcpy(header + 12, &word, 4)
    memcpy(header + 16, &first_sequence, 8)
    value = log.capacity
    memcpy(header + 24, &value, 8)
    word = crc32c_update(0, header, HEADER_USED)
    memcpy(header + HEADER_USED, &word, 4)
    rc = write_whole(fd, header, LOG_HEADER, 0)
    if rc != 0:
        return rc
    if log.durable and fdatasync(fd) != 0:
        return -errno
    snprintf(name, NAME, "%016llx.events", <unsigned long long>first_sequence)
    spare_name(spare, log.spares - 1)
    if renameat(log.directory_fd, spare, log.directory_fd, name) != 0:
        return -errno
    log.spares -= 1
    if log.fd >= 0:
        c_close(log.fd)
    log.fd = fd
    log.first_sequence = first_sequence
    log.files += 1
    if log.durable and fsync(log.directory_fd) != 0:
        return -errno
    return 0


cdef int log_append(log_t* log, delivery_t* records, Py_ssize_t count) noexcept nogil:
    cdef int64_t place, room
    cdef int rc
    while count:
        if records[0].event.sequence != log.last_sequence + 1:
            log.error = -EINVAL
            return log.error
        place = log.last_sequence + 1 - log.first_sequence
        room = log.capacity - place
        if log.fd < 0 or room <= 0:
            rc = next_file(log, log.last_sequence + 1)
            if rc != 0:
                log.error = rc
                return rc
            continue
        if room > count:
            room = count
        rc = write_whole(log.fd, records, room * sizeof(delivery_t), LOG_HEADER + place * <int64_t>sizeof(delivery_t))
        if rc != 0:
            log.error = rc
            return rc
        log.last_sequence += room
        records += room
        count -= room
    log.error = 0
    return 0


cdef bint log_room(log_t* log, int64_t records) noexcept nogil:
    cdef int64_t wanted = records + log.reserve
    cdef int64_t left = log_limit(log) - log.last_sequence
    while log.spares < LOG_SPARES and (left < wanted or (log.spares == 0 and left < log.capacity // 4)):
        log.error = prepare_spare(log)
        if log.error != 0:
            break
        left += log.capacity
    return left >= wanted


cdef class EventLogWriter:
    """One thread. The writer of the event log at `path`, a directory that is made where there is none.

    file_bytes: size of a file, allocated ahead. policy: with "disk", a file is on disk under its name before it is
    written to. first: sequence of the first event, where the log is new. An existing log goes on behind its last sound record; what follows that record is cut, and a file
    whose header is damaged is set aside with those behind it; `notes` says so. Raises OSError, EventLogError for a
    log of another layout.
    """

    def __cinit__(self):
        memset(&self.state, 0, sizeof(log_t))
        self.state.directory_fd = self.state.fd = self.looked_fd = -1

    def __init__(self, path, *, file_bytes=64 << 20, policy="memory", first=1):
        cdef log_t* log = &self.state
        if policy not in ("memory", "disk"):
            raise ValueError(f"policy: expected 'memory' or 'disk', found {policy!r}")
        self.path = str(path)
        self.notes = []
        os.makedirs(path, mode=0o700, exist_ok=True)
        log.directory_fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        log.durable = policy == "disk"
        log.capacity = (file_bytes - LOG_HEADER) // <int64_t>sizeof(delivery_t)
        if log.capacity < 16:
            raise ValueError(f"file_bytes: expected at least {LOG_HEADER + 16 * sizeof(delivery_t)}, found {file_bytes}")
        log.reserve = min(log.capacity // 8, 65536)
        log.last_sequence = first - 1
        files = _usable(path, self.notes)
        while files:
            first, name, capacity = files.pop()
            records = _sound(name, first, capacity)
            if not records and files:
                self.notes.append(f"{name}: no sound record, removed")
                os.unlink(name)
                continue
            log.first_sequence = first
            log.capacity = capacity
            log.last_sequence = first - 1 + records
            self.cut(name)
            break
        rc = prepare_spare(log) if log.fd < 0 else 0
        if rc != 0:
            raise OSError(-rc, os.strerror(-rc), self.path)

    def __dealloc__(self):
        self.close()
        free(self.held)

    def close(self):
        """Let go of the files."""
        cdef log_t* log = &self.state
        cdef char[NAME] name
        self.forget()
        while log.spares > 0:
            log.spares -= 1
            c_close(log.spare_fd[log.spares])
            spare_name(name, log.spares)
            unlinkat(log.directory_fd, name, 0)
        for fd in (log.fd, log.directory_fd):
            if fd >= 0:
                c_close(fd)
        log.fd = log.directory_fd = -1

    @property
    def last_sequence(self):
        """Of the last event in the log."""
        return self.state.last_sequence

    cdef int cut(self, object name) except -1:
        """Go on in a file behind the last event; nothing that lay there can be read again."""
        cdef log_t* log = &self.state
        cdef int64_t place = LOG_HEADER + (log.last_sequence + 1 - log.first_sequence) * <int64_t>sizeof(delivery_t)
        log.fd = os.open(name, os.O_RDWR | os.O_CLOEXEC)
        os.ftruncate(log.fd, place)
        os.posix_fallocate(log.fd, 0, LOG_HEADER + log.capacity * <int64_t>sizeof(delivery_t))
        return 0

    def truncate(self, int64_t last_sequence):
        """Forget what lies behind an event; it will be written anew."""
        files = _files(self.path)
        self.forget()
        if last_sequence >= self.state.last_sequence:
            return
        if self.state.fd >= 0:
            c_close(self.state.fd)
            self.state.fd = -1
        for first, name in reversed(files):
            if first > last_sequence:
                os.unlink(name)
        kept = [(first, name) for first, name in files if first <= last_sequence]
        self.state.last_sequence = last_sequence
        self.state.first_sequence = 0
        if kept:
            first, name = kept[len(kept) - 1]
            self.state.first_sequence = first
            self.state.capacity = _header(name)[1]
            self.cut(name)

    def sync(self):
        """Have all files on disk: whoever stores what it knows of the log does this first. Raises OSError."""
        for name in (*(name for _, name in _files(self.path)), self.path):
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    cdef int forget(self) except -1:
        """Look anew at the next call of `agree`."""
        if self.looked_fd >= 0:
            c_close(self.looked_fd)
        self.looked_fd = -1
        self.held_count = 0
        return 0

    cdef Py_ssize_t agree(self, const event_t* events, Py_ssize_t count) except -1:
        cdef const delivery_t* record
        cdef Py_ssize_t done = 0
        cdef int64_t sequence, end
        while done < count:
            sequence = events[done].sequence
            if not self.held_first <= sequence < self.held_first + self.held_count and self.look(sequence) == 0:
                break
            end = self.held_first + self.held_count
            with nogil:
                record = self.held + (sequence - self.held_first)
                while done < count and sequence < end and events[done].sequence == sequence \
                        and is_sound(record, sequence) and memcmp(&record.event, &events[done], sizeof(event_t)) == 0:
                    record += 1
                    sequence += 1
                    done += 1
            if done < count and sequence < end:
                break
        return done

    cdef int64_t look(self, int64_t sequence) except -1:
        """Have records from `sequence` on in memory; how many."""
        cdef int64_t place, got
        if self.looked_fd < 0 or not self.looked_first <= sequence < self.looked_end:
            self.forget()
            for first, name in _files(self.path):
                end = first + _header(name)[1]
                if first <= sequence < end:
                    self.looked_fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
                    self.looked_first, self.looked_end = first, end
                    break
            else:
                return 0
        if self.held is NULL:
            self.held = <delivery_t*>malloc(HELD * sizeof(delivery_t))
            if self.held is NULL:
                raise MemoryError("event log: no memory to compare it")
        place = LOG_HEADER + (sequence - self.looked_first) * <int64_t>sizeof(delivery_t)
        with nogil:
            got = read_all(self.looked_fd, self.held,
                           min(<int64_t>HELD, self.looked_end - sequence) * <int64_t>sizeof(delivery_t), place)
        if got < 0:
            raise OSError(-got, os.strerror(-got), self.path)
        self.held_first = sequence
        self.held_count = got // <int64_t>sizeof(delivery_t)
        return self.held_count

    def append(self, records):
        """Write DELIVERY records that follow the last one; their checksums are set. Raises OSError, ValueError."""
        cdef uint8_t[::1] raw
        cdef int rc
        if records.dtype != DELIVERY or not records.flags.c_contiguous:
            raise TypeError(f"records: expected a contiguous array of DELIVERY, found {records.dtype}")
        if not len(records):
            return
        raw = records.view(np.uint8)
        log_seal(<delivery_t*>&raw[0], len(records))
        rc = log_append(&self.state, <delivery_t*>&raw[0], len(records))
        if rc == -EINVAL:
            raise EventLogError(
                f"{self.path}: expected event {self.state.last_sequence + 1}, found {records['event']['sequence'][0]}"
            )
        if rc:
            raise OSError(-rc, os.strerror(-rc), self.path)


def deliveries(events, commands):
    """DELIVERY records of EVENT records, all that came of COMMAND records whose sequences ascend by 1."""
    cdef const uint8_t[::1] source, causes
    cdef uint8_t[::1] target
    cdef delivery_t* record
    cdef const command_t* command
    cdef const event_t* event
    cdef Py_ssize_t i, count = len(events)
    cdef int64_t first, place
    if events.dtype != EVENT or commands.dtype != COMMAND:
        raise TypeError(f"deliveries: expected dtypes EVENT and COMMAND, found {events.dtype} and {commands.dtype}")
    records = np.zeros(count, DELIVERY)
    if count == 0:
        return records
    source = np.ascontiguousarray(events).view(np.uint8)
    causes = np.ascontiguousarray(commands).view(np.uint8)
    target = records.view(np.uint8)
    record = <delivery_t*>&target[0]
    event = <const event_t*>&source[0]
    command = <const command_t*>&causes[0]
    first = command[0].sequence
    for i in range(count):
        place = event[i].command_sequence - first
        if not 0 <= place < len(commands):
            raise ValueError(f"deliveries: event {event[i].sequence} is of command {event[i].command_sequence}, "
                             f"expected {first} to {first + len(commands) - 1}")
        record[i].event = event[i]
        record[i].kind = command[place].kind
        if i + 1 == count or event[i + 1].command_sequence != event[i].command_sequence:
            record[i].flags = DELIVERY_LAST
    return records


class EventLog:
    """Any process. Reads the event log at `path` while it is being written."""

    def __init__(self, path):
        self.path = str(path)
        self._files = []
        self._end = None        # (file, place) behind which nothing was found

    def read(self, first, limit=4096):
        """DELIVERY records from event `first` on, at most `limit`, as far as they are written.

        Raises EventLogError where the log does not have `first` any more, or has a hole there: later records, but not
        this one, or one that is damaged. The core's next start mends what its journal still has to replay.
        """
        parts = []
        while limit > 0:
            found = self._file_of(first)
            if found is None:
                break
            begin, name, capacity = found
            count = min(limit, capacity - (first - begin))
            if count <= 0:
                begun = [begin for begin, _ in _files(self.path) if begin >= first]
                if not parts and begun and begun[0] > first:
                    raise EventLogError(f"{self.path}: a hole: expected event {first}, found {begun[0]} as the next")
                break
            records = _read(name, first - begin, count)
            sound = _count_sound(records, first)
            if not sound:
                if not parts and self._hole(found, first):
                    # It may have been written between the two looks.
                    records = _read(name, first - begin, count)
                    sound = _count_sound(records, first)
                    if not sound:
                        raise EventLogError(
                            f"{name}: a hole: expected event {first}, found none that is sound, and later ones"
                        )
                else:
                    break
            parts.append(records[:sound])
            first += sound
            limit -= sound
            if sound < count:
                break
        if not parts:
            return np.empty(0, DELIVERY)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _hole(self, file, sequence):
        """Whether there are records behind a place that has none."""
        begin, name, capacity = file
        if any(later > begin for later, _ in _files(self.path)):
            return True         # a file is begun when the one before is full
        if self._end == (name, sequence):
            return False
        if _found_behind(name, begin, sequence):
            return True
        self._end = (name, sequence)
        return False

    def _file_of(self, sequence):
        last = self._files[len(self._files) - 1] if self._files else None
        if last is None or sequence >= last[0] + last[2]:
            try:
                self._files = [(first, name, _header(name)[1]) for first, name in _files(self.path)]
            except FileNotFoundError:
                self._files = []
        for first, name, capacity in reversed(self._files):
            if first <= sequence:
                return first, name, capacity
        if self._files:
            raise EventLogError(f"{self.path}: expected event {sequence}, found the log to begin at {self._files[0][0]}")
        return None


def _files(path):
    """[(first sequence, path)], oldest first."""
    return sorted((int(file.stem, 16), str(file)) for file in Path(path).glob("*.events"))


def _header(name):
    with open(name, "rb") as file:
        head = file.read(LOG_HEADER)
    cdef bytes raw = head
    if len(raw) < LOG_HEADER or raw[:8] != MAGIC:
        raise DamagedHeaderError(f"{name}: expected an event log, found another file")
    layout, size = int.from_bytes(raw[8:12], "little"), int.from_bytes(raw[12:16], "little")
    if crc32c_update(0, <const uint8_t*><const char*>raw, HEADER_USED) != int.from_bytes(raw[40:44], "little"):
        raise DamagedHeaderError(f"{name}: the header is damaged")
    if layout != RECORD_LAYOUT or size != sizeof(delivery_t):
        raise EventLogError(f"{name}: expected layout {RECORD_LAYOUT}, found {layout} with records of {size} bytes")
    return int.from_bytes(raw[16:24], "little"), int.from_bytes(raw[24:32], "little")


def _usable(path, notes):
    """[(first sequence, path, capacity)] up to the first file that does not continue; it and those behind it are kept.

    The loss of power leaves such headers: names reach the disk before contents. The journal has all that is cut off.
    """
    files, usable, expected = _files(path), [], None
    for first, name in files:
        try:
            begin, capacity = _header(name)
            if begin != first or first != (expected or first):
                raise DamagedHeaderError(f"{name}: expected first event {expected or first}, found {begin}")
        except DamagedHeaderError as error:
            notes.append(f"event log: {error}; set aside from there on, the journal has it")
            break
        usable.append((first, name, capacity))
        expected = first + capacity
    for _, name in reversed(files[len(usable):]):
        number, target = 1, f"{name}.damaged"
        while os.path.lexists(target):
            number += 1
            target = f"{name}.damaged.{number}"
        os.rename(name, target)
    return usable


def _read(name, place, count):
    return np.fromfile(name, DELIVERY, count, offset=LOG_HEADER + place * sizeof(delivery_t))


cdef bint is_sound(const delivery_t* record, int64_t sequence) noexcept nogil:
    return (record.event.sequence == sequence
            and record.checksum == crc32c_update(0, <const uint8_t*>record, SEALED))


cdef Py_ssize_t _count_sound(records, int64_t first) except -1:
    """How many records from the first on have the sequence and checksum that they must have."""
    cdef const uint8_t[::1] raw
    cdef const delivery_t* record
    cdef Py_ssize_t i
    if not len(records):
        return 0
    raw = records.view(np.uint8)
    record = <const delivery_t*>&raw[0]
    for i in range(len(records)):
        if not is_sound(&record[i], first + i):
            return i
    return len(records)


def _sound(name, first, capacity):
    """Sound records at the start of a file, each of them looked at."""
    sound = 0
    while sound < capacity:
        records = _read(name, sound, min(SCANNED, capacity - sound))
        found = _count_sound(records, first + sound)
        sound += found
        if not found or found < len(records):
            break
    return sound


cdef bint _found_behind(name, int64_t begin, int64_t sequence) except -1:
    """Whether a file has a sound record behind the place of `sequence`. Stretches never written to are not read."""
    cdef bytes raw
    cdef const delivery_t* record
    cdef int64_t place = sequence + 1 - begin
    cdef Py_ssize_t i, count
    with open(name, "rb") as file:
        while True:
            try:
                at = os.lseek(file.fileno(), LOG_HEADER + place * <int64_t>sizeof(delivery_t), os.SEEK_DATA)
            except OSError as error:
                if error.errno == ENXIO:
                    return False        # no data up to the end of the file
                raise
            place = max(place, (at - LOG_HEADER) // <int64_t>sizeof(delivery_t))
            raw = os.pread(file.fileno(), SCANNED * sizeof(delivery_t), LOG_HEADER + place * sizeof(delivery_t))
            count = len(raw) // <Py_ssize_t>sizeof(delivery_t)
            if count == 0:
                return False
            record = <const delivery_t*><const char*>raw
            for i in range(count):
                if is_sound(&record[i], begin + place + i):
                    return True
            place += count
