# Continuous trading of plain orders: queues, the match loop, NEW, CANCEL, REPLACE. Part of market.pyx.
#
# Every function here is on the hot path. A branch that depends on where an order lies in its queue is a coin toss, so
# the links are written without one (`ladder_choose`); what is rare is marked as such and leaves through a function.


# ---- Matching

cdef inline void order_close(market_t* m, uint32_t slot, order_t* order, bint keep) noexcept nogil:
    """The order, in no queue any more, is over. A kept one stays readable until `market_give`."""
    order.level = 0
    if not keep:
        names_remove(m, slot)
        pool_push(&m.order_pool, slot, order)


cdef inline int64_t order_price(const market_t* m, const order_t* order) noexcept nogil:
    return rank_of(order.side, level_rank(&m.pages, order.level))


cdef inline inlined_int match(market_t* m, book_t* book, aggressor_t* a, bint keep) noexcept nogil:
    """Fills the aggressor as far as it goes; what is left stays in `leaves`, `reason` is set where it was stopped."""
    cdef ladder_t* ladder = &book.ladders[2 - a.side]
    cdef uint32_t level, slot, following
    cdef level_t* lv
    cdef order_t* resting
    cdef int64_t quantity, price
    cdef uint32_t flags
    while a.leaves and ladder.best >= a.worst:
        level = ladder.best_level
        lv = &m.pages.levels[level]
        slot = lv.head
        resting = &m.orders[slot]
        if ladder_unlikely(resting.flags != 0 or (a.owner != 0 and resting.owner == a.owner)):
            flags = special_fill(m, book, a, slot)
            if flags == FILL_STOP:
                return 0
            if flags == FILL_AGAIN:
                continue
        price = rank_of(3 - a.side, ladder.best)
        following = resting.next
        quantity = resting.leaves if resting.leaves < a.leaves else a.leaves
        a.leaves -= quantity
        resting.leaves -= quantity
        lv.quantity -= quantity
        flags = (REPORT_ORDER_DONE if a.leaves == 0 else 0) | (REPORT_COUNTER_DONE if resting.leaves == 0 else 0)
        if ladder_unlikely(m.wide != 0):
            m.counter_high = m.highs[slot]
        market_report(m, EVENT_FILLED, a.side, 0, flags, a.id, resting.id, price, quantity)
        if ladder_unlikely(m.counter_high != 0):
            m.counter_high = 0
        book.last = price
        book.has_last = 1
        book.traded += quantity
        if resting.leaves == 0:
            lv.head = following
            ladder_choose(following, &m.orders[following].prev, &lv.tail)[0] = 0
            order_close(m, slot, resting, keep)
            if following == 0:
                ladder_give(&m.pages, ladder, level)
    return 0


# ---- NEW

cdef enum:
    PLAIN_REST = 0              # what is left joins the book
    PLAIN_CANCEL = 1            # immediate or cancel
    PLAIN_KILL = 2              # fill or kill


cdef inline void new_ended(
    market_t* m, uint32_t slot, int side, uint32_t id, int64_t price, int64_t leaves, int reason, bint keep
) noexcept nogil:
    """What is left of an aggressor that does not rest."""
    if leaves:
        market_report(m, EVENT_CANCELLED, side, reason, REPORT_ORDER_DONE, id, 0, price, leaves)
    if slot:
        order_close(m, slot, &m.orders[slot], keep)


cdef inline void plain_rest(
    market_t* m, book_t* book, uint32_t slot, uint32_t id, int side, int64_t price, int64_t leaves, uint32_t owner,
    bint keep
) noexcept nogil:
    cdef ladder_t* ladder = &book.ladders[side - 1]
    cdef int64_t rank = rank_of(side, price)
    cdef uint32_t level = ladder_level(&m.pages, ladder, book.instrument, rank)
    cdef order_t* order
    if ladder_unlikely(level == 0):
        new_ended(m, slot, side, id, price, leaves, REASON_POOL_FULL, keep)
        return
    if slot == 0:
        slot = pool_take(&m.order_pool)     # there is one: client_new has looked
        m.orders[slot].id = id              # before the index sees the slot
        if not keep:
            names_add(m, slot, <uint64_t>m.order_high << 32 | id)
    order = &m.orders[slot]
    order_put(order, id, leaves, owner, side)
    order.level = level
    queue_begin(m, slot, order, ladder, level, rank, leaves)


cdef inline apart_int plain_enter(
    market_t* m, book_t* book, uint32_t slot, uint32_t id, int side, int64_t price, int64_t quantity, uint32_t owner,
    int mode, bint keep
) noexcept nogil:
    """Matches a plain order against a plain book; what is left rests or ends."""
    cdef aggressor_t a
    cdef int64_t leaves = quantity
    cdef int reason = REASON_UNFILLED
    a.worst = -rank_of(side, price)
    if book.ladders[2 - side].best >= a.worst:
        a.leaves = quantity
        a.price = price
        a.id = id
        a.slot = slot
        a.extra = 0
        a.owner = <uint16_t>owner
        a.side = <uint8_t>side
        a.flags = 0
        a.self_match = book.self_match
        a.banded = 0
        a.reason = 0
        if mode != PLAIN_KILL or at_once(m, book, &a, quantity) == quantity:
            match(m, book, &a, keep)
        leaves = a.leaves
        if a.reason:
            mode = PLAIN_CANCEL
            reason = a.reason
    if leaves == 0 or mode != PLAIN_REST:
        new_ended(m, slot, side, id, price, leaves, reason, keep)
    else:
        plain_rest(m, book, slot, id, side, price, leaves, owner, keep)
    return 0


cdef inline inlined_int plain_new(
    market_t* m, book_t* book, uint32_t slot, uint32_t id, int side, int64_t price, int64_t quantity, uint32_t owner,
    int mode
) noexcept nogil:
    """A plain order that has its slot, straight on where there is nothing to meet at its price."""
    cdef ladder_t* ladder = &book.ladders[side - 1]
    cdef int64_t rank = rank_of(side, price)
    cdef uint32_t level = 0
    cdef order_t* order = &m.orders[slot]
    market_report(m, EVENT_ACCEPTED, side, 0, 0, id, 0, price, quantity)
    if ladder_likely(mode == PLAIN_REST and book.ladders[2 - side].best < -rank):
        level = ladder_level(&m.pages, ladder, book.instrument, rank)
    if ladder_unlikely(level == 0 or slot == 0):
        plain_enter(m, book, slot, id, side, price, quantity, owner, mode, m.keep)
        return 0
    order_put(order, id, quantity, owner, side)
    order.level = level
    queue_begin(m, slot, order, ladder, level, rank, quantity)
    return 0


cdef inline void refuse(market_t* m, int side, uint32_t id, uint32_t flags, int reason) noexcept nogil:
    market_report(m, EVENT_REJECTED, side, reason, flags, id, 0, 0, 0)


# ---- CANCEL, REPLACE

cdef inline void plain_cancel(
    market_t* m, uint32_t slot, order_t* order, int kind, int reason, bint keep
) noexcept nogil:
    market_report(
        m, kind, order.side, reason, REPORT_ORDER_DONE, order.id, 0, order_price(m, order), order.leaves
    )
    queue_leave(m, order)
    order_close(m, slot, order, keep)


cdef inline inlined_int plain_replace(
    market_t* m, uint32_t slot, order_t* order, int64_t price, int64_t leaves, bint keep
) noexcept nogil:
    """The slot stays the order's; a new price or more quantity costs its place. Its report is out."""
    cdef book_t* book = &m.books[level_owner(&m.pages, order.level)]
    cdef int side = order.side
    cdef ladder_t* ladder = &book.ladders[side - 1]
    cdef int64_t rank = rank_of(side, price)
    cdef uint32_t level
    if leaves <= order.leaves and rank == level_rank(&m.pages, order.level):
        m.pages.levels[order.level].quantity += leaves - order.leaves
        order.leaves = leaves
        return 0
    queue_leave(m, order)
    level = 0
    if ladder_likely(book.ladders[2 - side].best < -rank):
        level = ladder_level(&m.pages, ladder, book.instrument, rank)
    if ladder_unlikely(level == 0):
        plain_enter(m, book, slot, order.id, side, price, leaves, order.owner, PLAIN_REST, keep)
        return 0
    order.leaves = leaves
    order.level = level
    queue_begin(m, slot, order, ladder, level, rank, leaves)
    return 0
