"""One thread at a time. Bodies in chunks."""

from libc.stdint cimport int64_t

cdef class ChunkReader:
    cdef int _state, _digits
    cdef int64_t _left, _overhead
    cdef readonly Py_ssize_t rest
    cdef readonly bint done
