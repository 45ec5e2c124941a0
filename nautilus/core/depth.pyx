"""Order book of absolute quantities a level; the inline half is in depth.pxd."""

import numpy as np

from nautilus.core.types import BOOK_DELTA as _BOOK_DELTA
from nautilus.core.types import QUOTE as _QUOTE

cimport cython
cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free, realloc

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
        return self._side(SIDE_BUY, levels), self._side(SIDE_SELL, levels)

    def quantity(self, int side, int64_t price_ticks):
        cdef depth_side_t* levels = self._levels(side)
        cdef int64_t low = 0, high = levels.count, middle
        while low < high:
            middle = (low + high) >> 1
            if levels.prices[middle] * levels.sign < price_ticks * levels.sign:
                low = middle + 1
            else:
                high = middle
        return levels.quantities[low] if low < levels.count and levels.prices[low] == price_ticks else 0

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

    cdef object _side(self, int which, Py_ssize_t levels):
        cdef depth_side_t* side = self._levels(which)
        cdef Py_ssize_t i, count = max(0, min(levels, side.count))
        out = np.empty(count, LEVEL)
        cdef int64_t* room = <int64_t*>cnp.PyArray_DATA(<cnp.ndarray>out)
        for i in range(count):
            room[2 * i] = side.prices[side.count - 1 - i]
            room[2 * i + 1] = side.quantities[side.count - 1 - i]
        return out

    def _refuse(self, int status, Py_ssize_t index):
        if status == DEPTH_MEMORY:
            raise MemoryError("no memory for another level of the book")
        raise ValueError(f"deltas[{index}]: {_REASONS[status]}")
