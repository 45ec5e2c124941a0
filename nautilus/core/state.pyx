"""The kernel's state: mapping its memory, adding instruments, accounts and positions."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memmove, memset

from nautilus.core.hashing cimport HASH_XXH3, hash_open
from nautilus.core.hashmap cimport map_close, map_find, map_open, map_put
from nautilus.core.market cimport MOST_OF_ICEBERGS, market_book, market_close, market_open, market_options_t
from nautilus.core.memory cimport map_region, unmap_region
from nautilus.core.money cimport MONEY_UNIT
from nautilus.core.order_ids cimport id_set_close, id_set_open, order_map_close, order_map_open
from nautilus.core.pool cimport pool_close, pool_open, pool_still
from nautilus.core.positions cimport lot_t, position_t
from nautilus.core.risk cimport pair_value_t
from nautilus.core.types cimport KERNEL_RULES, PHASE_CONTINUOUS, event_t

cdef size_t spill_bytes(const kernel_t* k) noexcept nogil:
    # One command can at most expire every open order, then do all that the market has room to report.
    return (<size_t>k.capacity * 9 + 256 + MOST_OF_ICEBERGS) * sizeof(event_t)


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
    k.rules = KERNEL_RULES
    k.rates[0] = MONEY_UNIT
    k.total.credit = -1
    hash_open(&k.event_hash, HASH_XXH3)
    hash_open(&k.command_hash, HASH_XXH3)
    k.instruments = <instrument_t*>map_region(sizeof(instrument_t) * (MAX_INSTRUMENTS + 1), False)
    k.instrument_order = <uint32_t*>map_region(4 * (MAX_INSTRUMENTS + 1), False)
    k.instrument_small = <uint32_t*>map_region(4 * SMALL_IDS, False)
    k.accounts = <account_t*>map_region(sizeof(account_t) * (MAX_ACCOUNTS + 1), False)
    k.account_order = <uint32_t*>map_region(4 * (MAX_ACCOUNTS + 1), False)
    k.account_small = <uint32_t*>map_region(4 * SMALL_IDS, False)
    k.positions = <position_t*>map_region(sizeof(position_t) * (MAX_POSITIONS + 1), False)
    k.limits = <limit_t*>map_region(sizeof(limit_t) * MAX_LIMITS, False)
    k.fees = <limit_t*>map_region(sizeof(limit_t) * MAX_FEES, False)
    k.pair_values = <pair_value_t*>map_region(sizeof(pair_value_t) * (MAX_POSITIONS + 1), False)
    k.sources = <uint64_t*>map_region(8 * 65536, False)
    k.timers = <timer_t*>map_region(sizeof(timer_t) * (<size_t>capacity + 1 + 2 * MAX_INSTRUMENTS), False)
    k.spill = <event_t*>map_region(spill_bytes(k), False)
    k.orders = <order_t*>map_region(sizeof(order_t) * (<size_t>capacity + 2), huge)
    k.probes = <probe_t*>map_region(sizeof(probe_t) * (MAX_POSITIONS + 1), False)
    k.walk = <uint32_t*>map_region(4 * (<size_t>capacity + 2), False)
    k.reduce = <link_t*>map_region(sizeof(link_t) * (<size_t>capacity + 2), False)
    k.turned = <uint32_t*>map_region(4 * (MAX_POSITIONS + 1), False)
    k.routed = <routed_t*>map_region(sizeof(routed_t) * (<size_t>capacity + 2), False)
    k.venues = <venue_t*>map_region(sizeof(venue_t) * MAX_VENUES, False)
    k.reconciled = <uint64_t*>map_region(32 * (MAX_ACCOUNTS + 1), False)
    if (
        k.instruments == NULL or k.instrument_order == NULL or k.instrument_small == NULL or k.accounts == NULL
        or k.account_order == NULL or k.account_small == NULL or k.positions == NULL or k.limits == NULL
        or k.sources == NULL or k.timers == NULL or k.spill == NULL or k.fees == NULL or k.pair_values == NULL
        or k.orders == NULL or k.walk == NULL or k.probes == NULL or k.reduce == NULL or k.turned == NULL
        or k.routed == NULL or k.venues == NULL or k.reconciled == NULL
    ):
        return -1
    if (
        map_open(&k.instrument_ids, MAX_INSTRUMENTS) or map_open(&k.account_ids, MAX_ACCOUNTS)
        or map_open(&k.position_ids, MAX_POSITIONS) or map_open(&k.groups, MAX_GROUPS)
        or map_open(&k.strategies, MAX_STRATEGIES) or map_open(&k.owners, MAX_ACCOUNTS)
        or pool_open(&k.lots, sizeof(lot_t), MAX_LOTS, False) or pool_open(&k.cash, sizeof(cash_t), MAX_CASH, False)
        or order_map_open(&k.order_map, capacity, huge) or market_open(&k.market, &options)
    ):
        return -1
    return 0


cdef void state_close(kernel_t* k) noexcept nogil:
    cdef uint32_t i
    pool_still(&k.market.order_pool)    # its thread serves the others too (growth.pyx)
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
    unmap_region(k.fees, sizeof(limit_t) * MAX_FEES)
    unmap_region(k.pair_values, sizeof(pair_value_t) * (MAX_POSITIONS + 1))
    unmap_region(k.sources, 8 * 65536)
    unmap_region(k.timers, sizeof(timer_t) * (<size_t>k.capacity + 1 + 2 * MAX_INSTRUMENTS))
    unmap_region(k.spill, spill_bytes(k))
    map_close(&k.instrument_ids)
    map_close(&k.account_ids)
    map_close(&k.position_ids)
    map_close(&k.groups)
    map_close(&k.strategies)
    pool_close(&k.lots)
    pool_close(&k.cash)
    order_map_close(&k.order_map)
    unmap_region(k.orders, sizeof(order_t) * (<size_t>k.capacity + 2))
    unmap_region(k.probes, sizeof(probe_t) * (MAX_POSITIONS + 1))
    map_close(&k.owners)
    unmap_region(k.walk, 4 * (<size_t>k.capacity + 2))
    unmap_region(k.reduce, sizeof(link_t) * (<size_t>k.capacity + 2))
    unmap_region(k.turned, 4 * (MAX_POSITIONS + 1))
    if k.venues != NULL:
        for i in range(MAX_VENUES):
            id_set_close(&k.venues[i].known)
            unmap_region(k.venues[i].ids, 8 * MAX_EXECUTIONS)
    unmap_region(k.routed, sizeof(routed_t) * (<size_t>k.capacity + 2))
    unmap_region(k.venues, sizeof(venue_t) * MAX_VENUES)
    unmap_region(k.reconciled, 32 * (MAX_ACCOUNTS + 1))
    market_close(&k.market)
    memset(k, 0, sizeof(kernel_t))


cdef int venue_add(kernel_t* k, uint32_t venue) noexcept nogil:
    """An instrument of that external venue comes: room for its execution ids, once."""
    cdef venue_t* at = &k.venues[venue]
    if at.ids == NULL:
        at.ids = <uint64_t*>map_region(8 * MAX_EXECUTIONS, False)
        if at.ids == NULL or id_set_open(&at.known, MAX_EXECUTIONS, False):
            unmap_region(at.ids, 8 * MAX_EXECUTIONS)
            at.ids = NULL
            return -1
    k.external = True
    return 0


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
    instrument.volatility_bps = -1
    if instrument_id < SMALL_IDS:
        k.instrument_small[instrument_id] = index
    else:
        map_put(&k.instrument_ids, instrument_id, index)
    while at and k.instruments[k.instrument_order[at - 1]].id > instrument_id:
        at -= 1
    memmove(&k.instrument_order[at + 1], &k.instrument_order[at], 4 * (index - 1 - at))
    k.instrument_order[at] = index
    return index


cdef void owner_set(kernel_t* k, uint32_t account, uint32_t group) noexcept nogil:
    """The account's self-match group, and the number that its orders have: its own index, or that of the group."""
    cdef uint32_t* found
    k.accounts[account].self_match_group = <uint16_t>group
    k.accounts[account].owner = <uint16_t>account
    if group:
        found = map_find(&k.owners, group)
        if found == NULL:
            k.accounts[account].owner = <uint16_t>(MAX_OWNERS - k.owner_groups)
            map_put(&k.owners, group, MAX_OWNERS - k.owner_groups)
            k.owner_groups += 1
        else:
            k.accounts[account].owner = <uint16_t>found[0]


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
    account.owner = <uint16_t>index
    account.risk.slack_version = -1
    if account_id < SMALL_IDS:
        k.account_small[account_id] = index
    else:
        map_put(&k.account_ids, account_id, index)
    while at and k.accounts[k.account_order[at - 1]].id > account_id:
        at -= 1
    memmove(&k.account_order[at + 1], &k.account_order[at], 4 * (index - 1 - at))
    k.account_order[at] = index
    return index


cdef uint32_t position_add(kernel_t* k, uint32_t account, uint32_t instrument) noexcept nogil:
    """Index of the position entry of two indexes, made where there is none; 0 where there is no room.

    Only `pair_add` calls it, which also works its limits out.
    """
    cdef uint32_t index = position_of(k, account, instrument)
    cdef position_t* position
    if index:
        return index
    if k.position_count == MAX_POSITIONS:
        return 0
    index = k.position_count + 1
    position = &k.positions[index]
    position.account = account
    position.instrument = instrument
    if k.instruments[instrument].venue:
        position.controls = CONTROL_EXTERNAL
    if instrument < 64:
        k.accounts[account].near[instrument] = index
    elif map_put(&k.position_ids, (<uint64_t>account << 32) | instrument, index):
        return 0
    k.position_count = index
    position.next_of_account = k.accounts[account].risk.first_pair
    k.accounts[account].risk.first_pair = index
    position.next_of_instrument = k.instruments[instrument].first_pair
    k.instruments[instrument].first_pair = index
    return index
