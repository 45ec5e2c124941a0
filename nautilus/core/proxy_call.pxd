"""One thread at a time, the loop's. A request through a proxy: its heads, its way there and back, what it counts."""

from libc.stdint cimport int64_t

from nautilus.core.cache_lane cimport DoorBase
from nautilus.core.counters cimport Counters
from nautilus.core.histogram cimport Histogram
from nautilus.core.hit_lane cimport HitLane
from nautilus.core.http_link cimport ExchangeBase
from nautilus.core.proxy_lane cimport Aimed, GateBase, GroupBase, InstanceBase


cdef class HeadsBase:
    cdef public Py_ssize_t _cut
    cdef public bytes _given, answer_lines
    cdef public tuple _drop, answer_drop
    cdef public dict _from, _who
    cdef bytes made(self, str method, bytes target, list fields, bytes authority, str client, bytes host, bint tls,
                    object principal, str priority, bytes trace, int64_t length, bint upgrade)


cdef class EndpointBase:
    cdef public str engine, name, scope
    cdef public int priority
    cdef public int64_t budget_ns, watch_ns, answered_ns
    cdef public bint safe, exempt, joined
    cdef public Histogram latency


cdef class EngineBase:
    cdef public str name
    cdef public Py_ssize_t prefix_size
    cdef public object table
    cdef public dict known
    cdef public HeadsBase heads
    cdef public bytes answer_lines
    cdef public list answer_fields, by_status
    cdef public int64_t timeout_ns
    cdef public GroupBase group
    cdef public GateBase gate
    cdef public unsigned int requests, cut


cdef class ForwardBase(Aimed):
    cdef public ProxyBase proxy
    cdef public EndpointBase endpoint
    cdef public object fill, _principal, _twin, _failure
    cdef public ExchangeBase exchange
    cdef public tuple _facts
    cdef public bytes _body
    cdef public int64_t ready_ns, own_ns, _left, _size, _pause_ns
    cdef public bint begun, done, streams, room
    cdef bytes payload_of(self, InstanceBase instance)
    cdef int be_ready(self, int64_t now_ns) except -1
    cdef int64_t own_until(self, int64_t now_ns) noexcept
    cdef int ended(self, int outcome, int64_t now_ns) except -1


cdef class ProxyBase:
    cdef public object _access, audit, streams, spin
    cdef public DoorBase door
    cdef public HitLane lane
    cdef public Counters _counters
    cdef public int64_t _body_bytes
    cdef public dict engines
    cdef public Histogram latency, own
    cdef public unsigned int _requests, _errors
    cdef public bint _slow
    cdef int enter(self, ForwardBase call, int64_t now_ns) except -1
    cdef int settle(self, ForwardBase call, int outcome, int64_t now_ns) except -1
