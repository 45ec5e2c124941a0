"""Weights under every constraint at once, beside the same problems written in cvxpy."""

from __future__ import annotations

import numpy as np
import pytest

from nautilus.maths.optimise import Constraints, maximum_sharpe, mean_variance, minimum_cvar, minimum_variance

cp = pytest.importorskip("cvxpy", reason="cvxpy has no wheel here")
pytestmark = pytest.mark.filterwarnings("ignore")
N = 10


def problem(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((250, 3)) @ rng.standard_normal((3, N)) * 0.008 + rng.standard_normal((250, N)) * 0.01
    x += rng.uniform(0.0, 0.002, N)
    groups = np.zeros((2, N))
    groups[0, :4] = groups[1, 4:] = 1.0
    held = rng.dirichlet(np.ones(N))
    limits = Constraints(
        rng.uniform(-0.3, 0.0, N), rng.uniform(0.2, 0.6, N), groups=groups, group_lower=np.array([0.2, -np.inf]),
        group_upper=np.array([0.5, 0.9]), previous=held, turnover=rng.uniform(0.8, 2.0), gross=rng.uniform(1.1, 1.8),
    )  # fmt: skip
    return x, limits


def rules(w, limits, k=1.0):
    """The constraints of weights w / k; k is 1 or an unknown."""
    return [
        cp.sum(w) == k,
        w >= limits.lower * k,
        w <= limits.upper * k,
        limits.groups[0] @ w >= limits.group_lower[0] * k,
        limits.groups @ w <= limits.group_upper * k,
        cp.norm1(w - limits.previous * k) <= limits.turnover * k,
        cp.norm1(w) <= limits.gross * k,
    ]


def solved(aim, constraints):
    found = cp.Problem(cp.Minimize(aim), constraints)
    found.solve(solver=cp.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
    assert found.status in ("optimal", "optimal_inaccurate")


@pytest.mark.parametrize("seed", range(6))
def test_weights_under_every_constraint_are_those_of_a_general_solver(seed):
    x, limits = problem(seed)
    cov, mean = np.cov(x.T), x.mean(axis=0)
    w, k, t = cp.Variable(N), cp.Variable(), cp.Variable()
    risk = cp.quad_form(w, cp.psd_wrap(cov))

    solved(1e4 * risk, rules(w, limits))
    ours = minimum_variance(cov, limits)
    assert ours.weights == pytest.approx(w.value, abs=1e-3)
    assert ours.objective == pytest.approx(w.value @ cov @ w.value, rel=1e-6)

    solved(1e4 * (3.0 * risk - mean @ w), rules(w, limits))
    ours = mean_variance(mean, cov, 3.0, limits)
    assert ours.weights == pytest.approx(w.value, abs=1e-3)
    assert ours.objective == pytest.approx(mean @ w.value - 3.0 * w.value @ cov @ w.value, abs=1e-6)

    solved(risk, [*rules(w, limits, k), k >= 0, mean @ w == 1.0])
    theirs = w.value / k.value
    ours = maximum_sharpe(mean, cov, 0.0, limits)
    assert ours.weights == pytest.approx(theirs, abs=1e-3)
    assert ours.objective == pytest.approx(mean @ theirs / np.sqrt(theirs @ cov @ theirs), abs=1e-6)

    tail = t + cp.sum(cp.pos(-x @ w - t)) / (0.1 * len(x))
    solved(100 * tail, rules(w, limits))
    ours = minimum_cvar(x, 0.9, limits)
    assert ours.weights == pytest.approx(w.value, abs=1e-3)
    assert ours.objective == pytest.approx(tail.value, abs=1e-6)
