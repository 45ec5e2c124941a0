"""One thread at a time, the loop's. The part of each request in a client's connection of HTTP/1.1, and in its exchange."""

from libc.stdint cimport int64_t
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec


cdef inline int64_t monotonic_ns() noexcept nogil:
    """The clock of durations: that of `time.perf_counter_ns`."""
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1_000_000_000 + now.tv_nsec


cdef inline int64_t wall_ns() noexcept nogil:
    """The machine's clock: that of `time.time_ns`."""
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return <int64_t>now.tv_sec * 1_000_000_000 + now.tv_nsec


cdef extern from "<sys/socket.h>" nogil:
    Py_ssize_t send_to "send"(int fd, const void* data, size_t size, int flags)
    int MSG_DONTWAIT, MSG_NOSIGNAL


cdef inline Py_ssize_t sent_at_once(int fd, bytes data) noexcept:
    """Bytes that the operating system takes now; what it does not, also for an error, is the transport's to send."""
    cdef Py_ssize_t sent = send_to(fd, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), MSG_DONTWAIT | MSG_NOSIGNAL)
    return sent if sent > 0 else 0


cdef class ExchangeBase:
    cdef public object _connection
    cdef public str method
    cdef public bytes target, path, query
    cdef public list headers
    cdef public int _flags, state
    cdef public bint keep_alive
    cdef public int64_t body_left, started_ns, _body_size, _limit, _answer_left
    cdef public object on_writable, on_abort, on_answer, _on_data, _on_end, _on_body, _pieces, _trace
    cdef object _principal
    cdef bint keeps(self) except -1
    cdef bint may_keep(self) except -1
    cdef bint secured(self) except -1
    cdef int send(self, bytes data) except -1
    cdef int raw(self, bytes head, bint keep_alive) except -1
    cdef int complete(self) except -1


cdef class LaneBase:
    cdef object offered
    cdef bint answer(self, ConnectionBase connection, bytes data) except -1
    cdef int remember(self, bytes data, Py_ssize_t end) except -1


cdef class ConnectionsBase:
    cdef public set _open
    cdef public dict _spare


cdef class ConnectionBase:
    cdef ConnectionsBase _others
    cdef LaneBase _lane
    cdef public object port, transport, exchange, _chunks, _client
    cdef public bytes _rest
    cdef public bint asked, _working, _in_head, _paused, _full, _ending
    cdef int _fd
    cdef bint _queued
    cdef int put(self, bytes data) except -1
    cdef int find_fd(self) except -2
    cdef int work(self) except -1
    cdef bint begin(self) except -1
    cdef bint took_lane(self, bytes data)
    cdef int gave(self, bytes answer, int64_t now_ns) except -1
    cdef int refuse(self, str method, bytes target, list headers, int64_t now_ns, object error) except -1
    cdef int finished(self, ExchangeBase exchange) except -1
    cdef int released(self, ExchangeBase exchange) except -1
