"""Market regimes: a Gaussian hidden Markov model of two or three states over one series of returns.

The parameters are the maximum of the likelihood that expectation maximisation finds (Baum, Petrie, Soules and Weiss
1970; Rabiner 1989; Hamilton 1989 for the use on returns). EM climbs to a local maximum only, so it is begun at several
places, none of them drawn by chance: each is followed for a few rounds, the most likely ones further, and the best of
those to the end. The likelihood of a normal density grows without bound where a state shrinks onto one repeated value;
a floor below the variances keeps it finite, and an end at that floor is never preferred to one above it.

States are ordered by variance: 0 is the calmest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from nautilus.maths.bounds import SMALLEST, bounded
from nautilus.maths.errors import Undefined, finite
from nautilus.maths.hidden_markov import forward, maximise, smooth, viterbi
from nautilus.maths.regime_model import Floats, RegimeModel, Regimes
from nautilus.maths.regime_starts import VARIANCE_FLOOR, Start, starts_of

STATES = (2, 3)
POINTS_PER_STATE = 10
FIRST_ROUNDS = {2: 8, 3: 16}
FOLLOWED = {2: 3, 3: 6}  # with three states there are more ends to choose from
FOLLOWED_TOLERANCE = 1e-2
FOLLOWED_ROUNDS = 80
LEAST_GAIN = 1e-2  # of log-likelihood over one normal density


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
    values = bounded(finite(returns, "returns", POINTS_PER_STATE * states), "returns")
    centre, spread = float(values.mean()), float(values.std())
    if spread <= 1e-12 * max(abs(centre), SMALLEST):
        raise Undefined("constant", "returns that all are the same", "at least two values")
    x = np.ascontiguousarray((values - centre) / spread)
    found = []
    starts = starts_of(x, states)
    for start in starts:
        likelihood, _ = maximise(x, *start, FIRST_ROUNDS[states], tolerance, VARIANCE_FLOOR)
        found.append((likelihood, start))
    further: list[tuple[float, Start]] = []
    for _, start in sorted(found, key=_rank, reverse=True):
        # Beyond the likeliest few only as long as none of them stays above the floor.
        if len(further) >= FOLLOWED[states] and any(_rank(end)[0] for end in further):
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
    x = _writable(bounded(finite(returns, "returns", 1), "returns"))
    shape = (len(x), model.states)
    filtered, smoothed, path = np.empty(shape), np.empty(shape), np.empty(len(x), np.int64)
    parameters = _parameters(model)
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
    x = _writable(bounded(finite(returns, "returns", 1), "returns"))
    shape = (len(x), model.states)
    parameters = _parameters(model)
    return float(forward(x, *parameters, np.empty(shape), np.empty(shape), np.empty(len(x))))


def warm() -> float:
    """Run each kernel once on a short series, so that no request waits for a compiler."""
    angles = np.arange(60.0)
    return detect_regimes(np.sin(angles) * np.where(angles < 30, 1.0, 4.0), 2).model.log_likelihood


def _writable(values: Floats) -> Floats:
    """The values, or a copy: what is compiled takes no array that may not be written, though it writes to none."""
    return values if values.flags.writeable else values.copy()


def _parameters(model: RegimeModel) -> tuple[Floats, Floats, Floats, Floats]:
    start, transition, means, variances = (
        _writable(np.ascontiguousarray(part, dtype=np.float64))
        for part in (model.start, model.transition, model.means, model.variances)
    )
    return start, transition, means, variances


def _rank(end: tuple[float, Start]) -> tuple[bool, float]:
    """Ends above the floor of the variances come first, then the likelier ones."""
    return bool(end[1][3].min() > VARIANCE_FLOOR), end[0]
