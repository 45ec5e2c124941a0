"""Order-flow imbalance of many instruments; state is in flow.pxd, the definition in flow.pyi."""

import numpy as np

from nautilus.core.ticks import FLOW as _FLOW
from nautilus.core.types import BOOK_DELTA as _BOOK_DELTA
from nautilus.core.types import QUOTE as _QUOTE

cimport cython
cimport numpy as cnp
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from nautilus.core.book_set cimport BookSet, set_book_t
from nautilus.core.depth cimport DEPTH_OK, depth_side_t
from nautilus.core.id_index cimport id_index_add, id_index_close, id_index_find, id_index_open
from nautilus.core.ticks cimport RECORD_GAP, flow_t, record_rows
from nautilus.core.types cimport (
    MAX_QUANTITY_BITS,
    RECORD_LAST,
    RECORD_SNAPSHOT,
    RECORD_STALE,
    RECORD_SYNTHETIC,
    book_delta_t,
    quote_t,
)

cnp.import_array()

cdef int64_t MOST_LOTS = <int64_t>1 << MAX_QUANTITY_BITS
cdef int64_t MOST_NS = <int64_t>1 << 62
cdef enum:
    INHERITED = RECORD_SYNTHETIC | RECORD_STALE | RECORD_GAP


# `self` and `books` are never None; the debug build's check for that would need the GIL.
@cython.nonecheck(False)
cdef class FlowBuilder:
    def __cinit__(self, *, int64_t interval_ns=0, int64_t updates=0, int levels=1):
        if not 0 <= interval_ns <= MOST_NS or not 0 <= updates < 1 << 32 or (interval_ns == 0) == (updates == 0):
            raise ValueError(f"FlowBuilder: interval_ns {interval_ns}, updates {updates}; expected one of them above 0")
        if not 1 <= levels <= FLOW_MOST:
            raise ValueError(f"FlowBuilder: levels {levels}; expected 1 to {FLOW_MOST}")
        self.interval_ns, self.updates, self.levels = interval_ns, updates, levels
        if id_index_open(&self._index) != 0:
            raise MemoryError("FlowBuilder: no memory for its instruments")

    def __dealloc__(self):
        id_index_close(&self._index)
        free(self._flowing)

    cdef flowing_t* _at(self, uint32_t instrument_id) noexcept nogil:
        cdef uint32_t place = id_index_find(&self._index, instrument_id), room
        cdef flowing_t* at
        if place:
            return &self._flowing[place - 1]
        if self._index.count == self._room:
            room = 2 * self._room if self._room else 16
            at = <flowing_t*>realloc(self._flowing, room * sizeof(flowing_t))
            if at == NULL:
                return NULL
            self._flowing, self._room = at, room
        place = id_index_add(&self._index, instrument_id)
        if place == 0:
            return NULL
        at = &self._flowing[place - 1]
        memset(at, 0, sizeof(flowing_t))
        at.flow.instrument_id = instrument_id
        at.flow.levels = <uint8_t>self.levels
        return at

    cdef void _update(
        self, flowing_t* at, const standing_t* now, int64_t now_ns, int flags, bint count, flow_t* out, Py_ssize_t* made
    ) noexcept nogil:
        """Hold the best levels against those before; `count` False: they say nothing of how they came to be."""
        cdef flow_t* flow = &at.flow
        cdef const standing_t* old = &at.standing
        cdef int64_t begin_ns = now_ns, imbalance = 0
        cdef int m
        if self.interval_ns:
            begin_ns = now_ns - now_ns % self.interval_ns
            if at.begun and begin_ns > flow.begin_ns:
                out[made[0]] = flow[0]
                made[0] += 1
                at.begun = False
        if count and at.known:
            if not at.begun:
                at.begun = True
                flow.begin_ns = begin_ns
                flow.imbalance = flow.bid_depth = flow.ask_depth = 0
                flow.updates = 0
                flow.flags = RECORD_LAST
            for m in range(self.levels):
                if now.prices[0][m] >= old.prices[0][m]:
                    imbalance += now.lots[0][m]
                if now.prices[0][m] <= old.prices[0][m]:
                    imbalance -= old.lots[0][m]
                if now.prices[1][m] <= old.prices[1][m]:
                    imbalance -= now.lots[1][m]
                if now.prices[1][m] >= old.prices[1][m]:
                    imbalance += old.lots[1][m]
                flow.bid_depth += now.lots[0][m]
                flow.ask_depth += now.lots[1][m]
            flow.imbalance += imbalance
            flow.updates += 1
            flow.now_ns = now_ns
            flow.flags |= <uint16_t>(flags & INHERITED)
            if self.updates and flow.updates >= self.updates:
                out[made[0]] = flow[0]
                made[0] += 1
                at.begun = False
        at.standing = now[0]
        at.known = True

    cdef Py_ssize_t run(
        self, const quote_t* quotes, Py_ssize_t count, flow_t* out, Py_ssize_t* made, int* status
    ) noexcept nogil:
        """Take quotes in order; how many, fewer than `count` where `status` tells why. Each gives one record at most."""
        cdef Py_ssize_t i
        cdef const quote_t* quote
        cdef flowing_t* at
        cdef standing_t now
        memset(&now, 0, sizeof(now))
        status[0] = FLOW_OK
        for i in range(count):
            quote = &quotes[i]
            if (
                quote.bid_quantity < 0 or quote.bid_quantity > MOST_LOTS or quote.ask_quantity < 0
                or quote.ask_quantity > MOST_LOTS or quote.now_ns < 0 or quote.now_ns > MOST_NS
            ):
                status[0] = FLOW_RANGE
                return i
            at = self._at(quote.instrument_id)
            if at == NULL:
                status[0] = FLOW_INSTRUMENT
                return i
            now.prices[0][0] = quote.bid_ticks if quote.bid_quantity else INT64_MIN
            now.prices[1][0] = quote.ask_ticks if quote.ask_quantity else INT64_MAX
            now.lots[0][0], now.lots[1][0] = quote.bid_quantity, quote.ask_quantity
            self._update(at, &now, quote.now_ns, quote.flags, not quote.flags & RECORD_STALE, out, made)
            if quote.flags & RECORD_STALE:
                at.known = False  # nor does the next one tell how it came to be
                if at.begun:
                    at.flow.flags |= RECORD_STALE
        return count

    cdef Py_ssize_t run_books(
        self, BookSet books, const book_delta_t* deltas, Py_ssize_t count, flow_t* out, Py_ssize_t* made, int* status
    ) noexcept nogil:
        """Apply deltas to books, and hold the best levels against those before at the end of each update."""
        cdef Py_ssize_t i
        cdef set_book_t* book
        cdef depth_side_t* side
        cdef flowing_t* at
        cdef standing_t now
        cdef int which, m, flags
        memset(&now, 0, sizeof(now))
        for i in range(count):
            if deltas[i].now_ns < 0 or deltas[i].now_ns > MOST_NS:
                status[0] = FLOW_RANGE
                return i
            status[0] = books.apply_one(&deltas[i], &book)
            if status[0] != DEPTH_OK:
                return i
            if book == NULL or not deltas[i].flags & RECORD_LAST:
                continue
            at = self._at(book.instrument_id)
            if at == NULL:
                status[0] = FLOW_INSTRUMENT
                return i
            for which in range(2):
                side = &book.sides[which]
                for m in range(self.levels):
                    if m < side.count:
                        now.prices[which][m] = side.prices[side.count - 1 - m]
                        now.lots[which][m] = side.quantities[side.count - 1 - m]
                    else:
                        now.prices[which][m] = INT64_MAX if which else INT64_MIN
                        now.lots[which][m] = 0
            flags = deltas[i].flags | (RECORD_STALE if book.blind_since_ns else 0)
            self._update(at, &now, deltas[i].now_ns, flags, not deltas[i].flags & RECORD_SNAPSHOT, out, made)
        return count

    def process(self, quotes):
        cdef cnp.ndarray rows = record_rows(quotes, _QUOTE, "FlowBuilder.process: quotes")
        cdef Py_ssize_t count = rows.shape[0], made = 0, used
        cdef int status = FLOW_OK
        if self.levels != 1:
            raise ValueError(f"FlowBuilder.process: {self.levels} levels; expected 1: a quote has no more")
        out = np.empty(count, _FLOW)
        cdef flow_t* room = <flow_t*>cnp.PyArray_DATA(<cnp.ndarray>out)
        with nogil:
            used = self.run(<const quote_t*>cnp.PyArray_DATA(rows), count, room, &made, &status)
        self._judge(status, used, "quotes")
        return out[:made]

    def process_books(self, BookSet books not None, deltas):
        cdef cnp.ndarray rows = record_rows(deltas, _BOOK_DELTA, "FlowBuilder.process_books: deltas")
        cdef Py_ssize_t count = rows.shape[0], made = 0, used
        cdef int status = FLOW_OK
        out = np.empty(count, _FLOW)
        cdef flow_t* room = <flow_t*>cnp.PyArray_DATA(<cnp.ndarray>out)
        with nogil:
            used = self.run_books(books, <const book_delta_t*>cnp.PyArray_DATA(rows), count, room, &made, &status)
        self._judge(status, used, "deltas")
        return out[:made]

    def flush(self):
        cdef uint32_t i
        cdef Py_ssize_t made = 0
        out = np.empty(self._index.count, _FLOW)
        cdef flow_t* rows = <flow_t*>cnp.PyArray_DATA(<cnp.ndarray>out)
        for i in range(self._index.count):
            if self._flowing[i].begun:
                rows[made] = self._flowing[i].flow
                rows[made].flags &= ~<uint16_t>RECORD_LAST
                made += 1
            self._flowing[i].begun = False
        return out[:made]

    def _judge(self, int status, Py_ssize_t at, what):
        if status == FLOW_INSTRUMENT or status == -1 or status == -5:
            raise MemoryError(f"{what}[{at}]: no room for another instrument or level")
        if status != FLOW_OK:
            raise ValueError(f"{what}[{at}]: a quantity, stamp, side or action is out of range")
