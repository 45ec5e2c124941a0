"""The egress thread: see egress.pxd."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from nautilus.core.clock cimport clock_adjust, clock_now_ns, process_clock
from nautilus.core.eventlog cimport (
    DELIVERY_LAST, LOG_STAGED, delivery_t, log_append, log_full, log_limit, log_room, log_seal)
from nautilus.core.histogram cimport histogram_record
from nautilus.core.port cimport (
    CORE_FAILED, FEED_ALL, MOST_SLOTS, PART_LOG, control_t, count_load, count_store, level_load, level_store,
    replica_stands, slot_feed, slot_t, state_load, state_store)
from nautilus.core.region cimport BELL_FUTEX, bell_prepare, bell_ring, bell_sleep
from nautilus.core.ring cimport ring_peek, ring_position, ring_push, ring_release, ring_size
from nautilus.core.trading_core cimport IDLE_NS, OUTPUT_RECORDS, core_fail, core_t, output_t, rest
from nautilus.core.types cimport (
    EVENT_ACCEPTED, EVENT_CANCELLED, EVENT_DUPLICATE, EVENT_EXPIRED, EVENT_FILLED, EVENT_REJECTED, EVENT_REPLACED,
    REASON_POOL_FULL, event_t)


cdef enum:
    ADJUST_NS = 1000000000      # between looks at CLOCK_REALTIME
    LINGER_NS = 1000000000      # at a stop, for a standby
    MOST_NS = 4294967295        # of a latency that is recorded


cdef int64_t gate_now(core_t* core) noexcept nogil:
    """The last command whose events may be shown."""
    cdef control_t* control = core.control
    cdef int64_t gate = level_load(&control.gate)
    if not core.replica or (control.degrade and not replica_stands(control, clock_now_ns())):
        return gate
    return min(gate, level_load(&control.replica_sequence))


cdef bint egress_waiting(core_t* core) noexcept nogil:
    cdef uint64_t granted
    cdef uint32_t i
    cdef const output_t* record = <const output_t*>ring_peek(core.output, 1, &granted)
    if granted and record.delivery.event.command_sequence <= gate_now(core):
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
        core.slots[i].joined_at = ring_position(slot_feed(core.slots[i]))
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
        if e.reason == REASON_POOL_FULL:
            control.pool_full += 1
    elif e.kind == EVENT_CANCELLED:
        control.cancelled += 1
    elif e.kind == EVENT_EXPIRED:
        control.expired += 1
    elif e.kind == EVENT_REPLACED:
        control.replaced += 1
    elif e.kind == EVENT_DUPLICATE:
        control.duplicates += 1


cdef bint log_records(core_t* core, delivery_t* records, uint64_t count) noexcept nogil:
    """Append what has a sequence; False: it cannot be, and none of it may be shown.

    A disk without room is waited for, counted, while new orders are refused, until the core is to stop: the next
    start appends what is missing. Any other error is the end of the core.
    """
    cdef control_t* control = core.control
    cdef uint64_t i = 0, first
    cdef int rc
    while i < count:
        while i < count and records[i].event.sequence == 0:
            i += 1
        first = i
        while i < count and records[i].event.sequence != 0:
            i += 1
        while i > first:
            rc = log_append(core.log, &records[first], i - first)
            # What was appended before a failure is not written again.
            while first < i and records[first].event.sequence <= core.log.last_sequence:
                count_event(control, &records[first].event)
                first += 1
            control.log_error = <uint32_t>-rc
            if rc == 0:
                break
            if not log_full(rc):
                core_fail(core, -rc, PART_LOG)
            if state_load(&control.state) == CORE_FAILED or state_load(&core.stop):
                return False
            control.log_waits += 1
            state_store(&control.log_open, 0)
            bell_sleep(&control.egress_bell, control.egress_bell.value, IDLE_NS)
    return True


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


cdef inline int64_t latency_ns(int64_t taken_ns, int64_t now_ns) noexcept nogil:
    """What is recorded: a clock that was set back gives no negative one, a disk that was full no endless one."""
    return min(max(now_ns - taken_ns, <int64_t>0), <int64_t>MOST_NS)


cdef inline int64_t wanted_room(const core_t* core) noexcept nogil:
    """Records of the log to be had before new orders are taken: what is on its way, then a kill of every order."""
    cdef int64_t most = min(<int64_t>(2 * OUTPUT_RECORDS), core.log.capacity)
    return most + 2 * level_load(&core.control.open_orders)


cdef void* egress_main(void* argument) noexcept nogil:
    cdef core_t* core = <core_t*>argument
    cdef control_t* control = core.control
    cdef const output_t* records
    cdef uint64_t granted, count, i
    cdef int64_t gate, adjusted = clock_now_ns(), now
    cdef int64_t stopped = 0
    cdef bint last, room, shown = True, standing = True
    while True:
        last = state_load(&core.journal_done) != 0
        serve_joins(core)
        gate = gate_now(core)
        if control.fenced_by:
            shown = False       # another core has taken over: what this one did since is not so
        records = <const output_t*>ring_peek(core.output, LOG_STAGED, &granted)
        count = 0
        while count < granted and records[count].delivery.event.command_sequence <= gate:
            count += 1
        now = clock_now_ns()
        if core.replica and control.degrade and standing != replica_stands(control, now):
            standing = not standing
            control.degraded += not standing
        if count:
            for i in range(count):
                memcpy(&core.staged[i], &records[i].delivery, sizeof(delivery_t))
                if core.latency is not NULL and core.staged[i].flags & DELIVERY_LAST \
                        and core.staged[i].slot < MOST_SLOTS:
                    histogram_record(core.latency, latency_ns(records[i].taken_ns, now))
            ring_release(core.output, count)
            log_seal(core.staged, count)
            shown = shown and log_records(core, core.staged, count)
            level_store(&control.delivered_sequence, core.log.last_sequence)
            if shown:
                feed(core, core.staged, count)
        if now - adjusted > ADJUST_NS:
            clock_adjust(&process_clock)
            adjusted = now
        room = log_room(core.log, wanted_room(core))
        level_store(&core.log_limit, log_limit(core.log))
        control.log_error = 0 if room else <uint32_t>-core.log.error
        state_store(&control.log_open, room and shown)
        if count == 0:
            if last and ring_size(core.output) and core.replica and shown and (stopped == 0 or now - stopped < LINGER_NS):
                # A standby may have the rest on its way.
                stopped = stopped or now
                bell_sleep(&control.egress_bell, bell_prepare(&control.egress_bell, BELL_FUTEX), IDLE_NS // 20)
                continue
            if last:
                break
            rest(core, &control.egress_bell, egress_waiting, core.spin_ns, 5 * IDLE_NS)
    return NULL


def recorded_latency(int64_t taken_ns, int64_t now_ns):
    """Nanoseconds that are recorded for a command taken at one time and answered at another."""
    return latency_ns(taken_ns, now_ns)
