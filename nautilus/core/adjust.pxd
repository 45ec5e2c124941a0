"""RATE and ADJUST: rates of currencies, fees, cash, positions by hand, splits. One thread.

Rules: docs/kernel-controls.md. Checked in the order kind, values, account, instrument, then the rest. 0, or the reason.
"""

from nautilus.core.state cimport kernel_t
from nautilus.core.types cimport command_t

cdef int rate(kernel_t* k, const command_t* c) noexcept nogil
cdef int adjust(kernel_t* k, const command_t* c) noexcept nogil
