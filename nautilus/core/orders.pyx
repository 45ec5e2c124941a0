"""Orders: entering, replacing, cancelling, and the step that carries one command out. Rules: docs/kernel.md."""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from nautilus.core.accounts cimport account_entered, account_open
from nautilus.core.book cimport ladder_find, ladder_room
from nautilus.core.control cimport control, echo, reject
from nautilus.core.events cimport events_hash
from nautilus.core.hashing cimport xxh64_stripes, xxh64_value
from nautilus.core.hashmap cimport prefetch_line
from nautilus.core.journal cimport JOURNAL_CHECKPOINT, journal_put, journal_put_hash, journal_t
from nautilus.core.limits cimport pair_add
from nautilus.core.matching cimport (
    INCOMING_BOUNDED,
    INCOMING_MARKET,
    cancelled_event,
    fills_at_once,
    match_incoming,
    match_tape,
    order_closed,
    order_release,
    order_remove,
    order_rest,
    order_unlink,
    rank_of,
    would_cross,
)
from nautilus.core.order_ids cimport id_known, id_prefetch, order_hash, order_map_prefetch, order_map_put
from nautilus.core.pool cimport pool_take
from nautilus.core.pretrade cimport pretrade_check
from nautilus.core.risk cimport intent_t
from nautilus.core.risk_cache cimport risk_cache_check
from nautilus.core.state cimport (
    account_of,
    instrument_of,
    kernel_t,
    ladder_of,
    order_at,
    order_of,
    order_t,
    position_of,
)
from nautilus.core.timers cimport timer_arm
from nautilus.core.types cimport (
    ACCOUNT_EXEMPT,
    COMMAND_CANCEL,
    COMMAND_NEW,
    COMMAND_REPLACE,
    COMMAND_TIME,
    COMMAND_VENUE_UNKNOWN,
    EVENT_ACCEPTED,
    EVENT_CANCELLED,
    EVENT_DUPLICATE,
    EVENT_EXPIRED,
    EVENT_REJECTED,
    EVENT_REPLACED,
    FLAG_POST_ONLY,
    FLAG_TAPE,
    FLAG_TAPE_BOOKED,
    REASON_CLOSED_ORDER,
    REASON_DUPLICATE_ORDER,
    REASON_EXPIRED,
    REASON_LATE,
    REASON_MALFORMED,
    REASON_ORDER_ID,
    REASON_POOL_FULL,
    REASON_REQUESTED,
    REASON_UNFILLED,
    REASON_UNKNOWN_ACCOUNT,
    REASON_UNKNOWN_INSTRUMENT,
    REASON_UNKNOWN_ORDER,
    REASON_WOULD_CROSS,
    SIDE_BUY,
    SIDE_SELL,
    TIF_AT_CLOSE,
    TIF_FOK,
    TIF_GTC,
    TIF_GTD,
    TYPE_LIMIT,
    TYPE_MARKET,
    TYPE_PEGGED,
    command_t,
    event_t,
)


cdef inline uint32_t check(
    kernel_t* k, const command_t* c, intent_t* intent, uint32_t instrument, uint32_t account, uint32_t position
) noexcept nogil:
    if k.cache != NULL:
        return risk_cache_check(k, c, intent, instrument, account, position)
    return pretrade_check(k, c, intent, instrument, account, position)


cdef inline void refuse(kernel_t* k, const command_t* c, uint32_t bits) noexcept nogil:
    """REJECTED with every violated control in flags and the smallest as its reason."""
    cdef event_t* e = echo(k, c, EVENT_REJECTED)
    cdef int reason = 0
    while not bits >> reason & 1:
        reason += 1
    e.reason = reason
    e.flags = bits


cdef inline void after_match(kernel_t* k, uint32_t index, order_t* order, bint open_end, bint rests) noexcept nogil:
    """Step 11 for an order whose record is `index` (0 while a NEW has none)."""
    cdef order_t* kept
    if open_end and order.leaves and rests:
        if index == 0:
            index = pool_take(&k.orders)
            kept = order_at(k, index)
            kept[0] = order[0]
            k.accounts[order.account].open_orders += 1
            order_map_put(&k.order_map, order_hash(order.account, order.order_id), index)
        order_rest(k, index)
        return
    if open_end and order.leaves:
        cancelled_event(k, order, order.leaves, EVENT_CANCELLED, REASON_UNFILLED)
    if index:
        order_release(k, index)
    else:
        order_closed(k, order.account, order.order_id)


cdef void new_order(kernel_t* k, const command_t* c) noexcept nogil:
    cdef uint32_t instrument, account, position = 0, bits, index
    cdef bint market, rests, open_end
    cdef int64_t bound = 0
    cdef intent_t intent
    cdef int mode = 0
    cdef order_t order
    if (
        c.side < SIDE_BUY or c.side > SIDE_SELL or c.order_type < TYPE_LIMIT or c.order_type > TYPE_PEGGED
        or c.time_in_force < TIF_GTC or c.time_in_force > TIF_AT_CLOSE
    ):
        reject(k, c, REASON_MALFORMED)
        return
    instrument = instrument_of(k, c.instrument_id)
    if instrument == 0:
        reject(k, c, REASON_UNKNOWN_INSTRUMENT)
        return
    account = account_of(k, c.account_id)
    if account == 0:
        reject(k, c, REASON_UNKNOWN_ACCOUNT)
        return
    if c.order_id == 0:
        reject(k, c, REASON_ORDER_ID)
        return
    if order_of(k, account, c.order_id) or id_known(&k.accounts[account].closed_ids, c.order_id):
        reject(k, c, REASON_DUPLICATE_ORDER)
        return
    if k.accounts[account].flags & ACCOUNT_EXEMPT:
        position = position_of(k, account, instrument)      # only for the kill switch of the pair
    else:
        position = pair_add(k, account, instrument)
        if position == 0:
            reject(k, c, REASON_POOL_FULL)
            return
    market = c.order_type == TYPE_MARKET
    memset(&intent, 0, sizeof(intent_t))
    intent.side = c.side
    intent.priced = c.order_type == TYPE_LIMIT
    intent.market = market
    intent.strategy = c.strategy_id
    bits = check(k, c, &intent, instrument, account, position)
    if bits:
        refuse(k, c, bits)
        return
    if c.flags & FLAG_POST_ONLY and would_cross(k, instrument, c.side, c.price_ticks):
        reject(k, c, REASON_WOULD_CROSS)
        return
    rests = c.time_in_force <= TIF_GTD
    if rests and (
        k.orders.used == k.orders.capacity
        or not ladder_room(ladder_of(k, instrument, c.side), &k.pages, rank_of(c.side, c.price_ticks))
    ):
        reject(k, c, REASON_POOL_FULL)
        return

    order.next = 0
    order.prev = 0
    order.order_id = c.order_id
    order.price = c.price_ticks
    order.leaves = c.quantity
    order.filled = 0
    order.instrument = instrument
    order.account = account
    order.position = 0 if k.accounts[account].flags & ACCOUNT_EXEMPT else position
    order.timer = 0
    order.strategy_id = c.strategy_id
    order.flags = c.flags
    order.side = c.side
    order.time_in_force = c.time_in_force
    echo(k, c, EVENT_ACCEPTED).leaves_quantity = c.quantity
    account_entered(k, order.position, c)

    if market:
        mode = INCOMING_MARKET | (INCOMING_BOUNDED if intent.bounded else 0)
        bound = intent.bound
    if c.flags & FLAG_TAPE:
        match_tape(k, &order, c.flags & FLAG_TAPE_BOOKED)
        open_end = True
    elif c.time_in_force == TIF_FOK and not fills_at_once(k, &order, mode, bound):
        open_end = True
    else:
        open_end = match_incoming(k, &order, mode, bound)
    after_match(k, 0, &order, open_end, rests)
    if rests and open_end and order.leaves and c.time_in_force != TIF_GTC:
        index = order_of(k, account, c.order_id)
        bound = c.expire_ns if c.time_in_force == TIF_GTD else k.instruments[instrument].close_ns
        if bound:
            k.arming += 1
            timer_arm(k, index, bound, k.arming)


cdef inline uint32_t open_order(kernel_t* k, const command_t* c, int* reason) noexcept nogil:
    """Record of the open order that the command names; 0 and the reason where there is none."""
    cdef uint32_t account = account_of(k, c.account_id)
    cdef uint32_t index
    if account == 0:
        reason[0] = REASON_UNKNOWN_ACCOUNT
        return 0
    index = order_of(k, account, c.order_id)
    if index == 0:
        reason[0] = (
            REASON_CLOSED_ORDER if id_known(&k.accounts[account].closed_ids, c.order_id) else REASON_UNKNOWN_ORDER
        )
    return index


cdef void replace_order(kernel_t* k, const command_t* c) noexcept nogil:
    cdef int reason = 0
    cdef uint32_t index = open_order(k, c, &reason)
    cdef uint32_t bits
    cdef order_t* order
    cdef command_t named
    cdef int64_t leaves
    cdef intent_t intent
    if index == 0:
        reject(k, c, reason)
        return
    order = order_at(k, index)
    named = c[0]
    named.side = order.side
    named.instrument_id = k.instruments[order.instrument].id
    named.strategy_id = order.strategy_id
    memset(&intent, 0, sizeof(intent_t))
    intent.side = order.side
    intent.priced = intent.replaced = 1
    intent.strategy = order.strategy_id
    intent.filled = order.filled
    intent.leaves = order.leaves
    intent.value = order.price
    bits = check(
        k, c, &intent, order.instrument, order.account,
        order.position if order.position else position_of(k, order.account, order.instrument)
    )
    if bits:
        refuse(k, &named, bits)
        return
    if order.flags & FLAG_POST_ONLY and would_cross(k, order.instrument, order.side, c.price_ticks):
        reject(k, &named, REASON_WOULD_CROSS)
        return
    if not ladder_room(ladder_of(k, order.instrument, order.side), &k.pages, rank_of(order.side, c.price_ticks)):
        reject(k, &named, REASON_POOL_FULL)
        return
    leaves = c.quantity - order.filled
    echo(k, &named, EVENT_REPLACED).leaves_quantity = leaves
    if c.price_ticks == order.price and leaves <= order.leaves:
        shrink(k, order, leaves)
        return
    order_unlink(k, index)
    order.price = c.price_ticks
    order.leaves = leaves
    after_match(k, index, order, match_incoming(k, order, 0, 0), True)


cdef inline void shrink(kernel_t* k, order_t* order, int64_t leaves) noexcept nogil:
    """Takes quantity off a resting order, in its place."""
    cdef int64_t less = order.leaves - leaves
    ladder_find(ladder_of(k, order.instrument, order.side), rank_of(order.side, order.price)).quantity -= less
    account_open(k, order.position, order.side, True, order.price, -less)
    order.leaves = leaves


cdef inline void cancel_order(kernel_t* k, const command_t* c) noexcept nogil:
    cdef int reason = 0
    cdef uint32_t index = open_order(k, c, &reason)
    if index:
        order_remove(k, index, EVENT_CANCELLED, REASON_REQUESTED)
    else:
        reject(k, c, reason)


cdef inline void fire_timers(kernel_t* k) noexcept nogil:
    while k.timer_count and k.timers[0].due_ns <= k.now_ns:
        k.cause_now_ns = k.timers[0].due_ns
        order_remove(k, k.timers[0].order, EVENT_EXPIRED, REASON_EXPIRED)


cdef inline void dispatch(kernel_t* k, const command_t* c) noexcept nogil:
    if c.source_id and c.source_sequence:
        if c.source_sequence <= k.sources[c.source_id]:
            echo(k, c, EVENT_DUPLICATE)
            return
        k.sources[c.source_id] = c.source_sequence
    if c.deadline_ns and c.deadline_ns < k.now_ns:
        reject(k, c, REASON_LATE)
    elif c.kind == COMMAND_NEW:
        new_order(k, c)
    elif c.kind == COMMAND_CANCEL:
        cancel_order(k, c)
    elif c.kind == COMMAND_REPLACE:
        replace_order(k, c)
    elif c.kind == 0 or c.kind > COMMAND_VENUE_UNKNOWN:
        reject(k, c, REASON_MALFORMED)
    elif c.kind != COMMAND_TIME:
        control(k, c)


cdef void kernel_step(kernel_t* k, const command_t* command, journal_t* journal) noexcept nogil:
    """One command: stamped, journalled, timers first, then carried out."""
    cdef command_t c = command[0]
    k.sequence += 1
    c.sequence = k.sequence
    if c.now_ns > k.now_ns:
        k.now_ns = c.now_ns
    else:
        c.now_ns = k.now_ns
    xxh64_stripes(&k.command_hash, &c, sizeof(command_t) // 8)
    if journal != NULL:
        journal_put(journal, &c)
    k.cause_sequence = k.sequence
    if k.timer_count and k.timers[0].due_ns <= k.now_ns:
        k.cause_source_id = 0
        k.cause_source_sequence = 0
        fire_timers(k)
    k.cause_now_ns = k.now_ns
    k.cause_source_id = c.source_id
    k.cause_source_sequence = c.source_sequence
    dispatch(k, &c)
    if journal != NULL and k.sequence % JOURNAL_CHECKPOINT == 0:
        events_hash(k)
        journal_put_hash(
            journal, k.sequence, k.event_sequence, xxh64_value(&k.event_hash, NULL, 0),
            xxh64_value(&k.command_hash, NULL, 0)
        )


cdef enum:
    LOOK_INPUT = 64             # commands ahead that are fetched themselves
    LOOK_FAR = 16               # commands ahead whose id slot is fetched
    LOOK_NEAR = 8              # commands ahead whose order record is fetched


cdef void look_ahead(kernel_t* k, const command_t* commands, Py_ssize_t i, Py_ssize_t count) noexcept nogil:
    """Fetches what later commands of the batch will touch; it changes no result."""
    cdef const command_t* c
    cdef uint32_t account, index
    if i + LOOK_INPUT < count:
        prefetch_line(&commands[i + LOOK_INPUT])
        prefetch_line(&commands[i + LOOK_INPUT].trigger_ticks)
    if i + LOOK_FAR < count:
        c = &commands[i + LOOK_FAR]
        if COMMAND_NEW <= c.kind <= COMMAND_REPLACE:
            account = account_of(k, c.account_id)
            order_map_prefetch(&k.order_map, order_hash(account, c.order_id))
            id_prefetch(&k.accounts[account].closed_ids, c.order_id)
    if i + LOOK_NEAR < count:
        c = &commands[i + LOOK_NEAR]
        if c.kind == COMMAND_CANCEL or c.kind == COMMAND_REPLACE:
            account = account_of(k, c.account_id)
            index = k.order_map.slots[order_hash(account, c.order_id) & k.order_map.mask].index
            if index:
                prefetch_line(order_at(k, index))
