"""Client ids to slots, in memory that grows with the open orders and not with the ids that were ever used.

Threading contract: one thread. Ids are any 64-bit numbers. A table over all ids would be simpler, and it costs a miss to
main memory for each id that has not been seen for a while: 4 MiB for a million of them. Open orders are few, so the lines
here stay in the caches.

A bucket is one cache line with seven places: 32-bit keys, which of an id below 2^32 are the id itself, and slots. All keys
of a bucket are compared at once, so a search does not branch on where it finds something. An order whose bucket is full
goes to the next one with a free place, and each bucket that it passes over counts it: where nothing is counted one look
settles presence and absence, and a deletion is two stores. Buckets hold three orders each on average when the table
doubles, within an address range that was reserved for it; two buckets are moved at each insertion, so there is no stall.
Until all are moved a search looks into the old table too.
"""

from libc.stdint cimport uint32_t, uint64_t

from nautilus.core.memory cimport map_region, unmap_region

cdef extern from *:
    """
    #ifndef NAUTILUS_ORDER_INDEX_H
    #define NAUTILUS_ORDER_INDEX_H
    #include <stdint.h>
    #if defined(__x86_64__)
    #include <immintrin.h>
    #endif
    typedef struct bucket_t {
        uint32_t keys[7];
        uint32_t passed;        /* orders that found no place up to here, and lie further on */
        uint32_t slots[8];      /* 0: the place is free, and its key is 0; the last is no place */
    } __attribute__((aligned(64))) bucket_t;

    /* Bit i: word i of eight has this value; the last is not looked at. */
    static inline uint32_t index_equal(const uint32_t *words, uint32_t value)
    {
    #if defined(__AVX2__)
        __m256i same = _mm256_cmpeq_epi32(_mm256_load_si256((const __m256i *)words), _mm256_set1_epi32((int)value));
        return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(same)) & 0x7F;
    #elif defined(__SSE2__)
        const __m128i wanted = _mm_set1_epi32((int)value);
        __m128i low = _mm_cmpeq_epi32(_mm_load_si128((const __m128i *)words), wanted);
        __m128i high = _mm_cmpeq_epi32(_mm_load_si128((const __m128i *)words + 1), wanted);
        return (uint32_t)(_mm_movemask_ps(_mm_castsi128_ps(low)) | _mm_movemask_ps(_mm_castsi128_ps(high)) << 4) & 0x7F;
    #else
        uint32_t found = 0;
        for (int i = 0; i < 7; i++)
            found |= (uint32_t)(words[i] == value) << i;
        return found;
    #endif
    }
    #define index_first(found) __builtin_ctz(found)
    #endif
    """
    ctypedef struct bucket_t:
        uint32_t keys[7]
        uint32_t passed
        uint32_t slots[8]
    uint32_t index_equal(const uint32_t* words, uint32_t value) noexcept nogil
    int index_first(uint32_t found) noexcept nogil

cdef enum:
    INDEX_FIRST_BITS = 7        # 128 buckets, 8 KiB
    INDEX_IN_BUCKET = 3         # orders on average at which the table doubles
    INDEX_MOVED_AT_ONCE = 2     # buckets of the old table that an insertion empties: done before the next doubling
    INDEX_NARROW = 0xFFFFFFFF

ctypedef struct index_table_t:
    bucket_t* buckets
    uint64_t mask
    uint32_t shift              # 64 - bits: the upper bits of the product say where a key is at home
    uint32_t bits

ctypedef struct order_index_t:
    index_table_t now
    uint64_t narrow             # ids from 1 to this may be looked up the short way; 0: none, while `old` or wide ids exist
    uint64_t used
    uint64_t limit              # `used` at which it doubles
    uint64_t seed               # odd; keeps ids that would meet in one place from being chosen
    index_table_t old           # buckets NULL: all are moved
    uint64_t moved              # buckets of `old` that are empty
    bucket_t* region            # the table of 2^k buckets lies at 2^k, so a doubling overwrites nothing
    uint64_t region_buckets


cdef inline uint32_t index_key(uint64_t order_id) noexcept nogil:
    """Of ids over 32 bits a mixture: equal lower halves must not meet."""
    return <uint32_t>order_id ^ (<uint32_t>(order_id >> 32) * <uint32_t>0x9E3779B1)


cdef inline uint64_t index_home(const order_index_t* x, const index_table_t* table, uint32_t key) noexcept nogil:
    return (key * x.seed) >> table.shift


cdef inline bucket_t* index_bucket(const order_index_t* x, uint32_t key) noexcept nogil:
    """Where a key is at home now."""
    return &x.now.buckets[index_home(x, &x.now, key)]


cdef inline void index_add(const order_index_t* x, uint32_t key, uint32_t slot) noexcept nogil:
    """Adds an entry that is not there; there is room."""
    cdef uint64_t at = index_home(x, &x.now, key)
    cdef bucket_t* bucket = &x.now.buckets[at]
    cdef uint32_t free = index_equal(bucket.slots, 0)
    while free == 0:
        bucket.passed += 1
        at = (at + 1) & x.now.mask
        bucket = &x.now.buckets[at]
        free = index_equal(bucket.slots, 0)
    bucket.keys[index_first(free)] = key
    bucket.slots[index_first(free)] = slot


cdef inline bint index_remove(
    const order_index_t* x, const index_table_t* table, uint32_t key, uint32_t slot
) noexcept nogil:
    """Takes the entry of a slot out of a table; False where it is not there."""
    cdef uint64_t home = index_home(x, table, key)
    cdef uint64_t at = home
    cdef bucket_t* bucket = &table.buckets[at]
    cdef uint32_t found = index_equal(bucket.slots, slot)
    while found == 0:
        if bucket.passed == 0:
            return False
        at = (at + 1) & table.mask
        bucket = &table.buckets[at]
        found = index_equal(bucket.slots, slot)
    bucket.keys[index_first(found)] = 0
    bucket.slots[index_first(found)] = 0
    while home != at:
        table.buckets[home].passed -= 1
        home = (home + 1) & table.mask
    return True


cdef inline void index_use(order_index_t* x, uint32_t bits) noexcept nogil:
    x.now.bits = bits
    x.now.shift = 64 - bits
    x.now.mask = ((<uint64_t>1) << bits) - 1
    x.now.buckets = &x.region[(<uint64_t>1) << bits]
    x.limit = INDEX_IN_BUCKET << bits


cdef inline void index_double(order_index_t* x) noexcept nogil:
    """The next larger table takes over; its predecessor is emptied by later insertions."""
    if 4 * ((<uint64_t>1) << x.now.bits) > x.region_buckets:
        x.limit = ~<uint64_t>0  # the last table holds the most orders that there can be
        return
    x.old = x.now
    x.moved = 0
    index_use(x, x.now.bits + 1)


cdef inline bint index_move(order_index_t* x) noexcept nogil:
    """A few buckets of the old table are emptied; True: it is empty. What was counted there stays: searches look further."""
    cdef bucket_t* bucket
    cdef int n, i
    for n in range(INDEX_MOVED_AT_ONCE):
        bucket = &x.old.buckets[x.moved]
        for i in range(7):
            if bucket.slots[i]:
                index_add(x, bucket.keys[i], bucket.slots[i])
                bucket.keys[i] = 0
                bucket.slots[i] = 0
        x.moved += 1
    if x.moved >> x.old.bits:
        x.old.buckets = NULL
        return True
    return False


cdef inline uint64_t index_buckets(uint64_t orders) noexcept nogil:
    """Of the table for so many orders."""
    cdef uint64_t buckets = (<uint64_t>1) << INDEX_FIRST_BITS
    while INDEX_IN_BUCKET * buckets < orders:
        buckets <<= 1
    return buckets


cdef inline int index_open(order_index_t* x, uint64_t orders, bint huge) noexcept nogil:
    """For at most so many orders at once. 0, or -1 where the memory cannot be had."""
    x.region_buckets = 2 * index_buckets(orders)
    x.region = <bucket_t*>map_region(x.region_buckets * sizeof(bucket_t), huge)
    if x.region == NULL:
        return -1
    index_use(x, INDEX_FIRST_BITS)
    x.narrow = INDEX_NARROW
    # Where the loader put it and where memory lies is not known outside; nothing that is told depends on it.
    x.seed = (<uint64_t><size_t>x.region >> 12 ^ <uint64_t><size_t>x >> 4) * <uint64_t>0xD6E8FEB86659FD93 | 1
    x.seed ^= <uint64_t>0x9E3779B97F4A7C15 & ~<uint64_t>1
    return 0


cdef inline void index_close(order_index_t* x) noexcept nogil:
    if x.region != NULL:
        unmap_region(x.region, x.region_buckets * sizeof(bucket_t))
        x.region = NULL
