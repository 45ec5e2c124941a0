"""What the market did, told as events: reports become EVENT records, positions move, closed orders are forgotten.

One thread; nothing is allocated, no Python object is touched. Rules: docs/kernel.md, docs/kernel-orders.md.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.order_ids cimport id_add, id_forget, id_prefetch
from nautilus.core.state cimport account_t, id_used, kernel_t, order_t

# Takes in every report the market has made since the last time, in order.
cdef void take_reports(kernel_t* k) noexcept nogil
# The same without the first ones, which the caller has told.
cdef void take_reports_after(kernel_t* k, uint64_t first) noexcept nogil

# What is open of an order changes by so many lots in its pair.
cdef void work(kernel_t* k, const order_t* order, int64_t change) noexcept nogil

# Open reduce-only orders of a position, oldest first.
cdef void reduce_join(kernel_t* k, uint32_t slot) noexcept nogil
# End of a command or timer: what follows in the books, `first` (an index, 0: none) before the others, and reduce-only
# orders that no longer reduce are cancelled, until nothing more happens.
cdef void command_end(kernel_t* k, uint32_t first) noexcept nogil

# A position that held `before` lots: where it became flat or changed its sign, the end of the command is to look at it.
cdef void position_turned(kernel_t* k, uint32_t index, int64_t before) noexcept nogil
# What auctions that changed ask for.
cdef void take_notices(kernel_t* k) noexcept nogil

# An order is taken out with its event; `command_end` settles.
cdef void order_remove(kernel_t* k, uint32_t slot, int kind, int reason) noexcept nogil

# The open orders of an instrument (an index) in walk order into k.walk, behind `count` others; the number then.
cdef int64_t walk_gather(kernel_t* k, uint32_t instrument, int64_t count) noexcept nogil

# Slots sorted by arming number, by standing number.
cdef void oldest_first(const kernel_t* k, uint32_t* slots, int64_t count) noexcept nogil
cdef void by_standing(const kernel_t* k, uint32_t* slots, int64_t count) noexcept nogil

# Takes every open order that fits out, in walk order; the number. Indexes and side 0, strategy -1: any.
cdef int64_t walk_remove(
    kernel_t* k, uint32_t account, uint32_t instrument, int side, int strategy, bint day_only, bint spare_exempt,
    int kind, int reason
) noexcept nogil


cdef inline void order_closed(kernel_t* k, uint32_t account_index, uint64_t order_id) noexcept nogil:
    """Remembers the id as closed; the oldest is forgotten where the ring is full."""
    cdef account_t* account = &k.accounts[account_index]
    cdef uint32_t mask = k.closed_capacity - 1
    if account.closed_count == k.closed_capacity:
        id_forget(&account.closed_ids, account.closed[account.closed_head])
        account.closed_head = (account.closed_head + 1) & mask
        account.closed_count -= 1
        id_prefetch(&account.closed_ids, account.closed[(account.closed_head + 2) & mask])     # forgotten soon
    account.closed[(account.closed_head + account.closed_count) & mask] = order_id
    account.closed_count += 1
    id_add(&account.closed_ids, order_id)
    id_used(k, account_index, order_id)
