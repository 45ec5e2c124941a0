"""The records of types.pxd as numpy dtypes, and its enumerations as Python enums."""

from enum import IntEnum, IntFlag

import numpy as np



class CommandKind(IntEnum):
    """What a command does."""

    NEW = COMMAND_NEW
    CANCEL = COMMAND_CANCEL
    REPLACE = COMMAND_REPLACE
    MASS_CANCEL = COMMAND_MASS_CANCEL
    KILL = COMMAND_KILL
    RESUME = COMMAND_RESUME
    TIME = COMMAND_TIME
    INSTRUMENT = COMMAND_INSTRUMENT
    ACCOUNT = COMMAND_ACCOUNT
    LIMIT = COMMAND_LIMIT
    SESSION = COMMAND_SESSION
    MARK = COMMAND_MARK
    RATE = COMMAND_RATE
    ADJUST = COMMAND_ADJUST
    VENUE_ACCEPTED = COMMAND_VENUE_ACCEPTED
    VENUE_REJECTED = COMMAND_VENUE_REJECTED
    VENUE_FILL = COMMAND_VENUE_FILL
    VENUE_CANCELLED = COMMAND_VENUE_CANCELLED
    VENUE_REPLACED = COMMAND_VENUE_REPLACED
    VENUE_UNKNOWN = COMMAND_VENUE_UNKNOWN


class EventKind(IntEnum):
    """What happened."""

    ACCEPTED = EVENT_ACCEPTED
    REJECTED = EVENT_REJECTED
    FILLED = EVENT_FILLED
    CANCELLED = EVENT_CANCELLED
    REPLACED = EVENT_REPLACED
    TRIGGERED = EVENT_TRIGGERED
    EXPIRED = EVENT_EXPIRED
    ROUTED = EVENT_ROUTED
    DUPLICATE = EVENT_DUPLICATE
    APPLIED = EVENT_APPLIED
    UNKNOWN = EVENT_UNKNOWN
    REPLENISHED = EVENT_REPLENISHED
    INDICATIVE = EVENT_INDICATIVE
    PHASE = EVENT_PHASE


class Side(IntEnum):
    """Side of an order; of a trade: the aggressor's."""

    BUY = SIDE_BUY
    SELL = SIDE_SELL


class OrderType(IntEnum):
    """How an order is priced."""

    LIMIT = TYPE_LIMIT
    MARKET = TYPE_MARKET
    STOP = TYPE_STOP
    STOP_LIMIT = TYPE_STOP_LIMIT
    TRAILING_STOP = TYPE_TRAILING_STOP
    TRAILING_STOP_LIMIT = TYPE_TRAILING_STOP_LIMIT
    MARKET_IF_TOUCHED = TYPE_MARKET_IF_TOUCHED
    LIMIT_IF_TOUCHED = TYPE_LIMIT_IF_TOUCHED
    MARKET_TO_LIMIT = TYPE_MARKET_TO_LIMIT
    PEGGED = TYPE_PEGGED


class TimeInForce(IntEnum):
    """How long an order lives."""

    GTC = TIF_GTC
    DAY = TIF_DAY
    GTD = TIF_GTD
    IOC = TIF_IOC
    FOK = TIF_FOK
    AT_OPEN = TIF_AT_OPEN
    AT_CLOSE = TIF_AT_CLOSE


class OrderFlag(IntFlag):
    """Bits of COMMAND.flags on NEW and REPLACE."""

    POST_ONLY = FLAG_POST_ONLY
    REDUCE_ONLY = FLAG_REDUCE_ONLY
    HIDDEN = FLAG_HIDDEN
    ALL_OR_NONE = FLAG_ALL_OR_NONE
    TAPE = FLAG_TAPE
    TAPE_BOOKED = FLAG_TAPE_BOOKED
    SLIDE = FLAG_SLIDE
    TRIGGER_MARK = FLAG_TRIGGER_MARK
    TRIGGER_QUOTE = FLAG_TRIGGER_QUOTE
    TRAIL_BPS = FLAG_TRAIL_BPS
    PEG_MID = FLAG_PEG_MID
    PEG_OPPOSITE = FLAG_PEG_OPPOSITE
    GROUP_OCO = FLAG_GROUP_OCO
    GROUP_OUO = FLAG_GROUP_OUO


class AccountFlag(IntFlag):
    """Bits of COMMAND.flags on ACCOUNT."""

    EXEMPT = ACCOUNT_EXEMPT
    RECORDED = ACCOUNT_RECORDED
    FIFO = ACCOUNT_FIFO


class InstrumentFlag(IntFlag):
    """Bits of COMMAND.flags on INSTRUMENT."""

    NEGATIVE = INSTRUMENT_NEGATIVE
    BAND = INSTRUMENT_BAND
    PRO_RATA = INSTRUMENT_PRO_RATA
    EXPLICIT = INSTRUMENT_EXPLICIT


class LimitKind(IntEnum):
    """COMMAND.order_type of LIMIT."""

    ORDER_QUANTITY = LIMIT_ORDER_QUANTITY
    ORDER_NOTIONAL = LIMIT_ORDER_NOTIONAL
    PRICE_COLLAR = LIMIT_PRICE_COLLAR
    POSITION = LIMIT_POSITION
    MESSAGE_RATE = LIMIT_MESSAGE_RATE
    DAILY_LOSS = LIMIT_DAILY_LOSS
    LEVERAGE = LIMIT_LEVERAGE
    CONCENTRATION = LIMIT_CONCENTRATION
    CREDIT = LIMIT_CREDIT
    OPEN_ORDERS = LIMIT_OPEN_ORDERS
    OPEN_VALUE = LIMIT_OPEN_VALUE
    GROSS_EXPOSURE = LIMIT_GROSS_EXPOSURE
    NET_EXPOSURE = LIMIT_NET_EXPOSURE
    CREDIT_TOTAL = LIMIT_CREDIT_TOTAL
    PRICE_BAND = LIMIT_PRICE_BAND
    REPEATED = LIMIT_REPEATED
    DUPLICATE = LIMIT_DUPLICATE
    STALE_PRICE = LIMIT_STALE_PRICE
    PERMISSION = LIMIT_PERMISSION
    VOLATILITY_BAND = LIMIT_VOLATILITY_BAND


class SessionPhase(IntEnum):
    """COMMAND.group_id of SESSION."""

    CONTINUOUS = PHASE_CONTINUOUS
    HALTED = PHASE_HALTED
    CLOSED = PHASE_CLOSED
    PRE_OPEN = PHASE_PRE_OPEN
    OPENING_AUCTION = PHASE_OPENING_AUCTION
    CLOSING_AUCTION = PHASE_CLOSING_AUCTION
    VOLATILITY_AUCTION = PHASE_VOLATILITY_AUCTION


class SelfMatch(IntEnum):
    """ACCOUNT.order_type: what happens where an order would meet one of its own owner; 0 is CANCEL_NEWEST."""

    CANCEL_NEWEST = SELF_MATCH_CANCEL_NEWEST
    CANCEL_OLDEST = SELF_MATCH_CANCEL_OLDEST
    CANCEL_BOTH = SELF_MATCH_CANCEL_BOTH
    DECREMENT = SELF_MATCH_DECREMENT
    NONE = SELF_MATCH_NONE


class RateKind(IntEnum):
    """RATE.group_id."""

    CURRENCY = RATE_CURRENCY
    MAKER_FEE = RATE_MAKER_FEE
    TAKER_FEE = RATE_TAKER_FEE


class AdjustKind(IntEnum):
    """ADJUST.group_id."""

    CASH = ADJUST_CASH
    POSITION = ADJUST_POSITION
    SPLIT = ADJUST_SPLIT


class Standing(IntEnum):
    """Where an open order stands."""

    DISPLAYED = STANDING_DISPLAYED
    DARK = STANDING_DARK
    WAITING = STANDING_WAITING
    PARKED = STANDING_PARKED
    AUCTION = STANDING_AUCTION
    ROUTED = STANDING_ROUTED


class EventFlag(IntFlag):
    """Bits of EVENT.flags of FILLED."""

    AUCTION = EVENT_FLAG_AUCTION
    LATE = EVENT_FLAG_LATE


class OrderState(IntEnum):
    """One order-state table for internal and routed orders."""

    PENDING_NEW = STATE_PENDING_NEW
    OPEN = STATE_OPEN
    PENDING_CANCEL = STATE_PENDING_CANCEL
    PENDING_REPLACE = STATE_PENDING_REPLACE
    UNKNOWN = STATE_UNKNOWN
    FILLED = STATE_FILLED
    CANCELLED = STATE_CANCELLED
    REJECTED = STATE_REJECTED
    EXPIRED = STATE_EXPIRED


class BookAction(IntEnum):
    """BOOK_DELTA.action."""

    SET = ACTION_SET
    ADD = ACTION_ADD
    REDUCE = ACTION_REDUCE
    DELETE = ACTION_DELETE
    EXECUTE = ACTION_EXECUTE
    EXECUTE_HIDDEN = ACTION_EXECUTE_HIDDEN
    CLEAR = ACTION_CLEAR


class RecordFlag(IntFlag):
    """Bits of flags of QUOTE, TRADE and BOOK_DELTA."""

    LAST = RECORD_LAST
    SNAPSHOT = RECORD_SNAPSHOT
    SYNTHETIC = RECORD_SYNTHETIC
    STALE = RECORD_STALE
    BOOKED = RECORD_BOOKED


class Reason(IntEnum):
    """Why; 1 to 31 are controls, bit (1 << reason) of EVENT.flags."""

    NONE = REASON_NONE
    KILLED = REASON_KILLED
    SESSION = REASON_SESSION
    PRICE = REASON_PRICE
    TICK = REASON_TICK
    QUANTITY = REASON_QUANTITY
    LOT = REASON_LOT
    MIN_QUANTITY = REASON_MIN_QUANTITY
    EXPIRY = REASON_EXPIRY
    UNSUPPORTED = REASON_UNSUPPORTED
    ORDER_QUANTITY = REASON_ORDER_QUANTITY
    ORDER_NOTIONAL = REASON_ORDER_NOTIONAL
    COLLAR = REASON_COLLAR
    REFERENCE = REASON_REFERENCE
    POSITION = REASON_POSITION
    RATE = REASON_RATE
    OVERFLOW = REASON_OVERFLOW
    DAILY_LOSS = REASON_DAILY_LOSS
    LEVERAGE = REASON_LEVERAGE
    CONCENTRATION = REASON_CONCENTRATION
    CREDIT = REASON_CREDIT
    OPEN_ORDERS = REASON_OPEN_ORDERS
    REDUCE_ONLY = REASON_REDUCE_ONLY
    RECONCILE = REASON_RECONCILE
    PRICE_BAND = REASON_PRICE_BAND
    OPEN_VALUE = REASON_OPEN_VALUE
    EXPOSURE = REASON_EXPOSURE
    REPEATED = REASON_REPEATED
    REPEATED_ORDER = REASON_REPEATED_ORDER
    RESTRICTED = REASON_RESTRICTED
    STALE_PRICE = REASON_STALE_PRICE
    PERMISSION = REASON_PERMISSION
    MALFORMED = REASON_MALFORMED
    UNKNOWN_INSTRUMENT = REASON_UNKNOWN_INSTRUMENT
    UNKNOWN_ACCOUNT = REASON_UNKNOWN_ACCOUNT
    ORDER_ID = REASON_ORDER_ID
    DUPLICATE_ORDER = REASON_DUPLICATE_ORDER
    UNKNOWN_ORDER = REASON_UNKNOWN_ORDER
    CLOSED_ORDER = REASON_CLOSED_ORDER
    LATE = REASON_LATE
    WOULD_CROSS = REASON_WOULD_CROSS
    POOL_FULL = REASON_POOL_FULL
    JOURNAL_FULL = REASON_JOURNAL_FULL
    BUSY = REASON_BUSY
    NOT_READY = REASON_NOT_READY
    PARENT = REASON_PARENT
    REQUESTED = REASON_REQUESTED
    MASS_CANCEL = REASON_MASS_CANCEL
    KILL_SWITCH = REASON_KILL_SWITCH
    UNFILLED = REASON_UNFILLED
    SELF_MATCH = REASON_SELF_MATCH
    EXPIRED = REASON_EXPIRED
    SESSION_CLOSED = REASON_SESSION_CLOSED
    DISCONNECTED = REASON_DISCONNECTED
    CONTINGENT = REASON_CONTINGENT
    CORPORATE_ACTION = REASON_CORPORATE_ACTION
    VENUE = REASON_VENUE
    RESTATED = REASON_RESTATED


COMMAND = np.dtype([
    ("sequence", "<i8"),
    ("now_ns", "<i8"),
    ("order_id", "<u8"),
    ("price_ticks", "<i8"),
    ("quantity", "<i8"),
    ("source_sequence", "<u8"),
    ("instrument_id", "<u4"),
    ("account_id", "<u4"),
    ("kind", "u1"),
    ("side", "u1"),
    ("order_type", "u1"),
    ("time_in_force", "u1"),
    ("flags", "<u2"),
    ("source_id", "<u2"),
    ("trigger_ticks", "<i8"),
    ("display_quantity", "<i8"),
    ("min_quantity", "<i8"),
    ("expire_ns", "<i8"),
    ("parent_order_id", "<u8"),
    ("deadline_ns", "<i8"),
    ("venue_reference", "<u8"),
    ("offset", "<i4"),
    ("strategy_id", "<u2"),
    ("group_id", "<u2"),
], align=True)

EVENT = np.dtype([
    ("sequence", "<i8"),
    ("command_sequence", "<i8"),
    ("now_ns", "<i8"),
    ("order_id", "<u8"),
    ("price_ticks", "<i8"),
    ("quantity", "<i8"),
    ("leaves_quantity", "<i8"),
    ("kind", "u1"),
    ("side", "u1"),
    ("reason", "u1"),
    ("reserved", "u1"),
    ("flags", "<u4"),
    ("counter_order_id", "<u8"),
    ("match_id", "<i8"),
    ("counter_leaves_quantity", "<i8"),
    ("fee", "<i8"),
    ("source_sequence", "<u8"),
    ("venue_reference", "<u8"),
    ("instrument_id", "<u4"),
    ("account_id", "<u4"),
    ("counter_account_id", "<u4"),
    ("strategy_id", "<u2"),
    ("source_id", "<u2"),
], align=True)

QUOTE = np.dtype([
    ("now_ns", "<i8"),
    ("venue_ns", "<i8"),
    ("update_id", "<u8"),
    ("bid_ticks", "<i8"),
    ("bid_quantity", "<i8"),
    ("ask_ticks", "<i8"),
    ("ask_quantity", "<i8"),
    ("instrument_id", "<u4"),
    ("flags", "<u2"),
    ("source_id", "<u2"),
], align=True)

TRADE = np.dtype([
    ("now_ns", "<i8"),
    ("venue_ns", "<i8"),
    ("trade_id", "<u8"),
    ("price_ticks", "<i8"),
    ("quantity", "<i8"),
    ("instrument_id", "<u4"),
    ("side", "u1"),
    ("reserved", "u1"),
    ("flags", "<u2"),
], align=True)

BOOK_DELTA = np.dtype([
    ("now_ns", "<i8"),
    ("venue_ns", "<i8"),
    ("update_id", "<u8"),
    ("order_id", "<u8"),
    ("price_ticks", "<i8"),
    ("quantity", "<i8"),
    ("instrument_id", "<u4"),
    ("side", "u1"),
    ("action", "u1"),
    ("flags", "<u2"),
], align=True)

RULES_VERSION = KERNEL_RULES
LAYOUT_VERSION = RECORD_LAYOUT
MAX_PRICE_TICKS = 2 ** <object>MAX_PRICE_BITS
MAX_QUANTITY_LOTS = 2 ** <object>MAX_QUANTITY_BITS
MAX_MULTIPLIER = 2 ** <object>MAX_MULTIPLIER_BITS
MAX_POSITION_LOTS = 2 ** <object>MAX_POSITION_BITS


def layout():
    """{record: (size, {field: offset})} as the C compiler sees it; compared with the dtypes by a test."""
    return {
        "COMMAND": (sizeof(command_t), {
            "sequence": <size_t>&(<command_t*>NULL).sequence,
            "now_ns": <size_t>&(<command_t*>NULL).now_ns,
            "order_id": <size_t>&(<command_t*>NULL).order_id,
            "price_ticks": <size_t>&(<command_t*>NULL).price_ticks,
            "quantity": <size_t>&(<command_t*>NULL).quantity,
            "source_sequence": <size_t>&(<command_t*>NULL).source_sequence,
            "instrument_id": <size_t>&(<command_t*>NULL).instrument_id,
            "account_id": <size_t>&(<command_t*>NULL).account_id,
            "kind": <size_t>&(<command_t*>NULL).kind,
            "side": <size_t>&(<command_t*>NULL).side,
            "order_type": <size_t>&(<command_t*>NULL).order_type,
            "time_in_force": <size_t>&(<command_t*>NULL).time_in_force,
            "flags": <size_t>&(<command_t*>NULL).flags,
            "source_id": <size_t>&(<command_t*>NULL).source_id,
            "trigger_ticks": <size_t>&(<command_t*>NULL).trigger_ticks,
            "display_quantity": <size_t>&(<command_t*>NULL).display_quantity,
            "min_quantity": <size_t>&(<command_t*>NULL).min_quantity,
            "expire_ns": <size_t>&(<command_t*>NULL).expire_ns,
            "parent_order_id": <size_t>&(<command_t*>NULL).parent_order_id,
            "deadline_ns": <size_t>&(<command_t*>NULL).deadline_ns,
            "venue_reference": <size_t>&(<command_t*>NULL).venue_reference,
            "offset": <size_t>&(<command_t*>NULL).offset,
            "strategy_id": <size_t>&(<command_t*>NULL).strategy_id,
            "group_id": <size_t>&(<command_t*>NULL).group_id,
        }),
        "EVENT": (sizeof(event_t), {
            "sequence": <size_t>&(<event_t*>NULL).sequence,
            "command_sequence": <size_t>&(<event_t*>NULL).command_sequence,
            "now_ns": <size_t>&(<event_t*>NULL).now_ns,
            "order_id": <size_t>&(<event_t*>NULL).order_id,
            "price_ticks": <size_t>&(<event_t*>NULL).price_ticks,
            "quantity": <size_t>&(<event_t*>NULL).quantity,
            "leaves_quantity": <size_t>&(<event_t*>NULL).leaves_quantity,
            "kind": <size_t>&(<event_t*>NULL).kind,
            "side": <size_t>&(<event_t*>NULL).side,
            "reason": <size_t>&(<event_t*>NULL).reason,
            "reserved": <size_t>&(<event_t*>NULL).reserved,
            "flags": <size_t>&(<event_t*>NULL).flags,
            "counter_order_id": <size_t>&(<event_t*>NULL).counter_order_id,
            "match_id": <size_t>&(<event_t*>NULL).match_id,
            "counter_leaves_quantity": <size_t>&(<event_t*>NULL).counter_leaves_quantity,
            "fee": <size_t>&(<event_t*>NULL).fee,
            "source_sequence": <size_t>&(<event_t*>NULL).source_sequence,
            "venue_reference": <size_t>&(<event_t*>NULL).venue_reference,
            "instrument_id": <size_t>&(<event_t*>NULL).instrument_id,
            "account_id": <size_t>&(<event_t*>NULL).account_id,
            "counter_account_id": <size_t>&(<event_t*>NULL).counter_account_id,
            "strategy_id": <size_t>&(<event_t*>NULL).strategy_id,
            "source_id": <size_t>&(<event_t*>NULL).source_id,
        }),
        "QUOTE": (sizeof(quote_t), {
            "now_ns": <size_t>&(<quote_t*>NULL).now_ns,
            "venue_ns": <size_t>&(<quote_t*>NULL).venue_ns,
            "update_id": <size_t>&(<quote_t*>NULL).update_id,
            "bid_ticks": <size_t>&(<quote_t*>NULL).bid_ticks,
            "bid_quantity": <size_t>&(<quote_t*>NULL).bid_quantity,
            "ask_ticks": <size_t>&(<quote_t*>NULL).ask_ticks,
            "ask_quantity": <size_t>&(<quote_t*>NULL).ask_quantity,
            "instrument_id": <size_t>&(<quote_t*>NULL).instrument_id,
            "flags": <size_t>&(<quote_t*>NULL).flags,
            "source_id": <size_t>&(<quote_t*>NULL).source_id,
        }),
        "TRADE": (sizeof(trade_t), {
            "now_ns": <size_t>&(<trade_t*>NULL).now_ns,
            "venue_ns": <size_t>&(<trade_t*>NULL).venue_ns,
            "trade_id": <size_t>&(<trade_t*>NULL).trade_id,
            "price_ticks": <size_t>&(<trade_t*>NULL).price_ticks,
            "quantity": <size_t>&(<trade_t*>NULL).quantity,
            "instrument_id": <size_t>&(<trade_t*>NULL).instrument_id,
            "side": <size_t>&(<trade_t*>NULL).side,
            "reserved": <size_t>&(<trade_t*>NULL).reserved,
            "flags": <size_t>&(<trade_t*>NULL).flags,
        }),
        "BOOK_DELTA": (sizeof(book_delta_t), {
            "now_ns": <size_t>&(<book_delta_t*>NULL).now_ns,
            "venue_ns": <size_t>&(<book_delta_t*>NULL).venue_ns,
            "update_id": <size_t>&(<book_delta_t*>NULL).update_id,
            "order_id": <size_t>&(<book_delta_t*>NULL).order_id,
            "price_ticks": <size_t>&(<book_delta_t*>NULL).price_ticks,
            "quantity": <size_t>&(<book_delta_t*>NULL).quantity,
            "instrument_id": <size_t>&(<book_delta_t*>NULL).instrument_id,
            "side": <size_t>&(<book_delta_t*>NULL).side,
            "action": <size_t>&(<book_delta_t*>NULL).action,
            "flags": <size_t>&(<book_delta_t*>NULL).flags,
        }),
    }
