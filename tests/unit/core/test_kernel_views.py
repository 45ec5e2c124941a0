"""What a kernel shows of its books and open orders: by rule on the kernel and its twin, then along random flows."""

from __future__ import annotations

import os

import numpy as np
import pytest

from nautilus.core import (
    BOOK_ORDER,
    OPEN_ORDER,
    Kernel,
    KernelError,
    OrderFlag,
    OrderType,
    SessionPhase,
    Standing,
    TimeInForce,
)
from tests.kit import builders, flow_full, flow_setting
from tests.kit.builders import BUY, SELL, batch, cancel, new, replace
from tests.kit.pair import AnyKernel, Pair, both

SEEDS = int(os.environ.get("NAUTILUS_SEEDS", "4"))


def opened(build: type[AnyKernel], *commands: np.ndarray) -> AnyKernel:
    kernel = build(instruments=batch(builders.instrument(1), builders.instrument(7)), accounts=range(1, 5))
    kernel.process(batch(*commands))
    return kernel


def shown(kernel: AnyKernel, instrument_id: int = 1, levels: int | None = None) -> list[tuple[int, ...]]:
    names = ["order_id", "side", "price_ticks", "quantity", "account_id"]
    return [tuple(map(int, row)) for row in kernel.book(instrument_id, levels)[names].tolist()]


def ahead(kernel: AnyKernel, order_id: int, account_id: int = 1) -> tuple[int | None, int | None]:
    position = kernel.queue_position(account_id, order_id)
    return position.orders_ahead, position.quantity_ahead


@both
def test_book_lists_displayed_orders_by_price_then_time(build: type[AnyKernel]) -> None:
    kernel = opened(
        build, new(1, BUY, 99, 4), new(2, SELL, 103, 5, account_id=2), new(3, BUY, 100, 2, account_id=3),
        new(4, SELL, 102, 6), new(5, BUY, 99, 8, account_id=4), new(9, BUY, 50, 1, instrument_id=7),
    )  # fmt: skip
    assert shown(kernel) == [
        (3, BUY, 100, 2, 3), (1, BUY, 99, 4, 1), (5, BUY, 99, 8, 4), (4, SELL, 102, 6, 1), (2, SELL, 103, 5, 2),
    ]  # fmt: skip
    assert shown(kernel, 7) == [(9, BUY, 50, 1, 1)]
    assert shown(kernel, levels=1) == [(3, BUY, 100, 2, 3), (4, SELL, 102, 6, 1)]
    assert shown(kernel, levels=0) == []
    assert kernel.book(1).dtype == BOOK_ORDER


@both
def test_book_shows_of_an_iceberg_its_displayed_part_and_of_dark_orders_nothing(build: type[AnyKernel]) -> None:
    kernel = opened(
        build, new(1, BUY, 99, 10, display_quantity=3), new(2, BUY, 99, 4, flags=OrderFlag.HIDDEN),
        new(3, BUY, 99, 5), new(4, SELL, 99, 3, account_id=2),
    )  # fmt: skip
    assert shown(kernel) == [(3, BUY, 99, 5, 1), (1, BUY, 99, 3, 1)]  # replenished, at the back


@both
def test_queue_position_counts_what_has_priority_at_the_same_price(build: type[AnyKernel]) -> None:
    kernel = opened(
        build, new(1, BUY, 99, 4), new(2, BUY, 99, 6, account_id=2), new(3, BUY, 99, 1), new(4, BUY, 100, 7),
        new(5, SELL, 101, 2),
    )  # fmt: skip
    assert [ahead(kernel, 1), ahead(kernel, 3), ahead(kernel, 4), ahead(kernel, 5)] == [(0, 0), (2, 10), (0, 0), (0, 0)]
    kernel.process(replace(2, 99, 3, account_id=2))  # less keeps its place
    assert ahead(kernel, 3) == (2, 7)
    kernel.process(replace(2, 99, 5, account_id=2))  # more loses it
    assert (ahead(kernel, 3), ahead(kernel, 2, account_id=2)) == ((1, 4), (2, 5))
    kernel.process(cancel(1))
    assert ahead(kernel, 3) == (0, 0)
    kernel.process(new(9, SELL, 100, 3, account_id=3))
    position = kernel.queue_position(1, 4)
    assert (position.side, position.price_ticks, position.leaves_quantity) == (BUY, 100, 4)


@both
def test_queue_position_of_a_dark_order_is_behind_all_that_is_displayed(build: type[AnyKernel]) -> None:
    kernel = opened(
        build, new(1, BUY, 99, 4, flags=OrderFlag.HIDDEN), new(2, BUY, 99, 10, display_quantity=3),
        new(3, BUY, 99, 2, flags=OrderFlag.HIDDEN), new(4, BUY, 99, 1),
    )  # fmt: skip
    assert (ahead(kernel, 1), ahead(kernel, 3)) == ((2, 11), (3, 15))
    assert ahead(kernel, 4) == (1, 3)
    assert kernel.queue_position(1, 3).standing == Standing.DARK


@both
def test_an_order_in_no_queue_has_no_place_in_one(build: type[AnyKernel]) -> None:
    kernel = opened(
        build, new(1, SELL, 0, 4, order_type=OrderType.STOP, trigger_ticks=90),
        new(2, BUY, 90, 3, time_in_force=TimeInForce.AT_CLOSE), new(3, BUY, 0, 3, order_type=OrderType.PEGGED),
        builders.session(7, SessionPhase.OPENING_AUCTION),
        new(4, SELL, 0, 2, order_type=OrderType.MARKET, time_in_force=TimeInForce.AT_OPEN, instrument_id=7),
    )  # fmt: skip
    found = [kernel.queue_position(1, order_id) for order_id in (1, 2, 3, 4)]
    assert [position.standing for position in found] == [
        Standing.WAITING, Standing.PARKED, Standing.PARKED, Standing.AUCTION,
    ]  # fmt: skip
    assert {(position.orders_ahead, position.quantity_ahead) for position in found} == {(None, None)}
    assert shown(kernel) == shown(kernel, 7) == []


def test_orders_lists_every_open_order_wherever_it_stands() -> None:
    kernel = opened(
        Kernel,
        new(1, BUY, 99, 10, display_quantity=3, strategy_id=6),
        new(2, SELL, 5, 4, order_type=OrderType.TRAILING_STOP_LIMIT, offset=3, trigger_ticks=90),
        new(3, SELL, 120, 4, parent_order_id=1, flags=OrderFlag.GROUP_OCO, group_id=8),
        new(4, BUY, 60, 1, account_id=2, time_in_force=TimeInForce.GTD, expire_ns=77),
        new(5, SELL, 61, 1, account_id=2, instrument_id=7),
    )
    rows = kernel.orders()
    assert rows.dtype == OPEN_ORDER
    assert rows["order_id"].tolist() == [1, 4, 2, 3, 5]
    assert kernel.orders(2)["order_id"].tolist() == [4, 5]
    assert kernel.orders(2, 7)["order_id"].tolist() == kernel.orders(0, 7)["order_id"].tolist() == [5]
    named = {int(row["order_id"]): row for row in rows}
    assert (named[1]["shown_quantity"], named[1]["leaves_quantity"], named[1]["strategy_id"]) == (3, 10, 6)
    assert (named[2]["trigger_ticks"], named[2]["limit_distance"], named[2]["offset"]) == (90, 5, 3)
    assert (named[3]["parent_order_id"], named[3]["group_id"], named[3]["standing"]) == (1, 8, Standing.PARKED)
    assert (named[4]["expire_ns"], named[4]["time_in_force"]) == (77, TimeInForce.GTD)


def test_what_is_not_there_is_named() -> None:
    kernel = opened(Kernel, new(1, BUY, 99, 1))
    for code, ask in (
        ("UNKNOWN_ORDER", lambda: kernel.queue_position(1, 2)),
        ("UNKNOWN_ORDER", lambda: kernel.queue_position(2, 1)),
        ("UNKNOWN_ACCOUNT", lambda: kernel.queue_position(99, 1)),
        ("UNKNOWN_INSTRUMENT", lambda: kernel.book(2)),
        ("UNKNOWN_ACCOUNT", lambda: kernel.orders(99)),
        ("UNKNOWN_INSTRUMENT", lambda: kernel.orders(1, 2)),
    ):
        with pytest.raises(KernelError) as refusal:
            ask()
        assert refusal.value.code == code


def test_a_view_is_a_copy_and_changes_no_state() -> None:
    kernel = opened(Kernel, new(1, BUY, 99, 5), new(2, BUY, 99, 3))
    before, book, orders = kernel.state_hash(), kernel.book(1), kernel.orders()
    kernel.queue_position(1, 2)
    assert kernel.state_hash() == before
    kernel.process(cancel(1))
    assert (book["order_id"].tolist(), orders["order_id"].tolist()) == ([1, 2], [1, 2])


@pytest.mark.parametrize("seed", range(SEEDS))
def test_views_of_kernel_and_twin_agree_along_a_full_flow(seed: int) -> None:
    pair = Pair(accounts=(), capacity=64, closed_capacity=16)
    flow = flow_full.FullFlow(90_000 + seed)
    pair.process(batch(flow_setting.instruments(), flow_setting.accounts(), flow_setting.first_commands()))
    standings: set[int] = set()
    for number in range(400):
        pair.process(flow.draw(pair.twin))
        if number % 5:
            continue
        for instrument_id in pair.twin.instruments:
            for levels in (None, 2):
                both_books = pair.kernel.book(instrument_id, levels), pair.twin.book(instrument_id, levels)
                assert both_books[0].tolist() == both_books[1].tolist()
        rows = pair.kernel.orders()
        assert rows.tolist() == pair.twin.orders_of().tolist()
        standings |= set(rows["standing"].tolist())
        for account_id, order_id in pair.twin.orders:
            assert pair.kernel.queue_position(account_id, order_id) == pair.twin.queue_position(account_id, order_id)
    assert {Standing.DISPLAYED, Standing.DARK, Standing.WAITING, Standing.PARKED} <= standings
