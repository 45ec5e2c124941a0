# Continuous trading of plain orders: queues, the match loop, NEW, CANCEL, REPLACE. Part of market.pyx.
#
# Every function here is on the hot path. A branch that depends on where an order lies in its queue is a coin toss, so
# the links are written without one (`ladder_choose`); what is rare is marked as such and leaves through a function.


# ---- Queues

cdef inline void queue_join(market_t* m, uint32_t slot, order_t* order, uint32_t level) noexcept nogil:
    """The order goes to the back of a level that `ladder_take` has marked."""
    cdef level_t* lv = &m.pages.levels[level]
    cdef uint32_t tail = lv.tail
    order.next = 0
    order.prev = tail
    order.level = level
    ladder_choose(tail, &m.orders[tail].next, &lv.head)[0] = slot
    lv.tail = slot
    lv.quantity += order.leaves


cdef inline void queue_leave(market_t* m, order_t* order) noexcept nogil:
    """The order leaves its queue, which may close. Its own links stay as they were."""
    cdef uint32_t level = order.level
    cdef uint32_t following = order.next
    cdef uint32_t before = order.prev
    cdef level_t* lv = &m.pages.levels[level]
    ladder_choose(before, &m.orders[before].next, &lv.head)[0] = following
    ladder_choose(following, &m.orders[following].prev, &lv.tail)[0] = before
    lv.quantity -= order.leaves
    if (following | before) == 0:
        ladder_give(&m.pages, m.pages.headers[level >> 9].ladder, level)


cdef inline void order_close(market_t* m, uint32_t slot, order_t* order, bint keep) noexcept nogil:
    """The order, in no queue any more, is over. A kept one stays readable until `market_give`."""
    order.level = 0
    if not keep:
        names_remove(m, slot)
        pool_give(&m.order_pool, slot)


cdef inline int64_t order_price(const market_t* m, const order_t* order) noexcept nogil:
    return rank_of(order.side, level_rank(&m.pages, order.level))


# ---- Matching

cdef inline void match(market_t* m, book_t* book, aggressor_t* a, bint keep) noexcept nogil:
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
                return
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
    cdef uint32_t level = ladder_take(&m.pages, &book.ladders[side - 1], book.instrument, rank_of(side, price))
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
    order.id = id
    order.leaves = leaves
    order.owner = <uint16_t>owner
    order.side = <uint8_t>side
    order.flags = 0
    order.extra = 0
    queue_join(m, slot, order, level)


cdef inline void plain_enter(
    market_t* m, book_t* book, uint32_t slot, uint32_t id, int side, int64_t price, int64_t quantity, uint32_t owner,
    int64_t worst, int mode, bint keep
) noexcept nogil:
    """Matches a plain order against a plain book; what is left rests or ends."""
    cdef aggressor_t a
    cdef int64_t leaves = quantity
    cdef int reason = REASON_UNFILLED
    if book.ladders[2 - side].best >= worst:
        a.leaves = quantity
        a.worst = worst
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


cdef inline void plain_replace(
    market_t* m, uint32_t slot, order_t* order, int64_t price, int64_t leaves, bint keep
) noexcept nogil:
    """The slot stays the order's; a new price or more quantity costs its place."""
    cdef book_t* book = &m.books[m.pages.headers[order.level >> 9].owner]
    cdef int side = order.side
    cdef uint32_t id = order.id
    cdef uint32_t owner = order.owner
    market_report(m, EVENT_REPLACED, side, 0, 0, id, 0, price, leaves)
    if leaves <= order.leaves and price == order_price(m, order):
        m.pages.levels[order.level].quantity += leaves - order.leaves
        order.leaves = leaves
        return
    queue_leave(m, order)
    plain_enter(m, book, slot, id, side, price, leaves, owner, -rank_of(side, price), PLAIN_REST, keep)
