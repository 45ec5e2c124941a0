# Orders by client id: what the Matcher and the shared object do with a message. Part of market.pyx.

# In a batch, what later messages will touch is fetched ahead, one link of the chain after the other. Prices and ids are
# looked at for that alone: no report depends on it.
cdef enum:
    AHEAD_NAME = 18             # messages ahead: the index's line
    AHEAD_ORDER = 11            # the order
    AHEAD_LEVEL = 5             # the level, and the order's neighbours


cdef inline bint number_fits(int64_t price, int64_t quantity) noexcept nogil:
    return (
        <uint64_t>(price + (<int64_t>1 << MAX_PRICE_BITS)) <= <uint64_t>1 << (MAX_PRICE_BITS + 1)
        and <uint64_t>(quantity - 1) < <uint64_t>1 << MAX_QUANTITY_BITS
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


cdef inline void client_new(
    market_t* m, book_t* book, uint64_t order_id, int side, int64_t price, int64_t quantity, uint32_t owner, int mode
) noexcept nogil:
    """A plain limit order under a client id."""
    cdef uint32_t id = <uint32_t>order_id
    cdef bint known = names_find(m, order_id) != 0
    m.order_high = <uint32_t>(order_id >> 32)
    if ladder_unlikely(
        known or not number_fits(price, quantity) or m.order_pool.used == m.order_pool.capacity
    ):
        refuse_new(m, id, side, price, quantity, known)
        return
    market_report(m, EVENT_ACCEPTED, side, 0, 0, id, 0, price, quantity)
    plain_enter(m, book, 0, id, side, price, quantity, owner, -rank_of(side, price), mode, False)


cdef inline uint32_t client_find(market_t* m, uint64_t order_id) noexcept nogil:
    """The slot of an open order, 0: none. From here on reports name it."""
    m.order_high = <uint32_t>(order_id >> 32)
    return names_find(m, order_id)


cdef inline void client_cancel(market_t* m, uint64_t order_id) noexcept nogil:
    cdef uint32_t slot = client_find(m, order_id)
    if ladder_unlikely(slot == 0):
        refuse(m, 0, <uint32_t>order_id, REPORT_OF_CANCEL, REASON_UNKNOWN_ORDER)
        return
    if ladder_unlikely(m.orders[slot].flags != 0):
        market_cancel(m, slot, EVENT_CANCELLED, REASON_REQUESTED)
        return
    plain_cancel(m, slot, &m.orders[slot], EVENT_CANCELLED, REASON_REQUESTED, False)


cdef inline void client_replace(market_t* m, uint64_t order_id, int64_t price, int64_t leaves) noexcept nogil:
    cdef uint32_t slot = client_find(m, order_id)
    if ladder_unlikely(slot == 0 or not number_fits(price, leaves)):
        refuse(
            m, 0, <uint32_t>order_id, REPORT_OF_REPLACE,
            REASON_UNKNOWN_ORDER if slot == 0 else REASON_QUANTITY if number_fits(price, 1) else REASON_PRICE
        )
        return
    if ladder_unlikely(m.orders[slot].flags != 0):
        market_replace(m, slot, price, leaves)
        return
    plain_replace(m, slot, &m.orders[slot], price, leaves, False)


cdef void client_special(market_t* m, const message_t* message) noexcept nogil:
    """A NEW that is no plain limit order, or that meets a book with special ones."""
    cdef intent_t intent
    cdef uint32_t id = <uint32_t>message.order_id
    cdef int64_t price = message.price if message.order_type != TYPE_MARKET else 0
    cdef bint known = client_find(m, message.order_id) != 0
    if known or not number_fits(price, message.quantity) or m.order_pool.used == m.order_pool.capacity:
        refuse_new(m, id, message.side, price, message.quantity, known)
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
    if (
        message.order_type < TYPE_LIMIT or message.order_type > TYPE_MARKET or message.time_in_force < TIF_GTC
        or message.time_in_force > TIF_FOK
    ):
        refuse(m, message.side, id, 0, REASON_UNSUPPORTED)
        return
    special_new(m, &m.books[message.instrument], 0, &intent)


cdef inline void client_message(market_t* m, const message_t* message) noexcept nogil:
    cdef book_t* book
    cdef uint32_t plain
    cdef int kind = message.kind
    m.tag = message.tag
    if kind == COMMAND_CANCEL:
        client_cancel(m, message.order_id)
        return
    if kind == COMMAND_REPLACE:
        client_replace(m, message.order_id, message.price, message.quantity)
        return
    m.order_high = <uint32_t>(message.order_id >> 32)
    if ladder_unlikely(
        kind != COMMAND_NEW or message.instrument >= m.book_count or <uint32_t>(message.side - SIDE_BUY) > 1
    ):
        refuse(
            m, message.side, <uint32_t>message.order_id, 0,
            REASON_UNKNOWN_INSTRUMENT if message.instrument >= m.book_count else REASON_MALFORMED
        )
        return
    book = &m.books[message.instrument]
    plain = message.time_in_force
    if ladder_unlikely(
        message.order_type != TYPE_LIMIT or message.flags or book.special
        or not (PLAIN_TIMES >> plain) & 1 or plain > 31
    ):
        client_special(m, message)
        return
    client_new(
        m, book, message.order_id, message.side, message.price, message.quantity, message.owner,
        PLAIN_CANCEL if plain == TIF_IOC else PLAIN_KILL if plain == TIF_FOK else PLAIN_REST
    )


cdef inline void fetch_name(const market_t* m, uint64_t order_id) noexcept nogil:
    market_prefetch(&m.names.now.entries[index_home(&m.names, &m.names.now, index_key(order_id))])


cdef inline uint32_t guess_slot(const market_t* m, uint64_t order_id) noexcept nogil:
    """The slot at the id's home, most often its own; 0 where there is none."""
    return <uint32_t>(
        m.names.now.entries[index_home(&m.names, &m.names.now, index_key(order_id))] >> 32
    )


cdef inline void fetch_order(const market_t* m, uint64_t order_id) noexcept nogil:
    market_prefetch(&m.orders[guess_slot(m, order_id)])


cdef inline void fetch_level(const market_t* m, uint64_t order_id) noexcept nogil:
    cdef const order_t* order = &m.orders[guess_slot(m, order_id)]
    market_prefetch(&m.pages.levels[order.level])
    market_prefetch(&m.orders[order.prev])
    market_prefetch(&m.orders[order.next])


cdef inline void fetch_price(const market_t* m, const book_t* book, int side, int64_t price) noexcept nogil:
    """The level where an order of that price would rest, if its leaf is at hand, and its last order's line with it."""
    cdef const ladder_t* ladder = &book.ladders[side - 1]
    cdef int64_t rank = rank_of(side, price)
    cdef uint32_t index = page_at_hand(&m.pages, ladder, rank)
    if index:
        market_prefetch(&m.pages.levels[(index << 9) | (rank & 511)])


cdef inline void client_fetch(const market_t* m, const message_t* message) noexcept nogil:
    cdef const message_t* later = &message[AHEAD_LEVEL]
    fetch_name(m, message[AHEAD_NAME].order_id)
    if message[AHEAD_ORDER].kind != COMMAND_NEW:
        fetch_order(m, message[AHEAD_ORDER].order_id)
    if later.kind != COMMAND_NEW:
        fetch_level(m, later.order_id)
    if later.kind != COMMAND_CANCEL and later.instrument < m.book_count and <uint32_t>(later.side - SIDE_BUY) <= 1:
        fetch_price(m, &m.books[later.instrument], later.side, later.price)
