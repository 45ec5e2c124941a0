"""Whole lots against every combination there is, and what no answer may break."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths.errors import Undefined
from nautilus.maths.whole_lots import nearest_lots


def left(lots, held, prices, worth, cash, cost):
    moved = lots - held
    return cash - float(moved @ prices) - float(np.abs(moved) @ worth) * cost


@given(
    st.integers(1, 3),
    st.integers(0, 2**32 - 1),
    st.floats(0.0, 0.01),
    st.floats(0.0, 0.2),
)
def test_no_combination_of_few_lots_is_nearer(n, seed, cost, reserve):
    rng = np.random.default_rng(seed)
    worth = rng.uniform(20, 200, n)
    targets = rng.dirichlet(np.ones(n)) * rng.uniform(0.3, 1.1)
    held = rng.integers(0, 8, n)
    smallest = rng.integers(1, 3, n)
    value = float(held @ worth) + 500.0
    keep = reserve * 500.0
    plan = nearest_lots(targets, held, worth, worth, smallest, value, 500.0, keep, cost)

    def miss(lots):
        return float(np.sum((lots * worth / value - targets) ** 2))

    def allowed(lots):
        moved = np.abs(lots - held)
        enough = left(lots, held, worth, worth, 500.0, cost) >= keep - 1e-9
        return enough and bool(np.all((moved == 0) | (moved >= smallest) | (lots == 0)))

    assert allowed(plan.lots)
    assert plan.cash == pytest.approx(left(plan.lots, held, worth, worth, 500.0, cost))
    assert plan.miss_after == pytest.approx(np.sqrt(miss(plan.lots)))
    # No better by one lot, or by an exchange of two.
    ways = [
        np.array(step)
        for step in product((-1, 0, 1), repeat=n)
        if sum(map(abs, step)) <= 2 and (sum(step) == 0 or sum(map(abs, step)) == 1)
    ]
    for step in ways:
        near = plan.lots + step
        if allowed(near) and np.all(near >= 0):
            assert miss(near) >= miss(plan.lots) - 1e-12
    # And all but the best where everything is looked at: within one lot of each.
    ranges = [range(int(targets[i] * value / worth[i]) + 3 + int(smallest[i])) for i in range(n)]
    best = min((miss(np.array(lots)) for lots in product(*ranges) if allowed(np.array(lots))), default=np.inf)
    assert np.sqrt(miss(plan.lots)) <= np.sqrt(best) + float(np.sum(worth / value))


def test_what_fits_is_met_exactly():
    plan = nearest_lots(
        np.array([0.5, 0.3, 0.2]), np.array([0, 0, 0]), np.array([10.0, 10.0, 10.0]), np.array([10.0] * 3),
        np.array([1, 1, 1]), 1_000.0, 1_000.0,
    )  # fmt: skip
    assert plan.lots.tolist() == [50, 30, 20]
    assert (plan.miss_after, plan.cash) == (0.0, 0.0)


def test_sales_pay_for_purchases():
    plan = nearest_lots(
        np.array([0.0, 1.0]),
        np.array([100, 0]),
        np.array([10.0, 7.0]),
        np.array([10.0, 7.0]),
        np.array([1, 1]),
        1e3,
        0.0,
    )
    assert plan.lots.tolist() == [0, 142]
    assert plan.cash == pytest.approx(6.0)


def test_what_would_be_a_small_order_is_none_or_the_smallest():
    fields = {
        "worth": np.array([10.0]),
        "prices": np.array([10.0]),
        "smallest": np.array([5]),
        "value": 1e3,
        "cash": 1e3,
    }
    for target, lots in ((0.03, 5), (0.02, 0), (0.07, 7)):
        assert nearest_lots(np.array([target]), np.array([0]), **fields).lots.tolist() == [lots]
    # A position is closed however small it is.
    assert nearest_lots(np.array([0.0]), np.array([2]), **fields).lots.tolist() == [0]


def test_millions_of_lots_that_cash_does_not_allow_are_given_up_at_once():
    n = 50
    plan = nearest_lots(
        np.full(n, 2.0 / n), np.zeros(n, np.int64), np.full(n, 0.01), np.full(n, 0.01), np.ones(n, np.int64), 1e7, 1e7,
        1e5, 0.001,
    )  # fmt: skip
    assert plan.cash == pytest.approx(1e5, abs=0.1)
    assert np.ptp(plan.lots) <= 1


def test_short_targets_are_held_short_and_pay_cash():
    plan = nearest_lots(
        np.array([-0.5, 1.5]),
        np.array([0, 0]),
        np.array([10.0, 10.0]),
        np.array([10.0, 10.0]),
        np.array([1, 1]),
        1e3,
        1e3,
    )
    assert plan.lots.tolist() == [-50, 150]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"value": 0.0}, "out_of_range"),
        ({"worth": np.array([0.0, 1.0])}, "out_of_range"),
        ({"targets": np.array([np.nan, 1.0])}, "not_finite"),
        ({"held": np.array([1])}, "mismatch"),
        ({"cash": -5_000.0}, "infeasible"),
    ],
)
def test_what_has_no_answer_is_stated(changes, code):
    fields = {
        "targets": np.array([0.5, 0.5]), "held": np.array([1, 1]), "worth": np.array([10.0, 10.0]),
        "prices": np.array([10.0, 10.0]), "smallest": np.array([1, 1]), "value": 1e3, "cash": 1e3,
    }  # fmt: skip
    with pytest.raises(Undefined) as error:
        nearest_lots(**(fields | changes))
    assert error.value.code == code
