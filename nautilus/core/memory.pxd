"""Anonymous memory straight from the operating system.

Regions come zeroed and are committed page by page at first touch, so a capacity that is never used costs address
space only. Used by `pool` and `hashmap`; `memory.pyx` shows the same to Python.
"""

cdef extern from *:
    """
    #ifndef NAUTILUS_MEMORY_H
    #define NAUTILUS_MEMORY_H
    #include <stddef.h>
    #include <stdint.h>
    #include <sys/mman.h>
    #include <sys/resource.h>
    #include <unistd.h>

    #define NAUTILUS_HUGE_PAGE ((size_t)2 << 20)

    /* Transparent huge pages need a start on a 2 MiB border: map more, then trim both ends. */
    static void *map_region(size_t bytes, int huge)
    {
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        if (bytes == 0 || bytes > SIZE_MAX - 2 * NAUTILUS_HUGE_PAGE)
            return NULL;
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        bytes = (bytes + page - 1) & ~(page - 1);
        if (!huge || bytes < NAUTILUS_HUGE_PAGE) {
            void *plain = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
            return plain == MAP_FAILED ? NULL : plain;
        }
        char *start = (char *)mmap(NULL, bytes + NAUTILUS_HUGE_PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (start == (char *)MAP_FAILED)
            return NULL;
        size_t head = (size_t)(-(uintptr_t)start & (NAUTILUS_HUGE_PAGE - 1));
        if (head)
            munmap(start, head);
        if (head < NAUTILUS_HUGE_PAGE)
            munmap(start + head + bytes, NAUTILUS_HUGE_PAGE - head);
    #ifdef MADV_HUGEPAGE
        madvise(start + head, bytes, MADV_HUGEPAGE);    /* a wish: the kernel may not grant it */
    #endif
        return start + head;
    }

    static void unmap_region(void *region, size_t bytes)
    {
        if (region)
            munmap(region, bytes);
    }

    /* Lock as much of the start of a region as RLIMIT_MEMLOCK leaves room for; pages stay lazily committed.
       The limit counts what the process has locked already, so the wish is halved until it is granted. */
    static size_t lock_region(void *region, size_t bytes)
    {
        struct rlimit limit;
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        bytes = (bytes + page - 1) & ~(page - 1);
        if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && geteuid() != 0
            && bytes > limit.rlim_cur)
            bytes = (size_t)limit.rlim_cur & ~(page - 1);
        while (bytes >= page) {
    #ifdef MLOCK_ONFAULT
            if (mlock2(region, bytes, MLOCK_ONFAULT) == 0)
                return bytes;
    #else
            if (mlock(region, bytes) == 0)
                return bytes;
    #endif
            bytes = (bytes / 2) & ~(page - 1);
        }
        return 0;
    }
    #endif
    """
    # bytes: length, rounded up to pages. huge: ask for transparent huge pages. NULL where it cannot be had.
    void* map_region(size_t bytes, bint huge) noexcept nogil
    void unmap_region(void* region, size_t bytes) noexcept nogil
    # The number of bytes from the start of the region that are locked in memory now; 0 where none were granted.
    size_t lock_region(void* region, size_t bytes) noexcept nogil
