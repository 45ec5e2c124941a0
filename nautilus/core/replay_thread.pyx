"""The thread that carries a journal out, and the batches that it is given: see replay_thread.pxd."""

from libc.errno cimport ENOMEM
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint8_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset

from nautilus.core.hashing cimport hash_value
from nautilus.core.orders cimport kernel_run
from nautilus.core.port cimport state_load, state_store
from nautilus.core.ring cimport cpu_relax
from nautilus.core.state cimport kernel_t
from nautilus.core.types cimport command_t, event_t

cdef extern from *:
    """
    #include <pthread.h>
    #include <sched.h>
    #include <signal.h>
    #include <time.h>
    static void nap(void)
    {
        struct timespec time = {0, 20000};
        nanosleep(&time, NULL);
    }
    /* Signals are for Python's thread alone. */
    static int start_thread(pthread_t *thread, void *(*start)(void *), void *argument)
    {
        sigset_t every, before;
        sigfillset(&every);
        pthread_sigmask(SIG_BLOCK, &every, &before);
        int rc = pthread_create(thread, NULL, start, argument);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return rc;
    }
    """
    void nap() noexcept nogil
    int start_thread(pthread_t* thread, void* (*start)(void*) noexcept nogil, void* argument) noexcept nogil

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from "<pthread.h>" nogil:
    int pthread_join(pthread_t thread, void** result)
    int pthread_setname_np(pthread_t thread, const char* name)

cdef extern from "<stdlib.h>" nogil:
    int posix_memalign(void** place, size_t alignment, size_t bytes)

cdef enum:
    LOOKS = 256                 # some microseconds; then the core may be wanted by whoever is waited for
    YIELDS = 32


cdef void rest(uint32_t looked) noexcept nogil:
    if looked < LOOKS:
        cpu_relax()
    elif looked < LOOKS + YIELDS:
        sched_yield()
    else:
        nap()                   # there are batches for longer than that


cdef void carry_out(kernel_t* k, batch_t* batch) noexcept nogil:
    """The commands of a batch, as far as there is room for their events; first the events that had none before."""
    cdef Py_ssize_t kept = k.spill_count - k.spill_read
    cdef Py_ssize_t i = batch.done
    k.out = batch.events
    k.out_capacity = REPLAY_EVENTS
    if kept > REPLAY_EVENTS:
        kept = REPLAY_EVENTS
    if kept:
        memcpy(k.out, &k.spill[k.spill_read], kept * sizeof(event_t))
        k.spill_read += kept
    k.out_count = kept
    if k.spill_read == k.spill_count:
        k.spill_read = k.spill_count = 0
        # The running hash of the events is the owner's work.
        i += kernel_run(k, &batch.commands[i], batch.count - i, NULL, False)
    k.out_hashed = k.out_count
    k.spill_hashed = k.spill_count
    batch.done = i
    batch.produced = k.out_count
    batch.whole = i == batch.count and k.spill_read == k.spill_count
    if batch.whole:
        batch.last_sequence = k.sequence
        batch.journal_hash = hash_value(&k.command_hash)


cdef void* replay_main(void* argument) noexcept nogil:
    cdef replay_t* replay = <replay_t*>argument
    cdef uint32_t place = 0, looked = 0
    cdef batch_t* batch
    while not state_load(&replay.stop):
        batch = &replay.batches[place]
        if state_load(&batch.state) != BATCH_FILLED:
            rest(looked)
            looked += 1
            continue
        looked = 0
        carry_out(replay.kernel, batch)
        if batch.whole:
            place = (place + 1) % REPLAY_BATCHES
        state_store(&batch.state, BATCH_CARRIED)
    return NULL


cdef int replay_begin(replay_t* replay, kernel_t* kernel) noexcept nogil:
    cdef size_t commands = REPLAY_COMMANDS * sizeof(command_t), events = REPLAY_EVENTS * sizeof(event_t)
    cdef uint8_t* place
    cdef int i, rc
    memset(replay, 0, sizeof(replay_t))
    if posix_memalign(&replay.memory, 64, REPLAY_BATCHES * (commands + events)) != 0:
        replay.memory = NULL
        return ENOMEM
    place = <uint8_t*>replay.memory
    for i in range(REPLAY_BATCHES):
        replay.batches[i].commands = <command_t*>place
        replay.batches[i].events = <event_t*>(place + commands)
        place += commands + events
    replay.kernel = kernel
    rc = start_thread(&replay.thread, replay_main, replay)
    replay.started = rc == 0
    if replay.started:
        pthread_setname_np(replay.thread, b"core-replay")
    return rc


cdef void replay_end(replay_t* replay) noexcept nogil:
    if replay.started:
        state_store(&replay.stop, 1)
        pthread_join(replay.thread, NULL)
        replay.started = False
        replay.kernel.out = NULL
        replay.kernel.out_count = replay.kernel.out_capacity = replay.kernel.out_hashed = 0
    free(replay.memory)
    replay.memory = NULL


cdef void batch_wait(replay_t* replay, batch_t* batch) noexcept nogil:
    cdef uint32_t looked = 0
    while state_load(&batch.state) != BATCH_CARRIED:
        rest(looked)
        looked += 1
