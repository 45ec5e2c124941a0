"""Simulated profits: closed forms, a plain second simulation, the numbers that are drawn, and what has no number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths import var
from nautilus.maths.errors import Undefined
from nautilus.maths.monte_carlo import Paths, root
from nautilus.maths.normal_paths import normal_numbers, tridiagonal_forms
from nautilus.maths.tridiagonal import Tridiagonal
from nautilus.maths.var_parts import normal_parts

PATHS = 100_000


def covariance_of(size: int, seed: int = 2, observations: int = 400) -> Any:
    rng = np.random.default_rng(seed)
    return np.cov(rng.standard_normal((observations, size)) @ rng.standard_normal((size, size)) / 300, rowvar=False)


def portfolio(size: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(4)
    return rng.normal(size=size) * 1e4, -rng.random(size) * 1e5


def test_the_numbers_are_standard_normal() -> None:
    stats = pytest.importorskip("scipy.stats")
    numbers = normal_numbers(5, np.arange(20_000), 101).astype(np.float64)
    assert stats.kstest(numbers.ravel()[:400_000], "norm").pvalue > 1e-3
    each = numbers.size
    for power, moment, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert np.mean(numbers**power) == pytest.approx(moment, abs=4.5 * math.sqrt(spread / each))
    assert 4.6 < np.abs(numbers).max() < 6.7


def test_numbers_of_a_path_and_of_neighbouring_paths_do_not_hang_together() -> None:
    numbers = normal_numbers(6, np.arange(20_000), 60).astype(np.float64)
    bound = 5 / math.sqrt(20_000)
    within = np.corrcoef(numbers, rowvar=False) - np.eye(60)
    assert np.abs(within).max() < bound
    assert np.abs(np.corrcoef(numbers**2, rowvar=False) - np.eye(60)).max() < bound
    across = np.mean(numbers[1:] * numbers[:-1], axis=0)
    assert np.abs(across).max() < bound
    other = normal_numbers(7, np.arange(20_000), 60).astype(np.float64)
    assert np.abs(np.mean(numbers * other, axis=0)).max() < bound


@given(st.integers(0, 2**63 - 1), st.integers(1, 1200), st.integers(1, 9))
def test_a_path_is_the_same_whatever_is_drawn_beside_it(seed: int, paths: int, size: int) -> None:
    squares, products = np.linspace(1, 2, size), np.linspace(-1, 1, size - 1)
    first, form = tridiagonal_forms(seed, paths, squares, products)
    again, _ = tridiagonal_forms(seed, paths + 700, squares, products)
    assert np.array_equal(first, again[:paths])
    numbers = normal_numbers(seed, np.array([paths - 1, 0]), size).astype(np.float64)
    plain = (numbers * numbers) @ squares + (numbers[:, 1:] * numbers[:, :-1]) @ products
    assert form[[paths - 1, 0]] == pytest.approx(plain, rel=1e-4, abs=1e-4)
    assert np.array_equal(first[[paths - 1, 0]], numbers[:, 0].astype(np.float32))


@given(st.integers(1, 12), st.integers(0, 2**32 - 1), st.booleans())
def test_the_tridiagonal_form_is_the_matrix_in_another_basis(size: int, seed: int, flat: bool) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(size, size))
    matrix = matrix + matrix.T
    vector = rng.normal(size=size)
    if flat:
        matrix[size // 2 :, :] = matrix[:, size // 2 :] = vector[size // 2 :] = 0.0
    found = Tridiagonal(matrix, vector)
    basis = found.basis
    form = np.diag(found.diagonal) + np.diag(found.beside, 1) + np.diag(found.beside, -1)
    assert basis.T @ basis == pytest.approx(np.eye(size), abs=1e-12)
    assert basis @ form @ basis.T == pytest.approx(matrix, abs=1e-11)
    assert basis[:, 0] * found.first == pytest.approx(vector, abs=1e-12)
    assert np.abs(form[found.size :, found.size :]).max(initial=0.0) < 1e-12


@pytest.mark.parametrize("level", [0.95, 0.99])
def test_a_linear_portfolio_has_the_normal_risk(level: float) -> None:
    delta, _ = portfolio(40)
    covariance, means = covariance_of(40), np.full(40, 1e-4)
    found = Paths(delta, covariance, means=means, paths=PATHS, seed=1)
    value, mean = normal_parts(delta, covariance, means, level)
    assert found.dimensions == 1
    risk, beyond = found.value_at_risk(level), found.tail_mean(level)
    assert risk.value == pytest.approx(value.total, abs=4 * risk.standard_error)
    assert beyond.value == pytest.approx(mean.total, abs=4 * beyond.standard_error)


def test_standard_errors_are_what_many_seeds_show() -> None:
    delta, gamma = portfolio(5)
    runs = [Paths(delta, covariance_of(5), gamma, paths=4000, seed=seed) for seed in range(200)]
    for measure in (Paths.value_at_risk, Paths.tail_mean):
        estimates = [measure(run, 0.95) for run in runs]
        spread = np.std([estimate.value for estimate in estimates])
        assert np.mean([estimate.standard_error for estimate in estimates]) == pytest.approx(spread, rel=0.2)


@pytest.mark.parametrize("degrees", [3.0, 5.0, 30.0])
def test_a_linear_portfolio_of_student_returns_has_its_quantile(degrees: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    delta, _ = portfolio(10)
    covariance = covariance_of(10)
    found = Paths(delta, covariance, degrees=degrees, paths=PATHS, seed=3)
    deviation = math.sqrt(delta @ covariance @ delta * (degrees - 2) / degrees)
    risk = found.value_at_risk(0.99)
    assert risk.value == pytest.approx(-deviation * stats.t.ppf(0.01, degrees), abs=4 * risk.standard_error)


@pytest.mark.parametrize("degrees", [0.0, 6.0])
@pytest.mark.parametrize("size", [1, 2, 30])
def test_delta_gamma_profits_are_those_of_a_plain_simulation(size: int, degrees: float) -> None:
    delta, gamma = portfolio(size)
    covariance, means = np.atleast_2d(covariance_of(size)), np.full(size, 3e-4)
    found = Paths(delta, covariance, gamma, means, degrees, paths=PATHS, seed=9)
    rng = np.random.default_rng(1)
    returns = rng.standard_normal((PATHS, size)) @ np.linalg.cholesky(covariance).T
    if degrees:
        returns *= np.sqrt((degrees - 2) / rng.chisquare(degrees, PATHS))[:, None]
    returns += means
    plain = returns @ delta + 0.5 * (returns * returns) @ gamma
    error = found.profits.std() / math.sqrt(PATHS)
    assert found.profits.mean() == pytest.approx(plain.mean(), abs=6 * error)
    for level in (0.9, 0.95, 0.99):
        risk = found.value_at_risk(level)
        assert risk.value == pytest.approx(var.historical_var(plain, level), abs=6 * risk.standard_error)


def test_components_sum_to_the_risk_and_are_those_of_the_closed_form() -> None:
    delta, gamma = portfolio(12)
    covariance = covariance_of(12)
    found = Paths(delta, covariance, paths=PATHS, seed=2)
    value, mean = found.tail_parts(0.95)
    expected_value, expected_mean = normal_parts(delta, covariance, level=0.95)
    assert math.fsum(value.components) == value.total
    assert math.fsum(mean.components) == mean.total
    assert value.total == pytest.approx(found.value_at_risk(0.95).value, rel=1e-12)
    assert mean.total == pytest.approx(found.tail_mean(0.95).value, rel=1e-5)
    assert found.tail_parts(0.95, var.RISKFOLIO)[1].total == pytest.approx(
        found.tail_mean(0.95, var.RISKFOLIO).value, rel=1e-5
    )
    scale = np.abs(expected_value.components).max()
    assert value.components == pytest.approx(expected_value.components, abs=0.03 * scale)
    assert mean.components == pytest.approx(expected_mean.components, abs=0.03 * scale)
    value, mean = Paths(delta, covariance, gamma, paths=PATHS, seed=2).tail_parts(0.95)
    assert math.fsum(mean.components) == mean.total


def test_components_of_delta_gamma_are_those_of_a_plain_simulation() -> None:
    delta, gamma = portfolio(6)
    gamma = gamma * 30
    covariance = covariance_of(6)
    _, mean = Paths(delta, covariance, gamma, paths=PATHS, seed=4).tail_parts(0.95)
    returns = np.random.default_rng(8).standard_normal((400_000, 6)) @ np.linalg.cholesky(covariance).T
    profits = returns * delta + 0.5 * returns * returns * gamma
    worst = np.argsort(profits.sum(axis=1))[:20_000]
    expected = -profits[worst].mean(axis=0)
    assert mean.components == pytest.approx(expected, abs=0.03 * np.abs(expected).max())


def test_the_same_seed_gives_the_same_profits_and_another_seed_others() -> None:
    delta, gamma = portfolio(7)
    make = [Paths(delta, covariance_of(7), gamma, degrees=5, paths=1000, seed=seed).profits for seed in (1, 1, 2)]
    assert np.array_equal(make[0], make[1])
    assert not np.array_equal(make[0], make[2])


def test_a_covariance_without_full_rank_is_taken() -> None:
    delta, gamma = portfolio(6)
    covariance = np.full((6, 6), 1e-4)
    assert root(covariance, 6) @ root(covariance, 6).T == pytest.approx(covariance, abs=1e-18)
    found = Paths(delta, covariance, gamma, paths=PATHS, seed=1)
    single = Paths([delta.sum()], [[1e-4]], [gamma.sum()], paths=PATHS, seed=1)
    assert found.value_at_risk().value == pytest.approx(single.value_at_risk().value, rel=0.02)
    assert Paths(delta, np.zeros((6, 6)), gamma, paths=1000).value_at_risk().value == 0.0


GOOD: dict[str, Any] = {"exposures": [1.0, 2.0], "covariance": [[1e-4, 0.0], [0.0, 1e-4]], "paths": 1000}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exposures": [], "covariance": np.zeros((0, 0))}, "empty"),
        ({"exposures": [1.0, math.nan]}, "not_finite"),
        ({"covariance": [[1e-4, math.inf], [math.inf, 1e-4]]}, "not_finite"),
        ({"covariance": [[1e-4]]}, "mismatch"),
        ({"covariance": [[1e-4, 1e-5], [0.0, 1e-4]]}, "mismatch"),
        ({"covariance": [[1e-4, 2e-4], [2e-4, 1e-4]]}, "singular"),
        ({"gammas": [1.0]}, "mismatch"),
        ({"means": [1.0, math.nan]}, "not_finite"),
        ({"degrees": 2.0}, "out_of_range"),
        ({"degrees": math.nan}, "out_of_range"),
        ({"paths": 10}, "out_of_range"),
        ({"paths": 10**9}, "out_of_range"),
        ({"seed": -1}, "out_of_range"),
    ],
)
def test_bad_input_has_a_code(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(Undefined) as error:
        Paths(**GOOD | changes)
    assert error.value.code == code


def test_risk_of_nought_has_no_components() -> None:
    with pytest.raises(Undefined) as error:
        Paths(**GOOD | {"exposures": [0.0, 0.0]}).tail_parts()
    assert error.value.code == "constant"
