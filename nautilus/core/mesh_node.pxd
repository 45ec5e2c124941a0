"""Fields of the compiled part of a node of the mesh; what it does stands in mesh_node.pyx."""

from libc.stdint cimport int64_t, uint64_t

from nautilus.core.mesh_ends cimport Inlet, Outlet, Port
from nautilus.core.mesh_wait cimport DescriptorWait
from nautilus.core.mesh_wire cimport Answer, Delivery
from nautilus.core.send_stream cimport SendStream


cdef class MeshNode:
    cdef public uint64_t epoch
    cdef public uint64_t sent, received, acknowledged, malformed, stale, unanswerable
    cdef public int64_t _due_ns, _watch_ns
    cdef public uint64_t _watched_sent
    cdef public set touched
    cdef public dict _ways          # process -> [None or (stream, outlet)], by priority
    cdef public dict _readers       # lane -> {socket: reader}
    cdef public dict _carriers      # descriptor -> carrier
    cdef public list _looked_at     # carriers without a descriptor
    cdef public list _waiting, _answers_due, _unknown
    cdef public object _clock, _ring, _permissions, _tally
    cdef public Py_ssize_t _pending_limit
    cdef public Py_ssize_t _batch
    cdef public uint64_t _last_id
    cdef public bint native
    cdef DescriptorWait descriptors
    cdef public bint _listed

    cdef int fill_socket(self, Outlet outlet, int64_t now_ns) except -1
    cdef object read(self, object socket, dict inbound, list out, Py_ssize_t limit)
    cdef int list_descriptors(self) except -1
    cdef int64_t due_at(self) noexcept
    cdef int pump_waiting(self) except -1
    cdef int give(self, Outlet outlet, int64_t now_ns) except -1
    cdef int is_readable(self, object socket) except -1
    cdef list look(self, object sockets)
    cdef list take_in(self, list found, Py_ssize_t limit, bint urgent)
    cdef int read_port(self, Port port, list out, Py_ssize_t limit) except -1
    cdef int read_outlet(self, Outlet outlet, list out, Py_ssize_t limit) except -1
    cdef SendStream take_frame(self, Outlet outlet, const char* data, Py_ssize_t size, list out)
    cdef Answer new_answer(self, Inlet source, int kind, uint64_t number, bytes payload)
    cdef int send_answers(self) except -1
    cdef int send_answers_of(self, Inlet source, list answers) except -1
