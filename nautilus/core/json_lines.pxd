"""What decoders of logs of JSON lines share: where strings and values end, numbers exactly or not at all, faults in words.

One thread at a time. Nothing is copied and no float is made.
"""

from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    #ifndef NAUTILUS_JSON_LINES
    #define NAUTILUS_JSON_LINES
    #include <stdint.h>
    #define LARGEST_TENTH 922337203685477579LL          /* ten of it and a digit fit 64 bits */
    #define LARGEST_MILLISECONDS 9223372036854LL        /* as nanoseconds they fit 64 bits */
    #endif
    """
    const int64_t LARGEST_TENTH
    const int64_t LARGEST_MILLISECONDS

cdef enum:
    SCAN_OK = 0
    SCAN_SKIP_STREAM = 1        # another stream: counted
    SCAN_SKIP_SYMBOL = 2        # another symbol: counted
    SCAN_SKIP_VOID = 3          # a trade of nothing (price or quantity 0): counted
    SCAN_BLANK = 4
    SCAN_STAMP = -1
    SCAN_JSON = -2
    SCAN_MISSING = -3
    SCAN_NUMBER = -4
    SCAN_DECIMAL = -5
    SCAN_TICK = -6
    SCAN_LOT = -7
    SCAN_LARGE = -8
    SCAN_LEVELS = -9
    SCAN_REPEATED = -10
    SCAN_VALUE = -11            # none of those that may be

ctypedef struct span_t:
    const char* at
    const char* end

# A step in 10^-decimals, as a whole number: 0.5 is (5, 1).
ctypedef struct step_t:
    int64_t mantissa
    int decimals


cdef inline bint is_space(char c) noexcept nogil:
    return c == c" " or c == c"\t" or c == c"\r"


cdef inline int parse_whole(span_t text, uint64_t* value) noexcept nogil:
    """Digits alone, below 2^63. SCAN_OK or SCAN_NUMBER."""
    cdef uint64_t total = 0
    cdef const char* p = text.at
    if p == text.end or text.end - p > 19:
        return SCAN_NUMBER
    while p < text.end:
        if p[0] < c"0" or p[0] > c"9":
            return SCAN_NUMBER
        total = total * 10 + <uint64_t>(p[0] - c"0")
        p += 1
    if total > <uint64_t>0x7FFFFFFFFFFFFFFF:
        return SCAN_NUMBER
    value[0] = total
    return SCAN_OK


cdef inline int parse_steps(span_t text, step_t step, int not_multiple, int64_t* value) noexcept nogil:
    """A decimal text without sign or exponent as a whole number of steps; `not_multiple` where it is none."""
    cdef int64_t total = 0
    cdef int left = step.decimals
    cdef const char* p = text.at
    cdef bint point = False, digits = False
    while p < text.end:
        if p[0] >= c"0" and p[0] <= c"9":
            digits = True
            if point and left == 0:
                if p[0] != c"0":
                    # Finer than the step; still, what follows has to be digits.
                    while p < text.end:
                        if p[0] < c"0" or p[0] > c"9":
                            return SCAN_DECIMAL
                        p += 1
                    return not_multiple
            else:
                if total > LARGEST_TENTH:
                    return SCAN_LARGE
                total = total * 10 + (p[0] - c"0")
                left -= point
        elif p[0] == c"." and digits and not point:
            point = True
            digits = False
        else:
            return SCAN_DECIMAL
        p += 1
    if not digits:
        return SCAN_DECIMAL
    while left > 0:
        if total > LARGEST_TENTH:
            return SCAN_LARGE
        total *= 10
        left -= 1
    if step.mantissa != 1:
        if total % step.mantissa:
            return not_multiple
        total = total // step.mantissa
    value[0] = total
    return SCAN_OK


cdef inline const char* skip_blank(const char* p, const char* end) noexcept nogil:
    while p < end and is_space(p[0]):
        p += 1
    return p


cdef inline const char* after_string(const char* p, const char* end) noexcept nogil:
    """Past the closing quote of a string whose opening quote is at `p`; NULL where there is none."""
    p += 1
    while p < end and p[0] != c'"':
        p += 2 if p[0] == c"\\" else 1
    return p + 1 if p < end else NULL


cdef inline const char* after_value(const char* p, const char* end) noexcept nogil:
    """Past the JSON value that begins at `p`; NULL where it does not end. Brackets are counted, not paired."""
    cdef int64_t open = 0
    cdef const char* start = p
    while p < end:
        if p[0] == c'"':
            p = after_string(p, end)
            if p == NULL:
                return NULL
        elif p[0] == c"[" or p[0] == c"{":
            open += 1
            p += 1
        elif p[0] == c"]" or p[0] == c"}":
            if open == 0:
                return p if p > start else NULL
            open -= 1
            p += 1
        elif open == 0 and (p[0] == c"," or is_space(p[0])):
            return p if p > start else NULL
        else:
            p += 1
            continue
        if open == 0:
            return p
    return NULL


cdef inline span_t unquoted(span_t text) noexcept nogil:
    """The inside of a string; a bare number as it is."""
    if text.end - text.at >= 2 and text.at[0] == c'"' and (text.end - 1)[0] == c'"':
        text.at += 1
        text.end -= 1
    return text


cdef class LineFault:
    cdef readonly int64_t line
    cdef readonly str what
    cdef readonly str expected


cdef step_t step_of(str name, str text) except *
cdef LineFault line_fault(
    int status, int64_t number, str field, span_t text, const char* line, const char* end, str begins, str values,
    str price, str lot,
)
