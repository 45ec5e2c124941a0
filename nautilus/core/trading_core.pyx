"""The threads of the trading core, and the object that owns them: see trading_core.pxd."""

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from nautilus.core.affinity cimport grant_fifo, grant_pin
from nautilus.core.clock cimport clock_now_ns, clock_set, process_clock
from nautilus.core.egress cimport egress_main
from nautilus.core.eventlog cimport EventLogWriter, LOG_STAGED, delivery_t, log_limit
from nautilus.core.gate cimport journal_main
from nautilus.core.growth cimport growth_begin, growth_facts
from nautilus.core.hashing cimport hash_value
from nautilus.core.histogram cimport Histogram
from nautilus.core.journal cimport Journal, journal_limit, journal_put_hash
from nautilus.core.kernel cimport Kernel
from nautilus.core.memory cimport lock_region
from nautilus.core.port cimport (
    CORE_FAILED, CORE_NOT_READY, CORE_READY, CORE_STARTING, CORE_STOPPED, CORE_STOPPING, GATE_DISK, GATE_MEMORY,
    GATE_REPLICA, MOST_SLOTS, PORT_LAYOUT,
    REGION_CONTROL, REGION_SLOT, control_facts, control_t, count_load, holder_lives, level_load, slot_feed,
    slot_ingress, slot_t, slot_urgent, state_load, state_move, state_store)
from nautilus.core.region cimport bell_ring, region_create, region_detach, region_t, region_yield
from nautilus.core.ring cimport ring_bytes, ring_close, ring_format, ring_open, ring_prefault
from nautilus.core.sequencer cimport kernel_main
from nautilus.core.types cimport command_t, event_t

import os
from contextlib import contextmanager

from nautilus.core.affinity import THREADS, Grant, Machine, choose_cores, may_lock_all, node_of
from nautilus.core.port import CONTROL_NAME, REPLICA_BELL, bell_name, slot_name
from nautilus.core.snapshot_file import write_snapshot

cdef extern from "<signal.h>" nogil:
    ctypedef struct sigset_t:
        pass
    int sigfillset(sigset_t* set)
    int pthread_sigmask(int how, const sigset_t* set, sigset_t* old)
    int SIG_BLOCK, SIG_SETMASK

cdef extern from "<unistd.h>" nogil:
    Py_ssize_t c_write "write"(int fd, const void* buffer, size_t count)


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
    machine
        What its threads and rings ask of the machine; None: nothing. `grants` says what they got.
    acknowledge
        What an event waits for: "memory" or "disk" as the journal's policy, or "replica", a standby.
    degrade
        With "replica": while no standby has the journal, show what is written, counted; else refuse new orders.

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
    cdef readonly list troubles     # what did not go well at the stop, one line each
    cdef readonly list grants       # what was asked of the machine, and what came of it
    cdef object machine
    cdef bint running

    def __cinit__(self):
        memset(&self.core, 0, sizeof(core_t))
        self.core.replica_bell = -1

    def __init__(self, Kernel kernel not None, Journal journal not None, EventLogWriter log not None, directory, slots,
                 *, capacity=8192, epoch=1, clock=None, spin_us=50, Histogram latency=None, machine=None, acknowledge=None,
                 degrade=False):
        cdef core_t* core = &self.core
        cdef uint32_t i
        if not 0 < len(slots) <= MOST_SLOTS or len(set(slots)) != len(slots):
            raise ValueError(f"slots: expected 1 to {MOST_SLOTS} different names, found {slots}")
        if capacity < 64 or capacity & (capacity - 1) or capacity > 1 << 20:
            raise ValueError(f"capacity: expected a power of two from 64 to 2^20, found {capacity}")
        if acknowledge not in (None, journal.policy, "replica"):
            raise ValueError(f"acknowledge: expected {journal.policy!r}, as the journal's, or 'replica', found {acknowledge!r}")
        if journal.last_sequence != kernel.last_sequence or log.last_sequence != kernel.last_event_sequence:
            raise ValueError(
                f"core: expected journal and log to end at command {kernel.last_sequence} and event "
                f"{kernel.last_event_sequence}, found {journal.last_sequence} and {log.last_sequence}"
            )
        self.kernel, self.journal, self.log, self.latency = kernel, journal, log, latency
        self.directory = os.fspath(directory)
        self.slots = tuple(slots)
        self.troubles = []
        self.grants = []
        self.machine = Machine() if machine is None else machine
        choose_cores(self.machine.pin, ())      # a ValueError here rather than with threads running
        core.kernel = &kernel.state
        core.journal = &journal.state
        core.log = &log.state
        core.log.reserve = core.journal.reserve_bytes // 72     # a short command's record; a cancel gives one event
        core.slot_count = len(self.slots)
        core.spin_ns = int(spin_us * 1000)
        core.durable = journal.policy == "disk"
        core.replica = acknowledge == "replica"
        if latency is not None:
            core.latency = latency.data
        if clock is not None:
            core.anchor_wall_ns, core.anchor_platform_ns, core.speed = clock
            core.scaled = core.anchor_wall_ns != core.anchor_platform_ns or core.speed != 1
        core.commands = ring_open(sizeof(queued_t), COMMAND_RECORDS, self.machine.huge_pages)
        core.output = ring_open(sizeof(output_t), OUTPUT_RECORDS, self.machine.huge_pages)
        core.slots = <slot_t**>PyMem_Calloc(MOST_SLOTS, sizeof(slot_t*))
        core.bells = <int*>PyMem_Calloc(MOST_SLOTS, sizeof(int))
        core.joined = <uint64_t*>PyMem_Calloc(MOST_SLOTS, sizeof(uint64_t))
        core.cut = <bint*>PyMem_Calloc(MOST_SLOTS, sizeof(bint))
        core.events = <event_t*>PyMem_Calloc(EVENTS, sizeof(event_t))
        core.kinds = <uint8_t*>PyMem_Calloc(EVENTS, 1)
        core.flags = <uint8_t*>PyMem_Calloc(EVENTS, 1)
        core.sources = <uint16_t*>PyMem_Calloc(EVENTS, sizeof(uint16_t))
        core.taken_ns = <int64_t*>PyMem_Calloc(EVENTS, sizeof(int64_t))
        core.staged = <delivery_t*>PyMem_Calloc(LOG_STAGED, sizeof(delivery_t))
        if (core.commands is NULL or core.output is NULL or core.slots is NULL or core.bells is NULL
                or core.joined is NULL or core.cut is NULL or core.events is NULL or core.kinds is NULL
                or core.flags is NULL or core.sources is NULL or core.taken_ns is NULL or core.staged is NULL):
            raise MemoryError("core: no memory for its rings")
        for i in range(<uint32_t>MOST_SLOTS):
            core.bells[i] = -1
        for i in range(core.slot_count):
            self._make_slot(i, capacity, epoch)
        core.replica_bell = self._make_bell(REPLICA_BELL)
        core.control = <control_t*>self._make_region(CONTROL_NAME, sizeof(control_t), REGION_CONTROL, epoch)
        core.control.journal_epoch = journal.epoch
        core.control.policy = GATE_REPLICA if core.replica else GATE_DISK if core.durable else GATE_MEMORY
        core.control.degrade = degrade
        clock_set(&process_clock)               # it may have run on by itself for long, in the process forked from
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
        self.core.bells[i] = self._make_bell(self.slots[i])
        return 0

    cdef int _make_bell(self, str name) except -1:
        bell = os.path.join(self.directory, bell_name(name))
        try:
            os.mkfifo(bell, 0o600)
        except FileExistsError:
            pass
        return os.open(bell, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def start(self, bint ready=True):
        """Start the threads. ready: new orders are taken; else `make_ready` says when."""
        cdef core_t* core = &self.core
        cdef sigset_t every, before
        cdef int rc
        if self.running:
            raise RuntimeError("core: expected one that is not running")
        self.kernel.alone()
        self.kernel.busy = True
        state_store(&core.control.state, CORE_READY if ready else CORE_STARTING)
        core.journal_limit, core.log_limit = journal_limit(core.journal), log_limit(core.log)
        self._ready_memory()
        sigfillset(&every)                      # signals are for Python's thread alone
        pthread_sigmask(SIG_BLOCK, &every, &before)
        rc = self._start_threads()
        pthread_sigmask(SIG_SETMASK, &before, NULL)
        if rc:
            self.kernel.busy = False
            state_store(&core.control.state, CORE_STARTING)
            raise OSError(rc, os.strerror(rc), "a thread of the core")
        pthread_setname_np(core.kernel_thread, b"core-kernel")
        pthread_setname_np(core.journal_thread, b"core-journal")
        pthread_setname_np(core.egress_thread, b"core-egress")
        self._ready_threads()
        self.running = True
        for i in range(core.slot_count):        # whoever sleeps on the core before this one finds it retired
            c_write(core.bells[i], b"", 1)
        c_write(core.replica_bell, b"", 1)

    cdef int _ready_memory(self) except -1:
        """Commit and lock the rings between the threads and the kernel's pools, where that is asked for."""
        cdef core_t* core = &self.core
        cdef size_t locked = 0, wanted = core.commands.region_bytes + core.output.region_bytes
        cdef uint32_t i
        self.grants = []
        if self.machine.huge_pages:
            committed = ring_prefault(core.commands) + ring_prefault(core.output)
            self.grants.append(Grant("rings", committed >= wanted, f"{committed:,} of {wanted:,} bytes committed"))
        if self.machine.lock_memory and not may_lock_all():     # else all of the process is locked already
            locked = lock_region(core.commands, core.commands.region_bytes)
            locked += lock_region(core.output, core.output.region_bytes)
            for i in range(core.slot_count):
                wanted += core.slots[i].head.bytes
                locked += lock_region(core.slots[i], core.slots[i].head.bytes)
            found = f"{locked:,} of {wanted:,} bytes locked"
            self.grants.append(Grant("ring lock", locked >= wanted, found))
        if self.machine.ready_orders:
            self._ready_pools()
        return 0

    cdef int _ready_pools(self) except -1:
        """Let the kernel's pools grow before their records are needed; once, whatever becomes of it."""
        cdef bint lock = self.machine.lock_memory and not may_lock_all()
        cdef int node = -1, error
        cdef uint32_t orders = min(self.machine.ready_orders, self.kernel.state.capacity)
        if self.machine.numa_local:
            cores, _ = choose_cores(self.machine.pin, os.sched_getaffinity(0))
            node = node_of(cores[0] if cores else sorted(os.sched_getaffinity(0))[0])
        error = growth_begin(&self.kernel.state, orders, lock, node)
        pools = {pool.name: pool for pool in growth_facts(&self.kernel.state)}
        found = f"{pools['orders'].ready:,} orders committed, up to {self.kernel.state.capacity:,} as they are needed"
        self.grants.append(Grant("pools", error == 0, f"{found}: {os.strerror(error)}" if error else found))
        if lock:
            locked = sum(pool.locked_bytes for pool in pools.values())
            self.grants.append(Grant("pool lock", locked > 0, f"{locked:,} bytes locked so far, within the limit"))
        return 0

    cdef int _ready_threads(self) except -1:
        """Pin the threads, then raise their priority: unpinned ones of high priority could meet on one core."""
        cdef core_t* core = &self.core
        cdef int priority = self.machine.realtime_priority
        cores, notes = choose_cores(self.machine.pin, os.sched_getaffinity(0))
        threads = (core.kernel_thread, core.journal_thread, core.egress_thread)
        self.grants += notes
        for name, thread, number in zip(THREADS, threads, cores):
            self.grants.append(grant_pin(f"pin {name}", thread, number))
        if priority:
            for name, thread in zip(THREADS, threads):
                self.grants.append(grant_fifo(f"realtime {name}", thread, priority))
        return 0

    cdef int _start_threads(self) except -1:
        """All three, or none: 0 or an errno."""
        cdef core_t* core = &self.core
        cdef int rc = pthread_create(&core.egress_thread, NULL, egress_main, core)
        if rc:
            return rc
        rc = pthread_create(&core.journal_thread, NULL, journal_main, core)
        if rc == 0:
            rc = pthread_create(&core.kernel_thread, NULL, kernel_main, core)
            if rc == 0:
                return 0
            state_store(&core.kernel_done, 1)       # the order of a stop
            bell_ring(&core.control.journal_bell, -1)
            with nogil:
                pthread_join(core.journal_thread, NULL)
        state_store(&core.journal_done, 1)
        bell_ring(&core.control.egress_bell, -1)
        with nogil:
            pthread_join(core.egress_thread, NULL)
        core.kernel_done = core.journal_done = 0
        return rc

    def make_ready(self, bint ready=True):
        """Take new orders; not ready: until the clock has caught up with the journal, they are refused NOT_READY."""
        for state in (CORE_STARTING, CORE_NOT_READY, CORE_READY):
            if state_move(&self.core.control.state, state, CORE_READY if ready else CORE_NOT_READY):
                break
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

    def holds(self, str name, int64_t silence_ns=0):
        """Whether a living process has this slot, and has said so within `silence_ns` (0: however long ago)."""
        cdef slot_t* slot
        if name not in self.slots:
            raise ValueError(f"slot {name!r}; expected one of {', '.join(self.slots)}")
        slot = self.core.slots[self.slots.index(name)]
        if not holder_lives(count_load(&slot.holder)):
            return False
        return silence_ns == 0 or clock_now_ns() - level_load(&slot.beat_ns) <= silence_ns

    def stop(self, bint snapshot=True):
        """Take what waits, end the journal cleanly, and where asked leave a snapshot.

        True where all went well; else `troubles` says what did not. In either case the core has stopped, nothing that
        it showed is lost, and its clients know.
        """
        cdef core_t* core = &self.core
        if not self.running:
            return not self.troubles
        # In the order in which the kernel thread may change it meanwhile; FAILED stays.
        for state in (CORE_STARTING, CORE_NOT_READY, CORE_READY):
            if state_move(&core.control.state, state, CORE_STOPPING):
                break
        state_store(&core.stop, 1)
        bell_ring(&core.control.kernel_bell, -1)
        bell_ring(&core.control.egress_bell, -1)
        with nogil:
            pthread_join(core.kernel_thread, NULL)
            pthread_join(core.journal_thread, NULL)
            pthread_join(core.egress_thread, NULL)
        self.running = False
        self.kernel.busy = False
        if core.control.error:
            error = core.control.error
            self.troubles.append(f"{self.facts()['error_in']}: errno {error}: {os.strerror(error)}")
        else:
            self._end(snapshot)
            state_move(&core.control.state, CORE_STOPPING, CORE_STOPPED)
        state_store(&core.control.head.retired, 1)
        for i in range(core.slot_count):
            state_store(&core.slots[i].head.retired, 1)
            bell_ring(&core.slots[i].client_bell, core.bells[i])
        return not self.troubles

    cdef int _end(self, bint snapshot) except -1:
        """End the journal, then store what need not be replayed."""
        cdef core_t* core = &self.core
        path = self.journal.path
        if core.kernel.sequence >= core.journal.first_sequence:
            journal_put_hash(core.journal, core.kernel.sequence, core.kernel.event_sequence,
                             hash_value(&core.kernel.event_hash),
                             hash_value(&core.kernel.command_hash))
        try:
            self.journal.close()
        except OSError as error:
            self.troubles.append(f"journal: no clean end: {error}")
            return 0
        if core.log.last_sequence != core.kernel.event_sequence:
            self.troubles.append(
                f"event log: ends at event {core.log.last_sequence} of {core.kernel.event_sequence}: "
                f"{'no standby had them' if core.replica else 'no room'}; the next start appends the others"
            )
            return 0
        if not snapshot or not core.kernel.sequence:
            return 0
        try:
            # Events before a snapshot are never compared with the journal again: they are on disk first.
            self.log.sync()
            write_snapshot(path, core.kernel.sequence, self.kernel.snapshot())
        except (OSError, MemoryError) as error:
            self.troubles.append(f"snapshot: not written, the next start replays the journal: {error}")
        return 0

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
            for i in range(<uint32_t>MOST_SLOTS):
                region_detach(<region_t*>core.slots[i])
                if core.bells is not NULL and core.bells[i] >= 0:
                    os.close(core.bells[i])
        if core.replica_bell >= 0:
            os.close(core.replica_bell)
        region_detach(<region_t*>core.control)
        for place in (<size_t>core.slots, <size_t>core.bells, <size_t>core.joined, <size_t>core.cut,
                      <size_t>core.events, <size_t>core.kinds, <size_t>core.flags, <size_t>core.sources,
                      <size_t>core.taken_ns, <size_t>core.staged):
            PyMem_Free(<void*><size_t>place)
