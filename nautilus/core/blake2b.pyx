"""Python face of BLAKE2b; the operations are in blake2b.pxd."""

from cpython.bytes cimport PyBytes_FromStringAndSize

from nautilus.core.blake2b cimport blake_begin, blake_end, blake_t, blake_take

KEY_BYTES = 64


def blake2b_32(const unsigned char[::1] data not None, const unsigned char[::1] key=None):
    """The hash of 32 bytes of a buffer, with a key of up to 64 bytes or without.

    Raises
    ------
    ValueError
        The key is longer.
    """
    cdef blake_t state
    cdef unsigned char out[32]
    cdef size_t key_bytes = 0 if key is None else key.shape[0]
    if key_bytes > 64:
        raise ValueError(f"blake2b: a key of {key_bytes} bytes, expected 64 or less")
    blake_begin(&state, &key[0] if key_bytes else NULL, key_bytes)
    if data.shape[0]:
        blake_take(&state, &data[0], data.shape[0])
    blake_end(&state, out)
    return PyBytes_FromStringAndSize(<const char*>out, 32)
