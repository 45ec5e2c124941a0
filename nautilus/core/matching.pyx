"""Price-time matching."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.accounts cimport account_fill, account_open, instrument_traded
from nautilus.core.book cimport (
    LADDER_EMPTY,
    ladder_find,
    ladder_give,
    ladder_next,
    ladder_t,
    ladder_take,
    level_t,
)
from nautilus.core.events cimport event_begin
from nautilus.core.order_ids cimport id_add, id_forget, id_prefetch, order_hash, order_map_delete
from nautilus.core.pool cimport pool_give
from nautilus.core.state cimport (
    account_t,
    instrument_t,
    kernel_t,
    ladder_of,
    order_at,
    order_t,
)
from nautilus.core.timers cimport timer_disarm
from nautilus.core.types cimport (
    ACCOUNT_EXEMPT,
    ACCOUNT_RECORDED,
    EVENT_CANCELLED,
    EVENT_FILLED,
    REASON_SELF_MATCH,
    SIDE_BUY,
    SIDE_SELL,
    TIF_DAY,
    event_t,
)


cdef int64_t rank_of(int side, int64_t price) noexcept nogil:
    return price if side == SIDE_BUY else -price


cdef inline int opposite(int side) noexcept nogil:
    return SIDE_SELL if side == SIDE_BUY else SIDE_BUY


cdef inline void work(kernel_t* k, const order_t* order, int64_t change) noexcept nogil:
    """Moves what the order has open in its pair."""
    account_open(k, order.position, order.side, True, order.price, change)


cdef void order_rest(kernel_t* k, uint32_t index) noexcept nogil:
    cdef order_t* order = order_at(k, index)
    cdef ladder_t* ladder = ladder_of(k, order.instrument, order.side)
    cdef level_t* level = ladder_take(ladder, &k.pages, rank_of(order.side, order.price))
    order.next = 0
    order.prev = level.tail
    if level.tail:
        order_at(k, level.tail).next = index
    else:
        level.head = index
    level.tail = index
    level.quantity += order.leaves
    work(k, order, order.leaves)


cdef void order_unlink(kernel_t* k, uint32_t index) noexcept nogil:
    cdef order_t* order = order_at(k, index)
    cdef ladder_t* ladder = ladder_of(k, order.instrument, order.side)
    cdef int64_t rank = rank_of(order.side, order.price)
    cdef level_t* level = ladder_find(ladder, rank)
    if order.prev:
        order_at(k, order.prev).next = order.next
    else:
        level.head = order.next
    if order.next:
        order_at(k, order.next).prev = order.prev
    else:
        level.tail = order.prev
    level.quantity -= order.leaves
    work(k, order, -order.leaves)
    if level.head == 0:
        ladder_give(ladder, &k.pages, rank)


cdef void order_closed(kernel_t* k, uint32_t account_index, uint64_t order_id) noexcept nogil:
    """Remembers the id as closed; the oldest is forgotten where the ring is full."""
    cdef account_t* account = &k.accounts[account_index]
    cdef uint32_t mask = k.closed_capacity - 1
    if account.closed_count == k.closed_capacity:
        id_forget(&account.closed_ids, account.closed[account.closed_head])
        account.closed_head = (account.closed_head + 1) & mask
        account.closed_count -= 1
        id_prefetch(&account.closed_ids, account.closed[(account.closed_head + 2) & mask])     # forgotten soon
    account.closed[(account.closed_head + account.closed_count) & mask] = order_id
    account.closed_count += 1
    id_add(&account.closed_ids, order_id)


cdef void order_release(kernel_t* k, uint32_t index) noexcept nogil:
    cdef order_t* order = order_at(k, index)
    if order.timer:
        timer_disarm(k, index)
    k.accounts[order.account].open_orders -= 1
    order_map_delete(&k.order_map, order_hash(order.account, order.order_id), index)
    order_closed(k, order.account, order.order_id)
    pool_give(&k.orders, index)


cdef void cancelled_event(kernel_t* k, const order_t* order, int64_t quantity, int kind, int reason) noexcept nogil:
    cdef event_t* e = event_begin(k, kind)
    e.order_id = order.order_id
    e.price_ticks = order.price
    e.quantity = quantity
    e.side = order.side
    e.reason = reason
    e.instrument_id = k.instruments[order.instrument].id
    e.account_id = k.accounts[order.account].id
    e.strategy_id = order.strategy_id


cdef void order_remove(kernel_t* k, uint32_t index, int kind, int reason) noexcept nogil:
    cdef order_t* order = order_at(k, index)
    cancelled_event(k, order, order.leaves, kind, reason)
    order_unlink(k, index)
    order_release(k, index)


cdef bint would_cross(kernel_t* k, uint32_t instrument, int side, int64_t price) noexcept nogil:
    cdef int64_t best = ladder_of(k, instrument, opposite(side)).best
    return best != LADDER_EMPTY and best >= -rank_of(side, price)


cdef inline int64_t worst_rank(const order_t* incoming, int mode, int64_t bound) noexcept nogil:
    """Lowest opposite rank that the incoming order accepts."""
    if mode & INCOMING_MARKET:
        if mode & INCOMING_BOUNDED:
            return -rank_of(incoming.side, bound)
        return LADDER_EMPTY + 1
    return -rank_of(incoming.side, incoming.price)


cdef bint fills_at_once(kernel_t* k, const order_t* incoming, int mode, int64_t bound) noexcept nogil:
    cdef ladder_t* ladder = ladder_of(k, incoming.instrument, opposite(incoming.side))
    cdef int64_t worst = worst_rank(incoming, mode, bound)
    cdef int64_t rank = ladder.best
    cdef int64_t needed = incoming.leaves
    cdef uint32_t index
    cdef order_t* resting
    while rank != LADDER_EMPTY and rank >= worst:
        index = ladder_find(ladder, rank).head
        while index:
            resting = order_at(k, index)
            if resting.account == incoming.account:
                return False
            needed -= resting.leaves
            if needed <= 0:
                return True
            index = resting.next
        rank = ladder_next(ladder, rank)
    return False


cdef void fill(kernel_t* k, order_t* incoming, uint32_t index, int64_t quantity) noexcept nogil:
    """One match: positions, event, and the resting order shrinks or closes."""
    cdef order_t* resting = order_at(k, index)
    cdef instrument_t* instrument = &k.instruments[incoming.instrument]
    cdef ladder_t* ladder
    cdef level_t* level
    cdef event_t* e
    cdef int64_t price = resting.price
    incoming.leaves -= quantity
    incoming.filled += quantity
    k.match_id += 1
    e = event_begin(k, EVENT_FILLED)
    e.order_id = incoming.order_id
    e.counter_order_id = resting.order_id
    e.match_id = k.match_id
    e.price_ticks = price
    e.quantity = quantity
    e.leaves_quantity = incoming.leaves
    e.counter_leaves_quantity = resting.leaves - quantity
    e.side = incoming.side
    e.instrument_id = instrument.id
    e.account_id = k.accounts[incoming.account].id
    e.counter_account_id = k.accounts[resting.account].id
    e.strategy_id = incoming.strategy_id
    instrument_traded(k, instrument, price)
    e.fee = account_fill(
        k, incoming.position, incoming.side, price, quantity, True, incoming.filled == quantity
    )
    e.venue_reference = <uint64_t>account_fill(
        k, resting.position, resting.side, price, quantity, False, resting.filled == 0
    )
    if resting.leaves == quantity:
        order_unlink(k, index)
        order_release(k, index)
    else:
        ladder = ladder_of(k, resting.instrument, resting.side)
        level = ladder_find(ladder, rank_of(resting.side, price))
        level.quantity -= quantity
        work(k, resting, -quantity)
        resting.leaves -= quantity
        resting.filled += quantity


cdef bint match_incoming(kernel_t* k, order_t* incoming, int mode, int64_t bound) noexcept nogil:
    cdef ladder_t* ladder = ladder_of(k, incoming.instrument, opposite(incoming.side))
    cdef int64_t worst = worst_rank(incoming, mode, bound)
    cdef uint32_t index
    cdef order_t* resting
    while incoming.leaves and ladder.best != LADDER_EMPTY and ladder.best >= worst:
        index = ladder_find(ladder, ladder.best).head
        resting = order_at(k, index)
        if resting.account == incoming.account:
            if k.accounts[incoming.account].flags & ACCOUNT_RECORDED:
                order_remove(k, index, EVENT_CANCELLED, REASON_SELF_MATCH)
                continue
            cancelled_event(k, incoming, incoming.leaves, EVENT_CANCELLED, REASON_SELF_MATCH)
            return False
        fill(k, incoming, index, resting.leaves if resting.leaves < incoming.leaves else incoming.leaves)
    return True


cdef void match_tape(kernel_t* k, order_t* incoming, bint booked) noexcept nogil:
    """A recorded trade: what no order met stays in `incoming.leaves`."""
    cdef ladder_t* ladder = ladder_of(k, incoming.instrument, opposite(incoming.side))
    cdef int64_t own = -rank_of(incoming.side, incoming.price)
    cdef int64_t rank = ladder.best
    cdef int64_t after
    cdef uint32_t index, following
    cdef order_t* resting
    cdef bint recorded
    cdef level_t* level
    while incoming.leaves and rank != LADDER_EMPTY and rank >= own:
        after = ladder_next(ladder, rank)
        level = ladder_find(ladder, rank)
        index = level.head
        while index and incoming.leaves:
            resting = order_at(k, index)
            following = resting.next
            recorded = (k.accounts[resting.account].flags & ACCOUNT_RECORDED) != 0
            if not recorded or (rank == own and not booked):
                fill(k, incoming, index, resting.leaves if resting.leaves < incoming.leaves else incoming.leaves)
            elif rank == own:
                # The book shows this trade already: the queue ahead takes its part and stays as it is.
                incoming.leaves -= resting.leaves if resting.leaves < incoming.leaves else incoming.leaves
            index = following
        rank = after


cdef inline bint fits(
    kernel_t* k, const order_t* order, uint32_t account, int strategy, bint day_only, bint spare_exempt
) noexcept nogil:
    if account and order.account != account:
        return False
    if spare_exempt and not account and k.accounts[order.account].flags & ACCOUNT_EXEMPT:
        return False
    if strategy >= 0 and order.strategy_id != strategy:
        return False
    return not day_only or order.time_in_force == TIF_DAY


cdef int64_t walk_remove(
    kernel_t* k, uint32_t account, uint32_t instrument, int side, int strategy, bint day_only, bint spare_exempt,
    int kind, int reason
) noexcept nogil:
    cdef uint32_t i, at, index, following
    cdef int book_side
    cdef int64_t rank, after, removed = 0
    cdef ladder_t* ladder
    for i in range(k.instrument_count):
        at = k.instrument_order[i]
        if instrument and at != instrument:
            continue
        for book_side in range(SIDE_BUY, SIDE_SELL + 1):
            if side and book_side != side:
                continue
            ladder = ladder_of(k, at, book_side)
            rank = ladder.best
            while rank != LADDER_EMPTY:
                after = ladder_next(ladder, rank)
                index = ladder_find(ladder, rank).head
                while index:
                    following = order_at(k, index).next
                    if fits(k, order_at(k, index), account, strategy, day_only, spare_exempt):
                        order_remove(k, index, kind, reason)
                        removed += 1
                    index = following
                rank = after
    return removed
