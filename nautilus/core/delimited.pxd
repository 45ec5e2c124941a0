"""Decoder of delimited text: columns of whole numbers, decimals, floats, times and text, a block of lines at a time."""

from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memchr, memcmp

# What a column holds.
cdef enum:
    FIELD_SKIP = 0
    FIELD_WHOLE = 1             # int64
    FIELD_DECIMAL = 2           # int64 in 10^-decimals
    FIELD_FLOAT = 3             # float64, its bits in the int64
    FIELD_TEXT = 4              # place in the block: start * 2^32 + length
    FIELD_TIME = 5              # nanoseconds since 1970, of the zone named in the field or else of none

# Why a row is refused.
cdef enum:
    FIELD_OK = 0
    FIELD_COUNT = 1
    FIELD_EMPTY = 2
    FIELD_NUMBER = 3
    FIELD_FINER = 4
    FIELD_LARGE = 5
    FIELD_CLOCK = 6
    FIELD_QUOTE = 7
    FIELD_ENCODING = 8

cdef enum:
    MOST_FIELDS = 4096

cdef extern from *:
    """
    #ifndef NAUTILUS_DELIMITED
    #define NAUTILUS_DELIMITED
    #include <stdint.h>
    typedef struct field_t { const char *at, *end; } field_t;
    typedef struct number_t {
        int64_t mantissa;
        int decimals;           /* the value is mantissa * 10^-decimals; may be negative */
        uint8_t whole, exponent, cut, half;     /* cut: digits of the fraction; half: from a 5 on */
    } number_t;
    typedef struct profile_t {
        int64_t missing, whole, decimal, exponent, time, zoned, days, dates, text, first_text;
        int64_t decimals, longest;
        double smallest, largest;
    } profile_t;
    #endif
    """
    ctypedef struct field_t:
        const char* at
        const char* end
    ctypedef struct number_t:
        int64_t mantissa
        int decimals
        uint8_t whole
        uint8_t exponent
        uint8_t cut
        uint8_t half
    ctypedef struct profile_t:
        int64_t missing
        int64_t whole
        int64_t decimal
        int64_t exponent
        int64_t time
        int64_t zoned
        int64_t days
        int64_t dates
        int64_t text
        int64_t first_text
        int64_t decimals
        int64_t longest
        double smallest
        double largest


cdef inline bint digit(const char* p) noexcept nogil:
    return p[0] >= c"0" and p[0] <= c"9"


cdef inline bint is_missing(field_t text) noexcept nogil:
    """An empty field, or one of the words that stand for nothing."""
    cdef Py_ssize_t size = text.end - text.at
    if size == 0:
        return True
    if size == 3 and (memcmp(text.at, b"NaN", 3) == 0 or memcmp(text.at, b"nan", 3) == 0
                      or memcmp(text.at, b"NAN", 3) == 0 or memcmp(text.at, b"N/A", 3) == 0):
        return True
    if size == 2 and memcmp(text.at, b"NA", 2) == 0:
        return True
    return size == 4 and (memcmp(text.at, b"null", 4) == 0 or memcmp(text.at, b"NULL", 4) == 0
                          or memcmp(text.at, b"None", 4) == 0)


cdef inline int two(const char* p) noexcept nogil:
    return (p[0] - c"0") * 10 + (p[1] - c"0") if digit(p) and digit(p + 1) else -1


cdef inline const char* line_end(const char* p, const char* end, const char** next_line) noexcept nogil:
    """The end of the line without its carriage return; where the next one begins."""
    cdef const char* stop = <const char*>memchr(p, c"\n", end - p)
    if stop == NULL:
        stop = end
    next_line[0] = stop + 1
    while stop > p and (stop - 1)[0] == c"\r":
        stop -= 1
    return stop


cdef class DelimitedDecoder:
    cdef char delimiter
    cdef readonly int fields
    cdef uint8_t kinds[MOST_FIELDS]
    cdef int decimals[MOST_FIELDS]
    cdef uint8_t optional[MOST_FIELDS]
    cdef uint8_t rounded[MOST_FIELDS]
    cdef readonly int64_t lines
    cdef readonly int64_t rows
    cdef readonly int64_t roundings
    cdef readonly int64_t zoned
    cdef readonly int64_t comments
    cdef int one(self, const char* p, const char* end, const char* block, int64_t* out, int64_t stride, field_t* bad) noexcept nogil


cdef class DelimitedBatch:
    cdef readonly bytes block
    cdef readonly object values
    cdef readonly object lines
    cdef readonly object faults
    cdef readonly int64_t refused


cdef class DelimitedProfiler:
    cdef char delimiter
    cdef readonly int fields
    cdef readonly int64_t lines
    cdef readonly int64_t rows
    cdef readonly int64_t odd
    cdef readonly object columns
    cdef void one(self, const char* p, const char* end, profile_t* columns) noexcept nogil
