"""The journal thread: see gate.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.clock cimport clock_now_ns
from nautilus.core.journal cimport (
    JOURNAL_RECORD, journal_flush, journal_limit, journal_put, journal_put_hash, journal_room, journal_t)
from nautilus.core.port cimport CORE_FAILED, PART_JOURNAL, control_t, level_store, state_load, state_store
from nautilus.core.region cimport bell_ring
from nautilus.core.ring cimport ring_peek, ring_release, ring_size, ring_take_consumer
from nautilus.core.trading_core cimport BATCH, COMMAND_RECORDS, IDLE_NS, core_fail, core_t, queued_t, rest

cdef extern from *:
    """
    static inline int word_take(uint32_t *place)
    {
        uint32_t free = 0;
        return __atomic_compare_exchange_n(place, &free, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
    }
    """
    bint word_take(uint32_t* place) noexcept nogil

cdef enum:
    SLOW_NS = 100000            # a write that takes longer is a disk that is busy: the kernel thread stays away from it
    STAY_AWAY_NS = 1000000000


cdef bint journal_waiting(core_t* core) noexcept nogil:
    return ring_size(core.commands) != 0 or state_load(&core.kernel_done) != 0


cdef uint64_t write_waiting(core_t* core, uint64_t most) noexcept nogil:
    """Write what waits, at most so many commands, and move the gate; how many. `writing` is this thread's."""
    cdef control_t* control = core.control
    cdef journal_t* journal = core.journal
    cdef const queued_t* queued
    cdef uint64_t granted, i
    cdef int rc
    ring_take_consumer(core.commands)
    queued = <const queued_t*>ring_peek(core.commands, most, &granted)
    if granted == 0:
        return 0
    for i in range(granted):
        if queued[i].mark:
            journal_put_hash(journal, queued[i].command.sequence, queued[i].command.now_ns,
                             queued[i].command.order_id, queued[i].command.source_sequence)
        else:
            journal_put(journal, &queued[i].command)
    ring_release(core.commands, granted)
    rc = journal_flush(journal)
    if rc != 0:
        # Final: nothing that is not written may be shown, and nothing more may be taken.
        core_fail(core, -rc, PART_JOURNAL)
        return granted
    control.flushes += 1
    level_store(&control.written_sequence, journal.written_sequence)
    level_store(&control.durable_sequence, journal.durable_sequence)
    level_store(&control.gate, journal.durable_sequence if core.durable else journal.written_sequence)
    bell_ring(&control.replica_bell, core.replica_bell)
    return granted


cdef bint gate_write_through(core_t* core) noexcept nogil:
    cdef journal_t* journal = core.journal
    cdef int64_t start, now, left
    cdef uint64_t waiting = ring_size(core.commands)
    if waiting == 0:
        return True
    if core.durable or waiting > BATCH or not word_take(&core.writing):
        return False
    start = clock_now_ns()
    # Near the end of its segment the journal is left to its own thread: the next one has to be begun.
    left = journal.segment_bytes - journal.offset - <int64_t>journal.used - journal.reserve_bytes
    if start < core.slow_until_ns or left < 4 * BATCH * JOURNAL_RECORD:
        state_store(&core.writing, 0)
        return False
    while write_waiting(core, BATCH):
        if state_load(&core.control.state) == CORE_FAILED:
            break
    state_store(&core.writing, 0)
    now = clock_now_ns()
    if now - start > SLOW_NS:
        core.slow_until_ns = now + STAY_AWAY_NS
    return True


cdef void* journal_main(void* argument) noexcept nogil:
    cdef core_t* core = <core_t*>argument
    cdef control_t* control = core.control
    cdef uint64_t written
    cdef bint last, room
    while True:
        last = state_load(&core.kernel_done) != 0
        written = 0
        if word_take(&core.writing):
            written = write_waiting(core, COMMAND_RECORDS // 4)
            # Room for all that may be on its way, so that what was taken is never without a place.
            room = journal_room(core.journal, 2 * COMMAND_RECORDS)
            level_store(&core.journal_limit, journal_limit(core.journal))
            state_store(&control.journal_open, room)
            state_store(&core.writing, 0)
        if state_load(&control.state) == CORE_FAILED:
            break
        if written:
            bell_ring(&control.egress_bell, -1)
        elif last and ring_size(core.commands) == 0:
            break
        else:
            # Where the kernel thread writes through, this one has little to do: it does not stay awake for it.
            rest(core, &control.journal_bell, journal_waiting, core.spin_ns if core.durable else 0, 5 * IDLE_NS)
    state_store(&core.journal_done, 1)
    bell_ring(&control.egress_bell, -1)
    return NULL
