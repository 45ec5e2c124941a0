"""XXH64 and XXH3-64, streamed over whole 8-byte words: the running hashes of commands and events, of segments and of state.

Values are at every moment the published ones (seed 0, XXH3 with its default secret) of all bytes so far, so any xxHash tool
can check them over the same bytes. Specification: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md

`hash_t` is either of the two. Plain data: it is copied, and it stands in snapshots.
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
    typedef struct xxh3_t {
        uint64_t lane[8];       /* of all whole stripes of 64 bytes that something follows; not begun up to 256 bytes */
        uint64_t length;        /* bytes so far */
        uint64_t tail[32];      /* up to 256 bytes: all of them; then the last 64 */
    } xxh3_t;
    typedef struct hash_t {
        uint64_t kind;
        union { xxh64_t xxh64; xxh3_t xxh3; };
    } hash_t;
    static inline uint64_t xxh_rotl(uint64_t x, int r) { return (x << r) | (x >> (64 - r)); }
    static inline uint64_t xxh_round(uint64_t acc, uint64_t word) { return xxh_rotl(acc + word * XP2, 31) * XP1; }
    static inline uint64_t xxh_avalanche(uint64_t x)
    {
        x ^= x >> 33; x *= XP2; x ^= x >> 29; x *= XP3; return x ^ x >> 32;
    }
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
        return xxh_avalanche(x);
    }
    #endif
    """
    ctypedef struct xxh64_t:
        uint64_t lane[4]
        uint64_t length
    ctypedef struct xxh3_t:
        uint64_t lane[8]
        uint64_t length
        uint64_t tail[32]
    ctypedef struct hash_t:
        uint64_t kind
        xxh64_t xxh64
        xxh3_t xxh3
    void xxh64_open(xxh64_t *h) noexcept nogil
    void xxh64_stripes(xxh64_t *h, const void *data, size_t words) noexcept nogil
    uint64_t xxh64_value(const xxh64_t *h, const uint64_t *tail, size_t words) noexcept nogil

# hash_t.kind
cdef enum:
    HASH_XXH64 = 0              # of journals that earlier versions began, and their kernels
    HASH_XXH3 = 1

cdef void xxh3_open(xxh3_t* h) noexcept nogil
# bytes: a multiple of 8
cdef void xxh3_take(xxh3_t* h, const void* data, size_t bytes) noexcept nogil
cdef uint64_t xxh3_value(const xxh3_t* h) noexcept nogil
# The name of a kind, as Python says it; and the kind of a name: ValueError for another.
cdef str hash_name(int kind)
cdef int hash_kind(object name) except -1


cdef inline size_t xxh3_tail(const xxh3_t* h) noexcept nogil:
    """Words of `tail` that are in use."""
    return h.length // 8 if h.length <= 256 else 8


cdef inline void hash_open(hash_t* h, int kind) noexcept nogil:
    h.kind = kind
    if kind == HASH_XXH3:
        xxh3_open(&h.xxh3)
    else:
        xxh64_open(&h.xxh64)


cdef inline void hash_take(hash_t* h, const void* data, size_t bytes) noexcept nogil:
    """Take bytes in; XXH64 wants a multiple of 32."""
    if h.kind == HASH_XXH3:
        xxh3_take(&h.xxh3, data, bytes)
    else:
        xxh64_stripes(&h.xxh64, data, bytes // 8)


cdef inline uint64_t hash_value(const hash_t* h) noexcept nogil:
    """Value of all bytes so far; the stream can go on."""
    return xxh3_value(&h.xxh3) if h.kind == HASH_XXH3 else xxh64_value(&h.xxh64, NULL, 0)


cdef inline uint64_t xxh64_words(const void* data, size_t words) noexcept nogil:
    """Hash of a whole run of 8-byte words."""
    cdef xxh64_t h
    cdef size_t whole = words & ~(<size_t>3)
    xxh64_open(&h)
    xxh64_stripes(&h, data, whole)
    return xxh64_value(&h, <const uint64_t*>data + whole, words - whole)
