"""What the market did, told as events: reports become EVENT records, positions move, closed orders are forgotten.

One thread; nothing is allocated, no Python object is touched. Rules: docs/kernel.md, docs/kernel-orders.md.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.state cimport kernel_t, order_t

# Takes in every report the market has made since the last time, in order.
cdef void take_reports(kernel_t* k) noexcept nogil

# What is open of an order changes by so many lots in its pair.
cdef void work(kernel_t* k, const order_t* order, int64_t change) noexcept nogil

# Open reduce-only orders of a position, oldest first.
cdef void reduce_join(kernel_t* k, uint32_t slot) noexcept nogil
# End of a command: reduce-only orders that no longer reduce are cancelled, and their books settle.
cdef void reduce_clean(kernel_t* k) noexcept nogil

# An order is taken out with its event; settling, where its book needs it, is the caller's.
cdef void order_remove(kernel_t* k, uint32_t slot, int kind, int reason) noexcept nogil
cdef void order_closed(kernel_t* k, uint32_t account, uint64_t order_id) noexcept nogil     # its id is remembered

# Takes every open order that fits out, in walk order; the number. Indexes and side 0, strategy -1: any.
cdef int64_t walk_remove(
    kernel_t* k, uint32_t account, uint32_t instrument, int side, int strategy, bint day_only, bint spare_exempt,
    int kind, int reason
) noexcept nogil
