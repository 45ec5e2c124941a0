# A NEW that is not plain. Part of market.pyx.


cdef void order_set(market_t* m, book_t* book, uint32_t slot, const intent_t* intent) noexcept nogil:
    """Fills the records of an order, which stands nowhere yet."""
    cdef order_t* order = &m.orders[slot]
    cdef extra_t* extra
    cdef int kind = intent.order_type
    order.next = 0
    order.prev = 0
    order.level = 0
    order.id = intent.id
    order.leaves = intent.quantity
    order.owner = intent.owner
    order.side = intent.side
    order.flags = 0
    order.extra = 0
    if intent.flags & FLAG_ALL_OR_NONE and intent.time_in_force <= TIF_GTD:
        order.flags |= ORDER_ALL_OR_NONE | ORDER_DARK
    if intent.flags & FLAG_HIDDEN or kind == TYPE_PEGGED:
        order.flags |= ORDER_DARK
    if intent.flags & FLAG_REDUCE_ONLY:
        order.flags |= ORDER_REDUCE_ONLY
    if kind <= TYPE_MARKET and not (
        intent.display or intent.group or intent.parent or intent.parent_id or intent.time_in_force > TIF_FOK
        or intent.special
    ):
        return
    extra = extra_make(m, slot, book.instrument, intent.arming)
    extra.order_type = intent.order_type
    extra.time_in_force = intent.time_in_force
    extra.flags = intent.flags
    extra.trigger = intent.trigger
    extra.has_trigger = is_waiting_type(kind) and (intent.trigger != 0 or not is_trailing(kind))
    extra.offset = intent.offset
    extra.parent_id = intent.parent_id
    if intent.display:
        order.flags |= ORDER_ICEBERG
        extra.display = intent.display
    if kind == TYPE_PEGGED or kind == TYPE_TRAILING_STOP_LIMIT:
        extra.distance = intent.price
    elif kind == TYPE_LIMIT or kind == TYPE_STOP_LIMIT or kind == TYPE_LIMIT_IF_TOUCHED:
        extra.price = intent.price
    extra.group = intent.group


cdef void special_new(market_t* m, book_t* book, uint32_t slot, const intent_t* intent) noexcept nogil:
    """A NEW that is not plain, or that meets a book which is not."""
    cdef aggressor_t a
    cdef order_t* order
    cdef int mode = ENTER_REST
    cdef bint named = slot != 0
    if not named:
        slot = pool_take(&m.order_pool)     # there is one: client_special has looked
        m.orders[slot].id = intent.id       # before the index sees the slot
        names_add(m, slot, <uint64_t>m.order_high << 32 | intent.id)
    m.replenished = 0
    order_set(m, book, slot, intent)
    if not named:
        names_odd(m, slot)
    order = &m.orders[slot]
    market_report(m, EVENT_ACCEPTED, intent.side, 0, 0, intent.id, 0, intent.price, intent.quantity)
    if order.extra:
        if intent.group:
            group_join(m, slot, intent.group)
        if intent.order_type == TYPE_PEGGED:
            peg_join(m, book, slot, &m.extras[order.extra])
        if intent.parent:
            m.extras[order.extra].unentered = 1
            aside_join(m, slot, &m.extras[order.extra], STANDING_PARKED)
            child_join(m, slot, intent.parent, intent.parent_filled)
            child_look(m, slot, &m.extras[order.extra])
        else:
            order_enter(m, book, slot, intent.minimum)
    else:
        aggressor_of(m, slot, &a, intent.price, intent.quantity)
        a.self_match = book.self_match
        if intent.order_type == TYPE_MARKET:
            a.worst = -rank_of(intent.side, intent.bound) if intent.bounded else WORST_OF_ALL
            mode = ENTER_CANCEL
        if intent.time_in_force == TIF_IOC:
            mode = ENTER_CANCEL
        elif intent.time_in_force == TIF_FOK:
            mode = ENTER_KILL
        if intent.flags & FLAG_ALL_OR_NONE and mode == ENTER_CANCEL:
            mode = ENTER_KILL
        special_enter(m, book, &a, mode, intent.minimum)
    if book.special:
        settle(m, book)
