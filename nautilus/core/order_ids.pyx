"""Order ids: set-up and growth, and a Python face for the tests."""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from nautilus.core.hashmap cimport prefetch_line
from nautilus.core.memory cimport map_region, unmap_region
from nautilus.core.order_index cimport index_close, index_equal, index_first, index_home, index_open, index_table_t


cdef int order_map_open(order_map_t* map, uint64_t capacity, bint huge) noexcept nogil:
    """0, or -1 where the memory cannot be had."""
    return index_open(&map.index, capacity, huge)


cdef void order_map_close(order_map_t* map) noexcept nogil:
    index_close(&map.index)


cdef void order_map_grow(order_map_t* map) noexcept nogil:
    if map.index.old.buckets == NULL:
        index_double(&map.index)
    if map.index.old.buckets != NULL:
        index_move(&map.index)


cdef void id_use(id_set_t* ids, id_group_t* groups, uint64_t slots) noexcept nogil:
    ids.now.groups = groups
    ids.now.mask = slots - 1
    ids.now.shift = 64
    while slots > 1:
        slots >>= 1
        ids.now.shift -= 1


cdef void id_most(id_set_t* ids) noexcept nogil:
    """Where the short way of `id_add` ends: at once while there is something to move."""
    ids.most = (ids.now.mask + 1) // 2 if ids.now.mask + 1 < ids.limit else ~<uint64_t>0
    if ids.old.groups != NULL:
        ids.most = 0


cdef int id_set_open(id_set_t* ids, uint64_t most, bint huge) noexcept nogil:
    """0, or -1 where the memory cannot be had."""
    memset(ids, 0, sizeof(id_set_t))
    ids.limit = 16
    while ids.limit < 2 * most:
        ids.limit <<= 1
    ids.region = <id_group_t*>map_region(2 * ids.limit * sizeof(id_group_t), huge)
    id_use(ids, ids.region, ids.limit if ids.limit < ID_SET_FIRST_SLOTS else <uint64_t>ID_SET_FIRST_SLOTS)
    id_most(ids)
    # Where memory lies is not known outside; nothing that is told depends on it.
    ids.seed = ((<uint64_t><size_t>ids.region >> 12) * <uint64_t>0xD6E8FEB86659FD93) ^ <uint64_t>0x9E3779B97F4A7C15 | 1
    return 0 if ids.region != NULL else -1


cdef void id_set_close(id_set_t* ids) noexcept nogil:
    if ids.region != NULL:
        unmap_region(ids.region, 2 * ids.limit * sizeof(id_group_t))
        ids.region = NULL


cdef inline bint id_any(const id_group_t* group) noexcept nogil:
    return (group.bits[0] | group.bits[1] | group.bits[2]) != 0


cdef void id_move(id_set_t* ids, id_group_t* group) noexcept nogil:
    """Takes a group that was left behind over, if it still has bits."""
    if id_any(group):
        id_group(ids, &ids.now, group.key)[0] = group[0]
        group.bits[0] = group.bits[1] = group.bits[2] = 0


cdef void id_tidy(id_set_t* ids) noexcept nogil:
    """A little of the move to a larger table, then of clearing the one left behind for its next turn."""
    cdef int i
    for i in range(ID_SET_MOVED_AT_ONCE):
        if ids.moved <= ids.old.mask:
            id_move(ids, &ids.old.groups[ids.moved])
            ids.moved += 1
        elif ids.cleared <= ids.old.mask:
            ids.old.groups[ids.cleared].key = 0
            ids.cleared += 1
        else:
            ids.old.groups = NULL
            id_most(ids)
            return
    # Where the next ones go is fetched one turn before.
    for i in range(ID_SET_MOVED_AT_ONCE):
        if ids.moved + i <= ids.old.mask:
            prefetch_line(&ids.now.groups[id_home(ids, &ids.now, ids.old.groups[ids.moved + i].key)])


cdef id_group_t* id_here(id_set_t* ids, uint64_t key) noexcept nogil:
    """The group of that key in the table of now, moved over first where it was left behind."""
    if ids.old.groups != NULL and ids.moved <= ids.old.mask:
        id_move(ids, id_group(ids, &ids.old, key))
    return id_group(ids, &ids.now, key)


cdef void id_grow(id_set_t* ids, uint64_t order_id) noexcept nogil:
    if ids.old.groups != NULL:
        id_tidy(ids)
    else:
        ids.old = ids.now
        ids.moved = 0
        ids.cleared = 0
        id_use(ids, ids.region + (ids.limit if ids.old.groups == ids.region else 0), 2 * (ids.old.mask + 1))
        id_most(ids)
    id_here(ids, id_key(order_id))


cdef void id_forget(id_set_t* ids, uint64_t order_id) noexcept nogil:
    """Forgets an id; one that is not there is left alone."""
    cdef id_group_t* group = id_here(ids, id_key(order_id))
    cdef uint64_t hole, at, home, mask = ids.now.mask
    if group.key == 0:
        return
    id_word(group, order_id)[0] &= ~((<uint64_t>1) << (order_id & 63))
    if id_any(group):
        return
    hole = group - ids.now.groups
    at = hole
    while True:
        at = (at + 1) & mask
        if ids.now.groups[at].key == 0:
            break
        home = id_home(ids, &ids.now, ids.now.groups[at].key)
        if ((at - home) & mask) >= ((at - hole) & mask):
            ids.now.groups[hole] = ids.now.groups[at]
            hole = at
    memset(&ids.now.groups[hole], 0, sizeof(id_group_t))
    ids.used -= 1


cdef class IdSet:
    """One thread. A set of at most `most` 64-bit ids, small for ids that lie close together."""

    cdef id_set_t ids
    cdef uint64_t most, count

    def __cinit__(self, uint64_t most):
        self.most = most
        if id_set_open(&self.ids, most, False):
            raise MemoryError("id set: no memory")

    def __dealloc__(self):
        id_set_close(&self.ids)

    def add(self, uint64_t order_id):
        """Adds an id that is not in it."""
        if order_id in self or self.count == self.most:
            raise ValueError(f"id set: expected a new id and fewer than {self.most}, found {order_id} as number "
                             f"{self.count + 1}")
        self.count += 1
        id_add(&self.ids, order_id)

    def forget(self, uint64_t order_id):
        """Takes an id out, if it is there."""
        self.count -= order_id in self
        id_forget(&self.ids, order_id)

    def __contains__(self, uint64_t order_id):
        return id_known(&self.ids, order_id)

    @property
    def groups(self):
        """Groups of 192 ids in use."""
        return self.ids.used


cdef class OrderMap:
    """One thread. Records 1 to `capacity` by (account, order id), as the kernel finds open orders."""

    cdef order_map_t map
    cdef dict keys
    cdef uint32_t capacity

    def __cinit__(self, uint32_t capacity):
        self.capacity = capacity
        self.keys = {}
        if order_map_open(&self.map, capacity, False):
            raise MemoryError("order map: no memory")

    def __dealloc__(self):
        order_map_close(&self.map)

    def put(self, uint32_t account, uint64_t order_id, uint32_t index):
        """Adds a record that is not in the map."""
        if not 0 < index <= self.capacity or index in self.keys:
            raise ValueError(f"order map: expected a free record from 1 to {self.capacity}, found {index}")
        self.keys[index] = (account, order_id)
        order_map_put(&self.map, order_hash(account, order_id), index)

    def get(self, uint32_t account, uint64_t order_id):
        """Its index, 0 where it is not there."""
        return self.get_in(&self.map.index.now, account, order_id) or (
            self.map.index.old.buckets != NULL and self.get_in(&self.map.index.old, account, order_id)) or 0

    cdef object get_in(self, const index_table_t* table, uint32_t account, uint64_t order_id):
        cdef uint32_t hash = order_hash(account, order_id), found
        cdef uint64_t at = index_home(&self.map.index, table, hash)
        while True:
            found = index_equal(table.buckets[at].keys, hash)
            while found:
                slot = table.buckets[at].slots[index_first(found)]
                if slot and self.keys[slot] == (account, order_id):
                    return slot
                found &= found - 1
            if table.buckets[at].passed == 0:
                return 0
            at = (at + 1) & table.mask

    def delete(self, uint32_t index):
        """Takes a record out."""
        account, order_id = self.keys.pop(index)
        order_map_delete(&self.map, order_hash(account, order_id), index)
