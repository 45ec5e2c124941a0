"""Python face of the audit log's chain; the layout is in audit_chain.pxd."""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from nautilus.core.audit_chain cimport AUDIT_HASH, AUDIT_HEAD, audit_anchor_t, audit_head_t, audit_size
from nautilus.core.blake2b cimport blake_begin, blake_end, blake_t, blake_take, same_32

cdef extern from *:
    """
    #define audit_store_size(to, value) __atomic_store_n((uint32_t *)(to), (value), __ATOMIC_RELEASE)
    #define audit_store_sequence(to, value) __atomic_store_n(&(to)->sequence, (value), __ATOMIC_RELEASE)
    /* What is stored from here on is not seen before what was stored until here. */
    #define audit_stores_in_order() __atomic_thread_fence(__ATOMIC_RELEASE)
    """
    void audit_store_size(uint8_t* to, uint32_t value) noexcept nogil
    void audit_store_sequence(audit_anchor_t* to, uint64_t value) noexcept nogil
    void audit_stores_in_order() noexcept nogil

MAGIC = b"NAUDIT01"
ANCHOR_MAGIC = b"NANCHOR1"
ANCHOR_BYTES = 8 + 2 * sizeof(audit_anchor_t)
HEAD_BYTES = AUDIT_HEAD
HASH_BYTES = AUDIT_HASH
CALL, BEGIN, END, GAP = 0, 1, 2, 3
LONGEST_NAME = 0xFFFF
LONGEST_TARGET = 1 << 20


cdef class Chain:
    """One writer. Appends records to a mapped file, and tells the last one in a mapped anchor.

    Parameters
    ----------
    anchor : writable buffer
        `ANCHOR_BYTES` that begin with `ANCHOR_MAGIC`.
    sequence, hash : int, bytes
        Of the record before; 0 and 32 zeros: there is none.
    """

    def __cinit__(self, anchor, uint64_t sequence=0, bytes hash=bytes(32)):
        cdef Py_buffer view
        if len(hash) != AUDIT_HASH or len(anchor) != ANCHOR_BYTES:
            raise ValueError(f"Chain: a hash of {len(hash)} bytes and an anchor of {len(anchor)}")
        self.sequence = sequence
        memcpy(self.hash, PyBytes_AS_STRING(hash), AUDIT_HASH)
        PyObject_GetBuffer(anchor, &view, PyBUF_WRITABLE)
        self.anchors = <audit_anchor_t*>(<uint8_t*>view.buf + 8)
        PyBuffer_Release(&view)
        self.held = [anchor, None]

    def write_to(self, buffer, size_t start, size_t end):
        """Go on in a mapped file, from `start` on, as far as `end`."""
        cdef Py_buffer view
        if not start <= end <= <size_t>len(buffer) or start % 8:
            raise ValueError(f"Chain: {start} to {end} of {len(buffer)} bytes")
        PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
        self.start = <uint8_t*>view.buf
        PyBuffer_Release(&view)
        self.held[1] = buffer
        self.at, self.end = self.start + start, self.start + end

    def leave(self):
        """Let the mapped file go; there is no room until the next one."""
        self.at = self.end = self.start = NULL
        self.held[1] = None

    def extend(self, size_t end):
        """There is more room behind, up to `end`."""
        if self.held[1] is None or end > <size_t>len(self.held[1]):
            raise ValueError(f"Chain: no room up to {end}")
        self.end = self.start + end

    @property
    def used(self):
        """Where the next record goes."""
        return self.at - self.start

    @property
    def hash(self):
        """Of the last record."""
        return PyBytes_FromStringAndSize(<const char*>self.hash, AUDIT_HASH)

    def append(self, str principal not None, str method not None, bytes target not None, bytes digest not None,
               int status, str trace not None, int64_t now_ns, int kind=0):
        """One record.

        Parameters
        ----------
        digest : bytes
            32 bytes, or none.
        trace : str
            Up to 32 hexadecimal digits; others count as 0.

        Returns
        -------
        bool
            False: there is no room for it here.

        Raises
        ------
        ValueError
            A name, target or digest that is longer than it may be, or a status that is none.
        """
        cdef Py_ssize_t who, how, what = PyBytes_GET_SIZE(target), hashed = PyBytes_GET_SIZE(digest), traced
        cdef const char* whose = PyUnicode_AsUTF8AndSize(principal, &who)
        cdef const char* done = PyUnicode_AsUTF8AndSize(method, &how)
        cdef const char* trail = PyUnicode_AsUTF8AndSize(trace, &traced)
        cdef size_t size
        cdef audit_head_t head
        cdef uint8_t* to = self.at
        cdef uint8_t* names
        cdef blake_t state
        cdef audit_anchor_t* anchor
        cdef Py_ssize_t i
        if who > 0xFFFF or how > 0xFFFF or what > 1 << 20 or (hashed and hashed != 32):
            raise ValueError(f"Chain.append: {who}, {how}, {what} and {hashed} bytes")
        if not (0 <= status <= 0xFFFF and 0 <= kind <= 0xFFFF):
            raise ValueError(f"Chain.append: status {status}, kind {kind}; expected 0 to {0xFFFF}")
        size = audit_size(<size_t>(who + how + what))
        if to == NULL or <size_t>(self.end - to) < size:
            return False
        memset(&head, 0, sizeof(head))
        head.size, head.kind, head.status = <uint32_t>size, <uint16_t>kind, <uint16_t>status
        head.sequence, head.now_ns = self.sequence + 1, now_ns
        head.principal, head.method, head.target = <uint16_t>who, <uint16_t>how, <uint32_t>what
        if hashed:
            memcpy(head.digest, PyBytes_AS_STRING(digest), 32)
        if traced <= 32:
            for i in range(traced):
                head.trace[i // 2] |= <uint8_t>(_digit(<uint8_t>trail[i]) << (0 if i % 2 else 4))
        blake_begin(&state, NULL, 0)
        blake_take(&state, self.hash, AUDIT_HASH)
        blake_take(&state, &head, AUDIT_HEAD)
        memcpy(to + 4, <uint8_t*>&head + 4, AUDIT_HEAD - 4)
        names = to + AUDIT_HEAD
        memcpy(names, whose, who)
        memcpy(names + who, done, how)
        memcpy(names + who + how, PyBytes_AS_STRING(target), what)
        blake_take(&state, names, size - AUDIT_HEAD - AUDIT_HASH)
        blake_end(&state, self.hash)
        memcpy(to + size - AUDIT_HASH, self.hash, AUDIT_HASH)
        audit_store_size(to, <uint32_t>size)
        self.sequence += 1
        self.at = to + size
        anchor = &self.anchors[self.sequence & 1]
        # A reader that comes in between takes the other place: this one is told again when it is whole.
        audit_store_sequence(anchor, 0)
        audit_stores_in_order()
        memcpy(anchor.hash, self.hash, AUDIT_HASH)
        audit_store_sequence(anchor, self.sequence)
        return True


def walk(const unsigned char[::1] content not None, uint64_t sequence, bytes hash not None, size_t start=8):
    """Follow the records of a file.

    Parameters
    ----------
    sequence, hash
        Of the record before the first one.

    Returns
    -------
    tuple
        Where it ends, sequence and hash of the last record, and what is wrong there: "" (nothing but zeros follow),
        "size", "sequence", "names" or "hash" (a record that is not the next one), "torn" (no size, and yet something).
    """
    cdef size_t at = start, end = content.shape[0], size, names
    cdef const uint8_t* data = &content[0] if end else NULL
    cdef audit_head_t head
    cdef blake_t state
    cdef uint8_t last[32]
    cdef uint8_t found[32]
    cdef str wrong = ""
    if len(hash) != 32:
        raise ValueError(f"walk: a hash of {len(hash)} bytes")
    memcpy(last, PyBytes_AS_STRING(hash), 32)
    while at + 4 <= end:
        memcpy(&head.size, data + at, 4)
        if head.size == 0:
            break
        size = head.size
        if size % 8 or size < audit_size(0) or size > end - at:
            wrong = "size"
            break
        memcpy(&head, data + at, AUDIT_HEAD)
        names = <size_t>head.principal + head.method + head.target
        if audit_size(names) != size:
            wrong = "names"
            break
        blake_begin(&state, NULL, 0)
        blake_take(&state, last, 32)
        blake_take(&state, data + at, size - 32)
        blake_end(&state, found)
        if not same_32(found, data + at + size - 32):
            wrong = "hash"
            break
        if head.sequence != sequence + 1:
            wrong = "sequence"
            break
        memcpy(last, found, 32)
        sequence += 1
        at += size
    else:
        if at != end:
            wrong = "size"
    if not wrong and _is_used(data + at, end - at):
        wrong = "torn"
    return at, sequence, PyBytes_FromStringAndSize(<const char*>last, 32), wrong


cdef bint _is_used(const uint8_t* data, size_t size) noexcept:
    cdef size_t i
    for i in range(size):
        if data[i]:
            return True
    return False


cdef inline uint8_t _digit(uint8_t letter) noexcept:
    if 48 <= letter <= 57:
        return letter - 48
    if 97 <= letter <= 102:
        return letter - 87
    return letter - 55 if 65 <= letter <= 70 else 0
