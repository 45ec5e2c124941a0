"""Records of ticks.pxd as numpy dtypes, and its enumerations as Python enums."""

from enum import IntEnum

import numpy as np

cimport numpy as cnp

cnp.import_array()


class TickKind(IntEnum):
    """What a TICK is."""

    QUOTE = TICK_QUOTE
    TRADE = TICK_TRADE
    LEVEL = TICK_LEVEL
    CLEAR = TICK_CLEAR


class TickReason(IntEnum):
    """Why a TICK was refused; GAP refuses nothing."""

    UNKNOWN_INSTRUMENT = TICK_UNKNOWN_INSTRUMENT
    KIND = TICK_KIND
    SIDE = TICK_SIDE
    PRECISION = TICK_PRECISION
    RANGE = TICK_RANGE
    QUANTITY = TICK_QUANTITY
    TIME = TICK_TIME
    OUT_OF_ORDER = TICK_OUT_OF_ORDER
    DUPLICATE = TICK_DUPLICATE
    CROSSED = TICK_CROSSED
    LOCKED = TICK_LOCKED
    JUMP = TICK_JUMP
    GAP = TICK_GAP


class BarKind(IntEnum):
    """What closes a bar."""

    TIME = BAR_TIME
    TICK = BAR_TICK
    VOLUME = BAR_VOLUME
    DOLLAR = BAR_DOLLAR
    IMBALANCE = BAR_IMBALANCE


GAP_FLAG = RECORD_GAP

_TICK_FIELDS = [
    ("venue_ns", "<i8"),
    ("receive_ns", "<i8"),
    ("sequence", "<u8"),
    ("price", "<i8"),
    ("quantity", "<i8"),
    ("price_2", "<i8"),
    ("quantity_2", "<i8"),
    ("instrument_id", "<u4"),
    ("kind", "u1"),
    ("side", "u1"),
    ("price_decimals", "u1"),
    ("quantity_decimals", "u1"),
]
TICK = np.dtype(_TICK_FIELDS, align=True)

QUARANTINE = np.dtype([
    *_TICK_FIELDS,
    ("reference", "<i8"),
    ("reason", "<u2"),
    ("reserved", "<u2"),
    ("padding", "<u4"),
], align=True)

BAR = np.dtype([
    ("now_ns", "<i8"),
    ("begin_ns", "<i8"),
    ("end_ns", "<i8"),
    ("open_ticks", "<i8"),
    ("high_ticks", "<i8"),
    ("low_ticks", "<i8"),
    ("close_ticks", "<i8"),
    ("volume", "<i8"),
    ("buy_volume", "<i8"),
    ("notional", "<f8"),
    ("size", "<i8"),
    ("trades", "<u4"),
    ("instrument_id", "<u4"),
    ("kind", "u1"),
    ("reserved", "u1"),
    ("flags", "<u2"),
    ("padding", "<u4"),
], align=True)

FLOW = np.dtype([
    ("now_ns", "<i8"),
    ("begin_ns", "<i8"),
    ("imbalance", "<i8"),
    ("bid_depth", "<i8"),
    ("ask_depth", "<i8"),
    ("updates", "<u4"),
    ("instrument_id", "<u4"),
    ("levels", "u1"),
    ("reserved", "u1"),
    ("flags", "<u2"),
    ("padding", "<u4"),
], align=True)


cdef cnp.ndarray record_rows(object rows, object dtype, str name):
    """The array itself, if it is what C loops may walk; TypeError names what it is."""
    if not isinstance(rows, np.ndarray) or (rows.dtype is not dtype and rows.dtype != dtype):
        raise TypeError(f"{name}: {getattr(rows, 'dtype', type(rows).__name__)}; expected an array of {dtype}")
    if rows.ndim != 1 or not rows.flags.c_contiguous:
        raise TypeError(f"{name}: not one contiguous row; expected a one-dimensional C-contiguous array")
    return <cnp.ndarray>rows


def layout():
    """{record: (size, {field: offset})} as the C compiler sees it; compared with the dtypes by a test."""
    tick = {
        "venue_ns": <size_t>&(<tick_t*>NULL).venue_ns,
        "receive_ns": <size_t>&(<tick_t*>NULL).receive_ns,
        "sequence": <size_t>&(<tick_t*>NULL).sequence,
        "price": <size_t>&(<tick_t*>NULL).price,
        "quantity": <size_t>&(<tick_t*>NULL).quantity,
        "price_2": <size_t>&(<tick_t*>NULL).price_2,
        "quantity_2": <size_t>&(<tick_t*>NULL).quantity_2,
        "instrument_id": <size_t>&(<tick_t*>NULL).instrument_id,
        "kind": <size_t>&(<tick_t*>NULL).kind,
        "side": <size_t>&(<tick_t*>NULL).side,
        "price_decimals": <size_t>&(<tick_t*>NULL).price_decimals,
        "quantity_decimals": <size_t>&(<tick_t*>NULL).quantity_decimals,
    }
    return {
        "TICK": (sizeof(tick_t), tick),
        "QUARANTINE": (sizeof(quarantined_t), {
            **tick,
            "reference": <size_t>&(<quarantined_t*>NULL).reference,
            "reason": <size_t>&(<quarantined_t*>NULL).reason,
            "reserved": <size_t>&(<quarantined_t*>NULL).reserved,
            "padding": <size_t>&(<quarantined_t*>NULL).padding,
        }),
        "BAR": (sizeof(bar_t), {
            "now_ns": <size_t>&(<bar_t*>NULL).now_ns,
            "begin_ns": <size_t>&(<bar_t*>NULL).begin_ns,
            "end_ns": <size_t>&(<bar_t*>NULL).end_ns,
            "open_ticks": <size_t>&(<bar_t*>NULL).open_ticks,
            "high_ticks": <size_t>&(<bar_t*>NULL).high_ticks,
            "low_ticks": <size_t>&(<bar_t*>NULL).low_ticks,
            "close_ticks": <size_t>&(<bar_t*>NULL).close_ticks,
            "volume": <size_t>&(<bar_t*>NULL).volume,
            "buy_volume": <size_t>&(<bar_t*>NULL).buy_volume,
            "notional": <size_t>&(<bar_t*>NULL).notional,
            "size": <size_t>&(<bar_t*>NULL).size,
            "trades": <size_t>&(<bar_t*>NULL).trades,
            "instrument_id": <size_t>&(<bar_t*>NULL).instrument_id,
            "kind": <size_t>&(<bar_t*>NULL).kind,
            "reserved": <size_t>&(<bar_t*>NULL).reserved,
            "flags": <size_t>&(<bar_t*>NULL).flags,
            "padding": <size_t>&(<bar_t*>NULL).padding,
        }),
        "FLOW": (sizeof(flow_t), {
            "now_ns": <size_t>&(<flow_t*>NULL).now_ns,
            "begin_ns": <size_t>&(<flow_t*>NULL).begin_ns,
            "imbalance": <size_t>&(<flow_t*>NULL).imbalance,
            "bid_depth": <size_t>&(<flow_t*>NULL).bid_depth,
            "ask_depth": <size_t>&(<flow_t*>NULL).ask_depth,
            "updates": <size_t>&(<flow_t*>NULL).updates,
            "instrument_id": <size_t>&(<flow_t*>NULL).instrument_id,
            "levels": <size_t>&(<flow_t*>NULL).levels,
            "reserved": <size_t>&(<flow_t*>NULL).reserved,
            "flags": <size_t>&(<flow_t*>NULL).flags,
            "padding": <size_t>&(<flow_t*>NULL).padding,
        }),
    }
