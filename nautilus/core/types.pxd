"""Binary records and enumerations of the platform: the one place where their bytes are decided.

Little-endian, shared by ring, wire, journal and event log. Fields and enumerators are only ever appended; a
record never grows past 128 bytes. The numpy dtypes in `types.pyx` are mirrored from these structs and a test
compares size, offset and alignment. What each field means to each command is written in docs/kernel.md.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

ctypedef int64_t price_t    # instrument price increments
ctypedef int64_t qty_t      # lots
ctypedef int64_t nanos_t    # since the epoch, UTC
ctypedef uint64_t order_id_t

cdef extern from *:
    """
    #ifndef NAUTILUS_TYPES_H
    #define NAUTILUS_TYPES_H
    #include <stdint.h>
    typedef struct command_t {
        int64_t  sequence, now_ns;
        uint64_t order_id;
        int64_t  price_ticks, quantity;
        uint64_t source_sequence;
        uint32_t instrument_id, account_id;
        uint8_t  kind, side, order_type, time_in_force;
        uint16_t flags, source_id;                       /* end of the first cache line */
        int64_t  trigger_ticks, display_quantity, min_quantity, expire_ns;
        uint64_t parent_order_id;
        int64_t  deadline_ns;
        uint64_t venue_reference;
        int32_t  offset;
        uint16_t strategy_id, group_id;
    } command_t;
    typedef struct event_t {
        int64_t  sequence, command_sequence, now_ns;
        uint64_t order_id;
        int64_t  price_ticks, quantity, leaves_quantity;
        uint8_t  kind, side, reason, reserved;
        uint32_t flags;                                  /* end of the first cache line */
        uint64_t counter_order_id;
        int64_t  match_id, counter_leaves_quantity, fee;
        uint64_t source_sequence, venue_reference;
        uint32_t instrument_id, account_id, counter_account_id;
        uint16_t strategy_id, source_id;
    } event_t;
    typedef struct quote_t {
        int64_t  now_ns, venue_ns;
        uint64_t update_id;
        int64_t  bid_ticks, bid_quantity, ask_ticks, ask_quantity;
        uint32_t instrument_id;
        uint16_t flags, source_id;
    } quote_t;
    typedef struct trade_t {
        int64_t  now_ns, venue_ns;
        uint64_t trade_id;
        int64_t  price_ticks, quantity;
        uint32_t instrument_id;
        uint8_t  side, reserved;
        uint16_t flags;
    } trade_t;
    typedef struct book_delta_t {
        int64_t  now_ns, venue_ns;
        uint64_t update_id, order_id;
        int64_t  price_ticks, quantity;
        uint32_t instrument_id;
        uint8_t  side, action;
        uint16_t flags;
    } book_delta_t;
    _Static_assert(sizeof(command_t) == 128, "command_t");
    _Static_assert(sizeof(event_t) == 128, "event_t");
    _Static_assert(sizeof(quote_t) == 64, "quote_t");
    _Static_assert(sizeof(trade_t) == 48, "trade_t");
    _Static_assert(sizeof(book_delta_t) == 56, "book_delta_t");
    #endif
    """
    ctypedef struct command_t:
        int64_t sequence
        int64_t now_ns
        uint64_t order_id
        int64_t price_ticks
        int64_t quantity
        uint64_t source_sequence
        uint32_t instrument_id
        uint32_t account_id
        uint8_t kind
        uint8_t side
        uint8_t order_type
        uint8_t time_in_force
        uint16_t flags
        uint16_t source_id
        int64_t trigger_ticks
        int64_t display_quantity
        int64_t min_quantity
        int64_t expire_ns
        uint64_t parent_order_id
        int64_t deadline_ns
        uint64_t venue_reference
        int32_t offset
        uint16_t strategy_id
        uint16_t group_id

    ctypedef struct event_t:
        int64_t sequence
        int64_t command_sequence
        int64_t now_ns
        uint64_t order_id
        int64_t price_ticks
        int64_t quantity
        int64_t leaves_quantity
        uint8_t kind
        uint8_t side
        uint8_t reason
        uint8_t reserved
        uint32_t flags
        uint64_t counter_order_id
        int64_t match_id
        int64_t counter_leaves_quantity
        int64_t fee
        uint64_t source_sequence
        uint64_t venue_reference
        uint32_t instrument_id
        uint32_t account_id
        uint32_t counter_account_id
        uint16_t strategy_id
        uint16_t source_id

    ctypedef struct quote_t:
        int64_t now_ns
        int64_t venue_ns
        uint64_t update_id
        int64_t bid_ticks
        int64_t bid_quantity
        int64_t ask_ticks
        int64_t ask_quantity
        uint32_t instrument_id
        uint16_t flags
        uint16_t source_id

    ctypedef struct trade_t:
        int64_t now_ns
        int64_t venue_ns
        uint64_t trade_id
        int64_t price_ticks
        int64_t quantity
        uint32_t instrument_id
        uint8_t side
        uint8_t reserved
        uint16_t flags

    ctypedef struct book_delta_t:
        int64_t now_ns
        int64_t venue_ns
        uint64_t update_id
        uint64_t order_id
        int64_t price_ticks
        int64_t quantity
        uint32_t instrument_id
        uint8_t side
        uint8_t action
        uint16_t flags


# Every enumeration starts at 1, so that a forgotten field is refused, never guessed.
cdef enum:
    COMMAND_NEW = 1
    COMMAND_CANCEL = 2
    COMMAND_REPLACE = 3
    COMMAND_MASS_CANCEL = 4
    COMMAND_KILL = 5
    COMMAND_RESUME = 6
    COMMAND_TIME = 7
    COMMAND_INSTRUMENT = 8
    COMMAND_ACCOUNT = 9
    COMMAND_LIMIT = 10
    COMMAND_SESSION = 11
    COMMAND_MARK = 12
    COMMAND_RATE = 13
    COMMAND_ADJUST = 14
    COMMAND_VENUE_ACCEPTED = 15
    COMMAND_VENUE_REJECTED = 16
    COMMAND_VENUE_FILL = 17
    COMMAND_VENUE_CANCELLED = 18
    COMMAND_VENUE_REPLACED = 19
    COMMAND_VENUE_UNKNOWN = 20

cdef enum:
    EVENT_ACCEPTED = 1
    EVENT_REJECTED = 2
    EVENT_FILLED = 3
    EVENT_CANCELLED = 4
    EVENT_REPLACED = 5
    EVENT_TRIGGERED = 6
    EVENT_EXPIRED = 7
    EVENT_ROUTED = 8
    EVENT_DUPLICATE = 9
    EVENT_APPLIED = 10          # an administrative command took effect
    EVENT_UNKNOWN = 11          # a routed order whose fate is not known
    EVENT_REPLENISHED = 12      # an iceberg shows its next part
    EVENT_INDICATIVE = 13       # price and volume of an auction under way
    EVENT_PHASE = 14            # the kernel itself changed an instrument's phase

cdef enum:
    SIDE_BUY = 1
    SIDE_SELL = 2

cdef enum:
    TYPE_LIMIT = 1
    TYPE_MARKET = 2
    TYPE_STOP = 3
    TYPE_STOP_LIMIT = 4
    TYPE_TRAILING_STOP = 5
    TYPE_TRAILING_STOP_LIMIT = 6
    TYPE_MARKET_IF_TOUCHED = 7
    TYPE_LIMIT_IF_TOUCHED = 8
    TYPE_MARKET_TO_LIMIT = 9
    TYPE_PEGGED = 10

cdef enum:
    TIF_GTC = 1
    TIF_DAY = 2
    TIF_GTD = 3
    TIF_IOC = 4
    TIF_FOK = 5
    TIF_AT_OPEN = 6
    TIF_AT_CLOSE = 7

# Bits of command_t.flags on NEW and REPLACE.
cdef enum:
    FLAG_POST_ONLY = 1
    FLAG_REDUCE_ONLY = 2
    FLAG_HIDDEN = 4
    FLAG_ALL_OR_NONE = 8
    FLAG_TAPE = 16              # a recorded trade: acts on own orders at better prices, then at its price alone
    FLAG_TAPE_BOOKED = 32       # with TAPE: the recorded book shows this trade already
    FLAG_SLIDE = 64             # with POST_ONLY: a price that would cross becomes one step behind the best
    FLAG_TRIGGER_MARK = 128     # source of the trigger; neither: the last trade price
    FLAG_TRIGGER_QUOTE = 256
    FLAG_TRAIL_BPS = 512        # offset of a trailing order is in basis points
    FLAG_PEG_MID = 1024         # reference of a pegged order; neither: the best of its own side
    FLAG_PEG_OPPOSITE = 2048
    FLAG_GROUP_OCO = 4096       # group_id names a group in which one cancels the others
    FLAG_GROUP_OUO = 8192       # one updates the others

# Bits of command_t.flags on ACCOUNT.
cdef enum:
    ACCOUNT_EXEMPT = 1          # no limits, no positions (recorded participants)
    ACCOUNT_RECORDED = 2        # its resting orders are the recorded book
    ACCOUNT_FIFO = 4            # positions by lots, first in, first out; else average cost

# Bits of command_t.flags on INSTRUMENT.
cdef enum:
    INSTRUMENT_NEGATIVE = 1     # prices below zero are allowed
    INSTRUMENT_BAND = 2         # this command adds a band to the tick table of a known instrument
    INSTRUMENT_PRO_RATA = 4     # the best displayed price is shared out, not taken in turn
    INSTRUMENT_EXPLICIT = 8     # events tell all that its orders become, and its phases

# command_t.order_type of LIMIT.
cdef enum:
    LIMIT_ORDER_QUANTITY = 1
    LIMIT_ORDER_NOTIONAL = 2
    LIMIT_PRICE_COLLAR = 3
    LIMIT_POSITION = 4
    LIMIT_MESSAGE_RATE = 5
    LIMIT_DAILY_LOSS = 6
    LIMIT_LEVERAGE = 7
    LIMIT_CONCENTRATION = 8
    LIMIT_CREDIT = 9
    LIMIT_OPEN_ORDERS = 10
    LIMIT_OPEN_VALUE = 11
    LIMIT_GROSS_EXPOSURE = 12
    LIMIT_NET_EXPOSURE = 13
    LIMIT_CREDIT_TOTAL = 14
    LIMIT_PRICE_BAND = 15
    LIMIT_REPEATED = 16
    LIMIT_DUPLICATE = 17
    LIMIT_STALE_PRICE = 18
    LIMIT_PERMISSION = 19
    LIMIT_VOLATILITY_BAND = 20

# command_t.group_id of SESSION.
cdef enum:
    PHASE_CONTINUOUS = 1
    PHASE_HALTED = 2
    PHASE_CLOSED = 3
    PHASE_PRE_OPEN = 4
    PHASE_OPENING_AUCTION = 5
    PHASE_CLOSING_AUCTION = 6
    PHASE_VOLATILITY_AUCTION = 7

# command_t.order_type of ACCOUNT: what happens where an order would meet one of its own owner.
cdef enum:
    SELF_MATCH_CANCEL_NEWEST = 1
    SELF_MATCH_CANCEL_OLDEST = 2
    SELF_MATCH_CANCEL_BOTH = 3
    SELF_MATCH_DECREMENT = 4
    SELF_MATCH_NONE = 5

# command_t.group_id of RATE.
cdef enum:
    RATE_CURRENCY = 1
    RATE_MAKER_FEE = 2
    RATE_TAKER_FEE = 3

# command_t.group_id of ADJUST.
cdef enum:
    ADJUST_CASH = 1
    ADJUST_POSITION = 2
    ADJUST_SPLIT = 3

# Where an open order stands: docs/kernel-orders.md.
cdef enum:
    STANDING_DISPLAYED = 1
    STANDING_DARK = 2
    STANDING_WAITING = 3
    STANDING_PARKED = 4
    STANDING_AUCTION = 5
    STANDING_ROUTED = 6

# Bits of event_t.flags of FILLED.
cdef enum:
    EVENT_FLAG_AUCTION = 1
    EVENT_FLAG_LATE = 2         # a fill of an external venue for an order that was not open, or beyond what it had left

cdef enum:
    STATE_PENDING_NEW = 1
    STATE_OPEN = 2
    STATE_PENDING_CANCEL = 3
    STATE_PENDING_REPLACE = 4
    STATE_UNKNOWN = 5
    STATE_FILLED = 6
    STATE_CANCELLED = 7
    STATE_REJECTED = 8
    STATE_EXPIRED = 9

# book_delta_t.action
cdef enum:
    ACTION_SET = 1              # level now has this absolute quantity (0 removes it)
    ACTION_ADD = 2              # order by order: a new order
    ACTION_REDUCE = 3           # order by order: quantity taken off an order
    ACTION_DELETE = 4
    ACTION_EXECUTE = 5
    ACTION_EXECUTE_HIDDEN = 6
    ACTION_CLEAR = 7            # the side is emptied (first of a snapshot)

# Bits of flags of quote_t, trade_t and book_delta_t.
cdef enum:
    RECORD_LAST = 1             # last record of one update: the book is consistent after it
    RECORD_SNAPSHOT = 2
    RECORD_SYNTHETIC = 4        # made by a simulation
    RECORD_STALE = 8
    RECORD_BOOKED = 16          # trade_t: the recorded book shows this trade already

# Reasons 1 to 31 are controls: a refusal lists each violated one as bit (1 << reason) of event_t.flags and carries
# the smallest as its reason. From 32 on they stand alone.
cdef enum:
    REASON_NONE = 0
    REASON_KILLED = 1
    REASON_SESSION = 2
    REASON_PRICE = 3
    REASON_TICK = 4
    REASON_QUANTITY = 5
    REASON_LOT = 6
    REASON_MIN_QUANTITY = 7
    REASON_EXPIRY = 8
    REASON_UNSUPPORTED = 9
    REASON_ORDER_QUANTITY = 10
    REASON_ORDER_NOTIONAL = 11
    REASON_COLLAR = 12
    REASON_REFERENCE = 13
    REASON_POSITION = 14
    REASON_RATE = 15
    REASON_OVERFLOW = 16
    REASON_DAILY_LOSS = 17
    REASON_LEVERAGE = 18
    REASON_CONCENTRATION = 19
    REASON_CREDIT = 20
    REASON_OPEN_ORDERS = 21
    REASON_REDUCE_ONLY = 22
    REASON_RECONCILE = 23
    REASON_PRICE_BAND = 24
    REASON_OPEN_VALUE = 25
    REASON_EXPOSURE = 26
    REASON_REPEATED = 27
    REASON_REPEATED_ORDER = 28
    REASON_RESTRICTED = 29
    REASON_STALE_PRICE = 30
    REASON_PERMISSION = 31
    REASON_MALFORMED = 32
    REASON_UNKNOWN_INSTRUMENT = 33
    REASON_UNKNOWN_ACCOUNT = 34
    REASON_ORDER_ID = 35
    REASON_DUPLICATE_ORDER = 36
    REASON_UNKNOWN_ORDER = 37
    REASON_CLOSED_ORDER = 38
    REASON_LATE = 39
    REASON_WOULD_CROSS = 40
    REASON_POOL_FULL = 41
    REASON_JOURNAL_FULL = 42
    REASON_BUSY = 43
    REASON_NOT_READY = 44
    REASON_PARENT = 45
    REASON_REQUESTED = 64
    REASON_MASS_CANCEL = 65
    REASON_KILL_SWITCH = 66
    REASON_UNFILLED = 67
    REASON_SELF_MATCH = 68
    REASON_EXPIRED = 69
    REASON_SESSION_CLOSED = 70
    REASON_DISCONNECTED = 71
    REASON_CONTINGENT = 72      # a group or a parent caused it
    REASON_CORPORATE_ACTION = 73
    REASON_VENUE = 74           # an external venue said so
    REASON_RESTATED = 75        # REPLACED: what the order is now, by the rules of its type; nobody asked

cdef enum:
    KERNEL_RULES = 2           # raised with each change that can alter an event
    RECORD_LAYOUT = 1

cdef enum:
    MAX_PRICE_BITS = 40
    MAX_QUANTITY_BITS = 40
    MAX_MULTIPLIER_BITS = 20
    MAX_POSITION_BITS = 50      # |position| plus open orders, in lots: keeps every value within 128 bits
