"""Fields of what a node of the mesh reads from and writes to; the classes stand in mesh_ends.pyx."""

from libc.stdint cimport int64_t, uint64_t

from nautilus.core.receive_stream cimport ReceiveStream


cdef class Reader:
    cdef public int rank
    cdef public object socket


cdef class Outlet(Reader):
    cdef public bint open, diverted, urgent, waits, heard
    cdef public int64_t sent_ns
    cdef public str peer
    cdef public dict streams


cdef class Port(Reader):
    cdef public dict inbound


cdef class Contact:
    cdef public bytes identity
    cdef public str name
    cdef public uint64_t epoch


cdef class Inlet:
    cdef public Contact peer
    cdef public Port router
    cdef public ReceiveStream stream
    cdef public object carrier
    cdef public uint64_t priority
    cdef public list replies
    cdef public int64_t said_ns
