"""Decoder of raw Bybit order-book logs; the number parsers are in json_lines.pxd."""

import numpy as np

from nautilus.core.types import BOOK_DELTA as _BOOK_DELTA

cimport cython
cimport numpy as cnp
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memset

from nautilus.core.json_lines cimport (
    LARGEST_MILLISECONDS,
    SCAN_BLANK,
    SCAN_JSON,
    SCAN_LARGE,
    SCAN_LEVELS,
    SCAN_LOT,
    SCAN_MISSING,
    SCAN_OK,
    SCAN_REPEATED,
    SCAN_SKIP_STREAM,
    SCAN_SKIP_SYMBOL,
    SCAN_STAMP,
    SCAN_TICK,
    SCAN_VALUE,
    LineFault,
    after_string,
    after_value,
    is_space,
    line_fault,
    parse_steps,
    parse_whole,
    skip_blank,
    span_t,
    step_of,
    unquoted,
)
from nautilus.core.types cimport (
    ACTION_CLEAR,
    ACTION_SET,
    RECORD_LAST,
    RECORD_SNAPSHOT,
    SIDE_BUY,
    SIDE_SELL,
    book_delta_t,
)

cnp.import_array()

LINE = np.dtype([
    ("now_ns", "<i8"), ("venue_ns", "<i8"), ("update_id", "<u8"), ("sequence", "<u8"), ("line", "<i8"),
    ("first", "<u4"), ("count", "<u4"), ("kind", "u1"),
], align=True)
SNAPSHOT, DELTA = BYBIT_SNAPSHOT, BYBIT_DELTA
_NAMES = ("topic", "type", "ts", "cts", "s", "b", "a", "u", "seq")


@cython.final
cdef class BybitBatch:
    pass


cdef inline int key_of(const char* at, Py_ssize_t size, bint inner) noexcept nogil:
    if inner:
        if size == 1:
            if at[0] == c"s": return BYBIT_SYMBOL
            if at[0] == c"b": return BYBIT_BIDS
            if at[0] == c"a": return BYBIT_ASKS
            if at[0] == c"u": return BYBIT_UPDATE
        elif size == 3 and memcmp(at, b"seq", 3) == 0:
            return BYBIT_SEQUENCE
        return -1
    if size == 5 and memcmp(at, b"topic", 5) == 0: return BYBIT_TOPIC
    if size == 4 and memcmp(at, b"type", 4) == 0: return BYBIT_TYPE
    if size == 2 and memcmp(at, b"ts", 2) == 0: return BYBIT_TS
    if size == 3 and memcmp(at, b"cts", 3) == 0: return BYBIT_CTS
    return -1


cdef const char* scan_message(bybit_scan_t* scan, const char* p, const char* end, bint inner) noexcept nogil:
    """Note where the values of the known keys are, those of `data` too; past the closing brace, or NULL."""
    cdef const char* at
    cdef const char* value
    cdef int key
    scan.fault.at = scan.fault.end = p
    p = skip_blank(p + 1, end)
    if p < end and p[0] == c"}":
        return p + 1
    while True:
        p = skip_blank(p, end)
        scan.fault.at = scan.fault.end = p
        if p >= end or p[0] != c'"':
            return NULL
        at = p + 1
        p = after_string(p, end)
        if p == NULL:
            return NULL
        key = key_of(at, p - 1 - at, inner)
        value = p
        p = skip_blank(p, end)
        if p >= end or p[0] != c":":
            return NULL
        p = skip_blank(p + 1, end)
        # Other topics have arrays there, which are passed over.
        if not inner and value - 1 - at == 4 and memcmp(at, b"data", 4) == 0 and p < end and p[0] == c"{":
            p = scan_message(scan, p, end, True)
            if p == NULL:
                return NULL
        else:
            value = p
            p = after_value(p, end)
            if p == NULL:
                return NULL
            if key >= 0:
                if scan.seen >> key & 1:
                    scan.key = key
                    scan.fault.at = value
                    scan.fault.end = p
                    scan.seen |= 1u << BYBIT_KEYS
                    return NULL
                scan.seen |= 1u << key
                scan.fields[key].at = value
                scan.fields[key].end = p
        p = skip_blank(p, end)
        scan.fault.at = scan.fault.end = p
        if p < end and p[0] == c",":
            p += 1
            continue
        if p < end and p[0] == c"}":
            return p + 1
        return NULL


cdef inline int refuse(bybit_scan_t* scan, int status, int key, span_t text) noexcept nogil:
    scan.key = key
    scan.fault = text
    return status


# `self` is never None; the debug build's check for that would need the GIL.
@cython.nonecheck(False)
@cython.final
cdef class BybitDecoder:
    def __init__(self, str price_increment="0.00000001", str lot_size="0.00000001", str symbol="",
                 uint32_t instrument_id=1):
        self.price = step_of("price_increment", price_increment)
        self.lot = step_of("lot_size", lot_size)
        self.price_text = price_increment
        self.lot_text = lot_size
        self.wanted = symbol.encode()
        self.instrument_id = instrument_id

    @property
    def symbol(self):
        return self.wanted.decode("utf-8", "replace")

    def decode(self, bytes block not None):
        """Decode the next whole lines, up to the first faulty one."""
        cdef const char* p = block
        cdef const char* end = p + len(block)
        cdef const char* stop = end
        cdef const char* wanted
        cdef Py_ssize_t size = len(block), wanted_size
        cdef int status = SCAN_OK
        cdef bybit_scan_t scan
        cdef BybitBatch batch = BybitBatch.__new__(BybitBatch)
        if not self.wanted:
            self._adopt(block)
        lines = np.empty(size // 20 + 2, LINE)
        deltas = np.empty(size // 5 + 4, _BOOK_DELTA)
        self.out_lines = <bybit_line_t*>cnp.PyArray_DATA(<cnp.ndarray>lines)
        self.out_deltas = <book_delta_t*>cnp.PyArray_DATA(<cnp.ndarray>deltas)
        self.line_count = self.delta_count = 0
        wanted = self.wanted
        wanted_size = len(self.wanted)
        with nogil:
            while p < end:
                stop = <const char*>memchr(p, c"\n", end - p)
                if stop == NULL:
                    stop = end
                self.lines += 1
                status = self.decode_line(&scan, p, stop, wanted, wanted_size)
                if status < 0:
                    break
                self.topics_skipped += status == SCAN_SKIP_STREAM
                self.symbols_skipped += status == SCAN_SKIP_SYMBOL
                p = stop + 1
        batch.lines = lines[:self.line_count]
        batch.deltas = deltas[:self.delta_count]
        batch.fault = self._fault(&scan, status, p, stop) if status < 0 else None
        return batch

    cdef int decode_line(
        self, bybit_scan_t* scan, const char* p, const char* end, const char* wanted, Py_ssize_t size
    ) noexcept nogil:
        cdef span_t text
        cdef bybit_line_t* line
        cdef uint64_t milliseconds = 0
        cdef uint32_t first = self.delta_count
        cdef const char* rest
        cdef int status, kind
        memset(scan, 0, sizeof(bybit_scan_t))
        scan.key = -1
        while end > p and is_space((end - 1)[0]):
            end -= 1
        p = skip_blank(p, end)
        if p == end:
            return SCAN_BLANK
        if p[0] != c"{":
            return SCAN_STAMP
        rest = scan_message(scan, p, end, False)
        if rest == NULL:
            return SCAN_REPEATED if scan.seen >> BYBIT_KEYS else SCAN_JSON
        if rest != end:
            scan.fault.at = scan.fault.end = rest
            return SCAN_JSON
        if not scan.seen >> BYBIT_TOPIC & 1:
            return SCAN_SKIP_STREAM         # the answer to a subscription
        text = unquoted(scan.fields[BYBIT_TOPIC])
        if text.end - text.at < 10 or memcmp(text.at, b"orderbook.", 10) != 0:
            return SCAN_SKIP_STREAM
        if scan.seen >> BYBIT_SYMBOL & 1:
            text = unquoted(scan.fields[BYBIT_SYMBOL])
            if size == 0 or text.end - text.at != size or memcmp(text.at, wanted, size) != 0:
                return SCAN_SKIP_SYMBOL
        if not scan.seen >> BYBIT_TYPE & 1:
            scan.key = BYBIT_TYPE
            return SCAN_MISSING
        text = unquoted(scan.fields[BYBIT_TYPE])
        if text.end - text.at == 8 and memcmp(text.at, b"snapshot", 8) == 0:
            kind = BYBIT_SNAPSHOT
        elif text.end - text.at == 5 and memcmp(text.at, b"delta", 5) == 0:
            kind = BYBIT_DELTA
        else:
            return refuse(scan, SCAN_VALUE, BYBIT_TYPE, text)
        line = &self.out_lines[self.line_count]
        memset(line, 0, sizeof(bybit_line_t))
        line.kind = kind
        line.line = self.lines
        status = self.whole(scan, BYBIT_TS, &milliseconds)
        if status == SCAN_OK and milliseconds > <uint64_t>LARGEST_MILLISECONDS:
            return refuse(scan, SCAN_LARGE, BYBIT_TS, scan.fields[BYBIT_TS])
        line.now_ns = <int64_t>milliseconds * 1000000
        line.venue_ns = line.now_ns
        if status == SCAN_OK and scan.seen >> BYBIT_CTS & 1:
            status = self.whole(scan, BYBIT_CTS, &milliseconds)
            if status == SCAN_OK and milliseconds > <uint64_t>LARGEST_MILLISECONDS:
                return refuse(scan, SCAN_LARGE, BYBIT_CTS, scan.fields[BYBIT_CTS])
            line.venue_ns = <int64_t>milliseconds * 1000000
        if status == SCAN_OK: status = self.whole(scan, BYBIT_UPDATE, &line.update_id)
        if status == SCAN_OK and scan.seen >> BYBIT_SEQUENCE & 1:
            status = self.whole(scan, BYBIT_SEQUENCE, &line.sequence)
        if status == SCAN_OK: status = self.levels(scan, BYBIT_BIDS, SIDE_BUY, line)
        if status == SCAN_OK: status = self.levels(scan, BYBIT_ASKS, SIDE_SELL, line)
        if status != SCAN_OK:
            self.delta_count = first
            return status
        line.first = first
        line.count = self.delta_count - first
        if line.count:
            self.out_deltas[self.delta_count - 1].flags |= RECORD_LAST
        self.line_count += 1
        return SCAN_OK

    cdef int whole(self, bybit_scan_t* scan, int key, uint64_t* value) noexcept nogil:
        cdef int status
        if not scan.seen >> key & 1:
            scan.key = key
            return SCAN_MISSING
        status = parse_whole(scan.fields[key], value)
        return SCAN_OK if status == SCAN_OK else refuse(scan, status, key, scan.fields[key])

    cdef int levels(self, bybit_scan_t* scan, int key, int side, bybit_line_t* line) noexcept nogil:
        """`[["price","quantity"],...]`: one SET each; a snapshot's side begins with CLEAR."""
        cdef const char* p
        cdef const char* end
        cdef span_t text
        cdef book_delta_t* delta
        cdef int part, status
        cdef bint clear = line.kind == BYBIT_SNAPSHOT
        if not scan.seen >> key & 1:
            scan.key = key
            return SCAN_MISSING
        p = scan.fields[key].at
        end = scan.fields[key].end
        text.at = p
        text.end = end
        if p[0] != c"[":
            return refuse(scan, SCAN_LEVELS, key, text)
        p = skip_blank(p + 1, end)
        while True:
            if not clear and p < end and p[0] == c"]":
                return SCAN_OK if p + 1 == end else refuse(scan, SCAN_LEVELS, key, text)
            delta = &self.out_deltas[self.delta_count]
            self.delta_count += 1
            delta.now_ns = line.now_ns
            delta.venue_ns = line.venue_ns
            delta.update_id = line.update_id
            delta.order_id = 0
            delta.price_ticks = delta.quantity = 0
            delta.instrument_id = self.instrument_id
            delta.side = side
            delta.action = ACTION_CLEAR if clear else ACTION_SET
            delta.flags = RECORD_SNAPSHOT if line.kind == BYBIT_SNAPSHOT else 0
            if clear:
                clear = False
                continue
            if p >= end or p[0] != c"[":
                return refuse(scan, SCAN_LEVELS, key, text)
            p = skip_blank(p + 1, end)
            for part in range(2):
                text.at = p
                p = after_value(p, end)
                if p == NULL:
                    text.end = end
                    return refuse(scan, SCAN_LEVELS, key, text)
                text.end = p
                if part == 0:
                    status = parse_steps(unquoted(text), self.price, SCAN_TICK, &delta.price_ticks)
                else:
                    status = parse_steps(unquoted(text), self.lot, SCAN_LOT, &delta.quantity)
                if status != SCAN_OK:
                    return refuse(scan, status, key, text)
                p = skip_blank(p, end)
                if p >= end or p[0] != (c"," if part == 0 else c"]"):
                    return refuse(scan, SCAN_LEVELS, key, text)
                p = skip_blank(p + 1, end)
            if p < end and p[0] == c",":
                p = skip_blank(p + 1, end)
                if p < end and p[0] == c"]":
                    return refuse(scan, SCAN_LEVELS, key, text)
            elif p >= end or p[0] != c"]":
                return refuse(scan, SCAN_LEVELS, key, text)

    def _adopt(self, bytes block):
        """Take the first symbol met."""
        cdef const char* p = block
        cdef const char* end = p + len(block)
        cdef const char* stop
        cdef bybit_scan_t scan
        cdef span_t name
        while p < end:
            stop = <const char*>memchr(p, c"\n", end - p)
            if stop == NULL:
                stop = end
            p = skip_blank(p, stop)
            memset(&scan, 0, sizeof(bybit_scan_t))
            if p < stop and p[0] == c"{" and scan_message(&scan, p, stop, False) != NULL \
                    and scan.seen >> BYBIT_SYMBOL & 1 and scan.seen >> BYBIT_TOPIC & 1:
                name = unquoted(scan.fields[BYBIT_SYMBOL])
                if name.end > name.at and (name.at - 1)[0] == c'"':
                    self.wanted = name.at[:name.end - name.at]
                    return
            p = stop + 1

    cdef LineFault _fault(self, bybit_scan_t* scan, int status, const char* line, const char* line_end):
        return line_fault(
            status, self.lines, _NAMES[scan.key] if 0 <= scan.key < BYBIT_KEYS else "", scan.fault, line, line_end,
            "one JSON object a line", "snapshot or delta", self.price_text, self.lot_text,
        )
