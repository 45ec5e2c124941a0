"""XXH64, streamed over whole 8-byte words: the running hashes of commands, events and state.

The value is the published one (seed 0), so any xxHash tool can check it over the same bytes.
Specification: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint64_t

cdef extern from *:
    """
    #ifndef NAUTILUS_HASHING_H
    #define NAUTILUS_HASHING_H
    #include <stdint.h>
    #include <stddef.h>
    #define XP1 0x9E3779B185EBCA87ULL
    #define XP2 0xC2B2AE3D27D4EB4FULL
    #define XP3 0x165667B19E3779F9ULL
    #define XP4 0x85EBCA77C2B2AE63ULL
    #define XP5 0x27D4EB2F165667C5ULL
    typedef struct xxh64_t { uint64_t lane[4], length; } xxh64_t;
    static inline uint64_t xxh_rotl(uint64_t x, int r) { return (x << r) | (x >> (64 - r)); }
    static inline uint64_t xxh_round(uint64_t acc, uint64_t word) { return xxh_rotl(acc + word * XP2, 31) * XP1; }
    static inline void xxh64_open(xxh64_t *h) {
        h->lane[0] = XP1 + XP2; h->lane[1] = XP2; h->lane[2] = 0; h->lane[3] = 0 - XP1; h->length = 0;
    }
    /* words: a multiple of four; every call but the last of a stream goes through here */
    static inline void xxh64_stripes(xxh64_t *h, const void *data, size_t words) {
        const uint64_t *p = (const uint64_t *)data;
        uint64_t a = h->lane[0], b = h->lane[1], c = h->lane[2], d = h->lane[3];
        for (size_t i = 0; i < words; i += 4) {
            a = xxh_round(a, p[i]); b = xxh_round(b, p[i + 1]);
            c = xxh_round(c, p[i + 2]); d = xxh_round(d, p[i + 3]);
        }
        h->lane[0] = a; h->lane[1] = b; h->lane[2] = c; h->lane[3] = d; h->length += words * 8;
    }
    /*
     * Records of 128 bytes, the commonest input. Of the two multiplications a word needs, the one that does not wait for
     * the word before is done for four words at once where the processor has that (AVX-512), so that the rest, four chains
     * of three instructions a word, is all that occupies the multiplier.
     */
    static int xxh64_wide;
    #if defined(__x86_64__)
    #define XXH_TARGET __attribute__((target("avx512f,avx512dq,avx512vl")))
    typedef uint64_t xxh_words __attribute__((vector_size(32), aligned(8)));
    __attribute__((constructor)) static void xxh64_prepare(void)
    {
        __builtin_cpu_init();
        xxh64_wide = __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    }
    #define XXH_NEXT(lane, product) \
        __asm__("addq %1, %0; rolq $31, %0; imulq %2, %0" : "+r"(lane) : "m"(product), "r"(p1) : "cc")
    #define XXH_FOUR(t) \
        XXH_NEXT(a, (t)[0]); XXH_NEXT(b, (t)[1]); XXH_NEXT(c, (t)[2]); XXH_NEXT(d, (t)[3])
    XXH_TARGET static inline void xxh64_products(uint64_t *t, const uint64_t *p)
    {
        for (int i = 0; i < 16; i += 4)
            *(xxh_words *)(t + i) = *(const xxh_words *)(p + i) * XP2;
    }
    XXH_TARGET static void xxh64_records_wide(xxh64_t *h, const uint64_t *p, size_t records)
    {
        const uint64_t p1 = XP1;
        uint64_t a = h->lane[0], b = h->lane[1], c = h->lane[2], d = h->lane[3], t[16];
        h->length += records * 128;
        for (; records; records--, p += 16) {
            xxh64_products(t, p);
            XXH_FOUR(t); XXH_FOUR(t + 4); XXH_FOUR(t + 8); XXH_FOUR(t + 12);
        }
        h->lane[0] = a; h->lane[1] = b; h->lane[2] = c; h->lane[3] = d;
    }
    XXH_TARGET static void xxh64_twice_wide(xxh64_t *h, xxh64_t *part, const uint64_t *p, size_t words)
    {
        const uint64_t p1 = XP1;
        uint64_t a = h->lane[0], b = h->lane[1], c = h->lane[2], d = h->lane[3], t[16];
        xxh64_products(t, p);
        XXH_FOUR(t); XXH_FOUR(t + 4); XXH_FOUR(t + 8); XXH_FOUR(t + 12);
        h->lane[0] = a; h->lane[1] = b; h->lane[2] = c; h->lane[3] = d; h->length += 128;
        a = part->lane[0]; b = part->lane[1]; c = part->lane[2]; d = part->lane[3];
        XXH_FOUR(t); XXH_FOUR(t + 4);
        if (words == 16) {
            XXH_FOUR(t + 8); XXH_FOUR(t + 12);
        }
        part->lane[0] = a; part->lane[1] = b; part->lane[2] = c; part->lane[3] = d; part->length += words * 8;
    }
    #else
    static void xxh64_records_wide(xxh64_t *h, const uint64_t *p, size_t records) { (void)h; (void)p; (void)records; }
    static void xxh64_twice_wide(xxh64_t *h, xxh64_t *part, const uint64_t *p, size_t words)
    {
        (void)h; (void)part; (void)p; (void)words;
    }
    #endif
    static inline void xxh64_records(xxh64_t *h, const void *data, size_t records)
    {
        if (xxh64_wide)
            xxh64_records_wide(h, (const uint64_t *)data, records);
        else
            xxh64_stripes(h, data, records * 16);
    }
    /* one record into `h`, its first 8 or 16 words into `part` as well */
    static inline void xxh64_twice(xxh64_t *h, xxh64_t *part, const void *data, size_t words)
    {
        if (xxh64_wide)
            xxh64_twice_wide(h, part, (const uint64_t *)data, words);
        else {
            xxh64_stripes(h, data, 16);
            xxh64_stripes(part, data, words);
        }
    }
    /* value after `words` (0 to 3) trailing words; the stream itself is left as it is */
    static inline uint64_t xxh64_value(const xxh64_t *h, const uint64_t *tail, size_t words) {
        uint64_t x, total = h->length + words * 8;
        if (h->length) {
            x = xxh_rotl(h->lane[0], 1) + xxh_rotl(h->lane[1], 7) + xxh_rotl(h->lane[2], 12) + xxh_rotl(h->lane[3], 18);
            for (int i = 0; i < 4; i++) x = (x ^ xxh_round(0, h->lane[i])) * XP1 + XP4;
        } else x = XP5;
        x += total;
        for (size_t i = 0; i < words; i++) x = xxh_rotl(x ^ xxh_round(0, tail[i]), 27) * XP1 + XP4;
        x ^= x >> 33; x *= XP2; x ^= x >> 29; x *= XP3; x ^= x >> 32;
        return x;
    }
    #endif
    """
    ctypedef struct xxh64_t:
        uint64_t lane[4]
        uint64_t length
    void xxh64_open(xxh64_t *h) noexcept nogil
    void xxh64_stripes(xxh64_t *h, const void *data, size_t words) noexcept nogil
    int xxh64_wide
    void xxh64_records(xxh64_t *h, const void *data, size_t records) noexcept nogil
    void xxh64_twice(xxh64_t *h, xxh64_t *part, const void *data, size_t words) noexcept nogil
    uint64_t xxh64_value(const xxh64_t *h, const uint64_t *tail, size_t words) noexcept nogil


cdef inline uint64_t xxh64_words(const void* data, size_t words) noexcept nogil:
    """Hash of a whole run of 8-byte words."""
    cdef xxh64_t h
    cdef size_t whole = words & ~(<size_t>3)
    xxh64_open(&h)
    xxh64_stripes(&h, data, whole)
    return xxh64_value(&h, <const uint64_t*>data + whole, words - whole)
