"""Attribution: parts add up to what they explain, and each is the one of perfattr."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import perfattr as peer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths.attribution import METHODS, brinson, geometric_brinson
from nautilus.maths.currency_attribution import currency_attribution
from nautilus.maths.errors import Undefined
from nautilus.maths.factor_attribution import factor_attribution, portfolio_exposures
from nautilus.maths.linking import LINKINGS, compounded, linking_coefficients
from tests.kit import naive_attribution as naive

Sides = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def sides(seed: int, periods: int = 6, segments: int = 4, spread: float = 0.05) -> Sides:
    """Weights and returns of a portfolio and a benchmark."""
    chance = np.random.default_rng(seed)
    weights = [chance.dirichlet(np.ones(segments), periods) for _ in range(2)]
    weights = [each / each.sum(axis=1, keepdims=True) for each in weights]
    returns = [chance.normal(0.005, spread, (periods, segments)) for _ in range(2)]
    return weights[0], returns[0], weights[1], returns[1]


def frame(weights: np.ndarray, returns: np.ndarray) -> pd.DataFrame:
    """Rows as perfattr takes them: months of thirty days."""
    first = date(2020, 1, 1)
    rows = [
        {
            "from_date": first + timedelta(30 * period),
            "thru_date": first + timedelta(30 * period + 29),
            "quantity_of_days": 30,
            "identifier": f"S{segment}",
            "weight": weights[period, segment],
            "return": returns[period, segment],
        }
        for period, segment in np.ndindex(*weights.shape)
    ]
    data = pd.DataFrame(rows)
    for name in ("from_date", "thru_date"):
        data[name] = pd.to_datetime(data[name])
    return data


PEER_METHODS = {
    "brinson-fachler": peer.AttributionMethod.BRINSON_FACHLER_THREE_EFFECT,
    "brinson-hood-beebower": peer.AttributionMethod.BRINSON_HOOD_BEEBOWER_THREE_EFFECT,
}
PEER_LINKINGS = {
    "carino": peer.EffectLinkingMethod.CARINO,
    "menchero": peer.EffectLinkingMethod.MENCHERO,
    "frongello": peer.EffectLinkingMethod.FRONGELLO,
    "grap": peer.EffectLinkingMethod.FRONGELLO,
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("linking", LINKINGS)
def test_each_effect_is_that_of_perfattr(method: str, linking: str) -> None:
    given_ = sides(17)
    found = brinson(*given_, method=method, linking=linking)
    result = peer.calculate_attribution(
        frame(*given_[:2]),
        frame(*given_[2:]),
        method=PEER_METHODS[method],
        effect_linking_method=PEER_LINKINGS[linking],
    )
    detail = result.period_detail.sort_values(["from_date", "identifier"])
    for name in ("allocation", "selection", "interaction"):
        theirs = detail[f"{name}_effect"].to_numpy().reshape(found.allocation.shape)
        np.testing.assert_allclose(getattr(found, name), theirs, atol=1e-14)
        linked = result.overall_detail.sort_values("identifier")[f"linked_{name}_effect"].to_numpy()
        np.testing.assert_allclose(getattr(found, f"linked_{name}"), linked, atol=1e-12)
    last = result.cumulative.iloc[-1]
    assert found.portfolio_return == pytest.approx(last["cumulative_portfolio_return"], abs=1e-13)
    assert found.active_return == pytest.approx(last["cumulative_active_return"], abs=1e-13)


def test_geometric_effects_are_those_of_perfattr() -> None:
    given_ = sides(19)
    found = geometric_brinson(*given_)
    result = peer.calculate_geometric_attribution(frame(*given_[:2]), frame(*given_[2:]))
    detail = result.period_detail.sort_values(["from_date", "identifier"])
    for name in ("allocation", "selection"):
        theirs = detail[f"{name}_effect"].to_numpy().reshape(found.allocation.shape)
        np.testing.assert_allclose(getattr(found, name), theirs, atol=1e-14)
    last = result.cumulative.iloc[-1]
    assert found.total_allocation == pytest.approx(last["allocation_effect"], abs=1e-12)
    assert found.total_selection == pytest.approx(last["selection_effect"], abs=1e-12)
    assert found.excess_return == pytest.approx(last["geometric_excess_return"], abs=1e-12)


@given(
    st.integers(0, 100_000),
    st.integers(1, 30),
    st.integers(1, 12),
    st.floats(0.0, 0.1),
    st.sampled_from(METHODS),
    st.sampled_from(LINKINGS),
)
def test_parts_add_up_to_the_active_return(
    seed: int, periods: int, segments: int, spread: float, method: str, linking: str
) -> None:
    found = brinson(*sides(seed, periods, segments, spread), method=method, linking=linking)
    parts = found.allocation + found.selection + found.interaction
    active = found.portfolio_returns - found.benchmark_returns
    np.testing.assert_allclose(parts.sum(axis=1), active, atol=1e-12)
    growth = np.prod(1 + found.portfolio_returns) - np.prod(1 + found.benchmark_returns)
    assert found.active_return == pytest.approx(growth, abs=1e-12)
    assert sum(found.totals) == pytest.approx(found.active_return, abs=1e-12)
    assert abs(found.residual) <= 1e-12


@given(st.integers(0, 100_000), st.integers(1, 6), st.integers(1, 5), st.sampled_from(METHODS))
def test_effects_are_those_of_exact_fractions(seed: int, periods: int, segments: int, method: str) -> None:
    given_ = sides(seed, periods, segments)
    found = brinson(*given_, method=method, linking="grap")
    exact = naive.brinson(*(naive.fractions(each.tolist()) for each in given_), fachler=method == METHODS[0])
    for ours, theirs in zip((*found.totals, found.active_return), exact, strict=True):
        assert ours == pytest.approx(float(theirs), abs=1e-14)


@given(st.integers(0, 100_000), st.integers(1, 30), st.integers(1, 12), st.floats(0.0, 0.1))
def test_geometric_parts_compound_to_the_excess_return(seed: int, periods: int, segments: int, spread: float) -> None:
    found = geometric_brinson(*sides(seed, periods, segments, spread))
    both = (1 + found.allocation.sum(axis=1)) * (1 + found.selection.sum(axis=1))
    np.testing.assert_allclose(both, (1 + found.portfolio_returns) / (1 + found.benchmark_returns), atol=1e-12)
    assert abs(found.residual) <= 1e-11


@given(st.integers(0, 100_000), st.integers(1, 30), st.integers(1, 8))
def test_factors_and_the_specific_part_add_up_to_the_return(seed: int, periods: int, factors: int) -> None:
    chance = np.random.default_rng(seed)
    exposures, moves = chance.normal(0, 1, (periods, factors)), chance.normal(0, 0.01, (periods, factors))
    found = factor_attribution(exposures, moves, chance.normal(0.001, 0.02, periods))
    np.testing.assert_allclose(found.contributions.sum(axis=1) + found.specific, found.returns, atol=1e-15)
    assert found.total_return == pytest.approx(np.prod(1 + found.returns) - 1, abs=1e-12)
    assert abs(found.residual) <= 1e-12


def test_exposures_of_a_portfolio_are_the_weighted_ones() -> None:
    chance = np.random.default_rng(3)
    weights, loads = chance.dirichlet(np.ones(5), 4), chance.normal(0, 1, (4, 5, 3))
    moves, rest = chance.normal(0, 0.01, (4, 3)), chance.normal(0, 0.01, (4, 5))
    returns = np.einsum("tnk,tk->tn", loads, moves) + rest
    exposures = portfolio_exposures(weights, loads)
    np.testing.assert_allclose(exposures[2], weights[2] @ loads[2], rtol=1e-14)
    found = factor_attribution(exposures, moves, (weights * returns).sum(axis=1))
    np.testing.assert_allclose(found.specific, (weights * rest).sum(axis=1), atol=1e-15)
    np.testing.assert_allclose(portfolio_exposures(weights[0], loads[0]), exposures[0], rtol=1e-14)


def currency_sides(seed: int) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    chance = np.random.default_rng(seed)
    cash = chance.normal(0.002, 0.001, (3, 4))
    markets = [[*sides(seed + 1 + side, 3)[:2], cash] for side in (0, 1)]
    currencies = [list(sides(seed + 3 + side, 3, 3)[:2]) for side in (0, 1)]
    return markets[0], markets[1], currencies[0], currencies[1]


def test_currency_effects_are_those_of_perfattr() -> None:
    market, reference, currency, other = currency_sides(5)
    found = currency_attribution(tuple(market), tuple(reference), tuple(currency), tuple(other))  # type: ignore[arg-type]

    def rows(values: list[np.ndarray], identifier: str, names: list[str]) -> pd.DataFrame:
        data = frame(values[0], values[1])[["from_date", "thru_date", "identifier"]]
        data = data.rename(columns={"identifier": identifier})
        for name, value in zip(names, values, strict=True):
            data[name] = value.ravel()
        return data

    market_names = ["market_weight", "local_asset_return", "local_cash_return"]
    currency_names = ["currency_weight", "base_currency_cash_return"]
    result = peer.calculate_currency_attribution(
        rows(market, "market_identifier", market_names),
        rows(reference, "market_identifier", market_names),
        rows(currency, "currency_identifier", currency_names),
        rows(other, "currency_identifier", currency_names),
        base_currency="USD",
    )
    markets = result.market_detail.sort_values(["from_date", "market_identifier"])
    currencies = result.currency_detail.sort_values(["from_date", "currency_identifier"])
    for data, name in (
        (markets, "market_allocation"),
        (markets, "security_selection"),
        (currencies, "currency_allocation"),
        (currencies, "hedge_selection"),
    ):
        theirs = data[f"{name}_log_effect"].to_numpy().reshape(3, -1)
        np.testing.assert_allclose(getattr(found, name), theirs, atol=1e-14)


@given(st.integers(0, 100_000))
def test_currency_effects_add_up_to_the_active_return(seed: int) -> None:
    found = currency_attribution(*map(tuple, currency_sides(seed)))  # type: ignore[arg-type]
    parts = found.market_allocation.sum(axis=1) + found.security_selection.sum(axis=1)
    parts = parts + found.currency_allocation.sum(axis=1) + found.hedge_selection.sum(axis=1)
    np.testing.assert_allclose(parts, found.active_log_returns, atol=1e-12)


def test_the_worked_example_of_one_period_is_right() -> None:
    # Bacon (2008), chapter 5: equities of the UK, Japan and the US, active return 1.9 %.
    found = brinson([0.4, 0.3, 0.3], [0.2, -0.05, 0.06], [0.4, 0.2, 0.4], [0.1, -0.04, 0.08])
    assert found.active_return == pytest.approx(0.019, abs=1e-15)
    np.testing.assert_allclose(found.allocation[0], [0.0, -0.0104, -0.0016], atol=1e-15)
    np.testing.assert_allclose(found.selection[0], [0.04, -0.002, -0.008], atol=1e-15)
    np.testing.assert_allclose(found.interaction[0], [0.0, -0.001, 0.002], atol=1e-15)
    assert found.coefficients[0] == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("linking", LINKINGS)
def test_equal_returns_link_without_a_division_by_nought(linking: str) -> None:
    returns = np.array([0.02, -0.01, 0.0])
    coefficients = linking_coefficients(returns, returns, linking)
    assert np.isfinite(coefficients).all()
    other = returns + np.array([1e-9, 0.0, 0.0])
    nearly = linking_coefficients(other, returns, linking)
    assert nearly @ (other - returns) == pytest.approx(compounded(other) - compounded(returns), abs=1e-15)


def test_compounding_is_the_product_of_growths() -> None:
    assert compounded([0.1, -0.1]) == pytest.approx(-0.01, abs=1e-16)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({0: [[]]}, "empty"),
        ({0: [0.5, 0.4]}, "mismatch"),
        ({2: [0.5, 0.6]}, "mismatch"),
        ({0: [0.5, np.nan]}, "not_finite"),
        ({1: [0.1, np.inf]}, "not_finite"),
        ({1: [0.1, 0.2, 0.3]}, "mismatch"),
        ({1: [-1.0, -1.0]}, "out_of_range"),
        ({3: [-3.0, -1.0]}, "out_of_range"),
    ],
)
def test_what_cannot_be_attributed_says_why(change: dict[int, list[float]], code: str) -> None:
    arguments = [[0.5, 0.5], [0.1, 0.2], [0.4, 0.6], [0.1, 0.1]]
    for place, value in change.items():
        arguments[place] = value
    for attribute in (brinson, geometric_brinson):
        with pytest.raises(Undefined) as caught:
            attribute(*arguments)
        assert caught.value.code == code


@pytest.mark.parametrize("names", [{"method": "brinson"}, {"linking": "none"}])
def test_an_unknown_method_is_refused(names: dict[str, str]) -> None:
    with pytest.raises(Undefined) as caught:
        brinson(*sides(1), **names)
    assert caught.value.code == "out_of_range"


@pytest.mark.parametrize(
    ("exposures", "factors", "returns", "code"),
    [
        ([[1.0]], [], [0.1], "empty"),
        ([[1.0, 2.0]], [[0.1]], [0.1], "mismatch"),
        ([[1.0]], [[0.1]], [0.1, 0.2], "mismatch"),
        ([[np.nan]], [[0.1]], [0.1], "not_finite"),
        ([[1.0]], [[0.1]], [np.nan], "not_finite"),
        ([[1.0]], [[0.1]], [-1.0], "out_of_range"),
    ],
)
def test_factors_that_do_not_fit_are_refused(exposures: list, factors: list, returns: list, code: str) -> None:
    with pytest.raises(Undefined) as caught:
        factor_attribution(exposures, factors, returns)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("weights", "exposures", "code"),
    [([], [], "empty"), ([0.5], [[1.0], [2.0]], "mismatch"), ([0.5], [[np.nan]], "not_finite")],
)
def test_exposures_that_do_not_fit_are_refused(weights: list, exposures: list, code: str) -> None:
    with pytest.raises(Undefined) as caught:
        portfolio_exposures(weights, exposures)
    assert caught.value.code == code
