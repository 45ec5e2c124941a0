"""A fitted hidden Markov model of regimes, and what it says of a series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nautilus.maths.errors import Undefined

Floats = NDArray[np.float64]


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
