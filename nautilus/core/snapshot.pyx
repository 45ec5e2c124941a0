"""Canonical state of the kernel: one writer for the hash and the bytes, one reader for both ends of a restart.

Off the hot path: the buffer grows with realloc. After the state come ten words that are not hashed: lanes and length
of the event hash and of the command hash.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from nautilus.core.book cimport LADDER_EMPTY, ladder_find, ladder_next, ladder_t
from nautilus.core.hashing cimport xxh64_t, xxh64_words
from nautilus.core.matching cimport order_closed, order_rest
from nautilus.core.order_ids cimport order_hash, order_map_put
from nautilus.core.pool cimport pool_take
from nautilus.core.positions cimport money_high, money_join, money_low, position_t
from nautilus.core.state cimport (
    account_add,
    account_of,
    account_t,
    instrument_add,
    instrument_of,
    instrument_t,
    kernel_t,
    ladder_of,
    limit_set,
    limit_t,
    limits_refresh,
    order_at,
    order_t,
    position_add,
    position_of,
    state_close,
    state_open,
)
from nautilus.core.timers cimport timer_arm
from nautilus.core.types cimport ACCOUNT_EXEMPT, KERNEL_RULES

cdef struct words_t:
    int64_t* data
    size_t count
    size_t capacity
    bint failed

cdef struct reader_t:
    const int64_t* data
    size_t count
    size_t at


cdef void put(words_t* w, int64_t word) noexcept:
    cdef int64_t* grown
    if w.count == w.capacity:
        grown = <int64_t*>realloc(w.data, (w.capacity * 2 + 1024) * 8)
        if grown == NULL:
            w.failed = True
            return
        w.data = grown
        w.capacity = w.capacity * 2 + 1024
    w.data[w.count] = word
    w.count += 1


cdef void put_instrument(words_t* w, const instrument_t* i) noexcept:
    cdef uint32_t b
    put(w, i.id)
    put(w, i.multiplier)
    put(w, i.lot_step)
    put(w, i.minimum)
    put(w, i.price_step)
    put(w, i.currency)
    put(w, i.product)
    put(w, i.flags)
    put(w, i.phase)
    put(w, i.close_ns)
    put(w, i.date)
    put(w, i.has_mark)
    put(w, i.mark)
    put(w, i.has_last)
    put(w, i.last)
    put(w, i.killed)
    put(w, i.bands)
    for b in range(i.bands):
        put(w, i.band[b].first)
        put(w, i.band[b].step)


cdef void put_account(words_t* w, kernel_t* k, const account_t* a) noexcept:
    cdef uint32_t n
    put(w, a.id)
    put(w, a.flags)
    put(w, a.killed)
    put(w, a.rate_tat)
    put(w, a.closed_count)
    for n in range(a.closed_count):
        put(w, <int64_t>a.closed[(a.closed_head + n) & (k.closed_capacity - 1)])


cdef bint blank(const position_t* p) noexcept:
    return not (
        p.killed or p.quantity or money_low(p.cost) or money_high(p.cost) or money_low(p.realised)
        or money_high(p.realised)
    )


cdef void put_positions(words_t* w, kernel_t* k) noexcept:
    cdef uint32_t a, i, index
    cdef size_t at = w.count
    cdef int64_t number = 0
    cdef position_t* p
    put(w, 0)
    for a in range(k.account_count):
        for i in range(k.instrument_count):
            index = position_of(k, k.account_order[a], k.instrument_order[i])
            p = &k.positions[index]
            if index == 0 or blank(p):
                continue
            number += 1
            put(w, k.accounts[p.account].id)
            put(w, k.instruments[p.instrument].id)
            put(w, p.killed)
            put(w, p.quantity)
            put(w, <int64_t>money_low(p.cost))
            put(w, money_high(p.cost))
            put(w, <int64_t>money_low(p.realised))
            put(w, money_high(p.realised))
    if not w.failed:
        w.data[at] = number


cdef void put_order(words_t* w, kernel_t* k, const order_t* o) noexcept:
    put(w, <int64_t>o.order_id)
    put(w, k.accounts[o.account].id)
    put(w, k.instruments[o.instrument].id)
    put(w, o.side)
    put(w, o.price)
    put(w, o.leaves)
    put(w, o.filled)
    put(w, o.time_in_force)
    put(w, o.flags)
    put(w, o.strategy_id)
    put(w, k.timers[o.timer - 1].due_ns if o.timer else 0)
    put(w, k.timers[o.timer - 1].arming if o.timer else 0)


cdef void put_orders(words_t* w, kernel_t* k) noexcept:
    cdef uint32_t i, index
    cdef int side
    cdef int64_t rank
    cdef ladder_t* ladder
    put(w, k.orders.used)
    for i in range(k.instrument_count):
        for side in range(1, 3):
            ladder = ladder_of(k, k.instrument_order[i], side)
            rank = ladder.best
            while rank != LADDER_EMPTY:
                index = ladder_find(ladder, rank).head
                while index:
                    put_order(w, k, order_at(k, index))
                    index = order_at(k, index).next
                rank = ladder_next(ladder, rank)


cdef void put_state(words_t* w, kernel_t* k) noexcept:
    cdef uint32_t i
    cdef size_t at
    cdef int64_t number = 0
    put(w, KERNEL_RULES)
    put(w, k.sequence)
    put(w, k.event_sequence)
    put(w, k.now_ns)
    put(w, k.match_id)
    put(w, k.arming)
    put(w, k.killed)
    put(w, k.capacity)
    put(w, k.closed_capacity)
    put(w, k.instrument_count)
    for i in range(k.instrument_count):
        put_instrument(w, &k.instruments[k.instrument_order[i]])
    put(w, k.account_count)
    for i in range(k.account_count):
        put_account(w, k, &k.accounts[k.account_order[i]])
    put(w, k.limit_count)
    for i in range(k.limit_count):
        put(w, k.limits[i].kind)
        put(w, k.limits[i].account)
        put(w, k.limits[i].instrument)
        put(w, k.limits[i].value)
        put(w, k.limits[i].window)
    at = w.count
    put(w, 0)
    for i in range(65536):
        if k.sources[i]:
            number += 1
            put(w, i)
            put(w, <int64_t>k.sources[i])
    if not w.failed:
        w.data[at] = number
    put_positions(w, k)
    put_orders(w, k)


cdef void put_hash(words_t* w, const xxh64_t* h) noexcept:
    cdef int i
    for i in range(4):
        put(w, <int64_t>h.lane[i])
    put(w, <int64_t>h.length)


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
    put_hash(&w, &k.event_hash)
    put_hash(&w, &k.command_hash)
    try:
        if w.failed:
            raise MemoryError("snapshot: no memory")
        return (<char*>w.data)[:w.count * 8]
    finally:
        free(w.data)


cdef int64_t take(reader_t* r) except? -1:
    if r.at >= r.count:
        raise ValueError(f"snapshot: expected more than {r.count} words of 8 bytes, found its end")
    r.at += 1
    return r.data[r.at - 1]


cdef int take_instrument(reader_t* r, kernel_t* k) except -1:
    cdef uint32_t index = instrument_add(k, <uint32_t>take(r))
    cdef uint32_t b
    cdef instrument_t* i = &k.instruments[index]
    if index == 0:
        raise MemoryError("snapshot: no room for its instruments")
    i.multiplier = take(r)
    i.lot_step = take(r)
    i.minimum = take(r)
    i.price_step = take(r)
    i.currency = <uint32_t>take(r)
    i.product = <unsigned short>take(r)
    i.flags = <unsigned short>take(r)
    i.phase = <unsigned char>take(r)
    i.close_ns = take(r)
    i.date = <int>take(r)
    i.has_mark = <unsigned char>take(r)
    i.mark = take(r)
    i.has_last = <unsigned char>take(r)
    i.last = take(r)
    i.killed = <unsigned char>take(r)
    i.bands = <uint32_t>take(r)
    if i.multiplier < 1 or i.lot_step < 1 or i.price_step < 1 or i.bands > 16:
        raise ValueError(f"snapshot: instrument {i.id} has a rule out of range")
    for b in range(i.bands):
        i.band[b].first = take(r)
        i.band[b].step = take(r)
        if i.band[b].step < 1:
            raise ValueError(f"snapshot: instrument {i.id} has a rule out of range")
    return 0


cdef int take_account(reader_t* r, kernel_t* k) except -1:
    cdef uint32_t index = account_add(k, <uint32_t>take(r))
    cdef int64_t n
    cdef account_t* a = &k.accounts[index]
    if index == 0:
        raise MemoryError("snapshot: no room for its accounts")
    a.flags = <unsigned short>take(r)
    a.killed = <unsigned char>take(r)
    a.rate_tat = take(r)
    n = take(r)
    if n < 0 or n > k.closed_capacity:
        raise ValueError(f"snapshot: account {a.id}: expected 0 to {k.closed_capacity} closed ids, found {n}")
    while n:
        order_closed(k, index, <uint64_t>take(r))
        n -= 1
    return 0


cdef int take_position(reader_t* r, kernel_t* k) except -1:
    cdef uint32_t account = account_of(k, <uint32_t>take(r))
    cdef uint32_t instrument = instrument_of(k, <uint32_t>take(r))
    cdef uint32_t index
    cdef position_t* p
    cdef uint64_t low
    if account == 0 or instrument == 0:
        raise ValueError("snapshot: a position names an unknown account or instrument")
    index = position_add(k, account, instrument)
    p = &k.positions[index]
    p.killed = <unsigned char>take(r)
    p.quantity = take(r)
    low = <uint64_t>take(r)
    p.cost = money_join(low, take(r))
    low = <uint64_t>take(r)
    p.realised = money_join(low, take(r))
    return 0


cdef int take_order(reader_t* r, kernel_t* k) except -1:
    cdef uint32_t index = pool_take(&k.orders)
    cdef order_t* o = order_at(k, index)
    cdef int64_t due_ns, arming
    if index == 0:
        raise ValueError(f"snapshot: more open orders than its capacity of {k.capacity}")
    o.order_id = <uint64_t>take(r)
    o.account = account_of(k, <uint32_t>take(r))
    o.instrument = instrument_of(k, <uint32_t>take(r))
    if o.account == 0 or o.instrument == 0:
        raise ValueError(f"snapshot: order {o.order_id} names an unknown account or instrument")
    o.side = <unsigned char>take(r)
    o.price = take(r)
    o.leaves = take(r)
    o.filled = take(r)
    o.time_in_force = <unsigned char>take(r)
    o.flags = <unsigned short>take(r)
    o.strategy_id = <unsigned short>take(r)
    o.reserved = 0
    o.timer = 0
    if (
        (o.side != 1 and o.side != 2) or not 0 < o.leaves <= 1 << 40 or not 0 <= o.filled <= 1 << 40
        or not -(1 << 40) <= o.price <= 1 << 40
    ):
        raise ValueError(f"snapshot: order {o.order_id} has a side, price or quantity out of range")
    o.position = 0
    if not k.accounts[o.account].flags & ACCOUNT_EXEMPT:
        o.position = position_add(k, o.account, o.instrument)
    k.accounts[o.account].open_orders += 1
    order_map_put(&k.order_map, order_hash(o.account, o.order_id), index)
    order_rest(k, index)
    due_ns = take(r)
    arming = take(r)
    if due_ns:
        timer_arm(k, index, due_ns, arming)
    return 0


cdef int take_hash(reader_t* r, xxh64_t* h) except -1:
    cdef int i
    for i in range(4):
        h.lane[i] = <uint64_t>take(r)
    h.length = <uint64_t>take(r)
    return 0


cdef int take_limit(reader_t* r, kernel_t* k) except -1:
    cdef int64_t kind = take(r), account = take(r), instrument = take(r), value = take(r)
    limit_set(k, <uint32_t>kind, <uint32_t>account, <uint32_t>instrument, value, take(r))
    return 0


cdef int take_state(reader_t* r, kernel_t* k) except -1:
    cdef int64_t n, source, capacity, closed_capacity
    cdef int64_t[7] head
    cdef bint huge = k.huge
    n = take(r)
    if n != KERNEL_RULES:
        raise ValueError(f"snapshot: expected rules version {KERNEL_RULES}, found {n}")
    for n in range(6):
        head[n] = take(r)
    capacity = take(r)
    closed_capacity = take(r)
    if (
        not 0 < capacity < 1 << 31 or not 0 < closed_capacity <= 1 << 30 or closed_capacity & (closed_capacity - 1)
    ):
        raise ValueError(f"snapshot: capacities out of range: {capacity}, {closed_capacity}")
    state_close(k)
    if state_open(k, <uint32_t>capacity, <uint32_t>closed_capacity, huge):
        raise MemoryError("snapshot: no memory for its capacity")
    k.sequence = head[0]
    k.event_sequence = head[1]
    k.now_ns = head[2]
    k.match_id = head[3]
    k.arming = head[4]
    k.killed = head[5] != 0
    for n in range(take(r)):
        take_instrument(r, k)
    for n in range(take(r)):
        take_account(r, k)
    for n in range(take(r)):
        take_limit(r, k)
    for n in range(take(r)):
        source = take(r)
        k.sources[source & 0xFFFF] = <uint64_t>take(r)
    for n in range(take(r)):
        take_position(r, k)
    for n in range(take(r)):
        take_order(r, k)
    limits_refresh(k)
    take_hash(r, &k.event_hash)
    take_hash(r, &k.command_hash)
    if r.at != r.count:
        raise ValueError(f"snapshot: expected {r.at} words of 8 bytes, found {r.count}")
    return 0


cdef int snapshot_read(kernel_t* k, const unsigned char[::1] data) except -1:
    """Replaces the state; raises ValueError naming what is wrong, and leaves an unusable state then."""
    cdef reader_t r
    cdef int64_t* copy
    cdef size_t size = data.shape[0]
    if size == 0 or size % 8:
        raise ValueError(f"snapshot: expected a multiple of 8 bytes, found {size}")
    copy = <int64_t*>realloc(NULL, size)
    if copy == NULL:
        raise MemoryError("snapshot: no memory")
    memcpy(copy, &data[0], size)
    r.data = copy
    r.count = size // 8
    r.at = 0
    try:
        return take_state(&r, k)
    finally:
        free(copy)
