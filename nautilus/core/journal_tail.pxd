"""Reading a journal while somebody else writes it: a cursor that waits at the end of what is there."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.hashing cimport hash_t
from nautilus.core.segment cimport cursor_t


cdef class JournalTail:
    cdef readonly str path
    cdef readonly int64_t last_sequence     # delivered
    cdef readonly uint64_t epoch            # of the segment read last
    cdef readonly uint64_t capacity
    cdef readonly uint64_t closed_capacity
    cdef readonly str hashes                # `xxh3` or `xxh64`; None before a segment was read
    cdef cursor_t cursor
    cdef bint inside
    cdef bint linked                        # chain and digest are known: some segment was read to its end
    cdef uint64_t inode
    cdef uint32_t chain
    cdef hash_t digest
    cdef int64_t start
    cdef Py_ssize_t batch
    cdef int64_t stuck_offset, stuck_since
    cdef object pending
    cdef object name
    cdef int enter(self) except -1
    cdef int leave(self) except -1
    cdef int look(self, int kind) except -1
    cdef int unread(self) except -1
