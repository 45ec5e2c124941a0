"""One thread. What stands between the star's records and the rows of a bank of indicators, for each instrument."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from nautilus.core.id_index cimport id_index_t
from nautilus.core.indicators cimport Bank

ctypedef struct fed_t:
    int64_t time_ns         # of the newest row: a bar's end, else the venue's stamp, else that of the receipt
    int64_t known_ns        # when it was known here
    int64_t begin_ns        # of the first row
    double tick_over, tick_under, lot_over, lot_under
    double bid, ask         # the touch that stands, of trades; 0: none
    uint32_t id
    uint32_t gaps           # rows before which records are missing
    uint32_t synthetic      # rows that were made up
    uint32_t padding


cdef class FeatureFeed:
    cdef readonly Bank bank
    cdef readonly int source, bar_kind
    cdef readonly int64_t bar_size
    cdef readonly uint64_t taken, late, stale, crossed, one_sided, unknown, foreign
    cdef id_index_t index
    cdef fed_t* fed
    cdef bint opened
    cdef readonly bint collects
    cdef double* collected_rows
    cdef int64_t* collected_times
    cdef int64_t collected_count, collected_room
    cdef void fetch(self, int64_t slot, int64_t next_slot) noexcept nogil
    cdef int collect(self, int64_t time_ns, int64_t known_ns, const double* row) except -1
    cdef int64_t place(self, uint32_t instrument_id) noexcept nogil
    cdef int put(self, int64_t slot, int64_t time_ns, int64_t known_ns, int flags, double* row) except -1
