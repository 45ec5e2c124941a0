# Orders that are not plain limit orders at rest: icebergs, hidden, all-or-none, reduce-only; self-match modes; pro-rata.
# Part of market.pyx. Rules: docs/kernel-orders.md. Off the plain path: reached through flags and `book.special`.

cdef enum:
    MOST_REPLENISHED = 1 << 19      # in one command; then icebergs show all they have
    ENTER_REST = PLAIN_REST
    ENTER_CANCEL = PLAIN_CANCEL
    ENTER_KILL = PLAIN_KILL

cdef extern from *:
    """
    /* floor(a * shown / all) without overflow: all of it fits 128 bits */
    static inline int64_t market_share(int64_t a, int64_t shown, int64_t all) {
        return (int64_t)((__int128)a * shown / all);
    }
    """
    int64_t market_share(int64_t a, int64_t shown, int64_t all) noexcept nogil


cdef inline int self_match_of(const market_t* m, const aggressor_t* a) noexcept nogil:
    return m.self_match_of(m.context, a.id) if m.self_match_of != NULL else a.self_match


cdef inline int64_t order_open(const market_t* m, const order_t* order) noexcept nogil:
    """Open quantity, an iceberg's reserve included."""
    return order.leaves + (m.extras[order.extra].reserve if order.flags & ORDER_ICEBERG else 0)


cdef inline ladder_t* dark_of(book_t* book, int side) noexcept nogil:
    return &book.dark[side - 1]


cdef void order_end(market_t* m, uint32_t slot, order_t* order) noexcept nogil:
    """An order in no queue is over: side record, group, children and slot are let go."""
    if order.extra:
        extra_end(m, slot, order)
    order_close(m, slot, order, m.keep)


cdef void order_take_out(
    market_t* m, uint32_t slot, order_t* order, int kind, int reason
) noexcept nogil:
    """A standing order is taken out whole, with its report, and its group with it."""
    cdef uint32_t group = m.extras[order.extra].group
    cdef uint32_t high = report_about(m, slot)
    market_report(
        m, kind, order.side, reason, REPORT_ORDER_DONE, order.id, 0, price_of(m, slot), order_open(m, order)
    )
    m.order_high = high
    standing_moved(m, order)
    if order.level:
        queue_leave(m, order)
    order_end(m, slot, order)
    if group:
        group_cancel(m, group, 0)


cdef void order_cut(market_t* m, uint32_t slot, order_t* order, int64_t less) noexcept nogil:
    """A resting order loses quantity in its place, an iceberg reserve first. The report is the caller's, and closing."""
    cdef extra_t* extra
    cdef int64_t part
    if order.flags & ORDER_ICEBERG:
        extra = &m.extras[order.extra]
        part = less if less < extra.reserve else extra.reserve
        extra.reserve -= part
        less -= part
    order.leaves -= less
    if order.level:
        m.pages.levels[order.level].quantity -= less
    standing_moved(m, order)


cdef void order_lose(market_t* m, uint32_t slot, order_t* order, int64_t less, int reason) noexcept nogil:
    """The same with its CANCELLED report; with nothing left the order closes."""
    cdef uint32_t high
    if order_open(m, order) == less:
        order_take_out(m, slot, order, EVENT_CANCELLED, reason)
        return
    high = report_about(m, slot)
    market_report(m, EVENT_CANCELLED, order.side, reason, 0, order.id, 0, price_of(m, slot), less)
    m.order_high = high
    order_cut(m, slot, order, less)


cdef void aggressor_lose(market_t* m, aggressor_t* a, int64_t less, int reason) noexcept nogil:
    """The aggressor loses quantity, at most what it has; with nothing left its group ends with it."""
    if less > a.leaves:
        less = a.leaves
    if less == 0:
        return
    a.leaves -= less
    market_report(
        m, EVENT_CANCELLED, a.side, reason, REPORT_ORDER_DONE if a.leaves == 0 else 0, a.id, 0, a.price, less
    )
    if a.leaves == 0 and a.flags & ORDER_GROUPED:
        group_cancel(m, m.extras[a.extra].group, a.slot)


# ---- Resting

cdef void special_rest(market_t* m, book_t* book, aggressor_t* a) noexcept nogil:
    """What is left of an order with a slot joins the displayed or the dark queue of its price."""
    cdef order_t* order = &m.orders[a.slot]
    cdef bint dark = (a.flags & ORDER_DARK) != 0
    cdef ladder_t* ladder = dark_of(book, a.side) if dark else &book.ladders[a.side - 1]
    cdef uint32_t level = ladder_take(&m.pages, ladder, book.instrument, rank_of(a.side, a.price))
    cdef extra_t* extra
    if level == 0:
        special_ended(m, a, REASON_POOL_FULL)
        return
    order.id = a.id
    order.owner = a.owner
    order.side = a.side
    order.flags = a.flags
    order.extra = a.extra
    order.leaves = a.leaves
    if a.flags & ORDER_ICEBERG:
        extra = &m.extras[a.extra]
        order.leaves = a.leaves if a.leaves < extra.display else extra.display
        extra.reserve = a.leaves - order.leaves
    if dark:
        book.special |= BOOK_DARK
    queue_join(m, a.slot, order, level)
    book_moved(m, book)


cdef void special_ended(market_t* m, aggressor_t* a, int reason) noexcept nogil:
    """What is left of an aggressor that does not rest is cancelled; the order is over."""
    cdef uint32_t group = m.extras[a.extra].group if a.leaves else 0
    if a.leaves:
        market_report(m, EVENT_CANCELLED, a.side, reason, REPORT_ORDER_DONE, a.id, 0, a.price, a.leaves)
        a.leaves = 0
    m.active = NULL
    m.orders[a.slot].extra = a.extra
    m.orders[a.slot].flags = a.flags
    order_end(m, a.slot, &m.orders[a.slot])
    if group:
        group_cancel(m, group, 0)


# ---- Matching

cdef uint32_t next_resting(market_t* m, book_t* book, const aggressor_t* a) noexcept nogil:
    """The order that the aggressor meets next, 0: none that it accepts."""
    cdef ladder_t* displayed = &book.ladders[2 - a.side]
    cdef ladder_t* dark = &book.dark[2 - a.side]
    cdef uint32_t level = dark.best_level
    cdef int64_t rank
    cdef uint32_t slot
    while True:
        rank = level_rank(&m.pages, level) if level else LADDER_EMPTY
        if displayed.best >= rank:
            if displayed.best < a.worst or displayed.best == LADDER_EMPTY:
                return 0
            return m.pages.levels[displayed.best_level].head
        if rank < a.worst:
            return 0
        slot = m.pages.levels[level].head
        while slot:
            if not m.orders[slot].flags & ORDER_ALL_OR_NONE or m.orders[slot].leaves <= a.leaves:
                return slot
            slot = m.orders[slot].next
        level = ladder_below(&m.pages, level)


cdef int self_match(market_t* m, aggressor_t* a, uint32_t slot, int mode) noexcept nogil:
    """The aggressor meets an order of its own owner."""
    cdef order_t* resting = &m.orders[slot]
    cdef int64_t less, open_there
    if mode == SELF_MATCH_CANCEL_OLDEST:
        order_take_out(m, slot, resting, EVENT_CANCELLED, REASON_SELF_MATCH)
        return FILL_AGAIN
    if mode == SELF_MATCH_DECREMENT:
        open_there = order_open(m, resting)
        less = open_there if open_there < a.leaves else a.leaves
        order_lose(m, slot, resting, less, REASON_SELF_MATCH)
        aggressor_lose(m, a, less, REASON_SELF_MATCH)
        return FILL_AGAIN
    if mode == SELF_MATCH_CANCEL_BOTH:
        order_take_out(m, slot, resting, EVENT_CANCELLED, REASON_SELF_MATCH)
    a.reason = REASON_SELF_MATCH
    return FILL_STOP


cdef int before_match(market_t* m, aggressor_t* a, uint32_t slot) noexcept nogil:
    """Self-match prevention and reduce-only: FILL_AS_PLAIN where both may trade."""
    cdef order_t* resting = &m.orders[slot]
    cdef int64_t allowed, excess
    cdef int mode
    if a.owner and resting.owner == a.owner:
        mode = self_match_of(m, a)
        if mode != SELF_MATCH_NONE:
            return self_match(m, a, slot, mode)
    if resting.flags & ORDER_REDUCE_ONLY and m.reducible != NULL:
        allowed = m.reducible(m.context, resting.id)
        excess = order_open(m, resting) - allowed
        if excess > 0:
            order_lose(m, slot, resting, excess, REASON_REDUCE_ONLY)
            return FILL_AGAIN
    if a.flags & ORDER_REDUCE_ONLY and m.reducible != NULL:
        allowed = m.reducible(m.context, a.id)
        if a.leaves > allowed:
            aggressor_lose(m, a, a.leaves - allowed, REASON_REDUCE_ONLY)
            return FILL_AGAIN
    return FILL_AS_PLAIN


cdef void replenish(market_t* m, uint32_t slot, order_t* order, uint32_t level) noexcept nogil:
    """The displayed part is used up and the order is out of its queue: it shows its next part at the back."""
    cdef extra_t* extra = &m.extras[order.extra]
    cdef ladder_t* ladder = level_ladder(&m.pages, level)
    cdef uint32_t owner = level_owner(&m.pages, level)
    cdef int64_t rank = level_rank(&m.pages, level)
    cdef uint32_t high
    queue_leave(m, order)
    m.replenished += 1
    order.leaves = extra.reserve
    if extra.display < extra.reserve and m.replenished <= MOST_REPLENISHED:
        order.leaves = extra.display
    extra.reserve -= order.leaves
    high = report_about(m, slot)
    market_report(
        m, EVENT_REPLENISHED, order.side, 0, 0, order.id, 0, rank_of(order.side, rank), order.leaves
    )
    m.order_high = high
    # The page it has just left is idle at worst: there is room.
    queue_join(m, slot, order, ladder_take(&m.pages, ladder, owner, rank))


cdef void special_take(
    market_t* m, book_t* book, aggressor_t* a, uint32_t slot, int64_t quantity, int64_t price, int in_auction
) noexcept nogil:
    """One match of that quantity, and what it does to the resting order."""
    cdef order_t* resting = &m.orders[slot]
    cdef uint32_t level = resting.level
    cdef int flags = in_auction
    cdef bint done = order_open(m, resting) == quantity
    cdef int linked = (a.flags | resting.flags) & (ORDER_GROUPED | ORDER_PARENT)
    cdef uint32_t own_group, group
    a.leaves -= quantity
    if a.leaves == 0 and not linked & ORDER_GROUPED:
        flags |= REPORT_ORDER_DONE      # else its group is dealt with before it closes
    if done:
        flags |= REPORT_COUNTER_DONE
    if market_unlikely(m.wide != 0):
        m.counter_high = m.highs[slot]
    market_report(m, EVENT_FILLED, a.side, 0, flags, a.id, resting.id, price, quantity)
    m.counter_high = 0
    book.last = price
    book.has_last = 1
    book.traded += quantity
    own_group = m.extras[a.extra].group
    group = m.extras[resting.extra].group
    if linked & ORDER_PARENT:
        if a.flags & ORDER_PARENT:
            parent_filled(m, &m.extras[a.extra], quantity)
        if resting.flags & ORDER_PARENT:
            parent_filled(m, &m.extras[resting.extra], quantity)
    if done:
        queue_leave(m, resting)
        order_end(m, slot, resting)
    else:
        resting.leaves -= quantity
        m.pages.levels[level].quantity -= quantity
    if linked & ORDER_GROUPED:
        if own_group:
            group_filled(m, own_group, a.slot, quantity)
        if group and group != own_group:
            group_filled(m, group, slot, quantity)
        if a.leaves == 0:
            market_report(m, REPORT_TAKEN, a.side, 0, REPORT_ORDER_DONE, a.id, 0, a.price, 0)
        if resting.level != level:
            return              # its own group has cancelled it
    if not done and resting.leaves == 0:
        replenish(m, slot, resting, level)


cdef int special_fill(market_t* m, book_t* book, aggressor_t* a, uint32_t slot) noexcept nogil:
    """The plain loop has met an order with flags, or the aggressor's own owner: a FILL_* answer."""
    cdef order_t* resting = &m.orders[slot]
    cdef int answer = before_match(m, a, slot)
    if answer != FILL_AS_PLAIN or resting.flags == 0:
        return answer
    special_take(m, book, a, slot, resting.leaves if resting.leaves < a.leaves else a.leaves, order_price(m, resting), 0)
    return FILL_AGAIN


cdef int share_out(market_t* m, book_t* book, aggressor_t* a) noexcept nogil:
    """Pro-rata: the best displayed price is shared out. FILL_AS_PLAIN where the aggressor takes all of it."""
    cdef uint32_t level = book.ladders[2 - a.side].best_level
    cdef level_t* lv = &m.pages.levels[level]
    cdef uint32_t slot
    cdef int64_t left, shared, part, all_of_it, whole = a.leaves
    cdef int64_t price = rank_of(3 - a.side, level_rank(&m.pages, level))
    cdef uint64_t count = 0, i
    cdef int answer, mode
    if whole >= lv.quantity:
        return FILL_AS_PLAIN
    if a.owner:
        mode = self_match_of(m, a)
        slot = lv.head
        while slot and mode != SELF_MATCH_NONE:
            if m.orders[slot].owner == a.owner:
                m.shares[count].slot = slot
                m.shares[count].id = m.orders[slot].id
                count += 1
            slot = m.orders[slot].next
        for i in range(count):
            slot = m.shares[i].slot
            if m.orders[slot].level == level and m.orders[slot].id == m.shares[i].id:
                answer = self_match(m, a, slot, mode)
                if answer == FILL_STOP or a.leaves == 0:
                    return FILL_STOP
        if count:
            return FILL_AGAIN           # the queue is another now
    all_of_it = lv.quantity
    whole = a.leaves
    shared = 0
    slot = lv.head
    while slot:
        part = market_share(whole, m.orders[slot].leaves, all_of_it)
        part -= part % book.lot_step
        m.shares[count].slot = slot
        m.shares[count].id = m.orders[slot].id
        m.shares[count].quantity = part
        shared += part
        count += 1
        slot = m.orders[slot].next
    left = whole - shared
    for i in range(count):
        part = m.orders[m.shares[i].slot].leaves - m.shares[i].quantity
        if part > left:
            part = left
        m.shares[i].quantity += part
        left -= part
    for i in range(count):
        slot = m.shares[i].slot
        if m.shares[i].quantity == 0 or m.orders[slot].level != level or m.orders[slot].id != m.shares[i].id:
            continue
        answer = FILL_AGAIN
        while answer == FILL_AGAIN and a.leaves and m.orders[slot].level == level and m.orders[slot].id == m.shares[i].id:
            answer = before_match(m, a, slot)
        if answer == FILL_STOP or a.leaves == 0:
            return FILL_STOP
        if m.orders[slot].level != level or m.orders[slot].id != m.shares[i].id:
            continue
        part = m.shares[i].quantity
        if part > m.orders[slot].leaves:
            part = m.orders[slot].leaves
        if part > a.leaves:
            part = a.leaves
        special_take(m, book, a, slot, part, price, 0)
    return FILL_AGAIN


cdef void special_match(market_t* m, book_t* book, aggressor_t* a) noexcept nogil:
    """The match loop with everything: dark orders, pro-rata, an aggressor with flags."""
    cdef uint32_t slot
    cdef int answer
    cdef order_t* resting
    while a.leaves:
        slot = next_resting(m, book, a)
        if slot == 0:
            return
        resting = &m.orders[slot]
        if beyond_band(a, order_price(m, resting)):
            a.halted = 1
            a.band_price = order_price(m, resting)
            return
        if book.special & BOOK_PRO_RATA and not resting.flags & ORDER_DARK:
            answer = share_out(m, book, a)
            if answer == FILL_STOP:
                return
            if answer == FILL_AGAIN:
                continue
        answer = before_match(m, a, slot)
        if answer == FILL_STOP:
            return
        if answer == FILL_AGAIN:
            continue
        special_take(
            m, book, a, slot, resting.leaves if resting.leaves < a.leaves else a.leaves, order_price(m, resting), 0
        )


cdef inline bint count_stops(const market_t* m, const aggressor_t* a, const order_t* resting, int mode) noexcept nogil:
    """Whether counting ends at this order: one of the aggressor's own owner, or of its group."""
    cdef uint32_t group
    if a.flags & ORDER_GROUPED and resting.flags & ORDER_GROUPED:
        group = m.extras[a.extra].group
        if group and m.extras[resting.extra].group == group:
            return True
    return a.owner and resting.owner == a.owner and mode != SELF_MATCH_CANCEL_OLDEST and mode != SELF_MATCH_NONE


cdef int64_t at_once(market_t* m, const book_t* book, const aggressor_t* a, int64_t needed) noexcept nogil:
    """How much of `needed` can be filled at once, match by match as it would go."""
    cdef const ladder_t* ladders[2]
    cdef uint32_t levels[2]
    cdef int64_t ranks[2]
    cdef int64_t counted = 0, quantity
    cdef int mode = self_match_of(m, a) if a.owner else SELF_MATCH_NONE
    cdef int i
    cdef uint32_t slot, other
    cdef const order_t* resting
    cdef group_t* group
    ladders[0] = &book.ladders[2 - a.side]
    ladders[1] = &book.dark[2 - a.side]
    for i in range(2):
        levels[i] = ladders[i].best_level
        ranks[i] = ladders[i].best
    m.stamp += 1
    if m.probe != NULL:
        m.probe(m.context, 0, 0, False)
    while counted < needed:
        i = 0 if ranks[0] >= ranks[1] else 1
        if levels[i] == 0 or ranks[i] < a.worst or beyond_band(a, rank_of(3 - a.side, ranks[i])):
            return counted
        slot = m.pages.levels[levels[i]].head
        if i == 0 and book.special & BOOK_PRO_RATA and needed - counted < m.pages.levels[levels[0]].quantity:
            other = slot
            while other:
                if count_stops(m, a, &m.orders[other], mode):
                    return counted
                other = m.orders[other].next
        while slot and counted < needed:
            resting = &m.orders[slot]
            slot = resting.next
            if count_stops(m, a, resting, mode):
                return counted
            if a.owner and resting.owner == a.owner and mode == SELF_MATCH_CANCEL_OLDEST:
                continue
            quantity = order_open(m, resting)
            group = NULL
            if resting.flags & ORDER_GROUPED:
                group = &m.groups[m.extras[resting.extra].group]
                if group.stamp != m.stamp:
                    group.stamp = m.stamp
                    group.counted = 0
                elif group.counted:
                    quantity = 0 if group.cancels or group.counted > quantity else quantity - group.counted
            if resting.flags & ORDER_ALL_OR_NONE and quantity > needed - counted:
                continue
            if quantity > needed - counted:
                quantity = needed - counted
            if m.probe != NULL:
                quantity = m.probe(m.context, resting.id, quantity, (resting.flags & ORDER_REDUCE_ONLY) != 0)
            counted += quantity
            if group != NULL:
                group.counted += quantity
        levels[i] = ladder_below(&m.pages, levels[i])
        ranks[i] = level_rank(&m.pages, levels[i]) if levels[i] else LADDER_EMPTY
    return counted


# ---- Entering

cdef void special_enter(market_t* m, book_t* book, aggressor_t* a, int mode, int64_t minimum) noexcept nogil:
    """An order with a slot: matched in continuous trading, then what is left rests or ends."""
    cdef int64_t needed = a.leaves, reducible
    cdef bint trade = True
    m.active = a
    if book.phase != PHASE_CONTINUOUS:
        if mode != ENTER_REST or minimum:
            special_ended(m, a, REASON_UNFILLED)
        else:
            m.active = NULL
            special_rest(m, book, a)
        return
    if a.flags & ORDER_REDUCE_ONLY and m.reducible != NULL:
        reducible = m.reducible(m.context, a.id)
        if reducible == 0:
            special_ended(m, a, REASON_REDUCE_ONLY)
            return
        if needed > reducible:
            needed = reducible
    if book.special & BOOK_BAND:
        band_set(m, book, a)
    if a.flags & ORDER_ALL_OR_NONE or mode == ENTER_KILL:
        trade = at_once(m, book, a, needed) == needed
    elif minimum and at_once(m, book, a, minimum) < minimum:
        trade = False
        mode = ENTER_KILL
    if trade:
        special_match(m, book, a)
    if a.halted and a.extra and m.extras[a.extra].order_type == TYPE_PEGGED:
        a.halted = 0            # it rests where the market has moved away from, and is moved with it
    if a.halted:
        interrupt(m, book, a.band_price)
    if a.reason:
        special_ended(m, a, a.reason)
    elif a.leaves == 0 or mode != ENTER_REST:
        special_ended(m, a, REASON_UNFILLED)
    else:
        m.active = NULL
        special_rest(m, book, a)
    if a.halted:
        auction_forget(m, book.instrument)
        market_indicate(m, book.instrument)


cdef void aggressor_of(market_t* m, uint32_t slot, aggressor_t* a, int64_t price, int64_t leaves) noexcept nogil:
    """A known order, out of its queue, enters anew."""
    cdef order_t* order = &m.orders[slot]
    memset(a, 0, sizeof(aggressor_t))
    a.leaves = leaves
    a.price = price
    a.worst = -rank_of(order.side, price)
    a.id = order.id
    a.slot = slot
    a.extra = order.extra
    a.owner = order.owner
    a.side = order.side
    a.flags = order.flags


cdef void special_replace(market_t* m, book_t* book, uint32_t slot, int64_t price, int64_t leaves) noexcept nogil:
    """A resting order with flags, or one in a book that is special: a new price, a new open quantity."""
    cdef order_t* order = &m.orders[slot]
    cdef int64_t open_now = order_open(m, order)
    cdef aggressor_t a
    market_report(m, EVENT_REPLACED, order.side, 0, 0, order.id, 0, price, leaves)
    if leaves <= open_now and price == order_price(m, order):
        order_cut(m, slot, order, open_now - leaves)
        return
    queue_leave(m, order)
    order.level = 0
    aggressor_of(m, slot, &a, price, leaves)
    special_enter(m, book, &a, ENTER_REST, 0)


# ---- Settling: all-or-none

cdef bint settle_all_or_none(market_t* m, book_t* book) noexcept nogil:
    """The first dark all-or-none order, in priority order, that can be filled at once now; whether there was one."""
    cdef int side
    cdef int64_t needed, allowed
    cdef uint32_t level, slot
    cdef aggressor_t a
    for side in range(SIDE_BUY, SIDE_SELL + 1):
        level = dark_of(book, side).best_level
        while level:
            slot = m.pages.levels[level].head
            while slot:
                if m.orders[slot].flags & ORDER_ALL_OR_NONE:
                    aggressor_of(m, slot, &a, order_price(m, &m.orders[slot]), m.orders[slot].leaves)
                    needed = a.leaves
                    if a.flags & ORDER_REDUCE_ONLY and m.reducible != NULL:
                        allowed = m.reducible(m.context, a.id)
                        if needed > allowed:
                            needed = allowed
                    if book.special & BOOK_BAND:
                        band_set(m, book, &a)
                    if needed and at_once(m, book, &a, needed) == needed:
                        queue_leave(m, &m.orders[slot])
                        m.orders[slot].level = 0
                        report_about(m, slot)
                        special_enter(m, book, &a, ENTER_REST, 0)
                        return True
                slot = m.orders[slot].next
            level = ladder_below(&m.pages, level)
    return False
