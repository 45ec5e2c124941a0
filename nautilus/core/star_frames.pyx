"""Python face of the judge of star frames; the judgement is inline in star_frames.pxd."""

import errno

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from cpython.ref cimport Py_INCREF, PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

cimport numpy as cnp

from nautilus.core.clock cimport clock_now_ns
from nautilus.core.hashmap cimport map_close, map_delete, map_find, map_open, map_put
from nautilus.core.zmq_calls cimport ZMQ_DONTWAIT, failure, socket_of, zmq_calls, zmq_message_t

import numpy as np

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    # As numpy's own declaration, but the last argument may be NULL.
    cnp.ndarray PyArray_NewFromDescr(type subtype, cnp.dtype descr, int nd, cnp.npy_intp* dims, cnp.npy_intp* strides,
                                     void* data, int flags, PyObject* obj)

cdef enum:
    NEXT = 0                    # what the last message received is, beside an errno above 0
    OTHER = -1
    FULL = -2

cdef enum:
    WAIT_NEVER = 0
    WAIT_FIRST = 1
    WAIT_EACH = 2

cdef int AGAIN = errno.EAGAIN
cdef int INTERRUPTED = errno.EINTR


cdef inline bint fillable(cnp.ndarray array):
    return (
        cnp.PyArray_NDIM(array) == 1 and cnp.PyArray_IS_C_CONTIGUOUS(array) and cnp.PyArray_ISWRITEABLE(array)
        and not array.dtype.hasobject
    )


cdef class StreamRow:
    """One thread at a time. Where a reader stands in one stream, and what the stream's records look like.

    Parameters
    ----------
    stream, expected : int
        Number of the stream, 1 or more, and the sequence that is due.

    Attributes
    ----------
    expected, delivered : int
        The sequence that is due; records handed out. To be set as well as read.
    latest : numpy.ndarray or None
        The records that a judge took last, by `take` or `drain`.
    dtype, token : as `describe` was told.
    """

    def __cinit__(self):
        self.row.stream = self.row.expected = self.row.delivered = self.row.layout = self.row.record_size = 0

    def __init__(self, uint64_t stream, uint64_t expected):
        self.row.stream = stream
        self.row.expected = expected

    def describe(self, int schema, int version, cnp.dtype dtype not None, token):
        """Say what the frames of this stream hold: records of this dtype, and of this number and version.

        Parameters
        ----------
        token : object
            Handed out beside the records of each frame.

        Raises
        ------
        ValueError
            A number needs more than 16 bits, or the dtype holds Python objects or nothing.
        """
        if not (0 <= schema < 1 << 16 and 0 <= version < 1 << 16) or dtype.hasobject or dtype.itemsize == 0:
            raise ValueError(f"StreamRow.describe: schema {schema}, version {version}, records of {dtype}")
        self.row.layout = <uint64_t>STAR_MAGIC | <uint64_t>schema << 32 | <uint64_t>version << 48
        self.row.record_size = dtype.itemsize
        self.dtype, self.token = dtype, token

    @property
    def stream(self):
        """Its number."""
        return self.row.stream

    @property
    def expected(self):
        """The sequence that is due."""
        return self.row.expected

    @expected.setter
    def expected(self, uint64_t sequence):
        self.row.expected = sequence

    @property
    def delivered(self):
        """Records handed out."""
        return self.row.delivered

    @delivered.setter
    def delivered(self, int64_t records):
        self.row.delivered = records


cdef class FrameJudge:
    """One thread at a time. Takes the frames that are next in the streams it watches; all else is handed back.

    Parameters
    ----------
    capacity : int
        Streams at a time; 1 to 2^24.

    Attributes
    ----------
    other : bytes or None
        The frame at which the last `drain`, `drain_into` or `collect` ended, that the caller is to judge; None: there
        was none.
    """

    def __cinit__(self, uint32_t capacity=1 << 17):
        if not 1 <= capacity <= 1 << 24:
            raise ValueError(f"FrameJudge: capacity {capacity}; expected 1 to {1 << 24}")
        if map_open(&self._table.places, capacity) != 0:
            raise MemoryError("FrameJudge: no memory for its table")
        self._owners = []

    def __dealloc__(self):
        cdef int place
        if self._open:
            for place in range(STAR_BATCH):
                zmq_calls.msg_close(&self._messages[place])
        map_close(&self._table.places)
        free(self._table.rows)

    def enter(self, uint64_t epoch):
        """Watch nothing any more; from here on frames of this epoch are judged."""
        capacity = self._table.places.max_entries
        self._idle()
        map_close(&self._table.places)
        self._table.count = self._table.last = 0
        self._table.epoch = epoch
        self._owners = []
        if map_open(&self._table.places, capacity) != 0:
            raise MemoryError("FrameJudge: no memory for its table")

    def watch(self, StreamRow row not None):
        """Judge the frames of a stream; one that was watched under the same number is no longer.

        Returns
        -------
        bool
            False: there is no room for more, so every frame of it is handed back.

        Raises
        ------
        ValueError
            It has no number or no layout.
        """
        cdef uint32_t* found
        if row.row.stream == 0 or row.row.record_size == 0:
            raise ValueError(f"FrameJudge.watch: stream {row.row.stream}; expected one that is described")
        self._idle()
        found = map_find(&self._table.places, row.row.stream)
        if found is not NULL:
            self._table.rows[found[0] - 1] = &row.row
            self._owners[found[0] - 1] = row
            return True
        if self._table.count == self._table.room and self._grow() != 0:
            raise MemoryError("FrameJudge: no memory for its rows")
        if map_put(&self._table.places, row.row.stream, self._table.count + 1) != 0:
            return False
        self._table.rows[self._table.count] = &row.row
        self._owners.append(row)
        self._table.count += 1
        return True

    def ignore(self, StreamRow row not None):
        """Hand back every frame of a stream; nothing happens where it is not watched."""
        cdef uint32_t* found
        cdef uint32_t place
        self._idle()
        found = map_find(&self._table.places, row.row.stream)
        if found is NULL or self._owners[found[0] - 1] is not row:
            return
        place = found[0] - 1
        map_delete(&self._table.places, row.row.stream)
        # The last one takes its place.
        self._table.count -= 1
        self._table.last = 0
        moved = self._owners.pop()
        if place < self._table.count:
            self._owners[place] = moved
            self._table.rows[place] = self._table.rows[self._table.count]
            map_put(&self._table.places, self._table.rows[place].stream, place + 1)

    cdef int _grow(self) noexcept:
        cdef uint32_t room = 2 * self._table.room if self._table.room else 16
        cdef void* rows = realloc(self._table.rows, room * sizeof(star_row_t*))
        if rows is NULL:
            return -1
        self._table.rows, self._table.room = <star_row_t**>rows, room
        return 0

    def take(self, bytes frame not None, list out not None):
        """Whether this is the next frame of a known stream; (token, records) is then added to `out`.

        The records are a view of the frame, read-only. It is the same judgement, whatever way the frame came by.
        """
        cdef uint32_t count, place
        cdef star_row_t* row
        cdef StreamRow owner
        cdef cnp.ndarray records
        self._idle()
        row = star_judge(&self._table, frame, len(frame), &place, &count)
        if row is NULL:
            return False
        owner = self._owners[place]
        records = self._array(owner, count, frame, STAR_HEADER)
        star_take(&self._table, row, place, count)
        owner.latest = records
        out.append((owner.token, records))
        return True

    def drain(self, socket, list out not None, int limit=64, bint wait=False):
        """Take at most `limit` frames out of a ZeroMQ socket, the interpreter's lock released; how many were taken.

        Each adds (token, records) to `out`, in the order of arrival; the records are a copy, read-only. Fewer than the
        limit: the socket is empty, or, where `other` is not None, that frame came and the caller is to judge it.

        Parameters
        ----------
        wait : bool
            For the first frame as long as the socket's RCVTIMEO says; signals are served meanwhile.

        Raises
        ------
        zmq.ZMQError
            The socket is closed, or what else libzmq says (the exception is that of `zmq_calls.fill`).
        """
        cdef void* handle = socket_of(socket)
        cdef int taken = 0, got, place, code, most
        self._begin()
        try:
            while taken < limit:
                most = min(limit - taken, STAR_BATCH)
                with nogil:
                    got = self._receive(handle, most, wait and taken == 0, &code)
                for place in range(got):
                    self._append(out, place)
                taken += got
                if code == NEXT:
                    continue
                if code == OTHER:
                    self.other = self._frame(got)
                elif code == INTERRUPTED:
                    PyErr_CheckSignals()
                    continue
                elif code != AGAIN:
                    raise failure(code)
                break
        finally:
            self._busy = False
        return taken

    def drain_into(self, socket, records not None, int schema, bint wait=False):
        """Take frames of one schema straight into an array, as many as there are and have room; how many records.

        Fewer than the array has room for: the socket is empty, the next frame has more than that (`waiting`), or
        `other` is to be judged, as in `drain`: also a frame that is next, but of another schema, or larger than the
        whole array.

        Parameters
        ----------
        records : numpy.ndarray
            One-dimensional, contiguous, writable, of the streams' dtype.
        wait : bool
            For the first frame as long as the socket's RCVTIMEO says; signals are served meanwhile.

        Raises
        ------
        ValueError
            The array is another.
        zmq.ZMQError
            As in `drain`.
        """
        return self._into(socket, records, None, schema, WAIT_FIRST if wait else WAIT_NEVER)

    def collect(self, socket, records not None, arrivals not None, int schema):
        """As `drain_into`, but until the array is full, nothing has come for RCVTIMEO, or `other` is to be judged.

        For a thread that does nothing else: each frame is taken as it comes, without a way through the interpreter.

        Parameters
        ----------
        arrivals : numpy.ndarray
            Contiguous, writable, of int64, as long as `records`: when each of them was stored, in nanoseconds since
            the epoch by the clock of this process.
        """
        return self._into(socket, records, arrivals, schema, WAIT_EACH)

    cdef uint64_t _into(self, socket, records, arrivals, int schema, int wait) except? 1:
        cdef void* handle = socket_of(socket)
        cdef uint64_t stored = 0, room
        cdef uint32_t record_size
        cdef int code
        cdef char* to
        cdef int64_t* times = NULL
        if not isinstance(records, cnp.ndarray) or not fillable(<cnp.ndarray>records):
            raise ValueError("FrameJudge: expected a writable array of records that lie side by side")
        room = cnp.PyArray_DIM(<cnp.ndarray>records, 0)
        record_size = cnp.PyArray_ITEMSIZE(<cnp.ndarray>records)
        to = <char*>cnp.PyArray_DATA(<cnp.ndarray>records)
        if arrivals is not None:
            if not isinstance(arrivals, cnp.ndarray) or not fillable(<cnp.ndarray>arrivals) or (
                cnp.PyArray_TYPE(<cnp.ndarray>arrivals) != cnp.NPY_INT64 or len(arrivals) != room
            ):
                raise ValueError(f"FrameJudge: expected a writable array of {room} int64 for the times")
            times = <int64_t*>cnp.PyArray_DATA(<cnp.ndarray>arrivals)
        self._begin()
        try:
            while True:
                with nogil:
                    code = self._store(handle, to, room, schema, record_size, wait, times, &stored)
                if code == OTHER:
                    self.other = self._frame(0)
                elif code == INTERRUPTED:
                    PyErr_CheckSignals()
                    continue
                elif code > 0 and code != AGAIN:
                    raise failure(code)
                break
        finally:
            self._busy = False
        return stored

    @property
    def epoch(self):
        """Whose frames are judged."""
        return self._table.epoch

    @property
    def delivered(self):
        """Records taken, of all epochs."""
        return self._table.delivered

    @property
    def frames(self):
        """Frames taken, of all epochs."""
        return self._table.frames

    @property
    def waiting(self):
        """A frame was received that had no room in an array; the next call begins with it."""
        return self._carried

    def __len__(self):
        return self._table.count

    cdef int _idle(self) except -1:
        if self._busy:
            raise RuntimeError("FrameJudge: two threads at once; expected one")
        return 0

    cdef int _begin(self) except -1:
        cdef int place
        self._idle()
        if not self._open:
            for place in range(STAR_BATCH):
                zmq_calls.msg_init(&self._messages[place])
            self._open = True
        self._busy = True
        self.other = None
        return 0

    cdef int _receive(self, void* handle, int most, bint wait, int* code) noexcept nogil:
        """How many messages were taken; what ended it in `code`."""
        cdef int got = 0
        cdef uint32_t count, place
        cdef star_row_t* row
        cdef zmq_message_t* message
        code[0] = NEXT
        while got < most:
            message = &self._messages[got]
            if self._carried:
                self._carried = False
            elif zmq_calls.msg_recv(message, handle, 0 if wait and got == 0 else ZMQ_DONTWAIT) < 0:
                code[0] = zmq_calls.error()
                break
            row = star_judge(&self._table, <unsigned char*>zmq_calls.msg_data(message), zmq_calls.msg_size(message),
                             &place, &count)
            if row is NULL:
                code[0] = OTHER
                break
            star_take(&self._table, row, place, count)
            self._places[got] = place
            got += 1
        return got

    cdef int _store(self, void* handle, char* to, uint64_t room, uint32_t schema, uint32_t record_size, int wait,
                    int64_t* times, uint64_t* stored) noexcept nogil:
        cdef zmq_message_t* message = &self._messages[0]
        cdef unsigned char* frame
        cdef uint32_t count, place, i
        cdef int64_t now_ns
        cdef star_row_t* row
        cdef int flags = ZMQ_DONTWAIT
        if wait == WAIT_EACH or wait == WAIT_FIRST and stored[0] == 0:
            flags = 0
        while stored[0] < room:
            if self._carried:
                self._carried = False
            elif zmq_calls.msg_recv(message, handle, flags) < 0:
                return zmq_calls.error()
            frame = <unsigned char*>zmq_calls.msg_data(message)
            row = star_judge(&self._table, frame, zmq_calls.msg_size(message), &place, &count)
            if row is NULL or row.record_size != record_size or (row.layout >> 32 & 0xFFFF) != schema or count > room:
                return OTHER
            if count > room - stored[0]:
                self._carried = True
                return FULL
            memcpy(to + stored[0] * record_size, frame + STAR_HEADER, <size_t>count * record_size)
            star_take(&self._table, row, place, count)
            if times is not NULL:
                now_ns = clock_now_ns()
                for i in range(count):
                    times[stored[0] + i] = now_ns
            stored[0] += count
            if wait == WAIT_FIRST:
                flags = ZMQ_DONTWAIT
        return FULL

    cdef int _append(self, list out, int place) except -1:
        """Hand out a message that was taken, and let go of it."""
        cdef zmq_message_t* message = &self._messages[place]
        cdef StreamRow owner = self._owners[self._places[place]]
        cdef size_t size = zmq_calls.msg_size(message) - STAR_HEADER
        # In bytes of its own: memory that numpy allocates for records it clears first, field by field.
        cdef bytes kept = PyBytes_FromStringAndSize(<char*>zmq_calls.msg_data(message) + STAR_HEADER, size)
        cdef cnp.ndarray records = self._array(owner, size // owner.row.record_size, kept, 0)
        owner.latest = records
        out.append((owner.token, records))
        zmq_calls.msg_close(message)
        zmq_calls.msg_init(message)
        return 0

    cdef cnp.ndarray _array(self, StreamRow owner, uint32_t count, bytes data, size_t offset):
        """Records as they lie in some bytes, read-only."""
        cdef cnp.npy_intp length = count
        cdef cnp.dtype dtype = owner.dtype
        cdef cnp.ndarray records
        Py_INCREF(dtype)              # which the new array takes
        records = PyArray_NewFromDescr(<type>cnp.ndarray, dtype, 1, &length, NULL, <char*>data + offset, 0, NULL)
        cnp.set_array_base(records, data)
        return records

    cdef bytes _frame(self, int place):
        cdef zmq_message_t* message = &self._messages[place]
        frame = (<char*>zmq_calls.msg_data(message))[:zmq_calls.msg_size(message)]
        zmq_calls.msg_close(message)
        zmq_calls.msg_init(message)
        return frame
