from enum import IntEnum, IntFlag

import numpy as np

class CommandKind(IntEnum):
    NEW = 1
    CANCEL = 2
    REPLACE = 3
    MASS_CANCEL = 4
    KILL = 5
    RESUME = 6
    TIME = 7
    INSTRUMENT = 8
    ACCOUNT = 9
    LIMIT = 10
    SESSION = 11
    MARK = 12
    RATE = 13
    ADJUST = 14
    VENUE_ACCEPTED = 15
    VENUE_REJECTED = 16
    VENUE_FILL = 17
    VENUE_CANCELLED = 18
    VENUE_REPLACED = 19
    VENUE_UNKNOWN = 20

class EventKind(IntEnum):
    ACCEPTED = 1
    REJECTED = 2
    FILLED = 3
    CANCELLED = 4
    REPLACED = 5
    TRIGGERED = 6
    EXPIRED = 7
    ROUTED = 8
    DUPLICATE = 9
    APPLIED = 10
    UNKNOWN = 11
    REPLENISHED = 12
    INDICATIVE = 13
    PHASE = 14

class Side(IntEnum):
    BUY = 1
    SELL = 2

class OrderType(IntEnum):
    LIMIT = 1
    MARKET = 2
    STOP = 3
    STOP_LIMIT = 4
    TRAILING_STOP = 5
    TRAILING_STOP_LIMIT = 6
    MARKET_IF_TOUCHED = 7
    LIMIT_IF_TOUCHED = 8
    MARKET_TO_LIMIT = 9
    PEGGED = 10

class TimeInForce(IntEnum):
    GTC = 1
    DAY = 2
    GTD = 3
    IOC = 4
    FOK = 5
    AT_OPEN = 6
    AT_CLOSE = 7

class OrderFlag(IntFlag):
    POST_ONLY = 1
    REDUCE_ONLY = 2
    HIDDEN = 4
    ALL_OR_NONE = 8
    TAPE = 16
    TAPE_BOOKED = 32
    SLIDE = 64
    TRIGGER_MARK = 128
    TRIGGER_QUOTE = 256
    TRAIL_BPS = 512
    PEG_MID = 1024
    PEG_OPPOSITE = 2048
    GROUP_OCO = 4096
    GROUP_OUO = 8192

class AccountFlag(IntFlag):
    EXEMPT = 1
    RECORDED = 2
    FIFO = 4

class InstrumentFlag(IntFlag):
    NEGATIVE = 1
    BAND = 2
    PRO_RATA = 4
    EXPLICIT = 8

class LimitKind(IntEnum):
    ORDER_QUANTITY = 1
    ORDER_NOTIONAL = 2
    PRICE_COLLAR = 3
    POSITION = 4
    MESSAGE_RATE = 5
    DAILY_LOSS = 6
    LEVERAGE = 7
    CONCENTRATION = 8
    CREDIT = 9
    OPEN_ORDERS = 10
    OPEN_VALUE = 11
    GROSS_EXPOSURE = 12
    NET_EXPOSURE = 13
    CREDIT_TOTAL = 14
    PRICE_BAND = 15
    REPEATED = 16
    DUPLICATE = 17
    STALE_PRICE = 18
    PERMISSION = 19
    VOLATILITY_BAND = 20

class SessionPhase(IntEnum):
    CONTINUOUS = 1
    HALTED = 2
    CLOSED = 3
    PRE_OPEN = 4
    OPENING_AUCTION = 5
    CLOSING_AUCTION = 6
    VOLATILITY_AUCTION = 7

class SelfMatch(IntEnum):
    CANCEL_NEWEST = 1
    CANCEL_OLDEST = 2
    CANCEL_BOTH = 3
    DECREMENT = 4
    NONE = 5

class RateKind(IntEnum):
    CURRENCY = 1
    MAKER_FEE = 2
    TAKER_FEE = 3

class AdjustKind(IntEnum):
    CASH = 1
    POSITION = 2
    SPLIT = 3

class Standing(IntEnum):
    DISPLAYED = 1
    DARK = 2
    WAITING = 3
    PARKED = 4
    AUCTION = 5
    ROUTED = 6

class EventFlag(IntFlag):
    AUCTION = 1
    LATE = 2

class OrderState(IntEnum):
    PENDING_NEW = 1
    OPEN = 2
    PENDING_CANCEL = 3
    PENDING_REPLACE = 4
    UNKNOWN = 5
    FILLED = 6
    CANCELLED = 7
    REJECTED = 8
    EXPIRED = 9

class BookAction(IntEnum):
    SET = 1
    ADD = 2
    REDUCE = 3
    DELETE = 4
    EXECUTE = 5
    EXECUTE_HIDDEN = 6
    CLEAR = 7

class RecordFlag(IntFlag):
    LAST = 1
    SNAPSHOT = 2
    SYNTHETIC = 4
    STALE = 8
    BOOKED = 16

class Reason(IntEnum):
    NONE = 0
    KILLED = 1
    SESSION = 2
    PRICE = 3
    TICK = 4
    QUANTITY = 5
    LOT = 6
    MIN_QUANTITY = 7
    EXPIRY = 8
    UNSUPPORTED = 9
    ORDER_QUANTITY = 10
    ORDER_NOTIONAL = 11
    COLLAR = 12
    REFERENCE = 13
    POSITION = 14
    RATE = 15
    OVERFLOW = 16
    DAILY_LOSS = 17
    LEVERAGE = 18
    CONCENTRATION = 19
    CREDIT = 20
    OPEN_ORDERS = 21
    REDUCE_ONLY = 22
    RECONCILE = 23
    PRICE_BAND = 24
    OPEN_VALUE = 25
    EXPOSURE = 26
    REPEATED = 27
    REPEATED_ORDER = 28
    RESTRICTED = 29
    STALE_PRICE = 30
    PERMISSION = 31
    MALFORMED = 32
    UNKNOWN_INSTRUMENT = 33
    UNKNOWN_ACCOUNT = 34
    ORDER_ID = 35
    DUPLICATE_ORDER = 36
    UNKNOWN_ORDER = 37
    CLOSED_ORDER = 38
    LATE = 39
    WOULD_CROSS = 40
    POOL_FULL = 41
    JOURNAL_FULL = 42
    BUSY = 43
    NOT_READY = 44
    PARENT = 45
    REQUESTED = 64
    MASS_CANCEL = 65
    KILL_SWITCH = 66
    UNFILLED = 67
    SELF_MATCH = 68
    EXPIRED = 69
    SESSION_CLOSED = 70
    DISCONNECTED = 71
    CONTINGENT = 72
    CORPORATE_ACTION = 73
    VENUE = 74
    RESTATED = 75

COMMAND: np.dtype[np.void]
EVENT: np.dtype[np.void]
QUOTE: np.dtype[np.void]
TRADE: np.dtype[np.void]
BOOK_DELTA: np.dtype[np.void]
RULES_VERSION: int
LAYOUT_VERSION: int
MAX_PRICE_TICKS: int
MAX_QUANTITY_LOTS: int
MAX_MULTIPLIER: int
MAX_POSITION_LOTS: int

def layout() -> dict[str, tuple[int, dict[str, int]]]: ...
