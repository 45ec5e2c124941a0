"""Weights beside riskfolio's."""

from __future__ import annotations

import numpy as np
import pytest

from nautilus.maths.hrp import LINKAGES, hierarchical_risk_parity
from nautilus.maths.optimise import (
    Constraints,
    conditional_value_at_risk,
    maximum_sharpe,
    minimum_cvar,
    minimum_variance,
)
from nautilus.maths.risk_parity import risk_parity

rp = pytest.importorskip("riskfolio", reason="riskfolio has no wheel here")
pandas = pytest.importorskip("pandas", reason="pandas has no wheel here")
pytestmark = pytest.mark.filterwarnings("ignore")
N = 15


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(3)
    common = rng.standard_normal((400, 4)) @ rng.standard_normal((4, N)) * 0.01
    return common + rng.standard_normal((400, N)) * 0.01 + 0.0005


@pytest.fixture(scope="module")
def theirs(x):
    found = rp.Portfolio(returns=pandas.DataFrame(x))
    found.assets_stats(method_mu="hist", method_cov="hist")
    return found


@pytest.mark.parametrize("method", LINKAGES)
@pytest.mark.parametrize(("order", "turned"), [("merge", False), ("branch", True)])
def test_hierarchical_risk_parity_is_that_of_riskfolio(x, method, order, turned):
    model = rp.HCPortfolio(returns=pandas.DataFrame(x))
    weights = model.optimization(
        model="HRP", codependence="pearson", rm="MV", linkage=method, leaf_order=turned
    ).weights
    ours = hierarchical_risk_parity(np.cov(x.T), method, order).weights
    assert ours == pytest.approx(weights.to_numpy(), abs=1e-12)


def test_risk_parity_is_that_of_riskfolio(x, theirs):
    weights = theirs.rp_optimization(model="Classic", rm="MV", rf=0).weights.to_numpy()
    assert risk_parity(np.cov(x.T)).weights == pytest.approx(weights, abs=1e-3)


def test_optima_are_those_of_riskfolio(x, theirs):
    cov, mean, limits = np.cov(x.T), x.mean(axis=0), Constraints.long_only(N)
    for rm, aim, ours, objective in (
        ("MV", "MinRisk", minimum_variance(cov, limits), lambda w: w @ cov @ w),
        ("CVaR", "MinRisk", minimum_cvar(x, 0.95, limits), lambda w: conditional_value_at_risk(x @ w, 0.95)),
        ("MV", "Sharpe", maximum_sharpe(mean, cov, 0.0, limits), lambda w: mean @ w / np.sqrt(w @ cov @ w)),
    ):
        weights = theirs.optimization(model="Classic", rm=rm, obj=aim, rf=0).weights.to_numpy()
        assert ours.weights == pytest.approx(weights, abs=1e-3), (rm, aim)
        assert ours.objective == pytest.approx(objective(weights), abs=1e-6), (rm, aim)
