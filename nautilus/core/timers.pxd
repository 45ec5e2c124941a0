"""Timers: a binary heap ordered by (due time, arming number), with the way back held by the owner of the timer.

An owner is the slot of an order, or TIMER_INSTRUMENT | index for the end of a volatility interruption, with
TIMER_INDICATIVE for the next indicative price. One thread. Arm, disarm and fire are O(log n); nothing is allocated.
"""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.state cimport kernel_t

cdef void timer_arm(kernel_t* k, uint32_t owner, int64_t due_ns, int64_t arming) noexcept nogil
cdef void timer_disarm(kernel_t* k, uint32_t owner) noexcept nogil
# An instrument's timer, at `now_ns` + `after_ns`, with the next arming number; nothing where it is armed.
cdef void instrument_arm(kernel_t* k, uint32_t owner, int64_t now_ns, int64_t after_ns) noexcept nogil
