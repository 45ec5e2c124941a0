"""Open orders as Python sees them, and their places in the queues: copies, taken between two commands."""

from libc.stdint cimport uint32_t

from nautilus.core.state cimport kernel_t

cdef object order_rows(kernel_t* k, uint32_t account, uint32_t instrument)
cdef object place_of(kernel_t* k, uint32_t slot)
