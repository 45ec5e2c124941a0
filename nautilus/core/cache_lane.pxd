"""One thread at a time, the loop's. What a request costs whose answer a worker has in its memory, and is fresh."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.counters cimport Counters
from nautilus.core.http_link cimport ExchangeBase
from nautilus.core.response_cache cimport Answers


cdef class KeptBase:
    cdef public int status
    cdef public bytes lines, body, etag, validator, path, unchanged
    cdef public uint32_t engine
    cdef public uint64_t number
    cdef public tuple vary
    cdef public int64_t stored_ns, fresh_ns, stale_ns, error_ns, size
    cdef bint is_fresh(self, int64_t now_ns) noexcept
    cdef bint has_ended(self, int64_t now_ns) noexcept
    cdef bytes made(self, bytes lines, bytes body, int64_t now_ns, bytes how, bytes add, bint close)


cdef class CacheBase:
    cdef public Answers _answers
    cdef public Counters _counters
    cdef public object _memory
    cdef public dict counts, _barren
    cdef public uint32_t _hits, _memory_hits
    cdef KeptBase find(self, bytes key, object fields, int64_t now_ns)
    cdef KeptBase look(self, bytes key, object fields, int64_t now_ns)
    cdef int was_fresh(self, bytes key) except -1


cdef class UsageBase:
    cdef public dict _counts
    cdef int noted(self, tuple place) except -1


cpdef bytes key_of(str engine, bytes scopes, bytes path)


cdef class DoorBase:
    cdef public CacheBase cache
    cdef public UsageBase usage
    cdef public Counters _counters
    cdef public uint32_t _requests
    cdef public dict _scopes
    cdef frozenset _telling
    cdef bytes _how
    cdef bytes scopes_of(self, object scopes)
    cdef int count_hit(self, tuple place) except -1
    cdef int give_whole(self, ExchangeBase exchange, KeptBase kept, bytes how, bytes add) except -1
    cdef bint gave(self, ExchangeBase exchange, str engine, str operation, bytes path, bytes add) except -1
