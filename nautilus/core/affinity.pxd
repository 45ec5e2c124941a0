"""Any thread. Where a thread runs, how the scheduler treats it, and what memory may not be taken from it.

Each asks the system once, answers with an errno, and changes nothing where it is refused.
"""

from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    #ifndef NAUTILUS_AFFINITY_H
    #define NAUTILUS_AFFINITY_H
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <errno.h>
    #include <pthread.h>
    #include <sched.h>
    #include <stdint.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    static int thread_pin(pthread_t thread, int core)
    {
        cpu_set_t set;
        if (core < 0 || core >= CPU_SETSIZE)
            return EINVAL;
        CPU_ZERO(&set);
        CPU_SET(core, &set);
        return pthread_setaffinity_np(thread, sizeof set, &set);
    }

    static int thread_fifo(pthread_t thread, int priority)
    {
        struct sched_param parameter;
        memset(&parameter, 0, sizeof parameter);
        parameter.sched_priority = priority;
        return pthread_setschedparam(thread, SCHED_FIFO, &parameter);
    }

    struct thread_schedule { /* struct sched_attr, as far as it is used here */
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    };

    /* How long a thread of the usual scheduling runs before another one may, asked for where `wanted` is not 0. Returns
       what it is, in ns; 0: the kernel has one for all, or the thread is scheduled otherwise; -errno. */
    static int64_t thread_slice(int tid, uint64_t wanted)
    {
        struct thread_schedule found;
        memset(&found, 0, sizeof found);
        if (syscall(SYS_sched_getattr, tid, &found, (unsigned)sizeof found, 0) != 0)
            return -(int64_t)errno;
        if (found.policy != SCHED_OTHER)
            return 0;
        if (wanted && found.runtime) {
            found.size = sizeof found;
            found.runtime = wanted;
            if (syscall(SYS_sched_setattr, tid, &found, 0) != 0)
                return -(int64_t)errno;
            return thread_slice(tid, 0);
        }
        return (int64_t)found.runtime;
    }

    /* The calling thread, and those that it starts, take new pages from this node while it has any (MPOL_PREFERRED). */
    static int thread_prefer_node(int node)
    {
        unsigned long mask[16] = {0};
        if (node < 0 || node >= 1023)
            return EINVAL;
        mask[node / 64] = 1UL << (node % 64);
        return syscall(SYS_set_mempolicy, 1, mask, 1024UL) == 0 ? 0 : errno;
    }

    /* What is mapped now and later, each page from its first touch on: what is never used is never committed. */
    static int lock_everything(void)
    {
    #ifdef MCL_ONFAULT
        return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0 ? 0 : errno;
    #else
        return ENOSYS;
    #endif
    }
    #endif
    """
    ctypedef unsigned long affinity_thread_t "pthread_t"
    int thread_pin(affinity_thread_t thread, int core) noexcept nogil
    int thread_fifo(affinity_thread_t thread, int priority) noexcept nogil
    int thread_prefer_node(int node) noexcept nogil
    int64_t thread_slice(int tid, uint64_t wanted) noexcept nogil
    int lock_everything() noexcept nogil

cdef object grant_pin(str what, affinity_thread_t thread, int core)
cdef object grant_fifo(str what, affinity_thread_t thread, int priority)
