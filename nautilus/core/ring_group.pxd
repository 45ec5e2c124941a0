"""One thread. Readers of several rings that are looked at together: a look at all of them costs a load for each."""

from libc.stdint cimport int64_t

from nautilus.core.broadcast_reader cimport cast_reader_t


cdef class RingGroup:
    cdef tuple readers
    cdef cast_reader_t** places
    cdef int count
    cdef bint found(self) noexcept nogil
    cdef int looked(self, int descriptor, int64_t spin_ns, int64_t most_ns) noexcept nogil
