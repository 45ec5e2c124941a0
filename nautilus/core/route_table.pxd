"""Any process and thread may use every operation. The table of routes: how fast and how sound each way to an engine is.

A group is one engine and one class of its endpoints. Its targets are the ways there: each instance of the engine, over
the direct route and over the gateway. A decision picks a route and an instance of a group; an outcome is recorded for a
target. All lies in one region, so that the workers of a process group agree:

    header | holders | tallies of strategies | instances | groups | targets

Words that a decision reads are read and written whole, each by itself: a decision may see a target between two of its
words' updates, which moves it by one sample and no further. What an outcome changes is changed under a lock in the
target; who holds it is written in it, so that a process killed there keeps nobody out, and an outcome that finds the
lock taken for long leaves the statistics alone and is counted in `contended`. Requests in flight are counted by each
process in a cell of its own: those of a dead process are taken back by clearing its cells (`sweep`).
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from nautilus.core.region cimport region_t

cdef extern from *:
    """
    #ifndef NAUTILUS_ROUTE_H
    #define NAUTILUS_ROUTE_H
    #include <stdint.h>
    #define ROUTE_HOLDERS 32            /* processes that use a table at once */
    #define ROUTE_MEMBERS 16            /* instances of an engine */
    #define ROUTE_TALLIES 8
    #define ROUTE_BUCKETS 128           /* of a histogram: four in each power of two, from 256 ns to 37 minutes */

    typedef struct route_holder_t {
        int32_t  pid;                   /* 0: free */
        int32_t  unused;
        uint64_t start;                 /* start time of the process: pids come again */
    } route_holder_t;

    typedef struct route_instance_t {
        char     engine[32], name[48], region[24];
        uint32_t region_hash;           /* 0: of no region */
        uint32_t health;
        int64_t  since_ns;              /* when it was last found available after it was not; 0: it always was */
        char     pad[8];
    } route_instance_t;
    _Static_assert(sizeof(route_instance_t) == 128, "route_instance_t");

    typedef struct route_group_t {
        char     engine[32], endpoint_class[48];
        uint32_t turn;                  /* of the round robin */
        int32_t  until_trial;           /* decisions that may try the other route, until one does */
        uint32_t counts[2];             /* members of each route; published last */
        uint32_t current;               /* target that was last taken for its own sake, + 1 */
        uint32_t unused;
        uint16_t members[2][ROUTE_MEMBERS];
        char     pad[256 - 168];
    } route_group_t;
    _Static_assert(sizeof(route_group_t) == 256, "route_group_t");

    typedef struct route_target_t {
        /* What a decision reads. */
        int64_t  expected_ns, deviation_ns;
        int64_t  peak_ns, peak_at_ns;   /* the peak EWMA, and of when it is */
        int64_t  last_ns;               /* of the last sample */
        uint32_t samples;               /* ever, up to 2^31 */
        int32_t  surprise;              /* -1, 1: the last sample was far below, above; 0: neither */
        int32_t  trial;                 /* 1: one was better than what is taken; another would confirm it */
        uint32_t confidence;            /* percent */
        uint32_t failure_share;         /* of 1,024, decayed */
        uint16_t instance, group, route, unused;
        /* What an outcome changes besides. */
        int32_t  lock;                  /* holder's number + 1 */
        uint32_t since_quantiles;       /* samples since they were worked out */
        int64_t  surprise_ns;
        int64_t  epoch_ns;              /* weights have been decayed up to here */
        uint32_t weight;                /* of all samples in the histogram; 256 each when new */
        uint32_t ok_weight, failed_weight;
        uint32_t contended;
        uint64_t total, failed;
        uint32_t running_failures;      /* since the last that did not fail */
        int32_t  tried;                 /* 1: the next sample is that of a trial */
        int64_t  p50_ns, p95_ns, p99_ns;
        int32_t  in_flight[ROUTE_HOLDERS];
        uint32_t buckets[ROUTE_BUCKETS];
        char     pad[1024 - 800];
    } route_target_t;
    _Static_assert(sizeof(route_target_t) == 1024, "route_target_t");

    typedef struct route_tally_t {      /* of a strategy, since the table was made */
        uint64_t decisions, requests, succeeded, sum_ns;
        uint64_t buckets[ROUTE_BUCKETS];
        char     pad[32];
    } route_tally_t;
    _Static_assert(sizeof(route_tally_t) == 1088, "route_tally_t");

    typedef struct route_table_t {
        region_t region;
        int32_t  lock;                  /* for names: holder's number + 1 */
        uint32_t capacity;              /* targets */
        uint32_t holders;               /* cells that were ever used */
        uint32_t instances, groups, targets;
        int64_t  half_life_ns;
        char     pad[128 - 32];
        route_holder_t holder[ROUTE_HOLDERS];
        route_tally_t tallies[ROUTE_TALLIES];
    } route_table_t;
    _Static_assert(sizeof(route_table_t) % 128 == 0, "route_table_t");

    static inline int64_t route_get(const int64_t *place) { return __atomic_load_n(place, __ATOMIC_RELAXED); }
    static inline void route_put(int64_t *place, int64_t value) { __atomic_store_n(place, value, __ATOMIC_RELAXED); }
    static inline uint32_t route_get_word(const uint32_t *place) { return __atomic_load_n(place, __ATOMIC_RELAXED); }
    static inline void route_put_word(uint32_t *place, uint32_t value)
    {
        __atomic_store_n(place, value, __ATOMIC_RELAXED);
    }
    static inline uint32_t route_seen(const uint32_t *place) { return __atomic_load_n(place, __ATOMIC_ACQUIRE); }
    static inline void route_publish(uint32_t *place, uint32_t value)
    {
        __atomic_store_n(place, value, __ATOMIC_RELEASE);
    }
    static inline void route_unlock(int32_t *place) { __atomic_store_n(place, 0, __ATOMIC_RELEASE); }
    static inline int32_t route_locked_by(const int32_t *place) { return __atomic_load_n(place, __ATOMIC_RELAXED); }
    static inline uint32_t route_turn(uint32_t *place) { return __atomic_fetch_add(place, 1, __ATOMIC_RELAXED); }
    static inline int32_t route_step(int32_t *place, int32_t by)
    {
        return __atomic_add_fetch(place, by, __ATOMIC_RELAXED);
    }
    static inline void route_count(uint64_t *place, uint64_t by) { __atomic_fetch_add(place, by, __ATOMIC_RELAXED); }
    static inline uint64_t route_counted(const uint64_t *place) { return __atomic_load_n(place, __ATOMIC_RELAXED); }
    static inline int64_t route_in_flight(const int32_t *cells, uint32_t holders)
    {
        int64_t sum = 0;
        for (uint32_t i = 0; i < holders; i++)
            sum += __atomic_load_n(cells + i, __ATOMIC_RELAXED);
        return sum;
    }
    static inline int route_swap(int32_t *place, int32_t expected, int32_t wanted)
    {
        return __atomic_compare_exchange_n(place, &expected, wanted, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
    }
    static inline int route_top_bit(uint64_t value) { return 63 - __builtin_clzll(value); }
    #endif
    """
    enum:
        ROUTE_HOLDERS
        ROUTE_MEMBERS
        ROUTE_BUCKETS
        ROUTE_TALLIES
    ctypedef struct route_holder_t:
        int32_t pid
        uint64_t start
    ctypedef struct route_instance_t:
        char* engine
        char* name
        char* region
        uint32_t region_hash
        uint32_t health
        int64_t since_ns
    ctypedef struct route_group_t:
        char* engine
        char* endpoint_class
        uint32_t turn
        int32_t until_trial
        uint32_t* counts
        uint32_t current
        uint16_t[2][16] members
    ctypedef struct route_target_t:
        int64_t expected_ns
        int64_t deviation_ns
        int64_t peak_ns
        int64_t peak_at_ns
        int64_t last_ns
        uint32_t samples
        int32_t surprise
        int32_t trial
        uint32_t confidence
        uint32_t failure_share
        uint16_t group
        uint16_t instance
        uint16_t route
        int32_t lock
        uint32_t since_quantiles
        int64_t surprise_ns
        int64_t epoch_ns
        uint32_t weight
        uint32_t ok_weight
        uint32_t failed_weight
        uint32_t contended
        uint64_t total
        uint64_t failed
        uint32_t running_failures
        int32_t tried
        int64_t p50_ns
        int64_t p95_ns
        int64_t p99_ns
        int32_t* in_flight
        uint32_t* buckets
    ctypedef struct route_tally_t:
        uint64_t decisions
        uint64_t requests
        uint64_t succeeded
        uint64_t sum_ns
        uint64_t* buckets
    ctypedef struct route_table_t:
        region_t region
        int32_t lock
        uint32_t capacity
        uint32_t holders
        uint32_t instances
        uint32_t groups
        uint32_t targets
        int64_t half_life_ns
        route_holder_t* holder
        route_tally_t* tallies
    int64_t route_get(const int64_t* place) noexcept nogil
    void route_put(int64_t* place, int64_t value) noexcept nogil
    uint32_t route_get_word(const uint32_t* place) noexcept nogil
    void route_put_word(uint32_t* place, uint32_t value) noexcept nogil
    uint32_t route_seen(const uint32_t* place) noexcept nogil
    void route_publish(uint32_t* place, uint32_t value) noexcept nogil
    void route_unlock(int32_t* place) noexcept nogil
    int32_t route_locked_by(const int32_t* place) noexcept nogil
    uint32_t route_turn(uint32_t* place) noexcept nogil
    int32_t route_step(int32_t* place, int32_t by) noexcept nogil
    void route_count(uint64_t* place, uint64_t by) noexcept nogil
    uint64_t route_counted(const uint64_t* place) noexcept nogil
    int64_t route_in_flight(const int32_t* cells, uint32_t holders) noexcept nogil
    bint route_swap(int32_t* place, int32_t expected, int32_t wanted) noexcept nogil
    int route_top_bit(uint64_t value) noexcept nogil

cdef enum:
    ROUTE_KIND = 0x54554F52         # region kind "ROUT"
    ROUTE_LAYOUT = 1
    ROUTE_MOST = 2048               # targets; what a packed decision holds
    ROUTE_NONE = 0xFFFF

    FLAG_DIRECT = 1                 # this route and no other
    FLAG_GATEWAY = 2
    FLAG_IDEMPOTENT = 4             # the request may be used to try the other route
    FLAG_PREFER_DIRECT = 8          # where nothing is known
    FLAG_ROUND_ROBIN = 16           # between instances; without one of these P2C over the peak EWMA
    FLAG_LEAST = 32

    REASON_NONE = 0
    REASON_DIRECT_ONLY = 1
    REASON_GATEWAY_ONLY = 2
    REASON_ONLY_ROUTE = 3           # the other one has no instance that is available
    REASON_PREFERENCE = 4           # too little is known to compare
    REASON_LATENCY = 5
    REASON_FAILURES = 6             # by latency alone it would be the other
    REASON_TRIAL = 7                # to learn how the other route is

    PICK_ONE = 0                    # there was one instance to choose from
    PICK_TURN = 1
    PICK_LEAST = 2
    PICK_PEAK = 3

    HEALTH_UNKNOWN = 0
    HEALTH_HEALTHY = 1
    HEALTH_DEGRADED = 2
    HEALTH_UNHEALTHY = 3
    HEALTH_EJECTED = 4
