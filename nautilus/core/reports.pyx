"""Reports of the market to events."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.events cimport event_begin
from nautilus.core.market cimport (
    REPORT_COUNTER_DONE,
    REPORT_ORDER_DONE,
    market_best,
    market_cancel,
    market_give,
    market_next,
    market_rewind,
    market_t,
    order_t as queued_t,
    report_t,
)
from nautilus.core.order_ids cimport id_add, id_forget, id_prefetch, order_hash, order_map_delete
from nautilus.core.positions cimport position_fill, position_t
from nautilus.core.state cimport ORDER_OPEN, account_t, instrument_t, kernel_t, order_at, order_t
from nautilus.core.timers cimport timer_disarm
from nautilus.core.types cimport (
    ACCOUNT_EXEMPT,
    EVENT_ACCEPTED,
    EVENT_FILLED,
    EVENT_REPLACED,
    EVENT_REPLENISHED,
    SIDE_BUY,
    SIDE_SELL,
    TIF_DAY,
    event_t,
)


cdef inline void work(kernel_t* k, const order_t* order, int64_t change) noexcept nogil:
    """Moves the open quantity of the order's side in its position."""
    cdef position_t* position
    if order.position:
        position = &k.positions[order.position]
        if order.side == SIDE_BUY:
            position.open_buy += change
        else:
            position.open_sell += change


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


cdef inline void finish(kernel_t* k, uint32_t slot, order_t* order) noexcept nogil:
    """The market is done with the order: timer, map and slot are given back, the id remembered."""
    if order.timer:
        timer_disarm(k, slot)
    if order.life == ORDER_OPEN:
        k.accounts[order.account].open_orders -= 1
        order_map_delete(&k.order_map, order_hash(order.account, order.order_id), slot)
    order_closed(k, order.account, order.order_id)
    order.life = 0
    market_give(&k.market, slot)


cdef inline void filled(kernel_t* k, const report_t* r) noexcept nogil:
    """One match: event, positions, both orders shrink or close."""
    cdef order_t* order = order_at(k, r.order)
    cdef order_t* resting = order_at(k, r.counter)
    cdef instrument_t* instrument = &k.instruments[order.instrument]
    cdef int64_t price = r.price, quantity = r.quantity
    cdef event_t* e
    order.leaves -= quantity
    order.filled += quantity
    resting.leaves -= quantity
    resting.filled += quantity
    work(k, order, -quantity)
    work(k, resting, -quantity)
    k.match_id += 1
    e = event_begin(k, EVENT_FILLED)
    e.order_id = order.order_id
    e.counter_order_id = resting.order_id
    e.match_id = k.match_id
    e.price_ticks = price
    e.quantity = quantity
    e.leaves_quantity = order.leaves
    e.counter_leaves_quantity = resting.leaves
    e.side = r.side
    e.instrument_id = instrument.id
    e.account_id = k.accounts[order.account].id
    e.counter_account_id = k.accounts[resting.account].id
    e.strategy_id = order.strategy_id
    instrument.last = price
    instrument.has_last = 1
    if order.position:
        position_fill(&k.positions[order.position], order.side == SIDE_BUY, price, quantity, instrument.multiplier)
    if resting.position:
        position_fill(&k.positions[resting.position], resting.side == SIDE_BUY, price, quantity, instrument.multiplier)
    if r.flags & REPORT_COUNTER_DONE:
        finish(k, r.counter, resting)
    if r.flags & REPORT_ORDER_DONE:
        finish(k, r.order, order)


cdef inline void told(kernel_t* k, const report_t* r) noexcept nogil:
    """Every report of one order."""
    cdef order_t* order = order_at(k, r.order)
    cdef event_t* e
    if r.kind == 0:             # a recorded queue took its part of a recorded trade: no event
        order.leaves -= r.quantity
        if r.flags & REPORT_ORDER_DONE:
            finish(k, r.order, order)
        return
    e = event_begin(k, r.kind)
    e.order_id = order.order_id
    e.price_ticks = order.price
    e.side = order.side
    e.reason = r.reason
    e.instrument_id = k.instruments[order.instrument].id
    e.account_id = k.accounts[order.account].id
    e.strategy_id = order.strategy_id
    if r.kind == EVENT_ACCEPTED:
        e.quantity = order.leaves
        e.leaves_quantity = order.leaves
        e.flags = order.flags | <uint32_t>order.order_type << 16 | <uint32_t>order.time_in_force << 24
    elif r.kind == EVENT_REPLACED:
        e.quantity = order.filled + order.leaves
        e.leaves_quantity = order.leaves
    elif r.kind == EVENT_REPLENISHED:
        e.quantity = r.quantity
        e.leaves_quantity = order.leaves
    else:
        e.quantity = r.quantity
        work(k, order, -r.quantity)
        order.leaves -= r.quantity
        e.leaves_quantity = order.leaves
        if r.flags & REPORT_ORDER_DONE:
            finish(k, r.order, order)


cdef void take_reports(kernel_t* k) noexcept nogil:
    cdef market_t* m = &k.market
    cdef uint64_t i = 0
    cdef const report_t* r
    while i < m.written:
        r = &m.reports[i]
        if r.kind == EVENT_FILLED:
            filled(k, r)
        else:
            told(k, r)
        i += 1
    market_rewind(m)


cdef void order_remove(kernel_t* k, uint32_t slot, int kind, int reason) noexcept nogil:
    market_cancel(&k.market, slot, kind, reason)
    take_reports(k)


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
    cdef uint32_t i, at, slot, level
    cdef int book_side
    cdef int64_t count = 0, removed = 0, n
    cdef market_t* m = &k.market
    # Gathered first: taking one out may take others with it.
    for i in range(k.instrument_count):
        at = k.instrument_order[i]
        if instrument and at != instrument:
            continue
        for book_side in range(SIDE_BUY, SIDE_SELL + 1):
            if side and book_side != side:
                continue
            level = market_best(m, at, book_side)
            while level:
                slot = m.pages.levels[level].head
                while slot:
                    if fits(k, order_at(k, slot), account, strategy, day_only, spare_exempt):
                        k.walk[count] = slot
                        count += 1
                    slot = m.orders[slot].next
                level = market_next(m, at, book_side, level)
    for n in range(count):
        if order_at(k, k.walk[n]).life:
            order_remove(k, k.walk[n], kind, reason)
            removed += 1
    return removed
