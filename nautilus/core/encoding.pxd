"""Commands as records of a journal, in three ways that give the same bytes (docs/journal.md has them).

The checksum of each record continues the one before. Computed in that order a record waits for the one before it, three
cycles for each of its 9 or 17 words; so where the processor can join checksums (`crc32c.pxd`) each record's own is
computed apart, several at a time, and only the join waits.

Bytes are stored from the lowest address on, the checksum last: what an interrupted writer leaves in a file is whole
records and at most one torn one. Up to 64 zeros may be stored behind the last record.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t

from nautilus.core.crc32c cimport crc32c_instruction, crc32c_joining
from nautilus.core.types cimport command_t

cdef extern from *:
    """
    #ifndef NAUTILUS_ENCODING_H
    #define NAUTILUS_ENCODING_H
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>
    #define ENCODE_TAIL(bytes) (1u | (uint32_t)(bytes) << 16)       /* type 1 and the length, as in the head */
    #define ENCODE_IN_ORDER __asm__ volatile("" ::: "memory")

    /* The second cache line is stored only where it holds anything. */
    static inline size_t encode_body(const uint64_t *word)
    {
        return (word[8] | word[9] | word[10] | word[11] | word[12] | word[13] | word[14] | word[15]) ? 128 : 64;
    }

    static size_t encode_tables(uint8_t *out, const command_t *commands, size_t count, uint32_t *chain)
    {
        const uint8_t *start = out;
        for (size_t i = 0; i < count; i++) {
            size_t bytes = encode_body((const uint64_t *)(commands + i));
            uint32_t tail = ENCODE_TAIL(bytes);
            memcpy(out + 4, &tail, 4);
            ENCODE_IN_ORDER;
            memcpy(out + 8, commands + i, bytes);
            *chain = crc32c_tables(*chain, out + 4, bytes + 4);
            ENCODE_IN_ORDER;
            memcpy(out, chain, 4);
            out += bytes + 8;
        }
        return (size_t)(out - start);
    }

    #if defined(__x86_64__)
    CRC32C_TARGET static inline uint64_t encode_words(uint64_t crc, const uint64_t *word)
    {
        for (int i = 0; i < 8; i++)
            crc = _mm_crc32_u64(crc, word[i]);
        return crc;
    }

    CRC32C_TARGET static inline void encode_line(uint8_t *out, const uint64_t *word)
    {
        for (int i = 0; i < 4; i++)
            _mm_storeu_si128((__m128i *)(out + 16 * i), _mm_loadu_si128((const __m128i *)(word + 2 * i)));
    }

    CRC32C_TARGET static size_t encode_chained(uint8_t *out, const command_t *commands, size_t count, uint32_t *chain)
    {
        const uint8_t *start = out;
        for (size_t i = 0; i < count; i++) {
            const uint64_t *word = (const uint64_t *)(commands + i);
            size_t bytes = encode_body(word);
            uint32_t tail = ENCODE_TAIL(bytes);
            memcpy(out + 4, &tail, 4);
            ENCODE_IN_ORDER;
            encode_line(out + 8, word);
            uint64_t crc = encode_words(_mm_crc32_u32(~*chain, tail), word);
            if (bytes == 128) {
                encode_line(out + 72, word + 8);
                crc = encode_words(crc, word + 8);
            }
            ENCODE_IN_ORDER;
            *chain = ~(uint32_t)crc;
            memcpy(out, chain, 4);
            out += bytes + 8;
        }
        return (size_t)(out - start);
    }

    /* Both lengths are computed and one is chosen: which it is, nobody can foresee. */
    CRC32C_JOIN_TARGET static size_t encode_joined(uint8_t *out, const command_t *commands, size_t count, uint32_t *chain)
    {
        static const uint64_t zeros[8];
        static uint64_t factor[2], head[2];         /* of 64 and 128 bytes; any thread finds the same */
        if (factor[1] == 0) {
            /* the head's four bytes, moved on by the first line, whose own checksum is added to it */
            head[0] = encode_words(_mm_crc32_u32(0, ENCODE_TAIL(64)), zeros);
            head[1] = encode_words(_mm_crc32_u32(0, ENCODE_TAIL(128)), zeros);
            factor[0] = crc32c_factor(68);
            factor[1] = crc32c_factor(132);
        }
        const uint8_t *start = out;
        const uint64_t factor_64 = factor[0], factor_128 = factor[1], head_64 = head[0], head_128 = head[1];
        uint64_t crc = (uint32_t)~*chain;
        for (size_t i = 0; i < count; i++) {
            const uint64_t *word = (const uint64_t *)(commands + i);
            size_t bytes = encode_body(word);
            uint32_t tail = ENCODE_TAIL(bytes), sum;
            memcpy(out + 4, &tail, 4);
            ENCODE_IN_ORDER;
            encode_line(out + 8, word);
            encode_line(out + 72, word + 8);
            uint64_t first = encode_words(0, word), both = encode_words(first ^ head_128, word + 8);
            crc = crc32c_move(crc, bytes == 128 ? factor_128 : factor_64) ^ (bytes == 128 ? both : first ^ head_64);
            ENCODE_IN_ORDER;
            sum = ~(uint32_t)crc;
            memcpy(out, &sum, 4);
            out += bytes + 8;
        }
        *chain = ~(uint32_t)crc;
        return (size_t)(out - start);
    }
    #else
    #define encode_chained encode_tables
    #define encode_joined encode_tables
    #endif
    #endif
    """
    # Bytes written to `out`, 72 or 136 a command; `chain` goes in as the checksum before and comes out as the last one.
    size_t encode_tables(uint8_t* out, const command_t* commands, size_t count, uint32_t* chain) noexcept nogil
    size_t encode_chained(uint8_t* out, const command_t* commands, size_t count, uint32_t* chain) noexcept nogil
    size_t encode_joined(uint8_t* out, const command_t* commands, size_t count, uint32_t* chain) noexcept nogil

ctypedef size_t (*encode_t)(uint8_t* out, const command_t* commands, size_t count, uint32_t* chain) noexcept nogil


cdef inline encode_t encode_best() noexcept nogil:
    """The quickest one that this processor has."""
    if crc32c_joining:
        return encode_joined
    return encode_chained if crc32c_instruction else encode_tables
