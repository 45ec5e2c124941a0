"""The core's kernel thread: gives each command its place and its time, and carries it out."""

# Runs until `stop` was asked for and nothing waits; the argument is a core_t.
cdef void* kernel_main(void* argument) noexcept nogil
