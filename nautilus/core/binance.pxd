"""Hot decoder of raw Binance WebSocket logs: a receive stamp and one JSON object a line.

The lines are read by key, in any order, with unknown keys passed over; nothing is copied and no float is made. Prices
and quantities are decimal texts that become whole numbers of increments and lots, exactly or not at all
(`nautilus.core.json_lines`).
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from nautilus.core.json_lines cimport (
    SCAN_JSON,
    LineFault,
    after_string,
    after_value,
    skip_blank,
    span_t,
    step_t,
    unquoted,
)
from nautilus.core.types cimport book_delta_t, quote_t, trade_t

cdef extern from *:
    """
    #ifndef NAUTILUS_BINANCE_LINE
    #define NAUTILUS_BINANCE_LINE
    #include <stdint.h>
    typedef struct binance_line_t {
        int64_t now_ns, venue_ns;
        uint64_t first_id, last_id, previous_id;    /* U, u, pu; of a snapshot lastUpdateId in last_id */
        int64_t line;
        uint32_t first, count;                      /* its records in the array of its kind */
        uint8_t kind, marks, reserved[6];
    } binance_line_t;
    #endif
    """
    ctypedef struct binance_line_t:
        int64_t now_ns
        int64_t venue_ns
        uint64_t first_id
        uint64_t last_id
        uint64_t previous_id
        int64_t line
        uint32_t first
        uint32_t count
        uint8_t kind
        uint8_t marks

cdef enum:
    LINE_QUOTE = 1
    LINE_TRADE = 2
    LINE_DIFF = 3
    LINE_SNAPSHOT = 4

# binance_line_t.marks: what tells the two products apart.
cdef enum:
    MARK_FUTURES = 1
    MARK_SPOT = 2
    MARK_PREVIOUS = 4           # a diff with pu

# Positions of the known keys in scan_t.fields.
cdef enum:
    KEY_EVENT           # e
    KEY_EVENT_TIME      # E
    KEY_TIME            # T
    KEY_SYMBOL          # s
    KEY_FIRST           # U
    KEY_LAST            # u
    KEY_PREVIOUS        # pu
    KEY_BID             # b
    KEY_BID_QUANTITY    # B
    KEY_ASK             # a
    KEY_ASK_QUANTITY    # A
    KEY_TRADE           # t
    KEY_PRICE           # p
    KEY_QUANTITY        # q
    KEY_MAKER           # m
    KEY_IGNORED         # M, in spot trades only
    KEY_EXECUTION       # X, in futures trades only
    KEY_SNAPSHOT        # lastUpdateId
    KEY_BIDS            # bids
    KEY_ASKS            # asks
    KEY_STREAM          # stream
    KEY_DATA            # data
    KEYS
    KEY_UNKNOWN = 99

ctypedef struct scan_t:
    span_t fields[KEYS]
    uint32_t seen               # bit per key
    int key                     # of the fault, KEY_UNKNOWN where it belongs to none
    span_t fault
    bint wrapped


cdef inline bint has(scan_t* scan, int key) noexcept nogil:
    return (scan.seen >> key) & 1


cdef inline int fail(scan_t* scan, int status, int key, span_t text) noexcept nogil:
    scan.key = key
    scan.fault = text
    return status


cdef inline int broken(scan_t* scan, const char* at) noexcept nogil:
    """Malformed JSON at a place."""
    scan.key = KEY_UNKNOWN
    scan.fault.at = scan.fault.end = at
    return SCAN_JSON


cdef inline int known_key(const char* at, Py_ssize_t length) noexcept nogil:
    if length == 1:
        if at[0] == c"e": return KEY_EVENT
        if at[0] == c"E": return KEY_EVENT_TIME
        if at[0] == c"T": return KEY_TIME
        if at[0] == c"s": return KEY_SYMBOL
        if at[0] == c"U": return KEY_FIRST
        if at[0] == c"u": return KEY_LAST
        if at[0] == c"b": return KEY_BID
        if at[0] == c"B": return KEY_BID_QUANTITY
        if at[0] == c"a": return KEY_ASK
        if at[0] == c"A": return KEY_ASK_QUANTITY
        if at[0] == c"t": return KEY_TRADE
        if at[0] == c"p": return KEY_PRICE
        if at[0] == c"q": return KEY_QUANTITY
        if at[0] == c"m": return KEY_MAKER
        if at[0] == c"M": return KEY_IGNORED
        if at[0] == c"X": return KEY_EXECUTION
        return KEY_UNKNOWN
    if length == 2 and memcmp(at, b"pu", 2) == 0: return KEY_PREVIOUS
    if length == 12 and memcmp(at, b"lastUpdateId", 12) == 0: return KEY_SNAPSHOT
    if length == 4:
        if memcmp(at, b"data", 4) == 0: return KEY_DATA
        if memcmp(at, b"bids", 4) == 0: return KEY_BIDS
        if memcmp(at, b"asks", 4) == 0: return KEY_ASKS
    if length == 6 and memcmp(at, b"stream", 6) == 0: return KEY_STREAM
    return KEY_UNKNOWN


cdef inline const char* scan_object(scan_t* scan, const char* p, const char* end, bint inner) noexcept nogil:
    """Note where the values of the known keys are. `p` is at the opening brace; past the closing one, or NULL.

    The caller reads a fault from `scan`. `data` of a combined stream is entered, once.
    """
    cdef const char* key_at
    cdef const char* value
    cdef int key
    cdef bint wanted
    p += 1
    p = skip_blank(p, end)
    if p < end and p[0] == c"}":
        return p + 1
    while True:
        p = skip_blank(p, end)
        if p >= end or p[0] != c'"':
            broken(scan, p)
            return NULL
        key_at = p + 1
        value = after_string(p, end)
        if value == NULL:
            broken(scan, p)
            return NULL
        key = known_key(key_at, value - 1 - key_at)
        p = value
        p = skip_blank(p, end)
        if p >= end or p[0] != c":":
            broken(scan, p)
            return NULL
        p += 1
        p = skip_blank(p, end)
        if p >= end:
            broken(scan, p)
            return NULL
        value = p
        if key == KEY_DATA and not inner and p[0] == c"{":
            scan.wrapped = True
            # Fields beside `data` belong to the wrapper; only its stream name matters.
            scan.seen &= 1u << KEY_STREAM
            p = scan_object(scan, p, end, True)
            if p == NULL:
                return NULL
        else:
            p = after_value(p, end)
            if p == NULL:
                broken(scan, value)
                return NULL
            if key == KEY_STREAM or key == KEY_DATA:
                wanted = not inner
            else:
                wanted = key != KEY_UNKNOWN and (inner or not scan.wrapped)
            if wanted:
                if has(scan, key):
                    scan.key = key
                    scan.fault.at = value
                    scan.fault.end = p
                    scan.seen |= 1u << KEYS
                    return NULL
                scan.seen |= 1u << key
                scan.fields[key].at = value
                scan.fields[key].end = p
        p = skip_blank(p, end)
        if p < end and p[0] == c",":
            p += 1
            continue
        if p < end and p[0] == c"}":
            return p + 1
        broken(scan, p)
        return NULL


cdef inline bint is_text(scan_t* scan, int key, const char* text, Py_ssize_t length) noexcept nogil:
    cdef span_t inside
    if not has(scan, key):
        return False
    inside = unquoted(scan.fields[key])
    return inside.end - inside.at == length and memcmp(inside.at, text, length) == 0


cdef inline bint is_array(scan_t* scan, int key) noexcept nogil:
    return has(scan, key) and scan.fields[key].at[0] == c"["


cdef inline bint is_partial_depth(scan_t* scan) noexcept nogil:
    """A stream of whole top levels, named like `btcusdt@depth20@100ms`: no diffs, though they look alike."""
    cdef span_t name
    cdef const char* p
    if not has(scan, KEY_STREAM):
        return False
    name = scan.fields[KEY_STREAM]
    p = name.at
    while name.end - p >= 7:
        if p[0] == c"@" and memcmp(p, b"@depth", 6) == 0:
            return p[6] >= c"0" and p[6] <= c"9"
        p += 1
    return False


cdef class BinanceBatch:
    cdef readonly object lines
    cdef readonly object quotes
    cdef readonly object trades
    cdef readonly object deltas
    cdef readonly object fault


cdef class BinanceDecoder:
    cdef step_t price
    cdef step_t lot
    cdef str price_text
    cdef str lot_text
    cdef bytes wanted
    cdef const char* wanted_at
    cdef Py_ssize_t wanted_length
    cdef uint32_t instrument_id
    cdef int64_t last_now
    cdef readonly int64_t lines
    cdef readonly int64_t streams_skipped
    cdef readonly int64_t symbols_skipped
    cdef readonly int64_t void_trades
    cdef readonly int64_t stamps_raised
    # Where the block being decoded goes.
    cdef binance_line_t* out_lines
    cdef quote_t* out_quotes
    cdef trade_t* out_trades
    cdef book_delta_t* out_deltas
    cdef uint32_t line_count
    cdef uint32_t quote_count
    cdef uint32_t trade_count
    cdef uint32_t delta_count

    cdef int decode_block(self, scan_t* scan, const char** cursor, const char** stop, const char* end) noexcept nogil
    cdef int decode_line(self, scan_t* scan, const char* p, const char* end) noexcept nogil
    cdef int build(self, scan_t* scan) noexcept nogil
    cdef int whole(self, scan_t* scan, int key, uint64_t* value) noexcept nogil
    cdef int steps(self, scan_t* scan, int key, bint price, int64_t* value) noexcept nogil
    cdef int venue_time(self, scan_t* scan, int64_t* venue_ns) noexcept nogil
    cdef binance_line_t* begin(self, int kind, int64_t venue_ns) noexcept nogil
    cdef int build_quote(self, scan_t* scan) noexcept nogil
    cdef int build_trade(self, scan_t* scan) noexcept nogil
    cdef int build_diff(self, scan_t* scan) noexcept nogil
    cdef int build_snapshot(self, scan_t* scan) noexcept nogil
    cdef void end_book(self, binance_line_t* line, uint32_t first) noexcept nogil
    cdef book_delta_t* next_delta(self, int side, int action, int64_t venue_ns, uint64_t update_id, int flags) noexcept nogil
    cdef int levels(self, scan_t* scan, int key, int side, int64_t venue_ns, uint64_t update_id, int flags) noexcept nogil
    cdef LineFault _fault(self, scan_t* scan, int status, const char* line, const char* line_end)
