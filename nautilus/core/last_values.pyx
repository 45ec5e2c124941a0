"""Python face of the table of last values; the operations are inline in last_values.pxd."""

import os
from typing import NamedTuple

cimport numpy as cnp
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport EINVAL, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from nautilus.core.last_values cimport (
    LAST_HEAD,
    LAST_KIND,
    LAST_LAYOUT,
    LAST_MOST,
    last_find,
    last_get,
    last_put,
    last_slot_t,
    last_slots,
    last_table_t,
    last_value_t,
)
from nautilus.core.region cimport (
    region_alive,
    region_attach,
    region_create,
    region_detach,
    region_retired,
    region_t,
)
from nautilus.core.wake cimport wake_now

cnp.import_array()

MOST_BYTES = LAST_MOST
cdef int64_t SEEK_NS = 2_000_000


class Last(NamedTuple):
    """A stream's last value: of which sequence and life of the publisher, and when it was."""

    record: bytes
    sequence: int
    epoch: int
    at_ns: int


cdef class LastValueWriter:
    """One thread. Keeps the last value of each stream where readers in other processes find it.

    Parameters
    ----------
    path : str or PathLike
        File of the table, in shared memory; made for this user alone. One of that name is marked retired.
    capacity : int
        Streams; a power of two; 768 bytes each.
    epoch : int
        Higher than that of every table that had this name.
    keep : bool
        Begin with the values of the table that had this name: they keep their epoch, by which a reader sees that they
        are of an earlier life.

    Attributes
    ----------
    stale : int
        Values that were not newer than what was there, and were left out.

    Raises
    ------
    ValueError
        No such capacity.
    OSError
        The file cannot be made, or the memory cannot be had.
    """

    def __cinit__(self, path, uint64_t capacity, uint64_t epoch, *, bint keep=True):
        cdef bytes name = os.fsencode(path)
        cdef region_t* before
        cdef region_t* region
        cdef uint64_t size = LAST_HEAD + 2 * capacity * sizeof(last_slot_t)
        if capacity == 0 or capacity & (capacity - 1) or capacity > 1 << 24:
            raise ValueError(f"LastValueWriter: capacity {capacity}, expected a power of two to 2^24")
        before = region_attach(name, LAST_KIND, LAST_LAYOUT) if keep else NULL
        region = region_create(name, size, LAST_KIND, LAST_LAYOUT, epoch)
        if region is NULL:
            why = errno
            region_detach(before)
            raise OSError(why, os.strerror(why), os.fsdecode(path))
        self.table = <last_table_t*>region
        self.slots = 2 * capacity
        if before is not NULL:
            self.inherit(<last_table_t*>before, last_slots(before.bytes))
            region_detach(before)

    def __dealloc__(self):
        if self.table is not NULL:
            region_detach(&self.table.region)

    def put(self, uint64_t stream, record, uint64_t sequence, int64_t at_ns):
        """Set the last value of a stream.

        Parameters
        ----------
        stream : int
        record : bytes-like
            At most 128 bytes, C-contiguous: the last record, or the last few.
        sequence : int
            Its number in the stream; one that is not above that of the value there is left out (`stale`).
        at_ns : int
            When it was.

        Returns
        -------
        bool
            False: the table is full (`refused`).

        Raises
        ------
        ValueError
            The record is longer; or the table is closed.
        """
        cdef Py_buffer view
        cdef const void* data
        cdef uint64_t size
        cdef bint held = False
        cdef int result
        self.check()
        if cnp.PyArray_Check(record) and cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>record):
            data = cnp.PyArray_DATA(<cnp.ndarray>record)
            size = <uint64_t>cnp.PyArray_NBYTES(<cnp.ndarray>record)
        else:
            PyObject_GetBuffer(record, &view, PyBUF_SIMPLE)
            held = True
            data = view.buf
            size = <uint64_t>view.len
        if size <= LAST_MOST:
            result = last_put(
                self.table, self.slots, stream, data, size, sequence, self.table.region.epoch, at_ns
            )
        else:
            result = -1
        if held:
            PyBuffer_Release(&view)
        if result < 0:
            raise ValueError(f"LastValueWriter.put: {size} bytes, expected at most {LAST_MOST}")
        self.stale += result == 1
        return result != 2

    def put_frame(self, const unsigned char[::1] frame not None):
        """Set the last value of a frame's stream (the star's: `nautilus.bus.base`) to its last record.

        Returns
        -------
        bool
            False: the table is full. A frame that is none, has no record or a longer one is left out: True.
        """
        cdef uint64_t[4] head           # epoch, stream, first sequence, time
        cdef uint32_t count, wide
        cdef uint64_t size = <uint64_t>frame.shape[0]
        cdef int result
        self.check()
        if size < 64:
            return True
        memcpy(&wide, &frame[16], 4)
        memcpy(&count, &frame[20], 4)
        memcpy(head, &frame[24], 32)
        if count == 0 or wide > LAST_MOST or size != 64 + <uint64_t>count * wide:
            return True
        result = last_put(
            self.table, self.slots, head[1], &frame[0] + size - wide, wide, head[2] + count - 1,
            self.table.region.epoch, <int64_t>head[3]
        )
        self.stale += result == 1
        return result != 2

    def close(self):
        """Mark the table as left and let go of it; its file stays for readers and for the next writer."""
        if self.table is not NULL:
            self.table.region.retired = 1
            region_detach(&self.table.region)
            self.table = NULL

    def __len__(self):
        self.check()
        return self.table.used

    @property
    def epoch(self):
        """That of the table."""
        self.check()
        return self.table.region.epoch

    @property
    def capacity(self):
        """Streams that there is room for."""
        return self.slots // 2

    @property
    def refused(self):
        """Values that there was no room for."""
        self.check()
        return self.table.refused

    cdef void inherit(self, last_table_t* before, uint64_t slots) noexcept:
        cdef last_value_t value
        cdef uint64_t i
        for i in range(slots):
            if last_get(&before.slots[i], &value) and value.epoch < self.table.region.epoch:
                last_put(
                    self.table, self.slots, before.slots[i].stream, value.record, value.bytes, value.sequence,
                    value.epoch, value.at_ns
                )

    cdef int check(self) except -1:
        if self.table is NULL:
            raise ValueError("LastValueWriter: the table is closed")
        return 0


cdef class LastValues:
    """One thread. Reads the last value of each stream from the table that another process keeps.

    When a new table has taken the name, it goes over to that one by itself.

    Parameters
    ----------
    path : str or PathLike

    Attributes
    ----------
    attached : int
        Tables read so far.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        The file is damaged, or no table of last values.
    """

    def __cinit__(self, path):
        self.path = os.fsencode(path)
        if self.renew() != 0:
            why = errno
            if why in (0, EINVAL):
                raise ValueError(f"{os.fsdecode(path)}: damaged, or no table of last values")
            raise OSError(why, os.strerror(why), os.fsdecode(path))

    def __dealloc__(self):
        if self.table is not NULL:
            region_detach(&self.table.region)

    def read(self, uint64_t stream):
        """The last value of a stream; None: it has none."""
        cdef last_value_t value
        if not self.look(stream, &value):
            return None
        return Last(value.record[:value.bytes], value.sequence, value.epoch, value.at_ns)

    def bind(self, uint64_t stream, cnp.ndarray out not None):
        """A view that copies the last value of a stream into this array each time that it is read.

        Raises
        ------
        ValueError
            The array is not contiguous and writable.
        """
        return LastView(self, stream, out)

    def streams(self):
        """Numbers of the streams that have a value."""
        cdef uint64_t i
        self.look(0, NULL)
        return [self.table.slots[i].stream for i in range(self.slots) if self.table.slots[i].version]

    @property
    def alive(self):
        """Whether the table's writer runs and no other has its name. It asks the system: not for every value."""
        return bool(region_alive(&self.table.region))

    @property
    def epoch(self):
        """That of the table; a value of a lower one is of an earlier life of its writer."""
        return self.table.region.epoch

    @property
    def refused(self):
        """Values that there was no room for in the table."""
        return self.table.refused

    @property
    def capacity(self):
        """Streams that there is room for."""
        return self.slots // 2

    def __len__(self):
        return self.table.used

    cdef int renew(self) except -1:
        # 1: there is no other table to go over to.
        cdef region_t* region = region_attach(self.path, LAST_KIND, LAST_LAYOUT)
        if region is NULL:
            return 1
        if last_slots(region.bytes) == 0 or (self.table is not NULL and region.epoch <= self.table.region.epoch):
            region_detach(region)
            return 1
        if self.table is not NULL:
            region_detach(&self.table.region)
        self.table = <last_table_t*>region
        self.slots = last_slots(region.bytes)
        self.attached += 1
        return 0

    cdef int seek(self) except -1:
        # The table has been left: now and then, look for the next one.
        cdef int64_t now = wake_now()
        if now >= self.due_ns:
            self.due_ns = now + SEEK_NS
            self.renew()
        return 0

    cdef int look(self, uint64_t stream, last_value_t* out) except -1:
        # Whether there is one. NULL: only look whether there is a new table.
        cdef last_slot_t* slot
        if region_retired(&self.table.region):
            self.seek()
        if out is NULL:
            return 0
        slot = last_find(self.table, self.slots, stream)
        return slot is not NULL and last_get(slot, out)


cdef class LastView:
    """One thread. The last value of one stream, copied into one array: made once, read often (`LastValues.bind`).

    Attributes
    ----------
    stream : int
    """

    def __cinit__(self, LastValues values not None, uint64_t stream, cnp.ndarray out not None):
        if not cnp.PyArray_IS_C_CONTIGUOUS(out) or not cnp.PyArray_ISWRITEABLE(out):
            raise ValueError("LastView: expected a writable contiguous array")
        self.values = values
        self.stream = stream
        self.out = out
        self.to = <char*>cnp.PyArray_DATA(out)
        self.room = <uint64_t>cnp.PyArray_NBYTES(out)

    def read(self):
        """Copy the last value to the front of the array, with zeros behind it; its sequence, 0: there is none."""
        cdef LastValues values = self.values
        cdef uint64_t size
        if region_retired(&values.table.region):
            values.seek()
        if self.attached != values.attached:
            self.slot = NULL
            self.attached = values.attached
        if self.slot is NULL or self.slot.version == 0 or self.slot.stream != self.stream:
            self.slot = last_find(values.table, values.slots, self.stream)
        if self.slot is NULL or not last_get(self.slot, &self.value):
            self.value.sequence = 0
            return 0
        size = self.value.bytes
        if size == 64 and self.room == 64:
            memcpy(self.to, self.value.record, 64)
        else:
            size = min(size, self.room)
            memcpy(self.to, self.value.record, size)
            memset(self.to + size, 0, self.room - size)
        return self.value.sequence

    @property
    def sequence(self):
        """Of the value that was read last; 0: there was none."""
        return self.value.sequence

    @property
    def epoch(self):
        """Of the value that was read last."""
        return self.value.epoch

    @property
    def at_ns(self):
        """Of the value that was read last."""
        return self.value.at_ns

    @property
    def current(self):
        """Whether the value that was read last is of the life of the table's writer."""
        return self.value.sequence != 0 and self.value.epoch == self.values.table.region.epoch
