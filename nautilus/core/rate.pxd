"""Any number of processes, no lock. How often something may be done, in one shared word: the time at which its bucket would
be empty again (GCRA, ITU-T I.371). A compare-and-swap moves it, so there is nothing half done that a killed process leaves.
"""

from libc.stdint cimport int64_t

cdef extern from *:
    """
    #ifndef NAUTILUS_RATE_H
    #define NAUTILUS_RATE_H
    #include <stdint.h>

    /* Further ahead than a full bucket: the clock was set back, or there is another rate now. */
    static inline int64_t rate_next(int64_t empty, int64_t now_ns, int64_t interval_ns, int64_t most)
    {
        return (empty < now_ns ? now_ns : empty - now_ns > most ? now_ns + most : empty) + interval_ns;
    }

    /* One each `interval_ns`, `burst` at once: those that are left (0 and more), or minus the time until the next one. */
    static inline int64_t rate_take(int64_t *word, int64_t now_ns, int64_t interval_ns, int64_t burst)
    {
        int64_t most = interval_ns * burst, empty = __atomic_load_n(word, __ATOMIC_RELAXED);
        for (;;) {
            int64_t next = rate_next(empty, now_ns, interval_ns, most);
            if (next - now_ns > most)
                return -(next - now_ns - most);
            if (__atomic_compare_exchange_n(word, &empty, next, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
                return (most - (next - now_ns)) / interval_ns;
        }
    }

    /* The time until the next one; 0: now. Takes nothing. */
    static inline int64_t rate_wait(const int64_t *word, int64_t now_ns, int64_t interval_ns, int64_t burst)
    {
        int64_t most = interval_ns * burst;
        int64_t ahead = rate_next(__atomic_load_n(word, __ATOMIC_RELAXED), now_ns, interval_ns, most) - now_ns - most;
        return ahead > 0 ? ahead : 0;
    }
    #endif
    """
    int64_t rate_take(int64_t* word, int64_t now_ns, int64_t interval_ns, int64_t burst) noexcept nogil
    int64_t rate_wait(const int64_t* word, int64_t now_ns, int64_t interval_ns, int64_t burst) noexcept nogil
