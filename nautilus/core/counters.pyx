"""Python face of the counter table; the operations are inline in counters.pxd."""

import errno as codes
import os

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy
from posix.unistd cimport getpid

from nautilus.core.counters cimport (
    COUNTER_COUNTER,
    COUNTER_GAUGE,
    COUNTER_NAME_BYTES,
    COUNTER_UNUSED,
    COUNTERS_KIND,
    COUNTERS_LAYOUT,
    COUNTERS_MOST,
    COUNTERS_STEP,
    counter_add,
    counter_get,
    counter_increment,
    counter_kind,
    counter_name,
    counter_set,
    counter_t,
    counters_close,
    counters_open,
    counters_reserve,
)
from nautilus.core.region cimport (
    process_start,
    region_attach,
    region_create_part,
    region_detach,
    region_t,
)


cdef class Counters:
    """One writer a counter. Named counters (which only grow) and gauges, at most `capacity` of them.

    Parameters
    ----------
    capacity : int
        1 or more. Each takes 128 bytes when it is made, not before, so the default is far more than anybody needs.
    path : str or PathLike, optional
        File to share them through: made (for this user alone), or gone on with, names and values as they are; one of
        less capacity is made wider. One process writes at a time. Without it they lie in this process's memory.

    Raises
    ------
    ValueError
        No capacity, or the file is no table, or one of more capacity.
    OSError
        The file can be neither opened nor made.
    """

    def __cinit__(self, uint32_t capacity=COUNTERS_MOST, path=None):
        self.indexes = {}
        self.capacity = capacity
        if path is not None:
            self.share(os.fspath(path))
            return
        self.table = counters_open(capacity)
        if self.table is NULL:
            raise ValueError(f"Counters: capacity {capacity}, expected 1 or more and memory for it")
        self.present = capacity

    def __dealloc__(self):
        if self.region is not NULL:
            region_detach(self.region)
        elif self.table is not NULL:
            counters_close(self.table, self.capacity)

    @staticmethod
    def load(path):
        """A copy, apart, of the table that another process writes to a file.

        Raises
        ------
        FileNotFoundError
            There is none.
        ValueError
            The file is damaged, or no table of counters.
        """
        cdef str name = os.fspath(path)
        cdef region_t* region = region_attach(name.encode(), COUNTERS_KIND, COUNTERS_LAYOUT)
        if region is NULL:
            raise _refusal(name, errno)
        cdef uint32_t capacity = <uint32_t>((region.bytes - sizeof(region_t)) // sizeof(counter_t))
        cdef const counter_t* source = <const counter_t*>(region + 1)
        cdef uint32_t i
        cdef uint8_t kind
        cdef Counters copy
        try:
            copy = Counters(max(capacity, 1))
            for i in range(capacity):
                kind = counter_kind(source + i)
                if kind == COUNTER_UNUSED:
                    break
                counter_name(copy.table + i, source[i].name, COUNTER_NAME_BYTES, kind)
                counter_set(copy.table + i, counter_get(source + i))
            copy.find(name)
        finally:
            region_detach(region)
        return copy

    @staticmethod
    def read(path):
        """{name: value} of the table that another process writes to a file; raises as `load` does."""
        return Counters.load(path).snapshot()

    def counter(self, str name not None):
        """Index of the counter of that name, which is made where there is none.

        Raises
        ------
        ValueError
            The name is empty, longer than 118 bytes or taken by a gauge, or the table is full.
        OSError
            Of a file: there is no room for more where it lies.
        """
        return self.named(name, COUNTER_COUNTER)

    def gauge(self, str name not None):
        """Index of the gauge of that name, which is made where there is none. Raises as `counter` does."""
        return self.named(name, COUNTER_GAUGE)

    def increment(self, uint32_t index):
        """Add one."""
        counter_increment(self.at(index))

    def add(self, uint32_t index, int64_t amount):
        """Add an amount; a counter takes none below zero."""
        cdef counter_t* counter = self.at(index)
        if amount < 0 and counter.kind == COUNTER_COUNTER:
            raise ValueError(f"Counters.add: {amount} to counter {_name(counter)!r}, expected 0 or more")
        counter_add(counter, amount)

    def set(self, uint32_t index, int64_t value):
        """Set a gauge; a counter cannot be set."""
        cdef counter_t* counter = self.at(index)
        if counter.kind != COUNTER_GAUGE:
            raise ValueError(f"Counters.set: {_name(counter)!r} is a counter, expected a gauge")
        counter_set(counter, value)

    def get(self, uint32_t index):
        """The value now."""
        return counter_get(self.at(index))

    def snapshot(self):
        """{name: value}, in the order they were made. Each value is whole; together they are of no one moment."""
        return {name: counter_get(self.table + <uint32_t>index) for name, index in self.indexes.items()}

    def gauges(self):
        """Names of those that are gauges."""
        return frozenset(
            name for name, index in self.indexes.items() if self.table[<uint32_t>index].kind == COUNTER_GAUGE
        )

    def __len__(self):
        return self.used

    cdef int share(self, str path) except -1:
        cdef bytes name = path.encode()
        cdef size_t size = sizeof(region_t) + <size_t>self.capacity * sizeof(counter_t)
        cdef int why
        if self.capacity == 0:
            raise ValueError("Counters: capacity 0, expected 1 or more")
        self.region = region_attach(name, COUNTERS_KIND, COUNTERS_LAYOUT)
        if self.region is NULL:
            why = errno
            if why != codes.ENOENT:
                raise _refusal(path, why)
            self.region = region_create_part(name, size, _first(self.capacity), COUNTERS_KIND, COUNTERS_LAYOUT, 0)
            if self.region is NULL:
                raise _refusal(path, errno)
        elif self.region.bytes > size:
            raise ValueError(
                f"{path}: a table of {(self.region.bytes - sizeof(region_t)) // sizeof(counter_t)} counters, "
                f"expected {self.capacity}"
            )
        elif self.region.bytes < size:
            self.widen(path, size)
        self.region.owner = getpid()
        self.region.owner_start = process_start(self.region.owner)
        self.table = <counter_t*>(self.region + 1)
        self.find(path)
        return self.reserve(self.used + 1, path)

    cdef int widen(self, str path, size_t size) except -1:
        # The file's table in one of more capacity. It takes the name whole, or not at all.
        cdef bytes wider = f"{path}.wider".encode()
        cdef size_t held = self.region.bytes - sizeof(region_t)
        cdef region_t* made = region_create_part(
            wider, size, max(self.region.bytes, _first(self.capacity)), COUNTERS_KIND, COUNTERS_LAYOUT, self.region.epoch
        )
        if made is NULL:
            raise _refusal(path, errno)
        memcpy(made + 1, self.region + 1, held)
        try:
            os.rename(wider, path)
        except OSError:
            region_detach(made)
            os.unlink(wider)
            raise
        self.region.retired = 1
        region_detach(self.region)
        self.region = made
        return 0

    cdef int reserve(self, uint32_t count, str path) except -1:
        # Memory for so many counters, in a file for one more, at which readers stop.
        cdef uint32_t most
        cdef int why
        while self.present < self.capacity and self.present <= count:
            most = min(self.capacity, self.present + COUNTERS_STEP)
            why = counters_reserve(self.table + self.present, most - self.present)
            if why:
                raise OSError(why, os.strerror(why), path)
            self.present = most
        return 0

    cdef int find(self, str path) except -1:
        # Takes in the names that are there already.
        cdef uint8_t kind
        cdef counter_t* counter
        self.used = 0
        while self.used < self.capacity:
            counter = self.table + self.used
            kind = counter_kind(counter)
            if kind == COUNTER_UNUSED:
                break
            try:
                name = _name(counter)
            except UnicodeDecodeError:
                name = ""
            if kind > COUNTER_GAUGE or not name or name in self.indexes:
                raise ValueError(f"{path}: counter {self.used} is damaged, expected a name of its own and a kind")
            self.indexes[name] = self.used
            self.used += 1
        return 0

    cdef uint32_t named(self, str name, uint8_t kind) except? 0xFFFFFFFF:
        cdef bytes encoded = name.encode()
        cdef counter_t* counter
        if name in self.indexes:
            counter = self.table + <uint32_t>self.indexes[name]
            if counter.kind != kind:
                raise ValueError(f"Counters: {name!r} exists as the other kind")
            return self.indexes[name]
        if not 0 < len(encoded) < COUNTER_NAME_BYTES or b"\0" in encoded:
            raise ValueError(f"Counters: name {name!r}, expected 1 to {COUNTER_NAME_BYTES - 1} bytes without NUL")
        if self.used == self.capacity:
            raise ValueError(f"Counters: no room for {name!r}, all {self.capacity} are in use")
        self.reserve(self.used + 1, None)
        counter_name(self.table + self.used, <const char*>encoded, len(encoded), kind)
        self.indexes[name] = self.used
        self.used += 1
        return self.used - 1

    cdef counter_t* at(self, uint32_t index) except NULL:
        if index >= self.used:
            raise ValueError(f"Counters: index {index}, expected less than {self.used}")
        return self.table + index


cdef size_t _first(uint32_t capacity):
    # Bytes of a new file that are allocated at once.
    return sizeof(region_t) + <size_t>min(capacity, <uint32_t>COUNTERS_STEP) * sizeof(counter_t)


cdef str _name(const counter_t* counter):
    return (<const char*>counter.name)[:COUNTER_NAME_BYTES].partition(b"\0")[0].decode()


cdef _refusal(str path, int why):
    if why == codes.EINVAL:
        return ValueError(f"{path}: damaged, or no table of counters")
    return OSError(why, os.strerror(why), path)
