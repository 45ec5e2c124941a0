"""What the market asks the kernel back: about owners, recorded books and positions. One thread."""

from nautilus.core.state cimport kernel_t

# To be called after `state_open`, and after a state was moved in memory.
cdef void hooks_set(kernel_t* k) noexcept nogil
