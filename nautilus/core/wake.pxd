"""Any thread. How a thread waits: it blocks, spins for a while and blocks then, or spins."""

from libc.stdint cimport int64_t

cdef extern from *:
    """
    #ifndef NAUTILUS_WAKE_H
    #define NAUTILUS_WAKE_H
    #include <errno.h>
    #include <poll.h>
    #include <sched.h>
    #include <stdint.h>
    #include <time.h>

    #define WAKE_LOOKS 64               /* between two readings of the clock */
    #define WAKE_ALONE_NS 50000         /* of spinning, before others are let run between the looks */

    static inline int64_t wake_now(void)
    {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }

    static inline void wake_relax(void)
    {
    #if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
    #elif defined(__aarch64__)
        __asm__ volatile("yield");
    #endif
    }

    /* Between looks that were in vain since `begun`: where there are fewer cores than threads, let the others run. */
    static inline void wake_pause(int64_t waited_ns)
    {
        if (waited_ns > WAKE_ALONE_NS)
            sched_yield();
        else
            wake_relax();
    }

    /* Whether a descriptor can be read within the time; spinning at first. 0 no, 1 yes, -1 interrupted or an error. */
    static int wake_descriptor(int fd, int64_t spin_ns, int64_t most_ns)
    {
        struct pollfd one = {fd, POLLIN, 0};
        int64_t begun = wake_now(), waited = 0;
        for (;;) {
            struct timespec left = {0, 0};
            if (waited >= spin_ns && waited < most_ns) {
                left.tv_sec = (most_ns - waited) / 1000000000;
                left.tv_nsec = (most_ns - waited) % 1000000000;
            }
            int found = ppoll(&one, 1, &left, NULL);
            if (found != 0)
                return found > 0 ? 1 : -1;
            waited = wake_now() - begun;
            if (waited >= most_ns)
                return 0;
            wake_pause(waited);
        }
    }
    #endif
    """
    int64_t wake_now() noexcept nogil
    void wake_relax() noexcept nogil
    void wake_pause(int64_t waited_ns) noexcept nogil
    int wake_descriptor(int fd, int64_t spin_ns, int64_t most_ns) noexcept nogil
    enum:
        WAKE_LOOKS


cdef class Waiting:
    cdef readonly str policy
    cdef readonly int64_t spin_ns
    cdef readonly object grant
    cdef object hold
