"""Any thread of any process. The table of routes from Python; route_table.pxd has its memory, route_choice.pxd its rules."""

from libc.stdint cimport int64_t, uint32_t

from nautilus.core.route_choice cimport route_view_t
from nautilus.core.route_table cimport route_tally_t, route_target_t


cdef class Routes:
    cdef route_view_t view          # for `route_choose` and `route_learn`; valid as long as this object
    cdef size_t bytes
    cdef bint shared
    cdef bint entered               # the cell `view.holder` is this object's
    cdef str _region
    cdef dict _places
    cdef route_target_t* target_at(self, uint32_t target) except NULL
    cdef route_tally_t* tally_at(self, uint32_t strategy) except NULL
    cdef int open(self, object path, uint32_t capacity, int64_t half_life_ns) except -1
    cdef bint sound(self) noexcept nogil
    cdef int enter(self) except -1
    cdef int take_lock(self) except -1
