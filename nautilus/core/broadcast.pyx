"""Python face of the broadcast ring's writer; the operations are inline in broadcast.pxd."""

import os
from typing import NamedTuple

cimport numpy as cnp
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.errno cimport errno
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy
from posix.unistd cimport close

from nautilus.core.broadcast cimport (
    BROADCAST_KIND,
    BROADCAST_LAYOUT,
    CAST_HEAD,
    CAST_SLOTS,
    broadcast_t,
    cast_call,
    cast_claim,
    cast_commit,
    cast_open,
    cast_prefault,
    cast_publish,
    cast_ring,
    cast_slot_t,
    cast_sound,
    cast_tend,
)
from nautilus.core.region cimport region_attach, region_create, region_detach, region_t

cnp.import_array()

SLOTS = CAST_SLOTS


class Held(NamedTuple):
    """A slot of a ring: whose it is, up to where that reader has read, and what it was too late for."""

    slot: int
    pid: int
    position: int
    lag: int
    missed_bytes: int
    bell: int


cdef int _bytes_of(object given, const char** data, Py_ssize_t* size, Py_buffer* view) except -1:
    # 1: the view is to be released. An array is asked directly: its buffer protocol builds a format each time.
    if PyBytes_CheckExact(given):
        data[0] = PyBytes_AS_STRING(given)
        size[0] = PyBytes_GET_SIZE(given)
        return 0
    if cnp.PyArray_Check(given) and cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>given):
        data[0] = <const char*>cnp.PyArray_DATA(<cnp.ndarray>given)
        size[0] = <Py_ssize_t>cnp.PyArray_NBYTES(<cnp.ndarray>given)
        return 0
    PyObject_GetBuffer(given, view, PyBUF_SIMPLE)
    data[0] = <const char*>view.buf
    size[0] = view.len
    return 1


cdef class Writer:
    """One thread. Writes frames into a ring of its own, which readers in any process follow; it waits for none of them.

    Parameters
    ----------
    path : str or PathLike
        File of the ring, in shared memory; made for this user alone. One of that name is marked retired.
    capacity : int
        Bytes; a power of two from 65,536 on. A frame has at most an eighth of it.
    epoch : int
        Higher than that of every ring that had this name.
    prefault : bool
        Commit every page now, so that no frame meets a page fault.

    Attributes
    ----------
    most : int
        Bytes of the longest frame.

    Raises
    ------
    ValueError
        No such capacity.
    OSError
        The file cannot be made, or the memory cannot be had.
    """

    def __cinit__(self, path, uint64_t capacity, uint64_t epoch, *, bint prefault=True):
        cdef region_t* region
        cdef region_t* before
        cdef uint64_t size = CAST_HEAD + capacity
        if capacity < 65536 or capacity & (capacity - 1) or capacity > (<uint64_t>1 << 34):
            raise ValueError(f"Writer: capacity {capacity}, expected a power of two from 65,536 to 2^34")
        self.path = os.fsencode(path)
        before = region_attach(self.path, BROADCAST_KIND, BROADCAST_LAYOUT)
        region = region_create(self.path, size, BROADCAST_KIND, BROADCAST_LAYOUT, epoch)
        if region is NULL:
            why = errno
            region_detach(before)
            raise OSError(why, os.strerror(why), os.fsdecode(path))
        cast_open(&self.writer, <broadcast_t*>region, self.path)
        if before is not NULL:
            if cast_sound(before.bytes):
                cast_call(<broadcast_t*>before, self.path)  # who sleeps there is to come here
            region_detach(before)
        if prefault:
            with nogil:
                cast_prefault(self.writer.shared, size, True)

    def __dealloc__(self):
        cdef int i
        if self.writer.shared is not NULL:
            for i in range(CAST_SLOTS):
                if self.writer.bells[i] >= 0:
                    close(self.writer.bells[i])
            region_detach(&self.writer.shared.region)

    def write(self, frame):
        """Add a frame and wake who sleeps.

        Parameters
        ----------
        frame : bytes-like
            C-contiguous, at most `most` bytes.

        Raises
        ------
        ValueError
            It is longer; or the ring is closed.
        RuntimeError
            Debug builds: called from a second thread.
        """
        self.add(frame)
        cast_publish(&self.writer)
        cast_ring(&self.writer)

    def put(self, frame):
        """Add a frame that readers see, and sleepers are woken for, at the next `flush` or `write`. Raises as that."""
        self.add(frame)

    def write2(self, header, records):
        """Add a frame that is made of two parts, and wake who sleeps. Raises as `write` does."""
        cdef const char* first = NULL
        cdef const char* second = NULL
        cdef Py_ssize_t ahead = 0, behind = 0
        cdef Py_buffer view, other
        cdef int held = _bytes_of(header, &first, &ahead, &view), held_too = 0
        cdef char* place = NULL
        try:
            held_too = _bytes_of(records, &second, &behind, &other)
            place = self.claimed(ahead + behind)
            if place is NULL:
                self.refuse(ahead + behind)
            memcpy(place, first, ahead)
            memcpy(place + ahead, second, behind)
            cast_commit(&self.writer, ahead + behind)
        finally:
            if held:
                PyBuffer_Release(&view)
            if held_too:
                PyBuffer_Release(&other)
        cast_publish(&self.writer)
        cast_ring(&self.writer)

    def flush(self):
        """Show readers all frames that were `put`, and wake who sleeps."""
        self.check()
        cast_publish(&self.writer)
        cast_ring(&self.writer)

    def tend(self):
        """Free the slots of readers that are no more; how many. To be called now and then."""
        self.check()
        return cast_tend(self.writer.shared, self.path)

    def held(self):
        """Every slot that a reader holds: a list of `Held`."""
        self.check()
        return held_slots(self.writer.shared, self.writer.next)

    def slowest(self):
        """Bytes between the newest frame and the reader in a slot that is furthest behind it; 0 where there is none."""
        cdef int i
        cdef uint64_t most = 0, lag
        self.check()
        for i in range(CAST_SLOTS):
            if self.writer.shared.slots[i].holder:
                lag = self.writer.next - self.writer.shared.slots[i].cursor
                if lag <= self.writer.next and lag > most:
                    most = lag
        return most

    def close(self):
        """Mark the ring as left and let go of it; its file stays, for the next writer to serve from."""
        cdef int i
        if self.writer.shared is NULL:
            return
        cast_publish(&self.writer)
        self.writer.shared.region.retired = 1
        cast_ring(&self.writer)
        for i in range(CAST_SLOTS):
            if self.writer.bells[i] >= 0:
                close(self.writer.bells[i])
        region_detach(&self.writer.shared.region)
        self.writer.shared = NULL

    @property
    def epoch(self):
        """That of the ring."""
        self.check()
        return self.writer.shared.region.epoch

    @property
    def capacity(self):
        """Bytes of the ring."""
        self.check()
        return self.writer.capacity

    @property
    def most(self):
        """Bytes of the longest frame."""
        return self.writer.most

    @property
    def position(self):
        """Bytes written since the ring was made, prefixes and padding among them."""
        return self.writer.next

    @property
    def frames(self):
        """Frames written since the ring was made."""
        return self.writer.number

    @property
    def wakes(self):
        """Times that somebody slept and was woken."""
        return self.writer.wakes

    cdef int add(self, object frame) except -1:
        cdef const char* data = NULL
        cdef Py_ssize_t size = 0
        cdef Py_buffer view
        cdef int held = _bytes_of(frame, &data, &size, &view)
        cdef char* place = self.claimed(size)
        if place is not NULL:
            memcpy(place, data, size)
            cast_commit(&self.writer, size)
        if held:
            PyBuffer_Release(&view)
        if place is NULL:
            self.refuse(size)
        return 0

    cdef char* claimed(self, Py_ssize_t size) noexcept:
        return cast_claim(&self.writer, size) if self.writer.shared is not NULL else NULL

    cdef int refuse(self, Py_ssize_t size) except -1:
        self.check()
        raise ValueError(f"Writer: a frame of {size} bytes, expected at most {self.writer.most}")

    cdef int check(self) except -1:
        if self.writer.shared is NULL:
            raise ValueError("Writer: the ring is closed")
        if self.writer.misused:
            raise RuntimeError("Writer: a second thread writes, expected one")
        return 0


cdef list held_slots(broadcast_t* shared, uint64_t newest):
    cdef int i
    cdef cast_slot_t* slot
    cdef list out = []
    for i in range(CAST_SLOTS):
        slot = &shared.slots[i]
        if slot.holder:
            lag = newest - slot.cursor if newest > slot.cursor else 0
            out.append(Held(i, slot.holder & 0xFFFFFFFF, slot.cursor, lag, slot.missed, slot.serial))
    return out
