# A recorded trade acts on the book: docs/kernel.md, TAPE. Part of market.pyx.


cdef uint64_t level_gather(market_t* m, uint32_t level) noexcept nogil:
    """The orders of a level, as they stand now, into `shares`; their number."""
    cdef uint64_t count = 0
    cdef uint32_t slot = m.pages.levels[level].head
    while slot:
        m.shares[count].slot = slot
        m.shares[count].id = m.orders[slot].id
        count += 1
        slot = m.orders[slot].next
    return count


cdef bint tape_order(market_t* m, book_t* book, aggressor_t* a, uint32_t slot, uint32_t level) noexcept nogil:
    """Fills one order as far as it goes; whether it was filled."""
    cdef order_t* resting = &m.orders[slot]
    cdef uint32_t id = resting.id
    cdef int answer = FILL_AGAIN
    while answer == FILL_AGAIN:
        if resting.flags & ORDER_ALL_OR_NONE and resting.leaves > a.leaves:
            return False            # passed over, before anything is cut
        answer = before_match(m, a, slot)
        if a.leaves == 0 or resting.level != level or resting.id != id:
            return False
    special_take(
        m, book, a, slot, resting.leaves if resting.leaves < a.leaves else a.leaves, order_price(m, resting), 0
    )
    return True


cdef void tape_level(market_t* m, book_t* book, aggressor_t* a, uint32_t level, bint own, bint booked) noexcept nogil:
    cdef uint64_t count, i
    cdef uint32_t slot
    cdef int64_t part
    cdef bint again = True, first = True
    while again and a.leaves:
        again = False
        count = level_gather(m, level)
        for i in range(count):
            slot = m.shares[i].slot
            if a.leaves == 0 or m.orders[slot].level != level or m.orders[slot].id != m.shares[i].id:
                continue
            if m.recorded == NULL or not m.recorded(m.context, m.shares[i].id) or (own and not booked):
                again |= tape_order(m, book, a, slot, level)
            elif own and first:
                # The book shows this trade already: the queue ahead takes its part, reserve included, and stays as it is.
                part = order_open(m, &m.orders[slot])
                if part > a.leaves:
                    if m.orders[slot].flags & ORDER_ALL_OR_NONE:
                        continue
                    part = a.leaves
                a.leaves -= part
                market_report(m, 0, a.side, 0, REPORT_ORDER_DONE if a.leaves == 0 else 0, a.id, 0, a.price, part)
        first = False


cdef void market_tape(market_t* m, uint32_t instrument, uint32_t slot, const intent_t* intent, bint booked) noexcept nogil:
    """The trade of `intent`: price, quantity, side of the aggressor. The slot is over afterwards."""
    cdef book_t* book = &m.books[instrument]
    cdef ladder_t* ladders[2]
    cdef uint32_t levels[2]
    cdef int64_t ranks[2]
    cdef int i
    cdef int64_t own = -rank_of(intent.side, intent.price)
    cdef aggressor_t a
    memset(&a, 0, sizeof(aggressor_t))
    a.leaves = intent.quantity
    a.price = intent.price
    a.worst = own
    a.id = intent.id
    a.slot = slot
    a.side = intent.side
    m.replenished = 0
    m.orders[slot].id = intent.id
    market_report(m, EVENT_ACCEPTED, a.side, 0, 0, a.id, 0, a.price, a.leaves)
    ladders[0] = &book.ladders[2 - a.side]
    ladders[1] = &book.dark[2 - a.side]
    for i in range(2):
        levels[i] = ladders[i].best_level
        ranks[i] = ladders[i].best
    while a.leaves and book.phase == PHASE_CONTINUOUS:
        i = 0 if ranks[0] >= ranks[1] else 1
        if levels[i] == 0 or ranks[i] < own:
            break
        tape_level(m, book, &a, levels[i], ranks[i] == own, booked)
        levels[i] = ladder_worse(&m.pages, ladders[i], ranks[i])
        ranks[i] = level_rank(&m.pages, levels[i]) if levels[i] else LADDER_EMPTY
    special_ended(m, &a, REASON_UNFILLED)
    if book.phase == PHASE_CONTINUOUS:
        book.last = intent.price
        book.has_last = 1
    if book.special:
        settle(m, book)
