"""Any process, any thread. A region of things that are found by name, made where there is none, and their holders.

Places are taken in order and never given back, so two who look for one name meet at one place. One who is killed while
he makes a thing leaves its place marked by his own among the holders; whoever comes next makes it.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t

from nautilus.core.holders cimport Tenant, holders_t
from nautilus.core.region cimport region_t

cdef extern from *:
    """
    #ifndef NAUTILUS_NAMED_TABLE_H
    #define NAUTILUS_NAMED_TABLE_H
    #include <stdint.h>
    #define NAMED_BYTES 120

    typedef struct named_t {
        uint64_t taken;                     /* 0 unused, 1 in use, else 2 + the holder that makes it */
        char     name[NAMED_BYTES];
    } named_t;

    typedef struct named_table_t {
        uint64_t  capacity, reserved[7];
        holders_t holders;
    } named_table_t;                        /* the things follow */
    #endif
    """
    ctypedef struct named_t:
        uint64_t taken
        char* name
    ctypedef struct named_table_t:
        uint64_t capacity
        holders_t holders
    const int NAMED_BYTES


cdef class NamedTable(Tenant):
    cdef region_t* region               # that of the file; NULL: memory of this process and its children
    cdef named_table_t* table
    cdef size_t bytes                   # of the memory, where there is no file
    cdef size_t thing_bytes, named_at   # of a thing, and where in it its `named_t` lies
    cdef dict known                     # the objects of this process, by name
    cdef int open_table(self, object path, uint32_t capacity, size_t thing_bytes, size_t named_at, uint32_t kind,
                        uint32_t layout) except -1
    cdef void* thing(self, uint64_t index) noexcept nogil
    cdef named_t* named(self, uint64_t index) noexcept nogil
    cdef void* thing_of(self, str name) except NULL
    # Of a new one: its settings. Overridden.
    cdef int begin_thing(self, void* thing) except -1
    # Free what the holder of a place has of it; how much. Overridden.
    cdef int free_thing(self, void* thing, uint32_t place) noexcept nogil
