"""One thread at a time. Numbers records per stream, makes frames of the star of them, and sends them.

The header of a stream is made once; of a frame only count, first sequence and time are put in. A batch of several
instruments is taken apart in one pass: each record is hung to the list of its stream, and the streams are sent in the
order in which they came. Where there is a ring, a frame stands there, and its last record in the table of last values,
before it is sent; who sleeps at the ring is woken once, behind the batch.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.broadcast cimport Writer
from nautilus.core.hashmap cimport map_t
from nautilus.core.last_values cimport LastValueWriter
from nautilus.core.zmq_calls cimport zmq_message_t

cdef enum:
    WRITER_SCHEMAS = 256
    WRITER_HEADER = 64

ctypedef struct sent_layout_t:
    uint32_t version
    uint32_t record_size        # 0: no such layout
    uint32_t id_offset          # of the instrument in a record

ctypedef struct sent_stream_t:
    char header[WRITER_HEADER]
    uint32_t first              # of the batch at hand: its first record, its last one, how many
    uint32_t latest
    uint32_t many

cdef class FrameWriter:
    cdef sent_layout_t _layouts[WRITER_SCHEMAS]
    cdef sent_stream_t* _streams
    cdef uint64_t* _lasts       # stream, last sequence; stream, last sequence; ...
    cdef map_t _places          # stream -> place + 1
    cdef uint32_t _count
    cdef uint32_t _room
    cdef uint32_t _recent       # place of the stream that was used last
    cdef uint32_t* _next        # of each record of a batch: the next one of its stream
    cdef uint32_t* _order       # streams of a batch
    cdef uint64_t _scratch
    cdef char* _packed          # frames that go nowhere yet: length u64, frame; length u64, frame; ...
    cdef uint64_t _packed_size
    cdef uint64_t _packed_room
    cdef bint _busy
    cdef Writer _ring           # None: there is none
    cdef LastValueWriter _values
    cdef uint32_t _unrung       # frames since the ring's readers were woken
    cdef readonly uint64_t epoch
    cdef readonly uint64_t published
    cdef readonly uint64_t frames

    cdef int _write(self, void* handle, const char* records, uint64_t count, uint32_t schema, int64_t now_ns,
                    uint32_t most, uint64_t flags) noexcept nogil
    cdef int _place(self, uint64_t stream, uint32_t schema, uint32_t* place) noexcept nogil
    cdef int _one(self, void* handle, uint32_t place, const char* records, uint32_t first, uint32_t count,
                  uint32_t size, bint chained, int64_t now_ns, uint64_t flags, uint32_t* rest) noexcept nogil
    cdef int _keep(self, const char* frame, uint64_t size, uint64_t stream, uint64_t last, int64_t now_ns,
                   uint32_t wide) noexcept nogil
    cdef int _scratch_for(self, uint64_t count) noexcept nogil
    cdef char* _packed_for(self, uint64_t size) noexcept nogil
    cdef int _publish(self, void* handle, records, int schema, int64_t now_ns, uint32_t most,
                      uint64_t flags) except -1
