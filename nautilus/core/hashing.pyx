"""XXH64 of buffers made of whole 8-byte words, as the kernel's hashes use it."""


def xxh64(const unsigned char[::1] data not None):
    """XXH64 (seed 0) of `data`.

    Raises ValueError where the length is not a multiple of 8 bytes: every record and state word is.
    """
    if data.shape[0] % 8:
        raise ValueError(f"xxh64: expected a multiple of 8 bytes, found {data.shape[0]}")
    if data.shape[0] == 0:
        return xxh64_words(NULL, 0)
    return xxh64_words(&data[0], data.shape[0] // 8)
