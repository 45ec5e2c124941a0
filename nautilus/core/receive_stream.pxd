"""Fields of the receiver's end of a stream of the mesh; what it does stands in receive_stream.pyx."""

from libc.stdint cimport int64_t, uint64_t

from nautilus.core.mesh_wire cimport Answer, Delivery


cdef class ReceiveStream:
    cdef readonly uint64_t epoch, base, expected, handled
    cdef uint64_t missing, ahead
    cdef readonly object skipped
    cdef readonly dict replies
    cdef public bint due
    cdef bint fresh
    cdef Py_ssize_t sweep_at
    # Delivered and not finished, in order, in open_at[front:back]; DEAD marks those that are finished nevertheless.
    cdef uint64_t* open_at
    cdef Py_ssize_t front, back, room, dead

    cdef int take_bytes(self, const char* data, Py_ssize_t size, str peer, source, int64_t now_ns, list out,
                        list odd) except -1
    cdef int judge(self, int kind, uint64_t sequence, uint64_t last) except -1
    cdef int renew(self, uint64_t epoch, uint64_t base) except -1
    cdef int push(self, uint64_t sequence) except -1
    cdef bint is_open(self, uint64_t sequence) noexcept
    cdef Py_ssize_t find(self, uint64_t sequence) noexcept
    cdef bint close_one(self, uint64_t sequence) noexcept
    cdef void settle_front(self) noexcept
    cdef void let_go(self, uint64_t base) noexcept
    cdef void pass_over(self, uint64_t last) noexcept
    cdef bint finish_with(self, uint64_t sequence, Answer answer) except -1
    cdef int keep_one(self, uint64_t sequence, Answer answer) except -1
    cdef int say(self, Answer answer) except -1


cdef int settle(Delivery delivery) except -1
