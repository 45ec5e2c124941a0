"""The core's control region as the process that hands the journal to a standby uses it. One thread."""

from nautilus.core.port cimport control_t


cdef class ReplicaPort:
    cdef control_t* control
    cdef int bell                   # read end of the FIFO by which the journal thread wakes a poll
    cdef int check(self) except -1
