"""What the kernel does where one of its fixed tables is full: one refusal, nothing lost, room again after a close."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from nautilus.core import COMMAND, CommandKind, EventKind, Kernel, OrderFlag, OrderType, Side, TimeInForce
from tests.kit import builders
from tests.kit.builders import BUY, IOC, batch, market, mass_cancel, new, replace
from tests.kit.pair import levels, reasons, told

FAR_APART = 1 << 23  # no two such prices share a page of the ladder
PRICES = 70_000  # more than there are pages


def resting(count: int, first_id: int = 1, step: int = FAR_APART) -> np.ndarray:
    """Buy orders, each at a price of its own."""
    commands = np.zeros(count, COMMAND)
    commands["kind"] = CommandKind.NEW
    commands["order_id"] = first_id + np.arange(count)
    commands["price_ticks"] = 1 + np.arange(count) * step
    commands["quantity"] = commands["instrument_id"] = commands["account_id"] = 1
    commands["side"], commands["order_type"] = Side.BUY, OrderType.LIMIT
    commands["time_in_force"] = TimeInForce.GTC
    return commands


def opened(**sizes: int) -> Kernel:
    return Kernel(
        instruments=builders.instrument(1),
        accounts=[1, 2],
        huge_pages=False,
        **{"capacity": 1 << 17, "closed_capacity": 1 << 10, **sizes},
    )


def test_orders_at_too_many_distant_prices_are_refused_one_by_one() -> None:
    kernel = opened()
    verdicts = Counter(reasons(kernel.process(resting(PRICES))))
    assert set(verdicts) == {"ACCEPTED", "REJECTED POOL_FULL"}
    assert kernel.open_orders == verdicts["ACCEPTED"]
    bids, _ = levels(kernel, 1)
    assert [price for price, _, _ in bids] == [1 + number * FAR_APART for number in reversed(range(len(bids)))]
    assert reasons(kernel.process(new(1 << 30, BUY, 2, 1))) == ["ACCEPTED"], "a price near another needs no page"
    assert reasons(kernel.process(mass_cancel()))[-1] == "APPLIED"
    assert Counter(reasons(kernel.process(resting(PRICES, 1 << 32)))) == verdicts, "all pages came back"


def test_replace_to_a_price_without_a_page_leaves_the_order_as_it_was() -> None:
    kernel = opened()
    kernel.process(resting(PRICES))
    before, state = levels(kernel, 1), kernel.open_orders
    events = told(kernel.process(replace(1, FAR_APART // 2, 1)))
    assert [(event["kind"], event["reason"]) for event in events] == [("REJECTED", "POOL_FULL")]
    assert (levels(kernel, 1), kernel.open_orders) == (before, state)
    assert reasons(kernel.process(replace(1, 2, 1))) == ["REPLACED"]


def test_immediate_order_needs_no_room_at_all() -> None:
    kernel = opened()
    kernel.process(resting(PRICES))
    events = kernel.process(new(1 << 30, BUY, FAR_APART // 2, 1, time_in_force=IOC))
    assert reasons(events) == ["ACCEPTED", "CANCELLED UNFILLED"]
    count = kernel.open_orders
    sweep = kernel.process(market(1 << 30, Side.SELL, 1 << 20, account_id=2))
    assert Counter(reasons(sweep)) == {"ACCEPTED": 1, "FILLED": count, "CANCELLED UNFILLED": 1}
    assert kernel.open_orders == 0


@pytest.mark.parametrize("capacity", [1, 2, 3, 1_000])
def test_every_order_record_is_used_and_used_again(capacity: int) -> None:
    kernel = opened(capacity=capacity)
    for turn in range(3):
        verdicts = reasons(kernel.process(resting(capacity + 1, 1 + turn * 10_000, step=1)))
        assert verdicts == ["ACCEPTED"] * capacity + ["REJECTED POOL_FULL"]
        assert kernel.process(mass_cancel())["quantity"][-1] == capacity


def test_thousands_of_instruments_and_accounts_walk_in_order() -> None:
    count = 3_000
    ids = [(number * 2_654_435_761) % (1 << 32) or 1 for number in range(1, count + 1)]
    defined = np.zeros(count, COMMAND)
    defined["kind"], defined["quantity"], defined["instrument_id"] = CommandKind.INSTRUMENT, 1, ids
    kernel = Kernel(instruments=defined, accounts=ids, capacity=count, closed_capacity=2, huge_pages=False)
    orders = resting(count, step=0)
    orders["instrument_id"], orders["account_id"] = ids, ids[::-1]
    assert set(reasons(kernel.process(orders))) == {"ACCEPTED"}
    restored = Kernel(accounts=(), capacity=1, closed_capacity=1, huge_pages=False)
    restored.restore(kernel.snapshot())
    for each in (kernel, restored):
        events = each.process(mass_cancel())
        assert events["instrument_id"][:-1].tolist() == sorted(ids)
    assert restored.state_hash() == kernel.state_hash()


def test_events_of_one_command_beyond_any_estimate_are_all_returned() -> None:
    kernel = opened()
    kernel.process(resting(50_000, step=1))
    events = kernel.process(batch(mass_cancel(), new(1 << 30, BUY, 1, 1)))
    assert len(events) == 50_002
    assert np.array_equal(np.diff(events["sequence"]), np.ones(50_001))


def test_a_small_kernel_tells_all_of_an_order_that_meets_an_iceberg_a_million_times() -> None:
    """Events of one command are bounded by 2^19 parts that icebergs show, not by the number of orders."""
    kernel = opened(capacity=8)
    grouped = {"flags": OrderFlag.GROUP_OUO, "group_id": 3}
    kernel.process(batch(new(1, BUY, 100, 1 << 24, display_quantity=1, **grouped), new(2, BUY, 90, 1 << 24, **grouped)))
    lots = (1 << 20) + 5
    taken = market(3, Side.SELL, lots, account_id=2)
    events = kernel.process(taken)
    kinds = Counter(events["kind"].tolist())
    assert (kinds[EventKind.REPLENISHED], kinds[EventKind.REPLACED]) == ((1 << 19) + 1, kinds[EventKind.FILLED])
    assert events["quantity"][events["kind"] == EventKind.FILLED].sum() == lots
    assert np.diff(events["sequence"]).tolist() == [1] * (len(events) - 1)
    assert kernel.orders()["leaves_quantity"].tolist() == [(1 << 24) - lots] * 2
