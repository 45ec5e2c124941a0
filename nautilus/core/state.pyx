"""The kernel's state: mapping its memory, adding instruments, accounts, positions and limits."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memmove, memset

from nautilus.core.hashing cimport xxh64_open
from nautilus.core.hashmap cimport map_close, map_open, map_put
from nautilus.core.market cimport market_book, market_close, market_open, market_options_t
from nautilus.core.memory cimport map_region, unmap_region
from nautilus.core.order_ids cimport id_set_close, id_set_open, order_map_close, order_map_open
from nautilus.core.positions cimport position_t
from nautilus.core.types cimport (
    LIMIT_MESSAGE_RATE,
    LIMIT_ORDER_NOTIONAL,
    LIMIT_ORDER_QUANTITY,
    LIMIT_POSITION,
    LIMIT_PRICE_COLLAR,
    PHASE_CONTINUOUS,
    event_t,
)

cdef size_t spill_bytes(const kernel_t* k) noexcept nogil:
    # One command can at most expire every open order, then fill or cancel each: twice the capacity, and its own few.
    return (<size_t>k.capacity * 2 + 64) * sizeof(event_t)


cdef int state_open(kernel_t* k, uint32_t capacity, uint32_t closed_capacity, bint huge) noexcept nogil:
    """0, or -1 where the memory cannot be had; then `state_close` frees what was."""
    cdef market_options_t options
    memset(k, 0, sizeof(kernel_t))
    memset(&options, 0, sizeof(market_options_t))
    options.instruments = MAX_INSTRUMENTS + 1
    options.orders = capacity + 1       # one for an order on its way through
    options.extras = capacity + 1
    options.groups = MAX_GROUPS
    options.pages = capacity + 1 if capacity < MAX_PAGES else MAX_PAGES
    options.keep = True
    options.small = not huge
    options.closed = True
    k.capacity = capacity
    k.closed_capacity = closed_capacity
    k.huge = huge
    xxh64_open(&k.event_hash)
    xxh64_open(&k.command_hash)
    k.instruments = <instrument_t*>map_region(sizeof(instrument_t) * (MAX_INSTRUMENTS + 1), False)
    k.instrument_order = <uint32_t*>map_region(4 * (MAX_INSTRUMENTS + 1), False)
    k.instrument_small = <uint32_t*>map_region(4 * SMALL_IDS, False)
    k.accounts = <account_t*>map_region(sizeof(account_t) * (MAX_ACCOUNTS + 1), False)
    k.account_order = <uint32_t*>map_region(4 * (MAX_ACCOUNTS + 1), False)
    k.account_small = <uint32_t*>map_region(4 * SMALL_IDS, False)
    k.positions = <position_t*>map_region(sizeof(position_t) * (MAX_POSITIONS + 1), False)
    k.limits = <limit_t*>map_region(sizeof(limit_t) * MAX_LIMITS, False)
    k.sources = <uint64_t*>map_region(8 * 65536, False)
    k.timers = <timer_t*>map_region(sizeof(timer_t) * (<size_t>capacity + 1 + 2 * MAX_INSTRUMENTS), False)
    k.spill = <event_t*>map_region(spill_bytes(k), False)
    k.orders = <order_t*>map_region(sizeof(order_t) * (<size_t>capacity + 2), huge)
    k.walk = <uint32_t*>map_region(4 * (<size_t>capacity + 2), False)
    k.reduce = <link_t*>map_region(sizeof(link_t) * (<size_t>capacity + 2), False)
    k.turned = <uint32_t*>map_region(4 * (MAX_POSITIONS + 1), False)
    if (
        k.instruments == NULL or k.instrument_order == NULL or k.instrument_small == NULL or k.accounts == NULL
        or k.account_order == NULL or k.account_small == NULL or k.positions == NULL or k.limits == NULL
        or k.sources == NULL or k.timers == NULL or k.spill == NULL or k.orders == NULL or k.walk == NULL
        or k.reduce == NULL or k.turned == NULL
    ):
        return -1
    if (
        map_open(&k.instrument_ids, MAX_INSTRUMENTS) or map_open(&k.account_ids, MAX_ACCOUNTS)
        or map_open(&k.position_ids, MAX_POSITIONS) or map_open(&k.groups, MAX_GROUPS)
        or order_map_open(&k.order_map, capacity, huge) or market_open(&k.market, &options)
    ):
        return -1
    return 0


cdef void state_close(kernel_t* k) noexcept nogil:
    cdef uint32_t i
    if k.accounts != NULL:
        for i in range(1, k.account_count + 1):
            id_set_close(&k.accounts[i].closed_ids)
            unmap_region(k.accounts[i].closed, <size_t>8 * k.closed_capacity)
    unmap_region(k.instruments, sizeof(instrument_t) * (MAX_INSTRUMENTS + 1))
    unmap_region(k.instrument_order, 4 * (MAX_INSTRUMENTS + 1))
    unmap_region(k.instrument_small, 4 * SMALL_IDS)
    unmap_region(k.accounts, sizeof(account_t) * (MAX_ACCOUNTS + 1))
    unmap_region(k.account_order, 4 * (MAX_ACCOUNTS + 1))
    unmap_region(k.account_small, 4 * SMALL_IDS)
    unmap_region(k.positions, sizeof(position_t) * (MAX_POSITIONS + 1))
    unmap_region(k.limits, sizeof(limit_t) * MAX_LIMITS)
    unmap_region(k.sources, 8 * 65536)
    unmap_region(k.timers, sizeof(timer_t) * (<size_t>k.capacity + 1 + 2 * MAX_INSTRUMENTS))
    unmap_region(k.spill, spill_bytes(k))
    map_close(&k.instrument_ids)
    map_close(&k.account_ids)
    map_close(&k.position_ids)
    map_close(&k.groups)
    order_map_close(&k.order_map)
    unmap_region(k.orders, sizeof(order_t) * (<size_t>k.capacity + 2))
    unmap_region(k.walk, 4 * (<size_t>k.capacity + 2))
    unmap_region(k.reduce, sizeof(link_t) * (<size_t>k.capacity + 2))
    unmap_region(k.turned, 4 * (MAX_POSITIONS + 1))
    market_close(&k.market)
    memset(k, 0, sizeof(kernel_t))


cdef uint32_t instrument_add(kernel_t* k, uint32_t instrument_id) noexcept nogil:
    """Index of the new instrument, 0 where there is no room. The caller fills its rules."""
    cdef uint32_t index = k.instrument_count + 1
    cdef uint32_t at = k.instrument_count
    cdef instrument_t* instrument = &k.instruments[index]
    if index > MAX_INSTRUMENTS:
        return 0
    market_book(&k.market, index)
    k.market.books[index].key = instrument_id
    k.instrument_count = index
    instrument.id = instrument_id
    instrument.phase = PHASE_CONTINUOUS
    if instrument_id < SMALL_IDS:
        k.instrument_small[instrument_id] = index
    else:
        map_put(&k.instrument_ids, instrument_id, index)
    while at and k.instruments[k.instrument_order[at - 1]].id > instrument_id:
        at -= 1
    memmove(&k.instrument_order[at + 1], &k.instrument_order[at], 4 * (index - 1 - at))
    k.instrument_order[at] = index
    return index


cdef uint32_t account_add(kernel_t* k, uint32_t account_id) noexcept nogil:
    """Index of the new account, 0 where there is no room."""
    cdef uint32_t index = k.account_count + 1
    cdef uint32_t at = k.account_count
    cdef account_t* account = &k.accounts[index]
    if index > MAX_ACCOUNTS:
        return 0
    account.closed = <uint64_t*>map_region(<size_t>8 * k.closed_capacity, False)
    if account.closed == NULL or id_set_open(&account.closed_ids, k.closed_capacity, k.huge):
        unmap_region(account.closed, <size_t>8 * k.closed_capacity)
        account.closed = NULL
        return 0
    k.account_count = index
    account.id = account_id
    if account_id < SMALL_IDS:
        k.account_small[account_id] = index
    else:
        map_put(&k.account_ids, account_id, index)
    while at and k.accounts[k.account_order[at - 1]].id > account_id:
        at -= 1
    memmove(&k.account_order[at + 1], &k.account_order[at], 4 * (index - 1 - at))
    k.account_order[at] = index
    rate_refresh(k, account)
    return index


cdef uint32_t position_add(kernel_t* k, uint32_t account, uint32_t instrument) noexcept nogil:
    """Index of the position entry of two indexes, made where there is none; 0 where there is no room."""
    cdef uint32_t index = position_of(k, account, instrument)
    cdef uint32_t kind
    cdef position_t* position
    if index:
        return index
    if k.position_count == MAX_POSITIONS:
        return 0
    index = k.position_count + 1
    position = &k.positions[index]
    position.account = account
    position.instrument = instrument
    if instrument < 64:
        k.accounts[account].near[instrument] = index
    elif map_put(&k.position_ids, (<uint64_t>account << 32) | instrument, index):
        return 0
    k.position_count = index
    for kind in range(LIMIT_ORDER_QUANTITY, LIMIT_POSITION + 1):
        position_refresh(k, position, kind)
    return index


cdef bint limit_find(
    const kernel_t* k, uint32_t kind, uint32_t account, uint32_t instrument, uint32_t* at
) noexcept nogil:
    """Whether the limit of that kind and scope is set; `at` gets its place, or the one it would have.

    Entries are sorted by (kind, account, instrument).
    """
    cdef uint32_t low = 0, high = k.limit_count, middle
    cdef const limit_t* limit
    while low < high:
        middle = (low + high) >> 1
        limit = &k.limits[middle]
        if limit.kind < kind or (limit.kind == kind and (
            limit.account < account or (limit.account == account and limit.instrument < instrument)
        )):
            low = middle + 1
        else:
            high = middle
    at[0] = low
    if low == k.limit_count:
        return False
    limit = &k.limits[low]
    return limit.kind == kind and limit.account == account and limit.instrument == instrument


cdef int limit_set(
    kernel_t* k, uint32_t kind, uint32_t account, uint32_t instrument, int64_t value, int64_t window
) noexcept nogil:
    """Sets, replaces or (value -1) removes a limit. 0, or -1 where the table is full."""
    cdef uint32_t at = 0
    cdef limit_t* limit
    cdef bint found = limit_find(k, kind, account, instrument, &at)
    if value < 0:
        if found:
            k.limit_count -= 1
            memmove(&k.limits[at], &k.limits[at + 1], (k.limit_count - at) * sizeof(limit_t))
        return 0
    if not found:
        if k.limit_count == MAX_LIMITS:
            return -1
        memmove(&k.limits[at + 1], &k.limits[at], (k.limit_count - at) * sizeof(limit_t))
        k.limit_count += 1
    limit = &k.limits[at]
    limit.kind = kind
    limit.account = account
    limit.instrument = instrument
    limit.value = value
    limit.window = window
    return 0


cdef void rate_refresh(kernel_t* k, account_t* account) noexcept nogil:
    """The account's own message rate, else that of every account."""
    cdef uint32_t at = 0
    account.rate_interval = 0
    account.rate_slack = 0
    if limit_find(k, LIMIT_MESSAGE_RATE, account.id, 0, &at) or limit_find(k, LIMIT_MESSAGE_RATE, 0, 0, &at):
        account.rate_interval = k.limits[at].window // k.limits[at].value
        account.rate_slack = k.limits[at].window - account.rate_interval


cdef int64_t tightest(const kernel_t* k, uint32_t kind, uint32_t account, uint32_t instrument) noexcept nogil:
    """Smallest value of the kind among the four scopes that hold both ids; -1: none is set."""
    cdef int64_t least = -1
    cdef uint32_t at = 0
    cdef int scope
    for scope in range(4):
        if limit_find(k, kind, account if scope & 1 else 0, instrument if scope & 2 else 0, &at) and (
            least < 0 or k.limits[at].value < least
        ):
            least = k.limits[at].value
    return least


cdef void position_refresh(kernel_t* k, position_t* position, uint32_t kind) noexcept nogil:
    """Works the effective limit of one kind out anew."""
    cdef int64_t value = tightest(k, kind, k.accounts[position.account].id, k.instruments[position.instrument].id)
    if kind == LIMIT_ORDER_QUANTITY:
        position.max_quantity = value
    elif kind == LIMIT_ORDER_NOTIONAL:
        position.max_notional = value
    elif kind == LIMIT_PRICE_COLLAR:
        position.collar_bps = value
    elif kind == LIMIT_POSITION:
        position.max_position = value


cdef void limits_refresh(kernel_t* k, uint32_t kind, uint32_t account, uint32_t instrument) noexcept nogil:
    """After a LIMIT of that kind and scope (indexes, 0: every): the effective limits that it reaches."""
    cdef uint32_t i
    if kind == LIMIT_MESSAGE_RATE:
        for i in range(1, k.account_count + 1):
            if account == 0 or i == account:
                rate_refresh(k, &k.accounts[i])
    elif account and instrument:
        i = position_of(k, account, instrument)
        if i:
            position_refresh(k, &k.positions[i], kind)
    else:
        for i in range(1, k.position_count + 1):
            if (account == 0 or k.positions[i].account == account) and (
                instrument == 0 or k.positions[i].instrument == instrument
            ):
                position_refresh(k, &k.positions[i], kind)
