"""Regions of memory from the operating system, as the pools and maps of the core take them."""

from nautilus.core.memory cimport lock_region, map_region, unmap_region


def probe(size_t size, bint huge=False):
    """Map, lock and unmap a region; what this machine grants.

    Parameters
    ----------
    size : int
        Bytes.
    huge : bool
        Ask for transparent huge pages.

    Returns
    -------
    dict
        `mapped` (bool) and `locked_bytes` (0 where RLIMIT_MEMLOCK allows none).
    """
    cdef void* region
    cdef size_t locked = 0
    with nogil:
        region = map_region(size, huge)
        if region is not NULL:
            locked = lock_region(region, size)
            unmap_region(region, size)
    return {"mapped": region is not NULL, "locked_bytes": locked}
