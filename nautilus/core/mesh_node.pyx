"""What a node of the mesh does for every message, compiled: post, send, wait, read, finish, answer. One thread.

It is the base of `nautilus.bus.node.Node`, and calls the methods of that for all that is rare: `_dial`, `_cut`,
`_refusal`, `_pump`, `_pump_past`, `_judge_ring`, `_read_odd`, `_read_short`, `_take_message`, `_send_frame`, `_watch`,
`_work` and what other carriers need. Where the functions of libzmq are not at hand (`native` is False), `_pump`,
`_read_router`, `_read_dealer` and `_send_frame` do the same through pyzmq. A frame of the urgent lane goes into the
urgent ring (`_ring`) first, where there is one.

Length: the way of a message, from `post` to `done`, in one class: a call into another module would cost what is saved.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t

from nautilus.core.mesh_ends cimport Inlet, Outlet, Port, Reader
from nautilus.core.mesh_wait cimport DescriptorWait
from nautilus.core.mesh_wire cimport (
    FORM_ENVELOPES, HEADER_BYTES, KIND_ACKNOWLEDGED, KIND_ERROR, KIND_REPLY, Answer, Delivery, Envelope, answers_bytes,
    mesh_header_t, new_answer, read_answers, read_header, reply_delivery, write_answers)
from nautilus.core.receive_stream cimport ReceiveStream, settle
from nautilus.core.ring_group cimport RingGroup
from nautilus.core.send_stream cimport SendStream
from nautilus.core.zmq_calls cimport ZMQ_DONTWAIT, failure, socket_of, zmq_calls, zmq_message_t

from errno import EAGAIN

from nautilus.core.mesh_wire import pack_answers

PACK_NS = 20_000
"""A message that follows another one sooner may wait for company, until the host's next call at the latest."""
MOST_WAITING = 64
PUMP_LIMIT = 16
"""Frames that are sent in one go; the others follow with the next `tick`."""
MOST_FRAME_BYTES = 32_768
"""A message that is longer has a frame of its own."""
MOST_ANSWERS = 64
"""Answers that wait for company, at most."""
LONG_BYTES = 4_096
"""A reply that is longer waits for nobody."""
RING_LIMIT = 16
"""Frames that are taken from one urgent ring in one go."""
FULL_NS = 1_000_000
"""Until a socket that took nothing more is tried again."""
cdef int64_t _PACK_NS = PACK_NS, _FULL_NS = FULL_NS
cdef uint64_t _MOST_WAITING = MOST_WAITING
cdef Py_ssize_t _MOST_FRAME_BYTES = MOST_FRAME_BYTES
cdef int64_t NEVER = <int64_t> 1 << 62
cdef Py_ssize_t _MOST_ANSWERS = MOST_ANSWERS, _LONG_BYTES = LONG_BYTES
cdef int _PUMP_LIMIT = PUMP_LIMIT, _RING_LIMIT = RING_LIMIT, _EAGAIN = EAGAIN
cdef enum:
    ZMQ_SNDMORE = 2
    ZMQ_POLLIN = 1
    ZMQ_FD = 14
    ZMQ_EVENTS = 15
    URGENT_RANK = 1
    CARRIER_RANK = 9
    BUSY_NS = 10_000_000    # until the peer is looked at that something was sent to


cdef class MeshNode:
    """The compiled part of a node."""

    def __cinit__(self, *arguments, **options):
        self._ways = {}
        self._readers = {}
        self._carriers = {}
        self._looked_at = []
        self._waiting = []
        self._answers_due = []
        self._unknown = []
        self.touched = set()
        self.descriptors = DescriptorWait()

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
                way = self._dial(process, priority)     # the host may have hung up when it was told
                stream = <SendStream> way[0]
                outlet = <Outlet> way[1]
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
                self.give(outlet, now_ns)
            elif not outlet.waits:
                outlet.waits = True
                self._waiting.append(outlet)
        if until_ns and until_ns < self._due_ns:
            self._due_ns = until_ns
        return number

    cdef int give(self, Outlet outlet, int64_t now_ns) except -1:
        if self.native:
            self.fill_socket(outlet, now_ns)
        else:
            self._pump(outlet, now_ns)
        return 0

    cdef int pump_waiting(self) except -1:
        """Send what waited for company."""
        cdef list waiting = self._waiting
        cdef Outlet outlet
        cdef int64_t now_ns = self._clock()
        self._waiting = []
        for outlet in waiting:
            outlet.waits = False
            if outlet.open and not outlet.diverted:
                self.give(outlet, now_ns)
        return 0

    def pump(self, Outlet outlet not None, int64_t now_ns):
        """Give a socket what it takes, smaller priorities first; no more at a time than leaves the host free."""
        self.fill_socket(outlet, now_ns)

    cdef int fill_socket(self, Outlet outlet, int64_t now_ns) except -1:
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
                    return 0
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
                    return 0
                stream.went(now_ns)
                outlet.sent_ns = now_ns
                if stream.retry_at_ns < self._due_ns:
                    self._due_ns = stream.retry_at_ns
        return 0

    # Receiving.

    cdef int is_readable(self, object socket) except -1:
        cdef int events = 0
        cdef size_t size = sizeof(int)
        if not self.native:
            return bool(socket.get(ZMQ_EVENTS) & ZMQ_POLLIN)
        if zmq_calls.getsockopt(socket_of(socket), ZMQ_EVENTS, &events, &size) < 0:
            raise failure(zmq_calls.error())
        return events & ZMQ_POLLIN

    cdef list look(self, object sockets):
        """The readers of those of these sockets that can be read; they know of no others."""
        cdef list found = []
        cdef dict readers = <dict> self._readers["all"]
        for socket in sockets:
            reader = readers.get(socket)
            if reader is not None and self.is_readable(socket):
                found.append(reader)
        return found

    def receive(self, Py_ssize_t limit=64, *, ready=None, bint urgent=False):
        """What has come, at most about `limit` messages, the urgent lane first; each is to be given to `done`.

        What came in one frame (64 messages at most) is handed out whole.

        `ready` holds the sockets and descriptors that a poll found readable (None: not known); `urgent` looks at the
        sockets of the urgent lane only.
        """
        cdef dict readers = <dict> self._readers["u" if urgent else "all"]
        cdef list found = []
        if ready is None:
            for socket, reader in readers.items():
                if self.is_readable(socket):
                    found.append(reader)
            if self._carriers and not urgent:
                found += self._readable_carriers()
        else:
            for item in ready:
                reader = readers.get(item)
                if reader is not None:
                    found.append(reader)
                elif not urgent and item in self._carriers:
                    found.append(self._carriers[item])
        return self.take_in(found, limit, urgent)

    def take(self, int64_t timeout_ns, Py_ssize_t limit=64, int64_t spin_ns=0):
        """As `receive`, but wait until something has come, or `tick` has something to do, for at most so long.

        For a thread that waits for nothing else. The time is good to the millisecond above it; the thread looks again
        and again for `spin_ns` before it sleeps.
        """
        cdef list found
        cdef int64_t due_ns
        if not self._listed:
            self.list_descriptors()
        if self.touched:
            found = self.look(self.touched)
            self.touched.clear()
        else:
            found = []
        if found:
            timeout_ns = 0
        elif timeout_ns:
            due_ns = self.due_at()
            if due_ns < NEVER:
                timeout_ns = min(timeout_ns, max(due_ns - <int64_t> self._clock(), 0))
        for reader in self.descriptors.wait(timeout_ns, spin_ns):
            if reader is self._ring:
                reader.hush()               # what it rang for is looked at first of all
            elif not found or reader not in found:
                found.append(reader)
        return self.take_in(found, limit, False)

    cdef int list_descriptors(self) except -1:
        cdef dict readers = <dict> self._readers["all"]
        cdef list pairs = [(socket.getsockopt(ZMQ_FD), reader) for socket, reader in readers.items()]
        pairs += self._carriers.items()
        if self._ring is not None:
            try:
                pairs.append((self._ring.fileno(), self._ring))
            except OSError:
                pass                        # without it the copies over ZeroMQ wake the thread
        self.descriptors.renew(pairs)
        self.touched.update(readers)
        self._listed = True
        return 0

    cdef list take_in(self, list found, Py_ssize_t limit, bint urgent):
        """What is at these readers and carriers."""
        cdef list out = []
        cdef Py_ssize_t before
        if self._waiting:
            self.pump_waiting()
        if self._ring is not None and self._ring.group.waiting:
            self._read_ring(self._ring, out)
        if PyList_GET_SIZE(found) > 1:
            found.sort(key=_rank)
        for reader in found:
            if isinstance(reader, Outlet):
                if self.native:
                    self.read_outlet(<Outlet> reader, out, limit)
                else:
                    self._read_dealer(reader, out, limit)
            elif isinstance(reader, Port):
                before = PyList_GET_SIZE(out)
                if self.native:
                    self.read_port(<Port> reader, out, limit - before)
                else:
                    self._read_router(reader, out, limit - before)
                if (<Port> reader).rank == URGENT_RANK:
                    self.urgent_by_zmq += PyList_GET_SIZE(out) - before
            elif isinstance(reader, Reader):
                self._watch_ns = 0      # a monitor: `tick` looks after it
            else:
                self._read_carrier(reader, out, limit)
        if not urgent:
            for carrier in self._looked_at:
                self._read_carrier(carrier, out, limit)
        # What an urgent look finds in the middle of a batch belongs to that.
        self._batch = self._batch + PyList_GET_SIZE(out) if urgent else PyList_GET_SIZE(out)
        if self._permissions is not None and out:
            out = self._permitted(out)
        if self._answers_due and not self._batch:
            self.send_answers()
        return out

    cdef int read_port(self, Port port, list out, Py_ssize_t limit) except -1:
        cdef Py_ssize_t most = PyList_GET_SIZE(out) + limit
        self.touched.add(port.socket)
        for _ in range(limit):
            found = self.read(port.socket, port.inbound, out, most - PyList_GET_SIZE(out))
            if found is None:
                return 0
            if found is False:
                self.touched.discard(port.socket)
                return 0
            identity, frame, more = found
            if self._take_message(port, identity, frame, more, out) or PyList_GET_SIZE(out) >= most:
                return 0
        return 0

    cdef object read(self, object socket, dict inbound, list out, Py_ssize_t limit):
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

    def read_ring(self, RingGroup group not None, bytes prefix not None, list known not None, list out not None):
        """Take in what came through urgent rings, at most `RING_LIMIT` frames of each.

        Parameters
        ----------
        group : RingGroup
        prefix : bytes
            What frames for this process begin with.
        known : list
            For each reader of the group the streams of its peer, by priority, or None.
        out : list

        What cannot be taken in here goes to `_judge_ring` (number of the reader, frame, out).
        """
        cdef mesh_header_t header
        cdef Inlet inlet
        cdef Py_ssize_t size, before, at
        cdef int place, left
        cdef list odd
        cdef int64_t now_ns = self._clock()
        cdef uint64_t turn = group.turn
        for place in range(group.count):
            for left in range(_RING_LIMIT):
                size = group.next_of(place, PyBytes_AS_STRING(prefix), PyBytes_GET_SIZE(prefix))
                if size < 0:
                    break
                found = None
                if known[place] is not None and read_header(group.copy, size, &header) == FORM_ENVELOPES:
                    found = (<dict> known[place]).get(header.priority)
                if found is None or header.epoch != (<Inlet> found).peer.epoch:
                    self._judge_ring(place, PyBytes_FromStringAndSize(group.copy, size), out)
                    if group.turn != turn:
                        return
                    continue
                inlet = <Inlet> found
                before, odd = PyList_GET_SIZE(out), []
                if not inlet.stream.take_bytes(group.copy, size, inlet.peer.name, inlet, now_ns, out, odd):
                    self._judge_ring(place, PyBytes_FromStringAndSize(group.copy, size), out)
                    if group.turn != turn:
                        return
                    continue
                inlet.carrier = None
                at = PyList_GET_SIZE(out)
                if at > before:
                    self.received += at - before
                    inlet.ringed = (<Delivery> out[at - 1]).sequence
                if odd:
                    self._read_odd(inlet, odd)
                    if group.turn != turn:
                        return  # a callback had other rings read: what is left comes the next time
            group.told(place)

    cdef int read_outlet(self, Outlet outlet, list out, Py_ssize_t limit) except -1:
        """Take in answers, and send what they have made room for."""
        cdef void* pointer = socket_of(outlet.socket)
        cdef zmq_message_t message
        cdef SendStream stream
        cdef Py_ssize_t size
        outlet.heard = True
        self.touched.add(outlet.socket)
        for _ in range(limit):
            zmq_calls.msg_init(&message)
            if zmq_calls.msg_recv(&message, pointer, ZMQ_DONTWAIT) < 0:
                if zmq_calls.error() != _EAGAIN:
                    raise failure(zmq_calls.error())
                self.touched.discard(outlet.socket)
                break
            try:
                size = <Py_ssize_t> zmq_calls.msg_size(&message)
                if size < HEADER_BYTES and self._read_short(
                        outlet, PyBytes_FromStringAndSize(<char*> zmq_calls.msg_data(&message), size)):
                    continue
                stream = self.take_frame(outlet, <const char*> zmq_calls.msg_data(&message), size, out)
            finally:
                zmq_calls.msg_close(&message)
            if stream is not None and stream.is_empty():
                break   # there is nothing else that this stream waits for
        if outlet.open and not outlet.diverted:
            for stream in outlet.streams.values():
                if stream.sendable():
                    self.give(outlet, self._clock())
                    break
        return 0

    def take_answers(self, Outlet outlet not None, bytes frame not None, list out not None):
        """Take answers in, whatever they came by. Returns their stream, where they have one."""
        return self.take_frame(outlet, PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), out)

    cdef SendStream take_frame(self, Outlet outlet, const char* data, Py_ssize_t size, list out):
        cdef list answers = read_answers(data, size)
        cdef Answer answer
        cdef Envelope request
        cdef SendStream stream
        cdef uint64_t before
        cdef int64_t now_ns
        if answers is None:
            self.malformed += 1
            return None
        answer = <Answer> answers[0]
        found = outlet.streams.get(answer.priority)
        if found is None:
            self.malformed += 1
            return None
        if answer.epoch != self.epoch:
            self.stale += 1
            return None
        stream = <SendStream> found
        if PyList_GET_SIZE(answers) == 1:
            request = stream.hear_alone(answer)
            if request is not None:
                self.acknowledged += 1
                out.append(reply_delivery(answer, request, outlet.peer))
                return stream
        now_ns = self._clock()
        before = stream.acknowledged
        for answer in answers:
            request = stream.hear(answer, now_ns)
            if request is not None:
                out.append(reply_delivery(answer, request, outlet.peer))
        self.acknowledged += stream.acknowledged - before
        return stream

    # Finishing and answering.

    def done(self, Delivery delivery not None, reply=None, error=None):
        """The handler of a delivery has run: acknowledge it; answer it where it is a request.

        It may be called later and in another order than that of delivery; until then the sender holds the message. A
        request without reply or error is answered with an empty reply.
        """
        cdef object source = delivery.source
        cdef int said = settle(delivery)
        cdef Answer answer
        if said == 1:
            self._answers_due.append(source)
        elif said == 2:
            delivery.source = None
            if error is not None:
                answer = self.new_answer(source, KIND_ERROR, delivery.id, self._described(error))
            else:
                answer = self.new_answer(source, KIND_REPLY, delivery.id, reply or b"")
            if (<Inlet> source).stream.finish_with(delivery.sequence, answer):
                self.reply(source, answer)
        elif said:
            self.unanswerable += 1      # the sender has another life since
        if self._batch:
            self._batch -= 1
            if self._batch:
                return
        elif said == 2:
            return  # one of many that come late: those that wait go together with the next `tick`
        if self._answers_due:
            self.send_answers()

    cdef Answer new_answer(self, Inlet source, int kind, uint64_t number, bytes payload):
        cdef Answer answer = new_answer(kind, number, source.stream.epoch, self.epoch, <uint32_t> source.priority)
        answer.payload = payload
        return answer

    def answer(self, Inlet source not None, int kind, uint64_t number=0, bytes payload not None=b""):
        """An answer to what came from there."""
        return self.new_answer(source, kind, number, payload)

    def acknowledge(self, Inlet source not None):
        """Have it told with the next `tick` how far things are."""
        if not source.stream.due:
            source.stream.due = True
            self._answers_due.append(source)

    def reply(self, Inlet source not None, Answer answer not None):
        """Send an answer, or let it wait for company where another one has just gone."""
        cdef int64_t now_ns = self._clock()
        cdef list replies = source.replies
        if not (
            now_ns - source.said_ns >= _PACK_NS
            or PyList_GET_SIZE(replies) + 1 >= _MOST_ANSWERS
            or PyBytes_GET_SIZE(answer.payload) >= _LONG_BYTES
            or source.router.rank == URGENT_RANK
        ):
            replies.append(answer)
            self.acknowledge(source)
            return
        source.said_ns = now_ns
        if not replies:
            self.send_answers_of(source, [answer])
            return
        replies.append(answer)
        source.replies = []
        self.send_answers_of(source, replies)

    cdef int send_answers(self) except -1:
        """Send all that is due; to one that got a reply meanwhile, that alone."""
        cdef list due = self._answers_due, replies
        cdef Inlet source
        self._answers_due = []
        for source in due:
            source.stream.due = False
            replies = source.replies
            if replies:
                source.replies = []
            else:
                replies = [self.new_answer(source, KIND_ACKNOWLEDGED, 0, b"")]
            self.send_answers_of(source, replies)
        return 0

    def send_now(self, Inlet source not None, Answer answer not None):
        """Send an answer at once, by itself."""
        self.send_answers_of(source, [answer])

    cdef int send_answers_of(self, Inlet source, list answers) except -1:
        """Send answers over what the envelopes came by, with the numbers of now; what is lost is asked for again."""
        cdef zmq_message_t message
        cdef Answer answer
        cdef Py_ssize_t size
        cdef uintptr_t pointer
        cdef bytes identity = source.peer.identity
        for answer in answers:
            source.stream.say(answer)
        if source.carrier is not None or not self.native:
            if not self._send_frame(source, pack_answers(answers)):
                self.unanswerable += PyList_GET_SIZE(answers)
            return 0
        size = answers_bytes(answers)
        self.touched.add(source.router.socket)
        pointer = source.router.socket.underlying
        if pointer == 0 or zmq_calls.send(<void*> pointer, PyBytes_AS_STRING(identity),
                                          <size_t> PyBytes_GET_SIZE(identity), ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0:
            self.unanswerable += PyList_GET_SIZE(answers)   # the peer is gone, or reads nothing
            return 0
        if zmq_calls.msg_init_size(&message, <size_t> size):
            raise MemoryError("mesh: no memory for a frame")
        write_answers(<char*> zmq_calls.msg_data(&message), answers)
        if zmq_calls.msg_send(&message, <void*> pointer, ZMQ_DONTWAIT) < 0:
            zmq_calls.msg_close(&message)
            self.unanswerable += PyList_GET_SIZE(answers)
        return 0

    # What is due.

    cdef int64_t due_at(self) noexcept:
        if self._answers_due or self._waiting:
            return 0
        return min(self._due_ns, self._watch_ns)

    @property
    def next_due_ns(self):
        """When `tick` has something to do, whatever comes before; 0: it has."""
        return self.due_at()

    def tick(self, int64_t now_ns):
        """Send what is due: acknowledgements, retries. Returns ids of own requests whose fate is unknown from now on.

        To be called in each round of the host; it costs next to nothing until `next_due_ns`.
        """
        cdef list unknown
        if self._answers_due:
            self.send_answers()
        if self._waiting:
            self.pump_waiting()
        if self.sent != self._watched_sent:     # whether it is answered is to be seen
            self._watched_sent = self.sent
            self._watch_ns = min(self._watch_ns, now_ns + BUSY_NS)
        if now_ns >= self._watch_ns:
            self._watch(now_ns)
        if now_ns >= self._due_ns:
            self._work(now_ns)
        if self._tally is not None:
            self._tally.write()
        unknown = self._unknown
        self._unknown = []
        return unknown


def _rank(reader):
    return reader.rank if isinstance(reader, Reader) else CARRIER_RANK
