"""One writer, no lock. Pool of fixed-size records addressed by 32-bit indexes; index 0 means "none".

Given-back records form a stack through their first four bytes; records never used lie above a high-water mark and
stay uncommitted. A recycled record keeps its old bytes (only the first four are overwritten); one taken for the first
time is zero. A full pool answers 0 and counts it in `full`. In a debug build a record given back twice, or never
taken, is left alone and counted in `misused`.

Growth. Address space is taken for the whole capacity at once, so indexes and addresses never move. `pool_prepare`
commits (and locks) the first records; `pool_grow` starts a helper thread that prepares as many again whenever half of
what is ready is in use, up to the capacity, so the writer meets no page fault and makes one system call (the wake-up)
each time the pool has doubled. Where the helper comes too late a record is taken all the same, at the price of a page
fault, and counted in `late`: what a pool answers never depends on a thread's timing. Several pools may share one thread
(`pool_growing`, `pool_beside`, `pool_begin`); one that is in use may begin to grow.

     1 ......... mark ......... ready ............ 2 ready ............ capacity
       in use         prepared         the helper's next     address space
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from nautilus.core.inlining cimport apart_uint32
from nautilus.core.memory cimport bind_region, lock_region, map_region, prefault_region, unmap_region

cdef extern from *:
    """
    #ifndef NAUTILUS_DEBUG
    #define NAUTILUS_DEBUG 0
    #endif
    """
    const bint NAUTILUS_DEBUG

cdef extern from *:
    """
    #ifndef NAUTILUS_POOL_H
    #define NAUTILUS_POOL_H
    #include <errno.h>
    #include <limits.h>
    #include <linux/futex.h>
    #include <pthread.h>
    #include <signal.h>
    #include <stdint.h>
    #include <sys/mman.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    #define POOL_BESIDE 4

    typedef struct pool_helper_t {
        char     *base;
        uint64_t record_bytes;
        char     *beside[POOL_BESIDE];          /* other regions with a record for each of the pool's */
        uint64_t beside_bytes[POOL_BESIDE];
        uint32_t beside_count;
        uint32_t capacity;
        uint32_t lock;              /* lock what is prepared */
        uint32_t ready;             /* records prepared; written by the helper's thread */
        uint32_t asked;             /* the writer's: `ready` when it last asked */
        uint32_t calls;             /* futex: goes up with each wish of the writer; the leader's counts */
        uint32_t stop;
        int32_t  process;           /* that the thread runs in: a forked child has none */
        uint64_t locked_bytes, late;
        struct pool_helper_t *leader;           /* whose thread serves this pool; itself: its own */
        struct pool_helper_t *next;             /* the next one that the thread serves */
        pthread_t thread;
    } pool_helper_t;

    /* Commit and lock records first to last - 1 of one region. 0, or -1 where the system has no memory for them. */
    static int pool_prepare_region(pool_helper_t *h, char *base, uint64_t record_bytes, uint64_t first, uint64_t last)
    {
        char *start = base + first * record_bytes;
        size_t bytes = (last - first) * record_bytes;
        if (prefault_region(start, bytes) == 0)
            return -1;
        if (h->lock) {
            size_t page = (size_t)sysconf(_SC_PAGESIZE), skip = (size_t)((uintptr_t)start & (page - 1));
            /* With what was locked before: the limit counts pages once. */
            __atomic_add_fetch(&h->locked_bytes, lock_region(start - skip, bytes + skip), __ATOMIC_RELAXED);
        }
        return 0;
    }

    static int pool_prepare_records(pool_helper_t *h, uint64_t first, uint64_t last)
    {
        uint32_t i;
        for (i = 0; i < h->beside_count; i++)
            if (pool_prepare_region(h, h->beside[i], h->beside_bytes[i], first, last))
                return -1;
        return pool_prepare_region(h, h->base, h->record_bytes, first, last);
    }

    /* Twice what is ready, where the writer has asked for it. */
    static void pool_helper_serve(pool_helper_t *h)
    {
        uint64_t ready = h->ready, wanted = ready * 2 < h->capacity ? ready * 2 : h->capacity;
        if (__atomic_load_n(&h->asked, __ATOMIC_ACQUIRE) == ready && wanted > ready
            && pool_prepare_records(h, ready + 1, wanted + 1) == 0)
            __atomic_store_n(&h->ready, (uint32_t)wanted, __ATOMIC_RELEASE);
    }

    static void *pool_helper_main(void *argument)
    {
        pool_helper_t *h = (pool_helper_t *)argument, *each;
        uint32_t seen = 0;
        for (;;) {
            uint32_t calls = __atomic_load_n(&h->calls, __ATOMIC_ACQUIRE);
            if (__atomic_load_n(&h->stop, __ATOMIC_ACQUIRE))
                return NULL;
            if (calls == seen) {
                syscall(SYS_futex, &h->calls, FUTEX_WAIT_PRIVATE, calls, NULL, NULL, 0);
                continue;
            }
            seen = calls;
            for (each = h; each; each = __atomic_load_n(&each->next, __ATOMIC_ACQUIRE))
                pool_helper_serve(each);
        }
    }

    static void pool_helper_call(pool_helper_t *h)
    {
        __atomic_add_fetch(&h->leader->calls, 1, __ATOMIC_RELEASE);
        syscall(SYS_futex, &h->leader->calls, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    }

    /* The writer has taken a record for the first time, past the mark. The next mark. */
    static uint32_t pool_passed_mark(pool_helper_t *h, uint32_t index)
    {
        uint32_t ready = __atomic_load_n(&h->ready, __ATOMIC_ACQUIRE);
        if (index > ready)
            h->late++;
        if (ready == h->capacity)
            return UINT32_MAX;
        if (index < ready / 2)
            return ready / 2;
        if (h->asked != ready) {
            __atomic_store_n(&h->asked, ready, __ATOMIC_RELEASE);
            pool_helper_call(h);
        }
        return index + 1;               /* look again: it may have come, or be late */
    }

    /* A helper for a pool, without a thread yet; NULL with errno. */
    static pool_helper_t *pool_helper_make(void *base, uint64_t record_bytes, uint32_t capacity, int lock)
    {
        pool_helper_t *h = (pool_helper_t *)map_region(sizeof(pool_helper_t), 0);
        if (h == NULL)
            return NULL;
        h->base = (char *)base;
        h->record_bytes = record_bytes;
        h->capacity = capacity;
        h->lock = (uint32_t)lock;
        h->leader = h;
        return h;
    }

    static int pool_helper_beside(pool_helper_t *h, void *base, uint64_t record_bytes)
    {
        if (h->beside_count == POOL_BESIDE)
            return -1;
        h->beside[h->beside_count] = (char *)base;
        h->beside_bytes[h->beside_count++] = record_bytes;
        return 0;
    }

    /* Prepare records 0 to first, then let the thread of `leader` prepare the others; NULL: one of its own, which takes
       no signal. 0, or -1 with errno. */
    static int pool_helper_start(pool_helper_t *h, uint32_t first, pool_helper_t *leader)
    {
        sigset_t every, before;
        int rc;
        if (pool_prepare_records(h, 0, (uint64_t)first + 1))
            return -1;
        h->ready = first;
        h->process = (int32_t)getpid();
        if (leader) {
            h->leader = leader;
            h->next = leader->next;
            __atomic_store_n(&leader->next, h, __ATOMIC_RELEASE);
            return 0;
        }
        sigfillset(&every);
        pthread_sigmask(SIG_BLOCK, &every, &before);
        rc = pthread_create(&h->thread, NULL, pool_helper_main, h);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (rc) {
            errno = rc;
            return -1;
        }
        pthread_setname_np(h->thread, "pool-helper");
        return 0;
    }

    /* End the thread, where there is one: nothing is prepared any more, for none of the pools that it serves. */
    static void pool_helper_still(pool_helper_t *h)
    {
        if (h == NULL || h->leader != h || h->thread == 0 || h->process != (int32_t)getpid())
            return;
        __atomic_store_n(&h->stop, 1, __ATOMIC_RELEASE);
        pool_helper_call(h);
        pthread_join(h->thread, NULL);
        h->thread = 0;
    }

    static void pool_helper_stop(pool_helper_t *h)
    {
        pool_helper_still(h);
        unmap_region(h, sizeof(pool_helper_t));
    }
    #endif
    """
    ctypedef struct pool_helper_t:
        uint32_t ready
        uint64_t locked_bytes
        uint64_t late
    uint32_t pool_passed_mark(pool_helper_t* helper, uint32_t index) noexcept nogil
    pool_helper_t* pool_helper_make(void* base, uint64_t record_bytes, uint32_t capacity, bint lock) noexcept nogil
    int pool_helper_beside(pool_helper_t* helper, void* base, uint64_t record_bytes) noexcept nogil
    int pool_helper_start(pool_helper_t* helper, uint32_t first, pool_helper_t* leader) noexcept nogil
    void pool_helper_still(pool_helper_t* helper) noexcept nogil
    void pool_helper_stop(pool_helper_t* helper) noexcept nogil

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
    uint32_t mark               # a first take at or above it is told to the helper
    uint32_t prepared           # records committed by pool_prepare; the helper's own `ready` once there is one
    pool_helper_t* helper       # NULL: none


cdef inline int pool_open(pool_t* pool, uint32_t record_bytes, uint32_t capacity, bint huge) noexcept nogil:
    """0, or -1 where a record is under 4 bytes, capacity is 0 or 2^32 - 1, or the memory cannot be had."""
    pool.base = NULL
    pool.taken = NULL
    pool.helper = NULL
    pool.mark = <uint32_t>0xFFFFFFFF
    pool.prepared = 0
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
    pool_helper_stop(pool.helper)
    pool.helper = NULL
    unmap_region(pool.base, <size_t>pool.record_bytes * (<size_t>pool.capacity + 1))
    unmap_region(pool.taken, <size_t>pool.capacity + 1)
    pool.base = NULL
    pool.taken = NULL


cdef inline size_t pool_lock(pool_t* pool) noexcept nogil:
    """Lock the pool in memory as far as RLIMIT_MEMLOCK allows; the bytes granted, also in `locked_bytes`."""
    pool.locked_bytes = lock_region(pool.base, <size_t>pool.record_bytes * (<size_t>pool.capacity + 1))
    return pool.locked_bytes


cdef inline int pool_bind(pool_t* pool, int node) noexcept nogil:
    """Prefer a NUMA node for records that are not committed yet; 0 or an errno."""
    return bind_region(pool.base, <size_t>pool.record_bytes * (<size_t>pool.capacity + 1), node)


cdef inline uint32_t pool_prepare(pool_t* pool, uint32_t records) noexcept nogil:
    """Commit the first records, so that their first use meets no page fault; how many are, 0: no memory."""
    if records > pool.capacity:
        records = pool.capacity
    if prefault_region(pool.base, <size_t>pool.record_bytes * (<size_t>records + 1)) == 0:
        return 0
    pool.prepared = records
    return records


cdef inline int pool_growing(pool_t* pool, bint lock) noexcept nogil:
    """The first of three steps: a helper, without a thread yet. 0; -1 with errno, or where it has one.

    lock: what is prepared, as far as RLIMIT_MEMLOCK allows; the sum is in `pool_locked`.
    """
    if pool.helper is not NULL:
        return -1
    pool.helper = pool_helper_make(pool.base, pool.record_bytes, pool.capacity, lock)
    return -1 if pool.helper is NULL else 0


cdef inline int pool_beside(pool_t* pool, void* base, uint64_t record_bytes) noexcept nogil:
    """Between the steps: records of another region, with the same indexes, are prepared along. At most 4."""
    return pool_helper_beside(pool.helper, base, record_bytes)


cdef inline int pool_begin(pool_t* pool, uint32_t first, pool_t* leader) noexcept nogil:
    """The last step: prepare the first records, those in use among them, and let a thread prepare the others.

    leader: a pool that has begun, whose thread serves this one too; NULL: a thread of its own. 0; -1 with errno, and
    the pool has no helper. The thread of a leader is stilled (`pool_still`) before any pool that it serves is closed.
    """
    if first < pool.high_water:
        first = pool.high_water
    if first > pool.capacity:
        first = pool.capacity
    if first == 0 or pool_helper_start(pool.helper, first, NULL if leader is NULL else leader.helper) != 0:
        unmap_region(pool.helper, sizeof(pool_helper_t))
        pool.helper = NULL
        return -1
    pool.prepared = first
    pool.mark = first // 2 if first < pool.capacity else <uint32_t>0xFFFFFFFF
    return 0


cdef inline int pool_grow(pool_t* pool, uint32_t first, bint lock) noexcept nogil:
    """All of it for a pool alone. 0; -1 with errno, or where the pool grows already."""
    if pool_growing(pool, lock) != 0:
        return -1
    return pool_begin(pool, first, NULL)


cdef inline void pool_still(pool_t* pool) noexcept nogil:
    """End the helper's thread; what is prepared stays. The pool goes on, and counts in `late` what it lacks."""
    pool_helper_still(pool.helper)


cdef inline uint32_t pool_ready(const pool_t* pool) noexcept nogil:
    """Records that were committed beforehand, from the first one on."""
    return pool.prepared if pool.helper is NULL else pool.helper.ready


cdef inline uint64_t pool_late(const pool_t* pool) noexcept nogil:
    """Records taken before the helper had prepared them."""
    return 0 if pool.helper is NULL else pool.helper.late


cdef inline uint64_t pool_locked(const pool_t* pool) noexcept nogil:
    """Bytes locked in memory, by `pool_lock` or while growing."""
    return pool.locked_bytes if pool.helper is NULL else pool.locked_bytes + pool.helper.locked_bytes


cdef inline void* pool_at(const pool_t* pool, uint32_t index) noexcept nogil:
    return pool.base + <size_t>index * pool.record_bytes


cdef inline uint32_t pool_pop(pool_t* pool, uint32_t index, const void* record) noexcept nogil:
    """Take the record given back last, which the caller has looked up: `free_head`, not 0, and its address."""
    pool.free_head = (<const uint32_t*>record)[0]
    pool.used += 1
    if NAUTILUS_DEBUG:
        pool.taken[index] = 1
    return index


cdef inline void pool_push(pool_t* pool, uint32_t index, void* record) noexcept nogil:
    """As pool_give, for a caller that knows the record's address."""
    if NAUTILUS_DEBUG:
        if index == 0 or index > pool.capacity or pool.taken[index] == 0:
            pool.misused += 1
            return
        pool.taken[index] = 0
    (<uint32_t*>record)[0] = pool.free_head
    pool.free_head = index
    pool.used -= 1


cdef inline apart_uint32 pool_first(pool_t* pool) noexcept nogil:
    """A record that was never taken; 0 where the pool is full."""
    cdef uint32_t index
    if pool.high_water >= pool.capacity:
        pool.full += 1
        return 0
    pool.high_water += 1
    index = pool.high_water
    if index >= pool.mark:
        pool.mark = pool_passed_mark(pool.helper, index)
    pool.used += 1
    if NAUTILUS_DEBUG:
        pool.taken[index] = 1
    return index


cdef inline uint32_t pool_take(pool_t* pool) noexcept nogil:
    """A record that nobody holds; 0 where the pool is full."""
    cdef uint32_t index = pool.free_head
    if index != 0:
        return pool_pop(pool, index, pool_at(pool, index))
    return pool_first(pool)


cdef inline void pool_give(pool_t* pool, uint32_t index) noexcept nogil:
    """Give back a taken record; its first four bytes are overwritten."""
    pool_push(pool, index, pool_at(pool, index))
