"""One thread at a time. Volume buckets of many instruments, and the toxicity of their flow; bodies in vpin.pyx."""

from libc.stdint cimport int8_t, int64_t, uint32_t, uint64_t

from nautilus.core.buckets cimport bucket_t
from nautilus.core.id_index cimport id_index_t
from nautilus.core.ticks cimport flow_t
from nautilus.core.touch cimport touch_t
from nautilus.core.types cimport quote_t, trade_t

cdef enum:
    VPIN_IDS = 16               # trade ids of the newest stamp that are remembered
    VPIN_DAYS = 32              # days of volume at most
    VPIN_WINDOW = 4096          # buckets at most
    VPIN_HISTORY = 65536        # values at most
    VPIN_MOST_FLOW_BITS = 49    # lots of order flow, of one record and of a bucket before the last one: sums stay whole

ctypedef struct measured_t:
    # what every trade needs
    int64_t last_ns
    int64_t last_ticks
    int64_t left                # lots until the open bucket is full
    int64_t size                # of the open bucket
    int64_t next_size           # of those after it
    int64_t volume              # lots ever taken
    int64_t taken               # trades
    int64_t day
    int64_t day_volume
    int8_t sign                 # of the last trade
    int8_t traded
    int8_t barred               # a bar is open
    int8_t closed               # a bar has closed
    int8_t varied               # variance has a value
    uint32_t id_count
    uint32_t window_at          # where the next bucket goes
    bucket_t open
    # bars
    int64_t bar_begin_ns
    int64_t bar_volume
    int64_t bar_first_ns
    int64_t bar_close
    int64_t previous_close
    double variance
    uint32_t bar_flags
    # what every bucket needs
    uint32_t kept               # values
    uint32_t value_at
    uint32_t room
    int64_t imbalance           # over the window
    int64_t window_volume
    bucket_t* window
    double* values
    int64_t* spans
    touch_t touch
    # counts of what was not taken
    int64_t late
    int64_t duplicates
    int64_t without_volume
    int64_t refused
    # volume of whole days, the newest last written
    uint32_t day_count
    uint32_t day_at
    int64_t days[VPIN_DAYS]
    uint64_t ids[VPIN_IDS]


cdef class VpinTable:
    cdef measured_t* _states
    cdef id_index_t _index
    cdef uint32_t _room
    cdef bucket_t* _out
    cdef Py_ssize_t _made
    cdef Py_ssize_t _out_room
    cdef double _fresh          # 1 - decay
    cdef double _log_beta
    cdef readonly int classification
    cdef readonly int window
    cdef readonly int history
    cdef readonly int64_t bar_ns
    cdef readonly int64_t bar_lots
    cdef readonly double decay
    cdef readonly double degrees
    cdef readonly int days
    cdef readonly int64_t buckets_per_day
    cdef readonly bint depth_weighted
    cdef readonly double flow_weight
    cdef readonly int64_t unknown

    cdef measured_t* _at(self, object instrument_id) except NULL
    cdef int _take(self, measured_t* at, const trade_t* trade) noexcept nogil
    cdef void _roll_day(self, measured_t* at, int64_t day) noexcept nogil
    cdef int _close_bar(self, measured_t* at, int64_t now_ns) noexcept nogil
    cdef int _fill(
        self, measured_t* at, int64_t lots, double share, bint told, int64_t now_ns, int64_t begin_ns, int64_t ticks,
        int flags
    ) noexcept nogil
    cdef int _complete(self, measured_t* at, int64_t now_ns, bint give) noexcept nogil
    cdef int _measure(self, measured_t* at, bucket_t* done) noexcept nogil
    cdef void _quote(self, measured_t* at, const quote_t* quote) noexcept nogil
    cdef void _flow(self, bucket_t* bucket, int64_t change) noexcept nogil
    cdef double _share(self, double z) noexcept nogil
