"""Price-time matching, queues and the events they give. One thread; nothing is allocated, no Python object is touched.

Rules: docs/kernel.md, NEW steps 9 to 11, TAPE, REPLACE, walk order. Cache lines: a resting order that fills costs its
own line, its level, its account's id slot and its position.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.state cimport kernel_t, order_t

cdef enum:
    INCOMING_MARKET = 1         # no price of its own
    INCOMING_BOUNDED = 2        # market order with a collar: `bound` is its worst price

cdef int64_t rank_of(int side, int64_t price) noexcept nogil
cdef bint would_cross(kernel_t* k, uint32_t instrument, int side, int64_t price) noexcept nogil
cdef bint fills_at_once(kernel_t* k, const order_t* incoming, int mode, int64_t bound) noexcept nogil

# Matches the incoming order as far as it goes. True where what is left (if any) may rest or is to be cancelled as
# unfilled; False where self-match prevention has ended it already.
cdef bint match_incoming(kernel_t* k, order_t* incoming, int mode, int64_t bound) noexcept nogil
cdef void match_tape(kernel_t* k, order_t* incoming, bint booked) noexcept nogil

cdef void order_rest(kernel_t* k, uint32_t index) noexcept nogil        # joins the back of its level
cdef void order_unlink(kernel_t* k, uint32_t index) noexcept nogil      # leaves its level, which may close
cdef void order_closed(kernel_t* k, uint32_t account, uint64_t order_id) noexcept nogil
cdef void order_release(kernel_t* k, uint32_t index) noexcept nogil     # record and timer given back, id remembered
cdef void order_remove(kernel_t* k, uint32_t index, int kind, int reason) noexcept nogil    # with its event
cdef void cancelled_event(kernel_t* k, const order_t* order, int64_t quantity, int kind, int reason) noexcept nogil

# Takes every open order that fits out, in walk order; the number. Indexes and side 0, strategy -1: any.
cdef int64_t walk_remove(
    kernel_t* k, uint32_t account, uint32_t instrument, int side, int strategy, bint day_only, bint spare_exempt,
    int kind, int reason
) noexcept nogil
