"""Reads the head of an HTTP/1.1 request, strictly, in one pass: any thread, no state.

What RFC 9112 lets a lenient reader mend (a bare LF, a folded line, a space before the colon, lengths given twice, a
length beside chunks) is refused: two readers of one stream that mend in different ways are what request smuggling
lives on. Only the origin form of a target is taken, and ``*`` for OPTIONS. A connection needs no parser of its own.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memchr, memcmp

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <string.h>
    static inline const char* find_end(const char* at, size_t size) {
        const char* end = at + size;
        while ((at = (const char*) memchr(at, '\\n', end - at)) != 0) {
            if (end - at >= 3 && at[1] == '\\r' && at[2] == '\\n') return at + 3;
            at++;
        }
        return 0;
    }
    """
    const char* find_end(const char* at, size_t size) noexcept nogil

cdef enum:
    _KEEP_ALIVE = 1
    _CHUNKED = 2
    _EXPECTS = 4
    _UPGRADE = 8
    _OLD = 16
    _HEAD_BYTES = 65536
    _MOST_HEADERS = 256
    NAMES = 256     # kept names: a power of two
    TOKEN = 1       # may be in a name
    TEXT = 2        # may be in a value
    VISIBLE = 4     # may be in a target

INCOMPLETE, MALFORMED, VERSION, TOO_LARGE, CODING = 0, -1, -2, -3, -4
KEEP_ALIVE, CHUNKED, EXPECTS, UPGRADE, OLD = _KEEP_ALIVE, _CHUNKED, _EXPECTS, _UPGRADE, _OLD
HEAD_BYTES, MOST_HEADERS = _HEAD_BYTES, _MOST_HEADERS
METHODS = {name.encode(): name for name in (
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "COPY", "LOCK", "MKCOL", "MOVE",
    "PROPFIND", "PROPPATCH", "SEARCH", "UNLOCK", "BIND", "REBIND", "UNBIND", "ACL", "REPORT", "MKACTIVITY", "CHECKOUT",
    "MERGE", "MKCALENDAR", "LINK", "UNLINK", "SOURCE", "PURGE", "SUBSCRIBE", "UNSUBSCRIBE", "NOTIFY", "QUERY",
)}

cdef dict _METHODS = METHODS
cdef uint8_t KINDS[256]
cdef uint8_t LOWER[256]
# Names that came lately, so that a name is one object however often it comes.
cdef list _names = [b""] * NAMES


cdef int _fill() except -1:
    cdef int at
    for at in range(256):
        KINDS[at] = 0
        LOWER[at] = at + 32 if 65 <= at <= 90 else at
        if 48 <= at <= 57 or 65 <= at <= 90 or 97 <= at <= 122:
            KINDS[at] |= TOKEN
        if at == 9 or 32 <= at <= 126 or at >= 128:
            KINDS[at] |= TEXT
        if 33 <= at <= 126 and at != 35:    # a fragment is never sent
            KINDS[at] |= VISIBLE
    for at in b"!#$%&'*+-.^_`|~":
        KINDS[at] |= TOKEN
    return 0


_fill()


cdef bytes _name_of(const uint8_t* at, Py_ssize_t size):
    """The name in lower case."""
    cdef Py_ssize_t place
    cdef Py_ssize_t slot = (size * 31 + LOWER[at[0]] * 7 + LOWER[at[size - 1]]) & (NAMES - 1)
    cdef bytes known = <bytes> _names[slot]
    cdef const uint8_t* text = <const uint8_t*> PyBytes_AS_STRING(known)
    cdef uint8_t* made
    if PyBytes_GET_SIZE(known) == size:
        place = 0
        while place < size and text[place] == LOWER[at[place]]:
            place += 1
        if place == size:
            return known
    known = PyBytes_FromStringAndSize(NULL, size)
    made = <uint8_t*> PyBytes_AS_STRING(known)
    for place in range(size):
        made[place] = LOWER[at[place]]
    if size <= 64:
        _names[slot] = known
    return known


cdef bint _is(const uint8_t* at, Py_ssize_t size, const char* word, Py_ssize_t length) noexcept nogil:
    """Whether a text is the word, without regard to case."""
    cdef Py_ssize_t place
    if size != length:
        return False
    for place in range(size):
        if LOWER[at[place]] != <uint8_t> word[place]:
            return False
    return True


cdef int _connection(const uint8_t* at, Py_ssize_t size) noexcept nogil:
    """Of a Connection header: 1 close, 2 keep-alive, 4 upgrade."""
    cdef int found = 0
    cdef Py_ssize_t begin = 0, end, last
    while begin < size:
        end = begin
        while end < size and at[end] != 44:
            end += 1
        last = end
        while begin < last and (at[begin] == 32 or at[begin] == 9):
            begin += 1
        while last > begin and (at[last - 1] == 32 or at[last - 1] == 9):
            last -= 1
        if _is(at + begin, last - begin, b"close", 5):
            found |= 1
        elif _is(at + begin, last - begin, b"keep-alive", 10):
            found |= 2
        elif _is(at + begin, last - begin, b"upgrade", 7):
            found |= 4
        begin = end + 1
    return found


cdef bint _sound_beginning(const uint8_t* at, Py_ssize_t size) noexcept nogil:
    """Whether what is there may still become a head: text in upper case first, each LF behind a CR."""
    cdef const uint8_t* end = at + size
    cdef const uint8_t* found = at
    if not 65 <= at[0] <= 90:
        return False
    while found < end:
        found = <const uint8_t*> memchr(found, 10, end - found)
        if found == NULL:
            return True
        if found == at or (found - 1)[0] != 13:
            return False
        found += 1
    return True


def parse_head(bytes data not None, Py_ssize_t start = 0):
    """See the Python face."""
    cdef const uint8_t* base = <const uint8_t*> PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef const uint8_t* at
    cdef const uint8_t* end
    cdef const uint8_t* mark
    cdef const uint8_t* last
    cdef Py_ssize_t length, count = 0
    cdef int64_t declared = -1
    cdef int flags = 0, said = 0, encodings = 0
    cdef bint chunked = False, upgrade = False
    cdef list headers = []
    cdef object method
    cdef bytes target
    if not 0 <= start <= size:
        raise ValueError(f"start: expected 0 to {size}, found {start}")
    # One empty line before a request is passed over (RFC 9112, 2.2).
    if start < size and base[start] == 13:
        if start + 1 == size:
            return INCOMPLETE
        if base[start + 1] != 10:
            return MALFORMED
        start += 2
    if start == size:
        return INCOMPLETE
    at = base + start
    end = <const uint8_t*> find_end(<const char*> at, min(size - start, _HEAD_BYTES))
    if end == NULL:
        if not _sound_beginning(at, min(size - start, _HEAD_BYTES)):
            return MALFORMED
        return TOO_LARGE if size - start >= _HEAD_BYTES else INCOMPLETE

    mark = at
    while 65 <= at[0] <= 90:
        at += 1
    if at[0] != 32 or at - mark > 16:
        return MALFORMED
    method = _METHODS.get(PyBytes_FromStringAndSize(<const char*> mark, at - mark))
    if method is None:
        return MALFORMED
    at += 1
    mark = at
    while KINDS[at[0]] & VISIBLE:
        at += 1
    if at[0] != 32 or at == mark:
        return MALFORMED
    if mark[0] != 47 and not (mark[0] == 42 and at - mark == 1 and method == "OPTIONS"):
        return MALFORMED
    target = PyBytes_FromStringAndSize(<const char*> mark, at - mark)
    at += 1
    if end - at < 12 or memcmp(at, b"HTTP/", 5) != 0 or at[6] != 46 or at[8] != 13 or at[9] != 10:
        return MALFORMED
    if at[5] == 49 and at[7] == 49:
        flags = _KEEP_ALIVE
    elif at[5] == 49 and at[7] == 48:
        flags = _OLD
    elif (at[5] == 48 and at[7] == 57) or (at[5] == 50 and at[7] == 48):
        return VERSION
    else:
        return MALFORMED
    at += 10

    while at[0] != 13:
        mark = at
        while KINDS[at[0]] & TOKEN:
            at += 1
        if at[0] != 58 or at == mark:
            return MALFORMED
        count += 1
        if count > _MOST_HEADERS:
            return TOO_LARGE
        name = _name_of(mark, at - mark)
        length = at - mark
        last = mark
        at += 1
        while at[0] == 32 or at[0] == 9:
            at += 1
        mark, last = at, at
        while KINDS[at[0]] & TEXT:
            if at[0] != 32 and at[0] != 9:
                last = at + 1
            at += 1
        if at[0] != 13 or at[1] != 10:
            return MALFORMED
        at += 2
        value = PyBytes_FromStringAndSize(<const char*> mark, last - mark)
        headers.append((name, value))
        if length == 14 and name == b"content-length":
            # Once, digits alone, and small enough to count.
            if declared >= 0 or not 1 <= last - mark <= 15:
                return MALFORMED
            declared = 0
            while mark < last:
                if not 48 <= mark[0] <= 57:
                    return MALFORMED
                declared = declared * 10 + mark[0] - 48
                mark += 1
        elif length == 17 and name == b"transfer-encoding":
            encodings += 1
            chunked = _is(mark, last - mark, b"chunked", 7)
        elif length == 10 and name == b"connection":
            said |= _connection(mark, last - mark)
        elif length == 6 and name == b"expect":
            if _is(mark, last - mark, b"100-continue", 12) and flags & _KEEP_ALIVE:
                flags |= _EXPECTS
        elif length == 7 and name == b"upgrade":
            upgrade = True
    if at[1] != 10:
        return MALFORMED
    at += 2

    if encodings:
        # A length beside it, several of them, or in HTTP/1.0, which has none: what its sender and others take for
        # the end of the body is not known.
        if encodings > 1 or declared >= 0 or flags & _OLD:
            return MALFORMED
        if not chunked:
            return CODING
        flags |= _CHUNKED
    if flags & _OLD:
        if said & 3 == 2:
            flags |= _KEEP_ALIVE
    elif said & 1:
        flags &= ~_KEEP_ALIVE
    if upgrade and said & 4:
        flags |= _UPGRADE
    return method, target, headers, flags, declared if declared > 0 else 0, at - base
