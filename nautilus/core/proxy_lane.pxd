"""One thread at a time, the loop's. What is between a proxy and the pools of an engine: a gate, a choice, a group."""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.breaker cimport Breaker
from nautilus.core.counters cimport Counters
from nautilus.core.limiter cimport Limiter
from nautilus.core.proxy_upstream cimport Call, PoolBase
from nautilus.core.route cimport Routes


cdef class InstanceBase:
    cdef public bytes authority
    cdef public PoolBase pool
    cdef public bint silent
    cdef public int64_t life


cdef class Aimed(Call):
    cdef public InstanceBase instance, doubted
    cdef public object engine
    cdef public int64_t target, watch_ns, not_before_ns, limit_ticket, breaker_ticket
    cdef public int64_t life, broken_ns
    cdef public int sends, deaths
    cdef public bint write
    cdef int aim_at(self, InstanceBase instance) except -1


cdef class ChooserBase:
    cdef public Routes _routes
    cdef public uint32_t _flags
    cdef public list _groups
    cdef public dict _by_target, _targets
    cdef InstanceBase pick(self, bint write, int64_t now_ns)
    cdef int64_t started(self, InstanceBase instance, bint write) except? -1
    cdef int ended(self, int64_t target, int64_t latency_ns, bint ok, int64_t now_ns) except -1


cdef class GateBase:
    cdef public Breaker breaker
    cdef public Limiter limiter
    cdef list _how
    cdef int let_in(self, Aimed call, int64_t now_ns) except -1
    cdef int let_out(self, Aimed call, int64_t now_ns, int outcome) except -1


cdef class GroupBase:
    cdef public str name
    cdef public list instances
    cdef public ChooserBase chooser
    cdef public bint usable
    cdef public object _retries, _hedges
    cdef public int64_t _outage_ns
    cdef int came_in(self, Aimed call, int64_t now_ns) except -1
    cdef int send(self, Aimed call, int64_t now_ns, InstanceBase avoid) except -1
    cdef int settled(self, Aimed call, int64_t latency_ns, bint ok, int64_t now_ns) except -1
