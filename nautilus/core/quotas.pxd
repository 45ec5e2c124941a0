"""Any process, any thread. What others allow us, by name: so many a second, a minute, an hour and a day, and not before.

Each is one word that a compare-and-swap moves, in a file where there is one: what a killed process has taken stays taken,
and a start finds the count of the day. The limits are the caller's, so that settings that change hold at once.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.named_table cimport NamedTable, named_t
from nautilus.core.rate cimport rate_take, rate_wait

cdef extern from *:
    """
    #ifndef NAUTILUS_QUOTAS_H
    #define NAUTILUS_QUOTAS_H
    #include <stddef.h>
    #include <stdint.h>
    enum { Q_GO, Q_BLOCKED, Q_SECOND, Q_MINUTE, Q_HOUR, Q_DAY };
    #define Q_SECOND_NS 1000000000LL
    #define Q_MINUTE_NS (60 * Q_SECOND_NS)
    #define Q_HOUR_NS (60 * Q_MINUTE_NS)
    #define Q_LONGEST_BLOCK_NS (25LL * 60 * Q_MINUTE_NS)
    #define Q_UNUSED_DAYS 3                 /* longer than a day of any zone, and than any block */

    typedef struct quota_t {
        int64_t  rates[3];                  /* words of rates: second, minute, hour */
        int64_t  blocked_ns;                /* not before; 0: never said */
        uint64_t day;                       /* number of the day: 32 bits, taken of it: 32 bits */
        uint64_t taken;
        uint64_t used;                      /* number of the day on which somebody last had to do with it; 0: long ago */
        uint64_t reserved;
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

    typedef struct q_limits_t {
        int64_t rates[3];                   /* of any second, minute and hour; 0: no limit */
        int64_t per_day;
    } q_limits_t;

    static inline int64_t q_window(int place) { return place == 0 ? Q_SECOND_NS : place == 1 ? Q_MINUTE_NS : Q_HOUR_NS; }

    /* Why not now and, but for the day, for how long; the longest of the waits. */
    static int quota_look(const quota_t *q, int64_t now_ns, const q_limits_t *most, uint32_t day, int64_t *wait_ns)
    {
        int why = Q_GO;
        *wait_ns = 0;
        if (most->per_day && q_taken(__atomic_load_n(&q->day, __ATOMIC_RELAXED), day) >= (uint64_t)most->per_day)
            return Q_DAY;
        for (int i = 0; i < 3; i++) {
            int64_t rate = most->rates[i];
            int64_t wait = rate ? rate_wait(&q->rates[i], now_ns, q_interval(rate, q_window(i)), q_burst(rate)) : 0;
            if (wait > *wait_ns) {
                *wait_ns = wait;
                why = Q_SECOND + i;
            }
        }
        if (q_blocked(q, now_ns) > *wait_ns) {
            *wait_ns = q_blocked(q, now_ns);
            why = Q_BLOCKED;
        }
        return why;
    }

    /* One. What another one took meanwhile costs at most a place of a rate, never one of the day. */
    static int quota_take(quota_t *q, int64_t now_ns, const q_limits_t *most, uint32_t day, int64_t *wait_ns)
    {
        int why = quota_look(q, now_ns, most, day, wait_ns);
        uint64_t word;
        if (why != Q_GO)
            return why;
        for (int i = 0; i < 3; i++) {
            int64_t rate = most->rates[i], left;
            if (!rate)
                continue;
            left = rate_take(&q->rates[i], now_ns, q_interval(rate, q_window(i)), q_burst(rate));
            if (left < 0) {
                *wait_ns = -left;
                return Q_SECOND + i;
            }
        }
        word = __atomic_load_n(&q->day, __ATOMIC_RELAXED);
        for (;;) {
            uint64_t taken = q_taken(word, day), of = word >> 32 > day ? word >> 32 : day;
            if (most->per_day && taken >= (uint64_t)most->per_day)
                return Q_DAY;
            if (__atomic_compare_exchange_n(&q->day, &word, of << 32 | (taken + 1), 0, __ATOMIC_RELAXED,
                                            __ATOMIC_RELAXED))
                break;
        }
        __atomic_fetch_add(&q->taken, 1, __ATOMIC_RELAXED);
        return Q_GO;
    }

    /* Neither asked for nor held back by anybody for so many days: what it has counted says nothing any more. */
    static inline int quota_unused(const quota_t *q, uint32_t day)
    {
        uint64_t used = __atomic_load_n(&q->used, __ATOMIC_RELAXED);
        uint64_t asked = __atomic_load_n(&q->day, __ATOMIC_RELAXED) >> 32;
        return used + Q_UNUSED_DAYS < day && asked + Q_UNUSED_DAYS < day;
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
        uint64_t used
    ctypedef struct q_limits_t:
        int64_t rates[3]
        int64_t per_day
    enum:
        Q_GO
        Q_BLOCKED
        Q_SECOND
        Q_MINUTE
        Q_HOUR
        Q_DAY
    size_t Q_NAMED_AT
    int quota_look(const quota_t* quota, int64_t now_ns, const q_limits_t* most, unsigned int day,
                   int64_t* wait_ns) noexcept nogil
    int quota_take(quota_t* quota, int64_t now_ns, const q_limits_t* most, unsigned int day,
                   int64_t* wait_ns) noexcept nogil
    void quota_block(quota_t* quota, int64_t until_ns, int64_t now_ns) noexcept nogil
    uint64_t quota_taken(const quota_t* quota, unsigned int day) noexcept nogil
    int quota_unused(const quota_t* quota, unsigned int day) noexcept nogil

cdef enum:
    QUOTAS_KIND = 0x41544F51        # region kind "QOTA"
    QUOTAS_LAYOUT = 2


cdef class Quotas(NamedTable):
    # That of a name, made where there is none; of a day: if need be where nobody was for long. ValueError: no room.
    cdef quota_t* place_of(self, str name, uint32_t day) except NULL


cdef class Quota:
    cdef readonly Quotas owner
    cdef readonly str name
    cdef bytes encoded
    cdef uint32_t day                   # the latest that it was told of
    cdef quota_t* data
    cdef quota_t* place(self) except NULL
    cdef quota_t* place_at(self, int64_t now_ns, uint32_t day) except NULL
