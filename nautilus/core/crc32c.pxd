"""CRC32C (Castagnoli), as iSCSI, ext4 and most storage formats use it: `crc32c(b"123456789") == 0xE3069283`.

The processor's instruction where it has one (SSE 4.2, checked when the module is loaded), else eight tables
(Kounavis and Berry 2005). A seed continues an earlier value: the checksum of a + b is
`crc32c_update(crc32c_update(0, a), b)`. Reference: RFC 3720, appendix B.4.
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
    #define CRC32C_TARGET __attribute__((target("sse4.2")))
    #endif

    static uint32_t crc32c_table[8][256];
    static int crc32c_instruction;

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
    # 1 where the processor's instruction is used.
    int crc32c_instruction
    # The checksum of `length` bytes, continuing from `seed` (0 to begin).
    uint32_t crc32c_update(uint32_t seed, const void* data, size_t length) noexcept nogil
    # The same by tables alone, whatever the processor has.
    uint32_t crc32c_tables(uint32_t seed, const void* data, size_t length) noexcept nogil
