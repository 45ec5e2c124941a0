"""Queues of a price level: joining and leaving, as every change of a book does it. One thread.

A branch that depends on where an order lies in its queue is a coin toss, so the links are written without one
(`ladder_choose`). The market does it for those it matches, the kernel itself for plain orders that meet nothing.
"""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.inlining cimport inlined_int
from nautilus.core.ladder cimport ladder_give, ladder_mark, level_ladder
from nautilus.core.market cimport market_t, order_t, pair_get, pair_put
from nautilus.core.pages cimport ladder_choose, ladder_t, level_t


cdef inline void order_put(order_t* order, uint32_t id, int64_t leaves, uint32_t owner, uint32_t side) noexcept nogil:
    """A plain order, but for its links and level."""
    order.id = id
    order.leaves = leaves
    pair_put(<uint32_t*>&order.owner, owner | side << 16, 0)    # no flags, no side record


cdef inline void queue_join(market_t* m, uint32_t slot, order_t* order, uint32_t level) noexcept nogil:
    """The order goes to the back of a level that `ladder_take` has marked."""
    cdef level_t* lv = &m.pages.levels[level]
    cdef uint32_t tail = lv.tail
    pair_put(&order.next, 0, tail)
    order.level = level
    ladder_choose(tail, &m.orders[tail].next, &lv.head)[0] = slot
    lv.tail = slot
    lv.quantity += order.leaves


cdef inline inlined_int queue_begin(
    market_t* m, uint32_t slot, order_t* order, ladder_t* ladder, uint32_t level, int64_t rank, int64_t leaves
) noexcept nogil:
    """The same for `ladder_level`: the first order of a level marks it."""
    cdef level_t* lv = &m.pages.levels[level]
    cdef uint32_t tail = lv.tail
    if tail:
        pair_put(&order.next, 0, tail)
        m.orders[tail].next = slot
        lv.tail = slot
        lv.quantity += leaves
        return 0
    pair_put(&order.next, 0, 0)
    pair_put(&lv.head, slot, slot)
    lv.quantity = leaves
    ladder_mark(&m.pages, ladder, level, rank)
    return 0


cdef inline inlined_int queue_leave(market_t* m, order_t* order) noexcept nogil:
    """The order leaves its queue, which may close. Its own links stay as they were."""
    cdef uint32_t level = order.level
    cdef level_t* lv = &m.pages.levels[level]
    cdef uint32_t following, before
    if pair_get(&order.next) == 0:      # alone
        pair_put(&lv.head, 0, 0)
        lv.quantity = 0
        ladder_give(&m.pages, level_ladder(&m.pages, level), level)
        return 0
    following = order.next
    before = order.prev
    ladder_choose(before, &m.orders[before].next, &lv.head)[0] = following
    ladder_choose(following, &m.orders[following].prev, &lv.tail)[0] = before
    lv.quantity -= order.leaves
    return 0
