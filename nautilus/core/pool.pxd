"""One writer, no lock. Pool of fixed-size records addressed by 32-bit indexes; index 0 means "none".

Given-back records form a stack through their first four bytes; records never used lie above a high-water mark and
stay uncommitted. A recycled record keeps its old bytes (only the first four are overwritten); one taken for the first
time is zero. A full pool answers 0 and counts it in `full`. In a debug build a record given back twice, or never
taken, is left alone and counted in `misused`.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from nautilus.core.memory cimport lock_region, map_region, unmap_region

cdef extern from *:
    """
    #ifndef NAUTILUS_DEBUG
    #define NAUTILUS_DEBUG 0
    #endif
    """
    const bint NAUTILUS_DEBUG

ctypedef struct pool_t:
    char* base
    uint32_t record_bytes
    uint32_t capacity
    uint32_t free_head          # last record given back, 0 for none
    uint32_t high_water         # highest index ever taken
    uint32_t used
    uint64_t full               # takes refused because every record was in use
    uint64_t misused            # debug builds: gives of a record that was not taken
    uint64_t locked_bytes       # what pool_lock got
    uint8_t* taken              # debug builds: one byte a record


cdef inline int pool_open(pool_t* pool, uint32_t record_bytes, uint32_t capacity, bint huge) noexcept nogil:
    """0, or -1 where a record is under 4 bytes, capacity is 0 or 2^32 - 1, or the memory cannot be had."""
    pool.base = NULL
    pool.taken = NULL
    pool.record_bytes = record_bytes
    pool.capacity = capacity
    pool.free_head = 0
    pool.high_water = 0
    pool.used = 0
    pool.full = 0
    pool.misused = 0
    pool.locked_bytes = 0
    if record_bytes < sizeof(uint32_t) or capacity == 0 or capacity == <uint32_t>0xFFFFFFFF:
        return -1
    pool.base = <char*>map_region(<size_t>record_bytes * (<size_t>capacity + 1), huge)
    if pool.base is NULL:
        return -1
    if NAUTILUS_DEBUG:
        pool.taken = <uint8_t*>map_region(<size_t>capacity + 1, False)
        if pool.taken is NULL:
            pool_close(pool)
            return -1
    return 0


cdef inline void pool_close(pool_t* pool) noexcept nogil:
    unmap_region(pool.base, <size_t>pool.record_bytes * (<size_t>pool.capacity + 1))
    unmap_region(pool.taken, <size_t>pool.capacity + 1)
    pool.base = NULL
    pool.taken = NULL


cdef inline size_t pool_lock(pool_t* pool) noexcept nogil:
    """Lock the pool in memory as far as RLIMIT_MEMLOCK allows; the bytes granted, also in `locked_bytes`."""
    pool.locked_bytes = lock_region(pool.base, <size_t>pool.record_bytes * (<size_t>pool.capacity + 1))
    return pool.locked_bytes


cdef inline void* pool_at(const pool_t* pool, uint32_t index) noexcept nogil:
    return pool.base + <size_t>index * pool.record_bytes


cdef inline uint32_t pool_take(pool_t* pool) noexcept nogil:
    """A record that nobody holds; 0 where the pool is full."""
    cdef uint32_t index = pool.free_head
    if index != 0:
        pool.free_head = (<uint32_t*>pool_at(pool, index))[0]
    elif pool.high_water < pool.capacity:
        pool.high_water += 1
        index = pool.high_water
    else:
        pool.full += 1
        return 0
    pool.used += 1
    if NAUTILUS_DEBUG:
        pool.taken[index] = 1
    return index


cdef inline void pool_give(pool_t* pool, uint32_t index) noexcept nogil:
    """Give back a taken record; its first four bytes are overwritten."""
    if NAUTILUS_DEBUG:
        if index == 0 or index > pool.capacity or pool.taken[index] == 0:
            pool.misused += 1
            return
        pool.taken[index] = 0
    (<uint32_t*>pool_at(pool, index))[0] = pool.free_head
    pool.free_head = index
    pool.used -= 1
