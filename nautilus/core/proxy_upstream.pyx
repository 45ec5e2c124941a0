"""One thread at a time, the loop's. Calls to an upstream, and its connections, whose answers are read strictly.

A connection that anything was odd about is closed, never used again: what comes next on it could be taken for the
answer to another request.
"""

import socket

from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from nautilus.core import http_chunks
from nautilus.core.http_chunks cimport ChunkReader
from nautilus.core.http_link cimport monotonic_ns, sent_at_once
from nautilus.core.proxy_head import CHUNKED, ERRORS, HEAD_BYTES, LENGTH, NO_BODY
from nautilus.core.proxy_head cimport AnswerHead, read_answer

cdef enum:
    MOST_INFORMATIONAL = 8
    SWITCHING_PROTOCOLS = 101

INFORMATIONAL, SWITCHING = MOST_INFORMATIONAL, SWITCHING_PROTOCOLS

cdef int _CHUNKED = CHUNKED, _LENGTH = LENGTH, _NO_BODY = NO_BODY
cdef int _PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT


cdef class Call:

    def on_whole(self, head, body):
        raise NotImplementedError

    def on_head(self, head):
        raise NotImplementedError

    def on_data(self, data):
        raise NotImplementedError

    def on_end(self):
        raise NotImplementedError

    def on_failure(self, code, what, *, sent):
        raise NotImplementedError

    def on_upgrade(self, head, upstream, rest):
        raise NotImplementedError

    def on_sent(self):
        pass

    def on_room(self, room):
        pass


cdef class Upstream:

    def __init__(self, PoolBase pool not None, sock):
        self.pool = pool
        self.sock = sock
        self._fd = -1

    @property
    def call(self):
        return self._call

    @property
    def stale(self):
        try:
            self.sock.recv(1, _PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def send(self, Call call not None, int64_t now_ns):
        self.start(call, now_ns)

    cdef int start(self, Call call, int64_t now_ns) except -1:
        self._call = call
        call.upstream = self
        call.sent_ns = now_ns
        self._informational = 0
        self.put(call.payload)
        if call.body_open:
            call.on_sent()
        return 0

    def hand_to(self, Call call not None):
        self._call = call
        call.upstream = self

    def write(self, bytes data not None):
        if self.transport is not None:
            self.put(data)

    cdef int put(self, bytes data) except -1:
        # As in `http_link.ConnectionBase.put`.
        cdef Py_ssize_t sent
        if self._fd < 0 or (self._queued and self.transport.get_write_buffer_size()):
            self.transport.write(data)
            return 0
        self._queued = False
        sent = sent_at_once(self._fd, data)
        if sent < PyBytes_GET_SIZE(data):
            self._queued = True
            self.transport.write(data[sent:])
        return 0

    def pause(self):
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self):
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def give_up(self):
        cdef Call call = self._call
        self._call = None
        if call is not None:
            call.upstream = None    # it may go elsewhere
        self.close()

    def close(self):
        self.pool.leave(self)
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport):
        self.transport = transport
        self._fd = self.sock.fileno()

    def connection_lost(self, error):
        self.transport = None
        self._fd = -1
        self.pool.leave(self)
        self.fail("broken", f"the connection ended{f': {error}' if error else ''}")

    def eof_received(self):
        return None

    def pause_writing(self):
        if self._call is not None:
            self._call.on_room(False)

    def resume_writing(self):
        if self._call is not None:
            self._call.on_room(True)

    def data_received(self, bytes data not None):
        self.take(data)

    cdef int take(self, bytes data) except -1:
        cdef Call call = self._call
        cdef AnswerHead head = self._head
        cdef Py_ssize_t rest
        cdef bytes body
        if call is None:
            self.pool.doubted()
            self.close()
            return 0
        if head is not None:
            return self.take_body(call, head, data)
        if not call.heard:
            call.heard = True
            call.heard_ns = monotonic_ns()
        if self._rest is not None:
            data = self.joined(self._rest, data)
            if not data:
                return 0
        found = read_answer(data, call.head_only, self.pool.drop)
        if found is None:
            self._rest = bytearray(data)
            return 0
        if type(found) is int:
            return self.refuse(ERRORS[found])
        head = found
        if head.status < 200:
            return self.inform(call, head, data)
        rest = len(data) - head.size
        if (head.body == _LENGTH and rest >= head.length) or head.body == _NO_BODY:
            if rest > head.length:
                return self.refuse("more than its length")
            body = data[head.size:]
            self.finish(call, head)
            call.on_whole(head, body)
            return 0
        self._head = head
        if head.body == _CHUNKED:
            self._chunks = ChunkReader()
        else:
            self._left = head.length
        call.on_head(head)
        if rest and self._call is not None:
            return self.take_body(self._call, head, data[head.size:])
        return 0

    cdef bytes joined(self, bytearray rest, bytes data):
        """All that has come of a head, once its end may be in it: else it would be read again for every byte."""
        cdef Py_ssize_t seen = max(len(rest) - 3, 0)
        rest += data
        if len(rest) < HEAD_BYTES and rest.find(b"\r\n\r\n", seen) < 0:
            return b""
        self._rest = None
        return bytes(rest)

    cdef int inform(self, Call call, AnswerHead head, bytes data) except -1:
        cdef bytes rest = data[head.size:]
        if head.status == SWITCHING_PROTOCOLS:
            if not call.upgrade:
                return self.refuse("another protocol, that nobody asked for")
            self._call = None
            self._fd = -1
            self.pool.leave(self)
            call.on_upgrade(head, self, rest)
            return 0
        self._informational += 1
        if self._informational > MOST_INFORMATIONAL:
            return self.refuse("no end of answers of 1xx")
        if rest:
            return self.take(rest)
        return 0

    cdef int take_body(self, Call call, AnswerHead head, bytes data) except -1:
        cdef bint done
        if self._chunks is None:
            self._left -= len(data)
            if self._left < 0:
                return self.refuse("more than its length")
            done = self._left == 0
        else:
            found = self._chunks.feed(data)
            if type(found) is int:
                return self.refuse(http_chunks.ERRORS[found])
            data = found
            done = self._chunks.done
            if done and self._chunks.rest:
                return self.refuse("more than its chunks")
        if data:
            call.on_data(data)
        if done and self._call is call:
            self.resume()       # its client may be slow; whose answer comes next is not to wait for that one
            self.finish(call, head)
            call.on_end()
        return 0

    cdef int finish(self, Call call, AnswerHead head) except -1:
        """The answer is complete: the connection is free, or of no use any more."""
        self._call = None
        self._head = None
        self._chunks = None
        call.upstream = None
        if head.keep_alive and not call.body_open and self.transport is not None:
            self.pool.give(self)
        else:
            self.close()
        return 0

    cdef int refuse(self, str what) except -1:
        self.fail("malformed", what)
        self.close()
        return 0

    def fail(self, str code not None, str what not None):
        cdef Call call = self._call
        self._call = None
        if call is not None:
            call.upstream = None
            call.on_failure(code, what, sent=True)


cdef class PoolBase:

    def request(self, Call call not None, int64_t now_ns):
        self.ask(call, now_ns)

    cdef int ask(self, Call call, int64_t now_ns) except -1:
        cdef list idle = self._idle
        cdef Upstream upstream
        while idle:
            upstream = idle.pop()
            self.in_flight += 1     # `leave` takes it off again
            if call.careful and upstream.stale:
                # The engine may have ended it just now: an order must not be lost in that without need, nor may what
                # is sent again go from one dead connection to the next.
                upstream.close()
                continue
            return upstream.start(call, now_ns)
        self._wait(call)
        return 0

    def give_back(self, Upstream upstream not None):
        self.give(upstream)

    cdef int give(self, Upstream upstream) except -1:
        cdef Call following
        if self._waiting_count:
            following = self._next()
            if following is not None:
                return upstream.start(following, monotonic_ns())
        if self._closed:
            upstream.close()        # `leave` takes it off
            return 0
        self.in_flight -= 1
        upstream.idle_ns = 0
        self._idle.append(upstream)
        return 0
