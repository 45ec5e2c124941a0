"""CRC32C (Castagnoli), as iSCSI, ext4 and most storage formats use it: `crc32c(b"123456789") == 0xE3069283`.

The processor's instruction where it has one (SSE 4.2, checked when the module is loaded), else eight tables
(Kounavis and Berry 2005). A seed continues an earlier value: the checksum of a + b is
`crc32c_update(crc32c_update(0, a), b)`. Reference: RFC 3720, appendix B.4.

Joining. A checksum is linear: that of b, continued from s, is s moved on by b's length, XORed with that of b alone. To
move on is a multiplication modulo the polynomial, by a factor that depends on the length alone; so the checksums of
pieces can be computed apart, in any order. It takes a carry-less multiplication (PCLMULQDQ) and one CRC32 instruction.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t

cdef extern from *:
    """
    #ifndef NAUTILUS_CRC32C_H
    #define NAUTILUS_CRC32C_H
    #include <stddef.h>
    #include <stdint.h>
    #include <string.h>
    #if defined(__x86_64__)
    #include <nmmintrin.h>
    #include <wmmintrin.h>
    #define CRC32C_TARGET __attribute__((target("sse4.2")))
    #define CRC32C_JOIN_TARGET __attribute__((target("sse4.2,pclmul")))
    #endif

    static uint32_t crc32c_table[8][256];
    static int crc32c_instruction, crc32c_joining;

    __attribute__((constructor)) static void crc32c_prepare(void)
    {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t value = i;
            for (int bit = 0; bit < 8; bit++)
                value = (value >> 1) ^ (0x82F63B78u & (0u - (value & 1)));
            crc32c_table[0][i] = value;
        }
        for (int slice = 1; slice < 8; slice++)
            for (int i = 0; i < 256; i++)
                crc32c_table[slice][i] = (crc32c_table[slice - 1][i] >> 8)
                                         ^ crc32c_table[0][crc32c_table[slice - 1][i] & 255];
    #if defined(__x86_64__)
        __builtin_cpu_init();
        crc32c_instruction = __builtin_cpu_supports("sse4.2") != 0;
        crc32c_joining = crc32c_instruction && __builtin_cpu_supports("pclmul") != 0;
    #endif
    }

    static uint32_t crc32c_tables(uint32_t seed, const void *data, size_t length)
    {
        const uint8_t *p = (const uint8_t *)data;
        uint32_t crc = ~seed;
        for (; length >= 8; length -= 8, p += 8) {
            uint32_t low, high;
            memcpy(&low, p, 4);
            memcpy(&high, p + 4, 4);
            low ^= crc;
            crc = crc32c_table[7][low & 255] ^ crc32c_table[6][(low >> 8) & 255]
                ^ crc32c_table[5][(low >> 16) & 255] ^ crc32c_table[4][low >> 24]
                ^ crc32c_table[3][high & 255] ^ crc32c_table[2][(high >> 8) & 255]
                ^ crc32c_table[1][(high >> 16) & 255] ^ crc32c_table[0][high >> 24];
        }
        while (length--)
            crc = (crc >> 8) ^ crc32c_table[0][(crc ^ *p++) & 255];
        return ~crc;
    }

    #if defined(__x86_64__)
    CRC32C_TARGET static uint32_t crc32c_sse42(uint32_t seed, const void *data, size_t length)
    {
        const uint8_t *p = (const uint8_t *)data;
        uint64_t crc = (uint32_t)~seed;
        for (; length >= 8; length -= 8, p += 8) {
            uint64_t word;
            memcpy(&word, p, 8);
            crc = _mm_crc32_u64(crc, word);
        }
        while (length--)
            crc = _mm_crc32_u8((uint32_t)crc, *p++);
        return ~(uint32_t)crc;
    }

    /* To move a register on by `bytes` (8 and more): x^(8 * bytes - 33), of which the product of two reflected numbers
       brings one more, and the CRC32 instruction 32. */
    static uint64_t crc32c_factor(size_t bytes)
    {
        uint32_t value = 0x80000000u;           /* x^0 */
        for (size_t bit = 0; bit < 8 * bytes - 33; bit++)
            value = (value >> 1) ^ (0x82F63B78u & (0u - (value & 1)));
        return value;
    }

    CRC32C_JOIN_TARGET static inline uint64_t crc32c_move(uint64_t crc, uint64_t factor)
    {
        __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc), _mm_cvtsi64_si128((int64_t)factor), 0);
        return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
    }
    #endif

    static uint32_t crc32c_update(uint32_t seed, const void *data, size_t length)
    {
    #if defined(__x86_64__)
        if (crc32c_instruction)
            return crc32c_sse42(seed, data, length);
    #endif
        return crc32c_tables(seed, data, length);
    }
    #endif
    """
    # 1 where the processor's instruction is used; where it can be joined as well.
    int crc32c_instruction
    int crc32c_joining
    # The checksum of `length` bytes, continuing from `seed` (0 to begin).
    uint32_t crc32c_update(uint32_t seed, const void* data, size_t length) noexcept nogil
    # The same by tables alone, whatever the processor has.
    uint32_t crc32c_tables(uint32_t seed, const void* data, size_t length) noexcept nogil
