"""One thread at a time. Level-1 and level-2 books of many instruments; sides and their algorithm are those of depth.pxd.

All sides take their levels from one pool of blocks, so a book costs a few hundred bytes and sixteen a level. `run` is
the kernel. A book that takes from no pool's end any more (its sides have grown) asks for no memory.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from nautilus.core.depth cimport depth_side_t, level_pool_t
from nautilus.core.id_index cimport id_index_t
from nautilus.core.types cimport book_delta_t, quote_t

cdef enum:
    BOOK_CLEARED_BIDS = 1
    BOOK_CLEARED_ASKS = 2
    BOOK_CLEARED = 3

ctypedef struct set_book_t:
    depth_side_t sides[2]       # bids, asks
    uint64_t update_id
    int64_t now_ns              # of the last record of the book
    int64_t venue_ns
    int64_t blind_since_ns      # 0: it is known
    int64_t blind_ns            # of the times that have ended
    int64_t shown[4]            # the best that `apply_best` told last
    quote_t quote               # the last one of `take_quotes`
    int64_t trade_ticks         # and of `take_trades`
    int64_t trade_ns
    uint64_t updates
    uint64_t gaps
    uint64_t snapshots
    uint64_t old
    uint32_t instrument_id
    uint8_t cleared             # sides that were emptied, and nothing but a snapshot came since
    uint8_t filling             # in a snapshot
    uint8_t crossed
    uint8_t shown_blind
    uint8_t traded


cdef class BookSet:
    cdef set_book_t* books      # from 0; places of the index are from 1
    cdef id_index_t index
    cdef level_pool_t pool
    cdef uint32_t room
    cdef bint snapshots_needed, numbered, consecutive
    cdef readonly uint64_t gaps
    cdef readonly uint64_t old
    cdef readonly uint64_t crossings

    cdef set_book_t* find(self, uint32_t instrument_id) noexcept nogil
    cdef set_book_t* open(self, uint32_t instrument_id) noexcept nogil
    cdef int apply_one(self, const book_delta_t* delta, set_book_t** found) noexcept nogil
    cdef void _fetch_book(self, uint32_t instrument_id) noexcept nogil
    cdef void _fetch_levels(self, const book_delta_t* delta) noexcept nogil
    cdef Py_ssize_t run(
        self, const book_delta_t* rows, Py_ssize_t count, quote_t* quotes, Py_ssize_t* told, int* status
    ) noexcept nogil
    cdef set_book_t* _of(self, uint32_t instrument_id) except NULL
    cdef object _apply(self, object deltas, bint tell)
    cdef int _add(self, uint32_t instrument_id) except -1


cdef inline void set_best(const set_book_t* book, int64_t* best) noexcept nogil:
    """Bid price and quantity, ask price and quantity; quantity 0: that side is empty."""
    cdef const depth_side_t* bids = &book.sides[0]
    cdef const depth_side_t* asks = &book.sides[1]
    best[0] = bids.prices[bids.count - 1] if bids.count else 0
    best[1] = bids.quantities[bids.count - 1] if bids.count else 0
    best[2] = asks.prices[asks.count - 1] if asks.count else 0
    best[3] = asks.quantities[asks.count - 1] if asks.count else 0
