"""One client process, one core process. The two sides of a slot: commands in, deliveries out, over shared memory.

A slot is a region with three rings: `urgent` (kill, mass cancel) and `ingress` (the rest) from the client to the core,
`feed` from the core to the client. The core makes the regions anew at each start; clients notice and attach again.

    client  --urgent, ingress-->  kernel thread          client_bell: rung by the egress thread
    client  <------feed---------  egress thread          kernel_bell (control region): rung by clients

The feed waits for nobody: where it is full the client is cut off, everything later is missing, and it joins again:
`join_wanted` is counted up by the client, the egress answers with `join_served` and the first sequence that it will
push after it, with its place in the feed. What lies before is in the event log; what a new holder of the slot finds in
the feed from before its first join is for the holder before it, and left out.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from nautilus.core.region cimport bell_t, region_t
from nautilus.core.ring cimport ring_t

cdef enum:
    REGION_CONTROL = 1
    REGION_SLOT = 2
    PORT_LAYOUT = 4
    MOST_SLOTS = 16
    SOURCE_URGENT = 0x8000

cdef enum:
    FEED_OWN = 1                # what came of the client's own commands
    FEED_ALL = 2                # every event, and what came of its own commands

cdef enum:
    CORE_STARTING = 1
    CORE_READY = 2
    CORE_NOT_READY = 3          # takes cancels and kills, refuses the rest
    CORE_STOPPING = 4
    CORE_STOPPED = 5
    CORE_FAILED = 6             # for good: no later state takes its place

cdef enum:
    PART_JOURNAL = 1            # control_t.error_in
    PART_LOG = 2
    PART_EPOCH = 3              # another core has a higher epoch

cdef enum:
    GATE_MEMORY = 0             # control_t.policy: what an event waits for
    GATE_DISK = 1
    GATE_REPLICA = 2

cdef enum:
    REPLICA_NONE = 0            # control_t.replica_state: no standby is attached
    REPLICA_BEHIND = 1          # one is, and lacks commands that were written before
    REPLICA_CURRENT = 2         # one has all but what is on its way

cdef extern from *:
    """
    #ifndef NAUTILUS_PORT_H
    #define NAUTILUS_PORT_H
    typedef struct control_t {
        region_t head;
        bell_t   kernel_bell, journal_bell, egress_bell;
        uint32_t state, error;              /* CORE_*; errno of what stopped it */
        uint32_t journal_open, log_open;    /* 0: no room, new orders are refused */
        int64_t  started_ns;
        uint32_t error_in, log_error;       /* PART_*; errno of what the egress waits for, 0: nothing */
        char     pad0[128 - 32];
        /* written by the kernel thread */
        int64_t  last_sequence, last_event_sequence, now_ns, open_orders, busy, refused_full, not_ready, waits, turns;
        int64_t  unknown;                   /* orders at external venues whose fate is not known now */
        char     pad1[128 - 80];
        /* written by the journal thread */
        int64_t  gate, written_sequence, durable_sequence, flushes;
        char     pad2[128 - 32];
        /* written by the egress thread */
        int64_t  delivered_sequence, log_waits, cuts, joins;
        int64_t  accepted, rejected, filled, cancelled, expired, replaced, duplicates;
        int64_t  degraded;                  /* times that events were shown without a standby */
        int64_t  pool_full;                 /* refusals as a pool of the kernel was full */
        char     pad3[128 - 104];
        bell_t   replica_bell;              /* rung when commands were written */
        /* written by the replica's process */
        int64_t  replica_sequence, replica_seen_ns;     /* the last command that a standby has; when it was heard of */
        uint64_t fenced_by;                 /* a higher epoch that another core has; 0: none known */
        uint32_t replica_state, unused;
        char     pad4[128 - 32];
        /* written before the threads start */
        uint64_t journal_epoch;
        uint32_t policy, degrade;           /* GATE_*; whether without a standby what is written is shown */
        char     pad5[128 - 16];
    } control_t;

    #define REPLICA_SILENCE_NS 1000000000   /* of its process: a standby not heard of for so long has nothing */

    typedef struct slot_t {
        region_t head;
        bell_t   client_bell;
        /* written by the client */
        uint64_t join_wanted;
        uint32_t mode, unused;
        uint64_t holder;                    /* HOLDER of its process; 0: nobody has it */
        int64_t  beat_ns;                   /* when the holder last said that it lives */
        char     pad0[128 - 32];
        /* written by the egress thread */
        uint64_t join_served;
        int64_t  joined_sequence;           /* first event that the feed will have after the join */
        uint64_t cut, cuts;                 /* cut: 1 from where the feed was full until the next join */
        uint64_t joined_at;                 /* place in the feed of what is pushed after the join */
        char     pad1[128 - 40];
        uint64_t ingress_at, urgent_at, feed_at;    /* offsets of the rings; never change */
        char     pad2[128 - 24];
    } slot_t;
    #define SLOT_RING(slot, at) ((ring_t *)((char *)(slot) + (slot)->at))
    /* Whether a standby has the journal, but for what is on its way, and was heard of lately. */
    static inline int replica_stands(const control_t *c, int64_t now_ns)
    {
        return __atomic_load_n(&c->replica_state, __ATOMIC_ACQUIRE) == 2
            && now_ns - __atomic_load_n(&c->replica_seen_ns, __ATOMIC_ACQUIRE) < REPLICA_SILENCE_NS;
    }

    static inline ring_t *slot_ingress(slot_t *slot) { return SLOT_RING(slot, ingress_at); }
    static inline ring_t *slot_urgent(slot_t *slot) { return SLOT_RING(slot, urgent_at); }
    static inline ring_t *slot_feed(slot_t *slot) { return SLOT_RING(slot, feed_at); }
    #define word_load(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define word_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    #define HOLDER_PID ((1u << 22) - 1)     /* the highest that Linux gives */

    /* Process and start time in one word, so that a slot changes hands in one step. */
    static uint64_t holder_of(int32_t pid) { return (uint64_t)pid | process_start(pid) << 22; }

    static int32_t holder_pid(uint64_t holder) { return (int32_t)(holder & HOLDER_PID); }

    static int holder_lives(uint64_t holder)
    {
        return holder >> 22 != 0 && holder_of(holder_pid(holder)) == holder;
    }

    static inline int holder_move(uint64_t *place, uint64_t from, uint64_t to)
    {
        return __atomic_compare_exchange_n(place, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    }

    /* Only from the state that was seen: another thread may have failed the core meanwhile. */
    static inline int state_move(uint32_t *place, uint32_t from, uint32_t to)
    {
        return __atomic_compare_exchange_n(place, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    }
    #endif
    """
    ctypedef struct control_t:
        region_t head
        bell_t kernel_bell
        bell_t journal_bell
        bell_t egress_bell
        uint32_t state
        uint32_t error
        uint32_t journal_open
        uint32_t log_open
        int64_t started_ns
        uint32_t error_in
        uint32_t log_error
        int64_t last_sequence
        int64_t last_event_sequence
        int64_t now_ns
        int64_t open_orders
        int64_t busy
        int64_t refused_full
        int64_t not_ready
        int64_t waits
        int64_t turns
        int64_t gate
        int64_t written_sequence
        int64_t durable_sequence
        int64_t flushes
        int64_t delivered_sequence
        int64_t log_waits
        int64_t cuts
        int64_t joins
        int64_t accepted
        int64_t rejected
        int64_t filled
        int64_t cancelled
        int64_t expired
        int64_t replaced
        int64_t duplicates
        int64_t unknown
        int64_t degraded
        int64_t pool_full
        bell_t replica_bell
        int64_t replica_sequence
        int64_t replica_seen_ns
        uint64_t fenced_by
        uint32_t replica_state
        uint64_t journal_epoch
        uint32_t policy
        uint32_t degrade
    ctypedef struct slot_t:
        region_t head
        bell_t client_bell
        uint64_t join_wanted
        uint32_t mode
        uint64_t holder
        int64_t beat_ns
        uint64_t join_served
        int64_t joined_sequence
        uint64_t cut
        uint64_t cuts
        uint64_t joined_at
        uint64_t ingress_at
        uint64_t urgent_at
        uint64_t feed_at
    int REPLICA_SILENCE_NS
    bint replica_stands(const control_t* c, int64_t now_ns) noexcept nogil
    ring_t* slot_ingress(slot_t* slot) noexcept nogil
    ring_t* slot_urgent(slot_t* slot) noexcept nogil
    ring_t* slot_feed(slot_t* slot) noexcept nogil
    uint32_t state_load "word_load"(uint32_t* place) noexcept nogil
    void state_store "word_store"(uint32_t* place, uint32_t value) noexcept nogil
    uint64_t count_load "word_load"(uint64_t* place) noexcept nogil
    void count_store "word_store"(uint64_t* place, uint64_t value) noexcept nogil
    int64_t level_load "word_load"(int64_t* place) noexcept nogil
    void level_store "word_store"(int64_t* place, int64_t value) noexcept nogil
    # A slot's holder: of a process, its id, whether it lives, and the slot changing hands (False: another one was quicker).
    uint64_t holder_of(int32_t pid) noexcept nogil
    int32_t holder_pid(uint64_t holder) noexcept nogil
    bint holder_lives(uint64_t holder) noexcept nogil
    bint holder_move(uint64_t* place, uint64_t seen, uint64_t to) noexcept nogil
    bint state_move(uint32_t* place, uint32_t seen, uint32_t to) noexcept nogil


cdef class Port:
    cdef control_t* control
    cdef slot_t* slot
    cdef object directory
    cdef readonly str name
    cdef uint64_t own                   # this process as a holder
    cdef bint fresh                     # what the feed has from before the first join is another holder's
    cdef int bell                       # read end of the FIFO by which the core wakes a poll; -1: none
    cdef int drop(self) except -1
    cdef int check(self) except -1
    cdef uint64_t something(self) noexcept nogil
    cdef uint64_t take(self, void* out, uint64_t most) noexcept nogil


cdef dict control_facts(control_t* c)
cdef region_t* attached(object directory, str name, uint32_t kind) except NULL
