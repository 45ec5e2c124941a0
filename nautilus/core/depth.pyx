"""Order book of absolute quantities a level; the inline half is in depth.pxd."""

import numpy as np

from nautilus.core.types import BOOK_DELTA as _BOOK_DELTA
from nautilus.core.types import QUOTE as _QUOTE

cimport cython
cimport numpy as cnp
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from nautilus.core.memory cimport map_region, unmap_region
from nautilus.core.types cimport ACTION_CLEAR, ACTION_SET, RECORD_LAST, SIDE_BUY, SIDE_SELL, book_delta_t, quote_t

cnp.import_array()

LEVEL = np.dtype([("price_ticks", "<i8"), ("quantity", "<i8")], align=True)
cdef int64_t FIRST_CAPACITY = 1024
_REASONS = {
    DEPTH_SIDE: "side is neither BUY nor SELL",
    DEPTH_ACTION: "action is neither SET nor CLEAR",
    DEPTH_QUANTITY: "quantity is negative",
}


cdef int depth_grow(depth_side_t* side) noexcept nogil:
    """Double the room of a side."""
    if side.pool != NULL:
        return level_pool_grow(side)
    cdef int64_t capacity = side.capacity * 2 if side.capacity else FIRST_CAPACITY
    cdef int64_t* room = <int64_t*>realloc(side.prices, capacity * sizeof(int64_t))
    if room == NULL:
        return DEPTH_MEMORY
    side.prices = room
    room = <int64_t*>realloc(side.quantities, capacity * sizeof(int64_t))
    if room == NULL:
        return DEPTH_MEMORY
    side.quantities = room
    side.capacity = capacity
    return DEPTH_OK


cdef int level_pool_open(level_pool_t* pool, uint64_t levels) noexcept nogil:
    """A pool of so many levels, in blocks; committed as it is touched. DEPTH_OK or DEPTH_MEMORY."""
    pool.bytes = levels * 2 * sizeof(int64_t)
    pool.region = <char*>map_region(pool.bytes, True)
    return DEPTH_OK if pool.region != NULL else DEPTH_MEMORY


cdef void level_pool_close(level_pool_t* pool) noexcept nogil:
    if pool.region != NULL:
        unmap_region(pool.region, pool.bytes)
        pool.region = NULL


cdef int level_pool_grow(depth_side_t* side) noexcept nogil:
    """Move a side to a block of twice its size; its old one serves another side."""
    cdef level_pool_t* pool = side.pool
    cdef int64_t capacity = side.capacity * 2 if side.capacity else LEVEL_FIRST
    cdef int size_class = 0
    cdef uint64_t size = 2 * <uint64_t>capacity * sizeof(int64_t)
    cdef int64_t* block
    while LEVEL_FIRST << size_class < capacity:
        size_class += 1
    if pool.given[size_class] != NULL:
        block = <int64_t*>pool.given[size_class]
        pool.given[size_class] = (<void**>block)[0]
    elif pool.used + size <= pool.bytes:
        block = <int64_t*>(pool.region + pool.used)
        pool.used += size
    else:
        return DEPTH_MEMORY
    if side.capacity:
        memcpy(block, side.prices, side.count * sizeof(int64_t))
        memcpy(block + capacity, side.quantities, side.count * sizeof(int64_t))
        (<void**>side.prices)[0] = pool.given[size_class - 1]
        pool.given[size_class - 1] = side.prices
    side.prices = block
    side.quantities = block + capacity
    side.capacity = capacity
    return DEPTH_OK


cdef object depth_levels(const depth_side_t* side, Py_ssize_t levels):
    """The best levels of a side as LEVEL array, best first."""
    cdef Py_ssize_t i, count = max(0, min(levels, side.count))
    out = np.empty(count, LEVEL)
    cdef int64_t* room = <int64_t*>cnp.PyArray_DATA(<cnp.ndarray>out)
    for i in range(count):
        room[2 * i] = side.prices[side.count - 1 - i]
        room[2 * i + 1] = side.quantities[side.count - 1 - i]
    return out


cdef cnp.ndarray _checked(object deltas):
    """The array itself, if it is what the C loops may walk."""
    if not isinstance(deltas, np.ndarray) or (deltas.dtype is not _BOOK_DELTA and deltas.dtype != _BOOK_DELTA):
        raise TypeError(f"deltas are {getattr(deltas, 'dtype', type(deltas).__name__)}; expected a BOOK_DELTA array")
    if deltas.ndim != 1 or not deltas.flags.c_contiguous:
        raise TypeError("deltas are not one contiguous row; expected a one-dimensional C-contiguous BOOK_DELTA array")
    return <cnp.ndarray>deltas


# `self` is never None; the debug build's check for that would need the GIL.
@cython.nonecheck(False)
cdef class DepthBook:
    def __cinit__(self):
        self.bids.sign = 1
        self.asks.sign = -1

    def __dealloc__(self):
        free(self.bids.prices)
        free(self.bids.quantities)
        free(self.asks.prices)
        free(self.asks.quantities)

    cdef int apply_one(self, const book_delta_t* delta) noexcept nogil:
        cdef depth_side_t* side
        if delta.side == SIDE_BUY:
            side = &self.bids
        elif delta.side == SIDE_SELL:
            side = &self.asks
        else:
            return DEPTH_SIDE
        if delta.action == ACTION_SET:
            if delta.quantity < 0:
                return DEPTH_QUANTITY
            if depth_set(side, delta.price_ticks, delta.quantity) != DEPTH_OK:
                return DEPTH_MEMORY
        elif delta.action == ACTION_CLEAR:
            side.count = 0
        else:
            return DEPTH_ACTION
        self.update_id = delta.update_id
        self.now_ns = delta.now_ns
        return DEPTH_OK

    cdef void best_into(self, quote_t* quote) noexcept nogil:
        quote.bid_ticks = quote.bid_quantity = quote.ask_ticks = quote.ask_quantity = 0
        if self.bids.count:
            quote.bid_ticks = self.bids.prices[self.bids.count - 1]
            quote.bid_quantity = self.bids.quantities[self.bids.count - 1]
        if self.asks.count:
            quote.ask_ticks = self.asks.prices[self.asks.count - 1]
            quote.ask_quantity = self.asks.quantities[self.asks.count - 1]

    def apply(self, deltas):
        cdef cnp.ndarray array = _checked(deltas)
        cdef const book_delta_t* rows = <const book_delta_t*>cnp.PyArray_DATA(array)
        cdef Py_ssize_t i, count = array.shape[0]
        cdef int status = DEPTH_OK
        with nogil:
            for i in range(count):
                status = self.apply_one(&rows[i])
                if status != DEPTH_OK:
                    break
        if status != DEPTH_OK:
            self._refuse(status, i)

    def apply_each(self, updates):
        cdef Py_ssize_t k, i = 0, count
        cdef const book_delta_t* rows
        cdef int status = DEPTH_OK
        cdef cnp.ndarray array
        quotes = np.zeros(len(updates), _QUOTE)
        cdef quote_t* out = <quote_t*>cnp.PyArray_DATA(<cnp.ndarray>quotes)
        for k, deltas in enumerate(updates):
            array = _checked(deltas)
            rows = <const book_delta_t*>cnp.PyArray_DATA(array)
            count = array.shape[0]
            with nogil:
                for i in range(count):
                    status = self.apply_one(&rows[i])
                    if status != DEPTH_OK:
                        break
            if status != DEPTH_OK:
                self._refuse(status, i)
            self.best_into(&out[k])
            out[k].now_ns = self.now_ns
            out[k].update_id = self.update_id
            out[k].flags = RECORD_LAST
            if count:
                out[k].venue_ns = rows[count - 1].venue_ns
                out[k].instrument_id = rows[count - 1].instrument_id
        return quotes

    def best(self):
        cdef quote_t quote
        self.best_into(&quote)
        return quote.bid_ticks, quote.bid_quantity, quote.ask_ticks, quote.ask_quantity

    def depth(self, Py_ssize_t levels):
        return depth_levels(&self.bids, levels), depth_levels(&self.asks, levels)

    def quantity(self, int side, int64_t price_ticks):
        return depth_find(self._levels(side), price_ticks)

    def clear(self):
        self.bids.count = self.asks.count = 0

    def counts(self):
        return self.bids.count, self.asks.count

    cdef depth_side_t* _levels(self, int side) except NULL:
        if side == SIDE_BUY:
            return &self.bids
        if side == SIDE_SELL:
            return &self.asks
        raise ValueError(f"side is {side}; expected Side.BUY or Side.SELL")

    def _refuse(self, int status, Py_ssize_t index):
        if status == DEPTH_MEMORY:
            raise MemoryError("no memory for another level of the book")
        raise ValueError(f"deltas[{index}]: {_REASONS[status]}")
