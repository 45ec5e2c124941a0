"""XXH64 and XXH3-64 of whole 8-byte words."""

from libc.stddef cimport size_t
from libc.stdint cimport uint64_t

cdef extern from *:
    """
    #include <string.h>
    #if defined(__x86_64__)
    #include <immintrin.h>
    #endif
    #define XP32_1 0x9E3779B1ULL
    #define XP32_2 0x85EBCA77ULL
    #define XP32_3 0xC2B2AE3DULL
    #define XXH3_MX1 0x165667919E3779F9ULL
    #define XXH3_MX2 0x9FB21C651E98DF25ULL
    #define XXH3_KEPT 256                   /* bytes up to which a stream is kept whole: at least 240 */
    #define XXH3_PLACES 16                  /* stripes of a block, each with keys 8 bytes further on */
    #define XXH3_SCRAMBLE 128               /* where the keys of a block's end begin */

    /* The default secret. */
    static const uint8_t xxh3_secret[192] __attribute__((aligned(64))) = {
        0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
        0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
        0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
        0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
        0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
        0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
        0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
        0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
        0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
        0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
        0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
        0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
    };

    static inline uint64_t xxh3_word(const void *data, size_t at)
    {
        uint64_t word;
        memcpy(&word, (const uint8_t *)data + at, 8);
        return word;
    }

    static inline uint64_t xxh3_fold(uint64_t a, uint64_t b)
    {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }

    static inline uint64_t xxh3_avalanche(uint64_t x)
    {
        x ^= x >> 37; x *= XXH3_MX1; return x ^ x >> 32;
    }

    static inline uint64_t xxh3_mix(const void *data, size_t at, size_t key)
    {
        return xxh3_fold(xxh3_word(data, at) ^ xxh3_word(xxh3_secret, key),
                         xxh3_word(data, at + 8) ^ xxh3_word(xxh3_secret, key + 8));
    }

    static void xxh3_begin(xxh3_t *h)
    {
        static const uint64_t lanes[8] = {XP32_3, XP1, XP2, XP3, XP4, XP32_2, XP5, XP32_1};
        memset(h, 0, sizeof(*h));
        memcpy(h->lane, lanes, sizeof(lanes));
    }

    static inline void xxh3_stripe(uint64_t *lane, const void *data, size_t key)
    {
        for (int i = 0; i < 8; i++) {
            uint64_t word = xxh3_word(data, 8 * i), mixed = word ^ xxh3_word(xxh3_secret, key + 8 * i);
            lane[i ^ 1] += word;
            lane[i] += (mixed & 0xFFFFFFFF) * (mixed >> 32);
        }
    }

    /* Take one stripe in, then `count` that lie in a row; `place`: of the first one in its block. */
    typedef void (*xxh3_run_t)(uint64_t *lane, size_t place, const uint8_t *first, const uint8_t *next, size_t count);

    static void xxh3_run_plain(uint64_t *lane, size_t place, const uint8_t *first, const uint8_t *next, size_t count)
    {
        for (;;) {
            xxh3_stripe(lane, first, 8 * place);
            if (++place == XXH3_PLACES) {
                for (int i = 0; i < 8; i++)
                    lane[i] = (lane[i] ^ lane[i] >> 47 ^ xxh3_word(xxh3_secret, XXH3_SCRAMBLE + 8 * i)) * XP32_1;
                place = 0;
            }
            if (count-- == 0)
                return;
            first = next;
            next += 64;
        }
    }

    #if defined(__x86_64__)
    #define XXH3_LOAD(at) _mm256_loadu_si256((const __m256i *)(at))
    #define XXH3_HALF(lane, sum, at, key) do {                                                                    \
        __m256i data = XXH3_LOAD(at), mixed = _mm256_xor_si256(data, XXH3_LOAD(key));                             \
        lane = _mm256_add_epi64(lane, _mm256_mul_epu32(mixed, _mm256_srli_epi64(mixed, 32)));                     \
        sum = _mm256_add_epi64(sum, data);                                                                        \
    } while (0)
    #define XXH3_SETTLE(lane, sum) do {                                                                           \
        lane = _mm256_add_epi64(lane, _mm256_shuffle_epi32(sum, 0x4E));                                           \
        sum = _mm256_setzero_si256();                                                                             \
    } while (0)
    #define XXH3_SCRAMBLED(lane, key) do {                                                                        \
        __m256i x = _mm256_xor_si256(_mm256_xor_si256(lane, _mm256_srli_epi64(lane, 47)), XXH3_LOAD(key));        \
        __m256i upper = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), prime);                                        \
        lane = _mm256_add_epi64(_mm256_mul_epu32(x, prime), _mm256_slli_epi64(upper, 32));                        \
    } while (0)
    /*
     * Each word is added to its neighbour's lane: their sums are kept apart and change places once a block. Registers of
     * 512 bits are not used: they took a fifth less time alone, and 5 ns more for a command of the kernel, which hashes a
     * little every few microseconds.
     */
    __attribute__((target("avx2")))
    static void xxh3_run_avx2(uint64_t *lane, size_t place, const uint8_t *first, const uint8_t *next, size_t count)
    {
        const __m256i prime = _mm256_set1_epi64x(XP32_1);
        const uint8_t *key = xxh3_secret + 8 * place;
        __m256i low = XXH3_LOAD(lane), high = XXH3_LOAD(lane + 4);
        __m256i low_sum = _mm256_setzero_si256(), high_sum = _mm256_setzero_si256();
        XXH3_HALF(low, low_sum, first, key);
        XXH3_HALF(high, high_sum, first + 32, key + 32);
        for (key += 8; ; key = xxh3_secret) {
            size_t left = (size_t)(xxh3_secret + 8 * XXH3_PLACES - key) / 8, some = left < count ? left : count;
            const uint8_t *end = next + 64 * some;
            for (; next != end; next += 64, key += 8) {
                XXH3_HALF(low, low_sum, next, key);
                XXH3_HALF(high, high_sum, next + 32, key + 32);
            }
            count -= some;
            XXH3_SETTLE(low, low_sum);
            XXH3_SETTLE(high, high_sum);
            if (some != left)
                break;
            XXH3_SCRAMBLED(low, xxh3_secret + XXH3_SCRAMBLE);
            XXH3_SCRAMBLED(high, xxh3_secret + XXH3_SCRAMBLE + 32);
        }
        _mm256_storeu_si256((__m256i *)lane, low);
        _mm256_storeu_si256((__m256i *)(lane + 4), high);
    }
    #endif

    /* By rank: NULL where the processor has no such instructions. */
    static xxh3_run_t xxh3_runs[2] = {xxh3_run_plain, NULL};
    static xxh3_run_t xxh3_best = xxh3_run_plain;

    static void xxh3_choose(void)
    {
        #if defined(__x86_64__)
        __builtin_cpu_init();
        if (__builtin_cpu_supports("avx2"))
            xxh3_best = xxh3_runs[1] = xxh3_run_avx2;
        #endif
    }

    static inline void xxh3_keep(uint8_t *tail, const uint8_t *at, size_t bytes)
    {
        if (bytes < 64) {
            memmove(tail, tail + bytes, 64 - bytes);
            memcpy(tail + 64 - bytes, at, bytes);
        } else
            memcpy(tail, at + bytes - 64, 64);
    }

    static void xxh3_more(xxh3_t *h, const void *data, size_t bytes, xxh3_run_t run)
    {
        const uint8_t *at = (const uint8_t *)data, *first;
        uint8_t *tail = (uint8_t *)h->tail, joined[64];
        if (h->length <= XXH3_KEPT) {
            size_t room = XXH3_KEPT - h->length, taken = bytes < room ? bytes : room;
            if (taken)
                memcpy(tail + h->length, at, taken);
            h->length += taken;
            at += taken;
            bytes -= taken;
            if (bytes == 0)
                return;
            run(h->lane, 0, tail, tail + 64, XXH3_KEPT / 64 - 2);
            memcpy(tail, tail + XXH3_KEPT - 64, 64);
            memset(tail + 64, 0, XXH3_KEPT - 64);
        }
        /* A stripe that nothing follows is treated in another way, so the last one waits, whole or not. */
        size_t waiting = ((h->length - 1) & 63) + 1, lacks = 64 - waiting;
        size_t place = (h->length - 1) / 64 % XXH3_PLACES;
        h->length += bytes;
        if (bytes > lacks) {
            first = tail;
            if (lacks) {
                memcpy(joined, tail + lacks, waiting);
                memcpy(joined + waiting, at, lacks);
                first = joined;
            }
            run(h->lane, place, first, at + lacks, (bytes - lacks - 1) / 64);
        }
        xxh3_keep(tail, at, bytes);
    }

    static uint64_t xxh3_short(const void *data, uint64_t length)
    {
        const uint8_t *secret = xxh3_secret;
        uint64_t x, y;
        if (length == 0)
            return xxh_avalanche(xxh3_word(secret, 56) ^ xxh3_word(secret, 64));
        if (length == 8) {
            x = xxh3_word(secret, 8) ^ xxh3_word(secret, 16) ^ xxh_rotl(xxh3_word(data, 0), 32);
            x ^= xxh_rotl(x, 49) ^ xxh_rotl(x, 24);
            x *= XXH3_MX2;
            x ^= (x >> 35) + length;
            x *= XXH3_MX2;
            return x ^ x >> 28;
        }
        if (length == 16) {
            x = xxh3_word(secret, 24) ^ xxh3_word(secret, 32) ^ xxh3_word(data, 0);
            y = xxh3_word(secret, 40) ^ xxh3_word(secret, 48) ^ xxh3_word(data, 8);
            return xxh3_avalanche(length + __builtin_bswap64(x) + y + xxh3_fold(x, y));
        }
        x = length * XP1;
        if (length <= 128) {
            for (size_t i = 0; i < (length + 31) / 32; i++)
                x += xxh3_mix(data, 16 * i, 32 * i) + xxh3_mix(data, length - 16 * i - 16, 32 * i + 16);
            return xxh3_avalanche(x);
        }
        for (size_t i = 0; i < 8; i++)
            x += xxh3_mix(data, 16 * i, 16 * i);
        x = xxh3_avalanche(x);
        for (size_t i = 8; i < length / 16; i++)
            x += xxh3_mix(data, 16 * i, 16 * (i - 8) + 3);
        return xxh3_avalanche(x + xxh3_mix(data, length - 16, 119));
    }

    static uint64_t xxh3_end(const xxh3_t *h)
    {
        const uint8_t *last = (const uint8_t *)h->tail;
        uint64_t lane[8], x = h->length * XP1;
        if (h->length <= 240)
            return xxh3_short(last, h->length);
        memcpy(lane, h->lane, sizeof(lane));
        if (h->length <= XXH3_KEPT) {
            xxh3_run_plain(lane, 0, last, last + 64, (h->length - 1) / 64 - 1);
            last += h->length - 64;
        }
        xxh3_stripe(lane, last, 121);
        for (int i = 0; i < 8; i += 2)
            x += xxh3_fold(lane[i] ^ xxh3_word(xxh3_secret, 11 + 8 * i), lane[i + 1] ^ xxh3_word(xxh3_secret, 19 + 8 * i));
        return xxh3_avalanche(x);
    }
    """
    ctypedef void (*xxh3_run_t)(uint64_t*, size_t, const unsigned char*, const unsigned char*, size_t) noexcept nogil
    xxh3_run_t xxh3_best
    xxh3_run_t* xxh3_runs
    void xxh3_choose() noexcept nogil
    void xxh3_begin(xxh3_t* h) noexcept nogil
    void xxh3_more(xxh3_t* h, const void* data, size_t bytes, xxh3_run_t run) noexcept nogil
    uint64_t xxh3_end(const xxh3_t* h) noexcept nogil

xxh3_choose()

cdef tuple NAMES = ("xxh64", "xxh3")
cdef tuple RANKS = ("plain", "avx2")

VECTORS = tuple([RANKS[i] for i in range(2) if xxh3_runs[i] is not NULL])
"""Instructions that XXH3 can be computed with here, the quickest last."""


cdef void xxh3_open(xxh3_t* h) noexcept nogil:
    xxh3_begin(h)


cdef void xxh3_take(xxh3_t* h, const void* data, size_t bytes) noexcept nogil:
    xxh3_more(h, data, bytes, xxh3_best)


cdef uint64_t xxh3_value(const xxh3_t* h) noexcept nogil:
    return xxh3_end(h)


cdef str hash_name(int kind):
    return NAMES[kind]


cdef int hash_kind(object name) except -1:
    if name not in NAMES:
        raise ValueError(f"hashes: expected 'xxh3' or 'xxh64', found {name!r}")
    return NAMES.index(name)


def xxh64(const unsigned char[::1] data not None):
    """XXH64 (seed 0) of `data`. Raises ValueError where the length is not a multiple of 8 bytes: every record and state
    word is.
    """
    cdef Py_ssize_t length = whole(data)
    return xxh64_words(&data[0] if length else NULL, length // 8)


def xxh3(const unsigned char[::1] data not None, *, vectors=None):
    """XXH3-64 (default secret, seed 0) of `data`; parameters and errors of `Xxh3`."""
    stream = Xxh3(vectors=vectors)
    stream.update(data)
    return stream.value()


cdef class Xxh3:
    """A stream whose XXH3-64 can be asked for at any time.

    vectors: one of `VECTORS`, which all give the same values; None: the quickest. ValueError for another one.
    """

    cdef xxh3_t state
    cdef xxh3_run_t run

    def __init__(self, *, vectors=None):
        if vectors is not None and vectors not in VECTORS:
            raise ValueError(f"vectors: expected one of {', '.join(VECTORS)}, found {vectors!r}")
        self.run = xxh3_best if vectors is None else xxh3_runs[RANKS.index(vectors)]
        xxh3_begin(&self.state)

    def update(self, const unsigned char[::1] data not None):
        """Take bytes in. Raises ValueError where their number is not a multiple of 8."""
        cdef Py_ssize_t length = whole(data)
        if length:
            xxh3_more(&self.state, &data[0], length, self.run)

    def value(self):
        """XXH3-64 of all bytes so far."""
        return xxh3_end(&self.state)


cdef Py_ssize_t whole(const unsigned char[::1] data) except -1:
    """Bytes of `data`, once that is known to be a number of whole words."""
    if data.shape[0] % 8:
        raise ValueError(f"expected a multiple of 8 bytes, found {data.shape[0]}")
    return data.shape[0]
