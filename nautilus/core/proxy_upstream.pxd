"""One thread at a time, the loop's. Calls to an upstream, its connections, and the pool these are of."""

from libc.stdint cimport int64_t

from nautilus.core.http_chunks cimport ChunkReader
from nautilus.core.proxy_head cimport AnswerHead


cdef class Call:
    cdef public bytes payload
    cdef public bint safe, careful, head_only, upgrade, body_open, heard
    cdef public int priority
    cdef public int64_t wait_until_ns, deadline_ns, sent_ns, heard_ns
    cdef public Upstream upstream


cdef class Upstream:
    cdef public PoolBase pool
    cdef public object sock, transport
    cdef public int64_t idle_ns
    cdef Call _call
    cdef AnswerHead _head
    cdef ChunkReader _chunks
    cdef int64_t _left
    cdef bytearray _rest
    cdef int _informational, _fd
    cdef bint _queued
    cdef int put(self, bytes data) except -1
    cdef int start(self, Call call, int64_t now_ns) except -1
    cdef int take(self, bytes data) except -1
    cdef bytes joined(self, bytearray rest, bytes data)
    cdef int inform(self, Call call, AnswerHead head, bytes data) except -1
    cdef int take_body(self, Call call, AnswerHead head, bytes data) except -1
    cdef int finish(self, Call call, AnswerHead head) except -1
    cdef int refuse(self, str what) except -1


cdef class PoolBase:
    cdef public bint up, _closed
    cdef public set connections
    cdef public int64_t in_flight, _waiting_count
    cdef public list _idle
    cdef public tuple drop
    cdef int ask(self, Call call, int64_t now_ns) except -1
    cdef int give(self, Upstream upstream) except -1
