"""The best prices of a book as quotes tell them, and the order flow between two of them; no locks, no clock."""

from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t

from nautilus.core.types cimport MAX_QUANTITY_BITS, RECORD_STALE, quote_t

ctypedef struct touch_t:
    int64_t bid_ticks
    int64_t bid_lots
    int64_t ask_ticks
    int64_t ask_lots
    int quoted                  # a quote to hold the next one against
    int known                   # lots at the touch


cdef inline bint touch_change(touch_t* touch, const quote_t* quote, int64_t* change) noexcept nogil:
    """Equation 4 of Cont, Kukanov, Stoikov (2014), as `FlowBuilder` has it; False where there is nothing before it.

    Behind a stale quote nothing is known, and one with lots out of range is left out.
    """
    cdef int64_t most = <int64_t>1 << MAX_QUANTITY_BITS
    cdef int64_t bid = quote.bid_ticks if quote.bid_quantity else INT64_MIN
    cdef int64_t ask = quote.ask_ticks if quote.ask_quantity else INT64_MAX
    cdef bint told = touch.quoted
    if not 0 <= quote.bid_quantity <= most or not 0 <= quote.ask_quantity <= most:
        return False
    if quote.flags & RECORD_STALE:
        touch.quoted = touch.known = 0
        return False
    change[0] = 0
    if told:
        if bid >= touch.bid_ticks:
            change[0] += quote.bid_quantity
        if bid <= touch.bid_ticks:
            change[0] -= touch.bid_lots
        if ask <= touch.ask_ticks:
            change[0] -= quote.ask_quantity
        if ask >= touch.ask_ticks:
            change[0] += touch.ask_lots
    touch.bid_ticks, touch.ask_ticks = bid, ask
    touch.bid_lots, touch.ask_lots = quote.bid_quantity, quote.ask_quantity
    touch.quoted = touch.known = 1
    return told
