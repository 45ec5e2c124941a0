"""Regimes: against hmmlearn, a plain second implementation, and what must hold of any answer."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nautilus.maths.errors import Undefined
from nautilus.maths.regime import detect_regimes, fit_regimes, log_likelihood, read_regimes, warm
from tests.kit.naive_regime import forward_backward, improved, likeliest_path
from tests.kit.reference_returns import daily_returns


def switching(seed: int, length: int = 600, spreads: tuple[float, ...] = (0.5, 2.0)) -> np.ndarray:
    """Returns of a chain that stays in its state 98 times of 100."""
    chance = np.random.default_rng(seed)
    states = len(spreads)
    state, values = 0, []
    for _ in range(length):
        if chance.random() < 0.02:
            state = (state + 1) % states
        values.append(chance.normal(0.05, spreads[state]))
    return np.array(values)


def test_two_regimes_of_the_reference_are_those_stated() -> None:
    regimes = detect_regimes(100 * daily_returns(), 2)
    model = regimes.model
    assert model.log_likelihood >= -3662.01877
    assert model.log_likelihood == pytest.approx(-3662.01877, abs=1e-2)
    assert model.converged
    np.testing.assert_allclose(model.means, [0.1559, 0.0260], atol=1e-3)
    np.testing.assert_allclose(model.variances, [1.1178, 6.1147], rtol=1e-2)
    assert regimes.shares.max() == pytest.approx(0.8043, abs=1e-3)


@pytest.mark.parametrize("states", [2, 3])
@pytest.mark.parametrize("name", ["AAPL", "XOM"])
def test_the_score_is_not_worse_than_that_of_hmmlearn(states: int, name: str) -> None:
    hmm = pytest.importorskip("hmmlearn.hmm")
    returns = 100 * daily_returns(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = hmm.GaussianHMM(states, "full", n_iter=200, tol=1e-6, random_state=0).fit(returns[:, None])
        score = peer.score(returns[:, None])
    assert fit_regimes(returns, states).log_likelihood >= score - 1e-6


@pytest.mark.parametrize("states", [2, 3])
def test_probabilities_and_path_agree_with_hmmlearn(states: int) -> None:
    hmm = pytest.importorskip("hmmlearn.hmm")
    returns = switching(3)
    regimes = detect_regimes(returns, states)
    model = regimes.model
    peer = hmm.GaussianHMM(states, "diag")
    peer.startprob_, peer.transmat_ = model.start, model.transition
    peer.means_, peer.covars_ = model.means[:, None], model.variances[:, None]
    score, posteriors = peer.score_samples(returns[:, None])
    assert model.log_likelihood == pytest.approx(score, abs=1e-8)
    np.testing.assert_allclose(regimes.smoothed, posteriors, atol=1e-9)
    assert (regimes.path == peer.predict(returns[:, None])).all()


@given(st.integers(0, 10_000), st.sampled_from([2, 3]))
def test_the_scaled_passes_agree_with_sums_of_logarithms(seed: int, states: int) -> None:
    model = fit_regimes(switching(1), states, max_iterations=30)
    returns = switching(seed, 80)
    regimes = read_regimes(model, returns)
    total, filtered, smoothed = forward_backward(returns, model.start, model.transition, model.means, model.variances)
    assert log_likelihood(model, returns) == pytest.approx(total, abs=1e-8)
    np.testing.assert_allclose(regimes.filtered, filtered, atol=1e-9)
    np.testing.assert_allclose(regimes.smoothed, smoothed, atol=1e-9)
    for probabilities in (regimes.filtered, regimes.smoothed, regimes.next_probabilities[None]):
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-12)


@pytest.mark.parametrize("states", [2, 3])
def test_one_more_round_of_plain_em_gains_nothing(states: int) -> None:
    returns = 100 * daily_returns(end="2012-12-31")
    model = fit_regimes(returns, states)
    assert model.converged
    parameters = model.start, model.transition, model.means, model.variances
    further = improved(returns, *parameters)
    gained = forward_backward(returns, *further)[0] - model.log_likelihood
    assert -1e-9 <= gained <= 1e-5
    for now, after in zip(parameters, further, strict=True):
        np.testing.assert_allclose(after, now, atol=2e-3)


def test_the_path_is_the_likeliest_of_all_paths() -> None:
    model = fit_regimes(switching(5), 2)
    returns = switching(6, 12)
    _, path = likeliest_path(returns, np.clip(model.start, 1e-12, 1), model.transition, model.means, model.variances)
    found = read_regimes(model, returns).path
    assert tuple(found[1:]) == path[1:]


@given(st.floats(0.01, 100), st.floats(-5, 5))
def test_regimes_do_not_depend_on_the_unit(scale: float, shift: float) -> None:
    returns = switching(9, 300)
    plain, moved = detect_regimes(returns, 2), detect_regimes(scale * returns + shift, 2)
    np.testing.assert_allclose(moved.model.variances, scale**2 * plain.model.variances, rtol=1e-4)
    np.testing.assert_allclose(moved.model.means, scale * plain.model.means + shift, atol=1e-3 * scale + 1e-6)
    assert (moved.path == plain.path).mean() > 0.99


def test_states_are_ordered_from_calm_to_wild() -> None:
    model = fit_regimes(switching(11, 1500, (3.0, 0.3, 1.0)), 3)
    assert (np.diff(model.variances) > 0).all()
    np.testing.assert_allclose(np.sqrt(model.variances), [0.3, 1.0, 3.0], rtol=0.2)
    np.testing.assert_allclose(model.stationary @ model.transition, model.stationary, atol=1e-12)
    np.testing.assert_allclose(model.transition.sum(axis=1), 1.0, atol=1e-12)


def test_the_same_returns_give_the_same_model() -> None:
    first, second = (fit_regimes(switching(13), 3) for _ in range(2))
    assert first.log_likelihood == second.log_likelihood
    assert (first.transition == second.transition).all()


def test_a_break_of_the_rounds_is_stated() -> None:
    assert not fit_regimes(100 * daily_returns(), 2, max_iterations=1, tolerance=1e-13).converged


def test_the_next_variance_is_that_of_the_mixture() -> None:
    regimes = detect_regimes(switching(2), 2)
    model, weights = regimes.model, regimes.filtered[-1] @ regimes.model.transition
    second = weights @ (model.variances + model.means**2) - (weights @ model.means) ** 2
    assert regimes.next_variance == pytest.approx(second, rel=1e-12)
    assert regimes.state == int(np.argmax(regimes.filtered[-1]))
    assert regimes.changes == int((np.diff(regimes.path) != 0).sum())


@pytest.mark.parametrize(
    ("returns", "states", "code"),
    [
        ([], 2, "empty"),
        ([0.01], 2, "too_few"),
        ([[0.1, 0.2]], 2, "mismatch"),
        ([0.01] * 19, 2, "too_few"),
        ([0.01, np.nan] * 20, 2, "not_finite"),
        ([0.01, np.inf] * 20, 2, "not_finite"),
        ([0.01] * 100, 2, "constant"),
        ([0.0] * 100, 3, "constant"),
        ([0.0, 1.0] * 50, 2, "singular"),
        (list(np.linspace(-1, 1, 100)), 4, "out_of_range"),
        (list(np.linspace(-1, 1, 100)), 1, "out_of_range"),
    ],
)
def test_what_has_no_regimes_says_why(returns: list[float], states: int, code: str) -> None:
    with pytest.raises(Undefined) as caught:
        detect_regimes(returns, states)
    assert caught.value.code == code


def test_a_jump_far_outside_leaves_numbers_finite() -> None:
    returns = switching(4, 200)
    returns[100] = 500.0
    model = fit_regimes(returns, 2)
    assert np.isfinite(model.log_likelihood)
    assert np.isfinite(model.variances).all()


def test_kernels_are_compiled_by_the_warm_up() -> None:
    assert np.isfinite(warm())
