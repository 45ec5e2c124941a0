"""One producer thread, one consumer thread. Bounded queue of fixed-size records without locks.

    producer: claim -> write -> commit     head ........ tail     consumer: peek -> read -> release
              tail = next to write     (read)   waiting  (free)             head = next to read

Each side owns one published index and keeps a private copy of the other's, which it renews only when that copy says
full or empty: between two threads the published lines move once a batch, not once a record (L. Rigtorp, SPSCQueue;
D. Bernardi, CoolQueue). Lines that one side writes lie 128 bytes from those of the other, since processors fetch lines
in pairs. The ring holds no pointer and is one flat region. A full ring answers 0 records and counts it in `full`.

Two things keep the sides apart when each record is published by itself. The producer asks for the line that it will
write `RING_AHEAD` records later, so that a store does not wait for the consumer's core to give the line up. And a
consumer faster than its producer would take the line of the published index away after every record: one that peeks
with `ring_peek_paced` lets a few records gather where the last looks found few, up to `RING_MOST_PACE` pauses of the
processor (half a microsecond or so). It never waits where it found the ring empty: who waits for one record sees it at
once. That is for a thread with this one ring; one that goes round several uses `ring_peek`.
"""

from libc.stdint cimport uint64_t

from nautilus.core.memory cimport map_region, prefault_region, unmap_region

cdef extern from *:
    """
    #ifndef NAUTILUS_RING_H
    #define NAUTILUS_RING_H
    #include <stdint.h>
    #include <string.h>
    #include <pthread.h>
    #ifndef NAUTILUS_DEBUG
    #define NAUTILUS_DEBUG 0
    #endif

    typedef struct ring_t {
        uint64_t capacity, record_bytes, region_bytes;  /* never change */
        char pad0[128 - 24];
        uint64_t tail;                                  /* published by the producer */
        char pad1[128 - 8];
        uint64_t next, seen_head, full, producer;       /* the producer's own */
        char pad2[128 - 32];
        uint64_t head;                                  /* published by the consumer */
        char pad3[128 - 8];
        uint64_t done, seen_tail, consumer, misused;    /* the consumer's own; misused: debug builds */
        uint64_t pace, starved;                         /* of ring_peek_paced */
        char pad4[128 - 48];
        char records[];
    } ring_t;
    _Static_assert(sizeof(ring_t) == 640, "ring_t");

    #define RING_AHEAD 16       /* records; measured best of 8 to 32 on near and far pairs of cores */
    #define RING_FEW 64         /* found in one look: fewer, and the next look waits longer; */
    #define RING_MANY 256       /* more, and it waits less long */
    #define RING_MOST_PACE 12

    static inline void cpu_relax(void)
    {
    #if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
    #elif defined(__aarch64__)
        __asm__ volatile("yield");
    #endif
    }

    static inline void *ring_at(ring_t *r, uint64_t position)
    {
        return r->records + (position & (r->capacity - 1)) * r->record_bytes;
    }

    /* Debug builds: the first thread on each side is the only one allowed there. */
    static inline void ring_check_thread(ring_t *r, uint64_t *owner)
    {
        if (NAUTILUS_DEBUG) {
            uint64_t self = (uint64_t)pthread_self();
            if (*owner == 0)
                *owner = self;
            else if (*owner != self)
                __atomic_add_fetch(&r->misused, 1, __ATOMIC_RELAXED);
        }
    }

    static inline uint64_t ring_free(ring_t *r)
    {
        uint64_t room = r->capacity - (r->next - r->seen_head);
        if (room == 0) {
            r->seen_head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
            room = r->capacity - (r->next - r->seen_head);
        }
        return room;
    }

    static inline void *ring_claim(ring_t *r, uint64_t wanted, uint64_t *granted)
    {
        ring_check_thread(r, &r->producer);
        uint64_t room = ring_free(r);
        uint64_t to_end = r->capacity - (r->next & (r->capacity - 1));
        if (room == 0 && wanted != 0)
            r->full++;
        room = room < wanted ? room : wanted;
        *granted = room < to_end ? room : to_end;
        return ring_at(r, r->next);
    }

    /* Own a line before it is written; never one that the consumer has yet to read. */
    static inline void ring_own_ahead(ring_t *r)
    {
    #if defined(__x86_64__)
        uint64_t ahead = r->next + RING_AHEAD - 1;
        if (ahead - r->seen_head < r->capacity)     /* __builtin_prefetch would ask for a shared line */
            __asm__ volatile("prefetchw %0" : : "m"(*(const char *)ring_at(r, ahead)));
    #endif
    }

    static inline void ring_commit(ring_t *r, uint64_t count)
    {
        r->next += count;
        ring_own_ahead(r);
        __atomic_store_n(&r->tail, r->next, __ATOMIC_RELEASE);
    }

    static inline uint64_t ring_waiting(ring_t *r)
    {
        uint64_t waiting = r->seen_tail - r->done;
        if (waiting == 0) {
            r->seen_tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
            waiting = r->seen_tail - r->done;
        }
        return waiting;
    }

    static inline const void *ring_peek(ring_t *r, uint64_t wanted, uint64_t *granted)
    {
        ring_check_thread(r, &r->consumer);
        uint64_t waiting = ring_waiting(r);
        uint64_t to_end = r->capacity - (r->done & (r->capacity - 1));
        waiting = waiting < wanted ? waiting : wanted;
        *granted = waiting < to_end ? waiting : to_end;
        return ring_at(r, r->done);
    }

    /* Of what was seen to wait. */
    static inline const void *ring_peek_seen(ring_t *r, uint64_t wanted, uint64_t *granted)
    {
        ring_check_thread(r, &r->consumer);
        uint64_t waiting = r->seen_tail - r->done;
        uint64_t to_end = r->capacity - (r->done & (r->capacity - 1));
        waiting = waiting < wanted ? waiting : wanted;
        *granted = waiting < to_end ? waiting : to_end;
        return ring_at(r, r->done);
    }

    static inline const void *ring_peek_paced(ring_t *r, uint64_t wanted, uint64_t *granted)
    {
        if (__builtin_expect(r->seen_tail != r->done, 1))
            return ring_peek_seen(r, wanted, granted);
        for (uint64_t i = r->pace; i; i--)
            cpu_relax();
        uint64_t waiting = ring_waiting(r);
        if (waiting == 0) {
            r->pace = 0;
            r->starved = 1;
        } else if (r->starved)
            r->starved = 0;                         /* it came while we looked: no sign of a burst */
        else if (waiting < RING_FEW)
            r->pace = r->pace < RING_MOST_PACE / 2 ? r->pace * 2 + 1 : RING_MOST_PACE;
        else if (waiting > RING_MANY)
            r->pace -= r->pace >> 1;
        return ring_peek_seen(r, wanted, granted);
    }

    static inline void ring_release(ring_t *r, uint64_t count)
    {
        r->done += count;
        __atomic_store_n(&r->head, r->done, __ATOMIC_RELEASE);
    }

    /* Records of 64 and 128 bytes are copied without a call. */
    static inline void ring_copy(void *to, const void *from, uint64_t bytes)
    {
        if (bytes == 64)
            memcpy(to, from, 64);
        else if (bytes == 128)
            memcpy(to, from, 128);
        else
            memcpy(to, from, bytes);
    }

    static inline int ring_push(ring_t *r, const void *record)
    {
        ring_check_thread(r, &r->producer);
        if (ring_free(r) == 0) {
            r->full++;
            return -1;
        }
        ring_copy(ring_at(r, r->next), record, r->record_bytes);
        ring_commit(r, 1);
        return 0;
    }

    static inline int ring_pop(ring_t *r, void *record)
    {
        ring_check_thread(r, &r->consumer);
        if (ring_waiting(r) == 0)
            return -1;
        ring_copy(record, ring_at(r, r->done), r->record_bytes);
        ring_release(r, 1);
        return 0;
    }

    static inline uint64_t ring_push_many(ring_t *r, const void *records, uint64_t count)
    {
        uint64_t pushed = 0, granted;
        while (pushed < count) {
            void *place = ring_claim(r, count - pushed, &granted);
            if (granted == 0)
                break;
            memcpy(place, (const char *)records + pushed * r->record_bytes, granted * r->record_bytes);
            ring_commit(r, granted);
            pushed += granted;
        }
        return pushed;
    }

    static inline uint64_t ring_drain(ring_t *r, void *buffer, uint64_t most)
    {
        uint64_t drained = 0, granted;
        while (drained < most) {
            const void *place = ring_peek(r, most - drained, &granted);
            if (granted == 0)
                break;
            memcpy((char *)buffer + drained * r->record_bytes, place, granted * r->record_bytes);
            ring_release(r, granted);
            drained += granted;
        }
        return drained;
    }

    static inline uint64_t ring_size(const ring_t *r)
    {
        uint64_t head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
        return __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) - head;
    }

    /* A side taken over from a process that died: what it had published counts, what it had begun does not. */
    static inline void ring_take_producer(ring_t *r)
    {
        r->next = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
        r->seen_head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
        r->producer = 0;
    }

    static inline void ring_take_consumer(ring_t *r)
    {
        r->done = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
        r->seen_tail = r->done;
        r->consumer = 0;
    }

    /* Records that the producer has handed over since the ring was made: a place in it, asked for by the producer. */
    static inline uint64_t ring_position(const ring_t *r) { return r->next; }

    /* The consumer leaves out what lies before a position that the producer has passed. */
    static inline void ring_skip_to(ring_t *r, uint64_t position)
    {
        ring_check_thread(r, &r->consumer);
        r->seen_tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
        if (position - r->done <= r->seen_tail - r->done)
            ring_release(r, position - r->done);
    }
    #endif
    """
    ctypedef struct ring_t:
        uint64_t capacity
        uint64_t record_bytes
        uint64_t region_bytes
        uint64_t full
        uint64_t misused
    # Place for up to `wanted` records that lie together; `granted` of them may be written. 0: full, counted.
    void* ring_claim(ring_t* ring, uint64_t wanted, uint64_t* granted) noexcept nogil
    # Hand the first `count` claimed records to the consumer.
    void ring_commit(ring_t* ring, uint64_t count) noexcept nogil
    # Up to `wanted` waiting records that lie together; 0: empty (or ask again at the end of the region).
    const void* ring_peek(ring_t* ring, uint64_t wanted, uint64_t* granted) noexcept nogil
    # The same for a thread that waits for this ring alone: quick where it is empty, in gulps where records stream.
    const void* ring_peek_paced(ring_t* ring, uint64_t wanted, uint64_t* granted) noexcept nogil
    # Hand the place of the first `count` peeked records back to the producer.
    void ring_release(ring_t* ring, uint64_t count) noexcept nogil
    # Copy one record in or out. 0; -1: full (counted) or empty.
    int ring_push(ring_t* ring, const void* record) noexcept nogil
    int ring_pop(ring_t* ring, void* record) noexcept nogil
    # Copy many records in or out; how many there was room for, or there were.
    uint64_t ring_push_many(ring_t* ring, const void* records, uint64_t count) noexcept nogil
    uint64_t ring_drain(ring_t* ring, void* buffer, uint64_t most) noexcept nogil
    # Records waiting, seen from any thread; exact only on the two sides while the other rests.
    uint64_t ring_size(const ring_t* ring) noexcept nogil
    # Begin as the producer, or the consumer, of a ring that another process used so far.
    void ring_take_producer(ring_t* ring) noexcept nogil
    void ring_take_consumer(ring_t* ring) noexcept nogil
    # Where the producer is; leave out what lies before such a position.
    uint64_t ring_position(const ring_t* ring) noexcept nogil
    void ring_skip_to(ring_t* ring, uint64_t position) noexcept nogil
    void cpu_relax() noexcept nogil


cdef inline uint64_t ring_bytes(uint64_t record_bytes, uint64_t capacity) noexcept nogil:
    """Room that a ring takes in a region, whole cache line pairs."""
    return (sizeof(ring_t) + record_bytes * capacity + 127) & ~<uint64_t>127


cdef inline void ring_format(ring_t* ring, uint64_t record_bytes, uint64_t capacity) noexcept nogil:
    """Make a ring of zeroed memory; capacity a power of two, record_bytes a multiple of 8."""
    ring.capacity = capacity
    ring.record_bytes = record_bytes
    ring.region_bytes = ring_bytes(record_bytes, capacity)


cdef inline ring_t* ring_open(uint64_t record_bytes, uint64_t capacity, bint huge) noexcept nogil:
    """A ring; NULL where capacity is no power of two, record_bytes no multiple of 8, or the memory cannot be had."""
    cdef ring_t* ring
    cdef uint64_t size = sizeof(ring_t) + record_bytes * capacity
    if capacity == 0 or capacity & (capacity - 1) or capacity > (<uint64_t>1 << 32):
        return NULL
    if record_bytes == 0 or record_bytes % 8 or record_bytes > 65536:
        return NULL
    ring = <ring_t*>map_region(size, huge)
    if ring is not NULL:
        ring.capacity = capacity
        ring.record_bytes = record_bytes
        ring.region_bytes = size
    return ring


cdef inline size_t ring_prefault(ring_t* ring) noexcept nogil:
    """Commit every page of a ring of `ring_open` now, that no push meets a page fault; the bytes committed."""
    return prefault_region(ring, ring.region_bytes)


cdef inline void ring_close(ring_t* ring) noexcept nogil:
    if ring is not NULL:
        unmap_region(ring, ring.region_bytes)
