"""Fields of the sender's end of a stream of the mesh; what it does stands in send_stream.pyx."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from nautilus.core.mesh_wire cimport Answer, Envelope


cdef class SendStream:
    cdef readonly uint64_t epoch, base, next_sequence, cursor, received, handled, receiver
    cdef readonly Py_ssize_t live
    cdef readonly uint64_t acknowledged, retried
    cdef public int64_t retry_at_ns
    cdef readonly uint64_t window
    cdef readonly dict requests
    cdef list places            # in order; None before `front`
    cdef Py_ssize_t front, planned, planned_end
    cdef uint64_t settled_to, finished, probe, ahead, looked
    cdef Py_ssize_t markers, merge_at, least_merge
    cdef list deadlines
    cdef frozenset unfinished
    cdef int64_t retry_ns, wait_ns, retry_limit_ns, look_at_ns
    cdef dict asked             # {request: (when it is asked about, how long after that)}

    cdef uint64_t post_one(self, int kind, uint64_t number, uint32_t priority, int64_t deadline_ns, object trace_id,
                           str sender, str to, bytes payload, uint32_t paths) except? 0xFFFFFFFF
    cdef Py_ssize_t plan(self, Py_ssize_t most_bytes, uint32_t path) except -1
    cdef int fill(self, char* at) except -1
    cpdef went(self, int64_t now_ns)
    cdef Envelope hear(self, Answer answer, int64_t now_ns)
    cdef Envelope hear_alone(self, Answer answer)
    cdef bint is_empty(self) noexcept
    cdef Py_ssize_t find(self, uint64_t sequence) noexcept
    cdef Envelope at(self, Py_ssize_t place)
    cdef int take(self, Envelope envelope) except -1
    cdef int let_go(self) except -1
    cdef int bury(self, Py_ssize_t place, int kind) except -1
    cdef int trim(self) except -1
    cdef int merge(self) except -1
    cdef uint64_t sendable(self) noexcept
    cdef uint64_t place_of(self, uint64_t sequence) noexcept
    cdef bint is_handled(self, uint64_t sequence)
    cdef list overdue(self, int64_t now_ns)
    cdef int give_up(self, Py_ssize_t place) except -1
    cdef void rewind(self) noexcept
    cdef int settle_handled(self, uint64_t handled) except -1
    cdef bint settle_behind(self, Answer answer) except -1
    cdef bint is_due(self, object deadline_ns, object sequence)
