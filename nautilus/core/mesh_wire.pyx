"""The codec of the mesh, and the objects that it makes. The layouts stand in mesh_wire.pxd."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from enum import IntEnum

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef uint32_t MAGIC = 0x4853454D    # "MESH"
cdef uint8_t VERSION = 1
cdef uint64_t MOST_NUMBER = (<uint64_t> 1 << 63) - 1
cdef enum:
    NAMES = 256     # kept texts: a power of two
    MOST_IN_FRAME = 65535

MOST = (1 << 63) - 1
MOST_NAME_BYTES = 255
MOST_OPEN = 4096


class MessageKind(IntEnum):
    """Kind of an envelope (the first three carry messages), or of an answer.

    SETTLED stands for messages that need not be sent any more, GIVEN_UP for those that the sender gave up; `id` is the
    last of them. RESEND: acknowledged, and what follows `received` has gone missing on the way.
    """

    COMMAND = 1
    EVENT = 2
    REQUEST = 3
    SETTLED = 4
    GIVEN_UP = 5
    REPLY = 6
    ERROR = 7
    ACKNOWLEDGED = 8
    RESEND = 9

    __hash__ = int.__hash__     # that of an enumeration is not compiled


cdef tuple KINDS = (None, *MessageKind)
# Texts that came lately, so that a name is one object however often it comes.
cdef list TEXTS = [""] * NAMES


cdef int _kind(object kind) except -1:
    cdef long number = kind
    if not 1 <= number <= KIND_RESEND:
        raise ValueError(f"kind: expected 1 to {KIND_RESEND}, found {number}")
    return <int> number


cdef int _split(object trace_id, uint64_t* high, uint64_t* low) except -1:
    if trace_id == 0:
        high[0] = low[0] = 0
        return 0
    if not 0 <= trace_id < (1 << 128):
        raise ValueError(f"trace_id: expected 0 to 2^128 - 1, found {trace_id}")
    high[0] = <uint64_t> (trace_id >> 64)
    low[0] = <uint64_t> (trace_id & 0xFFFFFFFFFFFFFFFF)
    return 0


cdef inline object _joined(uint64_t high, uint64_t low):
    return (<object> high) << 64 | <object> low if high else <object> low


cdef inline uint64_t _swapped(uint64_t word) noexcept:
    cdef uint64_t swapped = 0
    cdef int place
    for place in range(8):
        swapped = swapped << 8 | (word & 0xFF)
        word >>= 8
    return swapped


@cython.final
@cython.no_gc
@cython.freelist(1024)
cdef class Envelope:
    """One place in a stream, from its sender to its receiver.

    `sequence` counts in the stream of one (sender process, receiver process, priority), from 1 in each epoch of the
    sender; `base` is the oldest that the sender still holds. `paths` stays with the sender.
    """

    def __init__(self, kind, id, epoch, sequence, base, priority, deadline_ns=0, trace_id=0, str sender="",
                 str to="", bytes payload=b"", paths=255):
        self.number = _kind(kind)
        self.id, self.epoch, self.sequence, self.base, self.priority = id, epoch, sequence, base, priority
        set_message(self, deadline_ns, trace_id, sender, to, payload, paths)

    @property
    def kind(self):
        """MessageKind."""
        return KINDS[self.number]

    @kind.setter
    def kind(self, kind):
        self.number = _kind(kind)

    @property
    def trace_id(self):
        """128 bits; 0: none."""
        return _joined(self.trace_high, self.trace_low)

    def __repr__(self):
        return (f"Envelope({self.kind.name}, id={self.id}, epoch={self.epoch}, sequence={self.sequence}, "
                f"base={self.base}, priority={self.priority}, to={self.to!r}, {len(self.payload)} bytes)")


@cython.final
@cython.no_gc
@cython.freelist(256)
cdef class Answer:
    """From the receiver of a stream to its sender; each one acknowledges.

    `id` is that of the request (REPLY, ERROR); `epoch` is the sender's, `receiver` the epoch of the receiver; all up
    to `received` have arrived, all up to `handled` have been handled, and beyond that all up to `done` except `open`.
    """

    def __init__(self, kind, id, epoch, receiver, priority, received, handled, bytes payload=b"", done=0,
                 tuple open=()):
        self.number = _kind(kind)
        self.id, self.epoch, self.receiver, self.priority = id, epoch, receiver, priority
        self.received, self.handled, self.done = received, handled, done
        self.payload = payload
        self.open = open

    @property
    def kind(self):
        """MessageKind."""
        return KINDS[self.number]

    def __repr__(self):
        return (f"Answer({self.kind.name}, id={self.id}, epoch={self.epoch}, receiver={self.receiver}, "
                f"received={self.received}, handled={self.handled}, done={self.done}, open={self.open})")


@cython.final
@cython.freelist(1024)
cdef class Delivery:
    """One message for the host, to be given back to `Mesh.done` once it is handled.

    For a REPLY or an ERROR, `id` is that of the request, `sender` the engine that was asked and `to` the one that
    asked; the payload of an ERROR is read by `error_fields`.
    """

    def __init__(self, kind, id, str peer, str sender, str to, bytes payload, priority, deadline_ns=0, trace_id=0,
                 epoch=0, sequence=0, source=None):
        self.number = _kind(kind)
        self.id, self.priority, self.deadline_ns = id, priority, deadline_ns
        _split(trace_id, &self.trace_high, &self.trace_low)
        self.epoch, self.sequence = epoch, sequence
        self.peer, self.sender, self.to, self.payload = peer, sender, to, payload
        self.source = source

    @property
    def kind(self):
        """MessageKind."""
        return KINDS[self.number]

    @property
    def trace_id(self):
        """128 bits; 0: none."""
        return _joined(self.trace_high, self.trace_low)

    @trace_id.setter
    def trace_id(self, trace_id):
        _split(trace_id, &self.trace_high, &self.trace_low)

    def __repr__(self):
        return (f"Delivery({self.kind.name}, id={self.id}, peer={self.peer!r}, sender={self.sender!r}, "
                f"to={self.to!r}, priority={self.priority}, sequence={self.sequence}, {len(self.payload)} bytes)")


def is_place(Envelope envelope):
    """Whether an envelope can be a place of a stream: its numbers agree with each other and with its kind."""
    return bool(
        1 <= envelope.base <= envelope.sequence <= MOST_NUMBER
        and envelope.id <= MOST_NUMBER
        and envelope.epoch <= MOST_NUMBER
        and envelope.number <= KIND_GIVEN_UP
        and (envelope.number <= KIND_REQUEST or envelope.sequence <= envelope.id < MOST_NUMBER)
    )


cdef Envelope new_envelope(int kind, uint64_t number, uint64_t epoch, uint64_t sequence, uint64_t base,
                           uint32_t priority):
    """A place; a message is made of it by `set_message`."""
    cdef Envelope envelope = Envelope.__new__(Envelope)
    envelope.number = <uint8_t> kind
    envelope.id = number
    envelope.epoch = epoch
    envelope.sequence = sequence
    envelope.base = base
    envelope.priority = priority
    envelope.deadline_ns = 0
    envelope.trace_high = envelope.trace_low = 0
    envelope.paths = 255
    envelope.sender = envelope.to = ""
    envelope.payload = b""
    return envelope


cdef int set_message(Envelope envelope, int64_t deadline_ns, object trace_id, str sender, str to, bytes payload,
                     uint32_t paths) except -1:
    if sender is None or to is None or payload is None:
        raise TypeError("expected texts and bytes, found None")
    envelope.deadline_ns = deadline_ns
    _split(trace_id, &envelope.trace_high, &envelope.trace_low)
    envelope.sender = sender
    envelope.to = to
    envelope.payload = payload
    envelope.paths = paths
    return 0


cdef Py_ssize_t envelope_bytes(Envelope envelope) except -1:
    """Bytes of an envelope in a frame. ValueError: a name or a payload is too long for one."""
    cdef Py_ssize_t sender_bytes, to_bytes, size
    PyUnicode_AsUTF8AndSize(envelope.sender, &sender_bytes)
    PyUnicode_AsUTF8AndSize(envelope.to, &to_bytes)
    if sender_bytes > 255 or to_bytes > 255:
        raise ValueError(f"a name: expected at most 255 bytes, found {max(sender_bytes, to_bytes)}")
    size = ENVELOPE_BYTES + sender_bytes + to_bytes + PyBytes_GET_SIZE(envelope.payload)
    if size > 0x7FFFFFFF:
        raise ValueError("a payload: expected at most 2 GiB")
    return size


cdef bytes new_frame(Py_ssize_t size):
    return PyBytes_FromStringAndSize(NULL, size)


cdef void write_header(char* at, int form, uint32_t priority, uint16_t count, uint64_t epoch, uint64_t receiver,
                       uint64_t base) noexcept:
    cdef mesh_header_t header
    memset(&header, 0, sizeof(header))
    header.magic = MAGIC
    header.version = VERSION
    header.form = <uint8_t> form
    header.priority = <uint8_t> priority
    header.count = count
    header.epoch = epoch
    header.receiver = receiver
    header.base = base
    memcpy(at, &header, sizeof(header))


cdef char* write_envelope(char* at, Envelope envelope) except NULL:
    """Write what `envelope_bytes` has measured; where the next one begins."""
    cdef mesh_envelope_t item
    cdef Py_ssize_t sender_bytes, to_bytes, payload_bytes = PyBytes_GET_SIZE(envelope.payload)
    cdef const char* sender = PyUnicode_AsUTF8AndSize(envelope.sender, &sender_bytes)
    cdef const char* to = PyUnicode_AsUTF8AndSize(envelope.to, &to_bytes)
    cdef uint64_t word
    item.size = <uint32_t> (ENVELOPE_BYTES + sender_bytes + to_bytes + payload_bytes)
    item.kind = envelope.number
    item.sender_bytes = <uint8_t> sender_bytes
    item.to_bytes = <uint8_t> to_bytes
    item.zero = 0
    item.id = envelope.id
    item.sequence = envelope.sequence
    item.deadline_ns = envelope.deadline_ns
    word = _swapped(envelope.trace_high)
    memcpy(item.trace_id, &word, 8)
    word = _swapped(envelope.trace_low)
    memcpy(&item.trace_id[8], &word, 8)
    memcpy(at, &item, ENVELOPE_BYTES)
    at += ENVELOPE_BYTES
    memcpy(at, sender, sender_bytes)
    at += sender_bytes
    memcpy(at, to, to_bytes)
    at += to_bytes
    memcpy(at, PyBytes_AS_STRING(envelope.payload), payload_bytes)
    return at + payload_bytes


cdef int read_header(const char* data, Py_ssize_t size, mesh_header_t* header) noexcept:
    """The form of a frame; 0: it is none of the mesh, or of a version that is not known."""
    if size < HEADER_BYTES:
        return 0
    memcpy(header, data, HEADER_BYTES)
    if header.magic != MAGIC or header.version != VERSION or header.zero or header.count == 0:
        return 0
    if memcmp(&header.zeros[0], b"\0\0\0\0\0\0", 6) or header.epoch > MOST_NUMBER or header.receiver > MOST_NUMBER:
        return 0
    if header.form == FORM_ENVELOPES:
        return FORM_ENVELOPES if 1 <= header.base <= MOST_NUMBER and header.receiver == 0 else 0
    return FORM_ANSWERS if header.form == FORM_ANSWERS and header.base == 0 else 0


cdef int _is_text(const char* text, Py_ssize_t size) noexcept:
    """Whether these bytes are UTF-8; most are ASCII."""
    cdef Py_ssize_t place
    for place in range(size):
        if <uint8_t> text[place] >= 0x80:
            try:
                PyUnicode_DecodeUTF8(text, size, "strict")
            except UnicodeDecodeError:
                return 0
            return 1
    return 1


cdef int check_envelopes(const char* data, Py_ssize_t size, mesh_header_t* header) noexcept:
    """Whether a frame of envelopes is one, down to its last byte: then all of it can be read."""
    cdef mesh_envelope_t item
    cdef Py_ssize_t at = HEADER_BYTES
    cdef int place, names
    for place in range(header.count):
        if size - at < ENVELOPE_BYTES:
            return 0
        memcpy(&item, data + at, ENVELOPE_BYTES)
        names = item.sender_bytes + item.to_bytes
        if item.size > size - at or item.size < <uint32_t> (ENVELOPE_BYTES + names) or item.zero:
            return 0
        if not 1 <= item.kind <= KIND_GIVEN_UP or item.id > MOST_NUMBER or item.deadline_ns < 0:
            return 0
        if item.sequence < header.base or item.sequence > MOST_NUMBER:
            return 0
        if item.kind > KIND_REQUEST and (item.id < item.sequence or item.id == MOST_NUMBER):
            return 0
        if not _is_text(data + at + ENVELOPE_BYTES, item.sender_bytes):
            return 0
        if not _is_text(data + at + ENVELOPE_BYTES + item.sender_bytes, item.to_bytes):
            return 0
        at += item.size
    return at == size


cdef str _text(const char* text, Py_ssize_t size):
    """A name, mostly one that is known."""
    cdef uint32_t hashed = <uint32_t> size
    cdef Py_ssize_t place, known_bytes
    cdef const char* known
    cdef str found
    if size == 0:
        return ""
    for place in range(size):
        hashed = (hashed ^ <uint8_t> text[place]) * 16777619
    hashed = (hashed ^ hashed >> 16) & (NAMES - 1)
    found = <str> TEXTS[hashed]
    known = PyUnicode_AsUTF8AndSize(found, &known_bytes)
    if known_bytes != size or memcmp(known, text, size):
        found = PyUnicode_DecodeUTF8(text, size, "strict")
        TEXTS[hashed] = found
    return found


cdef inline void _read_trace(const uint8_t* at, uint64_t* high, uint64_t* low) noexcept:
    memcpy(high, at, 8)
    memcpy(low, at + 8, 8)
    if high[0] | low[0]:
        high[0] = _swapped(high[0])
        low[0] = _swapped(low[0])


cdef Envelope read_envelope(const char* at, mesh_header_t* header):
    """The envelope at a place of a frame that was checked."""
    cdef mesh_envelope_t item
    memcpy(&item, at, ENVELOPE_BYTES)
    cdef Envelope envelope = new_envelope(item.kind, item.id, header.epoch, item.sequence, header.base,
                                          header.priority)
    envelope.deadline_ns = item.deadline_ns
    _read_trace(item.trace_id, &envelope.trace_high, &envelope.trace_low)
    at += ENVELOPE_BYTES
    envelope.sender = _text(at, item.sender_bytes)
    at += item.sender_bytes
    envelope.to = _text(at, item.to_bytes)
    at += item.to_bytes
    envelope.payload = PyBytes_FromStringAndSize(
        at, item.size - ENVELOPE_BYTES - item.sender_bytes - item.to_bytes)
    return envelope


cdef Delivery read_delivery(const char* at, mesh_header_t* header, str peer):
    """The message at a place of a frame that was checked, for the host."""
    cdef mesh_envelope_t item
    cdef Delivery delivery = Delivery.__new__(Delivery)
    memcpy(&item, at, ENVELOPE_BYTES)
    delivery.number = item.kind
    delivery.id = item.id
    delivery.epoch = header.epoch
    delivery.sequence = item.sequence
    delivery.priority = header.priority
    delivery.deadline_ns = item.deadline_ns
    _read_trace(item.trace_id, &delivery.trace_high, &delivery.trace_low)
    delivery.peer = peer
    at += ENVELOPE_BYTES
    delivery.sender = _text(at, item.sender_bytes)
    at += item.sender_bytes
    delivery.to = _text(at, item.to_bytes)
    at += item.to_bytes
    delivery.payload = PyBytes_FromStringAndSize(
        at, item.size - ENVELOPE_BYTES - item.sender_bytes - item.to_bytes)
    return delivery


def pack(list envelopes):
    """One frame of envelopes of one stream, with the base of the last one.

    Raises ValueError where there are none or more than 65,535, or a name is longer than 255 bytes.
    """
    cdef Envelope envelope, last
    cdef Py_ssize_t size = HEADER_BYTES
    cdef char* at
    cdef bytes frame
    if not 0 < len(envelopes) <= MOST_IN_FRAME:
        raise ValueError(f"expected 1 to {MOST_IN_FRAME} envelopes, found {len(envelopes)}")
    for envelope in envelopes:
        size += envelope_bytes(envelope)
    last = envelopes[len(envelopes) - 1]
    frame = new_frame(size)
    at = PyBytes_AS_STRING(frame)
    write_header(at, FORM_ENVELOPES, last.priority, <uint16_t> len(envelopes), last.epoch, 0, last.base)
    at += HEADER_BYTES
    for envelope in envelopes:
        at = write_envelope(at, envelope)
    return frame


def unpack(bytes frame not None):
    """The envelopes of a frame; None: it is none."""
    cdef mesh_header_t header
    cdef mesh_envelope_t item
    cdef const char* data = PyBytes_AS_STRING(frame)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(frame), at = HEADER_BYTES
    cdef list found = []
    if read_header(data, size, &header) != FORM_ENVELOPES or not check_envelopes(data, size, &header):
        return None
    for _ in range(header.count):
        memcpy(&item, data + at, ENVELOPE_BYTES)
        found.append(read_envelope(data + at, &header))
        at += item.size
    return found


cdef Py_ssize_t answers_bytes(list answers) except -1:
    """Bytes of a frame of answers. ValueError: there are none, or too many, or one names too many that are open."""
    cdef Answer answer
    cdef Py_ssize_t size = HEADER_BYTES
    if not 0 < len(answers) <= MOST_IN_FRAME:
        raise ValueError(f"expected 1 to {MOST_IN_FRAME} answers, found {len(answers)}")
    for answer in answers:
        if len(answer.open) > MOST_OPEN:
            raise ValueError(f"open: expected at most {MOST_OPEN}, found {len(answer.open)}")
        size += ANSWER_BYTES + 8 * len(answer.open) + PyBytes_GET_SIZE(answer.payload)
    return size


cdef int write_answers(char* at, list answers) except -1:
    """Write what `answers_bytes` has measured."""
    cdef Answer answer = answers[0]
    cdef mesh_answer_t item
    cdef Py_ssize_t payload_bytes
    cdef uint64_t word
    write_header(at, FORM_ANSWERS, answer.priority, <uint16_t> len(answers), answer.epoch, answer.receiver, 0)
    at += HEADER_BYTES
    for answer in answers:
        payload_bytes = PyBytes_GET_SIZE(answer.payload)
        item.size = <uint32_t> (ANSWER_BYTES + 8 * len(answer.open) + payload_bytes)
        item.kind = answer.number
        item.zero = 0
        item.open = <uint16_t> len(answer.open)
        item.id = answer.id
        item.received = answer.received
        item.handled = answer.handled
        item.done = answer.done
        memcpy(at, &item, ANSWER_BYTES)
        at += ANSWER_BYTES
        for number in answer.open:
            word = number
            memcpy(at, &word, 8)
            at += 8
        memcpy(at, PyBytes_AS_STRING(answer.payload), payload_bytes)
        at += payload_bytes
    return 0


def pack_answers(list answers):
    """One frame of answers of one stream.

    Raises ValueError where there are none or more than 65,535, or one names more than 4,096 that are open.
    """
    cdef bytes frame = new_frame(answers_bytes(answers))
    write_answers(PyBytes_AS_STRING(frame), answers)
    return frame


def unpack_answers(bytes frame not None):
    """The answers of a frame; None: it is none."""
    return read_answers(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame))


cdef list read_answers(const char* data, Py_ssize_t size):
    cdef mesh_header_t header
    cdef mesh_answer_t item
    cdef Answer answer
    cdef Py_ssize_t at = HEADER_BYTES, place
    cdef uint64_t word
    cdef list found = [], opened
    if read_header(data, size, &header) != FORM_ANSWERS:
        return None
    for _ in range(header.count):
        if size - at < ANSWER_BYTES:
            return None
        memcpy(&item, data + at, ANSWER_BYTES)
        if item.size > size - at or item.size < ANSWER_BYTES + 8 * <uint32_t> item.open or item.open > 4096:
            return None
        if not KIND_REPLY <= item.kind <= KIND_RESEND or item.zero or item.id > MOST_NUMBER:
            return None
        if item.received > MOST_NUMBER or item.handled > MOST_NUMBER or item.done > MOST_NUMBER:
            return None
        answer = new_answer(item.kind, item.id, header.epoch, header.receiver, header.priority)
        answer.received = item.received
        answer.handled = item.handled
        answer.done = item.done
        if item.open:
            opened = []
            for place in range(item.open):
                memcpy(&word, data + at + ANSWER_BYTES + 8 * place, 8)
                opened.append(word)
            answer.open = tuple(opened)
        place = ANSWER_BYTES + 8 * <Py_ssize_t> item.open
        if item.size != place:
            answer.payload = PyBytes_FromStringAndSize(data + at + place, item.size - place)
        found.append(answer)
        at += item.size
    return found if at == size else None


cdef Answer new_answer(int kind, uint64_t number, uint64_t epoch, uint64_t receiver, uint32_t priority):
    """An answer that says nothing yet of how far things are."""
    cdef Answer answer = Answer.__new__(Answer)
    answer.number = <uint8_t> kind
    answer.id = number
    answer.epoch = epoch
    answer.receiver = receiver
    answer.priority = priority
    answer.received = answer.handled = answer.done = 0
    answer.payload = b""
    answer.open = ()
    return answer


cdef Delivery reply_delivery(Answer answer, Envelope request, str peer):
    """An answer for the host: it comes from the engine that was asked."""
    cdef Delivery delivery = Delivery.__new__(Delivery)
    delivery.number = answer.number
    delivery.id = answer.id
    delivery.priority = answer.priority
    delivery.deadline_ns = request.deadline_ns
    delivery.trace_high = request.trace_high
    delivery.trace_low = request.trace_low
    delivery.peer = peer
    delivery.sender = request.to
    delivery.to = request.sender
    delivery.payload = answer.payload
    return delivery


def head_of(bytes frame not None):
    """(whether it holds answers, priority, epoch) of a frame; None: it is none of the mesh."""
    cdef mesh_header_t header
    cdef int form = read_header(PyBytes_AS_STRING(frame), PyBytes_GET_SIZE(frame), &header)
    if not form:
        return None
    return form == FORM_ANSWERS, header.priority, header.epoch
