"""One thread a packer. Takes frames of the star from a ring many at a time, for who keeps them: a journal, images.

A frame is copied out of the ring once, and made an object of by nobody: the journal gets the bytes of its file, and what
keeps images gets one frame for all that a stream has said. All of it runs without the interpreter's lock, but for the
making of what is handed out.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.broadcast_reader cimport Reader

cdef enum:
    PACK_HEADER = 64
    PACK_PREFIX = 8             # of a frame in the journal: length, checksum
    PACK_LONGEST = 67108864     # bytes of a frame there: 64 MiB

ctypedef struct packed_t:
    uint64_t epoch
    uint64_t stream
    uint64_t first              # sequence
    uint64_t at                 # where it is in `_bytes`
    uint32_t size
    uint32_t count
    uint32_t next               # the frame behind it in its stream + 1; 0: none
    uint32_t latest             # of the first frame of a row of them: its last one
    uint32_t frames             # and how many they are; 0: it is not the first one of any

ctypedef struct said_t:
    uint64_t epoch
    uint64_t stream
    uint64_t first
    uint64_t last
    uint32_t used               # by this call


cdef class FramePacker:
    cdef char* _bytes
    cdef uint64_t _size
    cdef uint64_t _room
    cdef packed_t* _frames
    cdef uint32_t _count
    cdef uint32_t _most
    cdef uint32_t* _slots       # of streams of this call: frame + 1
    cdef said_t* _said
    cdef uint32_t _mask
    cdef uint32_t _streams
    cdef int64_t _beat_ns
    cdef readonly uint32_t kept

    cdef int _take(self, Reader reader, uint32_t limit, uint64_t most_bytes, uint64_t ahead) noexcept nogil
    cdef void _join(self) noexcept nogil
    cdef int _fit(self, uint64_t size) noexcept nogil
