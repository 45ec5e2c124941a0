"""Reports of the market to events."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.accounts cimport account_match, account_open, instrument_traded
from nautilus.core.events cimport event_begin, event_write
from nautilus.core.hashmap cimport map_delete, prefetch_line
from nautilus.core.market cimport (
    ORDER_WAITING,
    REPORT_AUCTION,
    REPORT_CHANGED,
    REPORT_COUNTER_DONE,
    REPORT_LIMIT,
    REPORT_ORDER_DONE,
    REPORT_RELEASED,
    REPORT_TAKEN,
    auction_t,
    market_after,
    market_cancel,
    market_first,
    market_give,
    market_rewind,
    market_settle,
    market_t,
    market_ungroup,
    report_t,
)
from nautilus.core.order_ids cimport (
    id_prefetch, order_hash, order_map_delete, order_map_prefetch)
from nautilus.core.positions cimport position_t
from nautilus.core.routed cimport routed_ask_cancel
from nautilus.core.state cimport (
    ORDER_OPEN,
    ORDER_ROUTED,
    ORDER_UNENTERED,
    TIMER_INDICATIVE,
    TIMER_INSTRUMENT,
    account_t,
    id_used,
    instrument_t,
    kernel_t,
    order_at,
    order_t,
)
from nautilus.core.timers cimport instrument_arm, timer_disarm
from nautilus.core.types cimport (
    ACCOUNT_EXEMPT,
    EVENT_ACCEPTED,
    EVENT_CANCELLED,
    EVENT_FILLED,
    EVENT_FLAG_AUCTION,
    EVENT_INDICATIVE,
    EVENT_PHASE,
    EVENT_REPLACED,
    EVENT_REPLENISHED,
    EVENT_TRIGGERED,
    FLAG_REDUCE_ONLY,
    INSTRUMENT_EXPLICIT,
    REASON_REDUCE_ONLY,
    REASON_RESTATED,
    SIDE_BUY,
    SIDE_SELL,
    TIF_DAY,
    TIF_IOC,
    TYPE_LIMIT,
    TYPE_MARKET,
    TYPE_MARKET_IF_TOUCHED,
    TYPE_STOP,
    TYPE_TRAILING_STOP,
    event_t,
)


cdef extern from *:
    """
    /* For a function that does nothing but fetch: gcc takes one without any effect out, with its calls. */
    static inline void look_kept(void) { __asm__ volatile(""); }
    """
    void look_kept() noexcept nogil


cdef enum:
    INDICATIVE_NS = 100000000       # between two indicative prices


cdef void work(kernel_t* k, const order_t* order, int64_t change) noexcept nogil:
    """Moves what the order's side has open in its pair."""
    if not order.life & ORDER_UNENTERED:
        account_open(k, order.position, order.side, True, order.price, change)


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


cdef void reduce_clean(kernel_t* k, uint32_t index) noexcept nogil:
    """Takes out the reduce-only orders of a position that no longer reduce."""
    cdef position_t* position = &k.positions[index]
    cdef uint32_t slot = position.reduce_first, following
    cdef const order_t* order
    cdef market_t* m = &k.market
    while slot:
        following = k.reduce[slot].next
        order = order_at(k, slot)
        if m.orders[slot].level and not m.orders[slot].flags & ORDER_WAITING and (
            position.quantity >= 0 if order.side == SIDE_BUY else position.quantity <= 0
        ):
            market_cancel(m, slot, EVENT_CANCELLED, REASON_REDUCE_ONLY)
            take_reports(k)
            # A group may have taken the next one with it.
            following = position.reduce_first if following and order_at(k, following).life == 0 else following
        slot = following


cdef void take_notices(kernel_t* k) noexcept nogil:
    """Books at auction that changed: each has a timer for its next indicative price."""
    cdef market_t* m = &k.market
    cdef uint32_t i, instrument
    cdef auction_t* auction
    for i in range(m.notice_count):
        instrument = m.notices[i]
        auction = &m.auctions[instrument]
        auction.noticed = 0
        if auction.changed:
            if auction.told_ns > m.now_ns - INDICATIVE_NS:
                instrument_arm(k, TIMER_INSTRUMENT | TIMER_INDICATIVE | instrument, auction.told_ns, INDICATIVE_NS)
            else:
                instrument_arm(k, TIMER_INSTRUMENT | TIMER_INDICATIVE | instrument, m.now_ns, 0)
    m.notice_count = 0


cdef void command_end(kernel_t* k, uint32_t first) noexcept nogil:
    cdef uint32_t at = 0, index
    if k.market.notice_count:
        take_notices(k)
    while True:
        market_settle(&k.market, first)
        take_reports(k)
        if k.market.notice_count:
            take_notices(k)
        if at == k.turned_count:
            k.turned_count = 0
            return
        index = k.turned[at]
        at += 1
        k.positions[index].turned = 0
        reduce_clean(k, index)


cdef void position_turned(kernel_t* k, uint32_t index, int64_t before) noexcept nogil:
    cdef position_t* position = &k.positions[index]
    if position.reduce_first and not position.turned and (
        (before > 0 and position.quantity <= 0) or (before < 0 and position.quantity >= 0)
    ):
        position.turned = 1
        k.turned[k.turned_count] = index
        k.turned_count += 1


cdef inline int64_t move(
    kernel_t* k, const order_t* order, int64_t price, int64_t quantity, bint aggressor
) noexcept nogil:
    """A match for one of its two orders: position, fee and, for the end of the command, whether the position turned."""
    cdef position_t* position = &k.positions[order.position]
    cdef int64_t before = position.quantity
    cdef int64_t fee = account_match(k, order.position, order.side, price, quantity, aggressor, order.filled == quantity)
    position_turned(k, order.position, before)
    return fee


cdef inline void finish(kernel_t* k, uint32_t slot, order_t* order) noexcept nogil:
    """The market is done with the order: timer, map and slot are given back, the id remembered."""
    cdef uint32_t group
    if order.timer:
        timer_disarm(k, slot)
    if order.flags & FLAG_REDUCE_ONLY and order.position:
        reduce_leave(k, slot, order)
    if order.life & ORDER_OPEN:
        k.accounts[order.account].open_orders -= 1
        order_map_delete(&k.order_map, order_hash(order.account, order.order_id), slot)
    group = k.market.extras[k.market.orders[slot].extra].group
    if group and market_ungroup(&k.market, group):
        map_delete(&k.groups, k.market.groups[group].key)
    order_closed(k, order.account, order.order_id)
    order.life = 0
    market_give(&k.market, slot)


cdef void uncrossed(kernel_t* k, const report_t* r, event_t* e, order_t* buy, order_t* sell) noexcept nogil:
    """The rest of a match in an auction: both pay the maker's fee, the newer order's position moves first."""
    e.flags = EVENT_FLAG_AUCTION
    if buy.arming > sell.arming:
        e.fee = move(k, buy, r.price, r.quantity, False)
    e.venue_reference = <uint64_t>move(k, sell, r.price, r.quantity, False)
    if buy.arming < sell.arming:
        e.fee = move(k, buy, r.price, r.quantity, False)
    if r.flags & REPORT_ORDER_DONE:
        finish(k, r.order, buy)
    if r.flags & REPORT_COUNTER_DONE:
        finish(k, r.counter, sell)


cdef void instrument_told(kernel_t* k, const report_t* r) noexcept nogil:
    """INDICATIVE and PHASE: of an instrument, not of an order."""
    cdef event_t* e = event_begin(k, r.kind)
    cdef int64_t surplus
    e.instrument_id = k.instruments[r.order].id
    e.price_ticks = r.price
    e.quantity = r.quantity
    if r.kind == EVENT_INDICATIVE:
        surplus = k.market.auctions[r.order].surplus
        e.leaves_quantity = -surplus if surplus < 0 else surplus
        e.side = r.side


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
    e = event_write(
        k, EVENT_FILLED, r.side, 0, 0, order.order_id, price, quantity, order.leaves, resting.order_id, k.match_id,
        resting.leaves, instrument.id, k.accounts[order.account].id, k.accounts[resting.account].id, order.strategy_id
    )
    instrument_traded(k, instrument, price)
    if r.flags & REPORT_AUCTION:
        uncrossed(k, r, e, order, resting)
        return
    e.fee = move(k, order, price, quantity, True)
    e.venue_reference = <uint64_t>move(k, resting, price, quantity, False)
    if r.flags & REPORT_COUNTER_DONE:
        finish(k, r.counter, resting)
    if r.flags & REPORT_ORDER_DONE:
        finish(k, r.order, order)


cdef inline uint32_t told_flags(const order_t* order) noexcept nogil:
    return order.flags | <uint32_t>order.order_type << 16 | <uint32_t>order.time_in_force << 24


cdef inline bint explicit(const kernel_t* k, const order_t* order) noexcept nogil:
    return k.instruments[order.instrument].flags & INSTRUMENT_EXPLICIT != 0


cdef void restated(kernel_t* k, const report_t* r, const order_t* order) noexcept nogil:
    """REPLACED for what the market made of an order by the rules of its type."""
    cdef event_t* e = event_begin(k, EVENT_REPLACED)
    e.order_id = order.order_id
    e.price_ticks = r.price
    e.quantity = order.filled + order.leaves
    e.leaves_quantity = order.leaves
    e.side = order.side
    e.reason = REASON_RESTATED
    e.instrument_id = k.instruments[order.instrument].id
    e.account_id = k.accounts[order.account].id
    e.strategy_id = order.strategy_id


cdef inline void untold(kernel_t* k, const report_t* r, order_t* order) noexcept nogil:
    """What no event tells, but where the instrument is explicit."""
    if r.kind == REPORT_TAKEN:
        order.leaves -= r.quantity
        if r.flags & REPORT_ORDER_DONE:
            finish(k, r.order, order)
        return
    work(k, order, -order.leaves)
    order.leaves = r.quantity
    if r.flags & REPORT_LIMIT:
        order.price = r.price
        order.order_type = TYPE_LIMIT
    work(k, order, order.leaves)
    # Of a child that enters at a price of its own TRIGGERED tells right after this.
    if explicit(k, order) and not (r.flags & REPORT_LIMIT and order.life & ORDER_UNENTERED):
        restated(k, r, order)


cdef inline void triggered(kernel_t* k, const report_t* r, order_t* order) noexcept nogil:
    """The order is another one from now on."""
    if r.flags & REPORT_RELEASED:
        order.life &= ~<uint32_t>ORDER_UNENTERED
        order.leaves = r.quantity
        work(k, order, r.quantity)
    elif order.order_type == TYPE_STOP or order.order_type == TYPE_TRAILING_STOP or (
        order.order_type == TYPE_MARKET_IF_TOUCHED
    ):
        order.order_type = TYPE_MARKET
        order.time_in_force = TIF_IOC
    else:
        order.order_type = TYPE_LIMIT


cdef inline void told(kernel_t* k, const report_t* r) noexcept nogil:
    """Every report of one order."""
    cdef order_t* order = order_at(k, r.order)
    cdef event_t* e
    if r.kind == REPORT_TAKEN or r.kind == REPORT_CHANGED:
        untold(k, r, order)
        return
    if r.kind == EVENT_INDICATIVE or r.kind == EVENT_PHASE:
        instrument_told(k, r)
        return
    e = event_begin(k, r.kind)
    e.order_id = order.order_id
    e.price_ticks = r.price
    e.side = order.side
    e.reason = r.reason
    e.instrument_id = k.instruments[order.instrument].id
    e.account_id = k.accounts[order.account].id
    e.strategy_id = order.strategy_id
    if r.kind == EVENT_ACCEPTED:
        e.quantity = order.leaves
        e.leaves_quantity = order.leaves
        e.flags = told_flags(order)
        e.counter_leaves_quantity = k.command.display_quantity
        e.fee = k.command.trigger_ticks
        e.counter_order_id = k.command.parent_order_id
    elif r.kind == EVENT_REPLACED:
        work(k, order, r.quantity - order.leaves)
        order.leaves = r.quantity
        e.quantity = order.filled + order.leaves
        e.leaves_quantity = order.leaves
        if r.reason == 0 and explicit(k, order):
            e.fee = k.command.trigger_ticks
    elif r.kind == EVENT_REPLENISHED:
        e.quantity = r.quantity
        e.leaves_quantity = order.leaves
    elif r.kind == EVENT_TRIGGERED:
        e.quantity = r.quantity
        e.leaves_quantity = r.quantity
        e.flags = told_flags(order)
        triggered(k, r, order)
    else:
        e.quantity = r.quantity
        work(k, order, -r.quantity)
        order.leaves -= r.quantity
        e.leaves_quantity = order.leaves
        if r.flags & REPORT_ORDER_DONE:
            finish(k, r.order, order)


cdef inline void look_ahead(const kernel_t* k) noexcept nogil:
    """Fetches what closing the filled orders of many reports will touch, all of it at once."""
    cdef const market_t* m = &k.market
    cdef const order_t* order
    cdef uint64_t i
    look_kept()
    for i in range(m.written):
        if m.reports[i].flags & REPORT_COUNTER_DONE:
            prefetch_line(order_at(k, m.reports[i].counter))
    for i in range(m.written):
        if m.reports[i].flags & REPORT_COUNTER_DONE:
            order = order_at(k, m.reports[i].counter)
            order_map_prefetch(&k.order_map, order_hash(order.account, order.order_id))
            id_prefetch(&k.accounts[order.account].closed_ids, order.order_id)


cdef inline void take_from(kernel_t* k, uint64_t i) noexcept nogil:
    cdef market_t* m = &k.market
    cdef const report_t* r
    if m.written - i > 1:
        look_ahead(k)
    while i < m.written:
        r = &m.reports[i]
        if r.kind == EVENT_FILLED:
            filled(k, r)
        else:
            told(k, r)
        i += 1
    market_rewind(m)


cdef void take_reports(kernel_t* k) noexcept nogil:
    take_from(k, 0)


cdef void take_reports_after(kernel_t* k, uint64_t first) noexcept nogil:
    take_from(k, first)


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


cdef inline int64_t number_of(const kernel_t* k, uint32_t slot, bint standing) noexcept nogil:
    return k.market.extras[k.market.orders[slot].extra].stood if standing else order_at(k, slot).arming


cdef void sift(const kernel_t* k, uint32_t* slots, int64_t at, int64_t count, bint standing) noexcept nogil:
    cdef uint32_t moved = slots[at]
    cdef int64_t child = 2 * at + 1, number = number_of(k, moved, standing)
    while child < count:
        if child + 1 < count and number_of(k, slots[child + 1], standing) > number_of(k, slots[child], standing):
            child += 1
        if number_of(k, slots[child], standing) <= number:
            break
        slots[at] = slots[child]
        at = child
        child = 2 * at + 1
    slots[at] = moved


cdef void heapsort(const kernel_t* k, uint32_t* slots, int64_t count, bint standing) noexcept nogil:
    cdef int64_t n = count // 2
    cdef uint32_t last
    while n > 0:
        n -= 1
        sift(k, slots, n, count, standing)
    n = count - 1
    while n > 0:
        last = slots[n]
        slots[n] = slots[0]
        slots[0] = last
        sift(k, slots, 0, n, standing)
        n -= 1


cdef void oldest_first(const kernel_t* k, uint32_t* slots, int64_t count) noexcept nogil:
    heapsort(k, slots, count, False)


cdef void by_standing(const kernel_t* k, uint32_t* slots, int64_t count) noexcept nogil:
    heapsort(k, slots, count, True)


cdef int64_t walk_gather(kernel_t* k, uint32_t instrument, int64_t count) noexcept nogil:
    """Adds the open orders of an instrument in walk order; the number in `walk` then."""
    cdef market_t* m = &k.market
    cdef int side
    cdef uint32_t slot
    cdef int64_t aside
    for side in range(SIDE_BUY, SIDE_SELL + 1):
        slot = market_first(m, instrument, side)
        while slot:
            k.walk[count] = slot
            count += 1
            slot = market_after(m, instrument, slot)
    aside = count
    slot = m.books[instrument].aside
    while slot:
        k.walk[count] = slot
        count += 1
        slot = m.extras[m.orders[slot].extra].aside_next
    oldest_first(k, &k.walk[aside], count - aside)
    slot = k.instruments[instrument].routed_first
    while slot:
        k.walk[count] = slot
        count += 1
        slot = k.routed[slot].next
    return count


cdef int64_t walk_remove(
    kernel_t* k, uint32_t account, uint32_t instrument, int side, int strategy, bint day_only, bint spare_exempt,
    int kind, int reason
) noexcept nogil:
    cdef uint32_t i, slot
    cdef int64_t count = 0, chosen = 0, removed = 0, n
    cdef const order_t* order
    for i in range(k.instrument_count):
        if not instrument or k.instrument_order[i] == instrument:
            count = walk_gather(k, k.instrument_order[i], count)
    # Chosen first: taking one out may take others with it, which then do not count.
    for n in range(count):
        slot = k.walk[n]
        order = order_at(k, slot)
        if (not side or order.side == side) and fits(k, order, account, strategy, day_only, spare_exempt):
            k.walk[chosen] = slot
            chosen += 1
    for n in range(chosen):
        if order_at(k, k.walk[n]).life & ORDER_ROUTED:
            removed += routed_ask_cancel(k, k.walk[n])
        elif order_at(k, k.walk[n]).life:
            order_remove(k, k.walk[n], kind, reason)
            removed += 1
    return removed
