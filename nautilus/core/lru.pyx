"""Fixed-size LRU with lifetimes: its Python face."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset


cdef class Lru:
    """One writer. At most `capacity` keys, each for `lifetime_ns`; the one not looked at for longest makes room.

    Keys are 1 to 2^64 - 1, values any object. Raises ValueError for a capacity or lifetime out of range, MemoryError.
    """

    cdef lru_t state
    cdef list values

    def __cinit__(self, uint32_t capacity, int64_t lifetime_ns):
        memset(&self.state, 0, sizeof(lru_t))
        if not 0 < capacity < 0xFFFFFFFF or lifetime_ns <= 0:
            raise ValueError(f"lru: expected a capacity and a lifetime above 0, found {capacity} and {lifetime_ns} ns")
        if lru_open(&self.state, capacity, lifetime_ns):
            raise MemoryError("lru: no memory")
        self.values = [None] * (<object>capacity + 1)

    def __dealloc__(self):
        lru_close(&self.state)

    def put(self, uint64_t key, value, int64_t now_ns):
        """Stores or overwrites."""
        if key == 0:
            raise ValueError("lru: expected a key above 0, found 0")
        self.values[lru_take(&self.state, key, now_ns)] = value

    def get(self, uint64_t key, int64_t now_ns):
        """The value; None where the key is absent or past its life."""
        return self.values[lru_find(&self.state, key, now_ns)]

    def __len__(self):
        return self.state.used

    @property
    def counts(self):
        """hits, misses, expired (of the misses), evicted."""
        return {"hits": self.state.hits, "misses": self.state.misses, "expired": self.state.expired,
                "evicted": self.state.evicted}
