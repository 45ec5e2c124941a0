"""The core's egress thread: appends events to the event log, then hands them to the feeds; it waits for no reader."""

# Runs until the journal thread is done and all is handed out; the argument is a core_t.
cdef void* egress_main(void* argument) noexcept nogil
