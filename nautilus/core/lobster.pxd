"""Hot decoder of LOBSTER files: one message a line, and one row of the order book's first levels a line."""

from libc.stdint cimport int8_t, int64_t, uint8_t

cdef extern from *:
    """
    #ifndef NAUTILUS_LOBSTER_MESSAGE
    #define NAUTILUS_LOBSTER_MESSAGE
    #include <stdint.h>
    typedef struct lobster_message_t {
        int64_t time_ns, order_id, quantity, price;
        uint8_t kind;
        int8_t direction;
        uint8_t reserved[6];
    } lobster_message_t;
    static const int64_t LOBSTER_LARGEST = 1LL << 62;
    #endif
    """
    const int64_t LOBSTER_LARGEST
    ctypedef struct lobster_message_t:
        int64_t time_ns
        int64_t order_id
        int64_t quantity
        int64_t price
        uint8_t kind
        int8_t direction

cdef enum:
    MESSAGE_ADD = 1
    MESSAGE_REDUCE = 2
    MESSAGE_DELETE = 3
    MESSAGE_EXECUTE = 4
    MESSAGE_EXECUTE_HIDDEN = 5
    MESSAGE_CROSS = 6           # auction print: no order of the book
    MESSAGE_HALT = 7            # trading halted (price -1), quoting (0) or trading (1) resumed

cdef enum:
    CSV_OK = 0
    CSV_NUMBER = -1
    CSV_COLUMNS = -2
    CSV_VALUE = -3
    CSV_ORDER = -4


cdef inline int parse_signed(const char** cursor, const char* end, int64_t* value) noexcept nogil:
    """A whole number up to 2^62 in size at the cursor, which moves past it. CSV_OK or CSV_NUMBER."""
    cdef const char* p = cursor[0]
    cdef const char* first
    cdef int64_t total = 0
    cdef bint negative = p < end and p[0] == c"-"
    if negative:
        p += 1
    first = p
    while p < end and p[0] >= c"0" and p[0] <= c"9":
        if total > LOBSTER_LARGEST // 10 - 1:
            return CSV_NUMBER
        total = total * 10 + (p[0] - c"0")
        p += 1
    if p == first:
        return CSV_NUMBER
    cursor[0] = p
    value[0] = -total if negative else total
    return CSV_OK


cdef inline int parse_seconds(const char** cursor, const char* end, int64_t* time_ns) noexcept nogil:
    """Seconds after midnight with decimals, at the cursor, as nanoseconds; finer decimals are cut off."""
    cdef const char* p
    cdef int64_t seconds, fraction = 0
    cdef int left = 9
    if cursor[0] < end and cursor[0][0] == c"-":
        return CSV_NUMBER
    if parse_signed(cursor, end, &seconds) != CSV_OK or seconds >= 172800:
        return CSV_NUMBER
    p = cursor[0]
    if p < end and p[0] == c".":
        p += 1
        while p < end and p[0] >= c"0" and p[0] <= c"9":
            if left:
                fraction = fraction * 10 + (p[0] - c"0")
                left -= 1
            p += 1
    while left:
        fraction *= 10
        left -= 1
    cursor[0] = p
    time_ns[0] = seconds * 1000000000 + fraction
    return CSV_OK
