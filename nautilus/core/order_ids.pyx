"""Order ids: set-up and growth, and a Python face for the tests."""

from libc.stdint cimport uint32_t, uint64_t
from libc.stddef cimport size_t

from nautilus.core.memory cimport map_region, unmap_region


cdef int order_map_open(order_map_t* map, uint64_t capacity, bint huge) noexcept nogil:
    """0, or -1 where the memory cannot be had."""
    cdef uint64_t slots = 16
    while slots < 2 * capacity:
        slots <<= 1
    map.mask = slots - 1
    map.slots = <order_slot_t*>map_region(slots * sizeof(order_slot_t), huge)
    return 0 if map.slots != NULL else -1


cdef void order_map_close(order_map_t* map) noexcept nogil:
    if map.slots != NULL:
        unmap_region(map.slots, (map.mask + 1) * sizeof(order_slot_t))
        map.slots = NULL


cdef int id_set_open(id_set_t* ids) noexcept nogil:
    """0, or -1 where the memory cannot be had."""
    ids.used = 0
    ids.mask = ID_SET_FIRST_SLOTS - 1
    ids.groups = <id_group_t*>map_region(ID_SET_FIRST_SLOTS * sizeof(id_group_t), False)
    return 0 if ids.groups != NULL else -1


cdef void id_set_close(id_set_t* ids) noexcept nogil:
    if ids.groups != NULL:
        unmap_region(ids.groups, (ids.mask + 1) * sizeof(id_group_t))
        ids.groups = NULL


cdef void id_set_grow(id_set_t* ids) noexcept nogil:
    cdef id_set_t grown
    cdef id_group_t* place
    cdef uint64_t i
    grown.mask = ids.mask * 2 + 1
    grown.used = ids.used
    grown.groups = <id_group_t*>map_region((grown.mask + 1) * sizeof(id_group_t), False)
    if grown.groups == NULL:
        return      # go on with the old one while it has room; id_room tells
    for i in range(ids.mask + 1):
        if ids.groups[i].key:
            place = id_group(&grown, ids.groups[i].key)
            place[0] = ids.groups[i]
    id_set_close(ids)
    ids[0] = grown


cdef void id_add(id_set_t* ids, uint64_t order_id) noexcept nogil:
    """Remembers an id; needs `id_room`."""
    cdef id_group_t* group
    if ids.used * 2 > ids.mask:
        id_set_grow(ids)
    group = id_group(ids, (order_id >> 6) + 1)
    if group.key == 0:
        group.key = (order_id >> 6) + 1
        ids.used += 1
    group.bits |= (<uint64_t>1) << (order_id & 63)


cdef void id_forget(id_set_t* ids, uint64_t order_id) noexcept nogil:
    """Forgets an id; one that is not there is left alone."""
    cdef id_group_t* group = id_group(ids, (order_id >> 6) + 1)
    cdef uint64_t hole, at, home
    if group.key == 0:
        return
    group.bits &= ~((<uint64_t>1) << (order_id & 63))
    if group.bits:
        return
    hole = group - ids.groups
    at = hole
    while True:
        at = (at + 1) & ids.mask
        if ids.groups[at].key == 0:
            break
        home = map_mix(ids.groups[at].key) & ids.mask
        if ((at - home) & ids.mask) >= ((at - hole) & ids.mask):
            ids.groups[hole] = ids.groups[at]
            hole = at
    ids.groups[hole].key = 0
    ids.groups[hole].bits = 0
    ids.used -= 1


cdef class IdSet:
    """One thread. A set of 64-bit ids that is small for ids that lie close together."""

    cdef id_set_t ids

    def __cinit__(self):
        if id_set_open(&self.ids):
            raise MemoryError("id set: no memory")

    def __dealloc__(self):
        id_set_close(&self.ids)

    def add(self, uint64_t order_id):
        """Adds an id. False where there is no room, which only a lack of memory can bring about."""
        if not id_room(&self.ids):
            return False
        id_add(&self.ids, order_id)
        return True

    def forget(self, uint64_t order_id):
        """Takes an id out, if it is there."""
        id_forget(&self.ids, order_id)

    def __contains__(self, uint64_t order_id):
        return id_known(&self.ids, order_id)

    @property
    def groups(self):
        """Groups of 64 ids in use."""
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
        cdef uint32_t hash = order_hash(account, order_id)
        cdef uint64_t at = hash & self.map.mask
        while self.map.slots[at].index:
            if self.map.slots[at].hash == hash and self.keys[self.map.slots[at].index] == (account, order_id):
                return self.map.slots[at].index
            at = (at + 1) & self.map.mask
        return 0

    def delete(self, uint32_t index):
        """Takes a record out."""
        account, order_id = self.keys.pop(index)
        order_map_delete(&self.map, order_hash(account, order_id), index)
