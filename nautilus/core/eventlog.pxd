"""One writer thread, readers in any process. Append-only log of EVENT records as they left the core.

Files `<first sequence, 16 hex digits>.events`: a header block of 4,096 bytes, then DELIVERY records of 136 bytes, one
for each event, without gaps: the place of a sequence is computed. A file is allocated whole; zeros end what is written.
A record behind a place that holds none is a hole: a reader says so, the writer's opening cuts there.
Nothing here raises: an error is kept in `log_t.error` for the writer to look at.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from nautilus.core.types cimport event_t

cdef extern from *:
    """
    #ifndef NAUTILUS_DELIVERY_H
    #define NAUTILUS_DELIVERY_H
    typedef struct delivery_t {
        event_t  event;
        uint8_t  kind;              /* CommandKind of what caused it; 0: not known */
        uint8_t  flags;
        uint16_t slot;              /* where the command came in */
        uint32_t checksum;          /* CRC32C of all before it, once it is in the log */
    } delivery_t;
    _Static_assert(sizeof(delivery_t) == 136, "delivery_t");
    #endif
    """
    ctypedef struct delivery_t:
        event_t event
        uint8_t kind
        uint8_t flags
        uint16_t slot
        uint32_t checksum

cdef enum:
    DELIVERY_LAST = 1               # last one of its command
    DELIVERY_EMPTY = 2              # the command gave no event: this record only says that it is done
    DELIVERY_REFUSED = 4            # refused before it was sequenced; in no journal and no log

cdef enum:
    LOG_HEADER = 4096
    LOG_STAGED = 1024               # records written at once
    LOG_SPARES = 16                 # most files allocated ahead

ctypedef struct log_t:
    int directory_fd
    int fd
    int spares                      # next files, allocated ahead
    int[LOG_SPARES] spare_fd
    bint durable                    # header and name of a file are on disk before its first record
    int error                       # -errno of what failed last; 0 since the last success
    int64_t first_sequence          # of the file being written
    int64_t last_sequence           # written
    int64_t capacity                # records of a file
    int64_t reserve                 # records kept for what still has to be said when no next file can be had
    uint64_t spare_failures
    uint64_t files

# Write records whose sequences follow the last one; 0 or -errno, then call again with the same.
cdef int log_append(log_t* log, delivery_t* records, Py_ssize_t count) noexcept nogil
# Seal with checksums; done once, before `log_append` and before anybody is shown a record.
cdef void log_seal(delivery_t* records, Py_ssize_t count) noexcept nogil
# Whether so many more records fit and the reserve is left; allocates the next files when this one is nearly full.
cdef bint log_room(log_t* log, int64_t records) noexcept nogil
# Whether an error is one of a disk without room, which may have some later.
cdef bint log_full(int error) noexcept nogil


cdef inline int64_t log_limit(const log_t* log) noexcept nogil:
    """The last event that surely finds a place, in what is allocated."""
    cdef int64_t limit = log.last_sequence + log.spares * log.capacity
    if log.fd >= 0:
        limit += log.capacity - (log.last_sequence + 1 - log.first_sequence)
    return limit


cdef class EventLogWriter:
    cdef log_t state
    cdef readonly object path
    cdef readonly object notes      # what opening found: a tail that was cut, say
    # What `agree` looks at: a file, its events, and those of them in memory.
    cdef int looked_fd
    cdef int64_t looked_first
    cdef int64_t looked_end
    cdef delivery_t* held
    cdef int64_t held_first
    cdef int64_t held_count
    cdef int cut(self, object name) except -1
    cdef int forget(self) except -1
    # How many of these events, from the first on, the log has, sound, in this order.
    cdef Py_ssize_t agree(self, const event_t* events, Py_ssize_t count) except -1
    cdef int64_t look(self, int64_t sequence) except -1
