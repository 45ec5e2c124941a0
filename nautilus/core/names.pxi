# Client ids to slots (order_index.pxd). Part of market.pyx.
#
# Most ids are below 2^32, and then the key is the id. While one that is not is open, or an order that is not plain, or while
# a larger table takes over, `names.narrow` is 0 and every look-up takes the long way here: so what is common looks at one
# number and need not ask for each of these.

cdef int names_open(market_t* m, uint64_t orders) noexcept nogil:
    m.highs = <uint32_t*>map_region((orders + 1) * sizeof(uint32_t), False)
    return -1 if m.highs == NULL else index_open(&m.names, orders, True)


cdef void names_close(market_t* m) noexcept nogil:
    index_close(&m.names)
    if m.highs != NULL:
        unmap_region(m.highs, (<size_t>m.order_pool.capacity + 1) * sizeof(uint32_t))


cdef void names_warm(market_t* m, uint64_t orders) noexcept nogil:
    """Commits the tables up to the one for so many orders. It still begins with the smallest: lines of a table that is
    larger than its orders ask for are cold lines."""
    touch(m.names.region, 2 * index_buckets(orders) * sizeof(bucket_t))


cdef inline void names_narrow(market_t* m) noexcept nogil:
    m.names.narrow = INDEX_NARROW if m.wide == 0 and m.names.old.buckets == NULL else 0


cdef uint32_t names_find_in(const market_t* m, const index_table_t* table, uint64_t order_id) noexcept nogil:
    cdef uint32_t key = index_key(order_id)
    cdef uint64_t at = index_home(&m.names, table, key)
    cdef const bucket_t* bucket
    cdef uint32_t found, slot
    while True:
        bucket = &table.buckets[at]
        found = index_equal(bucket.keys, key)
        while found:
            slot = bucket.slots[index_first(found)]
            if slot and m.orders[slot].id == <uint32_t>order_id and m.highs[slot] == <uint32_t>(order_id >> 32):
                return slot
            found &= found - 1
        if bucket.passed == 0:
            return 0
        at = (at + 1) & table.mask


cdef apart_uint32 names_find(const market_t* m, uint64_t order_id) noexcept nogil:
    """The slot of an open order, 0: none."""
    cdef uint32_t slot = names_find_in(m, &m.names.now, order_id)
    if slot == 0 and m.names.old.buckets != NULL:
        slot = names_find_in(m, &m.names.old, order_id)
    return slot


cdef apart_int names_grow(market_t* m) noexcept nogil:
    if m.names.old.buckets == NULL:
        index_double(&m.names)
    if m.names.old.buckets != NULL:
        index_move(&m.names)
    names_narrow(m)
    return 0


cdef inline void names_counted(market_t* m) noexcept nogil:
    """One more order has been added."""
    m.names.used += 1
    if ladder_unlikely(m.names.used >= m.names.limit):
        names_grow(m)


cdef apart_int names_add(market_t* m, uint32_t slot, uint64_t order_id) noexcept nogil:
    if order_id >> 32:
        m.highs[slot] = <uint32_t>(order_id >> 32)
        m.wide += 1
        m.names.narrow = 0
    index_add(&m.names, index_key(order_id), slot)
    if m.names.old.buckets != NULL:
        names_grow(m)
    names_counted(m)
    return 0


cdef void names_odd(market_t* m, uint32_t slot) noexcept nogil:
    """An order that was just added turns out to have flags."""
    if m.orders[slot].flags and m.highs[slot] == 0:
        m.wide += 1
        m.names.narrow = 0


cdef apart_int names_remove(market_t* m, uint32_t slot) noexcept nogil:
    cdef uint64_t order_id = m.orders[slot].id
    cdef uint32_t key
    if m.wide and (m.highs[slot] or m.orders[slot].flags):
        order_id |= <uint64_t>m.highs[slot] << 32
        m.wide -= 1
        m.highs[slot] = 0
        names_narrow(m)
    m.names.used -= 1
    key = index_key(order_id)
    if not index_remove(&m.names, &m.names.now, key, slot):
        index_remove(&m.names, &m.names.old, key, slot)
    return 0
