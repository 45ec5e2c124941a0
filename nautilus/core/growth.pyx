"""Growth of a kernel's pools: see growth.pxd."""

from libc.errno cimport ENOMEM, errno
from libc.stdint cimport uint32_t, uint64_t

from nautilus.core.kernel cimport Kernel
from nautilus.core.memory cimport bind_region, prefault_region
from nautilus.core.order_index cimport bucket_t, index_buckets
from nautilus.core.pages cimport level_t
from nautilus.core.pool cimport (
    pool_begin,
    pool_beside,
    pool_bind,
    pool_growing,
    pool_late,
    pool_locked,
    pool_ready,
    pool_t,
)
from nautilus.core.state cimport kernel_t, order_t

import os
from typing import NamedTuple

cdef enum:
    LEVELS = 64                 # of a block
    FEWEST_PAGES = 16


class PoolFacts(NamedTuple):
    """One pool.

    Attributes
    ----------
    name : "orders", "extras", "pages", "blocks", "nodes" or "lots".
    capacity, used : records it can hold, and holds.
    ready : records committed beforehand.
    late : records taken before they were.
    full : takes refused.
    locked_bytes : in memory, besides what is locked with the whole process.
    """

    name: str
    capacity: int
    used: int
    ready: int
    late: int
    full: int
    locked_bytes: int


cdef int begin(pool_t* pool, uint32_t first, bint lock, int node, pool_t* leader, void* base, uint64_t size) noexcept nogil:
    errno = 0
    if node >= 0:
        pool_bind(pool, node)           # a node that is full, or not to be had, is no failure
        if base is not NULL:
            bind_region(base, <size_t>size * (<size_t>pool.capacity + 1), node)
    if pool_growing(pool, lock) != 0:
        return errno if errno else ENOMEM
    if base is not NULL:
        pool_beside(pool, base, size)
    if pool_begin(pool, first if first else 1, leader) != 0:
        return errno if errno else ENOMEM
    return 0


cdef int growth_begin(kernel_t* k, uint32_t orders, bint lock, int node) noexcept nogil:
    cdef pool_t* leader = &k.market.order_pool
    cdef uint32_t pages = orders // 64 if orders // 64 > FEWEST_PAGES else FEWEST_PAGES
    cdef int error = begin(leader, orders, lock, node, NULL, k.orders, sizeof(order_t)), other
    if error:
        return error                    # without its thread nobody serves the others
    other = begin(&k.market.extra_pool, orders // 16, lock, node, leader, NULL, 0)
    error = error if error else other
    other = begin(&k.market.pages.pool, pages, lock, node, leader, NULL, 0)
    error = error if error else other
    other = begin(&k.market.pages.block_pool, 8 * pages, lock, node, leader, k.market.pages.levels, LEVELS * sizeof(level_t))
    error = error if error else other
    other = begin(&k.market.pages.node_pool, 2 * pages, lock, node, leader, NULL, 0)
    error = error if error else other
    other = begin(&k.lots, orders // 16, lock, node, leader, NULL, 0)
    # The tables up to the one for so many; each is used in no order.
    prefault_region(k.order_map.index.region, 2 * index_buckets(min(orders, k.capacity)) * sizeof(bucket_t))
    return error if error else other


cdef object facts(str name, const pool_t* pool):
    return PoolFacts(
        name, pool.capacity, pool.used, pool_ready(pool), pool_late(pool), pool.full, pool_locked(pool)
    )


cdef list growth_facts(kernel_t* k):
    return [
        facts("orders", &k.market.order_pool),
        facts("extras", &k.market.extra_pool),
        facts("pages", &k.market.pages.pool),
        facts("blocks", &k.market.pages.block_pool),
        facts("nodes", &k.market.pages.node_pool),
        facts("lots", &k.lots),
    ]


def grow(Kernel kernel not None, uint32_t orders, *, bint lock=False, int node=-1):
    """Let the pools of a kernel grow beforehand; once, before another thread runs it.

    Parameters
    ----------
    kernel : Kernel
        New or recovered.
    orders : int
        Open orders whose memory is committed now, 1 or more; the rest follows (see growth.pxd).
    lock : bool
        Lock in memory what is committed, as far as RLIMIT_MEMLOCK allows.
    node : int
        Prefer this NUMA node; -1: none is asked for.

    Raises
    ------
    OSError
        There is no memory, or no thread to be had, or the kernel grows already; it works all the same.
    """
    cdef int error
    kernel.alone()
    if orders < 1:
        raise ValueError(f"orders: expected 1 or more, found {orders}")
    error = growth_begin(&kernel.state, orders, lock, node)
    if error:
        raise OSError(error, os.strerror(error), "growth of the kernel's pools")


def pools_of(Kernel kernel not None):
    """How the pools of a kernel are; also while it runs in another thread, for whoever looks now and then.

    Returns
    -------
    list of PoolFacts
    """
    return growth_facts(&kernel.state)
