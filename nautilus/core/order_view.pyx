"""Open orders for Python."""

from collections import namedtuple

cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

import numpy as np

from nautilus.core.market cimport market_ahead, market_standing, standing_t
from nautilus.core.reports cimport walk_gather
from nautilus.core.state cimport ORDER_ROUTED, kernel_t, order_at, order_t
from nautilus.core.types cimport STANDING_DARK, STANDING_DISPLAYED, STANDING_ROUTED

cnp.import_array()

OPEN_ORDER = np.dtype([
    ("order_id", "<u8"), ("parent_order_id", "<u8"), ("price_ticks", "<i8"), ("leaves_quantity", "<i8"),
    ("filled_quantity", "<i8"), ("display_quantity", "<i8"), ("shown_quantity", "<i8"), ("trigger_ticks", "<i8"),
    ("limit_distance", "<i8"), ("expire_ns", "<i8"), ("account_id", "<u4"), ("instrument_id", "<u4"), ("offset", "<i4"),
    ("flags", "<u2"), ("strategy_id", "<u2"), ("group_id", "<u2"), ("side", "u1"), ("standing", "u1"),
    ("order_type", "u1"), ("time_in_force", "u1"), ("has_trigger", "u1"), ("state", "u1"),
], align=True)

QueuePosition = namedtuple(
    "QueuePosition", ("side", "standing", "price_ticks", "leaves_quantity", "orders_ahead", "quantity_ahead")
)
QueuePosition.__doc__ = """Where an open order stands, and what an aggressor at its price meets before it.

standing: Standing. price_ticks: 0 where it has none now. orders_ahead, quantity_ahead: orders of its side at its very
price with priority over it, and their lots; None where it stands in no queue (waiting, parked, at auction, routed).
Before a displayed order an iceberg counts with what it shows, as the rest of it joins the back; before a dark one
with all of it, as displayed orders always come first. On an instrument with PRO_RATA the place counts only for what
rounding leaves.
"""

cdef struct open_order_t:
    uint64_t order_id
    uint64_t parent_id
    int64_t price
    int64_t leaves
    int64_t filled
    int64_t display
    int64_t shown
    int64_t trigger
    int64_t distance
    int64_t expire_ns
    uint32_t account
    uint32_t instrument
    int32_t offset
    uint16_t flags
    uint16_t strategy
    uint16_t group
    uint8_t side
    uint8_t standing
    uint8_t order_type
    uint8_t time_in_force
    uint8_t has_trigger
    uint8_t state

if sizeof(open_order_t) != OPEN_ORDER.itemsize:
    raise ImportError("nautilus.core.order_view: numpy lays records out otherwise than the compiler")


cdef void order_row(const kernel_t* k, uint32_t slot, open_order_t* row) noexcept nogil:
    cdef const order_t* order = order_at(k, slot)
    cdef uint32_t group
    cdef standing_t at
    row.order_id = order.order_id
    row.account = k.accounts[order.account].id
    row.instrument = k.instruments[order.instrument].id
    row.side = order.side
    row.order_type = order.order_type
    row.time_in_force = order.time_in_force
    row.flags = order.flags
    row.strategy = order.strategy_id
    row.filled = order.filled
    row.expire_ns = k.timers[order.timer - 1].due_ns if order.timer else 0
    if order.life & ORDER_ROUTED:
        row.standing = STANDING_ROUTED
        row.leaves = order.leaves
        row.price = k.routed[slot].price
        row.trigger = k.routed[slot].trigger
        row.has_trigger = k.routed[slot].has_trigger
        row.display = k.routed[slot].display
        row.offset = k.routed[slot].offset
        row.state = k.routed[slot].state
        return
    market_standing(&k.market, slot, &at)
    group = k.market.extras[k.market.orders[slot].extra].group
    row.standing = at.standing
    row.leaves = at.leaves
    row.price = at.price
    row.trigger = at.trigger
    row.has_trigger = at.has_trigger
    row.display = at.display
    row.shown = at.shown if at.display else at.leaves
    if at.standing != STANDING_DISPLAYED:
        row.shown = 0
    row.offset = <int32_t>at.offset
    row.distance = at.distance
    row.parent_id = at.parent_id
    row.group = <uint16_t>(k.market.groups[group].key & 0xFFFF) if group else 0


cdef object order_rows(kernel_t* k, uint32_t account, uint32_t instrument):
    """Open orders of an account (an index, 0: every) in an instrument (the same), in walk order."""
    cdef int64_t count = 0, chosen = 0, n
    cdef uint32_t i
    cdef cnp.ndarray rows
    for i in range(k.instrument_count):
        if instrument == 0 or k.instrument_order[i] == instrument:
            count = walk_gather(k, k.instrument_order[i], count)
    for n in range(count):
        if account == 0 or order_at(k, k.walk[n]).account == account:
            k.walk[chosen] = k.walk[n]
            chosen += 1
    rows = np.zeros(chosen, OPEN_ORDER)
    for n in range(chosen):
        order_row(k, k.walk[n], &(<open_order_t*>cnp.PyArray_DATA(rows))[n])
    return rows


cdef object place_of(kernel_t* k, uint32_t slot):
    """QueuePosition of an open order; takes as long as there are orders ahead of it."""
    cdef open_order_t row
    cdef int64_t orders, quantity
    order_row(k, slot, &row)
    if row.standing != STANDING_DISPLAYED and row.standing != STANDING_DARK:
        return QueuePosition(row.side, row.standing, row.price, row.leaves, None, None)
    market_ahead(&k.market, slot, &orders, &quantity)
    return QueuePosition(row.side, row.standing, row.price, row.leaves, orders, quantity)
