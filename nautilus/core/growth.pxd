"""Growth of a kernel's pools: memory is committed, and locked, before the kernel's thread needs it.

    pool      records beside                         at first
    orders    what the kernel keeps of each order    as told
    extras                                           1 of 16 orders
    pages     their levels                           1 of 64 orders, 16 at least
    nodes                                            2 a page
    lots                                             1 of 16 orders

One thread serves them all: whenever half of what is ready of one is in use, it prepares as many again, up to the
capacity. Without growth, or where the thread comes too late, a page is committed when it is first used, as before.
"""

from libc.stdint cimport uint32_t

from nautilus.core.state cimport kernel_t

# Begin, before the kernel's thread runs; once. node: of NUMA, -1: none is asked for. 0, or an errno: those pools that
# could not be served grow page by page.
cdef int growth_begin(kernel_t* k, uint32_t orders, bint lock, int node) noexcept nogil
cdef list growth_facts(kernel_t* k)
