"""Risk parity and hierarchical risk parity against skfolio, scipy's trees, and brute force."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths.errors import Undefined
from nautilus.maths.hrp import (
    LINKAGES,
    Merge,
    correlation_distance,
    hierarchical_risk_parity,
    leaves,
    linkage,
    ordered_leaves,
)
from nautilus.maths.risk_parity import risk_parity

sch = pytest.importorskip("scipy.cluster.hierarchy", reason="scipy has no wheel here")
skfolio = pytest.importorskip("skfolio", reason="skfolio has no wheel here")
pytestmark = pytest.mark.filterwarnings("ignore")


def returns(n: int = 15, count: int = 400, seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, 4)) @ rng.standard_normal((4, n)) * 0.01 + rng.standard_normal((count, n)) * 0.01


def distances(n: int, seed: int) -> np.ndarray:
    points = np.random.default_rng(seed).standard_normal((n, 4))
    return np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))


def turnings(merges: list[Merge], cluster: int) -> list[list[int]]:
    """Every order of the leaves that a tree allows."""
    n = len(merges) + 1
    if cluster < n:
        return [[cluster]]
    left = turnings(merges, merges[cluster - n].left)
    right = turnings(merges, merges[cluster - n].right)
    return [a + b for a in left for b in right] + [b + a for a in left for b in right]


@pytest.mark.parametrize("method", LINKAGES)
@pytest.mark.parametrize(("order", "optimal"), [("merge", False), ("branch", True)])
def test_hierarchical_risk_parity_is_that_of_skfolio(method, order, optimal):
    from skfolio.cluster import HierarchicalClustering, LinkageMethod
    from skfolio.optimization import HierarchicalRiskParity
    from skfolio.seriation import HierarchicalSeriation

    clusters = HierarchicalClustering(linkage_method=LinkageMethod(method))
    rows = HierarchicalSeriation(hierarchical_clustering_estimator=clusters, optimal_ordering=optimal)
    x = returns()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = HierarchicalRiskParity(seriation_estimator=rows).fit(x).weights_
    assert hierarchical_risk_parity(np.cov(x.T), method, order).weights == pytest.approx(theirs, abs=1e-12)


@given(st.integers(2, 25), st.sampled_from(LINKAGES), st.integers(0, 2**32 - 1))
def test_trees_and_their_order_are_those_of_scipy(n, method, seed):
    between = distances(n, seed)
    flat = between[np.triu_indices(n, 1)]
    theirs = sch.linkage(flat, method)
    ours = linkage(between, method)
    assert [(merge.left, merge.right, merge.size) for merge in ours] == [
        (int(row[0]), int(row[1]), int(row[3])) for row in theirs
    ]
    assert [merge.distance for merge in ours] == pytest.approx(theirs[:, 2].tolist(), rel=1e-12)
    assert leaves(ours) == sch.leaves_list(theirs).tolist()
    assert ordered_leaves(ours, between, "branch") == sch.leaves_list(sch.optimal_leaf_ordering(theirs, flat)).tolist()


@given(st.integers(2, 8), st.sampled_from(LINKAGES), st.integers(0, 2**32 - 1))
def test_no_turning_of_the_tree_has_nearer_neighbours_than_the_optimal_one(n, method, seed):
    between = distances(n, seed)
    tree = linkage(between, method)

    def total(row: list[int]) -> float:
        return float(sum(between[a, b] for a, b in pairwise(row)))

    found = ordered_leaves(tree, between, "optimal")
    every = turnings(tree, 2 * n - 2)
    assert found in every
    assert total(found) == pytest.approx(min(map(total, every)), rel=1e-12)


def test_a_singular_covariance_is_no_matter_to_the_hierarchy():
    cov = np.cov(returns(30, 10).T)
    weights = hierarchical_risk_parity(cov).weights
    assert weights.sum() == pytest.approx(1.0)
    assert weights.min() > 0


@pytest.mark.parametrize("n", [1, 2])
def test_few_assets_have_a_hierarchy(n):
    cov = np.diag([1.0, 4.0][:n])
    assert hierarchical_risk_parity(cov).weights == pytest.approx([1.0] if n == 1 else [0.8, 0.2])


def test_what_has_no_hierarchy_is_stated():
    with pytest.raises(Undefined) as error:
        hierarchical_risk_parity(np.diag([1.0, 0.0]))
    assert error.value.code == "constant"
    for bad in ({"method": "median"}, {"order": "best"}):
        with pytest.raises(Undefined) as error:
            hierarchical_risk_parity(np.eye(3), **bad)
        assert error.value.code == "mismatch"
    assert correlation_distance(np.array([[1.0, -1.0], [-1.0, 1.0]]))[0, 1] == 1.0


def test_risk_parity_is_that_of_skfolio():
    from skfolio.optimization import RiskBudgeting

    x = returns()
    cov = np.cov(x.T)
    budget = np.linspace(1, 3, 15)
    for wanted in (None, budget / budget.sum()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = RiskBudgeting(risk_budget=wanted).fit(x).weights_
        ours = risk_parity(cov, wanted)
        assert ours.weights == pytest.approx(theirs, abs=1e-3)
        assert ours.contributions == pytest.approx(np.full(15, 1 / 15) if wanted is None else wanted, abs=1e-10)


@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_parts_of_the_risk_are_the_budgets(n, seed):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((n + 3, n)) * 10.0 ** rng.uniform(-3, 2, n)
    budgets = rng.uniform(0.01, 1.0, n)
    found = risk_parity(root.T @ root, budgets)
    assert found.contributions == pytest.approx(budgets / budgets.sum(), abs=1e-8)
    assert found.weights.sum() == pytest.approx(1.0)
    assert found.iterations < 60


def test_what_has_no_parity_is_stated():
    for cov, budgets, code in (
        (np.diag([1.0, 0.0]), None, "constant"),
        (np.eye(2), np.array([1.0, 0.0]), "out_of_range"),
        (np.array([[1.0, -1.0], [-1.0, 1.0]]), None, "singular"),
        (np.full((2, 2), np.nan), None, "not_finite"),
        (np.zeros((0, 0)), None, "empty"),
    ):
        with pytest.raises(Undefined) as error:
            risk_parity(cov, budgets)
        assert error.value.code == code
