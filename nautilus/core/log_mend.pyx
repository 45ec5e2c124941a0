"""Compares the events of a replay with the event log; what it lacks is kept until the journal is known to be sound."""

from libc.stdint cimport int64_t
from libc.string cimport memcpy

from nautilus.core.eventlog cimport EventLogWriter
from nautilus.core.replay_thread cimport batch_t
from nautilus.core.types cimport command_t, event_t

import numpy as np

from nautilus.core.eventlog import deliveries
from nautilus.core.types import COMMAND, EVENT

cdef enum:
    KEPT = 1 << 17              # records kept at most, 16 MiB: what is more is rather made once more


cdef class LogMend:
    """One thread. For the `EventLogWriter` that is open."""

    def __init__(self, EventLogWriter log not None):
        self.log = log
        self.events, self.commands = [], []

    cdef int compare(self, batch_t* batch) except -1:
        cdef Py_ssize_t same = 0, known
        cdef int64_t first
        if not self.lacking and batch.produced:
            first = batch.events[0].sequence
            known = max(min(<int64_t>batch.produced, self.log.state.last_sequence - first + 1), <int64_t>0)
            same = self.log.agree(batch.events, known)
            if same < batch.produced:
                self.lacking = first + same
                self.differs = same < known
        if self.lacking and not self.overflow:
            self.keep(batch, same)
            if self.writing and batch.whole:
                self.write()
        return 0

    cdef bint mend(self, int64_t last, list notes) except -1:
        cdef int64_t end = self.log.state.last_sequence
        if self.differs:
            notes.append(f"event log: events from {self.lacking} on differ from the journal's; written anew")
            self.log.truncate(self.lacking - 1)
        elif end > last:
            notes.append(
                f"event log: events {last + 1} to {end} are of commands that the journal lost; cut")
            self.log.truncate(last)
        if not self.overflow:
            self.write()
            return True
        self.lacking = 0
        self.overflow = self.differs = False
        self.writing = True
        return False

    cdef int keep(self, batch_t* batch, Py_ssize_t first) except -1:
        """The events of a batch from number `first` on."""
        cdef Py_ssize_t more = batch.produced - first
        if more:
            self.events.append(copied(batch.events + first, more * <Py_ssize_t>sizeof(event_t), EVENT))
        if batch.whole:
            self.commands.append(copied(batch.commands, batch.count * <Py_ssize_t>sizeof(command_t), COMMAND))
            more += batch.count
        self.kept += more
        if self.kept > KEPT and not self.writing:
            self.overflow = True
            self.events, self.commands, self.kept = [], [], 0
        return 0

    cdef int write(self) except -1:
        if self.events:
            commands = np.concatenate(self.commands)
            events = np.concatenate(self.events)
            if self.confirm is not None:
                self.confirm(int(commands["sequence"][len(commands) - 1]))
            self.log.append(deliveries(events, commands))
            self.logged += len(events)
        self.events, self.commands, self.kept = [], [], 0
        return 0


cdef object copied(const void* records, Py_ssize_t size, object dtype):
    cdef unsigned char[::1] raw
    out = np.empty(size // dtype.itemsize, dtype)
    if size:
        raw = out.view(np.uint8)
        memcpy(&raw[0], records, size)
    return out
