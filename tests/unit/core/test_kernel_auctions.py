"""Auctions and phases by cases that were worked out by hand, on the kernel and on its twin."""

from __future__ import annotations

import numpy as np
import pytest

from nautilus.core import EventFlag, EventKind, OrderFlag, OrderType, SessionPhase, TimeInForce
from nautilus.core.types import LimitKind
from tests.kit import builders
from tests.kit.builders import BUY, SELL, batch, cancel, mark, new, session
from tests.kit.pair import AnyKernel, both, reasons, told

PRE_OPEN, OPENING, CLOSING = SessionPhase.PRE_OPEN, SessionPhase.OPENING_AUCTION, SessionPhase.CLOSING_AUCTION
CONTINUOUS, HALTED = SessionPhase.CONTINUOUS, SessionPhase.HALTED
VOLATILITY = SessionPhase.VOLATILITY_AUCTION
AT_OPEN, AT_CLOSE = TimeInForce.AT_OPEN, TimeInForce.AT_CLOSE
MARKET = OrderType.MARKET
MS = 1_000_000


def at_auction(build: type[AnyKernel], *commands: np.ndarray, price_step: int = 1) -> AnyKernel:
    """Orders of buyers (account 1) and sellers (account 2) collected in an opening auction."""
    kernel = build(instruments=batch(builders.instrument(1, price_step=price_step)), accounts=[1, 2, 3])
    kernel.process(batch(session(1, PRE_OPEN), session(1, OPENING), *commands))
    return kernel


def buy(order_id: int, price: int, quantity: int, **fields: int) -> np.ndarray:
    return new(order_id, BUY, price, quantity, **fields)


def sell(order_id: int, price: int, quantity: int, **fields: int) -> np.ndarray:
    return new(order_id, SELL, price, quantity, account_id=2, **fields)


def fills(events: np.ndarray) -> list[tuple[int, int, int, int]]:
    """(buy, sell, price, quantity) of each match in an uncrossing."""
    rows = [row for row in events if row["kind"] == EventKind.FILLED]
    assert all(row["flags"] & EventFlag.AUCTION for row in rows)
    return [
        (int(row["order_id"]), int(row["counter_order_id"]), int(row["price_ticks"]), int(row["quantity"]))
        for row in rows
    ]


def levels(kernel: AnyKernel) -> list[tuple[int, int, int]]:
    """(side, price, quantity) of each displayed order, bids first."""
    return [tuple(int(row[name]) for name in ("side", "price_ticks", "quantity")) for row in kernel.book(1)]


def indicated(events: np.ndarray) -> list[tuple[int, int, int, int]]:
    """(price, volume, surplus, its side) of each indicative price."""
    names = ("price_ticks", "quantity", "leaves_quantity", "side")
    return [tuple(int(row[name]) for name in names) for row in events if row["kind"] == EventKind.INDICATIVE]


@both
def test_the_price_of_the_greatest_volume_is_taken(build: type[AnyKernel]) -> None:
    """Bought and sold: 15 and 8 at 100, 15 and 18 at 101, 10 and 18 at 102."""
    kernel = at_auction(
        build, buy(1, 102, 10), buy(2, 101, 5), buy(3, 99, 20), sell(4, 100, 8), sell(5, 101, 10), sell(6, 103, 10)
    )
    assert (levels(kernel)[0], levels(kernel)[3]) == ((BUY, 102, 10), (SELL, 100, 8))  # crossed: nothing was matched
    events = kernel.process(session(1, CONTINUOUS))
    assert indicated(events) == [(101, 15, 3, SELL)]
    assert fills(events) == [(1, 4, 101, 8), (1, 5, 101, 2), (2, 5, 101, 5)]
    assert levels(kernel) == [(BUY, 99, 20), (SELL, 101, 3), (SELL, 103, 10)]


@both
def test_of_equal_volumes_the_smallest_imbalance_is_taken(build: type[AnyKernel]) -> None:
    """10 lots at 100 to 102, but only at 100 nobody is left over; the reference is nearer to the others."""
    kernel = at_auction(build, mark(102), buy(1, 102, 10), sell(2, 100, 10), sell(3, 101, 5))
    events = kernel.process(session(1, CONTINUOUS))
    assert indicated(events) == [(100, 10, 0, 0)]
    assert fills(events) == [(1, 2, 100, 10)]


@pytest.mark.parametrize(("reference", "price"), [(None, 100), (90, 100), (102, 102), (104, 104), (110, 104)])
@both
def test_of_equal_imbalances_the_nearest_to_the_reference_is_taken(
    build: type[AnyKernel], reference: int | None, price: int
) -> None:
    """Bought and sold are 10 from 100 to 104; the reference itself is a candidate; without one the lowest."""
    known = [] if reference is None else [mark(reference)]
    kernel = at_auction(build, *known, buy(1, 104, 10), sell(2, 100, 10))
    assert fills(kernel.process(session(1, CONTINUOUS))) == [(1, 2, price, 10)]


@both
def test_of_prices_as_near_the_lowest_is_taken(build: type[AnyKernel]) -> None:
    """102 is no price in steps of 4: 100 and 104 are as near to it."""
    kernel = at_auction(build, mark(102), buy(1, 104, 10), sell(2, 100, 10), price_step=4)
    assert fills(kernel.process(session(1, CONTINUOUS))) == [(1, 2, 100, 10)]


@both
def test_orders_that_do_not_cross_have_no_price(build: type[AnyKernel]) -> None:
    kernel = at_auction(build, buy(1, 99, 10), sell(2, 100, 10))
    events = kernel.process(session(1, CONTINUOUS))
    assert fills(events) == []
    assert levels(kernel) == [(BUY, 99, 10), (SELL, 100, 10)]


@both
def test_market_orders_at_the_open_come_first_and_what_is_left_of_them_is_cancelled(build: type[AnyKernel]) -> None:
    """Bought 7 wherever; sold 5 from 101, 6 from 103: all 6 at 103. One lot is left over."""
    at_open = {"order_type": MARKET, "time_in_force": AT_OPEN}
    kernel = at_auction(build, buy(1, 0, 7, **at_open), sell(2, 101, 5), sell(3, 103, 1))
    events = kernel.process(session(1, CONTINUOUS))
    assert fills(events) == [(1, 2, 103, 5), (1, 3, 103, 1)]
    assert [(row["order_id"], row["quantity"]) for row in told(events) if row["kind"] == "CANCELLED"] == [(1, 1)]
    assert kernel.open_orders == 0


@both
def test_an_order_at_the_close_waits_for_the_closing_auction(build: type[AnyKernel]) -> None:
    kernel = build(instruments=batch(builders.instrument(1)), accounts=[1, 2])
    early = kernel.process(batch(buy(1, 100, 5, time_in_force=AT_CLOSE), sell(2, 100, 2)))
    assert reasons(early) == ["ACCEPTED", "ACCEPTED"]  # they do not meet
    assert reasons(kernel.process(buy(9, 100, 1, time_in_force=AT_OPEN))) == ["REJECTED SESSION"]
    events = kernel.process(session(1, CLOSING))
    assert indicated(events) == [(100, 2, 3, BUY)]
    events = kernel.process(session(1, SessionPhase.CLOSED))
    assert fills(events) == [(1, 2, 100, 2)]
    assert [(row["order_id"], row["quantity"]) for row in told(events) if row["kind"] == "CANCELLED"] == [(1, 3)]


@both
def test_icebergs_take_part_with_their_reserve_and_hidden_orders_too(build: type[AnyKernel]) -> None:
    kernel = at_auction(
        build, buy(1, 100, 10, display_quantity=2), buy(2, 100, 4, flags=OrderFlag.HIDDEN),
        buy(3, 100, 6, flags=OrderFlag.ALL_OR_NONE), sell(4, 100, 13),
    )  # fmt: skip
    events = kernel.process(session(1, CONTINUOUS))
    assert indicated(events) == [(100, 13, 1, BUY)]
    assert fills(events) == [(1, 4, 100, 10), (2, 4, 100, 3)]


@both
def test_the_indicative_price_is_told_every_100_ms_at_most_and_where_it_changed(build: type[AnyKernel]) -> None:
    kernel = build(instruments=batch(builders.instrument(1)), accounts=[1, 2])
    began = kernel.process(batch(session(1, PRE_OPEN), session(1, OPENING, now_ns=1000 * MS)))
    assert indicated(began) == [(0, 0, 0, 0)]
    told_now = kernel.process(batch(buy(1, 101, 5, now_ns=1010 * MS), sell(2, 100, 3, now_ns=1050 * MS)))
    assert indicated(told_now) == []
    assert kernel.next_timer_ns == 1100 * MS
    assert indicated(kernel.process(builders.time(1100 * MS))) == [(100, 3, 2, BUY)]
    assert indicated(kernel.process(batch(buy(3, 90, 5, now_ns=1110 * MS), builders.time(1300 * MS)))) == []
    assert indicated(kernel.process(batch(cancel(1, now_ns=1400 * MS), builders.time(1500 * MS)))) == [(0, 0, 0, 0)]


@both
def test_halting_an_auction_keeps_its_orders_unmatched(build: type[AnyKernel]) -> None:
    kernel = at_auction(build, buy(1, 101, 5), sell(2, 100, 5))
    assert fills(kernel.process(session(1, HALTED))) == []
    assert reasons(kernel.process(buy(3, 100, 1))) == ["REJECTED SESSION"]
    assert fills(kernel.process(session(1, CONTINUOUS))) == [(1, 2, 100, 5)]


@pytest.mark.parametrize(
    "fields",
    [
        {"time_in_force": TimeInForce.IOC},
        {"time_in_force": TimeInForce.FOK},
        {"min_quantity": 2},
        {"order_type": OrderType.MARKET_TO_LIMIT, "price_ticks": 0},
        {"order_type": OrderType.PEGGED, "price_ticks": 0},
    ],
)
@both
def test_what_wants_to_be_matched_at_once_is_refused_in_a_call_phase(
    build: type[AnyKernel], fields: dict[str, int]
) -> None:
    kernel = at_auction(build)
    said = {"price_ticks": 100, **fields}
    assert reasons(kernel.process(new(1, BUY, quantity=5, **said))) == ["REJECTED SESSION"]


@both
def test_a_price_beyond_the_band_interrupts_trading_for_its_duration(build: type[AnyKernel]) -> None:
    """One in a hundred of 10,000: 9,900 to 10,100. What lies at 10,200 is met in the auction."""
    kernel = build(instruments=batch(builders.instrument(1)), accounts=[1, 2])
    band = builders.limit(LimitKind.VOLATILITY_BAND, 100, instrument_id=1, window_ns=50 * MS)
    kernel.process(batch(band, sell(1, 10_000, 1), buy(2, 10_000, 1), sell(3, 10_100, 2), sell(4, 10_200, 4)))
    events = kernel.process(buy(5, 10_300, 5, now_ns=10 * MS))
    rows = told(events)
    assert [row["kind"] for row in rows] == ["ACCEPTED", "FILLED", "PHASE", "INDICATIVE"]
    assert (rows[1]["price_ticks"], rows[1]["quantity"]) == (10_100, 2)
    assert (rows[2]["price_ticks"], rows[2]["quantity"]) == (10_200, VOLATILITY)
    assert kernel.next_timer_ns == 60 * MS
    events = kernel.process(builders.time(60 * MS))
    assert fills(events) == [(5, 4, 10_200, 3)]
    assert [row["quantity"] for row in told(events) if row["kind"] == "PHASE"] == [CONTINUOUS]
    assert levels(kernel) == [(SELL, 10_200, 1)]
