"""BLAKE2b (RFC 7693) of 32 bytes, with or without a key, in C: what hashlib has, without an object for each hash.

`blake_begin` takes the key in, which fills the first block; its result may be kept and copied, and each message goes on
from there.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint64_t

cdef extern from *:
    """
    #ifndef NAUTILUS_BLAKE2B_H
    #define NAUTILUS_BLAKE2B_H
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>

    typedef struct blake_t {
        uint64_t h[8];
        uint64_t bytes;             /* taken in by h; a message is shorter than 2^64 */
        size_t   held;              /* of `block`; the last block, also a full one, waits for the end */
        uint8_t  block[128];
    } blake_t;

    static const uint64_t blake_start[8] = {
        0x6a09e667f3bcc908ULL, 0xbb67ae8584caa73bULL, 0x3c6ef372fe94f82bULL, 0xa54ff53a5f1d36f1ULL,
        0x510e527fade682d1ULL, 0x9b05688c2b3e6c1fULL, 0x1f83d9abfb41bd6bULL, 0x5be0cd19137e2179ULL};
    #define BLAKE_ROTATE(x, b) (((x) >> (b)) | ((x) << (64 - (b))))
    #define BLAKE_G(a, b, c, d, x, y)                                                                                     \\
        do {                                                                                                              \\
            a += b + (x); d = BLAKE_ROTATE(d ^ a, 32); c += d; b = BLAKE_ROTATE(b ^ c, 24);                               \\
            a += b + (y); d = BLAKE_ROTATE(d ^ a, 16); c += d; b = BLAKE_ROTATE(b ^ c, 63);                               \\
        } while (0)
    #define BLAKE_ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15)                             \\
        do {                                                                                                              \\
            BLAKE_G(v0, v4, v8, v12, m[s0], m[s1]);    BLAKE_G(v1, v5, v9, v13, m[s2], m[s3]);                            \\
            BLAKE_G(v2, v6, v10, v14, m[s4], m[s5]);   BLAKE_G(v3, v7, v11, v15, m[s6], m[s7]);                           \\
            BLAKE_G(v0, v5, v10, v15, m[s8], m[s9]);   BLAKE_G(v1, v6, v11, v12, m[s10], m[s11]);                         \\
            BLAKE_G(v2, v7, v8, v13, m[s12], m[s13]);  BLAKE_G(v3, v4, v9, v14, m[s14], m[s15]);                          \\
        } while (0)

    static void blake_block(blake_t *s, const uint8_t *block, uint64_t bytes, uint64_t last)
    {
        uint64_t m[16], *h = s->h;
        memcpy(m, block, 128);          /* little-endian, as every machine this runs on */
        uint64_t v0 = h[0], v1 = h[1], v2 = h[2], v3 = h[3], v4 = h[4], v5 = h[5], v6 = h[6], v7 = h[7];
        uint64_t v8 = blake_start[0], v9 = blake_start[1], v10 = blake_start[2], v11 = blake_start[3];
        uint64_t v12 = blake_start[4] ^ bytes, v13 = blake_start[5], v14 = blake_start[6] ^ last, v15 = blake_start[7];
        BLAKE_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        BLAKE_ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
        BLAKE_ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);
        BLAKE_ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);
        BLAKE_ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);
        BLAKE_ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);
        BLAKE_ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);
        BLAKE_ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);
        BLAKE_ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);
        BLAKE_ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);
        BLAKE_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        BLAKE_ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
        h[0] ^= v0 ^ v8;  h[1] ^= v1 ^ v9;  h[2] ^= v2 ^ v10; h[3] ^= v3 ^ v11;
        h[4] ^= v4 ^ v12; h[5] ^= v5 ^ v13; h[6] ^= v6 ^ v14; h[7] ^= v7 ^ v15;
    }

    /* `key`: up to 64 bytes; NULL with 0: none. */
    static void blake_begin(blake_t *s, const uint8_t *key, size_t key_bytes)
    {
        memcpy(s->h, blake_start, sizeof s->h);
        s->h[0] ^= 0x01010000 ^ (uint64_t)key_bytes << 8 ^ 32;
        s->bytes = 0;
        s->held = 0;
        if (key_bytes) {
            memset(s->block, 0, 128);
            memcpy(s->block, key, key_bytes);
            s->held = 128;
        }
    }

    /* What waits in the block is taken in, where more is to come: a state that is kept is kept as far as it is known. */
    static void blake_settle(blake_t *s)
    {
        if (s->held == 128) {
            s->bytes += 128;
            blake_block(s, s->block, s->bytes, 0);
            s->held = 0;
        }
    }

    static void blake_take(blake_t *s, const void *data, size_t size)
    {
        const uint8_t *from = (const uint8_t *)data;
        while (size) {
            blake_settle(s);
            if (s->held == 0)
                for (; size > 128; from += 128, size -= 128) {
                    s->bytes += 128;
                    blake_block(s, from, s->bytes, 0);
                }
            size_t part = 128 - s->held < size ? 128 - s->held : size;
            memcpy(s->block + s->held, from, part);
            s->held += part;
            from += part;
            size -= part;
        }
    }

    static void blake_end(blake_t *s, uint8_t *out)
    {
        s->bytes += s->held;
        memset(s->block + s->held, 0, 128 - s->held);
        blake_block(s, s->block, s->bytes, ~(uint64_t)0);
        memcpy(out, s->h, 32);
    }

    /* Whether two values of 32 bytes are equal, in the same time for any two. */
    static inline int same_32(const uint8_t *one, const uint8_t *other)
    {
        volatile uint8_t differs = 0;
        for (int i = 0; i < 32; i++)
            differs |= one[i] ^ other[i];
        return differs == 0;
    }
    #endif
    """
    ctypedef struct blake_t:
        uint64_t h[8]
        uint64_t bytes
        size_t held
        unsigned char block[128]
    void blake_begin(blake_t* state, const unsigned char* key, size_t key_bytes) noexcept nogil
    void blake_settle(blake_t* state) noexcept nogil
    void blake_take(blake_t* state, const void* data, size_t size) noexcept nogil
    void blake_end(blake_t* state, unsigned char* out) noexcept nogil
    bint same_32(const unsigned char* one, const unsigned char* other) noexcept nogil
