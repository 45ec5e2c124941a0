"""Python face of the reader of signatures; the rules are in signature.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.tuple cimport PyTuple_Check, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memchr, memcpy

from nautilus.core.blake2b cimport blake_begin, blake_end, blake_settle, blake_t, blake_take, same_32
from nautilus.core.sha256 cimport mac_begin, mac_end, mac_t, sha_take
from nautilus.core.signature cimport (
    SIGNED_DIGEST,
    SIGNED_KEY,
    SIGNED_NONCE,
    SIGNED_TIME,
    signed_read,
    signed_t,
)
from nautilus.core.throttle cimport Throttle, throttle_claim, throttle_dated

READ, UNREADABLE, UNKNOWN, WRONG = range(4)


cdef class SigningKey:
    """What signatures of one key are checked with.

    Parameters
    ----------
    secret : bytes
        32 bytes, of which signatures are made.
    number : int
        Of the key in the throttle.
    """

    def __cinit__(self, bytes secret not None, uint64_t number):
        if len(secret) != 32:
            raise ValueError(f"SigningKey: {len(secret)} bytes, expected 32")
        self.number = number
        # The key fills the first block: it is taken in once.
        blake_begin(&self.state, <const unsigned char*>PyBytes_AS_STRING(secret), 32)
        blake_settle(&self.state)
        mac_begin(&self.mac, <const unsigned char*>PyBytes_AS_STRING(secret), 32)


cdef class Verifier:
    """Reads a signed request and checks it, one after the other; not for two threads at once."""

    def check(self, bytes header not None, bytes method not None, bytes target not None, dict keys not None):
        """Read a header, find its key, and check its signature.

        Parameters
        ----------
        keys : dict
            Id to a tuple that ends with the `SigningKey`.

        Returns
        -------
        int
            READ: it is right, see `key`. UNREADABLE: it is not as it has to be, or method or target hold a line end.
            UNKNOWN: there is no such key. WRONG: the signature is.
        """
        cdef unsigned char found[32]
        cdef signed_t* said = &self.said
        self.header, self.key = header, None
        if (signed_read(<const unsigned char*>PyBytes_AS_STRING(header), PyBytes_GET_SIZE(header), said) != 0
                or memchr(PyBytes_AS_STRING(method), 10, PyBytes_GET_SIZE(method)) != NULL
                or memchr(PyBytes_AS_STRING(target), 10, PyBytes_GET_SIZE(target)) != NULL):
            self.header = None
            return UNREADABLE
        self.key = keys.get(PyUnicode_DecodeASCII(
            <const char*>said.at[<int>SIGNED_KEY], said.length[<int>SIGNED_KEY], NULL))
        if self.key is None:
            return UNKNOWN
        if said.algorithm:
            _mac_of(_signing(self.key), method, target, said, found)
        else:
            _blake_of(_signing(self.key), method, target, said, found)
        return READ if same_32(found, said.signature) else WRONG

    def dated(self, Throttle throttle not None, int64_t now_ns):
        """What `claim` has to say of the time alone: ACCEPTED, LATE or EARLY."""
        return throttle_dated(throttle.table, self.said.stamp_ms * 1_000_000, now_ns)

    def claim(self, Throttle throttle not None, int64_t now_ns):
        """Take the nonce of the request that was read last; as `Throttle.claim`."""
        cdef SigningKey signing = _signing(self.key)
        return throttle_claim(
            throttle.table, signing.number, self.said.at[<int>SIGNED_NONCE], self.said.length[<int>SIGNED_NONCE],
            self.said.stamp_ms * 1_000_000, now_ns)

    def has_digest(self, bytes digest not None):
        """Whether it says this one of the body."""
        return PyBytes_GET_SIZE(digest) == 32 and same_32(<const unsigned char*>PyBytes_AS_STRING(digest),
                                                         self.said.digest)

    @property
    def algorithm(self):
        """Of the request that was read last."""
        return self.said.algorithm

    @property
    def digest(self):
        """What it says of the body."""
        return PyBytes_FromStringAndSize(<const char*>self.said.digest, 32)


def read_signature(bytes header not None, bytes method not None, bytes target not None):
    """What a header says, and the message that its signature is of.

    Returns
    -------
    tuple or None
        Key, algorithm (0 blake2b, 1 hmac-sha256), milliseconds, nonce, digest and signature (32 bytes each), message
        (method, target, digest, time stamp and nonce, a line end between two). None: the header is not as it has to be,
        or method or target hold a line end.
    """
    cdef signed_t found
    cdef Py_ssize_t methods = PyBytes_GET_SIZE(method), targets = PyBytes_GET_SIZE(target)
    cdef size_t size
    cdef char* to
    cdef bytes message
    if (signed_read(<const unsigned char*>PyBytes_AS_STRING(header), PyBytes_GET_SIZE(header), &found) != 0
            or memchr(PyBytes_AS_STRING(method), 10, methods) != NULL
            or memchr(PyBytes_AS_STRING(target), 10, targets) != NULL):
        return None
    size = methods + targets + 64 + found.length[<int>SIGNED_TIME] + found.length[<int>SIGNED_NONCE] + 4
    message = PyBytes_FromStringAndSize(NULL, size)
    to = _line(PyBytes_AS_STRING(message), PyBytes_AS_STRING(method), methods)
    to = _line(to, PyBytes_AS_STRING(target), targets)
    to = _line(to, <const char*>found.at[<int>SIGNED_DIGEST], 64)
    to = _line(to, <const char*>found.at[<int>SIGNED_TIME], found.length[<int>SIGNED_TIME])
    memcpy(to, found.at[<int>SIGNED_NONCE], found.length[<int>SIGNED_NONCE])
    return (
        PyUnicode_DecodeASCII(<const char*>found.at[<int>SIGNED_KEY], found.length[<int>SIGNED_KEY], NULL),
        found.algorithm,
        found.stamp_ms,
        PyBytes_FromStringAndSize(<const char*>found.at[<int>SIGNED_NONCE], found.length[<int>SIGNED_NONCE]),
        PyBytes_FromStringAndSize(<const char*>found.digest, 32),
        PyBytes_FromStringAndSize(<const char*>found.signature, 32),
        message,
    )


cdef void _blake_of(SigningKey signing, bytes method, bytes target, const signed_t* said, unsigned char* found) noexcept:
    cdef blake_t state = signing.state
    cdef char line = 10
    blake_take(&state, PyBytes_AS_STRING(method), PyBytes_GET_SIZE(method))
    blake_take(&state, &line, 1)
    blake_take(&state, PyBytes_AS_STRING(target), PyBytes_GET_SIZE(target))
    blake_take(&state, &line, 1)
    blake_take(&state, said.at[<int>SIGNED_DIGEST], 64)
    blake_take(&state, &line, 1)
    blake_take(&state, said.at[<int>SIGNED_TIME], said.length[<int>SIGNED_TIME])
    blake_take(&state, &line, 1)
    blake_take(&state, said.at[<int>SIGNED_NONCE], said.length[<int>SIGNED_NONCE])
    blake_end(&state, found)


cdef void _mac_of(SigningKey signing, bytes method, bytes target, const signed_t* said, unsigned char* found) noexcept:
    cdef mac_t state = signing.mac
    cdef char line = 10
    sha_take(&state.inner, PyBytes_AS_STRING(method), PyBytes_GET_SIZE(method))
    sha_take(&state.inner, &line, 1)
    sha_take(&state.inner, PyBytes_AS_STRING(target), PyBytes_GET_SIZE(target))
    sha_take(&state.inner, &line, 1)
    sha_take(&state.inner, said.at[<int>SIGNED_DIGEST], 64)
    sha_take(&state.inner, &line, 1)
    sha_take(&state.inner, said.at[<int>SIGNED_TIME], said.length[<int>SIGNED_TIME])
    sha_take(&state.inner, &line, 1)
    sha_take(&state.inner, said.at[<int>SIGNED_NONCE], said.length[<int>SIGNED_NONCE])
    mac_end(&state, found)


cdef inline SigningKey _signing(object key):
    if not PyTuple_Check(key) or PyTuple_GET_SIZE(key) == 0:
        raise TypeError(f"Verifier: {type(key).__name__}, expected a tuple that ends with a SigningKey")
    return <SigningKey?>(<object>PyTuple_GET_ITEM(key, PyTuple_GET_SIZE(key) - 1))


cdef inline char* _line(char* to, const char* source, size_t size) noexcept:
    memcpy(to, source, size)
    to[size] = 10
    return to + size + 1
