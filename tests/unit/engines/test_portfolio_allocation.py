"""Rebalancing and optimising through the engine."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nautilus.engines.base import Work
from nautilus.maths.errors import Undefined
from nautilus.maths.optimise import Constraints, minimum_variance
from nautilus.model.allocation import Optimise, OptimiseMethod, Rebalance
from nautilus.model.enums import Priority, Side
from nautilus.model.errors import ModelError, UnknownPortfolioError, UnknownSeriesError
from nautilus.model.events import InstrumentSplit
from nautilus.model.history import PutHistory, SeriesKind
from nautilus.model.portfolio import ActionKind, ApplyAction, BookCash
from nautilus.model.signals import RebalanceRequested
from nautilus.runtime.worker import pack, unpack
from tests.unit.engines.test_portfolio_values import Desk

DAY = 86_400_000_000_000


class AllocationDesk(Desk):
    """Does work where it is asked for, as the lock-step host does; arguments go as to another process."""

    def ask(self, message):
        reply = super().ask(message)
        if isinstance(reply, Work):
            arguments = unpack(pack(reply.arguments))
            found = unpack(pack(reply.job(*arguments)))
            return found if reply.finish is None else reply.finish(found)
        return reply


@pytest.fixture
def desk():
    desk = AllocationDesk()
    desk.ask(BookCash(7, "a", "USD", "10000"))
    desk.quote(1, 4_990, 5_010)
    desk.quote(2, 1_995, 2_005)
    desk.quote(4, 9_990, 10_010)
    desk.quote(3, 11_000, 11_000)
    return desk


def test_weights_become_orders_in_whole_lots_sells_first(desk):
    desk.fill(1, Side.BUY, 100, 5_000)
    desk.ctx.published.clear()
    answer = desk.ask(Rebalance(7, {"ABC": 0.2, "XYZ": 0.5}, priority=Priority.URGENT, action="drift"))
    assert [(order.symbol, order.side) for order in answer.orders] == [("ABC", "SELL"), ("XYZ", "BUY")]
    sell, buy = answer.orders
    assert sell.lots == 60
    assert buy.lots == round(0.5 * answer.value / (20 * 1.1))
    assert (sell.price, sell.quantity) == ("50", "60")
    assert answer.tracking_error_after < 0.002 < answer.tracking_error_before
    assert answer.published
    [event] = desk.published(RebalanceRequested)
    assert (event.portfolio_id, event.action, event.instruments) == (7, "drift", (1, 2))
    assert (event.lots, event.priority) == ((-60, buy.lots), Priority.URGENT)
    assert event.target_allocation == (0.2, 0.5)


def test_what_is_held_and_not_named_is_sold_unless_it_is_kept(desk):
    desk.fill(1, Side.BUY, 100, 5_000)
    assert [order.side for order in desk.ask(Rebalance(7, {}, publish=False)).orders] == ["SELL"]
    with pytest.raises(Undefined) as error:
        desk.ask(Rebalance(7, {}, keep=True))
    assert error.value.code == "empty"
    assert desk.ask(Rebalance(7, {"XYZ": 0.1}, keep=True, publish=False)).orders[0].symbol == "XYZ"
    assert desk.published(RebalanceRequested) == []


def test_cash_reserve_costs_and_the_smallest_order_hold(desk):
    answer = desk.ask(Rebalance(7, {"ABC": 0.7, "XYZ": 0.301}, reserve=0.05, cost_bps=20.0))
    assert answer.cash_after >= 0.05 * answer.value
    assert sum(answer.weights.values()) < 0.95
    small = desk.ask(Rebalance(7, {"ABC": 0.7, "XYZ": 0.01}, min_notional=500.0))
    assert [order.symbol for order in small.orders] == ["ABC"]


def test_margined_instruments_take_no_cash(desk):
    answer = desk.ask(Rebalance(7, {"ABC": 0.99, "PERP": 1.0}))
    assert {order.symbol for order in answer.orders} == {"ABC", "PERP"}
    assert answer.weights["PERP"] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (Rebalance(7, {"EURUSD": float("nan")}), "not_finite"),
        (Rebalance(7, {"ABC": 0.5, "1": 0.5}), "mismatch"),
        (Rebalance(7, {"ABC": 0.5}, reserve=2.0), "out_of_range"),
        (Rebalance(7, {"ABC": 0.5}, cost_bps=-1.0), "out_of_range"),
        (Rebalance(7, {"ABC": 0.5}, value=float("inf")), "out_of_range"),
    ],
)
def test_what_is_no_rebalancing_is_stated(desk, message, code):
    with pytest.raises(Undefined) as error:
        desk.ask(message)
    assert error.value.code == code


def test_nothing_is_rebalanced_without_a_price_a_rate_or_a_portfolio():
    desk = AllocationDesk()
    desk.ask(BookCash(7, "a", "USD", "10000"))
    with pytest.raises(Undefined, match="no quote of ABC"):
        desk.ask(Rebalance(7, {"ABC": 0.5}))
    with pytest.raises(Undefined, match="no rate of EUR"):
        desk.ask(Rebalance(7, {"XYZ": 0.5}, {"XYZ": "20"}))
    assert desk.ask(Rebalance(7, {"ABC": 0.5}, {"ABC": "50"})).orders[0].lots == 100
    with pytest.raises(ModelError):
        desk.ask(Rebalance(7, {"ABC": 0.5}, {"ABC": "-50"}))
    with pytest.raises(UnknownPortfolioError):
        desk.ask(Rebalance(8, {"ABC": 0.5}))
    desk.fill(1, Side.BUY, 10, 5_000)
    with pytest.raises(Undefined, match="no mark or rate of ABC"):
        desk.ask(Rebalance(7, {"ABC": 0.5}, {"ABC": "50"}))


def market(n=4, count=300, seed=5):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, n)) * np.array([0.01, 0.02, 0.015, 0.008])[:n] + 0.0005


NAMES = ("A", "B", "C", "D")


def given_rows(method, **fields):
    rows = tuple(map(tuple, market().tolist()))
    return Optimise(OptimiseMethod(method), NAMES, returns=rows, **fields)


@pytest.mark.parametrize("method", list(OptimiseMethod))
def test_every_method_gives_weights_of_sum_one_and_says_how(method):
    answer = AllocationDesk().ask(given_rows(method, aversion=5.0))
    assert sum(answer.weights.values()) == pytest.approx(1.0, abs=1e-9)
    assert set(answer.weights) == set(NAMES)
    assert min(answer.weights.values()) >= -1e-9
    assert sum(answer.risk.values()) == pytest.approx(1.0)
    assert (answer.basis.window, answer.basis.source) == (300, "request")
    assert "covariance" in answer.basis.method
    assert answer.deviation > 0


def test_constraints_of_a_request_are_those_of_the_weights():
    answer = AllocationDesk().ask(
        given_rows(
            "minimum_variance",
            upper=0.6,
            bounds={"A": (0.1, 0.2)},
            groups={"g": (0.0, 0.3)},
            members={"A": "g", "D": "g"},
            previous={"B": 0.5, "C": 0.5},
            turnover=0.6,
        )
    )
    w = answer.weights
    assert 0.1 - 1e-9 <= w["A"] <= 0.2 + 1e-9
    assert w["A"] + w["D"] <= 0.3 + 1e-9
    assert w["A"] + w["D"] + abs(w["B"] - 0.5) + abs(w["C"] - 0.5) <= 0.6 + 1e-8


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"method": "minimum_variance", "upper": 0.2}, "infeasible"),
        ({"method": "maximum_sharpe", "rate": 0.5}, "infeasible"),
        ({"method": "risk_parity", "upper": 0.2}, "mismatch"),
        ({"method": "hrp", "turnover": 0.5}, "mismatch"),
        ({"method": "hrp", "linkage": "centroid"}, "mismatch"),
        ({"method": "minimum_cvar", "confidence": 1.0}, "out_of_range"),
        ({"method": "mean_variance", "aversion": 0.0}, "out_of_range"),
        ({"method": "minimum_variance", "covariance": "best"}, "out_of_range"),
        ({"method": "minimum_variance", "bounds": {"Z": (0.0, 1.0)}}, "mismatch"),
        ({"method": "minimum_variance", "members": {"A": "g"}}, "mismatch"),
        ({"method": "minimum_variance", "lower": float("nan")}, "not_finite"),
        ({"method": "risk_parity", "budgets": {"A": 1.0}}, "mismatch"),
        ({"method": "maximum_sharpe", "means": (0.1,)}, "mismatch"),
    ],
)
def test_what_has_no_best_weights_is_stated(fields, code):
    with pytest.raises(Undefined) as error:
        AllocationDesk().ask(given_rows(**fields))
    assert error.value.code == code


def rows_of(*rows, names=("A", "B")):
    return Optimise(OptimiseMethod.MINIMUM_VARIANCE, names, returns=rows)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (rows_of((0.1, 0.2)), "too_few"),
        (rows_of((0.1, 0.2), (0.1, 0.3)), "constant"),
        (rows_of((0.1, float("nan")), (0.1, 0.3)), "not_finite"),
        (rows_of((0.1, -1.5), (0.1, 0.3)), "out_of_range"),
        (rows_of((0.1,), (0.1, 0.3)), "mismatch"),
        (rows_of((0.1, 0.2), (0.2, 0.3), names=("A", "A")), "mismatch"),
        (rows_of((0.1, 0.2), (0.2, 0.3)), "singular"),
    ],
)
def test_what_are_no_returns_is_stated(message, code):
    with pytest.raises(Undefined) as error:
        AllocationDesk().ask(message)
    assert error.value.code == code


def put(desk, name, prices, first=0):
    times = tuple((first + day + 1) * DAY for day in range(len(prices)))
    desk.ask(PutHistory(name, times, tuple(prices), SeriesKind.PRICE))


def prices_of(returns, start=100.0):
    return (start * np.cumprod(np.concatenate([[1.0], 1 + returns]))).tolist()


def test_histories_give_the_same_as_their_returns():
    desk, x = AllocationDesk(), market(2)
    for column, name in enumerate(("ABC", "XYZ")):
        put(desk, name, prices_of(x[:, column]))
    answer = desk.ask(Optimise(OptimiseMethod.MINIMUM_VARIANCE, ("ABC", "XYZ")))
    want = minimum_variance(np.cov(x.T), Constraints.long_only(2)).weights
    assert list(answer.weights.values()) == pytest.approx(want.tolist(), abs=1e-6)
    assert (answer.basis.source, answer.basis.window) == ("uploaded", 300)
    part = desk.ask(Optimise(OptimiseMethod.HRP, ("ABC", "XYZ"), begin_ns=100 * DAY, end_ns=201 * DAY))
    assert part.basis.window == 100
    with pytest.raises(UnknownSeriesError):
        desk.ask(Optimise(OptimiseMethod.HRP, ("ABC", "WHO")))
    put(desk, "LATE", [1.0, 2.0], first=1_000)
    with pytest.raises(Undefined) as error:
        desk.ask(Optimise(OptimiseMethod.HRP, ("ABC", "LATE")))
    assert error.value.code == "missing_days"


def test_prices_through_a_split_are_no_return():
    desk, x = AllocationDesk(), market(2)
    whole = [prices_of(x[:, column]) for column in (0, 1)]
    seen = [price if day < 150 else price / 7 for day, price in enumerate(whole[0])]
    put(desk, "ABC", seen)
    put(desk, "XYZ", whole[1])
    question = Optimise(OptimiseMethod.MINIMUM_VARIANCE, ("ABC", "XYZ"))
    with pytest.raises(Undefined, match="as a split would have it") as error:
        desk.ask(question)
    assert error.value.code == "mismatch"
    allowed = desk.ask(Optimise(OptimiseMethod.MINIMUM_VARIANCE, ("ABC", "XYZ"), allow_jumps=True))
    # The split as an action, of the day: the prices before it are divided.
    desk.fill(1, Side.BUY, 10, 5_000)
    desk.ask(ApplyAction("s", ActionKind.SPLIT, "ABC", 7, 1))
    reference = desk.ctx.requests[0][2].reference
    desk.sequence += 1
    report = InstrumentSplit(desk.sequence, 151 * DAY, 0, 0, 1, 0, None, 0, 7, 0, old=1, reference=reference)
    desk.engine.on_report(report, desk.ctx)
    want = minimum_variance(np.cov(x.T), Constraints.long_only(2)).weights
    assert list(desk.ask(question).weights.values()) == pytest.approx(want.tolist(), abs=1e-6)
    assert abs(allowed.weights["ABC"] - want[0]) > 0.05


def test_histories_are_large_parts_of_the_state():
    desk = AllocationDesk()
    put(desk, "ABC", prices_of(market(1)[:, 0]))
    put(desk, "XYZ", prices_of(market(1, seed=6)[:, 0]))
    later = AllocationDesk()
    for name, (_, give) in desk.engine.bulk().items():
        later.engine.restore_bulk(name, give())
    later.engine.restore(json.loads(json.dumps(desk.engine.state())))
    question = Optimise(OptimiseMethod.RISK_PARITY, ("ABC", "XYZ"))
    assert later.ask(question) == desk.ask(question)
