"""Fields of what waits for many descriptors; what it does stands in mesh_wait.pyx."""

from libc.stdint cimport int64_t


cdef class DescriptorWait:
    cdef int epoll
    cdef list items

    cdef list wait(self, int64_t timeout_ns, int64_t spin_ns)
