"""One segment file of a journal: its header, its records, and a cursor that reads them back. See docs/journal.md.

Also the few calls of the operating system that journal and snapshots share. Nothing here raises: functions answer 0 or
-errno, the cursor answers what it met.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from nautilus.core.hashing cimport HASH_XXH3, HASH_XXH64, hash_t
from nautilus.core.types cimport command_t

cdef extern from *:
    """
    #ifndef NAUTILUS_SEGMENT_H
    #define NAUTILUS_SEGMENT_H
    #include <stdint.h>
    #if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "journal records are little-endian; this machine is not"
    #endif
    typedef struct segment_header_t {
        uint8_t  magic[8];
        uint32_t layout, rules;
        int64_t  segment_bytes, first_sequence;
        uint64_t epoch, capacity, closed_capacity;
        uint32_t previous_chain, features;
        uint64_t previous_digest;           /* of the segment before; with SEGMENT_CHAINED */
        uint8_t  reserved[52];
        uint32_t crc;                       /* of the 124 bytes before it */
    } segment_header_t;
    typedef struct record_head_t {
        uint32_t crc;                       /* of the 4 bytes behind it and of the body, seeded with the last one */
        uint16_t type, bytes;
    } record_head_t;
    typedef struct hash_body_t {
        int64_t  command_sequence, event_sequence;
        uint64_t event_hash, journal_hash;
    } hash_body_t;
    typedef struct seal_body_t {
        int64_t  last_sequence, offset;     /* offset: of the seal's own head in the file */
        uint64_t kind, epoch;
    } seal_body_t;
    _Static_assert(sizeof(segment_header_t) == 128, "segment_header_t");
    _Static_assert(sizeof(record_head_t) == 8, "record_head_t");
    _Static_assert(sizeof(hash_body_t) == 32, "hash_body_t");
    _Static_assert(sizeof(seal_body_t) == 32, "seal_body_t");
    #endif
    """
    ctypedef struct segment_header_t:
        uint8_t magic[8]
        uint32_t layout
        uint32_t rules
        int64_t segment_bytes
        int64_t first_sequence
        uint64_t epoch
        uint64_t capacity
        uint64_t closed_capacity
        uint32_t previous_chain
        uint32_t features
        uint64_t previous_digest
        uint32_t crc

    ctypedef struct record_head_t:
        uint32_t crc
        uint16_t type
        uint16_t bytes

    ctypedef struct hash_body_t:
        int64_t command_sequence
        int64_t event_sequence
        uint64_t event_hash
        uint64_t journal_hash

    ctypedef struct seal_body_t:
        int64_t last_sequence
        int64_t offset
        uint64_t kind
        uint64_t epoch

cdef enum:
    SEGMENT_HEADER = 4096       # bytes of the header block
    SEGMENT_HEADER_COPY = 2048  # where the header stands a second time
    SEGMENT_HEAD = 8            # bytes of a record's head
    SEGMENT_RECORD = 136        # the largest record: head and both cache lines of a command
    SEGMENT_MARK = 40           # a hash record or a seal
    SEGMENT_CHAINED = 1         # segment_header_t.features: `previous_digest` is there
    SEGMENT_XXH3 = 2            # digest and hash records are XXH3, otherwise XXH64; of a journal all are of one kind
    SEGMENT_FEATURES = 3        # all that are known

# record_head_t.type
cdef enum:
    RECORD_END = 0              # a zero head: nothing is written from here on
    RECORD_COMMAND = 1
    RECORD_HASH = 2
    RECORD_SEAL = 3

# seal_body_t.kind
cdef enum:
    SEAL_ROLL = 1               # the journal goes on in the next segment
    SEAL_STOP = 2               # clean stop
    SEAL_RECOVERED = 3          # the writer had gone away; sealed when the journal was opened again

# What the cursor answers instead of a record, and segment_load instead of 0, where data are not as written.
cdef enum:
    DAMAGE_HEAD = -1001         # no such record type, or not of that length
    DAMAGE_CUT = -1002          # the file ends inside a record
    DAMAGE_CHECKSUM = -1003
    DAMAGE_SEQUENCE = -1004     # a whole record, but not the next one
    DAMAGE_SEAL = -1005         # a whole seal, but not this segment's
    DAMAGE_MAGIC = -1006        # not a segment at all
    DAMAGE_HEADER = -1007       # both copies of the header are damaged
    DAMAGE_HEADER_COPY = 1      # one copy is damaged, the other one is used

ctypedef struct cursor_t:
    segment_header_t header
    int fd
    int64_t size                # of the file
    int64_t offset              # of the next record; behind the last valid one
    uint32_t chain
    uint32_t unsealed_chain     # with a seal: the checksum of the record before it
    hash_t digest               # of the header and of all records so far
    hash_t unsealed_digest
    int64_t last_sequence
    int64_t records             # valid ones read so far
    uint64_t seal               # kind of the seal, 0 before it is met
    hash_body_t hash            # the last hash record read
    int64_t expected            # with a damage: what ought to be there
    int64_t found               # and what is
    uint8_t* buffer
    int64_t base                # file offset of buffer[0]
    size_t filled


cdef void segment_sign(segment_header_t* header) noexcept nogil
cdef int segment_write_header(int fd, segment_header_t* header) noexcept nogil
cdef size_t segment_mark(uint8_t* out, int type, const void* body, uint32_t* chain) noexcept nogil
# Begin the digest of a segment whose header is signed; take in whole records as they stand in the file.
cdef void segment_digest(const segment_header_t* header, hash_t* digest) noexcept nogil
cdef void segment_digest_records(hash_t* digest, const uint8_t* records, size_t bytes) noexcept nogil

# Read size and header: 0, DAMAGE_HEADER_COPY, a damage, or -errno. The descriptor stays the caller's.
cdef int cursor_open(cursor_t* cursor, int fd) noexcept nogil
cdef void cursor_close(cursor_t* cursor) noexcept nogil
# The type of the next record (a command goes to `out`), RECORD_END, a damage, or -errno.
cdef int cursor_next(cursor_t* cursor, command_t* out) noexcept nogil
# Commands in a row, at most `most`, to `out` (NULL: checked only); their number. The last answer as of cursor_next goes
# to `kind`: RECORD_COMMAND where `most` was reached.
cdef Py_ssize_t cursor_commands(cursor_t* cursor, command_t* out, Py_ssize_t most, int* kind) noexcept nogil
# File offset behind the last byte that is not zero, at or after `offset` (itself where all are zero); or -errno.
cdef int64_t cursor_data_end(cursor_t* cursor, int64_t offset) noexcept nogil
# The same for bytes that are to be kept when the segment is cut at `offset`.
cdef int64_t cursor_kept_end(cursor_t* cursor, int64_t offset) noexcept nogil

# Before `used` bytes go to `offset` and are flushed to the disk: where that is little, and reaches behind `zeroed`, write
# zeros to what comes next, and move `zeroed`. 0 or -errno. To write to an allocated block for the first time changes the
# extents of the file, which the file system's own journal commits with the flush: so that is done for many at once.
cdef int zero_ahead(int fd, int64_t offset, size_t used, int64_t segment_bytes, int64_t* zeroed) noexcept nogil
cdef int write_all(int fd, const void* data, size_t length, int64_t offset) noexcept nogil
cdef int64_t read_all(int fd, void* data, size_t length, int64_t offset) noexcept nogil

cdef bytes path_bytes(object path)
cdef object os_error(int code, object name)
cdef int open_directory(object path) except -1
cdef list list_directory(object path)
cdef str segment_name(int64_t first_sequence)


cdef inline int segment_hashes(const segment_header_t* header) noexcept nogil:
    """Kind of the hashes in a segment."""
    return HASH_XXH3 if header.features & SEGMENT_XXH3 else HASH_XXH64
