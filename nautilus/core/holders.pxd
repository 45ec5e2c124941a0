"""Any process, any thread. Who holds something of a shared region, so that what a killed process held comes back.

Each process (each object of it) that takes permits of a region has a place in its table of holders: a word of pid and
start time, taken by one compare-and-swap. A permit is a word too that names the place of its holder, taken and given
back by one instruction: there is no moment at which a killed process leaves a count wrong. Whoever finds no permit free
looks for dead holders; one of the lookers takes such a place over, frees the permits of that place, then the place.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from nautilus.core.region cimport process_start, region_t

cdef extern from *:
    """
    #ifndef NAUTILUS_HOLDERS_H
    #define NAUTILUS_HOLDERS_H
    #include <stdint.h>
    #include <unistd.h>
    #define HOLDERS 64
    #define HOLDER_SWEEPING (1ULL << 31)    /* of its place: the one who is named frees what an earlier holder had */

    typedef struct holders_t {
        uint64_t words[HOLDERS];            /* pid: bits 0-30, sweeping: 31, start time of the process: 32-63 */
        int64_t  looked_ns;                 /* when somebody last looked for dead ones */
        char     pad[64 - 8];
    } holders_t;
    _Static_assert(sizeof(holders_t) % 64 == 0, "holders_t");

    static inline uint64_t word_load(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
    static inline uint64_t word_peek(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
    static inline void word_store(uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }
    static inline int word_swap(uint64_t *word, uint64_t old, uint64_t fresh)
    {
        return __atomic_compare_exchange_n(word, &old, fresh, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    static inline uint64_t word_add(uint64_t *word, uint64_t amount)
    {
        return __atomic_fetch_add(word, amount, __ATOMIC_RELAXED);
    }

    static uint64_t holder_identity(void)
    {
        int32_t pid = (int32_t)getpid();
        return (process_start(pid) << 32) | (uint32_t)pid;
    }

    static int holder_dead(uint64_t word)
    {
        uint64_t start = process_start((int32_t)(word & 0x7FFFFFFF));
        return word != 0 && (start == 0 || (start & 0xFFFFFFFF) != word >> 32);
    }

    /* A place for this identity, 0 to HOLDERS - 1; -1: all are taken. */
    static int holder_enter(holders_t *h, uint64_t identity)
    {
        for (int i = 0; i < HOLDERS; i++)
            if (word_load(&h->words[i]) == 0 && word_swap(&h->words[i], 0, identity))
                return i;
        return -1;
    }

    /* Take over the place of a dead holder, to free what it held: 1, or 0 where it lives or another one does so. */
    static int holder_take_over(holders_t *h, int place, uint64_t identity)
    {
        uint64_t word = word_load(&h->words[place]);
        return holder_dead(word) && word_swap(&h->words[place], word, identity | HOLDER_SWEEPING);
    }

    static inline void holder_leave(holders_t *h, int place)
    {
        word_store(&h->words[place], 0);
    }

    /* Whether this caller is the one to look for dead holders now: one in so long. */
    static int holders_due(holders_t *h, int64_t now_ns, int64_t every_ns)
    {
        int64_t looked = __atomic_load_n(&h->looked_ns, __ATOMIC_RELAXED);
        if (looked && now_ns >= looked && now_ns - looked < every_ns)
            return 0;
        return __atomic_compare_exchange_n(&h->looked_ns, &looked, now_ns, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
    #endif
    """
    ctypedef struct holders_t:
        uint64_t* words
        int64_t looked_ns
    const int HOLDERS
    uint64_t word_load(const uint64_t* word) noexcept nogil
    uint64_t word_peek(const uint64_t* word) noexcept nogil
    void word_store(uint64_t* word, uint64_t value) noexcept nogil
    bint word_swap(uint64_t* word, uint64_t old, uint64_t fresh) noexcept nogil
    uint64_t word_add(uint64_t* word, uint64_t amount) noexcept nogil
    uint64_t holder_identity() noexcept nogil
    bint holder_dead(uint64_t word) noexcept nogil
    int holder_enter(holders_t* holders, uint64_t identity) noexcept nogil
    bint holder_take_over(holders_t* holders, int place, uint64_t identity) noexcept nogil
    void holder_leave(holders_t* holders, int place) noexcept nogil
    bint holders_due(holders_t* holders, int64_t now_ns, int64_t every_ns) noexcept nogil

cdef enum:
    HOLDERS_EVERY_NS = 10_000_000   # between looks for dead holders


cdef extern from *:
    """
    #ifndef NAUTILUS_SPAN_H
    #define NAUTILUS_SPAN_H
    #include <time.h>
    #if defined(__x86_64__)
    #include <x86intrin.h>
    #endif
    /* CLOCK_MONOTONIC, counted on from its last reading by the processor's counter for up to a millisecond: the same
       times as time.perf_counter_ns, some microseconds at worst beside them, at a third of the cost. One thread at a time. */
    typedef struct span_clock_t {
        int64_t  anchor_ns;
        uint64_t anchor_ticks, most_ticks;
        double   rate;              /* nanoseconds a tick; 0: no counter that can be counted on */
    } span_clock_t;

    static int64_t span_anchor(span_clock_t *c)
    {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        c->anchor_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    #if defined(__x86_64__)
        c->anchor_ticks = __rdtsc();
    #endif
        return c->anchor_ns;
    }

    static inline int64_t span_now_ns(span_clock_t *c)
    {
    #if defined(__x86_64__)
        uint64_t passed = __rdtsc() - c->anchor_ticks;
        if (__builtin_expect(passed < c->most_ticks, 1))
            return c->anchor_ns + (int64_t)((double)passed * c->rate);
    #endif
        return span_anchor(c);
    }

    static void span_open(span_clock_t *c, double rate)
    {
        c->rate = rate;
        c->most_ticks = rate > 0.0 ? (uint64_t)(1e6 / rate) : 0;
        span_anchor(c);
    }
    #endif
    """
    ctypedef struct span_clock_t:
        double rate
    int64_t span_now_ns(span_clock_t* clock) noexcept nogil
    void span_open(span_clock_t* clock, double rate) noexcept nogil

# That of the process, set up when the module is loaded; read with the interpreter's lock.
cdef span_clock_t machine_span


cdef inline int64_t machine_ns() noexcept:
    """Nanoseconds since the machine's start, as time.perf_counter_ns."""
    return span_now_ns(&machine_span)


cdef class Tenant:
    """A mapped region with a table of holders, and this object's place in it."""
    cdef holders_t* holders
    cdef uint64_t identity
    cdef uint32_t place             # among the holders
    cdef int lives                  # of forks, when the place was taken
    cdef str what                   # for people: the region
    cdef int take_place(self) except -1
    # Frees what the holder of a place has; overridden.
    cdef int free_of(self, uint32_t place) noexcept nogil
    cdef int sweep_now(self) noexcept nogil
    cdef void leave_place(self) noexcept
    cdef bint moved(self) noexcept


# The region under a path, made where there is none; whoever comes at the same time gets the same one.
cdef region_t* share_region(str path, size_t size, uint32_t kind, uint32_t layout) except NULL
