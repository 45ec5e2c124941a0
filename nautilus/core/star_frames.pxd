"""One thread at a time. The judge of star frames: is this the next frame of a stream that is known?

A table points to the streams of one epoch that are watched: what layout the records of each have, and the sequence that
is due. A frame that is whole, of this epoch, of the layout, without flags, and begins with the sequence that is due is
taken at once; whatever else it may be, its judge is the subscriber, and no row changes. So a batch ends at the first
such frame: what follows is judged after the subscriber has said where the streams stand now. It says so in the rows
themselves, which are objects of its own (`StreamRow`): there is no second copy of where a stream stands.

    offset  8 magic u32, schema u16, version u16, record_size u32      must be those of the stream
           20 count u32                                                1 or more, and the frame is as long as it says
           24 epoch u64, 32 stream u64, 40 first_sequence u64          known, due
           56 flags u64                                                0

The whole of the layout stands in `nautilus.bus.base`.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cimport numpy as cnp

from nautilus.core.hashmap cimport map_find, map_t
from nautilus.core.zmq_calls cimport zmq_message_t

cdef extern from *:
    """
    #ifndef NAUTILUS_STAR_FRAMES_H
    #define NAUTILUS_STAR_FRAMES_H
    #include <stdint.h>
    #include <string.h>

    #define STAR_HEADER 64
    #define STAR_MAGIC 0x5354554Eu

    /* Frames lie at any address. */
    static inline uint32_t frame_u32(const unsigned char *frame, size_t offset)
    {
        uint32_t value;
        memcpy(&value, frame + offset, sizeof value);
        return value;
    }

    static inline uint64_t frame_u64(const unsigned char *frame, size_t offset)
    {
        uint64_t value;
        memcpy(&value, frame + offset, sizeof value);
        return value;
    }
    #endif
    """
    uint32_t frame_u32(const unsigned char* frame, size_t offset) noexcept nogil
    uint64_t frame_u64(const unsigned char* frame, size_t offset) noexcept nogil

cdef enum:
    STAR_HEADER = 64
    STAR_BATCH = 64             # messages between two looks at the interpreter

cdef extern from *:
    uint32_t STAR_MAGIC

ctypedef struct star_row_t:
    uint64_t stream
    uint64_t expected           # the sequence that is due
    int64_t delivered           # records handed out
    uint64_t layout             # bytes 8 to 15 of its frames
    uint32_t record_size        # 0: the layout is not known yet

ctypedef struct star_table_t:
    star_row_t** rows
    map_t places                # stream -> place among the rows + 1
    uint64_t epoch
    uint64_t delivered
    uint64_t frames
    uint32_t count
    uint32_t room
    uint32_t last               # place of the last frame's row: most often that of the next one too


cdef inline star_row_t* star_judge(star_table_t* table, const unsigned char* frame, size_t size,
                                   uint32_t* place, uint32_t* count) noexcept nogil:
    """The row whose next frame this is, its place, and the records in it; NULL where it is anything else.

    Nothing is changed.
    """
    cdef uint64_t stream
    cdef uint32_t* found
    cdef star_row_t* row
    if size < STAR_HEADER or frame_u64(frame, 24) != table.epoch or table.count == 0:
        return NULL
    stream = frame_u64(frame, 32)
    place[0] = table.last
    row = table.rows[place[0]]
    if row.stream != stream:
        found = map_find(&table.places, stream)
        if found is NULL:
            return NULL
        place[0] = found[0] - 1
        row = table.rows[place[0]]
    count[0] = frame_u32(frame, 20)
    if (
        row.expected != frame_u64(frame, 40)
        or row.layout != frame_u64(frame, 8)
        or row.record_size != frame_u32(frame, 16)
        or count[0] == 0
        or size - STAR_HEADER != <uint64_t>count[0] * row.record_size
        or frame_u64(frame, 56) != 0
    ):
        return NULL
    return row


cdef inline void star_take(star_table_t* table, star_row_t* row, uint32_t place, uint32_t count) noexcept nogil:
    """The frame that `star_judge` found is handed out."""
    row.expected += count
    row.delivered += count
    table.delivered += count
    table.frames += 1
    table.last = place


cdef class StreamRow:
    cdef star_row_t row
    cdef readonly object dtype
    cdef readonly object token
    cdef public object latest


cdef class FrameJudge:
    cdef star_table_t _table
    cdef zmq_message_t _messages[STAR_BATCH]
    cdef uint32_t _places[STAR_BATCH]
    cdef list _owners           # of the rows
    cdef bint _open             # messages are initialised
    cdef bint _carried          # the first message waits for room
    cdef bint _busy
    cdef readonly bytes other

    cdef int _idle(self) except -1
    cdef int _begin(self) except -1
    cdef int _receive(self, void* handle, int most, bint wait, int* code) noexcept nogil
    cdef int _store(self, void* handle, char* to, uint64_t room, uint32_t schema, uint32_t record_size, int wait,
                    int64_t* times, uint64_t* stored) noexcept nogil
    cdef int _grow(self) noexcept
    cdef cnp.ndarray _array(self, StreamRow owner, uint32_t count, bytes data, size_t offset)
    cdef uint64_t _into(self, socket, records, arrivals, int schema, int wait) except? 1
    cdef int _append(self, list out, int place) except -1
    cdef bytes _frame(self, int place)
