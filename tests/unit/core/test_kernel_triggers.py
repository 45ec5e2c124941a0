"""Stops, touched orders, trailing stops, MARKET_TO_LIMIT: each rule of docs/kernel-orders.md once, through `Kernel`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nautilus.core import Kernel, LimitKind, OrderFlag, OrderType, SessionPhase, TimeInForce
from tests.kit import builders
from tests.kit.builders import BUY, DAY, GTD, IOC, SELL, batch, cancel, mark, new, replace, time
from tests.kit.pair import reasons, told

MARK, QUOTE, BPS = OrderFlag.TRIGGER_MARK, OrderFlag.TRIGGER_QUOTE, OrderFlag.TRAIL_BPS


def opened(*instruments: np.ndarray) -> Kernel:
    """Accounts 1 to 4, and instruments 1 (any price above 0) and 2 unless told otherwise."""
    given = instruments or (builders.instrument(1), builders.instrument(2))
    return Kernel(instruments=batch(*given), accounts=range(1, 5), huge_pages=False, capacity=256)


def trade(kernel: Kernel, price: int, *, first_id: int = 900, quantity: int = 1) -> np.ndarray:
    """A trade at the price between accounts 3 and 4; nothing of it stays open."""
    resting = new(first_id, SELL, price, quantity, account_id=3)
    return kernel.process(batch(resting, new(first_id + 1, BUY, price, quantity, account_id=4)))


def stop(order_id: int, side: int, trigger: int, quantity: int = 1, **fields: Any) -> np.ndarray:
    return new(order_id, side, 0, quantity, **{"order_type": OrderType.STOP, "trigger_ticks": trigger, **fields})


def stop_limit(order_id: int, side: int, trigger: int, price: int, quantity: int = 1, **fields: Any) -> np.ndarray:
    values = {"order_type": OrderType.STOP_LIMIT, "trigger_ticks": trigger}
    return new(order_id, side, price, quantity, **{**values, **fields})


def trailing(order_id: int, side: int, offset: int, quantity: int = 1, price: int = 0, **fields: Any) -> np.ndarray:
    values = {"order_type": OrderType.TRAILING_STOP, "offset": offset}
    return new(order_id, side, price, quantity, **{**values, **fields})


def of(events: np.ndarray, kind: str) -> list[tuple[int, int, int]]:
    """(order, price, quantity) of each event of the kind."""
    return [
        (event["order_id"], event.get("price_ticks", 0), event["quantity"])
        for event in told(events)
        if event["kind"] == kind
    ]


def triggered(events: np.ndarray) -> list[int]:
    return [order_id for order_id, _, _ in of(events, "TRIGGERED")]


# -- stops and touched orders ------------------------------------------------------------------------------------


def test_stop_waits_unseen_and_enters_as_a_market_order_when_the_last_price_reaches_its_trigger() -> None:
    kernel = opened()
    kernel.process(new(1, SELL, 105, 5))
    assert reasons(kernel.process(stop(2, BUY, 102, 3, account_id=2))) == ["ACCEPTED"]
    assert [len(side) for side in kernel.depth(1)] == [0, 1]
    assert triggered(trade(kernel, 101)) == []
    events = trade(kernel, 102, first_id=910)
    assert reasons(events)[-2:] == ["TRIGGERED", "FILLED"]
    assert of(events, "TRIGGERED") == [(2, 102, 3)]
    assert of(events, "FILLED")[-1] == (2, 105, 3)


def test_triggered_event_says_what_the_accepted_one_said_of_type_and_flags() -> None:
    kernel = opened()
    accepted = told(kernel.process(stop(2, BUY, 102, 3, strategy_id=7, flags=MARK)))[0]
    assert accepted["fee"] == 102
    assert accepted["flags"] == MARK | OrderType.STOP << 16 | TimeInForce.GTC << 24
    event = told(kernel.process(mark(102)))[0]
    names = ("order_id", "quantity", "leaves_quantity", "side", "flags", "account_id", "instrument_id", "strategy_id")
    assert {name: event[name] for name in names} == {name: accepted[name] for name in names}
    assert event["price_ticks"] == 102


def test_market_order_of_a_stop_cancels_what_is_not_filled() -> None:
    kernel = opened()
    kernel.process(batch(new(1, SELL, 105, 2), stop(2, BUY, 100, 5, account_id=2)))
    events = trade(kernel, 104)
    assert reasons(events)[-3:] == ["TRIGGERED", "FILLED", "CANCELLED UNFILLED"]
    assert of(events, "CANCELLED") == [(2, 0, 3)]


def test_stop_limit_enters_as_a_limit_order_and_rests_with_its_time_in_force() -> None:
    kernel = opened()
    kernel.process(stop_limit(2, BUY, 102, 103, 5, account_id=2, time_in_force=GTD, expire_ns=50))
    assert triggered(trade(kernel, 102)) == [2]
    assert kernel.best(1)[:2] == (103, 5)
    assert reasons(kernel.process(time(50))) == ["EXPIRED EXPIRED"]


@pytest.mark.parametrize(
    ("kind", "side", "far", "near"),
    [
        (OrderType.STOP, BUY, 99, 100),
        (OrderType.STOP, SELL, 101, 100),
        (OrderType.MARKET_IF_TOUCHED, BUY, 101, 100),
        (OrderType.MARKET_IF_TOUCHED, SELL, 99, 100),
    ],
)
def test_each_kind_triggers_on_its_side_of_the_price(kind: OrderType, side: int, far: int, near: int) -> None:
    kernel = opened()
    kernel.process(new(2, side, 0, 1, order_type=kind, trigger_ticks=100, flags=MARK))
    assert triggered(kernel.process(mark(far))) == []
    assert triggered(kernel.process(mark(near))) == [2]


def test_limit_if_touched_enters_at_its_limit() -> None:
    kernel = opened()
    kernel.process(new(2, SELL, 98, 4, order_type=OrderType.LIMIT_IF_TOUCHED, trigger_ticks=105))
    assert triggered(trade(kernel, 105)) == [2]
    assert kernel.best(1)[2:] == (98, 4)


def test_condition_that_holds_already_triggers_right_after_acceptance() -> None:
    kernel = opened()
    trade(kernel, 100)
    events = kernel.process(stop(2, BUY, 99, 1, account_id=2))
    assert reasons(events) == ["ACCEPTED", "TRIGGERED", "CANCELLED UNFILLED"]


def test_nothing_triggers_without_a_reference() -> None:
    kernel = opened()
    orders = [stop(number, BUY, 1, flags=flags) for number, flags in ((1, 0), (2, MARK), (3, QUOTE))]
    assert reasons(kernel.process(batch(*orders))) == ["ACCEPTED"] * 3


def test_each_source_looks_at_its_own_reference() -> None:
    kernel = opened()
    orders = [stop(number, BUY, 100, flags=flags) for number, flags in ((1, 0), (2, MARK), (3, QUOTE))]
    kernel.process(batch(*orders))
    assert triggered(kernel.process(mark(100))) == [2]
    assert triggered(kernel.process(new(5, SELL, 100, 9, account_id=2))) == [3, 1]  # the fill of 3 is a last price


def test_quote_source_looks_at_displayed_orders_of_the_other_side_alone() -> None:
    kernel = opened()
    kernel.process(stop(1, SELL, 100, flags=QUOTE))
    assert triggered(kernel.process(new(5, BUY, 99, 9, account_id=2, flags=OrderFlag.HIDDEN))) == []
    assert triggered(kernel.process(new(6, SELL, 100, 9, account_id=2))) == []
    assert triggered(kernel.process(new(7, BUY, 98, 9, account_id=2))) == [1]


def test_order_among_those_that_trigger_at_once() -> None:
    kernel = opened()
    touched = OrderType.MARKET_IF_TOUCHED
    kernel.process(
        batch(
            stop(1, SELL, 101, flags=MARK),
            stop(2, SELL, 103, flags=MARK),
            stop(3, BUY, 99, flags=MARK),
            stop(4, BUY, 97, flags=MARK),
            stop(5, BUY, 97, flags=MARK),
            stop(6, BUY, 100, flags=MARK, order_type=touched),
            stop(7, BUY, 102, flags=MARK, order_type=touched),
            stop(8, SELL, 99, flags=MARK, order_type=touched),
            stop(9, SELL, 98, flags=MARK, order_type=touched),
        )
    )
    assert triggered(kernel.process(mark(100))) == [4, 5, 3, 2, 1, 7, 6, 9, 8]


def test_triggers_of_last_come_before_those_of_mark_and_quote() -> None:
    kernel = opened()
    kernel.process(batch(stop(1, BUY, 101, flags=QUOTE), stop(2, BUY, 101, flags=MARK), stop(3, BUY, 101)))
    kernel.process(batch(builders.session(phase=SessionPhase.HALTED), mark(101), builders.session()))


def test_one_trigger_may_set_off_the_next() -> None:
    kernel = opened()
    kernel.process(batch(new(1, SELL, 101, 1), new(2, SELL, 104, 1), new(3, SELL, 110, 1)))
    kernel.process(batch(stop(4, BUY, 104, account_id=2), stop(5, BUY, 101, account_id=2)))
    events = kernel.process(new(6, BUY, 101, 1, account_id=3))
    assert of(events, "TRIGGERED") == [(5, 101, 1), (4, 104, 1)]
    assert of(events, "FILLED") == [(6, 101, 1), (5, 104, 1), (4, 110, 1)]


def test_waiting_orders_count_as_open_quantity() -> None:
    kernel = opened()
    kernel.process(stop(1, BUY, 105, 7))
    assert kernel.positions(1)["open_buy"].tolist() == [7]
    kernel.process(cancel(1))
    assert kernel.positions(1)["open_buy"].tolist() == []


def test_triggered_market_order_keeps_within_the_collar_of_that_moment() -> None:
    kernel = opened()
    kernel.process(builders.limit(LimitKind.PRICE_COLLAR, 500, account_id=2))
    kernel.process(batch(mark(100), stop(2, BUY, 200, 5, account_id=2)))
    kernel.process(batch(new(3, SELL, 210, 1), new(4, SELL, 211, 9), mark(200)))
    events = trade(kernel, 200)
    assert reasons(events)[-3:] == ["TRIGGERED", "FILLED", "CANCELLED UNFILLED"]
    assert of(events, "FILLED")[-1] == (2, 210, 1)


def test_stop_is_refused_for_what_its_type_does_not_use() -> None:
    kernel = opened()
    wrong = batch(
        new(1, BUY, 99, 1, order_type=OrderType.STOP, trigger_ticks=100),
        stop(1, BUY, 100, time_in_force=IOC),
        stop(1, BUY, 100, offset=1),
        stop(1, BUY, 100, flags=MARK | QUOTE),
        stop(1, BUY, 100, flags=BPS),
        stop(1, BUY, 100, flags=OrderFlag.POST_ONLY),
        stop(1, BUY, 100, flags=OrderFlag.PEG_MID),
        trailing(1, BUY, 0),
        new(1, BUY, 100, 1, trigger_ticks=100),
        new(1, BUY, 100, 1, flags=MARK),
    )
    assert reasons(kernel.process(wrong)) == ["REJECTED UNSUPPORTED"] * len(wrong)


def test_trigger_obeys_price_and_tick() -> None:
    kernel = opened(builders.instrument(1, price_step=5))
    assert reasons(kernel.process(stop(1, BUY, 0))) == ["REJECTED PRICE"]
    assert reasons(kernel.process(stop(1, BUY, 102))) == ["REJECTED TICK"]
    assert reasons(kernel.process(stop_limit(1, BUY, 105, 103))) == ["REJECTED TICK"]
    assert reasons(kernel.process(stop(1, BUY, 105))) == ["ACCEPTED"]


def test_triggers_wait_while_the_instrument_is_halted() -> None:
    kernel = opened()
    kernel.process(batch(stop(1, BUY, 100, flags=MARK), builders.session(phase=SessionPhase.HALTED)))
    assert reasons(kernel.process(mark(100))) == []
    assert reasons(kernel.process(builders.session())) == ["APPLIED", "TRIGGERED", "CANCELLED UNFILLED"]


# -- life --------------------------------------------------------------------------------------------------------


def test_waiting_order_can_be_cancelled_and_expires() -> None:
    kernel = opened()
    kernel.process(batch(stop(1, BUY, 105, 2), stop(2, BUY, 105, 3, time_in_force=GTD, expire_ns=9)))
    assert of(kernel.process(cancel(1)), "CANCELLED") == [(1, 0, 2)]
    assert of(kernel.process(time(9)), "EXPIRED") == [(2, 0, 3)]
    assert kernel.open_orders == 0


def test_session_arms_day_stops_anew_and_its_end_cancels_them() -> None:
    kernel = opened()
    kernel.process(batch(stop(1, BUY, 105, time_in_force=DAY), builders.session(close_ns=70)))
    assert kernel.next_timer_ns == 70
    events = kernel.process(builders.session(phase=SessionPhase.CLOSED))
    assert reasons(events) == ["EXPIRED SESSION_CLOSED", "APPLIED"]


def test_walk_takes_waiting_orders_after_the_book_and_oldest_first() -> None:
    kernel = opened()
    kernel.process(
        batch(stop(1, SELL, 90), stop(2, BUY, 110), new(3, SELL, 104, 1), new(4, BUY, 99, 1), stop(5, BUY, 105))
    )
    events = kernel.process(builders.mass_cancel(1))
    assert [order for order, _, _ in of(events, "CANCELLED")] == [4, 3, 1, 2, 5]
    assert told(events)[-1]["quantity"] == 5


def test_replace_of_a_stop_sets_trigger_and_quantity_and_joins_the_back_of_its_trigger() -> None:
    kernel = opened()
    kernel.process(batch(stop(1, BUY, 105, flags=MARK), stop(2, BUY, 105, flags=MARK), stop(3, BUY, 108, flags=MARK)))
    events = kernel.process(batch(replace(1, 0, 4), replace(3, 0, 1, trigger_ticks=105)))
    assert reasons(events) == ["REPLACED", "REPLACED"]
    assert told(events)[0]["leaves_quantity"] == 4
    assert triggered(kernel.process(mark(105))) == [2, 1, 3]


def test_replace_refuses_a_price_for_a_stop_and_a_trigger_for_what_has_none() -> None:
    kernel = opened()
    kernel.process(batch(stop(1, BUY, 105), trailing(2, BUY, 5, trigger_ticks=120), new(3, BUY, 90, 1)))
    wrong = batch(replace(1, 99, 1), replace(2, 0, 1, trigger_ticks=110), replace(3, 90, 1, trigger_ticks=110))
    assert reasons(kernel.process(wrong)) == ["REJECTED UNSUPPORTED"] * 3


def test_replace_of_a_stop_limit_changes_its_limit() -> None:
    kernel = opened()
    kernel.process(stop_limit(1, BUY, 105, 106, 2, flags=MARK))
    kernel.process(batch(replace(1, 107, 2), mark(105)))
    assert kernel.best(1)[:2] == (107, 2)


# -- trailing ----------------------------------------------------------------------------------------------------


def test_trailing_sell_follows_the_market_up_and_not_down() -> None:
    kernel = opened()
    kernel.process(batch(mark(100), trailing(1, SELL, 3, flags=MARK)))
    assert triggered(kernel.process(batch(mark(105), mark(103)))) == []
    assert of(kernel.process(mark(102)), "TRIGGERED") == [(1, 102, 1)]


def test_trailing_buy_follows_the_market_down_and_not_up() -> None:
    kernel = opened()
    kernel.process(batch(mark(100), trailing(1, BUY, 3, flags=MARK)))
    assert triggered(kernel.process(batch(mark(95), mark(97)))) == []
    assert of(kernel.process(mark(98)), "TRIGGERED") == [(1, 98, 1)]


def test_trailing_order_without_a_reference_waits_for_one() -> None:
    kernel = opened()
    kernel.process(trailing(1, SELL, 3, flags=MARK))
    assert triggered(kernel.process(batch(mark(100), mark(98)))) == []
    assert of(kernel.process(mark(97)), "TRIGGERED") == [(1, 97, 1)]


def test_trailing_order_may_start_at_a_trigger_of_its_own() -> None:
    kernel = opened()
    kernel.process(batch(mark(100), trailing(1, SELL, 10, trigger_ticks=99, flags=MARK)))
    assert of(kernel.process(mark(99)), "TRIGGERED") == [(1, 99, 1)]


def test_distance_in_basis_points_is_of_the_reference() -> None:
    kernel = opened()
    kernel.process(batch(mark(1000), trailing(1, SELL, 155, flags=MARK | BPS)))
    assert triggered(kernel.process(mark(986))) == []
    assert of(kernel.process(mark(985)), "TRIGGERED") == [(1, 985, 1)]


def test_distances_beyond_every_price_are_taken() -> None:
    kernel = opened()
    kernel.process(
        batch(mark(1 << 40), trailing(1, BUY, (1 << 31) - 1, flags=MARK | BPS), trailing(2, BUY, 5, flags=MARK))
    )
    assert triggered(kernel.process(batch(mark((1 << 40) - 9), mark((1 << 40) - 4)))) == [2]
    assert kernel.open_orders == 1


def test_order_that_trailed_to_a_trigger_stands_behind_those_that_stood_there() -> None:
    kernel = opened()
    kernel.process(batch(mark(100), trailing(1, SELL, 3, flags=MARK), stop(2, SELL, 98, flags=MARK)))
    assert triggered(kernel.process(batch(mark(101), mark(98)))) == [2, 1]


def test_trailing_stop_limit_rests_at_its_distance_from_the_trigger_rounded_to_the_tick() -> None:
    kernel = opened(builders.instrument(1, price_step=5))
    sell = trailing(1, SELL, 3, 2, 4, order_type=OrderType.TRAILING_STOP_LIMIT, flags=MARK)
    kernel.process(batch(mark(100), sell))
    assert of(kernel.process(mark(95)), "TRIGGERED") == [(1, 97, 2)]
    assert kernel.best(1)[2:] == (95, 2)  # 93 rounded up


def test_trailing_stop_limit_whose_limit_is_no_price_ends() -> None:
    kernel = opened()
    sell = trailing(1, SELL, 3, 2, 97, order_type=OrderType.TRAILING_STOP_LIMIT, flags=MARK)
    kernel.process(batch(mark(100), sell))
    assert reasons(kernel.process(mark(97))) == ["TRIGGERED", "CANCELLED PRICE"]


# -- market to limit ---------------------------------------------------------------------------------------------


def test_market_to_limit_takes_the_best_price_and_rests_there() -> None:
    kernel = opened()
    kernel.process(batch(new(1, SELL, 101, 2), new(2, SELL, 102, 9)))
    events = kernel.process(new(3, BUY, 0, 5, order_type=OrderType.MARKET_TO_LIMIT, account_id=2))
    assert reasons(events) == ["ACCEPTED", "FILLED"]
    assert kernel.best(1) == (101, 3, 102, 9)
    assert reasons(kernel.process(replace(3, 100, 5, account_id=2))) == ["REPLACED"]
    assert kernel.best(1)[:2] == (100, 3)


def test_market_to_limit_without_an_opposite_price_is_cancelled() -> None:
    kernel = opened()
    events = kernel.process(new(3, BUY, 0, 5, order_type=OrderType.MARKET_TO_LIMIT))
    assert reasons(events) == ["ACCEPTED", "CANCELLED UNFILLED"]


def test_market_to_limit_beyond_its_collar_is_cancelled() -> None:
    kernel = opened()
    kernel.process(batch(builders.limit(LimitKind.PRICE_COLLAR, 100), mark(100), new(1, SELL, 101, 2)))
    inside = kernel.process(new(3, BUY, 0, 1, order_type=OrderType.MARKET_TO_LIMIT, account_id=2))
    assert reasons(inside) == ["ACCEPTED", "FILLED"]
    kernel.process(mark(99))
    beyond = kernel.process(new(4, BUY, 0, 1, order_type=OrderType.MARKET_TO_LIMIT, account_id=2))
    assert reasons(beyond) == ["ACCEPTED", "CANCELLED UNFILLED"]


# -- restart -----------------------------------------------------------------------------------------------------


def test_restored_kernel_triggers_as_the_first_one() -> None:
    kernel = opened()
    kernel.process(
        batch(
            mark(100),
            stop(1, BUY, 104, flags=MARK),
            stop(2, BUY, 104, flags=MARK),
            replace(1, 0, 2),
            trailing(3, SELL, 3, flags=MARK),
            trailing(4, SELL, 3),
            stop_limit(5, BUY, 104, 105, 3, flags=MARK, time_in_force=GTD, expire_ns=99),
        )
    )
    again = Kernel(accounts=(), capacity=1, closed_capacity=1, huge_pages=False)
    again.restore(kernel.snapshot())
    assert again.snapshot() == kernel.snapshot()
    rest = batch(mark(104), mark(101), new(9, BUY, 50, 1), new(10, SELL, 50, 1, account_id=2), time(99))
    assert again.process(rest).tobytes() == kernel.process(rest).tobytes()
    assert again.state_hash() == kernel.state_hash()
