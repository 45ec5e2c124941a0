"""Administrative commands: instruments, accounts, limits, sessions, marks, kill switch, mass cancel. One thread.

Rules: docs/kernel.md, section Administrative commands.
"""

from libc.stdint cimport uint32_t

from nautilus.core.state cimport kernel_t
from nautilus.core.types cimport command_t, event_t

# An event of that kind with the seven fields of the command that every answer echoes.
cdef event_t* echo(kernel_t* k, const command_t* c, int kind) noexcept nogil
cdef void reject(kernel_t* k, const command_t* c, int reason) noexcept nogil
cdef void control(kernel_t* k, const command_t* c) noexcept nogil
cdef void interruption_end(kernel_t* k, uint32_t instrument) noexcept nogil      # its timer is due
