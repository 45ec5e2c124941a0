"""Pegged orders: each rule of docs/kernel-orders.md, "Pegged", once, through `Kernel`."""

from __future__ import annotations

from typing import Any

import numpy as np

from nautilus.core import Kernel, OrderFlag, OrderType, SessionPhase
from tests.kit import builders
from tests.kit.builders import BUY, GTD, IOC, SELL, batch, cancel, market, new, replace, time
from tests.kit.pair import reasons, told

MID, OPPOSITE = OrderFlag.PEG_MID, OrderFlag.PEG_OPPOSITE


def opened(*instruments: np.ndarray) -> Kernel:
    return Kernel(
        instruments=batch(*(instruments or (builders.instrument(1),))),
        accounts=range(1, 5),
        huge_pages=False,
        capacity=256,
    )


def peg(order_id: int, side: int, quantity: int = 1, cap: int = 0, **fields: Any) -> np.ndarray:
    return new(order_id, side, cap, quantity, **{"order_type": OrderType.PEGGED, **fields})


def quotes(kernel: Kernel, bid: int, offer: int, quantity: int = 50, *, first: int = 801) -> None:
    """Orders `first` and `first` + 1 of account 4 are the best displayed prices from now on."""
    kernel.process(builders.mass_cancel(4))
    buy = new(first, BUY, bid, quantity, account_id=4)
    kernel.process(batch(buy, new(first + 1, SELL, offer, quantity, account_id=4)))


def fills(kernel: Kernel, side: int, quantity: int, order_id: int = 990) -> list[tuple[int, int, int]]:
    """(order, price, quantity) that a market order of account 3 meets."""
    events = told(kernel.process(market(order_id, side, quantity, account_id=3)))
    return [
        (event["counter_order_id"], event["price_ticks"], event["quantity"])
        for event in events
        if event["kind"] == "FILLED"
    ]


def test_pegged_order_stands_dark_behind_the_displayed_orders_of_its_price() -> None:
    kernel = opened()
    quotes(kernel, 98, 102, 5)
    assert reasons(kernel.process(peg(1, BUY, 3))) == ["ACCEPTED"]
    assert kernel.best(1) == (98, 5, 102, 5)
    assert fills(kernel, SELL, 7) == [(801, 98, 5), (1, 98, 2)]


def test_offset_goes_towards_the_other_side_and_away_from_it() -> None:
    kernel = opened()
    quotes(kernel, 90, 110)
    kernel.process(
        batch(peg(1, BUY, offset=3), peg(2, BUY, offset=-3), peg(3, SELL, offset=3), peg(4, SELL, offset=-3))
    )
    assert fills(kernel, SELL, 1) == [(1, 93, 1)]
    assert fills(kernel, BUY, 1, 991) == [(3, 107, 1)]


def test_opposite_peg_follows_the_other_side_and_trades_where_it_reaches_it() -> None:
    kernel = opened()
    quotes(kernel, 98, 102)
    events = kernel.process(peg(1, BUY, 3, flags=OPPOSITE))
    assert reasons(events) == ["ACCEPTED", "FILLED"]
    kernel.process(peg(2, BUY, 3, flags=OPPOSITE, offset=-1))
    assert fills(kernel, SELL, 1) == [(2, 101, 1)]


def test_mid_peg_needs_both_sides_and_rounds_down() -> None:
    kernel = opened()
    kernel.process(batch(new(5, BUY, 97, 9), peg(1, BUY, 2, flags=MID), peg(2, SELL, 2, flags=MID, offset=-3)))
    assert kernel.open_orders == 3
    kernel.process(new(6, SELL, 102, 9, account_id=2))
    assert fills(kernel, SELL, 1) == [(1, 99, 1)]
    assert fills(kernel, BUY, 1, 991) == [(6, 102, 1)]  # order 2 stands at 99 + 3, behind it


def test_price_is_rounded_to_the_tick_down_for_a_buy_and_up_for_a_sell() -> None:
    kernel = opened(builders.instrument(1, price_step=5))
    quotes(kernel, 90, 110)
    kernel.process(batch(peg(1, BUY, offset=8), peg(2, SELL, offset=8)))
    assert fills(kernel, SELL, 1) == [(1, 95, 1)]
    assert fills(kernel, BUY, 1, 991) == [(2, 105, 1)]


def test_cap_bounds_the_price() -> None:
    kernel = opened()
    quotes(kernel, 90, 110)
    kernel.process(batch(peg(1, BUY, 1, 91, offset=5), peg(2, SELL, 1, 108, offset=5)))
    assert fills(kernel, SELL, 1) == [(1, 91, 1)]
    assert fills(kernel, BUY, 1, 991) == [(2, 108, 1)]


def test_move_is_told_by_no_event_and_costs_the_place() -> None:
    kernel = opened()
    quotes(kernel, 90, 110)
    kernel.process(batch(peg(1, BUY, 1), peg(2, BUY, 1, 91)))
    assert reasons(kernel.process(new(7, BUY, 92, 1, account_id=2))) == ["ACCEPTED"]
    assert fills(kernel, SELL, 2) == [(7, 92, 1), (1, 92, 1)]
    assert fills(kernel, SELL, 51, 991) == [(801, 90, 50), (2, 90, 1)]


def test_moved_peg_enters_as_an_aggressor() -> None:
    kernel = opened()
    quotes(kernel, 90, 110)
    kernel.process(batch(peg(1, BUY, 4, offset=5), new(8, SELL, 97, 3, account_id=2)))
    events = told(kernel.process(new(7, BUY, 92, 1, account_id=2)))
    assert [(event["order_id"], event["counter_order_id"], event["price_ticks"]) for event in events[1:]] == [
        (1, 8, 97)
    ]


def test_oldest_peg_moves_first() -> None:
    kernel = opened()
    quotes(kernel, 90, 110)
    kernel.process(batch(peg(1, BUY, 1, offset=5), peg(2, BUY, 1, offset=5), new(8, SELL, 97, 1, account_id=2)))
    events = told(kernel.process(new(7, BUY, 92, 1, account_id=2)))
    assert [event["order_id"] for event in events] == [7, 1]


def test_peg_without_a_reference_is_parked_until_there_is_one() -> None:
    kernel = opened()
    assert reasons(kernel.process(peg(1, BUY, 2))) == ["ACCEPTED"]
    assert fills(kernel, SELL, 2) == []
    kernel.process(new(7, BUY, 92, 1, account_id=2))
    assert fills(kernel, SELL, 3, 991) == [(7, 92, 1), (1, 92, 2)]
    assert kernel.positions(1)["open_buy"].tolist() == [0]


def test_peg_whose_price_is_none_is_parked() -> None:
    kernel = opened()
    quotes(kernel, 2, 110)
    kernel.process(peg(1, BUY, 2, offset=-2))
    assert fills(kernel, SELL, 60) == [(801, 2, 50)]
    assert kernel.open_orders == 2
    quotes(kernel, 5, 110, first=811)
    assert fills(kernel, SELL, 51, 991) == [(811, 5, 50), (1, 3, 1)]


def test_parked_peg_counts_as_open_quantity_and_is_walked_after_the_book() -> None:
    kernel = opened()
    kernel.process(batch(peg(1, BUY, 2), new(2, SELL, 105, 1)))
    assert kernel.positions(1)["open_buy"].tolist() == [2]
    events = told(kernel.process(builders.mass_cancel(1)))
    assert [event["order_id"] for event in events[:2]] == [2, 1]
    assert "price_ticks" not in events[1]


def test_peg_expires_at_the_price_where_it_stands() -> None:
    kernel = opened()
    quotes(kernel, 90, 110)
    kernel.process(peg(1, BUY, 2, time_in_force=GTD, expire_ns=10))
    kernel.process(new(7, BUY, 92, 1, account_id=2))
    events = told(kernel.process(time(10)))
    assert [(event["kind"], event["order_id"], event["price_ticks"]) for event in events] == [("EXPIRED", 1, 92)]


def test_replace_sets_the_cap_and_keeps_the_place_where_only_quantity_is_taken() -> None:
    kernel = opened()
    quotes(kernel, 90, 110, 1)
    kernel.process(batch(peg(1, BUY, 3), peg(2, BUY, 3)))
    assert reasons(kernel.process(batch(replace(1, 0, 2), replace(2, 88, 3)))) == ["REPLACED", "REPLACED"]
    kernel.process(replace(2, 0, 3))
    assert fills(kernel, SELL, 4) == [(801, 90, 1), (1, 90, 2), (2, 90, 1)]


def test_pegs_stand_still_while_the_instrument_is_halted() -> None:
    kernel = opened()
    quotes(kernel, 90, 110)
    kernel.process(batch(peg(1, BUY, 1), new(7, BUY, 92, 1, account_id=2), builders.session(phase=SessionPhase.HALTED)))
    kernel.process(batch(cancel(7, 2), builders.session()))
    assert fills(kernel, SELL, 51) == [(801, 90, 50), (1, 90, 1)]


def test_flags_and_fields_that_do_not_go_with_a_peg_are_refused() -> None:
    kernel = opened()
    wrong = batch(
        peg(1, BUY, flags=MID | OPPOSITE),
        peg(1, BUY, flags=OrderFlag.HIDDEN),
        peg(1, BUY, flags=OrderFlag.ALL_OR_NONE),
        peg(1, BUY, flags=OrderFlag.POST_ONLY),
        peg(1, BUY, time_in_force=IOC),
        peg(1, BUY, trigger_ticks=5),
        peg(1, BUY, 2, display_quantity=1),
        new(1, BUY, 90, 1, flags=MID),
        new(1, BUY, 90, 1, offset=1),
    )
    assert reasons(kernel.process(wrong)) == ["REJECTED UNSUPPORTED"] * len(wrong)


def test_many_pegs_move_in_one_pass_for_one_change_of_price() -> None:
    """Time is not looked at here; that the result is right after a change that moves all of them is."""
    kernel = opened()
    quotes(kernel, 90, 110)
    kernel.process(batch(*(peg(number, BUY, 1) for number in range(1, 101))))
    kernel.process(new(700, BUY, 95, 1, account_id=2))
    assert fills(kernel, SELL, 101) == [(700, 95, 1), *((number, 95, 1) for number in range(1, 101))]


def test_restored_kernel_moves_pegs_as_the_first_one() -> None:
    kernel = opened()
    quotes(kernel, 90, 110)
    kernel.process(batch(peg(1, BUY, 4, 95, offset=5), peg(2, SELL, 4), peg(3, SELL, 4, flags=MID), cancel(802, 4)))
    again = Kernel(accounts=(), capacity=1, closed_capacity=1, huge_pages=False)
    again.restore(kernel.snapshot())
    assert again.snapshot() == kernel.snapshot()
    rest = batch(
        new(9, SELL, 101, 1, account_id=2), new(10, BUY, 92, 3, account_id=3), market(11, SELL, 99, account_id=3)
    )
    assert again.process(rest).tobytes() == kernel.process(rest).tobytes()
    assert again.state_hash() == kernel.state_hash()
