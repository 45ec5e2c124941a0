"""FIFO positions: lots."""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.money cimport int128_t
from nautilus.core.pool cimport pool_at, pool_give, pool_take
from nautilus.core.positions cimport lot_close, lot_grow, lot_t, lot_take_in, position_t
from nautilus.core.state cimport kernel_t


cdef inline lot_t* lot_at(const kernel_t* k, uint32_t index) noexcept nogil:
    return <lot_t*>pool_at(&k.lots, index)


cdef bint lots_push(kernel_t* k, position_t* p) noexcept nogil:
    cdef uint32_t index
    if p.newest.quantity == 0:
        return True
    index = pool_take(&k.lots)
    if index == 0:
        k.lots_merged += 1
        return False
    lot_at(k, index)[0] = p.newest
    lot_at(k, index).next = 0
    if p.lot_tail:
        lot_at(k, p.lot_tail).next = index
    else:
        p.lot_head = index
    p.lot_tail = index
    p.lots += 1
    p.newest.quantity = 0
    p.newest.cost = <int128_t>0
    return True


cdef inline void drop_oldest(kernel_t* k, position_t* p) noexcept nogil:
    cdef uint32_t index = p.lot_head
    p.lot_head = lot_at(k, index).next
    if p.lot_head == 0:
        p.lot_tail = 0
    p.lots -= 1
    pool_give(&k.lots, index)


cdef void lots_fill(
    kernel_t* k, position_t* p, bint buy, int64_t price, int64_t quantity, int64_t multiplier
) noexcept nogil:
    cdef lot_t* lot
    cdef int64_t part
    while quantity and (p.quantity < 0 if buy else p.quantity > 0):
        lot = lot_at(k, p.lot_head) if p.lot_head else &p.newest
        part = lot.quantity if lot.quantity < quantity else quantity
        lot_close(p, lot, buy, price, part, multiplier)
        quantity -= part
        if lot.quantity == 0 and p.lot_head:
            drop_oldest(k, p)
    if quantity == 0:
        return
    if p.newest.quantity == 0 or (p.newest.price != price and lots_push(k, p)):
        p.newest.price = price
    lot_grow(p, &p.newest, buy, price, quantity, multiplier)


cdef void lots_merge(kernel_t* k, position_t* p) noexcept nogil:
    while p.lot_head:
        lot_take_in(&p.newest, lot_at(k, p.lot_head))
        drop_oldest(k, p)
    p.newest.quantity = -p.quantity if p.quantity < 0 else p.quantity
    p.newest.price = 0
    if p.quantity == 0:
        p.newest.cost = <int128_t>0


cdef const lot_t* lot_after(const kernel_t* k, const position_t* p, const lot_t* lot) noexcept nogil:
    if lot == &p.newest:
        return NULL
    if lot == NULL:
        if p.lot_head:
            return lot_at(k, p.lot_head)
    elif lot.next:
        return lot_at(k, lot.next)
    return &p.newest if p.newest.quantity else NULL
