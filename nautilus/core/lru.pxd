"""One writer, no lock. Fixed-size LRU with lifetimes: 64-bit keys to places 1 to capacity; key 0 is reserved.

What belongs to a key lies in an array of the caller's, at its place. Whoever was not looked at for longest makes room;
a place older than the lifetime is not found any more. Time is the caller's. One cache line for the map's slot, one for
the place, and those of its two neighbours.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.hashmap cimport map_close, map_delete, map_find, map_open, map_put, map_t
from nautilus.core.memory cimport map_region, unmap_region

ctypedef struct lru_place_t:
    uint64_t key
    int64_t put_ns
    uint32_t newer              # 0: the newest
    uint32_t older              # 0: the oldest

ctypedef struct lru_t:
    map_t map
    lru_place_t* places
    uint32_t capacity
    uint32_t used
    uint32_t newest
    uint32_t oldest
    int64_t lifetime_ns
    uint64_t hits
    uint64_t misses
    uint64_t expired            # of the misses
    uint64_t evicted


cdef inline void lru_close(lru_t* lru) noexcept nogil:
    map_close(&lru.map)
    unmap_region(lru.places, sizeof(lru_place_t) * (<size_t>lru.capacity + 1))
    lru.places = NULL


cdef inline int lru_open(lru_t* lru, uint32_t capacity, int64_t lifetime_ns) noexcept nogil:
    """0, or -1 where capacity is 0, the lifetime is not above 0, or the memory cannot be had."""
    lru.places = NULL
    lru.capacity = capacity
    lru.used = lru.newest = lru.oldest = 0
    lru.lifetime_ns = lifetime_ns
    lru.hits = lru.misses = lru.expired = lru.evicted = 0
    if lifetime_ns <= 0 or capacity == <uint32_t>0xFFFFFFFF or map_open(&lru.map, capacity):
        return -1
    lru.places = <lru_place_t*>map_region(sizeof(lru_place_t) * (<size_t>capacity + 1), False)
    if lru.places is NULL:
        lru_close(lru)
        return -1
    return 0


cdef inline void lru_unlink(lru_t* lru, uint32_t place) noexcept nogil:
    cdef lru_place_t* p = &lru.places[place]
    if p.newer:
        lru.places[p.newer].older = p.older
    else:
        lru.newest = p.older
    if p.older:
        lru.places[p.older].newer = p.newer
    else:
        lru.oldest = p.newer


cdef inline void lru_join(lru_t* lru, uint32_t place) noexcept nogil:
    """Becomes the newest."""
    cdef lru_place_t* p = &lru.places[place]
    p.newer = 0
    p.older = lru.newest
    if lru.newest:
        lru.places[lru.newest].newer = place
    else:
        lru.oldest = place
    lru.newest = place


cdef inline uint32_t lru_find(lru_t* lru, uint64_t key, int64_t now_ns) noexcept nogil:
    """Place of the key, which becomes the newest; 0 where it is absent or too old."""
    cdef uint32_t* found = map_find(&lru.map, key)
    cdef uint32_t place
    if found == NULL:
        lru.misses += 1
        return 0
    place = found[0]
    if now_ns - lru.places[place].put_ns >= lru.lifetime_ns:
        lru.misses += 1
        lru.expired += 1
        return 0
    lru.hits += 1
    if place != lru.newest:
        lru_unlink(lru, place)
        lru_join(lru, place)
    return place


cdef inline uint32_t lru_take(lru_t* lru, uint64_t key, int64_t now_ns) noexcept nogil:
    """Place for the key, its own where it has one; its life begins anew. 0 for key 0."""
    cdef uint32_t* found = map_find(&lru.map, key)
    cdef uint32_t place
    if key == 0:
        return 0
    if found != NULL:
        place = found[0]
        lru_unlink(lru, place)
    elif lru.used < lru.capacity:
        lru.used += 1
        place = lru.used
        map_put(&lru.map, key, place)
    else:
        place = lru.oldest
        lru_unlink(lru, place)
        map_delete(&lru.map, lru.places[place].key)
        map_put(&lru.map, key, place)
        lru.evicted += 1
    lru.places[place].key = key
    lru.places[place].put_ns = now_ns
    lru_join(lru, place)
    return place
