"""Prices at the edge of what a ladder holds and far beyond: refused with a reason, asked for without harm."""

from __future__ import annotations

import numpy as np
import pytest

from nautilus.core import BOOK_DELTA, Kernel, OrderType, TimeInForce
from nautilus.core.market import MESSAGE, REPORT, Matcher
from nautilus.core.order_book import OrderBooks
from nautilus.core.types import BookAction, CommandKind, EventKind, Reason, Side
from tests.kit import builders
from tests.kit.builders import batch

FURTHEST = 1 << 40
EDGES = (FURTHEST, -FURTHEST)
BEYOND = tuple(
    sign * price
    for price in (FURTHEST + 1, 1 << 42, (1 << 42) + 1, 1 << 45, 1 << 48, 1 << 62, 2**63 - 1)
    for sign in (1, -1)
)
BEYOND = (*BEYOND, -(2**63))
SIDES = (Side.BUY, Side.SELL)


def messages(count: int, **said: int) -> np.ndarray:
    """As many NEWs of a limit order, ids from 1."""
    rows = np.zeros(count, MESSAGE)
    rows["order_id"] = np.arange(1, count + 1)
    for name, value in {
        "kind": CommandKind.NEW, "quantity": 1, "order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC, **said,
    }.items():  # fmt: skip
        rows[name] = value
    return rows


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("price", BEYOND)
def test_matcher_refuses_a_price_beyond_the_furthest(side: Side, price: int) -> None:
    """In a batch long enough for it to be looked at ahead, on an empty book and on one that has orders."""
    matcher, out = Matcher(), np.zeros(256, REPORT)
    for _ in range(2):
        done, written = matcher.process(messages(64, price=price, side=side), out)
        assert (done, written) == (64, 64)
        assert set(out["kind"][:64]) == {EventKind.REJECTED}
        assert set(out["reason"][:64]) == {Reason.PRICE}
        resting = messages(1, order_id=1000, price=5, side=side)
        matcher.process(resting, out)
        replaced = messages(1, order_id=1000, price=price, kind=CommandKind.REPLACE)
        assert matcher.process(replaced, out) == (1, 1)
        assert (out["kind"][0], out["reason"][0]) == (EventKind.REJECTED, Reason.PRICE)
        assert matcher.levels(0, side) == [(5, 1)]
        assert matcher.depth(0, side, price) == 0
        assert matcher.queue(0, side, price) == []


@pytest.mark.parametrize("side", SIDES)
def test_orders_at_both_edges_stand_in_one_book_and_meet(side: Side) -> None:
    """2^41 apart, and in between: levels, the best one and the order of fills; then all the memory is free again."""
    matcher, out = Matcher(pages=16), np.zeros(256, REPORT)
    prices = [-FURTHEST, -FURTHEST + 1, -5, 0, 3, FURTHEST - 1, FURTHEST]
    for _ in range(50):
        for number, price in enumerate(prices):
            matcher.process(messages(1, order_id=number + 1, price=price, side=side), out)
            assert out["kind"][0] == EventKind.ACCEPTED
        best_first = prices[::-1] if side == Side.BUY else prices
        assert matcher.levels(0, side) == [(price, 1) for price in best_first]
        worst = -FURTHEST if side == Side.BUY else FURTHEST
        sweep = messages(1, order_id=99, price=worst, side=3 - side, quantity=len(prices))
        _done, written = matcher.process(sweep, out)
        assert out["price"][1:written].tolist() == best_first
        assert matcher.open_orders == 0


@pytest.mark.parametrize("price", BEYOND)
def test_books_refuse_a_price_beyond_the_furthest(price: int) -> None:
    books = OrderBooks(pages=64)
    rows = np.zeros(40, BOOK_DELTA)
    rows["order_id"], rows["quantity"], rows["instrument_id"] = np.arange(40), 1, 1
    rows["action"], rows["side"], rows["price_ticks"] = BookAction.ADD, Side.SELL, 7
    rows["price_ticks"][30:] = price
    with pytest.raises(ValueError, match=r"deltas\[30\]: price is out of range"):
        books.apply(rows)
    assert books.best(1)[2:] == (7, 30)
    with pytest.raises(ValueError, match="edge is"):
        OrderBooks(edge=abs(price) if price > -(2**63) else price)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("field", ["price_ticks", "trigger_ticks"])
@pytest.mark.parametrize("price", BEYOND)
def test_kernel_refuses_a_price_beyond_the_furthest(side: Side, field: str, price: int) -> None:
    kernel = Kernel(instruments=batch(builders.instrument(1, negative=True)), accounts=[1])
    said = {"price_ticks": 1, field: price}
    if field == "trigger_ticks":
        said["order_type"] = OrderType.STOP_LIMIT
    commands = batch(*(builders.new(number, side, quantity=1, **said) for number in range(1, 33)))
    events = kernel.process(commands)
    assert set(events["kind"]) == {EventKind.REJECTED}
    assert set(events["reason"]) == {Reason.PRICE}
    assert kernel.open_orders == 0


@pytest.mark.parametrize("price", EDGES)
def test_kernel_takes_orders_and_triggers_at_the_edge(price: int) -> None:
    kernel = Kernel(instruments=batch(builders.instrument(1, negative=True)), accounts=[1, 2])
    side = Side.BUY if price < 0 else Side.SELL
    stop = {"order_type": OrderType.STOP_LIMIT, "trigger_ticks": price}
    kernel.process(batch(builders.new(1, side, price, 3), builders.new(2, 3 - side, -price, 2, **stop)))
    assert [int(order) for order in kernel.orders()["order_id"]] == [1, 2]
    events = kernel.process(builders.new(3, 3 - side, price, 3, account_id=2))
    assert [int(row["price_ticks"]) for row in events if row["kind"] == EventKind.FILLED] == [price]
