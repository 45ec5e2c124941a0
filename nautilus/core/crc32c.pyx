"""CRC32C of buffers, as journal and snapshots use it."""


def crc32c(const unsigned char[::1] data not None, uint32_t seed=0, *, bint tables=False):
    """CRC32C of `data`.

    Parameters
    ----------
    data : buffer
        Contiguous bytes.
    seed : int
        The checksum of what came before; 0 to begin.
    tables : bool
        Compute by tables even where the processor has an instruction.

    Returns
    -------
    int
        0 to 2^32 - 1.
    """
    cdef const unsigned char* start = NULL
    cdef size_t length = data.shape[0]
    cdef uint32_t value
    if length:
        start = &data[0]
    with nogil:
        value = crc32c_tables(seed, start, length) if tables else crc32c_update(seed, start, length)
    return value


def hardware():
    """True where the processor's instruction is used."""
    return bool(crc32c_instruction)
