"""The sender's end of one ordered stream of the mesh, as a pure state machine: no socket, no clock. One thread.

The sender holds every message until it is settled: acknowledged (its handler has run), answered (a request), or given
up (deadline, cut). What is settled or given up in the middle leaves a marker in its place, so that the receiver, which
takes only the next number in order, is never left waiting and knows exactly what it will not get. The oldest held is
the `base`: a receiver that has just started begins there.

Guarantees of both ends, over a wire that loses, repeats and reorders:

- within one life of the receiver each message is delivered at most once, in order;
- each message is delivered in some life of the receiver, or given up; once given up it is reported to the receiver as
  part of a gap unless that has had it;
- over a restart of the receiver a message that was delivered but not acknowledged is delivered again.

A gap may also name what an earlier life of the receiver has handled, never what is still to come.

The places from `base` up to `next_sequence` lie in a list, in order, without holes: messages, and markers, which stand
for all from their `sequence` to their `id`. So a place lies at most as far behind the first as its sequence does.

Length: one state machine; each of its steps keeps what the others rely on.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from nautilus.core.mesh_wire cimport (
    ENVELOPE_BYTES, FORM_ENVELOPES, HEADER_BYTES, KIND_GIVEN_UP, KIND_REQUEST, KIND_RESEND, KIND_SETTLED, Answer,
    Envelope, envelope_bytes, new_envelope, new_frame, set_message, write_envelope, write_header)

from heapq import heapify, heappop, heappush

MERGE_AT = 1024
DEADLINES = 64
"""Deadlines of messages that are settled, kept beside those of as many again that are not."""
POKES = 16
"""Unanswered requests that are sent again at one time."""
MOST_IN_FRAME = 64
"""Envelopes that go in one frame."""
cdef Py_ssize_t _DEADLINES = DEADLINES, _POKES = POKES, _MOST_IN_FRAME = MOST_IN_FRAME
cdef enum:
    SWEEP_AT = 1024     # empty places in front of the list
    AT_ONCE = 0x100     # of `paths`


@cython.final
cdef class SendStream:
    """The sender's end.

    Parameters
    ----------
    epoch
        Of the sender.
    window
        Places that may be under way and not known to have arrived.
    retry_ns, retry_limit_ns
        Time without progress until what is under way is sent again; doubles up to the limit.
    merge_at
        Markers are merged once there are so many of them.

    Attributes
    ----------
    base, next_sequence, cursor
        The oldest place that is held, the next message's, the next to be sent.
    received, handled
        The last that is known to have arrived, and to have been handled with all before it.
    live
        Messages held.
    requests
        {id: sequence} of those that wait for an answer.
    retry_at_ns
        When there is something to `retry`; 0: never.
    """

    def __init__(self, uint64_t epoch, *, uint64_t window=256, int64_t retry_ns=50_000_000,
                 int64_t retry_limit_ns=500_000_000, Py_ssize_t merge_at=MERGE_AT):
        self.epoch = epoch
        self.base = self.next_sequence = self.cursor = self.settled_to = 1
        self.window = window
        self.requests = {}
        self.places = []
        self.deadlines = []
        self.asked = {}
        self.unfinished = frozenset()
        self.merge_at = self.least_merge = merge_at
        self.retry_ns = self.wait_ns = retry_ns
        self.retry_limit_ns = retry_limit_ns

    # Places.

    @property
    def held(self):
        """{sequence: envelope} of all places, made anew each time: for tests."""
        return {envelope.sequence: envelope for envelope in self.places[self.front:]}

    @property
    def empty(self):
        """Whether nothing is held, no marker either."""
        return self.is_empty()

    cdef bint is_empty(self) noexcept:
        return self.front == PyList_GET_SIZE(self.places)

    cdef inline Envelope at(self, Py_ssize_t place):
        return <Envelope> PyList_GET_ITEM(self.places, place)

    cdef Py_ssize_t find(self, uint64_t sequence) noexcept:
        """Where the place lies that begins with this sequence; -1: none does."""
        cdef Py_ssize_t low = self.front, high = PyList_GET_SIZE(self.places) - 1, middle
        cdef uint64_t found
        if high < low or sequence < self.base or sequence >= self.next_sequence:
            return -1
        if sequence - self.base < <uint64_t> (high - low):
            high = low + <Py_ssize_t> (sequence - self.base)
        while low <= high:
            middle = high if (<Envelope> PyList_GET_ITEM(self.places, high)).sequence <= sequence else (
                low + (high - low) // 2)
            found = (<Envelope> PyList_GET_ITEM(self.places, middle)).sequence
            if found == sequence:
                return middle
            if found < sequence:
                low = middle + 1
            else:
                high = middle - 1
        return -1

    cdef uint64_t place_of(self, uint64_t sequence) noexcept:
        """Where the place begins that has this sequence."""
        cdef Py_ssize_t low = self.front, high = PyList_GET_SIZE(self.places) - 1, middle
        if sequence >= self.next_sequence:
            return max(sequence, self.base)
        if sequence <= self.base or high < low:
            return self.base
        if sequence - self.base < <uint64_t> (high - low):
            high = low + <Py_ssize_t> (sequence - self.base)
        while low < high:
            middle = low + (high - low + 1) // 2
            if (<Envelope> PyList_GET_ITEM(self.places, middle)).sequence <= sequence:
                low = middle
            else:
                high = middle - 1
        return (<Envelope> PyList_GET_ITEM(self.places, low)).sequence

    cdef int let_go(self) except -1:
        """Drop the first place."""
        self.places[self.front] = None
        self.front += 1
        if self.front == PyList_GET_SIZE(self.places):
            self.places.clear()
            self.front = 0
        elif self.front >= SWEEP_AT and 2 * self.front >= PyList_GET_SIZE(self.places):
            del self.places[:self.front]
            self.front = 0
        return 0

    cdef int bury(self, Py_ssize_t place, int kind) except -1:
        cdef Envelope old = self.at(place)
        self.live -= 1
        if not self.live:
            self.deadlines.clear()
        if old.sequence == self.base and kind == KIND_SETTLED:
            self.base = old.sequence + 1
            return self.let_go()
        self.places[place] = new_envelope(kind, old.sequence, self.epoch, old.sequence, self.base, old.priority)
        self.markers += 1
        return 0

    cdef int trim(self) except -1:
        """Let go of markers in front that the receiver need not see or has seen."""
        cdef Envelope envelope
        while self.front < PyList_GET_SIZE(self.places):
            envelope = self.at(self.front)
            if envelope.number != KIND_SETTLED and not (
                    envelope.number == KIND_GIVEN_UP and envelope.id <= self.received):
                break
            self.base = envelope.id + 1
            self.let_go()
            self.markers -= 1
        if self.cursor < self.base:
            self.cursor = self.base
        if self.received < self.base - 1:
            self.received = self.base - 1
        if self.markers >= self.merge_at:
            self.merge()
        return 0

    cdef int merge(self) except -1:
        """Join neighbouring markers of one kind."""
        cdef list merged = []
        cdef Envelope envelope, before = None
        cdef Py_ssize_t place, markers = 0
        for place in range(self.front, PyList_GET_SIZE(self.places)):
            envelope = self.at(place)
            if before is not None and envelope.number > KIND_REQUEST and envelope.number == before.number:
                before.id = envelope.id
                continue
            merged.append(envelope)
            before = envelope
            markers += envelope.number > KIND_REQUEST
        self.places = merged
        self.front = 0
        self.markers = markers
        self.merge_at = max(self.least_merge, 2 * markers)
        self.cursor = self.place_of(self.cursor)
        self.settled_to = self.place_of(max(self.settled_to, self.base))
        return 0

    cdef bint is_due(self, deadline_ns, sequence):
        """Whether this is the deadline of something that still waits."""
        cdef Py_ssize_t place = self.find(sequence)
        if place < 0:
            return False
        cdef Envelope envelope = self.at(place)
        return envelope.number <= KIND_REQUEST and envelope.deadline_ns == <int64_t> deadline_ns

    # Taking in and sending.

    cdef int take(self, Envelope envelope) except -1:
        """True: it is what `peek` would give now."""
        cdef uint64_t sequence = self.next_sequence
        envelope.sequence = sequence
        envelope.base = self.base
        self.next_sequence = sequence + 1
        self.places.append(envelope)
        self.live += 1
        if envelope.number == KIND_REQUEST:
            self.requests[envelope.id] = sequence
        if envelope.deadline_ns:
            heappush(self.deadlines, (envelope.deadline_ns, sequence))
            if PyList_GET_SIZE(self.deadlines) > 2 * self.live + _DEADLINES:
                self.deadlines = [due for due in self.deadlines if self.is_due(due[0], due[1])]
                heapify(self.deadlines)
        return sequence == self.cursor and sequence <= self.received + self.window

    def append(self, Envelope envelope not None):
        """Take a message in; its sequence is set here. True: it is what `peek` would give now."""
        return bool(self.take(envelope))

    def post(self, int kind, uint64_t number, uint32_t priority, int64_t deadline_ns, trace_id, str sender, str to,
             bytes payload, uint32_t paths):
        """As `append`, of the fields of a message; returns `unsent`.

        Raises OverflowError, TypeError or ValueError for what has no room in a frame.
        """
        return self.post_one(kind, number, priority, deadline_ns, trace_id, sender, to, payload, paths)

    cdef uint64_t post_one(self, int kind, uint64_t number, uint32_t priority, int64_t deadline_ns, object trace_id,
                           str sender, str to, bytes payload, uint32_t paths) except? 0xFFFFFFFF:
        cdef Envelope envelope = new_envelope(kind, number, self.epoch, 0, 0, priority)
        if not 0 < kind <= KIND_REQUEST:
            raise ValueError(f"kind: expected 1 to 3, found {kind}")
        if deadline_ns < 0:
            raise ValueError(f"deadline_ns: expected 0 or more, found {deadline_ns}")
        set_message(envelope, deadline_ns, trace_id, sender, to, payload, paths)
        envelope_bytes(envelope)
        self.take(envelope)
        return self.sendable()

    def peek(self):
        """The next to send, or None: nothing left, or enough is under way."""
        cdef Envelope envelope
        if self.cursor >= self.next_sequence or self.cursor > self.received + self.window:
            return None
        envelope = self.at(self.find(self.cursor))
        envelope.base = self.base
        return envelope

    def sent(self, Envelope envelope not None, int64_t now_ns):
        """The one that `peek` gave is on its way."""
        self.cursor = envelope.last() + 1
        if not self.retry_at_ns:
            self.retry_at_ns = now_ns + self.wait_ns

    @property
    def unsent(self):
        """Sequences that `frame` could send now, at least; 0: none."""
        return self.sendable()

    cdef uint64_t sendable(self) noexcept:
        cdef uint64_t last = min(self.next_sequence, self.received + self.window + 1)
        return last - self.cursor if last > self.cursor else 0

    def frame(self, Py_ssize_t most_bytes, uint32_t path=0):
        """A frame of the next to send, as many as go in one; None: there is none. `went` says that it was sent.

        Where a `path` is given, it ends before a message that may not take it, or goes over several at once.
        """
        cdef Py_ssize_t size = self.plan(most_bytes, path)
        cdef bytes frame
        if size == 0:
            return None
        frame = new_frame(size)
        self.fill(PyBytes_AS_STRING(frame))
        return frame

    cdef Py_ssize_t plan(self, Py_ssize_t most_bytes, uint32_t path) except -1:
        """What goes in the next frame: its size; 0: nothing. `fill` writes it."""
        cdef Py_ssize_t place, last, size = HEADER_BYTES, one
        cdef uint64_t cursor = self.cursor, limit = self.received + self.window
        cdef Envelope envelope
        if cursor >= self.next_sequence or cursor > limit:
            return 0
        place = last = self.find(cursor)
        while last < PyList_GET_SIZE(self.places) and last - place < _MOST_IN_FRAME:
            envelope = self.at(last)
            if envelope.sequence > limit:
                break
            if path and envelope.number <= KIND_REQUEST and (
                    not envelope.paths & path or (envelope.paths & AT_ONCE and last > place)):
                break
            one = envelope_bytes(envelope)
            if size + one > most_bytes and last > place:
                break
            size += one
            cursor = envelope.last() + 1
            last += 1
        if last == place:
            return 0
        self.planned, self.planned_end, self.ahead = place, last, cursor
        return size

    cdef int fill(self, char* at) except -1:
        """Write what was planned."""
        cdef Py_ssize_t place
        cdef Envelope envelope = self.at(self.planned)
        write_header(at, FORM_ENVELOPES, envelope.priority, <uint16_t> (self.planned_end - self.planned), self.epoch,
                     0, self.base)
        at += HEADER_BYTES
        for place in range(self.planned, self.planned_end):
            at = write_envelope(at, self.at(place))
        return 0

    cpdef went(self, int64_t now_ns):
        """What `frame` gave is on its way."""
        self.cursor = self.ahead
        if not self.retry_at_ns:
            self.retry_at_ns = now_ns + self.wait_ns

    # Answers.

    def answered(self, Answer answer not None, int64_t now_ns):
        """Take an answer in. Returns the request that it answers, where it answers one that still waits."""
        return self.hear(answer, now_ns)

    cdef Envelope hear(self, Answer answer, int64_t now_ns):
        cdef uint64_t received = answer.received, handled = answer.handled, sequence
        cdef bint progress = False
        cdef Envelope request = None
        cdef Py_ssize_t place
        if answer.receiver != self.receiver:
            if answer.receiver < self.receiver:
                return None
            if self.receiver:
                # A new life of the receiver: it has nothing of what is held.
                self.received = self.handled = self.base - 1
                self.settled_to = self.cursor = self.base
                self.probe = self.finished = self.looked = 0
                self.unfinished = frozenset()
            self.receiver = answer.receiver
        if received >= self.next_sequence or handled > received or answer.done > received:
            return None
        if received > self.received:
            self.received = received
            progress = True
            if self.cursor <= received:
                self.cursor = self.place_of(received + 1)
            elif received == self.probe:
                self.rewind()
            self.probe = 0
        if handled > self.handled:
            self.handled = handled
            progress = True
            self.settle_handled(handled)
        if answer.done > self.handled:
            progress = self.settle_behind(answer) or progress
        if answer.id and self.requests:
            sequence = self.requests.pop(answer.id, 0)
            if sequence:
                place = self.find(sequence)
                request = self.at(place)
                self.acknowledged += 1
                progress = True
                self.bury(place, KIND_SETTLED)
        self.trim()
        if answer.number == KIND_RESEND:
            self.rewind()
        if progress:
            self.wait_ns = self.retry_ns
            self.retry_at_ns = now_ns + self.retry_ns if self.front < PyList_GET_SIZE(self.places) else 0
        return request

    def answered_alone(self, Answer answer not None):
        """As `answered`, in few steps, for the only request that is held; None: not so, and nothing was done."""
        return self.hear_alone(answer)

    cdef Envelope hear_alone(self, Answer answer):
        cdef uint64_t last = self.next_sequence - 1
        cdef Envelope request
        if (
            self.live != 1
            or self.base != last
            or answer.handled != last
            or answer.received != last
            or answer.receiver != self.receiver
            or self.requests.get(answer.id) != last
        ):
            return None
        request = self.at(self.front)
        self.requests.clear()
        self.acknowledged += 1
        self.live = 0
        self.retry_at_ns = 0
        self.deadlines.clear()
        self.received = self.handled = last
        self.base = self.cursor = self.settled_to = self.next_sequence
        self.wait_ns = self.retry_ns
        self.let_go()
        return request

    def expire(self, int64_t now_ns):
        """Give up the messages whose deadline has come, and return them."""
        cdef list gone = []
        cdef Py_ssize_t place
        while self.deadlines and self.deadlines[0][0] <= now_ns:
            deadline_ns, sequence = heappop(self.deadlines)
            if self.is_due(deadline_ns, sequence):
                place = self.find(sequence)
                gone.append(self.at(place))
                self.give_up(place)
        if gone:
            self.trim()
        return gone

    def cut(self):
        """Give up every message that is held, and return them."""
        cdef list gone = []
        cdef Py_ssize_t place
        cdef Envelope envelope
        for place in range(self.front, PyList_GET_SIZE(self.places)):
            envelope = self.at(place)
            if envelope.number <= KIND_REQUEST:
                gone.append(envelope)
        self.give_up_all(gone)
        self.deadlines.clear()
        self.merge()
        self.trim()
        self.rewind()
        return gone

    def hurries(self, uint32_t paths):
        """Whether something has not arrived that goes over every path at once, and may take one of these."""
        cdef Py_ssize_t place
        cdef Envelope envelope
        cdef uint64_t first = max(self.looked, self.received + 1)
        if first >= self.next_sequence or self.front == PyList_GET_SIZE(self.places):
            return False
        for place in range(self.find(self.place_of(first)), PyList_GET_SIZE(self.places)):
            envelope = self.at(place)
            if envelope.number <= KIND_REQUEST and envelope.paths & AT_ONCE:
                # What is behind it was not looked at: the next look begins here.
                self.looked = envelope.sequence
                return bool(envelope.paths & paths)
        self.looked = self.next_sequence
        return False

    def withdraw(self, uint32_t paths, bint at_once=False):
        """Give up what may take none of these paths and keeps something waiting that may; returns it.

        `at_once`: only what keeps something waiting that goes over every path at once.
        """
        cdef list gone = [], waiting = []
        cdef Py_ssize_t place
        cdef Envelope envelope
        for place in range(self.front, PyList_GET_SIZE(self.places)):
            envelope = self.at(place)
            if envelope.number > KIND_REQUEST or envelope.sequence <= self.received:
                continue
            if not envelope.paths & paths:
                waiting.append(envelope)
            elif waiting and (not at_once or envelope.paths & AT_ONCE):
                gone += waiting
                waiting.clear()
        if gone:
            self.give_up_all(gone)
            self.trim()
            self.rewind()
        return gone

    def give_up_all(self, list envelopes not None):
        """Give up these messages, which are held; for `cut` and `withdraw`."""
        cdef Envelope envelope
        for envelope in envelopes:
            self.give_up(self.find(envelope.sequence))

    def retry(self, int64_t now_ns):
        """Where there was no progress for too long: ask with the first that has not arrived, or about those that have.
        Whether there is progress or not: ask about requests that were handled and whose reply does not come.

        To be called every `retry_ns` at least while anything is held. What it returns is to be sent as it is. It is one
        message, not all of them: a receiver that is merely slow has them already. Where it turns out that this one
        alone has arrived, the others follow.
        """
        cdef Envelope envelope
        if not self.retry_at_ns or now_ns < self.retry_at_ns:
            return self.overdue(now_ns)
        if self.front == PyList_GET_SIZE(self.places):
            self.retry_at_ns = 0
            return []
        self.wait_ns = min(self.wait_ns * 2, self.retry_limit_ns)
        self.retry_at_ns = now_ns + self.wait_ns
        if self.cursor <= self.received + 1:
            return self.resume()
        envelope = self.at(self.find(self.place_of(self.received + 1)))
        envelope.base = self.base
        self.probe = envelope.last()
        self.retried += 1
        return [envelope, *self.overdue(now_ns)]

    cdef list overdue(self, int64_t now_ns):
        """Requests that were handled long enough ago and have no reply here: it was lost, whatever else comes.

        Each has a time of its own, from when it is first seen without a reply, and twice as long after each question.
        """
        cdef list pokes = []
        cdef dict seen = {}
        cdef Envelope envelope
        cdef int64_t at_ns, wait_ns
        if now_ns < self.look_at_ns or not self.requests:
            return pokes
        self.look_at_ns = now_ns + self.retry_ns
        # What is not handled yet and lies before `finished` is named in answers: there is not much of it.
        for number, sequence in self.requests.items():
            if sequence > max(self.handled, self.finished):
                break
            if not self.is_handled(sequence):
                continue
            at_ns, wait_ns = self.asked.get(number) or (now_ns + self.retry_ns, self.retry_ns)
            if at_ns <= now_ns and PyList_GET_SIZE(pokes) < _POKES:
                envelope = self.at(self.find(sequence))
                envelope.base = self.base
                pokes.append(envelope)
                wait_ns = min(wait_ns * 2, self.retry_limit_ns)
                at_ns = now_ns + wait_ns
            seen[number] = at_ns, wait_ns
        self.asked = seen
        self.retried += PyList_GET_SIZE(pokes)
        return pokes

    def resume(self):
        """The way to the receiver is open again: go back to what has not arrived, or ask about what has.

        What it returns is to be sent as it is; what it went back to is given by `peek`.
        """
        cdef list pokes = []
        cdef uint64_t before
        cdef Envelope envelope
        if self.front == PyList_GET_SIZE(self.places) or self.cursor <= self.base:
            return []
        if self.cursor > self.received + 1:
            before = self.cursor
            self.rewind()
            self.retried += before - self.cursor
            return []
        for sequence in self.requests.values():
            if sequence > max(self.handled, self.finished) or PyList_GET_SIZE(pokes) == _POKES:
                break
            if self.is_handled(sequence):
                pokes.append(self.at(self.find(sequence)))
        if not pokes:
            pokes.append(self.at(self.front))
        for envelope in pokes:
            envelope.base = self.base
        self.retried += PyList_GET_SIZE(pokes)
        return pokes

    @property
    def due_ns(self):
        """When `expire` or `retry` has something to do; 0: never."""
        if self.deadlines and (not self.retry_at_ns or self.deadlines[0][0] < self.retry_at_ns):
            return self.deadlines[0][0]
        return self.retry_at_ns

    @property
    def deadlines_kept(self):
        """Deadlines that are looked through, those of what is settled among them."""
        return PyList_GET_SIZE(self.deadlines)

    cdef int settle_handled(self, uint64_t handled) except -1:
        cdef uint64_t sequence = max(self.settled_to, self.base), last
        cdef Py_ssize_t place
        cdef Envelope envelope
        while sequence <= handled:
            place = self.find(sequence)
            envelope = self.at(place)
            last = envelope.last()
            if last > handled:
                break
            if envelope.number < KIND_REQUEST:
                self.acknowledged += 1
                self.bury(place, KIND_SETTLED)
            elif envelope.number == KIND_GIVEN_UP:
                envelope.number = KIND_SETTLED
            sequence = last + 1
        self.settled_to = sequence
        return 0

    cdef bint settle_behind(self, Answer answer) except -1:
        """Settle what was handled although something before it is not; whether there was anything new."""
        cdef uint64_t done = answer.done, before = self.finished, sequence
        cdef Py_ssize_t place
        cdef Envelope envelope
        if done < before:
            return False  # an earlier word
        still = frozenset(answer.open)
        cdef list found = [number for number in self.unfinished if number > self.handled and number not in still]
        sequence = self.place_of(max(before, self.handled) + 1)
        while sequence <= done:
            if sequence not in still:
                found.append(sequence)
            sequence = self.at(self.find(sequence)).last() + 1
        self.finished = done
        self.unfinished = still & self.unfinished if done == before else still
        for sequence in found:
            place = self.find(sequence)
            if place < 0:
                continue
            envelope = self.at(place)
            if envelope.number < KIND_REQUEST:
                self.acknowledged += 1
                self.bury(place, KIND_SETTLED)
            elif envelope.number == KIND_GIVEN_UP and envelope.id == sequence:
                envelope.number = KIND_SETTLED
        return bool(found)

    cdef bint is_handled(self, uint64_t sequence):
        return sequence <= self.handled or (sequence <= self.finished and sequence not in self.unfinished)

    cdef int give_up(self, Py_ssize_t place) except -1:
        cdef Envelope envelope = self.at(place)
        if envelope.number == KIND_REQUEST:
            self.requests.pop(envelope.id, None)
        return self.bury(place, KIND_SETTLED if self.is_handled(envelope.sequence) else KIND_GIVEN_UP)

    cdef void rewind(self) noexcept:
        self.cursor = min(self.cursor, self.place_of(self.received + 1))
