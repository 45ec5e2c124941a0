"""Administrative commands: instruments, accounts, limits, sessions, marks, kill switch, mass cancel. One thread.

Rules: docs/kernel.md, section Administrative commands.
"""

from nautilus.core.state cimport kernel_t
from nautilus.core.types cimport command_t

cdef void reject(kernel_t* k, const command_t* c, int reason) noexcept nogil
cdef void control(kernel_t* k, const command_t* c) noexcept nogil
