# The straight path of plain limit orders: NEW, CANCEL and REPLACE as most of them are. Part of orders.pyx.
#
# Each function first looks, without changing anything, whether all is as usual; where it is not it answers False and the
# general one (new_order, cancel_order, replace_order) begins anew, which also says what is to be refused. So every rule
# is written there, and what is written here is what is left of it for an order that passes. Orders that meet nothing
# join and leave their queues here; the market is asked only where something is matched.

cdef enum:
    # Controls that `plain_passes` and `plain_rate` test themselves; `pretrade_others` has the others.
    PLAIN_CONTROLS = (
        1 << LIMIT_ORDER_QUANTITY | 1 << LIMIT_ORDER_NOTIONAL | 1 << LIMIT_PRICE_COLLAR | 1 << LIMIT_POSITION
        | 1 << LIMIT_MESSAGE_RATE
    )

cdef extern from *:
    """
    /* For a function that does nothing but fetch: gcc takes one without any effect out, with its calls. */
    static inline void look_kept(void) { __asm__ volatile(""); }
    """
    void look_kept() noexcept nogil

# What is found out about a command some commands before its turn. 16 bytes.
ctypedef struct ahead_t:
    uint32_t account            # index, 0: look again
    uint32_t instrument         # index, 0: look again
    uint32_t hash               # of account and order id
    uint32_t slot               # order that it will most likely touch first


cdef inline void look_far(kernel_t* k, const command_t* c, ahead_t* ahead) noexcept nogil:
    """Looks a command's names up, fetches its places in the order map and the set of closed ids; of a NEW that crosses the
    book also the order that it will meet."""
    cdef uint32_t account, instrument
    cdef const ladder_t* across
    ahead.account = 0
    ahead.slot = 0
    if COMMAND_NEW <= c.kind <= COMMAND_REPLACE:
        account = account_of(k, c.account_id)
        instrument = instrument_of(k, c.instrument_id)
        ahead.account = account
        ahead.instrument = instrument
        ahead.hash = order_hash(account, c.order_id)
        order_map_prefetch(&k.order_map, ahead.hash)
        id_prefetch(&k.accounts[account].closed_ids, c.order_id)
        across = &k.market.books[instrument].ladders[c.side & 1]
        if (c.kind == COMMAND_NEW) & (across.best >= rank_of(SIDE_BUY + SIDE_SELL - c.side, c.price_ticks)):
            ahead.slot = k.market.pages.levels[across.best_level].head
            prefetch_line(order_at(k, ahead.slot))
            prefetch_line(&k.market.orders[ahead.slot])


cdef inline void look_near(kernel_t* k, ahead_t* ahead) noexcept nogil:
    """Fetches the order that most likely has that hash. For a NEW that is none, or another one; where it crosses, what
    closing the order that it will meet touches."""
    cdef const order_t* resting
    look_kept()
    if market_unlikely(ahead.slot != 0):
        resting = order_at(k, ahead.slot)
        order_map_prefetch(&k.order_map, order_hash(resting.account, resting.order_id))
        id_prefetch(&k.accounts[resting.account].closed_ids, resting.order_id)
    elif ahead.account:
        ahead.slot = order_map_likely(&k.order_map, ahead.hash)
        prefetch_line(order_at(k, ahead.slot))
        prefetch_line(&k.market.orders[ahead.slot])


cdef inline void look_next(const kernel_t* k, const ahead_t* ahead) noexcept nogil:
    """Fetches the level of that order and its neighbours in the queue."""
    cdef const market_t* m = &k.market
    cdef uint32_t slot = ahead.slot
    look_kept()
    prefetch_line(&m.pages.levels[m.orders[slot].level])
    prefetch_line(&m.orders[m.orders[slot].prev])
    prefetch_line(&m.orders[m.orders[slot].next])


cdef inline bint plain_form(const command_t* c) noexcept nogil:
    """Nothing is said but side, price, quantity and how long."""
    return (
        c.trigger_ticks | c.display_quantity | c.min_quantity | <int64_t>c.parent_order_id
        | <int64_t>(<uint32_t>c.offset | c.group_id | c.flags)
    ) == 0


cdef inline bint plain_time(const kernel_t* k, const command_t* c, const instrument_t* instrument) noexcept nogil:
    if c.time_in_force == TIF_GTC:
        return c.expire_ns == 0
    if c.time_in_force == TIF_GTD:
        return c.expire_ns > k.now_ns
    return c.expire_ns == 0 and <uint32_t>(c.time_in_force - TIF_GTC) <= TIF_FOK - TIF_GTC and (
        c.time_in_force != TIF_DAY or instrument.close_ns == 0 or instrument.close_ns > k.now_ns
    )


cdef inline bint plain_passes(
    const kernel_t* k, const instrument_t* instrument, const account_t* account, const position_t* position, int side,
    int64_t price, int64_t quantity, int64_t added
) noexcept nogil:
    """Whether the controls of PLAIN_CONTROLS but the message rate let the order pass, with `added` lots more at work."""
    cdef int64_t reference, distance, step
    cdef int64_t sign = SIDE_BUY + SIDE_SELL - 2 * <int64_t>side     # 1 or -1
    cdef uint32_t on = position.controls
    if (
        k.killed | instrument.killed | account.killed | position.killed | position.wide | instrument.venue
        | account.risk.killed_strategies | <uint32_t>(instrument.phase - PHASE_CONTINUOUS)
    ) != 0:
        return False
    if <uint64_t>(price - 1) >= <uint64_t>MAX_PRICE or <uint64_t>(quantity - 1) >= <uint64_t>MAX_QUANTITY or (
        quantity < instrument.minimum
    ):
        return False
    if instrument.lot_step != 1 and quantity % instrument.lot_step:
        return False
    step = step_at(instrument, price)
    if step != 1 and price % step:
        return False
    # POSITION and OVERFLOW. The side is a coin toss: no branch.
    distance = sign * position.quantity + (position.open_buy if sign > 0 else position.open_sell) + added
    if distance > MAX_HELD or (on >> LIMIT_POSITION & 1 and distance > position.max_position):
        return False
    if on >> LIMIT_ORDER_QUANTITY & 1 and quantity > position.max_quantity:
        return False
    if on >> LIMIT_ORDER_NOTIONAL & 1 and money_above(
        money_value(price, quantity, instrument.multiplier), position.max_notional
    ):
        return False
    if on >> LIMIT_PRICE_COLLAR & 1:
        if not (instrument.has_mark or instrument.has_last):
            return False
        reference = instrument.mark if instrument.has_mark else instrument.last
        # Without the division: for whole numbers the same as beyond |reference| * bps // 10000, and within 2^61.
        distance = (-reference if reference < 0 else reference) * position.collar_bps
        if sign * (price - reference) * 10000 > distance:
            return False
    return True


cdef inline bint plain_rate(const kernel_t* k, account_t* account) noexcept nogil:
    """MESSAGE_RATE, which counts the order where it passes."""
    cdef int64_t arrival
    if account.rate_interval:
        arrival = account.rate_tat if account.rate_tat > k.now_ns else k.now_ns
        if arrival - k.now_ns > account.rate_slack or arrival > INT64_MAX - account.rate_interval:
            return False
        account.rate_tat = arrival + account.rate_interval
    return True


cdef inline void plain_write(
    kernel_t* k, const command_t* c, uint32_t slot, uint32_t account, uint32_t instrument, uint32_t pair
) noexcept nogil:
    """The record of a NEW that has passed, and what it has at work."""
    cdef order_t* order = order_at(k, slot)
    k.arming += 1
    order.order_id = c.order_id
    order.leaves = c.quantity
    order.filled = 0
    order.price = c.price_ticks
    order.arming = k.arming
    order.instrument = instrument
    order.account = account
    order.position = pair
    order.timer = 0
    order.strategy_id = c.strategy_id
    order.flags = 0
    order.side = c.side
    order.order_type = TYPE_LIMIT
    order.time_in_force = c.time_in_force
    order.life = ORDER_ENTERING
    account_entered(k, pair, c)
    account_open(k, pair, c.side, True, c.price_ticks, c.quantity)


cdef inline void plain_accepted(
    kernel_t* k, const command_t* c, const instrument_t* instrument, const account_t* account
) noexcept nogil:
    event_write(
        k, EVENT_ACCEPTED, c.side, 0, <uint32_t>TYPE_LIMIT << 16 | <uint32_t>c.time_in_force << 24, c.order_id,
        c.price_ticks, c.quantity, c.quantity, 0, 0, 0, instrument.id, account.id, 0, c.strategy_id
    )


cdef inline void plain_stands(
    kernel_t* k, const command_t* c, const ahead_t* ahead, const instrument_t* instrument, account_t* account,
    uint32_t slot
) noexcept nogil:
    cdef int64_t due_ns = 0
    order_at(k, slot).life = ORDER_OPEN
    account.open_orders += 1
    order_name(k, ahead.account, c.order_id, ahead.hash, slot)
    if c.time_in_force == TIF_GTC:
        return
    if c.time_in_force == TIF_GTD:
        due_ns = c.expire_ns
    elif c.time_in_force == TIF_DAY:
        due_ns = instrument.close_ns
    if due_ns:
        k.arming += 1
        timer_arm(k, slot, due_ns, k.arming)


cdef apart_int plain_trade(kernel_t* k, const command_t* c, const ahead_t* ahead, uint32_t pair) noexcept nogil:
    """A NEW that has passed and may meet something: the market matches it."""
    cdef market_t* m = &k.market
    cdef account_t* account = &k.accounts[ahead.account]
    cdef const instrument_t* instrument = &k.instruments[ahead.instrument]
    cdef uint32_t slot = market_take(m)
    cdef int64_t before = k.event_sequence
    cdef intent_t intent
    plain_write(k, c, slot, ahead.account, ahead.instrument, pair)
    record_clear(&intent, sizeof(intent_t))
    intent.price = c.price_ticks
    intent.quantity = c.quantity
    intent.arming = k.arming
    intent.id = slot
    intent.owner = account.owner
    intent.side = c.side
    intent.order_type = TYPE_LIMIT
    intent.time_in_force = c.time_in_force
    market_new(m, ahead.instrument, slot, &intent)
    if k.event_sequence == before:
        # The first report says that it was accepted.
        plain_accepted(k, c, instrument, account)
        if m.written == 1:
            m.written = 0
        else:
            take_reports_after(k, 1)
    else:
        take_reports(k)
    if m.notice_count and instrument.phase == PHASE_CONTINUOUS:
        take_notices(k)
    if order_at(k, slot).life:
        plain_stands(k, c, ahead, instrument, account, slot)
    return 0


cdef inline bint plain_new(kernel_t* k, const command_t* c, const ahead_t* ahead) noexcept nogil:
    cdef uint32_t number = ahead.account, index = ahead.instrument, pair, slot, level
    cdef account_t* account = &k.accounts[number]
    cdef const instrument_t* instrument = &k.instruments[index]
    cdef market_t* m = &k.market
    cdef book_t* book = &m.books[index]
    cdef ladder_t* ladder
    cdef resting_t* resting
    cdef int64_t rank
    if market_unlikely(
        number == 0 or index == 0 or c.order_type != TYPE_LIMIT or c.order_id == 0 or not plain_form(c)
        or <uint32_t>(c.side - SIDE_BUY) > SIDE_SELL - SIDE_BUY or account.flags & ACCOUNT_EXEMPT or k.cache != NULL
    ):
        return False
    pair = position_of(k, number, index)
    if market_unlikely(pair == 0 or not plain_time(k, c, instrument) or not plain_passes(
        k, instrument, account, &k.positions[pair], c.side, c.price_ticks, c.quantity, c.quantity
    )):
        return False
    if k.positions[pair].controls & ~<uint32_t>PLAIN_CONTROLS and not pretrade_others(
        k, c, pair, c.side, c.quantity, NULL
    ):
        return False
    if c.order_id <= account.most_id and (
        order_found(k, number, c.order_id, ahead.hash) or id_known(&account.closed_ids, c.order_id)
    ):
        return False
    ladder = &book.ladders[c.side - 1]
    rank = rank_of(c.side, c.price_ticks)
    if c.time_in_force <= TIF_GTD and (m.order_pool.used >= k.capacity or (
        page_at_hand(ladder, rank >> 9) == 0 and not market_room(m, index, c.side, c.price_ticks)
    )):
        return False
    if not plain_rate(k, account):
        return False
    if market_unlikely(book.ladders[2 - c.side].best >= -rank or book.special != 0 or c.time_in_force > TIF_GTD):
        plain_trade(k, c, ahead, pair)
        return True
    slot = pool_take(&m.order_pool)
    plain_write(k, c, slot, number, index, pair)
    plain_accepted(k, c, instrument, account)
    level = ladder_level(&m.pages, ladder, index, rank)
    resting = &m.orders[slot]
    order_put(resting, slot, c.quantity, account.owner, c.side)
    resting.level = level
    queue_begin(m, slot, resting, ladder, level, rank, c.quantity)
    plain_stands(k, c, ahead, instrument, account, slot)
    return True


cdef inline uint32_t plain_open(const kernel_t* k, const command_t* c, const ahead_t* ahead) noexcept nogil:
    """The open order that the command names, 0: none, or not a plain one in a plain book."""
    cdef uint32_t slot
    cdef const order_t* order
    cdef const resting_t* resting
    if ahead.account == 0:
        return 0
    slot = order_found(k, ahead.account, c.order_id, ahead.hash)
    order = order_at(k, slot)
    resting = &k.market.orders[slot]
    if order.life != ORDER_OPEN or order.order_type != TYPE_LIMIT or (
        order.flags | resting.flags | resting.extra | k.market.books[order.instrument].special
    ) != 0:
        return 0
    return slot


cdef inline bint plain_cancel(kernel_t* k, const command_t* c, const ahead_t* ahead) noexcept nogil:
    cdef uint32_t slot = plain_open(k, c, ahead)
    cdef market_t* m = &k.market
    cdef order_t* order = order_at(k, slot)
    cdef account_t* account = &k.accounts[ahead.account]
    if slot == 0:
        return False
    event_write(
        k, EVENT_CANCELLED, order.side, REASON_REQUESTED, 0, order.order_id, order.price, order.leaves, 0, 0, 0, 0,
        k.instruments[order.instrument].id, account.id, 0, order.strategy_id
    )
    queue_leave(m, &m.orders[slot])
    m.orders[slot].level = 0
    account_open(k, order.position, order.side, True, order.price, -order.leaves)
    if order.timer:
        timer_disarm(k, slot)
    account.open_orders -= 1
    order_map_delete(&k.order_map, ahead.hash, slot)
    order_closed(k, ahead.account, order.order_id)
    order.leaves = 0
    order.life = 0
    pool_give(&m.order_pool, slot)
    return True


cdef inline bint plain_replace(kernel_t* k, const command_t* c, const ahead_t* ahead) noexcept nogil:
    """Where the order meets nothing at its new price."""
    cdef uint32_t slot = plain_open(k, c, ahead), level
    cdef market_t* m = &k.market
    cdef order_t* order = order_at(k, slot)
    cdef resting_t* resting = &m.orders[slot]
    cdef account_t* account = &k.accounts[ahead.account]
    cdef const instrument_t* instrument = &k.instruments[order.instrument]
    cdef book_t* book = &m.books[order.instrument]
    cdef ladder_t* ladder
    cdef int64_t leaves, rank
    if slot == 0 or not plain_form(c) or c.expire_ns or account.flags & ACCOUNT_EXEMPT or k.cache != NULL:
        return False
    leaves = c.quantity - order.filled
    if leaves <= 0 or not plain_passes(
        k, instrument, account, &k.positions[order.position], order.side, c.price_ticks, c.quantity, leaves - order.leaves
    ):
        return False
    if k.positions[order.position].controls & ~<uint32_t>PLAIN_CONTROLS and not pretrade_others(
        k, c, order.position, order.side, leaves, order
    ):
        return False
    ladder = &book.ladders[order.side - 1]
    rank = rank_of(order.side, c.price_ticks)
    if book.ladders[2 - order.side].best >= -rank or page_at_hand(ladder, rank >> 9) == 0 or not plain_rate(k, account):
        return False
    account_open(k, order.position, order.side, True, order.price, -order.leaves)
    account_open(k, order.position, order.side, True, c.price_ticks, leaves)
    event_write(
        k, EVENT_REPLACED, order.side, 0, 0, order.order_id, c.price_ticks, c.quantity, leaves, 0, 0, 0, instrument.id,
        account.id, 0, order.strategy_id
    )
    if leaves <= order.leaves and c.price_ticks == order.price:
        m.pages.levels[resting.level].quantity += leaves - order.leaves
        resting.leaves = leaves
    else:
        queue_leave(m, resting)
        level = ladder_level(&m.pages, ladder, order.instrument, rank)
        resting.leaves = leaves
        resting.level = level
        queue_begin(m, slot, resting, ladder, level, rank, leaves)
    order.price = c.price_ticks
    order.leaves = leaves
    return True
