"""Level-1 and level-2 books of many instruments; records and contract are in book_set.pxd."""

from collections import namedtuple

import numpy as np

from nautilus.core.types import BOOK_DELTA as _BOOK_DELTA
from nautilus.core.types import QUOTE as _QUOTE
from nautilus.core.types import TRADE as _TRADE

cimport cython
cimport numpy as cnp
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memset

from nautilus.core.depth cimport (
    DEPTH_ACTION,
    DEPTH_MEMORY,
    DEPTH_OK,
    DEPTH_QUANTITY,
    DEPTH_SIDE,
    depth_find,
    depth_levels,
    depth_set,
    depth_side_t,
    level_pool_close,
    level_pool_open,
)
from nautilus.core.hashmap cimport prefetch_line
from nautilus.core.id_index cimport id_index_add, id_index_close, id_index_find, id_index_open
from nautilus.core.ticks cimport RECORD_GAP, record_rows
from nautilus.core.types cimport (
    ACTION_ADD,
    ACTION_CLEAR,
    ACTION_DELETE,
    ACTION_EXECUTE,
    ACTION_EXECUTE_HIDDEN,
    ACTION_REDUCE,
    ACTION_SET,
    RECORD_LAST,
    RECORD_SNAPSHOT,
    RECORD_STALE,
    SIDE_BUY,
    SIDE_SELL,
    book_delta_t,
    quote_t,
    trade_t,
)

cnp.import_array()

BookState = namedtuple(
    "BookState",
    ("update_id", "now_ns", "venue_ns", "blind_since_ns", "blind_ns", "updates", "gaps", "snapshots", "old", "crossed"),
)
cdef enum:
    AHEAD_BOOK = 12             # records between asking for memory and using it
    AHEAD_LEVELS = 6
    SET_INSTRUMENT = -5         # no room for another book
cdef int64_t LARGEST = <int64_t>9223372036854775807
_REASONS = {
    DEPTH_SIDE: "side is neither BUY nor SELL",
    DEPTH_ACTION: "action is none of a book",
    DEPTH_QUANTITY: "quantity is negative, or the level's does not fit 64 bits",
}


cdef inline bint same_level(const book_delta_t* one, const book_delta_t* other) noexcept nogil:
    return (
        one.price_ticks == other.price_ticks and one.side == other.side and one.instrument_id == other.instrument_id
    )


# `self` is never None; the debug build's check for that would need the GIL.
@cython.nonecheck(False)
cdef class BookSet:
    def __cinit__(
        self, instruments=(), *, bint snapshots=True, bint numbered=True, bint consecutive=False,
        uint64_t levels=1 << 28,
    ):
        self.snapshots_needed, self.numbered, self.consecutive = snapshots, numbered, consecutive
        if not 16 <= levels <= 1 << 36:
            raise ValueError(f"BookSet: levels {levels}; expected 16 to {1 << 36}")
        if id_index_open(&self.index) != 0 or level_pool_open(&self.pool, levels) != DEPTH_OK:
            raise MemoryError("BookSet: no memory for its books")
        for instrument_id in instruments:
            self._add(instrument_id)

    def __dealloc__(self):
        id_index_close(&self.index)
        level_pool_close(&self.pool)
        free(self.books)

    cdef int _add(self, uint32_t instrument_id) except -1:
        if self.find(instrument_id) == NULL and self.open(instrument_id) == NULL:
            raise MemoryError("BookSet: no room for another book")
        return 0

    cdef set_book_t* find(self, uint32_t instrument_id) noexcept nogil:
        cdef uint32_t place = id_index_find(&self.index, instrument_id)
        return &self.books[place - 1] if place else NULL

    cdef set_book_t* open(self, uint32_t instrument_id) noexcept nogil:
        """A book for an instrument that has none; NULL: no room."""
        cdef uint32_t room, place
        cdef set_book_t* books
        if self.index.count == self.room:
            room = 2 * self.room if self.room else 16
            books = <set_book_t*>realloc(self.books, room * sizeof(set_book_t))
            if books == NULL:
                return NULL
            self.books, self.room = books, room
        place = id_index_add(&self.index, instrument_id)
        if place == 0:
            return NULL
        books = &self.books[place - 1]
        memset(books, 0, sizeof(set_book_t))
        books.instrument_id = instrument_id
        books.sides[0].sign, books.sides[1].sign = 1, -1
        books.sides[0].pool = books.sides[1].pool = &self.pool
        return books

    cdef int apply_one(self, const book_delta_t* delta, set_book_t** found) noexcept nogil:
        """Apply a record; `found` is its book, NULL where the record was older than it and is left out."""
        cdef set_book_t* book = self.find(delta.instrument_id)
        cdef depth_side_t* side
        cdef int64_t quantity = delta.quantity
        cdef int action = delta.action
        cdef bint image = delta.flags & RECORD_SNAPSHOT != 0
        found[0] = NULL
        if delta.side > SIDE_SELL or (delta.side == 0 and action != ACTION_CLEAR):
            return DEPTH_SIDE
        if action < ACTION_SET or action > ACTION_CLEAR:
            return DEPTH_ACTION
        if quantity < 0:
            return DEPTH_QUANTITY
        if book == NULL:
            book = self.open(delta.instrument_id)
            if book == NULL:
                return SET_INSTRUMENT
        if book.updates == 0 and book.now_ns == 0 and self.snapshots_needed:
            book.blind_since_ns = delta.now_ns
        if not image:
            if self.numbered and delta.update_id < book.update_id and delta.update_id:
                book.old += 1
                self.old += 1
                return DEPTH_OK
            if (
                book.filling or delta.flags & RECORD_GAP
                or (self.consecutive and book.update_id and delta.update_id > book.update_id + 1)
            ):
                # Also a snapshot that breaks off. It has been wrong since some time after its last record.
                book.filling = 0
                book.gaps += 1
                self.gaps += 1
                if book.blind_since_ns == 0:
                    book.blind_since_ns = book.now_ns if book.now_ns else delta.now_ns
            if action != ACTION_CLEAR:
                book.cleared = 0
        else:
            book.filling = 1
        side = &book.sides[delta.side == SIDE_SELL]
        if action == ACTION_CLEAR:
            if delta.side != SIDE_SELL:
                book.sides[0].count = 0
                book.cleared |= BOOK_CLEARED_BIDS
            if delta.side != SIDE_BUY:
                book.sides[1].count = 0
                book.cleared |= BOOK_CLEARED_ASKS
        elif action != ACTION_EXECUTE_HIDDEN:
            if action == ACTION_ADD:
                quantity = depth_find(side, delta.price_ticks)
                if quantity > LARGEST - delta.quantity:
                    return DEPTH_QUANTITY
                quantity += delta.quantity
            elif action != ACTION_SET:
                quantity = depth_find(side, delta.price_ticks) - quantity
                if quantity < 0:
                    quantity = 0
            if depth_set(side, delta.price_ticks, quantity) != DEPTH_OK:
                return DEPTH_MEMORY
        book.update_id = delta.update_id
        book.now_ns, book.venue_ns = delta.now_ns, delta.venue_ns
        if delta.flags & RECORD_LAST:
            book.updates += 1
            if image:
                book.filling = 0
                if delta.flags & RECORD_GAP:    # a level of it was refused
                    book.gaps += 1
                    self.gaps += 1
                    if book.blind_since_ns == 0:
                        book.blind_since_ns = delta.now_ns
                elif book.cleared == BOOK_CLEARED:
                    book.snapshots += 1
                    if book.blind_since_ns:
                        book.blind_ns += delta.now_ns - book.blind_since_ns
                        book.blind_since_ns = 0
            book.cleared = 0
        found[0] = book
        return DEPTH_OK

    cdef void _fetch_book(self, uint32_t instrument_id) noexcept nogil:
        """Ask for the memory of a book that a record will change soon."""
        cdef set_book_t* book = self.find(instrument_id)
        if book != NULL:
            prefetch_line(book)
            prefetch_line(<char*>book + 64)
            prefetch_line(<char*>book + 128)

    cdef void _fetch_levels(self, const book_delta_t* delta) noexcept nogil:
        """And of the best levels of its side."""
        cdef set_book_t* book = self.find(delta.instrument_id)
        cdef depth_side_t* side
        if book != NULL:
            side = &book.sides[delta.side == SIDE_SELL]
            if side.count > 8:
                prefetch_line(side.prices + side.count - 1)
                prefetch_line(side.prices + side.count - 9)
                prefetch_line(side.quantities + side.count - 1)
                prefetch_line(side.quantities + side.count - 9)

    cdef Py_ssize_t run(
        self, const book_delta_t* rows, Py_ssize_t count, quote_t* quotes, Py_ssize_t* told, int* status
    ) noexcept nogil:
        """Apply records; how many, fewer than `count` where `status` tells why. `quotes`: each best that has changed."""
        cdef Py_ssize_t i
        cdef set_book_t* book
        cdef quote_t* quote
        cdef int64_t best[4]
        cdef uint8_t blind
        for i in range(count):
            if i + AHEAD_BOOK < count:
                self._fetch_book(rows[i + AHEAD_BOOK].instrument_id)
                self._fetch_levels(&rows[i + AHEAD_LEVELS])
            status[0] = self.apply_one(&rows[i], &book)
            if status[0] != DEPTH_OK:
                return i
            if book == NULL or not rows[i].flags & RECORD_LAST:
                continue
            set_best(book, best)
            if best[1] and best[3] and best[0] >= best[2]:
                self.crossings += not book.crossed
                book.crossed = 1
            else:
                book.crossed = 0
            if quotes == NULL:
                continue
            blind = book.blind_since_ns != 0
            if memcmp(best, book.shown, sizeof(best)) == 0 and blind == book.shown_blind:
                continue
            memcpy(book.shown, best, sizeof(best))
            book.shown_blind = blind
            quote = &quotes[told[0]]
            told[0] += 1
            quote.now_ns, quote.venue_ns, quote.update_id = rows[i].now_ns, rows[i].venue_ns, rows[i].update_id
            quote.bid_ticks, quote.bid_quantity, quote.ask_ticks, quote.ask_quantity = best[0], best[1], best[2], best[3]
            quote.instrument_id = book.instrument_id
            quote.flags = <uint16_t>(RECORD_LAST | (RECORD_STALE if blind else 0))
            quote.source_id = 0
        return count

    cdef object _apply(self, object deltas, bint tell):
        cdef cnp.ndarray rows = record_rows(deltas, _BOOK_DELTA, "BookSet: deltas")
        cdef Py_ssize_t count = rows.shape[0], told = 0, used
        cdef quote_t* quotes = NULL
        cdef int status = DEPTH_OK
        out = None
        if tell:
            out = np.empty(np.count_nonzero(deltas["flags"] & <int>RECORD_LAST), _QUOTE)
            quotes = <quote_t*>cnp.PyArray_DATA(<cnp.ndarray>out)
        with nogil:
            used = self.run(<const book_delta_t*>cnp.PyArray_DATA(rows), count, quotes, &told, &status)
        if status == DEPTH_MEMORY or status == SET_INSTRUMENT:
            raise MemoryError(f"deltas[{used}]: no room for another {'level' if status == DEPTH_MEMORY else 'book'}")
        if status != DEPTH_OK:
            raise ValueError(f"deltas[{used}]: {_REASONS[status]}")
        return out[:told] if tell else None

    def apply(self, deltas):
        self._apply(deltas, False)

    def apply_best(self, deltas):
        return self._apply(deltas, True)

    def take_quotes(self, quotes):
        cdef cnp.ndarray rows = record_rows(quotes, _QUOTE, "BookSet: quotes")
        cdef const quote_t* at = <const quote_t*>cnp.PyArray_DATA(rows)
        cdef Py_ssize_t i = 0, count = rows.shape[0]
        cdef set_book_t* book = NULL
        with nogil:
            for i in range(count):
                book = self.find(at[i].instrument_id)
                if book == NULL:
                    book = self.open(at[i].instrument_id)
                    if book == NULL:
                        break
                book.quote = at[i]
        if i < count and count and book == NULL:
            raise MemoryError(f"quotes[{i}]: no room for another book")

    def take_trades(self, trades):
        cdef cnp.ndarray rows = record_rows(trades, _TRADE, "BookSet: trades")
        cdef const trade_t* at = <const trade_t*>cnp.PyArray_DATA(rows)
        cdef Py_ssize_t i = 0, count = rows.shape[0]
        cdef set_book_t* book = NULL
        with nogil:
            for i in range(count):
                book = self.find(at[i].instrument_id)
                if book == NULL:
                    book = self.open(at[i].instrument_id)
                    if book == NULL:
                        break
                book.traded = 1
                book.trade_ticks, book.trade_ns = at[i].price_ticks, at[i].now_ns
        if i < count and count and book == NULL:
            raise MemoryError(f"trades[{i}]: no room for another book")

    @staticmethod
    def levels_alone(deltas):
        cdef cnp.ndarray rows = record_rows(deltas, _BOOK_DELTA, "BookSet: deltas")
        cdef const book_delta_t* at = <const book_delta_t*>cnp.PyArray_DATA(rows)
        cdef Py_ssize_t i
        for i in range(rows.shape[0]):
            if at[i].flags & (RECORD_SNAPSHOT | RECORD_STALE | RECORD_GAP) or (
                at[i].action != ACTION_SET and at[i].action != ACTION_CLEAR
            ):
                return False
        return True

    @staticmethod
    def last_of_levels(deltas):
        cdef cnp.ndarray rows = record_rows(deltas, _BOOK_DELTA, "BookSet: deltas")
        cdef const book_delta_t* at = <const book_delta_t*>cnp.PyArray_DATA(rows)
        cdef book_delta_t* to
        cdef Py_ssize_t i, count = rows.shape[0], kept = 0, begin = 0
        cdef uint64_t key, slot, mask = 15
        cdef uint32_t* slots
        for i in range(count):
            if at[i].action != ACTION_SET or at[i].flags & (RECORD_SNAPSHOT | RECORD_STALE | RECORD_GAP):
                begin = i + 1
        while mask < <uint64_t>(2 * count):
            mask = 2 * mask + 1
        slots = <uint32_t*>calloc(mask + 1, sizeof(uint32_t))
        if slots == NULL or count >= <Py_ssize_t>1 << 32:
            free(slots)
            raise MemoryError("BookSet: no memory for levels")
        out = np.empty(count, _BOOK_DELTA)
        to = <book_delta_t*>cnp.PyArray_DATA(<cnp.ndarray>out)
        # From the end; what is kept is put behind what has not been looked at.
        for i in range(count - 1, begin - 1, -1):
            key = <uint64_t>at[i].price_ticks * <uint64_t>0x9E3779B97F4A7C15
            slot = ((key >> 32) ^ at[i].side ^ (<uint64_t>at[i].instrument_id << 2)) & mask
            while slots[slot] and not same_level(&to[count - slots[slot]], &at[i]):
                slot = (slot + 1) & mask
            if slots[slot] == 0:
                kept += 1
                to[count - kept] = at[i]
                slots[slot] = <uint32_t>kept
        free(slots)
        kept += begin
        memcpy(&to[count - kept], at, begin * sizeof(book_delta_t))
        return out[count - kept:]

    def best(self, uint32_t instrument_id):
        cdef set_book_t* book = self._of(instrument_id)
        cdef int64_t best[4]
        set_best(book, best)
        return best[0], best[1], best[2], best[3]

    def quote(self, uint32_t instrument_id):
        cdef set_book_t* book = self._of(instrument_id)
        if not book.quote.instrument_id:
            return None
        out = np.empty(1, _QUOTE)
        memcpy(cnp.PyArray_DATA(<cnp.ndarray>out), &book.quote, sizeof(quote_t))
        return out

    def trade(self, uint32_t instrument_id):
        cdef set_book_t* book = self._of(instrument_id)
        return (book.trade_ticks, book.trade_ns) if book.traded else None

    def depth(self, uint32_t instrument_id, Py_ssize_t levels):
        cdef set_book_t* book = self._of(instrument_id)
        return depth_levels(&book.sides[0], levels), depth_levels(&book.sides[1], levels)

    def quantity(self, uint32_t instrument_id, int side, int64_t price_ticks):
        if not SIDE_BUY <= side <= SIDE_SELL:
            raise ValueError(f"side is {side}; expected Side.BUY or Side.SELL")
        return depth_find(&self._of(instrument_id).sides[side - SIDE_BUY], price_ticks)

    def counts(self, uint32_t instrument_id):
        cdef set_book_t* book = self._of(instrument_id)
        return book.sides[0].count, book.sides[1].count

    def clear(self, uint32_t instrument_id):
        cdef set_book_t* book = self._of(instrument_id)
        book.sides[0].count = book.sides[1].count = 0

    def mark_blind(self, uint32_t instrument_id, int64_t since_ns):
        cdef set_book_t* book
        if since_ns <= 0:
            raise ValueError(f"BookSet: since_ns {since_ns}; expected a time")
        self._add(instrument_id)
        book = self.find(instrument_id)
        book.gaps += 1
        self.gaps += 1
        if book.blind_since_ns == 0:
            book.blind_since_ns = since_ns
            book.now_ns = max(book.now_ns, since_ns)

    def state(self, uint32_t instrument_id):
        cdef set_book_t* book = self._of(instrument_id)
        return BookState(
            book.update_id, book.now_ns, book.venue_ns, book.blind_since_ns, book.blind_ns, book.updates, book.gaps,
            book.snapshots, book.old, bool(book.crossed),
        )

    def blind(self):
        return {
            self.books[i].instrument_id: self.books[i].blind_since_ns
            for i in range(self.index.count) if self.books[i].blind_since_ns
        }

    def crossed(self):
        return [self.books[i].instrument_id for i in range(self.index.count) if self.books[i].crossed]

    def snapshot(self, uint32_t instrument_id):
        cdef set_book_t* book = self._of(instrument_id)
        cdef Py_ssize_t count = 2 + book.sides[0].count + book.sides[1].count, at = 0
        cdef int64_t i
        cdef int which
        cdef book_delta_t* row
        out = np.zeros(count, _BOOK_DELTA)
        cdef book_delta_t* rows = <book_delta_t*>cnp.PyArray_DATA(<cnp.ndarray>out)
        for which in range(2):
            rows[at].side, rows[at].action = <uint8_t>(SIDE_BUY + which), ACTION_CLEAR
            at += 1
        for which in range(2):
            for i in range(book.sides[which].count - 1, -1, -1):
                row = &rows[at]
                at += 1
                row.price_ticks, row.quantity = book.sides[which].prices[i], book.sides[which].quantities[i]
                row.side, row.action = <uint8_t>(SIDE_BUY + which), ACTION_SET
        for at in range(count):
            row = &rows[at]
            row.now_ns, row.venue_ns, row.update_id = book.now_ns, book.venue_ns, book.update_id
            row.instrument_id = book.instrument_id
            row.flags = <uint16_t>(RECORD_SNAPSHOT | (RECORD_STALE if book.blind_since_ns else 0))
        rows[count - 1].flags |= RECORD_LAST
        return out

    def __len__(self):
        return self.index.count

    def __contains__(self, uint32_t instrument_id):
        return self.find(instrument_id) != NULL

    @property
    def instruments(self):
        return [self.books[i].instrument_id for i in range(self.index.count)]

    @property
    def memory_bytes(self):
        return self.pool.used + self.room * sizeof(set_book_t)

    cdef set_book_t* _of(self, uint32_t instrument_id) except NULL:
        cdef set_book_t* book = self.find(instrument_id)
        if book == NULL:
            raise KeyError(f"no book of instrument {instrument_id}")
        return book
