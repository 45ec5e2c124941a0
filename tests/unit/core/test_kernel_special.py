"""Icebergs, dark and reduce-only orders, slides, self-matches, pro-rata: cases by hand, on kernel and twin."""

from __future__ import annotations

import numpy as np
import pytest

from nautilus.core import EventKind, InstrumentFlag, OrderFlag, SelfMatch, Standing, TimeInForce
from nautilus.core.types import AccountFlag, CommandKind
from tests.kit import builders
from tests.kit.builders import BUY, SELL, batch, new, replace
from tests.kit.pair import AnyKernel, both, reasons, told

IOC, FOK = TimeInForce.IOC, TimeInForce.FOK


def opened(build: type[AnyKernel], *commands: np.ndarray) -> AnyKernel:
    kernel = build(instruments=batch(builders.instrument(1)), accounts=[1, 2, 3, 4])
    kernel.process(batch(*commands)) if commands else None
    return kernel


def sell(order_id: int, price: int, quantity: int, account_id: int = 2, **fields: int) -> np.ndarray:
    return new(order_id, SELL, price, quantity, account_id=account_id, **fields)


def matches(events: np.ndarray) -> list[tuple[int, int, int]]:
    """(resting order, price, quantity) of each match."""
    names = ("counter_order_id", "price_ticks", "quantity")
    return [tuple(int(row[name]) for name in names) for row in events if row["kind"] == EventKind.FILLED]


def ends(events: np.ndarray) -> list[tuple[int, str, int]]:
    """(order, reason, quantity) of each CANCELLED."""
    return [(row["order_id"], row["reason"], row["quantity"]) for row in told(events) if row["kind"] == "CANCELLED"]


def levels(kernel: AnyKernel) -> list[tuple[int, int, int]]:
    """(order, price, displayed quantity), bids first, in priority order."""
    return [tuple(int(row[name]) for name in ("order_id", "price_ticks", "quantity")) for row in kernel.book(1)]


@both
def test_an_iceberg_shows_its_next_part_behind_those_who_waited(build: type[AnyKernel]) -> None:
    kernel = opened(build, sell(1, 100, 10, display_quantity=3), sell(2, 100, 4, account_id=3))
    assert levels(kernel) == [(1, 100, 3), (2, 100, 4)]
    events = kernel.process(new(9, BUY, 100, 5))
    assert matches(events) == [(1, 100, 3), (2, 100, 2)]
    assert reasons(events) == ["ACCEPTED", "FILLED", "REPLENISHED", "FILLED"]
    assert levels(kernel) == [(2, 100, 2), (1, 100, 3)]
    assert matches(kernel.process(new(10, BUY, 100, 9))) == [(2, 100, 2), (1, 100, 3), (1, 100, 3), (1, 100, 1)]
    assert kernel.open_orders == 0


@both
def test_less_of_an_iceberg_keeps_its_place_and_is_taken_off_its_reserve(build: type[AnyKernel]) -> None:
    kernel = opened(build, sell(1, 100, 10, display_quantity=3), sell(2, 100, 4, account_id=3))
    kernel.process(replace(1, 100, 5, account_id=2))
    assert levels(kernel) == [(1, 100, 3), (2, 100, 4)]
    assert matches(kernel.process(new(9, BUY, 100, 9))) == [(1, 100, 3), (2, 100, 4), (1, 100, 2)]


@both
def test_a_hidden_order_stands_behind_what_is_displayed_and_before_worse_prices(build: type[AnyKernel]) -> None:
    kernel = opened(
        build, sell(1, 100, 2, flags=OrderFlag.HIDDEN), sell(2, 100, 3, account_id=3), sell(3, 101, 5, account_id=4)
    )
    assert levels(kernel) == [(2, 100, 3), (3, 101, 5)]
    assert kernel.queue_position(2, 1).standing == Standing.DARK
    assert matches(kernel.process(new(9, BUY, 101, 6))) == [(2, 100, 3), (1, 100, 2), (3, 101, 1)]


@both
def test_all_or_none_is_passed_over_until_all_of_it_is_wanted(build: type[AnyKernel]) -> None:
    kernel = opened(build, sell(1, 100, 10, flags=OrderFlag.ALL_OR_NONE), sell(2, 101, 4, account_id=3))
    assert matches(kernel.process(new(8, BUY, 101, 3, time_in_force=IOC))) == [(2, 101, 3)]
    assert matches(kernel.process(new(9, BUY, 101, 10, time_in_force=IOC))) == [(1, 100, 10)]


@both
def test_a_resting_all_or_none_trades_as_soon_as_others_make_it_possible(build: type[AnyKernel]) -> None:
    kernel = opened(build, new(1, BUY, 100, 10, flags=OrderFlag.ALL_OR_NONE), sell(2, 100, 6))
    assert kernel.open_orders == 2  # they cross in the dark: 6 are not enough
    events = kernel.process(sell(3, 99, 4, account_id=3))
    assert [(int(row["order_id"]), *match) for row, match in zip(filled(events), matches(events), strict=True)] == [
        (1, 3, 99, 4), (1, 2, 100, 6),
    ]  # fmt: skip
    assert kernel.open_orders == 0


def filled(events: np.ndarray) -> np.ndarray:
    return events[events["kind"] == EventKind.FILLED]


@both
def test_an_all_or_none_at_once_is_filled_whole_or_cancelled(build: type[AnyKernel]) -> None:
    kernel = opened(build, sell(1, 100, 6))
    said = {"flags": OrderFlag.ALL_OR_NONE, "time_in_force": IOC}
    assert ends(kernel.process(new(8, BUY, 100, 7, **said))) == [(8, "UNFILLED", 7)]
    assert matches(kernel.process(new(9, BUY, 100, 6, **said))) == [(1, 100, 6)]


@pytest.mark.parametrize(("minimum", "fills"), [(6, [(1, 100, 4), (2, 101, 2)]), (7, [])])
@both
def test_a_minimum_quantity_is_there_at_once_or_nothing_happens(
    build: type[AnyKernel], minimum: int, fills: list[tuple[int, int, int]]
) -> None:
    kernel = opened(build, sell(1, 100, 4), sell(2, 101, 2, account_id=3))
    events = kernel.process(new(9, BUY, 101, 9, min_quantity=minimum))
    assert matches(events) == fills
    assert ends(events) == ([] if fills else [(9, "UNFILLED", 9)])
    assert levels(kernel)[0] == ((9, 101, 3) if fills else (1, 100, 4))


@both
def test_reduce_only_fills_as_far_as_the_position_goes(build: type[AnyKernel]) -> None:
    kernel = opened(build, new(1, BUY, 100, 5), sell(2, 100, 5))  # account 1 is long 5
    assert reasons(kernel.process(sell(3, 90, 4, account_id=4, flags=OrderFlag.REDUCE_ONLY))) == [
        "REJECTED REDUCE_ONLY"
    ]
    kernel.process(new(4, BUY, 100, 20, account_id=3))
    events = kernel.process(sell(5, 100, 8, account_id=1, flags=OrderFlag.REDUCE_ONLY))
    assert matches(events) == [(4, 100, 5)]
    assert ends(events) == [(5, "REDUCE_ONLY", 3)]


@both
def test_a_resting_reduce_only_order_is_cut_before_it_would_open_a_position(build: type[AnyKernel]) -> None:
    kernel = opened(build, new(1, BUY, 100, 5), sell(2, 100, 5))
    kernel.process(sell(3, 105, 5, account_id=1, flags=OrderFlag.REDUCE_ONLY))
    kernel.process(batch(new(4, BUY, 99, 3, account_id=3), sell(5, 99, 3, account_id=1)))  # long 2 now
    events = kernel.process(new(6, BUY, 105, 5, account_id=3))
    assert ends(events) == [(3, "REDUCE_ONLY", 3)]
    assert matches(events) == [(3, 105, 2)]


@both
def test_post_only_is_refused_where_it_would_take_or_slides_one_step_behind(build: type[AnyKernel]) -> None:
    kernel = opened(build, sell(1, 100, 5))
    assert reasons(kernel.process(new(2, BUY, 100, 5, flags=OrderFlag.POST_ONLY))) == ["REJECTED WOULD_CROSS"]
    events = kernel.process(new(3, BUY, 103, 5, flags=OrderFlag.POST_ONLY | OrderFlag.SLIDE))
    assert [(row["kind"], row["price_ticks"]) for row in told(events)] == [("ACCEPTED", 99)]
    assert levels(kernel) == [(3, 99, 5), (1, 100, 5)]


SELF_MATCHES = {  # (fills, cancels, open afterwards) of a buy of 5 that meets 3 of its own before 4 of another
    SelfMatch.CANCEL_NEWEST: ([], [(9, "SELF_MATCH", 5)], 2),
    SelfMatch.CANCEL_OLDEST: ([(2, 100, 4)], [(1, "SELF_MATCH", 3)], 1),
    SelfMatch.CANCEL_BOTH: ([], [(1, "SELF_MATCH", 3), (9, "SELF_MATCH", 5)], 1),
    SelfMatch.DECREMENT: ([(2, 100, 2)], [(1, "SELF_MATCH", 3), (9, "SELF_MATCH", 3)], 1),
    SelfMatch.NONE: ([(1, 100, 3), (2, 100, 2)], [], 1),
}


@pytest.mark.parametrize("grouped", [False, True], ids=["account", "group"])
@pytest.mark.parametrize("mode", list(SELF_MATCHES), ids=lambda mode: mode.name)
@both
def test_each_mode_of_self_match_prevention(build: type[AnyKernel], mode: SelfMatch, grouped: bool) -> None:
    """Of an account, or of two accounts of one group."""
    own = 4 if grouped else 1
    kernel = build(instruments=batch(builders.instrument(1)), accounts=[2])
    for account_id in (1, 4):
        command = builders.command(
            CommandKind.ACCOUNT, account_id=account_id, order_type=mode, group_id=7 if grouped else 0
        )
        kernel.process(command)
    kernel.process(batch(sell(1, 100, 3, account_id=own), sell(2, 100, 4)))
    events = kernel.process(new(9, BUY, 100, 5))
    assert (matches(events), ends(events), kernel.open_orders) == SELF_MATCHES[mode]


@pytest.mark.parametrize(
    ("wanted", "fills"),
    [
        (30, [(1, 100, 5), (2, 100, 10), (3, 100, 15)]),
        (31, [(1, 100, 6), (2, 100, 10), (3, 100, 15)]),  # 5.2, 10.3 and 15.5: the lot left over goes to the first
        (60, [(1, 100, 10), (2, 100, 20), (3, 100, 30)]),
        (2, [(1, 100, 1), (2, 100, 0), (3, 100, 1)]),
    ],
)
@both
def test_pro_rata_shares_a_price_out_by_size(
    build: type[AnyKernel], wanted: int, fills: list[tuple[int, int, int]]
) -> None:
    """10, 20 and 30 lots; shares rounded down, what that leaves goes in order of time. Of 2: 0.3, 0.7 and 1."""
    instrument = builders.instrument(1, flags=InstrumentFlag.PRO_RATA)
    kernel = build(instruments=batch(instrument), accounts=[1, 2, 3, 4])
    kernel.process(batch(*(sell(number, 100, 10 * number, account_id=number + 1) for number in (1, 2, 3))))
    assert matches(kernel.process(new(9, BUY, 100, wanted))) == [fill for fill in fills if fill[2]]


@both
def test_fill_or_kill_counts_hidden_orders_and_reserves(build: type[AnyKernel]) -> None:
    kernel = opened(build, sell(1, 100, 10, display_quantity=1), sell(2, 100, 5, account_id=3, flags=OrderFlag.HIDDEN))
    assert ends(kernel.process(new(8, BUY, 100, 16, time_in_force=FOK))) == [(8, "UNFILLED", 16)]
    assert sum(match[2] for match in matches(kernel.process(new(9, BUY, 100, 15, time_in_force=FOK)))) == 15


@both
def test_an_exempt_account_is_no_owner_of_a_position(build: type[AnyKernel]) -> None:
    kernel = build(
        instruments=batch(builders.instrument(1)),
        accounts=batch(builders.account(1, AccountFlag.EXEMPT), builders.account(2)),
    )
    assert reasons(kernel.process(new(1, BUY, 100, 1, flags=OrderFlag.REDUCE_ONLY))) == ["REJECTED UNSUPPORTED"]
