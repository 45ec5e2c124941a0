"""Python face of the shared cache of answers; the operations are in response_cache.pxd."""

import errno as codes
import os
from typing import NamedTuple

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset, strncmp
from posix.unistd cimport getpid

from nautilus.core.holders cimport share_region
from nautilus.core.memory cimport map_region, unmap_region
from nautilus.core.region cimport process_start, region_detach
from nautilus.core.response_cache cimport (
    ANSWER_BUSY,
    ANSWER_ENGINE_BYTES,
    ANSWER_ENGINES,
    ANSWER_OUTDATED,
    ANSWER_STORED,
    ANSWER_TOO_LARGE,
    ANSWER_WAYS,
    ANSWERS_KIND,
    ANSWERS_LAYOUT,
    CLAIM_MINE,
    CLAIM_NO_ROOM,
    CLAIM_OTHERS,
    answer_hash,
    answer_t,
    answers_begin,
    answers_bytes,
    answers_copy,
    answers_find,
    answers_forget,
    answers_lock,
    answers_put,
    answers_t,
    answers_unlock,
    answers_valid,
    claim_leave,
    claim_others,
    claim_take,
    lock_word,
)

STORED, TOO_LARGE, BUSY, OUTDATED = ANSWER_STORED, ANSWER_TOO_LARGE, ANSWER_BUSY, ANSWER_OUTDATED
MINE, OTHERS, NO_ROOM = CLAIM_MINE, CLAIM_OTHERS, CLAIM_NO_ROOM
MOST_KEY = 16384
WAYS = 8
RECORD_BYTES = 2048
"""Of the ring, on average, for each place of the index."""


class Kept(NamedTuple):
    """An answer as it was stored; times as given to `Answers.put`.

    Attributes
    ----------
    age : how much of the ring was written since, from 0 to 1: at 1 it is written over.
    """

    value: bytes
    engine: int
    number: int
    stored_ns: int
    fresh_ns: int
    stale_ns: int
    error_ns: int
    age: float


cdef extern from *:
    """
    #define answers_engines(table) __atomic_load_n(&(table)->engines, __ATOMIC_ACQUIRE)
    #define answers_told(table, count) __atomic_store_n(&(table)->engines, (count), __ATOMIC_RELEASE)
    """
    uint32_t answers_engines(answers_t* table) noexcept nogil
    void answers_told(answers_t* table, uint32_t count) noexcept nogil


cdef class Answers:
    """Any number of processes, one thread each. Answers by key, in a region of fixed size that never grows.

    Parameters
    ----------
    path : str or PathLike, optional
        File to share it through: made (for this user alone), or gone on with as it is. Without it this process and those
        forked from it share it.
    kib : int
        For records, a power of two; 64 or more. The oldest is written over. The index takes a 256th of it besides.
    epoch : int
        Of a new one.

    Raises
    ------
    ValueError
        A size that is none, or the file is no cache, or one of another size.
    OSError
        The file can be neither opened nor made.
    """

    def __cinit__(self, path=None, *, uint64_t kib=1 << 14, uint64_t epoch=0):
        cdef uint64_t ring_bytes, buckets
        if kib < 64 or kib > 1 << 24 or kib & (kib - 1):
            raise ValueError(f"Answers: {kib} KiB, expected a power of two from 64 to 2^24")
        ring_bytes = kib << 10
        buckets = max(<uint64_t>1, ring_bytes // (WAYS * RECORD_BYTES))
        self.names = {}
        self.pid = getpid()
        self.own = lock_word(self.pid, process_start(self.pid))
        if path is not None:
            self.share(os.fspath(path), ring_bytes, buckets, epoch)
            return
        self.table = <answers_t*>map_region(answers_bytes(ring_bytes, buckets), False)
        if self.table is NULL:
            raise ValueError(f"Answers: no memory for {kib} KiB")
        self.mapped = True
        self.table.region.bytes = answers_bytes(ring_bytes, buckets)
        answers_begin(self.table, ring_bytes, buckets, _salt(), epoch)

    def __dealloc__(self):
        if self.table is NULL:
            return
        if self.mapped:
            unmap_region(self.table, self.table.region.bytes)
        else:
            region_detach(&self.table.region)

    def forked(self):
        """To be called in a process that was forked with it: from now on it speaks for itself."""
        self.pid = getpid()
        self.own = lock_word(self.pid, process_start(self.pid))

    def engine(self, str name not None):
        """Number of an engine, which is made where there is none.

        Raises
        ------
        ValueError
            The name is empty or longer than 31 bytes, or there are 64 already.
        OSError
            Another process is making one and does not end.
        """
        cdef bytes encoded = name.encode()
        cdef uint32_t at
        found = self.names.get(name)
        if found is not None:
            return found
        if not 0 < len(encoded) < ANSWER_ENGINE_BYTES:
            raise ValueError(f"Answers: engine {name!r}, expected 1 to {ANSWER_ENGINE_BYTES - 1} bytes")
        # One that others have made takes no lock, which they may hold.
        for at in range(min(answers_engines(self.table), <uint32_t>ANSWER_ENGINES)):
            if strncmp(self.table.engine[at].name, PyBytes_AS_STRING(encoded), ANSWER_ENGINE_BYTES) == 0:
                self.names[name] = at
                return at
        if not answers_lock(self.table, self.own):
            raise OSError(codes.EBUSY, os.strerror(codes.EBUSY), name)
        try:
            for at in range(ANSWER_ENGINES):
                if self.table.engine[at].name[0] == 0:
                    memcpy(self.table.engine[at].name, PyBytes_AS_STRING(encoded), len(encoded))
                    answers_told(self.table, at + 1)
                if strncmp(self.table.engine[at].name, PyBytes_AS_STRING(encoded), ANSWER_ENGINE_BYTES) == 0:
                    self.names[name] = at
                    return at
        finally:
            answers_unlock(self.table, self.own)
        raise ValueError(f"Answers: no room for engine {name!r}, all {ANSWER_ENGINES} are in use")

    def number(self, uint32_t engine):
        """How often answers of an engine were forgotten: to be asked for before the answer is."""
        return self.table.engine[self.known(engine)].number

    def valid(self, uint32_t engine, uint64_t number, bytes path not None):
        """Whether nothing that was forgotten since that number concerns a path of the engine."""
        return answers_valid(
            self.table, self.known(engine), number, PyBytes_AS_STRING(path), <uint32_t>PyBytes_GET_SIZE(path)
        )

    def forget(self, uint32_t engine, bytes prefix not None=b""):
        """From now on no answer of an engine counts whose path begins so; more than 112 bytes stand for all."""
        answers_forget(
            self.table, self.known(engine), PyBytes_AS_STRING(prefix),
            <uint32_t>min(PyBytes_GET_SIZE(prefix), 1 << 20)
        )

    def put(self, bytes key not None, uint32_t path_bytes, bytes value not None, uint32_t engine, uint64_t number,
            int64_t stored_ns, int64_t fresh_ns, int64_t stale_ns=0, int64_t error_ns=0):
        """Keep an answer.

        Parameters
        ----------
        key : bytes
            At most 16 KiB; it ends with the path, of which `path_bytes` says how long it is.
        number : int
            Of the engine, from before the answer was asked for.
        stored_ns, fresh_ns, stale_ns, error_ns : int
            For the reader; here they say nothing.

        Returns
        -------
        int
            STORED; TOO_LARGE: above a quarter of the room; BUSY: another process writes and does not end; OUTDATED: it
            was forgotten while it was on its way.
        """
        cdef answer_t head
        memset(&head, 0, sizeof(answer_t))
        if not 0 < PyBytes_GET_SIZE(key) <= MOST_KEY or path_bytes > PyBytes_GET_SIZE(key):
            raise ValueError(f"Answers: a key of {len(key)} bytes, expected 1 to {MOST_KEY}, and the path in it")
        if PyBytes_GET_SIZE(value) > <Py_ssize_t>(self.table.ring_bytes // 4):
            return ANSWER_TOO_LARGE
        head.hash = answer_hash(self.table.salt, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
        head.engine, head.number = self.known(engine), number
        head.stored_ns, head.fresh_ns, head.stale_ns, head.error_ns = stored_ns, fresh_ns, stale_ns, error_ns
        head.key_bytes = <uint32_t>PyBytes_GET_SIZE(key)
        head.value_bytes = <uint32_t>PyBytes_GET_SIZE(value)
        head.path_bytes = path_bytes
        return answers_put(self.table, self.own, &head, PyBytes_AS_STRING(key), PyBytes_AS_STRING(value))

    def get(self, bytes key not None):
        """The answer of a key, as it was kept last; None: there is none any more. It need not be `valid`."""
        cdef answer_t head
        cdef uint64_t hash = answer_hash(self.table.salt, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
        cdef bytes value
        if answers_find(self.table, hash, PyBytes_AS_STRING(key), <uint32_t>PyBytes_GET_SIZE(key), &head) is NULL:
            return None
        if head.value_bytes > self.table.ring_bytes or head.engine >= ANSWER_ENGINES:
            return None
        value = PyBytes_FromStringAndSize(NULL, head.value_bytes)
        if not answers_copy(self.table, &head, PyBytes_AS_STRING(value)):
            return None
        return Kept(
            value, head.engine, head.number, head.stored_ns, head.fresh_ns, head.stale_ns, head.error_ns,
            (self.table.reserved - head.place) / <double>self.table.ring_bytes,
        )

    def claim(self, bytes key not None, int64_t now_ns, int64_t most_ns):
        """Say that this process is about to ask for an answer.

        Returns
        -------
        int
            MINE; OTHERS: another living process has said so, at most `most_ns` ago; NO_ROOM: nobody can be told.
        """
        return claim_take(
            self.table, answer_hash(self.table.salt, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)), self.pid, now_ns,
            most_ns
        )

    def leave(self, bytes key not None):
        """It has asked, or gave up."""
        claim_leave(
            self.table, answer_hash(self.table.salt, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)), self.pid
        )

    def claimed(self, bytes key not None, int64_t now_ns, int64_t most_ns):
        """Whether another living process has claimed a key, at most `most_ns` ago."""
        return claim_others(
            self.table, answer_hash(self.table.salt, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)), self.pid, now_ns,
            most_ns
        )

    @property
    def counts(self):
        """Of all processes: `stored`, `evicted` (found no place in the index), `stolen` (locks of dead writers), `bytes`."""
        return {
            "stored": self.table.stored,
            "evicted": self.table.evicted,
            "stolen": self.table.stolen,
            "bytes": min(self.table.reserved, self.table.ring_bytes),
        }

    @property
    def capacity(self):
        """Bytes for records."""
        return self.table.ring_bytes

    cdef int share(self, str path, uint64_t ring_bytes, uint64_t buckets, uint64_t epoch) except -1:
        # Several may come at once, and one be killed before it has said what it made: its size tells all but the salt.
        cdef size_t size = answers_bytes(ring_bytes, buckets)
        self.table = <answers_t*>share_region(path, size, ANSWERS_KIND, ANSWERS_LAYOUT)
        if self.table.region.bytes != size:
            raise ValueError(f"{path}: a cache of {self.table.ring_bytes >> 10} KiB, expected {ring_bytes >> 10}")
        answers_begin(self.table, ring_bytes, buckets, _salt(), epoch)
        return 0

    cdef uint32_t known(self, uint32_t engine) except? 0xFFFFFFFF:
        if engine >= ANSWER_ENGINES:
            raise ValueError(f"Answers: engine {engine}, expected a number that `engine` gave")
        return engine


cdef uint64_t _salt():
    return int.from_bytes(os.urandom(8), "little")


def hold_lock(Answers answers not None):
    """For tests: take the lock of writers and keep it."""
    return answers_lock(answers.table, answers.own)


def release_lock(Answers answers not None):
    """For tests: let go of it."""
    answers_unlock(answers.table, answers.own)


def reserve(Answers answers not None, uint64_t span):
    """For tests: as a writer that is killed in the middle of a record, which it has begun."""
    if not answers_lock(answers.table, answers.own):
        return False
    cdef uint64_t place = answers.table.reserved
    answers.table.reserved = place + ((span + 63) & ~<uint64_t>63)
    memset(<char*>(answers.table + 1) + answers.table.buckets * ANSWER_WAYS * 8 + (place & (answers.table.ring_bytes - 1)), 0xA5,
           min(span, answers.table.ring_bytes - (place & (answers.table.ring_bytes - 1))))
    return True
