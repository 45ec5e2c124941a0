# What follows from a command: children, triggers, all-or-none, pegs, until nothing applies. Part of market.pyx.
# Rules: docs/kernel-orders.md, Settling. Each step uses something up (a release, a waiting order, quantity, or a peg's
# distance from where it belongs), so it ends.


# ---- Step 1: children

cdef int price_slid(const market_t* m, const book_t* book, int side, int flags, int64_t* price) noexcept nogil:
    """A POST_ONLY price against the book: 0, perhaps one step behind the best opposite price, or WOULD_CROSS."""
    cdef int64_t best, behind
    if not flags & FLAG_POST_ONLY or book.phase != PHASE_CONTINUOUS:
        return 0
    best = market_touch(m, book.instrument, 3 - side)
    if best == LADDER_EMPTY or best < -rank_of(side, price[0]):
        return 0
    if not flags & FLAG_SLIDE:
        return REASON_WOULD_CROSS
    best = rank_of(3 - side, best)
    behind = price_rounded(&m.ticks[book.instrument], side, best - 1 if side == SIDE_BUY else best + 1)
    if not is_price(&m.ticks[book.instrument], behind):
        return REASON_WOULD_CROSS
    price[0] = behind
    return 0


cdef void child_enter(market_t* m, book_t* book, uint32_t slot, int64_t released) noexcept nogil:
    """A parked child begins to act with what was released."""
    cdef order_t* order = &m.orders[slot]
    cdef extra_t* extra = &m.extras[order.extra]
    cdef int64_t price = extra.price
    cdef int reason = 0
    if m.entering != NULL:
        reason = m.entering(m.context, order.id, released, False)
    if reason == 0:
        reason = price_slid(m, book, order.side, extra.flags, &extra.price)
    if reason:
        order_take_out(m, slot, order, EVENT_CANCELLED, reason)
        return
    if extra.family == FAMILY_CHILD:
        extra.released += released
        extra.unreleased = order.leaves - released
    order.leaves = released
    extra.unentered = 0
    aside_leave(m, extra)
    if extra.price != price:
        market_report(m, REPORT_CHANGED, order.side, 0, REPORT_LIMIT, order.id, 0, extra.price, released)
    market_report(
        m, EVENT_TRIGGERED, order.side, REASON_CONTINGENT, REPORT_RELEASED, order.id, 0, extra.price, released
    )
    order_enter(m, book, slot, 0)


cdef void child_raise(market_t* m, book_t* book, uint32_t slot, int64_t more) noexcept nogil:
    """More was released to a child that acts: it goes to the back of its queue, and loses again what must not be."""
    cdef order_t* order = &m.orders[slot]
    cdef extra_t* extra = &m.extras[order.extra]
    cdef int64_t rank
    cdef uint32_t level = order.level
    cdef ladder_t* ladder
    cdef int reason = 0
    if m.entering != NULL:
        reason = m.entering(m.context, order.id, more, True)
    extra.released += more
    extra.unreleased -= more
    if level and not order.flags & ORDER_WAITING:
        ladder = level_ladder(&m.pages, level)
        rank = level_rank(&m.pages, level)
        queue_leave(m, order)
        order.leaves = order_open(m, order) + more
        extra.reserve = 0
        if order.flags & ORDER_ICEBERG and extra.display < order.leaves:
            extra.reserve = order.leaves - extra.display
            order.leaves = extra.display
        queue_join(m, slot, order, ladder_take(&m.pages, ladder, book.instrument, rank))    # its page is idle at worst
        book_moved(m, book)
    else:
        order.leaves += more
        if level:
            m.pages.levels[level].quantity += more
    market_report(
        m, EVENT_REPLACED, order.side, REASON_CONTINGENT, 0, order.id, 0, price_of(m, slot), order_open(m, order)
    )
    if reason:
        order_lose(m, slot, order, more, reason)


cdef inline void child_alone(extra_t* extra) noexcept nogil:
    """Its parent is gone: what it had is all it will have."""
    extra.family = FAMILY_NONE
    extra.parent_id = 0
    extra.unreleased = 0


cdef bint settle_child(market_t* m, book_t* book) noexcept nogil:
    """The oldest child whose release changed enters, is raised or is cancelled; whether there was one."""
    cdef uint32_t slot
    cdef order_t* order
    cdef extra_t* extra
    cdef int64_t more
    cdef bint trading = book.phase == PHASE_CONTINUOUS
    while book.pending:
        slot = book.pending
        order = &m.orders[slot]
        extra = &m.extras[order.extra]
        child_seen(m, slot, extra)
        more = order.leaves if extra.unentered else extra.unreleased
        if more > extra.supply - extra.released:
            more = extra.supply - extra.released
        if extra.family == FAMILY_CHILD:
            if more <= 0 or (extra.unentered and not trading):
                continue        # market_phase looks again
            if extra.unentered:
                child_enter(m, book, slot, more)
            else:
                child_raise(m, book, slot, more)
            return True
        if extra.family == FAMILY_ORPHAN:
            if not extra.unentered:
                child_alone(extra)
                if more > 0:
                    extra.unreleased = more
                    child_raise(m, book, slot, more)
                return True
            if more <= 0:
                order_take_out(m, slot, order, EVENT_CANCELLED, REASON_CONTINGENT)
                return True
            child_alone(extra)
            order.leaves = more
            extra.released += more
            market_report(m, REPORT_CHANGED, order.side, 0, 0, order.id, 0, extra.price, more)
        if extra.unentered and trading:
            child_enter(m, book, slot, order.leaves)
            return True
    return False


# ---- The loop

cdef void settle_book(market_t* m, book_t* book) noexcept nogil:
    while True:
        if book.pending and settle_child(m, book):
            continue
        if book.phase != PHASE_CONTINUOUS:
            break
        if book.special & (BOOK_TRIGGERS | BOOK_TRAILING) and settle_trigger(m, book):
            continue
        if book.special & BOOK_DARK and settle_all_or_none(m, book):
            continue
        if book.special & BOOK_PEGS and settle_peg(m, book):
            continue
        break
    if book.waiting == 0:
        book.special &= ~BOOK_TRIGGERS
    if book.special & BOOK_DARK and book.dark[0].best == LADDER_EMPTY and book.dark[1].best == LADDER_EMPTY:
        book.special &= ~BOOK_DARK


cdef void market_settle(market_t* m, uint32_t first) noexcept nogil:
    cdef book_t* book
    while m.settle_first:
        book = &m.books[first]
        if not book.special & BOOK_SETTLE:
            book = &m.books[m.settle_first - 1]
        book_settled(m, book)
        settle_book(m, book)


cdef void settle(market_t* m, book_t* book) noexcept nogil:
    """After each command on a book with special orders. The user of a market that keeps slots says when."""
    book_touch(m, book)
    if not m.keep:
        market_settle(m, book.instrument)


# ---- What the market is told of an instrument

cdef void market_ticks(market_t* m, uint32_t instrument, int64_t step, int64_t lowest) noexcept nogil:
    m.ticks[instrument].step = step
    m.ticks[instrument].lowest = lowest


cdef void market_band(market_t* m, uint32_t instrument, int64_t first, int64_t step) noexcept nogil:
    cdef ticks_t* ticks = &m.ticks[instrument]
    ticks.band[ticks.bands].first = first
    ticks.band[ticks.bands].step = step
    ticks.bands += 1


cdef int market_slid(const market_t* m, uint32_t instrument, int side, int flags, int64_t* price) noexcept nogil:
    return price_slid(m, &m.books[instrument], side, flags, price)


cdef void market_mark(market_t* m, uint32_t instrument, int64_t price) noexcept nogil:
    cdef book_t* book = &m.books[instrument]
    book.mark = price
    book.has_mark = 1
    if book.special:
        book_touch(m, book)


cdef void market_touched(market_t* m, uint32_t instrument) noexcept nogil:
    cdef book_t* book = &m.books[instrument]
    if book.special:
        book_touch(m, book)


cdef void market_forget(market_t* m, uint32_t instrument) noexcept nogil:
    cdef book_t* book = &m.books[instrument]
    book.has_mark = 0
    book.mark = 0
    book.has_last = 0
    book.last = 0
    if book.special:
        book_touch(m, book)


cdef void market_phase(market_t* m, uint32_t instrument, int phase) noexcept nogil:
    cdef book_t* book = &m.books[instrument]
    cdef uint32_t slot = book.aside
    cdef extra_t* extra
    book.phase = <uint8_t>phase
    if phase != PHASE_CONTINUOUS:
        book.special |= BOOK_PHASE
        return
    book.special &= ~BOOK_PHASE
    while slot:                 # children that could not enter
        extra = extra_at(m, slot)
        if extra.unentered:
            child_look(m, slot, extra)
        slot = extra.aside_next
    if book.special:
        book.peg_look = 1
        book.peg_at = book.pegs
        book_touch(m, book)


# ---- Groups, as the user of the market holds them

cdef uint32_t market_group(market_t* m, uint64_t key, bint cancels) noexcept nogil:
    cdef uint32_t index = pool_take(&m.group_pool)
    if index:
        m.groups[index].key = key
        m.groups[index].count = 0
        m.groups[index].held = 0
        m.groups[index].cancels = cancels
    return index


cdef bint market_ungroup(market_t* m, uint32_t group) noexcept nogil:
    m.groups[group].held -= 1
    if m.groups[group].held:
        return False
    pool_give(&m.group_pool, group)
    return True


cdef uint32_t market_children(const market_t* m, uint32_t slot) noexcept nogil:
    """Open children of an order."""
    cdef uint32_t count = 0, child = extra_at(m, slot).child_head
    while child:
        count += 1
        child = extra_at(m, child).child_next
    return count


# ---- REPLACE

cdef void market_amend(market_t* m, uint32_t slot, int64_t price, int64_t leaves, int64_t trigger) noexcept nogil:
    cdef order_t* order = &m.orders[slot]
    cdef book_t* book = &m.books[market_instrument(m, slot)]
    cdef extra_t* extra = &m.extras[order.extra]
    cdef int64_t open_now = order_open(m, order)
    cdef int kind = extra.order_type if order.extra else TYPE_LIMIT
    cdef int64_t rank
    cdef uint32_t level
    cdef bint keeps
    if kind == TYPE_PEGGED:
        market_report(m, EVENT_REPLACED, order.side, 0, 0, order.id, 0, price, leaves)
        keeps = price == extra.distance and leaves <= open_now
        extra.distance = price
        peg_again(book)
        if order.level == 0:
            order.leaves = leaves
        elif keeps:
            order_cut(m, slot, order, open_now - leaves)
        elif book.phase != PHASE_CONTINUOUS:
            level = order.level
            rank = level_rank(&m.pages, level)
            queue_leave(m, order)
            order.leaves = leaves
            queue_join(m, slot, order, ladder_take(&m.pages, &book.dark[order.side - 1], book.instrument, rank))
            book_moved(m, book)
        else:
            peg_lift(m, order, extra)
            order.leaves = leaves
            peg_place(m, book, slot)
    elif order.flags & ORDER_WAITING:
        market_report(m, EVENT_REPLACED, order.side, 0, 0, order.id, 0, price, leaves)
        trigger_leave(m, order)
        order.leaves = leaves
        if kind == TYPE_STOP_LIMIT or kind == TYPE_LIMIT_IF_TOUCHED:
            extra.price = price
        if trigger:
            extra.trigger = trigger
        if extra.has_trigger:
            trigger_stand(m, book, slot)
    elif order.extra and extra.standing:
        market_report(m, EVENT_REPLACED, order.side, 0, 0, order.id, 0, price, leaves)
        order.leaves = leaves
        if extra.standing == STANDING_AUCTION:
            book_moved(m, book)
        if kind == TYPE_LIMIT or kind == TYPE_STOP_LIMIT or kind == TYPE_LIMIT_IF_TOUCHED:
            extra.price = price
        if trigger:
            extra.trigger = trigger
        if extra.unentered:
            child_look(m, slot, extra)
    else:
        special_replace(m, book, slot, price, leaves)
    book_touch(m, book)


# ---- Snapshots

cdef void market_standing(const market_t* m, uint32_t slot, standing_t* state) noexcept nogil:
    cdef const order_t* order = &m.orders[slot]
    cdef const extra_t* extra = &m.extras[order.extra]
    memset(state, 0, sizeof(standing_t))
    state.price = price_of(m, slot)
    state.leaves = order_open(m, order)
    state.standing = STANDING_DISPLAYED
    if order.level == 0 or order.flags & ORDER_WAITING:
        state.standing = extra.standing
    elif order.flags & ORDER_DARK:
        state.standing = STANDING_DARK
    if order.extra == 0:
        return
    state.display = extra.display
    if order.flags & ORDER_ICEBERG and state.standing == STANDING_DISPLAYED:
        state.shown = order.leaves
    state.trigger = extra.trigger
    state.has_trigger = extra.has_trigger
    state.stood = extra.stood
    state.offset = extra.offset
    state.distance = extra.distance
    state.parent_id = extra.parent_id
    state.released = extra.released
    state.unreleased = extra.unreleased


cdef int market_stand(
    market_t* m, uint32_t instrument, uint32_t slot, const intent_t* intent, const standing_t* state
) noexcept nogil:
    cdef book_t* book = &m.books[instrument]
    cdef order_t* order = &m.orders[slot]
    cdef extra_t* extra
    cdef uint32_t level
    order_set(m, book, slot, intent)
    order.leaves = state.leaves
    extra = &m.extras[order.extra]
    if order.extra:
        extra.price = 0 if intent.order_type == TYPE_PEGGED else state.price
        extra.display = state.display
        extra.trigger = state.trigger
        extra.has_trigger = state.has_trigger
        extra.stood = state.stood
        extra.offset = state.offset
        extra.distance = state.distance
        extra.released = state.released
        extra.unreleased = state.unreleased
        extra.parent_id = state.parent_id
    if state.standing == STANDING_DISPLAYED or state.standing == STANDING_DARK:
        if order.flags & ORDER_ICEBERG:
            order.leaves = state.shown
            extra.reserve = state.leaves - state.shown
        level = ladder_take(
            &m.pages, &book.ladders[order.side - 1] if state.standing == STANDING_DISPLAYED else &book.dark[order.side - 1],
            instrument, rank_of(order.side, state.price)
        )
        if level == 0:
            return -1
        if state.standing == STANDING_DARK:
            book.special |= BOOK_DARK
        queue_join(m, slot, order, level)
        return 0
    aside_join(m, slot, extra, state.standing)
    if state.standing == STANDING_WAITING:
        order.flags |= ORDER_WAITING
        book.special |= BOOK_TRIGGERS
    elif state.standing == STANDING_PARKED and extra.order_type != TYPE_PEGGED and (
        extra.time_in_force < TIF_AT_OPEN or state.parent_id
    ):
        extra.unentered = 1
    return 0


cdef void market_link(market_t* m, uint32_t slot, uint32_t parent, int64_t parent_filled) noexcept nogil:
    cdef extra_t* extra = extra_at(m, slot)
    cdef book_t* book = &m.books[extra.instrument]
    if extra.order_type == TYPE_PEGGED:
        peg_join(m, book, slot, extra)
    elif is_trailing(extra.order_type) and not extra.unentered:
        trail_join(m, book, slot, extra)
    elif extra.time_in_force >= TIF_AT_OPEN and not extra.unentered:
        auction_join(m, book, slot, extra)
    if extra.group:
        group_join(m, slot, extra.group)
    if parent:
        child_join(m, slot, parent, parent_filled)
    if book.phase == PHASE_CONTINUOUS or not extra.unentered:
        return
    child_look(m, slot, extra)


cdef int market_await(market_t* m, uint32_t slot) noexcept nogil:
    return 0 if trigger_join(m, &m.books[extra_at(m, slot).instrument], slot) else -1
