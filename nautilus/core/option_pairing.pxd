cdef class Rows:
    cdef readonly object table
    cdef double[:, ::1] view
    cdef int count
    cdef bint lost

    cdef void add(
        self, int group, int kind, int a, int b, int c, int d, double quantity, double requirement
    ) noexcept nogil
