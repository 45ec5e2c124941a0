"""The table of breakers and that of limits, as far as they are one: opened, searched, swept."""

import os

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset, strncmp
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

from nautilus.core.holders cimport HOLDERS, holder_dead, share_region, word_load, word_store, word_swap
from nautilus.core.named_table cimport NAMED_BYTES, named_t, named_table_t
from nautilus.core.region cimport region_detach, region_t, region_yield

NAME_BYTES = NAMED_BYTES


cdef class NamedTable(Tenant):
    """Any process, any thread. Base of the tables of `Breakers` and `Limiters`."""

    cdef int open_table(self, object path, uint32_t capacity, size_t thing_bytes, size_t named_at, uint32_t kind,
                        uint32_t layout) except -1:
        # A file of that path, made or used as it is; None: memory. ValueError, OSError, MemoryError: see `Breakers`.
        cdef void* place
        self.known = {}
        self.thing_bytes, self.named_at = thing_bytes, named_at
        self.what = type(self).__name__ if path is None else os.fspath(path)
        if capacity == 0:
            raise ValueError(f"{type(self).__name__}: capacity 0, expected 1 or more")
        self.bytes = sizeof(named_table_t) + <size_t>capacity * thing_bytes
        if path is None:
            place = mmap(NULL, self.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
            if place == MAP_FAILED:
                raise MemoryError(f"{self.what}: no memory")
            self.table = <named_table_t*>place
        else:
            self.region = share_region(os.fspath(path), sizeof(region_t) + self.bytes, kind, layout)
            if self.region.bytes < sizeof(region_t) + sizeof(named_table_t) + thing_bytes:
                region_detach(self.region)
                self.region = NULL
                raise ValueError(f"{self.what}: damaged, or a region of another kind")
            self.table = <named_table_t*>(self.region + 1)
            # The first one's holds, by the size of what it made.
            capacity = <uint32_t>((self.region.bytes - sizeof(region_t) - sizeof(named_table_t)) // thing_bytes)
        self.table.capacity = capacity
        self.holders = &self.table.holders
        self.take_place()
        return 0

    def __dealloc__(self):
        self.leave_place()
        if self.region is not NULL:
            region_detach(self.region)
        elif self.table is not NULL:
            munmap(self.table, self.bytes)

    @property
    def capacity(self):
        """How many it has room for."""
        return self.table.capacity

    def names(self):
        """Names of all in it, in the order they were made, by whomever."""
        cdef uint64_t index
        found = []
        for index in range(self.table.capacity):
            if word_load(&self.named(index).taken) != 1:
                break
            found.append(self.named(index).name[:NAMED_BYTES].partition(b"\0")[0].decode("utf-8", "replace"))
        return found

    def sweep(self):
        """Take back what dead processes hold; how many permits that were. Else done where no permit is found free."""
        return self.sweep_now()

    cdef void* thing(self, uint64_t index) noexcept nogil:
        return <char*>(self.table + 1) + index * self.thing_bytes

    cdef named_t* named(self, uint64_t index) noexcept nogil:
        return <named_t*>(<char*>self.thing(index) + self.named_at)

    cdef void* thing_of(self, str name) except NULL:
        # ValueError: no name of 1 to 119 bytes, or no room.
        cdef bytes encoded = name.encode()
        cdef uint64_t index = 0, taken, holder, mine = <uint64_t>self.place + 2
        cdef named_t* at
        if self.moved():
            self.take_place()
            mine = <uint64_t>self.place + 2
        if not 0 < len(encoded) < NAMED_BYTES or b"\0" in encoded:
            raise ValueError(f"{self.what}: name {name!r}, expected 1 to {NAMED_BYTES - 1} bytes without NUL")
        while index < self.table.capacity:
            at = self.named(index)
            taken = word_load(&at.taken)
            if taken == 1:
                if strncmp(at.name, <const char*>encoded, NAMED_BYTES) == 0:
                    return self.thing(index)
                index += 1
                continue
            # A place that cannot be (a damaged file) is nobody's.
            holder = word_load(&self.holders.words[taken - 2]) if 2 <= taken < <uint64_t>HOLDERS + 2 else 0
            if holder and taken != mine and not holder_dead(holder):
                region_yield()              # another one is just making it
            elif word_swap(&at.taken, taken, mine):
                memset(at.name, 0, NAMED_BYTES)
                memcpy(at.name, <const char*>encoded, len(encoded))
                self.begin_thing(self.thing(index))
                word_store(&at.taken, 1)
                return self.thing(index)
        raise ValueError(f"{self.what}: no room for {name!r}, all {self.table.capacity} are in use")

    cdef int begin_thing(self, void* thing) except -1:
        return 0

    cdef int free_thing(self, void* thing, uint32_t place) noexcept nogil:
        return 0

    cdef int free_of(self, uint32_t place) noexcept nogil:
        cdef uint64_t index, taken
        cdef int freed = 0
        for index in range(self.table.capacity):
            taken = word_load(&self.named(index).taken)
            if taken != 1:
                # Half made: the next holder of that place is not waited for.
                if taken == <uint64_t>place + 2:
                    word_swap(&self.named(index).taken, taken, 0)
                break
            freed += self.free_thing(self.thing(index), place)
        return freed
