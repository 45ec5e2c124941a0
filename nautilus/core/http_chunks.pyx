"""One thread at a time. Bodies in chunks (RFC 9112 7.1), strictly read: where one ends is never a matter of taste."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy, strchr

TOO_LARGE, MALFORMED = -1, -2
ERRORS = {
    -1: "extensions and trailers without end",
    -2: "chunks that RFC 9112 does not allow",
}

cdef enum:
    TOO_MUCH = -1
    BAD_CHUNK = -2
    MOST_DIGITS = 15
    MOST_OVERHEAD = 65536
    MOST_SIZE_LINE = MOST_DIGITS + 4      # with the line end of the chunk before


cdef bint is_text(uint8_t c) noexcept nogil:
    return c == 9 or (c >= 32 and c != 127)


cdef bint is_name(uint8_t c) noexcept nogil:
    return (
        c"a" <= c <= c"z" or c"A" <= c <= c"Z" or c"0" <= c <= c"9" or (c != 0 and strchr(b"!#$%&'*+-.^_`|~", c) != NULL)
    )


cdef enum:
    AT_SIZE = 0            # digits of a chunk's size
    AT_EXTENSION
    AT_SIZE_LF
    AT_DATA
    AT_DATA_CR
    AT_DATA_LF
    AT_TRAILER             # at the beginning of a line
    IN_TRAILER
    AT_TRAILER_LF
    AT_END_LF
    AT_END


cdef int digit_of(uint8_t c) noexcept nogil:
    if c"0" <= c <= c"9":
        return c - c"0"
    if c"a" <= c <= c"f":
        return c - c"a" + 10
    if c"A" <= c <= c"F":
        return c - c"A" + 10
    return -1


@cython.final
cdef class ChunkReader:

    def feed(self, bytes data):
        cdef const uint8_t* start = <const uint8_t*>PyBytes_AS_STRING(data)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data), at = 0, some, out = 0
        cdef bytes whole = None
        cdef char* to = NULL
        cdef uint8_t c
        cdef int digit
        self.rest = 0
        while at < size and self._state != AT_END:
            c = start[at]
            if self._state == AT_DATA:
                some = size - at
                if some > self._left:
                    some = self._left
                if to == NULL:
                    whole = PyBytes_FromStringAndSize(NULL, size - at)
                    to = PyBytes_AS_STRING(whole)
                memcpy(to + out, start + at, some)
                out += some
                at += some
                self._left -= some
                if self._left == 0:
                    self._state = AT_DATA_CR
                continue
            at += 1
            # What is neither body nor end cannot go on for ever, however small its parts.
            self._overhead += 1
            if self._overhead > MOST_OVERHEAD:
                return TOO_MUCH
            if self._state == AT_SIZE:
                digit = digit_of(c)
                if digit >= 0:
                    self._digits += 1
                    if self._digits > MOST_DIGITS:
                        return BAD_CHUNK
                    self._left = self._left << 4 | digit
                elif self._digits == 0:
                    return BAD_CHUNK
                elif c == c";":
                    self._state = AT_EXTENSION
                elif c == c"\r":
                    self._state = AT_SIZE_LF
                else:
                    return BAD_CHUNK
            elif self._state == AT_EXTENSION:
                if c == c"\r":
                    self._state = AT_SIZE_LF
                elif not is_text(c):
                    return BAD_CHUNK
            elif self._state == AT_SIZE_LF:
                if c != c"\n":
                    return BAD_CHUNK
                self._state = AT_DATA if self._left else AT_TRAILER
                if self._left:
                    self._overhead = self._overhead - MOST_SIZE_LINE if self._overhead > MOST_SIZE_LINE else 0
            elif self._state == AT_DATA_CR:
                if c != c"\r":
                    return BAD_CHUNK
                self._state = AT_DATA_LF
            elif self._state == AT_DATA_LF:
                if c != c"\n":
                    return BAD_CHUNK
                self._state = AT_SIZE
                self._digits = 0
            elif self._state == AT_TRAILER:
                if c == c"\r":
                    self._state = AT_END_LF
                elif is_name(c):
                    self._state = IN_TRAILER
                else:
                    return BAD_CHUNK
            elif self._state == IN_TRAILER:
                if c == c"\r":
                    self._state = AT_TRAILER_LF
                elif not is_text(c):
                    return BAD_CHUNK
            elif self._state == AT_TRAILER_LF:
                if c != c"\n":
                    return BAD_CHUNK
                self._state = AT_TRAILER
            elif self._state == AT_END_LF:
                if c != c"\n":
                    return BAD_CHUNK
                self._state = AT_END
                self.done = True
        self.rest = size - at
        if whole is None:
            return b""
        return whole if out == PyBytes_GET_SIZE(whole) else whole[:out]
