"""What of an order goes with what: types, times in force, flags and fields. Plain C inside, no state of its own.

Rules: docs/kernel-orders.md, "What goes with what" and "REPLACE of special orders".
"""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.state cimport instrument_t, kernel_t
from nautilus.core.types cimport command_t

# UNSUPPORTED of a NEW, and of a REPLACE of an order.
cdef bint combine_unsupported(kernel_t* k, const command_t* c, uint32_t account, const instrument_t* instrument) noexcept nogil
cdef bint combine_unchangeable(const command_t* c, int kind) noexcept nogil

# PRICE and TICK as bits of reasons: every price and trigger that the type uses.
cdef uint32_t combine_prices(
    const instrument_t* instrument, const command_t* c, int order_type, bint replaced
) noexcept nogil

# What an order of that type is valued at; False where there is nothing. `trigger` and `bound` count where their flag says.
cdef bint combine_valuation(
    const instrument_t* instrument, int order_type, int64_t price, int64_t trigger, bint has_trigger, int64_t bound,
    bint bounded, int64_t* valuation
) noexcept nogil

cdef bint priced(int order_type) noexcept nogil             # has a limit price from the start
cdef bint waits(int order_type) noexcept nogil              # begins by waiting for its trigger
cdef bint trails(int order_type) noexcept nogil
