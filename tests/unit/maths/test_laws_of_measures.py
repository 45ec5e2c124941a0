"""Laws that measures keep whatever the numbers: of scale, order and translation, of parts and their sum, of bounds."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nautilus.maths
from nautilus.maths import (
    attribution,
    covariance,
    cross_section,
    drawdown_risk,
    factor_attribution,
    factor_risk,
    har,
    hrp,
    linking,
    margin_call,
    optimise,
    portfolio_margin,
    regime,
    risk_parity,
    var,
    var_backtest,
    var_parts,
    volatility,
    vpin,
)
from nautilus.maths.monte_carlo import Paths
from nautilus.maths.normal_paths import normal_numbers, tridiagonal_forms

SOAK = int(os.environ.get("NAUTILUS_SEEDS", "0"))
LEVELS = (0.9, 0.95, 0.99)
laws = settings(max_examples=max(15, 15 * SOAK))
seeds = st.integers(0, 1 << 31)


def _returns(seed: int, *shape: int) -> np.ndarray:
    """With tails, ties and a drift."""
    chance = np.random.default_rng(seed)
    found = 0.01 * chance.standard_t(4, shape) + 0.0005
    return np.where(chance.random(shape) < 0.1, np.round(found, 2), found)


def _covariance(seed: int, size: int) -> np.ndarray:
    found = _returns(seed, 4 * size + 8, size) * np.random.default_rng(seed).uniform(0.3, 3.0, size)
    return covariance.sample(found)


MEASURES = {
    **{f"var-{name}": lambda r, level, name=name: var.historical_var(r, level, name) for name in var.DEFINITIONS},
    **{f"cvar-{name}": lambda r, level, name=name: var.historical_cvar(r, level, name) for name in var.DEFINITIONS},
    "normal-var": var.normal_var,
    "normal-cvar": var.normal_cvar,
    "entropic": var.entropic_var,
}


@pytest.mark.parametrize("name", MEASURES)
@laws
@given(
    seed=seeds, size=st.integers(5, 200), level=st.sampled_from(LEVELS), scale=st.sampled_from((0.5, 3.0, 1e6, 1e-7))
)
def test_a_risk_scales_moves_and_forgets_the_order(name: str, seed: int, size: int, level: float, scale: float) -> None:
    measure, returns = MEASURES[name], _returns(seed, size)
    risk, unit = measure(returns, level), float(np.abs(returns).max())
    assert measure(scale * returns, level) == pytest.approx(scale * risk, rel=1e-9, abs=1e-9 * scale * unit)
    assert measure(returns + 0.02, level) == pytest.approx(risk - 0.02, rel=1e-9, abs=1e-9 * (unit + 0.02))
    shuffled = np.random.default_rng(seed + 1).permutation(returns)
    assert measure(shuffled, level) == pytest.approx(risk, rel=1e-12, abs=1e-12 * unit)


@laws
@given(seed=seeds, size=st.integers(2, 200), level=st.sampled_from(LEVELS))
def test_risks_are_in_their_order(seed: int, size: int, level: float) -> None:
    returns = _returns(seed, size)
    worst, slack = -float(returns.min()), 1e-9 * float(np.abs(returns).max())
    for definition in var.DEFINITIONS:
        at_risk, beyond = (f(returns, level, definition) for f in (var.historical_var, var.historical_cvar))
        assert at_risk <= beyond + slack
        assert beyond <= worst + slack
    entropic = var.entropic_var(returns, level)
    assert var.historical_cvar(returns, level, var.RISKFOLIO) <= entropic + slack
    assert entropic <= worst + slack
    for compounded in (True, False):
        down = drawdown_risk.drawdown_risk(returns, level, compounded)
        assert -1e-12 <= down.average <= down.ulcer + 1e-12
        assert down.at_risk <= down.conditional + 1e-12
        assert down.conditional <= down.entropic + 1e-9
        assert down.entropic <= down.maximum + 1e-9


@laws
@given(seed=seeds, days=st.integers(3, 80), positions=st.integers(1, 6), level=st.sampled_from(LEVELS))
def test_parts_of_a_risk_sum_to_the_risk_of_the_sum(seed: int, days: int, positions: int, level: float) -> None:
    profits = 1e4 * _returns(seed, days, positions)
    for definition in var.DEFINITIONS:
        whole = profits.sum(axis=1)
        part = var_parts.historical_var_parts(profits, level, definition)
        assert part.total == pytest.approx(var.historical_var(whole, level, definition), rel=1e-9, abs=1e-6)
        part = var_parts.historical_cvar_parts(profits, level, definition)
        assert part.total == pytest.approx(var.historical_cvar(whole, level, definition), rel=1e-9, abs=1e-6)
        assert part.total == pytest.approx(float(part.components.sum()), rel=1e-12, abs=1e-9)
    exposures = np.random.default_rng(seed).uniform(-1.0, 1.0, positions)
    matrix = _covariance(seed, positions)
    at_risk, beyond = var_parts.normal_parts(exposures, matrix, None, level)
    quantile = -var._NORMAL.inv_cdf(var.tail_of(level))
    assert at_risk.total == pytest.approx(quantile * float(exposures @ matrix @ exposures) ** 0.5, rel=1e-9)
    assert beyond.total >= at_risk.total


@pytest.mark.parametrize(("method", "chain"), list(product(attribution.METHODS, linking.LINKINGS)))
@laws
@given(seed=seeds, periods=st.integers(1, 30), segments=st.integers(1, 6))
def test_effects_sum_to_the_active_return(method: str, chain: str, seed: int, periods: int, segments: int) -> None:
    chance = np.random.default_rng(seed)
    ours, theirs = (chance.dirichlet(np.ones(segments), periods) for _ in range(2))
    earned, reference = (_returns(seed + at, periods, segments) for at in range(2))
    found = attribution.brinson(ours, earned, theirs, reference, method=method, linking=chain)
    effects = found.allocation + found.selection + found.interaction
    active = found.portfolio_returns - found.benchmark_returns
    if method == "brinson-fachler":
        assert effects.sum(axis=1) == pytest.approx(active, abs=1e-14)
    assert abs(found.residual) < 1e-12
    assert abs(attribution.geometric_brinson(ours, earned, theirs, reference).residual) < 1e-12


@laws
@given(seed=seeds, periods=st.integers(1, 40), factors=st.integers(1, 4))
def test_factor_contributions_sum_to_the_compounded_return(seed: int, periods: int, factors: int) -> None:
    loads, moves = _returns(seed, periods, factors) * 100.0, _returns(seed + 1, periods, factors)
    total = _returns(seed + 2, periods)
    assert abs(factor_attribution.factor_attribution(loads, moves, total).residual) < 1e-12
    found = factor_risk.linked(total, loads * moves)
    assert found.linked.sum() + found.linked_specific == pytest.approx(found.compounded, abs=1e-12)


@laws
@given(seed=seeds, stocks=st.integers(1, 8))
def test_parts_of_a_portfolio_sum_to_its_risk(seed: int, stocks: int) -> None:
    chance = np.random.default_rng(seed)
    exposures, specific = chance.normal(size=(stocks, 3)), chance.uniform(0.01, 0.03, stocks)
    found = factor_risk.portfolio_risk(chance.normal(size=stocks), exposures, _covariance(seed, 3), specific)
    assert found.contributions.sum() + found.specific_contribution == pytest.approx(found.total, rel=1e-10)
    assert found.total**2 == pytest.approx(found.factor**2 + found.specific**2, rel=1e-10)


@laws
@given(seed=seeds, assets=st.integers(1, 12), method=st.sampled_from(hrp.LINKAGES), order=st.sampled_from(hrp.ORDERS))
def test_hierarchical_weights_are_a_portfolio_at_any_scale(seed: int, assets: int, method: str, order: str) -> None:
    matrix = _covariance(seed, assets)
    found = hrp.hierarchical_risk_parity(matrix, method, order)
    assert found.weights.min() >= 0.0
    assert found.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert sorted(found.order) == list(range(assets))
    assert np.array_equal(hrp.hierarchical_risk_parity(4.0 * matrix, method, order).weights, found.weights)


@laws
@given(seed=seeds, assets=st.integers(1, 12))
def test_risk_parity_gives_each_its_budget(seed: int, assets: int) -> None:
    matrix, budgets = _covariance(seed, assets), np.random.default_rng(seed).uniform(0.1, 1.0, assets)
    for wanted in (None, budgets):
        found = risk_parity.risk_parity(matrix, wanted)
        shares = found.weights * (matrix @ found.weights) / (found.weights @ matrix @ found.weights)
        assert shares == pytest.approx(np.full(assets, 1.0 / assets) if wanted is None else budgets / budgets.sum())
        assert found.weights.min() > 0.0


@laws
@given(seed=seeds, assets=st.integers(2, 6))
def test_no_portfolio_is_better_than_the_best(seed: int, assets: int) -> None:
    matrix, returns = _covariance(seed, assets), _returns(seed, 40, assets)
    limits = optimise.Constraints.long_only(assets)
    least, tail = optimise.minimum_variance(matrix, limits), optimise.minimum_cvar(returns, 0.9, limits)
    for weights in np.random.default_rng(seed).dirichlet(np.ones(assets), 30):
        assert weights @ matrix @ weights >= least.objective * (1.0 - 1e-7)
        assert optimise.conditional_value_at_risk(returns @ weights, 0.9) >= tail.objective - 1e-8


@laws
@given(seed=seeds, periods=st.integers(3, 60), width=st.integers(1, 8))
def test_covariances_are_positive_and_scale(seed: int, periods: int, width: int) -> None:
    returns = _returns(seed, periods, width) * np.random.default_rng(seed).uniform(0.1, 5.0, width)
    for method in covariance.METHODS:
        found = covariance.estimate(returns, method, half_life=9.0)
        values = np.linalg.eigvalsh(found.matrix)
        assert values[0] >= -1e-12 * values[-1]
        assert 0.0 <= found.shrinkage <= 1.0
        assert np.array_equal(found.matrix, found.matrix.T)
        larger = covariance.estimate(8.0 * returns, method, half_life=9.0)
        assert larger.matrix == pytest.approx(64.0 * found.matrix, rel=1e-9, abs=1e-12)
    plain = covariance.sample(returns, 0)
    for shrink in (covariance.ledoit_wolf, covariance.ledoit_wolf_constant_correlation):
        assert np.trace(shrink(returns)[0]) == pytest.approx(np.trace(plain), rel=1e-10)
    for lags in range(min(periods, 6)):
        values = np.linalg.eigvalsh(covariance.newey_west(returns, lags, half_life=5.0))
        assert values[0] >= -1e-12 * max(values[-1], 1e-300)


@laws
@given(seed=seeds, stocks=st.integers(1, 40), share=st.sampled_from((0.0, 0.05, 0.25, 0.5)))
def test_a_cross_section_is_cut_at_its_quantiles_and_keeps_its_order(seed: int, stocks: int, share: float) -> None:
    row = _returns(seed, stocks)
    found = cross_section.winsorized(row, share)
    low, high = np.quantile(row, [share, 1.0 - share])
    assert found == pytest.approx(np.clip(row, low, high), abs=1e-15)
    assert (np.diff(found[np.argsort(row, kind="stable")]) >= 0.0).all()
    if share == 0.0:
        assert np.array_equal(found, row)
    if len(set(row.tolist())) > 1:
        scores = cross_section.standardized(row)
        assert scores.mean() == pytest.approx(0.0, abs=1e-12)
        assert scores.std(ddof=1) == pytest.approx(1.0)
        assert cross_section.standardized(3.0 * row - 7.0) == pytest.approx(scores, abs=1e-8)


@laws
@given(seed=seeds, size=st.integers(1, 120), decay=st.floats(0.5, 0.99))
def test_the_recursion_of_a_weighted_variance_is_its_sum(seed: int, size: int, decay: float) -> None:
    returns = _returns(seed, size) + 0.0001
    found = volatility.ewma(returns, decay, scale=1.0)
    squares = returns**2
    first = squares[: volatility.BACKCAST_POINTS]
    weights = decay ** np.arange(len(first))
    ages = size - 1.0 - np.arange(size)
    wanted = (1.0 - decay) * float(decay**ages @ squares) + decay**size * float(weights @ first / weights.sum())
    assert found.forecast_variances[0] == pytest.approx(wanted, rel=1e-10)


@laws
@given(seed=seeds, size=st.integers(40, 90))
def test_the_residuals_of_a_regression_tell_nothing_of_its_means(seed: int, size: int) -> None:
    measures = np.exp(np.random.default_rng(seed).normal(0.0, 0.3, size))
    found = har.har(measures, spans=(1, 4, 9), horizon=1, lags=3)
    means = [np.array([measures[t - span : t].mean() for t in range(9, size)]) for span in (1, 4, 9)]
    design = np.column_stack([np.ones(size - 9), *means])
    assert design.T @ found.residuals == pytest.approx(np.zeros(4), abs=1e-9)
    ahead = found.constant + found.coefficients @ [measures[-span:].mean() for span in (1, 4, 9)]
    assert found.forecasts[0] == pytest.approx(ahead, rel=1e-10)


@settings(max_examples=max(4, 4 * SOAK))
@given(seed=seeds, states=st.sampled_from(regime.STATES))
def test_regimes_are_probabilities_at_any_unit(seed: int, states: int) -> None:
    chance = np.random.default_rng(seed)
    returns = chance.normal(size=120) * np.repeat(chance.permutation([1.0, 6.0, 2.0, 9.0]), 30)
    found = regime.detect_regimes(returns, states)
    for rows in (found.filtered, found.smoothed, found.model.transition, found.model.start[None]):
        assert rows.sum(axis=1) == pytest.approx(np.ones(len(rows)), abs=1e-9)
        assert rows.min() >= 0.0
    assert (np.diff(found.model.variances) >= 0.0).all()
    moved = regime.detect_regimes(0.25 * returns + 2.0, states)
    assert moved.model.means == pytest.approx(0.25 * found.model.means + 2.0, abs=1e-3)
    assert moved.model.log_likelihood == pytest.approx(found.model.log_likelihood - 120 * np.log(0.25), abs=1e-2)


@laws
@given(seed=seeds, positions=st.integers(1, 5), share=st.floats(0.05, 1.0))
def test_a_cut_frees_enough_at_the_least_cost(seed: int, positions: int, share: float) -> None:
    chance = np.random.default_rng(seed)
    relief, cost = chance.uniform(0.5, 5.0, positions), chance.uniform(0.1, 2.0, positions)
    lots = chance.integers(1, 5, positions)
    shortfall = share * float(relief @ lots)
    found = margin_call.cheapest_cut(relief, cost, lots, shortfall)
    assert relief @ found >= shortfall * (1.0 - 1e-8)
    every = np.array(list(product(*(range(count + 1) for count in lots))), np.float64)
    enough = every[every @ relief >= shortfall * (1.0 - 1e-9)]
    assert cost @ found <= (enough @ cost).min() + 1e-9


@laws
@given(
    excess=st.floats(0.1, 5.0),
    drift=st.integers(-300, 300).map(lambda hundredths: hundredths / 100.0),
    deviation=st.floats(0.05, 3.0),
    horizon=st.floats(0.01, 4.0),
)
def test_a_call_becomes_more_probable_with_time(excess: float, drift: float, deviation: float, horizon: float) -> None:
    found = margin_call.first_passage(excess, drift, deviation, horizon)
    later = margin_call.passage_probability(excess, drift, deviation, 2.0 * horizon)
    assert 0.0 <= found.probability <= later + 1e-12
    assert later <= found.ever + 1e-12 <= 1.0 + 1e-12
    if found.median is not None:
        assert margin_call.passage_probability(excess, drift, deviation, found.median) == pytest.approx(0.5, abs=1e-6)


@laws
@given(seed=seeds, classes=st.integers(1, 6), offset=st.floats(0.0, 1.0))
def test_a_group_never_requires_more_than_its_classes(seed: int, classes: int, offset: float) -> None:
    chance = np.random.default_rng(seed)
    gains, least = chance.normal(0.0, 100.0, (classes, 10)), chance.uniform(0.0, 20.0, classes)
    alone = portfolio_margin.class_requirement(gains, least)
    group = np.zeros(classes, np.int64)
    together = portfolio_margin.group_requirement(gains, least, group, 1, offset)[0]
    assert least.sum() - 1e-9 <= together <= alone.sum() + 1e-9
    assert portfolio_margin.group_requirement(gains, least, group, 1, 0.0)[0] >= together - 1e-9


@laws
@given(seed=seeds, trades=st.integers(20, 200), bucket=st.integers(1, 40), scale=st.sampled_from((2, 7, 1000)))
def test_the_toxicity_of_trades_is_a_share_at_any_size_of_a_lot(
    seed: int, trades: int, bucket: int, scale: int
) -> None:
    chance = np.random.default_rng(seed)
    lots, sides = chance.integers(1, 20, trades), chance.integers(1, 3, trades)
    times, ticks = np.arange(trades), 100 + np.cumsum(chance.integers(-1, 2, trades))
    window = max(1, min(5, int(lots.sum()) // bucket))
    if int(lots.sum()) // bucket < window:
        return
    found = vpin.vpin_of_trades(times, ticks, lots, sides, bucket_lots=bucket, window=window)
    assert ((found.vpin >= 0.0) & (found.vpin <= 1.0)).all()
    assert ((found.buy_volume >= 0) & (found.buy_volume <= found.volume)).all()
    larger = vpin.vpin_of_trades(times, ticks, scale * lots, sides, bucket_lots=scale * bucket, window=window)
    assert larger.vpin == pytest.approx(found.vpin, abs=1e-12)


@laws
@given(days=st.integers(1, 400), share=st.floats(0.0, 1.0), level=st.sampled_from(LEVELS))
def test_backtests_are_least_where_all_is_as_expected(days: int, share: float, level: float) -> None:
    count = int(share * days)
    found = var_backtest.kupiec(count, days, level)
    assert found.statistic >= 0.0
    assert 0.0 <= found.p_value <= 1.0
    assert var_backtest.kupiec(round(days * var.tail_of(level)), days, level).statistic <= 1.5
    light = var_backtest.traffic_light(count, days, level)
    assert 0.0 <= light.cumulative <= 1.0


def test_simulated_numbers_do_not_hang_on_threads_or_on_how_many_there_are() -> None:
    squares, products = np.linspace(0.1, 1.0, 7), np.linspace(-1.0, 1.0, 6)
    threads = numba.get_num_threads()
    found = []
    try:
        for count in range(1, numba.config.NUMBA_NUM_THREADS + 1):
            numba.set_num_threads(count)
            found += [tridiagonal_forms(5, 3001, squares, products) for _ in range(3)]
            numbers = normal_numbers(5, np.array([2999, 3]), 4)
            assert np.array_equal(numbers, normal_numbers(5, np.arange(3001), 4)[[2999, 3]])
    finally:
        numba.set_num_threads(threads)
    assert all(np.array_equal(first, found[0][0]) and np.array_equal(form, found[0][1]) for first, form in found)
    fewer = tridiagonal_forms(5, 700, squares, products)
    assert np.array_equal(fewer[1], found[0][1][:700])


def test_simulated_profits_of_positions_that_cancel_are_nought() -> None:
    paths = Paths([5.0, -5.0], np.full((2, 2), 4e-4), paths=200, seed=1)
    assert paths.profits == pytest.approx(np.zeros(200), abs=1e-7)


def test_sums_are_reordered_only_where_all_numbers_are_checked_to_be_finite() -> None:
    """With fastmath a compiler may leave out what only NaN or infinity would need, and add in another order."""
    folder = Path(nautilus.maths.__file__).parent
    fast = {path.name for path in folder.rglob("*.py") if "fastmath" in path.read_text(encoding="utf-8")}
    parallel = {path.name for path in folder.rglob("*.py") if "parallel=True" in path.read_text(encoding="utf-8")}
    assert fast == {"normal_paths.py", "tridiagonal.py"}
    assert parallel == {"normal_paths.py"}
