"""Market regimes: a Gaussian hidden Markov model of two or three states over one series of returns.

The parameters are the maximum of the likelihood that expectation maximisation finds (Baum, Petrie, Soules and Weiss
1970; Rabiner 1989; Hamilton 1989 for the use on returns). EM climbs to a local maximum only, so it is begun at several
places, none of them drawn by chance: each is followed for a few rounds, the most likely ones further, and the best of
those to the end. The likelihood of a normal density grows without bound where a state shrinks onto one repeated value;
a floor below the variances keeps it finite, and an end at that floor is never preferred to one above it.

States are ordered by variance: 0 is the calmest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus.maths.errors import Undefined, finite
from nautilus.maths.hidden_markov import forward, maximise, smooth, viterbi

Floats = NDArray[np.float64]
STATES = (2, 3)
POINTS_PER_STATE = 10
VARIANCE_FLOOR = 1e-3  # of the variance of the sample
FIRST_ROUNDS = 20
FOLLOWED = 3
FOLLOWED_TOLERANCE = 1e-2
FOLLOWED_ROUNDS = 60
LEAST_GAIN = 1e-2  # of log-likelihood over one normal density


@dataclass(frozen=True, slots=True)
class RegimeModel:
    """A fitted hidden Markov model.

    Attributes
    ----------
    start : shape (states,), probability of each state at the first observation.
    transition : shape (states, states), from row to column, for one step.
    means, variances : shape (states,), in units of the observations and their square.
    log_likelihood : of the sample under the model (natural logarithm).
    iterations : rounds of EM of the last stretch.
    converged : whether the last round gained less than the tolerance.
    starts : number of starts that were tried.
    observations : length of the sample.
    """

    start: Floats
    transition: Floats
    means: Floats
    variances: Floats
    log_likelihood: float
    iterations: int
    converged: bool
    starts: int
    observations: int

    @property
    def states(self) -> int:
        """Number of states."""
        return len(self.means)

    @property
    def free_parameters(self) -> int:
        """Number of free parameters: means, variances, start and the rows of the transition matrix."""
        return self.states**2 + 2 * self.states - 1

    @property
    def aic(self) -> float:
        """Akaike's criterion: the smaller the better."""
        return 2.0 * self.free_parameters - 2.0 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's criterion: the smaller the better."""
        return self.free_parameters * float(np.log(self.observations)) - 2.0 * self.log_likelihood

    @property
    def durations(self) -> tuple[float | None, ...]:
        """Expected length of a stay in each state in steps, 1 / (1 - p); None for a state that is never left."""
        stays = np.diag(self.transition)
        return tuple(None if stay >= 1.0 else float(1.0 / (1.0 - stay)) for stay in stays)

    @property
    def stationary(self) -> Floats:
        """Long-run share of each state: the left eigenvector of the transition matrix.

        Raises
        ------
        Undefined
            ``singular`` where the chain falls apart into several that are never left.
        """
        count = self.states
        system = np.vstack([self.transition.T - np.eye(count), np.ones(count)])
        if np.linalg.matrix_rank(system[:-1]) < count - 1:
            raise Undefined("singular", "long-run shares of the regimes", "states that are all reached from each other")
        shares = np.linalg.lstsq(system, np.append(np.zeros(count), 1.0), rcond=None)[0]
        shares = np.clip(shares, 0.0, None)
        return np.asarray(shares / shares.sum())


@dataclass(frozen=True, slots=True)
class Regimes:
    """What a model says of a series.

    Attributes
    ----------
    model : the model.
    filtered : shape (observations, states), probability of each state given the observations up to each one.
    smoothed : the same, given all observations.
    path : shape (observations,), the single most likely sequence of states (Viterbi).
    """

    model: RegimeModel
    filtered: Floats
    smoothed: Floats
    path: NDArray[np.int64]

    @property
    def state(self) -> int:
        """The state that is most likely at the end of the series."""
        return int(np.argmax(self.filtered[-1]))

    @property
    def next_probabilities(self) -> Floats:
        """Probability of each state at the step after the last one."""
        return np.asarray(self.filtered[-1] @ self.model.transition)

    @property
    def next_variance(self) -> float:
        """Variance of the next observation: of the mixture of the states."""
        model, weights = self.model, self.next_probabilities
        mean = float(weights @ model.means)
        return float(weights @ (model.variances + (model.means - mean) ** 2))

    @property
    def shares(self) -> Floats:
        """Share of the observations that the path spends in each state."""
        return np.bincount(self.path, minlength=self.model.states) / len(self.path)

    @property
    def changes(self) -> int:
        """How often the path changes its state."""
        return int(np.count_nonzero(np.diff(self.path)))


def fit_regimes(
    returns: ArrayLike, states: int = 2, *, max_iterations: int = 250, tolerance: float = 1e-6
) -> RegimeModel:
    """Fit a Gaussian hidden Markov model by EM from several deterministic starts.

    Parameters
    ----------
    returns : shape (observations,), any unit; at least ten observations a state.
    states : 2 or 3.
    max_iterations : rounds of EM of the start that is followed to the end.
    tolerance : a round that gains less log-likelihood ends it.

    Raises
    ------
    Undefined
        ``empty``, ``too_few``, ``not_finite``, ``mismatch``, ``constant``; ``out_of_range`` for another number of
        states; ``singular`` where every start ends with a state that shrank onto one repeated value, or none
        with states that differ.
    """
    if states not in STATES:
        raise Undefined("out_of_range", f"{states} regimes", "2 or 3")
    values = finite(returns, "returns", POINTS_PER_STATE * states)
    centre, spread = float(values.mean()), float(values.std())
    if spread <= 1e-12 * max(abs(centre), 1e-300):
        raise Undefined("constant", "returns that all are the same", "at least two values")
    x = np.ascontiguousarray((values - centre) / spread)
    found = []
    starts = _starts(x, states)
    for start in starts:
        likelihood, _ = maximise(x, *start, FIRST_ROUNDS, tolerance, VARIANCE_FLOOR)
        found.append((likelihood, start))
    further: list[tuple[float, Start]] = []
    for _, start in sorted(found, key=_rank, reverse=True):
        # Beyond the likeliest few only as long as none of them stays above the floor.
        if len(further) >= FOLLOWED and any(_rank(end)[0] for end in further):
            break
        likelihood, _ = maximise(x, *start, FOLLOWED_ROUNDS, FOLLOWED_TOLERANCE, VARIANCE_FLOOR)
        further.append((likelihood, start))
    _, start = max(further, key=_rank)
    likelihood, rounds = maximise(x, *start, max_iterations, tolerance, VARIANCE_FLOOR)
    first, transition, means, variances = start
    if likelihood <= -0.5 * len(x) * (np.log(2.0 * np.pi) + 1.0) + LEAST_GAIN:
        raise Undefined("singular", "regimes that do not differ", "returns that more than one normal density describes")
    if variances.min() <= VARIANCE_FLOOR:
        raise Undefined("singular", "a regime that shrank onto one repeated return", "returns that vary in each regime")
    order = np.lexsort((means, variances))
    return RegimeModel(
        start=first[order],
        transition=np.ascontiguousarray(transition[np.ix_(order, order)]),
        means=means[order] * spread + centre,
        variances=variances[order] * spread**2,
        log_likelihood=likelihood - len(x) * float(np.log(spread)),
        iterations=int(abs(rounds)),
        converged=rounds > 0,
        starts=len(starts),
        observations=len(x),
    )


def detect_regimes(
    returns: ArrayLike, states: int = 2, *, max_iterations: int = 250, tolerance: float = 1e-6
) -> Regimes:
    """Fit a model to the returns and read the regimes of the same returns with it; see `fit_regimes`."""
    model = fit_regimes(returns, states, max_iterations=max_iterations, tolerance=tolerance)
    return read_regimes(model, returns)


def read_regimes(model: RegimeModel, returns: ArrayLike) -> Regimes:
    """Filtered and smoothed probabilities and the most likely path of a series under a model.

    Raises
    ------
    Undefined
        ``empty``, ``not_finite``.
    """
    x = finite(returns, "returns", 1)
    shape = (len(x), model.states)
    filtered, smoothed, path = np.empty(shape), np.empty(shape), np.empty(len(x), np.int64)
    parameters = (model.start, model.transition, model.means, model.variances)
    smooth(x, *parameters, filtered, smoothed)
    viterbi(x, *parameters, path)
    return Regimes(model, filtered, smoothed, path)


def log_likelihood(model: RegimeModel, returns: ArrayLike) -> float:
    """Log-likelihood of a series under a model.

    Raises
    ------
    Undefined
        ``empty``, ``not_finite``.
    """
    x = finite(returns, "returns", 1)
    shape = (len(x), model.states)
    parameters = (model.start, model.transition, model.means, model.variances)
    return float(forward(x, *parameters, np.empty(shape), np.empty(shape), np.empty(len(x))))


def warm() -> float:
    """Run each kernel once on a short series, so that no request waits for a compiler."""
    angles = np.arange(60.0)
    return detect_regimes(np.sin(angles) * np.where(angles < 30, 1.0, 4.0), 2).model.log_likelihood


Start = tuple[Floats, Floats, Floats, Floats]


def _rank(end: tuple[float, Start]) -> tuple[bool, float]:
    """Ends above the floor of the variances come first, then the likelier ones."""
    return bool(end[1][3].min() > VARIANCE_FLOOR), end[0]


def _starts(x: Floats, states: int) -> list[Start]:
    """Places to begin at: groups by level, by size of the deviations, by their running mean, and fixed multiples."""
    deviations = np.abs(x - np.median(x))
    groups = [_grouped(x, states), _grouped(deviations, states)]
    groups += [_grouped(_running(deviations, span), states) for span in (5, 10, 20, 60)]
    starts = [_from_groups(x, group, states) for group in groups]
    spreads = (0.5, 2.0) if states == 2 else (0.3, 1.0, 3.0)
    persistent = np.full((states, states), 0.05 / (states - 1))
    np.fill_diagonal(persistent, 0.95)
    even = np.full(states, 1.0 / states)
    starts.append((even.copy(), persistent, np.zeros(states), np.array(spreads)))
    level = _from_groups(x, groups[0], states)[2]
    starts.append((even.copy(), np.full((states, states), 1.0 / states), level, np.ones(states)))
    return starts


def _running(values: Floats, span: int) -> Floats:
    """Centred running mean, of what there is at the ends."""
    sums = np.concatenate(([0.0], np.cumsum(values)))
    index = np.arange(len(values))
    low, high = np.maximum(index - span // 2, 0), np.minimum(index + span // 2 + 1, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low))


def _grouped(values: Floats, count: int) -> NDArray[np.int64]:
    """Lloyd's rounds in one dimension (k-means), from equally filled groups."""
    centres = np.quantile(values, (np.arange(count) + 0.5) / count)
    for _ in range(50):
        borders = (centres[1:] + centres[:-1]) / 2
        group = np.searchsorted(borders, values)
        sizes = np.bincount(group, minlength=count)
        sums = np.bincount(group, weights=values, minlength=count)
        moved = np.where(sizes > 0, sums / np.maximum(sizes, 1), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return np.asarray(np.searchsorted((centres[1:] + centres[:-1]) / 2, values), np.int64)


def _from_groups(x: Floats, group: NDArray[np.int64], states: int) -> Start:
    """Moments of the groups, and their transitions as counted, each with one besides."""
    sizes = np.bincount(group, minlength=states)
    filled = np.maximum(sizes, 1)
    means = np.bincount(group, weights=x, minlength=states) / filled
    variances = np.bincount(group, weights=(x - means[group]) ** 2, minlength=states) / filled
    counts = np.ones((states, states))
    np.add.at(counts, (group[:-1], group[1:]), 1.0)
    transition = counts / counts.sum(axis=1, keepdims=True)
    return (sizes + 1.0) / (len(x) + states), transition, means, np.maximum(variances, 10 * VARIANCE_FLOOR)
