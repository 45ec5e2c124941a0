# A NEW that is not plain, and what a book with special orders does after each command. Part of market.pyx.


cdef void settle(market_t* m, book_t* book) noexcept nogil:
    """After each command on a book with special orders: what the new prices set off, until nothing more does."""
    while book.special & BOOK_DARK and settle_all_or_none(m, book):
        pass
    if book.special & BOOK_DARK and book.dark[0].best == LADDER_EMPTY and book.dark[1].best == LADDER_EMPTY:
        book.special &= ~BOOK_DARK
    book.special &= ~BOOK_SETTLE


cdef void special_new(market_t* m, book_t* book, uint32_t slot, const intent_t* intent) noexcept nogil:
    """A NEW that is not plain, or that meets a book which is not."""
    cdef aggressor_t a
    cdef int mode = ENTER_REST
    cdef extra_t* extra
    if (
        (intent.order_type != TYPE_LIMIT and intent.order_type != TYPE_MARKET)
        or intent.time_in_force == 0 or intent.time_in_force > TIF_FOK
    ):
        refuse(m, intent.side, intent.id, 0, REASON_UNSUPPORTED)
        return
    if slot == 0:
        slot = pool_take(&m.order_pool)     # there is one: client_special has looked
        m.ids[intent.id] = slot
    m.replenished = 0
    memset(&a, 0, sizeof(aggressor_t))
    a.leaves = intent.quantity
    a.price = intent.price
    a.worst = -rank_of(intent.side, intent.price)
    a.id = intent.id
    a.slot = slot
    a.owner = intent.owner
    a.side = intent.side
    a.self_match = book.self_match
    if intent.order_type == TYPE_MARKET:
        a.worst = -rank_of(intent.side, intent.bound) if intent.bounded else WORST_OF_ALL
        mode = ENTER_CANCEL
    if intent.time_in_force == TIF_IOC:
        mode = ENTER_CANCEL
    elif intent.time_in_force == TIF_FOK:
        mode = ENTER_KILL
    if intent.flags & FLAG_ALL_OR_NONE:
        if mode == ENTER_REST:
            a.flags |= ORDER_ALL_OR_NONE | ORDER_DARK
        else:
            mode = ENTER_KILL
    if intent.flags & FLAG_HIDDEN:
        a.flags |= ORDER_DARK
    if intent.flags & FLAG_REDUCE_ONLY:
        a.flags |= ORDER_REDUCE_ONLY
    if intent.display:
        a.flags |= ORDER_ICEBERG
        a.extra = pool_take(&m.extra_pool)
        extra = &m.extras[a.extra]
        memset(extra, 0, sizeof(extra_t))
        extra.display = intent.display
    m.orders[slot].id = intent.id
    m.orders[slot].extra = 0
    market_report(m, EVENT_ACCEPTED, intent.side, 0, 0, intent.id, 0, intent.price, intent.quantity)
    special_enter(m, book, &a, mode, intent.minimum)
    if book.special:
        settle(m, book)
