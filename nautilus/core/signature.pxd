"""Reads the header of a signed request, strictly, and puts together what was signed. No secret comes here.

    key=K, algorithm=A, timestamp=T, nonce=N, digest=D, signature=S         each once, in any order; no other

K is 4 to 32 of a-z and 0-9, A `blake2b` or `hmac-sha256`, T milliseconds (1 to 15 digits, the first no 0), N 8 to 64 of
letters, digits, `-`, `_` and `.`, D and S 64 of 0-9 and a-f. Between two are a comma and at most one space.
"""

from libc.stdint cimport uint64_t

from nautilus.core.blake2b cimport blake_t
from nautilus.core.sha256 cimport mac_t

cdef extern from *:
    """
    #ifndef NAUTILUS_SIGNATURE_H
    #define NAUTILUS_SIGNATURE_H
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>

    enum { SIGNED_KEY, SIGNED_ALGORITHM, SIGNED_TIME, SIGNED_NONCE, SIGNED_DIGEST, SIGNED_SIGNATURE, SIGNED_FIELDS };
    enum { LETTER_LOW = 1, LETTER_DIGIT = 2, LETTER_HIGH = 4, LETTER_MARK = 8, LETTER_HEX = 16 };

    typedef struct signed_t {
        const uint8_t *at[SIGNED_FIELDS];
        uint32_t       length[SIGNED_FIELDS];
        int64_t        stamp_ms;
        int            algorithm;       /* 0 blake2b, 1 hmac-sha256 */
        uint8_t        digest[32], signature[32];
    } signed_t;

    static uint8_t letter_kinds[256], letter_values[256];   /* what a byte is, and as a hexadecimal digit */

    __attribute__((constructor)) static void letters_prepare(void)
    {
        for (int c = 0; c < 256; c++) {
            if (c >= 'a' && c <= 'z')
                letter_kinds[c] = c <= 'f' ? LETTER_LOW | LETTER_HEX : LETTER_LOW;
            else if (c >= '0' && c <= '9')
                letter_kinds[c] = LETTER_DIGIT | LETTER_HEX;
            else if (c >= 'A' && c <= 'Z')
                letter_kinds[c] = LETTER_HIGH;
            else if (c == '-' || c == '_' || c == '.')
                letter_kinds[c] = LETTER_MARK;
            letter_values[c] = (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
        }
    }

    static inline void hex_bytes(const uint8_t *from, uint8_t *to, size_t bytes)
    {
        for (size_t i = 0; i < bytes; i++)
            to[i] = (uint8_t)(letter_values[from[2 * i]] << 4 | letter_values[from[2 * i + 1]]);
    }

    /* 0, or -1: it is not what it has to be. */
    static int signed_read(const uint8_t *text, size_t size, signed_t *out)
    {
        static const char *const names[SIGNED_FIELDS] = {"key", "algorithm", "timestamp", "nonce", "digest", "signature"};
        static const uint8_t lengths[SIGNED_FIELDS] = {3, 9, 9, 5, 6, 9};
        static const uint8_t least[SIGNED_FIELDS] = {4, 7, 1, 8, 64, 64}, most[SIGNED_FIELDS] = {32, 11, 15, 64, 64, 64};
        static const int allowed[SIGNED_FIELDS] = {LETTER_LOW | LETTER_DIGIT, 255, LETTER_DIGIT, 15, LETTER_HEX, LETTER_HEX};
        const uint8_t *at = text, *end = text + size;
        unsigned had = 0;
        for (int number = 0; number < SIGNED_FIELDS; number++) {
            const uint8_t *equals = memchr(at, '=', (size_t)(end - at));
            int field;
            if (equals == NULL)
                return -1;
            for (field = 0; field < SIGNED_FIELDS; field++)
                if (equals - at == lengths[field] && memcmp(at, names[field], lengths[field]) == 0)
                    break;
            if (field == SIGNED_FIELDS || had & (1u << field))
                return -1;
            had |= 1u << field;
            const uint8_t *value = equals + 1, *stop = value;
            while (stop < end && letter_kinds[*stop] & allowed[field])
                stop++;
            if (stop - value < least[field] || stop - value > most[field])
                return -1;
            out->at[field] = value;
            out->length[field] = (uint32_t)(stop - value);
            at = stop;
            if (number < SIGNED_FIELDS - 1) {
                if (at == end || *at++ != ',')
                    return -1;
                if (at < end && *at == ' ')
                    at++;
            }
        }
        if (at != end || *out->at[SIGNED_TIME] == '0')
            return -1;
        if (out->length[SIGNED_ALGORITHM] == 7 && memcmp(out->at[SIGNED_ALGORITHM], "blake2b", 7) == 0)
            out->algorithm = 0;
        else if (out->length[SIGNED_ALGORITHM] == 11 && memcmp(out->at[SIGNED_ALGORITHM], "hmac-sha256", 11) == 0)
            out->algorithm = 1;
        else
            return -1;
        out->stamp_ms = 0;
        for (uint32_t i = 0; i < out->length[SIGNED_TIME]; i++)
            out->stamp_ms = out->stamp_ms * 10 + (out->at[SIGNED_TIME][i] - '0');
        hex_bytes(out->at[SIGNED_DIGEST], out->digest, 32);
        hex_bytes(out->at[SIGNED_SIGNATURE], out->signature, 32);
        return 0;
    }
    #endif
    """
    enum:
        SIGNED_KEY
        SIGNED_ALGORITHM
        SIGNED_TIME
        SIGNED_NONCE
        SIGNED_DIGEST
        SIGNED_SIGNATURE
    ctypedef struct signed_t:
        const unsigned char* at[6]
        unsigned int length[6]
        long long stamp_ms
        int algorithm
        unsigned char digest[32]
        unsigned char signature[32]
    int signed_read(const unsigned char* text, size_t size, signed_t* out) noexcept nogil


cdef class SigningKey:
    cdef readonly uint64_t number
    cdef blake_t state              # both with the key taken in
    cdef mac_t mac


cdef class Verifier:
    cdef signed_t said              # points into the header
    cdef bytes header
    cdef readonly object key
