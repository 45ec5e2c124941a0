"""Python face of the record pool; the operations are inline in pool.pxd."""

from libc.errno cimport errno
from libc.stdint cimport uint32_t
from libc.string cimport memcpy, strerror

from nautilus.core.pool cimport (
    NAUTILUS_DEBUG,
    pool_at,
    pool_bind,
    pool_close,
    pool_give,
    pool_grow,
    pool_late,
    pool_lock,
    pool_locked,
    pool_open,
    pool_prepare,
    pool_ready,
    pool_t,
    pool_take,
)

DEBUG = bool(NAUTILUS_DEBUG)


cdef class Pool:
    """One writer, no lock. Records of `record_bytes` bytes, at most `capacity` of them, by index from 1.

    Parameters
    ----------
    record_bytes : int
        4 or more.
    capacity : int
        1 to 2^32 - 2.
    huge : bool
        Ask for huge pages.
    first : int
        Records committed now; a helper thread commits as many again whenever half of what is ready is in use.
        0: each page is committed when it is first used.
    prefault : bool
        Commit all records now.
    lock : bool
        Lock in memory what is committed, as far as RLIMIT_MEMLOCK allows: see `locked_bytes`.
    node : int
        Prefer this NUMA node; -1: none is asked for.

    Raises
    ------
    ValueError
        The sizes are wrong, or the address space cannot be had.
    OSError
        The node cannot be preferred, or the helper thread cannot be started.
    """

    cdef pool_t _pool

    def __cinit__(self, uint32_t record_bytes, uint32_t capacity, bint huge=False, *, uint32_t first=0,
                  bint prefault=False, bint lock=False, int node=-1):
        cdef int error
        if pool_open(&self._pool, record_bytes, capacity, huge) != 0:
            raise ValueError(
                f"Pool: record_bytes {record_bytes}, capacity {capacity}; "
                "expected at least 4, 1 to 2^32 - 2, and memory for it"
            )
        if node >= 0:
            error = pool_bind(&self._pool, node)
            if error:
                raise OSError(error, f"Pool: node {node}: {strerror(error).decode()}")
        if prefault:
            first = capacity
        if first and first < capacity:
            if pool_grow(&self._pool, first, lock) != 0:
                raise OSError(errno, f"Pool: first {first}: {strerror(errno).decode()}")
        else:
            if first:
                pool_prepare(&self._pool, first)
            if lock:
                pool_lock(&self._pool)

    def __dealloc__(self):
        pool_close(&self._pool)

    def take(self):
        """Index of a record that nobody holds; 0 where the pool is full (counted in `full`)."""
        return pool_take(&self._pool)

    def give(self, uint32_t index):
        """Give back a record.

        Raises
        ------
        ValueError
            The index is not of this pool; in a debug build also: the record is not taken.
        """
        cdef size_t misused = self._pool.misused
        self._check(index)
        pool_give(&self._pool, index)
        if self._pool.misused != misused:
            raise ValueError(f"Pool.give: record {index} is not taken")

    def read(self, uint32_t index):
        """The bytes of a record."""
        self._check(index)
        return (<char*>pool_at(&self._pool, index))[:self._pool.record_bytes]

    def write(self, uint32_t index, bytes record):
        """Store the bytes of a record; their number must be `record_bytes`."""
        self._check(index)
        if len(record) != self._pool.record_bytes:
            raise ValueError(f"Pool.write: {len(record)} bytes, expected {self._pool.record_bytes}")
        memcpy(pool_at(&self._pool, index), <const char*>record, self._pool.record_bytes)

    def lock(self):
        """Lock the pool in memory as far as RLIMIT_MEMLOCK allows; the bytes granted."""
        return pool_lock(&self._pool)

    @property
    def used(self):
        """Records taken now."""
        return self._pool.used

    @property
    def full(self):
        """Takes refused so far."""
        return self._pool.full

    @property
    def high_water(self):
        """Highest index ever taken."""
        return self._pool.high_water

    @property
    def ready(self):
        """Records committed beforehand: the first use of one up to here meets no page fault."""
        return pool_ready(&self._pool)

    @property
    def late(self):
        """Records taken before the helper thread had committed them."""
        return pool_late(&self._pool)

    @property
    def locked_bytes(self):
        """Bytes locked in memory."""
        return pool_locked(&self._pool)

    cdef int _check(self, uint32_t index) except -1:
        if index == 0 or index > self._pool.high_water:
            raise ValueError(f"Pool: index {index}, expected 1 to {self._pool.high_water}")
        return 0
