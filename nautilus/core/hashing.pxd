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
    uint64_t xxh64_value(const xxh64_t *h, const uint64_t *tail, size_t words) noexcept nogil


cdef inline uint64_t xxh64_words(const void* data, size_t words) noexcept nogil:
    """Hash of a whole run of 8-byte words."""
    cdef xxh64_t h
    cdef size_t whole = words & ~(<size_t>3)
    xxh64_open(&h)
    xxh64_stripes(&h, data, whole)
    return xxh64_value(&h, <const uint64_t*>data + whole, words - whole)
