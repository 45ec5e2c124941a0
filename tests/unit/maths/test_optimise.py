"""Optimised weights against skfolio's, against the conditions that an optimum meets, and where there is none."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nautilus.maths.errors import Undefined
from nautilus.maths.optimise import (
    Constraints,
    conditional_value_at_risk,
    maximum_sharpe,
    mean_variance,
    minimum_cvar,
    minimum_variance,
)
from nautilus.maths.quadratic import DenseProgram, solve

skfolio = pytest.importorskip("skfolio", reason="skfolio has no wheel here")
pytestmark = pytest.mark.filterwarnings("ignore")


def returns(n: int = 12, count: int = 500, seed: int = 1) -> np.ndarray:
    """A three-factor market with fat tails."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((count, 3)) @ rng.standard_normal((3, n)) * 0.006
    return common + rng.standard_t(5, (count, n)) * 0.008 + rng.uniform(0, 0.002, n)


@cache
def their_weights(measure: str, objective: str, **fields: float) -> np.ndarray:
    from skfolio import RiskMeasure
    from skfolio.optimization import MeanRisk, ObjectiveFunction

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MeanRisk(
            risk_measure=RiskMeasure[measure],
            objective_function=ObjectiveFunction[objective],
            solver="CLARABEL",
            solver_params={"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12},
            **fields,
        )
        found: np.ndarray = model.fit(returns()).weights_
    return found


BOXES = [{}, {"min_weights": 0.02, "max_weights": 0.2}, {"min_weights": -0.2, "max_weights": 0.5}]


def box(fields: dict[str, float]) -> Constraints:
    return Constraints(np.full(12, fields.get("min_weights", 0.0)), np.full(12, fields.get("max_weights", 1.0)))


@pytest.mark.parametrize("fields", BOXES)
def test_minimum_variance_is_that_of_skfolio(fields):
    x = returns()
    cov = np.cov(x.T)
    ours, theirs = minimum_variance(cov, box(fields)), their_weights("VARIANCE", "MINIMIZE_RISK", **fields)
    assert np.abs(ours.weights - theirs).max() < 1e-3
    assert ours.objective == pytest.approx(theirs @ cov @ theirs, abs=1e-6, rel=1e-6)
    assert ours.objective <= theirs @ cov @ theirs * (1 + 1e-9)


@pytest.mark.parametrize("fields", BOXES)
def test_maximum_sharpe_is_that_of_skfolio(fields):
    x = returns()
    mean, cov = x.mean(axis=0), np.cov(x.T)
    ours, theirs = maximum_sharpe(mean, cov, 0.0, box(fields)), their_weights("VARIANCE", "MAXIMIZE_RATIO", **fields)
    ratio = mean @ theirs / np.sqrt(theirs @ cov @ theirs)
    assert np.abs(ours.weights - theirs).max() < 1e-3
    assert ours.objective == pytest.approx(ratio, abs=1e-6)
    assert ours.objective >= ratio - 1e-9


@pytest.mark.parametrize("fields", BOXES)
def test_utility_is_that_of_skfolio(fields):
    x = returns()
    mean, cov = x.mean(axis=0), np.cov(x.T)
    theirs = their_weights("VARIANCE", "MAXIMIZE_UTILITY", risk_aversion=3.0, **fields)
    ours = mean_variance(mean, cov, 3.0, box(fields))
    assert np.abs(ours.weights - theirs).max() < 1e-3
    assert ours.objective == pytest.approx(mean @ theirs - 3.0 * theirs @ cov @ theirs, abs=1e-6)


@pytest.mark.parametrize("fields", BOXES)
def test_minimum_cvar_is_that_of_skfolio(fields):
    x = returns()
    ours, theirs = minimum_cvar(x, 0.95, box(fields)), their_weights("CVAR", "MINIMIZE_RISK", **fields)
    assert np.abs(ours.weights - theirs).max() < 1e-3
    assert ours.objective == pytest.approx(conditional_value_at_risk(x @ theirs, 0.95), abs=1e-6)
    assert ours.objective <= conditional_value_at_risk(x @ theirs, 0.95) + 1e-9


def test_groups_turnover_and_gross_exposure_hold():
    x = returns()
    mean, cov = x.mean(axis=0), np.cov(x.T)
    groups = np.zeros((2, 12))
    groups[0, :6] = groups[1, 6:] = 1.0
    held = np.full(12, 1 / 12)
    limits = Constraints(
        np.full(12, -0.1),
        np.full(12, 0.3),
        groups=groups,
        group_lower=np.array([0.45, -np.inf]),
        group_upper=np.array([np.inf, 0.5]),
        previous=held,
        turnover=0.5,
        gross=1.2,
    )
    for found in (
        minimum_variance(cov, limits),
        maximum_sharpe(mean, cov, 0.0, limits),
        mean_variance(mean, cov, 5.0, limits),
        minimum_cvar(x, 0.9, limits),
    ):
        w = found.weights
        assert w.sum() == pytest.approx(1.0, abs=1e-8)
        assert w.min() >= -0.1 - 1e-8
        assert w.max() <= 0.3 + 1e-8
        assert w[:6].sum() >= 0.45 - 1e-8
        assert w[6:].sum() <= 0.5 + 1e-8
        assert np.abs(w - held).sum() <= 0.5 + 1e-7
        assert np.abs(w).sum() <= 1.2 + 1e-7


def test_gross_exposure_and_turnover_bind_as_in_skfolio():
    x = returns()
    held = np.full(12, 1 / 12)
    from skfolio.optimization import MeanRisk

    theirs = (
        MeanRisk(min_weights=0.0, max_turnover=0.02, previous_weights=held, solver_params={"tol_gap_abs": 1e-12})
        .fit(x)
        .weights_
    )
    # Theirs is of each weight.
    cov = np.cov(x.T)
    lower, upper = np.maximum(held - 0.02, 0), held + 0.02
    assert np.abs(minimum_variance(cov, Constraints(lower, upper)).weights - theirs).max() < 1e-3


NEAR = 1e-5
"""A weight so near to a bound is at it: the interior point stops short of it by the gap over the bound's price."""


def conditions(matrix: np.ndarray, w: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    """How far w is from what an optimum meets: one price for every weight that is not at a bound."""
    slope = 2 * matrix @ w
    free = (w > lower + NEAR) & (w < upper - NEAR)
    if not free.any():
        return 0.0
    price = slope[free].mean()
    wrong = [np.abs(slope[free] - price).max()]
    wrong += [np.maximum(price - slope[(w <= lower + NEAR)], 0).max(initial=0.0)]
    wrong += [np.maximum(slope[(w >= upper - NEAR)] - price, 0).max(initial=0.0)]
    return float(max(wrong)) / float(np.abs(slope).max())


@given(st.integers(2, 25), st.integers(0, 2**32 - 1))
@example(22, 1106979)  # a corrector that is not held back goes round in a circle here
@example(21, 40)
@example(20, 88604)
def test_minimum_variance_meets_the_conditions_of_an_optimum(n, seed):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((n + 5, n)) * rng.uniform(0.1, 3.0, n)
    cov = root.T @ root * 10.0 ** rng.uniform(-8, 4)
    lower, upper = rng.uniform(-0.2, 1 / n, n), rng.uniform(1 / n, 1.0, n)
    found = minimum_variance(cov, Constraints(lower, upper))
    assert found.weights.sum() == pytest.approx(1.0, abs=1e-9)
    assert np.all(found.weights >= lower - 1e-8)
    assert np.all(found.weights <= upper + 1e-8)
    assert conditions(cov, found.weights, lower, upper) < 1e-4


@given(st.integers(1, 6), st.integers(3, 40), st.floats(0.05, 0.97), st.integers(0, 2**32 - 1))
@example(1, 3, 0.666015625, 3)  # one weight: its bounds leave no inside
def test_cvar_is_not_improved_by_any_small_move(n, count, beta, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, n)) * 0.02
    found = minimum_cvar(x, beta, Constraints.long_only(n))
    best = conditional_value_at_risk(x @ found.weights, beta)
    for _ in range(30):
        w = np.maximum(found.weights + rng.standard_normal(n) * 0.05, 0)
        w /= w.sum() or 1.0
        if w.sum():
            assert conditional_value_at_risk(x @ w, beta) >= best - 1e-9


def test_a_weight_that_is_held_where_it_is_stays():
    cov = np.cov(returns().T)
    lower, upper = np.zeros(12), np.ones(12)
    lower[3] = upper[3] = 0.25
    assert minimum_variance(cov, Constraints(lower, upper)).weights[3] == pytest.approx(0.25, abs=1e-9)


def test_constraints_without_any_room_are_met():
    x = returns()
    mean, cov = x.mean(axis=0), np.cov(x.T)
    held = np.linspace(1, 2, 12) / 18
    group = np.zeros((1, 12))
    group[0, :4] = 1.0
    bound = np.array([0.3])
    wide = (np.full(12, -1.0), np.ones(12))
    rooms = {
        "turnover": Constraints(*wide, previous=held, turnover=0.0),
        "gross": Constraints(*wide, gross=1.0),
        "group": Constraints(*wide, groups=group, group_lower=bound, group_upper=bound),
        "lower": Constraints(held, np.ones(12)),
        "upper": Constraints(np.zeros(12), held),
    }
    for name, limits in rooms.items():
        for found in (
            minimum_variance(cov, limits),
            maximum_sharpe(mean, cov, 0.0, limits),
            mean_variance(mean, cov, 2.0, limits),
            minimum_cvar(x, 0.9, limits),
        ):
            assert found.weights.sum() == pytest.approx(1.0, abs=1e-8)
            if name == "gross":
                assert found.weights.min() >= -1e-8
            elif name == "group":
                assert found.weights[:4].sum() == pytest.approx(0.3, abs=1e-8)
            else:
                assert found.weights == pytest.approx(held, abs=1e-8)
    long = minimum_variance(cov, Constraints.long_only(12))
    assert minimum_variance(cov, rooms["gross"]).weights == pytest.approx(long.weights, abs=1e-6)


@pytest.mark.parametrize(
    "limits",
    [
        Constraints(np.zeros(12), np.full(12, 0.05)),
        Constraints(np.full(12, -1.0), np.ones(12), gross=0.9),
        Constraints(np.zeros(12), np.ones(12), previous=np.eye(12)[0], turnover=0.1, groups=np.eye(12)[1:2],
                    group_lower=np.array([0.5])),
    ],
)  # fmt: skip
def test_constraints_that_cannot_hold_are_infeasible(limits):
    x = returns()
    mean, cov = x.mean(axis=0), np.cov(x.T)
    for attempt in (
        lambda: minimum_variance(cov, limits),
        lambda: maximum_sharpe(mean, cov, 0.0, limits),
        lambda: mean_variance(mean, cov, 1.0, limits),
        lambda: minimum_cvar(x, 0.95, limits),
    ):
        with pytest.raises(Undefined) as error:
            attempt()
        assert error.value.code == "infeasible"


def test_no_excess_return_has_no_best_ratio():
    x = returns()
    with pytest.raises(Undefined, match="largest return") as error:
        maximum_sharpe(x.mean(axis=0), np.cov(x.T), 0.1, Constraints.long_only(12))
    assert error.value.code == "infeasible"


def test_a_singular_covariance_is_stated():
    x = returns(30, 20)
    with pytest.raises(Undefined, match="rank 19 of 30") as error:
        minimum_variance(np.cov(x.T), Constraints.long_only(30))
    assert error.value.code == "singular"
    # Scenarios need no inverse.
    assert minimum_cvar(x, 0.9, Constraints.long_only(30)).weights.sum() == pytest.approx(1.0)


def test_what_is_no_covariance_is_stated():
    good = np.cov(returns().T)
    for bad, code in (
        (np.where(np.eye(12) > 0, np.nan, good), "not_finite"),
        (good[:5], "mismatch"),
        (good + np.triu(np.full((12, 12), 1e-4), 1), "mismatch"),
        (good * (1 - np.eye(12)[0])[:, None] * (1 - np.eye(12)[0]), "constant"),
    ):
        with pytest.raises(Undefined) as error:
            minimum_variance(bad, Constraints.long_only(12))
        assert error.value.code == code
    with pytest.raises(Undefined) as error:
        minimum_cvar(np.full((10, 2), np.nan), 0.95, Constraints.long_only(2))
    assert error.value.code == "not_finite"
    with pytest.raises(Undefined) as error:
        Constraints(np.zeros(0), np.zeros(0))
    assert error.value.code == "empty"


def test_an_unbounded_program_has_no_solution():
    with pytest.raises(Undefined) as error:
        solve(DenseProgram(np.zeros((1, 1)), np.array([-1.0]), lower=np.array([0.0])))
    assert error.value.code == "out_of_range"


@given(st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_a_program_of_equations_alone_is_its_linear_system(n, seed):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((n, n)) + 3 * np.eye(n)
    p, q, a = root.T @ root, rng.standard_normal(n), rng.standard_normal((1, n))
    found = solve(DenseProgram(p, q, a, np.array([1.0])))
    assert a @ found.x == pytest.approx([1.0], abs=1e-7)
    whole = np.block([[p, a.T], [a, np.zeros((1, 1))]])
    assert found.x == pytest.approx(np.linalg.solve(whole, np.concatenate([-q, [1.0]]))[:n], abs=1e-6)
