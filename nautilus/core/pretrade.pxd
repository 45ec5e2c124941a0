"""Pre-trade controls: every control in one pass, every violated one reported. One thread, fails closed.

Rules: docs/kernel.md, table of controls. Cache lines: instrument (2), account (1), position (2).
"""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.state cimport kernel_t, order_t
from nautilus.core.types cimport command_t

# Bit set of violated controls, 1 << reason; 0 lets the order pass. `replaced` is the order that REPLACE changes, else
# NULL; `trigger` and `has_trigger` are those it would have. `bound` gets the collar's worst price for this side where
# one applies; `bounded` says whether. `valuation` gets what the order is valued at, 0: nothing.
cdef uint32_t pretrade_check(
    kernel_t* k, const command_t* c, int side, uint32_t instrument, uint32_t account, uint32_t position,
    const order_t* replaced, int64_t trigger, bint has_trigger, int64_t* bound, bint* bounded, int64_t* valuation
) noexcept nogil

# The same for a child that is to act with `more` lots, `raised` where it acts already: KILLED, POSITION, OVERFLOW,
# REDUCE_ONLY. What it is valued at is worked out anew where it enters.
cdef uint32_t pretrade_child(kernel_t* k, uint32_t slot, int64_t more, bint raised) noexcept nogil

# The worst price of an order without a limit price; False where no collar applies or there is no reference, which
# `missing` tells.
cdef bint pretrade_bound(
    const kernel_t* k, uint32_t instrument, uint32_t position, int side, int64_t* bound, bint* missing
) noexcept nogil
