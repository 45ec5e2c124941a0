"""Bad input: each refusal has its one reason and one exact event, and changes nothing else.

Run on the kernel and on its twin: the table is the contract of docs/kernel.md said a third time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nautilus.core import COMMAND, AccountFlag, CommandKind, LimitKind, OrderFlag, OrderType, Reason, TimeInForce
from tests.kit import builders
from tests.kit.builders import BUY, DAY, FOK, GTC, GTD, IOC, SELL, new
from tests.kit.pair import AnyKernel, beyond_counters, both, levels, shown

NOW = 1_000
OPEN, CLOSED, UNKNOWN = 7, 8, 9  # order ids of account 1
LARGEST, SMALLEST = (1 << 63) - 1, -(1 << 63)


def controls(*reasons: Reason) -> int:
    return sum(1 << reason for reason in reasons)


def prepared(build: type[AnyKernel]) -> AnyKernel:
    """Price step 5 (10 from 200 on), lot step 5, minimum 10; account 3 is exempt; one order open, one closed."""
    kernel = build(
        instruments=builders.batch(
            builders.instrument(1, multiplier=3, lot_step=5, minimum=10, price_step=5),
            builders.band(1, 200, 10),
            builders.instrument(2, negative=True),
        ),
        accounts=builders.batch(builders.account(1), builders.account(2), builders.account(3, AccountFlag.EXEMPT)),
        capacity=4,
        closed_capacity=4,
    )
    kernel.process(
        builders.batch(
            new(OPEN, BUY, 100, 20, strategy_id=4, now_ns=NOW),
            new(CLOSED, BUY, 90, 20),
            builders.cancel(CLOSED),
            new(1, SELL, 110, 20, account_id=2, source_id=5, source_sequence=10),
        )
    )
    return kernel


def order(order_type: OrderType, price_ticks: int = 0, **fields: Any) -> np.ndarray:
    """NEW of 10 lots to buy, of another type than LIMIT."""
    return new(20, BUY, price_ticks, 10, order_type=order_type, **fields)


STRUCTURE = {
    "side 0": (new(20, 0, 100, 10), Reason.MALFORMED),
    "side 3": (new(20, 3, 100, 10), Reason.MALFORMED),
    "side 255": (new(20, 255, 100, 10), Reason.MALFORMED),
    "order type 0": (new(20, BUY, 100, 10, order_type=0), Reason.MALFORMED),
    "order type 11": (new(20, BUY, 100, 10, order_type=11), Reason.MALFORMED),
    "time in force 0": (new(20, BUY, 100, 10, time_in_force=0), Reason.MALFORMED),
    "time in force 8": (new(20, BUY, 100, 10, time_in_force=8), Reason.MALFORMED),
    "malformed before all else": (new(0, 0, 0, 0, account_id=77, instrument_id=77), Reason.MALFORMED),
    "instrument 0": (new(20, BUY, 100, 10, instrument_id=0), Reason.UNKNOWN_INSTRUMENT),
    "unknown instrument": (new(20, BUY, 100, 10, instrument_id=3), Reason.UNKNOWN_INSTRUMENT),
    "largest instrument": (new(20, BUY, 100, 10, instrument_id=0xFFFFFFFF), Reason.UNKNOWN_INSTRUMENT),
    "instrument before account": (new(20, BUY, 100, 10, instrument_id=3, account_id=77), Reason.UNKNOWN_INSTRUMENT),
    "account 0": (new(20, BUY, 100, 10, account_id=0), Reason.UNKNOWN_ACCOUNT),
    "unknown account": (new(20, BUY, 100, 10, account_id=77), Reason.UNKNOWN_ACCOUNT),
    "largest account": (new(20, BUY, 100, 10, account_id=0xFFFFFFFF), Reason.UNKNOWN_ACCOUNT),
    "account before order id": (new(0, BUY, 100, 10, account_id=77), Reason.UNKNOWN_ACCOUNT),
    "order id 0": (new(0, BUY, 100, 10), Reason.ORDER_ID),
    "repeated id of an open order": (new(OPEN, BUY, 100, 10), Reason.DUPLICATE_ORDER),
    "repeated id of a closed order": (new(CLOSED, SELL, 200, 10), Reason.DUPLICATE_ORDER),
    "repeated id before the controls": (new(OPEN, BUY, 101, -1), Reason.DUPLICATE_ORDER),
}

CONTROLS: dict[str, tuple[np.ndarray, tuple[Reason, ...]]] = {
    "price off tick": (new(20, BUY, 101, 10), (Reason.TICK,)),
    "price off the step of its band": (new(20, SELL, 205, 10), (Reason.TICK,)),
    "price 0": (new(20, BUY, 0, 10), (Reason.PRICE,)),
    "negative price": (new(20, BUY, -5, 10), (Reason.PRICE,)),
    "price over 2^40": (new(20, SELL, (1 << 40) + 10, 10), (Reason.PRICE,)),
    "largest price": (new(20, SELL, LARGEST, 10), (Reason.PRICE,)),
    "smallest price": (new(20, BUY, SMALLEST, 10), (Reason.PRICE,)),
    "price below -2^40": (new(20, BUY, -(1 << 40) - 1, 10, instrument_id=2), (Reason.PRICE,)),
    "priced market order": (new(20, BUY, 100, 10, order_type=OrderType.MARKET, time_in_force=IOC), (Reason.PRICE,)),
    "quantity off lot": (new(20, BUY, 100, 11), (Reason.LOT,)),
    "quantity 0": (new(20, BUY, 100, 0), (Reason.QUANTITY,)),
    "negative quantity": (new(20, BUY, 100, -10), (Reason.QUANTITY,)),
    "quantity over 2^40": (new(20, BUY, 1, (1 << 40) + 1, instrument_id=2), (Reason.QUANTITY,)),
    "largest quantity": (new(20, BUY, 100, LARGEST), (Reason.QUANTITY,)),
    "smallest quantity": (new(20, BUY, 100, SMALLEST), (Reason.QUANTITY,)),
    "below the minimum": (new(20, BUY, 100, 5), (Reason.MIN_QUANTITY,)),
    "off lot and below the minimum": (new(20, BUY, 100, 6), (Reason.LOT, Reason.MIN_QUANTITY)),
    "everything at once": (
        new(20, BUY, 101, 6, time_in_force=GTD, expire_ns=NOW, flags=OrderFlag.SLIDE),
        (Reason.TICK, Reason.LOT, Reason.MIN_QUANTITY, Reason.EXPIRY, Reason.UNSUPPORTED),
    ),
    "no sound price and no sound quantity": (new(20, BUY, -1, 0), (Reason.PRICE, Reason.QUANTITY)),
    "GTD without an end": (new(20, BUY, 100, 10, time_in_force=GTD), (Reason.EXPIRY,)),
    "GTD that ends now": (new(20, BUY, 100, 10, time_in_force=GTD, expire_ns=NOW), (Reason.EXPIRY,)),
    "GTD that ended long ago": (new(20, BUY, 100, 10, time_in_force=GTD, expire_ns=SMALLEST), (Reason.EXPIRY,)),
    "GTC with an end": (new(20, BUY, 100, 10, time_in_force=GTC, expire_ns=NOW + 9), (Reason.EXPIRY,)),
    "DAY with an end": (new(20, BUY, 100, 10, time_in_force=DAY, expire_ns=NOW + 9), (Reason.EXPIRY,)),
    "IOC with an end": (new(20, BUY, 100, 10, time_in_force=IOC, expire_ns=NOW + 9), (Reason.EXPIRY,)),
    "stop order with a price": (order(OrderType.STOP, 100, trigger_ticks=120), (Reason.UNSUPPORTED,)),
    "stop order without a trigger": (order(OrderType.STOP), (Reason.PRICE,)),
    "stop order off tick": (order(OrderType.STOP_LIMIT, 101, trigger_ticks=120), (Reason.TICK,)),
    "stop order with a trigger off tick": (order(OrderType.STOP_LIMIT, 100, trigger_ticks=121), (Reason.TICK,)),
    "stop order with a trigger off the step of its band": (order(OrderType.STOP, trigger_ticks=205), (Reason.TICK,)),
    "stop order with a trigger over 2^40": (order(OrderType.STOP, trigger_ticks=(1 << 40) + 10), (Reason.PRICE,)),
    "stop order that is immediate": (
        order(OrderType.STOP, trigger_ticks=120, time_in_force=IOC),
        (Reason.UNSUPPORTED,),
    ),
    "stop order with an offset": (order(OrderType.STOP, trigger_ticks=120, offset=1), (Reason.UNSUPPORTED,)),
    "stop order at the mark and the quote": (
        order(OrderType.STOP, trigger_ticks=120, flags=OrderFlag.TRIGGER_MARK | OrderFlag.TRIGGER_QUOTE),
        (Reason.UNSUPPORTED,),
    ),
    "touched order with a price": (
        order(OrderType.MARKET_IF_TOUCHED, 100, trigger_ticks=95),
        (Reason.UNSUPPORTED,),
    ),
    "touched limit without a price": (order(OrderType.LIMIT_IF_TOUCHED, trigger_ticks=95), (Reason.PRICE,)),
    "trailing stop without an offset": (order(OrderType.TRAILING_STOP), (Reason.UNSUPPORTED,)),
    "trailing stop with a negative offset": (order(OrderType.TRAILING_STOP, offset=-1), (Reason.UNSUPPORTED,)),
    "trailing stop with a price": (order(OrderType.TRAILING_STOP, 100, offset=5), (Reason.UNSUPPORTED,)),
    "trailing stop-limit with a negative distance": (
        order(OrderType.TRAILING_STOP_LIMIT, -1, offset=5),
        (Reason.PRICE,),
    ),
    "market-to-limit with a price": (order(OrderType.MARKET_TO_LIMIT, 100), (Reason.UNSUPPORTED,)),
    "market-to-limit at the open": (
        order(OrderType.MARKET_TO_LIMIT, time_in_force=TimeInForce.AT_OPEN),
        (Reason.SESSION, Reason.UNSUPPORTED),
    ),
    "pegged order that is immediate": (order(OrderType.PEGGED, time_in_force=IOC), (Reason.UNSUPPORTED,)),
    "pegged order with a cap off tick": (order(OrderType.PEGGED, 101), (Reason.TICK,)),
    "pegged order with a trigger": (order(OrderType.PEGGED, trigger_ticks=100), (Reason.UNSUPPORTED,)),
    "pegged order with two references": (
        order(OrderType.PEGGED, flags=OrderFlag.PEG_MID | OrderFlag.PEG_OPPOSITE),
        (Reason.UNSUPPORTED,),
    ),
    "pegged order with a parent": (order(OrderType.PEGGED, parent_order_id=OPEN), (Reason.UNSUPPORTED,)),
    "at open while trading goes on": (new(20, BUY, 100, 10, time_in_force=TimeInForce.AT_OPEN), (Reason.SESSION,)),
    "at open, post-only": (
        new(20, BUY, 100, 10, time_in_force=TimeInForce.AT_OPEN, flags=OrderFlag.POST_ONLY),
        (Reason.SESSION, Reason.UNSUPPORTED),
    ),
    "at close, hidden": (
        new(20, BUY, 100, 10, time_in_force=TimeInForce.AT_CLOSE, flags=OrderFlag.HIDDEN),
        (Reason.UNSUPPORTED,),
    ),
    "at close with a parent": (
        new(20, BUY, 100, 10, time_in_force=TimeInForce.AT_CLOSE, parent_order_id=OPEN),
        (Reason.UNSUPPORTED,),
    ),
    "reduce only of a flat account": (new(20, BUY, 100, 10, flags=OrderFlag.REDUCE_ONLY), (Reason.REDUCE_ONLY,)),
    "reduce only of an exempt account": (
        new(20, BUY, 100, 10, account_id=3, flags=OrderFlag.REDUCE_ONLY),
        (Reason.UNSUPPORTED,),
    ),
    "hidden IOC": (new(20, BUY, 100, 10, time_in_force=IOC, flags=OrderFlag.HIDDEN), (Reason.UNSUPPORTED,)),
    "all or none, hidden": (
        new(20, BUY, 100, 10, flags=OrderFlag.ALL_OR_NONE | OrderFlag.HIDDEN),
        (Reason.UNSUPPORTED,),
    ),
    "all or none FOK": (
        new(20, BUY, 100, 10, time_in_force=FOK, flags=OrderFlag.ALL_OR_NONE),
        (Reason.UNSUPPORTED,),
    ),
    "limit order with the flag of a stop": (
        new(20, BUY, 100, 10, flags=OrderFlag.TRIGGER_MARK),
        (Reason.UNSUPPORTED,),
    ),
    "limit order that trails": (new(20, BUY, 100, 10, flags=OrderFlag.TRAIL_BPS), (Reason.UNSUPPORTED,)),
    "limit order that pegs": (new(20, BUY, 100, 10, flags=OrderFlag.PEG_MID), (Reason.UNSUPPORTED,)),
    "unknown flag": (new(20, BUY, 100, 10, flags=1 << 15), (Reason.UNSUPPORTED,)),
    "trigger": (new(20, BUY, 100, 10, trigger_ticks=1), (Reason.UNSUPPORTED,)),
    "display quantity below the minimum": (new(20, BUY, 100, 20, display_quantity=5), (Reason.UNSUPPORTED,)),
    "display quantity off lot": (new(20, BUY, 100, 20, display_quantity=11), (Reason.UNSUPPORTED,)),
    "display quantity of all": (new(20, BUY, 100, 20, display_quantity=20), (Reason.UNSUPPORTED,)),
    "negative display quantity": (new(20, BUY, 100, 20, display_quantity=-10), (Reason.UNSUPPORTED,)),
    "display quantity, immediate": (
        new(20, BUY, 100, 20, display_quantity=10, time_in_force=IOC),
        (Reason.UNSUPPORTED,),
    ),
    "display quantity, hidden": (
        new(20, BUY, 100, 20, display_quantity=10, flags=OrderFlag.HIDDEN),
        (Reason.UNSUPPORTED,),
    ),
    "minimum quantity above the quantity": (new(20, BUY, 100, 10, min_quantity=11), (Reason.UNSUPPORTED,)),
    "negative minimum quantity": (new(20, BUY, 100, 10, min_quantity=-1), (Reason.UNSUPPORTED,)),
    "minimum quantity FOK": (new(20, BUY, 100, 10, min_quantity=5, time_in_force=FOK), (Reason.UNSUPPORTED,)),
    "minimum quantity, post-only": (
        new(20, BUY, 100, 10, min_quantity=5, flags=OrderFlag.POST_ONLY),
        (Reason.UNSUPPORTED,),
    ),
    "minimum quantity of a child": (
        new(20, BUY, 100, 10, min_quantity=5, parent_order_id=OPEN),
        (Reason.UNSUPPORTED,),
    ),
    "offset": (new(20, BUY, 100, 10, offset=-1), (Reason.UNSUPPORTED,)),
    "group": (new(20, BUY, 100, 10, group_id=1), (Reason.UNSUPPORTED,)),
    "group flag without a group": (new(20, BUY, 100, 10, flags=OrderFlag.GROUP_OCO), (Reason.UNSUPPORTED,)),
    "group of both kinds": (
        new(20, BUY, 100, 10, group_id=1, flags=OrderFlag.GROUP_OCO | OrderFlag.GROUP_OUO),
        (Reason.UNSUPPORTED,),
    ),
    "slide alone": (new(20, BUY, 100, 10, flags=OrderFlag.SLIDE), (Reason.UNSUPPORTED,)),
    "post-only IOC": (new(20, BUY, 100, 10, time_in_force=IOC, flags=OrderFlag.POST_ONLY), (Reason.UNSUPPORTED,)),
    "post-only FOK": (new(20, BUY, 100, 10, time_in_force=FOK, flags=OrderFlag.POST_ONLY), (Reason.UNSUPPORTED,)),
    "post-only market": (builders.market(20, BUY, 10, flags=OrderFlag.POST_ONLY), (Reason.UNSUPPORTED,)),
    "resting market order": (builders.market(20, BUY, 10, time_in_force=GTC), (Reason.UNSUPPORTED,)),
    "tape of an account with limits": (
        new(20, BUY, 100, 10, time_in_force=IOC, flags=OrderFlag.TAPE),
        (Reason.UNSUPPORTED,),
    ),
    "resting tape": (new(20, BUY, 100, 10, account_id=3, flags=OrderFlag.TAPE), (Reason.UNSUPPORTED,)),
    "tape with another flag": (
        new(20, BUY, 100, 10, account_id=3, time_in_force=IOC, flags=OrderFlag.TAPE | OrderFlag.TRIGGER_MARK),
        (Reason.UNSUPPORTED,),
    ),
    "booked without tape": (
        new(20, BUY, 100, 10, account_id=3, time_in_force=IOC, flags=OrderFlag.TAPE_BOOKED),
        (Reason.UNSUPPORTED,),
    ),
    "exempt account off tick and off lot": (new(20, BUY, 101, 11, account_id=3), (Reason.TICK, Reason.LOT)),
}

ALONE = {
    "post-only at the best opposite price": (new(20, BUY, 110, 10, flags=OrderFlag.POST_ONLY), Reason.WOULD_CROSS),
    "post-only through it": (new(20, SELL, 95, 10, account_id=2, flags=OrderFlag.POST_ONLY), Reason.WOULD_CROSS),
    "parent that is not known": (new(20, BUY, 100, 10, parent_order_id=UNKNOWN), Reason.PARENT),
    "parent that is closed": (new(20, BUY, 100, 10, parent_order_id=CLOSED), Reason.PARENT),
    "parent of another account": (new(20, BUY, 100, 10, account_id=2, parent_order_id=OPEN), Reason.PARENT),
    "late": (new(20, BUY, 100, 10, deadline_ns=NOW - 1), Reason.LATE),
    "late, deadline below zero": (new(20, BUY, 100, 10, deadline_ns=SMALLEST), Reason.LATE),
    "late kill": (builders.kill(deadline_ns=1), Reason.LATE),
    "late cancel": (builders.cancel(OPEN, deadline_ns=1), Reason.LATE),
    "late time": (builders.time(NOW, deadline_ns=1), Reason.LATE),
    "late before malformed": (builders.command(99, deadline_ns=1), Reason.LATE),
    "cancel of an unknown order": (builders.cancel(UNKNOWN), Reason.UNKNOWN_ORDER),
    "cancel of order 0": (builders.cancel(0), Reason.UNKNOWN_ORDER),
    "cancel of a closed order": (builders.cancel(CLOSED), Reason.CLOSED_ORDER),
    "cancel of another's order": (builders.cancel(OPEN, 2), Reason.UNKNOWN_ORDER),
    "cancel for an unknown account": (builders.cancel(OPEN, 77), Reason.UNKNOWN_ACCOUNT),
    "cancel echoes the command": (
        builders.cancel(UNKNOWN, instrument_id=2, strategy_id=3, price_ticks=1, quantity=2, side=1),
        Reason.UNKNOWN_ORDER,
    ),
    "replace of an unknown order": (builders.replace(UNKNOWN, 100, 10, strategy_id=3), Reason.UNKNOWN_ORDER),
    "replace of a closed order": (builders.replace(CLOSED, 100, 10, side=2), Reason.CLOSED_ORDER),
    "replace for an unknown account": (builders.replace(OPEN, 100, 10, 77), Reason.UNKNOWN_ACCOUNT),
    "kind 0": (builders.command(0, order_id=3), Reason.MALFORMED),
    "kind 21": (builders.command(21, order_id=3), Reason.MALFORMED),
    "kind 255": (builders.command(255, order_id=3), Reason.MALFORMED),
    "instrument 0 defined": (builders.instrument(0), Reason.UNKNOWN_INSTRUMENT),
    "instrument defined twice": (builders.instrument(1), Reason.DUPLICATE_ORDER),
    "multiplier 0": (builders.instrument(4, multiplier=0), Reason.MALFORMED),
    "multiplier over 2^20": (builders.instrument(4, multiplier=(1 << 20) + 1), Reason.MALFORMED),
    "negative lot step": (builders.instrument(4, lot_step=-1), Reason.MALFORMED),
    "lot step over 2^40": (builders.instrument(4, lot_step=(1 << 40) + 1), Reason.MALFORMED),
    "negative minimum": (builders.instrument(4, minimum=-1), Reason.MALFORMED),
    "negative price step": (builders.instrument(4, price_step=-1), Reason.MALFORMED),
    "negative currency": (builders.instrument(4, currency=-1), Reason.MALFORMED),
    "unknown instrument flag": (builders.instrument(4, flags=16), Reason.MALFORMED),
    "band of an unknown instrument": (builders.band(4, 10, 1), Reason.UNKNOWN_INSTRUMENT),
    "band below the last one": (builders.band(1, 150, 1), Reason.MALFORMED),
    "band at the last one": (builders.band(1, 200, 1), Reason.MALFORMED),
    "band at price 0": (builders.band(2, 0, 1), Reason.MALFORMED),
    "band with step 0": (builders.band(2, 10, 0), Reason.MALFORMED),
    "band with a step over 2^40": (builders.band(2, 10, (1 << 40) + 1), Reason.MALFORMED),
    "account 0 opened": (builders.account(0), Reason.UNKNOWN_ACCOUNT),
    "unknown account flag": (builders.account(9, 8), Reason.MALFORMED),
    "flags of an account with open orders": (builders.account(1, AccountFlag.EXEMPT), Reason.MALFORMED),
    "fill from a venue of no instrument": (
        builders.command(CommandKind.VENUE_FILL, order_id=OPEN, account_id=1),
        Reason.UNKNOWN_INSTRUMENT,
    ),
    "limit of an unknown account": (builders.limit(LimitKind.POSITION, 5, account_id=77), Reason.UNKNOWN_ACCOUNT),
    "limit of an unknown instrument": (
        builders.limit(LimitKind.POSITION, 5, instrument_id=77),
        Reason.UNKNOWN_INSTRUMENT,
    ),
    "limit below -1": (builders.limit(LimitKind.POSITION, -2), Reason.MALFORMED),
    "collar over 1,000,000": (builders.limit(LimitKind.PRICE_COLLAR, 1_000_001), Reason.MALFORMED),
    "limit kind 0": (builders.limit(0, 5), Reason.MALFORMED),
    "limit kind 21": (builders.limit(21, 5), Reason.MALFORMED),
    "rate of one instrument": (
        builders.limit(LimitKind.MESSAGE_RATE, 5, instrument_id=1, window_ns=100),
        Reason.MALFORMED,
    ),
    "rate 0": (builders.limit(LimitKind.MESSAGE_RATE, 0, window_ns=100), Reason.MALFORMED),
    "rate with a window below it": (builders.limit(LimitKind.MESSAGE_RATE, 5, window_ns=4), Reason.MALFORMED),
    "session phase 0": (builders.session(1, 0), Reason.MALFORMED),
    "session phase 8": (builders.session(1, 8), Reason.MALFORMED),
    "session of an unknown instrument": (builders.session(77), Reason.UNKNOWN_INSTRUMENT),
    "mark of an unknown instrument": (builders.mark(5, 77), Reason.UNKNOWN_INSTRUMENT),
    "kill of an unknown account": (builders.kill(77, 77), Reason.UNKNOWN_ACCOUNT),
    "kill of an unknown instrument": (builders.kill(1, 77), Reason.UNKNOWN_INSTRUMENT),
    "resume of an unknown account": (builders.resume(77), Reason.UNKNOWN_ACCOUNT),
    "mass cancel of an unknown instrument": (builders.mass_cancel(0, 77), Reason.UNKNOWN_INSTRUMENT),
    "mass cancel of side 3": (builders.mass_cancel(side=3), Reason.MALFORMED),
}

# Reasons below 32 that come alone: their own bit is set.
ALONE_WITH_BIT = {
    "fill from a venue of an instrument matched here": (
        builders.command(CommandKind.VENUE_FILL, order_id=OPEN, account_id=1, instrument_id=1),
        Reason.UNSUPPORTED,
    ),
    "auction phase with a close that has passed": (builders.session(1, 5, close_ns=NOW), Reason.EXPIRY),
    "close that has passed": (builders.session(1, close_ns=NOW), Reason.EXPIRY),
    "close below zero": (builders.session(1, close_ns=-1), Reason.EXPIRY),
    "mark out of range": (builders.mark((1 << 40) + 1, 2), Reason.PRICE),
    "mark below zero": (builders.mark(-1, 1), Reason.PRICE),
}

# The open order: BUY, instrument 1, strategy 4. Its refusals name them, whatever the command says.
REPLACES: dict[str, tuple[np.ndarray, tuple[Reason, ...]]] = {
    "new price off tick": (builders.replace(OPEN, 101, 20), (Reason.TICK,)),
    "new price 0": (builders.replace(OPEN, 0, 20), (Reason.PRICE,)),
    "new quantity 0": (builders.replace(OPEN, 100, 0), (Reason.QUANTITY,)),
    "new quantity off lot": (builders.replace(OPEN, 100, 21), (Reason.LOT,)),
    "new quantity below the minimum": (builders.replace(OPEN, 100, 5), (Reason.MIN_QUANTITY,)),
    "replace with an end": (builders.replace(OPEN, 100, 20, expire_ns=NOW + 9), (Reason.EXPIRY,)),
    "replace with a flag": (builders.replace(OPEN, 100, 20, flags=OrderFlag.POST_ONLY), (Reason.UNSUPPORTED,)),
    "replace with a trigger": (builders.replace(OPEN, 100, 20, trigger_ticks=1), (Reason.UNSUPPORTED,)),
}


def refused(kernel: AnyKernel, command: np.ndarray, reason: Reason, flags: int, **other: Any) -> None:
    """The command gives exactly this event and moves the counters alone."""
    command = command.copy()
    command["source_id"], command["source_sequence"] = 6, 0  # unsequenced, yet echoed
    before, sequence, event_sequence = beyond_counters(kernel), kernel.last_sequence, kernel.last_event_sequence
    books = [levels(kernel, instrument) for instrument in (1, 2)]
    events = kernel.process(command)
    assert len(events) == 1
    echoed = ("order_id", "price_ticks", "quantity", "side", "instrument_id", "account_id", "strategy_id", "source_id")
    expected = {name: int(command[name][0]) for name in echoed} | other
    expected |= {"kind": "REJECTED", "reason": reason.name, "flags": flags, "now_ns": NOW}
    expected |= {"sequence": event_sequence + 1, "command_sequence": sequence + 1}
    assert shown(events[0]) == {name: value for name, value in expected.items() if value}
    assert beyond_counters(kernel) == before
    assert [levels(kernel, instrument) for instrument in (1, 2)] == books


def cases(table: dict[str, Any]) -> Any:
    return pytest.mark.parametrize(("command", "reason"), table.values(), ids=table.keys())


@both
@cases(STRUCTURE)
def test_new_order_with_a_structural_fault_is_refused(
    build: type[AnyKernel], command: np.ndarray, reason: Reason
) -> None:
    refused(prepared(build), command, reason, 0)


@both
@cases(CONTROLS)
def test_new_order_is_refused_with_every_violated_control(
    build: type[AnyKernel], command: np.ndarray, reason: tuple[Reason, ...]
) -> None:
    refused(prepared(build), command, min(reason), controls(*reason))


@both
@cases(ALONE)
def test_command_is_refused_with_its_one_reason(build: type[AnyKernel], command: np.ndarray, reason: Reason) -> None:
    refused(prepared(build), command, reason, 0)


@both
@cases(ALONE_WITH_BIT)
def test_command_is_refused_with_a_control_reason_and_its_bit(
    build: type[AnyKernel], command: np.ndarray, reason: Reason
) -> None:
    refused(prepared(build), command, reason, controls(reason))


@both
@cases(REPLACES)
def test_refused_replace_names_the_order_and_leaves_it_alone(
    build: type[AnyKernel], command: np.ndarray, reason: tuple[Reason, ...]
) -> None:
    command = command.copy()
    command["side"], command["instrument_id"], command["strategy_id"] = SELL, 2, 9
    refused(prepared(build), command, min(reason), controls(*reason), side=BUY, instrument_id=1, strategy_id=4)


@both
def test_refused_order_id_stays_free(build: type[AnyKernel]) -> None:
    kernel = prepared(build)
    refused(kernel, new(20, BUY, 101, 10), Reason.TICK, controls(Reason.TICK))
    refused(kernel, builders.cancel(20), Reason.UNKNOWN_ORDER, 0)
    assert shown(kernel.process(new(20, BUY, 95, 10))[0])["kind"] == "ACCEPTED"


@both
def test_seventeenth_band_is_refused(build: type[AnyKernel]) -> None:
    kernel = prepared(build)
    for number in range(16):
        assert shown(kernel.process(builders.band(2, 100 + number, 1))[0])["kind"] == "APPLIED"
    refused(kernel, builders.band(2, 200, 1), Reason.MALFORMED, 0)


@both
def test_order_beyond_the_capacity_is_refused_until_one_closes(build: type[AnyKernel]) -> None:
    kernel = prepared(build)
    kernel.process(builders.batch(new(21, BUY, 50, 10), new(22, BUY, 50, 10)))
    refused(kernel, new(23, BUY, 50, 10), Reason.POOL_FULL, 0)
    refused(kernel, new(23, BUY, 110, 10), Reason.POOL_FULL, 0)  # also where it would fill at once
    fill = kernel.process(new(23, BUY, 110, 10, time_in_force=IOC))
    assert [shown(event)["kind"] for event in fill] == ["ACCEPTED", "FILLED"], "an order that cannot rest needs no room"
    kernel.process(builders.cancel(21))
    assert shown(kernel.process(new(24, BUY, 50, 10))[0])["kind"] == "ACCEPTED"


@both
def test_repeated_source_sequence_is_a_duplicate_and_never_applied(build: type[AnyKernel]) -> None:
    kernel = prepared(build)
    again = builders.batch(*(new(30, BUY, 95, 10, source_id=5, source_sequence=number) for number in (10, 9, 1)))
    before = beyond_counters(kernel)
    events = kernel.process(again)
    assert [shown(event)["kind"] for event in events] == ["DUPLICATE"] * 3
    assert {shown(event)["order_id"] for event in events} == {30}
    assert beyond_counters(kernel) == before
    assert shown(kernel.process(new(30, BUY, 95, 10, source_id=5, source_sequence=11))[0])["kind"] == "ACCEPTED"


@both
def test_unsequenced_commands_are_never_duplicates(build: type[AnyKernel]) -> None:
    kernel = prepared(build)
    events = kernel.process(
        builders.batch(
            new(31, BUY, 95, 10, source_id=5),
            new(32, BUY, 95, 10, source_sequence=1),
            builders.cancel(31, source_sequence=1),
        )
    )
    assert [shown(event)["kind"] for event in events] == ["ACCEPTED", "ACCEPTED", "CANCELLED"]


@both
def test_late_command_uses_up_its_source_sequence(build: type[AnyKernel]) -> None:
    kernel = prepared(build)
    first = kernel.process(new(31, BUY, 95, 10, source_id=5, source_sequence=20, deadline_ns=1))
    second = kernel.process(new(31, BUY, 95, 10, source_id=5, source_sequence=20))
    assert [shown(event[0])["kind"] for event in (first, second)] == ["REJECTED", "DUPLICATE"]


@both
def test_deadline_at_the_very_time_is_met(build: type[AnyKernel]) -> None:
    kernel = prepared(build)
    assert shown(kernel.process(new(31, BUY, 95, 10, deadline_ns=NOW))[0])["kind"] == "ACCEPTED"


@both
def test_time_never_runs_backwards(build: type[AnyKernel]) -> None:
    kernel = prepared(build)
    events = kernel.process(builders.batch(new(31, BUY, 95, 10, now_ns=1), new(32, BUY, 95, 10, now_ns=-(1 << 63))))
    assert events["now_ns"].tolist() == [NOW, NOW]
    assert kernel.now_ns == NOW


@both
def test_sequence_of_the_input_is_ignored(build: type[AnyKernel]) -> None:
    kernel, other = prepared(build), prepared(build)
    numbered = new(31, BUY, 95, 10, sequence=123)
    assert kernel.process(numbered).tobytes() == other.process(new(31, BUY, 95, 10)).tobytes()
    assert kernel.journal_hash() == other.journal_hash()
    assert numbered["sequence"][0] == 123, "the caller's array is not changed"


def test_no_case_of_the_tables_is_lost_in_the_record() -> None:
    """A builder that silently dropped a field would make a case prove nothing."""
    for table in (STRUCTURE, CONTROLS, ALONE, ALONE_WITH_BIT, REPLACES):
        for command, _ in table.values():
            assert command.dtype == COMMAND
            assert command.shape == (1,)
