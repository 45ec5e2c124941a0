"""The threads of the trading core, and the object that owns them: see sequencer.pxd."""

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from nautilus.core.clock cimport clock_adjust, clock_now_ns, process_clock
from nautilus.core.eventlog cimport (
    DELIVERY_EMPTY, DELIVERY_LAST, DELIVERY_REFUSED, LOG_STAGED, EventLogWriter, delivery_t, log_append, log_room,
    log_seal)
from nautilus.core.events cimport events_hash
from nautilus.core.hashing cimport xxh64_value
from nautilus.core.histogram cimport Histogram, histogram_record
from nautilus.core.journal cimport (
    JOURNAL_CHECKPOINT, Journal, journal_flush, journal_put, journal_put_hash, journal_room)
from nautilus.core.kernel cimport Kernel
from nautilus.core.orders cimport kernel_step
from nautilus.core.port cimport (
    CORE_FAILED, CORE_NOT_READY, CORE_READY, CORE_STARTING, CORE_STOPPED, CORE_STOPPING, FEED_ALL, MOST_SLOTS,
    PORT_LAYOUT, REGION_CONTROL, REGION_SLOT, control_facts, control_t, count_load, count_store, level_load,
    level_store, slot_feed, slot_ingress, slot_t, slot_urgent, state_load, state_store)
from nautilus.core.region cimport (
    BELL_FUTEX, bell_awake, bell_prepare, bell_ring, bell_sleep, bell_t, region_create, region_detach, region_t,
    region_yield)
from nautilus.core.ring cimport (
    cpu_relax, ring_bytes, ring_claim, ring_close, ring_commit, ring_format, ring_open, ring_peek, ring_push,
    ring_release, ring_size, ring_t)
from nautilus.core.types cimport (
    COMMAND_NEW, COMMAND_REPLACE, COMMAND_TIME, EVENT_ACCEPTED, EVENT_CANCELLED, EVENT_DUPLICATE, EVENT_EXPIRED,
    EVENT_FILLED, EVENT_REJECTED, EVENT_REPLACED, EVENT_UNKNOWN, REASON_BUSY, REASON_JOURNAL_FULL, REASON_NOT_READY,
    command_t, event_t)

import os
from contextlib import contextmanager

from nautilus.core.port import CONTROL_NAME, bell_name, slot_name
from nautilus.core.snapshot_file import write_snapshot

cdef extern from "<signal.h>" nogil:
    ctypedef struct sigset_t:
        pass
    int sigfillset(sigset_t* set)
    int pthread_sigmask(int how, const sigset_t* set, sigset_t* old)
    int SIG_BLOCK, SIG_SETMASK

cdef extern from "<unistd.h>" nogil:
    Py_ssize_t c_write "write"(int fd, const void* buffer, size_t count)

cdef enum:
    LOOKS = 256                 # before the first yield
    IDLE_NS = 20000000          # longest sleep without a look: timers, stop, room on the disk
    ADJUST_NS = 1000000000

ctypedef bint (*waiting_t)(core_t* core) noexcept nogil


cdef inline int64_t platform_ns(const core_t* core) noexcept nogil:
    cdef int64_t now = clock_now_ns()
    if not core.scaled:
        return now
    return core.anchor_platform_ns + <int64_t>(<double>(now - core.anchor_wall_ns) * core.speed)


cdef inline void rest(core_t* core, bell_t* bell, waiting_t waiting, int64_t most_ns) noexcept nogil:
    """Until something waits: looking, then yielding, for `spin_ns`, then asleep until the bell or for `most_ns`."""
    cdef int64_t start = 0
    cdef uint32_t value, looks = 0
    while not waiting(core):
        looks += 1
        if looks & 15 == 0:
            if start == 0:
                start = clock_now_ns()
            elif clock_now_ns() - start >= core.spin_ns:
                value = bell_prepare(bell, BELL_FUTEX)
                if waiting(core):
                    bell_awake(bell)
                else:
                    bell_sleep(bell, value, most_ns)
                return
            elif looks > LOOKS:
                region_yield()
        cpu_relax()


# --- The kernel thread: sequencer and state machine.


cdef bint kernel_waiting(core_t* core) noexcept nogil:
    cdef uint32_t i
    for i in range(core.slot_count):
        if ring_size(slot_urgent(core.slots[i])) or ring_size(slot_ingress(core.slots[i])):
            return True
    return state_load(&core.stop) != 0 or state_load(&core.hold) != 0


cdef void push_out(core_t* core, const event_t* event, uint8_t kind, uint8_t flags, uint16_t slot,
                   uint32_t taken) noexcept nogil:
    """One record into the output ring; waits for the egress where that is full, counted."""
    cdef uint64_t granted
    cdef delivery_t* place = <delivery_t*>ring_claim(core.output, 1, &granted)
    while granted == 0:
        if state_load(&core.control.state) == CORE_FAILED:
            return              # nothing is shown any more
        core.control.waits += 1
        bell_ring(&core.control.egress_bell, -1)
        region_yield()
        place = <delivery_t*>ring_claim(core.output, 1, &granted)
    memcpy(&place.event, event, sizeof(event_t))
    place.kind = kind
    place.flags = flags
    place.slot = slot
    place.checksum = taken
    ring_commit(core.output, 1)


cdef void flush_events(core_t* core) noexcept nogil:
    """What the kernel wrote goes into the output ring, and its buffers are empty again."""
    cdef kernel_t* k = core.kernel
    cdef Py_ssize_t i, last = k.out_count - 1
    events_hash(k)
    for i in range(k.out_count):
        push_out(core, &core.events[i], core.kinds[i], core.flags[i], core.sources[i], core.taken[i])
    if k.spill_count:
        # All of the last command, which has no LAST among `out` then.
        for i in range(k.spill_count):
            push_out(core, &k.spill[i], core.kinds[last], DELIVERY_LAST if i == k.spill_count - 1 else 0,
                     core.sources[last], core.taken[last])
    k.out_count = 0
    k.out_hashed = 0
    k.spill_count = 0
    k.spill_read = 0
    k.spill_hashed = 0


cdef void refuse(core_t* core, const command_t* c, int reason, uint16_t slot, uint32_t taken) noexcept nogil:
    """Not sequenced, not journalled: the sender alone is told, and may send it again."""
    cdef event_t e
    memset(&e, 0, sizeof(e))
    e.now_ns = core.kernel.now_ns
    e.order_id = c.order_id
    e.price_ticks = c.price_ticks
    e.quantity = c.quantity
    e.kind = EVENT_REJECTED
    e.side = c.side
    e.reason = reason
    e.instrument_id = c.instrument_id
    e.account_id = c.account_id
    e.strategy_id = c.strategy_id
    e.source_id = c.source_id
    e.source_sequence = c.source_sequence
    flush_events(core)
    push_out(core, &e, c.kind, DELIVERY_LAST | DELIVERY_REFUSED, slot, taken)


cdef void to_journal(core_t* core, const queued_t* queued) noexcept nogil:
    while ring_push(core.commands, queued):
        if state_load(&core.control.state) == CORE_FAILED:
            return
        core.control.waits += 1
        bell_ring(&core.control.journal_bell, -1)
        region_yield()


cdef void step(core_t* core, const command_t* given, int64_t now_ns, uint16_t slot, uint32_t taken) noexcept nogil:
    """Sequence one command, carry it out, hand it to the journal and its events on."""
    cdef kernel_t* k = core.kernel
    cdef queued_t queued
    cdef command_t* c = &queued.command
    cdef event_t empty
    cdef Py_ssize_t first, i
    cdef bint entering = given.kind == COMMAND_NEW or given.kind == COMMAND_REPLACE
    c[0] = given[0]
    queued.mark = 0
    if entering and ring_size(core.output) > OUTPUT_RECORDS - OUTPUT_RECORDS // 4:
        core.control.busy += 1
        refuse(core, c, REASON_BUSY, slot, taken)
        return
    if entering and not (state_load(&core.control.journal_open) and state_load(&core.control.log_open)):
        core.control.refused_full += 1
        refuse(core, c, REASON_JOURNAL_FULL, slot, taken)
        return
    if entering and state_load(&core.control.state) != CORE_READY:
        core.control.not_ready += 1
        refuse(core, c, REASON_NOT_READY, slot, taken)
        return
    if k.out_count > EVENTS - 1024:
        flush_events(core)
    c.now_ns = now_ns
    first = k.out_count
    kernel_step(k, c, NULL)
    c.sequence = k.sequence
    c.now_ns = k.now_ns
    to_journal(core, &queued)
    if k.sequence % JOURNAL_CHECKPOINT == 0:
        events_hash(k)
        put_mark(core)
    if k.out_count == first:
        memset(&empty, 0, sizeof(empty))
        empty.command_sequence = k.sequence
        empty.now_ns = k.now_ns
        empty.source_id = c.source_id
        empty.source_sequence = c.source_sequence
        flush_events(core)
        push_out(core, &empty, c.kind, DELIVERY_LAST | DELIVERY_EMPTY, slot, taken)
        return
    for i in range(first, k.out_count):
        core.kinds[i] = c.kind
        core.flags[i] = 0
        core.sources[i] = slot
        core.taken[i] = taken
    if k.spill_count:
        flush_events(core)
    else:
        core.flags[k.out_count - 1] = DELIVERY_LAST


cdef void put_mark(core_t* core) noexcept nogil:
    """The running hashes as of the last command, for the journal."""
    cdef kernel_t* k = core.kernel
    cdef queued_t queued
    memset(&queued, 0, sizeof(queued))
    queued.mark = 1
    queued.command.sequence = k.sequence
    queued.command.now_ns = k.event_sequence
    queued.command.order_id = xxh64_value(&k.event_hash, NULL, 0)
    queued.command.source_sequence = xxh64_value(&k.command_hash, NULL, 0)
    to_journal(core, &queued)


cdef uint64_t take(core_t* core, ring_t* ring, uint16_t slot) noexcept nogil:
    """Up to BATCH commands of one ring."""
    cdef uint64_t granted, i
    cdef int64_t now_ns
    cdef uint32_t taken
    cdef const command_t* commands = <const command_t*>ring_peek(ring, BATCH, &granted)
    if granted == 0:
        return 0
    now_ns = platform_ns(core)
    taken = <uint32_t>clock_now_ns()
    for i in range(granted):
        step(core, &commands[i], now_ns, slot, taken)
    ring_release(ring, granted)
    return granted


cdef uint64_t take_urgent(core_t* core) noexcept nogil:
    cdef uint64_t taken = 0
    cdef uint32_t i
    for i in range(core.slot_count):
        taken += take(core, slot_urgent(core.slots[i]), <uint16_t>i)
    return taken


cdef void publish_state(core_t* core) noexcept nogil:
    cdef control_t* control = core.control
    cdef kernel_t* k = core.kernel
    flush_events(core)
    level_store(&control.last_sequence, k.sequence)
    level_store(&control.last_event_sequence, k.event_sequence)
    level_store(&control.open_orders, k.orders.used)
    control.now_ns = k.now_ns
    bell_ring(&control.journal_bell, -1)
    bell_ring(&control.egress_bell, -1)


cdef void* kernel_main(void* argument) noexcept nogil:
    cdef core_t* core = <core_t*>argument
    cdef kernel_t* k = core.kernel
    cdef control_t* control = core.control
    cdef command_t tick
    cdef uint64_t did
    cdef uint32_t i, turn = 0
    cdef int64_t now, most
    k.out = core.events
    k.out_capacity = EVENTS
    k.out_count = 0
    k.out_hashed = 0
    while True:
        did = take_urgent(core)
        for i in range(core.slot_count):
            if take(core, slot_ingress(core.slots[(turn + i) % core.slot_count]),
                    <uint16_t>((turn + i) % core.slot_count)):
                did += 1
                did += take_urgent(core)
        turn += 1
        if k.timer_count:
            now = platform_ns(core)
            if k.timers[0].due_ns <= now:
                memset(&tick, 0, sizeof(tick))
                tick.kind = COMMAND_TIME
                step(core, &tick, now, MOST_SLOTS, <uint32_t>clock_now_ns())
                did += 1
        if state_load(&control.state) == CORE_FAILED:
            break
        if did:
            control.turns += 1
            publish_state(core)
            continue
        if state_load(&core.stop):
            break
        if state_load(&core.hold):
            state_store(&core.held, 1)
            while state_load(&core.hold) and state_load(&core.stop) == 0:
                region_yield()
            state_store(&core.held, 0)
            continue
        if state_load(&control.state) == CORE_NOT_READY and platform_ns(core) >= k.now_ns - 1000000000:
            state_store(&control.state, CORE_READY)
        most = IDLE_NS
        if k.timer_count:
            now = k.timers[0].due_ns - platform_ns(core)
            if core.scaled:
                now = <int64_t>(<double>now / core.speed)
            most = max(<int64_t>1000, min(most, now))
        rest(core, &control.kernel_bell, kernel_waiting, most)
    publish_state(core)
    k.out = NULL
    k.out_capacity = 0
    state_store(&core.kernel_done, 1)
    bell_ring(&control.journal_bell, -1)
    bell_ring(&control.egress_bell, -1)
    return NULL


# --- The journal thread: the gate.


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


# --- The egress thread: event log, then feeds.


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
            rest(core, &control.egress_bell, egress_waiting, 5 * IDLE_NS)
    return NULL


class CoreStoppedError(RuntimeError):
    """The core has failed and takes nothing more; `code` is stable."""

    code = "core.stopped"


cdef class TradingCore:
    """One thread starts, holds and stops it. The native threads around a kernel, and the slots of its clients.

    Parameters
    ----------
    kernel
        Recovered or new, without a journal attached; it belongs to this object until `stop`.
    journal, log
        Open for writing, both ending where the kernel is.
    directory
        Shared memory of the instance; regions and FIFOs are made there.
    slots
        Names of the clients' slots, at most 16.
    capacity
        Commands of an ingress ring, records of a feed; powers of two.
    epoch
        Of this run; above that of the run before.
    clock
        None: wall time; else (wall ns, platform ns, speed): platform time runs `speed` times as fast from there.
    spin_us
        How long an idle thread looks before it sleeps.
    latency
        Histogram of the time from when a command was taken to when its events were handed out.

    Raises
    ------
    ValueError, OSError, MemoryError.
    """

    cdef core_t core
    cdef readonly Kernel kernel
    cdef readonly Journal journal
    cdef readonly EventLogWriter log
    cdef readonly object latency
    cdef readonly object directory
    cdef readonly tuple slots
    cdef bint running

    def __cinit__(self):
        memset(&self.core, 0, sizeof(core_t))

    def __init__(self, Kernel kernel not None, Journal journal not None, EventLogWriter log not None, directory, slots,
                 *, capacity=8192, epoch=1, clock=None, spin_us=50, Histogram latency=None):
        cdef core_t* core = &self.core
        cdef uint32_t i
        if not 0 < len(slots) <= MOST_SLOTS or len(set(slots)) != len(slots):
            raise ValueError(f"slots: expected 1 to {MOST_SLOTS} different names, found {slots}")
        if capacity < 64 or capacity & (capacity - 1) or capacity > 1 << 20:
            raise ValueError(f"capacity: expected a power of two from 64 to 2^20, found {capacity}")
        if journal.last_sequence != kernel.last_sequence or log.last_sequence != kernel.last_event_sequence:
            raise ValueError(
                f"core: expected journal and log to end at command {kernel.last_sequence} and event "
                f"{kernel.last_event_sequence}, found {journal.last_sequence} and {log.last_sequence}"
            )
        self.kernel, self.journal, self.log, self.latency = kernel, journal, log, latency
        self.directory = os.fspath(directory)
        self.slots = tuple(slots)
        core.kernel = &kernel.state
        core.journal = &journal.state
        core.log = &log.state
        core.slot_count = len(self.slots)
        core.spin_ns = int(spin_us * 1000)
        core.durable = journal.policy == "disk"
        if latency is not None:
            core.latency = latency.data
        if clock is not None:
            core.anchor_wall_ns, core.anchor_platform_ns, core.speed = clock
            core.scaled = core.anchor_wall_ns != core.anchor_platform_ns or core.speed != 1
        core.commands = ring_open(sizeof(queued_t), COMMAND_RECORDS, False)
        core.output = ring_open(sizeof(delivery_t), OUTPUT_RECORDS, False)
        core.slots = <slot_t**>PyMem_Calloc(MOST_SLOTS, sizeof(slot_t*))
        core.bells = <int*>PyMem_Calloc(MOST_SLOTS, sizeof(int))
        core.joined = <uint64_t*>PyMem_Calloc(MOST_SLOTS, sizeof(uint64_t))
        core.cut = <bint*>PyMem_Calloc(MOST_SLOTS, sizeof(bint))
        core.events = <event_t*>PyMem_Calloc(EVENTS, sizeof(event_t))
        core.kinds = <uint8_t*>PyMem_Calloc(EVENTS, 1)
        core.flags = <uint8_t*>PyMem_Calloc(EVENTS, 1)
        core.sources = <uint16_t*>PyMem_Calloc(EVENTS, sizeof(uint16_t))
        core.taken = <uint32_t*>PyMem_Calloc(EVENTS, sizeof(uint32_t))
        core.staged = <delivery_t*>PyMem_Calloc(LOG_STAGED, sizeof(delivery_t))
        if (core.commands is NULL or core.output is NULL or core.slots is NULL or core.bells is NULL
                or core.joined is NULL or core.cut is NULL or core.events is NULL or core.kinds is NULL
                or core.flags is NULL or core.sources is NULL or core.taken is NULL or core.staged is NULL):
            raise MemoryError("core: no memory for its rings")
        for i in range(MOST_SLOTS):
            core.bells[i] = -1
        for i in range(core.slot_count):
            self._make_slot(i, capacity, epoch)
        core.control = <control_t*>self._make_region(CONTROL_NAME, sizeof(control_t), REGION_CONTROL, epoch)
        core.control.started_ns = clock_now_ns()
        core.control.state = CORE_STARTING
        core.control.journal_open = core.control.log_open = 1
        core.control.last_sequence = core.control.gate = kernel.last_sequence
        core.control.written_sequence = kernel.last_sequence
        core.control.last_event_sequence = core.control.delivered_sequence = kernel.last_event_sequence
        core.control.now_ns = kernel.now_ns

    cdef region_t* _make_region(self, str name, size_t size, uint32_t kind, uint64_t epoch) except NULL:
        cdef bytes path = os.fsencode(os.path.join(self.directory, name))
        cdef region_t* region = region_create(path, size, kind, PORT_LAYOUT, epoch)
        if region is NULL:
            raise OSError(errno, os.strerror(errno), os.path.join(self.directory, name))
        return region

    cdef int _make_slot(self, uint32_t i, uint64_t capacity, uint64_t epoch) except -1:
        cdef uint64_t ingress = ring_bytes(sizeof(command_t), capacity), urgent = ring_bytes(sizeof(command_t), 64)
        cdef uint64_t out = ring_bytes(sizeof(delivery_t), capacity)
        cdef slot_t* slot = <slot_t*>self._make_region(
            slot_name(self.slots[i]), sizeof(slot_t) + ingress + urgent + out, REGION_SLOT, epoch
        )
        self.core.slots[i] = slot
        slot.ingress_at = sizeof(slot_t)
        slot.urgent_at = slot.ingress_at + ingress
        slot.feed_at = slot.urgent_at + urgent
        ring_format(slot_ingress(slot), sizeof(command_t), capacity)
        ring_format(slot_urgent(slot), sizeof(command_t), 64)
        ring_format(slot_feed(slot), sizeof(delivery_t), capacity)
        bell = os.path.join(self.directory, bell_name(self.slots[i]))
        try:
            os.mkfifo(bell, 0o600)
        except FileExistsError:
            pass
        self.core.bells[i] = os.open(bell, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        return 0

    def start(self, bint ready=True):
        """Start the threads. ready: new orders are taken; else `make_ready` says when."""
        cdef core_t* core = &self.core
        cdef sigset_t every, before
        cdef int failed
        if self.running:
            raise RuntimeError("core: expected one that is not running")
        self.kernel.alone()
        self.kernel.busy = True
        state_store(&core.control.state, CORE_READY if ready else CORE_STARTING)
        sigfillset(&every)                      # signals are for Python's thread alone
        pthread_sigmask(SIG_BLOCK, &every, &before)
        failed = (pthread_create(&core.egress_thread, NULL, egress_main, core)
                  or pthread_create(&core.journal_thread, NULL, journal_main, core)
                  or pthread_create(&core.kernel_thread, NULL, kernel_main, core))
        pthread_sigmask(SIG_SETMASK, &before, NULL)
        if failed:
            raise MemoryError("core: no thread could be started")
        pthread_setname_np(core.kernel_thread, b"core-kernel")
        pthread_setname_np(core.journal_thread, b"core-journal")
        pthread_setname_np(core.egress_thread, b"core-egress")
        self.running = True
        for i in range(core.slot_count):        # whoever sleeps on the core before this one finds it retired
            c_write(core.bells[i], b"", 1)

    def make_ready(self, bint ready=True):
        """Take new orders; not ready: until the clock has caught up with the journal, they are refused NOT_READY."""
        state_store(&self.core.control.state, CORE_READY if ready else CORE_NOT_READY)
        bell_ring(&self.core.control.kernel_bell, -1)

    @contextmanager
    def held(self):
        """The kernel stands still between two commands while the block runs: look, and be quick.

        Raises CoreStoppedError where it has failed.
        """
        cdef core_t* core = &self.core
        state_store(&core.hold, 1)
        bell_ring(&core.control.kernel_bell, -1)
        try:
            with nogil:
                while state_load(&core.held) == 0 and state_load(&core.kernel_done) == 0:
                    region_yield()
            if state_load(&core.held) == 0:
                raise CoreStoppedError(f"core: failed with errno {core.control.error}; expected a running one")
            self.kernel.busy = False
            try:
                yield self.kernel
            finally:
                self.kernel.busy = True
        finally:
            state_store(&core.hold, 0)
            with nogil:
                while state_load(&core.held) and state_load(&core.kernel_done) == 0:
                    region_yield()

    def source_sequence(self, uint16_t source_id):
        """The last source sequence that the kernel took from a sender; 0: none."""
        with self.held():
            return self.kernel.state.sources[source_id]

    def stop(self, bint snapshot=True):
        """Take what waits, end the journal cleanly, and where asked leave a snapshot; returns whether all went well."""
        cdef core_t* core = &self.core
        if not self.running:
            return True
        if state_load(&core.control.state) != CORE_FAILED:
            state_store(&core.control.state, CORE_STOPPING)
        state_store(&core.stop, 1)
        bell_ring(&core.control.kernel_bell, -1)
        with nogil:
            pthread_join(core.kernel_thread, NULL)
            pthread_join(core.journal_thread, NULL)
            pthread_join(core.egress_thread, NULL)
        self.running = False
        self.kernel.busy = False
        sound = core.control.error == 0
        if sound:
            if core.kernel.sequence >= core.journal.first_sequence:
                journal_put_hash(core.journal, core.kernel.sequence, core.kernel.event_sequence,
                                 xxh64_value(&core.kernel.event_hash, NULL, 0),
                                 xxh64_value(&core.kernel.command_hash, NULL, 0))
            path = self.journal.path
            self.journal.close()
            if snapshot and core.kernel.sequence:
                write_snapshot(path, core.kernel.sequence, self.kernel.snapshot())
            state_store(&core.control.state, CORE_STOPPED)
        state_store(&core.control.head.retired, 1)
        for i in range(core.slot_count):
            state_store(&core.slots[i].head.retired, 1)
            bell_ring(&core.slots[i].client_bell, core.bells[i])
        return sound

    def facts(self):
        """What `core_facts` gives."""
        return control_facts(self.core.control)

    def __dealloc__(self):
        cdef core_t* core = &self.core
        cdef uint32_t i
        if self.running:
            state_store(&core.stop, 1)
            with nogil:
                pthread_join(core.kernel_thread, NULL)
                pthread_join(core.journal_thread, NULL)
                pthread_join(core.egress_thread, NULL)
        ring_close(core.commands)
        ring_close(core.output)
        if core.slots is not NULL:
            for i in range(MOST_SLOTS):
                region_detach(<region_t*>core.slots[i])
                if core.bells is not NULL and core.bells[i] >= 0:
                    os.close(core.bells[i])
        region_detach(<region_t*>core.control)
        for place in (<size_t>core.slots, <size_t>core.bells, <size_t>core.joined, <size_t>core.cut,
                      <size_t>core.events, <size_t>core.kinds, <size_t>core.flags, <size_t>core.sources,
                      <size_t>core.taken, <size_t>core.staged):
            PyMem_Free(<void*><size_t>place)
