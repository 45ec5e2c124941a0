"""Order ids: where an open order is, and which closed ids are remembered. One thread.

`order_map_t` finds the record of an open order by (account, id), through the buckets of order_index.pxd: it grows with
the orders that are open at once, so its lines stay in the caches. An entry holds 32 bits of hash; the record itself
proves the match, and it is needed anyway.

`id_set_t` remembers closed ids, one bit each: a slot holds 192 consecutive ids, so the last 2^20 of a counting sender
fit into half a megabyte, and those that close now into a few lines. It starts small and doubles with the groups that it
holds, without a stall: its address range is reserved when it is opened, and each `id_add` moves a few groups over.
Until all are moved a group is looked for in the new half first; one that was moved stays behind with no bits, so that
chains through it still hold. Open addressing with linear probing and deletion that shifts back (Knuth, TAOCP vol. 3,
6.4, algorithm R).
"""

from libc.stdint cimport uint32_t, uint64_t

from nautilus.core.hashmap cimport prefetch_line
from nautilus.core.order_index cimport (
    bucket_t, index_add, index_bucket, index_double, index_equal, index_first, index_key, index_move, index_remove, order_index_t)

cdef enum:
    ID_SET_FIRST_SLOTS = 512
    ID_SET_IN_GROUP = 192       # ids
    ID_SET_MOVED_AT_ONCE = 4    # slots that one id_add moves, and later clears, of the half left behind

ctypedef struct order_map_t:
    order_index_t index

ctypedef struct id_group_t:
    uint64_t key                # id / 192 + 1; 0: empty
    uint64_t bits[3]

ctypedef struct id_table_t:
    id_group_t* groups
    uint64_t mask
    uint32_t shift              # 64 - bits: the upper bits of the product say where a key is at home

ctypedef struct id_set_t:
    id_table_t now
    uint64_t used               # groups with at least one bit
    uint64_t most               # `used` above which it is time to double, or to go on with that: the short way ends
    uint64_t seed               # odd; keeps ids that would meet in one place from being chosen
    id_table_t old              # groups NULL: nothing is left behind
    uint64_t moved              # slots of `old` that were looked at
    uint64_t cleared            # slots of `old` that are zero again, after all were moved
    uint64_t limit              # slots of the largest table
    id_group_t* region          # two of them, the tables take turns


cdef inline uint32_t order_hash(uint32_t account, uint64_t order_id) noexcept nogil:
    """What is left to do for a hash, a multiplication, the index does."""
    return index_key(order_id) ^ account * <uint32_t>0x85EBCA6B


cdef inline void order_map_prefetch(const order_map_t* map, uint32_t hash) noexcept nogil:
    prefetch_line(index_bucket(&map.index, hash))


cdef inline uint32_t order_map_likely(const order_map_t* map, uint32_t hash) noexcept nogil:
    """The record that most likely has that hash, 0: most likely none. Whether there is one is a coin toss: no branch."""
    cdef const bucket_t* bucket = index_bucket(&map.index, hash)
    return bucket.slots[index_first(index_equal(bucket.keys, hash) | 1 << 7)]       # the last is 0


cdef inline void order_map_put(order_map_t* map, uint32_t hash, uint32_t slot) noexcept nogil:
    """Adds a record that is not there yet; there is room."""
    index_add(&map.index, hash, slot)
    map.index.used += 1
    if map.index.old.buckets != NULL or map.index.used >= map.index.limit:
        order_map_grow(map)


cdef inline void order_map_delete(order_map_t* map, uint32_t hash, uint32_t slot) noexcept nogil:
    """Takes a record out that is there."""
    map.index.used -= 1
    if not index_remove(&map.index, &map.index.now, hash, slot):
        index_remove(&map.index, &map.index.old, hash, slot)


cdef inline uint64_t id_key(uint64_t order_id) noexcept nogil:
    return order_id // ID_SET_IN_GROUP + 1


cdef inline uint64_t* id_word(id_group_t* group, uint64_t order_id) noexcept nogil:
    """The word of the group that has the id's bit, bit `order_id & 63`."""
    return &group.bits[(order_id >> 6) % 3]


cdef inline uint64_t id_home(const id_set_t* ids, const id_table_t* table, uint64_t key) noexcept nogil:
    return (key * ids.seed) >> table.shift


cdef inline id_group_t* id_group(const id_set_t* ids, const id_table_t* table, uint64_t key) noexcept nogil:
    """The group of that key, or the empty slot where it would be."""
    cdef uint64_t at = id_home(ids, table, key)
    while table.groups[at].key != key and table.groups[at].key:
        at = (at + 1) & table.mask
    return &table.groups[at]


cdef inline bint id_known(const id_set_t* ids, uint64_t order_id) noexcept nogil:
    cdef uint64_t key = id_key(order_id)
    cdef uint64_t bits = id_word(id_group(ids, &ids.now, key), order_id)[0]
    if ids.old.groups != NULL:
        bits |= id_word(id_group(ids, &ids.old, key), order_id)[0]
    return (bits >> (order_id & 63)) & 1


cdef inline void id_prefetch(const id_set_t* ids, uint64_t order_id) noexcept nogil:
    prefetch_line(&ids.now.groups[id_home(ids, &ids.now, id_key(order_id))])


cdef inline void id_put(id_set_t* ids, uint64_t order_id) noexcept nogil:
    """Remembers an id in the table of now, to which its group was moved if it was left behind."""
    cdef uint64_t key = id_key(order_id)
    cdef id_group_t* group = id_group(ids, &ids.now, key)
    ids.used += group.key == 0
    group.key = key
    id_word(group, order_id)[0] |= (<uint64_t>1) << (order_id & 63)


cdef inline void id_add(id_set_t* ids, uint64_t order_id) noexcept nogil:
    """Remembers an id that is not there."""
    if ids.used > ids.most:
        id_grow(ids, order_id)
    id_put(ids, order_id)


cdef void order_map_grow(order_map_t* map) noexcept nogil        # a little of the move to a larger table
cdef int order_map_open(order_map_t* map, uint64_t capacity, bint huge) noexcept nogil
cdef void order_map_close(order_map_t* map) noexcept nogil
cdef int id_set_open(id_set_t* ids, uint64_t most, bint huge) noexcept nogil     # for at most so many ids
cdef void id_set_close(id_set_t* ids) noexcept nogil
cdef void id_grow(id_set_t* ids, uint64_t order_id) noexcept nogil      # a little of the move, and the id's group
cdef void id_forget(id_set_t* ids, uint64_t order_id) noexcept nogil
