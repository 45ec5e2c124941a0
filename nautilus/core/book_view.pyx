"""Books for Python."""

cimport numpy as cnp
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

import numpy as np

from nautilus.core.ladder cimport level_rank
from nautilus.core.market cimport market_best, market_next, market_t
from nautilus.core.state cimport kernel_t, order_at, order_t
from nautilus.core.types cimport SIDE_BUY, SIDE_SELL

cnp.import_array()

DEPTH = np.dtype([("price_ticks", "<i8"), ("quantity", "<i8"), ("orders", "<i8")], align=True)
BOOK_ORDER = np.dtype([
    ("order_id", "<u8"), ("price_ticks", "<i8"), ("quantity", "<i8"), ("account_id", "<u4"), ("side", "u1"),
], align=True)

cdef struct book_order_t:
    uint64_t order_id
    int64_t price
    int64_t quantity
    uint32_t account
    uint8_t side

if sizeof(book_order_t) != BOOK_ORDER.itemsize:
    raise ImportError("nautilus.core.book_view: numpy lays records out otherwise than the compiler")


cdef object best_of(kernel_t* k, uint32_t instrument):
    cdef market_t* m = &k.market
    cdef uint32_t bids = market_best(m, instrument, SIDE_BUY), asks = market_best(m, instrument, SIDE_SELL)
    cdef int64_t bid = 0, bid_quantity = 0, ask = 0, ask_quantity = 0
    if bids:
        bid = level_rank(&m.pages, bids)
        bid_quantity = m.pages.levels[bids].quantity
    if asks:
        ask = -level_rank(&m.pages, asks)
        ask_quantity = m.pages.levels[asks].quantity
    return bid, bid_quantity, ask, ask_quantity


cdef object side_depth(kernel_t* k, uint32_t instrument, int side, Py_ssize_t levels):
    cdef market_t* m = &k.market
    cdef uint32_t level = market_best(m, instrument, side), slot
    cdef int64_t orders, rank
    rows = []
    while level and levels > 0:
        orders = 0
        slot = m.pages.levels[level].head
        while slot:
            orders += 1
            slot = m.orders[slot].next
        rank = level_rank(&m.pages, level)
        rows.append((rank if side == SIDE_BUY else -rank, m.pages.levels[level].quantity, orders))
        level = market_next(m, instrument, side, level)
        levels -= 1
    return np.array(rows, DEPTH)


cdef int64_t book_fill(const kernel_t* k, uint32_t instrument, int64_t levels, book_order_t* out) noexcept nogil:
    """Displayed orders of the best levels of both sides; NULL counts them."""
    cdef const market_t* m = &k.market
    cdef int side
    cdef int64_t count = 0, left, rank
    cdef uint32_t level, slot
    cdef const order_t* order
    for side in range(SIDE_BUY, SIDE_SELL + 1):
        level = market_best(m, instrument, side)
        left = levels
        while level and left > 0:
            rank = level_rank(&m.pages, level)
            slot = m.pages.levels[level].head
            while slot:
                if out != NULL:
                    order = order_at(k, slot)
                    out[count].order_id = order.order_id
                    out[count].price = rank if side == SIDE_BUY else -rank
                    out[count].quantity = m.orders[slot].leaves
                    out[count].account = k.accounts[order.account].id
                    out[count].side = <uint8_t>side
                count += 1
                slot = m.orders[slot].next
            level = market_next(m, instrument, side, level)
            left -= 1
    return count


cdef object book_rows(kernel_t* k, uint32_t instrument, int64_t levels):
    cdef cnp.ndarray rows = np.zeros(book_fill(k, instrument, levels, NULL), BOOK_ORDER)
    book_fill(k, instrument, levels, <book_order_t*>cnp.PyArray_DATA(rows))
    return rows
