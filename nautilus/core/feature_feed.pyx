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
from libc.string cimport memcmp, memcpy

from nautilus.core.hashmap cimport prefetch_line
from nautilus.core.id_index cimport id_index_add, id_index_close, id_index_find, id_index_open
from nautilus.core.indicators cimport Bank
from nautilus.core.ticks cimport RECORD_GAP, bar_t, record_rows
from nautilus.core.types cimport RECORD_STALE, RECORD_SYNTHETIC, SIDE_BUY, SIDE_SELL, quote_t, trade_t

cnp.import_array()

cdef double MOST = 9223372036854775808.0    # ticks or lots that a record may say

BARS, QUOTES, TRADES = 1, 2, 3
_INPUTS = {BARS: 5, QUOTES: 4, TRADES: 5}
cdef int MOST_KEPT = 1 << 16
cdef double LEAST_RATIO = 1e-9, MOST_RATIO = 1e9     # new shares for one
# A split of two for one halves the price, a consolidation of one for two doubles it.
LEAST_STEP, MOST_STEP = 0.6, 1.9
cdef double least_step = LEAST_STEP, most_step = MOST_STEP


cdef inline void adjust(double* row, double ratio) noexcept nogil:
    """A bar in shares of after a split: `ratio` new ones for one."""
    cdef int j
    for j in range(4):
        row[j] = row[j] / ratio
    row[4] = row[4] * ratio


cdef inline bint finite_row(const double* row) noexcept nogil:
    cdef int j
    for j in range(5):
        if not isfinite(row[j]):
            return False
    return True


cdef class FeatureFeed:
    def __cinit__(
        self, Bank bank not None, int source, *, int bar_kind=0, int64_t bar_size=0, bint collects=False, int keeps=0
    ):
        if source not in _INPUTS or bank.inputs != _INPUTS[source]:
            raise ValueError(f"source {source} of {bank.inputs} inputs, expected BARS, QUOTES or TRADES and its inputs")
        self.bank, self.source, self.bar_kind, self.bar_size = bank, source, bar_kind, bar_size
        if not 0 <= keeps <= MOST_KEPT or (keeps and (collects or source != BARS)):
            raise ValueError(f"keeps {keeps}, expected 0 to {MOST_KEPT}, of bars that go to the bank")
        self.collects, self.keeps = collects, keeps
        self.fed = <fed_t*>calloc(bank.capacity, sizeof(fed_t))
        self.past = <past_t**>calloc(bank.capacity, sizeof(past_t*))
        self.past_room = <uint32_t*>calloc(bank.capacity, sizeof(uint32_t))
        if self.fed == NULL or self.past == NULL or self.past_room == NULL or id_index_open(&self.index) != 0:
            raise MemoryError("FeatureFeed: no memory")
        self.opened = True

    def __dealloc__(self):
        cdef int64_t slot
        if self.opened:
            id_index_close(&self.index)
        if self.past != NULL:
            for slot in range(self.bank.capacity):
                free(self.past[slot])
        free(self.past)
        free(self.past_room)
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

    cdef int put(
        self, int64_t slot, int64_t begin_ns, int64_t time_ns, int64_t known_ns, int flags, double* row
    ) except -1:
        cdef fed_t* fed = &self.fed[slot]
        if self.enter(slot, begin_ns, time_ns, known_ns, row) == 0:
            return 0
        fed.time_ns, fed.known_ns = time_ns, known_ns
        if flags & RECORD_GAP:
            fed.gaps += 1
        if flags & RECORD_SYNTHETIC:
            fed.synthetic += 1
        self.taken += 1
        return 1

    cdef int enter(self, int64_t slot, int64_t begin_ns, int64_t time_ns, int64_t known_ns, double* row) except -1:
        """A row into the bank, in shares of after the newest split; 0: it is of prices from both sides of that."""
        cdef fed_t* fed = &self.fed[slot]
        cdef bint whole
        if self.source == 1 and begin_ns < fed.split_ns:
            whole = time_ns <= fed.split_ns and fed.split_ratio != 0.0
            if whole:
                adjust(row, fed.split_ratio)
            if not whole or not finite_row(row):
                fed.gaps += 1
                self.mixed += 1
                return 0
        if self.collects:
            self.collect(time_ns, known_ns, row)
        else:
            self.bank.take(slot, row)
            if self.keeps:
                self.keep(slot, begin_ns, time_ns, row)
        self.step(fed, row)
        if fed.begin_ns == 0:
            fed.begin_ns = time_ns
        return 1

    cdef void step(self, fed_t* fed, const double* row) noexcept nogil:
        """The price goes on to a row: whether as through a split."""
        if fed.last > 0.0 and row[0] > 0.0 and not least_step < row[0] / fed.last < most_step:
            fed.jumps += 1
        fed.last = row[3] if self.source == 1 else row[0]

    cdef int keep(self, int64_t slot, int64_t begin_ns, int64_t time_ns, const double* row) except -1:
        cdef fed_t* fed = &self.fed[slot]
        cdef uint32_t room = self.past_room[slot]
        cdef past_t* grown
        if fed.past_count == room and room < <uint32_t>self.keeps:
            # Not turned yet: until it is full the oldest row lies at 0.
            room = min(max(2 * room, 16), <uint32_t>self.keeps)
            grown = <past_t*>realloc(self.past[slot], room * sizeof(past_t))
            if grown == NULL:
                raise MemoryError("FeatureFeed: no memory")
            self.past[slot], self.past_room[slot] = grown, room
            fed.past_at = fed.past_count
        grown = &self.past[slot][fed.past_at]
        grown.begin_ns, grown.time_ns = begin_ns, time_ns
        memcpy(grown.row, row, self.bank.inputs * sizeof(double))
        fed.past_at = fed.past_at + 1 if fed.past_at + 1 < room else 0
        if fed.past_count < room:
            fed.past_count += 1
        return 0

    cdef bint had(self, fed_t* fed, uint64_t trade_id, int64_t now_ns) noexcept nogil:
        """Whether the newest stamp has had this trade; else it is remembered."""
        cdef uint32_t i
        if now_ns != fed.known_ns:
            fed.id_count = 0
        if trade_id == 0:
            return False
        for i in range(min(fed.id_count, <uint32_t>FEED_IDS)):
            if fed.ids[i] == trade_id:
                return True
        fed.ids[fed.id_count % FEED_IDS] = trade_id
        fed.id_count += 1
        return False

    def split(self, uint32_t instrument_id, int64_t time_ns, double ratio):
        cdef int64_t slot = self.place(instrument_id)
        cdef fed_t* fed
        cdef cnp.ndarray kept
        cdef past_t* at
        cdef uint32_t i, count, room
        if self.collects:
            raise ValueError("a split of what is collected, expected rows that go to the bank")
        if slot < 0:
            return False
        if time_ns < 0 or (ratio != 0.0 and not LEAST_RATIO < ratio < MOST_RATIO):
            raise ValueError(f"split {ratio} at {time_ns}, expected 0, or {LEAST_RATIO} to {MOST_RATIO}, at 0 or later")
        fed = &self.fed[slot]
        if time_ns <= fed.split_ns:
            return False
        # The ring is written anew while it is read.
        count, room = fed.past_count, self.past_room[slot]
        kept = np.empty(count * sizeof(past_t), np.uint8)
        at = <past_t*>cnp.PyArray_DATA(kept)
        for i in range(count):
            at[i] = self.past[slot][(fed.past_at + room - count + i) % room]
        fed.split_ns, fed.split_ratio = time_ns, ratio
        fed.begin_ns = fed.past_count = fed.past_at = fed.jumps = fed.touched = 0
        fed.last = fed.bid = fed.ask = 0.0
        self.bank.forget(slot)
        for i in range(count):
            self.enter(slot, at[i].begin_ns, at[i].time_ns, 0, at[i].row)
        return True

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
                taken += self.put(slot, at[i].begin_ns, at[i].end_ns, at[i].now_ns, at[i].flags, row)
        return taken

    def quotes(self, records):
        cdef cnp.ndarray rows = record_rows(records, _QUOTE, "quotes")
        cdef const quote_t* at = <const quote_t*>cnp.PyArray_DATA(rows)
        cdef int64_t i, slot, count = cnp.PyArray_DIM(rows, 0), taken = 0
        cdef int64_t time_ns
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
                fed.touched = 0
                self.one_sided += 1
            elif at[i].flags & RECORD_STALE:
                self.stale += 1
            elif at[i].bid_ticks > at[i].ask_ticks:
                self.crossed += 1
            elif self.source == 3:
                fed.bid = at[i].bid_ticks * fed.tick_over / fed.tick_under
                fed.ask = at[i].ask_ticks * fed.tick_over / fed.tick_under
                fed.touched = 1
            elif at[i].now_ns < fed.known_ns:
                self.late += 1
            else:
                row[0] = at[i].bid_ticks * fed.tick_over / fed.tick_under
                row[1] = at[i].bid_quantity * fed.lot_over / fed.lot_under
                row[2] = at[i].ask_ticks * fed.tick_over / fed.tick_under
                row[3] = at[i].ask_quantity * fed.lot_over / fed.lot_under
                if at[i].update_id and at[i].update_id == fed.ids[0] and at[i].now_ns == fed.known_ns \
                        and memcmp(row, fed.quote, sizeof(row)) == 0:
                    self.duplicates += 1
                    continue
                fed.ids[0] = at[i].update_id
                memcpy(fed.quote, row, sizeof(row))
                time_ns = at[i].venue_ns or at[i].now_ns
                taken += self.put(slot, time_ns, time_ns, at[i].now_ns, at[i].flags, row)
        return taken

    def trades(self, records):
        cdef cnp.ndarray rows = record_rows(records, _TRADE, "trades")
        cdef const trade_t* at = <const trade_t*>cnp.PyArray_DATA(rows)
        cdef int64_t i, slot, count = cnp.PyArray_DIM(rows, 0), taken = 0, time_ns
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
            elif self.had(&self.fed[slot], at[i].trade_id, at[i].now_ns):
                self.duplicates += 1
            else:
                fed = &self.fed[slot]
                row[0] = at[i].price_ticks * fed.tick_over / fed.tick_under
                row[1] = at[i].quantity * fed.lot_over / fed.lot_under
                row[2] = 1.0 if at[i].side == SIDE_BUY else (-1.0 if at[i].side == SIDE_SELL else 0.0)
                # With no quote before it the price is its own middle: the quote rule says 0.
                row[3] = fed.bid if fed.touched else row[0]
                row[4] = fed.ask if fed.touched else row[0]
                time_ns = at[i].venue_ns or at[i].now_ns
                taken += self.put(slot, time_ns, time_ns, at[i].now_ns, at[i].flags, row)
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

    def splits(self, int64_t slot):
        cdef fed_t* fed
        self.where(slot)
        fed = &self.fed[slot]
        return fed.split_ns, fed.split_ratio, fed.jumps

    def state(self, int64_t slot):
        cdef uint32_t i, room
        cdef past_t* past
        self.where(slot)
        rows, memory = self.bank.state(slot)
        room = self.past_room[slot]
        parts = [(<char*>&self.fed[slot])[: sizeof(fed_t)]]
        for i in range(self.fed[slot].past_count):
            past = &self.past[slot][(self.fed[slot].past_at + room - self.fed[slot].past_count + i) % room]
            parts.append((<char*>past)[: sizeof(past_t)])
        return rows, b"".join(parts) + memory

    def restore(self, int64_t slot, int64_t rows, const unsigned char[::1] memory):
        cdef fed_t fed
        cdef past_t* past = NULL
        cdef int64_t i, head = sizeof(fed_t)
        self.where(slot)
        if memory.shape[0] < head:
            raise ValueError(f"{memory.shape[0]} bytes, expected those of an instrument")
        memcpy(&fed, &memory[0], sizeof(fed_t))
        if fed.id != self.fed[slot].id or fed.tick_over != self.fed[slot].tick_over \
                or fed.tick_under != self.fed[slot].tick_under or fed.lot_over != self.fed[slot].lot_over \
                or fed.lot_under != self.fed[slot].lot_under:
            raise ValueError(f"instrument {fed.id}, expected {self.fed[slot].id} with the same increments")
        if not (isfinite(fed.bid) and isfinite(fed.ask)):
            raise ValueError(f"instrument {fed.id}: a touch at {fed.bid} and {fed.ask}, expected finite prices")
        if fed.split_ratio != 0.0 and not LEAST_RATIO < fed.split_ratio < MOST_RATIO:
            raise ValueError(f"instrument {fed.id}: a split {fed.split_ratio}, expected new shares for one")
        if fed.past_count > <uint32_t>self.keeps \
                or memory.shape[0] != head + fed.past_count * <int64_t>sizeof(past_t) + self.bank.slot_bytes:
            raise ValueError(f"{memory.shape[0]} bytes with {fed.past_count} rows, expected those of an instrument")
        if fed.past_count:
            past = <past_t*>realloc(NULL, fed.past_count * sizeof(past_t))
            if past == NULL:
                raise MemoryError("FeatureFeed: no memory")
            memcpy(past, &memory[head], fed.past_count * sizeof(past_t))
            for i in range(fed.past_count):
                if not finite_row(past[i].row):
                    free(past)
                    raise ValueError(f"instrument {fed.id}: a kept row that is none, expected finite numbers")
        head += fed.past_count * <int64_t>sizeof(past_t)
        try:
            self.bank.restore(slot, rows, memory[head:])
        except ValueError:
            free(past)
            raise
        free(self.past[slot])
        self.past[slot], self.past_room[slot] = past, fed.past_count
        fed.past_at = 0         # the ring is full; `keep` makes room where more are kept
        self.fed[slot] = fed
