"""Trades of many instruments summed up to bars; state and contract are in bars.pxd.

Imbalance bars: Lopez de Prado, "Advances in Financial Machine Learning" (2018), section 2.3.2.
"""

import numpy as np

from nautilus.core.ticks import BAR as _BAR
from nautilus.core.ticks import BarKind
from nautilus.core.types import TRADE as _TRADE

cimport cython
cimport numpy as cnp
from libc.math cimport fabs
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from nautilus.core.id_index cimport id_index_add, id_index_close, id_index_find, id_index_open
from nautilus.core.ticks cimport BAR_DOLLAR, BAR_IMBALANCE, BAR_TICK, BAR_TIME, BAR_VOLUME, RECORD_GAP, bar_t, record_rows
from nautilus.core.types cimport (
    MAX_PRICE_BITS,
    MAX_QUANTITY_BITS,
    RECORD_LAST,
    RECORD_STALE,
    RECORD_SYNTHETIC,
    SIDE_BUY,
    SIDE_SELL,
    trade_t,
)

cnp.import_array()

cdef int64_t MOST_TICKS = <int64_t>1 << MAX_PRICE_BITS
cdef int64_t MOST_LOTS = <int64_t>1 << MAX_QUANTITY_BITS
cdef int64_t MOST_NS = <int64_t>1 << 62
cdef enum:
    INHERITED = RECORD_SYNTHETIC | RECORD_STALE | RECORD_GAP
    MOST_EMPTY = 100_000        # bars without a trade between two trades
    SPREAD = 10                 # an imbalance bar has a tenth to ten times the trades of the rule
_WEIGHTS = {"trades": WEIGHT_TRADES, "lots": WEIGHT_LOTS, "value": WEIGHT_VALUE}


# `self` is never None; the debug build's check for that would need the GIL.
@cython.nonecheck(False)
cdef class BarBuilder:
    def __cinit__(
        self, kind, int64_t size, *, weight="trades", double alpha=0.1, bint venue_clock=True, bint empty=False
    ):
        self._kind = BarKind(kind)
        most = MOST_NS if self._kind in (BAR_TIME, BAR_VOLUME, BAR_DOLLAR) else 1 << 28
        if not 1 <= size <= most:
            raise ValueError(f"BarBuilder: size {size}; expected 1 to {most}")
        if not 0 < alpha <= 1:
            raise ValueError(f"BarBuilder: alpha {alpha}; expected above 0, at most 1")
        if weight not in _WEIGHTS:
            raise ValueError(f"BarBuilder: weight {weight!r}; expected one of {', '.join(_WEIGHTS)}")
        self.size, self._weight, self._alpha = size, _WEIGHTS[weight], alpha
        self._venue_clock, self._empty = venue_clock, empty
        self._least, self._most = max(1, size // SPREAD), size * SPREAD if self._kind == BAR_IMBALANCE else 0
        if id_index_open(&self._index) != 0:
            raise MemoryError("BarBuilder: no memory for its instruments")

    def __dealloc__(self):
        id_index_close(&self._index)
        free(self._building)

    cdef building_t* _at(self, uint32_t instrument_id) noexcept nogil:
        cdef uint32_t place = id_index_find(&self._index, instrument_id), room
        cdef building_t* at
        if place:
            return &self._building[place - 1]
        if self._index.count == self._room:
            room = 2 * self._room if self._room else 16
            at = <building_t*>realloc(self._building, room * sizeof(building_t))
            if at == NULL:
                return NULL
            self._building, self._room = at, room
        place = id_index_add(&self._index, instrument_id)
        if place == 0:
            return NULL
        at = &self._building[place - 1]
        memset(at, 0, sizeof(building_t))
        at.bar.instrument_id = instrument_id
        at.bar.kind = <uint8_t>self._kind
        at.bar.size = self.size
        at.expected_trades = self.size
        return at

    cdef void _emit(self, building_t* at, int64_t now_ns, bint whole, bar_t* out) noexcept nogil:
        """Write the bar, and begin with none."""
        cdef double trades = at.bar.trades
        cdef bar_t* bar = &at.bar
        bar.now_ns = now_ns
        bar.notional = <double>at.signed_value
        if whole:
            bar.flags |= RECORD_LAST
        out[0] = bar[0]
        if self._kind == BAR_IMBALANCE and whole:
            if at.bars == 0:
                at.expected_trades = trades
                at.expected_flow = <double>at.imbalance / trades
            else:
                at.expected_trades += self._alpha * (trades - at.expected_trades)
                at.expected_flow += self._alpha * (<double>at.imbalance / trades - at.expected_flow)
        at.bars += whole
        at.begun = False
        at.value = at.signed_value = at.imbalance = 0
        bar.volume = bar.buy_volume = 0
        bar.trades = 0
        bar.flags = 0
        bar.open_ticks = bar.high_ticks = bar.low_ticks = bar.close_ticks

    cdef int _roll(
        self, building_t* at, int64_t begin_ns, int64_t now_ns, bar_t* out, Py_ssize_t room, Py_ssize_t* made
    ) noexcept nogil:
        """End intervals before `begin_ns`; BARS_ROOM: call again with more room."""
        while at.begun and at.bar.begin_ns < begin_ns:
            if at.bar.trades == 0 and not self._empty:
                at.bar.begin_ns = begin_ns
            elif at.bar.trades == 0 and (begin_ns - at.bar.begin_ns) // self.size > MOST_EMPTY:
                self.skipped += (begin_ns - at.bar.begin_ns) // self.size
                at.bar.begin_ns = begin_ns
            else:
                if made[0] == room:
                    return BARS_ROOM
                self._emit(at, now_ns, True, &out[made[0]])
                made[0] += 1
                at.begun = True
                at.bar.begin_ns = at.bar.begin_ns + self.size if self._empty else begin_ns
            at.bar.end_ns = at.bar.begin_ns + self.size
        return BARS_OK

    cdef bint _met(self, building_t* at) noexcept nogil:
        """Whether the trade that came last ends the bar."""
        cdef bar_t* bar = &at.bar
        cdef wide_t size
        if self._kind == BAR_TICK:
            return bar.trades >= self.size
        if self._kind == BAR_VOLUME:
            return bar.volume >= self.size
        if self._kind == BAR_DOLLAR:
            return at.value >= self.size
        if self._kind == BAR_IMBALANCE:
            if at.bars == 0:
                return bar.trades >= self.size
            if bar.trades < self._least:
                return False
            size = at.imbalance if at.imbalance >= 0 else -at.imbalance
            return bar.trades >= self._most or <double>size >= at.expected_trades * fabs(at.expected_flow)
        return False

    cdef Py_ssize_t run(
        self, const trade_t* trades, Py_ssize_t count, bar_t* out, Py_ssize_t room, Py_ssize_t* made, int* status
    ) noexcept nogil:
        """Take trades in order; how many were taken, fewer than `count` where `status` tells why."""
        cdef Py_ssize_t i
        cdef const trade_t* trade
        cdef building_t* at
        cdef bar_t* bar
        cdef int64_t stamp, begin_ns, price, lots
        cdef wide_t value, weight
        status[0] = BARS_OK
        for i in range(count):
            trade = &trades[i]
            price, lots = trade.price_ticks, trade.quantity
            stamp = trade.venue_ns if self._venue_clock and trade.venue_ns else trade.now_ns
            if (
                price > MOST_TICKS or price < -MOST_TICKS or lots < 0 or lots > MOST_LOTS or trade.side > SIDE_SELL
                or stamp < 0 or stamp >= MOST_NS
            ):
                status[0] = BARS_RANGE
                return i
            at = self._at(trade.instrument_id)
            if at == NULL:
                status[0] = BARS_INSTRUMENT
                return i
            bar = &at.bar
            if self._kind == BAR_TIME:
                begin_ns = stamp - stamp % self.size
                if at.begun and begin_ns < bar.begin_ns:
                    self.late += 1
                else:
                    status[0] = self._roll(at, begin_ns, trade.now_ns, out, room, made)
                    if status[0] != BARS_OK:
                        return i
                if not at.begun:
                    bar.begin_ns, bar.end_ns = begin_ns, begin_ns + self.size
            else:
                if made[0] == room:
                    status[0] = BARS_ROOM
                    return i
                if not at.begun:
                    bar.begin_ns = stamp
                bar.end_ns = stamp
            at.begun = True
            if bar.trades == 0:
                bar.open_ticks = bar.high_ticks = bar.low_ticks = price
            elif price > bar.high_ticks:
                bar.high_ticks = price
            elif price < bar.low_ticks:
                bar.low_ticks = price
            bar.close_ticks = price
            bar.trades += 1
            bar.volume += lots
            bar.flags |= trade.flags & INHERITED
            bar.now_ns = trade.now_ns
            value = <wide_t>price * lots
            at.signed_value += value
            at.value += value if value >= 0 else -value
            if trade.side == SIDE_BUY:
                bar.buy_volume += lots
                at.sign = 1
            elif trade.side == SIDE_SELL:
                at.sign = -1
            elif at.sign == 0 or price > at.last_ticks:
                at.sign = 1
            elif price < at.last_ticks:
                at.sign = -1
            at.last_ticks = price
            weight = 1
            if self._weight == WEIGHT_LOTS:
                weight = lots
            elif self._weight == WEIGHT_VALUE:
                weight = value if value >= 0 else -value
            at.imbalance += weight if at.sign > 0 else -weight
            if self._met(at):
                self._emit(at, trade.now_ns, True, &out[made[0]])
                made[0] += 1
        return count

    def process(self, trades):
        cdef cnp.ndarray rows = record_rows(trades, _TRADE, "BarBuilder.process: trades")
        cdef cnp.ndarray out
        cdef Py_ssize_t count = rows.shape[0], used = 0, room, made
        cdef const trade_t* at = <const trade_t*>cnp.PyArray_DATA(rows)
        cdef int status = BARS_ROOM
        parts = []
        while status == BARS_ROOM:
            room = max(64, count - used)
            out = np.empty(room, _BAR)
            made = 0
            with nogil:
                used += self.run(at + used, count - used, <bar_t*>cnp.PyArray_DATA(out), room, &made, &status)
            parts.append(out[:made])
        if status == BARS_INSTRUMENT:
            raise MemoryError(f"trades[{used}]: no room for another instrument")
        if status != BARS_OK:
            raise ValueError(f"trades[{used}]: price, quantity, side or stamp is out of range")
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def advance(self, int64_t now_ns):
        cdef uint32_t i
        cdef Py_ssize_t made
        cdef cnp.ndarray out
        cdef int status
        cdef int64_t begin_ns
        if not 0 <= now_ns < MOST_NS:
            raise ValueError(f"BarBuilder.advance: now_ns {now_ns}; expected 0 or more, below {MOST_NS}")
        parts = [np.empty(0, _BAR)]
        if self._kind == BAR_TIME:
            begin_ns = now_ns - now_ns % self.size
            for i in range(self._index.count):
                status = BARS_ROOM
                while status == BARS_ROOM and self._building[i].begun and self._building[i].bar.begin_ns < begin_ns:
                    out = np.empty(64, _BAR)
                    made = 0
                    status = self._roll(&self._building[i], begin_ns, now_ns, <bar_t*>cnp.PyArray_DATA(out), 64, &made)
                    parts.append(out[:made])
        return np.concatenate(parts)

    def flush(self):
        cdef uint32_t i
        cdef Py_ssize_t made = 0
        cdef building_t* at
        out = np.empty(self._index.count, _BAR)
        cdef bar_t* rows = <bar_t*>cnp.PyArray_DATA(<cnp.ndarray>out)
        for i in range(self._index.count):
            at = &self._building[i]
            if at.begun and at.bar.trades:
                self._emit(at, at.bar.now_ns, False, &rows[made])
                made += 1
            at.begun = False
        return out[:made]

    def expected(self, uint32_t instrument_id):
        cdef uint32_t place = id_index_find(&self._index, instrument_id)
        if place == 0:
            raise KeyError(f"no trade of instrument {instrument_id}")
        return self._building[place - 1].expected_trades, self._building[place - 1].expected_flow

    @property
    def kind(self):
        return BarKind(self._kind)
