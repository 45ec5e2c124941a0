# Client ids to slots (order_index.pxd). Part of market.pyx.

cdef int names_open(market_t* m, uint64_t orders) noexcept nogil:
    cdef order_index_t* x = &m.names
    cdef uint64_t entries = (<uint64_t>1) << INDEX_FIRST_BITS
    while entries < 2 * orders:
        entries <<= 1
    x.region_entries = 2 * entries
    x.region = <uint64_t*>map_region(x.region_entries * sizeof(uint64_t), True)
    m.highs = <uint32_t*>map_region((orders + 1) * sizeof(uint32_t), False)
    if x.region == NULL or m.highs == NULL:
        return -1
    index_use(x, INDEX_FIRST_BITS)
    # Where the loader put it and where memory lies is not known outside; no report depends on it.
    x.seed = (<uint64_t><size_t>x.region >> 12 ^ <uint64_t><size_t>m >> 4) * <uint64_t>0xD6E8FEB86659FD93 | 1
    x.seed ^= <uint64_t>0x9E3779B97F4A7C15 & ~<uint64_t>1
    return 0


cdef void names_close(market_t* m) noexcept nogil:
    if m.names.region != NULL:
        unmap_region(m.names.region, m.names.region_entries * sizeof(uint64_t))
    if m.highs != NULL:
        unmap_region(m.highs, (<size_t>m.order_pool.capacity + 1) * sizeof(uint32_t))


cdef void names_warm(market_t* m, uint64_t orders) noexcept nogil:
    """Commits the tables up to the one for so many orders. It still begins with the smallest: lines of a table that is
    larger than its orders ask for are cold lines."""
    cdef uint64_t entries = (<uint64_t>1) << INDEX_FIRST_BITS
    while entries < 2 * orders:
        entries <<= 1
    touch(m.names.region, 2 * entries * sizeof(uint64_t))


cdef inline bint name_is(const market_t* m, uint32_t slot, uint64_t order_id) noexcept nogil:
    """Whether an order whose key fits has this id. While no id is over 32 bits the key is the id."""
    if ladder_likely((m.wide | order_id >> 32) == 0):
        return True
    return m.orders[slot].id == <uint32_t>order_id and m.highs[slot] == <uint32_t>(order_id >> 32)


cdef uint32_t names_find_old(const market_t* m, uint64_t order_id) noexcept nogil:
    cdef const index_table_t* table = &m.names.old
    cdef uint32_t key = index_key(order_id)
    cdef uint64_t at = index_home(&m.names, table, key)
    while table.entries[at]:
        if (
            <uint32_t>table.entries[at] == key and table.entries[at] != INDEX_MARK
            and name_is(m, <uint32_t>(table.entries[at] >> 32), order_id)
        ):
            return <uint32_t>(table.entries[at] >> 32)
        at = (at + 1) & table.mask
    return 0


cdef inline uint32_t names_find(const market_t* m, uint64_t order_id) noexcept nogil:
    """The slot of an open order, 0: none."""
    cdef const uint64_t* entries = m.names.now.entries
    cdef uint32_t key = index_key(order_id)
    cdef uint64_t at = index_home(&m.names, &m.names.now, key)
    cdef uint64_t entry = entries[at]
    while entry:
        if <uint32_t>entry == key and name_is(m, <uint32_t>(entry >> 32), order_id):
            return <uint32_t>(entry >> 32)
        at = (at + 1) & m.names.now.mask
        entry = entries[at]
    if ladder_unlikely(m.names.old.entries != NULL):
        return names_find_old(m, order_id)
    return 0


cdef void names_grow(market_t* m) noexcept nogil:
    if m.names.old.entries == NULL:
        index_double(&m.names)
    if m.names.old.entries != NULL:
        index_move(&m.names)


cdef inline void names_add(market_t* m, uint32_t slot, uint64_t order_id) noexcept nogil:
    cdef order_index_t* x = &m.names
    if ladder_unlikely(order_id >> 32 != 0):
        m.highs[slot] = <uint32_t>(order_id >> 32)
        m.wide += 1
    index_add(x, index_key(order_id), slot)
    x.used += 1
    if ladder_unlikely(x.used >= x.limit or x.old.entries != NULL):
        names_grow(m)


cdef inline void names_remove(market_t* m, uint32_t slot) noexcept nogil:
    cdef uint64_t order_id = m.orders[slot].id
    if ladder_unlikely(m.wide != 0):
        order_id |= <uint64_t>m.highs[slot] << 32
        m.wide -= m.highs[slot] != 0
        m.highs[slot] = 0
    m.names.used -= 1
    if ladder_unlikely(not index_remove(&m.names, index_key(order_id), slot)):
        index_remove_old(&m.names, index_key(order_id), slot)
