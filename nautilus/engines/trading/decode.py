"""Orders in decimals and words to commands, with one clear error for each field that is wrong.

The core refuses what does not go together as UNSUPPORTED, all in one; here the field is named that is too much or
missing, by the same table (docs/kernel-orders.md, "What goes with what"). What the core alone can know is left to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from nautilus.model.commands import ReplaceOrder, SubmitOrder
from nautilus.model.enums import (
    GroupKind,
    OrderFlag,
    OrderType,
    PegReference,
    TimeInForce,
    TriggerSource,
)
from nautilus.model.errors import ModelError
from nautilus.model.ids import MAX_PRICE_TICKS
from nautilus.model.instrument import Instrument
from nautilus.model.queries import AmendRequest, OrderRequest

SHOWN = 100
"""Characters of somebody else's text in an error."""
MOST_OFFSET = 2**31 - 1
_WHOLE = re.compile(r"-?[0-9]{1,10}")

_LIMIT, _MARKET, _PEGGED = OrderType.LIMIT, OrderType.MARKET, OrderType.PEGGED
_STOPS = (OrderType.STOP, OrderType.MARKET_IF_TOUCHED)
_LIMITED = (OrderType.STOP_LIMIT, OrderType.LIMIT_IF_TOUCHED)
_TRAILING = (OrderType.TRAILING_STOP, OrderType.TRAILING_STOP_LIMIT)
_WAITING = (*_STOPS, *_LIMITED, *_TRAILING)
_RESTING = (TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD)
_AUCTION = (TimeInForce.AT_OPEN, TimeInForce.AT_CLOSE)
_TRIGGERS = {TriggerSource.MARK: OrderFlag.TRIGGER_MARK, TriggerSource.QUOTE: OrderFlag.TRIGGER_QUOTE}
_PEGS = {PegReference.MID: OrderFlag.PEG_MID, PegReference.OPPOSITE: OrderFlag.PEG_OPPOSITE}
_GROUPS = {GroupKind.OCO: OrderFlag.GROUP_OCO, GroupKind.OUO: OrderFlag.GROUP_OUO}


class OrderFieldError(ModelError):
    """A field of an order is missing, or does not go with the rest of it; `where` names the field."""

    code = "model.order_field"


class _Rule(NamedTuple):
    """What a flag or a field goes with: types, times in force, and what it excludes. Empty: any."""

    types: tuple[OrderType, ...] = ()
    times: tuple[TimeInForce, ...] = ()
    excludes: tuple[str, ...] = ()


# What the request says by name. The core knows the rest: phases, venues, what the account holds.
_RULES = {
    "post_only": _Rule((_LIMIT,), _RESTING),
    "slide": _Rule((_LIMIT,), _RESTING),
    "hidden": _Rule((_LIMIT,), _RESTING),
    "all_or_none": _Rule((_LIMIT,), (*_RESTING, TimeInForce.IOC), ("hidden", "post_only")),
    "display_quantity": _Rule((_LIMIT,), (*_RESTING, *_AUCTION), ("hidden", "all_or_none")),
    "min_quantity": _Rule(
        (_LIMIT, _MARKET), (*_RESTING, TimeInForce.IOC), ("post_only", "all_or_none", "parent_order_id")
    ),
    "trail_bps": _Rule(_TRAILING),
    "parent_order_id": _Rule(
        tuple(kind for kind in OrderType if kind != _PEGGED), (*_RESTING, TimeInForce.IOC, TimeInForce.FOK)
    ),
}


def submit_order(request: OrderRequest, instrument: Instrument, order_id: int) -> SubmitOrder:
    """The command of a request.

    Raises
    ------
    OrderFieldError
        A field is missing, or does not go with the type, the time in force or another field.
    ModelError
        A number is none, or off tick or lot.
    """
    kind = request.order_type
    time_in_force = request.time_in_force
    if kind == _MARKET and time_in_force == TimeInForce.GTC:
        # A market order cannot rest: unless something else is asked for, what it does not get at once is dropped.
        time_in_force = TimeInForce.IOC
    price = _price(request, instrument)
    trigger = _trigger(request, instrument)
    offset = _offset(request, instrument)
    _check_time(kind, time_in_force)
    for field, rule in _RULES.items():
        if getattr(request, field):
            _check_rule(request, field, rule, kind, time_in_force)
    if request.slide and not request.post_only:
        raise _wrong("slide", "slide without post_only", "post_only too")
    if request.trigger_source != TriggerSource.LAST and kind not in _WAITING:
        raise _wrong("trigger_source", f"trigger_source of {_named(kind)}", _one_of(_WAITING))
    if request.peg != PegReference.BEST and kind != _PEGGED:
        raise _wrong("peg", f"peg of {_named(kind)}", "order_type PEGGED")
    if bool(request.group_id) != (request.group is not None):
        missing = "group_id" if request.group is not None else "group"
        raise _wrong(missing, "half of a group", "group_id and group, or neither")
    quantity = exactly(instrument.lots, request.quantity)
    return SubmitOrder(
        account_id=request.account_id,
        instrument_id=instrument.instrument_id,
        order_id=order_id,
        side=request.side,
        quantity=quantity,
        price_ticks=price,
        order_type=kind,
        time_in_force=time_in_force,
        flags=_flags(request),
        expire_ns=request.expire_ns,
        deadline_ns=request.deadline_ns,
        trigger_ticks=trigger,
        display_quantity=_part(request, "display_quantity", instrument, quantity - 1),
        min_quantity=_part(request, "min_quantity", instrument, quantity),
        offset=offset,
        group_id=request.group_id,
        parent_order_id=request.parent_order_id,
    )


def replace_order(request: AmendRequest, instrument: Instrument, kind: OrderType) -> ReplaceOrder:
    """The command of a change to an order of this type; errors as of `submit_order`."""
    priced = kind not in (*_STOPS, *_TRAILING, _MARKET)
    if priced and kind != _PEGGED and not request.price:
        raise _wrong("price", f"no price for {_named(kind)}", "a decimal")
    if not priced and request.price:
        raise _wrong("price", f"price {quoted(request.price)} of {_named(kind)}", "none")
    if request.trigger and (kind not in _WAITING or kind in _TRAILING):
        raise _wrong("trigger", f"trigger {quoted(request.trigger)} of {_named(kind)}", "none")
    return ReplaceOrder(
        account_id=request.account_id,
        instrument_id=instrument.instrument_id,
        order_id=request.order_id,
        quantity=exactly(instrument.lots, request.quantity),
        price_ticks=exactly(instrument.ticks, request.price) if request.price else 0,
        trigger_ticks=exactly(instrument.ticks, request.trigger) if request.trigger else 0,
    )


def quoted(text: str) -> str:
    """Somebody else's text, cut; what is not printable grows when it is quoted."""
    shown = repr(text[:SHOWN])
    return shown if len(text) <= SHOWN and len(shown) <= SHOWN + 2 else f"{shown[: SHOWN + 1]}..."


def exactly(convert: Callable[[str], int], text: str) -> int:
    """A decimal as increments or lots; the error that refuses it quotes no more than others do."""
    try:
        return convert(text)
    except ModelError as error:
        if len(error.what) > SHOWN + 20:
            raise ModelError(f"{error.what[:SHOWN]}...", where=error.where, expected=error.expected) from None
        raise


def _price(request: OrderRequest, instrument: Instrument) -> int:
    kind = request.order_type
    if kind in (_LIMIT, *_LIMITED, OrderType.TRAILING_STOP_LIMIT):
        if not request.price:
            other = "a decimal, or order_type MARKET" if kind == _LIMIT else "a decimal"
            raise _wrong("price", f"{_named(kind)} without a price", other)
    elif kind != _PEGGED and request.price:
        other = "none, or order_type LIMIT" if kind == _MARKET else "none"
        raise _wrong("price", f"price {quoted(request.price)} of {_named(kind)}", other)
    if not request.price:
        return 0
    if kind == OrderType.TRAILING_STOP_LIMIT:
        return _distance(request.price, "price", instrument, least=0, most=MAX_PRICE_TICKS)
    return exactly(instrument.ticks, request.price)


def _trigger(request: OrderRequest, instrument: Instrument) -> int:
    kind = request.order_type
    if not request.trigger:
        if kind in (*_STOPS, *_LIMITED):
            raise _wrong("trigger", f"{_named(kind)} without a trigger", "a decimal")
        return 0
    if kind not in _WAITING:
        raise _wrong("trigger", f"trigger {quoted(request.trigger)} of {_named(kind)}", _one_of(_WAITING))
    return exactly(instrument.ticks, request.trigger)


def _offset(request: OrderRequest, instrument: Instrument) -> int:
    kind, text = request.order_type, request.offset
    if kind not in (*_TRAILING, _PEGGED):
        if text:
            raise _wrong("offset", f"offset {quoted(text)} of {_named(kind)}", _one_of((*_TRAILING, _PEGGED)))
        return 0
    if kind == _PEGGED:
        return _distance(text, "offset", instrument, least=-MOST_OFFSET, most=MOST_OFFSET) if text else 0
    if not text:
        raise _wrong("offset", f"{_named(kind)} without an offset", "a decimal, or basis points with trail_bps")
    if not request.trail_bps:
        return _distance(text, "offset", instrument, least=1, most=MOST_OFFSET)
    if _WHOLE.fullmatch(text) is None or not 1 <= int(text) <= MOST_OFFSET:
        raise _wrong("offset", f"offset {quoted(text)} with trail_bps", f"a whole number from 1 to {MOST_OFFSET}")
    return int(text)


def _distance(text: str, field: str, instrument: Instrument, *, least: int, most: int) -> int:
    """A difference of prices in increments: it may be zero or negative, and obeys no tick table."""
    try:
        return instrument.increments(text, least, most)
    except ModelError as error:
        what = error.what if len(error.what) <= SHOWN + 20 else f"{error.what[:SHOWN]}..."
        raise _wrong(field, what, error.expected) from None


def _part(request: OrderRequest, field: str, instrument: Instrument, most: int) -> int:
    """A part of the quantity, in lots; 0 where none is asked for."""
    text: str = getattr(request, field)
    if not text:
        return 0
    lots = exactly(instrument.lots, text)
    if lots > most:
        raise _wrong(field, f"{field} {quoted(text)} of {quoted(request.quantity)}", "a part of the quantity")
    return lots


def _check_time(kind: OrderType, time_in_force: TimeInForce) -> None:
    if kind == _MARKET:
        allowed: tuple[TimeInForce, ...] = (TimeInForce.IOC, TimeInForce.FOK, *_AUCTION)
    elif kind == _LIMIT:
        allowed = tuple(TimeInForce)
    else:
        allowed = _RESTING
    if time_in_force not in allowed:
        raise _wrong("time_in_force", f"{time_in_force.name} of {_named(kind)}", _one_of(allowed))


def _check_rule(request: OrderRequest, field: str, rule: _Rule, kind: OrderType, time_in_force: TimeInForce) -> None:
    if rule.types and kind not in rule.types:
        raise _wrong(field, f"{field} of {_named(kind)}", _one_of(rule.types))
    if rule.times and time_in_force not in rule.times:
        raise _wrong(field, f"{field} with {time_in_force.name}", _one_of(rule.times))
    for other in rule.excludes:
        if getattr(request, other):
            raise _wrong(field, f"{field} with {other}", "one of them")


def _flags(request: OrderRequest) -> OrderFlag:
    flags = _TRIGGERS.get(request.trigger_source, OrderFlag(0)) | _PEGS.get(request.peg, OrderFlag(0))
    if request.group is not None:
        flags |= _GROUPS[request.group]
    for name in ("post_only", "slide", "reduce_only", "hidden", "all_or_none", "trail_bps"):
        if getattr(request, name):
            flags |= OrderFlag[name.upper()]
    return flags


def _wrong(field: str, what: str, expected: str) -> OrderFieldError:
    return OrderFieldError(what, where=field, expected=expected)


def _named(kind: OrderType) -> str:
    return f"a {kind.name.lower().replace('_', ' ')} order"


def _one_of(members: tuple[OrderType, ...] | tuple[TimeInForce, ...]) -> str:
    names = ", ".join(member.name for member in members)
    return names if len(members) == 1 else f"one of {names}"
