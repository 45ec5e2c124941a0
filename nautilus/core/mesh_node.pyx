"""What a node of the mesh does for every message, compiled: post, send, read, finish. One thread.

It is the base of `nautilus.bus.node.Node`, and calls the methods of that for all that is rare: `_dial`, `_cut`,
`_refusal`, `_pump`, `_pump_past`, `_read_odd`, `_answer_request`, `_send_answers`. Where the functions of libzmq
are not at hand (`native` is False), `_pump` and `_read_router` of its Python part do the same through pyzmq. A frame
of the urgent lane goes into the urgent ring of that (`_ring`) first, where there is one.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.list cimport PyList_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint64_t

from nautilus.core.mesh_wire cimport FORM_ENVELOPES, Delivery, mesh_header_t, read_header
from nautilus.core.receive_stream cimport ReceiveStream, settle
from nautilus.core.send_stream cimport SendStream
from nautilus.core.zmq_calls cimport ZMQ_DONTWAIT, failure, socket_of, zmq_calls, zmq_message_t

from errno import EAGAIN

PACK_NS = 20_000
"""A message that follows another one sooner may wait for company, until the host's next call at the latest."""
MOST_WAITING = 64
PUMP_LIMIT = 16
"""Frames that are sent in one go; the others follow with the next `tick`."""
MOST_FRAME_BYTES = 32_768
"""A message that is longer has a frame of its own."""
FULL_NS = 1_000_000
"""Until a socket that took nothing more is tried again."""
cdef int64_t _PACK_NS = PACK_NS, _FULL_NS = FULL_NS
cdef uint64_t _MOST_WAITING = MOST_WAITING
cdef Py_ssize_t _MOST_FRAME_BYTES = MOST_FRAME_BYTES
cdef int _PUMP_LIMIT = PUMP_LIMIT, _EAGAIN = EAGAIN


cdef class Outlet:
    """A connection that streams go out over.

    Attributes
    ----------
    open : the socket takes messages, as far as is known.
    diverted : what waits goes over other carriers.
    urgent : of the urgent lane: nothing waits for company.
    waits : messages wait for company; they go with the next call of the host.
    sent_ns : when messages were sent last.
    streams : {priority: stream}, the smaller priority first.
    """


cdef class Contact:
    """A process that sends to this one, and which life of it does."""

    def __init__(self, bytes identity not None, str name not None):
        self.identity = identity
        self.name = name


cdef class Inlet:
    """What comes from one peer in one priority, and by what its last envelope came (None: the router)."""


cdef class MeshNode:
    """The compiled part of a node."""

    def __cinit__(self, *arguments, **options):
        self._ways = {}
        self._waiting = []
        self._answers_due = []
        self.touched = set()

    def post(self, str process not None, *, str to, str sender, kind, bytes payload, priority=4, deadline_ns=0,
             trace_id=0, paths=255):
        """Send a message to an engine of a process; returns its id, by which replies know it.

        `deadline_ns` 0: it is held for ever, or until its stream is cut. Never waits: whether the peer is there or
        not, the message is taken. `paths` are those that it may take where ZeroMQ does not reach the peer
        (`nautilus.bus.carriers`); `trace_id` has 128 bits.

        Raises MeshError for what the mesh cannot take.
        """
        cdef SendStream stream
        cdef Outlet outlet
        cdef uint64_t number, unsent
        cdef int64_t now_ns, until_ns
        cdef list ways = <list> self._ways.get(process)
        cdef Py_ssize_t place
        cdef tuple way = None
        try:
            place = priority
            if ways is not None and 0 <= place < PyList_GET_SIZE(ways):
                way = <tuple> ways[place]
            if way is None:
                way = self._dial(process, priority)
            stream = <SendStream> way[0]
            outlet = <Outlet> way[1]
            if stream.live >= self._pending_limit:
                self._cut(stream, process)
            number = self._last_id + 1
            until_ns = deadline_ns
            unsent = stream.post_one(kind, number, place, until_ns, trace_id, sender, to, payload, paths)
        except (OverflowError, TypeError, ValueError) as error:
            raise self._refusal(kind, error) from error
        self._last_id = number
        self.sent += 1
        if outlet.diverted:
            self._pump_past(outlet, self._clock())
        elif unsent and outlet.open:
            now_ns = self._clock()
            if (outlet.urgent or unsent >= _MOST_WAITING or now_ns - outlet.sent_ns >= _PACK_NS
                    or stream.live == 1):
                if self.native:
                    self.pump(outlet, now_ns)
                else:
                    self._pump(outlet, now_ns)
            elif not outlet.waits:
                outlet.waits = True
                self._waiting.append(outlet)
        if until_ns and until_ns < self._due_ns:
            self._due_ns = until_ns
        return number

    def pump(self, Outlet outlet not None, int64_t now_ns):
        """Give a socket what it takes, smaller priorities first; no more at a time than leaves the host free."""
        cdef void* socket = socket_of(outlet.socket)
        cdef zmq_message_t message
        cdef SendStream stream
        cdef int left = _PUMP_LIMIT, code
        cdef Py_ssize_t size
        self.touched.add(outlet.socket)
        outlet.open = True
        for stream in outlet.streams.values():
            while stream.sendable():
                if not left:
                    self._due_ns = now_ns
                    return
                left -= 1
                size = stream.plan(_MOST_FRAME_BYTES, 0)
                if zmq_calls.msg_init_size(&message, <size_t> size):
                    raise MemoryError("mesh: no memory for a frame")
                stream.fill(<char*> zmq_calls.msg_data(&message))
                if outlet.urgent and self._ring is not None:
                    self._ring.write(
                        outlet.peer, PyBytes_FromStringAndSize(<char*> zmq_calls.msg_data(&message), size))
                if zmq_calls.msg_send(&message, socket, ZMQ_DONTWAIT) < 0:
                    code = zmq_calls.error()
                    zmq_calls.msg_close(&message)
                    if code != _EAGAIN:
                        raise failure(code)
                    outlet.open = False
                    self._due_ns = min(self._due_ns, now_ns + _FULL_NS)
                    return
                stream.went(now_ns)
                outlet.sent_ns = now_ns
                if stream.retry_at_ns < self._due_ns:
                    self._due_ns = stream.retry_at_ns

    def read(self, socket, dict inbound not None, list out not None, Py_ssize_t limit):
        """Take in messages of known peers in their lives of now, until about `limit` were delivered.

        Returns
        -------
        None
            The limit was reached, or most likely nothing is left.
        False
            Nothing is left.
        (identity, frame, more)
            What the caller is to judge: the sender's name, its frame, whether more frames follow. The frame is None
            where the name is not known: the rest of that message has not been read.
        """
        cdef void* pointer = socket_of(socket)
        cdef zmq_message_t message
        cdef mesh_header_t header
        cdef ReceiveStream stream
        cdef Inlet inlet
        cdef Py_ssize_t before, size, most = PyList_GET_SIZE(out) + limit, turns
        cdef const char* data
        cdef bytes identity
        cdef list odd
        cdef int64_t now_ns = 0
        cdef int code
        for turns in range(limit):
            if PyList_GET_SIZE(out) >= most:
                return None
            zmq_calls.msg_init(&message)
            if zmq_calls.msg_recv(&message, pointer, ZMQ_DONTWAIT) < 0:
                if zmq_calls.error() == _EAGAIN:
                    return False
                raise failure(zmq_calls.error())
            identity = PyBytes_FromStringAndSize(
                <char*> zmq_calls.msg_data(&message), <Py_ssize_t> zmq_calls.msg_size(&message))
            code = zmq_calls.msg_more(&message)
            zmq_calls.msg_close(&message)
            sources = inbound.get(identity)
            if not code or sources is None:
                return identity, None, bool(code)
            zmq_calls.msg_init(&message)
            if zmq_calls.msg_recv(&message, pointer, ZMQ_DONTWAIT) < 0:
                return identity, None, False
            data = <const char*> zmq_calls.msg_data(&message)
            size = <Py_ssize_t> zmq_calls.msg_size(&message)
            found = None
            if not zmq_calls.msg_more(&message) and (
                    read_header(data, size, &header) == FORM_ENVELOPES):
                found = (<dict> sources).get(header.priority)
            if found is None or header.epoch != (<Inlet> found).peer.epoch:
                try:
                    return identity, PyBytes_FromStringAndSize(data, size), bool(zmq_calls.msg_more(&message))
                finally:
                    zmq_calls.msg_close(&message)
            inlet = <Inlet> found
            stream = inlet.stream
            before = PyList_GET_SIZE(out)
            odd = []
            if not now_ns:
                now_ns = self._clock()
            try:
                if not stream.take_bytes(data, size, inlet.peer.name, inlet, now_ns, out, odd):
                    return identity, PyBytes_FromStringAndSize(data, size), False
            finally:
                zmq_calls.msg_close(&message)
            inlet.carrier = None
            self.received += PyList_GET_SIZE(out) - before
            if odd:
                self._read_odd(inlet, odd)
            if stream.expected - 1 == stream.base:
                # The sender waits for this one alone, so there is most likely nothing behind it. To be told so would
                # cost as much as the message did; the host's next poll tells it for nothing.
                return None
        return None

    def done(self, Delivery delivery not None, reply=None, error=None):
        """The handler of a delivery has run: acknowledge it; answer it where it is a request.

        It may be called later and in another order than that of delivery; until then the sender holds the message. A
        request without reply or error is answered with an empty reply.
        """
        cdef object source = delivery.source
        cdef int said = settle(delivery)
        if said:
            if said == 1:
                self._answers_due.append(source)
            else:
                self._answer_request(delivery, said, reply, error)
        if self._batch:
            self._batch -= 1
            if self._batch:
                return
        elif said == 2:
            return  # one of many that come late: those that wait go together with the next `tick`
        if self._answers_due:
            self._send_answers()
