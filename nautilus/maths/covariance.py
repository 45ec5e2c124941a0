"""Covariance matrices: sample, shrunk, exponentially weighted, corrected for serial correlation.

Every estimator takes returns of shape (T, N), one row per period, and gives an N x N matrix in the squared unit of the
returns, per period. Divisors and centring differ from one estimator to the next as their sources do, and are stated.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nautilus.maths.bounds import shaped, within
from nautilus.maths.errors import Undefined, check_finite

Array = NDArray[np.float64]

MOST_ROWS: Final = 100_000_000
METHODS: Final = ("sample", "ledoit_wolf", "constant_correlation", "ewma", "newey_west")


class CovarianceEstimate(NamedTuple):
    """A matrix and how it came to be.

    Parameters
    ----------
    matrix
        Shape (N, N), symmetric.
    shrinkage
        Weight of the target, 0 to 1; 0 where nothing is shrunk.
    observations
        Rows that it was estimated from.
    method
        Definition and convention, for people.
    """

    matrix: Array
    shrinkage: float
    observations: int
    method: str


def sample(returns: ArrayLike, ddof: int = 1) -> Array:
    """Sample covariance, centred, with divisor T - ddof.

    Raises
    ------
    Undefined
        ``too_few``: not more rows than `ddof`; ``not_finite``; ``mismatch``: not two-dimensional.
    """
    centred = _centred(_checked(returns, ddof + 1))
    return _symmetric(centred.T @ centred / (len(centred) - ddof))


def ledoit_wolf(returns: ArrayLike) -> tuple[Array, float]:
    """Covariance (divisor T) shrunk to the identity times the mean variance, and the weight of that target.

    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", Journal of Multivariate
    Analysis 88 (2004); equal to ``sklearn.covariance.ledoit_wolf``.

    Raises
    ------
    Undefined
        See `sample`.
    """
    x = _centred(_checked(returns, 2))
    periods, width = x.shape
    matrix = _symmetric(x.T @ x / periods)
    if width == 1:
        return matrix, 0.0
    mean_variance = float(np.trace(matrix)) / width
    squared_norm = float(np.sum(matrix * matrix))
    # Of sum_t |x_t x_t' - S|^2 / T^2 only |x_t|^4 and |S|^2 are left: no N x N x T array.
    fourth = float(np.sum(np.square(np.einsum("ij,ij->i", x, x)))) / periods
    spread = (squared_norm - width * mean_variance * mean_variance) / width
    error = min((fourth - squared_norm) / (periods * width), spread)
    intensity = error / spread if error > 0.0 and spread > 0.0 else 0.0
    return shrunk(matrix, mean_variance * np.eye(width), intensity), intensity


def ledoit_wolf_constant_correlation(returns: ArrayLike) -> tuple[Array, float]:
    """Covariance (divisor T) shrunk to its variances with one correlation for all pairs, and the weight of that target.

    Ledoit and Wolf, "Honey, I shrunk the sample covariance matrix", Journal of Portfolio Management 30 (2004), their
    appendix B.

    Raises
    ------
    Undefined
        See `sample`; ``constant``: a column that never changes has no correlation.
    """
    x = _centred(_checked(returns, 2))
    periods, width = x.shape
    matrix = _symmetric(x.T @ x / periods)
    if width == 1:
        return matrix, 0.0
    variances = np.diag(matrix).copy()
    _deny_constant(x, variances)
    deviations = np.sqrt(variances)
    scale = np.outer(deviations, deviations)
    mean_correlation = (float(np.sum(matrix / scale)) - width) / (width * (width - 1))
    target = mean_correlation * scale
    np.fill_diagonal(target, variances)
    squares = x * x
    phi_matrix = squares.T @ squares / periods - matrix * matrix
    # theta_ii,ij of the paper: covariance of the estimates of a variance and of a covariance.
    theta = (squares * x).T @ x / periods - variances[:, None] * matrix
    np.fill_diagonal(theta, 0.0)
    ratio = deviations[None, :] / deviations[:, None]
    rho = float(np.trace(phi_matrix)) + mean_correlation * float(np.sum(ratio * theta))
    gamma = float(np.sum(np.square(matrix - target)))
    # At rounding from the target there is nothing to shrink, and no direction to tell.
    if gamma <= np.finfo(np.float64).eps ** 2 * float(np.sum(matrix * matrix)):
        return matrix, 0.0
    intensity = max(0.0, min(1.0, (float(np.sum(phi_matrix)) - rho) / gamma / periods))
    return shrunk(matrix, target, intensity), intensity


def ewma(returns: ArrayLike, half_life: float, centred: bool = False) -> Array:
    """Exponentially weighted covariance; the weights halve every `half_life` rows and sum to 1.

    About zero as RiskMetrics does (Technical Document, 4th edition, 1996), or about the mean of the same weights.

    Raises
    ------
    Undefined
        See `sample`; ``out_of_range``: a half-life that is not above 0.
    """
    x = _checked(returns, 2)
    weights = decay_weights(len(x), half_life)
    if centred:
        x = x - weights @ x
    return _symmetric((x * weights[:, None]).T @ x)


def newey_west(returns: ArrayLike, lags: int | None = None, half_life: float = 0.0, centred: bool = True) -> Array:
    """Long-run covariance with Bartlett's weights 1 - l / (lags + 1); divisor T.

    Newey and West, "A simple, positive semi-definite, heteroskedasticity and autocorrelation consistent covariance
    matrix", Econometrica 55 (1987). With a half-life, every row is first scaled by the root of its weight, which keeps
    the result positive semi-definite.

    Parameters
    ----------
    lags
        None: `newey_west_lags`.
    half_life
        In rows; 0: all rows weigh the same.

    Raises
    ------
    Undefined
        See `sample`; ``out_of_range``: lags below 0 or not below T, or a half-life below 0.
    """
    x = _checked(returns, 2)
    periods = len(x)
    count = newey_west_lags(periods) if lags is None else lags
    if not 0 <= count < periods:
        raise Undefined("out_of_range", f"{count} lags of {periods} rows", expected="0 or more, less than the rows")
    weights = np.full(periods, 1.0 / periods) if half_life == 0.0 else decay_weights(periods, half_life)
    if centred:
        x = x - weights @ x
    x = x * np.sqrt(weights)[:, None]
    matrix = x.T @ x
    for lag in range(1, count + 1):
        across = x[lag:].T @ x[:-lag]
        matrix += (1.0 - lag / (count + 1.0)) * (across + across.T)
    return _symmetric(matrix)


def newey_west_lags(periods: int) -> int:
    """The rule floor(4 (T / 100)^(2/9)) of Newey and West (Review of Economic Studies 61, 1994), below T."""
    within(periods, "periods", 0)
    return min(int(4.0 * (periods / 100.0) ** (2.0 / 9.0)), max(periods - 1, 0))


def estimate(
    returns: ArrayLike, method: str = "ledoit_wolf", *, half_life: float = 90.0, lags: int | None = None
) -> CovarianceEstimate:
    """Covariance by one of `METHODS`.

    Raises
    ------
    Undefined
        ``out_of_range``: another method; and what the estimator raises.
    """
    periods = len(_checked(returns, 2))
    if method == "sample":
        return CovarianceEstimate(sample(returns), 0.0, periods, "sample covariance, divisor T - 1")
    if method == "ledoit_wolf":
        matrix, intensity = ledoit_wolf(returns)
        text = "Ledoit-Wolf (2004) to scaled identity, divisor T (scikit-learn)"
        return CovarianceEstimate(matrix, intensity, periods, text)
    if method == "constant_correlation":
        matrix, intensity = ledoit_wolf_constant_correlation(returns)
        return CovarianceEstimate(matrix, intensity, periods, "Ledoit-Wolf (2004) to constant correlation, divisor T")
    if method == "ewma":
        text = f"exponentially weighted covariance about 0, half-life {half_life:g} periods"
        return CovarianceEstimate(ewma(returns, half_life), 0.0, periods, text)
    if method == "newey_west":
        count = newey_west_lags(periods) if lags is None else lags
        text = f"Newey-West covariance, Bartlett weights, {count} lags, divisor T"
        return CovarianceEstimate(newey_west(returns, count), 0.0, periods, text)
    raise Undefined("out_of_range", f"covariance by {method!r}", expected=", ".join(METHODS))


def shrunk(matrix: Array, target: Array, intensity: float) -> Array:
    """``(1 - intensity) matrix + intensity target``.

    Raises
    ------
    Undefined
        ``out_of_range``: an intensity outside of 0 to 1; ``mismatch``: shapes differ; ``not_finite``.
    """
    if not 0.0 <= intensity <= 1.0:
        raise Undefined("out_of_range", f"shrinkage {intensity}", expected="0 to 1")
    found = shaped(matrix, "matrix", (None, None))
    return (1.0 - intensity) * found + intensity * shaped(target, "target", found.shape)


def correlation(covariance: ArrayLike) -> tuple[Array, Array]:
    """Correlations, diagonal exactly 1 and none outside of -1 to 1, and standard deviations of a covariance matrix.

    Raises
    ------
    Undefined
        ``mismatch``, ``not_finite``: see `check_symmetric`; ``constant``: a variance that is not above 0.
    """
    matrix = check_symmetric(covariance)
    variances = np.diag(matrix)
    if not np.all(variances > 0.0):
        column = int(np.argmin(variances > 0.0))
        raise Undefined("constant", f"variance {variances[column]} of column {column}", expected="above 0")
    deviations = np.sqrt(variances)
    result = np.clip(matrix / np.outer(deviations, deviations), -1.0, 1.0)
    np.fill_diagonal(result, 1.0)
    return result, deviations


def from_correlation(correlations: ArrayLike, deviations: ArrayLike) -> Array:
    """Covariance matrix of correlations and standard deviations.

    Raises
    ------
    Undefined
        ``mismatch``: sizes differ; ``out_of_range``: a deviation below 0.
    """
    matrix = check_symmetric(correlations)
    scales = np.asarray(deviations, dtype=np.float64)
    if scales.shape != (len(matrix),):
        raise Undefined("mismatch", f"{scales.shape} deviations", expected=f"{len(matrix)} of them")
    if not np.all(scales >= 0.0):
        raise Undefined("out_of_range", "a deviation below 0", expected="0 or more")
    return matrix * np.outer(scales, scales)


def is_positive_definite(matrix: ArrayLike) -> bool:
    """Whether the smallest eigenvalue is above rounding: N times machine epsilon times the largest.

    Raises
    ------
    Undefined
        See `check_symmetric`.
    """
    return _positive(np.linalg.eigvalsh(check_symmetric(matrix)))


def check_positive_definite(matrix: ArrayLike) -> Array:
    """The matrix itself, where `is_positive_definite` holds.

    Raises
    ------
    Undefined
        ``singular``: it does not hold; and see `check_symmetric`.
    """
    checked = check_symmetric(matrix)
    values = np.linalg.eigvalsh(checked)
    if not _positive(values):
        raise Undefined(
            "singular",
            f"covariance with eigenvalues from {values[0]:.3g} to {values[-1]:.3g}",
            expected="a positive definite matrix: more rows than columns, or a shrunk estimate",
        )
    return checked


def check_symmetric(matrix: ArrayLike) -> Array:
    """The matrix as floats, made exactly symmetric.

    Raises
    ------
    Undefined
        ``empty``; ``not_finite``; ``mismatch``: not square, or not symmetric to 1e-8 of its largest entry.
    """
    found = np.asarray(matrix, dtype=np.float64, order="C")
    if found.ndim != 2 or found.shape[0] != found.shape[1]:
        raise Undefined("mismatch", f"a matrix of shape {found.shape}", expected="a square one")
    if not found.size:
        raise Undefined("empty", "a matrix without rows", expected="at least one")
    if not np.isfinite(found).all():
        raise Undefined("not_finite", "a matrix with NaN or infinity", expected="finite entries")
    if float(np.max(np.abs(found - found.T))) > 1e-8 * float(np.max(np.abs(found))):
        raise Undefined("mismatch", "a matrix that is not symmetric", expected="a symmetric one")
    return _symmetric(found)


def decay_weights(periods: int, half_life: float) -> Array:
    """Weights that halve every `half_life` rows back from the last one, and sum to 1.

    Raises
    ------
    Undefined
        ``out_of_range``: a half-life that is not above 0 and finite, or no rows.
    """
    if not (half_life > 0.0 and math.isfinite(half_life)):
        raise Undefined("out_of_range", f"half-life {half_life}", expected="above 0 and finite")
    within(periods, "rows", 1, MOST_ROWS)
    with np.errstate(over="ignore"):  # what is infinitely old weighs nothing
        weights = np.exp2(np.arange(1 - periods, 1, dtype=np.float64) / half_life)
    return weights / float(np.sum(weights))


def _positive(eigenvalues: NDArray[np.floating]) -> bool:
    return bool(eigenvalues[0] > len(eigenvalues) * np.finfo(np.float64).eps * max(eigenvalues[-1], 0.0))


def _checked(returns: ArrayLike, fewest: int) -> Array:
    found = np.asarray(returns, dtype=np.float64, order="C")
    if found.ndim != 2:
        raise Undefined("mismatch", f"returns of {found.ndim} dimensions", expected="rows of periods, columns of names")
    if not found.size:
        raise Undefined("empty", "no returns", expected=f"at least {fewest} rows and a column")
    if len(found) < fewest:
        raise Undefined("too_few", f"{len(found)} rows", expected=f"at least {fewest}")
    check_finite(found, "returns")
    return found


def _centred(returns: Array) -> Array:
    centred: Array = returns - returns.mean(axis=0)
    return centred


def _symmetric(matrix: Array) -> Array:
    # A product of a matrix with itself is symmetric only to rounding where the library sums blocks in another order.
    return 0.5 * (matrix + matrix.T)


def _deny_constant(centred: Array, variances: Array) -> None:
    # The mean of equal numbers is off by rounding, so that such a column is not exactly 0 when centred.
    span = centred.max(axis=0) - centred.min(axis=0)
    constant = (span == 0.0) | (variances == 0.0)
    if constant.any():
        column = int(np.argmax(constant))
        raise Undefined("constant", f"column {column} never changes", expected="returns that vary")


__all__ = [
    "METHODS",
    "CovarianceEstimate",
    "check_positive_definite",
    "check_symmetric",
    "correlation",
    "decay_weights",
    "estimate",
    "ewma",
    "from_correlation",
    "is_positive_definite",
    "ledoit_wolf",
    "ledoit_wolf_constant_correlation",
    "newey_west",
    "newey_west_lags",
    "sample",
    "shrunk",
]
