"""Python face of readers that are looked at together; the operations of a reader are inline in broadcast_reader.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EINTR, errno
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

import os

from nautilus.core.broadcast_reader cimport (
    Reader,
    cast_pass,
    cast_peek,
    cast_reader_t,
    cast_recover,
    cast_tell,
    cast_waiting,
    cast_whole,
)
from nautilus.core.wake cimport Waiting, wake_descriptor, wake_now, wake_pause, wake_relax

cdef enum:
    LOOKS = 16                          # at the rings, between two at the descriptor: that is a system call
    FRAME = 2


cdef class RingGroup:
    """One thread. Readers of several rings, in their order; they are closed by whoever made them, after `set`.

    Parameters
    ----------
    readers : iterable of Reader
        See `set`.

    Attributes
    ----------
    waiting : bool
        Whether any of them has a frame, for whomever it is.
    """

    def __cinit__(self, readers=()):
        self.set(readers)

    def __dealloc__(self):
        free(self.places)

    def set(self, readers):
        """Look at these from now on.

        Raises
        ------
        TypeError
            One of them is no `Reader`.
        """
        cdef Reader reader
        cdef int count = 0
        cdef tuple wanted = tuple(readers)
        cdef cast_reader_t** places = <cast_reader_t**>malloc((len(wanted) + 1) * sizeof(cast_reader_t*))
        if places is NULL:
            raise MemoryError
        for each in wanted:
            if not isinstance(each, Reader):
                free(places)
                raise TypeError(f"RingGroup: {type(each).__name__}, expected Reader")
            reader = <Reader>each
            places[count] = &reader.reader
            count += 1
        free(self.places)
        self.readers, self.places, self.count = wanted, places, count

    @property
    def waiting(self):
        return bool(self.found())

    def drain(self, bytes prefix not None, Py_ssize_t limit=16):
        """Take the next frames of each reader, at most `limit`; those that begin otherwise are passed over.

        Parameters
        ----------
        prefix : bytes
            What the wanted frames begin with.
        limit : int

        Returns
        -------
        list of tuple
            (number of the reader, what stands behind the prefix), in the order of each reader.
        """
        cdef list out = []
        cdef cast_reader_t* reader
        cdef const char* place
        cdef const char* wanted = PyBytes_AS_STRING(prefix)
        cdef Py_ssize_t ahead = PyBytes_GET_SIZE(prefix), left
        cdef uint32_t length = 0
        cdef bytes frame
        cdef int i
        for i in range(self.count):
            reader = self.places[i]
            if reader.shared is NULL or not cast_waiting(reader):
                continue
            left = limit
            while left > 0:
                place = cast_peek(reader, &length)
                if place is NULL:
                    break
                frame = None
                if <Py_ssize_t>length >= ahead and memcmp(place, wanted, ahead) == 0:
                    frame = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>length - ahead)
                    memcpy(PyBytes_AS_STRING(frame), place + ahead, <Py_ssize_t>length - ahead)
                if not cast_whole(reader, reader.position):
                    cast_recover(reader, True)
                    continue
                cast_pass(reader, length)
                left -= 1
                if frame is not None:
                    out.append((i, frame))
            cast_tell(reader)
        return out

    def wait(self, Waiting waiting not None, int descriptor, int64_t timeout_ns):
        """Wait until a frame is there or a descriptor can be read, or the time is over.

        A ring wakes nobody: where the policy lets the thread sleep, what comes meanwhile is found when the descriptor
        wakes it.

        Parameters
        ----------
        waiting : Waiting
            How.
        descriptor : int
        timeout_ns : int

        Returns
        -------
        bool
            Whether there is a frame.

        Raises
        ------
        OSError
            The descriptor cannot be waited for.
        """
        cdef int said
        with nogil:
            said = self.looked(descriptor, waiting.spin_ns, timeout_ns)
        if said < 0:
            if errno != EINTR:
                raise OSError(errno, os.strerror(errno))
            PyErr_CheckSignals()
        return said == FRAME

    cdef bint found(self) noexcept nogil:
        cdef int i
        for i in range(self.count):
            if self.places[i].shared is not NULL and cast_waiting(self.places[i]):
                return True
        return False

    cdef int looked(self, int descriptor, int64_t spin_ns, int64_t most_ns) noexcept nogil:
        # 0 nothing, 1 the descriptor, 2 a frame, -1 interrupted or an error.
        cdef int64_t begun = wake_now(), waited = 0
        cdef int i, said
        while True:
            for i in range(LOOKS):
                if self.found():
                    return FRAME
                wake_relax()
            if waited >= spin_ns or waited >= most_ns:
                return wake_descriptor(descriptor, 0, most_ns - waited if most_ns > waited else 0)
            said = wake_descriptor(descriptor, 0, 0)
            if said:
                return said
            waited = wake_now() - begun
            wake_pause(waited)
