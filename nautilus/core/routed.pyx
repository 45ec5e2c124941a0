"""Orders at external venues."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from nautilus.core.accounts cimport account_entered, account_fill, instrument_traded
from nautilus.core.combine cimport priced, trails, waits
from nautilus.core.control cimport echo, refuse, reject
from nautilus.core.limits cimport pair_add
from nautilus.core.market cimport market_give, market_take
from nautilus.core.order_ids cimport id_add, id_forget, id_known, order_hash, order_map_delete
from nautilus.core.positions cimport position_t
from nautilus.core.pretrade cimport pretrade_check
from nautilus.core.reports cimport oldest_first, order_closed
from nautilus.core.state cimport (
    MAX_EXECUTIONS,
    ORDER_OPEN,
    ORDER_ROUTED,
    account_of,
    instrument_of,
    instrument_t,
    order_name,
    order_of,
    position_of,
    venue_t,
)
from nautilus.core.types cimport (
    FLAG_REDUCE_ONLY,
    ACCOUNT_EXEMPT,
    COMMAND_NEW,
    COMMAND_REPLACE,
    COMMAND_VENUE_ACCEPTED,
    COMMAND_VENUE_CANCELLED,
    COMMAND_VENUE_FILL,
    COMMAND_VENUE_REJECTED,
    COMMAND_VENUE_REPLACED,
    COMMAND_VENUE_UNKNOWN,
    EVENT_ACCEPTED,
    EVENT_APPLIED,
    EVENT_CANCELLED,
    EVENT_DUPLICATE,
    EVENT_EXPIRED,
    EVENT_FILLED,
    EVENT_FLAG_LATE,
    EVENT_REJECTED,
    EVENT_REPLACED,
    EVENT_UNKNOWN,
    INSTRUMENT_NEGATIVE,
    MAX_PRICE_BITS,
    MAX_QUANTITY_BITS,
    REASON_BUSY,
    REASON_CLOSED_ORDER,
    REASON_MALFORMED,
    REASON_OVERFLOW,
    REASON_POOL_FULL,
    REASON_RECONCILE,
    REASON_REQUESTED,
    REASON_UNKNOWN_ACCOUNT,
    REASON_UNKNOWN_INSTRUMENT,
    REASON_UNKNOWN_ORDER,
    REASON_UNSUPPORTED,
    REASON_VENUE,
    SIDE_BUY,
    SIDE_SELL,
    STATE_OPEN,
    STATE_PENDING_NEW,
    STATE_PENDING_REPLACE,
    TYPE_PEGGED,
)

cdef int64_t MAX_PRICE = <int64_t>1 << MAX_PRICE_BITS
cdef int64_t MAX_QUANTITY = <int64_t>1 << MAX_QUANTITY_BITS
# A fill is booked whatever the limits say; what could wrap is refused. Commands keep within 2^50 lots.
cdef int64_t MOST_HELD = <int64_t>1 << 60


cdef void routed_join(kernel_t* k, uint32_t slot) noexcept nogil:
    cdef instrument_t* instrument = &k.instruments[order_at(k, slot).instrument]
    k.routed[slot].next = 0
    k.routed[slot].prev = instrument.routed_last
    if instrument.routed_last:
        k.routed[instrument.routed_last].next = slot
    else:
        instrument.routed_first = slot
    instrument.routed_last = slot


cdef void leave(kernel_t* k, uint32_t slot, instrument_t* instrument) noexcept nogil:
    cdef const routed_t* r = &k.routed[slot]
    if r.prev:
        k.routed[r.prev].next = r.next
    else:
        instrument.routed_first = r.next
    if r.next:
        k.routed[r.next].prev = r.prev
    else:
        instrument.routed_last = r.prev


cdef void execution_add(kernel_t* k, uint32_t venue, int64_t id) noexcept nogil:
    cdef venue_t* at = &k.venues[venue]
    if at.count == MAX_EXECUTIONS:
        id_forget(&at.known, at.ids[at.head])
        at.head = (at.head + 1) & (MAX_EXECUTIONS - 1)
        at.count -= 1
    at.ids[(at.head + at.count) & (MAX_EXECUTIONS - 1)] = <uint64_t>id
    at.count += 1
    id_add(&at.known, <uint64_t>id)


cdef void routed_new(
    kernel_t* k, const command_t* c, const intent_t* checked, uint32_t instrument, uint32_t account, uint32_t position
) noexcept nogil:
    cdef uint32_t slot
    cdef order_t* order
    cdef routed_t* r
    if k.market.order_pool.used >= k.capacity:
        reject(k, c, REASON_POOL_FULL)
        return
    slot = market_take(&k.market)
    order = order_at(k, slot)
    r = &k.routed[slot]
    k.arming += 1
    memset(order, 0, sizeof(order_t))
    order.order_id = c.order_id
    order.leaves = c.quantity
    order.price = checked.valuation
    order.arming = k.arming
    order.instrument = instrument
    order.account = account
    order.position = 0 if k.accounts[account].flags & ACCOUNT_EXEMPT else position
    order.strategy_id = c.strategy_id
    order.flags = c.flags
    order.side = c.side
    order.order_type = c.order_type
    order.time_in_force = c.time_in_force
    order.life = ORDER_OPEN | ORDER_ROUTED
    memset(r, 0, sizeof(routed_t))
    r.price = c.price_ticks
    r.trigger = c.trigger_ticks
    r.has_trigger = checked.has_trigger
    r.display = c.display_quantity
    r.offset = c.offset
    r.state = STATE_PENDING_NEW
    routed_join(k, slot)
    k.accounts[account].open_orders += 1
    order_name(k, account, c.order_id, order_hash(account, c.order_id), slot)
    account_entered(k, order.position, c)
    routed_work(k, slot, 1)
    routed_ask(k, slot, COMMAND_NEW).venue_reference = <uint64_t>c.expire_ns


cdef void closed(kernel_t* k, uint32_t slot) noexcept nogil:
    """Forgotten but for its id. What it had open is off its pair already."""
    cdef order_t* order = order_at(k, slot)
    leave(k, slot, &k.instruments[order.instrument])
    k.accounts[order.account].open_orders -= 1
    order_map_delete(&k.order_map, order_hash(order.account, order.order_id), slot)
    order_closed(k, order.account, order.order_id)
    order.life = 0
    routed_become(k, slot, 0)
    market_give(&k.market, slot)


cdef void out_of_market(kernel_t* k, uint32_t slot, int kind, int reason) noexcept nogil:
    """The venue has it no more: CANCELLED or EXPIRED with what was open."""
    cdef event_t* e = routed_event(k, slot, kind)
    e.reason = reason
    e.quantity = order_at(k, slot).leaves
    e.leaves_quantity = 0
    routed_work(k, slot, -1)
    closed(k, slot)


cdef void now_open(kernel_t* k, uint32_t slot) noexcept nogil:
    """The venue has it as we think: nothing is pending."""
    cdef routed_t* r = &k.routed[slot]
    routed_work(k, slot, -1)
    routed_become(k, slot, STATE_OPEN)
    r.pending_price = r.pending_quantity = 0
    routed_work(k, slot, 1)


cdef void routed_cancel(kernel_t* k, const command_t* c, uint32_t slot) noexcept nogil:
    if not routed_ask_cancel(k, slot):
        reject(k, c, REASON_BUSY)


cdef void routed_replace(kernel_t* k, const command_t* c, const command_t* named, uint32_t slot) noexcept nogil:
    cdef order_t* order = order_at(k, slot)
    cdef routed_t* r = &k.routed[slot]
    cdef intent_t checked
    cdef uint32_t bits
    cdef event_t* e
    if r.state != STATE_OPEN:
        reject(k, named, REASON_RECONCILE if r.state == STATE_UNKNOWN else REASON_BUSY)
        return
    memset(&checked, 0, sizeof(intent_t))
    checked.side = order.side
    checked.kind = order.order_type
    checked.replaced = 1
    checked.reducing = (order.flags & FLAG_REDUCE_ONLY) != 0
    checked.strategy = order.strategy_id
    checked.filled = order.filled
    checked.leaves = order.leaves
    checked.value = order.price
    checked.trigger = c.trigger_ticks if c.trigger_ticks else r.trigger
    checked.has_trigger = r.has_trigger
    bits = pretrade_check(
        k, c, &checked, order.instrument, order.account,
        order.position if order.position else position_of(k, order.account, order.instrument)
    )
    if c.trigger_ticks:
        bits |= 1 << REASON_UNSUPPORTED     # no report of a venue could say that it has a new one
    if bits:
        refuse(k, named, bits)
        return
    routed_work(k, slot, -1)
    routed_become(k, slot, STATE_PENDING_REPLACE)
    r.pending_price = c.price_ticks
    r.pending_quantity = c.quantity
    routed_work(k, slot, 1)
    e = routed_ask(k, slot, COMMAND_REPLACE)
    e.price_ticks = c.price_ticks
    e.quantity = c.quantity
    e.leaves_quantity = c.quantity - order.filled
    if c.trigger_ticks:
        e.fee = c.trigger_ticks


cdef void unknown(kernel_t* k, uint32_t slot) noexcept nogil:
    """What became of it is not known."""
    cdef routed_t* r = &k.routed[slot]
    cdef event_t* e = routed_event(k, slot, EVENT_UNKNOWN)
    if r.state == STATE_PENDING_NEW:
        e.match_id = COMMAND_NEW
    elif r.state == STATE_PENDING_CANCEL:
        e.match_id = COMMAND_CANCEL
    elif r.state == STATE_PENDING_REPLACE:
        e.match_id = COMMAND_REPLACE
    routed_become(k, slot, STATE_UNKNOWN)


cdef void refused(kernel_t* k, uint32_t slot, int request) noexcept nogil:
    """The venue refused a request: REJECTED VENUE."""
    cdef event_t* e = routed_event(k, slot, EVENT_REJECTED)
    e.quantity = order_at(k, slot).leaves
    e.leaves_quantity = 0
    e.reason = REASON_VENUE
    e.match_id = request


cdef void accepted(kernel_t* k, const command_t* c, uint32_t slot) noexcept nogil:
    cdef routed_t* r = &k.routed[slot]
    cdef const order_t* order = order_at(k, slot)
    cdef event_t* e
    if c.venue_reference == 0:
        reject(k, c, REASON_MALFORMED)
        return
    if r.reference:
        echo(k, c, EVENT_DUPLICATE)
    else:
        r.reference = c.venue_reference
        e = routed_event(k, slot, EVENT_ACCEPTED)
        e.flags = order.flags | <uint32_t>order.order_type << 16 | <uint32_t>order.time_in_force << 24
        e.counter_leaves_quantity = r.display
        e.fee = r.trigger
    if r.state == STATE_PENDING_NEW or r.state == STATE_UNKNOWN:
        now_open(k, slot)


cdef void rejected(kernel_t* k, const command_t* c, uint32_t slot) noexcept nogil:
    cdef routed_t* r = &k.routed[slot]
    cdef int request = c.group_id
    if request < COMMAND_NEW or request > COMMAND_REPLACE:
        reject(k, c, REASON_MALFORMED)
    elif request == COMMAND_NEW and r.reference == 0 and order_at(k, slot).filled == 0:
        refused(k, slot, request)
        routed_work(k, slot, -1)
        closed(k, slot)
    elif request == COMMAND_NEW and r.state != STATE_UNKNOWN:
        unknown(k, slot)
    elif (request == COMMAND_CANCEL and r.state == STATE_PENDING_CANCEL) or (
        request == COMMAND_REPLACE and r.state == STATE_PENDING_REPLACE
    ):
        refused(k, slot, request)
        now_open(k, slot)
    else:
        echo(k, c, EVENT_DUPLICATE)


cdef inline bint is_price(const instrument_t* instrument, int64_t price) noexcept nogil:
    return -MAX_PRICE <= price <= MAX_PRICE and (price > 0 or instrument.flags & INSTRUMENT_NEGATIVE)


cdef void replaced(kernel_t* k, const command_t* c, uint32_t slot) noexcept nogil:
    cdef order_t* order = order_at(k, slot)
    cdef routed_t* r = &k.routed[slot]
    if c.quantity < 1 or c.quantity > MAX_QUANTITY or not (
        is_price(&k.instruments[order.instrument], c.price_ticks) or (c.price_ticks == 0 and not priced(order.order_type))
    ):
        reject(k, c, REASON_MALFORMED)
        return
    if c.quantity <= order.filled:
        out_of_market(k, slot, EVENT_CANCELLED, REASON_VENUE)
        return
    routed_work(k, slot, -1)
    r.price = c.price_ticks
    r.pending_price = r.pending_quantity = 0
    if priced(order.order_type) or (order.order_type == TYPE_PEGGED and c.price_ticks):
        order.price = c.price_ticks
    order.leaves = c.quantity - order.filled
    if r.state == STATE_PENDING_REPLACE or r.state == STATE_PENDING_NEW or r.state == STATE_UNKNOWN:
        routed_become(k, slot, STATE_OPEN)
    routed_work(k, slot, 1)
    routed_event(k, slot, EVENT_REPLACED)


cdef void filled(kernel_t* k, const command_t* c, uint32_t slot, uint32_t instrument_index, uint32_t account) noexcept nogil:
    """A fill is booked, whatever is known of its order."""
    cdef instrument_t* instrument = &k.instruments[instrument_index]
    cdef order_t* order = order_at(k, slot)
    cdef routed_t* r = &k.routed[slot]
    cdef uint32_t position = 0
    cdef int side = order.side if slot else c.side
    cdef bint first = slot and order.filled == 0
    cdef const position_t* p
    cdef event_t* e
    if c.venue_reference == 0 or c.quantity < 1 or c.quantity > MAX_QUANTITY or not is_price(instrument, c.price_ticks):
        reject(k, c, REASON_MALFORMED)
        return
    if side != SIDE_BUY and side != SIDE_SELL:
        reject(k, c, REASON_MALFORMED)
        return
    if id_known(&k.venues[instrument.venue].known, c.venue_reference):
        echo(k, c, EVENT_DUPLICATE)
        return
    if not k.accounts[account].flags & ACCOUNT_EXEMPT:
        position = pair_add(k, account, instrument_index)
        p = &k.positions[position]
        if position == 0 or size_of(p.quantity) > MOST_HELD or p.wide:
            reject(k, c, REASON_OVERFLOW if position else REASON_POOL_FULL)
            return
    execution_add(k, instrument.venue, <int64_t>c.venue_reference)
    k.match_id += 1
    if slot:
        routed_work(k, slot, -1)
        e = routed_event(k, slot, EVENT_FILLED)
        if c.quantity > order.leaves:
            e.flags = EVENT_FLAG_LATE
            order.leaves = 0
        else:
            order.leaves -= c.quantity
        order.filled += c.quantity
        if r.state == STATE_PENDING_NEW:
            routed_become(k, slot, STATE_OPEN)
            r.pending_price = r.pending_quantity = 0
        e.price_ticks = c.price_ticks
        e.leaves_quantity = order.leaves
        if order.leaves:
            routed_work(k, slot, 1)
    else:
        e = echo(k, c, EVENT_FILLED)
        e.flags = EVENT_FLAG_LATE
    e.quantity = c.quantity
    e.match_id = k.match_id
    e.venue_reference = c.venue_reference
    instrument_traded(k, instrument, c.price_ticks)
    e.fee = account_fill(k, position, side, c.price_ticks, c.quantity, True, first)
    if slot and order.leaves == 0:
        closed(k, slot)


cdef int64_t gather(kernel_t* k, uint32_t venue, uint32_t account) noexcept nogil:
    """Routed orders of a venue (and account, an index, 0: every) into k.walk, oldest first; their number."""
    cdef int64_t count = 0
    cdef uint32_t i, slot
    for i in range(1, k.instrument_count + 1):
        if k.instruments[i].venue == venue:
            slot = k.instruments[i].routed_first
            while slot:
                if account == 0 or order_at(k, slot).account == account:
                    k.walk[count] = slot
                    count += 1
                slot = k.routed[slot].next
    oldest_first(k, k.walk, count)
    return count


cdef void session_lost(kernel_t* k, const command_t* c, uint32_t venue, uint32_t account) noexcept nogil:
    cdef int64_t n, number = 0, count = gather(k, venue, account)
    cdef uint32_t i
    for i in range(1, k.account_count + 1):
        if account == 0 or i == account:
            k.reconciled[i * 4 + (venue >> 6)] &= ~(<uint64_t>1 << (venue & 63))
            k.accounts[i].risk.version += 1
    for n in range(count):
        if k.routed[k.walk[n]].state != STATE_UNKNOWN:
            unknown(k, k.walk[n])
            number += 1
    echo(k, c, EVENT_APPLIED).quantity = number


cdef void session_reconciled(kernel_t* k, const command_t* c, uint32_t venue, uint32_t account) noexcept nogil:
    cdef int64_t n
    for n in range(gather(k, venue, account)):
        if k.routed[k.walk[n]].state == STATE_UNKNOWN:
            reject(k, c, REASON_RECONCILE)
            return
    k.reconciled[account * 4 + (venue >> 6)] |= <uint64_t>1 << (venue & 63)
    k.accounts[account].risk.version += 1
    echo(k, c, EVENT_APPLIED)


cdef void routed_report(kernel_t* k, const command_t* c) noexcept nogil:
    cdef uint32_t instrument = instrument_of(k, c.instrument_id)
    cdef uint32_t account = account_of(k, c.account_id), slot
    cdef uint32_t venue = k.instruments[instrument].venue
    cdef bint session = c.order_id == 0 and (c.kind == COMMAND_VENUE_ACCEPTED or c.kind == COMMAND_VENUE_UNKNOWN)
    if instrument == 0:
        reject(k, c, REASON_UNKNOWN_INSTRUMENT)
        return
    if venue == 0:
        reject(k, c, REASON_UNSUPPORTED)
        return
    if account == 0 and not (session and c.kind == COMMAND_VENUE_UNKNOWN and c.account_id == 0):
        reject(k, c, REASON_UNKNOWN_ACCOUNT)
        return
    if session:
        if c.kind == COMMAND_VENUE_UNKNOWN:
            session_lost(k, c, venue, account)
        else:
            session_reconciled(k, c, venue, account)
        return
    slot = order_of(k, account, c.order_id)
    if slot and order_at(k, slot).instrument != instrument:
        slot = 0
    if c.kind == COMMAND_VENUE_FILL:
        filled(k, c, slot, instrument, account)
    elif slot == 0:
        reject(
            k, c,
            REASON_CLOSED_ORDER if id_known(&k.accounts[account].closed_ids, c.order_id) else REASON_UNKNOWN_ORDER
        )
    elif c.kind == COMMAND_VENUE_ACCEPTED:
        accepted(k, c, slot)
    elif c.kind == COMMAND_VENUE_REJECTED:
        rejected(k, c, slot)
    elif c.kind == COMMAND_VENUE_CANCELLED:
        out_of_market(
            k, slot, EVENT_EXPIRED if c.group_id == 1 else EVENT_CANCELLED,
            REASON_REQUESTED if k.routed[slot].state == STATE_PENDING_CANCEL else REASON_VENUE
        )
    elif c.kind == COMMAND_VENUE_REPLACED:
        replaced(k, c, slot)
    elif k.routed[slot].state == STATE_UNKNOWN:
        echo(k, c, EVENT_DUPLICATE)
    else:
        unknown(k, slot)
