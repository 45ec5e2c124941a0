"""Records of market data on its way in, and of what is derived from it: TICK, QUARANTINE, BAR, FLOW.

Little-endian, aligned, without padding; fields and enumerators are only ever appended. The numpy dtypes in `ticks.pyx`
are mirrored from these structs and a test compares them. What comes out of the normaliser is QUOTE, TRADE and
BOOK_DELTA of types.pxd.
"""

cimport numpy as cnp
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #ifndef NAUTILUS_TICKS_H
    #define NAUTILUS_TICKS_H
    #include <stdint.h>
    typedef struct tick_t {
        int64_t  venue_ns, receive_ns;
        uint64_t sequence;
        int64_t  price, quantity, price_2, quantity_2;
        uint32_t instrument_id;
        uint8_t  kind, side, price_decimals, quantity_decimals;
    } tick_t;
    typedef struct quarantined_t {
        tick_t   tick;
        int64_t  reference;
        uint16_t reason, reserved;
        uint32_t padding;
    } quarantined_t;
    typedef struct bar_t {
        int64_t  now_ns, begin_ns, end_ns;
        int64_t  open_ticks, high_ticks, low_ticks, close_ticks, volume, buy_volume;
        double   notional;
        int64_t  size;
        uint32_t trades, instrument_id;
        uint8_t  kind, reserved;
        uint16_t flags;
        uint32_t padding;
    } bar_t;
    typedef struct flow_t {
        int64_t  now_ns, begin_ns, imbalance, bid_depth, ask_depth;
        uint32_t updates, instrument_id;
        uint8_t  levels, reserved;
        uint16_t flags;
        uint32_t padding;
    } flow_t;
    _Static_assert(sizeof(tick_t) == 64, "tick_t");
    _Static_assert(sizeof(quarantined_t) == 80, "quarantined_t");
    _Static_assert(sizeof(bar_t) == 104, "bar_t");
    _Static_assert(sizeof(flow_t) == 56, "flow_t");
    #endif
    """
    # What a source hands in. Prices and quantities are whole numbers of 10^-decimals; what each kind says with them:
    #   QUOTE  price, quantity: bid; price_2, quantity_2: ask; quantity 0: that side is empty
    #   TRADE  price, quantity; side: of the aggressor, 0 where the venue does not say; sequence: trade id
    #   LEVEL  price and the quantity that it has now, 0: none; side; quantity_2: RECORD bits (LAST, SNAPSHOT)
    #   CLEAR  the side is emptied, 0: both (first of a snapshot); quantity_2: RECORD bits
    ctypedef struct tick_t:
        int64_t venue_ns            # 0: the venue says nothing
        int64_t receive_ns
        uint64_t sequence           # 0: the venue has none
        int64_t price
        int64_t quantity
        int64_t price_2
        int64_t quantity_2
        uint32_t instrument_id
        uint8_t kind
        uint8_t side
        uint8_t price_decimals
        uint8_t quantity_decimals

    ctypedef struct quarantined_t:
        tick_t tick
        int64_t reference           # what it was held against: last price in ticks, last stamp, last sequence; 0: nothing
        uint16_t reason
        uint16_t reserved
        uint32_t padding

    ctypedef struct bar_t:
        int64_t now_ns              # receive stamp of the record that closed it
        int64_t begin_ns            # TIME: its interval, [begin, end); else stamps of its first and last trade
        int64_t end_ns
        int64_t open_ticks
        int64_t high_ticks
        int64_t low_ticks
        int64_t close_ticks
        int64_t volume              # lots
        int64_t buy_volume          # lots whose aggressor bought
        double notional             # sum of ticks * lots
        int64_t size                # of the rule: ns, trades, lots, ticks * lots
        uint32_t trades
        uint32_t instrument_id
        uint8_t kind
        uint8_t reserved
        uint16_t flags
        uint32_t padding

    ctypedef struct flow_t:
        int64_t now_ns              # stamp of its last update
        int64_t begin_ns
        int64_t imbalance           # lots
        int64_t bid_depth           # sums over its updates, lots: their mean is depth / updates
        int64_t ask_depth
        uint32_t updates
        uint32_t instrument_id
        uint8_t levels
        uint8_t reserved
        uint16_t flags
        uint32_t padding

cdef enum:
    TICK_QUOTE = 1
    TICK_TRADE = 2
    TICK_LEVEL = 3
    TICK_CLEAR = 4

cdef enum:
    BAR_TIME = 1
    BAR_TICK = 2
    BAR_VOLUME = 3
    BAR_DOLLAR = 4
    BAR_IMBALANCE = 5

# Beside the RECORD bits of types.pxd: of flags of quote_t, trade_t, book_delta_t.
cdef enum:
    RECORD_GAP = 32             # sequence numbers are missing before it

# quarantined_t.reason. TICK_GAP refuses nothing: it is counted.
cdef enum:
    TICK_UNKNOWN_INSTRUMENT = 1
    TICK_KIND = 2
    TICK_SIDE = 3
    TICK_PRECISION = 4          # off the instrument's price or quantity increment
    TICK_RANGE = 5              # price beyond the core's, or below zero where there is no such price
    TICK_QUANTITY = 6           # negative, none where there must be one, or beyond the core's
    TICK_TIME = 7               # stamp in the future, or too old
    TICK_OUT_OF_ORDER = 8
    TICK_DUPLICATE = 9
    TICK_CROSSED = 10
    TICK_LOCKED = 11
    TICK_JUMP = 12
    TICK_GAP = 13
    TICK_REASONS = 14           # one more than the last

cdef cnp.ndarray record_rows(object rows, object dtype, str name)
