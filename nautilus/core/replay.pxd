"""One pass over a journal: see replay.pyx."""

from libc.stdint cimport int64_t

from nautilus.core.hashing cimport hash_t
from nautilus.core.journal_reader cimport JournalReader
from nautilus.core.kernel cimport Kernel
from nautilus.core.log_mend cimport LogMend
from nautilus.core.replay_thread cimport batch_t, replay_t


cdef class Replay:
    cdef readonly Kernel kernel         # at the end of what was carried out; None before
    cdef readonly int64_t begun         # the command of the snapshot that it began at, or 0
    cdef readonly list notes            # what was mended, one line each
    cdef str path
    cdef object make
    cdef object open_log
    cdef LogMend mender                 # of the event log, where it is compared with one
    cdef object on_events
    cdef bint snapshots
    cdef object trouble                 # the first exception; nothing is carried out behind it
    cdef replay_t pass_
    cdef hash_t event_hash              # of all events that were looked at
    cdef bint checked                   # the first command was seen
    cdef bint ended                     # the kernel gives other events: they are not looked at any more

    cdef int begin(self, JournalReader reader, object at_most) except -1
    cdef int lacks(self, int64_t first) except -1
    cdef int carry(self, JournalReader reader) except -1
    cdef Py_ssize_t fill(self, JournalReader reader, batch_t* batch) except -1
    cdef int settle(self, batch_t* batch) except -1
