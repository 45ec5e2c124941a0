"""Any thread may read; one thread adjusts. Wall-clock nanoseconds from the time stamp counter of the processor.

Ticks become nanoseconds by `anchor_ns + (ticks - anchor_ticks) * rate`, rate in 32.32 fixed point, calibrated against
CLOCK_MONOTONIC_RAW and anchored to CLOCK_REALTIME. Where the counter is not invariant (CPUID 8000_0007h, EDX bit 8) or
the processor is not x86, a tick is a nanosecond of CLOCK_MONOTONIC. `clock_adjust` steers the clock towards
CLOCK_REALTIME by changing its rate, so readings never go back; `clock_set` goes there at once, before anybody relies on
it. A version counter lets readers notice a change midway.
"""

from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    #ifndef NAUTILUS_CLOCK_H
    #define NAUTILUS_CLOCK_H
    #include <stdint.h>
    #include <time.h>
    #if defined(__x86_64__) || defined(__i386__)
    #include <cpuid.h>
    #include <x86intrin.h>
    #define NAUTILUS_HAS_TSC 1
    #else
    #define NAUTILUS_HAS_TSC 0
    #endif

    typedef struct clock_state_t {
        uint64_t version;               /* odd while the fields below change */
        uint64_t anchor_ticks;
        int64_t  anchor_ns;
        uint64_t rate;                  /* nanoseconds a tick, 32.32 fixed point */
        int64_t  uses_tsc;
        uint64_t first_ticks;           /* start of the calibration, for ever longer baselines */
        int64_t  first_raw_ns;
        double   base_rate;             /* nanoseconds a tick after CLOCK_MONOTONIC_RAW */
    } clock_state_t;

    #define CLOCK_STEP_NS 10000000      /* behind by more than this: step forward instead of steering */
    #define CLOCK_MAX_SLEW 500e-6       /* largest change of rate, as adjtime */

    static inline int64_t system_ns(clockid_t id)
    {
        struct timespec t;
        clock_gettime(id, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }

    static inline uint64_t clock_ticks(const clock_state_t *c)
    {
    #if NAUTILUS_HAS_TSC
        if (__builtin_expect(c->uses_tsc != 0, 1))
            return __rdtsc();
    #endif
        return (uint64_t)system_ns(CLOCK_MONOTONIC);
    }

    static inline int64_t clock_convert(const clock_state_t *c, uint64_t ticks)
    {
        return c->anchor_ns + (int64_t)(((__int128)(int64_t)(ticks - c->anchor_ticks) * (__int128)c->rate) >> 32);
    }

    static inline int64_t clock_read(const clock_state_t *c)
    {
        for (;;) {
            uint64_t version = __atomic_load_n(&c->version, __ATOMIC_ACQUIRE);
            int64_t ns = clock_convert(c, clock_ticks(c));
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            if (__builtin_expect(!(version & 1) && version == __atomic_load_n(&c->version, __ATOMIC_RELAXED), 1))
                return ns;
        }
    }

    static int tsc_is_invariant(void)
    {
    #if NAUTILUS_HAS_TSC
        unsigned a, b, c, d;
        if (__get_cpuid(0x80000007u, &a, &b, &c, &d))
            return (d >> 8) & 1;
    #endif
        return 0;
    }

    /* One reading of a system clock and the tick it belongs to: the tightest of a few brackets. */
    static int64_t clock_pair(const clock_state_t *c, clockid_t id, uint64_t *ticks)
    {
        uint64_t best = UINT64_MAX;
        int64_t reading = 0;
        for (int i = 0; i < 24; i++) {
            uint64_t before = clock_ticks(c);
            int64_t ns = system_ns(id);
            uint64_t after = clock_ticks(c);
            if (after - before < best) {
                best = after - before;
                *ticks = before + best / 2;
                reading = ns;
            }
        }
        return reading;
    }

    static void clock_calibrate(clock_state_t *c)
    {
        uint64_t ticks;
        int64_t raw = clock_pair(c, CLOCK_MONOTONIC_RAW, &ticks);
        if (ticks != c->first_ticks)
            c->base_rate = c->uses_tsc ? (double)(raw - c->first_raw_ns) / (double)(ticks - c->first_ticks) : 1.0;
    }

    /* uses_tsc: 1 the counter, 0 CLOCK_MONOTONIC, -1 the counter where it is invariant. -1: asked for and not there. */
    static int clock_open(clock_state_t *c, int uses_tsc)
    {
        int invariant = tsc_is_invariant();
        if (uses_tsc == 1 && !invariant)
            return -1;
        c->version = 0;
        c->uses_tsc = uses_tsc < 0 ? invariant : uses_tsc;
        c->base_rate = 1.0;
        c->first_raw_ns = clock_pair(c, CLOCK_MONOTONIC_RAW, &c->first_ticks);
        if (c->uses_tsc) {              /* 2 ms of baseline: some 20 parts in a million; clock_adjust refines it */
            while (system_ns(CLOCK_MONOTONIC_RAW) - c->first_raw_ns < 2000000)
                continue;
            clock_calibrate(c);
        }
        c->rate = (uint64_t)(c->base_rate * 4294967296.0);
        c->anchor_ns = clock_pair(c, CLOCK_REALTIME, &c->anchor_ticks);
        return 0;
    }

    /* From now on step_ns later, and faster by slew. The rates meet here: without a step no reader sees it go back. */
    static void clock_turn(clock_state_t *c, int64_t step_ns, double slew)
    {
        uint64_t ticks;
        __atomic_store_n(&c->version, c->version + 1, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        ticks = clock_ticks(c);
        c->anchor_ns = clock_convert(c, ticks) + step_ns;
        c->anchor_ticks = ticks;
        c->rate = (uint64_t)(c->base_rate * (1.0 + slew) * 4294967296.0);
        __atomic_store_n(&c->version, c->version + 1, __ATOMIC_RELEASE);
    }

    /* Steer towards CLOCK_REALTIME. Returns how far that was ahead of this clock, in nanoseconds. */
    static int64_t clock_adjust(clock_state_t *c)
    {
        uint64_t ticks;
        int64_t real = clock_pair(c, CLOCK_REALTIME, &ticks);
        int64_t now = clock_convert(c, ticks), offset = real - now, since = now - c->anchor_ns;
        double horizon = since > 1000000000 ? (double)since : 1e9, slew;
        clock_calibrate(c);
        slew = (double)offset / horizon;
        slew = slew > CLOCK_MAX_SLEW ? CLOCK_MAX_SLEW : slew < -CLOCK_MAX_SLEW ? -CLOCK_MAX_SLEW : slew;
        if (offset > CLOCK_STEP_NS)
            clock_turn(c, offset, 0.0);
        else
            clock_turn(c, 0, slew);
        return offset;
    }

    /* Set to CLOCK_REALTIME at once, back too. Returns how far that was ahead of this clock, in nanoseconds. */
    static int64_t clock_set(clock_state_t *c)
    {
        uint64_t ticks;
        int64_t real = clock_pair(c, CLOCK_REALTIME, &ticks);
        int64_t offset = real - clock_convert(c, ticks);
        clock_calibrate(c);
        clock_turn(c, offset, 0.0);
        return offset;
    }
    #endif
    """
    ctypedef struct clock_state_t:
        int64_t uses_tsc
        double base_rate
    int clock_open(clock_state_t* clock, int uses_tsc) noexcept nogil
    int64_t clock_read(const clock_state_t* clock) noexcept nogil
    int64_t clock_adjust(clock_state_t* clock) noexcept nogil
    int64_t clock_set(clock_state_t* clock) noexcept nogil

# The clock of this process, set up when the module is loaded.
cdef clock_state_t process_clock


cdef inline int64_t clock_now_ns() noexcept nogil:
    """Nanoseconds since the epoch (UTC)."""
    return clock_read(&process_clock)
