"""OCO, OUO, parents and children, brackets: each rule of docs/kernel-orders.md, "Groups", once, through `Kernel`."""

from __future__ import annotations

from typing import Any

import numpy as np

from nautilus.core import AccountFlag, Kernel, LimitKind, OrderFlag, OrderType, SessionPhase
from tests.kit import builders
from tests.kit.builders import BUY, GTD, IOC, SELL, batch, cancel, mark, market, new, replace, time
from tests.kit.pair import reasons, told

OCO, OUO = OrderFlag.GROUP_OCO, OrderFlag.GROUP_OUO


def opened(**options: Any) -> Kernel:
    accounts = batch(*(builders.account(number) for number in (1, 2, 3)), builders.account(4, AccountFlag.EXEMPT))
    instruments = batch(builders.instrument(1), builders.instrument(2), builders.instrument(3))
    return Kernel(instruments=instruments, accounts=accounts, huge_pages=False, **{"capacity": 256, **options})


def grouped(order_id: int, side: int, price: int, quantity: int, flag: int = OCO, **fields: Any) -> np.ndarray:
    return new(order_id, side, price, quantity, **{"flags": flag, "group_id": 7, **fields})


def child(order_id: int, side: int, price: int, quantity: int, parent: int = 1, **fields: Any) -> np.ndarray:
    return new(order_id, side, price, quantity, parent_order_id=parent, **fields)


def hit(kernel: Kernel, side: int, price: int, quantity: int, order_id: int, **fields: Any) -> np.ndarray:
    """Events of an immediate order of account 2."""
    return kernel.process(new(order_id, side, price, quantity, account_id=2, time_in_force=IOC, **fields))


def story(events: np.ndarray) -> list[tuple[str, int, int]]:
    """(kind, order, quantity) of each event."""
    return [(event["kind"], event.get("order_id", 0), event.get("quantity", 0)) for event in told(events)]


# -- one cancels the others --------------------------------------------------------------------------------------


def test_fill_of_one_cancels_the_others_oldest_first_before_the_next_match() -> None:
    kernel = opened()
    kernel.process(
        batch(grouped(1, SELL, 101, 5), grouped(2, SELL, 101, 5), grouped(3, SELL, 103, 5), new(4, SELL, 102, 5))
    )
    assert story(hit(kernel, BUY, 102, 6, 9)) == [
        ("ACCEPTED", 9, 6),
        ("FILLED", 9, 5),
        ("CANCELLED", 2, 5),
        ("CANCELLED", 3, 5),
        ("FILLED", 9, 1),
    ]


def test_cancel_or_expiry_of_one_cancels_the_others() -> None:
    kernel = opened()
    kernel.process(batch(grouped(1, SELL, 101, 5), grouped(2, SELL, 102, 5, time_in_force=GTD, expire_ns=5)))
    assert reasons(kernel.process(cancel(1))) == ["CANCELLED REQUESTED", "CANCELLED CONTINGENT"]
    kernel.process(batch(grouped(3, SELL, 101, 5), grouped(4, SELL, 102, 5, time_in_force=GTD, expire_ns=5)))
    assert reasons(kernel.process(time(5))) == ["EXPIRED EXPIRED", "CANCELLED CONTINGENT"]


def test_group_reaches_over_instruments_and_waiting_orders() -> None:
    kernel = opened()
    stop = {"order_type": OrderType.STOP, "trigger_ticks": 90}
    kernel.process(
        batch(grouped(1, SELL, 101, 5), grouped(2, SELL, 0, 5, **stop), grouped(3, BUY, 50, 5, instrument_id=2))
    )
    assert story(hit(kernel, BUY, 101, 1, 9))[2:] == [("CANCELLED", 2, 5), ("CANCELLED", 3, 5)]
    assert kernel.open_orders == 1


def test_group_of_an_incoming_order_acts_too() -> None:
    kernel = opened()
    kernel.process(batch(new(5, SELL, 100, 9, account_id=2), grouped(1, BUY, 90, 5)))
    assert story(kernel.process(grouped(2, BUY, 100, 3))) == [("ACCEPTED", 2, 3), ("FILLED", 2, 3), ("CANCELLED", 1, 5)]


def test_groups_are_of_an_account() -> None:
    kernel = opened()
    kernel.process(batch(grouped(1, SELL, 101, 5), grouped(1, SELL, 105, 5, account_id=3)))
    assert story(hit(kernel, BUY, 101, 1, 9)) == [("ACCEPTED", 9, 1), ("FILLED", 9, 1)]


# -- one updates the others --------------------------------------------------------------------------------------


def test_fill_of_one_reduces_the_others_in_their_place() -> None:
    kernel = opened()
    kernel.process(grouped(1, SELL, 101, 5, OUO, instrument_id=2))
    kernel.process(batch(grouped(2, SELL, 103, 5, OUO), new(3, SELL, 103, 5)))
    event = told(hit(kernel, BUY, 101, 2, 9, instrument_id=2))[-1]
    assert (event["kind"], event["reason"]) == ("REPLACED", "CONTINGENT")
    assert (event["quantity"], event["leaves_quantity"], event["price_ticks"]) == (3, 3, 103)
    assert kernel.positions(1)["open_sell"].tolist() == [8, 3]
    assert told(hit(kernel, BUY, 103, 1, 10))[1]["counter_order_id"] == 2


def test_order_with_nothing_left_after_a_reduction_is_cancelled() -> None:
    kernel = opened()
    kernel.process(batch(grouped(1, SELL, 101, 5, OUO), grouped(2, SELL, 103, 3, OUO)))
    assert story(hit(kernel, BUY, 101, 4, 9))[2:] == [("CANCELLED", 2, 3)]


def test_iceberg_loses_reserve_first() -> None:
    kernel = opened()
    kernel.process(batch(grouped(1, SELL, 101, 5, OUO), grouped(2, SELL, 103, 9, OUO, display_quantity=2)))
    hit(kernel, BUY, 101, 4, 9)
    assert [tuple(level) for level in kernel.depth(1)[1].tolist()] == [(101, 1, 1), (103, 2, 1)]
    assert kernel.positions(1)["open_sell"].tolist() == [6]


def test_cancel_of_one_cancels_all_others() -> None:
    kernel = opened()
    kernel.process(batch(grouped(1, SELL, 101, 5, OUO), grouped(2, SELL, 103, 3, OUO)))
    assert story(kernel.process(cancel(1))) == [("CANCELLED", 1, 5), ("CANCELLED", 2, 3)]


# -- what a group may be -----------------------------------------------------------------------------------------


def test_kinds_flags_and_ids_that_do_not_go_together_are_refused() -> None:
    kernel = opened()
    kernel.process(grouped(1, SELL, 101, 5))
    wrong = batch(
        grouped(2, SELL, 101, 5, OUO),
        grouped(2, SELL, 101, 5, OCO | OUO),
        grouped(2, SELL, 101, 5, group_id=0),
        new(2, SELL, 101, 5, group_id=7),
    )
    assert reasons(kernel.process(wrong)) == ["REJECTED UNSUPPORTED"] * 4
    kernel.process(cancel(1))
    assert reasons(kernel.process(grouped(2, SELL, 101, 5, OUO))) == ["ACCEPTED"]


def test_group_and_parent_hold_eight() -> None:
    kernel = opened()
    kernel.process(batch(*(grouped(number, BUY, 90, 1) for number in range(1, 9))))
    assert reasons(kernel.process(grouped(9, BUY, 90, 1))) == ["REJECTED POOL_FULL"]
    kernel.process(new(20, BUY, 80, 9))
    kernel.process(batch(*(child(number, SELL, 99, 1, 20) for number in range(21, 29))))
    assert reasons(kernel.process(child(29, SELL, 99, 1, 20))) == ["REJECTED POOL_FULL"]
    kernel.process(cancel(21))
    assert reasons(kernel.process(child(29, SELL, 99, 1, 20))) == ["ACCEPTED"]


# -- parents and children ----------------------------------------------------------------------------------------


def test_child_is_parked_and_does_not_count_until_its_parent_fills() -> None:
    kernel = opened()
    kernel.process(new(1, BUY, 100, 5))
    accepted = told(kernel.process(child(2, SELL, 110, 5)))[0]
    assert (accepted["kind"], accepted["counter_order_id"]) == ("ACCEPTED", 1)
    assert kernel.positions(1)[["open_buy", "open_sell"]].tolist() == [(5, 0)]
    events = told(hit(kernel, SELL, 100, 2, 9))
    assert (events[-1]["kind"], events[-1]["reason"], events[-1]["quantity"]) == ("TRIGGERED", "CONTINGENT", 2)
    assert kernel.best(1) == (100, 3, 110, 2)
    assert kernel.positions(1)[["open_buy", "open_sell"]].tolist() == [(3, 2)]


def test_further_release_raises_the_child_and_sends_it_to_the_back() -> None:
    kernel = opened()
    kernel.process(batch(new(1, BUY, 100, 5), child(2, SELL, 110, 4)))
    hit(kernel, SELL, 100, 1, 9)
    kernel.process(new(3, SELL, 110, 1, account_id=3))
    raised = told(hit(kernel, SELL, 100, 2, 10))[-1]
    assert (raised["kind"], raised["reason"], raised["quantity"], raised["leaves_quantity"]) == (
        "REPLACED", "CONTINGENT", 3, 3,
    )  # fmt: skip
    assert [event["counter_order_id"] for event in told(hit(kernel, BUY, 110, 4, 11))[1:]] == [3, 2]


def test_release_ends_at_the_quantity_of_the_child() -> None:
    kernel = opened()
    kernel.process(batch(new(1, BUY, 100, 5), child(2, SELL, 110, 2)))
    assert story(hit(kernel, SELL, 100, 4, 9))[-1] == ("TRIGGERED", 2, 2)
    assert story(hit(kernel, SELL, 100, 1, 10)) == [("ACCEPTED", 10, 1), ("FILLED", 10, 1)]


def test_child_without_a_release_is_cancelled_when_its_parent_closes() -> None:
    kernel = opened()
    kernel.process(batch(new(1, BUY, 100, 5), child(2, SELL, 110, 2), child(3, SELL, 111, 2)))
    assert story(kernel.process(cancel(1))) == [("CANCELLED", 1, 5), ("CANCELLED", 2, 2), ("CANCELLED", 3, 2)]


def test_child_keeps_what_was_released_when_its_parent_closes() -> None:
    kernel = opened()
    kernel.process(batch(new(1, BUY, 100, 5), child(2, SELL, 110, 5)))
    hit(kernel, SELL, 100, 2, 9)
    assert story(kernel.process(cancel(1))) == [("CANCELLED", 1, 3)]
    assert kernel.best(1)[2:] == (110, 2)


def test_parent_that_fills_at_once_is_none_any_more() -> None:
    kernel = opened()
    kernel.process(batch(new(5, SELL, 100, 5, account_id=2), new(1, BUY, 100, 5)))
    assert reasons(kernel.process(child(2, SELL, 110, 5))) == ["REJECTED PARENT"]


def test_child_of_a_partly_filled_parent_enters_at_once() -> None:
    kernel = opened()
    kernel.process(batch(new(5, SELL, 100, 3, account_id=2), new(1, BUY, 100, 5)))
    assert story(kernel.process(child(2, SELL, 110, 5))) == [("ACCEPTED", 2, 5), ("TRIGGERED", 2, 3)]


def test_parent_must_be_open_of_the_same_account_and_no_child() -> None:
    kernel = opened()
    kernel.process(batch(new(1, BUY, 100, 5), child(2, SELL, 110, 5)))
    wrong = batch(child(3, SELL, 110, 5, 2), child(3, SELL, 110, 5, 77), child(3, SELL, 110, 5, 1, account_id=2))
    assert reasons(kernel.process(wrong)) == ["REJECTED PARENT"] * 3
    hit(kernel, SELL, 100, 5, 9)
    assert reasons(kernel.process(child(3, SELL, 110, 5, 2))) == ["REJECTED PARENT"]  # it was a child


def test_pegged_orders_and_minimum_quantities_cannot_be_children() -> None:
    kernel = opened()
    kernel.process(new(1, BUY, 100, 5))
    wrong = batch(child(2, SELL, 0, 5, order_type=OrderType.PEGGED), child(2, SELL, 110, 5, min_quantity=1))
    assert reasons(kernel.process(wrong)) == ["REJECTED UNSUPPORTED"] * 2


def test_market_child_trades_when_it_is_released() -> None:
    kernel = opened()
    kernel.process(batch(new(1, BUY, 100, 5), new(5, BUY, 90, 9, account_id=3)))
    kernel.process(child(2, SELL, 0, 5, order_type=OrderType.MARKET, time_in_force=IOC))
    assert story(hit(kernel, SELL, 100, 5, 9))[2:] == [("TRIGGERED", 2, 5), ("FILLED", 2, 5)]


def test_waiting_child_begins_to_wait_when_it_is_released() -> None:
    kernel = opened()
    stop = {"order_type": OrderType.STOP, "trigger_ticks": 95, "flags": OrderFlag.TRIGGER_MARK}
    kernel.process(batch(mark(94), new(1, BUY, 100, 5), child(2, SELL, 0, 5, **stop)))
    events = hit(kernel, SELL, 100, 5, 9)
    assert reasons(events)[2:] == ["TRIGGERED CONTINGENT", "TRIGGERED", "CANCELLED UNFILLED"]


def test_child_of_another_instrument_is_settled_after_that_of_the_command_by_ascending_id() -> None:
    kernel = opened()
    kernel.process(
        batch(
            new(1, BUY, 100, 5, instrument_id=2),
            child(2, SELL, 110, 5, instrument_id=3),
            child(3, SELL, 110, 5, instrument_id=1),
            child(4, SELL, 110, 5, instrument_id=2),
        )
    )
    events = hit(kernel, SELL, 100, 5, 9, instrument_id=2)
    assert story(events)[2:] == [("TRIGGERED", 4, 5), ("TRIGGERED", 3, 5), ("TRIGGERED", 2, 5)]


def test_child_that_violates_a_control_where_it_enters_is_cancelled() -> None:
    kernel = opened()
    kernel.process(batch(builders.limit(LimitKind.POSITION, 5), new(1, BUY, 100, 5)))
    assert reasons(kernel.process(child(2, BUY, 90, 1))) == ["ACCEPTED"]
    assert reasons(hit(kernel, SELL, 100, 1, 9))[2:] == ["CANCELLED POSITION"]


def test_post_only_child_that_would_cross_is_cancelled_or_slides() -> None:
    kernel = opened()
    post, slide = OrderFlag.POST_ONLY, OrderFlag.POST_ONLY | OrderFlag.SLIDE
    kernel.process(batch(new(1, BUY, 100, 2), new(5, BUY, 98, 9, account_id=3)))
    kernel.process(batch(child(2, SELL, 97, 1, flags=post), child(3, SELL, 97, 1, flags=slide)))
    events = hit(kernel, SELL, 100, 2, 9)
    assert reasons(events)[2:] == ["CANCELLED WOULD_CROSS", "TRIGGERED CONTINGENT"]
    assert told(events)[-1]["price_ticks"] == 99
    assert kernel.best(1)[2:] == (99, 1)


def test_parked_child_can_be_replaced_cancelled_and_expires() -> None:
    kernel = opened()
    kernel.process(
        batch(
            new(1, BUY, 100, 5),
            child(2, SELL, 110, 5),
            child(3, SELL, 111, 2),
            child(4, SELL, 112, 2, time_in_force=GTD, expire_ns=9),
        )
    )
    assert reasons(kernel.process(batch(replace(2, 109, 3), cancel(3), time(9)))) == [
        "REPLACED", "CANCELLED REQUESTED", "EXPIRED EXPIRED",
    ]  # fmt: skip
    hit(kernel, SELL, 100, 5, 9)
    assert kernel.best(1)[2:] == (109, 3)


def test_children_enter_when_trading_goes_on() -> None:
    kernel = opened()
    kernel.process(batch(new(1, BUY, 100, 5), new(2, SELL, 105, 1, account_id=3)))
    hit(kernel, SELL, 100, 2, 9)
    kernel.process(builders.session(1, SessionPhase.HALTED))
    kernel.process(builders.session(1))
    assert story(kernel.process(child(3, SELL, 110, 5))) == [("ACCEPTED", 3, 5), ("TRIGGERED", 3, 2)]
    kernel.process(child(4, SELL, 110, 5, instrument_id=2))
    kernel.process(builders.session(2, SessionPhase.HALTED))
    assert reasons(hit(kernel, SELL, 100, 1, 10))[-1] == "REPLACED CONTINGENT"
    assert reasons(kernel.process(cancel(1))) == ["CANCELLED REQUESTED"]


# -- brackets ----------------------------------------------------------------------------------------------------


def bracket(kernel: Kernel, flag: int) -> None:
    """A buy of 6 at 100 with a take-profit at 110 and a stop at 95."""
    both = {"flags": flag, "group_id": 3}
    stop = {"order_type": OrderType.STOP, "trigger_ticks": 95}
    kernel.process(batch(new(1, BUY, 100, 6), child(2, SELL, 110, 6, **both), child(3, SELL, 0, 6, **both, **stop)))


def test_take_profit_of_a_bracket_reduces_its_stop() -> None:
    kernel = opened()
    bracket(kernel, OUO)
    assert story(hit(kernel, SELL, 100, 6, 9))[2:] == [("TRIGGERED", 2, 6), ("TRIGGERED", 3, 6)]
    assert story(hit(kernel, BUY, 110, 4, 10))[2:] == [("REPLACED", 3, 2)]
    assert story(hit(kernel, BUY, 110, 2, 11))[2:] == [("CANCELLED", 3, 2)]
    assert kernel.open_orders == 0


def test_stop_of_a_bracket_cancels_its_take_profit() -> None:
    kernel = opened()
    bracket(kernel, OCO)
    hit(kernel, SELL, 100, 6, 9)
    kernel.process(new(5, BUY, 95, 9, account_id=3))
    assert story(hit(kernel, SELL, 95, 1, 10)) == [
        ("ACCEPTED", 10, 1),
        ("FILLED", 10, 1),
        ("TRIGGERED", 3, 6),
        ("FILLED", 3, 6),
        ("CANCELLED", 2, 6),
    ]


def test_cancelled_entry_of_a_bracket_takes_both_children_with_it() -> None:
    kernel = opened()
    bracket(kernel, OCO)
    assert [order for _, order, _ in story(kernel.process(cancel(1)))] == [1, 2, 3]
    assert kernel.open_orders == 0


def test_children_of_what_a_group_cancels_are_cancelled_too() -> None:
    kernel = opened()
    kernel.process(batch(grouped(1, BUY, 100, 5), grouped(2, BUY, 99, 5), child(3, SELL, 110, 5, 2)))
    assert story(hit(kernel, SELL, 100, 1, 9))[2:] == [("CANCELLED", 2, 5), ("CANCELLED", 3, 5)]


# -- commands over many orders, restart --------------------------------------------------------------------------


def test_mass_cancel_counts_only_what_it_took_itself() -> None:
    kernel = opened()
    kernel.process(batch(grouped(1, SELL, 101, 5), grouped(2, SELL, 102, 5), new(3, SELL, 103, 5)))
    events = told(kernel.process(builders.mass_cancel(1)))
    assert [event.get("reason") for event in events] == ["MASS_CANCEL", "CONTINGENT", "MASS_CANCEL", None]
    assert events[-1]["quantity"] == 2


def test_restored_kernel_releases_and_groups_as_the_first_one() -> None:
    kernel = opened()
    bracket(kernel, OUO)
    hit(kernel, SELL, 100, 2, 9)
    kernel.process(
        batch(grouped(20, BUY, 80, 5), grouped(21, BUY, 79, 5, instrument_id=2), child(22, SELL, 120, 4, 20))
    )
    again = Kernel(accounts=(), capacity=1, closed_capacity=1, huge_pages=False)
    again.restore(kernel.snapshot())
    assert again.snapshot() == kernel.snapshot()
    rest = batch(
        new(30, SELL, 100, 3, account_id=2),
        new(31, BUY, 110, 4, account_id=2),
        cancel(1),
        market(32, SELL, 2, account_id=3),
        new(33, SELL, 79, 9, account_id=3),
        cancel(20),
    )
    assert again.process(rest).tobytes() == kernel.process(rest).tobytes()
    assert again.state_hash() == kernel.state_hash()
