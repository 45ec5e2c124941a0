"""Python face of what takes frames of the star from a ring for who keeps them; see star_pack.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memmove, memset

cimport cython

from nautilus.core.broadcast_reader cimport (
    Reader,
    cast_pass,
    cast_peek,
    cast_recover,
    cast_tell,
    cast_whole,
)
from nautilus.core.crc32c cimport crc32c_update
from nautilus.core.star_frames cimport STAR_MAGIC

cdef uint64_t HEARTBEAT = <uint64_t>0xFF << 32     # the stream of heartbeats


cdef class FramePacker:
    """One thread. Takes the next frames of a ring, many at a time.

    Parameters
    ----------
    frames : int
        At most so many of one call; 1 to 65,536.

    Attributes
    ----------
    kept : int
        Frames of the last call that are in what it gave.
    """

    def __cinit__(self, uint32_t frames=1024):
        cdef uint32_t slots = 16
        if not 1 <= frames <= 1 << 16:
            raise ValueError(f"FramePacker: {frames} frames; expected 1 to 65,536")
        while slots < 2 * frames:
            slots *= 2
        self._most, self._mask = frames, slots - 1
        self._frames = <packed_t*>malloc(frames * sizeof(packed_t))
        self._slots = <uint32_t*>calloc(slots, sizeof(uint32_t))
        self._said = <said_t*>malloc(frames * sizeof(said_t))
        if self._frames is NULL or self._slots is NULL or self._said is NULL:
            raise MemoryError("FramePacker: no memory for its table")

    def __dealloc__(self):
        free(self._bytes)
        free(self._frames)
        free(self._slots)
        free(self._said)

    def streams(self, Reader reader not None, uint32_t limit, uint64_t most_bytes=1 << 20):
        """Take frames, and put those of a stream that follow each other together as one frame.

        Parameters
        ----------
        reader : Reader
        limit : int
            Frames, and no more than this packer's.
        most_bytes : int
            Of them together; the one that reaches it is the last.

        Returns
        -------
        taken, frames : int, list of (stream, first sequence, records, frame)
            How many were taken; those of records, in the order in which their first ones came. A frame that was put
            together has the header of its first one, with all their records. What is no whole frame is left as it is;
            heartbeats, and what is shorter than a header, are left out.
        """
        cdef int code
        cdef uint32_t i, at, count
        cdef uint64_t size
        cdef packed_t* frame
        cdef char* to
        reader.check()
        with nogil:
            code = self._take(reader, limit, most_bytes, 0)
            self._join()
        cast_tell(&reader.reader)
        if code:
            raise MemoryError("FramePacker: no memory for frames")
        out = []
        for i in range(self._count):
            frame = &self._frames[i]
            if not frame.frames or frame.stream == HEARTBEAT:
                continue
            size, count, at = 0, 0, i + 1
            while at:
                size += self._frames[at - 1].size - PACK_HEADER
                count += self._frames[at - 1].count
                at = self._frames[at - 1].next
            made = PyBytes_FromStringAndSize(NULL, PACK_HEADER + size)
            to = PyBytes_AS_STRING(made)
            memcpy(to, self._bytes + frame.at, PACK_HEADER)
            memcpy(to + 20, &count, 4)
            to += PACK_HEADER
            at = i + 1
            while at:
                size = self._frames[at - 1].size - PACK_HEADER
                memcpy(to, self._bytes + self._frames[at - 1].at + PACK_HEADER, size)
                to += size
                at = self._frames[at - 1].next
            out.append((frame.stream, frame.first, count, made))
        self.kept = len(out)
        return self._count, out

    def journal(self, Reader reader not None, uint32_t limit, uint64_t most_bytes, int64_t beat_ns):
        """Take frames as they stand in the journal: length, CRC-32C, frame, one behind the other.

        Parameters
        ----------
        reader, limit, most_bytes
            As of `streams`.
        beat_ns : int
            Of heartbeats, one in so many nanoseconds.

        Returns
        -------
        taken, data, said, beats : int, bytes, list of (epoch, stream, first, last sequence), list of bytes
            How many were taken; those that are kept (`kept`); what they say of each stream; which are heartbeats. What
            is shorter than a header, or longer than 64 MiB, is left out.
        """
        cdef int code
        cdef uint32_t i, sum_, slot, length
        cdef int64_t at_ns
        cdef uint64_t to = 0
        cdef packed_t* frame
        cdef said_t* said
        cdef char* place
        cdef list beats = []
        reader.check()
        self.kept = self._streams = 0
        with nogil:
            code = self._take(reader, limit, most_bytes, PACK_PREFIX)
            memset(self._slots, 0, (self._mask + 1) * sizeof(uint32_t))
            for i in range(self._count):
                frame = &self._frames[i]
                if frame.size < PACK_HEADER or frame.size > PACK_LONGEST:
                    continue
                place = self._bytes + frame.at
                if frame.stream == HEARTBEAT:
                    memcpy(&at_ns, place + 48, 8)
                    if -beat_ns < at_ns - self._beat_ns < beat_ns:
                        continue
                    self._beat_ns = at_ns
                length = frame.size
                sum_ = crc32c_update(0, place, length)
                # What is left out makes room: nothing moves up but into it.
                if to + PACK_PREFIX != frame.at:
                    memmove(self._bytes + to + PACK_PREFIX, place, length)
                    frame.at = to + PACK_PREFIX
                memcpy(self._bytes + to, &length, 4)
                memcpy(self._bytes + to + 4, &sum_, 4)
                to += PACK_PREFIX + length
                self.kept = self.kept + 1
                if frame.stream == HEARTBEAT:
                    with gil:
                        beats.append(self._bytes[frame.at:frame.at + length])
                    continue
                slot = <uint32_t>(mixed(frame.stream) & self._mask)
                while self._slots[slot]:
                    said = &self._said[self._slots[slot] - 1]
                    if said.stream == frame.stream and said.epoch == frame.epoch:
                        break
                    slot = (slot + 1) & self._mask
                if self._slots[slot]:
                    said.last = max(said.last, frame.first + frame.count - 1)
                else:
                    said = &self._said[self._streams]
                    self._streams = self._streams + 1
                    self._slots[slot] = self._streams
                    said.epoch, said.stream, said.first = frame.epoch, frame.stream, frame.first
                    said.last = frame.first + frame.count - 1
        cast_tell(&reader.reader)
        if code:
            raise MemoryError("FramePacker: no memory for frames")
        rows = [
            (self._said[i].epoch, self._said[i].stream, self._said[i].first, self._said[i].last)
            for i in range(self._streams)
        ]
        return self._count, self._bytes[:to] if to else b"", rows, beats

    @cython.nonecheck(False)
    cdef int _take(self, Reader reader, uint32_t limit, uint64_t most_bytes, uint64_t ahead) noexcept nogil:
        """Copy frames, each with so much room before it; not 0: no memory, and what was copied is there."""
        cdef uint32_t length = 0
        cdef const char* place
        cdef packed_t* frame
        self._count = 0
        self._size = 0
        limit = min(limit, self._most)
        while self._count < limit and self._size < most_bytes:
            place = cast_peek(&reader.reader, &length)
            if place is NULL:
                return 0
            if self._fit(self._size + ahead + length) != 0:
                return -1
            frame = &self._frames[self._count]
            frame.at = self._size + ahead
            memcpy(self._bytes + frame.at, place, length)
            if not cast_whole(&reader.reader, reader.reader.position):
                cast_recover(&reader.reader, True)
                continue
            cast_pass(&reader.reader, length)
            frame.size, frame.next, frame.frames = length, 0, 0
            if length >= PACK_HEADER:
                place = self._bytes + frame.at
                memcpy(&frame.count, place + 20, 4)
                memcpy(&frame.epoch, place + 24, 8)
                memcpy(&frame.stream, place + 32, 8)
                memcpy(&frame.first, place + 40, 8)
            self._size += ahead + length
            self._count += 1
        return 0

    cdef void _join(self) noexcept nogil:
        """Hang each frame to the one of its stream that it follows."""
        cdef uint32_t i, slot
        cdef packed_t* frame
        cdef packed_t* head
        cdef packed_t* latest
        memset(self._slots, 0, (self._mask + 1) * sizeof(uint32_t))
        for i in range(self._count):
            frame = &self._frames[i]
            if frame.size < PACK_HEADER:
                continue
            frame.frames, frame.latest = 1, i
            slot = <uint32_t>(mixed(frame.stream) & self._mask)
            while self._slots[slot] and self._frames[self._slots[slot] - 1].stream != frame.stream:
                slot = (slot + 1) & self._mask
            if self._slots[slot]:
                head = &self._frames[self._slots[slot] - 1]
                latest = &self._frames[head.latest]
                if frame.first == latest.first + latest.count and alike(
                    self._bytes + latest.at, latest.size, self._bytes + frame.at, frame.size
                ):
                    latest.next = i + 1
                    head.latest = i
                    head.frames += 1
                    frame.frames = 0
                    continue
            self._slots[slot] = i + 1

    cdef int _fit(self, uint64_t size) noexcept nogil:
        cdef void* grown
        if size <= self._room:
            return 0
        grown = realloc(self._bytes, 2 * size)
        if grown is NULL:
            return -1
        self._bytes, self._room = <char*>grown, 2 * size
        return 0


cdef inline uint64_t mixed(uint64_t stream) noexcept nogil:
    stream = (stream ^ stream >> 32) * <uint64_t>0x9E3779B97F4A7C15
    return stream >> 32


cdef inline uint64_t body(const char* frame) noexcept nogil:
    """Bytes of its records, as the header says; 0: it has none, or is no frame."""
    cdef uint32_t magic, wide, count
    memcpy(&magic, frame + 8, 4)
    memcpy(&wide, frame + 16, 4)
    memcpy(&count, frame + 20, 4)
    return <uint64_t>wide * count if magic == STAR_MAGIC else 0


cdef inline bint alike(const char* one, uint32_t size, const char* other, uint32_t other_size) noexcept nogil:
    """Whether both are whole, and their headers are the same but for number, first sequence and time."""
    cdef uint64_t a, b
    cdef uint64_t first = body(one), second = body(other)
    if first == 0 or second == 0 or size != PACK_HEADER + first or other_size != PACK_HEADER + second:
        return False
    memcpy(&a, one + 12, 8)             # kind, version, size of a record
    memcpy(&b, other + 12, 8)
    if a != b:
        return False
    memcpy(&a, one + 24, 8)             # epoch
    memcpy(&b, other + 24, 8)
    if a != b:
        return False
    memcpy(&a, one + 56, 8)             # flags
    memcpy(&b, other + 56, 8)
    return a == b
