"""One thread. What stands between the star's records and the rows of a bank of indicators, for each instrument."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from nautilus.core.id_index cimport id_index_t
from nautilus.core.indicators cimport Bank

cdef enum:
    FEED_IDS = 16           # trade ids of the newest stamp that are remembered

ctypedef struct past_t:
    int64_t begin_ns, time_ns
    double row[5]

ctypedef struct fed_t:
    int64_t time_ns         # of the newest row: a bar's end, else the venue's stamp, else that of the receipt
    int64_t known_ns        # when it was known here
    int64_t begin_ns        # of the first row
    double tick_over, tick_under, lot_over, lot_under
    double bid, ask         # the touch that stands, of trades
    int64_t split_ns        # of the newest split that was told; 0: none
    double split_ratio      # new shares for one, of that split
    double last             # price that the newest row ended with
    double quote[4]         # the newest row, of quotes
    uint64_t ids[FEED_IDS]  # of trades: the ids of the newest stamp, not 0; of quotes: that of the newest row
    uint32_t id
    uint32_t gaps           # rows before which records are missing
    uint32_t synthetic      # rows that were made up
    uint32_t jumps          # steps of the price as of a split that nobody told of
    uint32_t id_count       # of `ids`; above FEED_IDS the oldest are gone
    uint32_t past_at        # of `past_t`: where the next row goes
    uint32_t past_count
    uint32_t touched        # there is a touch


cdef class FeatureFeed:
    cdef readonly Bank bank
    cdef readonly int source, bar_kind
    cdef readonly int64_t bar_size
    cdef readonly uint64_t taken, late, stale, crossed, one_sided, unknown, foreign, duplicates, mixed
    cdef id_index_t index
    cdef fed_t* fed
    cdef readonly int keeps     # rows of each instrument that are kept for a split
    cdef past_t** past          # of each slot: a ring of at most that many rows
    cdef uint32_t* past_room
    cdef bint opened
    cdef readonly bint collects
    cdef double* collected_rows
    cdef int64_t* collected_times
    cdef int64_t collected_count, collected_room
    cdef void fetch(self, int64_t slot, int64_t next_slot) noexcept nogil
    cdef int collect(self, int64_t time_ns, int64_t known_ns, const double* row) except -1
    cdef int64_t place(self, uint32_t instrument_id) noexcept nogil
    cdef int put(
        self, int64_t slot, int64_t begin_ns, int64_t time_ns, int64_t known_ns, int flags, double* row
    ) except -1
    cdef void step(self, fed_t* fed, const double* row) noexcept nogil
    cdef int keep(self, int64_t slot, int64_t begin_ns, int64_t time_ns, const double* row) except -1
    cdef int enter(self, int64_t slot, int64_t begin_ns, int64_t time_ns, int64_t known_ns, double* row) except -1
    cdef bint had(self, fed_t* fed, uint64_t trade_id, int64_t now_ns) noexcept nogil
