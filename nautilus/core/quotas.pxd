"""Any process, any thread. What others allow us, by name: so many a second, a minute and a day, and not before a time.

Each is one word that a compare-and-swap moves, in a file where there is one: what a killed process has taken stays taken,
and a start finds the count of the day. The limits are the caller's, so that settings that change hold at once.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint64_t

from nautilus.core.named_table cimport NamedTable, named_t
from nautilus.core.rate cimport rate_take, rate_wait

cdef extern from *:
    """
    #ifndef NAUTILUS_QUOTAS_H
    #define NAUTILUS_QUOTAS_H
    #include <stddef.h>
    #include <stdint.h>
    enum { Q_GO, Q_BLOCKED, Q_SECOND, Q_MINUTE, Q_DAY };
    #define Q_SECOND_NS 1000000000LL
    #define Q_MINUTE_NS (60 * Q_SECOND_NS)
    #define Q_LONGEST_BLOCK_NS (25LL * 60 * Q_MINUTE_NS)

    typedef struct quota_t {
        int64_t  second, minute;            /* words of rates */
        int64_t  blocked_ns;                /* not before; 0: never said */
        uint64_t day;                       /* number of the day: 32 bits, taken of it: 32 bits */
        uint64_t taken, reserved[3];
        named_t  named;
    } quota_t;
    _Static_assert(sizeof(quota_t) % 64 == 0, "quota_t");
    #define Q_NAMED_AT offsetof(quota_t, named)

    /* With `burst` at once and one each interval after, any window that begins anywhere has at most `most`. */
    static inline int64_t q_burst(int64_t most) { return most < 8 ? 1 : most / 4; }
    static inline int64_t q_interval(int64_t most, int64_t window_ns)
    {
        int64_t parts = most - q_burst(most) + 1;
        return (window_ns + parts - 1) / parts;
    }

    /* Taken of a day. Of a later one that is stored, the clock was set back: its count holds. */
    static inline uint64_t q_taken(uint64_t word, uint32_t day) { return word >> 32 < day ? 0 : word & 0xFFFFFFFF; }

    static inline int64_t q_blocked(const quota_t *q, int64_t now_ns)
    {
        int64_t ahead = __atomic_load_n(&q->blocked_ns, __ATOMIC_RELAXED) - now_ns;
        return ahead > 0 && ahead <= Q_LONGEST_BLOCK_NS ? ahead : 0;
    }

    /* Why not now and, but for the day, for how long; the longest of the waits. */
    static int quota_look(const quota_t *q, int64_t now_ns, int64_t second, int64_t minute, int64_t per_day, uint32_t day,
                          int64_t *wait_ns)
    {
        int64_t one = second ? rate_wait(&q->second, now_ns, q_interval(second, Q_SECOND_NS), q_burst(second)) : 0;
        int64_t two = minute ? rate_wait(&q->minute, now_ns, q_interval(minute, Q_MINUTE_NS), q_burst(minute)) : 0;
        int64_t block = q_blocked(q, now_ns);
        if (per_day && q_taken(__atomic_load_n(&q->day, __ATOMIC_RELAXED), day) >= (uint64_t)per_day) {
            *wait_ns = 0;
            return Q_DAY;
        }
        *wait_ns = block > two ? block : two;
        if (one > *wait_ns)
            *wait_ns = one;
        return !*wait_ns ? Q_GO : *wait_ns == block ? Q_BLOCKED : *wait_ns == two ? Q_MINUTE : Q_SECOND;
    }

    /* One. What another one took meanwhile costs at most a place of the second or the minute, never one of the day. */
    static int quota_take(quota_t *q, int64_t now_ns, int64_t second, int64_t minute, int64_t per_day, uint32_t day,
                          int64_t *wait_ns)
    {
        int why = quota_look(q, now_ns, second, minute, per_day, day, wait_ns);
        int64_t left;
        uint64_t word;
        if (why != Q_GO)
            return why;
        if (second && (left = rate_take(&q->second, now_ns, q_interval(second, Q_SECOND_NS), q_burst(second))) < 0) {
            *wait_ns = -left;
            return Q_SECOND;
        }
        if (minute && (left = rate_take(&q->minute, now_ns, q_interval(minute, Q_MINUTE_NS), q_burst(minute))) < 0) {
            *wait_ns = -left;
            return Q_MINUTE;
        }
        word = __atomic_load_n(&q->day, __ATOMIC_RELAXED);
        for (;;) {
            uint64_t taken = q_taken(word, day);
            if (per_day && taken >= (uint64_t)per_day)
                return Q_DAY;
            if (__atomic_compare_exchange_n(&q->day, &word, (uint64_t)day << 32 | (taken + 1), 0, __ATOMIC_RELAXED,
                                            __ATOMIC_RELAXED))
                break;
        }
        __atomic_fetch_add(&q->taken, 1, __ATOMIC_RELAXED);
        return Q_GO;
    }

    static void quota_block(quota_t *q, int64_t until_ns, int64_t now_ns)
    {
        int64_t seen = __atomic_load_n(&q->blocked_ns, __ATOMIC_RELAXED);
        if (until_ns > now_ns + Q_LONGEST_BLOCK_NS)
            until_ns = now_ns + Q_LONGEST_BLOCK_NS;
        while (seen < until_ns || seen > now_ns + Q_LONGEST_BLOCK_NS)
            if (__atomic_compare_exchange_n(&q->blocked_ns, &seen, until_ns, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
                return;
    }

    static inline uint64_t quota_taken(const quota_t *q, uint32_t day)
    {
        return q_taken(__atomic_load_n(&q->day, __ATOMIC_RELAXED), day);
    }
    #endif
    """
    ctypedef struct quota_t:
        pass
    enum:
        Q_GO
        Q_BLOCKED
        Q_SECOND
        Q_MINUTE
        Q_DAY
    size_t Q_NAMED_AT
    int quota_look(const quota_t* quota, int64_t now_ns, int64_t second, int64_t minute, int64_t per_day, unsigned int day,
                   int64_t* wait_ns) noexcept nogil
    int quota_take(quota_t* quota, int64_t now_ns, int64_t second, int64_t minute, int64_t per_day, unsigned int day,
                   int64_t* wait_ns) noexcept nogil
    void quota_block(quota_t* quota, int64_t until_ns, int64_t now_ns) noexcept nogil
    uint64_t quota_taken(const quota_t* quota, unsigned int day) noexcept nogil

cdef enum:
    QUOTAS_KIND = 0x41544F51        # region kind "QOTA"
    QUOTAS_LAYOUT = 1


cdef class Quotas(NamedTable):
    pass


cdef class Quota:
    cdef readonly Quotas owner
    cdef readonly str name
    cdef quota_t* data
