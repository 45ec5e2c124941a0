"""Canonical state of the kernel: one writer for the hash and the bytes, one reader for both ends of a restart.

Off the hot path: the buffer grows with realloc. After the state come words that are not hashed: the inner
state of the two running hashes.
"""

from libc.stdint cimport INT32_MAX, INT32_MIN, INT64_MAX, UINT16_MAX, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from nautilus.core.accounts cimport accounts_restored
from nautilus.core.hashing cimport xxh64_words
from nautilus.core.hooks cimport hooks_set
from nautilus.core.hashmap cimport map_put
from nautilus.core.market cimport (
    auction_t,
    market_allocation,
    GROUP_MEMBERS, extra_t, intent_t,
    market_await,
    market_band,
    market_children,
    market_group,
    market_link,
    market_mark,
    market_phase,
    market_room,
    market_stand,
    market_standing,
    market_take,
    market_ticks,
    standing_t,
)
from nautilus.core.limits cimport pair_add
from nautilus.core.order_ids cimport id_known, order_hash
from nautilus.core.positions cimport position_t
from nautilus.core.snapshot_accounts cimport put_accounts, take_accounts
from nautilus.core.snapshot_hashes cimport put_hashes, take_hashes
from nautilus.core.snapshot_routed cimport put_routed, put_venues, take_routed, take_venues
from nautilus.core.state cimport (
    TIMER_INDICATIVE,
    TIMER_INSTRUMENT,
    MAX_BANDS,
    MAX_INSTRUMENTS,
    MAX_VENUES,
    ORDER_OPEN,
    ORDER_ROUTED,
    ORDER_UNENTERED,
    group_of,
    instrument_add,
    instrument_of,
    instrument_t,
    kernel_t,
    order_at,
    order_name,
    order_of,
    order_t,
    state_close,
    state_open,
    venue_add,
)
from nautilus.core.combine cimport waits
from nautilus.core.reports cimport by_standing, oldest_first, order_closed, reduce_join, walk_gather, work
from nautilus.core.timers cimport timer_arm
from nautilus.core.types cimport (
    ACCOUNT_EXEMPT,
    FLAG_ALL_OR_NONE,
    FLAG_GROUP_OCO,
    FLAG_GROUP_OUO,
    FLAG_HIDDEN,
    FLAG_POST_ONLY,
    FLAG_REDUCE_ONLY,
    INSTRUMENT_BAND,
    INSTRUMENT_EXPLICIT,
    INSTRUMENT_NEGATIVE,
    INSTRUMENT_PRO_RATA,
    KERNEL_RULES,
    MAX_MULTIPLIER_BITS,
    MAX_POSITION_BITS,
    MAX_PRICE_BITS,
    MAX_QUANTITY_BITS,
    PHASE_CLOSED,
    PHASE_CONTINUOUS,
    PHASE_VOLATILITY_AUCTION,
    SIDE_BUY,
    SIDE_SELL,
    STANDING_AUCTION,
    STANDING_DARK,
    STANDING_DISPLAYED,
    STANDING_WAITING,
    TIF_AT_CLOSE,
    TIF_AT_OPEN,
    TIF_FOK,
    TIF_GTC,
    TIF_GTD,
    TYPE_LIMIT,
    TYPE_MARKET,
    TYPE_PEGGED,
)
from nautilus.core.words cimport account_named, instrument_named, put, reader_t, take, within, words_t

cdef int64_t MAX_ID = 0xFFFFFFFF
cdef int64_t MAX_TICKS = <int64_t>1 << MAX_PRICE_BITS
cdef int64_t MAX_LOTS = <int64_t>1 << MAX_QUANTITY_BITS
cdef int64_t MAX_HELD = <int64_t>1 << MAX_POSITION_BITS

cdef void put_timer(words_t* w, const kernel_t* k, uint32_t at) noexcept:
    """Due time and arming number of the timer at this place of the heap + 1; 0, 0: none."""
    put(w, k.timers[at - 1].due_ns if at else 0)
    put(w, k.timers[at - 1].arming if at else 0)


cdef void put_instrument(words_t* w, const kernel_t* k, const instrument_t* i) noexcept:
    cdef uint32_t b
    cdef int64_t rules = k.rules
    cdef const auction_t* auction = &k.market.auctions[i - k.instruments]
    put(w, i.id)
    put(w, i.multiplier)
    put(w, i.lot_step)
    put(w, i.minimum)
    put(w, i.price_step)
    put(w, i.currency)
    put(w, i.product)
    if rules > 1:
        put(w, i.venue)
    put(w, i.flags)
    put(w, i.phase)
    put(w, i.close_ns)
    put(w, i.date)
    put(w, i.has_mark)
    put(w, i.mark)
    if rules > 1:
        put(w, i.mark_ns)
    put(w, i.has_last)
    put(w, i.last)
    if rules > 1:
        put(w, i.last_ns)
    put(w, i.killed)
    if rules > 1:
        put_timer(w, k, i.timers[0])
        put(w, auction.told)
        put(w, auction.price)
        put(w, auction.volume)
        put(w, auction.surplus)
        put(w, auction.told_ns)
        put(w, auction.changed)
        put_timer(w, k, i.timers[1])
    put(w, i.bands)
    for b in range(i.bands):
        put(w, i.band[b].first)
        put(w, i.band[b].step)


cdef void put_order(words_t* w, kernel_t* k, uint32_t slot) noexcept:
    cdef const order_t* o = order_at(k, slot)
    cdef const extra_t* extra = &k.market.extras[k.market.orders[slot].extra]
    cdef standing_t at
    if o.life & ORDER_ROUTED:
        put_routed(w, k, slot)
        return
    market_standing(&k.market, slot, &at)
    put(w, <int64_t>o.order_id)
    put(w, k.accounts[o.account].id)
    put(w, k.instruments[o.instrument].id)
    put(w, o.side)
    put(w, at.standing)
    put(w, o.order_type)
    put(w, o.time_in_force)
    put(w, o.flags)
    put(w, o.strategy_id)
    put(w, at.price)
    put(w, at.leaves)
    put(w, o.filled)
    put(w, o.arming)
    put(w, k.timers[o.timer - 1].due_ns if o.timer else 0)
    put(w, k.timers[o.timer - 1].arming if o.timer else 0)
    put(w, at.display)
    put(w, at.shown)
    put(w, at.has_trigger)
    put(w, at.trigger)
    put(w, at.stood)
    put(w, at.offset)
    put(w, at.distance)
    put(w, <int64_t>(k.market.groups[extra.group].key & 0xFFFF) if extra.group else 0)
    put(w, <int64_t>at.parent_id)
    put(w, at.released)
    put(w, o.price)
    put(w, 0)                   # state, venue order reference, pending price: of routed orders
    put(w, 0)
    put(w, 0)
    put(w, at.unreleased)


cdef void put_orders(words_t* w, kernel_t* k) noexcept:
    cdef uint32_t i
    cdef int64_t count, n
    put(w, k.market.order_pool.used)
    for i in range(k.instrument_count):
        count = walk_gather(k, k.instrument_order[i], 0)
        for n in range(count):
            put_order(w, k, k.walk[n])


cdef void put_state(words_t* w, kernel_t* k) noexcept:
    cdef uint32_t i
    put(w, k.rules)
    put(w, k.sequence)
    put(w, k.event_sequence)
    put(w, k.now_ns)
    put(w, k.match_id)
    put(w, k.arming)
    put(w, k.killed)
    put(w, k.capacity)
    put(w, k.closed_capacity)
    if k.rules > 1:
        put(w, k.session_seen)
        put(w, k.session_date)
    put(w, k.instrument_count)
    for i in range(k.instrument_count):
        put_instrument(w, k, &k.instruments[k.instrument_order[i]])
    put_accounts(w, k)
    put_orders(w, k)
    put_venues(w, k)


cdef uint64_t snapshot_hash(kernel_t* k) except? 0:
    cdef words_t w
    cdef uint64_t value
    w.data = NULL
    w.count = w.capacity = 0
    w.failed = False
    put_state(&w, k)
    value = 0 if w.failed else xxh64_words(w.data, w.count)
    free(w.data)
    if w.failed:
        raise MemoryError("state hash: no memory")
    return value


cdef bytes snapshot_write(kernel_t* k):
    cdef words_t w
    w.data = NULL
    w.count = w.capacity = 0
    w.failed = False
    put_state(&w, k)
    put_hashes(&w, k)
    try:
        if w.failed:
            raise MemoryError("snapshot: no memory")
        return (<char*>w.data)[:w.count * 8]
    finally:
        free(w.data)


cdef int take_timer(reader_t* r, kernel_t* k, uint32_t owner) except -1:
    cdef int64_t due_ns = within(r, 0, INT64_MAX, "due time")
    cdef int64_t arming = within(r, 0, k.arming, "arming number")
    if due_ns:
        timer_arm(k, owner, due_ns, arming)
    return 0


cdef int take_instrument(reader_t* r, kernel_t* k) except -1:
    cdef uint32_t id = <uint32_t>within(r, 1, MAX_ID, "instrument")
    cdef uint32_t index, b
    cdef int64_t above = 1
    cdef instrument_t* i
    cdef auction_t* auction
    if instrument_of(k, id):
        raise ValueError(f"snapshot: word {r.at - 1}: instrument {id} comes twice")
    index = instrument_add(k, id)
    if index == 0:
        raise MemoryError("snapshot: no room for its instruments")
    i = &k.instruments[index]
    i.multiplier = within(r, 1, <int64_t>1 << MAX_MULTIPLIER_BITS, "multiplier")
    i.lot_step = within(r, 1, MAX_LOTS, "lot step")
    i.minimum = within(r, 1, MAX_LOTS, "minimum")
    i.price_step = within(r, 1, MAX_TICKS, "price step")
    i.currency = <uint32_t>within(r, 0, INT32_MAX, "currency")
    i.product = <uint16_t>within(r, 0, UINT16_MAX, "product")
    if k.rules > 1:
        i.venue = <uint8_t>within(r, 0, MAX_VENUES - 1, "venue")
        if i.venue and venue_add(k, i.venue):
            raise MemoryError("snapshot: no room for the execution ids of its venues")
    i.flags = <uint16_t>within(r, 0, INSTRUMENT_NEGATIVE | (k.rules > 1) * (INSTRUMENT_PRO_RATA | INSTRUMENT_EXPLICIT), "flags")
    if i.flags & INSTRUMENT_BAND:
        raise ValueError(f"snapshot: word {r.at - 1}: flags: found BAND")
    i.phase = <uint8_t>within(r, PHASE_CONTINUOUS, PHASE_VOLATILITY_AUCTION if k.rules > 1 else PHASE_CLOSED, "phase")
    market_allocation(&k.market, index, i.lot_step, i.flags & INSTRUMENT_PRO_RATA != 0)
    market_ticks(&k.market, index, i.price_step, -MAX_TICKS if i.flags & INSTRUMENT_NEGATIVE else 1)
    if not i.venue:
        market_phase(&k.market, index, i.phase)
    i.close_ns = within(r, 0, INT64_MAX, "close")
    i.date = <int32_t>within(r, INT32_MIN, INT32_MAX, "date")
    i.has_mark = <uint8_t>within(r, 0, 1, "has mark")
    i.mark = within(r, -MAX_TICKS, MAX_TICKS, "mark")
    if k.rules > 1:
        i.mark_ns = within(r, 0, k.now_ns, "time of the mark")
    i.has_last = <uint8_t>within(r, 0, 1, "has last price")
    i.last = within(r, -MAX_TICKS, MAX_TICKS, "last price")
    if i.has_mark:
        market_mark(&k.market, index, i.mark)
    k.market.books[index].has_last = i.has_last
    k.market.books[index].last = i.last
    if k.rules > 1:
        i.last_ns = within(r, 0, k.now_ns, "time of the last price")
    i.killed = <uint8_t>within(r, 0, 1, "killed")
    if k.rules > 1:
        take_timer(r, k, TIMER_INSTRUMENT | index)
        auction = &k.market.auctions[index]
        auction.told = <uint8_t>within(r, 0, 1, "indicative told")
        auction.price = within(r, -MAX_TICKS, MAX_TICKS, "indicative price")
        auction.volume = within(r, 0, INT64_MAX, "indicative volume")
        auction.surplus = within(r, -INT64_MAX, INT64_MAX, "indicative surplus")
        auction.told_ns = within(r, 0, k.now_ns, "time of the indicative price")
        auction.changed = <uint8_t>within(r, 0, 1, "book changed")
        take_timer(r, k, TIMER_INSTRUMENT | TIMER_INDICATIVE | index)
    i.bands = <uint32_t>within(r, 0, MAX_BANDS, "bands")
    for b in range(i.bands):
        i.band[b].first = within(r, above, INT64_MAX, "first price of a band")
        i.band[b].step = within(r, 1, MAX_LOTS, "step of a band")
        market_band(&k.market, index, i.band[b].first, i.band[b].step)
        above = i.band[b].first if i.band[b].first == INT64_MAX else i.band[b].first + 1
    return 0


cdef int take_standing(reader_t* r, kernel_t* k, order_t* o, standing_t* at, intent_t* intent) except -1:
    """What the market knows of an order, from its standing on; the timer's words are read in between."""
    cdef int64_t due_ns, number, group
    cdef bint resting, dark
    at.standing = <uint8_t>within(r, STANDING_DISPLAYED, STANDING_AUCTION, "standing")
    o.order_type = <uint8_t>within(r, TYPE_LIMIT, TYPE_PEGGED, "order type")
    o.time_in_force = <uint8_t>within(r, TIF_GTC, TIF_AT_CLOSE, "time in force")
    o.flags = <uint16_t>within(r, 0, 2 * FLAG_GROUP_OUO - 1, "flags")
    o.strategy_id = <uint16_t>within(r, 0, UINT16_MAX, "strategy")
    at.price = within(r, -MAX_TICKS, MAX_TICKS, "price")
    at.leaves = within(r, 1, MAX_LOTS, "leaves")
    o.filled = within(r, 0, MAX_LOTS, "filled")
    o.arming = within(r, 1, k.arming, "arming number")
    due_ns = within(r, 0, INT64_MAX, "due time")
    number = within(r, 0, k.arming, "arming number of the timer")
    at.display = within(r, 0, MAX_LOTS, "display")
    at.shown = within(r, 0, at.leaves, "shown")
    at.has_trigger = <uint8_t>within(r, 0, 1, "has trigger")
    at.trigger = within(r, -(<int64_t>1 << 60), <int64_t>1 << 60, "trigger")
    at.stood = within(r, 0, k.arming, "standing number")
    at.offset = within(r, INT32_MIN, INT32_MAX, "offset")
    at.distance = within(r, -MAX_TICKS, MAX_TICKS, "limit distance")
    group = within(r, 0, UINT16_MAX, "group")
    at.parent_id = <uint64_t>take(r)
    at.released = within(r, 0, MAX_LOTS, "released")
    o.price = within(r, -(<int64_t>1 << 60), <int64_t>1 << 60, "valuation price")
    within(r, 0, 0, "order state")
    within(r, 0, 0, "venue order reference")
    within(r, 0, 0, "pending price")
    at.unreleased = within(r, 0, MAX_LOTS, "pending quantity")
    resting = at.standing == STANDING_DISPLAYED or at.standing == STANDING_DARK
    dark = o.order_type == TYPE_PEGGED or o.flags & (FLAG_HIDDEN | FLAG_ALL_OR_NONE) != 0
    if (
        resting and ((at.standing == STANDING_DARK) != dark or (o.order_type != TYPE_LIMIT and o.order_type != TYPE_PEGGED))
        or (at.standing == STANDING_WAITING) and not waits(o.order_type)
        or (at.has_trigger and not waits(o.order_type)) or (at.trigger and not at.has_trigger)
        or (at.standing == STANDING_WAITING and at.has_trigger != (at.stood != 0))
        or (at.standing == STANDING_AUCTION) and not (o.order_type == TYPE_MARKET and o.time_in_force >= TIF_AT_OPEN)
        or (group != 0) != (o.flags & (FLAG_GROUP_OCO | FLAG_GROUP_OUO) != 0)
        or (at.display and (o.order_type != TYPE_LIMIT or (at.standing == STANDING_DISPLAYED) != (at.shown != 0)))
    ):
        raise ValueError(f"snapshot: order {o.order_id}: its standing, type, flags and fields do not go together")
    if group:
        intent.group = take_group(r, k, o, group)
    intent.display = at.display
    intent.parent_id = at.parent_id
    intent.special = at.standing > STANDING_DARK or at.released or at.offset or at.distance
    if due_ns:
        timer_arm(k, intent.id, due_ns, number)
    return 0


cdef int take_plain(reader_t* r, kernel_t* k, order_t* o, standing_t* at, intent_t* intent) except -1:
    """An order of rules 1, where all were displayed limit orders and had no arming number: it takes the next one."""
    cdef int64_t due_ns, number
    cdef int64_t armed = k.arming - (k.market.order_pool.used - 1)      # without the orders that took one before it
    at.standing = STANDING_DISPLAYED
    at.price = within(r, -MAX_TICKS, MAX_TICKS, "price")
    at.leaves = within(r, 1, MAX_LOTS, "leaves")
    o.filled = within(r, 0, MAX_LOTS, "filled")
    o.time_in_force = <uint8_t>within(r, TIF_GTC, TIF_GTD, "time in force")
    o.flags = <uint16_t>within(r, 0, FLAG_POST_ONLY, "flags")
    o.strategy_id = <uint16_t>within(r, 0, UINT16_MAX, "strategy")
    due_ns = within(r, 0, INT64_MAX, "due time")
    number = within(r, 0, armed, "arming number")
    k.arming += 1
    o.arming = k.arming
    o.order_type = TYPE_LIMIT
    o.price = at.price
    if due_ns:
        timer_arm(k, intent.id, due_ns, number)
    return 0


cdef uint32_t take_group(reader_t* r, kernel_t* k, const order_t* o, int64_t group_id) except 0:
    """The group of an order, which the order joins."""
    cdef uint64_t key = <uint64_t>o.account << 16 | group_id
    cdef uint32_t group = group_of(k, o.account, group_id)
    cdef bint cancels = (o.flags & FLAG_GROUP_OCO) != 0
    if group == 0:
        group = market_group(&k.market, key, cancels)
        if group == 0 or map_put(&k.groups, key, group):
            raise ValueError(f"snapshot: order {o.order_id}: more groups than there is room for")
    elif k.market.groups[group].held == GROUP_MEMBERS or k.market.groups[group].cancels != cancels:
        raise ValueError(f"snapshot: order {o.order_id}: its group is full, or of another kind")
    k.market.groups[group].held += 1
    return group


cdef int take_order(reader_t* r, kernel_t* k) except -1:
    cdef uint32_t index = market_take(&k.market)
    cdef uint32_t account
    cdef intent_t intent
    cdef standing_t at
    cdef order_t* o = order_at(k, index)
    cdef position_t* p
    cdef int64_t at_work
    if k.market.order_pool.used > k.capacity:
        raise ValueError(f"snapshot: more open orders than its capacity of {k.capacity}")
    memset(&intent, 0, sizeof(intent_t))
    memset(&at, 0, sizeof(standing_t))
    o.order_id = <uint64_t>take(r)
    account = account_named(r, k)
    if o.order_id == 0 or order_of(k, account, o.order_id) or id_known(&k.accounts[account].closed_ids, o.order_id):
        raise ValueError(f"snapshot: word {r.at - 1}: order {o.order_id} is zero or comes twice")
    o.account = account
    o.instrument = instrument_named(r, k)
    o.side = <uint8_t>within(r, SIDE_BUY, SIDE_SELL, "side")
    o.timer = 0
    o.position = 0
    o.life = ORDER_OPEN
    if not k.accounts[account].flags & ACCOUNT_EXEMPT:
        o.position = pair_add(k, account, o.instrument)
    intent.id = index
    intent.owner = k.accounts[account].owner
    intent.side = o.side
    if k.instruments[o.instrument].venue:
        take_routed(r, k, index)
        return 0
    if k.rules > 1:
        take_standing(r, k, o, &at, &intent)
    else:
        take_plain(r, k, o, &at, &intent)
    o.leaves = at.leaves
    intent.quantity = at.leaves
    intent.price = at.price
    intent.flags = o.flags
    intent.order_type = o.order_type
    intent.time_in_force = o.time_in_force
    intent.arming = o.arming
    k.accounts[account].open_orders += 1
    order_name(k, account, o.order_id, order_hash(account, o.order_id), index)
    if (
        (o.position == 0 and not k.accounts[account].flags & ACCOUNT_EXEMPT)
        or not market_room(&k.market, o.instrument, o.side, at.price)
        or market_stand(&k.market, o.instrument, index, &intent, &at)
    ):
        raise ValueError(f"snapshot: order {o.order_id}: no room for its position or its price")
    if k.market.extras[k.market.orders[index].extra].unentered:
        o.life |= ORDER_UNENTERED
    work(k, o, o.leaves)
    if o.position:
        p = &k.positions[o.position]
        at_work = p.quantity + p.open_buy if o.side == SIDE_BUY else p.open_sell - p.quantity
        if at_work > MAX_HELD:
            raise ValueError(f"snapshot: order {o.order_id}: expected at most {MAX_HELD} lots held and at work, "
                             f"found {at_work}")
    return 0


cdef int link_orders(kernel_t* k) except -1:
    """What ties orders to each other, once all are there: oldest first, and triggers by their standing numbers."""
    cdef int64_t count = 0, waiting = 0, n
    cdef uint32_t i, slot, parent
    cdef const extra_t* extra
    cdef const order_t* o
    for i in range(k.instrument_count):
        count = walk_gather(k, k.instrument_order[i], count)
    oldest_first(k, k.walk, count)
    for n in range(count):
        slot = k.walk[n]
        o = order_at(k, slot)
        if o.life & ORDER_ROUTED:
            continue
        if o.position and o.flags & FLAG_REDUCE_ONLY:
            reduce_join(k, slot)
        if k.market.orders[slot].extra == 0:
            continue
        extra = &k.market.extras[k.market.orders[slot].extra]
        parent = 0
        if extra.parent_id:
            parent = order_of(k, o.account, extra.parent_id)
            if parent == 0 or parent == slot or market_children(&k.market, parent) == GROUP_MEMBERS or (
                k.market.extras[k.market.orders[parent].extra].parent_id
            ):
                raise ValueError(f"snapshot: order {o.order_id}: expected an open parent with room, found {extra.parent_id}")
        market_link(&k.market, slot, parent, order_at(k, parent).filled if parent else 0)
    for n in range(count):
        slot = k.walk[n]
        if k.market.orders[slot].extra and k.market.extras[k.market.orders[slot].extra].stood:
            k.walk[waiting] = slot
            waiting += 1
    by_standing(k, k.walk, waiting)
    for n in range(waiting):
        if market_await(&k.market, k.walk[n]):
            raise ValueError(f"snapshot: order {order_at(k, k.walk[n]).order_id}: no room for its trigger")
    return 0


cdef int take_state(reader_t* r, kernel_t* k, bint huge) except -1:
    """Fills `k`, which holds nothing yet."""
    cdef int64_t n, rules, capacity, closed_capacity
    cdef int64_t[5] head
    cdef bint killed
    rules = take(r)
    if rules < 1 or rules > KERNEL_RULES:
        raise ValueError(f"snapshot: expected rules version 1 to {KERNEL_RULES}, found {rules}")
    for n in range(5):
        head[n] = within(r, 0, INT64_MAX, "a sequence or time")
    killed = within(r, 0, 1, "killed")
    capacity = within(r, 1, INT32_MAX, "capacity")
    closed_capacity = within(r, 1, 1 << 30, "closed capacity")
    if closed_capacity & (closed_capacity - 1):
        raise ValueError(f"snapshot: closed capacity: expected a power of two, found {closed_capacity}")
    if state_open(k, <uint32_t>capacity, <uint32_t>closed_capacity, huge):
        raise MemoryError("snapshot: no memory for its capacity")
    k.rules = rules
    k.sequence = head[0]
    k.event_sequence = head[1]
    k.now_ns = head[2]
    k.match_id = head[3]
    k.arming = head[4]
    k.killed = killed
    if rules > 1:
        k.session_seen = within(r, 0, 1, "session seen")
        k.session_date = <int32_t>within(r, INT32_MIN, INT32_MAX, "date")
    for n in range(within(r, 0, MAX_INSTRUMENTS, "instruments")):
        take_instrument(r, k)
    take_accounts(r, k)
    for n in range(within(r, 0, capacity, "open orders")):
        take_order(r, k)
    link_orders(k)
    take_venues(r, k)
    accounts_restored(k)
    k.rules = KERNEL_RULES
    take_hashes(r, k)
    if r.at != r.count:
        raise ValueError(f"snapshot: expected {r.at} words of 8 bytes, found {r.count}")
    return 0


cdef int snapshot_read(kernel_t* k, const unsigned char[::1] data) except -1:
    """Replaces the state. Raises ValueError naming what is wrong, or MemoryError; the state is as before then."""
    cdef reader_t r
    cdef kernel_t fresh
    cdef int64_t* copy
    cdef size_t size = data.shape[0]
    if size == 0 or size % 8:
        raise ValueError(f"snapshot: expected a multiple of 8 bytes, found {size}")
    copy = <int64_t*>realloc(NULL, size)
    if copy == NULL:
        raise MemoryError("snapshot: no memory")
    memcpy(copy, &data[0], size)
    memset(&fresh, 0, sizeof(kernel_t))
    r.data = copy
    r.count = size // 8
    r.at = 0
    try:
        take_state(&r, &fresh, k.huge)
    except BaseException:
        state_close(&fresh)
        raise
    finally:
        free(copy)
    state_close(k)
    k[0] = fresh
    hooks_set(k)
    return 0
