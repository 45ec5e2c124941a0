"""XXH64 of buffers made of whole 8-byte words, as the kernel's hashes use it."""

from libc.stddef cimport size_t
from libc.stdint cimport uint64_t


def xxh64(const unsigned char[::1] data not None, *, bint vectors=True):
    """XXH64 (seed 0) of `data`.

    vectors: whole records of 128 bytes by the processor's vector instructions, where it has them; the value is the same.
    Raises ValueError where the length is not a multiple of 8 bytes: every record and state word is.
    """
    cdef xxh64_t hash
    cdef const uint64_t* start
    cdef size_t words, records, whole
    if data.shape[0] % 8:
        raise ValueError(f"xxh64: expected a multiple of 8 bytes, found {data.shape[0]}")
    if data.shape[0] == 0:
        return xxh64_words(NULL, 0)
    if not vectors:
        return xxh64_words(&data[0], data.shape[0] // 8)
    start = <const uint64_t*>&data[0]
    words = data.shape[0] // 8
    records = words // 16
    whole = words & ~<size_t>3
    xxh64_open(&hash)
    xxh64_records(&hash, start, records)
    xxh64_stripes(&hash, start + records * 16, whole - records * 16)
    return xxh64_value(&hash, start + whole, words - whole)
