"""Python face of HMAC-SHA256; the operations are in sha256.pxd."""

from cpython.bytes cimport PyBytes_FromStringAndSize

from nautilus.core.sha256 cimport mac_begin, mac_end, mac_t, sha_take


def hmac_sha256(const unsigned char[::1] key not None, const unsigned char[::1] data not None):
    """The code of 32 bytes of a buffer, with a key of any length."""
    cdef mac_t state
    cdef unsigned char out[32]
    mac_begin(&state, &key[0] if key.shape[0] else NULL, key.shape[0])
    if data.shape[0]:
        sha_take(&state.inner, &data[0], data.shape[0])
    mac_end(&state, out)
    return PyBytes_FromStringAndSize(<const char*>out, 32)
