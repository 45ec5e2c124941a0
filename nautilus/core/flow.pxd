"""One thread at a time. Order-flow imbalance of many instruments, from quotes or from books; bodies in flow.pyx."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.book_set cimport BookSet
from nautilus.core.id_index cimport id_index_t
from nautilus.core.ticks cimport flow_t
from nautilus.core.types cimport book_delta_t, quote_t

cdef enum:
    FLOW_MOST = 10              # levels
    FLOW_OK = 0
    FLOW_INSTRUMENT = -11
    FLOW_RANGE = -12

ctypedef struct standing_t:     # best levels of a book: price and quantity; beyond the last: no price, quantity 0
    int64_t prices[2][FLOW_MOST]
    int64_t lots[2][FLOW_MOST]

ctypedef struct flowing_t:
    standing_t standing
    flow_t flow
    bint known                  # there is a state before
    bint begun


cdef class FlowBuilder:
    cdef flowing_t* _flowing
    cdef id_index_t _index
    cdef uint32_t _room
    cdef readonly int levels
    cdef readonly int64_t interval_ns
    cdef readonly int64_t updates

    cdef flowing_t* _at(self, uint32_t instrument_id) noexcept nogil
    cdef void _update(
        self, flowing_t* at, const standing_t* now, int64_t now_ns, int flags, bint count, flow_t* out, Py_ssize_t* made
    ) noexcept nogil
    cdef Py_ssize_t run(
        self, const quote_t* quotes, Py_ssize_t count, flow_t* out, Py_ssize_t* made, int* status
    ) noexcept nogil
    cdef Py_ssize_t run_books(
        self, BookSet books, const book_delta_t* deltas, Py_ssize_t count, flow_t* out, Py_ssize_t* made, int* status
    ) noexcept nogil
