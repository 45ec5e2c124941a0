"""Orders at external venues: what is asked of them, the six reports that come back, and the state between. One thread.

An order of an instrument with a venue id has a slot of the market like any other, so that capacity, walks and ids work
as ever, but the market's books never see it: `routed_t` under the same slot holds what the venue was told. A plain order
pays one test of its instrument, a plain cancel or replace one bit of its record. Rules: docs/kernel-venues.md.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from nautilus.core.accounts cimport account_open
from nautilus.core.events cimport event_begin
from nautilus.core.risk cimport intent_t
from nautilus.core.state cimport kernel_t, order_at, order_t, routed_t
from nautilus.core.types cimport (
    COMMAND_CANCEL,
    EVENT_ROUTED,
    STATE_PENDING_CANCEL,
    STATE_UNKNOWN,
    command_t,
    event_t,
)

# A NEW that passed the controls: ROUTED, or POOL_FULL. Indexes.
cdef void routed_new(
    kernel_t* k, const command_t* c, const intent_t* checked, uint32_t instrument, uint32_t account, uint32_t position
) noexcept nogil
# CANCEL and REPLACE of a routed order. `named`: the command with instrument, side and strategy of the order.
cdef void routed_cancel(kernel_t* k, const command_t* c, uint32_t slot) noexcept nogil
cdef void routed_replace(kernel_t* k, const command_t* c, const command_t* named, uint32_t slot) noexcept nogil
# The six reports, and those of the session.
cdef void routed_report(kernel_t* k, const command_t* c) noexcept nogil

# An order joins the list of its instrument, behind the others; for NEW and after a restart.
cdef void routed_join(kernel_t* k, uint32_t slot) noexcept nogil
# A venue's execution id is remembered; the oldest is forgotten where there are too many.
cdef void execution_add(kernel_t* k, uint32_t venue, int64_t id) noexcept nogil


cdef inline int64_t size_of(int64_t x) noexcept nogil:
    return -x if x < 0 else x


cdef inline void routed_become(kernel_t* k, uint32_t slot, int state) noexcept nogil:
    """The order's state, STATE_*; 0: it is closed."""
    cdef routed_t* r = &k.routed[slot]
    k.unknown_orders += (state == STATE_UNKNOWN) - (r.state == STATE_UNKNOWN)
    r.state = <uint8_t>state


cdef inline void routed_work(kernel_t* k, uint32_t slot, int sign) noexcept nogil:
    """Puts what the order may come to have open on its pair (1), or takes it off (-1).

    While the end of a REPLACE is not known, the greater of both counts, in quantity and in price.
    """
    cdef const order_t* order = order_at(k, slot)
    cdef const routed_t* r = &k.routed[slot]
    cdef int64_t lots = order.leaves, price = size_of(order.price)
    if r.pending_quantity:
        if r.pending_quantity - order.filled > lots:
            lots = r.pending_quantity - order.filled
        if size_of(r.pending_price) > price:
            price = size_of(r.pending_price)
    account_open(k, order.position, order.side, True, price, sign * lots)


cdef inline event_t* routed_event(kernel_t* k, uint32_t slot, int kind) noexcept nogil:
    """An event about a routed order, with price, total and leaves as they hold."""
    cdef const order_t* order = order_at(k, slot)
    cdef event_t* e = event_begin(k, kind)
    e.order_id = order.order_id
    e.price_ticks = k.routed[slot].price
    e.quantity = order.filled + order.leaves
    e.leaves_quantity = order.leaves
    e.side = order.side
    e.instrument_id = k.instruments[order.instrument].id
    e.account_id = k.accounts[order.account].id
    e.strategy_id = order.strategy_id
    return e


cdef inline event_t* routed_ask(kernel_t* k, uint32_t slot, int request) noexcept nogil:
    """ROUTED: a request to the venue. `request`: CommandKind."""
    cdef const order_t* order = order_at(k, slot)
    cdef event_t* e = routed_event(k, slot, EVENT_ROUTED)
    e.match_id = request
    e.flags = order.flags | <uint32_t>order.order_type << 16 | <uint32_t>order.time_in_force << 24
    e.counter_leaves_quantity = k.routed[slot].display
    e.fee = k.routed[slot].trigger
    e.venue_reference = k.routed[slot].reference
    return e


cdef inline bint routed_ask_cancel(kernel_t* k, uint32_t slot) noexcept nogil:
    """Asks the venue to cancel; False where it was asked already. What is UNKNOWN stays so."""
    cdef routed_t* r = &k.routed[slot]
    if r.state == STATE_PENDING_CANCEL:
        return False
    routed_ask(k, slot, COMMAND_CANCEL)
    if r.state != STATE_UNKNOWN:
        routed_become(k, slot, STATE_PENDING_CANCEL)
    return True
