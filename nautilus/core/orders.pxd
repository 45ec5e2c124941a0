"""Orders: entering, replacing, cancelling, and the step that carries one command out. One thread.

Nothing else moves the state of a running kernel.
"""

from nautilus.core.journal cimport journal_t
from nautilus.core.state cimport kernel_t
from nautilus.core.types cimport command_t

# Carries one command out: stamped in place, its due timers first, the hash of commands moved on.
cdef void kernel_step(kernel_t* k, command_t* c) noexcept nogil

# The same for many, which are hashed, and where there is a journal staged for it, some dozens at a time after they were
# carried out; with `hashing` their events are hashed with them. Stops after one whose events spill. The number carried out.
cdef Py_ssize_t kernel_run(
    kernel_t* k, const command_t* commands, Py_ssize_t count, journal_t* journal, bint hashing
) noexcept nogil
