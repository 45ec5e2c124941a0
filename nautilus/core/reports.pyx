"""Reports of the market to events."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.accounts cimport account_fill, account_open, instrument_traded
from nautilus.core.events cimport event_begin
from nautilus.core.market cimport (
    REPORT_COUNTER_DONE,
    ORDER_WAITING,
    REPORT_ORDER_DONE,
    market_after,
    market_cancel,
    market_first,
    market_give,
    market_remove,
    market_rewind,
    market_settle,
    market_t,
    order_t as queued_t,
    report_t,
)
from nautilus.core.order_ids cimport id_add, id_forget, id_prefetch, order_hash, order_map_delete
from nautilus.core.positions cimport position_t
from nautilus.core.state cimport ORDER_OPEN, account_t, instrument_t, kernel_t, order_at, order_t, order_value
from nautilus.core.timers cimport timer_disarm
from nautilus.core.types cimport (
    ACCOUNT_EXEMPT,
    EVENT_ACCEPTED,
    EVENT_CANCELLED,
    EVENT_FILLED,
    EVENT_REPLACED,
    EVENT_REPLENISHED,
    FLAG_REDUCE_ONLY,
    REASON_REDUCE_ONLY,
    SIDE_BUY,
    SIDE_SELL,
    TIF_DAY,
    event_t,
)


cdef void work(kernel_t* k, const order_t* order, int64_t change) noexcept nogil:
    account_open(k, order.position, order.side, not order.flags & FLAG_REDUCE_ONLY, order_value(k, order), change)


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


cdef void reduce_join(kernel_t* k, uint32_t slot) noexcept nogil:
    cdef position_t* position = &k.positions[order_at(k, slot).position]
    k.reduce[slot].next = 0
    k.reduce[slot].prev = position.reduce_last
    if position.reduce_last:
        k.reduce[position.reduce_last].next = slot
    else:
        position.reduce_first = slot
    position.reduce_last = slot


cdef void reduce_leave(kernel_t* k, uint32_t slot, const order_t* order) noexcept nogil:
    cdef position_t* position = &k.positions[order.position]
    cdef uint32_t following = k.reduce[slot].next, before = k.reduce[slot].prev
    if before:
        k.reduce[before].next = following
    else:
        position.reduce_first = following
    if following:
        k.reduce[following].prev = before
    else:
        position.reduce_last = before


cdef void reduce_clean(kernel_t* k) noexcept nogil:
    """One pass takes out what no longer reduces; settling may turn further positions, which the loop then sees."""
    cdef uint32_t at, slot, following, count
    cdef position_t* position
    cdef const order_t* order
    cdef market_t* m = &k.market
    while k.turned_count:
        count = k.turned_count
        for at in range(count):
            position = &k.positions[k.turned[at]]
            position.turned = 0
            slot = position.reduce_first
            while slot:
                following = k.reduce[slot].next
                order = order_at(k, slot)
                if m.orders[slot].level and not m.orders[slot].flags & ORDER_WAITING and (
                    position.quantity >= 0 if order.side == SIDE_BUY else position.quantity <= 0
                ):
                    market_remove(m, slot, EVENT_CANCELLED, REASON_REDUCE_ONLY)
                    take_reports(k)
                    # A group may have taken the next one with it.
                    following = position.reduce_first if following and order_at(k, following).life == 0 else following
                slot = following
        for at in range(count):
            market_settle(m, k.positions[k.turned[at]].instrument)
            take_reports(k)
        k.turned_count -= count
        for at in range(k.turned_count):
            k.turned[at] = k.turned[at + count]


cdef inline int64_t move(
    kernel_t* k, const order_t* order, int64_t price, int64_t quantity, bint aggressor
) noexcept nogil:
    """A match for one of its two orders: position, fee and, for the end of the command, whether the position turned."""
    cdef position_t* position = &k.positions[order.position]
    cdef int64_t before = position.quantity
    cdef int64_t fee = account_fill(k, order.position, order.side, price, quantity, aggressor, order.filled == quantity)
    if position.reduce_first and not position.turned and (
        (before > 0 and position.quantity <= 0) or (before < 0 and position.quantity >= 0)
    ):
        position.turned = 1
        k.turned[k.turned_count] = order.position
        k.turned_count += 1
    return fee


cdef inline void finish(kernel_t* k, uint32_t slot, order_t* order) noexcept nogil:
    """The market is done with the order: timer, map and slot are given back, the id remembered."""
    if order.timer:
        timer_disarm(k, slot)
    if order.flags & FLAG_REDUCE_ONLY and order.position:
        reduce_leave(k, slot, order)
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
    instrument_traded(k, instrument, price)
    e.fee = move(k, order, price, quantity, True)
    e.venue_reference = <uint64_t>move(k, resting, price, quantity, False)
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
    cdef uint32_t i, at, slot
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
            slot = market_first(m, at, book_side)
            while slot:
                if fits(k, order_at(k, slot), account, strategy, day_only, spare_exempt):
                    k.walk[count] = slot
                    count += 1
                slot = market_after(m, at, slot)
    for n in range(count):
        if order_at(k, k.walk[n]).life:
            market_remove(m, k.walk[n], kind, reason)
            take_reports(k)
            removed += 1
    if removed:
        for i in range(k.instrument_count):
            at = k.instrument_order[i]
            if not instrument or at == instrument:
                market_settle(m, at)
                take_reports(k)
    return removed
