"""Covariance estimators against scikit-learn, statsmodels' definition written out, and identities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nautilus.maths import covariance
from nautilus.maths.errors import Undefined


def _returns(periods: int, width: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    market = generator.standard_normal((periods, 1))
    own = generator.standard_normal((periods, width)) * generator.uniform(0.5, 2.0, width)
    return 0.01 * (market * generator.uniform(0.2, 1.5, width) + own)


shapes = st.tuples(st.integers(2, 60), st.integers(1, 12), st.integers(0, 10_000))


@settings(max_examples=40, deadline=None)
@given(shapes)
def test_the_sample_covariance_is_numpys(shape: tuple[int, int, int]) -> None:
    returns = _returns(*shape)
    np.testing.assert_allclose(
        covariance.sample(returns), np.cov(returns, rowvar=False).reshape(shape[1], shape[1]), rtol=1e-10, atol=1e-18
    )


@settings(max_examples=40, deadline=None)
@given(shapes)
def test_ledoit_wolf_is_scikit_learns(shape: tuple[int, int, int]) -> None:
    theirs = pytest.importorskip("sklearn.covariance")
    returns = _returns(*shape)
    matrix, intensity = covariance.ledoit_wolf(returns)
    expected, shrinkage = theirs.ledoit_wolf(returns)
    assert intensity == pytest.approx(shrinkage, rel=1e-9, abs=1e-10)
    np.testing.assert_allclose(matrix, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def _constant_correlation_by_loops(x: np.ndarray) -> tuple[np.ndarray, float]:
    """Appendix B of the paper, term by term."""
    periods, width = x.shape
    y = x - x.mean(axis=0)
    s = y.T @ y / periods
    pairs = [(i, j) for i in range(width) for j in range(width)]
    mean = np.mean([s[i, j] / np.sqrt(s[i, i] * s[j, j]) for i, j in pairs if i != j])
    f = np.array(
        [[s[i, i] if i == j else mean * np.sqrt(s[i, i] * s[j, j]) for j in range(width)] for i in range(width)]
    )

    def phi(i: int, j: int) -> float:
        return float(np.mean((y[:, i] * y[:, j] - s[i, j]) ** 2))

    def theta(k: int, i: int, j: int) -> float:
        return float(np.mean((y[:, k] ** 2 - s[k, k]) * (y[:, i] * y[:, j] - s[i, j])))

    rho = sum(phi(i, i) for i in range(width)) + sum(
        mean / 2 * (np.sqrt(s[j, j] / s[i, i]) * theta(i, i, j) + np.sqrt(s[i, i] / s[j, j]) * theta(j, i, j))
        for i, j in pairs
        if i != j
    )
    gamma = sum((f[i, j] - s[i, j]) ** 2 for i, j in pairs)
    intensity = max(0.0, min(1.0, (sum(phi(i, j) for i, j in pairs) - rho) / gamma / periods))
    return intensity * f + (1 - intensity) * s, intensity


@pytest.mark.parametrize(("periods", "width"), [(30, 3), (12, 5), (250, 4), (40, 6)])
def test_constant_correlation_is_the_papers_term_by_term(periods: int, width: int) -> None:
    returns = _returns(periods, width, periods)
    matrix, intensity = covariance.ledoit_wolf_constant_correlation(returns)
    expected, shrinkage = _constant_correlation_by_loops(returns)
    assert intensity == pytest.approx(shrinkage, rel=1e-9)
    np.testing.assert_allclose(matrix, expected, rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 40), st.integers(3, 30), st.integers(0, 10_000))
def test_shrunk_estimates_of_more_names_than_rows_are_positive_definite(width: int, periods: int, seed: int) -> None:
    returns = _returns(periods, width, seed)
    if periods <= width:
        assert not covariance.is_positive_definite(covariance.sample(returns))
        with pytest.raises(Undefined) as error:
            covariance.check_positive_definite(covariance.sample(returns))
        assert error.value.code == "singular"
    matrix, intensity = covariance.ledoit_wolf(returns)
    assert 0.0 < intensity <= 1.0
    assert covariance.is_positive_definite(matrix)
    np.testing.assert_array_equal(covariance.check_positive_definite(matrix), matrix)


def test_two_names_equal_their_own_target() -> None:
    matrix, intensity = covariance.ledoit_wolf_constant_correlation(_returns(50, 2))
    np.testing.assert_allclose(matrix, covariance.sample(_returns(50, 2), ddof=0), rtol=1e-12)
    assert 0.0 <= intensity <= 1.0


@settings(max_examples=40, deadline=None)
@given(shapes, st.floats(0.5, 500.0))
def test_ewma_is_the_recursion_with_its_start_weighted_out(shape: tuple[int, int, int], half_life: float) -> None:
    returns = _returns(*shape)
    decay = 0.5 ** (1.0 / half_life)
    matrix, total = np.zeros((shape[1], shape[1])), 0.0
    for row in returns:
        matrix = decay * matrix + np.outer(row, row)
        total = decay * total + 1.0
    found = covariance.ewma(returns, half_life)
    np.testing.assert_allclose(found, matrix / total, rtol=1e-9, atol=1e-12 * np.abs(matrix).max())


def test_centred_ewma_is_numpys_weighted_covariance() -> None:
    returns = _returns(80, 4)
    weights = covariance.decay_weights(80, 20.0)
    expected = np.cov(returns, rowvar=False, aweights=weights, ddof=0)
    np.testing.assert_allclose(covariance.ewma(returns, 20.0, centred=True), expected, rtol=1e-10)


@settings(max_examples=40, deadline=None)
@given(shapes, st.integers(0, 20), st.sampled_from([0.0, 15.0]))
def test_newey_west_is_its_sum_and_never_negative(shape: tuple[int, int, int], lags: int, half_life: float) -> None:
    returns = _returns(*shape)
    lags = min(lags, len(returns) - 1)
    found = covariance.newey_west(returns, lags, half_life)
    periods = len(returns)
    weights = covariance.decay_weights(periods, half_life) if half_life else np.full(periods, 1.0 / periods)
    y = returns - weights @ returns
    expected = np.zeros_like(found)
    for t in range(periods):
        for s in range(max(0, t - lags), min(periods, t + lags + 1)):
            kernel = 1.0 - abs(t - s) / (lags + 1)
            expected += kernel * np.sqrt(weights[t] * weights[s]) * np.outer(y[t], y[s])
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max() + 1e-22)
    assert np.linalg.eigvalsh(found)[0] >= -1e-12 * np.abs(found).max()


def test_newey_west_without_lags_is_the_sample_covariance() -> None:
    returns = _returns(70, 5)
    np.testing.assert_allclose(covariance.newey_west(returns, 0), covariance.sample(returns, ddof=0), rtol=1e-12)


def test_newey_west_of_returns_that_answer_one_another_is_smaller() -> None:
    returns = np.random.default_rng(3).standard_normal((500, 1))
    bouncing = returns[1:] - 0.7 * returns[:-1]
    assert covariance.newey_west(bouncing, 5)[0, 0] < 0.5 * covariance.sample(bouncing)[0, 0]


@settings(max_examples=40, deadline=None)
@given(shapes)
def test_correlations_and_deviations_give_the_covariance_back(shape: tuple[int, int, int]) -> None:
    matrix = covariance.sample(_returns(*shape))
    correlations, deviations = covariance.correlation(matrix)
    np.testing.assert_array_equal(np.diag(correlations), 1.0)
    assert np.abs(correlations).max() <= 1.0
    np.testing.assert_allclose(covariance.from_correlation(correlations, deviations), matrix, rtol=1e-9, atol=1e-20)


@pytest.mark.parametrize("method", covariance.METHODS)
def test_every_method_says_what_it_is(method: str) -> None:
    found = covariance.estimate(_returns(60, 4), method)
    assert found.observations == 60
    assert found.matrix.shape == (4, 4)
    np.testing.assert_array_equal(found.matrix, found.matrix.T)
    assert "divisor" in found.method or "half-life" in found.method
    assert (found.shrinkage > 0.0) == (method in ("ledoit_wolf", "constant_correlation"))


@pytest.mark.parametrize("method", covariance.METHODS)
@pytest.mark.parametrize(
    ("returns", "code"),
    [
        (np.empty((0, 3)), "empty"),
        (np.empty((3, 0)), "empty"),
        (np.zeros((1, 3)), "too_few"),
        (np.array([[0.1, 0.2], [np.nan, 0.1]]), "not_finite"),
        (np.array([[0.1, 0.2], [np.inf, 0.1]]), "not_finite"),
        (np.zeros(5), "mismatch"),
    ],
)
def test_bad_returns_are_refused_by_code(method: str, returns: np.ndarray, code: str) -> None:
    with pytest.raises(Undefined) as error:
        covariance.estimate(returns, method)
    assert error.value.code == code


def test_what_is_out_of_range_is_refused() -> None:
    returns = _returns(20, 2)
    for call in (
        lambda: covariance.estimate(returns, "guess"),
        lambda: covariance.ewma(returns, 0.0),
        lambda: covariance.ewma(returns, float("nan")),
        lambda: covariance.newey_west(returns, 20),
        lambda: covariance.newey_west(returns, -1),
        lambda: covariance.shrunk(np.eye(2), np.eye(2), 1.5),
        lambda: covariance.from_correlation(np.eye(2), [1.0, -1.0]),
    ):
        with pytest.raises(Undefined) as error:
            call()
        assert error.value.code == "out_of_range"


def test_what_does_not_fit_is_refused() -> None:
    for call in (
        lambda: covariance.shrunk(np.eye(2), np.eye(3), 0.5),
        lambda: covariance.from_correlation(np.eye(2), [1.0]),
        lambda: covariance.correlation(np.ones((2, 3))),
        lambda: covariance.correlation(np.array([[1.0, 0.5], [0.2, 1.0]])),
    ):
        with pytest.raises(Undefined) as error:
            call()
        assert error.value.code == "mismatch"
    with pytest.raises(Undefined, match="without rows"):
        covariance.check_symmetric(np.empty((0, 0)))
    with pytest.raises(Undefined, match="NaN"):
        covariance.check_symmetric(np.array([[np.nan]]))


def test_a_constant_column_has_a_variance_of_nothing_and_no_correlation() -> None:
    returns = _returns(30, 3)
    returns[:, 1] = 0.1
    assert covariance.sample(returns)[1, 1] == pytest.approx(0.0, abs=1e-30)
    assert not covariance.is_positive_definite(covariance.sample(returns))
    with pytest.raises(Undefined) as error:
        covariance.ledoit_wolf_constant_correlation(returns)
    assert error.value.code == "constant"
    with pytest.raises(Undefined) as error:
        covariance.correlation(np.diag([1.0, 0.0]))
    assert error.value.code == "constant"
    # All constant: nothing to shrink, and a zero matrix is what was asked for.
    matrix, intensity = covariance.ledoit_wolf(np.zeros((5, 3)))
    assert intensity == 0.0
    assert not matrix.any()


def test_one_column_is_its_own_variance_by_every_method() -> None:
    returns = _returns(40, 1)
    for estimator in (covariance.ledoit_wolf, covariance.ledoit_wolf_constant_correlation):
        matrix, intensity = estimator(returns)
        assert matrix[0, 0] == pytest.approx(returns.var(), rel=1e-12)
        assert intensity == 0.0
