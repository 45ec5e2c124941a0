"""Volume buckets and VPIN of many instruments; state is in vpin.pxd, the definitions in vpin.pyi."""

import math
import struct

import numpy as np

from nautilus.core.buckets import BUCKET
from nautilus.core.ticks import FLOW as _FLOW
from nautilus.core.types import QUOTE as _QUOTE
from nautilus.core.types import TRADE as _TRADE

cimport cython
cimport numpy as cnp
from libc.math cimport floor, sqrt
from libc.stdint cimport int64_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

from nautilus.core.buckets cimport (
    BUCKET_FLOW,
    BUCKET_FULL,
    CLASSIFY_NORMAL,
    CLASSIFY_SIDE,
    CLASSIFY_STUDENT,
    bucket_t,
    imbalance_of,
)
from nautilus.core.distribution cimport normal_share, student_share
from nautilus.core.hashmap cimport prefetch_line
from nautilus.core.id_index cimport id_index_add, id_index_close, id_index_find, id_index_open
from nautilus.core.ticks cimport RECORD_GAP, flow_t, record_rows
from nautilus.core.touch cimport touch_change
from nautilus.core.types cimport (
    MAX_PRICE_BITS,
    MAX_QUANTITY_BITS,
    RECORD_STALE,
    RECORD_SYNTHETIC,
    quote_t,
    trade_t,
)
from nautilus.core.vpin_state cimport state_is_sound

cnp.import_array()

cdef int64_t MOST_LOTS = <int64_t>1 << MAX_QUANTITY_BITS
cdef int64_t MOST_TICKS = <int64_t>1 << MAX_PRICE_BITS
cdef int64_t MOST_NS = <int64_t>1 << 62
cdef int64_t MOST_VOLUME = <int64_t>1 << 62
cdef int64_t MOST_FLOW = <int64_t>1 << VPIN_MOST_FLOW_BITS
cdef int64_t DAY_NS = 86_400_000_000_000
cdef enum:
    INHERITED = RECORD_SYNTHETIC | RECORD_STALE | RECORD_GAP
    AHEAD = 6                   # trades; so that what an instrument's state costs to reach is paid meanwhile
cdef double MOST_WEIGHT = 4.0
SAVED = b"VPIN0001"
_NONE = np.empty(0, BUCKET)


# `self` is never None; the debug build's check for that would need the GIL.
@cython.nonecheck(False)
cdef class VpinTable:
    def __cinit__(
        self, *, int window=50, int history=1000, int classification=CLASSIFY_SIDE, int64_t bar_ns=0,
        int64_t bar_lots=0, double decay=0.95, double degrees=0.25, int days=0, int64_t buckets_per_day=50,
        bint depth_weighted=False, double flow_weight=0.0
    ):
        bulk = classification != CLASSIFY_SIDE
        for name, value, least, most in (
            ("window", window, 1, VPIN_WINDOW),
            ("history", history, 1, VPIN_HISTORY),
            ("classification", classification, CLASSIFY_SIDE, CLASSIFY_STUDENT),
            ("bar_ns", bar_ns, 0, MOST_NS if bulk else 0),
            ("bar_lots", bar_lots, 0, MOST_LOTS if bulk else 0),
            ("days", days, 0, VPIN_DAYS),
            ("buckets_per_day", buckets_per_day, 1, MOST_LOTS),
        ):
            if not least <= value <= most:
                raise ValueError(f"VpinTable: {name} {value}; expected {least} to {most}")
        if bulk and (bar_ns == 0) == (bar_lots == 0):
            raise ValueError(f"VpinTable: bar_ns {bar_ns}, bar_lots {bar_lots}; expected one of them above 0")
        if not 0.0 <= decay < 1.0 or not 0.01 <= degrees <= 1e6 or not 0.0 <= flow_weight <= 1.0:
            raise ValueError(
                f"VpinTable: decay {decay}, degrees {degrees}, flow_weight {flow_weight}; expected 0 up to 1, "
                "0.01 to 1e6, 0 to 1"
            )
        self.window, self.history, self.classification = window, history, classification
        self.bar_ns, self.bar_lots, self.decay, self.degrees = bar_ns, bar_lots, decay, degrees
        self.days, self.buckets_per_day = days, buckets_per_day
        self.depth_weighted, self.flow_weight = depth_weighted, flow_weight
        self._fresh = 1.0 - decay
        self._log_beta = math.lgamma(0.5 * degrees) + math.lgamma(0.5) - math.lgamma(0.5 * degrees + 0.5)
        if id_index_open(&self._index) != 0:
            raise MemoryError("VpinTable: no memory for its instruments")

    def __dealloc__(self):
        cdef uint32_t i
        if self._states != NULL:
            for i in range(self._index.count):
                free(self._states[i].window)
                free(self._states[i].values)
                free(self._states[i].spans)
        id_index_close(&self._index)
        free(self._states)
        free(self._out)

    def __len__(self):
        return self._index.count

    def __contains__(self, instrument_id):
        return 0 <= instrument_id < 1 << 32 and id_index_find(&self._index, instrument_id) != 0

    def add(self, uint32_t instrument_id, int64_t bucket_lots):
        cdef uint32_t room
        cdef measured_t* at
        if not 1 <= bucket_lots <= MOST_LOTS:
            raise ValueError(f"VpinTable.add: bucket_lots {bucket_lots}; expected 1 to {MOST_LOTS}")
        if id_index_find(&self._index, instrument_id):
            raise ValueError(f"VpinTable.add: instrument {instrument_id} is in it already")
        if self._index.count == self._room:
            room = 2 * self._room if self._room else 16
            at = <measured_t*>realloc(self._states, room * sizeof(measured_t))
            if at == NULL:
                raise MemoryError("VpinTable.add: no memory for another instrument")
            self._states, self._room = at, room
        at = &self._states[self._index.count]
        memset(at, 0, sizeof(measured_t))
        if id_index_add(&self._index, instrument_id) == 0:
            raise MemoryError("VpinTable.add: no memory for another instrument")
        at.size = at.next_size = at.left = bucket_lots
        at.sign = 1
        at.open.instrument_id = instrument_id
        at.open.number = 1

    def resize(self, uint32_t instrument_id, int64_t bucket_lots):
        cdef measured_t* at = self._at(instrument_id)
        if not 1 <= bucket_lots <= MOST_LOTS:
            raise ValueError(f"VpinTable.resize: bucket_lots {bucket_lots}; expected 1 to {MOST_LOTS}")
        at.next_size = bucket_lots
        if at.open.parts == 0:
            at.size = at.left = bucket_lots

    cdef measured_t* _at(self, object instrument_id) except NULL:
        cdef uint32_t place = 0
        if 0 <= instrument_id < 1 << 32:
            place = id_index_find(&self._index, instrument_id)
        if place == 0:
            raise KeyError(f"VpinTable: instrument {instrument_id}; expected one that was added")
        return &self._states[place - 1]

    cdef double _share(self, double z) noexcept nogil:
        """The share of a bar that was bought: the distribution function at its standardised change of price."""
        if self.classification == CLASSIFY_NORMAL:
            return normal_share(z)
        return student_share(z, self.degrees, self._log_beta)

    cdef int _take(self, measured_t* at, const trade_t* trade) noexcept nogil:
        """One trade; 0, or -1 where there is no memory."""
        cdef int64_t lots = trade.quantity, now_ns = trade.now_ns, ticks = trade.price_ticks, begin_ns
        cdef uint32_t i
        cdef bint told
        if lots == 0:
            at.without_volume += 1
            return 0
        if (
            lots < 0 or lots > MOST_LOTS or trade.side > 2 or now_ns < 0 or now_ns > MOST_NS or ticks > MOST_TICKS
            or ticks < -MOST_TICKS or at.volume > MOST_VOLUME - lots
        ):
            at.refused += 1
            return 0
        if at.traded and now_ns <= at.last_ns:
            if now_ns < at.last_ns:
                at.late += 1
                return 0
            if trade.trade_id:
                for i in range(at.id_count if at.id_count < VPIN_IDS else VPIN_IDS):
                    if at.ids[i] == trade.trade_id:
                        at.duplicates += 1
                        return 0
        else:
            at.id_count = 0
        if trade.trade_id:
            at.ids[at.id_count % VPIN_IDS] = trade.trade_id
            at.id_count += 1
        if self.days:
            self._roll_day(at, now_ns // DAY_NS)
        told = trade.side != 0
        if told:
            at.sign = 1 if trade.side == 1 else -1
        elif at.traded and ticks != at.last_ticks:
            at.sign = 1 if ticks > at.last_ticks else -1
        at.traded = True
        at.last_ns, at.last_ticks = now_ns, ticks
        at.taken += 1
        at.volume += lots
        at.day_volume += lots
        if self.classification == CLASSIFY_SIDE:
            return self._fill(at, lots, 1.0 if at.sign > 0 else 0.0, told, now_ns, now_ns, ticks, trade.flags)
        if self.bar_ns:
            begin_ns = now_ns - now_ns % self.bar_ns
            if at.barred and begin_ns > at.bar_begin_ns and self._close_bar(at, now_ns) != 0:
                return -1
            at.bar_begin_ns = begin_ns
        if not at.barred:
            at.barred = True
            at.bar_volume = 0
            at.bar_flags = 0
            at.bar_first_ns = now_ns
        at.bar_volume += lots
        at.bar_close = ticks
        at.bar_flags |= trade.flags & INHERITED
        if self.bar_lots and at.bar_volume >= self.bar_lots:
            return self._close_bar(at, now_ns)
        return 0

    cdef void _roll_day(self, measured_t* at, int64_t day) noexcept nogil:
        """With the first trade of another day: buckets become a share of the mean volume of the days before."""
        cdef int64_t total = 0, size
        cdef uint32_t i
        if at.traded and day != at.day:
            at.days[at.day_at] = at.day_volume
            at.day_at = (at.day_at + 1) % <uint32_t>self.days
            if at.day_count < <uint32_t>self.days:
                at.day_count += 1
            for i in range(at.day_count):
                total += at.days[i]
            size = total // at.day_count // self.buckets_per_day
            at.next_size = 1 if size < 1 else (MOST_LOTS if size > MOST_LOTS else size)
            at.day_volume = 0
            if at.open.parts == 0:
                at.size = at.left = at.next_size
        at.day = day

    cdef int _close_bar(self, measured_t* at, int64_t now_ns) noexcept nogil:
        cdef double change = 0.0, square, share = 0.5
        if at.closed:
            change = <double>(at.bar_close - at.previous_close)
            square = change * change
            if at.varied:
                at.variance = self.decay * at.variance + self._fresh * square
            else:
                at.variance = square
                at.varied = True
            if at.variance > 0.0:
                share = self._share(change / sqrt(at.variance))
        at.previous_close = at.bar_close
        at.closed = True
        at.barred = False
        return self._fill(at, at.bar_volume, share, False, now_ns, at.bar_first_ns, at.bar_close, at.bar_flags)

    cdef int _fill(
        self, measured_t* at, int64_t lots, double share, bint told, int64_t now_ns, int64_t begin_ns, int64_t ticks,
        int flags
    ) noexcept nogil:
        """Pour lots into buckets. Of the first n of them floor(n share + 1/2) were bought, whatever the borders."""
        cdef int64_t done = 0, bought = 0, upto, piece, skipped
        cdef int64_t most = 2 * self.window + self.history, silent = 0
        cdef bucket_t* bucket = &at.open
        if at.window == NULL:
            at.window = <bucket_t*>calloc(self.window, sizeof(bucket_t))
            if at.window == NULL:
                return -1
        while done < lots:
            if done and bucket.parts == 0 and (lots - done) // at.size > most:
                # The window and the history keep only the last of these. Until both have none from before, what is
                # measured is not what it would be: that many are not given, and as many as a window are right.
                skipped = (lots - done) // at.size - most
                silent = self.window + self.history
                bucket.number += skipped
                done += skipped * at.size
                bought = <int64_t>floor(share * <double>done + 0.5)
            if bucket.parts == 0:
                bucket.begin_ns = begin_ns
            piece = lots - done
            if piece > at.left:
                piece = at.left
            # Where lots are beyond a double's whole numbers it may round past the piece.
            upto = min(max(<int64_t>floor(share * <double>(done + piece) + 0.5), bought), bought + piece)
            bucket.volume += piece
            bucket.buy_volume += upto - bought
            if told:
                bucket.told_volume += piece
            bucket.close_ticks = ticks
            if bucket.parts != <uint32_t>0xFFFFFFFF:
                bucket.parts += 1
                if at.touch.known and bucket.depth_sum <= MOST_VOLUME:
                    bucket.depth_sum += at.touch.bid_lots + at.touch.ask_lots
                    bucket.depths += 1
            bucket.flags |= <uint16_t>(flags & INHERITED)
            bought = upto
            done += piece
            at.left -= piece
            if at.left == 0:
                if self._complete(at, now_ns, silent == 0) != 0:
                    return -1
                if silent:
                    silent -= 1
        return 0

    cdef int _complete(self, measured_t* at, int64_t now_ns, bint give) noexcept nogil:
        """The open bucket is full."""
        cdef bucket_t* done = &at.open
        cdef bucket_t* gone = &at.window[at.window_at]
        cdef bucket_t* more
        cdef int64_t number = done.number
        cdef Py_ssize_t room
        cdef uint32_t instrument_id = done.instrument_id
        if self._made == self._out_room:
            room = 2 * self._out_room if self._out_room else 256
            more = <bucket_t*>realloc(self._out, room * sizeof(bucket_t))
            if more == NULL:
                return -1
            self._out, self._out_room = more, room
        done.now_ns = now_ns
        # What goes out of the window counts nothing while there is none.
        at.imbalance += imbalance_of(done) - imbalance_of(gone)
        at.window_volume += done.volume - gone.volume
        gone[0] = done[0]
        at.window_at += 1
        if at.window_at == <uint32_t>self.window:
            at.window_at = 0
        if at.window[at.window_at].volume and self._measure(at, gone) != 0:
            return -1
        if give:
            self._out[self._made] = gone[0]
            self._made += 1
        memset(done, 0, sizeof(bucket_t))
        done.instrument_id = instrument_id
        done.number = number + 1
        at.size = at.left = at.next_size
        return 0

    cdef int _measure(self, measured_t* at, bucket_t* done) noexcept nogil:
        """VPIN of a full window, and its place among those before."""
        cdef int i, place = at.window_at, at_most = 0, equal = 0, longer = 0
        cdef uint32_t room
        cdef int64_t span, flow = 0, gross = 0, depths = 0
        cdef double mean = 0.0, weight, above = 0.0, below = 0.0, value
        cdef bucket_t* bucket
        cdef void* more
        done.vpin = value = <double>at.imbalance / <double>at.window_volume
        done.flags |= BUCKET_FULL
        if self.depth_weighted:
            for i in range(self.window):
                bucket = &at.window[place + i if place + i < self.window else place + i - self.window]
                if bucket.depth_sum:
                    mean += <double>bucket.depth_sum / <double>bucket.depths
                    depths += 1
            mean = mean / <double>depths if depths else 0.0
            for i in range(self.window):
                bucket = &at.window[place + i if place + i < self.window else place + i - self.window]
                weight = 1.0
                if bucket.depth_sum:
                    weight = mean / (<double>bucket.depth_sum / <double>bucket.depths)
                    weight = min(max(weight, 1.0 / MOST_WEIGHT), MOST_WEIGHT)
                above = above + weight * <double>imbalance_of(bucket)
                below = below + weight * <double>bucket.volume
            value = above / below
        if self.flow_weight > 0.0:
            for i in range(self.window):
                bucket = &at.window[i]
                flow += bucket.flow if bucket.flow >= 0 else -bucket.flow
                gross += bucket.gross_flow
            if gross:
                value = (1.0 - self.flow_weight) * value + self.flow_weight * (<double>flow / <double>gross)
                done.flags |= BUCKET_FLOW
        done.value = value
        span = done.now_ns - at.window[at.window_at].begin_ns
        if at.kept < <uint32_t>self.history and at.kept == at.room:
            room = 2 * at.room if at.room else 64
            room = <uint32_t>self.history if room > <uint32_t>self.history else room
            more = realloc(at.values, room * sizeof(double))
            if more == NULL:
                return -1
            at.values = <double*>more
            more = realloc(at.spans, room * sizeof(int64_t))
            if more == NULL:
                return -1
            at.spans = <int64_t*>more
            at.room = room
        at.values[at.value_at] = value
        at.spans[at.value_at] = span
        at.value_at = at.value_at + 1 if at.value_at + 1 < <uint32_t>self.history else 0
        if at.kept < <uint32_t>self.history:
            at.kept += 1
        for i in range(<int>at.kept):
            at_most += at.values[i] <= value
            equal += at.values[i] == value
            longer += at.spans[i] > span
        done.percentile = <double>at_most / <double>at.kept
        done.ties = <uint16_t>(equal - 1 if equal < 65536 else 65535)
        done.pace = <double>(longer + 1) / <double>at.kept
        return 0

    cdef void _quote(self, measured_t* at, const quote_t* quote) noexcept nogil:
        cdef int64_t change = 0
        if touch_change(&at.touch, quote, &change):
            self._flow(&at.open, change)

    cdef void _flow(self, bucket_t* bucket, int64_t change) noexcept nogil:
        if bucket.gross_flow <= MOST_FLOW:
            bucket.flow += change
            bucket.gross_flow += change if change >= 0 else -change

    def process(self, trades):
        cdef cnp.ndarray rows = record_rows(trades, _TRADE, "VpinTable.process: trades")
        cdef const trade_t* trade = <const trade_t*>cnp.PyArray_DATA(rows)
        cdef Py_ssize_t i, count = rows.shape[0]
        cdef uint32_t place, next_place
        cdef char* state
        cdef int status = 0
        self._made = 0
        with nogil:
            for i in range(count):
                if i + AHEAD < count:
                    next_place = id_index_find(&self._index, trade[i + AHEAD].instrument_id)
                    if next_place:
                        state = <char*>&self._states[next_place - 1]
                        prefetch_line(state)
                        prefetch_line(state + 64)
                        prefetch_line(state + 128)
                        prefetch_line(state + 192)
                place = id_index_find(&self._index, trade[i].instrument_id)
                if place == 0:
                    self.unknown += 1
                    continue
                status = self._take(&self._states[place - 1], &trade[i])
                if status != 0:
                    break
        return self._taken(status)

    def advance(self, int64_t now_ns):
        cdef uint32_t i
        cdef int status = 0
        cdef measured_t* at
        self._made = 0
        if self.bar_ns and 0 <= now_ns <= MOST_NS:
            with nogil:
                for i in range(self._index.count):
                    at = &self._states[i]
                    if at.barred and now_ns - now_ns % self.bar_ns > at.bar_begin_ns:
                        status = self._close_bar(at, now_ns)
                        if status != 0:
                            break
        return self._taken(status)

    def quotes(self, quotes):
        cdef cnp.ndarray rows = record_rows(quotes, _QUOTE, "VpinTable.quotes: quotes")
        cdef const quote_t* quote = <const quote_t*>cnp.PyArray_DATA(rows)
        cdef Py_ssize_t i, count = rows.shape[0]
        cdef uint32_t place
        with nogil:
            for i in range(count):
                place = id_index_find(&self._index, quote[i].instrument_id)
                if place:
                    self._quote(&self._states[place - 1], &quote[i])

    def flows(self, flows):
        cdef cnp.ndarray rows = record_rows(flows, _FLOW, "VpinTable.flows: flows")
        cdef const flow_t* flow = <const flow_t*>cnp.PyArray_DATA(rows)
        cdef Py_ssize_t i, count = rows.shape[0]
        cdef uint32_t place
        cdef measured_t* at
        cdef int64_t bids, asks
        with nogil:
            for i in range(count):
                place = id_index_find(&self._index, flow[i].instrument_id)
                if place == 0 or flow[i].updates == 0:
                    continue
                bids, asks = flow[i].bid_depth // flow[i].updates, flow[i].ask_depth // flow[i].updates
                if (
                    flow[i].bid_depth < 0 or flow[i].ask_depth < 0 or bids > MOST_LOTS or asks > MOST_LOTS
                    or flow[i].imbalance > MOST_FLOW or flow[i].imbalance < -MOST_FLOW
                ):
                    continue
                at = &self._states[place - 1]
                self._flow(&at.open, flow[i].imbalance)
                at.touch.bid_lots, at.touch.ask_lots = bids, asks
                at.touch.known = not flow[i].flags & RECORD_STALE

    def _taken(self, int status):
        if status != 0:
            raise MemoryError("VpinTable: no memory for another bucket")
        return np.frombuffer((<char*>self._out)[:self._made * sizeof(bucket_t)], BUCKET) if self._made else _NONE

    def buckets(self, uint32_t instrument_id):
        cdef measured_t* at = self._at(instrument_id)
        if at.window == NULL:
            return _NONE
        out = np.frombuffer((<char*>at.window)[:self.window * sizeof(bucket_t)], BUCKET)
        out = np.roll(out, -<int>at.window_at)
        return out[out["volume"] > 0]

    def open_bucket(self, uint32_t instrument_id):
        return np.frombuffer((<char*>&self._at(instrument_id).open)[:sizeof(bucket_t)], BUCKET)

    def last(self, uint32_t instrument_id):
        cdef measured_t* at = self._at(instrument_id)
        cdef uint32_t place = (at.window_at if at.window_at else <uint32_t>self.window) - 1
        if at.window == NULL or not at.window[place].volume:
            return _NONE
        return np.frombuffer((<char*>&at.window[place])[:sizeof(bucket_t)], BUCKET)

    def values(self, uint32_t instrument_id):
        cdef measured_t* at = self._at(instrument_id)
        if not at.kept:
            return np.empty(0), np.empty(0, np.int64)
        values = np.frombuffer((<char*>at.values)[:at.kept * sizeof(double)], np.float64)
        spans = np.frombuffer((<char*>at.spans)[:at.kept * sizeof(int64_t)], np.int64)
        turn = -<int>at.value_at if at.kept == <uint32_t>self.history else 0
        return np.roll(values, turn), np.roll(spans, turn)

    def counts(self, uint32_t instrument_id):
        cdef measured_t* at = self._at(instrument_id)
        return {
            "taken": at.taken,
            "volume": at.volume,
            "waiting": at.bar_volume if at.barred else 0,
            "bucket_lots": at.size,
            "next_lots": at.next_size,
            "completed": at.open.number - 1,
            "kept": at.kept,
            "late": at.late,
            "duplicates": at.duplicates,
            "without_volume": at.without_volume,
            "refused": at.refused,
            "last_ns": at.last_ns,
        }

    def ids(self):
        return [self._states[i].open.instrument_id for i in range(self._index.count)]

    def taken(self, Py_ssize_t begin, Py_ssize_t end):
        return sum([self._states[i].taken for i in range(max(begin, 0), min(end, <Py_ssize_t>self._index.count))])

    def _settings(self):
        return struct.pack(
            "<6q2d2qqd", sizeof(measured_t), self.window, self.history, self.classification, self.bar_ns,
            self.bar_lots, self.decay, self.degrees, self.days, self.buckets_per_day, self.depth_weighted,
            self.flow_weight
        )

    def save(self, uint32_t instrument_id):
        cdef measured_t* at = self._at(instrument_id)
        cdef measured_t copy = at[0]
        copy.window, copy.values, copy.spans, copy.room = NULL, NULL, NULL, 0
        return b"".join((
            SAVED,
            self._settings(),
            (<char*>&copy)[:sizeof(measured_t)],
            (<char*>at.window)[:self.window * sizeof(bucket_t)] if at.window != NULL else b"",
            (<char*>at.values)[:at.kept * sizeof(double)] if at.kept else b"",
            (<char*>at.spans)[:at.kept * sizeof(int64_t)] if at.kept else b"",
        ))

    def load(self, bytes saved not None, *, bint known=False):
        cdef measured_t read
        cdef measured_t* at
        cdef char* bytes_ = saved
        cdef void* window = NULL
        cdef void* values = NULL
        cdef void* spans = NULL
        head = SAVED + self._settings()
        cdef Py_ssize_t begin = len(head), length = len(saved), ring, size
        if saved[:begin] != head:
            return False
        begin += sizeof(measured_t)
        if length >= begin:
            memcpy(&read, bytes_ + begin - sizeof(measured_t), sizeof(measured_t))
        if length < begin or not state_is_sound(
            &read, bytes_ + begin, length - begin, self.window, self.history, self.days, self.bar_ns
        ):
            raise ValueError(f"VpinTable.load: {length} bytes that no instrument of these settings can have kept")
        size = read.kept * sizeof(double)
        ring = length - begin - 2 * size
        if read.open.instrument_id not in self:
            if known:
                return False
            self.add(read.open.instrument_id, read.size)
        at = self._at(read.open.instrument_id)
        if size:
            values, spans = malloc(size), malloc(size)
        if ring:
            window = malloc(ring)
        if (size and (values == NULL or spans == NULL)) or (ring and window == NULL):
            free(window)
            free(values)
            free(spans)
            raise MemoryError("VpinTable.load: no memory for an instrument")
        if ring:
            memcpy(window, bytes_ + begin, ring)
        if size:
            memcpy(values, bytes_ + begin + ring, size)
            memcpy(spans, bytes_ + begin + ring + size, size)
        free(at.window)
        free(at.values)
        free(at.spans)
        read.window, read.values, read.spans, read.room = <bucket_t*>window, <double*>values, <int64_t*>spans, read.kept
        at[0] = read
        return True
