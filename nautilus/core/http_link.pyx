"""One thread at a time, the loop's. What each request costs of a client's connection and of its exchange.

Only the way that every request takes is here; what is rare is left to the classes that are made of these, which say what
all of it means (`nautilus.runtime.http.protocol`, `nautilus.runtime.http.exchange`).
"""

from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from nautilus.core.http_chunks import ChunkReader
from nautilus.core.http_head import CHUNKED, EXPECTS, KEEP_ALIVE, OLD, parse_head

cdef enum:
    STATE_OPEN = 0
    STATE_BEGUN = 1
    STATE_ANSWERED = 2
    ANSWER_RAW = -2
    AHEAD = 65536
    NO_FD = -1
    UNKNOWN_FD = -2

AHEAD_BYTES = AHEAD

cdef int _CHUNKED = CHUNKED, _EXPECTS = EXPECTS, _KEEP_ALIVE = KEEP_ALIVE, _OLD = OLD
cdef object _nobody = None


def set_nobody(principal):
    global _nobody
    _nobody = principal


def send_now(int fd, bytes data not None):
    return sent_at_once(fd, data)


cdef class ExchangeBase:

    def __init__(self, connection, str method, bytes target, list headers, int flags=_KEEP_ALIVE, int64_t length=0,
                 int64_t started_ns=0):
        cdef Py_ssize_t mark = target.find(b"?")
        self._connection = connection
        self.method = method
        self.target = target
        if mark < 0:
            self.path = target
            self.query = b""
        else:
            self.path = target[:mark]
            self.query = target[mark + 1:]
        self.headers = headers
        self._flags = flags
        self.keep_alive = flags & _KEEP_ALIVE != 0
        self.body_left = -1 if flags & _CHUNKED else length
        self.started_ns = started_ns
        self._principal = _nobody

    @property
    def principal(self):
        return self._principal

    @principal.setter
    def principal(self, principal):
        self._principal = principal

    @property
    def has_sink(self):
        return self._on_data is not None or self._on_body is not None or self.state >= STATE_ANSWERED

    def may_keep_alive(self):
        return self.may_keep()

    cdef bint may_keep(self) except -1:
        return not self._flags & _OLD and self.keeps()

    def _keeps_alive(self):
        return self.keeps()

    cdef bint keeps(self) except -1:
        # Who waits to be told to send a body, and is not, may send it or not.
        if not self.keep_alive or (self._flags & _EXPECTS and self.expects):
            return False
        return not self._connection.port.draining

    cdef bint secured(self) except -1:
        connection = self._connection
        if isinstance(connection, ConnectionBase):
            return (<ConnectionBase>connection).port.tls is not None
        return self.tls

    cdef int send(self, bytes data) except -1:
        connection = self._connection
        if isinstance(connection, ConnectionBase):
            (<ConnectionBase>connection).put(data)
        else:
            connection.write(data)
        return 0

    def start_raw(self, bytes head not None, *, bint keep_alive):
        self.raw(head, keep_alive)

    cdef int raw(self, bytes head, bint keep_alive) except -1:
        if self.on_answer is not None:
            self._tell(int(head[9:12]))
        if self.state != STATE_OPEN:
            return 0
        self.keep_alive = keep_alive
        self.state = STATE_BEGUN
        self._answer_left = ANSWER_RAW
        return self.send(head)

    def write(self, bytes data not None):
        if self.state != STATE_BEGUN or not data:
            return
        if self._answer_left == ANSWER_RAW:
            self.send(data)
        elif self._answer_left < 0:
            self.send(data if self._flags & _OLD else b"%x\r\n%b\r\n" % (len(data), data))
        elif self.method != "HEAD":
            # More than was said would be taken for the next answer.
            data = data[:self._answer_left]
            self._answer_left -= len(data)
            if data:
                self.send(data)

    def end(self):
        self.complete()

    cdef int complete(self) except -1:
        cdef int64_t left = self._answer_left
        if self.state != STATE_BEGUN:
            return 0
        if left > 0:        # less than was said: its reader must not take it for all of it
            self.abort()
            return 0
        self.state = STATE_ANSWERED
        if left == -1 and not self._flags & _OLD:
            self.send(b"0\r\n\r\n")
        connection = self._connection
        if isinstance(connection, ConnectionBase):
            return (<ConnectionBase>connection).finished(self)
        connection.finish(self)
        return 0


cdef class LaneBase:

    cdef bint answer(self, ConnectionBase connection, bytes data) except -1:
        return False

    cdef int remember(self, bytes data, Py_ssize_t end) except -1:
        return 0


cdef class ConnectionsBase:

    def __init__(self):
        self._open = set()
        self._spare = {}

    def busy(self, connection):
        self._spare.pop(connection, None)

    def spare(self, connection, now):
        if connection in self._open:
            self._spare[connection] = now


cdef class ConnectionBase:

    def __init__(self, port):
        self.port = port
        self._others = port.connections
        self._lane = port.lane
        self._rest = b""
        self._fd = UNKNOWN_FD

    def data_received(self, bytes data not None):
        if self._ending:
            if not self.port.discard(self, len(data)):
                self.transport.abort()
            return
        if self._rest:
            self._rest = self._rest + data
        elif (
            self._lane is not None and self.exchange is None and self.asked
            and not (self._working or self._in_head or self._full or self._paused) and self.took_lane(data)
        ):
            return
        else:
            self._rest = data
        self.work()

    cdef bint took_lane(self, bytes data):
        """Whether it is answered already. After an error, before there was an exchange, the ordinary way answers."""
        try:
            return not (self.port.draining or self.port.closing) and self._lane.answer(self, data)
        except Exception as error:
            self.port.failed(error, self.exchange)
            return self.exchange is not None

    cdef int gave(self, bytes answer, int64_t now_ns) except -1:
        self.put(answer)
        if self._others._spare.pop(self, None) is not None:
            self._others._spare[self] = now_ns * 1e-9     # as the loop counts
        return 0

    cdef int refuse(self, str method, bytes target, list headers, int64_t now_ns, object error) except -1:
        cdef object exchange = self.makes(self, method, target, headers, _KEEP_ALIVE, 0, now_ns)
        self.exchange = exchange
        self._others._spare.pop(self, None)
        exchange.problem(error)
        return 0

    def _work(self):
        self.work()

    cdef int work(self) except -1:
        cdef ExchangeBase exchange
        if self._working:
            return 0
        self._working = True
        try:
            while self._rest and not self._ending:
                exchange = self.exchange
                if exchange is None:
                    # Who does not read the last answer gets no further one.
                    if self._full or not self.begin():
                        break
                elif exchange.body_left and exchange.has_sink:
                    self._feed(exchange)
                else:
                    break
        except Exception as error:
            self.port.failed(error, self.exchange)
        finally:
            self._working = False
        if len(self._rest) > AHEAD and (self._full or self.exchange is not None):
            self._pause()
        return 0

    cdef bint begin(self) except -1:
        cdef bytes data = self._rest
        cdef object head = parse_head(data), port = self.port, exchange
        cdef int flags
        cdef Py_ssize_t end
        if type(head) is int:
            self._end_head(head)
            return False
        method, target, headers, found_flags, length, found_end = <tuple>head
        flags = found_flags
        end = found_end
        self._rest = data[end:] if end < len(data) else b""
        self.asked = True
        if self._in_head:
            self._in_head = False
            port.heads.pop(self, None)
        if flags & _CHUNKED:
            self._chunks = ChunkReader()
        exchange = self.exchange = self.makes(self, method, target, headers, found_flags, length, monotonic_ns())
        self._others._spare.pop(self, None)
        port.app(exchange)
        if self._lane is not None and self._lane.offered is exchange:
            self._lane.remember(data, end)
        return True

    def write(self, bytes data not None):
        self.put(data)

    def leave_socket(self):
        self._fd = NO_FD

    cdef int put(self, bytes data) except -1:
        # Sent here it costs a third less than by the transport, which has what is left over, and errors. Nothing may
        # overtake what that still has.
        cdef Py_ssize_t sent
        cdef int fd = self._fd
        if fd == UNKNOWN_FD:
            fd = self.find_fd()
        if fd < 0 or (self._queued and self.transport.get_write_buffer_size()):
            self.transport.write(data)
            return 0
        self._queued = False
        sent = sent_at_once(fd, data)
        if sent < PyBytes_GET_SIZE(data):
            self._queued = True
            self.transport.write(data[sent:])
        return 0

    cdef int find_fd(self) except -2:
        cdef object sock = None
        if self.port.tls is None and not self._ending:
            sock = self.transport.get_extra_info("socket")
        self._fd = NO_FD if sock is None else sock.fileno()
        self._queued = True     # something may have been written by the transport
        return self._fd

    def finish(self, ExchangeBase exchange not None):
        self.finished(exchange)

    def release(self, ExchangeBase exchange not None):
        self.released(exchange)

    cdef int finished(self, ExchangeBase exchange) except -1:
        if not exchange.body_left:
            return self.released(exchange)
        self._finish_body(exchange)
        return 0

    cdef int released(self, ExchangeBase exchange) except -1:
        cdef object port = self.port
        if self.exchange is not exchange:
            return 0
        self.exchange = None
        if not exchange.keep_alive or port.closing:
            self.close()
            return 0
        if self in self._others._open:
            self._others._spare[self] = monotonic_ns() * 1e-9     # as the loop counts
        if self._rest or self._paused:
            self._go_on()
        return 0
