"""One pass over a journal: it is read, checked, carried out anew, and compared with its hashes and the event log.

    segments ---> this thread: reads, checks, decodes ---> batches ---> native thread: Kernel
    event log --> this thread: checks, compares <--------- events <----'

What bounds it is the kernel; the other thread has work for a third of that time. Nothing is written before the journal
is known to be as it should, so a journal that is refused, or gives other events, is left as it was.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint64_t

from nautilus.core.hashing cimport hash_name, hash_take, hash_value
from nautilus.core.journal cimport JOURNAL_CHECKPOINT, Journal, journal_hashes
from nautilus.core.journal_reader cimport JournalReader
from nautilus.core.kernel cimport Kernel
from nautilus.core.log_mend cimport LogMend, copied
from nautilus.core.replay_thread cimport (
    REPLAY_BATCHES, REPLAY_COMMANDS, batch_carried, batch_fill, batch_t, batch_wait, replay_begin, replay_end)
from nautilus.core.segment cimport RECORD_HASH, segment_hashes
from nautilus.core.types cimport KERNEL_RULES, event_t

import os

from nautilus.core.kernel import KernelError
from nautilus.core.segment import JournalError
from nautilus.core.snapshot_file import latest_snapshot
from nautilus.core.types import EVENT

cdef enum:
    AT_ONCE = 1 << 20           # records checked, and not carried out, before signals are looked at


cdef class Replay:
    """One thread, which starts another. Brings a kernel to the end of a journal.

    Parameters
    ----------
    make : callable
        Gives an empty kernel: ``make(capacity=, closed_capacity=)``.
    snapshots : bool
        Begin at the latest sound snapshot; what lies before it is checked all the same.
    on_events : callable, optional
        Called with the events in order, in EVENT arrays.
    open_log : callable, optional
        Opens the event log, an `EventLogWriter`, that the events are compared with. Called once the journal is known
        to be nobody else's.

    A `Journal` that is opened with one goes through it on the way: `walk`, then `check`; `finish` is left to the caller.
    """

    def __init__(self, make, *, snapshots=True, on_events=None, open_log=None):
        self.make = make
        self.snapshots = snapshots
        self.on_events = on_events
        self.open_log = open_log
        self.notes = []

    def walk(self, path):
        """Go through the journal at `path`, all of its valid prefix; the `JournalReader` that did. Raises OSError."""
        cdef JournalReader reader
        at_most = None
        self.path = os.fsdecode(path)
        if self.open_log is not None and self.mender is None:
            self.mender = LogMend(self.open_log())
        while True:
            reader = JournalReader(path, strict=False, any_rules=True)
            if reader.finished:
                return reader           # no segment that counts: nothing to carry out
            self.begin(reader, at_most)
            self.carry(reader)
            if self.begun <= reader.last_sequence:
                break
            at_most = reader.last_sequence      # the snapshot is of commands that are lost
        if self.trouble is None and not self.checked and self.begun != reader.last_sequence:
            self.lacks(reader.last_sequence + 1)
        return reader

    def check(self):
        """Raise what stood in the way of carrying out every command: KernelError, JournalError."""
        if self.trouble is not None:
            raise self.trouble

    def finish(self, Journal journal not None, confirm=None):
        """The kernel; the event log then ends where it does. `journal` is open, sound, and opened with this replay.

        confirm: called with a command before events up to it are written; returns when they may be shown.
        """
        if self.kernel is None:
            self.kernel = self.make(capacity=journal.capacity, closed_capacity=journal.closed_capacity)
            self.kernel.set_hashes(journal_hashes(&journal.state))
        if self.mender is not None:
            self.mender.confirm = confirm
            if not self.mender.mend(self.kernel.state.event_sequence, self.notes):
                self.walk(self.path)
                self.check()
        return self.kernel

    @property
    def log(self):
        """The EventLogWriter, once the journal was gone through with `open_log`; else None."""
        return self.mender.log if self.mender is not None else None

    @property
    def logged(self):
        """Events that the log lacked, and has now."""
        return self.mender.logged if self.mender is not None else 0

    cdef int begin(self, JournalReader reader, object at_most) except -1:
        """A kernel at the beginning, or at a snapshot that the event log reaches."""
        cdef Kernel kernel = self.make(capacity=reader.header.capacity, closed_capacity=reader.header.closed_capacity)
        cdef int kind = segment_hashes(&reader.header)
        self.trouble = None
        self.checked = self.ended = False
        if self.snapshots:
            start = latest_snapshot(reader.path, at_most)
            if start.payload is not None:
                kernel.restore(start.payload)
                end = self.mender.log.last_sequence if self.mender is not None else kernel.last_event_sequence
                if end < kernel.last_event_sequence:
                    # What the log lacks has to be made from the beginning.
                    note = f"event log: ends at {end}, before the snapshot; written anew from the journal"
                    if note not in self.notes:
                        self.notes.append(note)
                    kernel = self.make(capacity=reader.header.capacity, closed_capacity=reader.header.closed_capacity)
        if not kernel.set_hashes(kind):
            self.trouble = KernelError(
                "JOURNAL", f"{self.path}: snapshot of command {kernel.state.sequence}: hashes: expected "
                f"{hash_name(kind)} as the journal has, found {kernel.hashes}")
        self.kernel = kernel
        self.begun = kernel.state.sequence
        if self.begun:
            reader.start = self.begun + 1
        return 0

    cdef int lacks(self, int64_t first) except -1:
        """The journal goes on at another command than the next one."""
        self.trouble = KernelError(
            "JOURNAL", f"{self.path}: expected command {self.begun + 1}, found {first} as the first")
        return 0

    cdef int carry(self, JournalReader reader) except -1:
        """Read to the end; what is read and is to be carried out, is."""
        cdef Kernel kernel = self.kernel
        cdef batch_t* batch
        cdef Py_ssize_t filled = 0, settled = 0     # batches so far
        cdef int rc
        kernel.alone()
        kernel.busy = True
        self.event_hash = kernel.state.event_hash
        rc = replay_begin(&self.pass_, &kernel.state)
        try:
            if rc != 0:
                raise OSError(rc, os.strerror(rc), "a thread to carry the journal out")
            while filled > settled or not reader.finished:
                PyErr_CheckSignals()
                batch = &self.pass_.batches[settled % REPLAY_BATCHES]
                if filled > settled and (reader.finished or filled - settled == REPLAY_BATCHES or batch_carried(batch)):
                    with nogil:
                        batch_wait(&self.pass_, batch)
                    self.settle(batch)
                    if batch.whole:
                        settled += 1
                    else:
                        batch_fill(batch)
                elif not reader.inside:
                    reader.enter()
                else:
                    filled += self.fill(reader, &self.pass_.batches[filled % REPLAY_BATCHES])
        except BaseException:
            kernel.stop("a replay was not carried through")
            raise
        finally:
            replay_end(&self.pass_)
            kernel.state.event_hash = self.event_hash
            kernel.busy = False
        return 0

    cdef Py_ssize_t fill(self, JournalReader reader, batch_t* batch) except -1:
        """Read on; whether the batch is handed over."""
        cdef int64_t skipped = reader.start - 1 - reader.cursor.last_sequence
        cdef Py_ssize_t count = 0
        cdef int kind
        if self.trouble is not None or skipped > 0:
            reader.read(NULL, min(skipped, <int64_t>AT_ONCE) if self.trouble is None else AT_ONCE, &count)
            return 0
        kind = reader.read(batch.commands, REPLAY_COMMANDS, &count)
        batch.marked = kind == RECORD_HASH and reader.cursor.hash.command_sequence > self.begun
        if count == 0 and not batch.marked:
            return 0
        if count and reader.header.rules != KERNEL_RULES:
            self.trouble = JournalError(
                f"{reader.path}/{reader.names[reader.entered - 1]}: rules: expected kernel rules {KERNEL_RULES}, found "
                f"{reader.header.rules}; such commands would give other events, start from a snapshot behind them",
                "rules")
            return 0
        if count and not self.checked and batch.commands[0].sequence != self.begun + 1:
            self.lacks(batch.commands[0].sequence)
            return 0
        self.checked = True
        batch.mark = reader.cursor.hash
        batch.count = count
        batch.done = 0
        batch_fill(batch)
        return 1

    cdef int settle(self, batch_t* batch) except -1:
        """Look at the events of a batch, and at the hashes behind it."""
        cdef const event_t* events = batch.events
        cdef uint64_t event_hash
        if self.ended:
            return 0
        hash_take(&self.event_hash, events, batch.produced * sizeof(event_t))
        event_hash = hash_value(&self.event_hash)
        if batch.whole and batch.marked and batch.mark.command_sequence == batch.last_sequence and (
                batch.mark.event_hash != event_hash or batch.mark.journal_hash != batch.journal_hash):
            self.ended = True
            first = max(1, batch.last_sequence - JOURNAL_CHECKPOINT + 1)
            self.trouble = KernelError(
                "REPLAY_DIFFERS", f"{self.path}: commands {first} to {batch.last_sequence} give event hash "
                f"{event_hash:016x}, expected {batch.mark.event_hash:016x}")
            return 0
        if self.mender is not None:
            self.mender.compare(batch)
        if self.on_events is not None and batch.produced:
            self.on_events(copied(events, batch.produced * <Py_ssize_t>sizeof(event_t), EVENT))
        return 0
