# Orders that wait for a price: stops, touched orders, trailing stops; MARKET_TO_LIMIT. Part of market.pyx.
# Rules: docs/kernel-orders.md, Waiting orders.
#
# Per book and source of the reference (last, mark, quote) there are four ladders, best rank first to trigger. Waiting
# orders cost nothing while no reference reaches them: one comparison a ladder in use, and only in a book that has some.
# Trailing orders cost their number each time a reference changes.

cdef enum:
    SOURCES = 3
    KINDS = 4                   # stop buy, stop sell, touched buy, touched sell

cdef extern from *:
    """
    /* Triggers beyond every price wait at one end of the ladder: no reference reaches them. */
    #define FURTHEST_RANK ((int64_t)1 << 41)
    """
    const int64_t FURTHEST_RANK


cdef inline int source_of(const extra_t* extra) noexcept nogil:
    if extra.flags & FLAG_TRIGGER_MARK:
        return 1
    return 2 if extra.flags & FLAG_TRIGGER_QUOTE else 0


cdef inline bint is_touched(int order_type) noexcept nogil:
    return order_type == TYPE_MARKET_IF_TOUCHED or order_type == TYPE_LIMIT_IF_TOUCHED


cdef inline int64_t trigger_rank(int side, bint touched, int64_t price) noexcept nogil:
    """The rank of a trigger; what ranks at least like the reference is triggered."""
    return rank_of(side if touched else 3 - side, price)


cdef inline bint reference_of(
    const market_t* m, const book_t* book, int source, int side, int64_t* price
) noexcept nogil:
    """What a waiting order of that side looks at; whether there is one."""
    if source == 0:
        price[0] = book.last
        return book.has_last
    if source == 1:
        price[0] = book.mark
        return book.has_mark
    price[0] = rank_of(3 - side, book.ladders[2 - side].best)
    return book.ladders[2 - side].best != LADDER_EMPTY


cdef inline int64_t step_at(const ticks_t* ticks, int64_t price) noexcept nogil:
    cdef int64_t size = -price if price < 0 else price
    cdef int64_t step = ticks.step
    cdef uint32_t i
    for i in range(ticks.bands):
        if size < ticks.band[i].first:
            break
        step = ticks.band[i].step
    return step


cdef int64_t price_rounded(const ticks_t* ticks, int side, int64_t price) noexcept nogil:
    """To the step of its band, down for a buy, up for a sell."""
    cdef int64_t step = step_at(ticks, price)
    cdef int64_t over = price % step
    if over < 0:
        over += step
    if over == 0:
        return price
    return price - over if side == SIDE_BUY else price - over + step


cdef inline bint is_price(const ticks_t* ticks, int64_t price) noexcept nogil:
    return ticks.lowest <= price <= <int64_t>1 << MAX_PRICE_BITS


# ---- Joining and leaving a trigger price

cdef bint trigger_join(market_t* m, book_t* book, uint32_t slot) noexcept nogil:
    """The back of its trigger price; where no page is left the order ends: False."""
    cdef order_t* order = &m.orders[slot]
    cdef extra_t* extra = &m.extras[order.extra]
    cdef bint touched = is_touched(extra.order_type)
    cdef int64_t rank = trigger_rank(order.side, touched, extra.trigger)
    cdef ladder_t* ladders = &m.triggers[<size_t>book.instrument * (SOURCES * KINDS)]
    cdef uint32_t level
    cdef int i
    if not book.triggers_open:
        book.triggers_open = 1
        for i in range(SOURCES * KINDS):
            ladder_open(&ladders[i], SIDE_BUY)
    if rank > FURTHEST_RANK:
        rank = FURTHEST_RANK
    elif rank < -FURTHEST_RANK:
        rank = -FURTHEST_RANK
    level = ladder_take(
        &m.pages, &ladders[source_of(extra) * KINDS + (2 if touched else 0) + order.side - 1], book.instrument, rank
    )
    if level == 0:
        order_take_out(m, slot, order, EVENT_CANCELLED, REASON_POOL_FULL)
        return False
    queue_join(m, slot, order, level)
    book.special |= BOOK_TRIGGERS
    return True


cdef inline void trigger_leave(market_t* m, order_t* order) noexcept nogil:
    if order.level:
        queue_leave(m, order)
        order.level = 0


cdef bint trigger_stand(market_t* m, book_t* book, uint32_t slot) noexcept nogil:
    """The same with a standing number of its own."""
    m.arming[0] += 1
    extra_at(m, slot).stood = m.arming[0]
    return trigger_join(m, book, slot)


cdef void trail_leave(market_t* m, book_t* book, extra_t* extra) noexcept nogil:
    line_leave(m, extra, &book.trailing, &book.trailing_last)
    if book.trailing == 0:
        book.special &= ~BOOK_TRAILING


cdef void trail_join(market_t* m, book_t* book, uint32_t slot, extra_t* extra) noexcept nogil:
    line_join(m, slot, extra, &book.trailing, &book.trailing_last)
    book.special |= BOOK_TRAILING
    book.trail_look = 1


cdef inline int64_t trail_price(const extra_t* extra, int side, int64_t reference) noexcept nogil:
    """The trigger that follows from a reference. |reference| <= 2^40 and offset < 2^31, so nothing overflows."""
    cdef int64_t size = -reference if reference < 0 else reference
    cdef int64_t distance = extra.offset
    if extra.flags & FLAG_TRAIL_BPS:
        distance = size // 10000 * extra.offset + size % 10000 * extra.offset // 10000
    return reference + distance if side == SIDE_BUY else reference - distance


cdef void wait_begin(market_t* m, book_t* book, uint32_t slot) noexcept nogil:
    """An accepted order, in no list, begins to wait."""
    cdef order_t* order = &m.orders[slot]
    cdef extra_t* extra = &m.extras[order.extra]
    cdef int64_t reference
    order.flags |= ORDER_WAITING
    aside_join(m, slot, extra, STANDING_WAITING)
    book.special |= BOOK_TRIGGERS
    if is_trailing(extra.order_type):
        trail_join(m, book, slot, extra)
        if not extra.has_trigger and reference_of(m, book, source_of(extra), order.side, &reference):
            extra.trigger = trail_price(extra, order.side, reference)
            extra.has_trigger = 1
    if extra.has_trigger:
        trigger_stand(m, book, slot)


# ---- Settling, step 2

cdef bint trail_follow(market_t* m, book_t* book) noexcept nogil:
    """Trailing orders follow their references; whether one ended for want of room."""
    cdef uint32_t slot = book.trailing
    cdef order_t* order
    cdef extra_t* extra
    cdef int64_t reference, trigger
    cdef int has = book.has_last | book.has_mark << 1
    if (
        not book.trail_look and book.trail_has == has and book.trail_last == book.last
        and book.trail_mark == book.mark and book.trail_bid == book.ladders[0].best
        and book.trail_offer == book.ladders[1].best
    ):
        return False
    book.trail_look = 0
    book.trail_has = <uint8_t>has
    book.trail_last = book.last
    book.trail_mark = book.mark
    book.trail_bid = book.ladders[0].best
    book.trail_offer = book.ladders[1].best
    while slot:
        order = &m.orders[slot]
        extra = &m.extras[order.extra]
        if reference_of(m, book, source_of(extra), order.side, &reference):
            trigger = trail_price(extra, order.side, reference)
            if not extra.has_trigger or (trigger < extra.trigger if order.side == SIDE_BUY else trigger > extra.trigger):
                trigger_leave(m, order)
                extra.trigger = trigger
                extra.has_trigger = 1
                if not trigger_stand(m, book, slot):
                    book.trail_look = 1
                    return True
        slot = extra.line_next
    return False


cdef void order_trigger(market_t* m, book_t* book, uint32_t slot) noexcept nogil:
    """A waiting order enters as what it becomes."""
    cdef order_t* order = &m.orders[slot]
    cdef extra_t* extra = &m.extras[order.extra]
    cdef int64_t trigger = extra.trigger, distance = extra.distance, price
    cdef int kind = extra.order_type
    cdef aggressor_t a
    trigger_leave(m, order)
    aside_leave(m, extra)
    if is_trailing(kind):
        trail_leave(m, book, extra)
    order.flags &= ~ORDER_WAITING
    extra.has_trigger = 0
    extra.trigger = 0
    extra.stood = 0
    extra.offset = 0
    extra.distance = 0
    market_report(m, EVENT_TRIGGERED, order.side, 0, 0, order.id, 0, trigger, order.leaves)
    extra.order_type = TYPE_LIMIT
    if kind == TYPE_STOP or kind == TYPE_TRAILING_STOP or kind == TYPE_MARKET_IF_TOUCHED:
        extra.order_type = TYPE_MARKET
        extra.time_in_force = TIF_IOC
    elif kind == TYPE_TRAILING_STOP_LIMIT:
        price = price_rounded(
            &m.ticks[book.instrument], order.side,
            trigger + distance if order.side == SIDE_BUY else trigger - distance
        )
        if not is_price(&m.ticks[book.instrument], price):
            aggressor_of(m, slot, &a, 0, order.leaves)
            special_ended(m, &a, REASON_PRICE)
            return
        extra.price = price
        market_report(m, REPORT_CHANGED, order.side, 0, REPORT_LIMIT, order.id, 0, price, order.leaves)
    order_enter(m, book, slot, 0)


cdef bint settle_trigger(market_t* m, book_t* book) noexcept nogil:
    """Trailing orders follow, then the next waiting order whose condition holds is triggered; whether anything was."""
    cdef ladder_t* ladders
    cdef int source, kind, side
    cdef int64_t reference
    if book.special & BOOK_TRAILING and trail_follow(m, book):
        return True
    if not book.triggers_open:
        return False
    ladders = &m.triggers[<size_t>book.instrument * (SOURCES * KINDS)]
    for source in range(SOURCES):
        for kind in range(KINDS):
            if ladders[source * KINDS + kind].best == LADDER_EMPTY:
                continue
            side = SIDE_BUY + (kind & 1)
            if not reference_of(m, book, source, side, &reference):
                continue
            if ladders[source * KINDS + kind].best >= trigger_rank(side, kind >= 2, reference):
                order_trigger(m, book, m.pages.levels[ladders[source * KINDS + kind].best_level].head)
                return True
    return False


# ---- Entering

cdef void order_enter(market_t* m, book_t* book, uint32_t slot, int64_t minimum) noexcept nogil:
    """An accepted order with a side record, in no list, begins to act by its type, in continuous trading (or waits)."""
    cdef order_t* order = &m.orders[slot]
    cdef extra_t* extra = &m.extras[order.extra]
    cdef int kind = extra.order_type, mode = ENTER_REST, reason
    cdef int64_t bound = 0, best
    cdef bint bounded = False
    cdef aggressor_t a
    if is_waiting_type(kind):
        wait_begin(m, book, slot)
        return
    if kind == TYPE_PEGGED:
        peg_place(m, book, slot)
        return
    if extra.time_in_force >= TIF_AT_OPEN:
        auction_join(m, book, slot, extra)
        auction_stand(m, book, slot)
        return
    aggressor_of(m, slot, &a, extra.price, order.leaves)
    if kind == TYPE_MARKET or kind == TYPE_MARKET_TO_LIMIT:
        if m.bound_of != NULL:
            reason = m.bound_of(m.context, order.id, &bound, &bounded)
            if reason:
                special_ended(m, &a, reason)
                return
        a.worst = -rank_of(order.side, bound) if bounded else WORST_OF_ALL
    if kind == TYPE_MARKET_TO_LIMIT:
        best = market_touch(m, book.instrument, 3 - order.side)
        if best == LADDER_EMPTY or best < a.worst or book.phase != PHASE_CONTINUOUS:
            special_ended(m, &a, REASON_UNFILLED)
            return
        a.price = rank_of(3 - order.side, best)
        a.worst = best
        extra.order_type = TYPE_LIMIT
        extra.price = a.price
        market_report(m, REPORT_CHANGED, order.side, 0, REPORT_LIMIT, order.id, 0, a.price, order.leaves)
    if extra.time_in_force == TIF_FOK:
        mode = ENTER_KILL
    elif kind == TYPE_MARKET or extra.time_in_force == TIF_IOC:
        mode = ENTER_KILL if extra.flags & FLAG_ALL_OR_NONE else ENTER_CANCEL
    special_enter(m, book, &a, mode, minimum)
