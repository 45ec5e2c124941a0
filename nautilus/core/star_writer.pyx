"""Python face of what numbers and sends frames of the star; see star_writer.pxd."""

import errno

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

cimport cython
cimport numpy as cnp

from nautilus.core.broadcast cimport Writer, cast_claim, cast_commit, cast_publish, cast_ring
from nautilus.core.hashmap cimport map_close, map_find, map_open, map_put
from nautilus.core.last_values cimport LAST_MOST, LastValueWriter, last_put
from nautilus.core.star_frames cimport STAR_MAGIC
from nautilus.core.zmq_calls cimport ZMQ_DONTWAIT, failure, socket_of, zmq_calls, zmq_message_t

import numpy as np

cnp.import_array()

cdef enum:
    RELEASE_FROM = 16           # frames of a batch: to release the interpreter's lock costs as much as a frame
    RING_EVERY = 64             # frames of a batch: who sleeps at the ring is woken then

cdef int MEMORY = errno.ENOMEM
cdef int INTERRUPTED = errno.EINTR
cdef int TOO_LONG = errno.EMSGSIZE


cdef inline uint32_t load_u32(const char* place) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, place, sizeof(value))
    return value


cdef class FrameWriter:
    """One thread at a time. Numbers records per stream from 1, and sends them as frames of the star.

    Parameters
    ----------
    epoch : int
        Of every frame.
    capacity : int
        Streams; 1 to 2^24.

    Attributes
    ----------
    published, frames : int
        Records and frames written so far.
    """

    def __cinit__(self, uint64_t epoch, uint32_t capacity=1 << 20):
        if not 1 <= capacity <= 1 << 24:
            raise ValueError(f"FrameWriter: capacity {capacity}; expected 1 to {1 << 24}")
        self.epoch = epoch
        if map_open(&self._places, capacity) != 0:
            raise MemoryError("FrameWriter: no memory for its table")

    def __dealloc__(self):
        map_close(&self._places)
        free(self._streams)
        free(self._lasts)
        free(self._next)
        free(self._order)
        free(self._packed)

    def layout(self, int schema, int version, dtype not None):
        """Records of this dtype have this number and version; it has the field ``instrument_id``, 4 bytes.

        Raises
        ------
        ValueError
            A number out of 1 to 255, or another dtype.
        """
        fields = dtype.fields or {}
        kind, offset = fields.get("instrument_id", (None, 0))[:2]
        if not (1 <= schema < WRITER_SCHEMAS and 0 <= version < 1 << 16) or kind != np.uint32 or dtype.hasobject:
            raise ValueError(f"FrameWriter.layout: schema {schema}, version {version}, records of {dtype}")
        self._layouts[schema] = sent_layout_t(version, dtype.itemsize, offset)

    def keep_in(self, Writer ring=None, LastValueWriter values=None):
        """What `publish` sends is written to this ring before, and its last records to this table.

        Both belong to the thread that publishes, and are not to be closed before the last call.
        """
        self._ring, self._values = ring, values

    def publish(self, socket, records not None, int schema, int64_t now_ns, uint32_t most=0, uint64_t flags=0):
        """Number records and send them through a ZeroMQ socket: a frame for each instrument; how many frames.

        Never waits. A batch of many frames is sent with the interpreter's lock released.

        Parameters
        ----------
        records : numpy.ndarray
            One-dimensional, of the dtype that the schema has (`layout`).
        now_ns : int
            The time that the frames carry.
        most : int
            Records in a frame; more of one instrument have several. 0: any number.
        flags : int
            Of each frame, as `nautilus.bus.base.FrameFlag` names them.

        Raises
        ------
        ValueError
            The records are of another size.
        zmq.ZMQError
            The socket is closed, or refuses a frame; what was refused and comes after it is not numbered, but for a
            frame that stands in the ring. EMSGSIZE: it is longer than the ring takes.
        """
        return self._publish(socket_of(socket), records, schema, now_ns, most, flags)

    def pack(self, records not None, int schema, int64_t now_ns, uint32_t most=0, uint64_t flags=0):
        """The same frames as `publish` would send, numbered alike, as bytes.

        Returns
        -------
        list of bytes
        """
        cdef uint64_t place = 0, size
        self._packed_size = 0
        self._publish(NULL, records, schema, now_ns, most, flags)
        out = []
        while place < self._packed_size:
            memcpy(&size, self._packed + place, sizeof(size))
            place += sizeof(size)
            out.append(self._packed[place:place + size])
            place += size
        return out

    def lasts(self):
        """The body of a heartbeat: for each stream its number and its last sequence, u64 each, as bytes."""
        return (<char*>self._lasts)[:self._count * 16] if self._count else b""

    def __len__(self):
        return self._count

    cdef int _publish(self, void* handle, records, int schema, int64_t now_ns, uint32_t most,
                      uint64_t flags) except -1:
        cdef uint64_t count, size, frames = self.frames
        cdef const char* data
        cdef int code
        if not isinstance(records, cnp.ndarray) or cnp.PyArray_NDIM(<cnp.ndarray>records) != 1:
            raise ValueError("FrameWriter: expected a one-dimensional array of records")
        size = cnp.PyArray_ITEMSIZE(<cnp.ndarray>records)
        if not 1 <= schema < WRITER_SCHEMAS or size == 0 or size != self._layouts[schema].record_size:
            raise ValueError(f"FrameWriter: records of {size} bytes, schema {schema}; expected its layout")
        if not cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>records):
            records = np.ascontiguousarray(records)
        count = cnp.PyArray_DIM(<cnp.ndarray>records, 0)
        if count >= <uint64_t>1 << 32:
            raise ValueError(f"FrameWriter: {count} records; expected less than 2^32")
        if self._busy:
            raise RuntimeError("FrameWriter: two threads at once; expected one")
        data = <const char*>cnp.PyArray_DATA(<cnp.ndarray>records)
        if handle is not NULL and self._ring is not None:
            self._ring.check()
        if handle is not NULL and self._values is not None:
            self._values.check()
        self._busy = True
        if most and count // most >= RELEASE_FROM:
            with nogil:
                code = self._write(handle, data, count, schema, now_ns, most, flags)
        else:
            code = self._write(handle, data, count, schema, now_ns, most, flags)
        if self._unrung:
            self._unrung = 0
            cast_ring(&self._ring.writer)
        self._busy = False
        if code == MEMORY:
            raise MemoryError("FrameWriter: no memory, or more streams than its capacity")
        if code:
            raise failure(code)
        return self.frames - frames

    cdef int _write(self, void* handle, const char* records, uint64_t count, uint32_t schema, int64_t now_ns,
                    uint32_t most, uint64_t flags) noexcept nogil:
        """0, or an errno."""
        cdef sent_layout_t* layout = &self._layouts[schema]
        cdef uint32_t size = layout.record_size
        cdef const char* ids = records + layout.id_offset
        cdef uint32_t place = 0, rest, many, streams = 0, i, j
        cdef uint64_t stream, seen
        cdef sent_stream_t* found
        cdef int code
        if count == 0:
            return 0
        if most == 0:
            most = <uint32_t>count
        stream = load_u32(ids)
        for seen in range(1, count):
            if load_u32(ids + seen * size) != stream:
                break
        else:
            code = self._place(<uint64_t>schema << 32 | stream, schema, &place)
            i = 0
            while code == 0 and i < count:
                many = min(most, <uint32_t>count - i)
                code = self._one(handle, place, records, i, many, size, False, now_ns, flags, &rest)
                i += many
            return code
        if self._scratch_for(count) != 0:
            return MEMORY
        for i in range(count):
            code = self._place(<uint64_t>schema << 32 | load_u32(ids + <uint64_t>i * size), schema, &place)
            if code:
                break
            found = &self._streams[place]
            if found.many == 0:
                found.first = i
                self._order[streams] = place
                streams += 1
            else:
                self._next[found.latest] = i
            found.latest = i
            found.many += 1
        for j in range(streams):
            found = &self._streams[self._order[j]]
            rest = found.first
            while code == 0 and found.many:
                many = min(most, found.many)
                code = self._one(handle, self._order[j], records, rest, many, size, True, now_ns, flags, &rest)
                found.many -= many
            found.many = 0
        return code

    @cython.nonecheck(False)        # an object's own counters, without the interpreter's lock
    cdef int _one(self, void* handle, uint32_t place, const char* records, uint32_t first, uint32_t count,
                  uint32_t size, bint chained, int64_t now_ns, uint64_t flags, uint32_t* rest) noexcept nogil:
        """One frame of the records from `first` on; the record after them in `rest`. 0, or an errno."""
        cdef zmq_message_t message
        cdef uint64_t bytes = WRITER_HEADER + <uint64_t>count * size
        cdef uint64_t* last = self._lasts + 2 * place + 1
        cdef uint64_t sequence = last[0] + 1
        cdef uint32_t i
        cdef char* to
        cdef int code
        cdef bint kept = False
        if handle is NULL:
            to = self._packed_for(bytes)
            if to is NULL:
                return MEMORY
        else:
            if zmq_calls.msg_init_size(&message, bytes) != 0:
                return MEMORY
            to = <char*>zmq_calls.msg_data(&message)
        memcpy(to, self._streams[place].header, WRITER_HEADER)
        memcpy(to + 20, &count, sizeof(count))
        memcpy(to + 40, &sequence, sizeof(sequence))
        memcpy(to + 48, &now_ns, sizeof(now_ns))
        memcpy(to + 56, &flags, sizeof(flags))
        if chained:
            for i in range(count):
                memcpy(to + WRITER_HEADER + <uint64_t>i * size, records + <uint64_t>first * size, size)
                first = self._next[first]
            rest[0] = first
        else:
            memcpy(to + WRITER_HEADER, records + <uint64_t>first * size, <uint64_t>count * size)
        if handle is not NULL:
            code = self._keep(to, bytes, self._lasts[2 * place], sequence + count - 1, now_ns, size)
            if code:
                zmq_calls.msg_close(&message)
                return code
            kept = self._ring is not None
        if kept:
            last[0] += count
        if handle is not NULL:
            while zmq_calls.msg_send(&message, handle, ZMQ_DONTWAIT) < 0:
                code = zmq_calls.error()
                if code != INTERRUPTED:
                    zmq_calls.msg_close(&message)
                    return code
        if not kept:
            last[0] += count
        self.published += count
        self.frames += 1
        return 0

    @cython.nonecheck(False)
    cdef int _keep(self, const char* frame, uint64_t size, uint64_t stream, uint64_t last, int64_t now_ns,
                   uint32_t wide) noexcept nogil:
        """A frame into the ring, and its last record into the table; 0, or an errno."""
        cdef char* place
        if self._ring is not None:
            place = cast_claim(&self._ring.writer, size)
            if place is NULL:
                return TOO_LONG
            memcpy(place, frame, size)
            cast_commit(&self._ring.writer, size)
            cast_publish(&self._ring.writer)
            self._unrung += 1
            if self._unrung == RING_EVERY:
                self._unrung = 0
                cast_ring(&self._ring.writer)
        if self._values is not None and wide <= LAST_MOST:
            self._values.stale += 1 == last_put(
                self._values.table, self._values.slots, stream, frame + size - wide, wide, last,
                self._values.table.region.epoch, now_ns
            )
        return 0

    @cython.nonecheck(False)
    cdef int _place(self, uint64_t stream, uint32_t schema, uint32_t* place) noexcept nogil:
        """Where a stream is, and its header; 0, or an errno."""
        cdef uint32_t* found
        cdef void* streams
        cdef void* lasts
        cdef uint32_t room, instrument = <uint32_t>stream, magic = STAR_MAGIC, i
        cdef char* header
        if self._recent < self._count and self._lasts[2 * self._recent] == stream:
            place[0] = self._recent
            return 0
        found = map_find(&self._places, stream)
        if found is not NULL:
            place[0] = self._recent = found[0] - 1
            return 0
        if self._count == self._room:
            room = 2 * self._room if self._room else 16
            streams = realloc(self._streams, room * sizeof(sent_stream_t))
            if streams is NULL:
                return MEMORY
            self._streams = <sent_stream_t*>streams
            lasts = realloc(self._lasts, room * 2 * sizeof(uint64_t))
            if lasts is NULL:
                return MEMORY
            self._lasts = <uint64_t*>lasts
            self._room = room
        if map_put(&self._places, stream, self._count + 1) != 0:
            return MEMORY
        memset(&self._streams[self._count], 0, sizeof(sent_stream_t))
        header = self._streams[self._count].header
        header[0] = <char>schema
        for i in range(4):
            header[4 + i] = <char>(instrument >> (24 - 8 * i))
        memcpy(header + 8, &magic, 4)
        header[12], header[13] = <char>schema, 0
        header[14] = <char>(self._layouts[schema].version & 0xFF)
        header[15] = <char>(self._layouts[schema].version >> 8)
        memcpy(header + 16, &self._layouts[schema].record_size, 4)
        memcpy(header + 24, &self.epoch, 8)
        memcpy(header + 32, &stream, 8)
        self._lasts[2 * self._count] = stream
        self._lasts[2 * self._count + 1] = 0
        place[0] = self._recent = self._count
        self._count += 1
        return 0

    cdef int _scratch_for(self, uint64_t count) noexcept nogil:
        cdef void* grown
        if count <= self._scratch:
            return 0
        grown = realloc(self._next, count * sizeof(uint32_t))
        if grown is NULL:
            return -1
        self._next = <uint32_t*>grown
        grown = realloc(self._order, count * sizeof(uint32_t))
        if grown is NULL:
            return -1
        self._order = <uint32_t*>grown
        self._scratch = count
        return 0

    cdef char* _packed_for(self, uint64_t size) noexcept nogil:
        """Room for one frame behind those that are packed; NULL: none."""
        cdef uint64_t wanted = self._packed_size + sizeof(size) + size
        cdef void* grown
        cdef char* place
        if wanted > self._packed_room:
            grown = realloc(self._packed, 2 * wanted)
            if grown is NULL:
                return NULL
            self._packed, self._packed_room = <char*>grown, 2 * wanted
        place = self._packed + self._packed_size
        memcpy(place, &size, sizeof(size))
        self._packed_size = wanted
        return place + sizeof(size)
