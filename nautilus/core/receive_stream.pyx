"""The receiver's end of one ordered stream of the mesh, as a pure state machine: no socket, no clock. One thread.

What it guarantees together with the sender's end stands in `nautilus.core.send_stream`.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove

from nautilus.core.mesh_wire cimport (
    FORM_ENVELOPES, HEADER_BYTES, ENVELOPE_BYTES, KIND_GIVEN_UP, KIND_REQUEST, Answer, Delivery, Envelope,
    check_envelopes, mesh_envelope_t, mesh_header_t, read_delivery, read_envelope, read_header)

from enum import Enum

from nautilus.core.mesh_wire import is_place


class Verdict(Enum):
    """What a receiver makes of an envelope. SKIP: a marker taken in order; AHEAD: something before it has not arrived,
    so it is not taken and will come again; REFUSED: from an earlier life of the sender; MALFORMED: no place of a
    stream; LATE: taken, but its deadline has come.
    """

    DELIVER = 1
    SKIP = 2
    DUPLICATE = 3
    AHEAD = 4
    REFUSED = 5
    MALFORMED = 6
    LATE = 7


DELIVER, SKIP, DUPLICATE, AHEAD, REFUSED, MALFORMED, LATE = Verdict
cdef tuple VERDICTS = (None, *Verdict)
cdef enum:
    _DELIVER = 1
    _SKIP = 2
    _DUPLICATE = 3
    _AHEAD = 4
    _LATE = 7
cdef uint64_t DEAD = <uint64_t> 1 << 63
OPEN_TOLD = 256
"""So many unfinished deliveries are told by number, where some behind them are finished; the first of them."""
KEPT_REPLIES = 8_192
SWEEP_AT = 64
"""Replies kept until it is looked which of them the sender no longer holds."""
cdef Py_ssize_t _OPEN_TOLD = OPEN_TOLD, _KEPT_REPLIES = KEPT_REPLIES, _SWEEP_AT = SWEEP_AT


@cython.final
cdef class ReceiveStream:
    """The receiver's end, in one life of the receiver.

    Attributes
    ----------
    expected
        The sequence that is taken next.
    handled
        All up to here have been handled, or will not be waited for by the sender.
    skipped
        After `accept`: (first, last) that will never be delivered, or None.
    replies
        {sequence: answer} of requests that the sender may ask for again; the newest `KEPT_REPLIES` of them.
    due
        An acknowledgement is to be sent.
    """

    def __cinit__(self):
        self.replies = {}
        self.fresh = True
        self.sweep_at = _SWEEP_AT

    def __dealloc__(self):
        free(self.open_at)

    def accept(self, Envelope envelope not None):
        """Judge an envelope; what is to be delivered counts as received from here on."""
        cdef uint64_t base = envelope.base
        self.skipped = None
        if not is_place(envelope):
            return MALFORMED
        if envelope.epoch < self.epoch:
            return REFUSED
        if envelope.epoch != self.epoch or base > self.base:
            self.renew(envelope.epoch, base)
        return VERDICTS[self.judge(envelope.number, envelope.sequence, envelope.last())]

    def take(self, bytes frame not None, str peer, source, int64_t now_ns, list out not None, list odd not None):
        """Take a frame in: what is to be delivered goes to `out`, as `Delivery` objects with this source.

        `odd` gets, in order, (verdict, envelope) of all others, None in place of a marker that was taken, and
        (None, (first, last)) of what will never be delivered. False: it is no frame of envelopes, or one of an
        earlier life of the sender, and nothing was done.
        """
        return bool(self.take_bytes(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), peer, source, now_ns, out, odd))

    cdef int take_bytes(self, const char* data, Py_ssize_t size, str peer, source, int64_t now_ns, list out,
                        list odd) except -1:
        cdef mesh_header_t header
        cdef mesh_envelope_t item
        cdef Py_ssize_t at = HEADER_BYTES
        cdef Delivery delivery
        cdef int verdict
        cdef uint64_t last
        if read_header(data, size, &header) != FORM_ENVELOPES or not check_envelopes(data, size, &header):
            return 0
        if header.epoch < self.epoch:
            return 0
        if header.epoch != self.epoch or header.base > self.base:
            self.skipped = None
            self.renew(header.epoch, header.base)
            if self.skipped is not None:
                odd.append((None, self.skipped))
        for _ in range(header.count):
            memcpy(&item, data + at, ENVELOPE_BYTES)
            if item.kind <= KIND_REQUEST and item.sequence == self.expected and (
                    not item.deadline_ns or item.deadline_ns > now_ns):
                self.push(item.sequence)
                self.expected += 1
                self.fresh = False
                delivery = read_delivery(data + at, &header, peer)
                delivery.source = source
                delivery.stream = self
                out.append(delivery)
            else:
                self.skipped = None
                last = item.sequence if item.kind <= KIND_REQUEST else item.id
                verdict = self.judge(item.kind, item.sequence, last)
                if verdict == _DELIVER:
                    verdict = _LATE
                if self.skipped is not None:
                    odd.append((None, self.skipped))
                odd.append((VERDICTS[verdict], None if verdict == _SKIP else read_envelope(data + at, &header)))
            at += item.size
        return 1

    cdef int judge(self, int kind, uint64_t sequence, uint64_t last) except -1:
        cdef uint64_t expected = self.expected
        if kind <= KIND_REQUEST:
            if sequence != expected:
                return _DUPLICATE if sequence < expected else _AHEAD
            self.push(sequence)
            self.expected = sequence + 1
            self.fresh = False
            return _DELIVER
        if sequence > expected:
            return _AHEAD
        if last < expected:
            return _DUPLICATE
        if kind == KIND_GIVEN_UP:
            self.skipped = (expected, last)
        self.pass_over(last)
        self.fresh = False
        return _SKIP

    def ask(self, uint64_t sequence):
        """Whether to ask for what is missing before this one: once, and again where something ahead comes again.

        A sender that has heard nothing sends the same again: then the word was lost, and must not be the last one.
        """
        cdef bint asks = self.missing != self.expected or sequence <= self.ahead
        self.missing = self.expected
        self.ahead = sequence
        return asks

    def finish(self, uint64_t sequence):
        """The handler of a delivered message has run; False where that was known, or nobody waits for it any more."""
        return bool(self.close_one(sequence))

    def finished(self, uint64_t sequence):
        """Whether the handler of a delivered message has run."""
        return bool(sequence < self.expected and not self.is_open(sequence))

    def reply(self, uint64_t sequence, Answer answer not None):
        """The handler of a request has run, and this is its answer; False where that was known."""
        if not self.finish_with(sequence, answer):
            return False
        self.say(answer)
        return True

    cdef bint finish_with(self, uint64_t sequence, Answer answer) except -1:
        """As `reply`; the answer does not say yet how far things are."""
        if not self.close_one(sequence):
            return False
        self.keep_one(sequence, answer)
        return True

    def tell(self, Answer answer not None):
        """Write into an answer how far things are."""
        self.say(answer)

    def keep(self, uint64_t sequence, Answer answer not None):
        """Keep the answer of a request until the sender no longer holds that."""
        self.keep_one(sequence, answer)

    cdef int keep_one(self, uint64_t sequence, Answer answer) except -1:
        cdef dict replies = self.replies
        replies[sequence] = answer
        if len(replies) >= self.sweep_at:
            for old in [old for old in replies if old < self.base]:
                del replies[old]
            if len(replies) > _KEPT_REPLIES:
                del replies[next(iter(replies))]
            self.sweep_at = min(max(_SWEEP_AT, 2 * len(replies)), _KEPT_REPLIES + 1)
        return 0

    @property
    def open(self):
        """Sequences that were delivered and are not finished, in order."""
        return tuple([self.open_at[place] for place in range(self.front, self.back) if not self.open_at[place] & DEAD])

    cdef int say(self, Answer answer) except -1:
        cdef Py_ssize_t waiting = self.back - self.front - self.dead, place
        cdef uint64_t last = self.expected - 1
        cdef list told
        answer.received = last
        answer.handled = self.handled
        answer.done = 0
        answer.open = ()
        if <uint64_t> waiting == last - self.handled:  # nothing is finished behind what is not
            return 0
        told = []
        answer.done = last
        for place in range(self.front, self.back):
            if self.open_at[place] & DEAD:
                continue
            if len(told) == _OPEN_TOLD:
                answer.done = self.open_at[place] - 1
                break
            told.append(self.open_at[place])
        answer.open = tuple(told)
        return 0

    cdef int renew(self, uint64_t epoch, uint64_t base) except -1:
        """A later life of the sender, or a later base: it holds nothing before, so what is missing will not come."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.base = self.expected = base
            self.handled = base - 1
            self.missing = 0
            self.replies.clear()
            self.front = self.back = self.dead = 0
            self.fresh = True
            return 0
        self.base = base
        if base > self.expected:
            if not self.fresh:
                self.skipped = (self.expected, base - 1)
            self.pass_over(base - 1)
        if self.handled < base - 1:
            self.let_go(base)
        return 0

    cdef int push(self, uint64_t sequence) except -1:
        cdef Py_ssize_t place, kept
        cdef uint64_t* found
        if self.back == self.room:
            if self.front or self.dead:
                kept = 0
                for place in range(self.front, self.back):
                    if not self.open_at[place] & DEAD:
                        self.open_at[kept] = self.open_at[place]
                        kept += 1
                self.front = self.dead = 0
                self.back = kept
            if 2 * self.back >= self.room:
                kept = max(64, 2 * self.room)
                found = <uint64_t*> realloc(self.open_at, kept * sizeof(uint64_t))
                if found == NULL:
                    raise MemoryError("receive_stream: no memory")
                self.open_at = found
                self.room = kept
        self.open_at[self.back] = sequence
        self.back += 1
        return 0

    cdef Py_ssize_t find(self, uint64_t sequence) noexcept:
        """Where an open delivery stands; -1: it is not open."""
        cdef Py_ssize_t low = self.front, high = self.back - 1, middle
        cdef uint64_t found
        while low <= high:
            middle = low + (high - low) // 2
            found = self.open_at[middle] & ~DEAD
            if found == sequence:
                return -1 if self.open_at[middle] & DEAD else middle
            if found < sequence:
                low = middle + 1
            else:
                high = middle - 1
        return -1

    cdef bint is_open(self, uint64_t sequence) noexcept:
        return self.find(sequence) >= 0

    cdef bint close_one(self, uint64_t sequence) noexcept:
        cdef Py_ssize_t place
        if self.front < self.back and self.open_at[self.front] == sequence:
            self.front += 1
            self.settle_front()
            return True
        place = self.find(sequence)
        if place < 0:
            return False
        self.open_at[place] |= DEAD
        self.dead += 1
        return True

    cdef void settle_front(self) noexcept:
        """The first that is open is no longer: all up to the next one are handled."""
        while self.front < self.back and self.open_at[self.front] & DEAD:
            self.front += 1
            self.dead -= 1
        if self.front == self.back:
            self.front = self.back = 0
            self.handled = self.expected - 1
        else:
            self.handled = self.open_at[self.front] - 1

    cdef void let_go(self, uint64_t base) noexcept:
        """For what is open before `base` nobody waits any more."""
        while self.front < self.back and (self.open_at[self.front] & ~DEAD) < base:
            if self.open_at[self.front] & DEAD:
                self.dead -= 1
            self.front += 1
        self.settle_front()

    cdef void pass_over(self, uint64_t last) noexcept:
        """Count all from `expected` to `last` as received and done with."""
        self.expected = last + 1
        if self.front == self.back:
            self.handled = last


cdef int settle(Delivery delivery) except -1:
    """The handler of a delivery has run.

    Returns
    -------
    0
        There is nothing to be said.
    1
        Its source has an acknowledgement to send, which it had not.
    2
        It is a request, which is to be answered: `delivery` is as it was.
    3
        Its sender has another life since: nobody waits for this.
    """
    cdef ReceiveStream stream
    if delivery.source is None:
        return 0
    if not isinstance(delivery.stream, ReceiveStream):
        raise TypeError("a delivery that no stream has made")
    stream = <ReceiveStream> delivery.stream
    if delivery.epoch != stream.epoch:
        delivery.source = None
        return 3
    if delivery.number == KIND_REQUEST:
        return 2
    delivery.source = None
    if not stream.close_one(delivery.sequence) or stream.due:
        return 0
    stream.due = True
    return 1
