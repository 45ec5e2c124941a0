"""Regions of memory from the operating system, as the pools and maps of the core take them."""

from nautilus.core.memory cimport (
    bind_region,
    lock_region,
    map_region,
    memory_nodes,
    prefault_region,
    unmap_region,
)


def probe(size_t size, bint huge=False, bint prefault=False, int node=-1):
    """Map, bind, lock, commit and unmap a region; what this machine grants.

    Parameters
    ----------
    size : int
        Bytes.
    huge : bool
        Ask for huge pages.
    prefault : bool
        Commit the pages.
    node : int
        Prefer this NUMA node; -1: none is asked for.

    Returns
    -------
    dict
        `mapped` (bool), `locked_bytes` (0 where RLIMIT_MEMLOCK allows none), `committed_bytes`, `huge_bytes` (of the
        committed ones, those on huge pages), `bind_error` (errno; 0: granted, or not asked for) and `nodes` (NUMA
        nodes with memory).
    """
    cdef void* region
    cdef size_t locked = 0, committed = 0
    cdef int error = 0
    huge_bytes = 0
    with nogil:
        region = map_region(size, huge)
        if region is not NULL:
            if node >= 0:
                error = bind_region(region, size, node)
            locked = lock_region(region, size)
            if prefault:
                committed = prefault_region(region, size)
    if committed:
        huge_bytes = _huge_bytes(<size_t>region)
    unmap_region(region, size)
    return {
        "mapped": region is not NULL,
        "locked_bytes": locked,
        "committed_bytes": committed,
        "huge_bytes": huge_bytes,
        "bind_error": error,
        "nodes": memory_nodes(),
    }


def _huge_bytes(size_t start):
    """Bytes on huge pages in the mapping that holds this address, as the system counts them."""
    inside = False
    huge = 0
    try:
        with open("/proc/self/smaps", encoding="ascii", errors="replace") as lines:
            for line in lines:
                words = line.split()
                if "-" in words[0] and not words[0].endswith(":"):
                    first, last = words[0].split("-")
                    inside = int(first, 16) <= start < int(last, 16)
                elif inside and words[0] in ("AnonHugePages:", "Private_Hugetlb:"):
                    huge += int(words[1]) << 10
    except OSError:
        return 0            # no /proc: nobody counts
    return huge
