"""Recorded trades (TAPE) against a book of recorded and own orders; on the kernel and on its twin."""

from __future__ import annotations

from typing import Any

import pytest

from nautilus.core import AccountFlag, OrderFlag
from tests.kit import builders
from tests.kit.builders import BUY, IOC, SELL, batch, cancel, new
from tests.kit.pair import AnyKernel, both, held, levels, told

OWN, BOOK, TAPE, OTHER = 1, 2, 3, 4
PLAIN, BOOKED = OrderFlag.TAPE, OrderFlag.TAPE | OrderFlag.TAPE_BOOKED


def opened(build: type[AnyKernel]) -> AnyKernel:
    return build(
        instruments=builders.instrument(1, multiplier=2),
        accounts=batch(
            builders.account(OWN),
            builders.account(BOOK, AccountFlag.EXEMPT | AccountFlag.RECORDED),
            builders.account(TAPE, AccountFlag.EXEMPT),
            builders.account(OTHER),
        ),
    )


def trade(order_id: int, side: int, price: int, quantity: int, flags: int = PLAIN) -> Any:
    return new(order_id, side, price, quantity, account_id=TAPE, time_in_force=IOC, flags=flags)


def story(events: Any) -> list[tuple[Any, ...]]:
    """FILLED as (resting order, price, quantity), others as (kind, quantity)."""
    return [
        (event["counter_order_id"], event["price_ticks"], event["quantity"])
        if event["kind"] == "FILLED"
        else (event["kind"], event["quantity"])
        for event in told(events)
    ]


@both
def test_trade_fills_own_orders_at_better_prices_and_passes_recorded_ones(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(
        batch(
            new(1, SELL, 99, 5, account_id=BOOK),
            new(2, SELL, 99, 2),
            new(3, SELL, 100, 4, account_id=BOOK),
            new(4, SELL, 101, 3),
            new(5, SELL, 101, 9, account_id=BOOK),
        )
    )
    events = kernel.process(trade(9, BUY, 101, 7))
    assert story(events) == [("ACCEPTED", 7), (2, 99, 2), (4, 101, 3), (5, 101, 2)]
    assert levels(kernel, 1)[1] == [(99, 5, 1), (100, 4, 1), (101, 7, 1)]


@both
def test_trade_never_sweeps_recorded_levels_between(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, SELL, 99, 5, account_id=BOOK), new(2, SELL, 102, 5, account_id=BOOK)))
    assert story(kernel.process(trade(9, BUY, 101, 7))) == [("ACCEPTED", 7), ("CANCELLED", 7)]
    assert levels(kernel, 1)[1] == [(99, 5, 1), (102, 5, 1)]


@both
def test_trade_goes_through_the_queue_at_its_price_in_order(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(
        batch(new(1, BUY, 100, 3, account_id=BOOK), new(2, BUY, 100, 2), new(3, BUY, 100, 4, account_id=BOOK))
    )
    assert story(kernel.process(trade(9, SELL, 100, 4))) == [("ACCEPTED", 4), (1, 100, 3), (2, 100, 1)]
    assert levels(kernel, 1)[0] == [(100, 5, 2)]


@both
def test_booked_trade_uses_up_recorded_quantity_without_changing_it(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(
        batch(new(1, BUY, 100, 3, account_id=BOOK), new(2, BUY, 100, 2), new(3, BUY, 100, 4, account_id=BOOK))
    )
    events = kernel.process(trade(9, SELL, 100, 4, BOOKED))
    assert story(events) == [("ACCEPTED", 4), (2, 100, 1)], "3 of 4 met the recorded order ahead"
    assert told(events)[1].get("leaves_quantity", 0) == 0
    assert levels(kernel, 1)[0] == [(100, 8, 3)]
    assert story(kernel.process(trade(10, SELL, 100, 20, BOOKED))) == [
        ("ACCEPTED", 20),
        (2, 100, 1),
        ("CANCELLED", 12),
    ], "what met no order at all is told"


@both
def test_booked_trade_takes_of_a_recorded_iceberg_its_reserve_too(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(new(1, SELL, 100, 10, account_id=BOOK, display_quantity=3))
    assert story(kernel.process(trade(9, BUY, 100, 12, BOOKED))) == [("ACCEPTED", 12), ("CANCELLED", 2)]
    assert levels(kernel, 1) == [[], [(100, 3, 1)]]


@both
def test_trade_passes_over_all_or_none_that_is_larger_before_anything_is_cut(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, BUY, 90, 2), new(2, SELL, 90, 2, account_id=OTHER)))  # so there is something to reduce
    whole = OrderFlag.ALL_OR_NONE
    kernel.process(new(3, SELL, 100, 8, account_id=BOOK, flags=whole))
    kernel.process(new(4, SELL, 100, 8, flags=whole | OrderFlag.REDUCE_ONLY))
    for flags in (PLAIN, BOOKED):
        events = kernel.process(trade(9 + flags, BUY, 100, 5, flags))
        assert story(events) == [("ACCEPTED", 5), ("CANCELLED", 5)]
    assert kernel.queue_position(OWN, 4).leaves_quantity == 8


@both
def test_booked_trade_that_only_meets_recorded_orders_ends_without_a_word(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(new(1, BUY, 100, 3, account_id=BOOK))
    assert story(kernel.process(trade(9, SELL, 100, 3, BOOKED))) == [("ACCEPTED", 3)]
    assert told(kernel.process(cancel(9, TAPE)))[0]["reason"] == "CLOSED_ORDER"
    assert levels(kernel, 1)[0] == [(100, 3, 1)]


@both
@pytest.mark.parametrize("flags", [PLAIN, BOOKED])
def test_own_order_behind_recorded_quantity_waits_its_turn(build: type[AnyKernel], flags: int) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, SELL, 100, 10, account_id=BOOK), new(2, SELL, 100, 5)))
    assert all(step[0] != 2 for step in story(kernel.process(trade(9, BUY, 100, 10, flags))))
    assert held(kernel, OWN) == []


@both
def test_trades_move_positions_of_own_accounts_only(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, SELL, 100, 5), new(2, SELL, 100, 5, account_id=BOOK)))
    kernel.process(trade(9, BUY, 100, 8))
    assert held(kernel, OWN) == [(1, -5, 1_000, 0, 0)]
    assert held(kernel, BOOK) == held(kernel, TAPE) == []


@both
def test_tape_account_fills_its_own_order_without_self_match_check(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(new(1, SELL, 100, 5, account_id=TAPE))
    assert story(kernel.process(trade(9, BUY, 100, 5))) == [("ACCEPTED", 5), (1, 100, 5)]


@both
def test_trade_sets_the_last_price_whatever_it_meets(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(batch(new(1, SELL, 100, 5), new(2, SELL, 103, 9, account_id=BOOK), trade(9, BUY, 100, 5)))
    assert held(kernel, OWN) == [(1, -5, 1_000, 0, 0)]
    kernel.process(trade(10, BUY, 103, 9, BOOKED))
    assert held(kernel, OWN) == [(1, -5, 1_000, 0, -30)], "it met a recorded order alone, and filled none"
    assert story(kernel.process(trade(11, SELL, 104, 9))) == [("ACCEPTED", 9), ("CANCELLED", 9)]
    assert held(kernel, OWN) == [(1, -5, 1_000, 0, -40)], "it met no order at all"
    kernel.process(new(3, SELL, 101, 2, account_id=OTHER))
    assert story(kernel.process(trade(12, BUY, 102, 2))) == [("ACCEPTED", 2), (3, 101, 2)]
    assert held(kernel, OWN) == [(1, -5, 1_000, 0, -20)], "its own price, not that of the fill"


@both
def test_recorded_orders_trade_with_own_ones_like_any_other(build: type[AnyKernel]) -> None:
    kernel = opened(build)
    kernel.process(new(1, SELL, 100, 5, account_id=BOOK))
    assert story(kernel.process(new(2, BUY, 100, 2))) == [("ACCEPTED", 2), (1, 100, 2)]
    assert levels(kernel, 1)[1] == [(100, 3, 1)], "what was taken stays taken"
