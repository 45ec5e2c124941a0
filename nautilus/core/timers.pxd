"""Timers of orders: a binary heap ordered by (due time, arming number), with the way back held in the order.

One thread. Arm, disarm and fire are O(log n) in the number of timed orders; nothing is allocated.
"""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.state cimport kernel_t

cdef void timer_arm(kernel_t* k, uint32_t order, int64_t due_ns, int64_t arming) noexcept nogil
cdef void timer_disarm(kernel_t* k, uint32_t order) noexcept nogil
