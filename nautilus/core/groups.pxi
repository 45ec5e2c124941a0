# Orders that depend on each other: groups (one cancels or reduces the others), parents and their children, and the
# lists that an order with a side record is in. Part of market.pyx. Rules: docs/kernel-orders.md, Groups.
#
# A group has at most 8 members and a parent at most 8 children, so all of this is of bounded cost. Children whose
# release changed lie in a pairing heap of their book (Fredman, Sedgewick, Sleator, Tarjan 1986), the oldest on top.


cdef inline extra_t* extra_at(const market_t* m, uint32_t slot) noexcept nogil:
    """The side record of an order; of one without, a record of zeros that nobody writes to."""
    return &m.extras[m.orders[slot].extra]


cdef inline int64_t open_of(const market_t* m, uint32_t slot) noexcept nogil:
    """Open quantity of any order, the one that is matched now included."""
    if m.active != NULL and m.active.slot == slot:
        return m.active.leaves
    return order_open(m, &m.orders[slot])


cdef inline int64_t price_of(const market_t* m, uint32_t slot) noexcept nogil:
    """Price of any order; 0 for one that has none now."""
    cdef const order_t* order = &m.orders[slot]
    if m.active != NULL and m.active.slot == slot:
        return m.active.price
    if order.level and not order.flags & ORDER_WAITING:
        return order_price(m, order)
    return m.extras[order.extra].price


# ---- Books to be settled

cdef void book_touch(market_t* m, book_t* book) noexcept nogil:
    """The book is to be settled. The list is sorted by key; most come in that order."""
    cdef uint32_t number = book.instrument + 1
    cdef uint32_t* at
    if book.special & BOOK_SETTLE:
        return
    book.special |= BOOK_SETTLE
    book.settle_next = 0
    if m.settle_first == 0:
        m.settle_first = number
        m.settle_last = number
    elif m.books[m.settle_last - 1].key < book.key:
        m.books[m.settle_last - 1].settle_next = number
        m.settle_last = number
    else:
        at = &m.settle_first
        while at[0] and m.books[at[0] - 1].key < book.key:
            at = &m.books[at[0] - 1].settle_next
        book.settle_next = at[0]
        at[0] = number


cdef void book_settled(market_t* m, book_t* book) noexcept nogil:
    """Takes it out of the list."""
    cdef uint32_t number = book.instrument + 1
    cdef uint32_t before = 0
    cdef uint32_t* at = &m.settle_first
    while at[0] != number:
        before = at[0]
        at = &m.books[at[0] - 1].settle_next
    at[0] = book.settle_next
    if m.settle_last == number:
        m.settle_last = before
    book.special &= ~BOOK_SETTLE


# ---- Orders in no ladder that matches

cdef void aside_join(market_t* m, uint32_t slot, extra_t* extra, int standing) noexcept nogil:
    cdef book_t* book = &m.books[extra.instrument]
    extra.standing = <uint8_t>standing
    extra.aside_prev = 0
    extra.aside_next = book.aside
    if book.aside:
        extra_at(m, book.aside).aside_prev = slot
    book.aside = slot
    if standing == STANDING_WAITING:
        book.waiting += 1


cdef void aside_leave(market_t* m, extra_t* extra) noexcept nogil:
    cdef book_t* book = &m.books[extra.instrument]
    if extra.aside_prev:
        extra_at(m, extra.aside_prev).aside_next = extra.aside_next
    else:
        book.aside = extra.aside_next
    if extra.aside_next:
        extra_at(m, extra.aside_next).aside_prev = extra.aside_prev
    if extra.standing == STANDING_WAITING:
        book.waiting -= 1
    extra.standing = 0


cdef inline bint is_trailing(int order_type) noexcept nogil:
    return order_type == TYPE_TRAILING_STOP or order_type == TYPE_TRAILING_STOP_LIMIT


cdef inline bint is_waiting_type(int order_type) noexcept nogil:
    return TYPE_STOP <= order_type <= TYPE_LIMIT_IF_TOUCHED


cdef void line_join(market_t* m, uint32_t slot, extra_t* extra, uint32_t* first, uint32_t* last) noexcept nogil:
    """Oldest first. A new order is the newest; only a child may have to go further to the front."""
    cdef uint32_t before = last[0]
    while before and extra_at(m, before).arming > extra.arming:
        before = extra_at(m, before).line_prev
    extra.line_prev = before
    if before:
        extra.line_next = extra_at(m, before).line_next
        extra_at(m, before).line_next = slot
    else:
        extra.line_next = first[0]
        first[0] = slot
    if extra.line_next:
        extra_at(m, extra.line_next).line_prev = slot
    else:
        last[0] = slot


cdef void line_leave(market_t* m, extra_t* extra, uint32_t* first, uint32_t* last) noexcept nogil:
    if extra.line_prev:
        extra_at(m, extra.line_prev).line_next = extra.line_next
    else:
        first[0] = extra.line_next
    if extra.line_next:
        extra_at(m, extra.line_next).line_prev = extra.line_prev
    else:
        last[0] = extra.line_prev


# ---- The heap of children

cdef inline uint32_t heap_meld(market_t* m, uint32_t one, uint32_t other) noexcept nogil:
    """Two trees to one; the older root stays on top."""
    cdef uint32_t top = one, below = other
    cdef extra_t* upper
    cdef extra_t* lower
    if one == 0 or other == 0:
        return one | other
    if extra_at(m, other).arming < extra_at(m, one).arming:
        top = other
        below = one
    upper = extra_at(m, top)
    lower = extra_at(m, below)
    lower.heap_prev = top
    lower.heap_next = upper.heap_child
    if upper.heap_child:
        extra_at(m, upper.heap_child).heap_prev = below
    upper.heap_child = below
    return top


cdef uint32_t heap_gather(market_t* m, uint32_t first) noexcept nogil:
    """The trees of a row to one: in pairs from the left, then together from the right."""
    cdef uint32_t pairs = 0, one, other, rest = first, tree = 0
    while rest:
        one = rest
        other = extra_at(m, one).heap_next
        rest = extra_at(m, other).heap_next if other else 0
        extra_at(m, one).heap_next = 0
        if other:
            extra_at(m, other).heap_next = 0
        one = heap_meld(m, one, other)
        extra_at(m, one).heap_next = pairs
        pairs = one
    while pairs:
        one = pairs
        pairs = extra_at(m, one).heap_next
        extra_at(m, one).heap_next = 0
        tree = heap_meld(m, tree, one)
    if tree:
        extra_at(m, tree).heap_prev = 0
    return tree


cdef void child_look(market_t* m, uint32_t slot, extra_t* extra) noexcept nogil:
    """Something about the child's release changed: settling looks at it."""
    cdef book_t* book = &m.books[extra.instrument]
    if not extra.pending:
        extra.pending = 1
        extra.heap_child = 0
        extra.heap_next = 0
        extra.heap_prev = 0
        book.pending = heap_meld(m, book.pending, slot)
        book.special |= BOOK_CHILDREN
    book_touch(m, book)


cdef void child_seen(market_t* m, uint32_t slot, extra_t* extra) noexcept nogil:
    """Out of the heap, wherever it lies there."""
    cdef book_t* book = &m.books[extra.instrument]
    cdef extra_t* before
    cdef uint32_t below
    if not extra.pending:
        return
    extra.pending = 0
    below = heap_gather(m, extra.heap_child)
    if book.pending == slot:
        book.pending = below
    else:
        before = extra_at(m, extra.heap_prev)
        if before.heap_child == slot:
            before.heap_child = extra.heap_next
        else:
            before.heap_next = extra.heap_next
        if extra.heap_next:
            extra_at(m, extra.heap_next).heap_prev = extra.heap_prev
        book.pending = heap_meld(m, book.pending, below)
    if book.pending == 0:
        book.special &= ~BOOK_CHILDREN


# ---- Parents

cdef extra_t* extra_make(market_t* m, uint32_t slot, uint32_t instrument, int64_t arming) noexcept nogil:
    """The side record of an order, made where it has none. There is room: as many as orders."""
    cdef order_t* order = &m.orders[slot]
    cdef extra_t* extra
    if order.extra == 0:
        order.extra = pool_take(&m.extra_pool)
        extra = &m.extras[order.extra]
        memset(extra, 0, sizeof(extra_t))
        extra.instrument = instrument
        extra.arming = arming
        extra.order_type = TYPE_LIMIT
        extra.time_in_force = TIF_GTC
        order.flags |= ORDER_RECORD
    return &m.extras[order.extra]


cdef void child_join(market_t* m, uint32_t slot, uint32_t parent, int64_t parent_filled) noexcept nogil:
    """The youngest child of a parent, which may have been a plain order until now."""
    cdef extra_t* child = extra_at(m, slot)
    cdef extra_t* head = extra_make(m, parent, market_instrument(m, parent), 0)
    cdef uint32_t last = head.child_head
    m.orders[parent].flags |= ORDER_PARENT
    head.filled = parent_filled
    child.parent = parent
    child.family = FAMILY_CHILD
    child.supply = parent_filled
    child.child_next = 0
    while last and extra_at(m, last).child_next:
        last = extra_at(m, last).child_next
    child.child_prev = last
    if last:
        extra_at(m, last).child_next = slot
    else:
        head.child_head = slot


cdef void child_leave(market_t* m, extra_t* child) noexcept nogil:
    cdef extra_t* parent = extra_at(m, child.parent)
    if child.child_prev:
        extra_at(m, child.child_prev).child_next = child.child_next
    else:
        parent.child_head = child.child_next
    if child.child_next:
        extra_at(m, child.child_next).child_prev = child.child_prev
    if parent.child_head == 0:
        m.orders[child.parent].flags &= ~ORDER_PARENT
        if m.active != NULL and m.active.slot == child.parent:
            m.active.flags &= ~ORDER_PARENT
    child.parent = 0


cdef void parent_filled(market_t* m, extra_t* parent, int64_t quantity) noexcept nogil:
    cdef uint32_t slot = parent.child_head
    cdef extra_t* child
    parent.filled += quantity
    while slot:
        child = extra_at(m, slot)
        child.supply = parent.filled
        child_look(m, slot, child)
        slot = child.child_next


cdef void parent_closed(market_t* m, extra_t* parent) noexcept nogil:
    cdef uint32_t slot = parent.child_head
    cdef extra_t* child
    while slot:
        child = extra_at(m, slot)
        child.family = FAMILY_ORPHAN
        child.parent = 0
        child_look(m, slot, child)
        slot = child.child_next
    parent.child_head = 0


# ---- Groups

cdef void group_join(market_t* m, uint32_t slot, uint32_t index) noexcept nogil:
    cdef group_t* group = &m.groups[index]
    m.orders[slot].flags |= ORDER_GROUPED
    group.members[group.count] = slot
    group.count += 1


cdef void group_leave(market_t* m, uint32_t slot, uint32_t index) noexcept nogil:
    """`extra.group` stays: the user of the market still has to forget the member."""
    cdef group_t* group = &m.groups[index]
    cdef uint32_t i = 0
    while group.members[i] != slot:
        i += 1
    group.count -= 1
    while i < group.count:
        group.members[i] = group.members[i + 1]
        i += 1


cdef void member_end(market_t* m, uint32_t slot) noexcept nogil:
    """A member, perhaps of another book, is cancelled with its group."""
    cdef order_t* order = &m.orders[slot]
    book_touch(m, &m.books[extra_at(m, slot).instrument])
    market_report(
        m, EVENT_CANCELLED, order.side, REASON_CONTINGENT, REPORT_ORDER_DONE, order.id, 0, price_of(m, slot),
        open_of(m, slot)
    )
    if m.active != NULL and m.active.slot == slot:
        m.active.leaves = 0         # whoever matches it ends it
        return
    standing_moved(m, order)
    if order.level:
        queue_leave(m, order)
    order_end(m, slot, order)


cdef void member_cut(market_t* m, uint32_t slot, int64_t less) noexcept nogil:
    """A member loses less than it has; it keeps its place."""
    cdef order_t* order = &m.orders[slot]
    cdef extra_t* extra = extra_at(m, slot)
    book_touch(m, &m.books[extra.instrument])
    if m.active != NULL and m.active.slot == slot:
        m.active.leaves -= less
    elif order.level:
        order_cut(m, slot, order, less)
    else:
        standing_moved(m, order)
        order.leaves -= less
        if extra.unentered:
            extra.released += less
    market_report(
        m, EVENT_REPLACED, order.side, REASON_CONTINGENT, 0, order.id, 0, price_of(m, slot), open_of(m, slot)
    )


cdef void group_cancel(market_t* m, uint32_t index, uint32_t spared) noexcept nogil:
    """One has ended: all others are cancelled, oldest first, and set nothing off in the group."""
    cdef group_t group = m.groups[index]
    cdef uint32_t i
    for i in range(group.count):
        if group.members[i] != spared and open_of(m, group.members[i]):
            member_end(m, group.members[i])


cdef void group_filled(market_t* m, uint32_t index, uint32_t spared, int64_t quantity) noexcept nogil:
    """One was filled: the others are cancelled, or lose as much."""
    cdef group_t group = m.groups[index]
    cdef uint32_t i, slot
    cdef int64_t open_now
    for i in range(group.count):
        slot = group.members[i]
        open_now = open_of(m, slot)
        if slot == spared or open_now == 0:
            continue
        if group.cancels or quantity >= open_now:
            member_end(m, slot)
        else:
            member_cut(m, slot, quantity)


# ---- The end of an order with a side record

cdef void extra_end(market_t* m, uint32_t slot, order_t* order) noexcept nogil:
    """Out of every list; what depends on the order is told. A kept record can be read until `market_give`."""
    cdef extra_t* extra = &m.extras[order.extra]
    cdef book_t* book = &m.books[extra.instrument]
    cdef uint32_t group = extra.group
    if extra.standing:
        aside_leave(m, extra)
    if extra.order_type == TYPE_PEGGED:
        peg_leave(m, book, slot, extra)
    elif is_trailing(extra.order_type) and not extra.unentered:
        trail_leave(m, book, extra)
    elif extra.time_in_force >= TIF_AT_OPEN and not extra.unentered:
        auction_leave(m, book, extra)
    child_seen(m, slot, extra)
    if extra.parent:
        child_leave(m, extra)
    if order.flags & ORDER_PARENT:
        parent_closed(m, extra)
    if group:
        group_leave(m, slot, group)
    if not m.keep:
        pool_give(&m.extra_pool, order.extra)
        order.extra = 0
