"""Pre-trade controls: every control in one pass, every violated one reported. One thread, fails closed.

Rules: docs/kernel.md, table of controls. Cache lines: instrument (2), account (1), position (2).
"""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.state cimport kernel_t, order_t
from nautilus.core.types cimport command_t

# Bit set of violated controls, 1 << reason; 0 lets the order pass. `replaced` is the order that REPLACE changes, else
# NULL. `bound` gets the collar's worst price for this side where one applies; `bounded` says whether.
cdef uint32_t pretrade_check(
    kernel_t* k, const command_t* c, int side, bint market, uint32_t instrument, uint32_t account, uint32_t position,
    const order_t* replaced, int64_t* bound, bint* bounded
) noexcept nogil
