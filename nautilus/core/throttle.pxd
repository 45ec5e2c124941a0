"""Any number of processes, no lock. What was signed already and how often each key has asked, in one shared region.

Nonces. A signed request names its time, so its time says where its nonce is kept: time is cut into generations one window
long, and four arrays take them in turn. The window reaches over at most three generations, so that of a fourth is past or
to come and an array is never needed for two. A slot is one word, `used | generation | fingerprint`, and goes from an older
generation to a newer one by a compare-and-swap, never back. Who looks for a nonce takes the slots of its path in order up
to the first one that is not of its generation, and takes that: two who come with the same nonce meet at the same slot, and
one of them sees the other's word. So there is nothing half done that a killed process could leave.

Who was stopped between looking at its clock and here may come after its generation has gone. `newest` of an array is raised
before the first word of a generation is written and looked at again after the swap: whoever finds a newer one was late, and
is refused. That holds whatever clocks do: what an array has forgotten is of a generation that is refused.

Rates. One word a key: see `rate`.
"""

from libc.stdint cimport int64_t, uint64_t

from nautilus.core.rate cimport rate_take
from nautilus.core.region cimport region_t

cdef extern from *:
    """
    #ifndef NAUTILUS_THROTTLE_H
    #define NAUTILUS_THROTTLE_H
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>

    #define THROTTLE_ARRAYS 4
    #define THROTTLE_PROBES 256         /* slots of a path; a nonce whose path is taken is refused */
    #define NONCE_USED (1ULL << 63)
    #define NONCE_TAG_BITS 27           /* 2^26 generations of a second: two years until an old one seems new */
    #define NONCE_MARK_BITS 36

    enum { CLAIM_ACCEPTED, CLAIM_REPLAYED, CLAIM_LATE, CLAIM_EARLY, CLAIM_FULL };

    typedef struct throttle_t {
        uint64_t newest[THROTTLE_ARRAYS];
        uint64_t salt[2];
        uint64_t slots, keys;           /* powers of two: of each array, of the table of rates */
        int64_t  window_ns, not_before_ns;
        char     pad[128 - 80];
    } throttle_t;
    _Static_assert(sizeof(throttle_t) == 128, "throttle_t");

    typedef struct rate_t {
        uint64_t key;                   /* 0: unused */
        int64_t  empty_ns;
    } rate_t;

    static inline uint64_t *throttle_slots(throttle_t *t) { return (uint64_t *)(t + 1); }
    static inline rate_t *throttle_rates(throttle_t *t) { return (rate_t *)(throttle_slots(t) + THROTTLE_ARRAYS * t->slots); }

    /* SipHash-1-3 (Aumasson and Bernstein 2012) of a key's number and a nonce: who does not know the salt cannot choose
       nonces that lie on another's path. */
    #define SIP_ROTATE(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
    #define SIP_ROUND                                                                                                     \\
        do {                                                                                                              \\
            a += b; b = SIP_ROTATE(b, 13); b ^= a; a = SIP_ROTATE(a, 32);                                                 \\
            c += d; d = SIP_ROTATE(d, 16); d ^= c;                                                                        \\
            a += d; d = SIP_ROTATE(d, 21); d ^= a;                                                                        \\
            c += b; b = SIP_ROTATE(b, 17); b ^= c; c = SIP_ROTATE(c, 32);                                                 \\
        } while (0)
    static uint64_t nonce_hash(const uint64_t *salt, uint64_t key, const uint8_t *nonce, size_t length)
    {
        uint64_t a = salt[0] ^ 0x736f6d6570736575ULL, b = salt[1] ^ 0x646f72616e646f6dULL;
        uint64_t c = salt[0] ^ 0x6c7967656e657261ULL, d = salt[1] ^ 0x7465646279746573ULL, word = key;
        size_t left = length;
        d ^= word; SIP_ROUND; a ^= word;
        for (; left >= 8; left -= 8, nonce += 8) {
            memcpy(&word, nonce, 8);
            d ^= word; SIP_ROUND; a ^= word;
        }
        word = (uint64_t)(length + 8) << 56;
        for (size_t i = 0; i < left; i++)
            word |= (uint64_t)nonce[i] << (8 * i);
        d ^= word; SIP_ROUND; a ^= word;
        c ^= 0xff;
        SIP_ROUND; SIP_ROUND; SIP_ROUND;
        return a ^ b ^ c ^ d;
    }

    static int nonce_claim(throttle_t *t, uint64_t generation, uint64_t hash)
    {
        uint64_t *array = throttle_slots(t) + (generation & (THROTTLE_ARRAYS - 1)) * t->slots;
        uint64_t *newest = &t->newest[generation & (THROTTLE_ARRAYS - 1)];
        uint32_t tag = (uint32_t)generation & ((1u << NONCE_TAG_BITS) - 1);
        uint64_t word = NONCE_USED | (uint64_t)tag << NONCE_MARK_BITS | hash >> (64 - NONCE_MARK_BITS);
        uint64_t seen = __atomic_load_n(newest, __ATOMIC_SEQ_CST);
        while (seen < generation)
            if (__atomic_compare_exchange_n(newest, &seen, generation, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
                seen = generation;
        if (seen > generation)
            return CLAIM_LATE;
        for (uint64_t i = 0; i < THROTTLE_PROBES; i++) {
            uint64_t *slot = &array[(hash + i) & (t->slots - 1)];
            uint64_t found = __atomic_load_n(slot, __ATOMIC_SEQ_CST);
            for (;;) {
                if (found == word)
                    return CLAIM_REPLAYED;
                if (found & NONCE_USED) {
                    uint32_t of = (uint32_t)(found >> NONCE_MARK_BITS) & ((1u << NONCE_TAG_BITS) - 1);
                    int32_t ahead = (int32_t)((of - tag) << (32 - NONCE_TAG_BITS));
                    if (ahead == 0)
                        break;          /* another nonce of this generation: on to the next slot */
                    if (ahead > 0)
                        return CLAIM_LATE;
                }
                if (__atomic_compare_exchange_n(slot, &found, word, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
                    return __atomic_load_n(newest, __ATOMIC_SEQ_CST) == generation ? CLAIM_ACCEPTED : CLAIM_LATE;
            }
        }
        return CLAIM_FULL;
    }

    static inline int throttle_dated(const throttle_t *t, int64_t stamp_ns, int64_t now_ns)
    {
        if (stamp_ns <= t->not_before_ns || stamp_ns < 0 || now_ns - stamp_ns > t->window_ns)
            return CLAIM_LATE;
        return stamp_ns - now_ns > t->window_ns ? CLAIM_EARLY : CLAIM_ACCEPTED;
    }

    static int throttle_claim(throttle_t *t, uint64_t key, const uint8_t *nonce, size_t length, int64_t stamp_ns,
                              int64_t now_ns)
    {
        int dated = throttle_dated(t, stamp_ns, now_ns);
        if (dated != CLAIM_ACCEPTED)
            return dated;
        return nonce_claim(t, (uint64_t)stamp_ns / (uint64_t)t->window_ns, nonce_hash(t->salt, key, nonce, length));
    }

    #define RATE_FULL INT64_MIN

    /* Requests that are left (0 and more), or nanoseconds until the next one, negative; RATE_FULL: no room for the key. */
    static int64_t throttle_take(throttle_t *t, uint64_t key, int64_t now_ns, int64_t interval_ns, int64_t burst)
    {
        rate_t *rates = throttle_rates(t), *rate = NULL;
        uint64_t at = key * 0x9E3779B97F4A7C15ULL;
        at ^= at >> 32;
        for (uint64_t i = 0; i < t->keys && rate == NULL; i++) {
            rate_t *place = &rates[(at + i) & (t->keys - 1)];
            uint64_t found = __atomic_load_n(&place->key, __ATOMIC_ACQUIRE);
            if (found == 0)
                __atomic_compare_exchange_n(&place->key, &found, key, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
            if (found == 0 || found == key)
                rate = place;
        }
        if (rate == NULL)
            return RATE_FULL;
        return rate_take(&rate->empty_ns, now_ns, interval_ns, burst);
    }
    #endif
    """
    ctypedef struct throttle_t:
        uint64_t newest[4]
        uint64_t salt[2]
        uint64_t slots
        uint64_t keys
        int64_t window_ns
        int64_t not_before_ns
    ctypedef struct rate_t:
        uint64_t key
        int64_t empty_ns
    enum:
        THROTTLE_ARRAYS
        CLAIM_ACCEPTED
        CLAIM_REPLAYED
        CLAIM_LATE
        CLAIM_EARLY
        CLAIM_FULL
    int64_t RATE_FULL
    int throttle_dated(const throttle_t* table, int64_t stamp_ns, int64_t now_ns) noexcept nogil
    int throttle_claim(throttle_t* table, uint64_t key, const unsigned char* nonce, size_t length, int64_t stamp_ns,
                       int64_t now_ns) noexcept nogil
    int64_t throttle_take(throttle_t* table, uint64_t key, int64_t now_ns, int64_t interval_ns,
                          int64_t burst) noexcept nogil

cdef enum:
    THROTTLE_KIND = 0x54544F4C      # region kind "THTL"
    THROTTLE_LAYOUT = 1


cdef class Throttle:
    cdef throttle_t* table
    cdef region_t* region           # that of the file; NULL: memory of this process and of those forked from it
    cdef size_t mapped
    cdef int share(self, str path, throttle_t* wanted) except -1
