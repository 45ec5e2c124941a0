"""One writer, no lock. Instrument ids to places in an array, counted from 1: below 65,536 in one read, others hashed."""

from libc.stdint cimport uint32_t

from nautilus.core.hashmap cimport map_close, map_find, map_open, map_put, map_t
from nautilus.core.memory cimport map_region, unmap_region

cdef enum:
    ID_SMALL = 65536
    ID_MOST = 1 << 20           # ids of 65,536 and more

ctypedef struct id_index_t:
    uint32_t* small
    map_t large
    uint32_t count


cdef inline int id_index_open(id_index_t* index) noexcept nogil:
    """0; -1 where the memory cannot be had. Of zeroed memory; it is committed as it is touched."""
    index.count = 0
    index.small = <uint32_t*>map_region(ID_SMALL * sizeof(uint32_t), False)
    if index.small == NULL:
        return -1
    return map_open(&index.large, ID_MOST)


cdef inline void id_index_close(id_index_t* index) noexcept nogil:
    if index.small != NULL:
        unmap_region(index.small, ID_SMALL * sizeof(uint32_t))
        index.small = NULL
    map_close(&index.large)


cdef inline uint32_t id_index_find(id_index_t* index, uint32_t instrument_id) noexcept nogil:
    """The place of an id, 0 where it has none."""
    cdef uint32_t* found
    if instrument_id < ID_SMALL:
        return index.small[instrument_id]
    found = map_find(&index.large, instrument_id)
    return found[0] if found != NULL else 0


cdef inline uint32_t id_index_add(id_index_t* index, uint32_t instrument_id) noexcept nogil:
    """The next place, for an id that has none; 0 where there is no room."""
    if instrument_id < ID_SMALL:
        index.small[instrument_id] = index.count + 1
    elif map_put(&index.large, instrument_id, index.count + 1) != 0:
        return 0
    index.count += 1
    return index.count
