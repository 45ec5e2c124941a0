"""One thread. Books from ITCH messages, and the book deltas and trades that they mean.

ITCH names a resting order by its reference alone; side and price of an execution, a cancel or a replace are those of
the order in the book. So the records that others can use come from where the book is kept.
"""

import numpy as np

from nautilus.core.itch import ITCH_ORDER as _ITCH_ORDER
from nautilus.core.types import BOOK_DELTA as _BOOK_DELTA
from nautilus.core.types import TRADE as _TRADE

cimport cython
cimport numpy as cnp
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from nautilus.core.hashmap cimport prefetch_line
from nautilus.core.itch cimport (
    ITCH_CUT,
    ITCH_END,
    ITCH_FULL,
    ITCH_KIND,
    ITCH_LENGTH,
    ITCH_OK,
    ITCH_PLACES,
    ITCH_SIDE,
    ITCH_SIZE,
    ItchDecoder,
    itch_action_t,
    itch_places_t,
    itch_run_t,
    itch_u16,
    itch_u32,
    itch_u64,
)
from nautilus.core.order_book cimport (
    BOOKS_OK,
    OWNER_SELL,
    books_add,
    books_slot,
    books_index,
    books_new,
    books_prefetch_levels,
    books_prefetch_neighbours,
    books_prefetch_order,
    books_remove,
    books_take,
    home_of,
    order_slot_t,
    resting_t,
    order_price,
    order_side,
    resting_at,
    slot_at,
)
from nautilus.core.types cimport (
    ACTION_ADD,
    ACTION_DELETE,
    ACTION_EXECUTE,
    ACTION_EXECUTE_HIDDEN,
    ACTION_REDUCE,
    RECORD_LAST,
    SIDE_BUY,
    SIDE_SELL,
)

cnp.import_array()

# As in order_book.pyx.
cdef enum:
    AHEAD_SLOT = 12
    AHEAD_ORDER = 8
    AHEAD_LEVEL = 4
    AHEAD_RING = 16
    AHEAD_BYTES = 1024          # of the input: the processor's own prefetch ends at each page of 4 KiB
    CHUNK = 256                 # messages that are decoded before they are applied: 10 KiB, within a core's first cache


cdef inline void put_delta(
    feed_out_t* out, int64_t now_ns, int64_t number, uint32_t instrument, uint64_t order_id, uint8_t side,
    uint8_t action, int64_t price, int64_t quantity, bint last
) noexcept nogil:
    cdef book_delta_t* delta
    if out.deltas == NULL:
        return
    delta = &out.deltas[out.delta_count]
    out.delta_count += 1
    delta.now_ns = now_ns
    delta.venue_ns = now_ns
    delta.update_id = <uint64_t>number
    delta.order_id = order_id
    delta.price_ticks = price
    delta.quantity = quantity
    delta.instrument_id = instrument
    delta.side = side
    delta.action = action
    delta.flags = RECORD_LAST if last else 0


cdef inline void put_trade(
    feed_out_t* out, int64_t now_ns, uint64_t trade_id, uint32_t instrument, uint8_t resting_side, int64_t price,
    int64_t quantity
) noexcept nogil:
    cdef trade_t* trade
    if out.trades == NULL:
        return
    trade = &out.trades[out.trade_count]
    out.trade_count += 1
    trade.now_ns = now_ns
    trade.venue_ns = now_ns
    trade.trade_id = trade_id
    trade.price_ticks = price
    trade.quantity = quantity
    trade.instrument_id = instrument
    trade.side = SIDE_SELL if resting_side == SIDE_BUY else SIDE_BUY     # the aggressor's
    trade.reserved = 0
    trade.flags = RECORD_LAST


# `self` is never None; the debug build's check for that would need the GIL.
@cython.nonecheck(False)
@cython.final
cdef class ItchBookBuilder:
    def __init__(self, OrderBooks books not None, *, int64_t midnight_ns=0):
        self.books = books
        self.b = &books.b
        self.midnight_ns = midnight_ns

    def apply(self, orders):
        """Apply messages to the books."""
        self._run(orders, False)

    def apply_bytes(self, ItchDecoder decoder not None, block):
        """Decode messages and apply them at once, without an array in between."""
        cdef const uint8_t[::1] view = block
        cdef Py_ssize_t messages = 0
        cdef itch_run_t run
        cdef int status = ITCH_FULL, applied = BOOKS_OK
        run.start = run.at = &view[0] if view.shape[0] else NULL
        run.end = run.start + view.shape[0]
        run.unknown = run.kind_count = 0
        with nogil:
            while status == ITCH_FULL and applied == BOOKS_OK:
                status = self._chunk(&run, decoder.prefixed, &applied)
        fault = decoder._note(&run, status, block)
        if applied != BOOKS_OK:
            raise MemoryError("no room for another order, level or instrument in the books")
        return run.at - run.start, fault

    cdef int _chunk(self, itch_run_t* run, bint prefixed, int* applied) noexcept nogil:
        """Decodes so many messages as stay in a core's first cache, and applies them."""
        cdef books_t* b = self.b
        cdef itch_action_t actions[CHUNK + AHEAD_SLOT]
        cdef itch_action_t* action = actions
        cdef itch_action_t* last = actions + CHUNK
        cdef const uint8_t* at = run.at
        cdef const uint8_t* end = run.end
        cdef const itch_places_t* places
        cdef Py_ssize_t length, prefix = 2 if prefixed else 0
        cdef int status = ITCH_OK
        cdef uint8_t kind
        while at < end:
            if action == last:
                status = ITCH_FULL
                break
            if prefixed:
                # A message of three bytes is the least that a length other than 0 announces.
                if end - at < 3:
                    status = ITCH_END if end - at == 2 and itch_u16(at) == 0 else ITCH_CUT
                    at += 2 * (status == ITCH_END)
                    break
                length = itch_u16(at)
                kind = at[2]
            else:
                kind = at[0]
                length = ITCH_LENGTH[kind]
            places = &ITCH_PLACES[kind]
            if (length != places.length) | (length == 0) | (end - at < prefix + length):
                status = self._other(run, &at, prefix, length, kind)
                if status != ITCH_OK:
                    break
                continue
            prefetch_line(at + AHEAD_BYTES)
            at += prefix
            action.kind = kind
            action.locate = itch_u16(at + 1)
            action.order_id = itch_u64(at + 11)
            action.quantity = itch_u32(at + places.quantity)
            action.price = itch_u32(at + places.price)
            action.side = at[places.side]
            # Without a branch on the kind, which is not predictable.
            if (places.side == 19) & (action.side != c"B") & (action.side != c"S"):
                at -= prefix
                status = ITCH_SIDE
                break
            action.index = b.small[action.locate]
            action.home = home_of(b, action.order_id)
            prefetch_line(slot_at(b, action.home))
            if kind == c"U":
                action.new_order_id = itch_u64(at + 19)
                prefetch_line(slot_at(b, home_of(b, action.new_order_id)))
            at += length
            action += 1
        run.at = at
        run.kind_count += action - actions
        memset(action, 0, AHEAD_SLOT * sizeof(itch_action_t))   # looked at ahead of the last
        self._act(actions, action - actions, applied)
        return status

    cdef int _other(
        self, itch_run_t* run, const uint8_t** at, Py_ssize_t prefix, Py_ssize_t length, uint8_t kind
    ) noexcept nogil:
        """A message that is no concern of a book, or a faulty one."""
        cdef const uint8_t* body = at[0] + prefix
        if prefix == 0 and length == 0:
            return ITCH_KIND
        if length == 0:
            at[0] += prefix
            return ITCH_END
        if run.end - body < length:
            return ITCH_CUT
        if length != ITCH_LENGTH[kind] and ITCH_LENGTH[kind] != 0:
            return ITCH_SIZE
        if kind == c"P" and body[19] != c"B" and body[19] != c"S":
            return ITCH_SIDE
        if ITCH_LENGTH[kind] == 0:
            run.unknown += 1
        else:
            run.kind_count += 1
            self.messages += kind == c"P" or kind == c"Q" or kind == c"B"
            self.crosses += kind == c"Q"
            self.broken_trades += kind == c"B"
        at[0] = body + length
        return ITCH_OK

    cdef void _act(self, const itch_action_t* actions, Py_ssize_t count, int* applied) noexcept nogil:
        cdef books_t* b = self.b
        cdef const itch_action_t* a
        cdef const itch_action_t* ahead
        cdef Py_ssize_t i
        cdef order_slot_t* slot
        cdef resting_t* order
        cdef uint32_t index, side
        for i in range(count):
            prefetch_line(resting_at(b, slot_at(b, actions[i + AHEAD_ORDER].home).order))
            ahead = &actions[i + AHEAD_LEVEL]
            books_prefetch_levels(b, ahead.home, ahead.index, ahead.price, ahead.side == c"S")
            a = &actions[i]
            index = a.index
            if a.kind == c"A" or a.kind == c"F":
                if (a.price == 0) | (a.quantity == 0):
                    self.void_orders += 1
                    continue
                if index == 0:
                    index = b.small[a.locate]       # opened since it was decoded
                if index == 0:
                    applied[0] = books_new(b, a.locate, b.edge, b.step)
                    if applied[0] < 0:
                        return
                    index = <uint32_t>applied[0]
                applied[0] = books_add(b, a.home, index, a.side == c"S", a.price, a.order_id, a.quantity)
                if applied[0] != BOOKS_OK:
                    return
                continue
            if index == 0:
                index = b.small[a.locate]
            slot = books_slot(b, a.home, index, a.order_id)
            if slot == NULL:
                b.unknown += 1
                continue
            order = resting_at(b, slot.order)
            if a.kind == c"D":
                books_remove(b, a.home, slot)
            elif a.kind == c"U":
                side = order.owner & OWNER_SELL
                books_remove(b, a.home, slot)
                if a.price == 0 or a.quantity == 0:
                    self.void_orders += 1
                    continue
                applied[0] = books_add(
                    b, home_of(b, a.new_order_id), index, side, a.price, a.new_order_id, a.quantity
                )
                if applied[0] != BOOKS_OK:
                    return
            else:
                books_take(b, a.home, slot, order, a.quantity)
        self.messages += count

    def build(self, orders):
        """Apply messages to the books; the BOOK_DELTA and TRADE arrays that they mean."""
        return self._run(orders, True)

    def _run(self, orders, bint wanted):
        if not isinstance(orders, np.ndarray) or (orders.dtype is not _ITCH_ORDER and orders.dtype != _ITCH_ORDER):
            raise TypeError(f"orders are {getattr(orders, 'dtype', type(orders).__name__)}; expected an ITCH_ORDER array")
        if orders.ndim != 1 or not orders.flags.c_contiguous:
            raise TypeError("orders are not one contiguous row; expected a one-dimensional C-contiguous array")
        cdef const itch_order_t* rows = <const itch_order_t*>cnp.PyArray_DATA(<cnp.ndarray>orders)
        cdef Py_ssize_t done, count = (<cnp.ndarray>orders).shape[0]
        cdef feed_out_t out
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
            done = self._all(rows, count, &out, &status)
        if status != BOOKS_OK:
            raise MemoryError(f"orders[{done}]: no room for another order, level or instrument in the books")
        return (deltas[:out.delta_count], trades[:out.trade_count]) if wanted else None

    cdef Py_ssize_t _all(
        self, const itch_order_t* rows, Py_ssize_t count, feed_out_t* out, int* status
    ) noexcept nogil:
        cdef uint32_t homes[AHEAD_RING]
        cdef books_t* b = self.b
        cdef Py_ssize_t i, k
        cdef uint32_t home
        for k in range(AHEAD_SLOT if count > AHEAD_SLOT else count):
            homes[k] = home_of(b, rows[k].order_id)
        for i in range(count):
            k = i + AHEAD_SLOT
            if k < count:
                home = home_of(b, rows[k].order_id)
                homes[k & (AHEAD_RING - 1)] = home
                prefetch_line(slot_at(b, home))
                prefetch_line(slot_at(b, home_of(b, rows[k].new_order_id)))
                k = i + AHEAD_ORDER
                books_prefetch_order(b, homes[k & (AHEAD_RING - 1)], b.small[rows[k].locate], rows[k].price,
                                     rows[k].side == c"S")
                k = i + AHEAD_LEVEL
                books_prefetch_neighbours(b, homes[k & (AHEAD_RING - 1)], b.small[rows[k].locate], rows[k].price,
                                          rows[k].side == c"S")
            status[0] = self._one(homes[i & (AHEAD_RING - 1)], &rows[i], out)
            if status[0] != BOOKS_OK:
                return i
        return count

    cdef int _one(self, uint32_t home, const itch_order_t* m, feed_out_t* out) noexcept nogil:
        cdef books_t* b = self.b
        cdef uint32_t index, side
        cdef order_slot_t* slot
        cdef uint32_t locate = m.locate
        cdef uint8_t kind = m.kind
        cdef uint8_t resting_side
        cdef int64_t now_ns = self.midnight_ns + m.time_ns
        cdef int64_t price, quantity
        cdef resting_t* order
        cdef int status
        self.messages += 1
        if kind == c"A" or kind == c"F":
            if m.price == 0 or m.quantity == 0:
                self.void_orders += 1
                return BOOKS_OK
            index = books_index(b, locate)
            if index == 0:
                status = books_new(b, locate, b.edge, b.step)
                if status < 0:
                    return status
                index = <uint32_t>status
            side = m.side == c"S"
            put_delta(out, now_ns, self.messages, locate, m.order_id, SIDE_BUY + side, ACTION_ADD, m.price,
                      <int64_t>m.quantity, True)
            return books_add(b, home, index, side, m.price, m.order_id, <int64_t>m.quantity)
        if kind == c"P":
            resting_side = SIDE_BUY if m.side == c"B" else SIDE_SELL
            put_delta(out, now_ns, self.messages, locate, m.order_id, resting_side, ACTION_EXECUTE_HIDDEN, m.price,
                      <int64_t>m.quantity, True)
            put_trade(out, now_ns, m.match_id, locate, resting_side, m.price, <int64_t>m.quantity)
            return BOOKS_OK
        if kind == c"Q":
            self.crosses += 1
            return BOOKS_OK
        if kind == c"B":
            self.broken_trades += 1
            return BOOKS_OK
        index = books_index(b, locate)
        slot = books_slot(b, home, index, m.order_id)
        if slot == NULL:
            b.unknown += 1
            return BOOKS_OK
        order = resting_at(b, slot.order)
        side = order.owner & OWNER_SELL
        resting_side = order_side(order)
        if out.deltas == NULL:
            price = 0
        else:
            price = order_price(b, order)
        if kind == c"D":
            put_delta(out, now_ns, self.messages, locate, m.order_id, resting_side, ACTION_DELETE, price,
                      order.quantity, True)
            books_remove(b, home, slot)
        elif kind == c"U":
            put_delta(out, now_ns, self.messages, locate, m.order_id, resting_side, ACTION_DELETE, price,
                      order.quantity, m.price == 0 or m.quantity == 0)
            books_remove(b, home, slot)
            if m.price == 0 or m.quantity == 0:
                self.void_orders += 1
                return BOOKS_OK
            put_delta(out, now_ns, self.messages, locate, m.new_order_id, resting_side, ACTION_ADD, m.price,
                      <int64_t>m.quantity, True)
            return books_add(b, home_of(b, m.new_order_id), index, side, m.price, m.new_order_id,
                             <int64_t>m.quantity)
        elif kind == c"X":
            quantity = books_take(b, home, slot, order, <int64_t>m.quantity)
            put_delta(out, now_ns, self.messages, locate, m.order_id, resting_side, ACTION_REDUCE, price, quantity,
                      True)
        else:
            quantity = books_take(b, home, slot, order, <int64_t>m.quantity)
            put_delta(out, now_ns, self.messages, locate, m.order_id, resting_side, ACTION_EXECUTE, price, quantity,
                      True)
            if kind == c"C" and m.printable != c"Y":
                self.unprinted += 1         # part of a cross, which is printed as a whole
            elif kind == c"C":
                put_trade(out, now_ns, m.match_id, locate, resting_side, m.price, quantity)
            else:
                put_trade(out, now_ns, m.match_id, locate, resting_side, price, quantity)
        return BOOKS_OK
