"""Every order type with every time in force, by hand: what fills at once, what stays open, and how that ends."""

from __future__ import annotations

import numpy as np
import pytest

from nautilus.core import EventKind, KernelError, OrderType, SessionPhase, TimeInForce
from tests.kit import builders
from tests.kit.builders import BUY, SELL, batch, new, session
from tests.kit.pair import AnyKernel, both, reasons

GTC, DAY, GTD, IOC, FOK = TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD, TimeInForce.IOC, TimeInForce.FOK
AT_OPEN, AT_CLOSE = TimeInForce.AT_OPEN, TimeInForce.AT_CLOSE
CLOSE_NS, EXPIRE_NS = 1000, 500
RESTING = (GTC, DAY, GTD)

# Into a book that offers 3 at 100 and last traded there comes a buy of 5: price 100 where the type has one, trigger 100
# where it takes one. (filled, open) after that; a type that is not named with a time in force is refused.
LIMITS = dict.fromkeys(RESTING, (3, 2)) | {IOC: (3, 0), FOK: (0, 0), AT_CLOSE: (0, 5)}
OUTCOMES: dict[OrderType, dict[TimeInForce, tuple[int, int]]] = {
    OrderType.LIMIT: LIMITS,
    OrderType.MARKET: {IOC: (3, 0), FOK: (0, 0), AT_CLOSE: (0, 5)},
    OrderType.STOP: dict.fromkeys(RESTING, (3, 0)),
    OrderType.STOP_LIMIT: dict.fromkeys(RESTING, (3, 2)),
    OrderType.MARKET_IF_TOUCHED: dict.fromkeys(RESTING, (3, 0)),
    OrderType.LIMIT_IF_TOUCHED: dict.fromkeys(RESTING, (3, 2)),
    OrderType.TRAILING_STOP: dict.fromkeys(RESTING, (0, 5)),
    OrderType.TRAILING_STOP_LIMIT: dict.fromkeys(RESTING, (0, 5)),
    OrderType.MARKET_TO_LIMIT: dict.fromkeys(RESTING, (3, 2)),
    OrderType.PEGGED: dict.fromkeys(RESTING, (0, 5)),
}
PRICED = (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_IF_TOUCHED)
TRIGGERED = (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED)
ENDS = (EventKind.EXPIRED, EventKind.CANCELLED)
TRAILING = (OrderType.TRAILING_STOP, OrderType.TRAILING_STOP_LIMIT)


def opened(build: type[AnyKernel]) -> AnyKernel:
    kernel = build(instruments=batch(builders.instrument(1)), accounts=[1, 2, 3])
    kernel.process(
        batch(
            session(1, close_ns=CLOSE_NS), new(1, SELL, 100, 4, account_id=2), new(2, BUY, 100, 1, account_id=3),
            new(3, BUY, 90, 1, account_id=3),
        )
    )  # fmt: skip
    return kernel


def said(order_type: OrderType, time_in_force: TimeInForce) -> dict[str, int]:
    """The fields that the type and the time in force use."""
    return {
        "order_type": order_type,
        "time_in_force": time_in_force,
        "price_ticks": 100 if order_type in PRICED else 0,
        "trigger_ticks": 100 if order_type in TRIGGERED else 0,
        "offset": 1 if order_type in TRAILING else 0,
        "expire_ns": EXPIRE_NS if time_in_force == GTD else 0,
    }


def left_of(kernel: AnyKernel) -> int:
    """What order 9 has open."""
    try:
        return int(kernel.queue_position(1, 9).leaves_quantity)
    except (KernelError, KeyError):
        return 0


@pytest.mark.parametrize("time_in_force", list(TimeInForce), ids=lambda each: each.name)
@pytest.mark.parametrize("order_type", list(OrderType), ids=lambda each: each.name)
@both
def test_every_type_with_every_time_in_force(
    build: type[AnyKernel], order_type: OrderType, time_in_force: TimeInForce
) -> None:
    kernel = opened(build)
    events = kernel.process(new(9, BUY, quantity=5, **said(order_type, time_in_force)))
    if time_in_force == AT_OPEN:
        assert reasons(events) == ["REJECTED SESSION"]  # the opening is over
        return
    outcome = OUTCOMES[order_type].get(time_in_force)
    if outcome is None:
        assert reasons(events) == ["REJECTED UNSUPPORTED"]
        assert kernel.open_orders == 2
        return
    filled = sum(int(row["quantity"]) for row in events if row["kind"] == EventKind.FILLED)
    left = left_of(kernel)
    assert (filled, left) == outcome
    assert reasons(events)[0] == "ACCEPTED"
    cancelled = sum(int(row["quantity"]) for row in events if row["kind"] == EventKind.CANCELLED)
    assert filled + left + cancelled == 5

    def gone(events: np.ndarray) -> list[str]:
        return [
            name
            for row, name in zip(events, reasons(events), strict=True)
            if row["order_id"] == 9 and row["kind"] in ENDS
        ]

    if left == 0:
        return
    assert gone(kernel.process(builders.time(EXPIRE_NS))) == (["EXPIRED EXPIRED"] if time_in_force == GTD else [])
    assert gone(kernel.process(builders.time(CLOSE_NS))) == (["EXPIRED EXPIRED"] if time_in_force == DAY else [])
    if time_in_force == AT_CLOSE:
        kernel.process(session(1, SessionPhase.CLOSING_AUCTION))
        events = kernel.process(session(1, SessionPhase.CLOSED))
        assert [int(row["quantity"]) for row in events if row["kind"] == EventKind.FILLED] == [3]
        assert gone(events) == ["CANCELLED UNFILLED"]
    assert (left_of(kernel) > 0) == (time_in_force == GTC)


@pytest.mark.parametrize("order_type", [OrderType.LIMIT, OrderType.MARKET], ids=lambda each: each.name)
@both
def test_an_order_at_the_open_trades_in_the_opening_auction_alone(
    build: type[AnyKernel], order_type: OrderType
) -> None:
    kernel = build(instruments=batch(builders.instrument(1)), accounts=[1, 2])
    kernel.process(batch(session(1, SessionPhase.PRE_OPEN), new(1, SELL, 100, 3, account_id=2)))
    assert reasons(kernel.process(new(9, BUY, quantity=5, **said(order_type, AT_OPEN)))) == ["ACCEPTED"]
    kernel.process(session(1, SessionPhase.OPENING_AUCTION))
    events = kernel.process(session(1))
    assert [int(row["quantity"]) for row in events if row["kind"] == EventKind.FILLED] == [3]
    assert "CANCELLED UNFILLED" in reasons(events)
    assert kernel.open_orders == 0
