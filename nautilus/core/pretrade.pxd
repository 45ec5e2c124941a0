"""Pre-trade controls: every control in one pass, every violated one reported. One thread, fails closed.

Rules: docs/kernel.md and docs/kernel-controls.md, tables of controls. Sources: SEC Rule 15c3-5 (market access), MiFID II
RTS 6 (2017/589) articles 12, 15, 16 and 17. Cache lines: instrument (2), account (1), pair (1); with limits the pair's
second to fourth and the account's sums. An account without limits pays one test for all of them.
"""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.risk cimport intent_t
from nautilus.core.state cimport kernel_t, order_t
from nautilus.core.types cimport command_t

# Bit set of violated controls, 1 << reason; 0 lets the order pass. `intent` says what the order is and gets its
# valuation price and, where a price collar applies, the worst price of its side.
# Indexes; `position` may be 0 for exempt accounts.
cdef uint32_t pretrade_check(
    kernel_t* k, const command_t* c, intent_t* intent, uint32_t instrument, uint32_t account, uint32_t position
) noexcept nogil

# The same for a child that is to act with `more` lots, `raised` where it acts already: KILLED, REDUCE_ONLY, POSITION,
# OVERFLOW and what is in base money, without DAILY_LOSS. What it is valued at is worked out anew where it enters.
cdef uint32_t pretrade_child(kernel_t* k, uint32_t slot, int64_t more, bint raised) noexcept nogil

# The worst price of an order without a limit price; False where no collar applies or there is no reference, which
# `missing` tells. For what is triggered later.
cdef bint pretrade_bound(
    const kernel_t* k, uint32_t instrument, uint32_t position, int side, int64_t* bound, bint* missing
) noexcept nogil
# Whether the controls that go by the past, by open orders or by base money let a plain LIMIT order pass that all others
# have passed; `leaves` lots are to be at work, in place of what is open of `replaced` (NULL: NEW).
cdef bint pretrade_others(
    kernel_t* k, const command_t* c, uint32_t position, int side, int64_t leaves, const order_t* replaced
) noexcept nogil
