"""Market-by-order records of the Databento Binary Encoding (DBN), little-endian; Python face in dbn.pyx."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from nautilus.core.order_book cimport OrderBooks, books_t
from nautilus.core.types cimport book_delta_t, trade_t

cdef extern from *:
    """
    #ifndef NAUTILUS_DBN_H
    #define NAUTILUS_DBN_H
    #include <stdint.h>
    typedef struct mbo_t {
        uint8_t  length;             /* of the record, in words of 4 bytes */
        uint8_t  rtype;
        uint16_t publisher_id;
        uint32_t instrument_id;
        uint64_t ts_event, order_id;
        int64_t  price;              /* 1/1,000,000,000 */
        uint32_t size;
        uint8_t  flags, channel_id, action, side;
        uint64_t ts_recv;
        int32_t  ts_in_delta;
        uint32_t sequence;
    } mbo_t;
    _Static_assert(sizeof(mbo_t) == 56, "mbo_t");
    #endif
    """
    ctypedef struct mbo_t:
        uint8_t length
        uint8_t rtype
        uint16_t publisher_id
        uint32_t instrument_id
        uint64_t ts_event
        uint64_t order_id
        int64_t price
        uint32_t size
        uint8_t flags
        uint8_t channel_id
        uint8_t action
        uint8_t side
        uint64_t ts_recv
        int32_t ts_in_delta
        uint32_t sequence

cdef enum:
    DBN_MBO = 0xA0              # rtype
    DBN_LAST = 128              # bits of mbo_t.flags
    DBN_SNAPSHOT = 32

cdef enum:
    # Statuses of one record; beside them those of the books.
    MBO_ACTION = -32
    MBO_SIDE = -33
    MBO_GRID = -34
    MBO_INSTRUMENT = -35
    MBO_RTYPE = -36


# Where a batch stands; what it means goes to `deltas` and `trades`, NULL where nobody wants them.
ctypedef struct mbo_out_t:
    book_delta_t* deltas
    trade_t* trades
    Py_ssize_t delta_count
    Py_ssize_t trade_count


cdef class MboBookBuilder:
    cdef readonly OrderBooks books
    cdef readonly int64_t records, fills, sideless_trades, void_orders
    cdef books_t* b
    cdef int64_t* increments    # of a book, by its index
    cdef uint32_t increment_count

    cdef int _one(self, const mbo_t* m, mbo_out_t* out) noexcept nogil
    cdef void _put(self, const mbo_t* m, mbo_out_t* out, uint8_t side, uint8_t action, int64_t price,
                   int64_t quantity) noexcept nogil
