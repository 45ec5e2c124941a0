"""Hot decoder of raw Bybit order-book logs: one JSON message a line, snapshots and deltas of levels.

Source: Bybit API v5, "Orderbook" stream. `u` counts up by one a message, a snapshot begins anew; `seq` is of the engine.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from nautilus.core.json_lines cimport LineFault, span_t, step_t
from nautilus.core.types cimport book_delta_t

cdef extern from *:
    """
    #ifndef NAUTILUS_BYBIT_LINE
    #define NAUTILUS_BYBIT_LINE
    #include <stdint.h>
    typedef struct bybit_line_t {
        int64_t now_ns, venue_ns;                   /* ts: sent by the gateway; cts: of the matching engine */
        uint64_t update_id, sequence;
        int64_t line;
        uint32_t first, count;
        uint8_t kind, reserved[7];
    } bybit_line_t;
    #endif
    """
    ctypedef struct bybit_line_t:
        int64_t now_ns
        int64_t venue_ns
        uint64_t update_id
        uint64_t sequence
        int64_t line
        uint32_t first
        uint32_t count
        uint8_t kind

cdef enum:
    BYBIT_SNAPSHOT = 1
    BYBIT_DELTA = 2

# Positions of the known keys.
cdef enum:
    BYBIT_TOPIC
    BYBIT_TYPE
    BYBIT_TS
    BYBIT_CTS
    BYBIT_SYMBOL
    BYBIT_BIDS
    BYBIT_ASKS
    BYBIT_UPDATE
    BYBIT_SEQUENCE
    BYBIT_KEYS

ctypedef struct bybit_scan_t:
    span_t fields[BYBIT_KEYS]
    uint32_t seen
    int key
    span_t fault


cdef class BybitBatch:
    cdef readonly object lines
    cdef readonly object deltas
    cdef readonly object fault


cdef class BybitDecoder:
    cdef step_t price
    cdef step_t lot
    cdef str price_text
    cdef str lot_text
    cdef bytes wanted
    cdef uint32_t instrument_id
    cdef readonly int64_t lines
    cdef readonly int64_t topics_skipped
    cdef readonly int64_t symbols_skipped
    cdef bybit_line_t* out_lines
    cdef book_delta_t* out_deltas
    cdef uint32_t line_count
    cdef uint32_t delta_count
    cdef int decode_line(self, bybit_scan_t* scan, const char* p, const char* end, const char* wanted, Py_ssize_t size) noexcept nogil
    cdef int levels(self, bybit_scan_t* scan, int key, int side, bybit_line_t* line) noexcept nogil
    cdef int whole(self, bybit_scan_t* scan, int key, uint64_t* value) noexcept nogil
    cdef LineFault _fault(self, bybit_scan_t* scan, int status, const char* line, const char* line_end)
