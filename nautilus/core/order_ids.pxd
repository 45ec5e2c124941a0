"""Order ids: where an open order is, and which closed ids are remembered. One thread.

`order_map_t` finds the record of an open order by (account, id). A slot is 8 bytes, the 32-bit hash and the record's
index; the record itself proves the match, and it is needed anyway. Eight consecutive ids share a cache line.

`id_set_t` remembers closed ids, one bit each: a slot holds 64 consecutive ids, so the last 2^20 of a counting sender
fit into half a megabyte. It starts small and doubles with the groups that it holds, without a stall: its address range
is reserved when it is opened, and each `id_add` moves a few groups over. Until all are moved a group is looked for in
the new half first; one that was moved stays behind with no bits, so that chains through it still hold.

Both are open addressing with linear probing and deletion that shifts back (Knuth, TAOCP vol. 3, 6.4, algorithm R).
"""

from libc.stdint cimport uint32_t, uint64_t

from nautilus.core.hashmap cimport map_mix, prefetch_line

cdef enum:
    ID_SET_FIRST_SLOTS = 1024
    ID_SET_MOVED_AT_ONCE = 4    # slots that one id_add moves, and later clears, of the half left behind

ctypedef struct order_slot_t:
    uint32_t hash
    uint32_t index              # 0: empty

ctypedef struct order_map_t:
    order_slot_t* slots
    uint64_t mask

ctypedef struct id_group_t:
    uint64_t key                # id / 64 + 1; 0: empty
    uint64_t bits

ctypedef struct id_table_t:
    id_group_t* groups
    uint64_t mask

ctypedef struct id_set_t:
    id_table_t now
    id_table_t old              # groups NULL: nothing is left behind
    uint64_t moved              # slots of `old` that were looked at
    uint64_t cleared            # slots of `old` that are zero again, after all were moved
    uint64_t used               # groups with at least one bit
    uint64_t limit              # slots of the largest table
    id_group_t* region          # two of them, the tables take turns


cdef inline uint32_t order_hash(uint32_t account, uint64_t order_id) noexcept nogil:
    return (<uint32_t>map_mix((order_id >> 3) ^ (<uint64_t>account << 40)) << 3) | <uint32_t>(order_id & 7)


cdef inline void order_map_prefetch(const order_map_t* map, uint32_t hash) noexcept nogil:
    prefetch_line(&map.slots[hash & map.mask])


cdef inline void order_map_put(order_map_t* map, uint32_t hash, uint32_t index) noexcept nogil:
    """Adds a record that is not there yet; there is room, the map has twice as many slots as there are records."""
    cdef uint64_t at = hash & map.mask
    while map.slots[at].index:
        at = (at + 1) & map.mask
    map.slots[at].hash = hash
    map.slots[at].index = index


cdef inline void order_map_delete(order_map_t* map, uint32_t hash, uint32_t index) noexcept nogil:
    """Takes a record out that is there."""
    cdef uint64_t hole = hash & map.mask
    cdef uint64_t at, home
    while map.slots[hole].index != index:
        hole = (hole + 1) & map.mask
    at = hole
    while True:
        at = (at + 1) & map.mask
        if map.slots[at].index == 0:
            break
        home = map.slots[at].hash & map.mask
        # It may move back unless its home lies behind the hole, on the way to where it is now.
        if ((at - home) & map.mask) >= ((at - hole) & map.mask):
            map.slots[hole] = map.slots[at]
            hole = at
    map.slots[hole].index = 0


cdef inline id_group_t* id_group(const id_table_t* table, uint64_t key) noexcept nogil:
    """The group of that key, or the empty slot where it would be."""
    cdef uint64_t at = map_mix(key) & table.mask
    while table.groups[at].key != key and table.groups[at].key:
        at = (at + 1) & table.mask
    return &table.groups[at]


cdef inline bint id_known(const id_set_t* ids, uint64_t order_id) noexcept nogil:
    cdef uint64_t key = (order_id >> 6) + 1
    cdef uint64_t bits = id_group(&ids.now, key).bits
    if ids.old.groups != NULL:
        bits |= id_group(&ids.old, key).bits
    return (bits >> (order_id & 63)) & 1


cdef inline void id_prefetch(const id_set_t* ids, uint64_t order_id) noexcept nogil:
    prefetch_line(&ids.now.groups[map_mix((order_id >> 6) + 1) & ids.now.mask])


cdef int order_map_open(order_map_t* map, uint64_t capacity, bint huge) noexcept nogil
cdef void order_map_close(order_map_t* map) noexcept nogil
cdef int id_set_open(id_set_t* ids, uint64_t most, bint huge) noexcept nogil     # for at most so many ids
cdef void id_set_close(id_set_t* ids) noexcept nogil
cdef void id_add(id_set_t* ids, uint64_t order_id) noexcept nogil
cdef void id_forget(id_set_t* ids, uint64_t order_id) noexcept nogil
