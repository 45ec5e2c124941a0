# Pegged orders: dark, at a distance from the best displayed prices. Part of market.pyx.
# Rules: docs/kernel-orders.md, Pegged.
#
# They cost their number each time a best displayed price changes, and nothing otherwise: the look at them goes on where
# it was while an order that moves leaves those prices as they are.


cdef void peg_leave(market_t* m, book_t* book, uint32_t slot, extra_t* extra) noexcept nogil:
    if book.peg_at == slot:
        book.peg_at = extra.line_next
    line_leave(m, extra, &book.pegs, &book.pegs_last)
    if book.pegs == 0:
        book.special &= ~BOOK_PEGS


cdef void peg_join(market_t* m, book_t* book, uint32_t slot, extra_t* extra) noexcept nogil:
    line_join(m, slot, extra, &book.pegs, &book.pegs_last)
    book.special |= BOOK_PEGS
    peg_again(book)


cdef inline void peg_again(book_t* book) noexcept nogil:
    """The next look begins with the oldest."""
    book.peg_look = 1
    book.peg_at = book.pegs


cdef bint peg_price(const market_t* m, const book_t* book, int side, const extra_t* extra, int64_t* price) noexcept nogil:
    """Where a pegged order belongs now; whether that is anywhere."""
    cdef int64_t bid = book.ladders[0].best, offer = book.ladders[1].best, found
    if extra.flags & FLAG_PEG_MID:
        if bid == LADDER_EMPTY or offer == LADDER_EMPTY:
            return False
        found = (bid - offer) >> 1      # the rank of an offer is minus its price
    elif (side == SIDE_BUY) == (extra.flags & FLAG_PEG_OPPOSITE == 0):
        if bid == LADDER_EMPTY:
            return False
        found = bid
    else:
        if offer == LADDER_EMPTY:
            return False
        found = -offer
    found = price_rounded(
        &m.ticks[book.instrument], side, found + extra.offset if side == SIDE_BUY else found - extra.offset
    )
    if extra.distance and (found > extra.distance if side == SIDE_BUY else found < extra.distance):
        found = extra.distance
    price[0] = found
    return is_price(&m.ticks[book.instrument], found)


cdef void peg_place(market_t* m, book_t* book, uint32_t slot) noexcept nogil:
    """A pegged order in no queue goes to its price as an aggressor, or is parked."""
    cdef order_t* order = &m.orders[slot]
    cdef extra_t* extra = &m.extras[order.extra]
    cdef aggressor_t a
    cdef int64_t price = 0
    if book.phase != PHASE_CONTINUOUS or not peg_price(m, book, order.side, extra, &price):
        order.level = 0
        extra.price = 0
        aside_join(m, slot, extra, STANDING_PARKED)
        return
    aggressor_of(m, slot, &a, price, order.leaves)
    special_enter(m, book, &a, ENTER_REST, 0)


cdef void peg_lift(market_t* m, order_t* order, extra_t* extra) noexcept nogil:
    """It leaves its queue or its parking place."""
    if order.level:
        queue_leave(m, order)
        order.level = 0
    elif extra.standing:
        aside_leave(m, extra)


cdef bint settle_peg(market_t* m, book_t* book) noexcept nogil:
    """Settling, step 4: the oldest pegged order that belongs elsewhere is moved; whether there was one."""
    cdef int64_t bid = book.ladders[0].best, offer = book.ladders[1].best, price
    cdef uint32_t slot
    cdef order_t* order
    cdef extra_t* extra
    cdef bint somewhere
    if bid != book.peg_bid or offer != book.peg_offer:
        book.peg_bid = bid
        book.peg_offer = offer
        peg_again(book)
    if not book.peg_look:
        return False
    while book.peg_at:
        slot = book.peg_at
        order = &m.orders[slot]
        extra = &m.extras[order.extra]
        book.peg_at = extra.line_next
        somewhere = peg_price(m, book, order.side, extra, &price)
        if somewhere != (order.level != 0) or (somewhere and price != order_price(m, order)):
            peg_lift(m, order, extra)
            peg_place(m, book, slot)
            return True
    book.peg_look = 0
    return False
