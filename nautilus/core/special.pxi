# What a plain order never meets. The hot path comes here through its three tests (market.pxd); part of market.pyx.


cdef inline int self_match_of(const market_t* m, const aggressor_t* a) noexcept nogil:
    return m.self_match_of(m.context, a.id) if m.self_match_of != NULL else a.self_match


cdef int special_fill(market_t* m, book_t* book, aggressor_t* a, uint32_t slot) noexcept nogil:
    """Before a match with a resting order that has flags, or the aggressor's own owner: a FILL_* answer.

    It may change the aggressor, cancel or re-queue the resting order, and make reports. With FILL_STOP the aggressor
    keeps what it has left; where `a.reason` is set it is cancelled with it, else it rests.
    """
    cdef order_t* resting = &m.orders[slot]
    cdef int mode
    if a.owner and resting.owner == a.owner:
        mode = self_match_of(m, a)
        if mode == SELF_MATCH_CANCEL_OLDEST:
            plain_cancel(m, slot, resting, EVENT_CANCELLED, REASON_SELF_MATCH, m.keep)
            return FILL_AGAIN
        if mode <= SELF_MATCH_CANCEL_NEWEST:
            a.reason = REASON_SELF_MATCH
            return FILL_STOP
    return FILL_AS_PLAIN


cdef void settle(market_t* m, book_t* book) noexcept nogil:
    """After each command on a book with special orders: what the new prices set off, until nothing more does."""
    book.special &= ~BOOK_SETTLE
