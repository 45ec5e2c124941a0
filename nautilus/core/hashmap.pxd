"""One writer, no lock. Open-addressing map from 64-bit keys to 32-bit values; key 0 is reserved for "empty".

A slot holds key and value side by side: one cache miss a lookup. Slots lie in groups of 256, one page of memory, which
256 consecutive keys share: ids in sequence, also with many left out, touch few pages. Two busy groups may be sent to
the same place; plain linear probing would then walk whole groups. Here probing goes from a slot to the same lane of
the next group: in the index `lane * groups + group` it is linear probing (Knuth, TAOCP vol. 3, 6.4, algorithms L and
R), and the memory layout is its transpose. The lane is turned by the hash, so that strides of 256 scatter too.
Deletion shifts back and leaves no tombstone.
"""

from libc.stdint cimport uint32_t, uint64_t

from nautilus.core.memory cimport map_region, unmap_region

cdef extern from *:
    """
    #ifndef NAUTILUS_PREFETCH_H
    #define NAUTILUS_PREFETCH_H
    static inline void prefetch_line(const void *address) { __builtin_prefetch(address); }
    #endif
    """
    void prefetch_line(const void* address) noexcept nogil

cdef enum:
    MAP_ABSENT = 0xFFFFFFFF     # what map_delete answers for an absent key; not to be stored as a value
    MAP_GROUP_BITS = 8

ctypedef struct slot_t:
    uint64_t key
    uint32_t value
    uint32_t reserved

ctypedef struct map_t:
    slot_t* slots
    uint64_t mask               # slots - 1
    uint64_t group_mask         # groups - 1
    uint32_t group_shift        # log2(groups)
    uint64_t count
    uint64_t max_entries


cdef inline uint64_t map_mix(uint64_t x) noexcept nogil:
    # Finaliser of SplitMix64 (Steele, Lea, Flood 2014).
    x += <uint64_t>0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t>0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline uint64_t map_home(const map_t* map, uint64_t key) noexcept nogil:
    cdef uint64_t mixed = map_mix(key >> MAP_GROUP_BITS)
    return (((key ^ (mixed >> 56)) & 255) << map.group_shift) | (mixed & map.group_mask)


cdef inline slot_t* map_slot(const map_t* map, uint64_t index) noexcept nogil:
    return map.slots + (((index & map.group_mask) << MAP_GROUP_BITS) | (index >> map.group_shift))


cdef inline int map_open(map_t* map, uint64_t max_entries) noexcept nogil:
    """0, or -1 where max_entries is 0 or above 2^32 or the memory cannot be had."""
    cdef uint64_t slots = 1 << MAP_GROUP_BITS
    cdef uint32_t shift = 0
    map.slots = NULL
    map.count = 0
    map.max_entries = 0
    if max_entries == 0 or max_entries > (<uint64_t>1 << 32):
        return -1
    while slots < 2 * max_entries:
        slots <<= 1
        shift += 1
    map.slots = <slot_t*>map_region(slots * sizeof(slot_t), False)
    if map.slots is NULL:
        return -1
    map.mask = slots - 1
    map.group_mask = (slots >> MAP_GROUP_BITS) - 1
    map.group_shift = shift
    map.max_entries = max_entries
    return 0


cdef inline void map_close(map_t* map) noexcept nogil:
    if map.slots is not NULL:
        unmap_region(map.slots, (map.mask + 1) * sizeof(slot_t))
        map.slots = NULL


cdef inline uint32_t* map_find(map_t* map, uint64_t key) noexcept nogil:
    """The value's place, valid until the next put or delete; NULL where the key is absent."""
    cdef uint64_t index = map_home(map, key)
    cdef slot_t* slot
    while True:
        slot = map_slot(map, index)
        if slot.key == key:
            return &slot.value if key != 0 else NULL
        if slot.key == 0:
            return NULL
        index = (index + 1) & map.mask


cdef inline int map_put(map_t* map, uint64_t key, uint32_t value) noexcept nogil:
    """Store or overwrite. 0; -1 where the map is full or the key is 0."""
    cdef uint64_t index = map_home(map, key)
    cdef slot_t* slot
    if key == 0:
        return -1
    while True:
        slot = map_slot(map, index)
        if slot.key == key:
            slot.value = value
            return 0
        if slot.key == 0:
            break
        index = (index + 1) & map.mask
    if map.count >= map.max_entries:
        return -1
    slot.key = key
    slot.value = value
    map.count += 1
    return 0


cdef inline uint32_t map_delete(map_t* map, uint64_t key) noexcept nogil:
    """The value that was stored, or MAP_ABSENT."""
    cdef uint64_t index = map_home(map, key)
    cdef uint64_t hole, home
    cdef slot_t* slot
    cdef slot_t* empty
    cdef uint32_t value
    if key == 0:
        return <uint32_t>MAP_ABSENT
    while True:
        slot = map_slot(map, index)
        if slot.key == key:
            break
        if slot.key == 0:
            return <uint32_t>MAP_ABSENT
        index = (index + 1) & map.mask
    value = slot.value
    empty = slot
    hole = index
    while True:
        index = (index + 1) & map.mask
        slot = map_slot(map, index)
        if slot.key == 0:
            break
        home = map_home(map, slot.key)
        # The entry may move back unless its home lies after the hole, on the way to where it is now.
        if ((index - home) & map.mask) >= ((index - hole) & map.mask):
            empty[0] = slot[0]
            empty = slot
            hole = index
    empty.key = 0
    map.count -= 1
    return value
