"""One thread. Books from Databento market-by-order records, and the book deltas and trades that they mean.

Source: Databento, "Market by order (MBO)" and "Constructing the limit order book". A modification keeps its place in
the queue where the price stays and the size does not grow. Fills and trades change nothing by themselves: what is
left of the orders is told by the records that follow.
"""

import numpy as np

from nautilus.core.types import BOOK_DELTA as _BOOK_DELTA
from nautilus.core.types import TRADE as _TRADE

cimport cython
cimport numpy as cnp
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from nautilus.core.order_book cimport (
    BOOKS_OK,
    OWNER_SELL,
    books_add,
    books_clear,
    books_slot,
    books_index,
    books_remove,
    books_take,
    home_of,
    order_slot_t,
    order_price,
    order_side,
    resting_at,
    resting_t,
)
from nautilus.core.types cimport (
    ACTION_ADD,
    ACTION_CLEAR,
    ACTION_DELETE,
    ACTION_REDUCE,
    RECORD_LAST,
    RECORD_SNAPSHOT,
    SIDE_BUY,
    SIDE_SELL,
)

cnp.import_array()

MBO = np.dtype([
    ("length", "u1"),
    ("rtype", "u1"),
    ("publisher_id", "<u2"),
    ("instrument_id", "<u4"),
    ("ts_event", "<u8"),
    ("order_id", "<u8"),
    ("price", "<i8"),
    ("size", "<u4"),
    ("flags", "u1"),
    ("channel_id", "u1"),
    ("action", "S1"),
    ("side", "S1"),
    ("ts_recv", "<u8"),
    ("ts_in_delta", "<i4"),
    ("sequence", "<u4"),
])
UNDEFINED_PRICE = (1 << 63) - 1
cdef int64_t LARGEST_PRICE = <int64_t>1 << 40    # what a ladder takes
_FAULTS = {
    MBO_ACTION: ("action {action!r}", "A, C, M, R, T, F or N"),
    MBO_SIDE: ("side {side!r} of action {action!r}", "B or A"),
    MBO_GRID: ("price {price}", "a multiple of the instrument's increment, at most 2^40 of them"),
    MBO_INSTRUMENT: ("instrument {instrument_id}", "one that has a price increment"),
    MBO_RTYPE: ("record type {rtype}", "160, market by order"),
}


# `self` is never None; the debug build's check for that would need the GIL.
@cython.nonecheck(False)
@cython.final
cdef class MboBookBuilder:
    def __cinit__(self, OrderBooks books not None, dict increments not None):
        cdef uint32_t index
        self.books = books
        self.b = &books.b
        for instrument_id, increment in increments.items():
            if increment < 1:
                raise ValueError(f"increment {increment} of instrument {instrument_id}; expected 1 or more")
            if books_index(self.b, instrument_id) == 0:
                books.add_instrument(instrument_id)
        self.increment_count = self.b.count + 1
        self.increments = <int64_t*>calloc(self.increment_count, sizeof(int64_t))
        if self.increments == NULL:
            raise MemoryError(f"no memory for {len(increments)} price increments")
        for instrument_id, increment in increments.items():
            index = books_index(self.b, instrument_id)
            self.increments[index] = increment

    def __dealloc__(self):
        free(self.increments)

    def apply(self, records):
        """Apply records to the books."""
        self._run(records, False)

    def build(self, records):
        """Apply records to the books; the BOOK_DELTA and TRADE arrays that they mean."""
        return self._run(records, True)

    def _run(self, records, bint wanted):
        if not isinstance(records, np.ndarray) or (records.dtype is not MBO and records.dtype != MBO):
            raise TypeError(f"records are {getattr(records, 'dtype', type(records).__name__)}; expected an MBO array")
        if records.ndim != 1 or not records.flags.c_contiguous:
            raise TypeError("records are not one contiguous row; expected a one-dimensional C-contiguous array")
        cdef const mbo_t* rows = <const mbo_t*>cnp.PyArray_DATA(<cnp.ndarray>records)
        cdef Py_ssize_t i = 0, count = (<cnp.ndarray>records).shape[0]
        cdef mbo_out_t out
        cdef int status = BOOKS_OK
        deltas = trades = None
        out.deltas = NULL
        out.trades = NULL
        out.delta_count = out.trade_count = 0
        if wanted:
            deltas = np.empty(2 * count, _BOOK_DELTA)
            trades = np.empty(count, _TRADE)
            out.deltas = <book_delta_t*>cnp.PyArray_DATA(<cnp.ndarray>deltas)
            out.trades = <trade_t*>cnp.PyArray_DATA(<cnp.ndarray>trades)
        with nogil:
            for i in range(count):
                status = self._one(&rows[i], &out)
                if status != BOOKS_OK:
                    break
        if status in _FAULTS:
            what, expected = _FAULTS[<object>status]
            row = records[i]
            facts = {name: row[name].item() for name in MBO.names}
            raise ValueError(f"records[{i}]: {what.format(**facts)}; expected {expected}")
        if status != BOOKS_OK:
            raise MemoryError(f"records[{i}]: no room for another order, level or instrument in the books")
        return (deltas[:out.delta_count], trades[:out.trade_count]) if wanted else None

    cdef int _one(self, const mbo_t* m, mbo_out_t* out) noexcept nogil:
        cdef books_t* b = self.b
        cdef uint32_t index = books_index(b, m.instrument_id)
        cdef uint32_t home, side
        cdef order_slot_t* slot
        cdef uint8_t action = m.action
        cdef resting_t* order
        cdef trade_t* trade
        cdef int64_t increment, price, size = m.size
        cdef Py_ssize_t before = out.delta_count
        cdef int status = BOOKS_OK
        self.records += 1
        if m.rtype != DBN_MBO:
            return MBO_RTYPE
        increment = self.increments[index] if index and index < self.increment_count else 0
        if increment == 0:
            return MBO_INSTRUMENT
        if action == c"A" or action == c"M":
            if m.side != c"B" and m.side != c"A":
                return MBO_SIDE
            price = m.price // increment
            if price * increment != m.price or price > LARGEST_PRICE or price < -LARGEST_PRICE:
                return MBO_GRID
            home = home_of(b, m.order_id)
            side = m.side == c"A"
            if action == c"M":
                slot = books_slot(b, home, index, m.order_id)
                if slot != NULL:
                    order = resting_at(b, slot.order)
                    if (order.owner & OWNER_SELL) == side and order_price(b, order) == price \
                            and size <= order.quantity and size:
                        if size < order.quantity:
                            self._put(m, out, order_side(order), ACTION_REDUCE, price, order.quantity - size)
                            books_take(b, home, slot, order, order.quantity - size)
                    else:
                        self._put(m, out, order_side(order), ACTION_DELETE, order_price(b, order), order.quantity)
                        books_remove(b, home, slot)
                        action = c"A"
                else:
                    b.unknown += 1
                    action = c"A"
            if action == c"A":
                if size:
                    self._put(m, out, SIDE_BUY + side, ACTION_ADD, price, size)
                    status = books_add(b, home, index, side, price, m.order_id, size)
                else:
                    self.void_orders += 1
        elif action == c"C":
            home = home_of(b, m.order_id)
            slot = books_slot(b, home, index, m.order_id)
            if slot == NULL:
                b.unknown += 1
            else:
                order = resting_at(b, slot.order)
                self._put(m, out, order_side(order), ACTION_REDUCE if size < order.quantity else ACTION_DELETE,
                          order_price(b, order), size if size < order.quantity else order.quantity)
                books_take(b, home, slot, order, size)
        elif action == c"R":
            self._put(m, out, 0, ACTION_CLEAR, 0, 0)
            books_clear(b, index, 0)
            books_clear(b, index, 1)
        elif action == c"T":
            if m.side != c"B" and m.side != c"A":
                self.sideless_trades += 1
            elif out.trades != NULL:
                price = m.price // increment
                if price * increment != m.price:
                    return MBO_GRID
                trade = &out.trades[out.trade_count]
                out.trade_count += 1
                trade.now_ns = <int64_t>m.ts_recv
                trade.venue_ns = <int64_t>m.ts_event
                trade.trade_id = m.sequence
                trade.price_ticks = price
                trade.quantity = size
                trade.instrument_id = m.instrument_id
                trade.side = SIDE_BUY if m.side == c"B" else SIDE_SELL
                trade.reserved = 0
                trade.flags = RECORD_LAST
        elif action == c"F":
            self.fills += 1
        elif action != c"N":
            return MBO_ACTION
        if m.flags & DBN_LAST and out.deltas != NULL and out.delta_count:
            # The last record of an event may say nothing of the book: the one before it is then the last that does.
            if out.delta_count > before or out.deltas[out.delta_count - 1].instrument_id == m.instrument_id:
                out.deltas[out.delta_count - 1].flags |= RECORD_LAST
        return status

    cdef void _put(
        self, const mbo_t* m, mbo_out_t* out, uint8_t side, uint8_t action, int64_t price, int64_t quantity
    ) noexcept nogil:
        cdef book_delta_t* delta
        if out.deltas == NULL:
            return
        delta = &out.deltas[out.delta_count]
        out.delta_count += 1
        delta.now_ns = <int64_t>m.ts_recv
        delta.venue_ns = <int64_t>m.ts_event
        delta.update_id = <uint64_t>self.records
        delta.order_id = m.order_id
        delta.price_ticks = price
        delta.quantity = quantity
        delta.instrument_id = m.instrument_id
        delta.side = side
        delta.action = action
        delta.flags = RECORD_SNAPSHOT if m.flags & DBN_SNAPSHOT else 0
