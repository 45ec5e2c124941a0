"""Orders: entering, replacing, cancelling, and the step that carries one command out. One thread.

`kernel_step` is the whole state machine for one command; nothing else moves the state of a running kernel.
"""

from nautilus.core.journal cimport journal_t
from nautilus.core.state cimport kernel_t
from nautilus.core.types cimport command_t

cdef void kernel_step(kernel_t* k, const command_t* command, journal_t* journal) noexcept nogil

# Fetches what the commands a little behind `i` will touch; it changes no result.
cdef void look_ahead(kernel_t* k, const command_t* commands, Py_ssize_t i, Py_ssize_t count) noexcept nogil
