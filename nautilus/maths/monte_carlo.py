"""Monte-Carlo profits of a portfolio whose positions' returns are jointly normal, or Student's t.

Each position's profit is linear in its return, or linear and quadratic (delta-gamma). With returns ``A w``, w normal
numbers as many as there are positions, the portfolio's profit is ``a + c'w + w'Gw / 2``. G is made tridiagonal by an
orthogonal change of w that begins at c (`nautilus.maths.tridiagonal`; a full diagonalisation, as in C. Rouvinez, "Going
Greek with VaR", 1997, is not needed): the same distribution to rounding, nothing is left out, and each path draws all
its numbers but does not multiply by matrices. A linear portfolio needs one number a path for that reason.

Student's t: each path's returns are divided by the root of a chi-square over its degrees of freedom, and scaled so that
their covariance is the one given.

Normal numbers and the form are of single precision (relative errors of 1e-6, against sampling errors of 1e-3).
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus.maths import var
from nautilus.maths.errors import Undefined, check_finite
from nautilus.maths.normal_paths import MOST_PATHS, normal_numbers, tridiagonal_forms
from nautilus.maths.tridiagonal import Tridiagonal
from nautilus.maths.var_parts import Parts, parts

MOST_POSITIONS: Final = 2_000
LEAST_PATHS: Final = 100
_WINDOW: Final = 0.005
"""Components of value at risk are of the paths with this share of all beside the quantile."""


class Estimate(NamedTuple):
    """A measure of simulated profits, with its standard error."""

    value: float
    standard_error: float


class Paths:
    """Simulated profits.

    Parameters
    ----------
    exposures
        N: change of each position's profit for a return of one.
    covariance
        N x N, of returns.
    gammas
        N: second derivative of each position's profit by its return; None: all 0.
    means
        N, of returns; None: 0.
    degrees
        Of freedom, above 2: Student's t; 0: normal.
    paths, seed
        As many, from this seed: the same arguments give the same profits.

    Raises
    ------
    Undefined
        ``empty``, ``mismatch``, ``not_finite``, ``out_of_range``; ``singular``: the covariance is not positive
        semi-definite (one without full rank is taken).
    """

    def __init__(
        self,
        exposures: ArrayLike,
        covariance: ArrayLike,
        gammas: ArrayLike | None = None,
        means: ArrayLike | None = None,
        degrees: float = 0.0,
        paths: int = 100_000,
        seed: int = 0,
    ) -> None:
        delta = _vector(exposures, "exposures")
        gamma = np.zeros(delta.size) if gammas is None else _vector(gammas, "gammas", delta.size)
        mean = np.zeros(delta.size) if means is None else _vector(means, "means", delta.size)
        _check_sizes(delta.size, paths, seed, degrees)
        self._root = root(covariance, delta.size)
        self._delta, self._gamma, self._mean = delta, gamma, mean
        self.seed = seed
        # Around the mean m: d(m + x) + g(m + x)^2 / 2 = dm + gm^2/2 + (d + gm) x + g x^2 / 2.
        constant = float(delta @ mean + 0.5 * (gamma @ (mean * mean)))
        along = self._root.T @ (delta + gamma * mean)
        if gamma.any():
            reduced = Tridiagonal((self._root.T * gamma) @ self._root, along)
            size, length = reduced.size, reduced.first
            squares, products = 0.5 * reduced.diagonal[:size], reduced.beside[: size - 1]
            self._reduced: Tridiagonal | None = reduced
        else:
            size, length = 1, float(np.linalg.norm(along))
            squares, products = np.zeros(1), np.zeros(0)
            self._reduced = None
        self._along = along
        self.dimensions = size
        """Normal numbers of each path."""
        # The form is of single precision: by a power of two its largest coefficient becomes about one.
        _, exponent = math.frexp(max(float(np.abs(squares).max()), float(np.abs(products).max(initial=0.0))))
        first, form = tridiagonal_forms(seed, paths, np.ldexp(squares, -exponent), np.ldexp(products, -exponent))
        self._stretch = _stretch(seed, paths, degrees)
        linear = length * first.astype(np.float64)
        square = np.ldexp(form.astype(np.float64), exponent)
        if self._stretch is not None:
            linear *= self._stretch
            square *= self._stretch * self._stretch
        self.profits: var.Floats = np.asarray(constant + linear + square, dtype=np.float64)
        """Of each path."""

    def value_at_risk(self, level: float = 0.95, definition: str = var.EMPYRICAL) -> Estimate:
        """The quantile; its error from the outcomes a binomial deviation to both sides of it (order statistics)."""
        count, tail = self.profits.size, var.tail_of(level)
        wide = max(1, round(math.sqrt(count * tail * (1.0 - tail))))
        place = int(tail * (count - 1))
        low, high = max(0, place - wide), min(count - 1, place + wide)
        ordered = np.partition(self.profits, (low, high))
        error = float(ordered[high] - ordered[low]) * wide / (high - low)
        return Estimate(var.historical_var(self.profits, level, definition), error)

    def tail_mean(self, level: float = 0.95, definition: str = var.EMPYRICAL) -> Estimate:
        """The mean beyond it; its error as of a mean whose tail begins at an estimate.

        ``(variance beyond + (1 - tail) (mean beyond - quantile)^2) / (count tail)`` (S. Manistre, G. Hancock, "Variance
        of the CTE estimator", 2005).
        """
        tail = var.tail_of(level)
        value = var.historical_cvar(self.profits, level, definition)
        quantile = var.historical_var(self.profits, level, definition)
        beyond = self.profits[self.profits <= -quantile]
        spread = float(beyond.var()) if beyond.size else 0.0
        error = math.sqrt((spread + (1.0 - tail) * (value - quantile) ** 2) / (self.profits.size * tail))
        return Estimate(value, error)

    def tail_parts(self, level: float = 0.95, definition: str = var.EMPYRICAL) -> tuple[Parts, Parts]:
        """Components of value at risk and of its tail mean: mean losses of positions in the paths that make them.

        Those of value at risk are of the paths about the quantile (half a per cent of all to each side), scaled to
        sum to it.
        """
        order = np.argsort(self.profits, kind="stable")
        weights = var.tail_weights(order.size, level, definition)
        beyond = order[: weights.size]
        about = max(1, int(_WINDOW * order.size))
        place = weights.size - 1
        window = order[max(0, place - about) : place + about + 1]
        value = var.historical_var(self.profits, level, definition)
        near = 0.0 - self._profits_of(window).mean(axis=0)
        total = math.fsum(near)
        if total == 0.0 or value == 0.0:
            raise Undefined("constant", "a value at risk of nought", "one that can be shared out")
        return parts(near * (value / total)), parts(0.0 - weights @ self._profits_of(beyond))

    def _profits_of(self, paths: NDArray[np.int64]) -> var.Floats:
        """Profits of positions on some paths, drawn again: paths x N."""
        numbers = normal_numbers(self.seed, paths, self.dimensions).astype(np.float64)
        if self._reduced is None:
            basis: var.Floats = self._along[:, None] / (float(np.linalg.norm(self._along)) or 1.0)
        else:
            basis = self._reduced.basis[:, : self.dimensions]
        returns = numbers @ (self._root @ basis).T
        if self._stretch is not None:
            returns *= self._stretch[paths][:, None]
        returns += self._mean
        return np.asarray(self._delta * returns + 0.5 * self._gamma * returns * returns, dtype=np.float64)


def root(covariance: ArrayLike, size: int) -> var.Floats:
    """A with ``A A' = covariance``: Cholesky's, or of the eigenvectors where it lacks full rank.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``; ``singular``: an eigenvalue below zero by more than rounding.
    """
    matrix = np.asarray(covariance, dtype=np.float64, order="C")
    if matrix.shape != (size, size):
        raise Undefined("mismatch", f"a covariance of shape {matrix.shape} for {size} positions", "N x N for N")
    check_finite(matrix, "covariance")
    if float(np.abs(matrix - matrix.T).max(initial=0.0)) > 1e-9 * float(np.abs(matrix).max(initial=0.0)):
        raise Undefined("mismatch", "a covariance that is not symmetric", "the same above and below the diagonal")
    try:
        return np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(matrix)
    if values[0] < -1e-10 * max(abs(float(values[-1])), 1e-300):
        raise Undefined("singular", f"an eigenvalue of {values[0]:g}", "a covariance that is positive semi-definite")
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)), dtype=np.float64)


def warm() -> int:
    """Run once what is compiled, so that no request waits for it; the numbers that each path drew."""
    found = Paths([1.0, 2.0, 3.0], np.diag([1.0, 2.0, 3.0]), gammas=[1.0, 0.5, 0.1], paths=1000, seed=1)
    found.tail_parts()
    return found.dimensions


def _vector(values: ArrayLike, name: str, size: int = -1) -> var.Floats:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or (size >= 0 and found.size != size):
        raise Undefined("mismatch", f"{name} of shape {found.shape}", "one of each position")
    if not found.size:
        raise Undefined("empty", "no positions", "one or more")
    check_finite(found, name)
    return found


def _check_sizes(positions: int, paths: int, seed: int, degrees: float) -> None:
    if not LEAST_PATHS <= paths <= MOST_PATHS:
        raise Undefined("out_of_range", f"{paths} paths", f"{LEAST_PATHS} to {MOST_PATHS}")
    if positions > MOST_POSITIONS:
        raise Undefined("out_of_range", f"{positions} positions", f"at most {MOST_POSITIONS}")
    if not 0 <= seed < 1 << 63:
        raise Undefined("out_of_range", f"seed {seed}", "0 to 2^63 - 1")
    if degrees and not 2.0 < degrees < math.inf:
        raise Undefined("out_of_range", f"{degrees} degrees of freedom", "above 2; 0: normal")


def _stretch(seed: int, paths: int, degrees: float) -> var.Floats | None:
    """What multiplies the returns of each path; None: nothing."""
    if not degrees:
        return None
    chances = np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, 1])))
    return np.asarray(np.sqrt((degrees - 2.0) / chances.chisquare(degrees, paths)), dtype=np.float64)


__all__ = ["LEAST_PATHS", "MOST_PATHS", "MOST_POSITIONS", "Estimate", "Paths", "root", "warm"]
