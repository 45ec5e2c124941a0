"""Decoder of raw Binance WebSocket logs; the number parsers are in json_lines.pxd."""

import numpy as np

from nautilus.core.types import BOOK_DELTA as _BOOK_DELTA
from nautilus.core.types import QUOTE as _QUOTE
from nautilus.core.types import TRADE as _TRADE

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
    SCAN_SKIP_VOID,
    SCAN_STAMP,
    SCAN_TICK,
    SCAN_VALUE,
    LineFault,
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
    quote_t,
    trade_t,
)

cnp.import_array()

LINE = np.dtype([
    ("now_ns", "<i8"),
    ("venue_ns", "<i8"),
    ("first_id", "<u8"),
    ("last_id", "<u8"),
    ("previous_id", "<u8"),
    ("line", "<i8"),
    ("first", "<u4"),
    ("count", "<u4"),
    ("kind", "u1"),
    ("marks", "u1"),
], align=True)
globals().update(
    LINE_QUOTE=LINE_QUOTE, LINE_TRADE=LINE_TRADE, LINE_DIFF=LINE_DIFF, LINE_SNAPSHOT=LINE_SNAPSHOT,
    MARK_FUTURES=MARK_FUTURES, MARK_SPOT=MARK_SPOT, MARK_PREVIOUS=MARK_PREVIOUS,
)

_NAMES = (
    "e", "E", "T", "s", "U", "u", "pu", "b", "B", "a", "A", "t", "p", "q", "m", "M", "X", "lastUpdateId", "bids",
    "asks", "stream", "data",
)


@cython.final
cdef class BinanceBatch:
    pass


# `self` is never None; the debug build's check for that would need the GIL.
@cython.nonecheck(False)
@cython.final
cdef class BinanceDecoder:
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

    def decode(self, bytes block):
        cdef const char* start = block
        cdef Py_ssize_t size = len(block)
        cdef const char* end = start + size
        cdef const char* p = start
        cdef const char* stop = end
        cdef int status = SCAN_OK
        cdef scan_t scan
        cdef BinanceBatch batch = BinanceBatch.__new__(BinanceBatch)
        # The most that so many bytes can hold; pages that are not written to are never committed.
        lines = np.empty(size // 20 + 2, LINE)
        quotes = np.empty(size // 30 + 2, _QUOTE)
        trades = np.empty(size // 30 + 2, _TRADE)
        deltas = np.empty(size // 5 + 4, _BOOK_DELTA)
        self.out_lines = <binance_line_t*>cnp.PyArray_DATA(<cnp.ndarray>lines)
        self.out_quotes = <quote_t*>cnp.PyArray_DATA(<cnp.ndarray>quotes)
        self.out_trades = <trade_t*>cnp.PyArray_DATA(<cnp.ndarray>trades)
        self.out_deltas = <book_delta_t*>cnp.PyArray_DATA(<cnp.ndarray>deltas)
        self.line_count = self.quote_count = self.trade_count = self.delta_count = 0
        if size and not self.wanted:
            self._adopt_symbol(block)
        self.wanted_at = <const char*>self.wanted
        self.wanted_length = len(self.wanted)
        with nogil:
            status = self.decode_block(&scan, &p, &stop, end)
        batch.lines = lines[:self.line_count]
        batch.quotes = quotes[:self.quote_count]
        batch.trades = trades[:self.trade_count]
        batch.deltas = deltas[:self.delta_count]
        batch.fault = None
        if status < 0:
            batch.fault = self._fault(&scan, status, p, stop)
        return batch

    cdef int decode_block(
        self, scan_t* scan, const char** cursor, const char** stop, const char* end
    ) noexcept nogil:
        """Lines up to `end` or to the first fault, at which `cursor` and `stop` are left."""
        cdef const char* p = cursor[0]
        cdef int status = SCAN_OK
        while p < end:
            stop[0] = <const char*>memchr(p, c"\n", end - p)
            if stop[0] == NULL:
                stop[0] = end
            self.lines += 1
            status = self.decode_line(scan, p, stop[0])
            if status < 0:
                break
            if status == SCAN_SKIP_STREAM:
                self.streams_skipped += 1
            elif status == SCAN_SKIP_SYMBOL:
                self.symbols_skipped += 1
            elif status == SCAN_SKIP_VOID:
                self.void_trades += 1
            p = stop[0] + 1
        cursor[0] = p
        return status

    cdef int decode_line(self, scan_t* scan, const char* p, const char* end) noexcept nogil:
        """One line without its end; its records are added, or a status tells why not."""
        cdef span_t stamp
        cdef uint64_t now
        cdef const char* rest
        scan.seen = 0
        scan.wrapped = False
        scan.key = KEY_UNKNOWN
        while end > p and is_space((end - 1)[0]):
            end -= 1
        stamp.at = p
        if p == end:
            return SCAN_BLANK
        while p < end and p[0] >= c"0" and p[0] <= c"9":
            p += 1
        stamp.end = p
        if p == end or not is_space(p[0]) or parse_whole(stamp, &now) != SCAN_OK:
            return SCAN_STAMP
        p = skip_blank(p, end)
        if p == end or p[0] != c"{":
            return SCAN_STAMP
        rest = scan_object(scan, p, end, False)
        if rest == NULL:
            return SCAN_REPEATED if scan.seen >> KEYS else SCAN_JSON
        if rest != end:
            return broken(scan, rest)
        if <int64_t>now < self.last_now:
            self.stamps_raised += 1
        else:
            self.last_now = now
        return self.build(scan)

    cdef int build(self, scan_t* scan) noexcept nogil:
        """Tell the kind of line and add its records."""
        if has(scan, KEY_SYMBOL) and not is_text(scan, KEY_SYMBOL, self.wanted_at, self.wanted_length):
            return SCAN_SKIP_SYMBOL
        if has(scan, KEY_SNAPSHOT):
            if scan.wrapped:
                return SCAN_SKIP_STREAM     # partial depth of the spot market
            return self.build_snapshot(scan)
        if has(scan, KEY_EVENT):
            if is_text(scan, KEY_EVENT, b"depthUpdate", 11):
                return SCAN_SKIP_STREAM if is_partial_depth(scan) else self.build_diff(scan)
            if is_text(scan, KEY_EVENT, b"bookTicker", 10):
                return self.build_quote(scan)
            if is_text(scan, KEY_EVENT, b"trade", 5):
                return self.build_trade(scan)
            return SCAN_SKIP_STREAM
        if (has(scan, KEY_LAST) and has(scan, KEY_BID) and has(scan, KEY_BID_QUANTITY) and has(scan, KEY_ASK)
                and has(scan, KEY_ASK_QUANTITY) and not is_array(scan, KEY_BID)):
            return self.build_quote(scan)   # the spot market's bookTicker has no `e`
        return SCAN_SKIP_STREAM

    cdef int whole(self, scan_t* scan, int key, uint64_t* value) noexcept nogil:
        cdef int status
        if not has(scan, key):
            scan.key = key
            return SCAN_MISSING
        status = parse_whole(scan.fields[key], value)
        if status != SCAN_OK:
            return fail(scan, status, key, scan.fields[key])
        return SCAN_OK

    cdef int steps(self, scan_t* scan, int key, bint price, int64_t* value) noexcept nogil:
        cdef int status
        if not has(scan, key):
            scan.key = key
            return SCAN_MISSING
        if price:
            status = parse_steps(unquoted(scan.fields[key]), self.price, SCAN_TICK, value)
        else:
            status = parse_steps(unquoted(scan.fields[key]), self.lot, SCAN_LOT, value)
        if status != SCAN_OK:
            return fail(scan, status, key, scan.fields[key])
        return SCAN_OK

    cdef int venue_time(self, scan_t* scan, int64_t* venue_ns) noexcept nogil:
        """Transaction time T, else event time E, else 0; milliseconds in the log."""
        cdef uint64_t milliseconds = 0
        cdef int key = KEY_TIME if has(scan, KEY_TIME) else KEY_EVENT_TIME
        cdef int status
        venue_ns[0] = 0
        if not has(scan, key):
            return SCAN_OK
        status = self.whole(scan, key, &milliseconds)
        if status != SCAN_OK:
            return status
        if <int64_t>milliseconds > LARGEST_MILLISECONDS:
            return fail(scan, SCAN_LARGE, key, scan.fields[key])
        venue_ns[0] = <int64_t>milliseconds * 1000000
        return SCAN_OK

    cdef binance_line_t* begin(self, int kind, int64_t venue_ns) noexcept nogil:
        """The next line record, counted only once its build is complete."""
        cdef binance_line_t* line = &self.out_lines[self.line_count]
        memset(line, 0, sizeof(binance_line_t))
        line.now_ns = self.last_now
        line.venue_ns = venue_ns
        line.line = self.lines
        line.kind = kind
        line.count = 1
        return line

    cdef int build_quote(self, scan_t* scan) noexcept nogil:
        cdef quote_t* quote = &self.out_quotes[self.quote_count]
        cdef binance_line_t* line
        cdef int status
        memset(quote, 0, sizeof(quote_t))
        status = self.venue_time(scan, &quote.venue_ns)
        if status == SCAN_OK: status = self.whole(scan, KEY_LAST, &quote.update_id)
        if status == SCAN_OK: status = self.steps(scan, KEY_BID, True, &quote.bid_ticks)
        if status == SCAN_OK: status = self.steps(scan, KEY_BID_QUANTITY, False, &quote.bid_quantity)
        if status == SCAN_OK: status = self.steps(scan, KEY_ASK, True, &quote.ask_ticks)
        if status == SCAN_OK: status = self.steps(scan, KEY_ASK_QUANTITY, False, &quote.ask_quantity)
        if status != SCAN_OK:
            return status
        quote.now_ns = self.last_now
        quote.instrument_id = self.instrument_id
        quote.flags = RECORD_LAST
        line = self.begin(LINE_QUOTE, quote.venue_ns)
        line.last_id = quote.update_id
        line.first = self.quote_count
        line.marks = MARK_FUTURES if has(scan, KEY_EVENT) else MARK_SPOT
        self.quote_count += 1
        self.line_count += 1
        return SCAN_OK

    cdef int build_trade(self, scan_t* scan) noexcept nogil:
        cdef trade_t* trade = &self.out_trades[self.trade_count]
        cdef binance_line_t* line
        cdef span_t maker
        cdef int status
        memset(trade, 0, sizeof(trade_t))
        status = self.venue_time(scan, &trade.venue_ns)
        if status == SCAN_OK: status = self.whole(scan, KEY_TRADE, &trade.trade_id)
        if status == SCAN_OK: status = self.steps(scan, KEY_PRICE, True, &trade.price_ticks)
        if status == SCAN_OK: status = self.steps(scan, KEY_QUANTITY, False, &trade.quantity)
        if status != SCAN_OK:
            return status
        if not has(scan, KEY_MAKER):
            scan.key = KEY_MAKER
            return SCAN_MISSING
        # `m`: the buyer was the maker, so the seller was the aggressor.
        maker = scan.fields[KEY_MAKER]
        if maker.end - maker.at == 4 and memcmp(maker.at, b"true", 4) == 0:
            trade.side = SIDE_SELL
        elif maker.end - maker.at == 5 and memcmp(maker.at, b"false", 5) == 0:
            trade.side = SIDE_BUY
        else:
            return fail(scan, SCAN_VALUE, KEY_MAKER, maker)
        if trade.quantity == 0 or trade.price_ticks == 0:
            return SCAN_SKIP_VOID
        trade.now_ns = self.last_now
        trade.instrument_id = self.instrument_id
        trade.flags = RECORD_LAST
        line = self.begin(LINE_TRADE, trade.venue_ns)
        line.last_id = trade.trade_id
        line.first = self.trade_count
        if has(scan, KEY_EXECUTION):
            line.marks = MARK_FUTURES
        elif has(scan, KEY_IGNORED):
            line.marks = MARK_SPOT
        self.trade_count += 1
        self.line_count += 1
        return SCAN_OK

    cdef int build_diff(self, scan_t* scan) noexcept nogil:
        cdef int64_t venue_ns = 0
        cdef uint64_t first_id = 0, last_id = 0, previous_id = 0
        cdef uint32_t first = self.delta_count
        cdef binance_line_t* line
        cdef int status = self.venue_time(scan, &venue_ns)
        if status == SCAN_OK: status = self.whole(scan, KEY_FIRST, &first_id)
        if status == SCAN_OK: status = self.whole(scan, KEY_LAST, &last_id)
        if status == SCAN_OK and has(scan, KEY_PREVIOUS):
            status = self.whole(scan, KEY_PREVIOUS, &previous_id)
        if status == SCAN_OK: status = self.levels(scan, KEY_BID, SIDE_BUY, venue_ns, last_id, 0)
        if status == SCAN_OK: status = self.levels(scan, KEY_ASK, SIDE_SELL, venue_ns, last_id, 0)
        if status != SCAN_OK:
            self.delta_count = first
            return status
        line = self.begin(LINE_DIFF, venue_ns)
        line.first_id = first_id
        line.last_id = last_id
        line.previous_id = previous_id
        line.marks = MARK_FUTURES | MARK_PREVIOUS if has(scan, KEY_PREVIOUS) else MARK_SPOT
        self.end_book(line, first)
        return SCAN_OK

    cdef int build_snapshot(self, scan_t* scan) noexcept nogil:
        cdef int64_t venue_ns = 0
        cdef uint64_t last_id = 0
        cdef uint32_t first = self.delta_count
        cdef binance_line_t* line
        cdef int status = self.venue_time(scan, &venue_ns)
        if status == SCAN_OK: status = self.whole(scan, KEY_SNAPSHOT, &last_id)
        if status == SCAN_OK: status = self.levels(scan, KEY_BIDS, SIDE_BUY, venue_ns, last_id, RECORD_SNAPSHOT)
        if status == SCAN_OK: status = self.levels(scan, KEY_ASKS, SIDE_SELL, venue_ns, last_id, RECORD_SNAPSHOT)
        if status != SCAN_OK:
            self.delta_count = first
            return status
        line = self.begin(LINE_SNAPSHOT, venue_ns)
        line.last_id = last_id
        if has(scan, KEY_TIME):
            line.marks = MARK_FUTURES
        self.end_book(line, first)
        return SCAN_OK

    cdef void end_book(self, binance_line_t* line, uint32_t first) noexcept nogil:
        line.first = first
        line.count = self.delta_count - first
        if line.count:
            self.out_deltas[self.delta_count - 1].flags |= RECORD_LAST
        self.line_count += 1

    cdef book_delta_t* next_delta(
        self, int side, int action, int64_t venue_ns, uint64_t update_id, int flags
    ) noexcept nogil:
        cdef book_delta_t* delta = &self.out_deltas[self.delta_count]
        self.delta_count += 1
        delta.now_ns = self.last_now
        delta.venue_ns = venue_ns
        delta.update_id = update_id
        delta.order_id = 0
        delta.price_ticks = delta.quantity = 0
        delta.instrument_id = self.instrument_id
        delta.side = side
        delta.action = action
        delta.flags = flags
        return delta

    cdef int levels(
        self, scan_t* scan, int key, int side, int64_t venue_ns, uint64_t update_id, int flags
    ) noexcept nogil:
        """`[["price","quantity"],...]`: one SET each; a snapshot's side begins with CLEAR."""
        cdef const char* p
        cdef const char* end
        cdef span_t text
        cdef book_delta_t* delta
        cdef int part, status
        if not has(scan, key):
            scan.key = key
            return SCAN_MISSING
        p = scan.fields[key].at
        end = scan.fields[key].end
        text.at = p
        text.end = end
        if p[0] != c"[":
            return fail(scan, SCAN_LEVELS, key, text)
        if flags & RECORD_SNAPSHOT:
            self.next_delta(side, ACTION_CLEAR, venue_ns, update_id, flags)
        p = skip_blank(p + 1, end)
        if p < end and p[0] == c"]":
            return SCAN_OK if p + 1 == end else fail(scan, SCAN_LEVELS, key, text)
        while p < end and p[0] == c"[":
            delta = self.next_delta(side, ACTION_SET, venue_ns, update_id, flags)
            p = skip_blank(p + 1, end)
            for part in range(2):
                text.at = p
                p = after_value(p, end)
                if p == NULL:
                    text.end = end
                    return fail(scan, SCAN_LEVELS, key, text)
                text.end = p
                if part == 0:
                    status = parse_steps(unquoted(text), self.price, SCAN_TICK, &delta.price_ticks)
                else:
                    status = parse_steps(unquoted(text), self.lot, SCAN_LOT, &delta.quantity)
                if status != SCAN_OK:
                    return fail(scan, status, key, text)
                p = skip_blank(p, end)
                if part == 0:
                    if p >= end or p[0] != c",":
                        return fail(scan, SCAN_LEVELS, key, text)
                    p = skip_blank(p + 1, end)
            while p < end and p[0] == c",":      # old logs carry a third element
                p = after_value(skip_blank(p + 1, end), end)
                if p == NULL:
                    return fail(scan, SCAN_LEVELS, key, text)
                p = skip_blank(p, end)
            if p >= end or p[0] != c"]":
                return fail(scan, SCAN_LEVELS, key, text)
            p = skip_blank(p + 1, end)
            if p < end and p[0] == c"]":
                return SCAN_OK if p + 1 == end else fail(scan, SCAN_LEVELS, key, text)
            if p >= end or p[0] != c",":
                break
            p = skip_blank(p + 1, end)
        return fail(scan, SCAN_LEVELS, key, text)

    def _adopt_symbol(self, bytes block):
        """Take the first symbol met: the whole block is looked through only where it has none."""
        cdef scan_t scan
        cdef const char* p = block
        cdef const char* end = p + len(block)
        cdef const char* stop = end
        cdef const char* body
        cdef span_t name
        while p < end:
            stop = <const char*>memchr(p, c"\n", end - p)
            if stop == NULL:
                stop = end
            body = <const char*>memchr(p, c"{", stop - p)
            scan.seen = 0
            scan.wrapped = False
            if body != NULL and scan_object(&scan, body, stop, False) != NULL and has(&scan, KEY_SYMBOL):
                name = unquoted(scan.fields[KEY_SYMBOL])
                if name.end > name.at and (name.at - 1)[0] == c'"':
                    self.wanted = name.at[:name.end - name.at]
                    return
            p = stop + 1

    cdef LineFault _fault(self, scan_t* scan, int status, const char* line, const char* line_end):
        return line_fault(
            status, self.lines, _NAMES[scan.key] if scan.key < KEYS else "", scan.fault, line, line_end,
            "a receive stamp in nanoseconds, a space and a JSON object", "true or false", self.price_text, self.lot_text,
        )
