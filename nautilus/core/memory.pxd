"""Anonymous memory straight from the operating system.

Regions come zeroed and are committed page by page at first touch, so a capacity that is never used costs address
space only; `prefault_region` commits them beforehand. Huge pages are asked for by madvise; where the system grants none
that way, reserved ones (hugetlb) are taken while enough are free. Used by `pool`, `ring` and `hashmap`; `memory.pyx`
shows the same to Python.
"""

cdef extern from *:
    """
    #ifndef NAUTILUS_MEMORY_H
    #define NAUTILUS_MEMORY_H
    #include <errno.h>
    #include <fcntl.h>
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <sys/resource.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    #define NAUTILUS_HUGE_PAGE ((size_t)2 << 20)

    #ifndef MADV_POPULATE_WRITE
    #define MADV_POPULATE_WRITE 23      /* Linux 5.14 */
    #endif

    /* Whether madvise can bring huge pages here: not where they are switched off, or not built in. */
    static int transparent_huge_pages(void)
    {
        static int known = -1;
        int now = __atomic_load_n(&known, __ATOMIC_RELAXED);
        if (now < 0) {
            char text[64];
            int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);
            ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
            if (fd >= 0)
                close(fd);
            text[size < 0 ? 0 : size] = 0;
            now = size > 0 && strstr(text, "[never]") == NULL;
            __atomic_store_n(&known, now, __ATOMIC_RELAXED);
        }
        return now;
    }

    /* Reserved huge pages, all of them or none: no MAP_NORESERVE, whose touch could end in SIGBUS. */
    static void *map_reserved(size_t bytes)
    {
        size_t whole = (bytes + NAUTILUS_HUGE_PAGE - 1) & ~(NAUTILUS_HUGE_PAGE - 1);
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (21 << 26);   /* of 2 MiB */
        void *place = mmap(NULL, whole, PROT_READ | PROT_WRITE, flags, -1, 0);
        return place == MAP_FAILED ? NULL : place;
    }

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
        if (!transparent_huge_pages()) {
            void *reserved = map_reserved(bytes);
            if (reserved)
                return reserved;
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
        /* A part of a reserved huge page cannot be unmapped (EINVAL). */
        if (region && munmap(region, bytes) != 0 && errno == EINVAL)
            munmap(region, (bytes + NAUTILUS_HUGE_PAGE - 1) & ~(NAUTILUS_HUGE_PAGE - 1));
    }

    /* Commit the pages that hold these bytes; what they hold stays. Safe beside other threads that use them. */
    static size_t prefault_region(void *start, size_t bytes)
    {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        uintptr_t first = (uintptr_t)start & ~(page - 1), end = ((uintptr_t)start + bytes + page - 1) & ~(page - 1);
        if (bytes == 0)
            return 0;
        if (madvise((void *)first, end - first, MADV_POPULATE_WRITE) == 0)
            return end - first;
        if (errno != EINVAL)
            return 0;                   /* no memory to commit: the touch below would be the end of the process */
        for (uintptr_t at = first; at < end; at += page)
            __atomic_fetch_or((char *)at, 0, __ATOMIC_RELAXED);
        return end - first;
    }

    /* How many NUMA nodes have memory; 1 where the system does not tell. */
    static int memory_nodes(void)
    {
        char text[256];
        int fd = open("/sys/devices/system/node/has_memory", O_RDONLY | O_CLOEXEC), nodes = 0;
        ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
        if (fd >= 0)
            close(fd);
        if (size <= 0)
            return 1;
        text[size] = 0;
        for (char *at = text; *at >= '0' && *at <= '9';) {      /* "0-1,4" */
            int first = 0, last;
            while (*at >= '0' && *at <= '9')
                first = first * 10 + *at++ - '0';
            last = first;
            if (*at == '-')
                for (last = 0, at++; *at >= '0' && *at <= '9'; at++)
                    last = last * 10 + *at - '0';
            nodes += last - first + 1;
            if (*at == ',')
                at++;
        }
        return nodes > 0 ? nodes : 1;
    }

    /* Prefer a NUMA node for the pages of a region that are not committed yet. 0, or an errno. */
    static int bind_region(void *region, size_t bytes, int node)
    {
        unsigned long mask[16] = {0};
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        if (node < 0 || node >= 1023)
            return EINVAL;
        mask[node / 64] = 1UL << (node % 64);
        bytes = (bytes + page - 1) & ~(page - 1);
        /* MPOL_PREFERRED: a full node is no failure */
        return syscall(SYS_mbind, region, bytes, 1, mask, 1024UL, 0) == 0 ? 0 : errno;
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
    # bytes: length, rounded up to pages. huge: ask for huge pages. NULL where it cannot be had.
    void* map_region(size_t bytes, bint huge) noexcept nogil
    void unmap_region(void* region, size_t bytes) noexcept nogil
    # The number of bytes from the start of the region that are locked in memory now; 0 where none were granted.
    size_t lock_region(void* region, size_t bytes) noexcept nogil
    bint transparent_huge_pages() noexcept nogil
    # Bytes committed, whole pages; 0 where the system has no memory for them.
    size_t prefault_region(void* start, size_t bytes) noexcept nogil
    int memory_nodes() noexcept nogil
    # 0 or an errno. Asked for before the pages are touched.
    int bind_region(void* region, size_t bytes, int node) noexcept nogil
