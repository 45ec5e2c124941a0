"""Any thread. A breaker around functions, coroutine functions and blocks."""

from libc.stdint cimport int64_t

from nautilus.core.breaker cimport Breaker


cdef class Permit:
    cdef Breaker breaker
    cdef object clock
    cdef tuple ignored
    cdef int64_t ticket


cdef class Guarded:
    cdef void* vectorcall
    cdef object function
    cdef Breaker breaker
    cdef object clock
    cdef tuple ignored


cdef class GuardedCoroutines:
    cdef void* vectorcall
    cdef Guarded plain


cdef class GuardedCall:
    cdef Guarded guarded
    cdef object coroutine
    cdef int64_t ticket
    cdef int stage                  # 0 not begun, 1 under way, 2 ended
    cdef int begin(self) except -1
    cdef int end(self, int outcome) except -1
    cdef int broke(self) except -1
