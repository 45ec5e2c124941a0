"""Canonical state of external venues."""

from libc.stdint cimport INT32_MAX, INT32_MIN, UINT16_MAX, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from nautilus.core.order_ids cimport id_known, order_hash
from nautilus.core.routed cimport execution_add, routed_become, routed_join, routed_work
from nautilus.core.state cimport (
    MAX_ACCOUNTS,
    MAX_EXECUTIONS,
    MAX_VENUES,
    ORDER_OPEN,
    ORDER_ROUTED,
    account_of,
    is_reconciled,
    order_at,
    order_name,
    order_t,
    routed_t,
)
from nautilus.core.types cimport (
    ACCOUNT_EXEMPT,
    FLAG_GROUP_OCO,
    FLAG_GROUP_OUO,
    FLAG_TAPE,
    FLAG_TAPE_BOOKED,
    MAX_PRICE_BITS,
    MAX_QUANTITY_BITS,
    STANDING_ROUTED,
    STATE_PENDING_NEW,
    STATE_UNKNOWN,
    TIF_AT_CLOSE,
    TIF_GTC,
    TYPE_LIMIT,
    TYPE_PEGGED,
)
from nautilus.core.words cimport put, take, within

cdef int64_t MAX_TICKS = <int64_t>1 << MAX_PRICE_BITS
cdef int64_t MAX_QUANTITY = <int64_t>1 << MAX_QUANTITY_BITS


cdef void put_routed(words_t* w, kernel_t* k, uint32_t slot) noexcept:
    cdef const order_t* o = order_at(k, slot)
    cdef const routed_t* at = &k.routed[slot]
    cdef int n
    put(w, <int64_t>o.order_id)
    put(w, k.accounts[o.account].id)
    put(w, k.instruments[o.instrument].id)
    put(w, o.side)
    put(w, STANDING_ROUTED)
    put(w, o.order_type)
    put(w, o.time_in_force)
    put(w, o.flags)
    put(w, o.strategy_id)
    put(w, at.price)
    put(w, o.leaves)
    put(w, o.filled)
    put(w, o.arming)
    put(w, 0)                   # no timer
    put(w, 0)
    put(w, at.display)
    put(w, 0)                   # shown
    put(w, at.has_trigger)
    put(w, at.trigger)
    put(w, 0)                   # standing number
    put(w, at.offset)
    for n in range(4):          # distance, group, parent, released
        put(w, 0)
    put(w, o.price)
    put(w, at.state)
    put(w, <int64_t>at.reference)
    put(w, at.pending_price)
    put(w, at.pending_quantity)


cdef void put_venues(words_t* w, kernel_t* k) noexcept:
    cdef size_t counted = w.count
    cdef int64_t number = 0
    cdef uint32_t venue, i, n
    if not k.external:
        return
    put(w, 0)
    for venue in range(1, MAX_VENUES):
        for i in range(k.account_count):
            if is_reconciled(k, k.account_order[i], venue):
                put(w, venue)
                put(w, k.accounts[k.account_order[i]].id)
                number += 1
    if not w.failed:
        w.data[counted] = number
    counted = w.count
    number = 0
    put(w, 0)
    for venue in range(1, MAX_VENUES):
        if k.venues[venue].count:
            number += 1
            put(w, venue)
            put(w, k.venues[venue].count)
            for n in range(k.venues[venue].count):
                put(w, <int64_t>k.venues[venue].ids[(k.venues[venue].head + n) & (MAX_EXECUTIONS - 1)])
    if not w.failed:
        w.data[counted] = number


cdef int take_routed(reader_t* r, kernel_t* k, uint32_t slot) except -1:
    cdef order_t* o = order_at(k, slot)
    cdef routed_t* at = &k.routed[slot]
    cdef int64_t waiting
    memset(at, 0, sizeof(routed_t))
    within(r, STANDING_ROUTED, STANDING_ROUTED, "standing")
    o.order_type = <uint8_t>within(r, TYPE_LIMIT, TYPE_PEGGED, "order type")
    o.time_in_force = <uint8_t>within(r, TIF_GTC, TIF_AT_CLOSE, "time in force")
    o.flags = <uint16_t>within(r, 0, 2 * FLAG_GROUP_OUO - 1, "flags")
    o.strategy_id = <uint16_t>within(r, 0, UINT16_MAX, "strategy")
    at.price = within(r, -MAX_TICKS, MAX_TICKS, "price")
    o.leaves = within(r, 1, MAX_QUANTITY, "leaves")
    o.filled = within(r, 0, MAX_QUANTITY, "filled")
    o.arming = within(r, 1, k.arming, "arming number")
    within(r, 0, 0, "due time")
    within(r, 0, 0, "arming number of the timer")
    at.display = within(r, 0, MAX_QUANTITY, "display")
    within(r, 0, 0, "shown")
    at.has_trigger = <uint8_t>within(r, 0, 1, "has trigger")
    at.trigger = within(r, -MAX_TICKS if at.has_trigger else 0, MAX_TICKS if at.has_trigger else 0, "trigger")
    within(r, 0, 0, "standing number")
    at.offset = <int32_t>within(r, INT32_MIN, INT32_MAX, "offset")
    within(r, 0, 0, "limit distance")
    within(r, 0, 0, "group")
    within(r, 0, 0, "parent")
    within(r, 0, 0, "released")
    o.price = within(r, -2 * MAX_TICKS, 2 * MAX_TICKS, "valuation price")
    routed_become(k, slot, <int>within(r, STATE_PENDING_NEW, STATE_UNKNOWN, "order state"))
    at.reference = <uint64_t>take(r)
    at.pending_price = within(r, -MAX_TICKS, MAX_TICKS, "pending price")
    waiting = within(r, 0, MAX_QUANTITY, "pending quantity")
    if (at.pending_price and not waiting) or o.flags & (FLAG_GROUP_OCO | FLAG_GROUP_OUO | FLAG_TAPE | FLAG_TAPE_BOOKED):
        raise ValueError(f"snapshot: order {o.order_id}: its flags and fields do not go with an external venue")
    at.pending_quantity = waiting
    if o.position == 0 and not k.accounts[o.account].flags & ACCOUNT_EXEMPT:
        raise ValueError(f"snapshot: order {o.order_id}: no room for its position")
    o.life = ORDER_OPEN | ORDER_ROUTED
    k.accounts[o.account].open_orders += 1
    order_name(k, o.account, o.order_id, order_hash(o.account, o.order_id), slot)
    routed_join(k, slot)
    routed_work(k, slot, 1)
    return 0


cdef int take_venues(reader_t* r, kernel_t* k) except -1:
    cdef int64_t n, i, venue, id, above = 1
    cdef uint32_t account
    if not k.external:
        return 0
    for n in range(within(r, 0, <int64_t>MAX_ACCOUNTS * MAX_VENUES, "reconciled accounts")):
        venue = within(r, 1, MAX_VENUES - 1, "venue")
        account = account_of(k, <uint32_t>within(r, 1, 0xFFFFFFFF, "account"))
        if account == 0 or is_reconciled(k, account, <uint32_t>venue):
            raise ValueError(f"snapshot: word {r.at - 1}: a reconciled account is not known, or comes twice")
        k.reconciled[account * 4 + (venue >> 6)] |= <uint64_t>1 << (venue & 63)
    for n in range(within(r, 0, MAX_VENUES - 1, "venues with execution ids")):
        venue = within(r, above, MAX_VENUES - 1, "venue")
        above = venue + 1
        if k.venues[venue].ids == NULL:
            raise ValueError(f"snapshot: word {r.at - 1}: expected a venue with an instrument, found {venue}")
        for i in range(within(r, 1, MAX_EXECUTIONS, "execution ids")):
            id = take(r)
            if id == 0 or id_known(&k.venues[venue].known, <uint64_t>id):
                raise ValueError(f"snapshot: word {r.at - 1}: execution id {id} is zero or comes twice")
            execution_add(k, <uint32_t>venue, id)
    return 0
