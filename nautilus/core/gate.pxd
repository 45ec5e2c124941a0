"""The core's journal thread: writes commands, and says up to which one events may be shown."""

# Runs until the kernel thread is done and all is written; the argument is a core_t.
cdef void* journal_main(void* argument) noexcept nogil
