"""Price ladder: set-up. Its hot path is in book.pxd."""

from libc.stdint cimport uint32_t

from nautilus.core.memory cimport map_region, unmap_region


cdef int ladder_open(ladder_t* ladder, uint32_t capacity) noexcept nogil:
    ladder.refs = <page_ref_t*>map_region((<size_t>capacity + 1) * sizeof(page_ref_t), False)
    ladder.count = 0
    ladder.capacity = capacity
    ladder.best = LADDER_EMPTY
    return 0 if ladder.refs != NULL else -1


cdef void ladder_close(ladder_t* ladder) noexcept nogil:
    if ladder.refs != NULL:
        unmap_region(ladder.refs, (<size_t>ladder.capacity + 1) * sizeof(page_ref_t))
        ladder.refs = NULL
