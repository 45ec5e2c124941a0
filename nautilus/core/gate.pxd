"""The core's journal thread: writes commands, and says up to which one events may be shown.

A few commands that nothing waits before are written by the kernel thread itself: handing them over would take longer
than the write. Whoever writes has taken `writing` first, so there is one writer at a time and the order stays.
"""

from nautilus.core.trading_core cimport core_t

# Runs until the kernel thread is done and all is written; the argument is a core_t.
cdef void* journal_main(void* argument) noexcept nogil
# For the kernel thread: whether all commands that it has handed over are written now, by this call.
cdef bint gate_write_through(core_t* core) noexcept nogil
