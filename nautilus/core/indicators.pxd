"""One thread. Programs of indicator steps, and the memory of those that run them."""

from libc.stdint cimport int32_t, int64_t

from nautilus.core.indicator_steps cimport node_t


cdef class Program:
    cdef readonly int inputs, outputs, columns
    cdef readonly object starts, nodes, output_columns
    cdef object _nodes
    cdef list _reach


cdef class Bank:
    cdef readonly Program program
    cdef readonly int capacity, slack
    cdef readonly int64_t slot_bytes
    cdef int count_nodes, inputs, outputs, kept_columns
    cdef node_t* nodes
    cdef double** slots
    cdef int64_t* rows
    cdef double* scratch
    cdef int64_t* kept_at
    cdef int64_t* kept_reach
    cdef int64_t* input_at
    cdef int32_t* output_kept
    cdef int64_t* output_at
    cdef int64_t* output_start
    cdef int64_t slot_doubles, values_at
    cdef int lay(self) except -1
    cdef int claim(self, int64_t slot) except -1
    cdef int take(self, int64_t slot, const double* row) except -1
    cdef void forget(self, int64_t slot) noexcept nogil
    cdef void advance(self, int64_t slot, int64_t count) noexcept nogil
    cdef int move(self, int64_t slot, int64_t take, int64_t done, double[:, ::1] into,
                  unsigned char[:, ::1] marks) except -1
