"""One thread. Readers of several rings that are looked at together: a look at all of them costs a load for each."""

from libc.stdint cimport int64_t, uint64_t

from nautilus.core.broadcast_reader cimport cast_reader_t


cdef class RingGroup:
    cdef tuple readers
    cdef cast_reader_t** places
    cdef char* copy                     # of the frame that `next_of` found
    cdef Py_ssize_t room
    cdef readonly int count
    cdef uint64_t turn                  # times that the readers were set
    cdef bint found(self) noexcept nogil
    cdef int looked(self, int descriptor, int64_t spin_ns, int64_t most_ns) noexcept nogil
    # Bytes behind the prefix, in `copy`, of the reader's next frame that begins with it; -1: none is there.
    cdef Py_ssize_t next_of(self, int place, const char* prefix, Py_ssize_t ahead) noexcept nogil
    cdef void told(self, int place) noexcept nogil
