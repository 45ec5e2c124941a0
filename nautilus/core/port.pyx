"""The client's side of a slot: see port.pxd."""

from libc.errno cimport EINVAL, ENOENT, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from nautilus.core.clock cimport clock_now_ns
from nautilus.core.eventlog cimport delivery_t
from nautilus.core.region cimport (
    BELL_FUTEX, BELL_POLL, bell_awake, bell_prepare, bell_ring, bell_sleep, region_alive,
    region_attach, region_detach, region_retired, region_t, region_yield)
from nautilus.core.ring cimport (
    cpu_relax, ring_drain, ring_push, ring_size, ring_skip_to, ring_take_consumer, ring_take_producer)
from nautilus.core.types cimport COMMAND_KILL, COMMAND_MASS_CANCEL, command_t

import os

import numpy as np

from nautilus.core.eventlog import DELIVERY
from nautilus.core.types import COMMAND

OWN, ALL = FEED_OWN, FEED_ALL
URGENT_SOURCE = SOURCE_URGENT
"""Bit of a source id: a sender's urgent commands are a source of their own, as they overtake its others."""
STATES = {
    CORE_STARTING: "starting", CORE_READY: "ready", CORE_NOT_READY: "not ready", CORE_STOPPING: "stopping",
    CORE_STOPPED: "stopped", CORE_FAILED: "failed",
}
PARTS = {PART_JOURNAL: "journal", PART_LOG: "event log", PART_EPOCH: "epoch"}
POLICIES = {GATE_MEMORY: "memory", GATE_DISK: "disk", GATE_REPLICA: "replica"}
REPLICAS = {REPLICA_NONE: "none", REPLICA_BEHIND: "behind", REPLICA_CURRENT: "current"}
CONTROL_NAME = "core.control"
REPLICA_BELL = "replica"
"""Name of the bell (`bell_name`) of the process that hands the journal to a standby."""

cdef enum:
    RELAXES = 8                 # looks before the first yield: who is waited for may need this core


cdef inline bint urgent(uint32_t source_id, uint64_t source_sequence, uint32_t kind) noexcept nogil:
    return source_id & SOURCE_URGENT or (
        source_sequence == 0 and (kind == COMMAND_KILL or kind == COMMAND_MASS_CANCEL))


def is_urgent(uint32_t source_id, uint64_t source_sequence, uint32_t kind):
    """Whether a command goes by the urgent ring, and overtakes those of the other."""
    return bool(urgent(source_id, source_sequence, kind))


class PortError(RuntimeError):
    """There is no core to attach to, or the slot is another process's; `code` is stable."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def slot_name(str name):
    """File name of a slot's region."""
    return f"core.slot.{name}"


def bell_name(str name):
    """File name of the FIFO that wakes a slot's client out of a poll."""
    return f"core.bell.{name}"


cdef region_t* attached(object directory, str name, uint32_t kind) except NULL:
    cdef bytes path = os.fsencode(os.path.join(directory, name))
    cdef region_t* region = region_attach(path, kind, PORT_LAYOUT)
    if region is NULL:
        if errno == ENOENT:
            raise PortError("core.absent", f"{directory}: no {name}; expected a running core")
        if errno == EINVAL:
            raise PortError("core.layout", f"{directory}: {name} is of another version; expected layout {PORT_LAYOUT}")
        raise OSError(errno, os.strerror(errno), os.path.join(directory, name))
    return region


cdef class Port:
    """One thread. A client's way to the core: commands in, deliveries out.

    Parameters
    ----------
    directory
        Shared memory of the instance.
    name
        Slot; one living process has it at a time.
    mode
        `OWN`: deliveries of own commands; `ALL`: every event.

    Raises
    ------
    PortError
        ``core.absent``, ``core.layout``, or ``core.slot_taken``.
    """

    def __cinit__(self):
        self.bell = -1

    def __init__(self, directory, str name, int mode=FEED_OWN):
        self.directory = os.fspath(directory)
        self.name = name
        self.control = <control_t*>attached(self.directory, CONTROL_NAME, REGION_CONTROL)
        self.slot = <slot_t*>attached(self.directory, slot_name(name), REGION_SLOT)
        if not region_alive(&self.control.head):
            self.drop()
            raise PortError("core.absent", f"{self.directory}: the core has gone; expected a running one")
        self.own = holder_of(os.getpid())
        held = count_load(&self.slot.holder)
        while True:
            if holder_pid(held) != os.getpid() and holder_lives(held):
                self.drop()
                raise PortError(
                    "core.slot_taken", f"slot {name} is taken by process {holder_pid(held)}; expected a free one")
            if holder_move(&self.slot.holder, held, self.own):
                break
            held = count_load(&self.slot.holder)
        self.slot.mode = mode
        self.beat()
        ring_take_producer(slot_ingress(self.slot))
        ring_take_producer(slot_urgent(self.slot))
        ring_take_consumer(slot_feed(self.slot))
        try:
            self.bell = os.open(os.path.join(self.directory, bell_name(name)), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            self.bell = -1
        self.disarm()       # what woke the slot's client before this one
        self.fresh = True
        self.join()

    def __dealloc__(self):
        self.drop()

    cdef int drop(self) except -1:
        if self.bell >= 0:
            os.close(self.bell)
            self.bell = -1
        region_detach(<region_t*>self.slot)
        region_detach(<region_t*>self.control)
        self.slot = NULL
        self.control = NULL
        return 0

    cdef int check(self) except -1:
        if self.slot is NULL:
            raise PortError("core.absent", f"slot {self.name}: closed; expected an attached port")
        return 0

    def close(self):
        """Give the slot back."""
        if self.slot is not NULL and holder_pid(self.own) == os.getpid():
            holder_move(&self.slot.holder, self.own, 0)
        self.drop()

    cdef uint64_t something(self) noexcept nogil:
        """Records in the feed that are for this holder."""
        if self.fresh:
            if count_load(&self.slot.join_served) != self.slot.join_wanted:
                return 0        # the egress may still be pushing what the holder before did not wait for
            ring_skip_to(slot_feed(self.slot), self.slot.joined_at)
            self.fresh = False
        return ring_size(slot_feed(self.slot))

    cdef uint64_t take(self, void* out, uint64_t most) noexcept nogil:
        if self.fresh and self.something() == 0:
            return 0
        return ring_drain(slot_feed(self.slot), out, most)

    def beat(self):
        """Say that this process lives and does its work, for those who ask `TradingCore.holds`."""
        self.check()
        level_store(&self.slot.beat_ns, clock_now_ns())

    def join(self):
        """Ask the egress to feed this slot from now on; `joined` says when it does."""
        self.check()
        count_store(&self.slot.join_wanted, self.slot.join_wanted + 1)
        bell_ring(&self.control.egress_bell, -1)

    @property
    def joined(self):
        """Sequence of the first event that the feed has since the last join; None while the core has not answered."""
        self.check()
        if count_load(&self.slot.join_served) != self.slot.join_wanted:
            return None
        return self.slot.joined_sequence

    @property
    def cut(self):
        """The feed was full: later events are missing until the next join."""
        self.check()
        return count_load(&self.slot.cut) != 0 and count_load(&self.slot.join_served) == self.slot.join_wanted

    @property
    def retired(self):
        """Another core has taken this one's place, or it has stopped; attach anew."""
        self.check()
        return bool(region_retired(&self.control.head))

    @property
    def alive(self):
        """The core's process runs. Looks into /proc: not for every turn."""
        return self.slot is not NULL and bool(region_alive(&self.control.head))

    @property
    def state(self):
        """What the core says of itself: ``starting``, ``ready``, ``not ready``, ``stopping``, ``stopped``, ``failed``."""
        self.check()
        return STATES.get(state_load(&self.control.state), "unknown")

    @property
    def refuses(self):
        """Why the core takes no new orders; "": it takes them."""
        self.check()
        return refusal_of(self.control)

    @property
    def turns(self):
        """Of the kernel thread: moves every 20 ms or more often; else the core hangs."""
        self.check()
        return level_load(&self.control.turns)

    @property
    def epoch(self):
        """Of the core's run."""
        self.check()
        return self.control.head.epoch

    @property
    def journal_epoch(self):
        """Of the core's journal: of two cores that have the same commands, the higher one is the core."""
        self.check()
        return self.control.journal_epoch

    @property
    def capacity(self):
        """Commands that the ingress ring takes."""
        self.check()
        return slot_ingress(self.slot).capacity

    def send(self, commands):
        """Hand COMMAND records to the core, in order; how many there was room for.

        Those of an urgent source, and KILL and MASS_CANCEL without a source sequence, go by the urgent ring and
        overtake the others; what has a place in its sender's order keeps it. The core gives `sequence` and `now_ns`.
        """
        cdef const uint8_t[::1] raw
        cdef const command_t* rows
        cdef Py_ssize_t i, count
        cdef int full
        self.check()
        if commands.dtype is not COMMAND and commands.dtype != COMMAND:
            raise TypeError(f"commands: expected dtype nautilus.core.COMMAND, found {commands.dtype}")
        count = len(commands)
        if count == 0:
            return 0
        raw = np.ascontiguousarray(commands).view(np.uint8)
        rows = <const command_t*>&raw[0]
        with nogil:
            for i in range(count):
                if urgent(rows[i].source_id, rows[i].source_sequence, rows[i].kind):
                    full = ring_push(slot_urgent(self.slot), &rows[i])
                else:
                    full = ring_push(slot_ingress(self.slot), &rows[i])
                if full:
                    count = i
                    break
        bell_ring(&self.control.kernel_bell, -1)
        return count

    def receive(self, out, int64_t wait_ns=0, int64_t spin_ns=0):
        """Copy waiting deliveries to the front of `out`, a DELIVERY array; how many.

        wait_ns: how long to wait for the first one: `spin_ns` of it awake, the rest asleep. Returns early with 0 where
        the core has retired or this slot is cut off.
        """
        cdef uint8_t[::1] raw
        cdef uint64_t count, most
        cdef int64_t start = 0, now
        cdef uint32_t value, looks = 0
        self.check()
        if out.dtype is not DELIVERY and out.dtype != DELIVERY:
            raise TypeError(f"out: expected dtype DELIVERY, found {out.dtype}")
        most = len(out)
        if most == 0:
            return 0
        raw = out.view(np.uint8)
        with nogil:
            count = self.take(&raw[0], most)
            while count == 0 and wait_ns > 0:
                looks += 1
                if looks & 15 == 0:
                    now = clock_now_ns()
                    if start == 0:
                        start = now
                    if now - start >= wait_ns or region_retired(&self.control.head) or count_load(&self.slot.cut):
                        break
                    if now - start >= spin_ns:
                        value = bell_prepare(&self.slot.client_bell, BELL_FUTEX)
                        if self.something() == 0:
                            bell_sleep(&self.slot.client_bell, value, min(wait_ns - (now - start), <int64_t>50000000))
                        else:
                            bell_awake(&self.slot.client_bell)
                    elif looks > RELAXES:
                        region_yield()
                cpu_relax()
                count = self.take(&raw[0], most)
        return count

    def fileno(self):
        """Descriptor that becomes readable after `arm()` gave True and something was delivered; -1: none."""
        return self.bell

    def arm(self):
        """Before a poll on `fileno()`: True to poll, False where something waits already."""
        self.check()
        bell_prepare(&self.slot.client_bell, BELL_POLL)
        if self.something() or region_retired(&self.control.head) or count_load(&self.slot.cut):
            bell_awake(&self.slot.client_bell)
            return False
        return True

    def disarm(self):
        """After a poll: empty the descriptor."""
        self.check()
        bell_awake(&self.slot.client_bell)
        if self.bell >= 0:
            try:
                while os.read(self.bell, 64):
                    pass
            except BlockingIOError:
                pass

    def waiting(self):
        """Deliveries that wait."""
        self.check()
        return self.something()


cdef str refusal_of(control_t* c):
    cdef str state = STATES.get(state_load(&c.state), "unknown")
    if state == "not ready":
        return "the core's clock is behind its journal"
    if state == "failed" and c.fenced_by:
        return f"the core of epoch {c.journal_epoch} was replaced by one of epoch {c.fenced_by}"
    if state != "ready":
        return f"the core is {state}"
    if not state_load(&c.journal_open):
        return "the core's journal has no room"
    if c.policy == GATE_REPLICA and not c.degrade and not replica_stands(c, clock_now_ns()):
        return "no standby has the journal, as core.acknowledge = replica asks for"
    if not state_load(&c.log_open):
        return f"the core's event log has no room: {os.strerror(c.log_error)}" if c.log_error else \
            "the core's event log has no room"
    return ""


cdef dict control_facts(control_t* c):
    return {
        "state": STATES.get(state_load(&c.state), "unknown"), "error": c.error, "error_in": PARTS.get(c.error_in, ""),
        "epoch": c.head.epoch, "log_error": c.log_error,
        "refuses": refusal_of(c), "pid": c.head.owner, "started_ns": c.started_ns,
        "journal_open": bool(c.journal_open), "log_open": bool(c.log_open),
        "commands": level_load(&c.last_sequence), "events": level_load(&c.last_event_sequence), "now_ns": c.now_ns,
        "open": level_load(&c.open_orders), "busy": c.busy, "journal_full": c.refused_full, "not_ready": c.not_ready,
        "waits": c.waits, "gate": level_load(&c.gate), "written_sequence": level_load(&c.written_sequence),
        "durable_sequence": level_load(&c.durable_sequence), "flushes": c.flushes,
        "delivered_sequence": level_load(&c.delivered_sequence), "log_waits": c.log_waits, "cuts": c.cuts,
        "joins": c.joins, "accepted": c.accepted, "rejected": c.rejected, "filled": c.filled,
        "cancelled": c.cancelled, "expired": c.expired, "replaced": c.replaced, "duplicates": c.duplicates,
        "unknown": c.unknown, "pool_full": c.pool_full, "acknowledge": POLICIES[c.policy], "journal_epoch": c.journal_epoch,
        "fenced_by": c.fenced_by, "degraded": c.degraded, "replica_sequence": level_load(&c.replica_sequence),
        "replica": REPLICAS[state_load(&c.replica_state)] if clock_now_ns() - c.replica_seen_ns < REPLICA_SILENCE_NS
        else "none",
    }


def core_facts(directory):
    """What the core in this directory says of itself, read without disturbing it. Raises PortError where none ever ran."""
    cdef region_t* region = attached(os.fspath(directory), CONTROL_NAME, REGION_CONTROL)
    try:
        return {**control_facts(<control_t*>region), "alive": bool(region_alive(region))}
    finally:
        region_detach(region)
