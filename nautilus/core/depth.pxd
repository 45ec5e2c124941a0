"""Order book of absolute quantities a level (level 2), as recorded: no orders, no matching.

Each side is a pair of arrays sorted by price with the best level last, because most changes are near the touch: a
change costs a short search from there and moves the few levels that are better. Any 64-bit price has its place, so a quote
far from the market costs no memory. One thread at a time. Sides of many books may share a pool of levels
(`nautilus.core.book_set`); a side without one asks the C library for its memory.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memmove

from nautilus.core.types cimport book_delta_t, quote_t

cdef enum:
    DEPTH_OK = 0
    DEPTH_MEMORY = -1           # no memory for another level
    DEPTH_SIDE = -2             # side is neither BUY nor SELL
    DEPTH_ACTION = -3           # neither SET nor CLEAR
    DEPTH_QUANTITY = -4         # negative quantity

cdef enum:
    LEVEL_CLASSES = 40
    LEVEL_FIRST = 8             # levels of the smallest block of a pool; each class has twice as many

ctypedef struct level_pool_t:   # of zeroed memory: `level_pool_open` of depth.pyx
    char* region
    uint64_t bytes
    uint64_t used               # from the front: what no block is made of yet
    void* given[LEVEL_CLASSES]  # blocks that were given back, by class

ctypedef struct depth_side_t:
    int64_t* prices             # times `sign` ascending: the best is last
    int64_t* quantities
    int64_t count
    int64_t capacity
    int64_t sign                # +1 bids, -1 asks
    level_pool_t* pool          # NULL: none

cdef int depth_grow(depth_side_t* side) noexcept nogil
cdef int level_pool_open(level_pool_t* pool, uint64_t levels) noexcept nogil
cdef void level_pool_close(level_pool_t* pool) noexcept nogil


cdef inline int64_t depth_place(const depth_side_t* side, int64_t price) noexcept nogil:
    """Where a price is, or is to be. Strides from the best level double until they are beyond it: it is often near."""
    cdef int64_t high = side.count, low = high - 1, stride = 1, middle, key = price * side.sign
    cdef const int64_t* prices = side.prices
    while low >= 0 and prices[low] * side.sign >= key:
        high = low
        stride *= 2
        low -= stride
    low = low + 1 if low >= 0 else 0
    while low < high:
        middle = (low + high) >> 1
        if prices[middle] * side.sign < key:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline int depth_set(depth_side_t* side, int64_t price, int64_t quantity) noexcept nogil:
    """Give a level its absolute quantity; 0 removes it. DEPTH_OK or DEPTH_MEMORY."""
    cdef int64_t low = depth_place(side, price)
    cdef int64_t* prices = side.prices
    if low < side.count and prices[low] == price:
        if quantity:
            side.quantities[low] = quantity
        else:
            side.count -= 1
            memmove(prices + low, prices + low + 1, (side.count - low) * sizeof(int64_t))
            memmove(side.quantities + low, side.quantities + low + 1, (side.count - low) * sizeof(int64_t))
    elif quantity:
        if side.count == side.capacity and depth_grow(side) != DEPTH_OK:
            return DEPTH_MEMORY
        prices = side.prices
        memmove(prices + low + 1, prices + low, (side.count - low) * sizeof(int64_t))
        memmove(side.quantities + low + 1, side.quantities + low, (side.count - low) * sizeof(int64_t))
        prices[low] = price
        side.quantities[low] = quantity
        side.count += 1
    return DEPTH_OK


cdef inline int64_t depth_find(const depth_side_t* side, int64_t price) noexcept nogil:
    """Quantity at a price; 0 where there is no level."""
    cdef int64_t low = depth_place(side, price)
    return side.quantities[low] if low < side.count and side.prices[low] == price else 0


cdef object depth_levels(const depth_side_t* side, Py_ssize_t levels)


cdef class DepthBook:
    cdef depth_side_t bids
    cdef depth_side_t asks
    cdef readonly uint64_t update_id
    cdef readonly int64_t now_ns

    cdef int apply_one(self, const book_delta_t* delta) noexcept nogil
    cdef void best_into(self, quote_t* quote) noexcept nogil
    cdef depth_side_t* _levels(self, int side) except NULL
