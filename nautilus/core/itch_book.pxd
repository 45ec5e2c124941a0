"""Fields of the builder of books from ITCH messages; bodies in itch_book.pyx."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from nautilus.core.itch cimport itch_action_t, itch_order_t, itch_run_t
from nautilus.core.order_book cimport OrderBooks, books_t
from nautilus.core.types cimport book_delta_t, trade_t

# Where the records of a batch go; NULL where nobody wants them.
ctypedef struct feed_out_t:
    book_delta_t* deltas
    trade_t* trades
    Py_ssize_t delta_count
    Py_ssize_t trade_count


cdef class ItchBookBuilder:
    cdef readonly OrderBooks books
    cdef readonly int64_t midnight_ns, messages, crosses, broken_trades, unprinted, void_orders
    cdef books_t* b

    cdef int _one(self, uint32_t home, const itch_order_t* m, feed_out_t* out) noexcept nogil
    cdef Py_ssize_t _all(self, const itch_order_t* rows, Py_ssize_t count, feed_out_t* out, int* status) noexcept nogil
    cdef int _chunk(self, itch_run_t* run, bint prefixed, int* applied) noexcept nogil
    cdef int _other(self, itch_run_t* run, const uint8_t** at, Py_ssize_t prefix, Py_ssize_t length,
                    uint8_t kind) noexcept nogil
    cdef void _act(self, const itch_action_t* actions, Py_ssize_t count, int* applied) noexcept nogil
