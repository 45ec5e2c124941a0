# Orders by client id: what the Matcher and the shared object do with a message. Part of market.pyx.

# In a batch, what later messages will touch is fetched ahead, one link of the chain after the other. Prices and ids are
# looked at for that alone: no report depends on it.
cdef enum:
    AHEAD_NAME = 18             # messages ahead: the index's line
    AHEAD_ORDER = 11            # the order
    AHEAD_LEVEL = 5             # the level, and the order's neighbours
    FETCH_FROM = 1 << 17        # open orders from which on that gains: fewer of them, and recent ones, are in the caches


cdef inline bint number_fits(int64_t price, int64_t quantity) noexcept nogil:
    return (
        <uint64_t>price + (<uint64_t>1 << MAX_PRICE_BITS) <= <uint64_t>1 << (MAX_PRICE_BITS + 1)
        and <uint64_t>quantity - 1 < <uint64_t>1 << MAX_QUANTITY_BITS
    )


cdef void refuse_new(
    market_t* m, uint32_t id, int side, int64_t price, int64_t quantity, bint known
) noexcept nogil:
    """The reason why `client_new` stopped."""
    cdef int reason = REASON_POOL_FULL
    if known:
        reason = REASON_DUPLICATE_ORDER
    elif not number_fits(0, quantity):
        reason = REASON_QUANTITY
    elif not number_fits(price, 1):
        reason = REASON_PRICE
    refuse(m, side, id, 0, reason)


cdef apart_int client_new_any(
    market_t* m, book_t* book, uint64_t order_id, int side, int64_t price, int64_t quantity, uint32_t owner, int mode
) noexcept nogil:
    """A plain limit order under any client id."""
    cdef uint32_t id = <uint32_t>order_id
    cdef bint known = names_find(m, order_id) != 0
    m.order_high = <uint32_t>(order_id >> 32)
    if known or not number_fits(price, quantity) or m.order_pool.used == m.order_pool.capacity:
        refuse_new(m, id, side, price, quantity, known)
    else:
        market_report(m, EVENT_ACCEPTED, side, 0, 0, id, 0, price, quantity)
        plain_enter(m, book, 0, id, side, price, quantity, owner, mode, False)
    m.order_high = 0
    return 0


cdef inline inlined_int client_new(
    market_t* m, book_t* book, uint64_t order_id, int side, int64_t price, int64_t quantity, uint32_t owner, int mode
) noexcept nogil:
    """The same, straight on for what is common: a narrow id that is not open, and nothing to meet at its price."""
    cdef uint32_t id = <uint32_t>order_id
    cdef bucket_t* bucket = index_bucket(&m.names, id)
    cdef uint32_t free = index_equal(bucket.slots, 0)
    cdef uint32_t slot = m.order_pool.free_head
    cdef ladder_t* ladder = &book.ladders[side - 1]
    cdef int64_t rank = rank_of(side, price)
    cdef uint32_t level
    cdef order_t* order
    if ladder_unlikely(
        order_id - 1 >= m.names.narrow or index_equal(bucket.keys, id) | bucket.passed or free == 0 or slot == 0
        or not number_fits(price, quantity)
    ):
        client_new_any(m, book, order_id, side, price, quantity, owner, mode)
        return 0
    market_tell(m, EVENT_ACCEPTED, side, 0, 0, id, price, quantity)
    if ladder_unlikely(book.ladders[2 - side].best >= -rank):
        plain_enter(m, book, 0, id, side, price, quantity, owner, mode, False)
        return 0
    if mode != PLAIN_REST:
        market_tell(m, EVENT_CANCELLED, side, REASON_UNFILLED, REPORT_ORDER_DONE, id, price, quantity)
        return 0
    level = ladder_level(&m.pages, ladder, book.instrument, rank)
    if ladder_unlikely(level == 0):
        new_ended(m, 0, side, id, price, quantity, REASON_POOL_FULL, False)
        return 0
    order = &m.orders[slot]
    pool_pop(&m.order_pool, slot, order)
    bucket.keys[index_first(free)] = id
    bucket.slots[index_first(free)] = slot
    order_put(order, id, quantity, owner, side)
    order.level = level
    queue_begin(m, slot, order, ladder, level, rank, quantity)
    names_counted(m)
    return 0


cdef apart_int client_cancel_any(market_t* m, uint64_t order_id) noexcept nogil:
    cdef uint32_t slot = names_find(m, order_id)
    m.order_high = <uint32_t>(order_id >> 32)
    if slot == 0:
        refuse(m, 0, <uint32_t>order_id, REPORT_OF_CANCEL, REASON_UNKNOWN_ORDER)
    else:
        market_cancel(m, slot, EVENT_CANCELLED, REASON_REQUESTED)
    m.order_high = 0
    return 0


cdef inline inlined_int client_cancel(market_t* m, uint64_t order_id) noexcept nogil:
    cdef uint32_t id = <uint32_t>order_id
    cdef bucket_t* bucket = index_bucket(&m.names, id)
    cdef uint32_t found = index_equal(bucket.keys, id)
    cdef uint32_t slot
    cdef order_t* order
    if ladder_unlikely(order_id - 1 >= m.names.narrow or found == 0):
        client_cancel_any(m, order_id)
        return 0
    slot = bucket.slots[index_first(found)]
    order = &m.orders[slot]
    market_tell(
        m, EVENT_CANCELLED, order.side, REASON_REQUESTED, REPORT_ORDER_DONE, id, order_price(m, order), order.leaves
    )
    bucket.keys[index_first(found)] = 0
    bucket.slots[index_first(found)] = 0
    m.names.used -= 1
    queue_leave(m, order)
    order.level = 0
    pool_push(&m.order_pool, slot, order)
    return 0


cdef apart_int client_replace_any(market_t* m, uint64_t order_id, int64_t price, int64_t leaves) noexcept nogil:
    cdef uint32_t slot = names_find(m, order_id)
    m.order_high = <uint32_t>(order_id >> 32)
    if slot == 0 or not number_fits(price, leaves):
        refuse(
            m, 0, <uint32_t>order_id, REPORT_OF_REPLACE,
            REASON_UNKNOWN_ORDER if slot == 0 else REASON_QUANTITY if number_fits(price, 1) else REASON_PRICE
        )
    else:
        market_replace(m, slot, price, leaves)
    m.order_high = 0
    return 0


cdef inline inlined_int client_replace(market_t* m, uint64_t order_id, int64_t price, int64_t leaves) noexcept nogil:
    cdef uint32_t id = <uint32_t>order_id
    cdef bucket_t* bucket = index_bucket(&m.names, id)
    cdef uint32_t found = index_equal(bucket.keys, id)
    cdef uint32_t slot
    if ladder_unlikely(order_id - 1 >= m.names.narrow or found == 0 or not number_fits(price, leaves)):
        client_replace_any(m, order_id, price, leaves)
        return 0
    slot = bucket.slots[index_first(found)]
    market_tell(m, EVENT_REPLACED, m.orders[slot].side, 0, 0, id, price, leaves)
    plain_replace(m, slot, &m.orders[slot], price, leaves, False)
    return 0


cdef inline bint client_takes(const message_t* message) noexcept nogil:
    """Whether a message can say all that the order is: nothing with a trigger, a second quantity or an end in time, and
    nothing that rests on what only the kernel knows."""
    cdef bint limit = message.order_type == TYPE_LIMIT
    if not limit and message.order_type != TYPE_MARKET:
        return False
    if message.time_in_force < TIF_GTC or message.time_in_force > TIF_FOK or message.time_in_force == TIF_GTD:
        return False
    if message.flags & FLAG_ALL_OR_NONE:
        return limit and message.time_in_force != TIF_FOK and message.flags == FLAG_ALL_OR_NONE
    return message.flags == 0 or (message.flags == FLAG_HIDDEN and limit and message.time_in_force <= TIF_DAY)


cdef void client_special(market_t* m, const message_t* message) noexcept nogil:
    """A NEW that is no plain limit order, or that meets a book with special ones."""
    cdef intent_t intent
    cdef uint32_t id = <uint32_t>message.order_id
    cdef int64_t price = message.price if message.order_type != TYPE_MARKET else 0
    cdef bint known = names_find(m, message.order_id) != 0
    if known or not number_fits(price, message.quantity) or m.order_pool.used == m.order_pool.capacity:
        refuse_new(m, id, message.side, price, message.quantity, known)
        return
    if not client_takes(message):
        refuse(m, message.side, id, 0, REASON_UNSUPPORTED)
        return
    memset(&intent, 0, sizeof(intent))
    intent.id = id
    intent.price = price
    intent.quantity = message.quantity
    intent.owner = message.owner
    intent.flags = message.flags
    intent.side = message.side
    intent.order_type = message.order_type
    intent.time_in_force = message.time_in_force
    special_new(m, &m.books[message.instrument], 0, &intent)


cdef apart_int client_other(market_t* m, const message_t* message) noexcept nogil:
    """A NEW that is not plain, or no message at all."""
    m.order_high = <uint32_t>(message.order_id >> 32)
    if message.instrument >= m.book_count:
        refuse(m, message.side, <uint32_t>message.order_id, 0, REASON_UNKNOWN_INSTRUMENT)
    elif message.kind != COMMAND_NEW or <uint32_t>(message.side - SIDE_BUY) > 1:
        refuse(m, message.side, <uint32_t>message.order_id, 0, REASON_MALFORMED)
    else:
        client_special(m, message)
    m.order_high = 0
    return 0


cdef inline void client_message(market_t* m, const message_t* message) noexcept nogil:
    cdef uint32_t plain
    cdef int kind = message.kind
    m.tag = message.tag
    if kind == COMMAND_CANCEL:
        client_cancel(m, message.order_id)
        return
    if kind == COMMAND_REPLACE:
        client_replace(m, message.order_id, message.price, message.quantity)
        return
    plain = message.time_in_force
    if ladder_unlikely(
        kind != COMMAND_NEW or message.instrument >= m.book_count or <uint32_t>(message.side - SIDE_BUY) > 1
        or message.order_type != TYPE_LIMIT or message.flags or plain > 31 or not (PLAIN_TIMES >> plain) & 1
        or m.books[message.instrument].special
    ):
        client_other(m, message)
        return
    client_new(
        m, &m.books[message.instrument], message.order_id, message.side, message.price, message.quantity, message.owner,
        PLAIN_CANCEL if plain == TIF_IOC else PLAIN_KILL if plain == TIF_FOK else PLAIN_REST
    )


cdef inline void fetch_name(const market_t* m, uint64_t order_id) noexcept nogil:
    market_prefetch(index_bucket(&m.names, index_key(order_id)))


cdef inline uint32_t guess_slot(const market_t* m, uint64_t order_id) noexcept nogil:
    """The slot of an id in its own bucket, 0 where it has none there."""
    cdef const bucket_t* bucket = index_bucket(&m.names, index_key(order_id))
    return bucket.slots[index_first(index_equal(bucket.keys, index_key(order_id)) | 0x80)]


cdef inline void fetch_order(const market_t* m, uint64_t order_id) noexcept nogil:
    market_prefetch(&m.orders[guess_slot(m, order_id)])


cdef inline void fetch_level(const market_t* m, uint64_t order_id) noexcept nogil:
    cdef const order_t* order = &m.orders[guess_slot(m, order_id)]
    market_prefetch(&m.pages.levels[order.level])
    market_prefetch(&m.orders[order.prev])
    market_prefetch(&m.orders[order.next])


cdef inline void fetch_price(const market_t* m, const book_t* book, int side, int64_t price) noexcept nogil:
    """The level where an order of that price would rest, if its leaf is at hand."""
    cdef int64_t rank = rank_of(side, price)
    market_prefetch(&m.pages.levels[ladder_at_hand(&m.pages, &book.ladders[side - 1], rank)])


cdef inline void client_fetch(const market_t* m, const message_t* message) noexcept nogil:
    cdef const message_t* later = &message[AHEAD_LEVEL]
    fetch_name(m, message[AHEAD_NAME].order_id)
    if message[AHEAD_ORDER].kind != COMMAND_NEW:
        fetch_order(m, message[AHEAD_ORDER].order_id)
    if later.kind != COMMAND_NEW:
        fetch_level(m, later.order_id)
    if later.kind != COMMAND_CANCEL and later.instrument < m.book_count and <uint32_t>(later.side - SIDE_BUY) <= 1:
        fetch_price(m, &m.books[later.instrument], later.side, later.price)
