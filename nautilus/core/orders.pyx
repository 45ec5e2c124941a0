"""Orders: entering, replacing, cancelling, and the step that carries one command out. Rules: docs/kernel.md."""

from libc.stdint cimport INT64_MAX, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from nautilus.core.accounts cimport account_entered, account_open, instrument_traded
from nautilus.core.combine cimport trails, waits
from nautilus.core.control cimport control, echo, interruption_end, refuse, reject
from nautilus.core.events cimport event_write, events_hash, record_clear
from nautilus.core.hashing cimport hash_take, hash_value
from nautilus.core.hashmap cimport map_put, prefetch_line
from nautilus.core.journal cimport JOURNAL_CHECKPOINT, journal_put_hash, journal_put_hashed, journal_t
from nautilus.core.inlining cimport apart_int
from nautilus.core.ladder cimport ladder_level
from nautilus.core.limits cimport pair_add
from nautilus.core.market cimport (
    GROUP_MEMBERS,
    book_t,
    extra_t,
    intent_t,
    market_amend,
    market_children,
    market_give,
    market_group,
    market_indicate,
    market_new,
    market_replace,
    market_room,
    market_slid,
    market_t,
    market_take,
    market_tape,
    market_unlikely,
    rank_of,
)
from nautilus.core.market cimport order_t as resting_t
from nautilus.core.money cimport money_above, money_value
from nautilus.core.order_ids cimport (
    id_known, id_prefetch, order_hash, order_map_delete, order_map_likely, order_map_prefetch)
from nautilus.core.pages cimport ladder_t, page_at_hand
from nautilus.core.pool cimport pool_give, pool_take
from nautilus.core.positions cimport position_t
from nautilus.core.pretrade cimport pretrade_check, pretrade_others
from nautilus.core.queues cimport order_put, queue_begin, queue_leave
from nautilus.core.reports cimport (
    command_end, order_closed, order_remove, reduce_join, take_notices, take_reports, take_reports_after, work)
from nautilus.core.risk cimport intent_t as checked_t
from nautilus.core.routed cimport routed_cancel, routed_new, routed_replace, routed_report
from nautilus.core.risk_cache cimport risk_cache_check
from nautilus.core.state cimport (
    ORDER_ENTERING,
    ORDER_OPEN,
    ORDER_ROUTED,
    ORDER_UNENTERED,
    TIMER_INDICATIVE,
    TIMER_INSTRUMENT,
    account_of,
    account_t,
    group_of,
    instrument_of,
    instrument_t,
    kernel_t,
    order_at,
    order_found,
    order_name,
    order_of,
    order_t,
    position_of,
    step_at,
)
from nautilus.core.timers cimport timer_arm, timer_disarm
from nautilus.core.types cimport (
    ACCOUNT_EXEMPT,
    COMMAND_CANCEL,
    COMMAND_NEW,
    COMMAND_REPLACE,
    COMMAND_TIME,
    COMMAND_VENUE_ACCEPTED,
    COMMAND_VENUE_UNKNOWN,
    EVENT_ACCEPTED,
    EVENT_CANCELLED,
    EVENT_DUPLICATE,
    EVENT_EXPIRED,
    EVENT_REJECTED,
    EVENT_REPLACED,
    FLAG_GROUP_OCO,
    FLAG_POST_ONLY,
    FLAG_REDUCE_ONLY,
    FLAG_TAPE,
    FLAG_TAPE_BOOKED,
    LIMIT_MESSAGE_RATE,
    LIMIT_ORDER_NOTIONAL,
    LIMIT_ORDER_QUANTITY,
    LIMIT_POSITION,
    LIMIT_PRICE_COLLAR,
    MAX_POSITION_BITS,
    MAX_PRICE_BITS,
    MAX_QUANTITY_BITS,
    PHASE_CONTINUOUS,
    REASON_CLOSED_ORDER,
    REASON_DUPLICATE_ORDER,
    REASON_EXPIRED,
    REASON_LATE,
    REASON_MALFORMED,
    REASON_ORDER_ID,
    REASON_PARENT,
    REASON_POOL_FULL,
    REASON_REQUESTED,
    REASON_UNKNOWN_ACCOUNT,
    REASON_UNKNOWN_INSTRUMENT,
    REASON_UNKNOWN_ORDER,
    REASON_WOULD_CROSS,
    SIDE_BUY,
    SIDE_SELL,
    TIF_AT_CLOSE,
    TIF_DAY,
    TIF_FOK,
    TIF_GTC,
    TIF_GTD,
    TIF_IOC,
    TYPE_LIMIT,
    TYPE_PEGGED,
    command_t,
    event_t,
)


cdef int64_t MAX_PRICE = <int64_t>1 << MAX_PRICE_BITS
cdef int64_t MAX_QUANTITY = <int64_t>1 << MAX_QUANTITY_BITS
cdef int64_t MAX_HELD = <int64_t>1 << MAX_POSITION_BITS


cdef inline uint32_t check(
    kernel_t* k, const command_t* c, checked_t* intent, uint32_t instrument, uint32_t account, uint32_t position
) noexcept nogil:
    if k.cache != NULL:
        return risk_cache_check(k, c, intent, instrument, account, position)
    return pretrade_check(k, c, intent, instrument, account, position)


cdef inline uint16_t owner_of(const kernel_t* k, uint32_t account) noexcept nogil:
    return k.accounts[account].owner


cdef inline void stands(kernel_t* k, uint32_t slot, order_t* order, int64_t due_ns) noexcept nogil:
    """After its NEW an order is still there: it can be found by its id, and its timer runs."""
    order.life = (order.life & ORDER_UNENTERED) | ORDER_OPEN
    k.accounts[order.account].open_orders += 1
    order_name(k, order.account, order.order_id, order_hash(order.account, order.order_id), slot)
    if due_ns:
        k.arming += 1
        timer_arm(k, slot, due_ns, k.arming)


cdef inline uint32_t group_join(kernel_t* k, uint32_t account, const command_t* c) noexcept nogil:
    """The group of a new order, made where it is the first; there is room."""
    cdef uint64_t key = <uint64_t>account << 16 | c.group_id
    cdef uint32_t group = group_of(k, account, c.group_id)
    if group == 0:
        group = market_group(&k.market, key, (c.flags & FLAG_GROUP_OCO) != 0)
        map_put(&k.groups, key, group)
    k.market.groups[group].held += 1
    return group


cdef inline bint group_room(kernel_t* k, uint32_t account, uint32_t group_id) noexcept nogil:
    cdef uint32_t group = group_of(k, account, group_id)
    if group:
        return k.market.groups[group].count < GROUP_MEMBERS
    return k.market.group_pool.used < k.market.group_pool.capacity


cdef inline uint32_t parent_of(kernel_t* k, uint32_t account, uint64_t order_id) noexcept nogil:
    """The open order that may be a parent, 0: none."""
    cdef uint32_t slot = order_of(k, account, order_id)
    cdef const extra_t* extra = &k.market.extras[k.market.orders[slot].extra]
    if slot == 0 or extra.parent_id or extra.released or extra.unentered or order_at(k, slot).life & ORDER_ROUTED:
        return 0
    return slot


cdef void new_order(kernel_t* k, const command_t* c) noexcept nogil:
    cdef uint32_t instrument, account, position = 0, bits, slot
    cdef uint32_t parent = 0
    cdef bint stands_somewhere
    cdef int64_t price = c.price_ticks
    cdef int reason
    cdef order_t* order
    cdef intent_t intent
    cdef checked_t checked
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
    if c.order_id <= k.accounts[account].most_id and (
        order_of(k, account, c.order_id) or id_known(&k.accounts[account].closed_ids, c.order_id)
    ):
        reject(k, c, REASON_DUPLICATE_ORDER)
        return
    if k.accounts[account].flags & ACCOUNT_EXEMPT:
        position = position_of(k, account, instrument)      # only for the kill switch of the pair
    else:
        position = pair_add(k, account, instrument)
        if position == 0:
            reject(k, c, REASON_POOL_FULL)
            return
    memset(&checked, 0, sizeof(checked_t))
    checked.side = c.side
    checked.kind = c.order_type
    checked.strategy = c.strategy_id
    checked.reducing = (c.flags & FLAG_REDUCE_ONLY) != 0
    checked.parked = c.parent_order_id != 0
    checked.trigger = c.trigger_ticks
    checked.has_trigger = waits(c.order_type) and (c.trigger_ticks != 0 or not trails(c.order_type))
    bits = check(k, c, &checked, instrument, account, position)
    if bits:
        refuse(k, c, bits)
        return
    if k.instruments[instrument].venue:
        routed_new(k, c, &checked, instrument, account, position)
        return
    if c.parent_order_id:
        parent = parent_of(k, account, c.parent_order_id)
        if parent == 0:
            reject(k, c, REASON_PARENT)
            return
    elif c.flags & FLAG_POST_ONLY:
        reason = market_slid(&k.market, instrument, c.side, c.flags, &price)
        if reason:
            reject(k, c, reason)
            return
        checked.valuation = price
    stands_somewhere = parent or (c.time_in_force != TIF_IOC and c.time_in_force != TIF_FOK)
    if (
        (stands_somewhere and (
            k.market.order_pool.used >= k.capacity or not market_room(&k.market, instrument, c.side, price)
        ))
        or (parent and market_children(&k.market, parent) >= GROUP_MEMBERS)
        or (c.group_id and not group_room(k, account, c.group_id))
    ):
        reject(k, c, REASON_POOL_FULL)
        return
    slot = market_take(&k.market)
    order = order_at(k, slot)
    k.arming += 1
    order.order_id = c.order_id
    order.leaves = c.quantity
    order.filled = 0
    order.price = checked.valuation
    order.arming = k.arming
    order.instrument = instrument
    order.account = account
    order.position = 0 if k.accounts[account].flags & ACCOUNT_EXEMPT else position
    order.timer = 0
    order.strategy_id = c.strategy_id
    order.flags = c.flags
    order.side = c.side
    order.order_type = c.order_type
    order.time_in_force = c.time_in_force
    order.life = ORDER_ENTERING | ORDER_UNENTERED if parent else ORDER_ENTERING
    if order.position and c.flags & FLAG_REDUCE_ONLY:
        reduce_join(k, slot)
    account_entered(k, order.position, c)
    work(k, order, c.quantity)
    memset(&intent, 0, sizeof(intent_t))
    intent.price = price
    intent.quantity = c.quantity
    intent.bound = checked.bound
    intent.bounded = checked.bounded
    intent.id = slot
    intent.owner = owner_of(k, account)
    intent.side = c.side
    intent.order_type = c.order_type
    intent.time_in_force = c.time_in_force
    intent.flags = c.flags
    intent.display = c.display_quantity
    intent.minimum = c.min_quantity
    intent.trigger = c.trigger_ticks
    intent.offset = c.offset
    intent.arming = k.arming
    intent.group = group_join(k, account, c) if c.group_id else 0
    intent.parent = parent
    intent.parent_id = c.parent_order_id
    intent.parent_filled = order_at(k, parent).filled if parent else 0
    if c.flags & FLAG_TAPE:
        market_tape(&k.market, instrument, slot, &intent, (c.flags & FLAG_TAPE_BOOKED) != 0)
        take_reports(k)
        if k.instruments[instrument].phase == PHASE_CONTINUOUS:
            instrument_traded(k, &k.instruments[instrument], c.price_ticks)
    else:
        market_new(&k.market, instrument, slot, &intent)
        take_reports(k)
    if k.market.notice_count and k.instruments[instrument].phase == PHASE_CONTINUOUS:
        take_notices(k)         # what its matches changed elsewhere comes before where it stands
    if order.life:
        bound = 0
        if c.time_in_force == TIF_GTD:
            bound = c.expire_ns
        elif c.time_in_force == TIF_DAY:
            bound = k.instruments[instrument].close_ns
        stands(k, slot, order, bound)


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
    cdef int64_t leaves, price = c.price_ticks
    cdef const extra_t* extra
    cdef checked_t checked
    if index == 0:
        reject(k, c, reason)
        return
    order = order_at(k, index)
    k.subject = order.instrument
    named = c[0]
    named.side = order.side
    named.instrument_id = k.instruments[order.instrument].id
    named.strategy_id = order.strategy_id
    if order.life & ORDER_ROUTED:
        routed_replace(k, c, &named, index)
        return
    extra = &k.market.extras[k.market.orders[index].extra]
    memset(&checked, 0, sizeof(checked_t))
    checked.side = order.side
    checked.kind = order.order_type
    checked.replaced = 1
    checked.reducing = (order.flags & FLAG_REDUCE_ONLY) != 0
    checked.parked = (order.life & ORDER_UNENTERED) != 0
    checked.strategy = order.strategy_id
    checked.filled = order.filled
    checked.leaves = order.leaves
    checked.value = order.price
    checked.trigger = c.trigger_ticks if c.trigger_ticks else extra.trigger
    checked.has_trigger = extra.has_trigger
    bits = check(
        k, c, &checked, order.instrument, order.account,
        order.position if order.position else position_of(k, order.account, order.instrument)
    )
    if bits:
        refuse(k, &named, bits)
        return
    if order.flags & FLAG_POST_ONLY and not order.life & ORDER_UNENTERED and market_slid(
        &k.market, order.instrument, order.side, FLAG_POST_ONLY, &price
    ):
        reject(k, &named, REASON_WOULD_CROSS)
        return
    if not market_room(&k.market, order.instrument, order.side, c.price_ticks):
        reject(k, &named, REASON_POOL_FULL)
        return
    leaves = c.quantity - order.filled
    work(k, order, -order.leaves)
    order.price = checked.valuation
    order.leaves = leaves
    work(k, order, leaves)
    if k.market.orders[index].extra:
        market_amend(&k.market, index, c.price_ticks, leaves, c.trigger_ticks)
    else:
        market_replace(&k.market, index, c.price_ticks, leaves)
    take_reports(k)


cdef inline void cancel_order(kernel_t* k, const command_t* c) noexcept nogil:
    cdef int reason = 0
    cdef uint32_t index = open_order(k, c, &reason)
    if index and order_at(k, index).life & ORDER_ROUTED:
        routed_cancel(k, c, index)
    elif index:
        k.subject = order_at(k, index).instrument
        order_remove(k, index, EVENT_CANCELLED, REASON_REQUESTED)
    else:
        reject(k, c, reason)


cdef inline void fire_timers(kernel_t* k) noexcept nogil:
    cdef uint32_t instrument, owner
    while k.timer_count and k.timers[0].due_ns <= k.now_ns:
        k.cause_now_ns = k.timers[0].due_ns
        k.market.now_ns = k.timers[0].due_ns
        owner = k.timers[0].order
        if owner & TIMER_INSTRUMENT:
            instrument = owner & (TIMER_INDICATIVE - 1)
            timer_disarm(k, owner)
            if owner & TIMER_INDICATIVE:
                market_indicate(&k.market, instrument)
                take_reports(k)
            else:
                interruption_end(k, instrument)
        else:
            instrument = order_at(k, owner).instrument
            order_remove(k, owner, EVENT_EXPIRED, REASON_EXPIRED)
        if k.market.settle_first or k.turned_count or k.market.notice_count:
            command_end(k, instrument)


include "plain.pxi"


cdef inline void dispatch(kernel_t* k, const command_t* c, const ahead_t* ahead) noexcept nogil:
    if c.source_id and c.source_sequence:
        if c.source_sequence <= k.sources[c.source_id]:
            echo(k, c, EVENT_DUPLICATE)
            return
        k.sources[c.source_id] = c.source_sequence
    if c.deadline_ns and c.deadline_ns < k.now_ns:
        reject(k, c, REASON_LATE)
    elif c.kind == COMMAND_NEW:
        if not plain_new(k, c, ahead):
            new_order(k, c)
    elif c.kind == COMMAND_CANCEL:
        if plain_cancel(k, c, ahead):
            return                  # nothing follows from it
        cancel_order(k, c)
    elif c.kind == COMMAND_REPLACE:
        if plain_replace(k, c, ahead):
            return
        replace_order(k, c)
    elif c.kind == 0 or c.kind > COMMAND_VENUE_UNKNOWN:
        reject(k, c, REASON_MALFORMED)
    elif c.kind >= COMMAND_VENUE_ACCEPTED:
        routed_report(k, c)
    elif c.kind != COMMAND_TIME:
        control(k, c)
    if k.market.settle_first or k.turned_count or k.market.notice_count:
        command_end(k, k.subject if k.subject else instrument_of(k, c.instrument_id))


cdef inline void carry_out(kernel_t* k, command_t* c, const ahead_t* ahead) noexcept nogil:
    """One command: stamped, timers first, then what it says."""
    k.sequence += 1
    c.sequence = k.sequence
    if c.now_ns > k.now_ns:
        k.now_ns = c.now_ns
    else:
        c.now_ns = k.now_ns
    k.cause_sequence = k.sequence
    if k.timer_count and k.timers[0].due_ns <= k.now_ns:
        k.market.replenished = 0
        k.cause_source_id = 0
        k.cause_source_sequence = 0
        fire_timers(k)
    k.cause_now_ns = k.now_ns
    k.cause_source_id = c.source_id
    k.cause_source_sequence = c.source_sequence
    k.command = c
    k.market.replenished = 0
    k.market.now_ns = k.now_ns
    k.subject = 0
    dispatch(k, c, ahead)


cdef void kernel_step(kernel_t* k, command_t* c) noexcept nogil:
    cdef ahead_t ahead
    look_far(k, c, &ahead)
    carry_out(k, c, &ahead)
    hash_take(&k.command_hash, c, sizeof(command_t))


cdef enum:
    LOOK_INPUT = 28             # commands ahead that are fetched themselves
    LOOK_FAR = 16               # commands ahead that are copied, and their id's slot fetched
    LOOK_NEAR = 8               # commands ahead whose order is fetched
    LOOK_NEXT = 4               # commands ahead whose order's level and neighbours are fetched
    AT_ONCE = 32                # commands that are carried out before they are hashed and journalled together
    TAKEN = 64                  # a power of two, at least AT_ONCE + LOOK_FAR


cdef Py_ssize_t kernel_run(
    kernel_t* k, const command_t* commands, Py_ssize_t count, journal_t* journal, bint hashing
) noexcept nogil:
    # Copied some commands before their turn: what has only just been written is slow to read in other widths.
    cdef command_t[TAKEN] taken
    cdef ahead_t[TAKEN] ahead
    cdef Py_ssize_t i = 0, far = 0, first, most
    while far < count and far < LOOK_FAR:
        taken[far] = commands[far]
        look_far(k, &taken[far], &ahead[far])
        far += 1
    while i < count and k.spill_count == 0:
        first = i & (TAKEN - 1)
        most = min(<Py_ssize_t>AT_ONCE, TAKEN - first, count - i)
        most = i + min(most, <Py_ssize_t>(JOURNAL_CHECKPOINT - k.sequence % JOURNAL_CHECKPOINT))
        while i < most and k.spill_count == 0:
            if far < count:
                # A line beyond the array is never read, only asked for.
                prefetch_line(&commands[i + LOOK_INPUT])
                prefetch_line(&commands[i + LOOK_INPUT].trigger_ticks)
                taken[far & (TAKEN - 1)] = commands[far]
                look_far(k, &taken[far & (TAKEN - 1)], &ahead[far & (TAKEN - 1)])
                far += 1
            if i + LOOK_NEAR < count:
                look_near(k, &ahead[(i + LOOK_NEAR) & (TAKEN - 1)])
                look_next(k, &ahead[(i + LOOK_NEXT) & (TAKEN - 1)])
            carry_out(k, &taken[i & (TAKEN - 1)], &ahead[i & (TAKEN - 1)])
            i += 1
        if hashing:
            events_hash(k)
        most = ((i - 1) & (TAKEN - 1)) + 1 - first
        if journal == NULL:
            hash_take(&k.command_hash, &taken[first], most * sizeof(command_t))
        else:
            journal_put_hashed(journal, &taken[first], most, &k.command_hash)
            if k.sequence % JOURNAL_CHECKPOINT == 0:
                journal_put_hash(
                    journal, k.sequence, k.event_sequence, hash_value(&k.event_hash), hash_value(&k.command_hash)
                )
    return i
