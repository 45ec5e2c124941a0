"""One thread at a time. Trades of many instruments summed up to bars by one rule; bodies in bars.pyx.

`run` is the kernel: no interpreter, no memory asked for but where an instrument is new. Sums are whole numbers, of
values in 128 bits; only what an imbalance bar expects of the next one is a double.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.id_index cimport id_index_t
from nautilus.core.ticks cimport bar_t
from nautilus.core.types cimport trade_t

cdef extern from *:
    """
    #ifndef NAUTILUS_WIDE_H
    #define NAUTILUS_WIDE_H
    typedef __int128 wide_t;
    #endif
    """
    ctypedef long long wide_t   # 128 bits, whatever Cython takes it for

cdef enum:
    BARS_OK = 0
    BARS_ROOM = 1               # no room for another bar
    BARS_INSTRUMENT = -1
    BARS_RANGE = -2             # price or quantity out of range

cdef enum:
    WEIGHT_TRADES = 0
    WEIGHT_LOTS = 1
    WEIGHT_VALUE = 2

ctypedef struct building_t:
    bar_t bar                   # begun where `begun`; of it `trades` may be 0 (TIME)
    wide_t value                # sum of |ticks| * lots
    wide_t signed_value         # of ticks * lots
    wide_t imbalance
    double expected_trades
    double expected_flow
    uint64_t bars
    int64_t last_ticks
    int sign                    # of the last trade; 0: there was none
    bint begun


cdef class BarBuilder:
    cdef building_t* _building
    cdef id_index_t _index
    cdef uint32_t _room
    cdef readonly int64_t size
    cdef int _kind, _weight
    cdef bint _venue_clock, _empty
    cdef double _alpha
    cdef int64_t _least, _most
    cdef readonly uint64_t late
    cdef readonly uint64_t skipped

    cdef Py_ssize_t run(
        self, const trade_t* trades, Py_ssize_t count, bar_t* out, Py_ssize_t room, Py_ssize_t* made, int* status
    ) noexcept nogil
    cdef building_t* _at(self, uint32_t instrument_id) noexcept nogil
    cdef bint _met(self, building_t* at) noexcept nogil
    cdef int _roll(
        self, building_t* at, int64_t begin_ns, int64_t now_ns, bar_t* out, Py_ssize_t room, Py_ssize_t* made
    ) noexcept nogil
    cdef void _emit(self, building_t* at, int64_t now_ns, bint whole, bar_t* out) noexcept nogil
