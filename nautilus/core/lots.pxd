"""FIFO positions: their lots, oldest first. One thread.

Rules: docs/kernel-controls.md, section Positions. The newest lot lies in the pair, older ones are a list in the kernel's
pool. A closing part costs the lots that it takes; an opening part costs one record at most.
"""

from libc.stdint cimport int64_t

from nautilus.core.positions cimport lot_t, position_t
from nautilus.core.state cimport kernel_t

cdef void lots_fill(
    kernel_t* k, position_t* p, bint buy, int64_t price, int64_t quantity, int64_t multiplier
) noexcept nogil
# The newest lot joins the list, where a record is free; else it takes the next one in (`lots_merged`).
cdef bint lots_push(kernel_t* k, position_t* p) noexcept nogil
# All lots become one, at the price of the newest; its quantity is the position's.
cdef void lots_merge(kernel_t* k, position_t* p) noexcept nogil
# The lot after `lot` in the order of age, NULL: the oldest; NULL after the newest.
cdef const lot_t* lot_after(const kernel_t* k, const position_t* p, const lot_t* lot) noexcept nogil
