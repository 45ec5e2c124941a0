"""One thread. The event log beside a replay: compared, then made to agree. See log_mend.pyx."""

from libc.stdint cimport int64_t

from nautilus.core.eventlog cimport EventLogWriter
from nautilus.core.replay_thread cimport batch_t


cdef class LogMend:
    cdef readonly EventLogWriter log
    cdef readonly int64_t logged        # events that the log lacked and has now
    cdef object confirm                 # called with a command before its events are written, or None
    cdef bint writing                   # what is lacking is written at once; else it is kept
    cdef int64_t lacking                # the first event that the log lacks; 0: none so far
    cdef bint differs                   # the log has another one there
    cdef bint overflow                  # too many to keep: they have to be made once more
    cdef list events                    # kept ones, from `lacking` on
    cdef list commands                  # and what gave them
    cdef Py_ssize_t kept

    # Look at the events of a batch that was carried out; batches come in order.
    cdef int compare(self, batch_t* batch) except -1
    # Make the log end at event `last`, with what was kept; whether that is all. Else compare everything anew.
    cdef bint mend(self, int64_t last, list notes) except -1
    cdef int keep(self, batch_t* batch, Py_ssize_t first) except -1
    cdef int write(self) except -1

# A fresh array of `size` bytes of records.
cdef object copied(const void* records, Py_ssize_t size, object dtype)
