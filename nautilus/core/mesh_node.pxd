"""Fields of the compiled part of a node of the mesh; what it does stands in mesh_node.pyx."""

from libc.stdint cimport int64_t, uint64_t

from nautilus.core.receive_stream cimport ReceiveStream


cdef class Outlet:
    cdef public bint open, diverted, urgent, waits
    cdef public int64_t sent_ns
    cdef public object socket
    cdef public dict streams


cdef class Contact:
    cdef public bytes identity
    cdef public str name
    cdef public uint64_t epoch


cdef class Inlet:
    cdef public Contact peer
    cdef public ReceiveStream stream
    cdef public object carrier
    cdef public uint64_t ringed, copied


cdef class MeshNode:
    cdef public uint64_t sent, received
    cdef public int64_t _due_ns
    cdef public set touched
    cdef public dict _ways          # process -> [None or (stream, outlet)], by priority
    cdef public list _waiting, _answers_due
    cdef public object _clock
    cdef public Py_ssize_t _pending_limit
    cdef public Py_ssize_t _batch
    cdef public uint64_t _last_id
    cdef public bint native
