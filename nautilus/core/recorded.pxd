"""Fields of the recorded book's bookkeeping; bodies in recorded.pyx."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from nautilus.core.hashmap cimport map_t
from nautilus.core.pool cimport pool_t
from nautilus.core.types cimport command_t, event_t

ctypedef struct level_t:
    uint32_t link               # of the pool's free list
    uint32_t head, tail         # resting orders, first in queue first
    uint32_t stamp              # update that named this level last
    int64_t price
    int64_t recorded            # quantity that the venue reported last
    int64_t resting             # quantity of the orders in the core
    int64_t taken               # by strategies, since the venue reported a changed quantity
    int64_t pending             # within one update: the reported quantity, then the missing one
    uint8_t side                # 0: free

ctypedef struct resting_t:
    uint32_t link
    uint32_t level, previous, next
    uint64_t order_id
    int64_t leaves, filled

ctypedef struct share_t:        # one order's part of a proportional decrease
    int64_t cut, remainder
    uint32_t order, place

cdef class RecordedLevels:
    cdef pool_t _levels
    cdef pool_t _orders
    cdef map_t _level_of        # (side, price) to level
    cdef map_t _order_of        # order id to order
    cdef command_t* _rows
    cdef uint32_t _row_count, _row_capacity
    cdef uint32_t* _touched
    cdef uint32_t _touched_capacity
    cdef share_t* _shares
    cdef uint32_t _share_capacity
    cdef uint32_t _stamp, _instrument_id, _book_account, _tape_account
    cdef bint _proportional
    cdef uint64_t _next_order_id
    cdef int64_t _refused[256]  # by reason
    cdef readonly int64_t orders, cancels, reductions, crossing_removals, other_removals
    cdef readonly int64_t trades, unmatched_trades, unmatched_lots, taken_lots, out_of_bounds

    cdef uint32_t _level(self, uint8_t side, int64_t price, bint create) noexcept
    cdef bint _open(self, const event_t* row) noexcept
    cdef bint _new(self, uint8_t side, int64_t price, int64_t quantity, int64_t now_ns, uint32_t account,
                   uint8_t time_in_force, uint16_t flags) noexcept
    cdef void _drop_if_empty(self, uint32_t index) noexcept
    cdef void _remove(self, uint32_t index) noexcept
    cdef command_t* _row(self, uint8_t kind, int64_t now_ns, uint64_t order_id) noexcept
    cdef int _touch(self, uint32_t count, uint32_t index, int64_t quantity) noexcept
    cdef int _decrease(self, uint32_t index, int64_t quantity, int64_t now_ns) noexcept
    cdef int _decrease_in_proportion(self, uint32_t index, int64_t quantity, int64_t now_ns) noexcept
    cdef int _cut(self, uint32_t order, int64_t quantity, int64_t now_ns) noexcept
    cdef void _fill(self, uint64_t order_id, int64_t quantity, bint by_strategy) noexcept
    cdef object _take_rows(self)
