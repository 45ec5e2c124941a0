"""Python face of the broadcast ring's readers; the operations are inline in broadcast_reader.pxd."""

import os

cimport numpy as cnp
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EINVAL, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from nautilus.core.broadcast cimport (
    BROADCAST_KIND,
    BROADCAST_LAYOUT,
    broadcast_t,
    cast_leave_slot,
    cast_prefault,
    cast_sound,
    cast_take_slot,
    held_slots,
)
from nautilus.core.broadcast_reader cimport (
    CAST_FUTEX,
    cast_attach,
    cast_go,
    cast_join,
    cast_map_image,
    cast_oldest,
    cast_pass,
    cast_peek,
    cast_prepare,
    cast_reader_t,
    cast_recover,
    cast_seek,
    cast_settle,
    cast_sleep,
    cast_tail,
    cast_tell,
    cast_waiting,
    cast_whole,
)
from nautilus.core.region cimport region_alive, region_attach, region_detach, region_retired, region_t
from nautilus.core.wake cimport WAKE_LOOKS, Waiting, wake_now, wake_pause, wake_relax

cnp.import_array()

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* The header of a frame of the star, as far as a search needs it. */
    #define FRAME_HEAD 64
    #define FRAME_MAGIC 0x5354554EU

    /* Whether a frame holds any of these records: 1; 2: it is of that stream and all of it lies behind them. */
    static inline int frame_holds(const char *frame, uint32_t length, uint64_t epoch, uint64_t stream, uint64_t first,
                                  uint64_t last)
    {
        uint32_t magic, count;
        uint64_t head[3];               /* epoch, stream, first sequence */
        if (length < FRAME_HEAD)
            return 0;
        memcpy(&magic, frame + 8, 4);
        memcpy(&count, frame + 20, 4);
        memcpy(head, frame + 24, 24);
        if (magic != FRAME_MAGIC || head[1] != stream || head[0] != epoch)
            return 0;
        if (head[2] > last)
            return 2;
        return count != 0 && (head[2] >= first || count > first - head[2]);
    }

    static inline void copy_record(char *to, const char *from, size_t bytes)
    {
        if (bytes == 64)
            memcpy(to, from, 64);
        else
            memcpy(to, from, bytes);
    }
    """
    enum:
        FRAME_HEAD
    int frame_holds(const char* frame, uint32_t length, uint64_t epoch, uint64_t stream, uint64_t first,
                    uint64_t last) noexcept nogil
    void copy_record(char* to, const char* source, size_t size) noexcept nogil

cdef int64_t LONGEST_SLEEP_NS = 100_000_000

cdef enum:
    EAGER_LOOKS = 2_000


cdef class Reader:
    """One thread. Follows the frames of a ring from its own place in it; many may, and none holds up the writer.

    A reader that falls behind by more than the ring holds is lapped: it goes on at the oldest frame that is still whole,
    and `lapped`, `missed_bytes` and `missed_frames` say what it has missed.

    Parameters
    ----------
    path : str or PathLike
        The ring's file.
    oldest : bool
        Begin with the oldest frame that is there; else with the next that is written.
    slot : bool
        Take one of the 63 slots, so that the writer knows where this reader is (`slot` is -1 where all are taken).
    serial : int
        Number of a doorbell among those of this process, a FIFO of the name `bell_path(path, serial)`: the writer
        writes to it where this reader has asked for that (`arm`). 0: none.
    image : bool
        Map the file to look at only, also where its writer is dead: no slot, no sleep.

    Attributes
    ----------
    lapped, damaged : int
        Times that it was lapped; times that it found what no writer wrote.
    missed_bytes, missed_frames : int
        What it went past unread, exactly.
    passed_over : int
        Frames that `drain_into` left out.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        The file is damaged, or no ring.
    """

    def __cinit__(self, path, *, bint oldest=False, bint slot=True, uint32_t serial=0, bint image=False):
        cdef broadcast_t* shared
        cdef region_t* region
        self.path = os.fsencode(path)
        self.image = image
        if image:
            shared = cast_map_image(self.path, BROADCAST_KIND, BROADCAST_LAYOUT)
        else:
            region = region_attach(self.path, BROADCAST_KIND, BROADCAST_LAYOUT)
            shared = <broadcast_t*>region
            if region is not NULL and not cast_sound(region.bytes):
                region_detach(region)
                shared = NULL
        if shared is NULL:
            if errno in (0, EINVAL):
                raise ValueError(f"{os.fsdecode(path)}: damaged, or no ring")
            raise OSError(errno, os.strerror(errno), os.fsdecode(path))
        cast_attach(&self.reader, shared)
        if not image:
            with nogil:
                cast_prefault(shared, shared.region.bytes, False)
        cast_join(&self.reader, oldest)
        if slot and not image:
            self.reader.slot = cast_take_slot(shared, self.path, serial, self.reader.position)
            cast_tell(&self.reader)
            if serial and self.reader.slot is not NULL:
                self.settle()

    def __dealloc__(self):
        self.leave()

    def next(self):
        """The next frame, a copy; None: there is none."""
        frame = self.copy_next()
        cast_tell(&self.reader)
        return frame

    def take(self, Waiting waiting not None, int64_t timeout_ns):
        """The next frame, a copy, as soon as there is one; None: not within the time, or the ring has been left.

        `wait` and `next` in one call, and quicker where the frame comes at once.
        """
        cdef int i
        frame = self.copy_next()
        if frame is None:
            if waiting.spin_ns > 0:
                # What answers within a microsecond or two is not worth handing the interpreter to others.
                for i in range(EAGER_LOOKS):
                    if cast_waiting(&self.reader):
                        break
            if not self.wait(waiting, timeout_ns):
                return None
            frame = self.copy_next()
        cast_tell(&self.reader)
        return frame

    def drain(self, Py_ssize_t limit=64):
        """The next frames, copies, at most `limit`."""
        cdef list out = []
        cdef bytes frame
        while limit > 0:
            frame = self.copy_next()
            if frame is None:
                break
            out.append(frame)
            limit -= 1
        cast_tell(&self.reader)
        return out

    def drain_into(self, cnp.ndarray out not None, Py_ssize_t skip=0, int kind=-1):
        """Copy the records of the next frames to the front of an array, one behind the other.

        Parameters
        ----------
        out : array
            One dimension, contiguous, writable; its item is the record.
        skip : int
            Bytes in front of the records of each frame: 64 in those of the star.
        kind : int
            Only frames whose first byte is this; -1: all. Others, and those that are no whole number of records, are
            passed over and counted in `passed_over`.

        Returns
        -------
        int
            Records copied: of whole frames, as many as fit.

        Raises
        ------
        ValueError
            No such array; or the next frame alone has more records than fit.
        """
        cdef char* to
        cdef Py_ssize_t filled = 0, wide, room
        if (
            cnp.PyArray_NDIM(out) != 1 or not cnp.PyArray_IS_C_CONTIGUOUS(out) or not cnp.PyArray_ISWRITEABLE(out)
            or cnp.PyArray_ITEMSIZE(out) == 0 or skip < 0
        ):
            raise ValueError("Reader.drain_into: expected a writable contiguous array of one dimension, and skip >= 0")
        self.check()
        to = <char*>cnp.PyArray_DATA(out)
        wide = cnp.PyArray_ITEMSIZE(out)
        room = cnp.PyArray_NBYTES(out)
        with nogil:
            filled = self.copied(to, room, wide, skip, kind)
        cast_tell(&self.reader)
        if filled < 0:
            raise ValueError(f"Reader.drain_into: a frame of {-filled} records, expected room for them in {len(out)}")
        return filled // wide

    def get(self, uint64_t number):
        """The frame of a number (the first of a ring is 0), a copy; None: it is not there.

        The reader goes there: the frame behind it is found at once, any other within a block. What it goes past it
        counts as missed, so this is for a reader of its own.
        """
        self.check()
        return self.copy_next() if cast_go(&self.reader, number) else None

    def find(self, uint64_t epoch, uint64_t stream, uint64_t first, uint64_t last, *, uint64_t start=0,
             Py_ssize_t limit=256, uint64_t most_bytes=1 << 22):
        """Frames of the star that hold records `first` to `last` of a stream, oldest first; the reader stays in place.

        Parameters
        ----------
        epoch, stream, first, last : int
            As in the frames' headers (`nautilus.bus.base`).
        start : int
            Position to look from; 0: all that the ring still has.
        limit, most_bytes : int
            At most so many frames are returned, and so many bytes looked at, in one call.

        Returns
        -------
        tuple
            (frames, position to go on from; 0: all was looked at).
        """
        cdef cast_reader_t look
        cdef uint64_t* places
        cdef uint64_t at, looked, after = 0
        cdef Py_ssize_t found = 0, i
        cdef uint32_t length = 0
        cdef const char* place
        cdef bytes frame
        cdef int holds
        cdef list out = []
        self.check()
        limit = max(1, min(limit, 65536))
        cast_attach(&look, self.reader.shared)
        places = <uint64_t*>malloc(limit * sizeof(uint64_t))
        if places is NULL:
            raise MemoryError
        with nogil:
            cast_seek(&look, 0)
            if start > look.position and start <= cast_tail(&look):
                look.position = start & ~<uint64_t>7
            looked = look.position
            while found < limit:
                place = cast_peek(&look, &length)
                if place is NULL:
                    after = 0
                    break
                holds = frame_holds(place, length, epoch, stream, first, last)
                if holds and not cast_whole(&look, look.position):
                    cast_recover(&look, True)
                    continue
                if holds == 2:
                    after = 0
                    break
                if holds:
                    places[found] = look.position
                    found += 1
                cast_pass(&look, length)
                after = look.position
                if look.position - looked >= most_bytes:
                    break
        try:
            for i in range(found):
                look.position = places[i]
                look.seen = look.position
                place = cast_peek(&look, &length)
                if place is NULL or look.position != places[i]:
                    continue                # written over meanwhile
                frame = PyBytes_FromStringAndSize(NULL, length)
                memcpy(PyBytes_AS_STRING(frame), place, length)
                if cast_whole(&look, places[i]):
                    out.append(frame)
        finally:
            free(places)
        return out, after

    def seek(self, uint64_t position):
        """Go to the first whole frame that begins a block at or behind a position; 0: to the oldest. Counts nothing."""
        self.check()
        cast_seek(&self.reader, position)
        cast_tell(&self.reader)

    def wait(self, Waiting waiting not None, int64_t timeout_ns):
        """Wait until a frame is there, the ring has been left or replaced, or the time is over.

        Parameters
        ----------
        waiting : Waiting
            How. A reader of an image never sleeps: it looks until the time is over.
        timeout_ns : int

        Returns
        -------
        bool
            Whether there is a frame.
        """
        cdef bint found
        cdef int64_t spin_ns = waiting.spin_ns, begun, waited
        self.check()
        if cast_waiting(&self.reader):
            return True
        begun = wake_now()
        with nogil:
            found = self.spun(begun, timeout_ns if self.image or timeout_ns < spin_ns else spin_ns)
        if found or self.image or region_retired(&self.reader.shared.region):
            return bool(found)
        self.settle()
        while True:
            waited = wake_now() - begun
            if waited >= timeout_ns:
                return False
            with nogil:
                found = self.slept(min(timeout_ns - waited, LONGEST_SLEEP_NS))
            if found or region_retired(&self.reader.shared.region):
                return bool(cast_waiting(&self.reader))
            PyErr_CheckSignals()

    def arm(self):
        """Have the doorbell rung at the next frame. False: a frame is there already, or there is no doorbell.

        The doorbell may also ring for nothing. Empty it before reading, not after.
        """
        self.check()
        if cast_waiting(&self.reader) or self.reader.slot is NULL or self.reader.slot.serial == 0:
            return False
        cast_prepare(&self.reader, <uint64_t>1 << self.slot_number())
        return not cast_waiting(&self.reader) and not region_retired(&self.reader.shared.region)

    def be_patient(self):
        """Have the doorbell rung, armed or not, at each block (a 256th of the ring) that begins while this reader is a
        quarter of the ring behind. For one that lets frames gather. False: there is no doorbell.
        """
        self.check()
        if self.reader.slot is NULL or self.reader.slot.serial == 0:
            return False
        self.reader.slot.patient = 1
        return True

    def held(self):
        """Every slot that a reader holds: a list of `Held`."""
        self.check()
        return held_slots(self.reader.shared, cast_tail(&self.reader))

    def close(self):
        """Give the slot back and let go of the ring."""
        self.leave()

    @property
    def waiting(self):
        """Whether a frame is there."""
        self.check()
        return bool(cast_waiting(&self.reader))

    @property
    def alive(self):
        """Whether the ring's writer runs and no other has its name. It asks the system: not for every frame."""
        self.check()
        return bool(region_alive(&self.reader.shared.region))

    @property
    def retired(self):
        """Whether its writer has left it, or another ring has its name."""
        self.check()
        return bool(region_retired(&self.reader.shared.region))

    @property
    def epoch(self):
        """That of the ring."""
        self.check()
        return self.reader.shared.region.epoch

    @property
    def capacity(self):
        """Bytes of the ring."""
        return self.reader.capacity

    @property
    def position(self):
        """Bytes that lie before the next frame, since the ring was made."""
        return self.reader.position

    @property
    def frames(self):
        """Frames that lie before the next one, since the ring was made."""
        return self.reader.number

    @property
    def oldest(self):
        """Number of the oldest frame that can be had."""
        self.check()
        return cast_oldest(&self.reader)

    @property
    def lag(self):
        """Bytes between this reader and the newest frame."""
        self.check()
        return max(0, cast_tail(&self.reader) - self.reader.position)

    @property
    def lapped(self):
        """Times that it was lapped."""
        return self.reader.lapped

    @property
    def damaged(self):
        """Times that it found what no writer wrote."""
        return self.reader.damaged

    @property
    def missed_bytes(self):
        """Bytes that it went past unread."""
        return self.reader.missed_bytes

    @property
    def missed_frames(self):
        """Frames that it went past unread."""
        return self.reader.missed_frames

    @property
    def slot(self):
        """Number of its slot; -1: none."""
        return self.slot_number()

    cdef bytes copy_next(self):
        cdef uint32_t length = 0
        cdef const char* place
        cdef bytes frame
        if self.reader.shared is NULL:
            self.check()
        while True:
            place = cast_peek(&self.reader, &length)
            if place is NULL:
                return None
            frame = PyBytes_FromStringAndSize(NULL, length)
            copy_record(PyBytes_AS_STRING(frame), place, length)
            if cast_whole(&self.reader, self.reader.position):
                cast_pass(&self.reader, length)
                return frame
            cast_recover(&self.reader, True)

    @cython.nonecheck(False)
    cdef Py_ssize_t copied(
        self, char* to, Py_ssize_t room, Py_ssize_t wide, Py_ssize_t skip, int kind
    ) noexcept nogil:
        # Bytes copied; below zero: records of the next frame, more than there is room for in all.
        cdef cast_reader_t* r = &self.reader
        cdef Py_ssize_t filled = 0, body
        cdef uint32_t length = 0
        cdef const char* place
        cdef bint wanted
        while True:
            place = cast_peek(r, &length)
            if place is NULL:
                return filled
            body = <Py_ssize_t>length - skip
            wanted = body >= 0 and body % wide == 0 and (
                kind < 0 or (length > 0 and <int>(<const unsigned char*>place)[0] == kind)
            )
            if wanted and body > room - filled:
                if not cast_whole(r, r.position):
                    cast_recover(r, True)
                    continue
                return filled if filled else -(body // wide)
            if wanted:
                copy_record(to + filled, place + skip, body)
            if not cast_whole(r, r.position):
                cast_recover(r, True)
                continue
            cast_pass(r, length)
            if wanted:
                filled += body
            else:
                self.passed_over += 1

    cdef bint spun(self, int64_t begun, int64_t most_ns) noexcept nogil:
        cdef int i
        cdef int64_t waited = 0
        while waited < most_ns:
            for i in range(WAKE_LOOKS):
                if cast_waiting(&self.reader):
                    return True
                wake_relax()
            if region_retired(&self.reader.shared.region):
                break
            waited = wake_now() - begun
            wake_pause(waited)
        return cast_waiting(&self.reader)

    cdef bint slept(self, int64_t most_ns) noexcept nogil:
        cdef uint32_t bell = cast_prepare(&self.reader, CAST_FUTEX)
        if not cast_waiting(&self.reader) and not region_retired(&self.reader.shared.region):
            cast_sleep(&self.reader, bell, most_ns)
        return cast_waiting(&self.reader)

    cdef int settle(self) except -1:
        if not self.settled:
            with nogil:
                cast_settle(self.reader.shared)
            self.settled = True
        return 0

    cdef int slot_number(self) noexcept:
        return <int>(self.reader.slot - self.reader.shared.slots) if self.reader.slot is not NULL else -1

    cdef int leave(self) noexcept:
        if self.reader.shared is not NULL:
            if self.reader.slot is not NULL:
                cast_leave_slot(self.reader.slot)
                self.reader.slot = NULL
            region_detach(&self.reader.shared.region)
            self.reader.shared = NULL
        return 0

    cdef int check(self) except -1:
        if self.reader.shared is NULL:
            raise ValueError("Reader: the ring is closed")
        return 0


def bell_path(path, uint32_t serial):
    """Where a doorbell of this process lies, for readers of a ring (`Reader(serial=...)`)."""
    return f"{os.fspath(path)}.bell-{os.getpid()}-{serial}"
