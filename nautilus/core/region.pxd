"""Any process may map a region; who writes which part of it is said by its user. Shared memory files, and doorbells.

A region is a file that several processes map. Its header names what it is and whose it is; a new one takes the name
of an old one by a rename and marks the old one `retired`, so that whoever still maps it notices.

A doorbell lets a thread sleep until another process has something for it, at no cost for the ringer while it is awake:

    sleeper: bell_prepare -> look again -> bell_sleep        ringer: publish -> bell_ring
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

cdef extern from *:
    """
    #ifndef NAUTILUS_REGION_H
    #define NAUTILUS_REGION_H
    #include <errno.h>
    #include <fcntl.h>
    #include <limits.h>
    #include <linux/futex.h>
    #include <sched.h>
    #include <stdint.h>
    #include <stdio.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <sys/stat.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>

    #define REGION_MAGIC 0x314E474552544E4EULL      /* "NNTREGN1" */

    typedef struct region_t {
        uint64_t magic;
        uint32_t layout, kind;      /* of what lies behind the header */
        uint64_t bytes, epoch;
        uint64_t owner_start;       /* start time of the owner, in clock ticks since boot: pids come again */
        int32_t  owner;             /* process that made it */
        uint32_t retired;           /* 1: another one has taken its name, or its owner has left */
        char     pad[128 - 48];
    } region_t;
    _Static_assert(sizeof(region_t) == 128, "region_t");

    typedef struct bell_t {
        uint32_t value, sleeping;   /* sleeping: 0 awake, 1 on the futex, 2 in a poll on the ringer's descriptor */
        char     pad[128 - 8];
    } bell_t;

    /* Start time of a process, 0 where there is none. */
    static uint64_t process_start(int32_t pid)
    {
        char name[32], text[1024], *at;
        unsigned long long start = 0;
        snprintf(name, sizeof name, "/proc/%d/stat", pid);
        int fd = open(name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return 0;
        ssize_t size = read(fd, text, sizeof text - 1);
        close(fd);
        if (size <= 0)
            return 0;
        text[size] = 0;
        at = strrchr(text, ')');            /* the name in brackets may hold anything */
        if (at == NULL || at[2] == 'Z' || at[2] == 'X')
            return 0;                       /* a zombie writes no more */
        for (int field = 2; at && field < 22; field++)
            at = strchr(at + 1, ' ');
        return at && sscanf(at, "%llu", &start) == 1 ? start : 0;
    }

    static region_t *region_map(int fd, size_t bytes)
    {
        void *place = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        return place == MAP_FAILED ? NULL : (region_t *)place;
    }

    /* A new region under `path` (0600); NULL with errno. The old one of that name is marked retired. Of the `bytes` the
       first `present` are allocated now; who writes behind them sees to it that they are. */
    static region_t *region_create_part(const char *path, size_t bytes, size_t present, uint32_t kind, uint32_t layout,
                                        uint64_t epoch)
    {
        char fresh[PATH_MAX];
        if (snprintf(fresh, sizeof fresh, "%s.new", path) >= (int)sizeof fresh) {
            errno = ENAMETOOLONG;
            return NULL;
        }
        unlink(fresh);
        int fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), error;
        if (fd < 0)
            return NULL;
        /* Allocated now: a write to a page that a full tmpfs cannot give would be SIGBUS. */
        error = posix_fallocate(fd, 0, (off_t)present);
        if (!error && present < bytes && ftruncate(fd, (off_t)bytes) != 0)
            error = errno;
        region_t *region = error ? NULL : region_map(fd, bytes);
        if (region == NULL && !error)
            error = errno;
        close(fd);
        if (region == NULL) {
            unlink(fresh);
            errno = error;
            return NULL;
        }
        region->layout = layout;
        region->kind = kind;
        region->bytes = bytes;
        region->epoch = epoch;
        region->owner = (int32_t)getpid();
        region->owner_start = process_start(region->owner);
        __atomic_store_n(&region->magic, REGION_MAGIC, __ATOMIC_RELEASE);
        int old_fd = open(path, O_RDWR | O_CLOEXEC);
        if (rename(fresh, path) != 0) {
            error = errno;
            munmap(region, bytes);
            unlink(fresh);
            if (old_fd >= 0)
                close(old_fd);
            errno = error;
            return NULL;
        }
        if (old_fd >= 0) {
            struct stat status;
            if (fstat(old_fd, &status) == 0 && status.st_size >= (off_t)sizeof(region_t)) {
                region_t *old = region_map(old_fd, sizeof(region_t));
                if (old) {
                    __atomic_store_n(&old->retired, 1, __ATOMIC_RELEASE);
                    munmap(old, sizeof(region_t));
                }
            }
            close(old_fd);
        }
        return region;
    }

    static inline region_t *region_create(const char *path, size_t bytes, uint32_t kind, uint32_t layout, uint64_t epoch)
    {
        return region_create_part(path, bytes, bytes, kind, layout, epoch);
    }

    /* The region under `path`; NULL with errno: ENOENT, EINVAL where it is none of this kind and layout. */
    static region_t *region_attach(const char *path, uint32_t kind, uint32_t layout)
    {
        struct stat status;
        region_t *region = NULL;
        int fd = open(path, O_RDWR | O_CLOEXEC), error = 0;
        if (fd < 0)
            return NULL;
        if (fstat(fd, &status) != 0)
            error = errno;
        else if (status.st_size < (off_t)sizeof(region_t))
            error = EINVAL;
        else if ((region = region_map(fd, (size_t)status.st_size)) == NULL)
            error = errno;
        close(fd);
        if (region && (__atomic_load_n(&region->magic, __ATOMIC_ACQUIRE) != REGION_MAGIC || region->kind != kind
                       || region->layout != layout || region->bytes != (uint64_t)status.st_size)) {
            munmap(region, (size_t)status.st_size);
            region = NULL;
            error = EINVAL;
        }
        errno = error;
        return region;
    }

    static void region_detach(region_t *region)
    {
        if (region)
            munmap(region, region->bytes);
    }

    /* Whether the process that made it still runs and no other has taken the name. */
    static int region_alive(const region_t *region)
    {
        return !__atomic_load_n(&region->retired, __ATOMIC_ACQUIRE)
            && process_start(region->owner) == region->owner_start;
    }

    static inline int region_retired(const region_t *region)
    {
        return (int)__atomic_load_n(&region->retired, __ATOMIC_ACQUIRE);
    }

    static inline uint32_t bell_prepare(bell_t *bell, uint32_t mode)
    {
        uint32_t value = __atomic_load_n(&bell->value, __ATOMIC_ACQUIRE);
        __atomic_store_n(&bell->sleeping, mode, __ATOMIC_SEQ_CST);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        return value;
    }

    static inline void bell_awake(bell_t *bell)
    {
        __atomic_store_n(&bell->sleeping, 0, __ATOMIC_RELAXED);
    }

    static inline void bell_sleep(bell_t *bell, uint32_t value, int64_t most_ns)
    {
        struct timespec most = {most_ns / 1000000000, most_ns % 1000000000};
        syscall(SYS_futex, &bell->value, FUTEX_WAIT, value, &most, NULL, 0);
        bell_awake(bell);
    }

    /* Wake the sleeper, if there is one. `fd` is written to where it sleeps in a poll; -1: none. Call after publishing. */
    static inline void bell_ring(bell_t *bell, int fd)
    {
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (__builtin_expect(__atomic_load_n(&bell->sleeping, __ATOMIC_RELAXED) == 0, 1))
            return;
        uint32_t mode = __atomic_exchange_n(&bell->sleeping, 0, __ATOMIC_ACQ_REL);
        if (mode == 0)
            return;
        __atomic_add_fetch(&bell->value, 1, __ATOMIC_RELEASE);
        if (mode == 1)
            syscall(SYS_futex, &bell->value, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
        else if (fd >= 0 && write(fd, "", 1) < 0)
            errno = 0;                      /* full: the sleeper has a wake-up waiting already */
    }

    static inline void region_yield(void) { sched_yield(); }
    #endif
    """
    ctypedef struct region_t:
        uint64_t magic
        uint32_t layout
        uint32_t kind
        uint64_t bytes
        uint64_t epoch
        uint64_t owner_start
        int32_t owner
        uint32_t retired
    ctypedef struct bell_t:
        uint32_t value
        uint32_t sleeping
    uint64_t process_start(int32_t pid) noexcept nogil
    region_t* region_create_part(const char* path, size_t bytes, size_t present, uint32_t kind, uint32_t layout,
                                 uint64_t epoch) noexcept nogil
    region_t* region_create(const char* path, size_t bytes, uint32_t kind, uint32_t layout,
                            uint64_t epoch) noexcept nogil
    region_t* region_attach(const char* path, uint32_t kind, uint32_t layout) noexcept nogil
    void region_detach(region_t* region) noexcept nogil
    bint region_alive(const region_t* region) noexcept nogil
    bint region_retired(const region_t* region) noexcept nogil
    uint32_t bell_prepare(bell_t* bell, uint32_t mode) noexcept nogil
    void bell_awake(bell_t* bell) noexcept nogil
    void bell_sleep(bell_t* bell, uint32_t value, int64_t most_ns) noexcept nogil
    void bell_ring(bell_t* bell, int fd) noexcept nogil
    void region_yield() noexcept nogil

cdef enum:
    BELL_FUTEX = 1
    BELL_POLL = 2
