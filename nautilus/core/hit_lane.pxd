"""One thread at a time, the loop's. Requests whose bytes have come before, answered from memory without an exchange."""

from libc.stdint cimport uint32_t

from nautilus.core.cache_lane cimport DoorBase
from nautilus.core.counters cimport Counters
from nautilus.core.http_access cimport AccessBase
from nautilus.core.http_link cimport ExchangeBase, LaneBase

cdef enum:
    SEEN = 1024     # a power of two


cdef class Known:
    cdef DoorBase door
    cdef bytes key, target, answer_lines
    cdef list headers
    cdef tuple place, kind, access_place
    cdef object entry
    cdef uint32_t requests


cdef class HitLane(LaneBase):
    cdef public object app
    cdef dict _known
    cdef Known _found
    cdef AccessBase _access
    cdef Counters _counters
    cdef uint32_t _requests
    cdef object _refuses
    cdef Py_hash_t _seen[SEEN]
    cdef int offer(self, ExchangeBase exchange, DoorBase door, str engine, str operation, str scope, bytes path,
                   bytes answer_lines, uint32_t requests) except -1
    cdef int count(self, Known known) except -1
