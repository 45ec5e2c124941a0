"""Ticks of a source, checked and made records of the platform; state and contract are in normalise.pxd."""

from decimal import Decimal, InvalidOperation

import numpy as np

from nautilus.core.ticks import QUARANTINE as _QUARANTINE
from nautilus.core.ticks import TICK as _TICK
from nautilus.core.ticks import TickKind, TickReason
from nautilus.core.types import BOOK_DELTA as _BOOK_DELTA
from nautilus.core.types import QUOTE as _QUOTE
from nautilus.core.types import TRADE as _TRADE

cimport cython
cimport numpy as cnp
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset

from nautilus.core.id_index cimport id_index_add, id_index_close, id_index_find, id_index_open
from nautilus.core.ticks cimport (
    RECORD_GAP,
    TICK_CLEAR,
    TICK_CROSSED,
    TICK_DUPLICATE,
    TICK_GAP,
    TICK_JUMP,
    TICK_KIND,
    TICK_LEVEL,
    TICK_LOCKED,
    TICK_OUT_OF_ORDER,
    TICK_PRECISION,
    TICK_QUANTITY,
    TICK_QUOTE,
    TICK_RANGE,
    TICK_REASONS,
    TICK_SIDE,
    TICK_TIME,
    TICK_TRADE,
    TICK_UNKNOWN_INSTRUMENT,
    quarantined_t,
    record_rows,
    tick_t,
)
from nautilus.core.types cimport (
    ACTION_CLEAR,
    ACTION_SET,
    MAX_PRICE_BITS,
    MAX_QUANTITY_BITS,
    RECORD_LAST,
    RECORD_SNAPSHOT,
    SIDE_BUY,
    SIDE_SELL,
    book_delta_t,
    quote_t,
    trade_t,
)

cnp.import_array()

cdef enum:
    KNOWN_FLAGS = 63            # RECORD bits
cdef int64_t MOST_PRICE = <int64_t>1 << MAX_PRICE_BITS
cdef int64_t MOST_LOTS = <int64_t>1 << MAX_QUANTITY_BITS
cdef int64_t MOST_NS = <int64_t>1 << 62


cdef inline int stream_of(int kind) noexcept nogil:
    return kind - 1 if kind <= TICK_LEVEL else TICK_LEVEL - 1


cdef inline void lose(numbered_t* stream, const tick_t* tick) noexcept nogil:
    """Remember a change of the book that was refused."""
    stream.lost |= LOST_CHANGE
    if tick.quantity_2 & RECORD_LAST:
        stream.lost |= LOST_LAST
    if tick.quantity_2 & RECORD_SNAPSHOT and not tick.quantity_2 & RECORD_LAST:
        stream.lost |= LOST_SNAPSHOT
    else:
        stream.lost &= ~<uint16_t>LOST_SNAPSHOT


cdef inline int told(numbered_t* stream, const tick_t* tick) noexcept nogil:
    """Flags by which a change that passes tells of those that were refused before it."""
    cdef int flags = RECORD_GAP
    if tick.quantity_2 & RECORD_SNAPSHOT:
        if not stream.lost & LOST_SNAPSHOT:
            stream.lost = 0             # all begins anew
            return 0
        if not tick.quantity_2 & RECORD_LAST:
            return 0
    elif stream.open and stream.lost & LOST_LAST:
        flags |= RECORD_LAST
    stream.lost = 0
    return flags


cdef tuple _unit(str name, object number):
    """(mantissa, decimals) of an increment."""
    try:
        value = Decimal(number)
    except InvalidOperation:
        value = Decimal(0)
    if value.is_finite() and value > 0 and -MOST_DECIMALS <= value.adjusted() <= MOST_DECIMALS:
        _, digits, exponent = value.normalize().as_tuple()
        mantissa = int("".join(map(str, digits))) * 10 ** max(0, exponent)
        if mantissa < 1 << 62 and -exponent <= MOST_DECIMALS:
            return mantissa, max(0, -exponent)
    raise ValueError(f"Normaliser: {name} {number}; expected a positive number of at most {MOST_DECIMALS} decimals")


# `self` is never None; the debug build's check for that would need the GIL.
@cython.nonecheck(False)
cdef class Normaliser:
    def __cinit__(
        self, instruments=(), *, int64_t future_ns=1_000_000_000, int64_t past_ns=0, int64_t late_ns=0,
        int64_t jump_bps=1_000, int64_t jump_ticks=10, int agreeing=3, consecutive=(TickKind.TRADE,),
        bint locked=False, int source_id=0,
    ):
        for name, value, most in (
            ("future_ns", future_ns, MOST_NS), ("past_ns", past_ns, MOST_NS), ("late_ns", late_ns, MOST_NS),
            ("jump_bps", jump_bps, 1_000_000), ("jump_ticks", jump_ticks, MOST_PRICE),
            ("source_id", source_id, 65535),
        ):
            if not 0 <= value <= most:
                raise ValueError(f"Normaliser: {name} {value}; expected 0 to {most}")
        if agreeing < 1:
            raise ValueError(f"Normaliser: agreeing {agreeing}; expected 1 or more")
        self._future_ns, self._past_ns, self._late_ns = future_ns, past_ns, late_ns
        self._jump_bps, self._jump_ticks, self._agreeing = jump_bps, jump_ticks, agreeing
        self._locked, self._source_id = locked, source_id
        for kind in consecutive:
            self._consecutive |= <uint32_t>1 << stream_of(TickKind(kind))
        if id_index_open(&self._index) != 0:
            raise MemoryError("Normaliser: no memory for its instruments")
        for each in instruments:
            self.add(
                each.instrument_id, price_increment=each.price_increment, lot_size=each.lot_size,
                negative_prices=each.negative_prices,
            )

    def __dealloc__(self):
        id_index_close(&self._index)
        free(self._known)
        free(self._own.quotes)
        free(self._own.trades)
        free(self._own.levels)
        free(self._own.refused)

    def add(self, uint32_t instrument_id, *, price_increment="0.0001", lot_size="0.01", bint negative_prices=False):
        cdef known_t* known
        cdef uint32_t room, place
        price_unit, price_decimals = _unit("price_increment", price_increment)
        lot_unit, lot_decimals = _unit("lot_size", lot_size)
        if instrument_id == 0 or self.find(instrument_id) != NULL:
            raise ValueError(f"Normaliser: instrument {instrument_id}; expected one above 0 that is not known yet")
        if self._index.count == self._room:
            room = max(64, 2 * self._room)
            known = <known_t*>realloc(self._known, room * sizeof(known_t))
            if known == NULL:
                raise MemoryError("Normaliser: no memory for another instrument")
            self._known, self._room = known, room
        place = id_index_add(&self._index, instrument_id)
        if place == 0:
            raise MemoryError("Normaliser: no room for another instrument")
        known = &self._known[place - 1]
        memset(known, 0, sizeof(known_t))
        known.instrument_id = instrument_id
        known.price_unit, known.price_decimals = price_unit, price_decimals
        known.lot_unit, known.lot_decimals = lot_unit, lot_decimals
        known.negative = negative_prices

    def anchor(self, uint32_t instrument_id, int64_t price_ticks):
        cdef known_t* known = self.find(instrument_id)
        if known == NULL:
            raise KeyError(f"no instrument {instrument_id}")
        if not -MOST_PRICE <= price_ticks <= MOST_PRICE:
            raise ValueError(f"Normaliser: price_ticks {price_ticks}; expected at most 2^{MAX_PRICE_BITS} in size")
        known.reference, known.anchored, known.agreeing = price_ticks, 1, 0

    cdef known_t* find(self, uint32_t instrument_id) noexcept nogil:
        cdef uint32_t place = id_index_find(&self._index, instrument_id)
        return &self._known[place - 1] if place else NULL

    cdef Py_ssize_t run(self, const tick_t* ticks, Py_ssize_t count, normalised_t* out) noexcept nogil:
        """Take ticks in order, until one of the outputs may have no room for the next; how many were taken."""
        cdef Py_ssize_t i
        cdef const tick_t* tick
        cdef known_t* known
        cdef numbered_t* stream
        cdef quote_t* quote
        cdef trade_t* trade
        cdef book_delta_t* level
        cdef quarantined_t* refused
        cdef int64_t values[4]
        cdef int64_t reference
        cdef int reason, gap, side, first, last
        for i in range(count):
            if (
                out.quote_count >= out.quote_room or out.trade_count >= out.trade_room
                or out.level_count + 2 > out.level_room or out.refused_count >= out.refused_room
            ):
                return i
            tick = &ticks[i]
            known = self.find(tick.instrument_id)
            reference = 0
            gap = 0
            reason = TICK_UNKNOWN_INSTRUMENT if known == NULL else self._check(tick, known, values, &gap, &reference)
            if reason:
                self._reasons[reason] += 1
                if known != NULL:
                    known.refused += 1
                    if (
                        (tick.kind == TICK_LEVEL or tick.kind == TICK_CLEAR)
                        and reason != TICK_DUPLICATE and reason != TICK_OUT_OF_ORDER
                    ):
                        lose(&known.streams[stream_of(TICK_LEVEL)], tick)
                refused = &out.refused[out.refused_count]
                out.refused_count += 1
                memcpy(&refused.tick, tick, sizeof(tick_t))
                refused.reference = reference
                refused.reason = <uint16_t>reason
                refused.reserved = 0
                refused.padding = 0
                continue
            stream = &known.streams[stream_of(tick.kind)]
            if tick.sequence:
                stream.sequence = tick.sequence
            if tick.venue_ns > stream.venue_ns or tick.sequence:
                stream.venue_ns = tick.venue_ns
            stream.restarted = 0
            self._passed[tick.kind] += 1
            if gap:
                self._reasons[TICK_GAP] += 1
                gap = RECORD_GAP
            if tick.kind == TICK_QUOTE:
                quote = &out.quotes[out.quote_count]
                out.quote_count += 1
                quote.now_ns, quote.venue_ns, quote.update_id = tick.receive_ns, tick.venue_ns, tick.sequence
                quote.bid_ticks, quote.bid_quantity = values[0], values[1]
                quote.ask_ticks, quote.ask_quantity = values[2], values[3]
                quote.instrument_id = tick.instrument_id
                quote.flags = <uint16_t>(RECORD_LAST | gap)
                quote.source_id = <uint16_t>self._source_id
                memcpy(known.quote, values, sizeof(known.quote))
                known.quote_ns = tick.venue_ns
            elif tick.kind == TICK_TRADE:
                trade = &out.trades[out.trade_count]
                out.trade_count += 1
                trade.now_ns, trade.venue_ns, trade.trade_id = tick.receive_ns, tick.venue_ns, tick.sequence
                trade.price_ticks, trade.quantity = values[0], values[1]
                trade.instrument_id = tick.instrument_id
                trade.side, trade.reserved = tick.side, 0
                trade.flags = <uint16_t>(tick.quantity_2 | RECORD_LAST | gap)
            else:
                if stream.lost:
                    gap |= told(stream, tick)
                stream.open = not tick.quantity_2 & RECORD_LAST
                first = last = tick.side
                if not tick.side:
                    first, last = SIDE_BUY, SIDE_SELL
                for side in range(first, last + 1):
                    level = &out.levels[out.level_count]
                    out.level_count += 1
                    level.now_ns, level.venue_ns, level.update_id = tick.receive_ns, tick.venue_ns, tick.sequence
                    level.order_id = 0
                    level.price_ticks, level.quantity = values[0], values[1]
                    level.instrument_id = tick.instrument_id
                    level.side = <uint8_t>side
                    level.action = ACTION_SET if tick.kind == TICK_LEVEL else ACTION_CLEAR
                    level.flags = <uint16_t>(tick.quantity_2 | gap)
                    if side != last:
                        level.flags &= ~<uint16_t>RECORD_LAST
        return count

    cdef int _check(self, const tick_t* tick, known_t* known, int64_t* values, int* gap, int64_t* reference) noexcept nogil:
        """The reason for which a tick is refused, 0: none; its prices and quantities in ticks and lots."""
        cdef int kind = tick.kind, reason, at, shift
        cdef int64_t raw_price, raw_lots
        cdef bint both = kind == TICK_QUOTE
        if kind < TICK_QUOTE or kind > TICK_CLEAR or (not both and <uint64_t>tick.quantity_2 > KNOWN_FLAGS):
            return TICK_KIND
        if not both and (tick.side > SIDE_SELL or (kind == TICK_LEVEL and tick.side == 0)):
            return TICK_SIDE
        if (
            tick.receive_ns <= 0 or tick.receive_ns > MOST_NS or tick.venue_ns < 0 or tick.venue_ns > MOST_NS
            or (tick.venue_ns and (
                tick.venue_ns - tick.receive_ns > self._future_ns
                or (self._past_ns and tick.receive_ns - tick.venue_ns > self._past_ns)
            ))
        ):
            reference[0] = tick.receive_ns
            return TICK_TIME
        values[0] = values[1] = values[2] = values[3] = 0
        if kind != TICK_CLEAR:
            for at in range(0, 4 if both else 2, 2):
                raw_price = tick.price_2 if at else tick.price
                raw_lots = tick.quantity_2 if at else tick.quantity
                if raw_lots < 0:
                    return TICK_QUANTITY
                shift = known.lot_decimals - tick.quantity_decimals
                if tick.quantity_decimals > MOST_DECIMALS or exact_units(raw_lots, shift, known.lot_unit, &values[at + 1]):
                    return TICK_PRECISION
                if values[at + 1] > MOST_LOTS or (kind == TICK_TRADE and values[at + 1] == 0):
                    return TICK_QUANTITY
                if both and values[at + 1] == 0:
                    continue
                shift = known.price_decimals - tick.price_decimals
                if tick.price_decimals > MOST_DECIMALS or exact_units(raw_price, shift, known.price_unit, &values[at]):
                    return TICK_PRECISION
                if values[at] > MOST_PRICE or values[at] < -MOST_PRICE or (values[at] <= 0 and not known.negative):
                    return TICK_RANGE
        reason = self._order(tick, &known.streams[stream_of(kind)], gap, reference)
        if reason:
            return reason
        if kind == TICK_TRADE:
            return self._jump(known, values[0], reference)
        if not both:
            return 0
        if (
            tick.sequence == 0 and tick.venue_ns and tick.venue_ns == known.quote_ns and values[0] == known.quote[0]
            and values[1] == known.quote[1] and values[2] == known.quote[2] and values[3] == known.quote[3]
        ):
            reference[0] = known.quote_ns
            return TICK_DUPLICATE
        if values[1] and values[3]:
            if values[0] >= values[2] and (values[0] > values[2] or not self._locked):
                reference[0] = values[0]
                return TICK_CROSSED if values[0] > values[2] else TICK_LOCKED
            return self._jump(known, (values[0] + values[2]) >> 1, reference)
        if values[1] or values[3]:
            return self._jump(known, values[0] if values[1] else values[2], reference)
        return 0

    cdef int _order(self, const tick_t* tick, numbered_t* stream, int* gap, int64_t* reference) noexcept nogil:
        """Whether a tick comes after the last one of its stream; `gap`: numbers are missing in between."""
        cdef bint book = tick.kind >= TICK_LEVEL
        cdef int reason
        if book and tick.quantity_2 & RECORD_SNAPSHOT:
            return 0
        if tick.sequence == 0 or stream.sequence == 0:
            if tick.sequence == 0 and tick.venue_ns and stream.venue_ns - tick.venue_ns > self._late_ns:
                reference[0] = stream.venue_ns
                return TICK_OUT_OF_ORDER
            return 0
        if tick.sequence > stream.sequence:
            gap[0] = tick.sequence != stream.sequence + 1 and self._consecutive >> stream_of(tick.kind) & 1
            return 0
        if book and stream.open and tick.sequence == stream.sequence:
            return 0
        reference[0] = <int64_t>stream.sequence
        reason = TICK_DUPLICATE if tick.sequence == stream.sequence else TICK_OUT_OF_ORDER
        if tick.venue_ns <= stream.venue_ns or stream.venue_ns == 0:
            stream.restarted = 0
            return reason
        # Lower numbers with later stamps: the venue may have begun to number anew, which a resent tick does not look like.
        stream.restarted = stream.restarted + 1 if stream.restarted and tick.sequence > stream.back else 1
        stream.back = tick.sequence
        if stream.restarted < self._agreeing:
            return reason
        gap[0] = 1
        reference[0] = 0
        return 0

    cdef int _jump(self, known_t* known, int64_t price, int64_t* reference) noexcept nogil:
        """Whether a price is too far from the last one; after `agreeing` ones near each other it is where the market is."""
        cdef int64_t allowed, distance
        if not self._jump_bps:
            return 0
        if known.anchored:
            distance = price - known.reference if price >= known.reference else known.reference - price
            allowed = known.reference if known.reference >= 0 else -known.reference
            if distance > self._jump_ticks and distance * 10_000 > allowed * self._jump_bps:
                reference[0] = known.reference
                distance = price - known.candidate if price >= known.candidate else known.candidate - price
                allowed = known.candidate if known.candidate >= 0 else -known.candidate
                if known.agreeing and (distance <= self._jump_ticks or distance * 10_000 <= allowed * self._jump_bps):
                    known.agreeing += 1
                else:
                    known.agreeing = 1
                known.candidate = price
                if known.agreeing < self._agreeing:
                    return TICK_JUMP
                reference[0] = 0
        known.reference = price
        known.anchored = 1
        known.agreeing = 0
        return 0

    def process(self, ticks):
        cdef cnp.ndarray rows = record_rows(ticks, _TICK, "Normaliser.process: ticks")
        cdef Py_ssize_t count = rows.shape[0]
        cdef normalised_t* own = &self._own
        self._reserve(count)
        own.quote_count = own.trade_count = own.level_count = own.refused_count = 0
        with nogil:
            self.run(<const tick_t*>cnp.PyArray_DATA(rows), count, own)
        return (
            _copy(own.quotes, own.quote_count, _QUOTE),
            _copy(own.trades, own.trade_count, _TRADE),
            _copy(own.levels, own.level_count, _BOOK_DELTA),
            _copy(own.refused, own.refused_count, _QUARANTINE),
        )

    def process_into(self, ticks, quotes, trades, levels, quarantine):
        cdef cnp.ndarray rows = record_rows(ticks, _TICK, "Normaliser.process_into: ticks")
        cdef cnp.ndarray a = _room(quotes, _QUOTE, "quotes"), b = _room(trades, _TRADE, "trades")
        cdef cnp.ndarray c = _room(levels, _BOOK_DELTA, "levels"), d = _room(quarantine, _QUARANTINE, "quarantine")
        cdef normalised_t out
        cdef Py_ssize_t count = rows.shape[0], used
        memset(&out, 0, sizeof(out))
        out.quotes, out.quote_room = <quote_t*>cnp.PyArray_DATA(a), a.shape[0]
        out.trades, out.trade_room = <trade_t*>cnp.PyArray_DATA(b), b.shape[0]
        out.levels, out.level_room = <book_delta_t*>cnp.PyArray_DATA(c), c.shape[0]
        out.refused, out.refused_room = <quarantined_t*>cnp.PyArray_DATA(d), d.shape[0]
        with nogil:
            used = self.run(<const tick_t*>cnp.PyArray_DATA(rows), count, &out)
        return used, out.quote_count, out.trade_count, out.level_count, out.refused_count

    def counts(self):
        return {reason: self._reasons[<int>reason] for reason in TickReason}

    def refused_of(self, uint32_t instrument_id):
        cdef known_t* known = self.find(instrument_id)
        if known == NULL:
            raise KeyError(f"no instrument {instrument_id}")
        return known.refused

    @property
    def passed(self):
        return self._passed[1] + self._passed[2] + self._passed[3] + self._passed[4]

    @property
    def refused(self):
        return sum(self._reasons[i] for i in range(TICK_REASONS) if i != TICK_GAP)

    @property
    def instruments(self):
        return [self._known[i].instrument_id for i in range(self._index.count)]

    cdef int _reserve(self, Py_ssize_t count) except -1:
        """Room of its own for what so many ticks may become."""
        cdef normalised_t* own = &self._own
        cdef Py_ssize_t room = max(1024, own.quote_room)
        if count <= own.quote_room:
            return 0
        while room < count:
            room *= 2
        free(own.quotes)
        free(own.trades)
        free(own.levels)
        free(own.refused)
        own.quotes = <quote_t*>malloc(room * sizeof(quote_t))
        own.trades = <trade_t*>malloc(room * sizeof(trade_t))
        own.levels = <book_delta_t*>malloc(2 * room * sizeof(book_delta_t))
        own.refused = <quarantined_t*>malloc(room * sizeof(quarantined_t))
        own.quote_room = own.trade_room = own.refused_room = room
        own.level_room = 2 * room
        if own.quotes == NULL or own.trades == NULL or own.levels == NULL or own.refused == NULL:
            own.quote_room = own.trade_room = own.level_room = own.refused_room = 0
            raise MemoryError("Normaliser: no memory for a batch")
        return 0


cdef object _copy(const void* rows, Py_ssize_t count, object dtype):
    out = np.empty(count, dtype)
    if count:
        memcpy(cnp.PyArray_DATA(<cnp.ndarray>out), rows, count * dtype.itemsize)
    return out


cdef cnp.ndarray _room(object rows, object dtype, str name):
    cdef cnp.ndarray out = record_rows(rows, dtype, f"Normaliser.process_into: {name}")
    if not out.flags.writeable:
        raise TypeError(f"Normaliser.process_into: {name}: read-only; expected an array to write into")
    return out
