"""Two threads: one fills batches of commands and looks at their events, the other carries them out. See replay.pyx.

    owner: fill -> FILLED        native thread: carry out -> CARRIED        owner: look, fill again (or give back, for
                                                                            the rest of the batch's events)

The native thread takes the batches in turn and touches nothing of Python. What can be done elsewhere is not its work: the
running hash of the events is the owner's, to be given to the kernel at the end.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.port cimport state_load, state_store
from nautilus.core.segment cimport hash_body_t
from nautilus.core.state cimport kernel_t
from nautilus.core.types cimport command_t, event_t

cdef extern from "<pthread.h>" nogil:
    ctypedef unsigned long pthread_t

cdef enum:
    REPLAY_BATCHES = 16         # a power of two
    REPLAY_COMMANDS = 512       # of a batch, at most
    REPLAY_EVENTS = 1024        # of a batch at once; what is more comes when it is given back

# batch_t.state
cdef enum:
    BATCH_FREE = 0              # the owner's
    BATCH_FILLED = 1            # the native thread's
    BATCH_CARRIED = 2           # the owner's, with events

ctypedef struct batch_t:
    uint32_t state
    bint whole                  # every command is carried out, and every event was shown
    command_t* commands
    event_t* events
    Py_ssize_t count            # commands
    Py_ssize_t done             # of them, carried out
    Py_ssize_t produced         # events
    int64_t last_sequence       # of the kernel, once it is whole
    uint64_t journal_hash       # of its commands up to there
    bint marked                 # a hash record stands behind these commands; for the owner
    hash_body_t mark

ctypedef struct replay_t:
    kernel_t* kernel
    batch_t[REPLAY_BATCHES] batches
    void* memory
    uint32_t stop
    bint started
    pthread_t thread

# Memory and the native thread, for a kernel that nobody else uses until the end: 0 or an errno.
cdef int replay_begin(replay_t* replay, kernel_t* kernel) noexcept nogil
# End the thread, whatever it is at, and free the memory. A second call does nothing.
cdef void replay_end(replay_t* replay) noexcept nogil
# Wait until a batch is carried out.
cdef void batch_wait(replay_t* replay, batch_t* batch) noexcept nogil


cdef inline void batch_fill(batch_t* batch) noexcept nogil:
    """Hand a batch over."""
    state_store(&batch.state, BATCH_FILLED)


cdef inline bint batch_carried(const batch_t* batch) noexcept nogil:
    """Whether it is carried out, as far as there was room for its events."""
    return state_load(&batch.state) == BATCH_CARRIED
