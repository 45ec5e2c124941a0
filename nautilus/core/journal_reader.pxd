"""Reading a journal back: the walk over its segments that delivers commands, checks every byte, and never guesses."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.hashing cimport hash_t
from nautilus.core.segment cimport cursor_t, segment_header_t
from nautilus.core.types cimport command_t


cdef class JournalReader:
    cdef readonly str path
    cdef readonly object damage     # the first JournalDamage met, or None
    cdef cursor_t cursor
    cdef bint inside                # the cursor is on a segment
    cdef bint finished
    cdef bint strict
    cdef bint any_rules
    cdef int64_t start              # commands before it are checked, but not delivered
    cdef Py_ssize_t batch
    cdef Py_ssize_t entered         # segments the walk has gone into
    cdef list names                 # segments from the first one needed on, in order
    cdef object pending             # a hash record met behind the commands of a batch
    # What the walk has established; the cut falls behind `cut_offset` of segment number `cut_index`.
    cdef int64_t first_sequence
    cdef int64_t last_sequence
    cdef int64_t records
    cdef int64_t dropped_bytes
    cdef segment_header_t header    # of the last segment that stays
    cdef Py_ssize_t cut_index       # number of segments that stay
    cdef int64_t cut_offset         # valid bytes of the last of them
    cdef uint64_t seal              # kind of its seal, or 0
    cdef uint32_t chain             # checksum of its last record
    cdef uint32_t unsealed_chain    # and of the one before its seal
    cdef hash_t digest              # of that segment and, by its header, of all before it
    cdef hash_t unsealed_digest
    cdef list blemishes             # damages that touch no record: (index, JournalDamage, valid bytes)
    cdef str unfinished             # an empty segment whose predecessor was never sealed: a roll that did not complete

    cdef int enter(self) except -1
    cdef int leave(self, int reason) except -1
    cdef int stop(self, object damage, Py_ssize_t first_dropped) except -1
    cdef int read(self, command_t* out, Py_ssize_t capacity, Py_ssize_t* count) except -1
    cdef object report_now(self)


cdef JournalReader walk(object path)
