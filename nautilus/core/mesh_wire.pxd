"""What goes over the mesh, in fixed binary layouts: envelopes to a receiver, answers back, many of a stream in a frame.

    header  40 bytes   magic u32, version u8, form u8, priority u8, zero u8, count u16, 6 zero bytes,
                       epoch u64 (the sender's), receiver u64 (an answer's: the receiver's), base u64
    envelope 48 bytes  size u32, kind u8, sender_bytes u8, to_bytes u8, zero u8, id u64, sequence u64, deadline_ns i64,
                       trace_id 16 bytes; then sender, to (UTF-8) and the payload up to `size`
    answer  40 bytes   size u32, kind u8, zero u8, open u16, id u64, received u64, handled u64, done u64;
                       then `open` times u64 and the payload up to `size`

Little-endian, but for the trace id (as in W3C trace context). `size` is that of the whole item: readers step by it. A
frame belongs to one stream; one of an unknown version is refused whole.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    KIND_COMMAND = 1
    KIND_EVENT = 2
    KIND_REQUEST = 3
    KIND_SETTLED = 4
    KIND_GIVEN_UP = 5
    KIND_REPLY = 6
    KIND_ERROR = 7
    KIND_ACKNOWLEDGED = 8
    KIND_RESEND = 9
    FORM_ENVELOPES = 1
    FORM_ANSWERS = 2
    HEADER_BYTES = 40
    ENVELOPE_BYTES = 48
    ANSWER_BYTES = 40

cdef extern from *:
    """
    #ifndef NAUTILUS_MESH_WIRE_H
    #define NAUTILUS_MESH_WIRE_H
    #include <stdint.h>
    typedef struct __attribute__((packed)) {
        uint32_t magic; uint8_t version, form, priority, zero; uint16_t count; uint8_t zeros[6];
        uint64_t epoch, receiver, base;
    } mesh_header_t;
    typedef struct __attribute__((packed)) {
        uint32_t size; uint8_t kind, sender_bytes, to_bytes, zero;
        uint64_t id, sequence; int64_t deadline_ns; uint8_t trace_id[16];
    } mesh_envelope_t;
    typedef struct __attribute__((packed)) {
        uint32_t size; uint8_t kind, zero; uint16_t open;
        uint64_t id, received, handled, done;
    } mesh_answer_t;
    _Static_assert(sizeof(mesh_header_t) == 40, "mesh_header_t");
    _Static_assert(sizeof(mesh_envelope_t) == 48, "mesh_envelope_t");
    _Static_assert(sizeof(mesh_answer_t) == 40, "mesh_answer_t");
    #endif
    """
    ctypedef struct mesh_header_t:
        uint32_t magic
        uint8_t version, form, priority, zero
        uint16_t count
        uint8_t zeros[6]
        uint64_t epoch, receiver, base
    ctypedef struct mesh_envelope_t:
        uint32_t size
        uint8_t kind, sender_bytes, to_bytes, zero
        uint64_t id, sequence
        int64_t deadline_ns
        uint8_t trace_id[16]
    ctypedef struct mesh_answer_t:
        uint32_t size
        uint8_t kind, zero
        uint16_t open
        uint64_t id, received, handled, done


cdef class Envelope:
    cdef public uint64_t id, epoch, sequence, base
    cdef public int64_t deadline_ns
    cdef public uint32_t priority, paths
    cdef public str sender, to
    cdef public bytes payload
    cdef uint64_t trace_high, trace_low
    cdef uint8_t number     # of its kind

    cdef inline uint64_t last(self) noexcept:
        """The last sequence that its place stands for."""
        return self.sequence if self.number <= KIND_REQUEST else self.id


cdef class Answer:
    cdef public uint64_t id, epoch, receiver, received, handled, done
    cdef public uint32_t priority
    cdef public bytes payload
    cdef public tuple open
    cdef uint8_t number


cdef class Delivery:
    cdef public uint64_t id, epoch, sequence
    cdef public int64_t deadline_ns
    cdef public uint32_t priority
    cdef public str peer, sender, to
    cdef public bytes payload
    cdef public object source
    cdef object stream      # the compiled stream that it came by
    cdef uint64_t trace_high, trace_low
    cdef uint8_t number


cdef Envelope new_envelope(int kind, uint64_t number, uint64_t epoch, uint64_t sequence, uint64_t base,
                           uint32_t priority)
cdef int set_message(Envelope envelope, int64_t deadline_ns, object trace_id, str sender, str to, bytes payload,
                     uint32_t paths) except -1
cdef Py_ssize_t envelope_bytes(Envelope envelope) except -1
cdef bytes new_frame(Py_ssize_t size)
cdef void write_header(char* at, int form, uint32_t priority, uint16_t count, uint64_t epoch, uint64_t receiver,
                       uint64_t base) noexcept
cdef char* write_envelope(char* at, Envelope envelope) except NULL
cdef int read_header(const char* data, Py_ssize_t size, mesh_header_t* header) noexcept
cdef int check_envelopes(const char* data, Py_ssize_t size, mesh_header_t* header) noexcept
cdef Envelope read_envelope(const char* at, mesh_header_t* header)
cdef Delivery read_delivery(const char* at, mesh_header_t* header, str peer)
cdef Py_ssize_t answers_bytes(list answers) except -1
cdef int write_answers(char* at, list answers) except -1
cdef list read_answers(const char* data, Py_ssize_t size)
cdef Answer new_answer(int kind, uint64_t number, uint64_t epoch, uint64_t receiver, uint32_t priority)
cdef Delivery reply_delivery(Answer answer, Envelope request, str peer)
