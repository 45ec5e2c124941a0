"""Python face of the ring, and loops that drive it from two threads; the operations are inline in ring.pxd."""

from cpython.buffer cimport (
    PyBUF_SIMPLE,
    PyBUF_WRITABLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from nautilus.core.clock cimport clock_now_ns
from nautilus.core.ring cimport (
    cpu_relax,
    ring_claim,
    ring_close,
    ring_commit,
    ring_drain,
    ring_open,
    ring_peek_paced,
    ring_prefault,
    ring_push,
    ring_push_many,
    ring_release,
    ring_size,
    ring_t,
)

cdef extern from "sched.h" nogil:
    int sched_yield()

cdef extern from *:
    """
    #define SPREAD 0x9E3779B97F4A7C15ULL    /* the golden ratio: no two words of near records are equal */
    """
    const uint64_t SPREAD


cdef class Ring:
    """One producer thread, one consumer thread. Bounded queue of records of `record_bytes` bytes.

    Parameters
    ----------
    record_bytes : int
        Multiple of 8, at most 65,536.
    capacity : int
        Records; a power of two, at most 2^32.
    huge : bool
        Ask for huge pages.
    prefault : bool
        Commit every page now, so that no push meets a page fault.
    """

    cdef ring_t* _ring

    def __cinit__(self, uint64_t record_bytes, uint64_t capacity, bint huge=False, bint prefault=False):
        self._ring = ring_open(record_bytes, capacity, huge)
        if self._ring is NULL:
            raise ValueError(
                f"Ring: record_bytes {record_bytes}, capacity {capacity}; expected a multiple of 8 up to 65,536, "
                "a power of two up to 2^32, and memory for it"
            )
        if prefault:
            ring_prefault(self._ring)

    def __dealloc__(self):
        ring_close(self._ring)

    def push_many(self, records):
        """Copy records in, in order.

        Parameters
        ----------
        records : buffer
            C-contiguous; its size a multiple of `record_bytes`.

        Returns
        -------
        int
            How many there was room for; fewer than given moves `full`.

        Raises
        ------
        ValueError
            The size is no multiple of `record_bytes`.
        RuntimeError
            Debug builds: called from a second thread.
        """
        cdef Py_buffer view
        cdef uint64_t count
        PyObject_GetBuffer(records, &view, PyBUF_SIMPLE)
        try:
            count = self._records(&view)
            with nogil:
                count = ring_push_many(self._ring, view.buf, count)
        finally:
            PyBuffer_Release(&view)
        self._check()
        return count

    def drain(self, buffer):
        """Copy waiting records out, oldest first.

        Parameters
        ----------
        buffer : writable buffer
            C-contiguous; its size a multiple of `record_bytes`.

        Returns
        -------
        int
            How many were copied to the front of the buffer. Raises as `push_many` does.
        """
        cdef Py_buffer view
        cdef uint64_t count
        PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
        try:
            count = self._records(&view)
            with nogil:
                count = ring_drain(self._ring, view.buf, count)
        finally:
            PyBuffer_Release(&view)
        self._check()
        return count

    def __len__(self):
        return ring_size(self._ring)

    @property
    def capacity(self):
        """Records that fit."""
        return self._ring.capacity

    @property
    def record_bytes(self):
        """Size of a record."""
        return self._ring.record_bytes

    @property
    def full(self):
        """Times that a record found no room."""
        return self._ring.full

    cdef uint64_t _records(self, Py_buffer* view) except? 0xFFFFFFFF:
        if <uint64_t>view.len % self._ring.record_bytes:
            raise ValueError(f"Ring: {view.len} bytes, expected a multiple of {self._ring.record_bytes}")
        return <uint64_t>view.len // self._ring.record_bytes

    cdef int _check(self) except -1:
        if self._ring.misused:
            raise RuntimeError("Ring: two threads on one side, expected one producer and one consumer")
        return 0


def send_sequence(Ring ring not None, uint64_t count, uint32_t batch):
    """Push `count` numbered records, publishing every `batch`; without the interpreter lock.

    Word w of record s holds s + w * SPREAD, so that the receiver can judge each record alone: words of two records
    never fit together.
    """
    cdef ring_t* r = ring._ring
    cdef uint64_t sent = 0, granted, i, w, words = r.record_bytes // 8
    cdef uint64_t* record
    cdef uint32_t waits = 0
    with nogil:
        while sent < count:
            record = <uint64_t*>ring_claim(r, min(<uint64_t>batch, count - sent), &granted)
            if granted == 0:
                waits = _wait(waits)
                continue
            waits = 0
            for i in range(granted):
                _number(record, sent + i, words)
                record += words
            ring_commit(r, granted)
            sent += granted


def receive_sequence(Ring ring not None, uint64_t count, uint32_t batch):
    """Take `count` records of `send_sequence`, releasing every `batch`, and judge every word of each.

    Returns
    -------
    dict
        `received`, and how many were `lost` (numbers jumped over), `torn` (words of different records) and
        `reordered` (numbers not above the one before).
    """
    cdef ring_t* r = ring._ring
    cdef uint64_t expected = 0, received = 0, lost = 0, torn = 0, reordered = 0
    cdef uint64_t granted, i, w, number, words = r.record_bytes // 8
    cdef const uint64_t* record
    cdef uint32_t waits = 0
    with nogil:
        while received < count:
            record = <const uint64_t*>ring_peek_paced(r, min(<uint64_t>batch, count - received), &granted)
            if granted == 0:
                waits = _wait(waits)
                continue
            waits = 0
            for i in range(granted):
                number = record[0]
                torn += not _whole(record, words)
                if number == expected:
                    expected += 1
                elif number > expected:
                    lost += number - expected
                    expected = number + 1
                else:
                    reordered += 1
                record += words
            ring_release(r, granted)
            received += granted
    return {"received": received, "lost": lost, "torn": torn, "reordered": reordered}


def ping(Ring out not None, Ring back not None, int64_t[::1] round_trip_ns):
    """Send a record, wait for its echo, note the time; once for each element of `round_trip_ns`.

    Returns
    -------
    int
        Echoes that did not match what was sent.
    """
    cdef uint64_t[64] record
    cdef Py_ssize_t i
    cdef int64_t start
    cdef uint64_t wrong = 0
    cdef uint32_t waits
    _check_words(out, back)
    with nogil:
        for i in range(round_trip_ns.shape[0]):
            _number(record, i, out._ring.record_bytes // 8)
            start = clock_now_ns()
            ring_push(out._ring, record)
            waits = 0
            while not _take(back._ring, record):
                waits = _wait(waits)
            round_trip_ns[i] = clock_now_ns() - start
            wrong += record[0] != <uint64_t>i or not _whole(record, out._ring.record_bytes // 8)
    return wrong


def pong(Ring out not None, Ring back not None, uint64_t count):
    """Echo `count` records of `ping`."""
    cdef uint64_t[64] record
    cdef uint64_t i
    cdef uint32_t waits
    _check_words(out, back)
    with nogil:
        for i in range(count):
            waits = 0
            while not _take(out._ring, record):
                waits = _wait(waits)
            ring_push(back._ring, record)


cdef int _check_words(Ring out, Ring back) except -1:
    if out._ring.record_bytes != back._ring.record_bytes or out._ring.record_bytes > 512:
        raise ValueError("ping and pong: expected two rings of the same record_bytes, at most 512")
    return 0


cdef inline bint _take(ring_t* ring, uint64_t* record) noexcept nogil:
    cdef uint64_t granted
    cdef const void* place = ring_peek_paced(ring, 1, &granted)
    if granted == 0:
        return False
    if ring.record_bytes == 64:
        memcpy(record, place, 64)
    else:
        memcpy(record, place, ring.record_bytes)
    ring_release(ring, 1)
    return True


cdef inline void _number(uint64_t* record, uint64_t number, uint64_t words) noexcept nogil:
    cdef uint64_t w
    if words == 8:                      # a count known to the compiler: it writes four stores of two words
        for w in range(8):
            record[w] = number + w * SPREAD
    else:
        for w in range(words):
            record[w] = number + w * SPREAD


cdef inline bint _whole(const uint64_t* record, uint64_t words) noexcept nogil:
    cdef uint64_t w, wrong = 0
    if words == 8:
        for w in range(8):
            wrong |= record[w] ^ (record[0] + w * SPREAD)
    else:
        for w in range(words):
            wrong |= record[w] ^ (record[0] + w * SPREAD)
    return wrong == 0


cdef inline uint32_t _wait(uint32_t waits) noexcept nogil:
    # Spin while the other side is likely to run; let it run where there are fewer cores than threads.
    if waits < 2048:
        cpu_relax()
        return waits + 1
    sched_yield()
    return waits
