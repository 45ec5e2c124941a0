"""The kernel thread: see sequencer.pxd."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from nautilus.core.clock cimport clock_now_ns
from nautilus.core.eventlog cimport DELIVERY_EMPTY, DELIVERY_LAST, DELIVERY_REFUSED, delivery_t
from nautilus.core.events cimport events_hash
from nautilus.core.gate cimport gate_write_through
from nautilus.core.hashing cimport hash_value
from nautilus.core.journal cimport JOURNAL_CHECKPOINT
from nautilus.core.orders cimport kernel_step
from nautilus.core.port cimport (
    CORE_FAILED, CORE_NOT_READY, CORE_READY, MOST_SLOTS, control_t, level_load, level_store, replica_stands,
    slot_ingress, slot_urgent, state_load, state_move, state_store)
from nautilus.core.region cimport bell_ring, bell_sleep, region_yield
from nautilus.core.ring cimport ring_claim, ring_commit, ring_peek, ring_push, ring_release, ring_size, ring_t
from nautilus.core.state cimport kernel_t
from nautilus.core.trading_core cimport (
    BATCH, EVENTS, IDLE_NS, OUTPUT_RECORDS, TURNS, core_t, output_t, platform_ns, queued_t, rest)
from nautilus.core.types cimport (
    COMMAND_CANCEL, COMMAND_KILL, COMMAND_NEW, COMMAND_REPLACE, COMMAND_TIME, EVENT_REJECTED, REASON_BUSY,
    REASON_JOURNAL_FULL, REASON_NOT_READY, command_t, event_t)


cdef bint kernel_waiting(core_t* core) noexcept nogil:
    cdef uint32_t i
    level_store(&core.control.turns, core.control.turns + 1)    # a sign of life, however long it looks before it sleeps
    for i in range(core.slot_count):
        if ring_size(slot_urgent(core.slots[i])) or ring_size(slot_ingress(core.slots[i])):
            return True
    return state_load(&core.stop) != 0 or state_load(&core.hold) != 0


cdef void push_out(core_t* core, const event_t* event, uint8_t kind, uint8_t flags, uint16_t slot,
                   int64_t taken_ns) noexcept nogil:
    """One record into the output ring; waits for the egress where that is full, counted."""
    cdef uint64_t granted
    cdef output_t* place
    if core.dropping:
        return
    place = <output_t*>ring_claim(core.output, 1, &granted)
    while granted == 0:
        if core.replica and state_load(&core.stop):
            core.dropping = True    # no standby takes them: the journal has them, the next start shows them
        if core.dropping or state_load(&core.control.state) == CORE_FAILED:
            return              # nothing is shown any more
        core.control.waits += 1
        bell_ring(&core.control.egress_bell, -1)
        region_yield()
        place = <output_t*>ring_claim(core.output, 1, &granted)
    memcpy(&place.delivery.event, event, sizeof(event_t))
    place.delivery.kind = kind
    place.delivery.flags = flags
    place.delivery.slot = slot
    place.taken_ns = taken_ns
    ring_commit(core.output, 1)


cdef void flush_events(core_t* core) noexcept nogil:
    """What the kernel wrote goes into the output ring, and its buffers are empty again."""
    cdef kernel_t* k = core.kernel
    cdef Py_ssize_t i, last = k.out_count - 1
    events_hash(k)
    for i in range(k.out_count):
        push_out(core, &core.events[i], core.kinds[i], core.flags[i], core.sources[i], core.taken_ns[i])
    if k.spill_count:
        # All of the last command, which has no LAST among `out` then.
        for i in range(k.spill_count):
            push_out(core, &k.spill[i], core.kinds[last], DELIVERY_LAST if i == k.spill_count - 1 else 0,
                     core.sources[last], core.taken_ns[last])
    k.out_count = 0
    k.out_hashed = 0
    k.spill_count = 0
    k.spill_read = 0
    k.spill_hashed = 0


cdef void refuse(core_t* core, const command_t* c, int reason, uint16_t slot, int64_t taken_ns) noexcept nogil:
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
    push_out(core, &e, c.kind, DELIVERY_LAST | DELIVERY_REFUSED, slot, taken_ns)


cdef void to_journal(core_t* core, const queued_t* queued) noexcept nogil:
    while ring_push(core.commands, queued):
        if state_load(&core.control.state) == CORE_FAILED:
            return
        core.control.waits += 1
        bell_ring(&core.control.journal_bell, -1)
        region_yield()


cdef bint is_taken(core_t* core, const command_t* c) noexcept nogil:
    """Whether there is room for a command, and for its events in the log.

    Where one of the disks is full, new orders are refused, and the rest is taken as long as what is allocated surely
    suffices: what the journal has, the log has too, and its sender is answered. A kill switch has room to the end.
    """
    cdef kernel_t* k = core.kernel
    cdef int64_t commands = 2, most = 64 + k.timer_count, every = 64 + 2 * <int64_t>k.market.order_pool.used
    if state_load(&core.control.journal_open) and state_load(&core.control.log_open):
        return True
    if c.kind == COMMAND_NEW or c.kind == COMMAND_REPLACE:
        return False
    if c.kind != COMMAND_CANCEL:
        most = every                # each order may expire, then be cancelled or filled
    if c.kind != COMMAND_KILL:
        commands += BATCH
        most += every
    return (k.sequence + commands <= level_load(&core.journal_limit)
            and k.event_sequence + most <= level_load(&core.log_limit))


cdef void step(core_t* core, const command_t* given, int64_t now_ns, uint16_t slot, int64_t taken_ns) noexcept nogil:
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
        refuse(core, c, REASON_BUSY, slot, taken_ns)
        return
    if not is_taken(core, c):
        core.control.refused_full += 1
        refuse(core, c, REASON_JOURNAL_FULL, slot, taken_ns)
        return
    if entering and (state_load(&core.control.state) != CORE_READY or (
            core.replica and not core.control.degrade and not replica_stands(core.control, taken_ns))):
        core.control.not_ready += 1
        refuse(core, c, REASON_NOT_READY, slot, taken_ns)
        return
    if k.out_count > EVENTS - 1024:
        flush_events(core)
    c.now_ns = now_ns
    first = k.out_count
    kernel_step(k, c)
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
        push_out(core, &empty, c.kind, DELIVERY_LAST | DELIVERY_EMPTY, slot, taken_ns)
        return
    for i in range(first, k.out_count):
        core.kinds[i] = c.kind
        core.flags[i] = 0
        core.sources[i] = slot
        core.taken_ns[i] = taken_ns
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
    queued.command.order_id = hash_value(&k.event_hash)
    queued.command.source_sequence = hash_value(&k.command_hash)
    to_journal(core, &queued)


cdef uint64_t take(core_t* core, ring_t* ring, uint16_t slot) noexcept nogil:
    """Up to BATCH commands of one ring."""
    cdef uint64_t granted, i
    cdef int64_t now_ns
    cdef int64_t taken_ns
    cdef const command_t* commands = <const command_t*>ring_peek(ring, BATCH, &granted)
    if granted == 0:
        return 0
    now_ns = platform_ns(core)
    taken_ns = clock_now_ns()
    for i in range(granted):
        step(core, &commands[i], now_ns, slot, taken_ns)
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
    level_store(&control.open_orders, k.market.order_pool.used)
    level_store(&control.unknown, k.unknown_orders)
    control.now_ns = k.now_ns
    if not gate_write_through(core):
        bell_ring(&control.journal_bell, -1)
    bell_ring(&control.egress_bell, -1)


cdef void* kernel_main(void* argument) noexcept nogil:
    cdef core_t* core = <core_t*>argument
    cdef kernel_t* k = core.kernel
    cdef control_t* control = core.control
    cdef command_t tick
    cdef uint64_t did
    cdef uint32_t i, turn = 0, looks_left = 2
    cdef int64_t now, most
    memset(&tick, 0, sizeof(tick))
    tick.kind = COMMAND_TIME
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
        level_store(&control.turns, control.turns + 1)
        if k.timer_count:
            now = platform_ns(core)
            if k.timers[0].due_ns <= now and is_taken(core, &tick):
                step(core, &tick, now, MOST_SLOTS, clock_now_ns())
                did += 1
        if state_load(&control.state) == CORE_FAILED:
            break
        if did:
            publish_state(core)
            if turn % TURNS:
                continue
        # Senders that never pause hold up neither a stop nor a look at the kernel.
        if state_load(&core.stop):
            looks_left -= 1
            if did == 0 or looks_left == 0:
                break
        if state_load(&core.hold):
            state_store(&core.held, 1)
            # Asleep: a real-time thread that yields gives nothing to the one that looks, where both have one processor.
            while state_load(&core.hold) and state_load(&core.stop) == 0:
                bell_sleep(&control.kernel_bell, control.kernel_bell.value, 50000)
            state_store(&core.held, 0)
            continue
        if did:
            continue
        if state_load(&control.state) == CORE_NOT_READY and platform_ns(core) >= k.now_ns - 1000000000:
            state_move(&control.state, CORE_NOT_READY, CORE_READY)
        most = IDLE_NS
        if k.timer_count and is_taken(core, &tick):
            now = k.timers[0].due_ns - platform_ns(core)
            if core.scaled:
                now = <int64_t>(<double>now / core.speed)
            most = max(<int64_t>1000, min(most, now))
        rest(core, &control.kernel_bell, kernel_waiting, core.spin_ns, most)
    publish_state(core)
    k.out = NULL
    k.out_capacity = 0
    state_store(&core.kernel_done, 1)
    bell_ring(&control.journal_bell, -1)
    bell_ring(&control.egress_bell, -1)
    return NULL
