"""Price ladder: set-up, and a Python face for its tests."""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.memory cimport map_region, unmap_region
from nautilus.core.pool cimport pool_close, pool_open, pool_t


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


cdef class Ladder:
    """One thread. Ranks (64-bit, higher is better) to quantities, on at most `pages` pages of 512 ranks.

    The kernel uses the same functions directly; this face is for tests and for looking at them.
    """

    cdef ladder_t ladder
    cdef pool_t pages

    def __cinit__(self, uint32_t pages=1024):
        if pool_open(&self.pages, sizeof(page_t), pages, False) or ladder_open(&self.ladder, pages):
            raise MemoryError("ladder: no memory")

    def __dealloc__(self):
        ladder_close(&self.ladder)
        pool_close(&self.pages)

    def put(self, int64_t rank, int64_t quantity):
        """Sets the quantity at `rank`, 0 removes it. False where no page is left."""
        cdef level_t* level = ladder_find(&self.ladder, rank)
        if quantity == 0:
            if level != NULL and level.quantity:
                ladder_give(&self.ladder, &self.pages, rank)
            return True
        level = ladder_take(&self.ladder, &self.pages, rank)
        if level == NULL:
            return False
        level.quantity = quantity
        return True

    def get(self, int64_t rank):
        """Quantity at `rank`, 0 where there is none."""
        cdef level_t* level = ladder_find(&self.ladder, rank)
        return level.quantity if level != NULL else 0

    def ranks(self):
        """All ranks in use, best first."""
        cdef int64_t rank = self.ladder.best
        found = []
        while rank != LADDER_EMPTY:
            found.append(rank)
            rank = ladder_next(&self.ladder, rank)
        return found

    @property
    def pages_used(self):
        """Pages taken from the pool."""
        return self.pages.used
