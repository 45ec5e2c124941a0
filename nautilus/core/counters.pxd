"""One writer a counter, any number of readers. Table of named 64-bit counters and gauges.

Each has two cache lines of its own (processors fetch lines in pairs), so writers never disturb each other. The value
lies first, the name behind it: the flat region explains itself to a reader that has nothing but its address. It may lie
in a file that other processes map; such a file outlives its writer, and the next one goes on with it.

A table has address space for its whole capacity, so none ever moves, and memory as counters are made: the file has holes
behind them. One unused counter always has memory, so that a reader, which stops there, never touches a hole.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from nautilus.core.memory cimport map_region, unmap_region
from nautilus.core.region cimport region_t

cdef extern from *:
    """
    #ifndef NAUTILUS_COUNTERS_H
    #define NAUTILUS_COUNTERS_H
    #include <errno.h>
    #include <stdint.h>
    #include <string.h>
    #include <sys/mman.h>
    #ifndef MADV_POPULATE_WRITE
    #define MADV_POPULATE_WRITE 23      /* Linux 5.14 */
    #endif
    typedef struct counter_t {
        int64_t value;
        uint8_t kind;
        char    name[119];
    } counter_t;
    _Static_assert(sizeof(counter_t) == 128, "counter_t");

    /* One writer: load and store, no locked instruction. A reader sees a whole value. */
    static inline void counter_set(counter_t *c, int64_t value)
    {
        __atomic_store_n(&c->value, value, __ATOMIC_RELAXED);
    }
    static inline int64_t counter_get(const counter_t *c)
    {
        return __atomic_load_n(&c->value, __ATOMIC_RELAXED);
    }
    static inline void counter_add(counter_t *c, int64_t amount)
    {
        counter_set(c, c->value + amount);
    }
    static inline void counter_increment(counter_t *c)
    {
        counter_add(c, 1);
    }

    /* The kind comes last: a reader, and the writer that goes on after a crash, see a whole name or none. */
    static inline void counter_name(counter_t *c, const char *name, size_t length, uint8_t kind)
    {
        memset(c->name, 0, sizeof c->name);
        memcpy(c->name, name, length);
        c->value = 0;
        __atomic_store_n(&c->kind, kind, __ATOMIC_RELEASE);
    }
    static inline uint8_t counter_kind(const counter_t *c)
    {
        return __atomic_load_n(&c->kind, __ATOMIC_ACQUIRE);
    }

    /* Have memory for `count` counters of a mapped file from here on; 0, or an errno: a store would be SIGBUS else. */
    static inline int counters_reserve(counter_t *first, uint32_t count)
    {
        uintptr_t start = (uintptr_t)first & ~(uintptr_t)4095, end = (uintptr_t)(first + count);
        if (madvise((void *)start, end - start, MADV_POPULATE_WRITE) == 0 || errno == EINVAL)
            return 0;                   /* a system that cannot say has room, as far as we know */
        return errno == EFAULT ? ENOSPC : errno;
    }
    #endif
    """
    ctypedef struct counter_t:
        int64_t value
        uint8_t kind
        char name[119]
    void counter_set(counter_t* counter, int64_t value) noexcept nogil
    int64_t counter_get(const counter_t* counter) noexcept nogil
    void counter_add(counter_t* counter, int64_t amount) noexcept nogil
    void counter_increment(counter_t* counter) noexcept nogil
    void counter_name(counter_t* counter, const char* name, size_t length, uint8_t kind) noexcept nogil
    uint8_t counter_kind(const counter_t* counter) noexcept nogil
    int counters_reserve(counter_t* first, uint32_t count) noexcept nogil

cdef enum:
    COUNTERS_MOST = 1 << 15         # of a table that nobody gives a capacity: 4 MiB of addresses
    COUNTERS_STEP = 256             # that get memory at a time
    COUNTER_UNUSED = 0
    COUNTER_COUNTER = 1         # only ever grows
    COUNTER_GAUGE = 2           # the state of something now
    COUNTER_NAME_BYTES = 119
    COUNTERS_KIND = 0x544E4F43      # region kind "CONT"
    COUNTERS_LAYOUT = 1


cdef inline counter_t* counters_open(uint32_t capacity) noexcept nogil:
    """A table of unused counters; NULL where capacity is 0 or the memory cannot be had."""
    return <counter_t*>map_region(<size_t>capacity * sizeof(counter_t), False)


cdef inline void counters_close(counter_t* table, uint32_t capacity) noexcept nogil:
    unmap_region(table, <size_t>capacity * sizeof(counter_t))


cdef class Counters:
    cdef counter_t* table
    cdef uint32_t capacity
    cdef uint32_t used
    cdef uint32_t present           # so many have memory
    cdef region_t* region           # that of the file; NULL: memory of this process alone
    cdef dict indexes
    # The counter of an index that `counter` or `gauge` gave; valid as long as the table.
    cdef counter_t* at(self, uint32_t index) except NULL
    cdef uint32_t named(self, str name, uint8_t kind) except? 0xFFFFFFFF
    cdef int share(self, str path) except -1
    cdef int reserve(self, uint32_t count, str path) except -1
    cdef int widen(self, str path, size_t size) except -1
    cdef int find(self, str path) except -1
