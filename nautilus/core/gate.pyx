"""The journal thread: see gate.pxd."""

from libc.stdint cimport uint32_t, uint64_t

from nautilus.core.journal cimport journal_flush, journal_put, journal_put_hash, journal_room, journal_t
from nautilus.core.port cimport CORE_FAILED, control_t, level_store, state_load, state_store
from nautilus.core.region cimport bell_ring
from nautilus.core.ring cimport ring_peek, ring_release, ring_size
from nautilus.core.trading_core cimport COMMAND_RECORDS, IDLE_NS, core_t, queued_t, rest


cdef bint journal_waiting(core_t* core) noexcept nogil:
    return ring_size(core.commands) != 0 or state_load(&core.kernel_done) != 0


cdef void* journal_main(void* argument) noexcept nogil:
    cdef core_t* core = <core_t*>argument
    cdef control_t* control = core.control
    cdef journal_t* journal = core.journal
    cdef const queued_t* queued
    cdef uint64_t granted, i
    cdef bint last
    cdef int rc
    while True:
        last = state_load(&core.kernel_done) != 0
        queued = <const queued_t*>ring_peek(core.commands, COMMAND_RECORDS // 4, &granted)
        if granted:
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
                control.error = <uint32_t>-rc
                state_store(&control.state, CORE_FAILED)
                bell_ring(&control.kernel_bell, -1)
                break
            control.flushes += 1
            level_store(&control.written_sequence, journal.written_sequence)
            level_store(&control.durable_sequence, journal.durable_sequence)
            level_store(&control.gate, journal.durable_sequence if core.durable else journal.written_sequence)
            bell_ring(&control.egress_bell, -1)
        # Room for all that may be on its way, so that what was taken is never without a place.
        state_store(&control.journal_open, journal_room(journal, 2 * COMMAND_RECORDS))
        if granted == 0:
            if last:
                break
            rest(core, &control.journal_bell, journal_waiting, 5 * IDLE_NS)
    state_store(&core.journal_done, 1)
    bell_ring(&control.egress_bell, -1)
    return NULL
