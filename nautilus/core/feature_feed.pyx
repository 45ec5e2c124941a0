"""One thread. From the star's records to rows of a bank: converted, in order, each counted that is not taken.

Prices and sizes become decimals here, once: ticks times the numerator of the increment, over its denominator, which is
the double nearest to the decimal as long as the product is below 2^53.
"""

import numpy as np

from nautilus.core.ticks import BAR as _BAR
from nautilus.core.types import QUOTE as _QUOTE
from nautilus.core.types import TRADE as _TRADE

cimport numpy as cnp
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy

from nautilus.core.hashmap cimport prefetch_line
from nautilus.core.id_index cimport id_index_add, id_index_close, id_index_find, id_index_open
from nautilus.core.indicators cimport Bank
from nautilus.core.ticks cimport RECORD_GAP, bar_t, record_rows
from nautilus.core.types cimport RECORD_STALE, RECORD_SYNTHETIC, SIDE_BUY, SIDE_SELL, quote_t, trade_t

cnp.import_array()

cdef double MOST = 9223372036854775808.0    # ticks or lots that a record may say

BARS, QUOTES, TRADES = 1, 2, 3
_INPUTS = {BARS: 5, QUOTES: 4, TRADES: 5}


cdef class FeatureFeed:
    def __cinit__(
        self, Bank bank not None, int source, *, int bar_kind=0, int64_t bar_size=0, bint collects=False
    ):
        if source not in _INPUTS or bank.inputs != _INPUTS[source]:
            raise ValueError(f"source {source} of {bank.inputs} inputs, expected BARS, QUOTES or TRADES and its inputs")
        self.bank, self.source, self.bar_kind, self.bar_size = bank, source, bar_kind, bar_size
        self.collects = collects
        self.fed = <fed_t*>calloc(bank.capacity, sizeof(fed_t))
        if self.fed == NULL or id_index_open(&self.index) != 0:
            raise MemoryError("FeatureFeed: no memory")
        self.opened = True

    def __dealloc__(self):
        if self.opened:
            id_index_close(&self.index)
        free(self.fed)
        free(self.collected_rows)
        free(self.collected_times)

    def add(self, uint32_t instrument_id, double tick_over, double tick_under, double lot_over, double lot_under):
        cdef uint32_t place
        cdef fed_t* fed
        if id_index_find(&self.index, instrument_id):
            raise ValueError(f"instrument {instrument_id} is there, expected each once")
        if not (tick_over > 0 and tick_under > 0 and lot_over > 0 and lot_under > 0):
            raise ValueError(f"instrument {instrument_id}: an increment of 0, expected above 0")
        if not (isfinite(MOST * tick_over / tick_under) and isfinite(MOST * lot_over / lot_under)):
            raise ValueError(f"instrument {instrument_id}: an increment beyond all numbers, expected finite rows")
        if self.index.count >= <uint32_t>self.bank.capacity:
            raise ValueError(f"{self.index.count} instruments, expected at most {self.bank.capacity}")
        place = id_index_add(&self.index, instrument_id)
        if place == 0:
            raise MemoryError("FeatureFeed: no memory")
        fed = &self.fed[place - 1]
        fed.id, fed.tick_over, fed.tick_under = instrument_id, tick_over, tick_under
        fed.lot_over, fed.lot_under = lot_over, lot_under
        return place - 1

    def __len__(self):
        return self.index.count

    cdef int64_t place(self, uint32_t instrument_id) noexcept nogil:
        return <int64_t>id_index_find(&self.index, instrument_id) - 1

    cdef int put(self, int64_t slot, int64_t time_ns, int64_t known_ns, int flags, double* row) except -1:
        cdef fed_t* fed = &self.fed[slot]
        if self.collects:
            self.collect(time_ns, known_ns, row)
        else:
            self.bank.take(slot, row)
        if fed.time_ns == 0:
            fed.begin_ns = time_ns
        fed.time_ns, fed.known_ns = time_ns, known_ns
        if flags & RECORD_GAP:
            fed.gaps += 1
        if flags & RECORD_SYNTHETIC:
            fed.synthetic += 1
        self.taken += 1
        return 1

    cdef void fetch(self, int64_t slot, int64_t next_slot) noexcept nogil:
        cdef char* memory
        cdef int64_t j
        if next_slot < 0 or next_slot == slot or self.bank.slots[next_slot] == NULL:
            return
        memory = <char*>self.bank.slots[next_slot]
        for j in range(0, self.bank.slot_bytes, 64):
            prefetch_line(memory + j)

    cdef int collect(self, int64_t time_ns, int64_t known_ns, const double* row) except -1:
        cdef int64_t room, width = self.bank.inputs
        cdef void* grown
        if self.collected_count == self.collected_room:
            room = max(2 * self.collected_room, 1024)
            grown = realloc(self.collected_rows, room * width * sizeof(double))
            if grown == NULL:
                raise MemoryError("FeatureFeed: no memory")
            self.collected_rows = <double*>grown
            grown = realloc(self.collected_times, room * 2 * sizeof(int64_t))
            if grown == NULL:
                raise MemoryError("FeatureFeed: no memory")
            self.collected_times = <int64_t*>grown
            self.collected_room = room
        memcpy(self.collected_rows + self.collected_count * width, row, width * sizeof(double))
        self.collected_times[2 * self.collected_count] = time_ns
        self.collected_times[2 * self.collected_count + 1] = known_ns
        self.collected_count += 1
        return 0

    def collected(self):
        cdef int64_t j, k, width = self.bank.inputs
        rows = np.empty((width, self.collected_count))
        times = np.empty((2, self.collected_count), np.int64)
        cdef double[:, ::1] into = rows
        cdef int64_t[:, ::1] stamps = times
        for j in range(self.collected_count):
            for k in range(width):
                into[k, j] = self.collected_rows[j * width + k]
            stamps[0, j], stamps[1, j] = self.collected_times[2 * j], self.collected_times[2 * j + 1]
        return times, rows

    def bars(self, records):
        cdef cnp.ndarray rows = record_rows(records, _BAR, "bars")
        cdef const bar_t* at = <const bar_t*>cnp.PyArray_DATA(rows)
        cdef int64_t i, slot, count = cnp.PyArray_DIM(rows, 0), taken = 0
        cdef fed_t* fed
        cdef double[5] row
        if self.source != 1:
            raise ValueError("bars for a bank of other rows, expected one of BARS")
        for i in range(count):
            slot = self.place(at[i].instrument_id)
            if i + 1 < count:
                # Bars of many instruments end together: the state of the next is fetched meanwhile.
                self.fetch(slot, self.place(at[i + 1].instrument_id))
            if slot < 0:
                self.unknown += 1
            elif at[i].kind != self.bar_kind or at[i].size != self.bar_size:
                self.foreign += 1
            elif at[i].flags & RECORD_STALE:
                self.stale += 1
            elif at[i].end_ns <= self.fed[slot].time_ns:
                self.late += 1
            else:
                fed = &self.fed[slot]
                row[0] = at[i].open_ticks * fed.tick_over / fed.tick_under
                row[1] = at[i].high_ticks * fed.tick_over / fed.tick_under
                row[2] = at[i].low_ticks * fed.tick_over / fed.tick_under
                row[3] = at[i].close_ticks * fed.tick_over / fed.tick_under
                row[4] = at[i].volume * fed.lot_over / fed.lot_under
                taken += self.put(slot, at[i].end_ns, at[i].now_ns, at[i].flags, row)
        return taken

    def quotes(self, records):
        cdef cnp.ndarray rows = record_rows(records, _QUOTE, "quotes")
        cdef const quote_t* at = <const quote_t*>cnp.PyArray_DATA(rows)
        cdef int64_t i, slot, count = cnp.PyArray_DIM(rows, 0), taken = 0
        cdef fed_t* fed
        cdef double[4] row
        if self.source == 1:
            raise ValueError("quotes for a bank of bars, expected one of QUOTES or TRADES")
        for i in range(count):
            slot = self.place(at[i].instrument_id)
            if slot < 0:
                self.unknown += 1
                continue
            fed = &self.fed[slot]
            if at[i].bid_quantity <= 0 or at[i].ask_quantity <= 0:
                # There is no touch until both sides are back.
                fed.bid = fed.ask = 0.0
                self.one_sided += 1
            elif at[i].flags & RECORD_STALE:
                self.stale += 1
            elif at[i].bid_ticks > at[i].ask_ticks:
                self.crossed += 1
            elif self.source == 3:
                fed.bid = at[i].bid_ticks * fed.tick_over / fed.tick_under
                fed.ask = at[i].ask_ticks * fed.tick_over / fed.tick_under
            elif at[i].now_ns < fed.known_ns:
                self.late += 1
            else:
                row[0] = at[i].bid_ticks * fed.tick_over / fed.tick_under
                row[1] = at[i].bid_quantity * fed.lot_over / fed.lot_under
                row[2] = at[i].ask_ticks * fed.tick_over / fed.tick_under
                row[3] = at[i].ask_quantity * fed.lot_over / fed.lot_under
                taken += self.put(slot, at[i].venue_ns or at[i].now_ns, at[i].now_ns, at[i].flags, row)
        return taken

    def trades(self, records):
        cdef cnp.ndarray rows = record_rows(records, _TRADE, "trades")
        cdef const trade_t* at = <const trade_t*>cnp.PyArray_DATA(rows)
        cdef int64_t i, slot, count = cnp.PyArray_DIM(rows, 0), taken = 0
        cdef fed_t* fed
        cdef double[5] row
        if self.source != 3:
            raise ValueError("trades for a bank of other rows, expected one of TRADES")
        for i in range(count):
            slot = self.place(at[i].instrument_id)
            if slot < 0:
                self.unknown += 1
            elif at[i].flags & RECORD_STALE:
                self.stale += 1
            elif at[i].now_ns < self.fed[slot].known_ns:
                self.late += 1
            else:
                fed = &self.fed[slot]
                row[0] = at[i].price_ticks * fed.tick_over / fed.tick_under
                row[1] = at[i].quantity * fed.lot_over / fed.lot_under
                row[2] = 1.0 if at[i].side == SIDE_BUY else (-1.0 if at[i].side == SIDE_SELL else 0.0)
                # With no quote before it the price is its own middle: the quote rule says 0.
                row[3] = fed.bid if fed.bid or fed.ask else row[0]
                row[4] = fed.ask if fed.bid or fed.ask else row[0]
                taken += self.put(slot, at[i].venue_ns or at[i].now_ns, at[i].now_ns, at[i].flags, row)
        return taken

    def where(self, int64_t slot):
        cdef fed_t* fed
        if not 0 <= slot < <int64_t>self.index.count:
            raise IndexError(f"slot {slot}, expected 0 to {<int64_t>self.index.count - 1}")
        fed = &self.fed[slot]
        return fed.begin_ns, fed.time_ns, fed.known_ns, fed.gaps, fed.synthetic

    def times(self):
        cdef int64_t j, count = self.index.count
        out = np.empty((4, count), np.int64)
        cdef int64_t[:, ::1] into = out
        for j in range(count):
            into[0, j], into[1, j], into[2, j] = self.fed[j].time_ns, self.fed[j].known_ns, self.bank.rows[j]
            into[3, j] = self.fed[j].synthetic
        return out

    def state(self, int64_t slot):
        self.where(slot)
        rows, memory = self.bank.state(slot)
        return rows, (<char*>&self.fed[slot])[: sizeof(fed_t)] + memory

    def restore(self, int64_t slot, int64_t rows, const unsigned char[::1] memory):
        cdef fed_t fed
        self.where(slot)
        if memory.shape[0] < <int64_t>sizeof(fed_t):
            raise ValueError(f"{memory.shape[0]} bytes, expected those of an instrument")
        memcpy(&fed, &memory[0], sizeof(fed_t))
        if fed.id != self.fed[slot].id or fed.tick_over != self.fed[slot].tick_over \
                or fed.tick_under != self.fed[slot].tick_under or fed.lot_over != self.fed[slot].lot_over \
                or fed.lot_under != self.fed[slot].lot_under:
            raise ValueError(f"instrument {fed.id}, expected {self.fed[slot].id} with the same increments")
        if not (isfinite(fed.bid) and isfinite(fed.ask)):
            raise ValueError(f"instrument {fed.id}: a touch at {fed.bid} and {fed.ask}, expected finite prices")
        self.bank.restore(slot, rows, memory[sizeof(fed_t):])
        self.fed[slot] = fed
