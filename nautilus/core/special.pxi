# What a plain order never meets. The hot path comes here through its three tests (market.pxd); part of market.pyx.


cdef int special_fill(market_t* m, book_t* book, aggressor_t* a, uint32_t slot) noexcept nogil:
    """Before a match with a resting order that has flags, or the aggressor's own owner: a FILL_* answer.

    It may change the aggressor, cancel or re-queue the resting order, and make reports. With FILL_STOP the aggressor
    keeps what it has left; where `a.reason` is set it is cancelled with it, else it rests.
    """
    cdef order_t* resting = &m.orders[slot]
    if a.owner and resting.owner == a.owner and a.self_match == SELF_MATCH_CANCEL_NEWEST:
        a.reason = REASON_SELF_MATCH
        return FILL_STOP
    return FILL_AS_PLAIN


cdef void settle(market_t* m, book_t* book) noexcept nogil:
    """After each command on a book with special orders: what the new prices set off, until nothing more does."""
    book.special &= ~BOOK_SETTLE
