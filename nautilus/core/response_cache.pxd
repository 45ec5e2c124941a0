"""Any number of processes. Answers that are kept, found by key, in one shared region of fixed size.

Records lie in a ring of bytes; a new one is written over the oldest. An index finds them: buckets of eight words, a word
is a record's place and a part of its key's hash, so one store puts a record in force, and a reader never sees half a word.

A reader copies a record and then looks whether the writers have come round to it meanwhile (`reserved`); it waits for
nobody. Writers take turns by a lock word that names its holder; one that was killed is found out and passed over. As a
record is put in force last, what such a writer leaves is a part of the ring that nothing points to.

Each engine has a number that grows whenever its answers become invalid, all of them or those whose path begins in some
way; a record has the number of before it was asked for, and counts only while nothing since concerns it. The last
`FORGET_PREFIXES` beginnings are remembered; who is further behind is taken to be concerned.

Claims: who is about to ask for an answer says so, in a word with its pid, so that others may wait for it.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from nautilus.core.region cimport process_start, region_t

cdef extern from *:
    """
    #ifndef NAUTILUS_RESPONSE_CACHE_H
    #define NAUTILUS_RESPONSE_CACHE_H
    #include <sched.h>
    #include <stdint.h>
    #include <string.h>
    #include <unistd.h>

    #define ANSWER_WAYS 8
    #define ANSWER_ALIGN 64
    #define FORGET_PREFIXES 16
    #define FORGET_BYTES 112
    #define ANSWER_ENGINES 64
    #define ANSWER_ENGINE_BYTES 32
    #define CLAIMS 1024
    #define CLAIM_PROBES 8
    #define CLAIM_PID_BITS 22           /* pids of Linux end at 2^22 */
    #define ANSWER_TAG_BITS 20          /* of an index word; the rest is the place in units of 64 bytes */
    #define LOCK_TURNS 2000

    enum { ANSWER_STORED, ANSWER_TOO_LARGE, ANSWER_BUSY, ANSWER_OUTDATED };
    enum { CLAIM_MINE, CLAIM_OTHERS, CLAIM_NO_ROOM };

    typedef struct forget_t {           /* one beginning of paths that was forgotten */
        uint64_t number;                /* 0: none; written first as 0, last as it is */
        uint32_t length, pad;
        char     prefix[FORGET_BYTES];
    } forget_t;
    _Static_assert(sizeof(forget_t) == 128, "forget_t");

    typedef struct answer_engine_t {
        char     name[ANSWER_ENGINE_BYTES];
        uint64_t number, whole;         /* of the last invalidation, and of the last one of all its answers */
        char     pad[128 - ANSWER_ENGINE_BYTES - 16];
        forget_t prefixes[FORGET_PREFIXES];
    } answer_engine_t;

    typedef struct claim_t {
        uint64_t word;                  /* hash, its last bits replaced by the pid; 0: free */
        int64_t  since_ns;
    } claim_t;

    typedef struct answers_t {
        region_t region;
        uint64_t ring_bytes, buckets;   /* powers of two */
        uint64_t salt;
        char     pad1[64 - 24];
        uint64_t reserved;              /* everything before this was, or is being, written */
        char     pad2[64 - 8];
        uint64_t lock;                  /* pid << 32 | start, low bits; 0: free */
        char     pad3[64 - 8];
        uint64_t stored, evicted, stolen, engines;
        char     pad4[64 - 32];
        answer_engine_t engine[ANSWER_ENGINES];
        claim_t  claims[CLAIMS];
    } answers_t;

    typedef struct answer_t {           /* before each record */
        uint64_t place;                 /* its own, as written: tells a record from what lies there later */
        uint64_t hash;
        uint64_t number;                /* of its engine, from before it was asked for */
        int64_t  stored_ns, fresh_ns, stale_ns, error_ns;   /* when it was; until when it serves, and how */
        uint32_t engine, key_bytes, value_bytes, path_bytes;    /* the path is the end of the key */
    } answer_t;
    _Static_assert(sizeof(answer_t) == 72, "answer_t");

    /* Mixes each word in by a multiplication; with a salt of its own in each region. */
    static uint64_t answer_hash(uint64_t salt, const char *key, size_t bytes)
    {
        uint64_t h = salt ^ bytes * 0x9E3779B97F4A7C15ULL, word;
        for (; bytes >= 8; bytes -= 8, key += 8) {
            memcpy(&word, key, 8);
            h = (h ^ word) * 0xD6E8FEB86659FD93ULL;
            h ^= h >> 32;
        }
        word = 0;
        memcpy(&word, key, bytes);
        h = (h ^ word) * 0xD6E8FEB86659FD93ULL;
        h ^= h >> 32;
        h *= 0xD6E8FEB86659FD93ULL;
        return h ^ h >> 32;
    }

    static inline uint64_t *answers_index(answers_t *t) { return (uint64_t *)(t + 1); }
    static inline char *answers_ring(answers_t *t)
    {
        return (char *)(answers_index(t) + t->buckets * ANSWER_WAYS);
    }
    /* Whoever comes first to a new one says this; all say the same but for the salt. */
    static void answers_begin(answers_t *t, uint64_t ring_bytes, uint64_t buckets, uint64_t salt, uint64_t epoch)
    {
        uint64_t none = 0;
        __atomic_compare_exchange_n(&t->salt, &none, salt | 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
        none = 0;
        __atomic_compare_exchange_n(&t->region.epoch, &none, epoch, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
        __atomic_store_n(&t->buckets, buckets, __ATOMIC_RELAXED);
        __atomic_store_n(&t->ring_bytes, ring_bytes, __ATOMIC_RELEASE);
    }
    static inline size_t answers_bytes(uint64_t ring_bytes, uint64_t buckets)
    {
        return sizeof(answers_t) + buckets * ANSWER_WAYS * 8 + ring_bytes;
    }
    static inline uint64_t answer_span(uint64_t key_bytes, uint64_t value_bytes)
    {
        return (sizeof(answer_t) + key_bytes + value_bytes + ANSWER_ALIGN - 1) & ~(uint64_t)(ANSWER_ALIGN - 1);
    }

    /* ---- the lock of writers */

    static inline uint64_t lock_word(int32_t pid, uint64_t start)
    {
        return (uint64_t)(uint32_t)pid << 32 | (uint32_t)start;
    }

    /* 1: it is ours. A holder that has died is passed over; one that lives and holds on is not waited for for long. */
    static int answers_lock(answers_t *t, uint64_t own)
    {
        for (int turn = 0; turn < LOCK_TURNS; turn++) {
            uint64_t found = 0;
            if (__atomic_compare_exchange_n(&t->lock, &found, own, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
                return 1;
            if ((turn & 63) == 63) {
                uint64_t start = process_start((int32_t)(found >> 32));
                if ((start == 0 || (uint32_t)start != (uint32_t)found)
                    && __atomic_compare_exchange_n(&t->lock, &found, own, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
                    __atomic_add_fetch(&t->stolen, 1, __ATOMIC_RELAXED);
                    return 1;
                }
                sched_yield();
            }
        }
        return 0;
    }

    static inline void answers_unlock(answers_t *t, uint64_t own)
    {
        /* Not where another one took it for that of a dead process. */
        __atomic_compare_exchange_n(&t->lock, &own, (uint64_t)0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }

    /* ---- what is invalid */

    /* Whether nothing since `number` concerns a path of an engine. */
    static int answers_valid(answers_t *t, uint32_t engine, uint64_t number, const char *path, uint32_t length)
    {
        answer_engine_t *e = &t->engine[engine];
        uint64_t last = __atomic_load_n(&e->number, __ATOMIC_ACQUIRE);
        if (last == number)
            return 1;
        if (last < number || __atomic_load_n(&e->whole, __ATOMIC_ACQUIRE) > number || last - number > FORGET_PREFIXES)
            return 0;
        for (uint64_t each = number + 1; each <= last; each++) {
            forget_t *f = &e->prefixes[each % FORGET_PREFIXES];
            char prefix[FORGET_BYTES];
            uint64_t before = __atomic_load_n(&f->number, __ATOMIC_ACQUIRE);
            uint32_t size = f->length;
            if (before != each || size > FORGET_BYTES)
                return 0;               /* it is being written, or was written over */
            memcpy(prefix, f->prefix, size);
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            if (__atomic_load_n(&f->number, __ATOMIC_RELAXED) != before)
                return 0;
            if (size <= length && memcmp(prefix, path, size) == 0)
                return 0;
        }
        return 1;
    }

    static void answers_forget_whole(answer_engine_t *e, uint64_t number)
    {
        uint64_t whole = __atomic_load_n(&e->whole, __ATOMIC_RELAXED);
        while (whole < number
               && !__atomic_compare_exchange_n(&e->whole, &whole, number, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            ;
    }

    /* Who takes a number first and says afterwards what it stands for is taken to concern everything until then. */
    static void answers_forget(answers_t *t, uint32_t engine, const char *prefix, uint32_t length)
    {
        answer_engine_t *e = &t->engine[engine];
        if (length > FORGET_BYTES)
            length = 0;
        uint64_t number = __atomic_add_fetch(&e->number, 1, __ATOMIC_ACQ_REL);
        if (length == 0)
            answers_forget_whole(e, number);
        forget_t *f = &e->prefixes[number % FORGET_PREFIXES];
        uint64_t held = __atomic_load_n(&f->number, __ATOMIC_RELAXED);
        /* Two who are FORGET_PREFIXES apart may meet here, and one may have been killed here: then all is concerned. */
        if (held >= number || (held == 0 && number > FORGET_PREFIXES)
            || !__atomic_compare_exchange_n(&f->number, &held, (uint64_t)0, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            answers_forget_whole(e, number);
            return;
        }
        f->length = length;
        memcpy(f->prefix, prefix, length);
        __atomic_store_n(&f->number, number, __ATOMIC_RELEASE);
    }

    /* ---- records */

    static inline uint64_t index_word(uint64_t place, uint64_t hash)
    {
        return (place / ANSWER_ALIGN + 1) << ANSWER_TAG_BITS | hash >> (64 - ANSWER_TAG_BITS);
    }
    static inline uint64_t index_place(uint64_t word)
    {
        return ((word >> ANSWER_TAG_BITS) - 1) * ANSWER_ALIGN;
    }

    /* Whether the `bytes` at a place are still those that were written there. */
    static inline int answers_whole(answers_t *t, uint64_t place)
    {
        return __atomic_load_n(&t->reserved, __ATOMIC_ACQUIRE) - place <= t->ring_bytes;
    }

    /* The word of a key, and its record's head; NULL: it is not there. */
    static uint64_t *answers_find(answers_t *t, uint64_t hash, const char *key, uint32_t key_bytes, answer_t *out)
    {
        uint64_t *bucket = answers_index(t) + (hash & (t->buckets - 1)) * ANSWER_WAYS;
        char *ring = answers_ring(t);
        for (int way = 0; way < ANSWER_WAYS; way++) {
            uint64_t word = __atomic_load_n(&bucket[way], __ATOMIC_ACQUIRE);
            if (word == 0 || ((word ^ hash >> (64 - ANSWER_TAG_BITS)) & ((1u << ANSWER_TAG_BITS) - 1)))
                continue;
            uint64_t place = index_place(word);
            char *record = ring + (place & (t->ring_bytes - 1));
            if ((place & (t->ring_bytes - 1)) + sizeof *out > t->ring_bytes)
                continue;               /* of a file that others have written */
            memcpy(out, record, sizeof *out);
            int same = out->place == place && out->hash == hash && out->key_bytes == key_bytes
                && (place & (t->ring_bytes - 1)) + sizeof *out + key_bytes <= t->ring_bytes
                && memcmp(record + sizeof *out, key, key_bytes) == 0;
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            if (same && answers_whole(t, place))
                return &bucket[way];
        }
        return NULL;
    }

    static int answers_put(answers_t *t, uint64_t own, const answer_t *head, const char *key, const char *value)
    {
        uint64_t span = answer_span(head->key_bytes, head->value_bytes);
        if (span > t->ring_bytes / 4)
            return ANSWER_TOO_LARGE;
        if (!answers_valid(t, head->engine, head->number, key + head->key_bytes - head->path_bytes, head->path_bytes))
            return ANSWER_OUTDATED;
        if (!answers_lock(t, own))
            return ANSWER_BUSY;
        uint64_t place = __atomic_load_n(&t->reserved, __ATOMIC_RELAXED);
        uint64_t at = place & (t->ring_bytes - 1);
        if (at + span > t->ring_bytes)
            place += t->ring_bytes - at;    /* a record lies in one piece */
        __atomic_store_n(&t->reserved, place + span, __ATOMIC_SEQ_CST);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);    /* a reader that sees what follows sees that it was written over */
        char *record = answers_ring(t) + (place & (t->ring_bytes - 1));
        answer_t mine = *head;
        mine.place = place;
        memcpy(record, &mine, sizeof mine);
        memcpy(record + sizeof mine, key, head->key_bytes);
        memcpy(record + sizeof mine + head->key_bytes, value, head->value_bytes);
        uint64_t *bucket = answers_index(t) + (head->hash & (t->buckets - 1)) * ANSWER_WAYS, *into = NULL;
        uint64_t oldest = UINT64_MAX;
        answer_t there;
        into = answers_find(t, head->hash, key, head->key_bytes, &there);
        for (int way = 0; into == NULL && way < ANSWER_WAYS; way++)
            if (bucket[way] == 0 || !answers_whole(t, index_place(bucket[way])))
                into = &bucket[way];
        if (into == NULL) {
            for (int way = 0; way < ANSWER_WAYS; way++)
                if (bucket[way] >> ANSWER_TAG_BITS < oldest) {
                    oldest = bucket[way] >> ANSWER_TAG_BITS;
                    into = &bucket[way];
                }
            __atomic_store_n(&t->evicted, t->evicted + 1, __ATOMIC_RELAXED);
        }
        __atomic_store_n(into, index_word(place, head->hash), __ATOMIC_RELEASE);
        __atomic_store_n(&t->stored, t->stored + 1, __ATOMIC_RELAXED);
        answers_unlock(t, own);
        return ANSWER_STORED;
    }

    /* Copy a record's value, after `answers_find`; 0: it was written over meanwhile. */
    static int answers_copy(answers_t *t, const answer_t *head, char *to)
    {
        const char *record = answers_ring(t) + (head->place & (t->ring_bytes - 1));
        if ((head->place & (t->ring_bytes - 1)) + sizeof *head + head->key_bytes + head->value_bytes > t->ring_bytes)
            return 0;
        memcpy(to, record + sizeof *head + head->key_bytes, head->value_bytes);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        return answers_whole(t, head->place);
    }

    /* ---- claims */

    static int claim_take(answers_t *t, uint64_t hash, int32_t pid, int64_t now_ns, int64_t most_ns)
    {
        uint64_t mask = ((uint64_t)1 << CLAIM_PID_BITS) - 1, mine = (hash & ~mask) | (uint64_t)pid;
        claim_t *room = NULL;
        for (int i = 0; i < CLAIM_PROBES; i++) {
            claim_t *c = &t->claims[(hash + (uint64_t)i) & (CLAIMS - 1)];
            uint64_t found = __atomic_load_n(&c->word, __ATOMIC_ACQUIRE);
            if (found == 0) {
                if (room == NULL)
                    room = c;
                continue;
            }
            int64_t age_ns = now_ns - __atomic_load_n(&c->since_ns, __ATOMIC_ACQUIRE);
            int over = age_ns > most_ns || process_start((int32_t)(found & mask)) == 0;
            if (!over && (found & ~mask) == (hash & ~mask))
                return (found & mask) == (uint64_t)pid ? CLAIM_MINE : CLAIM_OTHERS;
            if (over) {
                __atomic_compare_exchange_n(&c->word, &found, (uint64_t)0, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
                if (room == NULL)
                    room = c;
            }
        }
        if (room == NULL)
            return CLAIM_NO_ROOM;
        uint64_t found = 0;
        __atomic_store_n(&room->since_ns, now_ns, __ATOMIC_RELEASE);
        if (__atomic_compare_exchange_n(&room->word, &found, mine, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return CLAIM_MINE;
        return (found & ~mask) == (hash & ~mask) ? CLAIM_OTHERS : CLAIM_NO_ROOM;
    }

    static void claim_leave(answers_t *t, uint64_t hash, int32_t pid)
    {
        uint64_t mask = ((uint64_t)1 << CLAIM_PID_BITS) - 1, mine = (hash & ~mask) | (uint64_t)pid;
        for (int i = 0; i < CLAIM_PROBES; i++) {
            uint64_t found = mine;
            claim_t *c = &t->claims[(hash + (uint64_t)i) & (CLAIMS - 1)];
            __atomic_compare_exchange_n(&c->word, &found, (uint64_t)0, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
        }
    }

    /* Whether another living process has claimed it. */
    static int claim_others(answers_t *t, uint64_t hash, int32_t pid, int64_t now_ns, int64_t most_ns)
    {
        uint64_t mask = ((uint64_t)1 << CLAIM_PID_BITS) - 1;
        for (int i = 0; i < CLAIM_PROBES; i++) {
            claim_t *c = &t->claims[(hash + (uint64_t)i) & (CLAIMS - 1)];
            uint64_t found = __atomic_load_n(&c->word, __ATOMIC_ACQUIRE);
            if (found && (found & ~mask) == (hash & ~mask) && (found & mask) != (uint64_t)pid)
                return now_ns - __atomic_load_n(&c->since_ns, __ATOMIC_ACQUIRE) <= most_ns
                    && process_start((int32_t)(found & mask)) != 0;
        }
        return 0;
    }
    #endif
    """
    enum:
        FORGET_PREFIXES
        FORGET_BYTES
        ANSWER_ENGINES
        ANSWER_ENGINE_BYTES
        ANSWER_WAYS
        ANSWER_STORED
        ANSWER_TOO_LARGE
        ANSWER_BUSY
        ANSWER_OUTDATED
        CLAIM_MINE
        CLAIM_OTHERS
        CLAIM_NO_ROOM
    ctypedef struct answer_engine_t:
        char* name
        uint64_t number
        uint64_t whole
    ctypedef struct answers_t:
        region_t region
        uint64_t ring_bytes
        uint64_t buckets
        uint64_t salt
        uint64_t reserved
        uint64_t lock
        uint64_t stored
        uint64_t evicted
        uint64_t stolen
        uint64_t engines
        answer_engine_t* engine
    ctypedef struct answer_t:
        uint64_t place
        uint64_t hash
        uint64_t number
        int64_t stored_ns
        int64_t fresh_ns
        int64_t stale_ns
        int64_t error_ns
        uint32_t engine
        uint32_t key_bytes
        uint32_t value_bytes
        uint32_t path_bytes
    uint64_t answer_hash(uint64_t salt, const char* key, size_t size) noexcept nogil
    size_t answers_bytes(uint64_t ring_bytes, uint64_t buckets) noexcept nogil
    void answers_begin(answers_t* table, uint64_t ring_bytes, uint64_t buckets, uint64_t salt, uint64_t epoch) noexcept nogil
    uint64_t lock_word(int pid, uint64_t start) noexcept nogil
    bint answers_lock(answers_t* table, uint64_t own) noexcept nogil
    void answers_unlock(answers_t* table, uint64_t own) noexcept nogil
    bint answers_valid(answers_t* table, uint32_t engine, uint64_t number, const char* path, uint32_t length) noexcept nogil
    void answers_forget(answers_t* table, uint32_t engine, const char* prefix, uint32_t length) noexcept nogil
    uint64_t* answers_find(answers_t* table, uint64_t hash, const char* key, uint32_t key_bytes, answer_t* out) noexcept nogil
    int answers_put(answers_t* table, uint64_t own, const answer_t* head, const char* key, const char* value) noexcept nogil
    bint answers_copy(answers_t* table, const answer_t* head, char* to) noexcept nogil
    int claim_take(answers_t* table, uint64_t hash, int pid, int64_t now_ns, int64_t most_ns) noexcept nogil
    void claim_leave(answers_t* table, uint64_t hash, int pid) noexcept nogil
    bint claim_others(answers_t* table, uint64_t hash, int pid, int64_t now_ns, int64_t most_ns) noexcept nogil

cdef enum:
    ANSWERS_KIND = 0x53534E41       # region kind "ANSS"
    ANSWERS_LAYOUT = 1


cdef class Answers:
    cdef answers_t* table
    cdef dict names
    cdef uint64_t own
    cdef int pid
    cdef bint mapped                # of this process alone, and of those forked from it
    cdef int share(self, str path, uint64_t ring_bytes, uint64_t buckets, uint64_t epoch) except -1
    cdef uint32_t known(self, uint32_t engine) except? 0xFFFFFFFF
