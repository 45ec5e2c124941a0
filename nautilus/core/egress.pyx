"""The egress thread: see egress.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from nautilus.core.clock cimport clock_adjust, clock_now_ns, process_clock
from nautilus.core.eventlog cimport DELIVERY_LAST, LOG_STAGED, delivery_t, log_append, log_room, log_seal
from nautilus.core.histogram cimport histogram_record
from nautilus.core.port cimport (
    CORE_FAILED, FEED_ALL, MOST_SLOTS, control_t, count_load, count_store, level_load, level_store, slot_feed,
    slot_t, state_load, state_store)
from nautilus.core.region cimport bell_ring, bell_sleep
from nautilus.core.ring cimport ring_peek, ring_push, ring_release
from nautilus.core.trading_core cimport IDLE_NS, OUTPUT_RECORDS, core_t, rest
from nautilus.core.types cimport (
    EVENT_ACCEPTED, EVENT_CANCELLED, EVENT_DUPLICATE, EVENT_EXPIRED, EVENT_FILLED, EVENT_REJECTED, EVENT_REPLACED,
    EVENT_UNKNOWN, event_t)


cdef enum:
    ADJUST_NS = 1000000000      # between looks at CLOCK_REALTIME


cdef bint egress_waiting(core_t* core) noexcept nogil:
    cdef uint64_t granted
    cdef uint32_t i
    cdef const delivery_t* record = <const delivery_t*>ring_peek(core.output, 1, &granted)
    if granted and record.event.command_sequence <= level_load(&core.control.gate):
        return True
    for i in range(core.slot_count):
        if count_load(&core.slots[i].join_wanted) != core.joined[i]:
            return True
    return state_load(&core.journal_done) != 0


cdef void serve_joins(core_t* core) noexcept nogil:
    cdef uint64_t wanted
    cdef uint32_t i
    for i in range(core.slot_count):
        wanted = count_load(&core.slots[i].join_wanted)
        if wanted == core.joined[i]:
            continue
        core.joined[i] = wanted
        core.cut[i] = False
        core.slots[i].joined_sequence = level_load(&core.control.delivered_sequence) + 1
        count_store(&core.slots[i].cut, 0)
        count_store(&core.slots[i].join_served, wanted)
        core.control.joins += 1
        bell_ring(&core.slots[i].client_bell, core.bells[i])


cdef inline void count_event(control_t* control, const event_t* e) noexcept nogil:
    if e.kind == EVENT_ACCEPTED:
        control.accepted += 1
    elif e.kind == EVENT_FILLED:
        control.filled += 1
    elif e.kind == EVENT_REJECTED:
        control.rejected += 1
    elif e.kind == EVENT_CANCELLED:
        control.cancelled += 1
    elif e.kind == EVENT_EXPIRED:
        control.expired += 1
    elif e.kind == EVENT_REPLACED:
        control.replaced += 1
    elif e.kind == EVENT_DUPLICATE:
        control.duplicates += 1
    elif e.kind == EVENT_UNKNOWN:
        control.unknown += 1


cdef void log_records(core_t* core, delivery_t* records, uint64_t count) noexcept nogil:
    """Append what has a sequence; a disk without room is waited for, counted, while new orders are refused."""
    cdef uint64_t i = 0, first
    while i < count:
        while i < count and records[i].event.sequence == 0:
            i += 1
        first = i
        while i < count and records[i].event.sequence != 0:
            count_event(core.control, &records[i].event)
            i += 1
        while i > first and log_append(core.log, &records[first], i - first) != 0:
            core.control.log_waits += 1
            state_store(&core.control.log_open, 0)
            if state_load(&core.control.state) == CORE_FAILED:
                return
            # What was appended before the failure is not written again.
            while first < i and records[first].event.sequence <= core.log.last_sequence:
                first += 1
            bell_sleep(&core.control.egress_bell, core.control.egress_bell.value, IDLE_NS)


cdef void feed(core_t* core, const delivery_t* records, uint64_t count) noexcept nogil:
    """Hand records to every slot that wants them; one without room is cut off and has to join again."""
    cdef uint32_t i
    cdef uint64_t j, pushed
    cdef slot_t* slot
    cdef bint all_events
    for i in range(core.slot_count):
        slot = core.slots[i]
        if core.cut[i] or core.joined[i] == 0:
            continue
        all_events = state_load(&slot.mode) == FEED_ALL
        pushed = 0
        for j in range(count):
            if records[j].slot != i and (not all_events or records[j].event.sequence == 0):
                continue
            if ring_push(slot_feed(slot), &records[j]):
                core.cut[i] = True
                slot.cuts += 1
                core.control.cuts += 1
                count_store(&slot.cut, 1)
                pushed = 1
                break
            pushed += 1
        if pushed:
            bell_ring(&slot.client_bell, core.bells[i])


cdef void* egress_main(void* argument) noexcept nogil:
    cdef core_t* core = <core_t*>argument
    cdef control_t* control = core.control
    cdef const delivery_t* records
    cdef uint64_t granted, count, i
    cdef int64_t gate, last_sequence, adjusted = clock_now_ns(), now
    cdef uint32_t elapsed
    cdef bint last
    while True:
        last = state_load(&core.journal_done) != 0
        serve_joins(core)
        gate = level_load(&control.gate)
        records = <const delivery_t*>ring_peek(core.output, LOG_STAGED, &granted)
        count = 0
        while count < granted and records[count].event.command_sequence <= gate:
            count += 1
        now = clock_now_ns()
        if count:
            memcpy(core.staged, records, count * sizeof(delivery_t))
            ring_release(core.output, count)
            for i in range(count):
                if core.staged[i].flags & DELIVERY_LAST and core.staged[i].slot < MOST_SLOTS:
                    elapsed = <uint32_t>now - core.staged[i].checksum
                    if core.latency is not NULL:
                        histogram_record(core.latency, elapsed)
            log_seal(core.staged, count)
            log_records(core, core.staged, count)
            last_sequence = core.log.last_sequence
            level_store(&control.delivered_sequence, last_sequence)
            feed(core, core.staged, count)
        if now - adjusted > ADJUST_NS:
            clock_adjust(&process_clock)
            adjusted = now
        state_store(&control.log_open, log_room(core.log, 2 * OUTPUT_RECORDS if core.log.capacity > 4 * OUTPUT_RECORDS
                                                else core.log.capacity // 8))
        if count == 0:
            if last:
                break
            rest(core, &control.egress_bell, egress_waiting, core.spin_ns, 5 * IDLE_NS)
    return NULL
