"""One thread of the replica's process. What that process says to the core and hears of it, over shared memory.

    journal thread --written_sequence, replica_bell--> replica's process --replica_sequence, egress_bell--> egress thread
"""

from libc.errno cimport ESTALE
from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.port cimport (
    CORE_FAILED, PART_EPOCH, REGION_CONTROL, REPLICA_BEHIND, REPLICA_CURRENT, REPLICA_NONE, attached, control_t,
    level_load, level_store, state_move, state_store)
from nautilus.core.region cimport (
    BELL_POLL, bell_awake, bell_prepare, bell_ring, region_alive, region_detach, region_retired, region_t)

import os

from nautilus.core.port import CONTROL_NAME, REPLICA_BELL, PortError, bell_name

NONE, BEHIND, CURRENT = REPLICA_NONE, REPLICA_BEHIND, REPLICA_CURRENT


cdef class ReplicaPort:
    """One thread. The core's control region, as the process that hands the journal to a standby uses it.

    Raises PortError (``core.absent``, ``core.layout``) where there is no core.
    """

    def __cinit__(self):
        self.bell = -1

    def __init__(self, directory):
        directory = os.fspath(directory)
        self.control = <control_t*>attached(directory, CONTROL_NAME, REGION_CONTROL)
        if not region_alive(&self.control.head):
            self.close()
            raise PortError("core.absent", f"{directory}: the core has gone; expected a running one")
        self.bell = os.open(os.path.join(directory, bell_name(REPLICA_BELL)), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def __dealloc__(self):
        self.close()

    def close(self):
        """Let go of the core; it finds out by the silence."""
        if self.bell >= 0:
            os.close(self.bell)
            self.bell = -1
        region_detach(<region_t*>self.control)
        self.control = NULL

    cdef int check(self) except -1:
        if self.control is NULL:
            raise PortError("core.absent", "replica: closed; expected an attached port")
        return 0

    @property
    def retired(self):
        """Another core has taken this one's place, or it has stopped; attach anew."""
        self.check()
        return bool(region_retired(&self.control.head))

    @property
    def alive(self):
        """The core's process runs. Looks into /proc: not for every turn."""
        return self.control is not NULL and bool(region_alive(&self.control.head))

    @property
    def written_sequence(self):
        """The last command that lies in the journal's files."""
        self.check()
        return level_load(&self.control.written_sequence)

    @property
    def journal_epoch(self):
        """Of the core's journal."""
        self.check()
        return self.control.journal_epoch

    def publish(self, uint32_t state, int64_t sequence, int64_t seen_ns):
        """What a standby has, and when it was heard of (of this machine's clock); the egress is woken."""
        self.check()
        level_store(&self.control.replica_sequence, sequence)
        level_store(&self.control.replica_seen_ns, seen_ns)
        state_store(&self.control.replica_state, state)
        bell_ring(&self.control.egress_bell, -1)

    def fence(self, uint64_t epoch):
        """The core is not the core any more: it fails for good, and shows nothing."""
        cdef control_t* control = self.control
        self.check()
        control.fenced_by = epoch
        if state_move(&control.error, 0, ESTALE):
            control.error_in = PART_EPOCH
        state_store(&control.state, CORE_FAILED)
        bell_ring(&control.kernel_bell, -1)
        bell_ring(&control.journal_bell, -1)
        bell_ring(&control.egress_bell, -1)

    def fileno(self):
        """Readable after `arm()` gave True and commands were written."""
        return self.bell

    def arm(self, int64_t known):
        """Before a poll on `fileno()`: False where commands behind `known` are written already."""
        self.check()
        bell_prepare(&self.control.replica_bell, BELL_POLL)
        if level_load(&self.control.written_sequence) > known or region_retired(&self.control.head):
            bell_awake(&self.control.replica_bell)
            return False
        return True

    def disarm(self):
        """After a poll: empty the descriptor."""
        self.check()
        bell_awake(&self.control.replica_bell)
        try:
            while os.read(self.bell, 64):
                pass
        except BlockingIOError:
            pass
