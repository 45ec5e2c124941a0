"""One writer thread. Append-only journal of COMMAND records in pre-allocated segments; format in docs/journal.md.

Records are encoded into a staging buffer and leave it in one `pwrite` a flush. What is written is chained: the
checksum of each record continues from the one before, so that a record changed, removed, repeated or moved is found.
Nothing here raises: the first error is kept in `journal_t.error`, is final, and every later flush answers it again.
"""

from libc.errno cimport EINVAL
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from nautilus.core.encoding cimport encode_t
from nautilus.core.hashing cimport HASH_XXH3, HASH_XXH64, hash_t, hash_take
from nautilus.core.segment cimport SEGMENT_XXH3, segment_digest_records
from nautilus.core.types cimport command_t

cdef enum:
    JOURNAL_HEADER = 4096           # bytes of a segment's header block
    JOURNAL_RECORD = 136            # head and both cache lines of a command
    JOURNAL_MARK = 40               # head and body of a hash record or a seal
    JOURNAL_STAGED = 8192           # full records the staging buffer holds
    JOURNAL_CHECKPOINT = 65536      # commands between two hash records
    JOURNAL_SPARES = 16             # most segments allocated ahead

cdef enum:
    POLICY_MEMORY = 0               # a flush is written: survives the process
    POLICY_DISK = 1                 # and fdatasync'ed: survives the machine

ctypedef struct journal_t:
    uint8_t* buffer                 # staging
    size_t used                     # staged bytes
    size_t limit                    # of staging: end of buffer, or what the segment can take; 0 after an error
    encode_t encode
    int64_t last_sequence           # of the last command put
    uint32_t chain                  # checksum of the last record put, or of the segment's header
    hash_t digest                   # of the segment up to `digested`, as the header of the next one has it
    size_t digested                 # staged bytes that are in it
    uint32_t features               # of the headers
    int error                       # 0, or -errno of the first failure: final
    int policy
    # the segment being written
    int fd
    int spares                      # next ones, already allocated
    int[JOURNAL_SPARES] spare_fd
    int64_t offset                  # bytes in the file, header included, without the staged ones
    int64_t zeroed                  # policy DISK: bytes of the file up to which a write changes no extent
    int64_t first_sequence
    int64_t segment_bytes
    int64_t reserve_bytes           # kept for cancels and kill while no next segment can be had
    # the directory, and what the headers say
    int directory_fd
    int lock_fd
    uint64_t epoch
    uint64_t capacity
    uint64_t closed_capacity
    # what has been reached
    int64_t hash_sequence           # command of the last hash record
    int64_t written_sequence        # last command handed to the operating system
    int64_t durable_sequence        # last command fdatasync'ed (policy DISK)
    int64_t bytes_written           # by this writer, headers and seals included
    uint64_t flushes
    uint64_t rolls
    uint64_t spare_failures         # times a next segment was wanted and could not be had
    int forks                       # of this process when it was opened: in a forked child the count differs


# Write all that is staged; policy DISK adds fdatasync. 0, or -errno of the first failure, now and ever after.
cdef int journal_flush(journal_t* journal) noexcept nogil
# Slow paths of the two below: empty the buffer or begin the next segment; allocate the next segments.
cdef int journal_make_room(journal_t* journal) noexcept nogil
cdef bint journal_find_room(journal_t* journal, Py_ssize_t commands) noexcept nogil
# After command `command_sequence`, the last one put: the running hashes. A repeat for the same command is ignored.
cdef void journal_put_hash(journal_t* journal, int64_t command_sequence, int64_t event_sequence,
                           uint64_t event_hash, uint64_t journal_hash) noexcept nogil


cdef inline int journal_fail(journal_t* journal, int error) noexcept nogil:
    """Keep the first error; returns it."""
    if journal.error == 0:
        journal.error = error
    journal.limit = 0               # every put takes the slow path from now on and is refused there
    return journal.error


cdef inline void journal_digest(journal_t* journal) noexcept nogil:
    """Take what is staged, and not taken yet, into the segment's digest: many records at once."""
    if journal.digested != journal.used:
        segment_digest_records(&journal.digest, journal.buffer + journal.digested, journal.used - journal.digested)
        journal.digested = journal.used


cdef inline bint journal_stage(journal_t* journal, const command_t* commands, size_t* count) noexcept nogil:
    """Stage commands, as many of `count` as there is room for at once; False where they were refused."""
    cdef size_t i
    cdef int64_t wrong = 0
    if journal.used + JOURNAL_RECORD > journal.limit and journal_make_room(journal) != 0:
        return False
    count[0] = min(count[0], (journal.limit - journal.used) // JOURNAL_RECORD)
    for i in range(count[0]):
        wrong |= commands[i].sequence - journal.last_sequence - 1 - <int64_t>i
    if wrong:
        journal_fail(journal, -EINVAL)
        return False
    journal.used += journal.encode(journal.buffer + journal.used, commands, count[0], &journal.chain)
    journal.last_sequence += <int64_t>count[0]
    return True


cdef inline void journal_put(journal_t* journal, const command_t* command) noexcept nogil:
    """Stage one command; `command.sequence` must be the last one plus 1. Look at `error` after the flush."""
    cdef size_t count = 1
    journal_stage(journal, command, &count)


cdef inline void journal_put_hashed(
    journal_t* journal, const command_t* commands, Py_ssize_t count, hash_t* hash
) noexcept nogil:
    """Stage commands, and take them into a hash of whole COMMAND records."""
    cdef size_t most
    journal_digest(journal)         # of the call before: what is only just written is slow to read in other widths
    hash_take(hash, commands, <size_t>count * sizeof(command_t))
    while count > 0:
        most = <size_t>count
        if not journal_stage(journal, commands, &most):
            return
        commands += most
        count -= <Py_ssize_t>most


cdef inline bint journal_room(journal_t* journal, Py_ssize_t commands) noexcept nogil:
    """True where that many more full records fit, the reserve left alone; else refuse new orders (JOURNAL_FULL).

    Cheap while the segment has room: ask before each new order with 1, or before a batch. Where the segment is not
    enough it allocates the next ones, at most JOURNAL_SPARES; a failure to do so is no error yet, and the next call
    tries again.
    """
    cdef int64_t left = journal.segment_bytes - journal.offset - <int64_t>journal.used - journal.reserve_bytes
    if journal.error == 0 and <int64_t>commands * JOURNAL_RECORD + 2 * JOURNAL_MARK <= left:
        return True
    return journal_find_room(journal, commands)


cdef inline int64_t journal_limit(const journal_t* journal) noexcept nogil:
    """The last command that surely finds a place, in what is allocated; one byte a record pays for hash records."""
    cdef int64_t left = journal.segment_bytes - journal.offset - <int64_t>journal.used - 2 * JOURNAL_MARK - JOURNAL_RECORD
    cdef int64_t whole = journal.segment_bytes - JOURNAL_HEADER - 2 * JOURNAL_MARK - JOURNAL_RECORD
    return journal.last_sequence + (max(left, <int64_t>0) + journal.spares * whole) // (JOURNAL_RECORD + 1)


cdef inline int journal_hashes(const journal_t* journal) noexcept nogil:
    """Kind of the hashes in its segments."""
    return HASH_XXH3 if journal.features & SEGMENT_XXH3 else HASH_XXH64


cdef class Journal:
    cdef journal_t state
    cdef readonly object path
    cdef readonly tuple renewed     # segments written anew by opening, as a flush had failed
    cdef readonly object recovery   # what opening found and cut: a JournalReport, or None for a new journal
    cdef int _write(self, const command_t* commands, Py_ssize_t count) except -1
    cdef int check(self, int rc) except -1
    cdef void release(self) noexcept
