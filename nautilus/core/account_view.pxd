"""Positions and accounts as Python sees them: exact integers, worked out from nothing, beside what the controls keep."""

from libc.stdint cimport uint32_t

from nautilus.core.state cimport kernel_t

cdef object position_rows(kernel_t* k, uint32_t account)
cdef object lot_rows(kernel_t* k, uint32_t account, uint32_t instrument)
cdef object account_state(kernel_t* k, uint32_t account)
