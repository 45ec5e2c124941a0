"""Python face of the counter table; the operations are inline in counters.pxd."""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, strlen

from nautilus.core.counters cimport (
    COUNTER_COUNTER,
    COUNTER_GAUGE,
    COUNTER_NAME_BYTES,
    counter_add,
    counter_get,
    counter_increment,
    counter_set,
    counter_t,
    counters_close,
    counters_open,
)


cdef class Counters:
    """One writer a counter. Named counters (which only grow) and gauges, at most `capacity` of them.

    Parameters
    ----------
    capacity : int
        1 or more; 128 bytes each.
    """

    cdef counter_t* _table
    cdef uint32_t _capacity, _used
    cdef dict _indexes

    def __cinit__(self, uint32_t capacity=256):
        self._table = counters_open(capacity)
        if self._table is NULL:
            raise ValueError(f"Counters: capacity {capacity}, expected 1 or more and memory for it")
        self._capacity = capacity
        self._indexes = {}

    def __dealloc__(self):
        if self._table is not NULL:
            counters_close(self._table, self._capacity)

    def counter(self, str name not None):
        """Index of the counter of that name, which is made where there is none.

        Raises
        ------
        ValueError
            The name is empty, longer than 118 bytes or taken by a gauge, or the table is full.
        """
        return self._open(name, COUNTER_COUNTER)

    def gauge(self, str name not None):
        """Index of the gauge of that name, which is made where there is none. Raises as `counter` does."""
        return self._open(name, COUNTER_GAUGE)

    def increment(self, uint32_t index):
        """Add one."""
        counter_increment(self._at(index))

    def add(self, uint32_t index, int64_t amount):
        """Add an amount; a counter takes none below zero."""
        cdef counter_t* counter = self._at(index)
        if amount < 0 and counter.kind == COUNTER_COUNTER:
            raise ValueError(f"Counters.add: {amount} to counter {_name(counter)!r}, expected 0 or more")
        counter_add(counter, amount)

    def set(self, uint32_t index, int64_t value):
        """Set a gauge; a counter cannot be set."""
        cdef counter_t* counter = self._at(index)
        if counter.kind != COUNTER_GAUGE:
            raise ValueError(f"Counters.set: {_name(counter)!r} is a counter, expected a gauge")
        counter_set(counter, value)

    def get(self, uint32_t index):
        """The value now."""
        return counter_get(self._at(index))

    def snapshot(self):
        """{name: value}, in the order they were made. Each value is whole; together they are of no one moment."""
        return {name: counter_get(self._table + <uint32_t>index) for name, index in self._indexes.items()}

    def __len__(self):
        return self._used

    cdef uint32_t _open(self, str name, uint8_t kind) except? 0xFFFFFFFF:
        cdef bytes encoded = name.encode()
        cdef counter_t* counter
        if name in self._indexes:
            counter = self._table + <uint32_t>self._indexes[name]
            if counter.kind != kind:
                raise ValueError(f"Counters: {name!r} exists as the other kind")
            return self._indexes[name]
        if not 0 < len(encoded) < COUNTER_NAME_BYTES or b"\0" in encoded:
            raise ValueError(f"Counters: name {name!r}, expected 1 to {COUNTER_NAME_BYTES - 1} bytes without NUL")
        if self._used == self._capacity:
            raise ValueError(f"Counters: no room for {name!r}, all {self._capacity} are in use")
        counter = self._table + self._used
        memcpy(counter.name, <const char*>encoded, len(encoded))
        counter.kind = kind
        self._indexes[name] = self._used
        self._used += 1
        return self._used - 1

    cdef counter_t* _at(self, uint32_t index) except NULL:
        if index >= self._used:
            raise ValueError(f"Counters: index {index}, expected less than {self._used}")
        return self._table + index


cdef str _name(const counter_t* counter):
    return counter.name[:strlen(counter.name)].decode()
