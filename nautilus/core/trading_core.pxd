"""Three native threads and the one that starts and stops them. The trading core around its kernel.

    clients' rings -> kernel thread -> output ring -> egress thread -> event log, then each client's feed
                            |                              ^
                            +-> command ring -> journal thread (the gate: what is written, or durable)

The kernel thread gives each command its sequence and time, carries it out, and hands the command to the journal thread
and its events to the egress thread. The egress shows no event before the gate has passed its command. The rings in
between are bounded; the kernel waits for the egress alone (counted), and new orders are refused long before.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from nautilus.core.clock cimport clock_now_ns
from nautilus.core.eventlog cimport delivery_t, log_t
from nautilus.core.histogram cimport histogram_t
from nautilus.core.journal cimport journal_t
from nautilus.core.port cimport CORE_FAILED, control_t, slot_t, state_move, state_store
from nautilus.core.region cimport BELL_FUTEX, bell_awake, bell_prepare, bell_ring, bell_sleep, bell_t, region_yield
from nautilus.core.ring cimport cpu_relax, ring_t
from nautilus.core.state cimport kernel_t
from nautilus.core.types cimport command_t, event_t

cdef extern from "<pthread.h>" nogil:
    ctypedef unsigned long pthread_t
    int pthread_create(pthread_t* thread, const void* attributes, void* (*start)(void*) noexcept nogil, void* argument)
    int pthread_join(pthread_t thread, void** result)
    int pthread_setname_np(pthread_t thread, const char* name)

cdef enum:
    OUTPUT_RECORDS = 65536          # of the output ring
    COMMAND_RECORDS = 16384         # of the ring to the journal
    BATCH = 64                      # commands of one ring a turn
    EVENTS = 8192                   # room of the kernel thread's own buffer
    LOOKS = 8                       # before the first yield of an idle thread: who it waits for may need its core
    TURNS = 64                      # of the kernel thread under load, between two looks at `stop` and `hold`
    IDLE_NS = 20000000              # its longest sleep without a look: timers, stop, room on the disk

ctypedef struct queued_t:           # of the command ring
    command_t command
    uint64_t mark                   # 1: no command, but the running hashes, for the journal

ctypedef struct output_t:           # of the output ring
    delivery_t delivery
    int64_t taken_ns                # wall clock when its command was taken

ctypedef struct core_t:
    kernel_t* kernel
    journal_t* journal
    log_t* log
    control_t* control
    ring_t* commands                # kernel -> journal
    ring_t* output                  # kernel -> egress
    slot_t** slots
    int* bells                      # write ends of the clients' FIFOs
    uint64_t* joined                # `join_served` as the egress knows it
    bint* cut
    uint32_t slot_count
    event_t* events                 # EVENTS of them, where the kernel writes
    uint8_t* kinds                  # kind of the cause of each
    uint8_t* flags
    uint16_t* sources               # slot that it came from
    int64_t* taken_ns               # wall clock when its command was taken
    delivery_t* staged              # of the egress
    histogram_t* latency            # taken -> handed out, nanoseconds
    # the platform's clock: wall time, or scaled from an anchor
    int64_t anchor_wall_ns
    int64_t anchor_platform_ns
    double speed
    bint scaled
    int64_t spin_ns
    bint durable                    # the gate is fdatasync
    bint replica                    # the gate is a standby
    bint dropping                   # at a stop without one: the next start shows what is left out
    int replica_bell                # write end of the FIFO of the replica's process
    uint32_t writing                # 1: a thread has the journal and the reading end of `commands`
    int64_t slow_until_ns           # the kernel thread leaves the journal alone until then
    int64_t journal_limit           # last command that surely finds a place in the journal
    int64_t log_limit               # last event that surely finds one in the log
    # asked for by the starting thread, answered by the kernel thread
    uint32_t stop
    uint32_t hold
    uint32_t held
    uint32_t kernel_done
    uint32_t journal_done
    pthread_t kernel_thread
    pthread_t journal_thread
    pthread_t egress_thread


cdef inline void core_fail(core_t* core, int error, uint32_t part) noexcept nogil:
    """For good: nothing more is taken, nothing that is not written is shown. The first error is kept."""
    if state_move(&core.control.error, 0, <uint32_t>error):
        core.control.error_in = part
    state_store(&core.control.state, CORE_FAILED)
    bell_ring(&core.control.kernel_bell, -1)
    bell_ring(&core.control.journal_bell, -1)
    bell_ring(&core.control.egress_bell, -1)


ctypedef bint (*waiting_t)(core_t* core) noexcept nogil


cdef inline int64_t platform_ns(const core_t* core) noexcept nogil:
    cdef int64_t now = clock_now_ns()
    if not core.scaled:
        return now
    return core.anchor_platform_ns + <int64_t>(<double>(now - core.anchor_wall_ns) * core.speed)


cdef inline void rest(core_t* core, bell_t* bell, waiting_t waiting, int64_t spin_ns, int64_t most_ns) noexcept nogil:
    """Until something waits: looking, then yielding, for `spin_ns`, then asleep until the bell or for `most_ns`."""
    cdef int64_t start = 0
    cdef uint32_t value, looks = 0
    while not waiting(core):
        looks += 1
        if looks & 15 == 0:
            if start == 0:
                start = clock_now_ns()
            elif clock_now_ns() - start >= spin_ns:
                value = bell_prepare(bell, BELL_FUTEX)
                if waiting(core):
                    bell_awake(bell)
                else:
                    bell_sleep(bell, value, most_ns)
                return
            elif looks > LOOKS:
                region_yield()
        cpu_relax()
