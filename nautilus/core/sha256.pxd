"""HMAC-SHA256 (FIPS 180-4, RFC 2104) in C: what hmac has, without objects, and with a key that is taken in once.

`mac_begin` takes a key in, as far as it is known before a message comes: the inner and the outer block. Its result may
be kept and copied; each message goes on from there.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t

cdef extern from *:
    """
    #ifndef NAUTILUS_SHA256_H
    #define NAUTILUS_SHA256_H
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>

    typedef struct sha_t {
        uint32_t h[8];
        uint64_t bytes;             /* taken, with what is held */
        uint8_t  block[64];         /* `bytes` modulo 64 of it are held */
    } sha_t;

    typedef struct mac_t {
        sha_t    inner;             /* with the key, and of the message what was taken */
        uint32_t outer[8];          /* with the key */
    } mac_t;

    static const uint32_t sha_start[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    static const uint32_t sha_round[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    #define SHA_ROTATE(x, b) (((x) >> (b)) | ((x) << (32 - (b))))

    static void sha_block(uint32_t *h, const uint8_t *block)
    {
        uint32_t w[64], v[8];
        for (int i = 0; i < 16; i++) {
            memcpy(&w[i], block + 4 * i, 4);
            w[i] = __builtin_bswap32(w[i]);     /* big-endian; every machine this runs on is little-endian */
        }
        for (int i = 16; i < 64; i++) {
            uint32_t a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + w[i - 7] + (SHA_ROTATE(a, 7) ^ SHA_ROTATE(a, 18) ^ a >> 3)
                + (SHA_ROTATE(b, 17) ^ SHA_ROTATE(b, 19) ^ b >> 10);
        }
        memcpy(v, h, sizeof v);
        for (int i = 0; i < 64; i++) {
            uint32_t a = v[0], e = v[4];
            uint32_t one = v[7] + (SHA_ROTATE(e, 6) ^ SHA_ROTATE(e, 11) ^ SHA_ROTATE(e, 25))
                + (v[6] ^ (e & (v[5] ^ v[6]))) + sha_round[i] + w[i];
            uint32_t two = (SHA_ROTATE(a, 2) ^ SHA_ROTATE(a, 13) ^ SHA_ROTATE(a, 22)) + ((a & v[1]) | (v[2] & (a | v[1])));
            v[7] = v[6]; v[6] = v[5]; v[5] = e; v[4] = v[3] + one;
            v[3] = v[2]; v[2] = v[1]; v[1] = a; v[0] = one + two;
        }
        for (int i = 0; i < 8; i++)
            h[i] += v[i];
    }

    static void sha_begin(sha_t *s)
    {
        memcpy(s->h, sha_start, sizeof s->h);
        s->bytes = 0;
    }

    static void sha_take(sha_t *s, const void *data, size_t size)
    {
        const uint8_t *from = (const uint8_t *)data;
        while (size) {
            size_t held = s->bytes % 64, part = 64 - held < size ? 64 - held : size;
            memcpy(s->block + held, from, part);
            s->bytes += part;
            from += part;
            size -= part;
            if (held + part == 64)
                sha_block(s->h, s->block);
        }
    }

    static void sha_end(sha_t *s, uint8_t *out)
    {
        uint64_t bits = __builtin_bswap64(s->bytes * 8);
        size_t held = s->bytes % 64;
        s->block[held++] = 0x80;
        if (held > 56) {
            memset(s->block + held, 0, 64 - held);
            sha_block(s->h, s->block);
            held = 0;
        }
        memset(s->block + held, 0, 56 - held);
        memcpy(s->block + 56, &bits, 8);
        sha_block(s->h, s->block);
        for (int i = 0; i < 8; i++) {
            uint32_t word = __builtin_bswap32(s->h[i]);
            memcpy(out + 4 * i, &word, 4);
        }
    }

    static void mac_begin(mac_t *m, const uint8_t *key, size_t key_bytes)
    {
        uint8_t pad[64] = {0};
        if (key_bytes > 64) {
            sha_begin(&m->inner);
            sha_take(&m->inner, key, key_bytes);
            sha_end(&m->inner, pad);
        } else if (key_bytes)
            memcpy(pad, key, key_bytes);
        for (int i = 0; i < 64; i++)
            pad[i] ^= 0x5c;
        memcpy(m->outer, sha_start, sizeof m->outer);
        sha_block(m->outer, pad);
        for (int i = 0; i < 64; i++)
            pad[i] ^= 0x5c ^ 0x36;
        sha_begin(&m->inner);
        sha_take(&m->inner, pad, 64);
    }

    static void mac_end(mac_t *m, uint8_t *out)
    {
        sha_end(&m->inner, out);
        memcpy(m->inner.h, m->outer, sizeof m->outer);
        m->inner.bytes = 64;
        sha_take(&m->inner, out, 32);
        sha_end(&m->inner, out);
    }
    #endif
    """
    ctypedef struct sha_t:
        uint64_t bytes
    ctypedef struct mac_t:
        sha_t inner
    void sha_take(sha_t* state, const void* data, size_t size) noexcept nogil
    void mac_begin(mac_t* state, const unsigned char* key, size_t key_bytes) noexcept nogil
    void mac_end(mac_t* state, unsigned char* out) noexcept nogil
